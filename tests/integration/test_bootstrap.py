"""Set-up from nothing in an empty folder: `make setup`, interrupted, damaged, without network, with unfit tools.

One whole set-up is made, which takes a minute with warm download caches. Left out: a machine with empty caches, which
would download a gigabyte in every run of the tests; a really full disk.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: A package index that does not answer, and no cache in its place.
NO_NETWORK = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0", "PIP_NO_CACHE_DIR": "1"}

pytestmark = pytest.mark.integration


def copy_project(target: Path) -> Path:
    """What a fresh clone has, as far as the set-up is concerned."""
    target.mkdir(parents=True)
    for name in ("bootstrap.py", "Makefile", "pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, target / name)
    for name in ("plugins", "jobs"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    return target


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("clone") / "streamops")


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    return copy_project(tmp_path / "streamops")


def environment(**changed: str) -> dict[str, str]:
    # The tests run inside an environment of their own, which a person's shell does not have.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("VIRTUAL_ENV", "STREAMOPS_"))}
    return {**kept, **changed}


def set_up(folder: Path, python: str = sys.executable, **changed: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "bootstrap.py"], cwd=folder, env=environment(**changed), capture_output=True, text=True, check=False
    )


def older_python() -> str | None:
    """A Python before 3.11 that runs, of the usual names and places."""
    names = [f"python3.{minor}" for minor in range(10, 5, -1)]
    places = [shutil.which(name) for name in names]
    places += [str(path) for name in names for path in Path.home().glob(f".pyenv/versions/*/bin/{name}")]
    for place in filter(None, places):
        if subprocess.run([place, "-c", ""], capture_output=True, check=False).returncode == 0:
            return place
    return None


def test_an_older_python_is_refused_in_one_sentence(fresh: Path) -> None:
    python = older_python()
    if python is None:
        pytest.skip("no Python before 3.11 on this machine")
    done = set_up(fresh, python)
    assert done.returncode == 1
    assert "streamops needs Python 3.11 or newer" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (fresh / ".venv").exists()


@pytest.mark.parametrize(
    ("says", "found"),
    [(None, "No java in JAVA_HOME="), ('openjdk version "11.0.2"', "is Java 11; Spark 4 and Kafka 4 need 17")],
)
def test_without_a_fit_java_nothing_is_begun(fresh: Path, tmp_path: Path, says: str | None, found: str) -> None:
    home = tmp_path / "java"
    (home / "bin").mkdir(parents=True)
    if says:
        (home / "bin" / "java").write_text(f"#!/bin/sh\necho '{says}' >&2\n")
        (home / "bin" / "java").chmod(0o755)
    done = set_up(fresh, JAVA_HOME=str(home))
    assert done.returncode == 1
    assert found in done.stderr
    assert "openjdk-17-jre-headless" in done.stderr
    assert not (fresh / ".venv").exists()


def test_without_network_it_says_so(fresh: Path) -> None:
    done = set_up(fresh, **NO_NETWORK)
    assert done.returncode == 1
    assert "No network, or a server that does not answer" in done.stderr
    assert "Traceback" not in done.stderr


def test_something_else_in_the_way_is_left_alone(fresh: Path) -> None:
    (fresh / ".venv").mkdir()
    (fresh / ".venv" / "precious").touch()
    done = set_up(fresh)
    assert done.returncode == 1
    assert "is not a virtual environment" in done.stderr
    assert (fresh / ".venv" / "precious").exists()


def test_a_corrupt_package_is_named(fresh: Path) -> None:
    """A sum that does not fit stands for a file that was changed on its way."""
    text = (fresh / "requirements.txt").read_text()
    block = re.search(r"^uv==.*?(?<!\\)$", text, re.MULTILINE | re.DOTALL)
    assert block is not None
    damaged = re.sub(r"sha256:[0-9a-f]{8}", "sha256:00000000", block.group())
    (fresh / "requirements.txt").write_text(text.replace(block.group(), damaged))
    done = set_up(fresh)
    assert done.returncode == 1
    assert "A download is corrupt" in done.stderr
    assert "uv==" in done.stderr


@pytest.mark.long
def test_it_is_interrupted_goes_on_and_is_complete(clone: Path) -> None:
    """Ctrl-C in the environment's making and in the packages' installing; then to the end, and once more."""
    for awaited in (".venv/pyvenv.cfg", ".venv/bin/uv"):
        process = subprocess.Popen(
            [sys.executable, "bootstrap.py"],
            cwd=clone,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        deadline = time.monotonic() + 60
        while not (clone / awaited).exists():
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        output, _ = process.communicate(timeout=30)
        assert process.returncode == 130, output
        assert "Interrupted. Run it again: it goes on from here." in output
        assert "Traceback" not in output

    done = set_up(clone)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Set up in \d+ s", done.stdout)
    assert re.search(r"\d+\.\d s  packages: installed", done.stdout), "each step says how long it took"

    began = time.monotonic()
    again = set_up(clone)
    assert again.returncode == 0
    assert "packages: are there" in again.stdout
    assert time.monotonic() - began < 10, "nothing to do is done in no time"

    command = str(clone / ".venv" / "bin" / "streamops")
    shown = subprocess.run([command, "jars"], capture_output=True, text=True, check=True, env=environment())
    jars = shown.stdout.strip().split(",")
    assert len(jars) == 5, "the connector's four, and the receiver, compiled"
    assert all(jar.startswith(str(clone)) and Path(jar).is_file() for jar in jars)


@pytest.mark.long
def test_a_damaged_jar_is_named_and_brought_again(clone: Path) -> None:
    if not (clone / ".venv" / "streamops-setup.json").exists():
        pytest.skip("the set-up before did not succeed")
    jar = next((clone / ".streamops" / "jars" / "broker").glob("kafka-clients-*.jar"))
    whole = jar.read_bytes()
    jar.write_bytes(whole[: len(whole) // 2])
    done = subprocess.run(
        [str(clone / ".venv" / "bin" / "streamops"), "jars", "--fetch"],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )
    assert f"{jar.name} is corrupt" in done.stderr
    assert jar.read_bytes() == whole


def test_an_environment_whose_python_is_gone_is_made_again(fresh: Path) -> None:
    (fresh / ".venv").mkdir()
    (fresh / ".venv" / "pyvenv.cfg").write_text("home = /nowhere\n")
    (fresh / ".venv" / "streamops-setup.json").write_text("{}")
    done = set_up(fresh, **NO_NETWORK)
    assert "Setup failed (virtual environment): No network" in done.stderr
    assert "home = /nowhere" not in (fresh / ".venv" / "pyvenv.cfg").read_text(), "made anew, as far as it came"
