"""The benchmarks' own servers: on free ports, in a folder that goes away, beside any stack that is up."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from streamops.stack.settings import StackSettings
from streamops.stack.stack import Stack

PIPELINES = Path(__file__).parent / "pipelines.yaml"


def say(line: str) -> None:
    """Progress; standard output is for results."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def stack(servers: Collection[str] | None, topic: str) -> Iterator[Stack]:
    """A stack with some servers up, or all, and one topic of the benchmarks' pipelines file."""
    os.environ["STREAMOPS_PIPELINES"] = str(PIPELINES)
    with tempfile.TemporaryDirectory(prefix="streamops-benchmark-", ignore_cleanup_errors=True) as folder:
        made = Stack(StackSettings.on_free_ports(Path(folder) / "stack"), say)
        try:
            made.up(servers)
            streamops(made, "topics", "apply", "--yes", "--topic", topic)
            yield made
        finally:
            made.down()


def command(*arguments: str) -> list[str]:
    """The command line that runs `streamops` with this Python."""
    return [sys.executable, "-m", "streamops.cli.main", *arguments]


def streamops(stack: Stack, *arguments: str) -> str:
    """What the command prints, run as a client of the stack. Raises CalledProcessError."""
    environment = {**os.environ, **stack.environment()}
    done = subprocess.run(command(*arguments), env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout
