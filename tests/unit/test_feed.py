"""Lines as records: shape, pace, counts; and the sources that lines come from."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamops.adapters.files.log_follower import LogFollower
from streamops.adapters.kafka.line_sources import from_files
from streamops.errors import ConfigurationError
from streamops.feed import BURST_S, Key, Line, Numbering, Pace, Record, Shape, Tally, parse_headers, ranges

LINE = Line(b"the  line\r", "a/b.txt", 7)


@pytest.mark.parametrize(("shape", "record"), [
    pytest.param(Shape(), Record(b"the  line\r", None, []), id="bytes as they are"),
    pytest.param(Shape(key=Key.LINE_NUMBER), Record(b"the  line\r", b"7", []), id="key: line number"),
    pytest.param(Shape(key=Key.FILE), Record(b"the  line\r", b"a/b.txt", []), id="key: file"),
    pytest.param(Shape(numbering=Numbering.PREFIX), Record(b"000000000042 the  line\r", None, []), id="prefix"),
    pytest.param(
        Shape(numbering=Numbering.HEADER, headers=(("from", b"test"),)),
        Record(b"the  line\r", None, [("from", b"test"), ("streamops.number", b"42")]),
        id="number in a header",
    ),
])
def test_the_shape_of_a_record(shape: Shape, record: Record) -> None:
    assert shape.record(LINE, 42) == record


def test_records_do_not_share_headers() -> None:
    shape = Shape(numbering=Numbering.HEADER)
    assert shape.record(LINE, 1).headers != shape.record(LINE, 2).headers


@pytest.mark.parametrize(("given_headers", "parsed"), [
    ([], ()),
    (["a=b", "c=", "a=x=y"], (("a", b"b"), ("c", b""), ("a", b"x=y"))),
])
def test_headers(given_headers: list[str], parsed: tuple[tuple[str, bytes], ...]) -> None:
    assert parse_headers(given_headers) == parsed


@pytest.mark.parametrize("header", ["a", "=b", ""])
def test_a_header_without_name_or_value_is_refused(header: str) -> None:
    with pytest.raises(ConfigurationError, match="--header name=value"):
        parse_headers([header])


# Pace

def sent_in(seconds: float, rate: float, stalls: dict[int, float]) -> int:
    """Records that a pace lets through in a time, where sending record `n` takes `stalls[n]` seconds."""
    now_s, count = 0.0, 0
    pace = Pace(rate, now_s)
    while True:
        now_s += pace.wait_s(now_s)
        if now_s >= seconds:
            return count
        now_s += stalls.get(count, 0.0)
        count += 1


@pytest.mark.parametrize("rate", [0.5, 1, 7, 5000])
def test_the_rate_is_kept(rate: float) -> None:
    assert sent_in(20, rate, {}) == pytest.approx(20 * rate, abs=1)


def test_a_stall_is_not_followed_by_a_flood() -> None:
    assert sent_in(20, 100, {500: 10.0}) == pytest.approx(1000 + 100 * BURST_S, abs=2)


# Counts

@given(st.sets(st.integers(1, 40)))
def test_ranges_hold_the_same_numbers(numbers: set[int]) -> None:
    unfolded = set()
    for text in ranges(list(numbers)):
        first, _, last = text.partition("-")
        unfolded |= set(range(int(first), int(last or first) + 1))
    assert unfolded == numbers


def test_the_summary_names_records_without_an_answer() -> None:
    tally = Tally(sent=20, acknowledged=15, value_bytes=300, refused=[20], unknown=[3, 4, 5, 9])
    assert tally.summary("lines", 2.0) == {
        "topic": "lines",
        "sent": 20,
        "acknowledged": 15,
        "refused": ["20"],
        "unknown": ["3-5", "9"],
        "value_bytes": 300,
        "elapsed_s": 2.0,
        "records_per_s": 8,
    }
    assert tally.describe("lines", 2.0) == (
        "15 of 20 records acknowledged by topic lines in 2.0 s (8/s); 1 refused: 20; 4 unknown: 3-5, 9"
    )


# Files

@pytest.mark.parametrize(("content", "lines"), [
    pytest.param(b"", [], id="an empty file"),
    pytest.param(b"a\nb\n", [b"a", b"b"], id="lines"),
    pytest.param(b"a\nb", [b"a", b"b"], id="the last line has no newline"),
    pytest.param(b"a\n\n\nb\n\n", [b"a", b"", b"", b"b", b""], id="empty lines are lines"),
    pytest.param(b"a\r\nb\rc\n", [b"a\r", b"b\rc"], id="only newlines divide, and carriage returns stay"),
    pytest.param(b"\x00\xff\xfe\x85\n\xe2\x80\xa8x\n", [b"\x00\xff\xfe\x85", b"\xe2\x80\xa8x"], id="any bytes"),
])
def test_lines_of_a_file(content: bytes, lines: list[bytes], tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(content)
    found = list(from_files([str(path)]))
    assert [line.text for line in found] == lines
    assert [line.number for line in found] == list(range(1, len(lines) + 1))


def test_files_follow_each_other_and_are_repeated(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(f"{name}1\n{name}2\n")
    paths = [str(tmp_path / "a"), str(tmp_path / "b")]
    once = [b"a1", b"a2", b"b1", b"b2"]
    assert [line.text for line in from_files(paths, repeat=2)] == once * 2
    endless = from_files(paths, repeat=0)
    assert [next(endless).text for _ in range(11)] == (once * 3)[:11]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\n\xffb")))
    assert list(from_files(["-"])) == [Line(b"a", "-", 1), Line(b"\xffb", "-", 2)]


@pytest.mark.parametrize(("paths", "repeat", "found"), [
    (["nowhere.txt"], 1, "no file nowhere.txt"),
    (["."], 1, "no file ."),
    (["-"], 2, "cannot be read twice"),
])
def test_what_cannot_be_read_is_refused_before_anything_is_sent(paths: list[str], repeat: int, found: str) -> None:
    with pytest.raises(ConfigurationError, match=found):
        from_files(paths, repeat)


# Log files that grow

class Followed:
    """A follower, read to the end of what is there."""

    def __init__(self, *directories: Path) -> None:
        self.follower = LogFollower(*directories)
        self.lines = self.follower.lines()

    def new(self) -> list[bytes]:
        found = []
        while (line := next(self.lines)) is not None:
            found.append(line.text)
        return found


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def followed(logs: Path) -> Iterator[Followed]:
    followed = Followed(logs)
    yield followed
    followed.follower.close()


def append(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(text)


def test_lines_come_as_they_are_completed(logs: Path, followed: Followed) -> None:
    append(logs / "broker.log", "one\ntw")
    assert followed.new() == [b"one"]
    append(logs / "broker.log", "o\n\nthree\n")
    assert followed.new() == [b"two", b"", b"three"]
    assert followed.new() == []


def test_new_files_in_new_folders_are_found(logs: Path, followed: Followed) -> None:
    assert followed.new() == []
    append(logs / "work" / "driver-1" / "stderr", "hello\n")
    assert followed.new() == [b"hello"]


def test_a_rotation_loses_and_doubles_nothing(logs: Path, followed: Followed) -> None:
    log = logs / "broker.log"
    append(log, "one\n")
    assert followed.new() == [b"one"]
    with log.open("a") as writer:  # goes on writing to the old file for a moment
        log.rename(logs / "broker.log.1")
        append(log, "three\n")
        writer.write("two\n")
    assert sorted(followed.new()) == [b"three", b"two"]
    (logs / "broker.log.1").unlink()
    append(log, "four\n")
    assert followed.new() == [b"four"]


def test_a_file_renamed_to_a_name_that_is_no_log_is_read_to_its_end(logs: Path, followed: Followed) -> None:
    log = logs / "broker.log"
    append(log, "one\n")
    assert followed.new() == [b"one"]
    append(log, "two\n")
    log.rename(logs / "broker.2026-11-20.gz")
    assert followed.new() == [b"two"]


def test_a_file_emptied_in_place_is_read_from_its_start(logs: Path, followed: Followed) -> None:
    log = logs / "broker.log"
    append(log, "a long first line\nbegun")
    assert followed.new() == [b"a long first line"]
    log.write_text("new\n")
    assert followed.new() == [b"new"]


@pytest.mark.parametrize("name", ["00000000000000000000.log", "airflow.db", "server.properties", "pid"])
def test_what_is_no_text_log_is_left_alone(name: str, logs: Path, followed: Followed) -> None:
    append(logs / name, "binary\n")
    assert followed.new() == []


def test_a_link_to_a_log_does_not_double_it(logs: Path, followed: Followed) -> None:
    append(logs / "run.log", "one\n")
    (logs / "latest.log").symlink_to(logs / "run.log")
    assert followed.new() == [b"one"]
