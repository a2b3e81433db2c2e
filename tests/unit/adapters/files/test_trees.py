"""Listing and moving on a real local file system, and on fsspec's in-memory one for what object stores share."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest

from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.files.trees import Tree, open_tree
from streamops.cleaning.seen import Kind
from streamops.errors import RefusedError


class Place:
    """A tree, and the files in it."""

    def __init__(self, url: str) -> None:
        self.tree: Tree = open_tree(url)
        self.files = StateFiles(url)

    def listed(self, start: str = "") -> dict[str, tuple[str, int]]:
        return {seen.path: (str(seen.kind), seen.size_bytes) for seen in self.tree.walk(start)}


@pytest.fixture(params=["file", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    (tmp_path / "streams").mkdir()
    url = f"file://{tmp_path}/streams" if request.param == "file" else f"memory://streams-{secrets.token_hex(4)}"
    made = Place(url)
    for path, text in (("a/b/one", "1"), ("a/two", "22"), ("three", "333")):
        made.files.replace(path, text)
    return made


@pytest.fixture
def local(tmp_path: Path) -> Place:
    return Place(f"file://{tmp_path}")


def test_everything_is_listed_each_folder_before_what_is_in_it(place: Place) -> None:
    assert place.listed() == {"a": ("folder", 0), "a/b": ("folder", 0), "a/b/one": ("file", 1), "a/two": ("file", 2),
                              "three": ("file", 3)}
    paths = [seen.path for seen in place.tree.walk()]
    assert paths.index("a") < paths.index("a/b") < paths.index("a/b/one")
    assert place.listed("a/b") == {"a/b/one": ("file", 1)}
    assert place.listed("nothing") == {}


def test_what_is_there_is_seen_and_what_is_not_is_none(place: Place) -> None:
    seen = place.tree.look("a/two")
    assert seen is not None
    assert (seen.kind, seen.size_bytes) == (Kind.FILE, 2)
    assert seen.modified_ms > 1_700_000_000_000
    assert place.tree.look("a/b/none") is None
    assert place.tree.look("three/none") is None


def test_a_file_is_moved_into_folders_that_are_made_and_nothing_is_overwritten(place: Place) -> None:
    place.tree.move("a/two", "q/7/a/two")
    assert place.files.read("q/7/a/two") == "22"
    assert place.tree.look("a/two") is None
    place.files.replace("a/two", "new")
    with pytest.raises(FileExistsError):
        place.tree.move("q/7/a/two", "a/two")
    assert place.files.read("a/two") == "new"
    assert place.files.read("q/7/a/two") == "22"
    with pytest.raises(FileNotFoundError):
        place.tree.move("a/none", "q/7/a/none")


def test_a_folder_is_moved_with_all_that_it_holds(place: Place) -> None:
    place.tree.move("a", "q/a")
    assert "q/a/b/one" in place.listed()
    assert "a/two" not in place.listed()


def test_only_an_empty_folder_is_removed(place: Place) -> None:
    assert not place.tree.remove_folder("a/b")
    place.tree.remove_file("a/b/one")
    assert place.tree.remove_folder("a/b")
    assert place.listed("a") == {"a/two": ("file", 2)}


def test_a_link_is_listed_and_never_followed(local: Place, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").write_text("x")
    (tmp_path / "lines").mkdir()
    (tmp_path / "lines" / "out").symlink_to(tmp_path / "outside")
    (tmp_path / "lines" / "file").symlink_to(tmp_path / "outside" / "precious")
    os.mkfifo(tmp_path / "lines" / "pipe")
    tree = open_tree(f"file://{tmp_path}/lines")
    assert {seen.path: seen.kind for seen in tree.walk()} == {"out": Kind.LINK, "file": Kind.LINK, "pipe": Kind.OTHER}
    for act in (lambda: tree.move("out/precious", "q"), lambda: tree.look("out/precious"),
                lambda: tree.remove_file("out/precious"), lambda: list(tree.walk("out")),
                lambda: tree.move("pipe", "out/pipe")):
        with pytest.raises(RefusedError, match="symbolic link"):
            act()
    assert (tmp_path / "outside" / "precious").read_text() == "x"


def test_a_path_that_leaves_the_root_is_refused(local: Place) -> None:
    with pytest.raises(RefusedError):
        local.tree.look("a/../../b/c")


def test_a_folder_that_may_not_be_read_says_so(local: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "closed").mkdir()
    opened = os.open

    def refuse(name: str, *args: int, **given: int) -> int:
        if name == "closed":  # whoever runs the tests may be root, whom nothing is refused
            raise PermissionError(13, "Permission denied")
        return opened(name, *args, **given)

    monkeypatch.setattr(os, "open", refuse)
    assert [(seen.path, seen.problem) for seen in local.tree.walk()] == [("closed", "Permission denied")]


def test_of_two_names_that_a_killed_move_left_one_goes(local: Place, tmp_path: Path) -> None:
    (tmp_path / "one").write_text("1")
    (tmp_path / "held").hardlink_to(tmp_path / "one")
    local.tree.undo_half_move("one", "held")
    assert local.listed() == {"one": ("file", 1)}
    (tmp_path / "held").write_text("1")
    local.tree.undo_half_move("one", "held")
    assert set(local.listed()) == {"one", "held"}, "another file of the same content is another file"


def test_memory_does_not_grow_with_the_files(tmp_path: Path) -> None:
    import tracemalloc

    for number in range(3000):
        (tmp_path / f"{number}").touch()
    tree = open_tree(f"file://{tmp_path}")
    tracemalloc.start()
    assert sum(1 for _ in tree.walk()) == 3000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000, "a listing that is held would be over half a megabyte"
