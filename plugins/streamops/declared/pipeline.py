"""One pipeline as its team declares it: validated, complete with defaults, frozen.

Durations are seconds, sizes as a JVM takes them, and the unit is in the name. Addresses and secrets are not here:
`connections` names Airflow connections.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, Strict, model_validator
from pydantic.functional_validators import AfterValidator, BeforeValidator
from pydantic.json_schema import WithJsonSchema
from pydantic_core import PydanticCustomError

from streamops.declared import names
from streamops.declared.problems import Mistake


def _refused(mistake: Mistake) -> PydanticCustomError:
    """A mistake as pydantic carries it: found and repair travel in the error's context."""
    return PydanticCustomError("refused", "{found}", {"found": mistake.found, "repair": mistake.repair})


def _checked(check: Callable[[str], str]) -> AfterValidator:
    """A check of `names` as pydantic wants it."""
    def validate(value: str) -> str:
        try:
            return check(value)
        except Mistake as mistake:
            raise _refused(mistake) from None
    return AfterValidator(validate)


TopicName = Annotated[str, _checked(names.topic_name)]
ConnectionId = Annotated[str, _checked(names.connection_id)]
Memory = Annotated[str, _checked(names.memory)]
Schedule = Annotated[str, _checked(names.schedule)]
FaultKind = Annotated[str, Field(pattern=r"^[a-z][a-z_]*$")]
PositiveSeconds = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """What all parts of pipelines.yaml have in common: no unknown keys, no guessing of types, no change later."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Connections(Section):
    """Ids of the Airflow connections that hold addresses and secrets."""

    kafka: ConnectionId = Field("kafka_default", description="Connection of type kafka, with the client's properties.")
    spark: ConnectionId = Field("spark_default", description="Connection of type spark.")
    storage: ConnectionId = Field("streamops_storage", description="Connection whose extra has the `url` for state.")


class Sink(Section):
    """Where a batch's output goes."""

    type: Literal["parquet", "console"] = Field(description="parquet: files; console: the ten largest rows, printed.")


def _conf_text(value: Any) -> Any:
    """Spark takes settings as text; true and 4 are how YAML writes them."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


ConfText = Annotated[str, BeforeValidator(_conf_text, json_schema_input_type=str | bool | int | float)]


class Resources(Section):
    """What Spark gives the job."""

    driver_memory: Memory = Field("512m", description="Heap of the driver, for example 512m or 1g.")
    driver_cores: int = Field(1, ge=1, le=1024, description="Cores of the driver.")
    executor_memory: Memory = Field("1g", description="Heap of each executor.")
    executor_cores: int = Field(1, ge=1, le=1024, description="Cores of each executor.")
    executors: int = Field(1, ge=1, le=10_000, description="How many executors.")
    conf: dict[str, ConfText] = Field(default_factory=dict, description="Further Spark settings, `spark.…`.")

    @property
    def cores(self) -> int:
        """Of all executors together."""
        return self.executors * self.executor_cores


class Schedules(Section):
    """When the pipeline's operations run (UTC): presets, cron expressions, or null for never."""

    snapshot: Schedule | None = Field("*/5 * * * *", description="Record a recovery point.")
    cleanup: Schedule | None = Field("@daily", description="Clean write-ahead logs and checkpoints.")
    drill: Schedule | None = Field(None, description="Drill recovery: a fault on purpose.")


class Objectives(Section):
    """What the team promises; null promises nothing."""

    lag_s: float | None = Field(60, gt=0, description="How old the oldest unprocessed record may be.")
    recovery_s: float | None = Field(30, gt=0, description="From a crash to the next batch.")
    fault_recovery_s: dict[FaultKind, PositiveSeconds] = Field(
        default_factory=dict, description="The same after one kind of fault, in place of it: {broker: 60}.")
    fault_median_s: dict[FaultKind, PositiveSeconds] = Field(
        default_factory=dict, description="Half of all recoveries from such a fault are no slower: {driver: 12}.")
    data_loss_s: float | None = Field(
        86400, gt=0, description="How near retention may come to records that are not processed: warn so long before.")


class Lag(Section):
    """When lag is too much; what is null follows from the objective and the interval (docs/recovery-points.md)."""

    warn_s: float | None = Field(None, gt=0, description="WARN: age of the oldest unprocessed record; the objective.")
    err_s: float | None = Field(None, gt=0, description="ERR: the same; five times the objective.")
    warn_records: int | None = Field(None, ge=1, description="WARN: records that wait in one partition; no limit.")
    err_records: int | None = Field(None, ge=1, description="ERR: the same; no limit.")
    stop_after_s: float | None = Field(
        None, gt=0, description="STOP, STALL: records wait and none is processed; 240 or three intervals.")


class Points(Section):
    """How long recovery points are kept; the last one, and those that something needs, always."""

    all_for_d: float = Field(1, ge=0, description="Days for which every point is kept.")
    hourly_for_d: float = Field(30, ge=0, description="Days for which the first point of each hour is kept.")
    daily_for_d: float = Field(365, ge=0, description="Days for which the first point of each day is kept.")


class CleanupRules(Section):
    """Which rules are on. What each takes, and by which proof: docs/cleanup-proofs.md."""

    write_ahead_log: bool = Field(True, description="Log segments of the current generation that Spark left.")
    generation: bool = Field(True, description="Checkpoints, logs and plans of older generations.")
    checkpoint_file: bool = Field(True, description="Temporary and backup files that writers left.")
    batch_log: bool = Field(True, description="Batch-log entries that are in a roll-up and in a recovery point.")
    output_leftover: bool = Field(True, description="`_temporary` and `_aside` of attempts that died.")
    code: bool = Field(True, description="Frozen code that no submission uses.")
    orphan: bool = Field(
        False, description="Checkpoints and logs of pipelines that are not declared; other files may declare them.")
    event_log: bool = Field(True, description="Event logs of Spark applications that ended.")
    work_folder: bool = Field(True, description="Folders of a standalone worker, of applications that ended.")
    consumer_group: bool = Field(True, description="Consumer groups of receivers' starts that ended.")
    recovery_point: bool = Field(True, description="Recovery points past `points`.")
    quarantine: bool = Field(True, description="What has been in quarantine for `quarantine_d`.")


class Cleanup(Section):
    """What cleanup takes, by proof; ages are further conditions. Of code, work folders, event logs and orphans, which
    are of no one pipeline, `defaults` decides."""

    quarantine_d: float = Field(7, ge=0, description="Days in quarantine until a thing is deleted for good.")
    min_age_h: float = Field(1, ge=0, description="Hours for which a file must have stayed as it is.")
    leftover_h: float = Field(
        24, ge=0, description="The same for temporary and backup files and `_aside`: longer than any batch takes.")
    code_d: float = Field(30, ge=0, description="Days until frozen code that nothing uses goes.")
    spark_d: float = Field(7, ge=0, description="Days until event logs and work folders of what ended go.")
    orphan_d: float = Field(30, ge=0, description="Days without any sign of a pipeline that is not declared.")
    rules: CleanupRules = Field(default_factory=CleanupRules)


class Drills(Section):
    """Whether recovery may be drilled on this pipeline (docs/drills.md)."""

    canary: bool = Field(
        False, description="Made for drills: they send numbered records into its topics, start it and stop it.")
    allowed: bool = Field(
        False, description="Drills may hit this pipeline although it is no canary, once a person has approved it.")


class Direct(Section):
    """Settings of the direct approach alone."""

    consumer_group: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        None, description="Group that shows the job's progress to Kafka's tools; the pipeline's name when null.")


class Receiver(Section):
    """Settings of the receiver approach alone."""

    receivers: int = Field(1, ge=1, le=1000, description="How many receivers; each keeps one core for itself.")
    consumer_group: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        None, description="Prefix of the consumer groups, one for each start; the pipeline's name when null.")
    write_ahead_log: bool = Field(
        True, description="Keep what was received in the state directory until it is processed; else Kafka alone does.")
    stop_within_s: float = Field(
        30, gt=0, le=3600, description="How long a stop may take to process what was received.")


class Folder(Section):
    """What a pipeline with `source: folder` reads."""

    path: Annotated[str, _checked(names.folder_path)] = Field(
        description="URL or absolute path of the folder; its files are put there by a rename and never changed.")
    mode: Literal["stream", "batch"] = Field(
        "stream", description="stream: every file that comes, once. batch: what is there, then the job ends.")
    top: int = Field(100, ge=1, le=100_000, description="batch: how many of the most frequent words the result names.")


def _starting_offsets(value: Any) -> Any:
    """Offsets get partitions as text without leading zeros, as Spark writes them; a time becomes UTC."""
    try:
        return names.starting_offsets(value)
    except Mistake as mistake:
        raise _refused(mistake) from None


class Pipeline(Section):
    """One streaming job: what it reads, does and writes, and how it is kept running."""

    name: Annotated[str, _checked(names.pipeline_name)]
    source: Literal["kafka", "folder"] = Field("kafka", description="What is read: topics, or the files of a folder.")
    approach: Literal["receiver", "direct"] = Field(
        "direct", description="How Kafka is read; to be stated. direct: tasks read exact offset ranges. "
                              "receiver: a receiver reads as a consumer group.")
    topics: Annotated[tuple[TopicName, ...], Strict(False)] = Field(
        (), min_length=1, description="Topics to read; each is declared under `topics`.")
    folder: Folder | None = Field(None, description="The folder to read, with `source: folder`.")
    transform: Annotated[str, _checked(names.transform)] = Field(
        description="word_count, identity, or module:function in jobs/transforms.")
    sink: Sink
    connections: Connections = Field(default_factory=Connections)
    interval_s: float = Field(
        10, ge=0.1, le=86400, description="Seconds between the starts of two batches; of a folder, 2 when left out.")
    rate_limit: int | None = Field(None, ge=1, description="Records a second, all partitions together; null: no limit.")
    starting_offsets: Annotated[
        str | dict[str, dict[str, int]],
        BeforeValidator(_starting_offsets),
        WithJsonSchema({"anyOf": [
            {"enum": ["earliest", "latest"]},
            {"type": "string", "format": "date-time"},
            {"type": "object", "additionalProperties": {
                "type": "object", "additionalProperties": {"type": "integer", "minimum": 0}}},
        ]}),
    ] = Field("earliest", description="Where the first generation starts: earliest, latest, a time with its zone, "
                                      "or {topic: {partition: offset}}.")
    on_data_loss: Literal["stop", "continue"] = Field(
        "stop", description="When Kafka has deleted records that were not processed.")
    on_bad_record: Literal["fail", "dead_letter"] = Field(
        "fail", description="When the transform cannot process a record.")
    dead_letter_topic: TopicName | None = Field(None, description="Where bad records go; declared under `topics`.")
    max_dead_letters: int = Field(
        1000, ge=1, description="A batch with more bad records stops the job: that is a broken transform.")
    state_directory: Annotated[str, _checked(names.state_directory)] = Field(
        "", description="Folder below the storage connection's URL; the pipeline's name when left out.")
    run: Literal["always", "manual"] = Field(
        "always", description="always: kept running. manual: started by a trigger only.")
    start_timeout_s: float = Field(180, gt=0, le=86400, description="From submission to the first batch.")
    stop_timeout_s: float = Field(
        60, gt=0, le=86400, description="From an order to stop to the driver's end; then it is killed.")
    resources: Resources = Field(default_factory=Resources)
    schedules: Schedules = Field(default_factory=Schedules)
    objectives: Objectives = Field(default_factory=Objectives)
    lag: Lag = Field(default_factory=Lag)
    points: Points = Field(default_factory=Points)
    cleanup: Cleanup = Field(default_factory=Cleanup)
    drills: Drills = Field(default_factory=Drills)
    direct: Direct = Field(default_factory=Direct)
    receiver: Receiver = Field(default_factory=Receiver)

    @property
    def tasks(self) -> int:
        """Tasks that run at once: a task a core, and each receiver keeps one for itself."""
        return self.resources.cores - (self.receiver.receivers if self.approach == "receiver" else 0)

    @property
    def consumer_group(self) -> str:
        """The group that a direct job commits to, or the prefix of those that a receiver job reads as."""
        return (self.direct if self.approach == "direct" else self.receiver).consumer_group or self.name

    @property
    def job(self) -> str:
        """The job that runs it: `direct`, `receiver`, `folder_stream` or `folder_batch`."""
        return self.approach if self.folder is None else f"folder_{self.folder.mode}"

    @model_validator(mode="before")
    @classmethod
    def _defaults_that_follow(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        if data.get("state_directory") is None and "name" in data:
            data = {**data, "state_directory": data["name"]}
        if data.get("source") == "folder":
            folder = data.get("folder")
            ends = isinstance(folder, dict) and folder.get("mode") == "batch"
            data = {"interval_s": 2, **({"run": "manual"} if ends else {}), **data}
        return data


#: Sections of a pipeline whose keys are taken one by one from `defaults`; any other key is taken whole.
MERGED_SECTIONS: dict[str, type[Section]] = {
    "connections": Connections, "resources": Resources, "schedules": Schedules, "objectives": Objectives,
    "lag": Lag, "points": Points, "cleanup": Cleanup, "drills": Drills, "direct": Direct, "receiver": Receiver,
}
#: Keys of `cleanup` and its `rules` that are about what no one pipeline has: `defaults` alone decides them.
SHARED_CLEANUP = frozenset({"code", "code_d", "event_log", "work_folder", "spark_d", "orphan", "orphan_d"})
#: Keys that one approach alone reads.
APPROACH_KEYS = {"direct": "direct", "receiver": "receiver"}
#: Keys that one source alone has a use for.
SOURCE_KEYS = {"folder": "folder"} | dict.fromkeys(
    ("approach", "topics", "rate_limit", "starting_offsets", "on_data_loss", "on_bad_record", "dead_letter_topic",
     "max_dead_letters", "lag", "points", "drills", "direct", "receiver"), "kafka")
