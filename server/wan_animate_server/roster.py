"""The workers that run, by their own account: heartbeat, memory, what they have loaded. Knows no job and no torch."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from wan_animate_blender.wire import Device

from .database import Database


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What a worker finds out about its device."""

    memory: int | None
    """Bytes of the device; of the host where it is the CPU."""
    free: int | None
    loaded: str
    """The model in memory and how, "" for none."""


class Roster:
    """One row for each worker that got ready and was not struck off."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def sign_on(self, worker: str, device: str, pid: int, title: str, models: tuple[str, ...]) -> None:
        """`worker` is ready for jobs of `models` on `device`, which its maker calls `title`."""
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO workers (name, device, pid, title, models, seen) VALUES (?, ?, ?, ?, ?, ?)",
                (worker, device, pid, title, json.dumps(models), time.time()),
            )

    def beat(self, worker: str, now: Condition) -> None:
        """A sign of life."""
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE workers SET beats = beats + 1, seen = ?, memory = ?, free = ?, loaded = ? WHERE name = ?",
                (time.time(), now.memory, now.free, now.loaded, worker),
            )

    def beats(self, worker: str) -> int | None:
        """Signs of life so far: told by their number, because clocks are set. None before the worker is ready."""
        rows = self._database.read("SELECT beats FROM workers WHERE name = ?", worker)
        return rows[0]["beats"] if rows else None

    def strike(self, worker: str | None = None) -> None:
        """Forget a worker that has ended, or all of them."""
        with self._database.writing() as connection:
            connection.execute("DELETE FROM workers WHERE name = ? OR ? IS NULL", (worker, worker))

    def models(self) -> tuple[str, ...]:
        """What somebody here can render with."""
        rows = self._database.read("SELECT models FROM workers")
        return tuple(sorted({name for row in rows for name in json.loads(row["models"])}))

    def devices(self) -> list[Device]:
        """Every worker's device, in the order of their names."""
        rows = self._database.read(
            "SELECT workers.*, coalesce((SELECT id FROM jobs WHERE worker = workers.name), '') AS job "
            "FROM workers ORDER BY device, name"
        )
        now = time.time()
        return [
            Device(
                name=row["device"], title=row["title"], worker=row["name"], pid=row["pid"], job=row["job"],
                memory=row["memory"], free=row["free"], loaded=row["loaded"], age=max(now - row["seen"], 0.0),
            )
            for row in rows
        ]  # fmt: skip
