"""The picture of a comparison, and the page around it, which needs nothing from elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

from streamops.adapters.drills.pictures import page, write_png
from streamops.drills.comparison import Comparison, Group, Promise, Recovery, compare


def comparison() -> Comparison:
    groups = [Group(kind, "kill", approach, f"<canary>_{approach}")
              for kind in ("driver", "executor") for approach in ("direct", "receiver")]
    found = [Recovery(group, drill, number, f"2026-11-{drill:02d}T03:{number:02d}:00", f"streamops 0.{drill}.0", 1.2,
                      None if (drill, number, group.kind) == (2, 3, "executor") else 7.0 + number / 3 * drill, 15.0)
             for group in groups for drill in (1, 2) for number in range(10)]
    return compare(found, {group.pipeline: Promise(30, {}, {"driver": 12}) for group in groups}, {2})


def test_the_png(tmp_path: Path) -> None:
    write_png(comparison(), tmp_path / "drills.png")
    assert (tmp_path / "drills.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    write_png(Comparison((), ()), tmp_path / "empty.png")


def test_the_page_needs_nothing_from_elsewhere() -> None:
    text = page(comparison())
    tags: list[tuple[str, dict[str, str | None]]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append((tag, dict(attrs)))

    Reader().feed(text)
    names = {tag for tag, _ in tags}
    assert {"svg", "table"} <= names
    assert not names & {"script", "link", "img", "iframe", "object"}
    links = [value for _, attrs in tags for name, value in attrs.items() if name in ("href", "xlink:href", "src")]
    assert all(value and value.startswith("#") for value in links)
    assert not re.findall(r"url\((?!#)|@import", text)
    assert "<canary>" not in text
    assert "&lt;canary&gt;_direct" in text
    assert "1 of 10 times it did not come back" in text
    assert page(comparison()) == text  # nothing of the moment is in it
