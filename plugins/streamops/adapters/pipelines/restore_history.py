"""What a pipeline's state directory says for a restore, or, where that was deleted, what the output's labels say.

    history, made_up = read(files, pipeline, known)     # made_up: logs that are not in the state directory (any more)
    write(files, made_up)                               # and now they are
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from streamops.adapters.files.state_files import StateFiles
from streamops.points.recovery_points import RecoveryPoint
from streamops.restoring.plan import History
from streamops.state import batch_log, generations, numbered_files, superseded
from streamops.state.batch_log import LABEL, OUTPUT, Entry
from streamops.state.generations import Generation
from streamops.state.sink_labels import Label, rebuilt
from streamops.state.superseded import NOTHING, Superseded

#: By generation, the entries that labels gave, oldest first.
MadeUp = Mapping[int, list[Entry]]

_PREFIX = "generation="

_LOST = "the state directory was deleted: checkpoint, batch log, lease and driver records"
_OUTPUT_LOST = ("the output was deleted with it: the sink holds nothing of the records before this start. To have them "
                "counted again, restore to earliest")


def read(files: StateFiles, pipeline: str, known: RecoveryPoint | None, at: str) -> tuple[History, MadeUp]:
    """The history of a pipeline. `known` is its newest recovery point; `at` (UTC, ISO 8601) dates what is made up.

    Raises StateError, and what StateFiles raises.
    """
    current = generations.current(files)
    point_number = known.generation if known is not None and known.generation is not None else 0
    if current is not None:
        head = batch_log.read_head(files, current.number)
        return History(
            current=current,
            last_batch=head.batch if head is not None else None,
            newest=max(current.number, point_number),
            superseded=current.superseded,
            logs=lambda: _logs(files, current),
        ), {}
    numbers = sorted(_generations_in_the_sink(files))
    if not numbers and not point_number:
        return History(None, None, 0, NOTHING, lambda: ()), {}  # it was never started
    gone = _superseded_in_the_sink(files)
    made_up = {number: rebuilt(pipeline, number, _labels(files, number), at) for number in numbers}
    newest = max([point_number, *numbers, *(span.generation for span in gone.spans)])
    logs = [[each for each in reversed(made_up[number]) if not gone.covers(number, each.batch)]
            for number in reversed(numbers)]
    lost = (_LOST,) if numbers else (_LOST, _OUTPUT_LOST)
    lasts = {number: entries[-1].batch for number, entries in made_up.items() if entries}
    return History(None, None, newest, gone, lambda: logs, lost, lasts), made_up


def write(files: StateFiles, made_up: MadeUp) -> None:
    """Put logs that were made up where they belong. Safe to repeat: a file that is there stays."""
    for number, entries in made_up.items():
        if not entries:
            continue
        # The newest entry is a file of its own, as in any log; the others are one roll-up.
        *older, last = entries
        if older:
            lines = "".join(f"{each.to_json()}\n" for each in older)
            files.write_new(batch_log.roll_up_path(number, 0, last.batch - 1), lines)
        files.write_new(batch_log.entry_path(number, last.batch), last.to_json())


def write_generations(files: StateFiles, opened: Generation) -> None:
    """Files of the generations before `opened` that have none, so that a reader finds each. Safe to repeat."""
    there = set(files.names(generations.DIRECTORY))
    for number in range(1, opened.number):
        if numbered_files.name(number) in there:
            continue
        first = next(iter(batch_log.entries(files, number)), None)
        start = {taken.topic_partition: taken.first for taken in first.ranges} if first is not None else {}
        files.write_new(generations.path(number), Generation(
            opened.pipeline, number, opened.approach, start,
            "made up when the pipeline was restored: its own file was deleted", opened.opened_at).to_json())


def write_superseded(files: StateFiles, opened: Generation) -> None:
    """The copy of what is superseded, for whoever reads the output itself; nothing where there is no output."""
    if files.names(OUTPUT):
        files.replace(f"{OUTPUT}/{superseded.FILE}", opened.superseded.to_json(opened.pipeline, opened.number))


def differing(files: StateFiles, opened: Generation) -> list[str]:
    """What the copies for readers say otherwise than the generation that was opened, in words."""
    if not files.names(OUTPUT):
        return []
    found = _superseded_in_the_sink(files)
    return [] if found == opened.superseded else [f"{OUTPUT}/{superseded.FILE} does not name what is superseded"]


def _logs(files: StateFiles, current: Generation) -> Iterator[Iterable[Entry]]:
    for number in range(current.number, 0, -1):
        yield (each for each in batch_log.newest_first(files, number)
               if not current.superseded.covers(number, each.batch))


def _generations_in_the_sink(files: StateFiles) -> Iterator[int]:
    for name in files.names(OUTPUT):
        if name.startswith(_PREFIX) and name.removeprefix(_PREFIX).isdigit():
            yield int(name.removeprefix(_PREFIX))


def _labels(files: StateFiles, generation: int) -> Iterator[Label]:
    folder = f"{OUTPUT}/{_PREFIX}{generation}"
    for name in files.names(folder):
        batch = name.removeprefix("batch=")
        text = files.read(f"{folder}/{name}/{LABEL}") if batch.isdigit() else None
        if text is not None:
            yield Label.from_json(int(batch), text)


def _superseded_in_the_sink(files: StateFiles) -> Superseded:
    text = files.read(f"{OUTPUT}/{superseded.FILE}")
    return Superseded.from_json(text) if text is not None else NOTHING
