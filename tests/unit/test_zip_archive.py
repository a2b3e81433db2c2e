"""Archives that are the same whenever they are made."""

from __future__ import annotations

import io
import zipfile

from streamops.zip_archive import zipped

CONTENTS = {"org/One.class": b"1" * 10_000, "Two.class": b"", "a name.py": "Grüße\n".encode()}


def test_what_goes_in_comes_out() -> None:
    with zipfile.ZipFile(io.BytesIO(zipped(CONTENTS))) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == CONTENTS
        assert archive.namelist() == sorted(CONTENTS)
        assert archive.getinfo("org/One.class").compress_size < 1000


def test_neither_time_nor_order_is_in_it() -> None:
    packed = zipped(CONTENTS)
    assert zipped(dict(reversed(CONTENTS.items()))) == packed
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
