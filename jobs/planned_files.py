"""The files of each batch of a stream over a folder, from Spark's checkpoint: it writes there what a batch is first.

    offsets/217        the third line, {"logOffset": 40}: the batch takes what the source's log has up to there
    sources/0/40       a line for each file: {"path": "file:///in/a.txt", "timestamp": …, "batchId": 40}
    sources/0/49.compact                     the same, and every line before it

When Spark runs a batch, it leaves out without a word what is not there any more. So it is looked for here, before.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from streamops.errors import DataLossError, StateError
from streamops.state import generations

if TYPE_CHECKING:
    from hadoop_files import HadoopFiles
    from streamops.state.generations import Generation

_SHOWN = 5


class PlannedFiles:
    """Of one generation."""

    def __init__(self, jvm: Any, hadoop_conf: Any, files: HadoopFiles, generation: Generation) -> None:
        self._jvm = jvm
        self._conf = hadoop_conf
        self._files = files
        self._checkpoint = generations.checkpoint_path(generation.number)

    def require(self, batch: int) -> None:
        """Raise DataLossError when a file of the batch is gone."""
        gone = [path for path in self.of(batch) if not self._exists(path)]
        if gone:
            more = f" and {len(gone) - _SHOWN} more" if len(gone) > _SHOWN else ""
            raise DataLossError(
                f"files are gone that batch {batch} was to read: {', '.join(gone[:_SHOWN])}{more}",
                "Put them back under their names, empty ones if what was in them is not to be counted, then start the "
                "job. Files may go once a batch with them is in the batch log.",
            )

    def of(self, batch: int) -> list[str]:
        """URLs of the batch's files, as Spark writes them: percent-encoded."""
        first = self._end_of(batch - 1) + 1 if batch else 0
        return [path for number in range(first, self._end_of(batch) + 1) for path in self._added(number)]

    def _end_of(self, batch: int) -> int:
        text = self._read(f"{self._checkpoint}/offsets/{batch}")
        return int(json.loads(text.splitlines()[2])["logOffset"])

    def _added(self, number: int) -> list[str]:
        log = f"{self._checkpoint}/sources/0"
        names = set(self._files.names(log))
        compact = (int(name.removesuffix(".compact")) for name in names if name.endswith(".compact"))
        name = str(number) if str(number) in names else f"{min(n for n in compact if n >= number)}.compact"
        entries = [json.loads(line) for line in self._read(f"{log}/{name}").splitlines()[1:]]
        return [entry["path"] for entry in entries if entry["batchId"] == number]

    def _read(self, path: str) -> str:
        text = self._files.read(path)
        if text is None:
            raise StateError(
                f"the checkpoint does not say which files the batch reads ({path} is missing)",
                "The checkpoint was changed while the job ran. Give the pipeline another name to begin anew.",
            )
        return text

    def _exists(self, url: str) -> bool:
        path = self._jvm.org.apache.hadoop.fs.Path(self._jvm.java.net.URI(url))
        return bool(path.getFileSystem(self._conf).exists(path))
