"""The durable queue: which job stands where, in one SQLite file. Knows neither HTTP nor models.

Every change of state is one transaction, so that the server, its worker and a worker that was left over from a
killed server may all write: a worker only changes jobs that still carry its name.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from wan_animate_blender.wire import BadInput, Job, JobState, Shot

from .progress import Progress

DEATHS = 3
"""Workers that a job may cost without a new frame in between before it is given up."""

# `number` keeps the order of arrival, `furthest` the most frames any attempt reached.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE, shot TEXT NOT NULL, strip TEXT NOT NULL, state TEXT NOT NULL, created REAL NOT NULL,
    stage TEXT NOT NULL DEFAULT '', progress REAL NOT NULL DEFAULT 0, segment INTEGER NOT NULL DEFAULT 0,
    segments INTEGER NOT NULL DEFAULT 0, step INTEGER NOT NULL DEFAULT 0, steps INTEGER NOT NULL DEFAULT 0,
    frames INTEGER NOT NULL DEFAULT 0, seconds_left REAL, message TEXT NOT NULL DEFAULT '',
    worker TEXT, furthest INTEGER NOT NULL DEFAULT 0, deaths INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS models (name TEXT PRIMARY KEY);
"""
_COLUMNS = ", ".join(f.name for f in fields(Job))
_BUSY_SECONDS = 30.0


class Jobs:
    """The jobs of one data folder. May be shared by threads; every call opens its own connection."""

    def __init__(self, path: Path) -> None:
        """Raises `BadInput` when the file cannot be written or is not a database."""
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._connect()) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise BadInput(f"cannot keep jobs in {path} ({error}); choose another data folder with --data") from error

    def add(self, job: str, shot: Shot) -> Job:
        """Queue a job behind all others."""
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO jobs (id, shot, strip, state, created) VALUES (?, ?, ?, ?, ?)",
                (job, shot.name, shot.strip, JobState.QUEUED, time.time()),
            )
        found = self.get(job)
        assert found is not None
        return found

    def get(self, job: str) -> Job | None:
        found = self._read(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", job)
        return _job(found[0]) if found else None

    def all(self, newest: int | None = None) -> list[Job]:
        """In order of arrival; only the last `newest`, where that is given."""
        rows = self._read(f"SELECT {_COLUMNS} FROM jobs ORDER BY number DESC LIMIT ?", -1 if newest is None else newest)
        return [_job(row) for row in reversed(rows)]

    def cancel(self, job: str) -> Job | None:
        """Ask a job to stop: `CANCELLED` at once when no worker has it, else `CANCELLING`. None: there is no such."""
        with self._writing() as connection:
            _move(connection, JobState.CANCELLED, "id = ? AND state = ?", job, JobState.QUEUED)
            _move(connection, JobState.CANCELLING, "id = ? AND state = ?", job, JobState.RUNNING)
        return self.get(job)

    def retry(self, job: str) -> bool:
        """Queue a failed or cancelled job again, behind all others, as if it had just come. False: it is neither.

        What it had finished is found again by whoever renders it.
        """
        with self._writing() as connection:
            again = connection.execute(
                "UPDATE jobs SET state = ?, number = (SELECT max(number) + 1 FROM jobs), message = '', stage = '', "
                "progress = 0, step = 0, segment = 0, seconds_left = NULL, furthest = 0, deaths = 0 "
                "WHERE id = ? AND state IN (?, ?)",
                (JobState.QUEUED, job, JobState.FAILED, JobState.CANCELLED),
            )
        return again.rowcount > 0

    def remove(self, job: str) -> bool:
        """Forget a job that has ended. False: it has not."""
        with self._writing() as connection:
            gone = connection.execute(
                "DELETE FROM jobs WHERE id = ? AND state IN (?, ?, ?)",
                (job, JobState.DONE, JobState.FAILED, JobState.CANCELLED),
            )
        return gone.rowcount > 0

    # What a worker does.

    def claim(self, worker: str) -> Job | None:
        """The oldest queued job becomes `RUNNING` and `worker`'s; None when the queue is empty."""
        with self._writing() as connection:
            rows = connection.execute(
                f"UPDATE jobs SET state = ?, worker = ? WHERE number = "
                f"(SELECT min(number) FROM jobs WHERE state = ?) RETURNING {_COLUMNS}",
                (JobState.RUNNING, worker, JobState.QUEUED),
            ).fetchall()
        return _job(rows[0]) if rows else None

    def standing(self, job: str, worker: str) -> JobState | None:
        """The state of a job that `worker` has; None when the job is no longer its own."""
        rows = self._read("SELECT state FROM jobs WHERE id = ? AND worker = ?", job, worker)
        return JobState(rows[0]["state"]) if rows else None

    def report(self, job: str, worker: str, progress: Progress) -> None:
        """Note how far `worker` is. A frame that no attempt reached before forgives earlier deaths."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE jobs SET stage = ?, progress = ?, segment = ?, segments = ?, step = ?, steps = ?, frames = ?, "
                "seconds_left = ?, deaths = iif(? > furthest, 0, deaths), furthest = max(?, furthest) "
                "WHERE id = ? AND worker = ?",
                (progress.stage, progress.progress, progress.segment, progress.segments, progress.step, progress.steps,
                 progress.frames, progress.seconds_left, progress.frames, progress.frames, job, worker),
            )  # fmt: skip

    def finish(self, job: str, worker: str, state: JobState, message: str = "") -> None:
        """End a job. A cancel that came too late for a complete take does not undo it."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE jobs SET state = ?, message = ?, stage = '', seconds_left = NULL, worker = NULL, "
                "progress = iif(? = 'done', 1.0, progress) WHERE id = ? AND worker = ?",
                (state, message, state, job, worker),
            )

    # What happens to the jobs of a worker that ends.

    def give_back(self, worker: str) -> None:
        """A worker that was asked to stop returns its job to the queue; a job being cancelled is cancelled."""
        with self._writing() as connection:
            _release(connection, "worker = ?", worker)

    def bury(self, worker: str) -> None:
        """The same for a worker that died; a job that keeps killing its workers fails."""
        with self._writing() as connection:
            connection.execute("UPDATE jobs SET deaths = deaths + 1 WHERE worker = ?", (worker,))
            message = f"the worker died {DEATHS} times at the same place; look into the server's log for the reason"
            connection.execute(
                "UPDATE jobs SET message = ? WHERE worker = ? AND deaths >= ?", (message, worker, DEATHS)
            )
            _move(
                connection,
                JobState.FAILED,
                "worker = ? AND state = ? AND deaths >= ?",
                worker,
                JobState.RUNNING,
                DEATHS,
            )
            _release(connection, "worker = ?", worker)

    def give_back_all(self) -> None:
        """Called by a server that starts: nobody else's worker may go on."""
        with self._writing() as connection:
            _release(connection, "worker IS NOT NULL")

    def fail_queued(self, message: str) -> None:
        """Nobody can render what waits: say so, rather than let people wait for ever."""
        with self._writing() as connection:
            connection.execute("UPDATE jobs SET message = ? WHERE state = ?", (message, JobState.QUEUED))
            _move(connection, JobState.FAILED, "state = ?", JobState.QUEUED)

    def cancelling(self) -> list[str]:
        """Ids of the jobs whose worker was asked to stop and has not yet."""
        return [row["id"] for row in self._read("SELECT id FROM jobs WHERE state = ?", JobState.CANCELLING)]

    # What a worker can render.

    def offer(self, models: tuple[str, ...]) -> None:
        """Say which models there are."""
        with self._writing() as connection:
            connection.execute("DELETE FROM models")
            connection.executemany("INSERT INTO models VALUES (?)", [(name,) for name in models])

    def models(self) -> tuple[str, ...]:
        return tuple(row["name"] for row in self._read("SELECT name FROM models ORDER BY name"))

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
        connection.row_factory = sqlite3.Row
        # With WAL, NORMAL never corrupts; a power cut may cost the last progress, which a resume finds again.
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with closing(self._connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                yield connection

    def _read(self, query: str, *values: Any) -> list[sqlite3.Row]:
        with closing(self._connect()) as connection:
            return connection.execute(query, values).fetchall()


def _move(connection: sqlite3.Connection, state: JobState, condition: str, *values: Any) -> None:
    worker = "worker" if state is JobState.CANCELLING else "NULL"
    connection.execute(f"UPDATE jobs SET state = ?, worker = {worker} WHERE {condition}", (state, *values))


def _release(connection: sqlite3.Connection, condition: str, *values: Any) -> None:
    _move(connection, JobState.CANCELLED, f"{condition} AND state = ?", *values, JobState.CANCELLING)
    connection.execute(f"UPDATE jobs SET seconds_left = NULL WHERE {condition}", values)
    _move(connection, JobState.QUEUED, f"{condition} AND state = ?", *values, JobState.RUNNING)


def _job(row: sqlite3.Row) -> Job:
    return Job.from_json(dict(row))
