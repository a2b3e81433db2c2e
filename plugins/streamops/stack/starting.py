"""Starting several servers at the same time, each as early as it can."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

import psutil

from streamops.errors import StreamopsError, UnavailableError
from streamops.stack import process
from streamops.stack.process import Folder, Server

#: Long enough for a probe not to be a load, short enough not to be felt.
_PROBE_INTERVAL_S = 0.3
#: How often the servers that take long are mentioned.
_STILL_WAITING_S = 10.0
_LAST_LINES = 15


class StartFailed(StreamopsError):
    """A server ended while it was starting, or its probe did not pass in time."""


class EndedMeanwhile(StartFailed):
    """A server that was there already has ended while its probe was awaited: somebody has just killed it."""


class Starter:
    """Starts what does not run and waits until every probe passes."""

    def __init__(self, folder: Folder, timeout_s: float, say: Callable[[str], None]) -> None:
        """`timeout_s` is what each server may take from its start until its probe passes."""
        self._folder = folder
        self._timeout_s = timeout_s
        self._say = say
        self._abandon = threading.Event()
        #: Why each server that is waited for is not healthy yet.
        self._reasons: dict[str, str] = {}

    def run(self, servers: Sequence[Server]) -> None:
        """Return when all are healthy. The first failure ends the waiting for the others, which go on starting.

        Raises StartFailed, with the last lines of the log of the server that failed.
        """
        began = time.monotonic()
        with ThreadPoolExecutor(max_workers=max(1, len(servers))) as pool:
            try:
                futures = [pool.submit(self._start, server) for server in servers]
                while True:
                    done, pending = wait(futures, timeout=_STILL_WAITING_S, return_when=FIRST_EXCEPTION)
                    for future in done:
                        future.result()
                    if not pending:
                        return
                    waited = sorted(self._reasons.copy().items())
                    names = ", ".join(name for name, _reason in waited) or "preparations"
                    why = f" ({waited[0][1]})" if len(waited) == 1 else ""
                    self._say(f"{time.monotonic() - began:6.1f} s  waiting for {names}{why}")
            finally:
                self._abandon.set()

    def _start(self, server: Server) -> None:
        began = time.monotonic()
        running = process.running(server.name, self._folder)
        fresh = running is None
        if running is None:
            server.prepare()
            if self._abandon.is_set():
                return
            running = process.start(server, self._folder)
            began_process = time.monotonic()
        else:
            began_process = began
        detail = self._until_healthy(server, running, began_process, StartFailed if fresh else EndedMeanwhile)
        if detail is not None and fresh:
            self._say(f"{time.monotonic() - began:6.1f} s  {server.name} is up ({detail})")

    def _until_healthy(
        self, server: Server, running: psutil.Process, began: float, ended: type[StartFailed]
    ) -> str | None:
        """What the probe says of the healthy server; None when another server's failure makes waiting pointless."""
        try:
            while not self._abandon.is_set():
                if process.running(server.name, self._folder) is None:
                    raise ended(f"{server.name} ended while it was starting. {self._last_words(server)}")
                try:
                    return server.probe(running.create_time())
                except UnavailableError as error:
                    reason = self._reasons[server.name] = error.found
                except psutil.NoSuchProcess:
                    continue
                if time.monotonic() - began > self._timeout_s:
                    raise StartFailed(
                        f"{server.name} (pid {running.pid}) is not healthy after {self._timeout_s:.0f} s: {reason}. "
                        f"{self._last_words(server)}",
                        f"If it hangs: streamops stack down {server.name}, then up again.",
                    )
                self._abandon.wait(_PROBE_INTERVAL_S)
        finally:
            self._reasons.pop(server.name, None)
        return None

    def _last_words(self, server: Server) -> str:
        log = self._folder.log(server.name)
        try:
            text = log.read_text("utf-8", errors="replace")[-20_000:]
        except FileNotFoundError:
            return f"It wrote no log ({log})."
        last = "\n".join(f"  {line[:300]}" for line in text.splitlines()[-_LAST_LINES:])
        return f"The last lines of {log}:\n{last}"
