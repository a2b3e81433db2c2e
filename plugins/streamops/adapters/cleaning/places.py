"""Which roots are cleaned: state directories of pipelines and orphans, frozen code, work folders, event logs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from streamops.adapters.cleaning import shared_places
from streamops.adapters.cleaning.ground import GroundReader, KeptPoints, Servers, ended_drivers, root_at
from streamops.adapters.cleaning.place import Place
from streamops.adapters.cleaning.state_place import StatePlace
from streamops.adapters.connections import Connection, connection
from streamops.adapters.files.state_files import StateFiles
from streamops.adapters.files.storage_options import storage_options
from streamops.adapters.files.trees import open_tree
from streamops.cleaning import folders as cleanup_folders
from streamops.cleaning.folders import CodeUse, SparkNow
from streamops.cleaning.paths import Root, RootKind
from streamops.cleaning.seen import Kind
from streamops.declared.pipeline import Pipeline
from streamops.declared.pipelines import Pipelines
from streamops.errors import ConfigurationError, StreamopsError
from streamops.points.retention import KeepRule
from streamops.settings import Settings
from streamops.state import generations

if TYPE_CHECKING:
    from streamops.adapters.database.points import Points

Say = Callable[[str], object]

#: What is of no one pipeline, by the name under which it is chosen.
CODE, WORK, EVENTS, ORPHANS = "code", "work", "events", "orphans"
SHARED = (CODE, WORK, EVENTS, ORPHANS)

#: Key in a Spark connection's extra: a standalone worker's folder, as this machine sees it.
WORK_KEY = "work-dir"
_EVENTS_KEY, _EVENTS_ON = "spark.eventLog.dir", "spark.eventLog.enabled"
#: Hadoop's names of file systems, where fsspec has others.
_FSSPEC_SCHEMES = {"s3a": "s3", "s3n": "s3"}


class Places:
    """The roots of what is declared. `rule_of` says how long a pipeline's recovery points are kept. To be closed."""

    def __init__(self, declared: Pipelines, points: Callable[[], Points], rule_of: Callable[[Pipeline], KeepRule],
                 say: Say, settings: Settings) -> None:
        self._declared = declared
        self._points_of = points
        self._rule_of = rule_of
        self._say = say
        self._settings = settings
        self._servers = Servers(say)

    def close(self) -> None:
        """Give up connections."""
        self._servers.close()

    def names(self) -> list[str]:
        """Every place there may be."""
        return [*self._declared.pipelines, *SHARED]

    def of(self, name: str) -> Iterator[Place]:
        """The places of a name: one of a pipeline, any number of the others. Raises ConfigurationError."""
        if name == CODE:
            yield self._shared(CODE, self._code_root, shared_places.code(self._declared.cleanup, self._code_use))
        elif name == WORK:
            for root in self._work_roots:
                yield self._shared(WORK, root, shared_places.work(self._declared.cleanup, self._spark_now))
        elif name == EVENTS:
            for root, options in self._event_roots:
                yield self._shared(EVENTS, root, shared_places.events(self._declared.cleanup, self._spark_now), options)
        elif name == ORPHANS or name.startswith(f"{ORPHANS}:"):
            yield from (each for each in self._orphans() if name in (ORPHANS, each.name))
        else:
            yield self._pipeline(self._declared.pipeline(name))

    # Of a pipeline

    def _pipeline(self, pipeline: Pipeline) -> Place:
        storage = connection(pipeline.connections.storage)
        files = StateFiles.at(storage, pipeline.state_directory)
        rule, points = self._rule_of(pipeline), self._points
        root = root_at(RootKind.STATE, files.url, pipeline.name)
        reader = GroundReader(root, files, pipeline.name, pipeline.cleanup, KeptPoints(points, rule),
                              self._servers, self._say, pipeline)
        others = frozenset(
            other.consumer_group for other in self._declared.pipelines.values()
            if other.name != pipeline.name and other.source == "kafka"
            and other.connections.kafka == pipeline.connections.kafka)
        return StatePlace(pipeline.name, self._roots, open_tree(files.url, storage_options(storage)), reader,
                          pipeline.cleanup, pipeline, points, rule, others)

    @cached_property
    def _points(self) -> Points | None:
        try:
            return self._points_of()
        except StreamopsError as error:
            self._say(f"recovery points are not known: {error.found}")
            return None

    # Of no one pipeline

    def _shared(self, name: str, root: Root, judged: shared_places.Judged, options: Any = None) -> Place:
        return shared_places.SharedPlace(name, root, self._roots, open_tree(root.url, options),
                                         StateFiles(root.url, options), self._declared.cleanup, judged)

    @cached_property
    def _code_root(self) -> Root:
        return root_at(RootKind.CODE, f"file://{self._settings.home / 'code'}")

    @cached_property
    def _work_roots(self) -> list[Root]:
        found = {}
        for each in self._spark_connections.values():
            if folder := each.extra.get(WORK_KEY):
                root = root_at(RootKind.WORK, str(folder) if "://" in str(folder) else f"file://{folder}")
                found[root.url] = root
        return list(found.values())

    @cached_property
    def _event_roots(self) -> list[tuple[Root, Any]]:
        found: dict[str, tuple[Root, Any]] = {}
        for pipeline in self._declared.pipelines.values():
            conf = pipeline.resources.conf
            if conf.get(_EVENTS_ON) != "true" or _EVENTS_KEY not in conf:
                continue
            scheme, colon, rest = conf[_EVENTS_KEY].partition(":")
            url = f"{_FSSPEC_SCHEMES.get(scheme, scheme)}:{rest}" if colon else f"file://{conf[_EVENTS_KEY]}"
            storage = self._connected(pipeline.connections.storage)
            same = storage is not None and str(storage.extra.get("url", "")).startswith(f"{scheme}:")
            root = root_at(RootKind.EVENTS, url)
            found[root.url] = (root, storage_options(storage) if storage is not None and same else None)
        return list(found.values())

    @cached_property
    def _spark_connections(self) -> dict[str, Connection]:
        names = {pipeline.connections.spark for pipeline in self._declared.pipelines.values()}
        names.add(self._declared.connections.spark)
        return {name: found for name in sorted(names) if (found := self._connected(name)) is not None}

    @cached_property
    def _storage_connections(self) -> dict[str, Connection]:
        names = {pipeline.connections.storage for pipeline in self._declared.pipelines.values()}
        names.add(self._declared.connections.storage)
        return {name: found for name in sorted(names) if (found := self._connected(name)) is not None}

    def _connected(self, name: str) -> Connection | None:
        try:
            return connection(name)
        except ConfigurationError as error:
            self._say(error.found)
            return None

    def _spark_now(self) -> SparkNow:
        """What the masters of all Spark connections say."""
        living: set[str] = set()
        unknown = []
        for name in self._spark_connections:
            master = self._servers.master(name)
            found = master.living() if master is not None else None
            if found is None:
                unknown.append(f"the Spark master of the connection {name} does not answer")
            else:
                living |= found
        return SparkNow(frozenset(living), tuple(unknown))

    def _code_use(self) -> CodeUse:
        """What is deployed now, and what any pipeline's state directory, orphans included, says is needed."""
        from streamops.adapters.spark.code_bundle import deployed_version

        used: set[str] = set()
        unknown: list[str] = []
        try:
            used.add(deployed_version(self._settings.jobs))
        except StreamopsError as error:
            unknown.append(error.found)
        for pipeline in self._declared.pipelines.values():
            try:
                files = StateFiles.at(connection(pipeline.connections.storage), pipeline.state_directory)
                ended = ended_drivers(files, self._servers.master(pipeline.connections.spark))
                used |= cleanup_folders.code_used(files, ended)
            except StreamopsError as error:
                unknown.append(f"{pipeline.name}: {error.found}")
        try:  # another pipelines.yaml may declare these, and share this home
            for _, _, files in self._orphan_files():
                used |= cleanup_folders.code_used(files)
        except (StreamopsError, OSError, RuntimeError) as error:
            unknown.append(f"state directories that are not declared: {str(error)[:200]}")
        return CodeUse(frozenset(used), tuple(unknown))

    # Orphans, and all roots

    def _orphans(self) -> Iterator[Place]:
        for options, folder, files in self._orphan_files():
            root = root_at(RootKind.STATE, files.url)
            kept = KeptPoints(self._points, KeepRule())
            reader = GroundReader(root, files, folder, self._declared.cleanup, kept, self._servers, self._say, None)
            yield StatePlace(f"{ORPHANS}:{folder}", (*self._roots, root), open_tree(files.url, options), reader,
                             self._declared.cleanup, None)

    def _orphan_files(self) -> Iterator[tuple[Any, str, StateFiles]]:
        """State directories that no pipeline is declared for: fsspec's options, the folder, and what is in it."""
        away: Exception | None = None
        for name, storage in self._storage_connections.items():
            url, options = str(storage.extra.get("url", "")), storage_options(storage)
            try:
                top = StateFiles(url, options)
                below = sorted(seen.path for seen in open_tree(url, options).entries() if seen.kind is Kind.FOLDER)
                found = list(self._orphan_folders(name, top, below))
            except (StreamopsError, OSError, RuntimeError) as error:
                away = away or error  # the others come first
                continue
            for folder in found:
                yield options, folder, top.under(folder)
        if away is not None:
            raise away

    def _orphan_folders(self, storage: str, top: StateFiles, folders: list[str]) -> Iterator[str]:
        """Folders with generations, that are no declared state directory; those above declared ones are looked into."""
        declared = {pipeline.state_directory for pipeline in self._declared.pipelines.values()
                    if self._same_storage(pipeline.connections.storage, storage)}
        for folder in folders:
            if folder in declared:
                continue
            if any(each.startswith(f"{folder}/") for each in declared):
                below = [f"{folder}/{name}" for name in sorted(top.names(folder))]
                yield from self._orphan_folders(storage, top, below)
            elif top.names(f"{folder}/{generations.DIRECTORY}"):
                yield folder

    def _same_storage(self, one: str, other: str) -> bool:
        found = self._storage_connections
        return one == other or (one in found and other in found and str(found[one].extra.get("url")).rstrip("/")
                                == str(found[other].extra.get("url")).rstrip("/"))

    @cached_property
    def _roots(self) -> tuple[Root, ...]:
        """Every declared root."""
        found = [self._code_root, *self._work_roots, *(root for root, _ in self._event_roots)]
        for pipeline in self._declared.pipelines.values():
            storage = self._storage_connections.get(pipeline.connections.storage)
            if storage is not None and storage.extra.get("url"):
                url = f"{str(storage.extra['url']).rstrip('/')}/{pipeline.state_directory}"
                found.append(root_at(RootKind.STATE, url, pipeline.name))
        return tuple(found)
