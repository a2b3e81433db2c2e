"""Whether a port can be taken, and by whom it is when not."""

from __future__ import annotations

import socket
import time

import psutil

from streamops.errors import ConfigurationError
from streamops.stack.process import Server
from streamops.stack.settings import LOOPBACK, PREFIX

UNSEEN = "a process that this user may not see"

#: A process that was killed keeps its ports until the kernel has taken it apart, which takes seconds on a busy machine.
_LINGERING_S = 5.0


def require_free(server: Server) -> None:
    """Raise ConfigurationError naming every port of the server that something else listens on, and by what."""
    deadline = time.monotonic() + _LINGERING_S
    while taken := {setting: port for setting, port in server.ports.items() if not is_free(port)}:
        if time.monotonic() < deadline and all(holder(port) is None for port in taken.values()):
            time.sleep(0.1)
            continue
        found = "\n".join(
            f"Port {port} of {server.name} is taken by {holder(port) or UNSEEN}." for port in taken.values()
        )
        variables = " ".join(f"{PREFIX}{setting.upper()}=…" for setting in taken)
        raise ConfigurationError(found, f"End that program, or choose another port: {variables}")


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of loopback now."""
    with socket.socket() as candidate:
        # As servers do: a connection that lingers in TIME_WAIT does not keep a port from being listened on.
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def holder(port: int) -> str | None:
    """Who listens on a port, in words: "java (pid 4711)"; None for a process that is gone, or of another user."""
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
            if listens and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:  # macOS shows other people's connections to root only
        pass
    return None
