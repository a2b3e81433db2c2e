"""What must hold between the parts of pipelines.yaml, once each part is right by itself.

Every rule is a generator of `(path, found, repair)` over all pipelines and topics. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from streamops.declared.explanations import missing_key
from streamops.declared.pipeline import APPROACH_KEYS, SHARED_CLEANUP, SOURCE_KEYS, Pipeline
from streamops.declared.problems import Path, nearest
from streamops.declared.topics import Topic

Finding = tuple[Path, str, str]

#: Spark settings that streamops itself sets, and the key that decides them.
_OWNED_CONF = {
    "spark.driver.memory": "resources.driver_memory",
    "spark.driver.cores": "resources.driver_cores",
    "spark.executor.memory": "resources.executor_memory",
    "spark.executor.cores": "resources.executor_cores",
    "spark.executor.instances": "resources.executors",
    "spark.cores.max": "resources.executors and resources.executor_cores",
    "spark.master": "connections.spark",
    "spark.submit.deployMode": "connections.spark",
    "spark.driver.supervise": "run",
}
_SOURCES = {"kafka": "Kafka", "folder": "a folder"}
_SECRET_CONF = re.compile(r"password|secret|access\.key|session\.token|jaas|credential(?!s\.provider)")


@dataclass(frozen=True)
class Declared:
    """What the file declares. `topic_names` has those topics too that are wrong in themselves; `written` is each
    pipeline's entry as it stands in the file, without defaults."""

    pipelines: Mapping[str, Pipeline]
    topics: Mapping[str, Topic]
    topic_names: frozenset[str]
    written: Mapping[str, Mapping[str, Any]]


def contradictions(declared: Declared) -> Iterator[Finding]:
    """Every rule that is broken, in no particular order."""
    for rule in _RULES:
        yield from rule(declared)


def _topics_are_declared(declared: Declared) -> Iterator[Finding]:
    for name, pipeline in declared.pipelines.items():
        named: list[tuple[Path, str]] = [(("topics", index), topic) for index, topic in enumerate(pipeline.topics)]
        if pipeline.dead_letter_topic is not None:
            named.append((("dead_letter_topic",), pipeline.dead_letter_topic))
        for path, topic in named:
            if topic not in declared.topic_names:
                close = nearest(topic, declared.topic_names)
                yield (("pipelines", name, *path), f"`{name}` uses the topic `{topic}`, which is not declared",
                       f"Write `{close}`, or declare `{topic}` under `topics`." if close else
                       f"Declare it under `topics`: `{topic}: {{partitions: 4, replication: 1}}`.")


def _topics_are_named_once(declared: Declared) -> Iterator[Finding]:
    for name, pipeline in declared.pipelines.items():
        for index, topic in enumerate(pipeline.topics):
            if topic in pipeline.topics[:index]:
                yield ("pipelines", name, "topics", index), f"`{name}` lists the topic `{topic}` twice", "Keep one."


def _state_is_not_shared(declared: Declared) -> Iterator[Finding]:
    """Two drivers in one state directory would take each other's checkpoint, lease and output for their own."""
    pipelines = list(declared.pipelines.items())
    for index, (name, pipeline) in enumerate(pipelines):
        for other, before in pipelines[:index]:
            if pipeline.connections.storage != before.connections.storage:
                continue
            inner, outer = f"{pipeline.state_directory}/", f"{before.state_directory}/"
            if inner.startswith(outer) or outer.startswith(inner):
                how = "have the same state directory" if inner == outer else "have state directories inside each other"
                yield (("pipelines", name, "state_directory"),
                       f"`{name}` and `{other}` {how}: `{pipeline.state_directory}` and `{before.state_directory}`",
                       f"Give each its own: leave `state_directory` out to have `{name}`.")


def _dead_letters_have_a_place(declared: Declared) -> Iterator[Finding]:
    for name, pipeline in declared.pipelines.items():
        topic, path = pipeline.dead_letter_topic, ("pipelines", name, "dead_letter_topic")
        if pipeline.on_bad_record == "dead_letter":
            if topic is None:
                yield (("pipelines", name, "on_bad_record"), f"`{name}` sends bad records to a topic, and names none",
                       f"Add `dead_letter_topic: {name}_dead_letters`, and declare that topic.")
            elif topic in pipeline.topics:
                yield (path, f"`{name}` sends bad records to `{topic}`, which it reads: they would come round forever",
                       f"Name another topic, for example `{topic}_dead_letters`, and declare it.")
        else:
            for key in ("dead_letter_topic", "max_dead_letters"):
                if declared.written[name].get(key) is not None:
                    yield (("pipelines", name, key), f"`{key}` of `{name}` does nothing: its bad records stop the job",
                           "Write `on_bad_record: dead_letter`, or remove the key.")


def _starting_offsets_are_whole(declared: Declared) -> Iterator[Finding]:
    """Spark's source wants every partition of every topic; one that is left out would be guessed."""
    for name, pipeline in declared.pipelines.items():
        if not isinstance(pipeline.starting_offsets, dict):
            continue
        path: Path = ("pipelines", name, "starting_offsets")
        for topic, offsets in pipeline.starting_offsets.items():
            if topic not in pipeline.topics:
                close = nearest(topic, pipeline.topics)
                yield ((*path, topic), f"`{name}` has starting offsets for `{topic}`, which it does not read",
                       f"Write `{close}`." if close else f"Remove them, or add `{topic}` to its `topics`.")
            elif topic in declared.topics:
                wanted = {str(number) for number in range(declared.topics[topic].partitions)}
                if extra := sorted(set(offsets) - wanted, key=int):
                    yield ((*path, topic), f"`{topic}` has {len(wanted)} partitions, and no partition {extra[0]}",
                           f"Partitions are counted from 0: use 0 to {len(wanted) - 1}.")
                if missing := sorted(wanted - set(offsets), key=int):
                    yield ((*path, topic), f"the starting offsets of `{topic}` leave out partition "
                           f"{', '.join(missing[:10])}", f"State every partition, for example `{missing[0]}: 0`.")
        for topic in pipeline.topics:
            if topic not in pipeline.starting_offsets:
                yield (path, f"`{name}` has no starting offsets for `{topic}`, which it reads",
                       f"Add `{topic}: {{0: 0, …}}` with every partition, or write `earliest` for all.")


def _each_approach_has_its_keys(declared: Declared) -> Iterator[Finding]:
    for name, pipeline in declared.pipelines.items():
        for key, approach in APPROACH_KEYS.items():
            if key in declared.written[name] and pipeline.approach != approach:
                yield (("pipelines", name, key), f"`{key}` is read by the {approach} approach alone, and `{name}` is "
                       f"{pipeline.approach}", f"Remove it, or write `approach: {approach}`.")


def _each_source_has_its_keys(declared: Declared) -> Iterator[Finding]:
    needed = {"kafka": ("approach", "topics"), "folder": ("folder",)}
    for name, pipeline in declared.pipelines.items():
        for key, source in SOURCE_KEYS.items():
            if key in declared.written[name] and pipeline.source != source:
                yield (("pipelines", name, key), f"`{key}` is about {_SOURCES[source]}, and `{name}` reads "
                       f"{_SOURCES[pipeline.source]}", f"Remove it, or write `source: {source}`.")
        for key in needed[pipeline.source]:
            if key not in pipeline.model_fields_set:
                yield (("pipelines", name, key), *missing_key(("pipelines", name), key))


def _a_batch_over_a_folder_counts_words_and_ends(declared: Declared) -> Iterator[Finding]:
    for name, pipeline in declared.pipelines.items():
        folder, written = pipeline.folder, declared.written[name]
        if folder is None:
            continue
        if folder.mode == "stream":
            if "top" in folder.model_fields_set:
                yield (("pipelines", name, "folder", "top"), f"`top` is read with `mode: batch` alone, and `{name}` is "
                       "a stream", f"Remove it: `streamops counts {name} --top {folder.top}` shows as many.")
            continue
        if pipeline.transform != "word_count":
            yield (("pipelines", name, "transform"), f"`{name}` is a batch over a folder, whose result is counted "
                   f"words, and its transform is `{pipeline.transform}`",
                   "Write `transform: word_count`, or `mode: stream`.")
        if written.get("run") == "always":
            yield (("pipelines", name, "run"), f"`{name}` ends by itself, and would be started again without end",
                   "Write `run: manual`, or `mode: stream`.")
        if "interval_s" in written:
            yield (("pipelines", name, "interval_s"), f"`{name}` is one batch, and has no interval",
                   "Remove it, or write `mode: stream`.")


def _groups_are_not_shared(declared: Declared) -> Iterator[Finding]:
    """Two direct jobs that commit to one group would each undo what the other shows."""
    users: dict[tuple[str, str], str] = {}
    for name, pipeline in declared.pipelines.items():
        if pipeline.job != "direct":
            continue
        other = users.setdefault((pipeline.connections.kafka, pipeline.consumer_group), name)
        if other != name and set(pipeline.topics) & set(declared.pipelines[other].topics):
            yield (("pipelines", name, "direct", "consumer_group"),
                   f"`{name}` and `{other}` show their progress in the same group: `{pipeline.consumer_group}`",
                   f"Give each its own: leave `consumer_group` out to have `{name}`.")


def _lag_thresholds_rise(declared: Declared) -> Iterator[Finding]:
    for name, pipeline in declared.pipelines.items():
        for unit in ("s", "records"):
            warn, err = (getattr(pipeline.lag, f"{kind}_{unit}") for kind in ("warn", "err"))
            if warn is not None and err is not None and err < warn:
                yield (("pipelines", name, "lag", f"err_{unit}"), f"`{name}` would be at ERR ({err:g}) before it is at "
                       f"WARN ({warn:g})", f"Write at least {warn:g}, or a lower `warn_{unit}`.")


def _retention_leaves_time(declared: Declared) -> Iterator[Finding]:
    """A record is as far from deletion as `retention.ms` at most, in the moment in which it is written."""
    for name, pipeline in declared.pipelines.items():
        limit_s = pipeline.objectives.data_loss_s
        for topic in pipeline.topics:
            kept_ms = declared.topics[topic].configs.get("retention.ms") if topic in declared.topics else None
            if limit_s is not None and kept_ms is not None and 0 <= int(kept_ms) <= limit_s * 1000:
                yield (("pipelines", name, "objectives", "data_loss_s"), f"`{name}` is to be warned {limit_s:g} s "
                       f"before retention takes a record, and `{topic}` keeps records for {int(kept_ms) / 1000:g} s",
                       f"Write less, for example {int(kept_ms) / 2000:g}, or a higher `retention.ms`.")


def _receivers_leave_a_core(declared: Declared) -> Iterator[Finding]:
    """A receiver is a task that never ends: without one more core no batch is ever processed."""
    for name, pipeline in declared.pipelines.items():
        receivers = pipeline.receiver.receivers
        if pipeline.approach == "receiver" and pipeline.resources.cores <= receivers:
            yield (("pipelines", name, "resources"), f"the receivers of `{name}` keep one core each and leave none: "
                   f"receivers {receivers}, executor cores {pipeline.resources.cores}",
                   f"Write `executor_cores: {receivers + 1}`, or more executors.")


def _conf_is_sparks(declared: Declared) -> Iterator[Finding]:
    for name, pipeline in declared.pipelines.items():
        for key in pipeline.resources.conf:
            path: Path = ("pipelines", name, "resources", "conf", key)
            if _SECRET_CONF.search(key):
                yield (path, f"`{key}` is a secret's place, and secrets are not kept in this file",
                       "Put it into the extra of the Airflow connection that `connections` names, and remove it here.")
            elif not key.startswith("spark."):
                yield (path, f"`{key}` is not a Spark setting: Spark ignores names that do not begin with `spark.`",
                       f"Write `spark.{key}`, or for Hadoop's settings `spark.hadoop.{key}`.")
            elif key in _OWNED_CONF:
                yield path, f"`{key}` is set by streamops", f"Use `{_OWNED_CONF[key]}` instead."


def _cleanup_of_all_is_in_defaults(declared: Declared) -> Iterator[Finding]:
    """Code, event logs and work folders are of all pipelines, and an orphan is of none."""
    for name, written in declared.written.items():
        own = written.get("cleanup")
        rules = own.get("rules") if isinstance(own, dict) else None
        for keys, path in ((own, ("cleanup",)), (rules, ("cleanup", "rules"))):
            for key in sorted(SHARED_CLEANUP & keys.keys()) if isinstance(keys, dict) else ():
                yield (("pipelines", name, *path, key), f"`{key}` of `{name}` does nothing: it is about what all "
                       "pipelines share, or none has", f"Write it under `defaults`: `defaults: {{{': {'.join(path)}: "
                       f"{{{key}: …}}{'}' * len(path)}`.")


def _canaries_stand_apart(declared: Declared) -> Iterator[Finding]:
    """A drill sends records of its own into a canary's topics, and looks for each of them in its sink."""
    for name, pipeline in declared.pipelines.items():
        if not pipeline.drills.canary:
            continue
        path: Path = ("pipelines", name)
        if pipeline.transform != "identity" or pipeline.sink.type != "parquet":
            yield ((*path, "transform"), f"`{name}` is a canary, and its sink does not show each record as it came",
                   "Write `transform: identity` and `sink: {type: parquet}`, or remove `drills: {canary: true}`.")
        for other, beside in declared.pipelines.items():
            if not beside.drills.canary and (shared := sorted(set(pipeline.topics) & set(beside.topics))):
                yield ((*path, "topics"), f"`{name}` is a canary and reads `{shared[0]}`, as `{other}` does, which is "
                       "none: the records of drills would be in its output", f"Give `{name}` a topic of its own.")


def _topics_fit_together(declared: Declared) -> Iterator[Finding]:
    """Kafka refuses `a.b` beside `a_b`: its metrics could not tell them apart."""
    first: dict[str, str] = {}
    for name, topic in declared.topics.items():
        if (other := first.setdefault(name.replace(".", "_"), name)) != name:
            yield (("topics", name), f"Kafka cannot have both `{name}` and `{other}`: they differ in `.` and `_` alone",
                   "Rename one of them.")
        least = topic.configs.get("min.insync.replicas")
        if least is not None and int(least) > topic.replication:
            yield (("topics", name, "configs", "min.insync.replicas"), f"`{name}` wants {least} replicas in sync and "
                   f"has {topic.replication}: every write with acks=all would fail",
                   f"Write at most {topic.replication}, or raise `replication`.")


_RULES: tuple[Callable[[Declared], Iterator[Finding]], ...] = (
    _topics_are_declared, _topics_are_named_once, _topics_fit_together, _state_is_not_shared,
    _dead_letters_have_a_place, _starting_offsets_are_whole, _each_approach_has_its_keys, _each_source_has_its_keys,
    _a_batch_over_a_folder_counts_words_and_ends, _receivers_leave_a_core, _groups_are_not_shared,
    _lag_thresholds_rise, _canaries_stand_apart, _retention_leaves_time, _conf_is_sparks,
    _cleanup_of_all_is_in_defaults,
)
