"""Where this project keeps its things: read from the environment when asked for, never at import.

    STREAMOPS_HOME        jars, and the embedded stack's data and logs   (<project>/.streamops)
    STREAMOPS_PIPELINES   the file that declares the pipelines           (<project>/dags/pipelines.yaml)
    STREAMOPS_JOBS        the folder of what runs inside Spark           (<project>/jobs)
    STREAMOPS_JARS        the Spark connector for Kafka                  (<home>/jars/connector)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from streamops.errors import ConfigurationError


def project_root() -> Path:
    """The folder that holds `dags/`, `jobs/` and `plugins/`.

    It is found from this file, so that the same code serves a clone, an editable install and the folders mounted into
    a stock Airflow image; an ordinary install has no such folder around it and takes the working directory.
    """
    beside = Path(__file__).resolve().parents[2]
    return beside if (beside / "plugins" / "streamops").is_dir() else Path.cwd()


class Settings(BaseSettings):
    """Paths of the project, absolute."""

    model_config = SettingsConfigDict(env_prefix="STREAMOPS_", env_ignore_empty=True, frozen=True, extra="ignore")

    home: Path
    pipelines: Path
    jobs: Path
    jars: Path

    @classmethod
    def load(cls, **given: Any) -> Self:
        """Settings from the environment; `given` ones (keyword = field) win. Raises ConfigurationError."""
        try:
            return cls(**given)
        except ValidationError as error:
            raise ConfigurationError(
                *describe_invalid(error, prefix="STREAMOPS_")
            ) from None

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, values: dict[str, Any]) -> dict[str, Any]:
        root = project_root()
        home = Path(values.get("home") or root / ".streamops")
        defaults = {
            "home": home,
            "pipelines": root / "dags" / "pipelines.yaml",
            "jobs": root / "jobs",
            "jars": home / "jars" / "connector",
        }
        return {name: Path(values.get(name) or default).expanduser().absolute() for name, default in defaults.items()}


def describe_invalid(error: ValidationError, prefix: str) -> tuple[str, str]:
    """What is wrong with settings, every problem on its own line, and the repair."""
    problems = [
        f"{prefix}{'.'.join(str(part) for part in problem['loc']).upper()}={problem['input']!r}: {problem['msg']}"
        for problem in error.errors()
    ]
    return "\n".join(problems), "Set these environment variables to valid values, or unset them for the defaults."
