"""The client programs of other backends: `docker`, `kubectl`. They know contexts, credentials and sockets."""

from __future__ import annotations

import subprocess

from streamops.errors import ConfigurationError, UnavailableError

#: A client that takes longer waits for a server that is away.
_TIMEOUT_S = 120.0


def said(*command: str) -> str:
    """What a command prints. Raises ConfigurationError where it is not installed, UnavailableError where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False,
                              stdin=subprocess.DEVNULL)
    except FileNotFoundError as error:
        raise ConfigurationError(f"there is no `{command[0]}` on the PATH, with which this backend works",
                                 "Install it where drills run, or choose another backend.") from error
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"`{' '.join(command)}` has not ended within {_TIMEOUT_S:.0f} s",
                               "See that its server answers.") from error
    if done.returncode:
        raise UnavailableError(f"`{' '.join(command)}` failed: {(done.stderr or done.stdout).strip()[-500:]}",
                               "Correct what it says, then run `streamops drill heal`.")
    return done.stdout
