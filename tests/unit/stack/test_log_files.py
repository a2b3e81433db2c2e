"""The end of the servers' logs."""

from __future__ import annotations

from pathlib import Path

from streamops.stack.log_files import tail


def test_the_last_lines_of_each(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text("".join(f"{name}{number}\n" for number in range(5)))
    files = {name: tmp_path / name for name in ("a", "b")}
    assert list(tail(files, lines=2, follow=False)) == [("a", "a3"), ("a", "a4"), ("b", "b3"), ("b", "b4")]


def test_following_waits_for_whole_lines_and_survives_a_new_file(tmp_path: Path) -> None:
    log = tmp_path / "a"
    log.write_text("one\n")
    lines = tail({"a": log}, lines=1, follow=True)
    assert next(lines) == ("a", "one")
    with log.open("a") as file:
        file.write("two\nthr")
    assert next(lines) == ("a", "two")
    with log.open("a") as file:
        file.write("ee\n")
    assert next(lines) == ("a", "three")
    log.replace(tmp_path / "a.1")
    log.write_text("new\n")
    assert next(lines) == ("a", "new")
