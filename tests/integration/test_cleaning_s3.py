"""Cleanups on a real S3 server: moves are copies and deletes, killed in between; listings have pages; the lock."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from kafka.admin import NewTopic

from streamops.adapters.cleaning import lock
from streamops.adapters.connections import Connection
from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.files.storage_options import storage_options
from streamops.adapters.files.stores import ObjectStore, open_store
from streamops.cleaning.quarantined import DIRECTORY

from .cleaned import GOING, OLD_LOG, Cleaned
from .declared import connected
from .s3_server import BUCKET, S3Server

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

REFUSED, UNAVAILABLE = 3, 4
#: More names than a page of a listing has, 1,000, in one folder.
PAGE = 1_100


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory, say: Callable[[str], None]) -> Iterator[S3Server]:
    server = S3Server.at(tmp_path_factory.mktemp("s3"), say)
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def topic(kafka: str) -> str:
    name = f"cleaned-{uuid.uuid4().hex[:8]}"
    with connected(kafka) as broker:
        broker.admin.create_topics([NewTopic(name, 1, 1)])
        broker.await_topics({name: 1})
    return name


@pytest.fixture
def cleaned(s3: S3Server, kafka: str, topic: str, tmp_path: Path) -> Cleaned:
    return Cleaned.made(tmp_path, kafka, f"{topic}", s3.connection)


@dataclass(frozen=True)
class Disk:
    """What the server has on its disk: content by path, at its place and in quarantine."""

    there: dict[str, bytes]
    quarantined: dict[str, bytes]

    @classmethod
    def of(cls, cleaned: Cleaned, s3: S3Server) -> Disk:
        root = s3.folder / "data" / BUCKET / cleaned.files.url.removeprefix(f"s3://{BUCKET}/")
        found = cls({}, {})
        for folder, _, names in os.walk(root):
            for name in names:
                file = Path(folder) / name
                path = str(file.relative_to(root))
                with suppress(FileNotFoundError):  # moved meanwhile
                    if not path.startswith(f"{DIRECTORY}/"):
                        found.there[path] = file.read_bytes()
                    elif "/files/" in path:
                        found.quarantined[path.split("/files/", 1)[1]] = file.read_bytes()
        return found

    def require_whole(self, before: Disk) -> None:
        for path, content in before.there.items():
            places = [each[path] for each in (self.there, self.quarantined) if path in each]
            assert places, f"{path} is somewhere"
            assert set(places) == {content}, f"{path} is whole"


def test_plan_apply_list_restore_and_purge(cleaned: Cleaned) -> None:
    before = cleaned.content()
    plan = cleaned.plan("lines")
    assert {path: item["rule"] for path, item in plan.items() if item["proof"]} == GOING
    assert cleaned.content() == before, "a plan changes nothing"
    assert f"lines: {len(GOING)} taken" in cleaned.run("clean", "apply", "lines", "--yes")
    assert cleaned.content() == {path: each for path, each in before.items() if path not in GOING}
    held = cleaned.lines("clean", "list", "lines")
    assert {each["path"]: each["rule"] for each in held} == GOING
    cleaned.run("clean", "restore", "lines", OLD_LOG)
    assert OLD_LOG in cleaned.content()
    assert "0 stay" in cleaned.run("clean", "restore", "lines")
    assert cleaned.content() == before

    cleaned.run("clean", "apply", "lines", "--yes")
    cleaned.declare("min_age_h: 0, leftover_h: 0, quarantine_d: 0")
    assert f"lines: {len(GOING)} taken" in cleaned.run("clean", "apply", "lines", "--yes")
    assert cleaned.lines("clean", "list", "lines") == []
    assert {path for path in cleaned.everything() if "/files/" in path} == set(), "for good"


def test_two_at_once_exclude_each_other(cleaned: Cleaned) -> None:
    before = cleaned.content()
    with lock.held(cleaned.files, "lines", print):
        assert "another cleanup of lines works" in cleaned.run("clean", "apply", "lines", "--yes", code=REFUSED)
    assert cleaned.content() == before


def test_killed_at_any_moment_everything_is_somewhere_whole(cleaned: Cleaned, s3: S3Server) -> None:
    """More names in a folder than a page has, of which some go; cleanups are killed among their copies and deletes."""
    many = {f"output/_aside/1-9-1/part-{number:05d}.parquet": f"{number}" for number in range(40)}
    # Without `=`: S3Proxy 2.9.0 gives its next page by an escaped name, and so the same page again for ever.
    kept = {f"output/of_a_team/part-{number:05d}.parquet": f"{number}" for number in range(PAGE)}
    store, at = open_store(cleaned.files.url, storage_options(cleaned.storage))
    assert isinstance(store, ObjectStore)
    store.filesystem.pipe({f"{at}/{path}": text.encode() for path, text in {**many, **kept}.items()})
    going = {*many, *GOING}
    before = Disk.of(cleaned, s3)
    assert set(kept) <= set(cleaned.plan("lines")), "every page of a listing is read"

    def killed_after(count: int, *arguments: str) -> None:
        process, at_first = cleaned.start("clean", *arguments), len(Disk.of(cleaned, s3).quarantined)
        while abs(len(Disk.of(cleaned, s3).quarantined) - at_first) < count and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.communicate()

    for count in (1, 15):
        killed_after(count, "apply", "lines", "--yes")
        Disk.of(cleaned, s3).require_whole(before)
    assert "an earlier cleanup" in cleaned.run("clean", "apply", "lines", "--yes")
    now = Disk.of(cleaned, s3)
    assert (set(now.there), set(now.quarantined)) == (set(before.there) - going, going), "no half of a move is left"
    now.require_whole(before)
    for count in (1, 15):
        killed_after(count, "restore", "lines")
        Disk.of(cleaned, s3).require_whole(before)
    cleaned.run("clean", "restore", "lines")
    assert Disk.of(cleaned, s3) == before

    cleaned.run("clean", "apply", "lines", "--yes")
    cleaned.declare("min_age_h: 0, leftover_h: 0, quarantine_d: 0")
    for count in (1, 15):
        killed_after(count, "apply", "lines", "--yes")
    cleaned.run("clean", "apply", "lines", "--yes")
    now = Disk.of(cleaned, s3)
    assert (set(now.there), now.quarantined) == (set(before.there) - going, {}), "a purge is of the quarantine alone"


def test_a_server_that_is_killed_meanwhile_loses_nothing(cleaned: Cleaned, s3: S3Server) -> None:
    for number in range(40):
        cleaned.files.replace(f"output/_aside/1-9-1/part-{number:05d}.parquet", f"{number}")
    before = Disk.of(cleaned, s3)
    process = cleaned.start("clean", "apply", "lines", "--yes")
    while process.poll() is None and len(Disk.of(cleaned, s3).quarantined) < 10:
        time.sleep(0.005)
    s3.kill()
    out, err = process.communicate(timeout=300)
    s3.start()
    assert process.returncode == UNAVAILABLE, out + err
    Disk.of(cleaned, s3).require_whole(before)
    cleaned.run("clean", "apply", "lines", "--yes")
    cleaned.run("clean", "restore", "lines")
    assert Disk.of(cleaned, s3) == before


def test_a_storage_connection_says_it_as_options_too(s3: S3Server) -> None:
    given = s3.connection
    same = Connection("streamops_storage", "generic", extra={"url": given.extra["url"], "options": {
        "key": given.login, "secret": given.password, "endpoint_url": given.extra["endpoint_url"]}})
    path = f"{uuid.uuid4().hex}.json"
    assert StateFiles.at(given, "lines").write_new(path, "first")
    assert not StateFiles.at(same, "lines").write_new(path, "second")
    assert StateFiles.at(same, "lines").read(path) == "first"
