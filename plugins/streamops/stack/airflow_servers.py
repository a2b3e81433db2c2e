"""Airflow's four servers, each a process of its own: API with the page, scheduler, DAG processor, triggerer."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from importlib.metadata import version

from streamops.errors import StreamopsError
from streamops.stack import probes
from streamops.stack.process import Probe, Server
from streamops.stack.settings import StackSettings

API = "airflow-api"


def servers(settings: StackSettings, environment: Mapping[str, str]) -> list[Server]:
    """The four servers. The first to start migrates the database, and the others wait for it."""
    database = Database(settings, environment)
    port = settings.airflow_port

    def server(name: str, *arguments: str, probe: Probe, ports: dict[str, int] | None = None) -> Server:
        return Server(
            name=f"airflow-{name}",
            command=(sys.executable, "-m", "airflow", *arguments),
            environment=environment,
            probe=probe,
            ports=ports or {},
            prepare=database.migrate,
        )

    return [
        server("api", "api-server", probe=probes.airflow_api(port), ports={"airflow_port": port}),
        server("scheduler", "scheduler", "--skip-serve-logs", probe=probes.airflow_job(port, "scheduler")),
        server("dag-processor", "dag-processor", probe=probes.airflow_job(port, "dag_processor")),
        server("triggerer", "triggerer", "--skip-serve-logs", probe=probes.airflow_job(port, "triggerer")),
    ]


class Database:
    """Airflow's own database, migrated once for each version of Airflow."""

    def __init__(self, settings: StackSettings, environment: Mapping[str, str]) -> None:
        self._url = environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
        self._environment = environment
        self._stamp = settings.data / "airflow" / "migrated.json"
        in_a_file = self._url.startswith("sqlite") and settings.airflow_database is None
        self._file = settings.data / "airflow" / "airflow.db" if in_a_file else None
        self._lock = threading.Lock()

    def migrate(self) -> None:
        """Create or upgrade the tables, unless that was done before. Raises StreamopsError with Airflow's words."""
        # The URL may hold a password.
        done = {"airflow": version("apache-airflow"), "database": hashlib.sha256(self._url.encode()).hexdigest()}
        with self._lock:
            if self._stamped() == done and (self._file is None or self._file.exists()):
                return
            self._stamp.parent.mkdir(parents=True, exist_ok=True)
            # Asking Airflow costs 8 s of one core at every start, even when there is nothing to do.
            migration = subprocess.run(
                [sys.executable, "-m", "airflow", "db", "migrate"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            if migration.returncode:
                last = (migration.stdout + migration.stderr)[-1500:]
                raise StreamopsError(f"`airflow db migrate` failed:\n{last}", "Correct the cause, then start again.")
            self._stamp.write_text(json.dumps(done), "utf-8")

    def _stamped(self) -> object:
        try:
            return json.loads(self._stamp.read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return None
