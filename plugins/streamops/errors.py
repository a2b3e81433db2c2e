"""Every error that streamops raises on purpose.

    StreamopsError                 what was found, why it is refused, what to do next
    ├── ConfigurationError         a file, a setting or an argument that a person must correct
    ├── RefusedError               an action that is not safe now; nothing was changed
    ├── UnavailableError           a server that does not answer; trying again can help
    ├── StateError                 state or output that contradicts itself; a person must look
    ├── AlarmError                 a pipeline that does not do what it is there for; a person must look
    ├── RolledBackError            an upgrade whose version failed; the last healthy one runs again
    └── JobStopped                 why a streaming job ended itself
        ├── LeaseLostError         another driver writes for this pipeline now
        ├── StopOrderedError       a person stopped or paused the pipeline
        ├── TransformError         the transform itself fails, whatever the records
        ├── BadRecordError         a record that the transform cannot process
        └── DataLossError          records that were not processed are gone from Kafka

Standard library only: this module travels to the Spark driver.
"""

from __future__ import annotations

from collections.abc import Sequence


class StreamopsError(Exception):
    """An error for a person: `found` says what is wrong, `repair` what to do about it."""

    exit_code = 1
    #: Whether doing the same again, unchanged, may succeed.
    retryable = False
    #: The word under which a job that ends itself records the reason (see state/drivers.py).
    kind = "error"

    def __init__(self, found: str, repair: str | None = None) -> None:
        super().__init__(found if repair is None else f"{found}\n{repair}")
        self.found = found
        self.repair = repair


class ConfigurationError(StreamopsError):
    """A file, a setting or an argument that a person must correct."""

    exit_code = 2
    kind = "configuration"


class RefusedError(StreamopsError):
    """An action that is not safe now. Nothing was changed."""

    exit_code = 3


class UnavailableError(StreamopsError):
    """A server that does not answer. Nothing is known to be wrong with the request."""

    exit_code = 4
    retryable = True


class StateError(StreamopsError):
    """State or output that contradicts itself, so that going on could lose or double records."""

    exit_code = 5
    kind = "state"


class AlarmError(StreamopsError):
    """A pipeline that falls behind, stands still, or is about to lose records."""

    exit_code = 7
    kind = "alarm"


class RolledBackError(StreamopsError):
    """An upgrade whose version failed. The last healthy version runs again, unless the message says otherwise."""

    exit_code = 8
    kind = "rolled_back"


class JobStopped(StreamopsError):
    """A streaming job ended itself; running it again unchanged would end it again.

    The driver exits with 0 on these, because Spark relaunches a supervised driver on any other exit code.
    """

    exit_code = 6
    kind = "stopped"


class LeaseLostError(JobStopped):
    """Another driver writes for this pipeline now."""

    kind = "lease_lost"


class StopOrderedError(JobStopped):
    """A person stopped or paused the pipeline, and the driver ended as it was told."""

    kind = "stop_ordered"


class TransformError(JobStopped):
    """The transform itself fails, whatever the records."""

    kind = "transform"


class BadRecordError(JobStopped):
    """A record that the transform cannot process, and the pipeline says `on_bad_record: fail`."""

    kind = "bad_record"


class DataLossError(JobStopped):
    """Unprocessed records are gone from Kafka, and the pipeline says `on_data_loss: stop`."""

    kind = "data_loss"


def together(errors: Sequence[StreamopsError], of: int) -> StreamopsError:
    """The only error, or one that has them all, of the kind of the worst; `of` is how many pipelines there were."""
    if len(errors) == 1:
        return errors[0]
    worst = max(errors, key=lambda error: error.exit_code)
    return type(worst)(f"{len(errors)} of {of} pipelines failed:\n" + "\n".join(map(str, errors)))
