"""Spark as a process of its own beside a benchmark: a script that is told what to run, and prints what it measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import python_sources
import servers
from streamops.settings import Settings
from streamops.stack.stack import Stack


def fill(stack: Stack, topic: str, least: int) -> int:
    """Feed real text to a topic, over and over. Returns how many records are in it then: at least so many."""
    text = stack.settings.data / "text"
    lines = python_sources.write_lines(text)
    repeat = -(-least // lines)
    servers.say(f"feeding {least:,} records")
    servers.streamops(stack, "feed", "--topic", topic, "--repeat", str(repeat), str(text))
    return repeat * lines


def run(
    script: str,
    stack: Stack,
    topic: str,
    class_path: Iterable[Path],
    plan: dict[str, Any],
    each: Callable[[dict[str, Any]], None],
) -> list[dict[str, Any]]:
    """Run a script of this folder, and return the JSON objects that it prints, a line each.

    The script's one argument is `plan` and where everything is; `each` is called with an object as soon as it is there.
    """
    work = {
        "bootstrap": stack.settings.bootstrap_servers,
        "topic": topic,
        "folder": str(stack.settings.data / "runs"),
        "class_path": ":".join(map(str, class_path)),
        **plan,
    }
    # The jobs are on the path of whoever runs inside Spark, and of nobody else.
    environment = {**os.environ, "PYTHONPATH": str(Settings.load().jobs), "SPARK_LOCAL_IP": "127.0.0.1"}
    command = [sys.executable, str(Path(__file__).with_name(script)), json.dumps(work)]
    found = []
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as spark:
        assert spark.stdout is not None
        try:
            for line in spark.stdout:
                if line.startswith("{"):
                    found.append(json.loads(line))
                    each(found[-1])
        except BaseException:
            spark.terminate()
            raise
    if spark.returncode:
        raise SystemExit(f"the runs ended with exit code {spark.returncode}")
    return found
