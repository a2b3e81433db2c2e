"""Bad records that are proven, and skipped because a person said so: the batch stays whole, nothing else is let go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from kafka import KafkaConsumer, TopicPartition
from pyspark.sql import SparkSession

from hadoop_files import HadoopFiles
from prove_bad_records import prove
from streamops.errors import BadRecordError, LeaseLostError
from streamops.state import skips
from streamops.state.job_spec import JobSpec
from streamops.state.offsets import OffsetRange
from streamops.state.proofs import Proof, ProofRequest
from streamops.state.skips import Skip

from .observing import assert_contiguous, covered, dying_at, entries, until

if TYPE_CHECKING:
    from .conftest import RunningStream, Topics

Spec = Callable[..., JobSpec]
Driver = Callable[..., "RunningStream"]

VALUES = [b"1"] * 37 + [b"oops"] + [b"2"] * 62


def request(*ranges: OffsetRange, most_records: int = 10) -> ProofRequest:
    return ProofRequest("r", 1, 0, ranges, most_records)


def skip(number: int, proof: Proof, letters: str) -> Skip:
    return Skip("p", number, 1, 0, letters, proof.records, "alice", "2026-11-20T03:00:00.000+00:00")


def test_only_what_is_proven_is_skipped_and_once(
    spark: SparkSession, topics: Topics, spec: Spec, driver: Driver, files: HadoopFiles, as_number: str
) -> None:
    topic, letters = topics.create(partitions=2), topics.create()
    topics.send(topic, VALUES)
    topics.send(topic, [b"3"] * 10 + [b"ach"], partition=1)
    settings = spec(topic, transform=as_number)
    assert isinstance(driver(settings, "driver-1").join(), BadRecordError)

    whole = (OffsetRange(topic, 0, 0, 100), OffsetRange(topic, 1, 0, 11))
    proof = prove(spark, settings, request(*whole))
    assert proof.holds
    assert [(each.partition, each.offset, each.size_bytes, each.key) for each in proof.records] == [
        (0, 37, 4, None), (1, 10, 3, None)]
    assert proof.records[0].error.startswith("[CAST_INVALID_INPUT]")
    assert proof.read == 111

    one = replace(proof, records=proof.records[:1])
    files.write_new(skips.path(1), skip(1, one, letters).to_json())
    ended = driver(settings, "driver-2").join()
    assert isinstance(ended, BadRecordError)
    assert f"{topic}-1 offset 10" in str(ended), "what nobody let go stops the job, and nothing is sent"
    assert entries(files) == []

    files.write_new(skips.path(2), skip(2, proof, letters).to_json())
    with dying_at("_append"):  # between the letters and the log
        assert isinstance(driver(settings, "driver-3").join(), LeaseLostError)
    topics.send(topic, [b"4"] * 5)
    fourth = driver(settings, "driver-4")
    until(lambda: covered(files) == 116, "the batch that failed, and the next")
    assert [(entry.rows, entry.dead_letters) for entry in entries(files)] == [(109, 2), (5, 0)]
    assert_contiguous(files)
    assert sent_to(topics, letters) == [(b"oops", b"37"), (b"ach", b"10")]

    topics.send(topic, [b"oops"])
    assert isinstance(fourth.join(), BadRecordError), "a skip is for its batch alone"


def sent_to(topics: Topics, letters: str) -> list[tuple[bytes, bytes]]:
    """Values and offsets in a dead-letter topic, of transactions that came to their end."""
    consumer = KafkaConsumer(
        bootstrap_servers=topics.bootstrap, isolation_level="read_committed", consumer_timeout_ms=2000
    )
    partition = TopicPartition(letters, 0)
    consumer.assign([partition])
    consumer.seek_to_beginning(partition)
    found = [(record.value, dict(record.headers)["streamops.offset"]) for record in consumer]
    consumer.close()
    return found


def test_what_a_proof_does_not_prove(
    spark: SparkSession, topics: Topics, spec: Spec, as_number: str
) -> None:
    topic = topics.create()
    topics.send(topic, VALUES)
    settings = spec(topic, transform=as_number)
    good = prove(spark, settings, request(OffsetRange(topic, 0, 0, 37)))
    assert (good.holds, good.whole_error, good.records, good.unproven) == (False, None, (), None)
    topics.send(topic, [b"oops"] * 3)
    many = prove(spark, settings, request(OffsetRange(topic, 0, 0, 103), most_records=2))
    assert not many.holds
    assert "more than 2 records" in (many.unproven or "")
    topics.admin.delete_records({TopicPartition(topic, 0): 50})
    gone = prove(spark, settings, request(OffsetRange(topic, 0, 0, 103)))
    assert not gone.holds
    assert "cannot be read from Kafka" in (gone.unproven or "")
    broken = prove(spark, replace(settings, transform="nowhere"), request(OffsetRange(topic, 0, 60, 70)))
    assert "cannot be loaded" in (broken.unproven or "")
