"""Timestamps out of the headers of record batches, which kafka-python writes here as a producer does."""

from __future__ import annotations

import struct

import pytest
from kafka.record import MemoryRecordsBuilder

from streamops.adapters.kafka.record_times import timestamp_in


def batch(*times_ms: int, compression: int = 0) -> bytes:
    """One batch with a record for each timestamp, at offsets from 0 on."""
    builder = MemoryRecordsBuilder(magic=2, compression_type=compression, batch_size=100_000)
    for at_ms in times_ms:
        builder.append(timestamp=at_ms, key=None, value=b"line")
    builder.close()
    return bytes(builder.buffer())


def at_offset(records: bytes, base: int) -> bytes:
    """The batch as a broker keeps it, at another offset."""
    return struct.pack(">q", base) + records[8:]


@pytest.mark.parametrize(("records", "offset", "at_ms"), [
    pytest.param(batch(1000), 0, 1000, id="one record"),
    pytest.param(batch(1000, 1200, 1400), 0, 1000, id="the first of a batch"),
    pytest.param(batch(1000, 1200, 1400), 1, 1200, id="in between: on the line"),
    pytest.param(batch(1000, 1200, 1400), 2, 1400, id="the last"),
    pytest.param(at_offset(batch(1000, 1200), 50), 51, 1200, id="a batch further on"),
    pytest.param(at_offset(batch(1000, 1200), 50), 40, 1000, id="compacted away: the next record that there is"),
    pytest.param(batch(1000, 1400, compression=1), 0, 1000, id="compressed: the header is not"),
    pytest.param(batch(1000, 1400)[:61], 0, 1000, id="the header alone"),
    pytest.param(batch(1000)[:40], 0, None, id="half a header"),
    pytest.param(b"", 0, None, id="nothing"),
])
def test_the_time_of_a_record(records: bytes, offset: int, at_ms: int | None) -> None:
    assert timestamp_in(records, offset) == at_ms
    assert timestamp_in(memoryview(records), offset) == at_ms


def test_a_topic_with_the_brokers_own_times() -> None:
    """LogAppendTime: the broker writes one time for the whole batch, and a flag."""
    records = bytearray(batch(1000, 1200))
    attributes = struct.unpack_from(">h", records, 21)[0]
    struct.pack_into(">h", records, 21, attributes | 0x08)
    struct.pack_into(">q", records, 35, 9000)
    assert timestamp_in(bytes(records), 0) == 9000


def test_an_older_format_says_nothing() -> None:
    records = bytearray(batch(1000))
    records[16] = 1
    assert timestamp_in(bytes(records), 0) is None
