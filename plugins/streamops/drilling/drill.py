"""One drill of one pipeline: preflight, ledger, each fault with its watch, heal, verdict, teardown.

    with OpenFaults(home).alone():
        drill = PipelineDrill(request, pipeline, strikes, …).run()

Whatever ends it early, a signal too, heals first: a fault is written down before it is inflicted, and what is written
down is healed before anything else is done.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from streamops.adapters.connections import Connection, connection
from streamops.adapters.database.drills import Drills
from streamops.adapters.drills import evidence, ledger_files, surroundings
from streamops.adapters.drills.feed import DrillFeed
from streamops.adapters.pipelines.files import state_files
from streamops.declared.pipeline import Pipeline
from streamops.declared.pipelines import Pipelines
from streamops.drilling import inflictions, preflight
from streamops.drilling.backend import Backend
from streamops.drilling.local import identity
from streamops.drilling.open_faults import OpenFaults
from streamops.drilling.scene import Aim, Say, Scene
from streamops.drilling.watch import Watch
from streamops.drills.drill import Drill, DrillState, InflictedFault, state_after
from streamops.drills.faults import How, OpenFault, Strike
from streamops.drills.ledger import Ledger
from streamops.drills.recovery_times import RecoveryTimes, times_of
from streamops.drills.verdict import Verdict
from streamops.errors import RefusedError, StreamopsError, UnavailableError
from streamops.settings import Settings

#: Batches that show before each fault that the pipeline works.
_BATCHES_BEFORE = 2
#: Until a fault's victim works again, over what the pipeline may take to start.
_RECOVERY_S = 120.0
_POLL_S = 0.2


class NotRecoveredError(UnavailableError):
    """The pipeline did not come back from a fault in time."""


@dataclass(frozen=True)
class Request:
    """What is asked for, beside pipeline and faults. `by` is who asks, `rate` in records a second for a canary."""

    declared: Pipelines
    settings: Settings
    backend: Backend
    home: Path
    seed: int
    by: str
    rate: float
    say: Say


class PipelineDrill:
    """One pipeline, the faults for it, and our database. The journal's lock is held by whoever calls."""

    def __init__(self, request: Request, pipeline: Pipeline, strikes: Sequence[Strike], journal: OpenFaults,
                 drills: Drills) -> None:
        self._request = request
        self._pipeline = pipeline
        self._strikes = strikes
        self._journal = journal
        self._drills = drills
        self._say = request.say
        self._faults: list[InflictedFault] = []
        self._number = 0
        self._key = f"{pipeline.name}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"

    def run(self) -> Drill:
        """The drill as it is stored. Raises what keeps it from beginning; what goes wrong later is in it."""
        pipeline, canary = self._pipeline, self._pipeline.drills.canary
        try:
            self._start()
            ledger = ledger_files.path(self._request.home, self._key) if canary else None
            drill = Drill(self._key, pipeline.name, pipeline.approach, self._request.seed, _now(), canary=canary,
                          ledger=str(ledger) if ledger else None, surroundings=surroundings.read(pipeline))
            with self._feeding(ledger) as close:
                self._await_batches()
                preflight.take_point(pipeline, self._say)
                self._require_targets()
                self._number = self._drills.begin(drill)
                self._journal.mark_drill(self._number)
                self._say(f"drill {self._number} ({self._key}): seed {self._request.seed}, "
                          f"{len(self._strikes)} faults on {pipeline.name}")
                self._inflict_and_judge(close)
        except Exception:
            self._stop()
            raise
        except BaseException:
            # Whoever ends this waits for seconds only, and what was inflicted is healed by now.
            self._stop_later()
            raise
        self._stop()
        stored = self._drills.drill(self._number)
        assert stored is not None
        return stored

    def _start(self) -> None:
        """Start a canary that does not run; a drill that was killed may have left it running."""
        request, name = self._request, self._pipeline.name
        if preflight.needs_start(self._pipeline):
            self._journal.mark_started(name)
            preflight.start(request.declared, self._pipeline, request.settings, request.by, self._say)

    def _stop(self) -> None:
        if self._pipeline.name in self._journal.started():
            request = self._request
            preflight.stop(request.declared, self._pipeline, request.settings, request.by, self._say)
            self._journal.unmark_started(self._pipeline.name)

    def _stop_later(self) -> None:
        """Have another process stop the canary; what it does not come to, the next drill does."""
        if self._pipeline.name in self._journal.started():
            subprocess.Popen(
                [sys.executable, "-m", "streamops.cli.main", "stop", self._pipeline.name, "--yes", "--why",
                 "its drill was cut short"], start_new_session=True, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode = 0

    def _inflict_and_judge(self, close: Callable[[], Ledger | None]) -> None:
        """Every fault, then the verdict; whatever happens, the drill has an end in the database."""
        verdict, error = None, None
        try:
            for strike in self._strikes:
                self._strike(strike)
                if self._faults[-1].error is not None:
                    error = f"{strike.fault.name}: {self._faults[-1].error}"
                    break
            verdict = self._verdict(close())
            self._say(verdict.describe())
        except StreamopsError as caught:
            error = str(caught)
        except BaseException as caught:
            with contextlib.suppress(StreamopsError):
                self._finish(DrillState.ENDED, None, f"it was cut short: {type(caught).__name__}")
            raise
        self._finish(state_after(verdict, tuple(self._faults)) if error is None else DrillState.FAILED, verdict, error)

    def _finish(self, state: DrillState, verdict: Verdict | None, error: str | None) -> None:
        self._drills.finish(self._number, state, datetime.now(UTC), verdict, error)
        self._journal.mark_drill(None)
        self._say(f"drill {self._number}: {state}" + (f": {error}" if error else ""))

    @contextlib.contextmanager
    def _feeding(self, ledger: Path | None) -> Iterator[Callable[[], Ledger | None]]:
        """Records that come all the while, and what ends them. A production pipeline has those that come anyway."""
        if ledger is None:
            yield lambda: None
            return
        with DrillFeed.open(self._kafka(), self._pipeline.topics, ledger, drill=self._key,
                            rate=self._request.rate) as feed:
            yield feed.close

    def _kafka(self) -> Connection:
        """Past a proxy between job and broker, which is the job's alone."""
        own = self._pipeline.connections.kafka
        return connection(self._request.backend.around.get(own, own))

    def _await_batches(self) -> None:
        preflight.await_batches(self._pipeline, self._request.settings, _BATCHES_BEFORE, self._say)

    def _require_targets(self) -> None:
        """Raises what keeps any of the faults from being aimed now, before the first of them is inflicted."""
        errors = []
        for strike in {each.fault.name: each for each in self._strikes}.values():
            try:
                inflictions.of(strike.fault).aim(self._scene(strike))
            except StreamopsError as error:
                errors.append(error)
        if errors:
            raise errors[0] if len(errors) == 1 else RefusedError("\n".join(map(str, errors)))

    def _scene(self, strike: Strike) -> Scene:
        request = self._request
        return Scene(self._pipeline, request.backend, request.settings, self._say, strike.chance)

    # One fault

    def _strike(self, strike: Strike) -> None:
        """Inflict one fault and heal it; its times, or why there are none, are stored."""
        fault, infliction = strike.fault, inflictions.of(strike.fault)
        scene = self._scene(strike)
        with Watch(self._pipeline, self._request.settings) as watch:
            self._until(lambda: watch.count >= _BATCHES_BEFORE, f"no batches before {fault.name}")
            # At any moment of a batch.
            time.sleep(scene.chance.uniform(0, 2 * self._pipeline.interval_s))
            aim = infliction.aim(scene)
            noted = InflictedFault(strike.number, str(fault.target), str(fault.how), _now(), _in_words(aim), aim)
            self._faults.append(noted)
            self._drills.plan_fault(self._number, noted)
            opened = self._written_down(strike, aim)
            inflicted_s = time.monotonic()
            try:
                infliction.inject(scene, aim, lambda more: self._note(opened, more))
                if fault.how is How.RESTART:
                    # A receiver's driver goes on until it has processed what it received, a broker until it has led.
                    inflicted_s = time.monotonic()
                self._say(f"{strike.number}: {fault.name} on {noted.target}")
                self._to_database(lambda: self._drills.inflicted(
                    self._number, strike.number, datetime.now(UTC), noted.target, opened.aim))
                if fault.hold_s is not None:
                    time.sleep(fault.hold_s)
            finally:
                heal_one(opened, scene, self._journal)
            self._to_database(lambda: self._drills.healed(self._number, strike.number, datetime.now(UTC)))
            times, error = self._recovered(watch, inflicted_s)
            self._faults[-1] = replace(noted, times=times, error=error)
            self._to_database(lambda: self._drills.measured(self._number, strike.number, times, error))
            self._say(f"{strike.number}: {fault.name}: {error or _times_in_words(times)}")

    def _written_down(self, strike: Strike, aim: Aim) -> OpenFault:
        pid, started = identity()
        opened = OpenFault(f"{self._key}-{strike.number:04d}", strike.fault.name, self._pipeline.name,
                           self._request.backend.name, aim, socket.gethostname(), pid, started, _now(), self._number,
                           strike.number)
        self._journal.open(opened)
        return opened

    def _note(self, opened: OpenFault, more: Aim) -> None:
        opened.aim.update(more)
        self._journal.open(opened)

    def _recovered(self, watch: Watch, inflicted_s: float) -> tuple[RecoveryTimes, str | None]:
        """The times once the pipeline has caught up, or why it did not."""
        limit_s, interval_s = self._pipeline.start_timeout_s + _RECOVERY_S, self._pipeline.interval_s
        deadline_s = time.monotonic() + limit_s
        while (times := times_of(watch.since(inflicted_s), interval_s)).caught_up_s is None:
            if time.monotonic() > deadline_s:
                return times, f"{self._pipeline.name} has not caught up within {limit_s:g} s after it was healed"
            time.sleep(_POLL_S)
        return times, None

    # The verdict

    def _verdict(self, ledger: Ledger | None) -> Verdict:
        files = state_files(self._pipeline)
        if ledger is None:
            return evidence.judge(self._pipeline.name, files, None, None)
        # A pipeline that stands still is judged as well: what it has not come to is named.
        with contextlib.suppress(NotRecoveredError):
            self._until(lambda: evidence.processed_all(files, ledger),
                        "not every acknowledged record is processed")
        return evidence.judge(self._pipeline.name, files, ledger, self._kafka())

    def _until(self, holds: Callable[[], bool], otherwise: str) -> None:
        name, limit_s = self._pipeline.name, self._pipeline.start_timeout_s
        deadline_s = time.monotonic() + limit_s
        while not holds():
            if time.monotonic() > deadline_s:
                raise NotRecoveredError(f"{name}: {otherwise} within {limit_s:g} s", f"See `streamops status {name}`.")
            time.sleep(_POLL_S)

    def _to_database(self, write: Callable[[], None]) -> None:
        """What the journal has as well: a database that is away may be the fault."""
        try:
            write()
        except UnavailableError as error:
            self._say(f"not in the database: {error.found}")


def heal_one(opened: OpenFault, scene: Scene, journal: OpenFaults) -> None:
    """Heal a fault, and forget it once it is healed."""
    inflictions.by_name(opened.fault).heal(scene, opened.aim)
    journal.close(opened)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _in_words(aim: Aim) -> str:
    """What was hit: `kafka-1 (pid 4711)`, `group canary`."""
    victims = [" ".join(filter(None, (each.get("server") or each.get("name") or "", f"pid {each['pid']}"
                                      if "pid" in each else ""))) for each in aim.get("victims", ())]
    if len(victims) > 3:
        return f"{len(victims)} processes"
    return ", ".join(victims) or ", ".join(f"{key} {value}" for key, value in aim.items() if value) or "the cluster"


def _times_in_words(times: RecoveryTimes) -> str:
    def seconds(value: float | None) -> str:
        return "?" if value is None else f"{value:.1f} s"

    return (f"detected {seconds(times.detected_s)}, first new batch {seconds(times.first_batch_s)}, caught up "
            f"{seconds(times.caught_up_s)}, longest gap {seconds(times.longest_gap_s)}")
