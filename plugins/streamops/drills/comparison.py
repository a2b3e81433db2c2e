"""Whether recovery got worse: the newest drills beside those before them, and beside what the team promises.

Recoveries are compared within a group: one pipeline, one kind of fault, one way of it. Two things fail:

- A promise broken. `objectives` in pipelines.yaml: every recovery within `recovery_s` (or `fault_recovery_s` of its
  kind), and the median within `fault_median_s`. This also catches what got worse little by little.
- Worse than the last ones by more than noise: Mann and Whitney's test (rank_test.py) says that such times come up by
  chance in less than ALPHA of all comparisons, over all groups together; and the median rose by MATTERS, for a
  difference can be certain and too small to care about.

A pipeline that did not come back has the time `inf`, and so is slower than any other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isinf
from typing import Any, NamedTuple

from streamops.drills.drill import Drill, DrillState
from streamops.drills.rank_test import holm, least_p, median, p_of_worse

#: One nightly comparison in a hundred may cry wolf: three or four a year.
ALPHA = 0.01
#: A tenth: less than what one more batch interval makes out, and nobody is woken up for it.
MATTERS = 1.1
#: Earlier recoveries that new ones are compared with. Ten runs of three nights; more would blur an older change in.
LAST = 30


class Group(NamedTuple):
    """What is compared with each other."""

    kind: str
    mode: str
    approach: str
    pipeline: str

    def __str__(self) -> str:
        return f"{self.kind} {self.mode} of {self.pipeline} ({self.approach})"


@dataclass(frozen=True)
class Recovery:
    """One fault survived, or not: `first_batch_s` is None then. `version` is that of everything it ran on."""

    group: Group
    drill: int
    fault: int
    at: str
    version: str
    detected_s: float | None
    first_batch_s: float | None
    caught_up_s: float | None

    @property
    def time_s(self) -> float:
        return inf if self.first_batch_s is None else self.first_batch_s


@dataclass(frozen=True)
class Promise:
    """What `objectives` say of a pipeline's recovery; None and a kind that is missing promise nothing."""

    recovery_s: float | None = None
    fault_recovery_s: Mapping[str, float] = field(default_factory=dict)
    fault_median_s: Mapping[str, float] = field(default_factory=dict)

    def longest_s(self, kind: str) -> float | None:
        return self.fault_recovery_s.get(kind, self.recovery_s)


@dataclass(frozen=True)
class Summary:
    """Some recoveries in numbers, seconds; `inf` is never. Detected and caught up are medians of what is known."""

    count: int
    came_back: int
    median_s: float
    worst_s: float
    detected_s: float | None
    caught_up_s: float | None

    @classmethod
    def of(cls, recoveries: Sequence[Recovery]) -> Summary:
        """At least one recovery."""
        times = [each.time_s for each in recoveries]
        detected = [each.detected_s for each in recoveries if each.detected_s is not None]
        caught_up = [each.caught_up_s for each in recoveries if each.caught_up_s is not None]
        return cls(len(times), sum(not isinf(each) for each in times), median(times), max(times),
                   median(detected) if detected else None, median(caught_up) if caught_up else None)

    def as_dict(self) -> dict[str, Any]:
        """For JSON, where never is null."""
        return {
            "count": self.count, "came_back": self.came_back, "median_s": _finite(self.median_s),
            "worst_s": _finite(self.worst_s), "detected_median_s": self.detected_s,
            "caught_up_median_s": self.caught_up_s}


@dataclass(frozen=True)
class Compared:
    """One group: the new recoveries and the ones before, and why the gate fails for it, in words.

    `chance` is that of times so high by noise alone, adjusted for all groups; None where there is nothing before.
    `can_tell` is whether there are enough of both for any difference to be told from noise.
    """

    group: Group
    new: tuple[Recovery, ...]
    before: tuple[Recovery, ...]
    promised_s: float | None
    promised_median_s: float | None
    chance: float | None
    can_tell: bool
    failures: tuple[str, ...]

    @property
    def by_version(self) -> dict[str, Summary]:
        """The recoveries of each version, oldest first, the new ones among them."""
        versions: dict[str, list[Recovery]] = defaultdict(list)
        for each in sorted([*self.before, *self.new], key=lambda each: each.at):
            versions[each.version].append(each)
        return {version: Summary.of(each) for version, each in versions.items()}

    def as_dict(self) -> dict[str, Any]:
        return {
            **self.group._asdict(), "new": Summary.of(self.new).as_dict(),
            "before": Summary.of(self.before).as_dict() if self.before else None,
            "versions": {version: summary.as_dict() for version, summary in self.by_version.items()},
            "promised_s": self.promised_s, "promised_median_s": self.promised_median_s, "chance": self.chance,
            "can_tell": self.can_tell, "failures": list(self.failures)}


@dataclass(frozen=True)
class Comparison:
    """All groups that the new drills have, in the order of fault, mode and approach."""

    groups: tuple[Compared, ...]
    drills: tuple[int, ...]

    @property
    def failures(self) -> tuple[str, ...]:
        return tuple(f"{each.group}: {failure}" for each in self.groups for failure in each.failures)

    def as_dict(self) -> dict[str, Any]:
        return {"drills": list(self.drills), "passed": not self.failures, "failures": list(self.failures),
                "groups": [each.as_dict() for each in self.groups]}


def recoveries_of(drills: Iterable[Drill]) -> list[Recovery]:
    """Every fault that was inflicted in drills that came to their end, oldest first.

    A drill that was cut short says nothing of how long the recovery that it did not wait for would have taken; nor does
    a fault that could not be inflicted.
    """
    found = [
        Recovery(
            Group(fault.kind, fault.mode, drill.approach, drill.pipeline), drill.number or 0, fault.number,
            fault.inflicted_at, version_of(drill.surroundings.versions), fault.times.detected_s,
            fault.times.first_batch_s, fault.times.caught_up_s)
        for drill in drills if drill.state in (DrillState.PASSED, DrillState.FAILED)
        for fault in drill.faults if fault.inflicted_at is not None]
    return sorted(found, key=lambda each: (each.at, each.drill, each.fault))


def version_of(versions: Mapping[str, str]) -> str:
    """What a comparison by version tells apart: `streamops 0.1.0, spark 4.2.0, kafka 4.3, airflow 3.3.2`."""
    programs = ("streamops", "spark", "kafka", "airflow")
    return ", ".join(f"{name} {versions[name]}" for name in programs if name in versions) or "unknown"


def newest(recoveries: Iterable[Recovery]) -> set[int]:
    """The last drill of each pipeline: what is judged when nobody says which."""
    last: dict[str, int] = {}
    for each in sorted(recoveries, key=lambda each: (each.at, each.drill)):
        last[each.group.pipeline] = each.drill
    return set(last.values())


def compare(
    recoveries: Sequence[Recovery], promises: Mapping[str, Promise], new: Collection[int], last: int = LAST,
    against: str | None = None,
) -> Comparison:
    """The recoveries of the drills `new` beside the `last` ones before them in each group.

    `promises` are by pipeline. `against` leaves before only what ran on versions whose text holds it.
    """
    groups: dict[Group, list[Recovery]] = defaultdict(list)
    for each in sorted(recoveries, key=lambda each: (each.at, each.drill, each.fault)):
        groups[each.group].append(each)
    pairs: dict[Group, tuple[list[Recovery], list[Recovery]]] = {}
    for group, members in sorted(groups.items()):
        judged = [each for each in members if each.drill in new]
        if judged:
            older = [each for each in members if each.drill not in new and each.at < judged[0].at
                     and (against is None or against in each.version)]
            pairs[group] = judged, older[-last:]
    tested = [group for group, (_, before) in pairs.items() if before]
    chances = dict(zip(tested, holm([
        p_of_worse([each.time_s for each in pairs[group][0]], [each.time_s for each in pairs[group][1]])
        for group in tested]), strict=True))
    return Comparison(tuple(
        _compared(group, judged, before, promises.get(group.pipeline, Promise()), chances.get(group), len(tested))
        for group, (judged, before) in pairs.items()), tuple(sorted(new)))


def _compared(
    group: Group, new: Sequence[Recovery], before: Sequence[Recovery], promise: Promise, chance: float | None,
    tests: int,
) -> Compared:
    longest_s, median_s = promise.longest_s(group.kind), promise.fault_median_s.get(group.kind)
    mine = Summary.of(new)
    failures = []
    if mine.came_back < mine.count:
        failures.append(f"{mine.count - mine.came_back} of {mine.count} times it did not come back")
    slow = [each for each in new if longest_s is not None and longest_s < each.time_s < inf]
    if slow:
        failures.append(f"{len(slow)} of {mine.count} recoveries took longer than the objective of {longest_s:g} s: "
                        f"the worst {max(each.time_s for each in slow):.1f} s")
    if median_s is not None and mine.median_s > median_s:
        failures.append(f"the median is {seconds(mine.median_s)}, over the objective of {median_s:g} s")
    if chance is not None and chance < ALPHA:
        was_s = median([each.time_s for each in before])
        if mine.median_s > was_s * MATTERS:
            failures.append(f"slower than the last {len(before)}: median {seconds(mine.median_s)} after "
                            f"{seconds(was_s)}, by noise alone in {chance:.2g} of all comparisons")
    return Compared(group, tuple(new), tuple(before), longest_s, median_s, chance,
                    least_p(len(new), len(before)) * tests < ALPHA, tuple(failures))


def seconds(value: float | None) -> str:
    """`12.3 s`, `never`, or `?` where it is not known."""
    if value is None:
        return "?"
    return "never" if isinf(value) else f"{value:.1f} s"


def _finite(value: float) -> float | None:
    return None if isinf(value) else value
