"""A receiver pipeline with all that piles up, as drivers would have left it: written by the test, without a job."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from streamops.adapters.connections import Connection
from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.files.storage_options import storage_options
from streamops.adapters.files.trees import open_tree
from streamops.adapters.kafka import consumer_groups
from streamops.cleaning.quarantined import DIRECTORY
from streamops.cleaning.seen import Kind
from streamops.state import batch_log, generations, lease
from streamops.state.batch_log import Entry
from streamops.state.generations import Generation
from streamops.state.lease import Beat, JobState, Lease, Owner, OwnerKind
from streamops.state.offsets import OffsetRange, TopicPartition

from ..unit.segments import segment
from .declared import connected

AT = "2026-11-20T03:00:00+00:00"
ME = Owner(OwnerKind.SHELL)
START_1, START_2 = "checkpoint/000001/000001-001", "checkpoint/000002/000002-001"
OLD_LOG = f"{START_1}/receivedData/0/log-1000-61000"
LOGS = {  # of the current generation: processed, unprocessed, torn, and the newest, which is kept whatever is in it
    f"{START_2}/receivedData/0/log-1000-61000": (10, 20),
    f"{START_2}/receivedData/0/log-61000-121000": (20, 40),
    f"{START_2}/receivedData/0/log-121000-181000": (10, 20),
}
#: What may go, by its rule, without the consumer groups.
GOING = {
    OLD_LOG: "generation",
    f"{START_1}/receivedBlockMetadata/log-1000-61000": "generation",
    f"{START_1}/written_by.json": "generation",
    f"{START_2}/receivedData/0/log-1000-61000": "write_ahead_log",
    "output/_aside/1-9-1/part-00000.parquet": "output_leftover",
    "generations/.000002.json.6b1f.tmp": "checkpoint_file",
}


@dataclass(frozen=True)
class Cleaned:
    """The pipeline `lines` over one partition, processed up to offset 30; generation 2 is the current one."""

    root: Path
    servers: str
    topic: str
    storage: Connection
    files: StateFiles
    more: dict[str, str] = field(default_factory=dict)

    @classmethod
    def made(cls, root: Path, servers: str, topic: str, storage: Connection | None = None) -> Cleaned:
        at = Connection("streamops_storage", "generic", extra={"url": f"file://{root}"})
        if storage is not None:
            at = replace(storage, extra={**storage.extra, "url": f"{storage.extra['url']}/{root.name}-{topic}"})
        found = cls(root, servers, topic, at, StateFiles.at(at, "lines"))
        found.declare()
        found.run("db", "upgrade")
        found.fill()
        return found

    def declare(self, cleanup: str = "min_age_h: 0, leftover_h: 0, code_d: 0, spark_d: 0") -> None:
        (self.root / "pipelines.yaml").write_text(
            "version: 1\n"
            f"topics: {{{self.topic}: {{partitions: 1, replication: 1}}}}\n"
            f"defaults: {{cleanup: {{{cleanup}}}}}\n"
            "pipelines:\n"
            f"  lines: {{approach: receiver, topics: [{self.topic}], transform: identity, sink: {{type: parquet}},\n"
            f"          receiver: {{consumer_group: {self.topic}}}, resources: {{executor_cores: 2, conf: {{\n"
            f"            spark.eventLog.enabled: true, spark.eventLog.dir: 'file://{self.root}/events'}}}}}}\n")

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "STREAMOPS_PIPELINES": str(self.root / "pipelines.yaml"),
            "STREAMOPS_HOME": str(self.root / "home"),
            "AIRFLOW_CONN_KAFKA_DEFAULT": json.dumps(
                {"conn_type": "kafka", "extra": {"bootstrap.servers": self.servers}}),
            "AIRFLOW_CONN_STREAMOPS_STORAGE": json.dumps({
                "conn_type": self.storage.conn_type or "generic", "login": self.storage.login,
                "password": self.storage.password, "extra": self.storage.extra}),
            "AIRFLOW_CONN_SPARK_DEFAULT": "spark://spark%3A%2F%2F127.0.0.1:1?deploy-mode=cluster&rest-port=1"
                                          f"&webui-port=1&work-dir={self.root}/work",
            "AIRFLOW_CONN_STREAMOPS_DB": json.dumps(
                {"conn_type": "generic", "extra": {"url": f"sqlite:///{self.root}/streamops.db"}}),
            **self.more,
        }

    def start(self, *arguments: str, before: Callable[[], object] | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-m", "streamops.cli.main", *arguments], env=self.environment(),
                                text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=before)

    def run(self, *arguments: str, code: int = 0, before: Callable[[], object] | None = None) -> str:
        ran = self.start(*arguments, before=before)
        try:
            out, err = ran.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            ran.kill()  # left alone, it would be found by whatever test runs when it is collected
            ran.communicate()
            raise
        assert ran.returncode == code, f"{ran.returncode}: {out}{err}"
        return out + err

    def lines(self, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
        """What a command with --json prints, without the heads and sums of plans."""
        found = [json.loads(line) for line in self.run(*arguments, "--json", code=code).splitlines()
                 if line.startswith("{")]
        return [line for line in found if "path" in line]

    def plan(self, *names: str) -> dict[str, dict[str, Any]]:
        """Every item of a plan by its path."""
        return {line["path"]: line for line in self.lines("clean", "plan", *names)}

    def content(self) -> dict[str, tuple[str | None, int]]:
        """Every file but those in quarantine: its text, and when it changed (0 where a move changes that)."""
        tree = open_tree(self.files.url, storage_options(self.storage))
        found = {}
        for seen in tree.walk(skip=DIRECTORY):
            if seen.kind is Kind.FILE:
                stream = self.files.open(seen.path)
                assert stream is not None
                with stream:
                    found[seen.path] = (stream.read().decode("latin-1"), seen.modified_ms if tree.keeps_times else 0)
        return found

    def everything(self) -> list[str]:
        """The path of every file, also of those in quarantine."""
        tree = open_tree(self.files.url, storage_options(self.storage))
        return [seen.path for seen in tree.walk() if seen.kind is Kind.FILE]

    def hold_lease(self, epoch: int, state: JobState, driver: str = "driver-1") -> None:
        self.files.write_new(lease.path(epoch), Lease("lines", epoch, driver, ME, "host", 1, AT).to_json())
        self.files.replace(lease.beat_path(epoch), Beat(epoch, AT, state).to_json())

    def fill(self) -> None:
        at = TopicPartition(self.topic, 0)
        self.hold_lease(2, JobState.STOPPED)
        for number, start in ((1, 0), (2, 10)):
            opened = Generation("lines", number, "receiver", {at: start}, "test", AT)
            self.files.write_new(generations.path(number), opened.to_json())
        for number, batch, first, until in ((1, 0, 0, 10), (2, 0, 10, 30)):
            entry = Entry("lines", number, batch, (OffsetRange(*at, first, until),), 1,
                          f"generation={number}/batch={batch}", number, "driver-1", 1, AT, AT, 5)
            self.files.write_new(batch_log.entry_path(number, batch), entry.to_json())
            self.files.replace(f"output/generation={number}/batch={batch}/part-00000.parquet", "rows")
        for path in GOING:
            self.files.replace(path, "{}")
        self.write(OLD_LOG, segment([OffsetRange(*at, 0, 10)]))
        for path, (first, until) in LOGS.items():
            self.write(path, segment([OffsetRange(*at, first, until)]))
        for name in ("3f9a0c1d52ab", "77ab0e1f0c9d"):
            (self.root / "home" / "code" / name).mkdir(parents=True)
            (self.root / "home" / "code" / name / f"streamops-{name}.zip").write_text("zip")
        (self.root / "events").mkdir()
        (self.root / "events" / "app-20261120030000-0001").write_text("{}")
        (self.root / "work" / "app-20261120030000-0001" / "0").mkdir(parents=True)
        (self.root / "work" / "app-20261120030000-0001" / "0" / "stderr").write_text("log")

    def write(self, path: str, content: bytes) -> None:
        """A file of bytes, wherever the state is."""
        store = self.files._store
        store.replace(self.files._absolute(path), content)

    def commit_groups(self) -> list[str]:
        """Groups of three starts: two of generation 1 and 2 that ended, and the newest."""
        names = [f"{self.topic}.1.1.1", f"{self.topic}.2.2.1", f"{self.topic}.2.2.2"]
        with connected(self.servers) as broker:
            for name, offset in zip(names, (10, 20, 30), strict=True):
                consumer_groups.set_to(broker, name, {TopicPartition(self.topic, 0): offset})
        return names

    def group(self, name: str) -> dict[TopicPartition, int]:
        with connected(self.servers) as broker:
            return consumer_groups.offsets_of(broker, name)
