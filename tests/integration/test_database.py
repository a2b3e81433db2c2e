"""Our own database: the same tests on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import gzip
import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import URL, make_url

from streamops.adapters.connections import Connection
from streamops.adapters.database.address import url_of
from streamops.adapters.database.drills import Drills, VerdictCounts
from streamops.adapters.database.models import VERSION, VERSION_TABLE, Model
from streamops.adapters.database.points import Points
from streamops.adapters.database.session import Database
from streamops.adapters.database.upgrade import locked, migrate, upgrade, versions
from streamops.drills.drill import Drill, DrillState, InflictedFault, Surroundings
from streamops.drills.recovery_times import RecoveryTimes
from streamops.drills.verdict import Example, Finding, Kind, LogProof, PartitionCounts, Verdict, Where
from streamops.errors import ConfigurationError, RefusedError, StateError, UnavailableError
from streamops.points.lag import LagState
from streamops.points.recovery_points import PartitionPoint, RecoveryPoint
from streamops.points.retention import KeepRule
from streamops.state.offsets import TopicPartition

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

NOW = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)


def a_point(pipeline: str = "orders", taken_at: datetime = NOW, **given: Any) -> RecoveryPoint:
    whole: dict[str, Any] = {
        "generation": 2, "last_batch": 217, "topic_ids": {"grüße": "id"},
        "partitions": {TopicPartition("grüße", 0): PartitionPoint(0, 5, latest=5 + 2**40, lag_s=3.25, data_loss_s=0.5)},
    }
    return RecoveryPoint(
        pipeline, "direct", taken_at.isoformat(), last_batch_finished_at=None, checkpoint_batch=None, sink_batch=None,
        **{**whole, **given})


def insert(points: Points, *what: Any, **given: Any) -> int:
    return points.insert(a_point(*what, **given), LagState.OK)


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[URL]:
    """URL of a server that only these tests have."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where the machine has no XDG_RUNTIME_DIR
        import pgserver

        server = pgserver.get_server(tmp_path_factory.mktemp("pg"))
    logging.getLogger("pgserver").setLevel(logging.WARNING)  # at the exit it would log into what pytest has closed
    yield make_url(server.get_uri())
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """A database without tables."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/streamops.db"
    else:
        server = request.getfixturevalue("postgresql")
        name = f"test_{random.getrandbits(64):x}"
        engine = create_engine(server.set(drivername="postgresql+psycopg2"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        url = server.set(database=name).render_as_string(hide_password=False)
    return Database(url_of(Connection("streamops_db", extra={"url": url})))


@pytest.fixture
def database(empty: Database) -> Database:
    upgrade(empty)
    return empty


@pytest.fixture
def points(database: Database) -> Points:
    return Points(database)


def command(database: Database, *arguments: str) -> subprocess.Popen[str]:
    """`streamops db …` in a process of its own."""
    url = database.url.render_as_string(hide_password=False)
    variables = {"AIRFLOW_CONN_STREAMOPS_DB": json.dumps({"conn_type": "generic", "extra": {"url": url}})}
    return subprocess.Popen([sys.executable, "-m", "streamops.cli.main", "db", *arguments], text=True,
                            env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out + err


class TestMigration:
    def test_from_nothing_and_again(self, empty: Database) -> None:
        assert empty.version() is None
        assert upgrade(empty) == (None, VERSION)
        assert upgrade(empty) == (VERSION, VERSION)
        assert empty.version() == VERSION

    @pytest.mark.parametrize("version", versions())
    def test_from_each_version_with_what_was_in_it(self, empty: Database, version: str) -> None:
        upgrade(empty, version)
        with empty.connected("IMMEDIATE") as connection:
            connection.execute(
                text("INSERT INTO recovery_points (pipeline, taken_at, generation, document)"
                     " VALUES ('orders', :at, 3, :document)"),
                {"at": NOW.replace(tzinfo=None).isoformat(" ") if empty.is_sqlite else NOW,
                 "document": gzip.compress(b'{"format": "old"}')},
            )
        assert upgrade(empty) == (version, VERSION)
        [found] = Points(empty).summaries()
        assert (found.pipeline, found.taken_at, found.generation, found.state) == ("orders", NOW, 3, None)
        assert Points(empty).document(found.id) == '{"format": "old"}'

    def test_the_tables_are_those_of_the_models(self, database: Database) -> None:
        with database.connected("DEFERRED") as connection:
            context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE,
                                                                   "compare_type": True})
            assert compare_metadata(context, Model.metadata) == []

    def test_four_at_once(self, empty: Database) -> None:
        """All are started while the test holds the lock, so they meet at it."""
        with locked(empty) as connection:
            running = [command(empty, "upgrade") for _ in range(4)]
            if empty.is_sqlite:
                time.sleep(6)
            else:
                waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
                deadline = time.monotonic() + 60
                while connection.execute(waiting).scalar() != 4 and time.monotonic() < deadline:
                    time.sleep(0.1)
                assert connection.execute(waiting).scalar() == 4
            assert all(process.poll() is None for process in running)
        found = [ended(process) for process in running]
        assert [code for code, _ in found] == [0] * 4, found
        assert sorted("from empty" in said for _, said in found) == [False, False, False, True], found
        assert empty.version() == VERSION

    @pytest.mark.parametrize("version", versions())
    def test_one_that_is_interrupted_leaves_nothing(self, empty: Database, version: str) -> None:
        with pytest.raises(KeyboardInterrupt), locked(empty) as connection:  # noqa: PT012
            migrate(connection, version)
            raise KeyboardInterrupt
        assert empty.version() is None
        with empty.connected("DEFERRED") as connection:
            assert inspect(connection).get_table_names() == []
        assert upgrade(empty) == (None, VERSION)

    def test_one_that_is_newer_is_left_alone(self, database: Database) -> None:
        with database.connected("IMMEDIATE") as connection:
            connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
        with pytest.raises(RefusedError, match="9999"):
            upgrade(database)
        with pytest.raises(ConfigurationError, match="newer"):
            Points(Database(database.url)).summaries()
        assert ended(command(database, "current"))[0] == 1

    def test_a_database_that_is_behind_says_what_to_do(self, empty: Database) -> None:
        with pytest.raises(ConfigurationError, match=r"is empty(.|\n)*streamops db upgrade"):
            insert(Points(empty))
        upgrade(empty, "0001")
        with pytest.raises(ConfigurationError, match=r"version 0001(.|\n)*streamops db upgrade"):
            insert(Points(empty))
        upgrade(empty)
        assert insert(Points(empty)) == 1

    def test_beside_the_tables_of_airflow(self, empty: Database) -> None:
        with empty.connected("IMMEDIATE") as connection:
            connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
            connection.execute(text("INSERT INTO alembic_version VALUES ('airflow')"))
        upgrade(empty)
        with empty.connected("DEFERRED") as connection:
            assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "airflow"

    def test_the_command(self, empty: Database) -> None:
        code, said = ended(command(empty, "current"))
        assert (code, "empty" in said, "streamops db upgrade" in said) == (1, True, True)
        assert not empty.is_sqlite or not Path(str(empty.url.database)).exists()
        assert ended(command(empty, "upgrade"))[0] == 0
        code, said = ended(command(empty, "current", "--json"))
        assert code == 0
        assert json.loads(said) == {"database": str(empty), "version": VERSION, "needed": VERSION}


class TestPoints:
    def test_what_goes_in_comes_out(self, points: Points) -> None:
        point = a_point()
        number = points.insert(point, LagState.OK)
        assert points.document(number) == point.to_json()
        [found] = points.summaries("orders")
        assert found == points.summary(number)
        assert (found.id, found.taken_at, found.generation, found.last_batch) == (number, NOW, 2, 217)
        assert (found.lag_records, found.lag_s, found.data_loss_s, found.state) == (2**40, 3.25, 0.5, "OK")

    def test_what_is_not_known_is_none(self, points: Points) -> None:
        number = points.insert(a_point(generation=None, last_batch=None, partitions={}), None)
        found = points.summary(number)
        assert found is not None
        assert [found.generation, found.last_batch, found.state] == [None] * 3
        assert [found.lag_records, found.lag_s, found.data_loss_s] == [None] * 3
        assert points.document(number + 1) is None
        assert points.summary(number + 1) is None

    def test_times_are_moments(self, points: Points) -> None:
        """Whatever the time zone they are told in."""
        insert(points, taken_at=NOW.astimezone(timezone(timedelta(hours=-9))))
        assert points.summaries(since=NOW, until=NOW)[0].taken_at == NOW
        with pytest.raises(StateError, match="time zone"):
            insert(points, taken_at=NOW.replace(tzinfo=None))

    def test_the_last_before_a_time(self, points: Points) -> None:
        for minute in (3, 1, 2):
            insert(points, taken_at=NOW + timedelta(minutes=minute), last_batch=minute)
        insert(points, "lines", NOW + timedelta(minutes=2))
        until = NOW + timedelta(minutes=2.5)
        assert [one.taken_at.minute for one in points.summaries("orders")] == [3, 2, 1]
        assert [one.taken_at.minute for one in points.summaries("orders", until=until, limit=1)] == [2]
        assert [one.pipeline for one in points.summaries(since=until)] == ["orders"]
        assert [one.last_batch for one in points.summaries("orders", since=until)] == [3]

    def test_the_same_point_twice_is_one(self, points: Points) -> None:
        assert insert(points) == insert(points)
        assert len(points.summaries()) == 1
        with pytest.raises(RefusedError, match="orders at 2026"):
            insert(points, last_batch=218)
        assert insert(points, "lines") != insert(points)

    def test_a_number_is_never_given_twice(self, points: Points) -> None:
        first = insert(points)
        assert points.delete([first]) == 1
        assert insert(points) > first

    def test_a_document_that_was_changed_is_an_error(self, database: Database, points: Points) -> None:
        number = insert(points)
        with database.connected("IMMEDIATE") as connection:
            connection.execute(text("UPDATE recovery_points SET document = :no"), {"no": b"no"})
        with pytest.raises(StateError, match=f"point {number} is not gzipped"):
            points.document(number)

    def test_retention_and_holds(self, points: Points) -> None:
        old = [insert(points, taken_at=NOW - timedelta(days=400 + day)) for day in range(3)]
        insert(points)
        points.hold(old[1], "undo", NOW)
        points.hold(old[1], "undo", NOW)
        points.hold(old[1], "drill", NOW)
        other = insert(points, "lines", NOW - timedelta(days=900))
        assert points.prune("orders", KeepRule(), NOW) == 2
        [_, kept] = points.summaries("orders")
        assert (kept.id, kept.holders) == (old[1], ("drill", "undo"))
        assert points.delete([old[1]]) == 0
        assert points.release(old[1], "undo")
        assert not points.release(old[1], "undo")
        assert points.prune("orders", KeepRule(), NOW) == 0
        assert points.release(old[1], "drill")
        assert points.prune("orders", KeepRule(), NOW) == 1
        assert points.summary(other) is not None  # another pipeline's, and its last
        with pytest.raises(RefusedError, match="no recovery point"):
            points.hold(old[1], "undo", NOW)

    def test_thousands_are_pruned(self, database: Database, points: Points) -> None:
        row = ("INSERT INTO recovery_points (pipeline, taken_at, document)"
               " VALUES (:pipeline, :at, :document)")
        with database.connected("IMMEDIATE") as connection:
            taken = [NOW - timedelta(days=2, minutes=count) for count in range(3000)]
            connection.execute(text(row), [
                {"pipeline": "orders", "document": b"",
                 "at": at.replace(tzinfo=None).isoformat(" ") if database.is_sqlite else at} for at in taken])
        with ThreadPoolExecutor(2) as pool:
            gone = sum(pool.map(lambda _: points.prune("orders", KeepRule(), NOW), range(2)))
        kept = points.summaries()
        assert gone + len(kept) == 3000
        assert len(kept) == 51  # the last one at 12:00, and the first of each of the 50 hours before

    def test_ten_thousand_partitions(self, points: Points, say: Callable[[str], None]) -> None:
        """The bound is loose: what else runs on the machine counts too."""
        choose = random.Random(1)
        partitions = {
            TopicPartition(f"t{number // 100}", number % 100):
                PartitionPoint(processed=choose.getrandbits(33), latest=choose.getrandbits(33), lag_s=choose.random())
            for number in range(10_000)}
        point = a_point(partitions=partitions, topic_ids={f"t{number}": "id" for number in range(100)})
        began = time.process_time(), time.monotonic()
        number = points.insert(point, LagState.WARN)
        spent = time.process_time() - began[0], time.monotonic() - began[1]
        assert RecoveryPoint.from_json(points.document(number) or "") == point
        say(f"a point of 10,000 partitions: {spent[0] * 1000:.0f} ms of processor, {spent[1] * 1000:.0f} ms")
        assert spent[0] < 1


def a_drill(key: str = "canary-1", at: datetime = NOW, **given: Any) -> Drill:
    around = Surroundings({"streamops": "0.1.0", "spark": "4.2.0", "java": "17"}, {"interval_s": "2"})
    return Drill(key, given.pop("pipeline", "canary"), "direct", 2**40, at.isoformat(timespec="milliseconds"),
                 surroundings=around, **given)


def a_fault(number: int = 1) -> InflictedFault:
    return InflictedFault(number, "driver", "kill", NOW.isoformat(timespec="milliseconds"))


class TestDrills:
    VERDICT = Verdict(
        (PartitionCounts("grüße", 0, 2**40, 9, 1, 0, 8),),
        (Finding(Kind.LOST, Where.JOB, 2, (Example("grüße", 0, 8, 48, "offset 48, in no batch"),)),
         Finding(Kind.LOST, Where.KAFKA, 1, ())), 1, 0, 0, 2, LogProof(True, 3, 30, 0, 0))

    def test_what_goes_in_comes_out(self, database: Database) -> None:
        drills = Drills(database)
        number = drills.begin(a_drill(ledger="/l"))
        drills.plan_fault(number, a_fault())
        drills.inflicted(number, 1, NOW, "driver-7", {"pids": [4711]})
        times = RecoveryTimes(1.5, 9.25, 11.0, 8.5, "driver LOST")
        drills.measured(number, 1, times)
        drills.healed(number, 1, NOW + timedelta(seconds=1))
        drills.finish(number, DrillState.FAILED, NOW + timedelta(hours=1), self.VERDICT, "why")
        found = drills.drill(number)
        assert found is not None
        [fault] = found.faults
        assert (fault.target, fault.undo, fault.times) == ("driver-7", {"pids": [4711]}, times)
        assert found == Drill.from_json(found.to_json())
        assert (found.verdict, found.state, found.error, found.number) == (
            self.VERDICT, DrillState.FAILED, "why", number)
        assert (found.key, found.surroundings, found.ledger, found.seed) == (
            "canary-1", a_drill().surroundings, "/l", 2**40)
        assert datetime.fromisoformat(fault.healed_at or "") == NOW.replace(microsecond=123000) + timedelta(seconds=1)
        assert drills.counts() == {number: VerdictCounts("wrong", 3, 0, 0, 0)}
        assert drills.drill(number + 1) is None
        with database.connected("DEFERRED") as connection:
            kept = connection.execute(text("SELECT streamops, spark, kafka, outcome, lost FROM drills")).one()
        assert tuple(kept) == ("0.1.0", "4.2.0", None, "wrong", 3)

    def test_a_killed_drill_leaves_what_is_to_be_healed(self, database: Database) -> None:
        drills = Drills(database)
        number, other = drills.begin(a_drill()), drills.begin(a_drill("other", pipeline="other"))
        for drill, fault in ((number, 1), (number, 2), (other, 1), (number, 3)):
            drills.plan_fault(drill, a_fault(fault))
        drills.inflicted(number, 2, NOW, "kafka-1", {"resume": [12]})
        drills.healed(number, 3, NOW)
        found = Drills(Database(database.url)).open_faults("canary")
        assert [(each.drill, each.key, each.fault.number, each.fault.undo) for each in found] == [
            (number, "canary-1", 1, {}), (number, "canary-1", 2, {"resume": [12]})]
        assert [each.pipeline for each in drills.open_faults()] == ["canary", "canary", "other"]
        for each in found:
            drills.healed(each.drill, each.fault.number, NOW)
            drills.healed(each.drill, each.fault.number, NOW + timedelta(hours=1))
        assert drills.open_faults("canary") == []
        assert datetime.fromisoformat(drills.drills("canary")[0].faults[0].healed_at or "") < NOW + timedelta(minutes=1)

    def test_newest_first(self, database: Database) -> None:
        drills = Drills(database)
        for turn, pipeline in enumerate(("a", "b", "a")):
            drills.begin(a_drill(f"k-{turn}", NOW + timedelta(minutes=turn), pipeline=pipeline))
        assert [each.key for each in drills.drills()] == ["k-2", "k-1", "k-0"]
        assert [each.key for each in drills.drills("a", limit=1)] == ["k-2"]
        assert drills.counts() == {}

    def test_the_first_end_stands(self, database: Database) -> None:
        drills = Drills(database)
        number = drills.begin(a_drill())
        drills.finish(number, DrillState.ENDED, NOW, error="cancelled")
        drills.finish(number, DrillState.PASSED, NOW + timedelta(hours=1), Verdict(log=self.VERDICT.log))
        found = drills.drill(number)
        assert found is not None
        assert (found.state, found.error, found.verdict) == (DrillState.ENDED, "cancelled", None)

    def test_what_is_refused(self, database: Database) -> None:
        drills = Drills(database)
        number = drills.begin(a_drill())
        with pytest.raises(RefusedError, match="drill canary-1 already"):
            drills.begin(a_drill())
        drills.plan_fault(number, a_fault())
        for drill in (number, 99):
            with pytest.raises(RefusedError, match=f"drill {drill} is not there"):
                drills.plan_fault(drill, a_fault())
        with pytest.raises(ConfigurationError, match="no fault 9"):
            drills.healed(number, 9, NOW)
        with pytest.raises(ConfigurationError, match="no drill 99"):
            drills.finish(99, DrillState.PASSED, NOW)

    def test_a_verdict_that_was_changed_is_an_error(self, database: Database) -> None:
        drills = Drills(database)
        number = drills.begin(a_drill())
        drills.finish(number, DrillState.FAILED, NOW, self.VERDICT)
        with database.connected("IMMEDIATE") as connection:
            connection.execute(text("UPDATE drills SET verdict = :no"), {"no": b"no"})
        with pytest.raises(StateError, match=f"drill {number} is not gzipped"):
            drills.drill(number)
        assert drills.drills()[0].key == "canary-1"


class TestWritersAtOnce:
    def test_nothing_is_lost(self, database: Database) -> None:
        def write(writer: int) -> list[int]:
            store = Points(Database(database.url))
            return [insert(store, f"p{writer}", NOW + timedelta(seconds=turn)) for turn in range(25)]

        with ThreadPoolExecutor(8) as pool:
            numbers = [number for written in pool.map(write, range(8)) for number in written]
        assert len(set(numbers)) == 200
        assert len(Points(database).summaries()) == 200

    def test_the_same_point_from_all_is_one(self, database: Database) -> None:
        with ThreadPoolExecutor(8) as pool:
            numbers = set(pool.map(lambda _: insert(Points(Database(database.url))), range(40)))
        assert len(numbers) == 1

    def test_readers_do_not_wait_for_a_writer(self, database: Database, points: Points) -> None:
        insert(points)
        with database.writing() as session:
            session.execute(text("UPDATE recovery_points SET state = 'ERR'"))
            assert [one.state for one in Points(Database(database.url)).summaries()] == ["OK"]
        assert [one.state for one in points.summaries()] == ["ERR"]

    def test_a_writer_that_raises_leaves_nothing(self, database: Database, points: Points) -> None:
        number = insert(points)
        with pytest.raises(KeyboardInterrupt), database.writing() as session:  # noqa: PT012
            session.execute(text("UPDATE recovery_points SET state = 'ERR'"))
            raise KeyboardInterrupt
        assert [one.state for one in points.summaries()] == ["OK"]
        assert number == insert(points)

    def test_a_point_is_held_or_deleted_and_never_both(self, database: Database) -> None:
        store = Points(database)
        for turn in range(20):
            number = insert(store, taken_at=NOW + timedelta(seconds=turn))

            def hold(number: int = number) -> bool:
                try:
                    Points(Database(database.url)).hold(number, "undo", NOW)
                except RefusedError:
                    return False
                return True

            with ThreadPoolExecutor(2) as pool:
                held = pool.submit(hold)
                deleted = pool.submit(Points(Database(database.url)).delete, [number])
                assert held.result() is (deleted.result() == 0)

    def test_a_writer_that_is_killed_leaves_a_database_that_works(self, database: Database, points: Points) -> None:
        code = (
            "import json, sys, time\nfrom sqlalchemy import make_url, text\n"
            "from streamops.adapters.database.session import Database\n"
            "with Database(make_url(sys.argv[1])).writing() as session:\n"
            "    session.execute(text(\"UPDATE recovery_points SET state = 'ERR'\"))\n"
            "    print('written', flush=True)\n    time.sleep(60)\n"
        )
        insert(points)
        url = database.url.render_as_string(hide_password=False)
        writer = subprocess.Popen([sys.executable, "-c", code, url], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        writer.send_signal(signal.SIGKILL)
        writer.communicate(timeout=30)
        insert(points, "lines")
        assert {one.state for one in points.summaries()} == {"OK"}


def test_a_server_that_is_away() -> None:
    away = Database(make_url("postgresql+psycopg2://u:secret@127.0.0.1:1/d"))
    with pytest.raises(UnavailableError, match="does not answer") as said:
        Points(away).summaries()
    assert "secret" not in str(said.value)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="folder exists"):
        upgrade(Database(make_url(f"sqlite:///{tmp_path}/no/such.db")))


def test_a_lock_that_is_not_given_up(tmp_path: Path) -> None:
    """The wait ends, and says that trying again can help."""
    url = make_url(f"sqlite:///{tmp_path}/streamops.db")
    upgrade(Database(url))
    hurried = Database(url.update_query_dict({"timeout": "0.2"}))
    with Database(url).writing(), pytest.raises(UnavailableError, match="locked"):
        insert(Points(hurried))
