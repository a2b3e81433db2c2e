"""ZIP archives that are the same whenever they are made: their bytes depend on the contents alone."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

#: A ZIP's earliest time stamp, for every file.
_EPOCH = (1980, 1, 1, 0, 0, 0)


def zipped(contents: Mapping[str, bytes]) -> bytes:
    """The archive with these contents by their paths in it, readable by everybody once unpacked."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(contents.items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()
