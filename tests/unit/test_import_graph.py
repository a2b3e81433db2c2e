"""The import graph of the library and the jobs: no circle, and every layer imports only downward.

    dags, page, command line, operators   ->   adapters (the only IO)   ->   core (pure)

What travels to the Spark driver is core that imports the standard library and its like, nothing else. Imports inside
functions count as well: they are edges like any other, only paid for later. Those for type checkers alone do not.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from streamops.adapters.spark.code_bundle import TRAVELLING

ROOT = Path(__file__).parents[2]

#: Core modules that the jobs import; they are in the zip that travels with a job.
TRAVELLERS = {name.removesuffix("__init__").replace("/", ".").strip(".") for name in TRAVELLING} - {""}

#: The top layer: what people and Airflow touch, and actions that a DAG and a command share. It may import everything.
TOP_MODULES = {"operators", "triggers", "stream_dag", "retry_policy"}
TOP_PACKAGES = {"actions", "cli", "drilling", "page", "runbooks", "stack"}

#: Neither core nor adapters, and imported by both: where the project keeps its things.
SETTINGS = {"settings"}

#: Servers, clients and frameworks; whoever imports one does IO, and is an adapter or above.
IO_LIBRARIES = {
    "airflow", "kafka", "pyspark", "py4j", "fsspec", "upath", "requests", "httpx", "aiohttp", "sqlalchemy", "alembic",
    "psutil", "socket", "subprocess", "urllib.request", "http.client",
}


@dataclass(frozen=True)
class Edge:
    """One import: who, whom, and the line."""

    importer: str
    imported: str
    path: Path
    line: int

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}: {self.importer} imports {self.imported}"


def modules() -> dict[str, Path]:
    """Every module of the library and of the jobs by its dotted name."""
    found = {}
    for base, folder in ((ROOT / "plugins", "streamops"), (ROOT / "jobs", ".")):
        for path in sorted((base / folder).rglob("*.py")):
            parts = path.relative_to(base).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(name: str, path: Path) -> Iterator[Edge]:
    """What a module imports: modules of ours as far as they are known, others as they are written."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in at_run_time(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        else:
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            targets = [f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base for alias in node.names]
        for target in targets:
            yield Edge(name, target, path, node.lineno)


def at_run_time(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """The import statements of a tree but those below `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield from at_run_time(ast.Module([other], []))
        else:
            yield from at_run_time(node)


EDGES = [edge for name, path in MODULES.items() for edge in imports(name, path)]
OURS = [edge for edge in EDGES if edge.imported in MODULES]


def layer(module: str) -> str:
    """`core`, `adapter`, `top`, or `settings` for a module of the library; `job` for one of the jobs."""
    package, _, rest = module.partition(".")
    if package != "streamops":
        return "job"
    first = rest.split(".")[0]
    if first in TOP_PACKAGES or first in TOP_MODULES:
        return "top"
    if first in SETTINGS:
        return "settings"
    return "adapter" if first == "adapters" else "core"


def told(edges: list[Edge], repair: str) -> str:
    return "\n".join(["", *map(str, edges), repair])


def test_the_graph_is_not_empty() -> None:
    assert {"streamops.state.batch_log", "streamops.adapters.files.state_files", "direct_stream"} <= set(MODULES)
    assert any(edge.imported == "streamops.errors" for edge in EDGES)


def test_no_circle() -> None:
    graph: dict[str, list[Edge]] = {name: [] for name in MODULES}
    for edge in OURS:
        # `import streamops.x` runs streamops/__init__.py; a package that its own modules import is no circle of ours.
        if not edge.importer.startswith(f"{edge.imported}.") and edge.importer != edge.imported:
            graph[edge.importer].append(edge)
    done: set[str] = set()

    def visit(module: str, way: list[Edge]) -> None:
        for edge in graph[module]:
            on_way = [step.importer for step in way] + [module]
            if edge.imported in on_way:
                circle = [*way, edge][on_way.index(edge.imported):]
                pytest.fail(told(circle, "These imports form a circle. Move what both need into a module of its own, "
                                         "named after what it is."))
            if edge.imported not in done:
                visit(edge.imported, [*way, edge])
        done.add(module)

    for module in MODULES:
        visit(module, [])


@pytest.mark.parametrize(("importer", "allowed", "repair"), [
    ("core", {"core"}, "Core is pure. Take what was read as an argument, and let the adapter or command call core."),
    ("adapter", {"core", "adapter", "settings"},
     "An adapter serves whoever calls it. Move what it needs down into core or into an adapter."),
    ("settings", {"core"}, "Settings are read before anything else works. Move the rest elsewhere."),
    ("job", {"core", "job"}, "A job runs inside Spark, where only jobs/ and the core modules that travel are."),
])
def test_layers_import_downward(importer: str, allowed: set[str], repair: str) -> None:
    wrong = [edge for edge in OURS if layer(edge.importer) == importer
             and layer(edge.imported) not in allowed and edge.imported != "streamops"]
    assert not wrong, told(wrong, repair)


def test_core_does_no_io() -> None:
    wrong = [edge for edge in EDGES if layer(edge.importer) == "core"
             and any(edge.imported == library or edge.imported.startswith(f"{library}.") for library in IO_LIBRARIES)]
    assert not wrong, told(wrong, "Core knows no server and no client. Move this into adapters/.")


def test_what_travels_needs_only_the_standard_library() -> None:
    travelling = {f"streamops.{name}" for name in TRAVELLERS}
    assert travelling <= set(MODULES), "a module that travels was renamed: correct TRAVELLING in code_bundle.py"
    wrong = [edge for edge in EDGES if edge.importer in travelling and edge.imported not in travelling
             and edge.imported.split(".")[0] not in sys.stdlib_module_names and edge.imported != "streamops"]
    assert not wrong, told(wrong, "This module runs on the Spark driver, where nothing of ours is installed. Do "
                                  "without that import, or let both use a module that travels too.")


def test_jobs_import_only_core_that_travels() -> None:
    wrong = [edge for edge in OURS if layer(edge.importer) == "job" and edge.imported.startswith("streamops.")
             and edge.imported.removeprefix("streamops.") not in TRAVELLERS]
    assert not wrong, told(wrong, "Only these modules are in the zip that travels with a job: "
                                  + ", ".join(sorted(TRAVELLERS)) + ". Add one in code_bundle.py, if it needs the "
                                  "standard library only.")
