"""Entry point of a check: which records of a batch the transform cannot process. It writes to no sink.

    spark-submit … prove_bad_records.py JOB_SPEC_JSON REQUEST_JSON

It takes no lease, since it changes nothing, and may run beside the pipeline's driver. The batch is read from Kafka, by
the offsets of the request; the transform is run on the whole, then by halves down to single records, then on the rest
without those. The answer is a file in the state directory (see state/proofs.py). Exit code 0 when it is there.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812  the name that every Spark program gives it

import kafka_records
import transforms
from bad_records import BadRecords, Found, NoBadRecords, cause, failure
from hadoop_files import HadoopFiles
from job import read_spec
from streamops.errors import ConfigurationError, StreamopsError
from streamops.state import proofs
from streamops.state.proofs import Proof, ProofRequest, ProvenRecord
from transforms import Batch

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from streamops.state.job_spec import JobSpec

log = logging.getLogger("streamops.proof")

#: Characters of a key that are shown.
KEY_LENGTH = 80


class NothingTaken:
    """Stands where dead letters go. Nothing is sent: what is found is only told."""

    def send(self, frame: DataFrame, found: Found, batch: Batch) -> None:
        raise NotImplementedError("a proof sends nothing")


def prove(session: SparkSession, spec: JobSpec, request: ProofRequest) -> Proof:
    """What the transform does with the records of a batch. Raises nothing that the records or the transform cause."""
    batch = Batch(spec.pipeline, request.generation, request.batch, request.ranges)
    read = 0

    def proof(**found: object) -> Proof:
        return Proof(spec.pipeline, request.generation, request.batch, spec.transform, read,
                     **found)  # type: ignore[arg-type]

    ranges = [part for part in request.ranges if part.span]
    frame = kafka_records.read(session, spec.kafka, ranges, fail_on_data_loss=True).persist()
    try:
        read = frame.count()
    except (PySparkException, Py4JJavaError) as error:
        return proof(unproven=f"its records cannot be read from Kafka: {cause(str(error))}")
    try:
        transform = transforms.load(spec.transform)

        def apply(part: DataFrame) -> DataFrame:
            return transform(part, batch)

        if (whole := failure(apply(frame))) is None:
            return proof()
        try:
            found = BadRecords(NothingTaken(), request.most_records).find(frame, apply, Exception(whole))
        except NoBadRecords:
            return proof(whole_error=whole)
        rest = failure(apply(found.good(frame)))
        return proof(whole_error=whole, records=_described(frame, found), rest_error=rest)
    except StreamopsError as error:  # too many bad records, or no such transform
        return proof(unproven=error.found)
    except Exception as error:  # noqa: BLE001  a team's function may raise anything at all
        return proof(unproven=f"the transform fails before it sees a record: {type(error).__name__}: {error}"[:300])
    finally:
        frame.unpersist()


def _described(frame: DataFrame, found: Found) -> tuple[ProvenRecord, ...]:
    """The bad records, with their keys and sizes."""
    rows = frame.where(found.condition()).select(
        "topic", "partition", "offset", F.unix_millis("timestamp").alias("at_ms"),
        F.substring("key", 1, KEY_LENGTH).alias("key"),
        (F.coalesce(F.length("key"), F.lit(0)) + F.coalesce(F.length("value"), F.lit(0))).alias("size_bytes"),
    ).collect()
    said = {(record.at.topic, record.at.partition, record.offset): record.error for record in found.records}
    return tuple(sorted(
        ProvenRecord(row.topic, row.partition, row.offset, said[row.topic, row.partition, row.offset],
                     None if row.key is None else bytes(row.key).decode("utf-8", "backslashreplace"),
                     row.size_bytes, row.at_ms)
        for row in rows))


def main(arguments: list[str]) -> None:
    """Prove what is asked for, and leave the answer in the state directory."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        request = ProofRequest.from_json(arguments[1] if len(arguments) == 2 else "")
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    spec = read_spec(arguments[:1])
    session = SparkSession.builder.appName(f"streamops {spec.pipeline} proof").getOrCreate()
    context = session.sparkContext
    files = HadoopFiles(context._gateway, context._jsc.hadoopConfiguration(), spec.state_url)
    proof = prove(session, spec, request)
    files.replace(proofs.path(request.id), proof.to_json())
    log.info("%s", proof)
    session.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
