"""Set the project up: `make setup`, or `python3 bootstrap.py`. Standard library only, for there is nothing else yet.

Makes `.venv/` with exactly what requirements.txt pins, and `.streamops/jars/` with exactly what jars.lock.json pins.
Safe to repeat (seconds when nothing changed) and to interrupt at any point: a virtual environment that an interruption
left half made is made again, and what was downloaded by then is in the caches of uv and Ivy.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

# Before anything that an older Python cannot evaluate; this file must still parse there.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit(
        f"streamops needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}.\n"
        "Install one (Debian, Ubuntu: python3.11 and python3.11-venv; macOS: brew install python@3.11), "
        "then: make setup PYTHON=python3.11"
    )

ROOT = os.path.dirname(os.path.abspath(__file__))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
REQUIREMENTS = os.path.join(ROOT, "requirements.txt")
#: What the environment was made from; it exists only while the environment is whole.
STAMP = os.path.join(VENV, "streamops-setup.json")

#: The environment takes 1.9 GB and the downloads 1.2 GB beside it; the rest is for the stack's first data.
NEEDED_MB = 4000
#: With the environment made, what remains are jars and the stack's data.
NEEDED_AFTER_MB = 500


class SetupError(Exception):
    """What was found, and what to do about it."""


def main() -> None:
    started = time.monotonic()
    name = ""
    try:
        for name, step in (
            ("Java", check_java),
            ("disk", check_disk),
            ("virtual environment", make_environment),
            ("packages", install_packages),
            ("streamops itself", install_project),
            ("jars", fetch_jars),
        ):
            run_step(name, step)
    except SetupError as error:
        sys.exit(f"\nSetup failed ({name}): {error}")
    except OSError as error:
        sys.exit(f"\nSetup failed ({name}): {error}\n{disk_hint() or 'Correct the cause, then run this again.'}")
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted. Run it again: it goes on from here.\n")
        sys.exit(130)
    print(f"Set up in {time.monotonic() - started:.0f} s.")


# Steps: each returns what to say about it, and does nothing when there is nothing to do.


def check_java(_progress: "Progress") -> str:
    """Before the long downloads, with the stack's own rule; that module imports the standard library only."""
    code = (
        "from streamops.errors import StreamopsError\nfrom streamops.stack.java import java\n"
        "try: print(java())\nexcept StreamopsError as error: raise SystemExit(str(error))"
    )
    environment = {**os.environ, "PYTHONPATH": os.path.join(ROOT, "plugins"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SetupError(done.stderr.strip())
    return done.stdout.strip()


def check_disk(_progress: "Progress") -> str:
    needed = NEEDED_AFTER_MB if is_complete() else NEEDED_MB
    free = free_mb()
    if free < needed:
        raise SetupError(f"The disk is too full: {free} MB free at {ROOT}, {needed} MB are needed.\nFree some space.")
    return f"{free / 1000:.0f} GB free"


def make_environment(progress: "Progress") -> str:
    if is_complete():
        return "is there"
    if os.path.lexists(VENV):
        if not os.path.exists(os.path.join(VENV, "pyvenv.cfg")) and os.listdir(VENV):
            raise SetupError(f"{VENV} is there and is not a virtual environment.\nMove it away.")
        # Whether an interrupted installation left whole packages cannot be told from outside; the caches make it cheap
        # to begin again.
        shutil.rmtree(VENV)
    try:
        progress.run([sys.executable, "-m", "venv", VENV])
    except SetupError as error:
        raise SetupError(f"{error}\nOn Debian and Ubuntu, install python3-venv.") from None
    # uv comes by pip, in the version and with the sums that requirements.txt pins like everything else.
    with tempfile.TemporaryDirectory() as folder:
        pinned = os.path.join(folder, "uv.txt")
        with open(pinned, "w", encoding="utf-8") as file:
            file.write(requirement("uv"))
        pip = [PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
        progress.run([*pip, "--require-hashes", "-r", pinned])
    return "made"


def install_packages(progress: "Progress") -> str:
    if is_complete():
        return "are there"
    # Compiled now and not at the first start of each server, where it would make the first `make demo` slower.
    command = [*uv("install"), "--require-hashes", "--compile-bytecode", "-r", REQUIREMENTS]
    try:
        progress.run(command)
    except CorruptDownload:
        progress.show("a download was corrupt, fetching it once more")
        progress.run([*command, "--refresh"])
    check = "import pathlib, pyspark; print(*pathlib.Path(pyspark.__file__).parent.glob('bin/spark-submit'))"
    if not progress.run([PYTHON, "-c", check]).strip():
        raise SetupError("pyspark is incomplete: it has no spark-submit.\nDelete .venv and run this again.")
    return "installed"


def install_project(progress: "Progress") -> str:
    if is_complete():
        return "is there"
    progress.run([*uv("install"), "--no-deps", "--no-build-isolation", "-e", ROOT])
    with open(STAMP + ".tmp", "w", encoding="utf-8") as file:
        json.dump(fingerprint(), file)
    os.replace(STAMP + ".tmp", STAMP)
    return "installed"


def fetch_jars(progress: "Progress") -> str:
    progress.run([os.path.join(VENV, "bin", "streamops"), "jars", "--fetch"])
    failed = os.path.join(ROOT, ".streamops", "jars", "classes", "failed.log")
    without = f"; jobs start some seconds later, without an archive of classes (see {failed})"
    return "are there, each with its pinned SHA-256" + (without if os.path.exists(failed) else "")


# What the steps need


def uv(verb: str) -> list[str]:
    """A `uv pip` command on the project's environment."""
    return [os.path.join(VENV, "bin", "uv"), "pip", verb, "--python", PYTHON]


def is_complete() -> bool:
    """Whether the environment was made whole, by this Python, from these files."""
    try:
        with open(STAMP, encoding="utf-8") as file:
            return bool(json.load(file) == fingerprint()) and os.access(PYTHON, os.X_OK)
    except (OSError, ValueError):
        return False


def fingerprint() -> dict[str, str]:
    """What the environment depends on. A folder that was moved counts as another: scripts hold its path."""
    sums = {"root": ROOT, "python": ".".join(map(str, sys.version_info[:2]))}
    for name in ("requirements.txt", "pyproject.toml"):
        with open(os.path.join(ROOT, name), "rb") as file:
            sums[name] = hashlib.sha256(file.read()).hexdigest()
    return sums


def requirement(name: str) -> str:
    """One package's lines of requirements.txt, sums included."""
    with open(REQUIREMENTS, encoding="utf-8") as file:
        match = re.search(rf"^{name}==.*?(?<!\\)$", file.read(), re.MULTILINE | re.DOTALL)
    if match is None:
        raise SetupError(f"requirements.txt does not pin {name}.\nRun `make lock`.")
    return match.group() + "\n"


def free_mb() -> int:
    return shutil.disk_usage(ROOT).free // 10**6


def disk_hint() -> str:
    """What to say when the disk may be the cause."""
    if free_mb() >= 100:
        return ""
    return f"The disk is full ({free_mb()} MB free at {ROOT}). Free some space, then run this again."


# Running commands with progress


class CorruptDownload(SetupError):
    """A file arrived with another sum than the pinned one."""


class Progress:
    """A line that shows a step, its seconds, and the last thing its command said."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.started = time.monotonic()
        self.last = ""
        self.finished = threading.Event()
        # Without a terminal, a line now and then tells whoever reads the log that it goes on.
        self.interval_s = 0.5 if sys.stdout.isatty() else 15.0
        threading.Thread(target=self.tick, daemon=True).start()

    def tick(self) -> None:
        while not self.finished.wait(self.interval_s):
            self.draw(f"… {self.last}")

    def show(self, text: str) -> None:
        self.last = text

    def draw(self, text: str, end: bool = False) -> None:
        line = f"{time.monotonic() - self.started:6.1f} s  {self.name}: {text}"
        if sys.stdout.isatty():
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\033[K{line[:width]}", end="\n" if end else "", flush=True)
        else:
            print(line, flush=True)

    def run(self, command: list[str]) -> str:
        """Run a command to its end; returns what it printed. Raises SetupError: its last words and what they mean."""
        output = []
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdout=pipe, stderr=subprocess.STDOUT, text=True, cwd=ROOT) as process:
            for line in process.stdout or ():
                output.append(line)
                if line.strip():
                    self.show(line.strip())
        text = "".join(output)
        if process.returncode:
            raise failure(os.path.basename(command[0]), text)
        return text


def failure(command: str, output: str) -> SetupError:
    """What a command's last words mean."""
    tail = "\n".join(f"  {line}" for line in output.strip().splitlines()[-12:])
    if "No space left on device" in output or disk_hint():
        return SetupError(f"{command} could not write:\n{tail}\n{disk_hint() or 'The disk is full. Free some space.'}")
    if re.search(r"hash mismatch|do not match the hashes|SHA-256 was not", output, re.IGNORECASE):
        # The many sums that would have done hide which package it is.
        said = [line for line in output.strip().splitlines() if not re.match(r"\s*(Expected|sha256:)", line)]
        tail = "\n".join(f"  {line}" for line in said[-12:])
        return CorruptDownload(
            f"A download is corrupt: its sum is not the pinned one.\n{tail}\n"
            "Something between this machine and the package index changes files (a proxy, a mirror). "
            "Run this again, or from another network."
        )
    network = r"dns error|error sending request|failed to fetch|connection error|name resolution|NewConnectionError"
    if re.search(network + r"|timed out|does not answer|No matching distribution found", output, re.IGNORECASE):
        return SetupError(
            f"No network, or a server that does not answer.\n{tail}\n"
            "Check the connection (and HTTPS_PROXY), then run this again: what is here already stays."
        )
    return SetupError(f"{command} failed:\n{tail}\nCorrect the cause, then run this again.")


def run_step(name: str, step) -> None:  # type: ignore[no-untyped-def]
    progress = Progress(name)
    try:
        said = step(progress)
    finally:
        progress.finished.set()
    progress.draw(said, end=True)


if __name__ == "__main__":
    main()
