"""Judges what is below `checkpoint/` and `plans/`: write-ahead logs, and what older generations left.

A segment of the current generation is judged by its own offsets. Of an older generation, each start of receivers is
judged as a whole: as long as one of its segments holds something unprocessed, or cannot be read, all of it stays.
"""

from __future__ import annotations

import re

from streamops.cleaning import proofs as cleanup_proofs
from streamops.cleaning.cleanup import Reason, Rule, Verdict, goes, keeps
from streamops.cleaning.ground import Evidence, Ground
from streamops.cleaning.proofs import Objection, Proofs, hull
from streamops.cleaning.wal_format import Segment, ends_of, read_segment
from streamops.errors import StateError
from streamops.state.offsets import OffsetRange

#: A start's directory, `<epoch>-<attempt>`, and a segment, `log-<began ms>-<until ms>`.
_START = re.compile(r"(\d{6})-(\d{3})")
_SEGMENT = re.compile(r"log-(\d+)-(\d+)")
_RECEIVED = "receivedData"


class Logs:
    """What may go of the checkpoints of one state directory. Remembers each older start's verdict."""

    def __init__(self, ground: Ground, files: Evidence, proofs: Proofs) -> None:
        self._ground = ground
        self._files = files
        self._proofs = proofs
        self._verdicts: dict[tuple[int, str], Verdict] = {}
        self._newest: dict[str, int] = {}

    def is_segment(self, parts: list[str]) -> bool:
        """Whether a path, in parts, is a segment that a receiver wrote."""
        return (len(parts) == 6 and parts[3] == _RECEIVED and bool(_START.fullmatch(parts[2]))
                and bool(_SEGMENT.fullmatch(parts[5])))

    def segment(self, path: str, parts: list[str]) -> Verdict:
        """A segment of the current generation."""
        rule = Rule.WRITE_AHEAD_LOG
        directory, began_ms = path.rpartition("/")[0], self._began_ms(parts[5])
        if began_ms >= self._newest_in(directory):
            return keeps(rule, Reason.IN_USE, "it is the newest of its receiver, which may write to it")
        found = self._read(path)
        if found is None:
            return keeps(rule, Reason.GONE, "Spark has removed it")
        return self._judged(rule, found, self._ground.state.current or 0)

    def of_generation(self, generation: int, parts: list[str], rule: Rule) -> Verdict:
        """A file below `checkpoint/<generation>` or `plans/<generation>`; `parts` are those of its path."""
        start = parts[2] if parts[0] == "checkpoint" and len(parts) > 3 and _START.fullmatch(parts[2]) else ""
        key = (generation, start)
        if key not in self._verdicts:
            whole = self._whole(generation, rule)
            self._verdicts[key] = self._start(generation, start, rule) if start and whole.proof else whole
        return self._verdicts[key]

    def _whole(self, generation: int, rule: Rule) -> Verdict:
        """By what a generation's plans, checkpoint and batch log say; what its receivers stored comes in `_start`."""
        known = self._ground.state.generations.get(generation)
        if known is None or known.problem is not None:
            return keeps(rule, Reason.UNREADABLE, known.problem if known is not None and known.problem else
                         f"nothing is known of generation {generation}")
        if known.approach not in ("direct", "receiver"):
            return keeps(rule, Reason.UNPROVEN, f"a generation of {known.approach} has no offsets that prove anything")
        if objection := self._proofs.unprocessed(known.ranges, generation) or self._proofs.held(generation):
            return keeps(rule, *objection)
        if rule is Rule.ORPHAN and self._ground.points:
            return keeps(rule, Reason.NEEDED, f"{len(self._ground.points)} recovery points of it are kept")
        return goes(rule, f"generation {generation} is older than {self._ground.state.current} and all that it came to "
                    f"is processed: {cleanup_proofs.in_words(known.ends)}" if rule is Rule.GENERATION else
                    f"no pipeline is declared for it, and all is processed: {cleanup_proofs.in_words(known.ends)}")

    def _start(self, generation: int, start: str, rule: Rule) -> Verdict:
        """All that one start of receivers left, by the offsets in all of its segments."""
        place = f"checkpoint/{generation:06d}/{start}/{_RECEIVED}"
        ranges: tuple[OffsetRange, ...] = ()
        segments = records = 0
        for stream in sorted(self._files.names(place)):
            for name in sorted(self._files.names(f"{place}/{stream}")):
                if name.startswith(".") and name.endswith(".crc"):
                    continue
                found = self._read(f"{place}/{stream}/{name}")
                if found is None:
                    continue
                if found.problem is not None:
                    return keeps(rule, Reason.UNREADABLE, f"{_RECEIVED}/{stream}/{name}: {found.problem}")
                ranges = hull((*ranges, *found.ranges))
                segments, records = segments + 1, records + found.records
        if objection := self._stored(ranges, generation):
            return keeps(rule, *objection)
        return goes(rule, f"the {records:,} records in {segments} segments of start {start} of generation {generation} "
                    f"are processed: {cleanup_proofs.in_words(ends_of(ranges))}")

    def _stored(self, ranges: tuple[OffsetRange, ...], generation: int) -> Objection | None:
        """What stands against letting go of records with these offsets."""
        proofs = self._proofs
        return proofs.unprocessed(ranges, generation) or proofs.lost(ranges) or proofs.needed(ranges)

    def _judged(self, rule: Rule, found: Segment, generation: int) -> Verdict:
        if found.problem is not None:
            return keeps(rule, Reason.UNREADABLE, found.problem)
        if not found.chunks:
            return keeps(rule, Reason.UNREADABLE, "nothing is in it yet")
        ranges = hull(found.ranges)
        if objection := self._stored(ranges, generation):
            return keeps(rule, *objection)
        return goes(rule, f"its {found.records:,} records are processed: {cleanup_proofs.in_words(found.ends)}")

    def _read(self, path: str) -> Segment | None:
        stream = self._files.open(path)
        if stream is None:
            return None
        try:
            with stream:
                return read_segment(stream)
        except OSError as error:
            raise StateError(f"{path} cannot be read: {error}", "Look at the storage, then plan again.") from error

    def _newest_in(self, directory: str) -> int:
        """When the newest segment of a directory began, ms; a listing a directory."""
        if directory not in self._newest:
            names = self._files.names(directory)
            self._newest[directory] = max((self._began_ms(name) for name in names), default=0)
        return self._newest[directory]

    @staticmethod
    def _began_ms(name: str) -> int:
        found = _SEGMENT.fullmatch(name)
        return int(found[1]) if found is not None else 0
