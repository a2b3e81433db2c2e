"""Segments of a write-ahead log, byte for byte as Spark's writer and Java's serialisation make them of our chunks."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from streamops.state.offsets import OffsetRange

_PACKAGE = "org.apache.spark.streaming.streamops"


def segment(*chunks: Iterable[OffsetRange], content: bytes = b"\x00\x00\x00\x00\x00\x02a\x00") -> bytes:
    """A segment with a record for each chunk, given by its spans."""
    return b"".join(record(chunk([*spans], content)) for spans in chunks)


def record(payload: bytes) -> bytes:
    """A payload as FileBasedWriteAheadLogWriter writes it."""
    return struct.pack(">i", len(payload)) + payload


def chunk(spans: list[OffsetRange], content: bytes, records: int = 1, name: str = f"{_PACKAGE}.Chunk",
          version: int = 1) -> bytes:
    """A chunk as Spark's JavaSerializer writes it: tests/jobs/test_wal_format.py compares it with a receiver's."""
    fields = b"I" + _text("records") + b"[" + _text("bytes") + b"t" + _text("[B")
    fields += b"[" + _text("spans") + b"t" + _text(f"[L{_PACKAGE.replace('.', '/')}/Span;")
    out = b"\xac\xed\x00\x05" + b"sr" + _text(name) + struct.pack(">qBH", version, 2, 3) + fields + b"xp"
    out += struct.pack(">i", records)
    out += b"ur" + _text("[B") + bytes.fromhex("acf317f8060854e0") + struct.pack(">BH", 2, 0) + b"xp"
    out += struct.pack(">i", len(content)) + content
    out += b"ur" + _text(f"[L{_PACKAGE}.Span;") + bytes.fromhex("d6882176445a3d7d") + struct.pack(">BH", 2, 0) + b"xp"
    return out + struct.pack(">i", len(spans)) + _spans(spans)


def _spans(spans: list[OffsetRange]) -> bytes:
    out, topics = b"", {}
    # Handles in the order of writing: Chunk, two names of types, the chunk; two arrays, each with its class.
    following = 8
    for index, span in enumerate(spans):
        if index == 0:
            fields = b"J" + _text("first") + b"I" + _text("partition") + b"J" + _text("until")
            fields += b"L" + _text("topic") + b"t" + _text("Ljava/lang/String;")
            out += b"sr" + _text(f"{_PACKAGE}.Span") + struct.pack(">qBH", 1, 2, 4) + fields + b"xp"
            of_class, following = following, following + 2  # the class, and the name of a type
        else:
            out += b"sq" + struct.pack(">i", 0x7E0000 + of_class)
        following += 1  # the span
        out += struct.pack(">qiq", span.first, span.partition, span.until)
        if span.topic in topics:
            out += b"q" + struct.pack(">i", topics[span.topic])
        else:
            out += b"t" + _text(span.topic)
            topics[span.topic], following = 0x7E0000 + following, following + 1
    return out


def _text(text: str) -> bytes:
    return struct.pack(">H", len(text.encode())) + text.encode()
