"""Pinned jars. The downloads themselves are tested with the set-up (tests/integration/test_bootstrap.py)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from streamops.errors import ConfigurationError, StateError, UnavailableError
from streamops.stack import jars
from streamops.stack.jars import Jar, Problem

CONTENT = b"the right bytes"
GOOD = Jar("org.example", "good", "1.0", hashlib.sha256(CONTENT).hexdigest())
OTHER = Jar("org.example", "other", "2.0", hashlib.sha256(b"other").hexdigest())


@pytest.fixture
def ivy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, bytes]]:
    """What Ivy brings, one answer a call; the lock file says that GOOD is the group `example`."""
    answers: list[dict[str, bytes]] = []

    def run(_wanted: list[Jar], target: Path, _say: object) -> None:
        for name, content in answers.pop(0).items():
            (target / name).write_bytes(content)

    monkeypatch.setattr(jars, "_run_ivy", run)
    monkeypatch.setattr(jars, "_ivy_cache", lambda: tmp_path / "ivy")
    monkeypatch.setattr(jars, "locked", lambda: {"example": [GOOD]})
    return answers


def test_the_lock_file_pins_every_group_whole() -> None:
    locked = jars.locked()
    sizes = {name: len(group) for name, group in locked.items()}
    assert sizes == {"broker": 46, "hdfs": 1, "tools": 1, "zookeeper_broker": 55, "connector": 4, "s3": 35}
    assert all(len(jar.sha256) == 64 for group in locked.values() for jar in group)
    assert all("kafka" not in name for name in locked), "Python would import a folder of that name"


def test_a_missing_and_a_corrupt_jar_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / GOOD.file_name).write_bytes(b"damaged")
    assert jars.problems(tmp_path, [GOOD, OTHER]) == [Problem(GOOD, corrupt=True), Problem(OTHER, corrupt=False)]


def test_what_is_there_and_right_is_not_fetched(ivy: list[dict[str, bytes]], tmp_path: Path) -> None:
    (tmp_path / "example").mkdir()
    (tmp_path / "example" / GOOD.file_name).write_bytes(CONTENT)
    assert jars.ensure("example", tmp_path, print) == tmp_path / "example"


def test_a_corrupt_jar_is_named_and_fetched_again(ivy: list[dict[str, bytes]], tmp_path: Path) -> None:
    (tmp_path / "example").mkdir()
    (tmp_path / "example" / GOOD.file_name).write_bytes(b"damaged")
    ivy.append({GOOD.file_name: CONTENT})
    said: list[str] = []
    jars.ensure("example", tmp_path, said.append)
    assert said[0] == "good-1.0.jar is corrupt: its SHA-256 is not the pinned one. Removed."
    assert (tmp_path / "example" / GOOD.file_name).read_bytes() == CONTENT


def test_a_corrupt_download_is_forgotten_and_tried_once_more(ivy: list[dict[str, bytes]], tmp_path: Path) -> None:
    cached = tmp_path / "ivy" / "org.example" / "good" / "jars" / GOOD.file_name
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"damaged")
    ivy += [{GOOD.file_name: b"damaged"}, {GOOD.file_name: CONTENT}]
    said: list[str] = []
    jars.ensure("example", tmp_path, said.append)
    assert any("good-1.0.jar arrived corrupt" in line for line in said)
    assert not cached.exists(), "Ivy would bring it from there again"


def test_corrupt_twice_is_an_error_and_nothing_of_it_stays(ivy: list[dict[str, bytes]], tmp_path: Path) -> None:
    ivy += [{GOOD.file_name: b"damaged"}] * 2
    with pytest.raises(StateError, match=r"good-1\.0\.jar: downloaded twice"):
        jars.ensure("example", tmp_path, lambda _line: None)
    assert list((tmp_path / "example").iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["example"], "no temporary folder is left"


def test_a_jar_that_did_not_come_is_named(ivy: list[dict[str, bytes]], tmp_path: Path) -> None:
    ivy.append({})
    with pytest.raises(UnavailableError, match=r"good-1\.0\.jar"):
        jars.ensure("example", tmp_path, lambda _line: None)


def test_an_older_version_goes(ivy: list[dict[str, bytes]], tmp_path: Path) -> None:
    (tmp_path / "example").mkdir()
    (tmp_path / "example" / GOOD.file_name).write_bytes(CONTENT)
    (tmp_path / "example" / "good-0.9.jar").write_bytes(b"old")
    jars.ensure("example", tmp_path, lambda _line: None)
    assert [path.name for path in (tmp_path / "example").iterdir()] == [GOOD.file_name]


def test_an_incomplete_connector_says_how_to_fetch_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="streamops jars --fetch"):
        jars.connector_jars(tmp_path)


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("java.net.UnknownHostException: maven.example", "does not answer"),
        ("java.io.IOException: No space left on device", "disk is full"),
        ("unresolved dependency: a#b;1: not found", "could not fetch"),
    ],
)
def test_ivys_failures_are_worded(tmp_path: Path, output: str, says: str) -> None:
    assert says in jars._ivy_failure(output, tmp_path).found
