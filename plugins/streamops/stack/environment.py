"""The environment of the stack's servers, and of a client that wants to reach them.

Addresses travel as Airflow connections, in the variables that Airflow itself reads, so that a DAG, the command line
and a test take them from one place. `up` writes the client's variables to `<data>/env`, KEY=VALUE lines for its owner.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from urllib.parse import quote

from streamops.adapters.spark.install import spark_home
from streamops.settings import Settings, project_root
from streamops.stack import airflow_database, hdfs
from streamops.stack.credentials import Credentials, write_private
from streamops.stack.settings import LOOPBACK, StackSettings

#: Variables of the caller's shell that would bend a server or send it elsewhere.
_FOREIGN = ("AIRFLOW__", "_AIRFLOW_", "AIRFLOW_CTX_", "SPARK_",
            "PYSPARK_", "KAFKA_", "HADOOP_", "YARN_", "STREAMOPS_", "PYTEST_", "COV_")
_FOREIGN_NAMES = frozenset(
    {"AIRFLOW_HOME", "AIRFLOW_CONFIG", "PYTHONPATH", "PYTHONHOME", "CLASSPATH", "JDK_JAVA_OPTIONS"}
)


def connections(settings: StackSettings, credentials: Credentials) -> dict[str, str]:
    """The stack's Airflow connections: `{"AIRFLOW_CONN_KAFKA_DEFAULT": "…", …}`."""
    kafka = {"bootstrap.servers": settings.bootstrap_servers, "security.protocol": "PLAINTEXT"}
    return {
        "AIRFLOW_CONN_KAFKA_DEFAULT": json.dumps({"conn_type": "kafka", "extra": kafka}),
        # The same brokers through the proxy, when it is up: what drills cut.
        "AIRFLOW_CONN_KAFKA_PROXIED": json.dumps(
            {"conn_type": "kafka", "extra": {**kafka, "bootstrap.servers": settings.proxied_servers}}
        ),
        "AIRFLOW_CONN_SPARK_DEFAULT": _spark(settings),
        "AIRFLOW_CONN_STREAMOPS_STORAGE": json.dumps(
            {"conn_type": "generic", "extra": {"url": f"file://{settings.streams}"}}
        ),
        # The embedded HDFS, when it is up; WebHDFS has a port of its own.
        "AIRFLOW_CONN_STREAMOPS_HDFS": json.dumps(
            {
                "conn_type": "generic",
                "extra": {"url": f"{hdfs.url(settings)}/streams", "options": {"port": settings.hdfs_http_port}},
            }
        ),
        "AIRFLOW_CONN_STREAMOPS_DB": json.dumps(
            {
                "conn_type": "generic",
                "extra": {"url": settings.database or f"sqlite:///{settings.data / 'streamops.db'}"},
            }
        ),
        # Airflow's own API, for commands at a shell.
        "AIRFLOW_CONN_STREAMOPS_AIRFLOW": (
            f"http://admin:{quote(credentials.password, safe='')}@{LOOPBACK}:{settings.airflow_port}"
        ),
    }


def _spark(settings: StackSettings) -> str:
    """One master by its ports, as most have it; two by URLs, since on one machine their ports differ."""
    # For the cleanup: work folders of what ended, on the same disk.
    work = f"&work-dir={quote(str(settings.data / 'spark' / 'work'), safe='')}"
    if settings.spark_masters == 1:
        master = quote(f"spark://{LOOPBACK}", safe="")
        return (f"spark://{master}:{settings.spark_master_port}?deploy-mode=cluster&rest-port={settings.spark_rest_port}"
                f"&webui-port={settings.spark_master_ui_port}{work}")
    rest, ui = (quote(",".join(f"http://{LOOPBACK}:{each}" for each in settings.of_each_master(port)), safe="")
                for port in (settings.spark_rest_port, settings.spark_master_ui_port))
    return (f"spark://{quote(settings.spark_master_url, safe='')}?deploy-mode=cluster&rest-endpoints={rest}"
            f"&webui-endpoints={ui}{work}")


def airflow(settings: StackSettings, credentials: Credentials) -> dict[str, str]:
    """Airflow's configuration, as AIRFLOW__SECTION__KEY. Further options belong into `<data>/airflow/airflow.cfg`."""
    home = settings.data / "airflow"
    sections: dict[str, dict[str, object]] = {
        "core": {
            "dags_folder": settings.dags,
            "plugins_folder": project_root() / "plugins",
            "load_examples": False,
            "executor": "LocalExecutor",
            "parallelism": settings.airflow_parallelism,
            "fernet_key": credentials.fernet_key,
            # Tasks reach the API at its real port; Airflow guesses 8080 whatever api.port says.
            "execution_api_server_url": f"{settings.airflow_url}/execution/",
            "simple_auth_manager_users": "admin:admin",
            "simple_auth_manager_passwords_file": Credentials.passwords_file(settings.data),
            # Asking the system for the full host name takes seconds on a laptop that changes networks.
            "hostname_callable": "streamops.stack.settings.hostname",
        },
        "database": {"sql_alchemy_conn": database_url(settings, credentials)},
        "api": {
            "host": LOOPBACK,
            "port": settings.airflow_port,
            "base_url": settings.airflow_url,
            "secret_key": credentials.api_secret_key,
            "workers": 1,
        },
        "api_auth": {"jwt_secret": credentials.jwt_secret},
        "dag_processor": {
            # A new or changed DAG shows after seconds. Every 5 s would cost 7 % of a core, every 10 s costs half.
            "refresh_interval": 10,
            "min_file_process_interval": 10,
            "parsing_processes": 1,
        },
        "logging": {
            "base_log_folder": home / "logs",
            "dag_processor_child_process_log_directory": home / "logs" / "dag_processor",
            "colored_console_log": False,
            # The log servers would listen on every address whatever api.host says, so they are not started: all
            # servers share this disk. Port 1 keeps the API from asking another Airflow's log server on 8793.
            "worker_log_server_port": 1,
            "trigger_log_server_port": 1,
        },
        # Tasks outlive an API that is started again, and those of a scheduler that was faster than the API wait for it:
        # by default a task gives up after 5 s without an answer, or 15 s without a heartbeat.
        "workers": {
            "execution_api_retries": 30,
            "execution_api_retry_wait_max": 5,
            "execution_api_timeout": 30,
            "max_failed_heartbeats": 24,
        },
        "usage_data_collection": {"enabled": False},
    }
    variables = {
        f"AIRFLOW__{section.upper()}__{key.upper()}": str(value)
        for section, options in sections.items()
        for key, value in options.items()
    }
    return {"AIRFLOW_HOME": str(home), **variables}


def database_url(settings: StackSettings, credentials: Credentials) -> str:
    """SQLAlchemy URL of Airflow's database."""
    if settings.airflow_postgresql:
        return airflow_database.url(settings, credentials.password)
    if settings.airflow_database is not None:
        # Where a URL names no driver, SQLAlchemy 2.1 takes psycopg 3; Airflow is tested with psycopg2.
        return settings.airflow_database.replace("postgresql://", "postgresql+psycopg2://", 1)
    # Four servers and every task write to one file, one at a time. On a busy machine the 5 s for which sqlite3 waits
    # by itself are not enough, and a request then fails with "database is locked". Two requests of the API server can
    # wait for each other for as long (one has written and waits for the event loop, in which the other one waits for
    # the file), and nothing goes on meanwhile.
    return f"sqlite:///{settings.data / 'airflow' / 'airflow.db'}?timeout=20"


def project(settings: StackSettings) -> dict[str, str]:
    """Where the project's things are, as `streamops.settings.Settings` reads them, and which stack this is."""
    paths = Settings.load().model_dump()
    return {
        **{f"STREAMOPS_{name.upper()}": str(path) for name, path in paths.items()},
        "STREAMOPS_STACK_DATA": str(settings.data),
    }


def of_servers(settings: StackSettings, credentials: Credentials) -> dict[str, str]:
    """The whole environment of a server: the caller's, less what would bend it, plus everything above."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_FOREIGN) and name not in _FOREIGN_NAMES
    }
    not_proxied = [name for name in (inherited.get("NO_PROXY"), inherited.get("no_proxy")) if name]
    no_proxy = ",".join([*not_proxied, LOOPBACK, "localhost"])
    own = {
        # spark-submit and airflow are run by name.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", os.defpath)]),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": LOOPBACK,
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
        # Otherwise setproctitle writes over the memory in which the stack's mark of a process is read.
        "SPT_NOENV": "1",
        "PYTHONUNBUFFERED": "1",
        "NO_COLOR": "1",
        # macOS ends a forked process that touches Objective-C, which Python's proxy look-up does.
        "OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES",
    }
    return {**inherited, **own, **of_client(settings, credentials)}


def of_client(settings: StackSettings, credentials: Credentials) -> dict[str, str]:
    """What a client adds to its environment to reach this stack: connections, project folders, Airflow's settings."""
    return {
        **connections(settings, credentials),
        **project(settings),
        **airflow(settings, credentials),
        "SPARK_HOME": str(spark_home()),
    }


def write_env_file(settings: StackSettings, credentials: Credentials) -> Path:
    """Write `<data>/env`, KEY=VALUE lines, mode 0600."""
    path = settings.data / "env"
    write_private(path, "".join(f"{key}={value}\n" for key, value in of_client(settings, credentials).items()))
    return path
