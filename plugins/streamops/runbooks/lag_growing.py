"""### The lag grows

**Symptom**: `streamops lag` shows WARN or ERR; records wait longer and longer although batches complete.

**Steps**
1. It measures for a few seconds, and prints the evidence: what comes and what is processed in a second, how long
   batches take against the interval, how much of that is transform and sink, the limits in pipelines.yaml, each
   partition's lag, how long until retention reaches unprocessed records; status, lease, order, drivers, brokers.
2. It recommends, with the numbers: waiting where it catches up in time; more than that only by your hand, since it
   takes a change of pipelines.yaml or of the code: a higher `rate_limit`, more cores, a faster transform, keys that
   spread over the partitions. Or another runbook: driver_lost, stuck_batch, broker_down.
3. `verify` succeeds when the lag falls. Nothing is ever changed, so nothing is to be approved.

**Is it safe to repeat?** Yes, as often as you like.

**How to undo**: it changes nothing. After a change of pipelines.yaml: `streamops restart PIPELINE`.
"""

from __future__ import annotations

import math

from streamops.runbooks import causes, stuck_batch
from streamops.runbooks.case import Case
from streamops.runbooks.evidence import Evidence
from streamops.runbooks.recommendation import Recommendation
from streamops.runbooks.runbook import WITHIN, Option, PipelineRunbook
from streamops.running.pipeline_status import duration

PAGE = __doc__ or ""

MEASURE = Option("measure_s", float, 5.0, "Seconds for which it measures what comes and what is processed.", minimum=1)

#: A limit counts as reached from this part of it on, and a batch as filling its interval.
_REACHED = 0.9
#: One partition is ahead of the others by so much before keys are blamed: twice may be chance.
_SKEW = 5.0
#: What to allow beyond what comes now, so that what waits is worked off as well.
_HEADROOM = 1.5


class LagGrowing(PipelineRunbook):
    """See the page."""

    name = "lag_growing"
    page = PAGE
    options = (MEASURE, WITHIN)

    def read(self, case: Case) -> Evidence:
        from streamops.runbooks import reading

        return reading.read(case, measure_s=max(case.number(MEASURE.name) or 0.0, 1.0))

    def recommend(self, found: Evidence) -> Recommendation:
        for cause in (causes.unreadable, causes.stopped_by_a_person, causes.restoring, causes.brokers_away,
                      causes.driver_lost, stuck_batch.elsewhere, _unknown, _keeps_up, _catches_up, _skew, _limited,
                      _slow):
            if (recommendation := cause(found)) is not None:
                return recommendation
        return Recommendation.by_hand("find what holds the driver up between its batches", _numbers(found),
                                      "Neither a limit nor the batches themselves explain it: look at the driver's log "
                                      "and the cluster's free cores.", _until_loss(found))


RUNBOOK = LagGrowing()


def _unknown(found: Evidence) -> Recommendation | None:
    if found.status.lag is not None and found.rates is not None:
        return None
    return Recommendation.by_hand("see why the lag is unknown", found.status.lag_unknown or "it was not measured",
                                  f"Then again: streamops runbook lag_growing {found.pipeline.name}")


def _keeps_up(found: Evidence) -> Recommendation | None:
    assert found.rates is not None
    lag, came = found.status.lag or 0, found.rates.came_per_s
    if lag > came * found.pipeline.interval_s * 2:
        return None
    return Recommendation.nothing(f"it keeps up: {lag:,} records wait, and {came:,.0f} come in a second")


def _catches_up(found: Evidence) -> Recommendation | None:
    """It works faster than records come, and is done before retention takes any."""
    assert found.rates is not None
    lag, gain = found.status.lag or 0, found.rates.processed_per_s - found.rates.came_per_s
    if gain <= 0:
        return None
    takes_s = lag / gain
    loss_s = found.point.data_loss_s if found.point is not None else None
    if loss_s is not None and loss_s < takes_s:
        return Recommendation.by_hand("give it more, before retention takes records",
                                      f"it needs {duration(takes_s)} to catch up, and retention reaches unprocessed "
                                      f"records in {duration(loss_s)}; {_numbers(found)}", *_more(found),
                                      "Or keep records longer for now: a higher retention.ms of the topic.")
    return Recommendation.wait("watch it catch up", f"it is done in {duration(takes_s)}: {_numbers(found)}")


def _skew(found: Evidence) -> Recommendation | None:
    """Nearly all that waits is in one partition, which one task reads."""
    lags = found.lags
    if len(lags) < 2:
        return None
    worst = max(lags, key=lambda at: lags[at])
    others = sum(lags.values()) - lags[worst]
    if lags[worst] <= _SKEW * max(others / (len(lags) - 1), 1):
        return None
    return Recommendation.by_hand(
        "spread the keys over the partitions",
        f"{lags[worst]:,} of {sum(lags.values()):,} records wait in {worst}, which one task reads; {_numbers(found)}",
        "More cores do not help one partition: look at the keys that the producer gives.",
        "Split a batch's work: repartition in the transform, where the order within a key does not matter.",
        _until_loss(found))


def _limited(found: Evidence) -> Recommendation | None:
    """It takes what `rate_limit` allows, and has time left."""
    assert found.rates is not None
    limit, known, interval_s = found.pipeline.rate_limit, found.times, found.pipeline.interval_s
    if limit is None or found.rates.processed_per_s < _REACHED * limit:
        return None
    if known is not None and known.usual_s >= _REACHED * interval_s:
        return None
    can = "" if known is None or known.records_per_s is None else (
        f"; its batches take {known.usual_s:.1f} of {interval_s:g} s, so it can do {known.records_per_s:,.0f}")
    wanted = math.ceil(found.rates.came_per_s * _HEADROOM)
    return Recommendation.by_hand(
        f"raise rate_limit from {limit:,} to {wanted:,}", f"{_numbers(found)}: the rate limit of {limit:,} is what it "
        f"takes{can}", f"pipelines.yaml: rate_limit: {wanted}; then: streamops restart {found.pipeline.name}",
        _until_loss(found))


def _slow(found: Evidence) -> Recommendation | None:
    """Batches fill their interval: the work itself is what takes the time."""
    assert found.rates is not None
    known, interval_s = found.times, found.pipeline.interval_s
    if known is None or known.usual_s < _REACHED * interval_s:
        return None
    each = "" if known.records_per_s is None else f", {1000 / known.records_per_s:.2f} ms a record"
    return Recommendation.by_hand(
        "give it more cores, or make the transform faster",
        f"{_numbers(found)}: a batch takes {known.usual_s:.1f} s of its {interval_s:g} s{each}, "
        f"{known.sink_share:.0%} of that in transform and sink", *_more(found), _until_loss(found))


def _more(found: Evidence) -> tuple[str, ...]:
    assert found.rates is not None
    done = found.rates.processed_per_s
    tasks = found.pipeline.tasks
    wanted = math.ceil(tasks * found.rates.came_per_s * _HEADROOM / done) if done > 0 else None
    cores = "pipelines.yaml: more executor_cores"
    if wanted is not None and wanted > tasks:
        cores = (f"pipelines.yaml: executors x executor_cores for about {wanted} tasks at once, {tasks} now, and as "
                 "many partitions")
    return (f"{cores}; then: streamops restart {found.pipeline.name}",
            "A transform that calls another server or sleeps gets no faster by cores: see what it does for a record.")


def _numbers(found: Evidence) -> str:
    assert found.rates is not None
    return (f"{found.rates.came_per_s:,.0f} records come in a second and {found.rates.processed_per_s:,.0f} are "
            f"processed; {found.status.lag or 0:,} wait")


def _until_loss(found: Evidence) -> str:
    loss_s = found.point.data_loss_s if found.point is not None else None
    return "When retention reaches unprocessed records is not known." if loss_s is None else (
        f"Retention reaches unprocessed records in {duration(loss_s)}: what it takes is lost.")
