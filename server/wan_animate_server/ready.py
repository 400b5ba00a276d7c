"""Where the private server of a farm's session is, and how to come in: its ready file. Knows neither HTTP nor jobs."""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

VARIABLE = "WAN_ANIMATE_PRIVATE"
"""In the environment of a session's actions: the ready file of its server."""

MODULE = "wan_animate_server.private"
"""What such a server runs, by which its process is known."""


@dataclass(frozen=True, kw_only=True)
class Ready:
    """What the ready file says: where the server is, how to come in, and what it renders on."""

    url: str
    token: str
    pid: int
    devices: tuple[str, ...]

    @classmethod
    def read(cls, file: Path) -> Ready | None:
        """None when there is no such file, or no private server's."""
        try:
            said: dict[str, Any] = json.loads(file.read_bytes())
            return cls(url=said["url"], token=said["token"], pid=int(said["pid"]), devices=tuple(said["devices"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, file: Path) -> None:
        """Whole or not at all, and only for its owner's eyes."""
        part = file.with_name(f".{file.name}.{uuid.uuid4().hex[:8]}.part")
        try:
            with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as out:
                out.write(json.dumps(asdict(self)))
            part.replace(file)
        finally:
            part.unlink(missing_ok=True)

    def process(self, file: Path) -> psutil.Process | None:
        """The server that wrote `file`, known by its command line; None when it has ended."""
        try:
            process = psutil.Process(self.pid)
            words = process.cmdline()
            ours = MODULE in words and str(file) in words and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return None
        return process if ours else None
