"""When single records were written, from the headers of their batches, which are neither unpacked nor copied.

A fetch gives whole batches of records. The header has the timestamps of the first and of the latest record in it
(`org.apache.kafka.common.record.DefaultRecordBatch`): the first record's is exact, one in between is put on the line,
which is off by no more than the batch took to fill (the producer's linger).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from kafka.protocol.consumer import FetchRequest

from streamops.adapters.kafka.broker import Broker
from streamops.adapters.kafka.topic_positions import Layout
from streamops.state.offsets import TopicPartition

#: Base offset, length, leader epoch, magic, checksum, attributes, last offset delta, first timestamp, latest timestamp.
_HEADER = struct.Struct(">qiibIhiqq")
_MAGIC = 2
_LOG_APPEND_TIME = 0x08

#: Bytes asked for of each partition: a broker sends whole batches only, and fills up with the ones that follow. So it
#: is little at first, and more of those that sent nothing; at last as much as a batch may be by default.
_ROUNDS_BYTES = (4_096, 32_768, 1_048_588)
#: Of one answer, in one piece in memory.
_ANSWER_BYTES = 8 * 2**20
#: Of all answers: what a snapshot may take from brokers. Who has most to do comes first; for the others, the timestamp
#: is worked out from earlier points.
MOST_BYTES = 32 * 2**20
#: The last version that names topics; later ones have their ids.
_BY_NAME = 12


def timestamps_at(
    broker: Broker, found: Layout, wanted: Sequence[TopicPartition], offsets: Mapping[TopicPartition, int],
) -> dict[TopicPartition, int]:
    """The timestamp (ms) of the record at an offset, or of the next that there is, for as many of `wanted` as it goes.

    Partitions are served in their order until MOST_BYTES were read. Brokers that do not answer are passed over.
    """
    times: dict[TopicPartition, int] = {}
    left_bytes = MOST_BYTES
    for most_bytes in _ROUNDS_BYTES:
        queues = found.by_leader(at for at in wanted if at not in times)
        at_once = _ANSWER_BYTES // most_bytes
        for begin in range(0, max(map(len, queues.values()), default=0), at_once):
            if left_bytes <= 0:
                return times
            asked = {node: _request(part, offsets, most_bytes)
                     for node, queue in queues.items() if (part := queue[begin : begin + at_once])}
            for answer in broker.ask_each(asked).values():
                left_bytes -= 0 if isinstance(answer, Exception) else _read(answer, offsets, times)
    return times


def _request(partitions: Sequence[TopicPartition], offsets: Mapping[TopicPartition, int], most_bytes: int) -> Any:
    topic_of = FetchRequest.FetchTopic
    grouped: dict[str, list[Any]] = {}
    for at in partitions:
        grouped.setdefault(at.topic, []).append(topic_of.FetchPartition(
            partition=at.partition, fetch_offset=offsets[at], partition_max_bytes=most_bytes))
    return FetchRequest(
        max_wait_ms=0, min_bytes=0, max_bytes=_ANSWER_BYTES, isolation_level=0, session_id=0, session_epoch=-1,
        topics=[topic_of(topic=topic, partitions=each) for topic, each in grouped.items()], forgotten_topics_data=[],
        rack_id="", max_version=_BY_NAME)


def _read(answer: Any, offsets: Mapping[TopicPartition, int], times: dict[TopicPartition, int]) -> int:
    """Put the timestamps of an answer into `times`; how many bytes of records it had."""
    size = 0
    for topic in answer.responses:
        for each in topic.partitions:
            records = each.records or b""
            size += len(records)
            at = TopicPartition(topic.topic, each.partition_index)
            if not each.error_code and (at_ms := timestamp_in(records, offsets[at])) is not None:
                times[at] = at_ms
    return size


def timestamp_in(records: bytes | memoryview, offset: int) -> int | None:
    """The timestamp (ms) of the record at `offset` by the header of the first batch; None without a whole header.

    A batch that begins behind the offset holds the next record that there is.
    """
    if len(records) < _HEADER.size:
        return None
    base, _length, _epoch, magic, _crc, attributes, last_delta, first_ms, latest_ms = _HEADER.unpack_from(records)
    if magic != _MAGIC or latest_ms < 0:
        return None
    if attributes & _LOG_APPEND_TIME:
        return int(latest_ms)
    if offset <= base or not last_delta:
        return int(first_ms)
    return int(first_ms + (latest_ms - first_ms) * min(offset - base, last_delta) // last_delta)
