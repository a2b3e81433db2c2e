"""PostgreSQL for Airflow, where SQLite does not do: one server out of the `pgserver` wheel, over TCP on loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psutil

from streamops.errors import RefusedError, StreamopsError, UnavailableError
from streamops.stack.credentials import write_private
from streamops.stack.process import Probe, Server, as_user
from streamops.stack.settings import LOOPBACK, StackSettings

NAME = "airflow-database"
USER = "airflow"
DATABASE = "postgres"  # the one that initdb makes

#: PostgreSQL does not run as root. Where the stack does, this user runs it.
_UNPRIVILEGED = "nobody"
_TIMEOUT_S = 5
#: Its processes look after their postmaster, and end within moments of its death.
_BACKENDS_END_S = 10.0
_POLL_S = 0.05


def url(settings: StackSettings, password: str) -> str:
    """SQLAlchemy URL of this server."""
    return f"postgresql+psycopg2://{USER}:{password}@{LOOPBACK}:{settings.airflow_database_port}/{DATABASE}"


def servers(settings: StackSettings, environment: Mapping[str, str], password: str) -> list[Server]:
    """One server where Airflow is to have its own PostgreSQL, else none."""
    if not settings.airflow_postgresql:
        return []
    folder = settings.data / NAME
    options = {
        "listen_addresses": LOOPBACK,
        "port": settings.airflow_database_port,
        "unix_socket_directories": "",
    }
    user = _UNPRIVILEGED if os.geteuid() == 0 else None
    return [Server(
        name=NAME,
        command=(str(_program("postgres")), "-D", str(folder), *(f"--{key}={value}" for key, value in options.items())),
        environment=environment,
        probe=_probe(url(settings, password)),
        ports={"airflow_database_port": settings.airflow_database_port},
        prepare=lambda: _make(folder, password, user),
        # Its orderly end that does not wait for clients to leave ("fast shutdown").
        stop_signal=signal.SIGINT,
        before_others=True,
        user=user,
    )]


def _program(name: str) -> Path:
    """A program of the wheel, which is not imported: it makes folders of its own."""
    found = find_spec("pgserver")
    if found is None or found.origin is None:
        raise StreamopsError("the package pgserver, which brings PostgreSQL, is not installed", "Run `make setup`.")
    return Path(found.origin).parent / "pginstall" / "bin" / name


def _make(folder: Path, password: str, user: str | None) -> None:
    """An empty cluster, unless there is one; whole or not at all."""
    if user is not None:
        _require_reachable(folder.parent, user)
        _require_reachable(_program("postgres"), user)
    if (folder / "PG_VERSION").exists():
        _release_from_the_dead(folder)
        return
    draft = folder.with_name(f"{NAME}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700, parents=True)
    with _password_file(folder.with_name(f"{NAME}.password"), password, user) as asked:
        if user is not None:
            shutil.chown(draft, user)
        made = subprocess.run(
            [_program("initdb"), "-D", draft, "--username", USER, "--pwfile", asked, "--auth", "scram-sha-256",
             "--encoding", "UTF8", "--locale", "C"],
            cwd=folder.parent, **as_user(user), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if made.returncode:
        raise StreamopsError(f"`initdb` failed:\n{(made.stdout + made.stderr)[-1500:]}",
                             "Correct the cause, then start again.")
    draft.replace(folder)


def _release_from_the_dead(folder: Path) -> None:
    """A server that was killed holds its folder until its parent has taken note of that, which some never do.

    PostgreSQL sees that its number is in use, and does not start. Its lock goes once nobody works in the folder.
    """
    lock = folder / "postmaster.pid"
    try:
        holder = psutil.Process(int(lock.read_text().split()[0]))
        if holder.status() != psutil.STATUS_ZOMBIE:
            return
    except (FileNotFoundError, psutil.NoSuchProcess):
        return
    deadline_s = time.monotonic() + _BACKENDS_END_S
    while _anybody_in(folder):
        if time.monotonic() > deadline_s:
            return
        time.sleep(_POLL_S)
    lock.unlink(missing_ok=True)


def _anybody_in(folder: Path) -> bool:
    """Whether a process works in there, as each of PostgreSQL's does."""
    return any(each.info["cwd"] == str(folder.resolve()) for each in psutil.process_iter(["cwd"]))


@contextmanager
def _password_file(path: Path, password: str, user: str | None) -> Iterator[Path]:
    write_private(path, password)
    try:
        if user is not None:
            shutil.chown(path, user)
        yield path
    finally:
        path.unlink()


def _require_reachable(path: Path, user: str) -> None:
    """Raises RefusedError with the folders on the way that another user may not enter."""
    closed = [str(each) for each in (path if path.is_dir() else path.parent, *path.parents) if not _open_to(each, user)]
    if closed:
        raise RefusedError(
            f"PostgreSQL does not run as root, and user {user}, who runs it here, may not enter {', '.join(closed)}",
            f"Run the stack as another user, or let {user} in: chmod o+x {' '.join(closed)}")


def _open_to(folder: Path, user: str) -> bool:
    found = folder.stat()
    return bool(found.st_mode & 0o001) or found.st_uid == pwd.getpwnam(user).pw_uid


def _probe(url: str) -> Probe:
    def probe(_started: float) -> str:
        from sqlalchemy import NullPool, create_engine, text
        from sqlalchemy.exc import DBAPIError

        engine = create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": _TIMEOUT_S})
        try:
            with engine.connect() as asked:
                version = asked.scalar(text("show server_version"))
                clients = asked.scalar(text(
                    "select count(*) from pg_stat_activity where backend_type = 'client backend'"))
        except DBAPIError as error:
            raise UnavailableError(str(error.orig).strip().splitlines()[-1]) from None
        return f"PostgreSQL {version}, {clients - 1} other connections"

    return probe
