"""Secrets of the embedded stack: made once, kept in files that only their owner can read."""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, repr=False)  # a traceback that shows it must not show what is in it
class Credentials:
    """Keys that Airflow's servers share, and the password of its user `admin`."""

    password: str
    fernet_key: str
    api_secret_key: str
    jwt_secret: str

    @classmethod
    def load_or_make(cls, folder: Path) -> Self:
        """Those in `<folder>/credentials.json`, made when there is none.

        Airflow's simple auth manager takes passwords from a file, so `<folder>/passwords.json` is written along.
        """
        path = folder / "credentials.json"
        if not path.exists():
            write_private(path, json.dumps(asdict(cls._make())))
        made = cls(**json.loads(path.read_text("utf-8")))
        passwords = json.dumps({"admin": made.password}) + "\n"
        if not made.passwords_file(folder).exists() or made.passwords_file(folder).read_text("utf-8") != passwords:
            write_private(made.passwords_file(folder), passwords)
        return made

    @staticmethod
    def passwords_file(folder: Path) -> Path:
        """What AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE points at."""
        return folder / "passwords.json"

    @classmethod
    def _make(cls) -> Self:
        return cls(
            password=secrets.token_urlsafe(12),
            fernet_key=base64.urlsafe_b64encode(os.urandom(32)).decode(),
            api_secret_key=secrets.token_urlsafe(32),
            jwt_secret=secrets.token_urlsafe(64),
        )


def write_private(path: Path, text: str) -> None:
    """Replace a file whole; only its owner may read it, from its first byte on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)
