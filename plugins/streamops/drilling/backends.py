"""The backends by name, and where each keeps what drills write down."""

from __future__ import annotations

from pathlib import Path

from streamops.drilling.backend import Backend
from streamops.errors import ConfigurationError
from streamops.settings import Settings

NAMES = ("local", "compose", "kubernetes", "yarn")


def of(name: str) -> Backend:
    """The backend of that name. Raises ConfigurationError for any other name."""
    if name == "local":
        from streamops.drilling.local import LocalProcesses
        from streamops.stack.stack import Stack

        return LocalProcesses(Stack())
    if name == "compose":
        from streamops.drilling.compose import ComposeServices

        return ComposeServices.of()
    if name == "kubernetes":
        from streamops.drilling.kubernetes import KubernetesPods

        return KubernetesPods.of()
    if name == "yarn":
        from streamops.drilling.yarn import YarnContainers

        return YarnContainers.of()
    raise ConfigurationError(f"there is no backend {name!r}", f"Choose one of {', '.join(NAMES)}.")


def home(name: str, settings: Settings) -> Path:
    """Below which the open faults and the ledgers are: beside the embedded stack, or in the project's own folder."""
    if name == "local":
        from streamops.stack.settings import StackSettings

        return StackSettings.load().data
    return settings.home
