"""Into quarantine, back, and away for good, on a real file system and on fsspec's in-memory one; and killed in between.

A process of its own kills itself with SIGKILL right before its first, second, third … change of the file system, until
one comes through: after each, everything is whole, and the next run finishes.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from streamops.adapters.cleaning import lock as cleaning_lock
from streamops.adapters.cleaning.lock import CleaningLock, held
from streamops.adapters.cleaning.quarantine import Quarantine
from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.files.trees import open_tree
from streamops.cleaning import quarantined
from streamops.cleaning.quarantined import Intent, Taken
from streamops.cleaning.seen import Kind
from streamops.errors import RefusedError

LOG = "checkpoint/000001/000003-001/receivedData/0/log-1-2"
FILES = {LOG: "received", "plans/000001/000007.json": "{}", "output/_aside/1-2-3/part": "rows"}


class Store:
    """A state directory with some files in it, and its quarantine."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.tree = open_tree(url)
        self.files = StateFiles(url)
        self.quarantine = Quarantine(self.tree, self.files, "lines")

    def fill(self) -> None:
        for path, text in FILES.items():
            self.files.replace(path, text)

    def planned(self, *paths: str) -> list[Taken]:
        found = [self.quarantine.observe(path) for path in paths or FILES]
        return [Taken(each.path, each.kind, each.size_bytes, each.modified_ms, "generation", "proof", each.files)
                for each in found if each is not None]

    def take(self, *paths: str) -> list[str | None]:
        planned = self.planned(*paths)
        with held(self.files, "lines", print) as lock:
            self.quarantine.finish_interrupted(print)
            return [outcome.kept for outcome in self.quarantine.take(lock, planned)]

    def restore(self) -> list[str | None]:
        with held(self.files, "lines", print) as lock:
            self.quarantine.finish_interrupted(print)
            return [outcome.kept for outcome in self.quarantine.restore(lock, list(self.quarantine.held()))]

    def content(self) -> dict[str, str | None]:
        return {seen.path: self.files.read(seen.path) for seen in self.tree.walk(skip=quarantined.DIRECTORY)
                if seen.kind is Kind.FILE}


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    url = f"file://{tmp_path}/lines" if request.param == "file" else f"memory://lines-{secrets.token_hex(4)}"
    made = Store(url)
    made.fill()
    return made


@pytest.fixture
def local(tmp_path: Path) -> Store:
    made = Store(f"file://{tmp_path}/lines")
    made.fill()
    return made


def test_what_is_taken_is_listed_with_its_proof_and_comes_back(store: Store) -> None:
    assert store.take() == [None, None, None]
    assert store.content() == {}
    found = list(store.quarantine.held())
    assert {each.taken.path: each.taken.size_bytes for each in found} == {p: len(t) for p, t in FILES.items()}
    assert {(each.taken.rule, each.taken.proof, each.of, each.run) for each in found} == {
        ("generation", "proof", "lines", 1)}
    assert all(each.done_ms is not None for each in found)
    assert store.restore() == [None, None, None]
    assert store.content() == FILES
    assert list(store.quarantine.held()) == []
    assert store.quarantine.runs() == [], "records of a run of which nothing is left are dropped"


def test_times_and_permissions_survive(local: Store, tmp_path: Path) -> None:
    path = tmp_path / "lines" / LOG
    os.utime(path, ns=(1_700_000_000_123_456_789, 1_700_000_000_123_456_789))
    path.chmod(0o640)
    local.take()
    local.restore()
    assert path.stat().st_mtime_ns == 1_700_000_000_123_456_789
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(("change", "said"), [
    (lambda store: store.files.replace(LOG, "received more"), "changed since the plan"),
    (lambda store: store.files.replace(LOG, "RECEIVED"), "written again"),
    (lambda store: store.files.delete(LOG), "it is gone"),
])
def test_what_changed_since_the_plan_is_kept(local: Store, change: object, said: str) -> None:
    planned = local.planned()
    assert callable(change)
    change(local)
    with held(local.files, "lines", print) as lock:
        outcomes = {each.taken.path: each.kept for each in local.quarantine.take(lock, planned)}
    assert said in str(outcomes.pop(LOG))
    assert set(outcomes.values()) == {None}


def test_a_file_that_became_a_link_is_kept(local: Store, tmp_path: Path) -> None:
    planned = local.planned()
    (tmp_path / "precious").write_text("received")
    (tmp_path / "lines" / LOG).unlink()
    (tmp_path / "lines" / LOG).symlink_to(tmp_path / "precious")
    with held(local.files, "lines", print) as lock:
        assert "is a link now" in str(local.quarantine.take(lock, planned)[0].kept)
    assert (tmp_path / "precious").read_text() == "received"


def test_a_folder_that_became_a_link_out_is_refused(local: Store, tmp_path: Path) -> None:
    planned = local.planned(LOG)
    outside = tmp_path / "outside"
    (tmp_path / "lines" / "checkpoint").rename(outside)
    (tmp_path / "lines" / "checkpoint").symlink_to(outside)
    with held(local.files, "lines", print) as lock:
        assert "symbolic link" in str(local.quarantine.take(lock, planned)[0].kept)
    assert (tmp_path / "outside" / LOG.removeprefix("checkpoint/")).read_text() == "received"


def test_nothing_is_overwritten_by_a_restore(store: Store) -> None:
    store.take()
    store.files.replace(LOG, "newer")
    kept = store.restore()
    assert sorted(map(str, kept)) == ["None", "None", "something is at its path again; move that away first"]
    assert store.content() == {**FILES, LOG: "newer"}
    assert [each.taken.path for each in store.quarantine.held()] == [LOG]


def test_a_folder_is_taken_and_removed_as_a_whole(store: Store) -> None:
    assert store.take("checkpoint") == [None]
    (found,) = store.quarantine.held()
    assert (found.taken.path, found.taken.kind, found.taken.size_bytes, found.taken.files) == (
        "checkpoint", Kind.FOLDER, 8, 1)
    assert store.quarantine.remove(found.place)
    assert not store.quarantine.remove(found.place)
    assert list(store.quarantine.held()) == []
    store.quarantine.forget_empty()
    assert store.quarantine.runs() == []
    assert LOG not in store.content()


def test_an_intent_is_read_as_it_was_written() -> None:
    taken = Taken(LOG, Kind.FILE, 8, 1_700_000_000_123, "generation", "its offsets end at 7", undo="{}")
    intent = Intent("lines", 7, 0, "2026-11-20T03:00:00.000+00:00", (taken, taken))
    assert Intent.from_text(intent.to_text()) == intent
    assert intent.at_ms == 1_795_143_600_000


def test_a_run_that_was_killed_between_two_moves_is_known(store: Store) -> None:
    moves = store.planned()
    intent = Intent("lines", 1, 0, "2026-11-20T03:00:00.000+00:00", tuple(moves))
    store.files.replace(quarantined.intent_path(1, 0), intent.to_text())
    store.tree.move(LOG, quarantined.held_path(1, LOG))
    (found,) = store.quarantine.held()
    assert found.done_ms is None, "it is not purged before somebody has looked at that run"
    said: list[str] = []
    assert store.quarantine.finish_interrupted(said.append) == 3
    assert said == ["an earlier cleanup was killed (run 1): of 3 moves 1 were made, 2 were not and are not"]
    assert store.quarantine.finish_interrupted(said.append) == 0
    assert store.restore() == [None]
    assert store.content() == FILES


def test_what_lost_its_record_is_listed_and_comes_back(store: Store) -> None:
    store.take()
    store.files.delete(quarantined.intent_path(1, 0))
    assert {(each.taken.path, each.taken.rule, each.done_ms) for each in store.quarantine.held()} == {
        (path, "unknown", None) for path in FILES}
    store.restore()
    assert store.content() == FILES


# Two at once

def test_two_at_once_exclude_each_other(local: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleaning_lock, "TTL_S", 1.5)
    monkeypatch.setattr(cleaning_lock, "BEAT_S", 0.2)
    with held(local.files, "lines", print) as lock:
        with pytest.raises(RefusedError, match="another cleanup of lines works"), held(local.files, "lines", print):
            pass
        lock.check()
    with held(local.files, "lines", print) as lock:
        assert lock.number == 2


def test_whoever_shows_no_life_is_overtaken_and_stops(local: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleaning_lock, "TTL_S", 0.5)
    monkeypatch.setattr(cleaning_lock, "BEAT_S", 60.0)
    with held(local.files, "lines", print) as old:
        planned = local.planned()
        with held(local.files, "lines", print) as new:
            with pytest.raises(RefusedError, match="has taken over"):
                local.quarantine.take(old, planned)
            assert [each.kept for each in local.quarantine.take(new, planned)] == [None] * 3


def test_old_locks_do_not_pile_up(local: Store) -> None:
    for _ in range(5):
        with held(local.files, "lines", print):
            pass
    assert sorted(local.files.names(cleaning_lock.PLACE)) == ["000005.beat.json", "000005.json"]


# kill -9 at each step

_KILLED = """
import os, signal, sys
from pathlib import Path
import tests_of
store, what = tests_of.Store(sys.argv[1]), sys.argv[2]
os.fsync = lambda _: None  # for a machine that loses power; a process that is killed leaves what it wrote

def one(left):
    def dies_first(act):
        def step(*args, **given):
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return act(*args, **given)
        return step
    for name in ("link", "unlink", "rename", "replace", "mkdir", "rmdir"):
        setattr(os, name, dies_first(getattr(os, name)))
    getattr(store, what)()

for step in range(1000):
    store.fill_whole(what)
    child = os.fork()
    if not child:
        sys.stdout = sys.stderr = open(os.devnull, "w")
        one(step)
        os._exit(0)
    ended = os.waitpid(child, 0)[1]
    assert ended in (0, signal.SIGKILL), ended
    store.whole()
    if ended == 0:
        print(step)
        break
"""


class Whole(Store):
    """Knows how it begins, and that nothing is lost wherever it was interrupted."""

    def fill_whole(self, what: str) -> None:
        """Everything at its place, or in quarantine."""
        self.restore()
        self.fill_missing()
        if what == "restore":
            self.take()

    def fill_missing(self) -> None:
        assert self.content() == FILES or not self.content()
        if not self.content():
            self.fill()

    def whole(self) -> None:
        root = Path(self.url.removeprefix("file://"))
        for path, text in FILES.items():
            held = [each for each in root.glob(f"{quarantined.DIRECTORY}/*/files/{path}")]
            places = [each for each in (root / path, *held) if each.exists()]
            assert places, f"{path} is lost"
            assert all(each.read_text() == text for each in places)
            assert len({each.stat().st_ino for each in places}) == 1, f"{path} is there twice"
        self.take()
        assert self.content() == {}, "the next run finishes"
        self.restore()
        assert self.content() == FILES, "and everything comes back"
        assert list(self.quarantine.held()) == []


@pytest.mark.parametrize("what", ["take", "restore"])
def test_killed_at_each_step_nothing_is_lost_and_the_next_run_finishes(what: str, tmp_path: Path) -> None:
    Whole(f"file://{tmp_path}/lines").fill()
    (tmp_path / "tests_of.py").write_text(
        f"import importlib.util, sys\nspec = importlib.util.spec_from_file_location('kept', {__file__!r})\n"
        "kept = importlib.util.module_from_spec(spec)\nsys.modules['kept'] = kept\nspec.loader.exec_module(kept)\n"
        "Store = kept.Whole\n")
    ran = subprocess.run([sys.executable, "-c", _KILLED, f"file://{tmp_path}/lines", what], cwd=tmp_path, text=True,
                         capture_output=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert int(ran.stdout.splitlines()[-1]) > 15, "so many changes of the file system were each the last one"


def test_a_lock_of_a_process_that_is_gone_costs_no_waiting(local: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CleaningLock, "end", lambda self: self._ended.set())
    with held(local.files, "lines", print):
        pass
    monkeypatch.undo()
    monkeypatch.setattr(cleaning_lock, "_lives", lambda *_: False)
    said: list[str] = []
    with held(local.files, "lines", said.append) as lock:
        assert lock.number == 2
    assert "was killed" in said[0]
