"""The code that a job runs, frozen: a folder named by its content, which is never changed once it is there.

    <home>/code/3f9a0c1d52ab/streamops-3f9a0c1d52ab.zip    the library's part that travels, and jobs/
    <home>/code/3f9a0c1d52ab/direct_stream.py              the entry points, which PythonRunner wants as local files

A supervised driver that is relaunched next week finds the code that it was submitted with, even when jobs/ has been
changed since. A folder of old code stays for as long as a job may need it (cleaning/folders.py).
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import streamops
from streamops.errors import ConfigurationError
from streamops.zip_archive import zipped

#: Modules of the library that jobs import. They use nothing but the standard library and each other.
TRAVELLING = ("__init__", "errors", *(f"state/{name}" for name in (
    "__init__", "batch_log", "crash_loop", "drivers", "generations", "job_spec", "lease", "numbered_files", "offsets",
    "orders", "planned_batch", "proofs", "skips", "stored_json", "superseded", "word_totals")))

_LEFT_OUT = {".scala", ".jar", ".pyc"}


@dataclass(frozen=True)
class CodeBundle:
    """One version of a job's code on disk. Both paths are absolute."""

    version: str
    archive: Path
    folder: Path

    def entry_point(self, name: str) -> Path:
        """The local file that starts a job: `direct_stream.py`."""
        path = self.folder / name
        if not path.is_file():
            raise ConfigurationError(
                f"the folder of jobs has no {name}",
                "Set STREAMOPS_JOBS to the project's jobs/ folder, as it comes with this version of streamops.",
            )
        return path


def bundle_code(jobs: Path, into: Path) -> CodeBundle:
    """Freeze the code in `jobs` and the library, below `into`. Two who do it at once get the same folder."""
    contents = _contents(jobs)
    version = _named(contents)
    folder = into / version
    bundle = CodeBundle(version, folder / f"streamops-{version}.zip", folder)
    if not folder.is_dir():
        _write(bundle, contents)
    return bundle


def deployed_version(jobs: Path) -> str:
    """The name of the code that is deployed, without freezing it."""
    return _named(_contents(jobs))


def _named(contents: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in sorted(contents.items()):
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:12]


def _contents(jobs: Path) -> dict[str, bytes]:
    """Every file that travels, by its path in the archive."""
    if not jobs.is_dir():
        raise ConfigurationError(
            f"there is no folder of jobs at {jobs}",
            "Set STREAMOPS_JOBS to the project's jobs/ folder.",
        )
    library = Path(streamops.__file__).parent
    contents = {f"streamops/{name}.py": (library / f"{name}.py").read_bytes() for name in TRAVELLING}
    for path in sorted(jobs.rglob("*")):
        inside = path.relative_to(jobs)
        hidden = any(part.startswith((".", "__pycache__")) for part in inside.parts)
        if path.is_file() and not hidden and path.suffix not in _LEFT_OUT:
            contents[inside.as_posix()] = path.read_bytes()
    return contents


def _write(bundle: CodeBundle, contents: dict[str, bytes]) -> None:
    """Write the folder beside its place and move it there whole."""
    bundle.folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{bundle.version}.", dir=bundle.folder.parent))
    try:
        (beside / bundle.archive.name).write_bytes(zipped(contents))
        for name, content in contents.items():
            if "/" not in name and name.endswith(".py"):
                (beside / name).write_bytes(content)
        # Readable by the user that runs Spark's worker, which need not be Airflow's.
        for path in (beside, *beside.iterdir()):
            path.chmod(0o755 if path.is_dir() else 0o644)
        try:
            beside.rename(bundle.folder)
        except OSError:
            if not bundle.folder.is_dir():  # somebody else was first, with the same content
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
