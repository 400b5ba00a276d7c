"""The durable queue: which job stands where and who is next. Knows neither HTTP nor models.

Every change of state is one transaction, so that the server, its workers and a worker that was left over from a
killed server may all write: a worker only changes jobs that still carry its name.
"""

from __future__ import annotations

import sqlite3
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

from wan_animate_blender.wire import Job, JobState, Queue, Retake, Shot

from .database import Database
from .progress import Progress

DEATHS = 3
"""Workers that a job may cost without a new frame in between before it is given up."""

_HELD = (JobState.RUNNING, JobState.CANCELLING, JobState.PAUSING)
"""States in which a worker has the job."""

_FINAL = "('done', 'failed', 'cancelled')"

_PLACE = (
    "iif(state = 'queued', (SELECT count(*) FROM jobs AS other WHERE other.state = 'queued' AND (other.priority > "
    "jobs.priority OR other.priority = jobs.priority AND other.place <= jobs.place)), 0) AS place"
)
_LAST = "(SELECT coalesce(max(place), 0) + 1 FROM jobs)"
_NAMED = {"place": _PLACE, "by": "sender AS 'by'"}
_COLUMNS = ", ".join(_NAMED.get(f.name, f.name) for f in fields(Job))


class Jobs:
    """The jobs of one data folder. May be shared by threads. Whatever writes raises `NoRoom` on a full disk."""

    def __init__(self, path: Path) -> None:
        """Raises `BadInput` when the file cannot be written, is not a database or a newer server's."""
        self.database = Database(path)

    def add(self, job: str, shot: Shot, *, by: str = "", folder: Path | None = None) -> Job:
        """Queue a job behind all others of its priority; `folder` is the export of a shot that was handed over."""
        with self.database.writing() as connection:
            connection.execute(
                "INSERT INTO jobs (id, shot, strip, state, created, sender, folder, place) "
                f"VALUES (?, ?, ?, 'queued', ?, ?, ?, {_LAST})",
                (job, shot.name, shot.strip, time.time(), by, str(folder or "")),
            )
        return self._known(job)

    def add_retake(self, job: str, of: Job, retake: Retake, *, by: str) -> Job:
        """Queue a job for the same shot as `of`, which makes some of its frames anew."""
        with self.database.writing() as connection:
            connection.execute(
                "INSERT INTO jobs (id, shot, strip, state, created, sender, retake, folder, place) "
                f"VALUES (?, ?, ?, 'queued', ?, ?, ?, ?, {_LAST})",
                (job, of.shot, of.strip, time.time(), by, retake.dumps(), str(self.folder(of.id) or "")),
            )
        return self._known(job)

    def _known(self, job: str) -> Job:
        found = self.get(job)
        assert found is not None
        return found

    def get(self, job: str) -> Job | None:
        found = self.database.read(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", job)
        return _job(found[0]) if found else None

    def folder(self, job: str) -> Path | None:
        """The export that was handed over instead of uploaded."""
        found = self.database.read("SELECT folder FROM jobs WHERE id = ? AND folder != ''", job)
        return Path(found[0]["folder"]) if found else None

    def all(self, newest: int | None = None) -> list[Job]:
        """In order of arrival; only the last `newest`, where that is given."""
        newest = -1 if newest is None else newest
        rows = self.database.read(f"SELECT {_COLUMNS} FROM jobs ORDER BY number DESC LIMIT ?", newest)
        return [_job(row) for row in reversed(rows)]

    def endings(self) -> dict[str, float]:
        """The jobs that have ended, and when, in whole seconds since 1970."""
        return {
            row["id"]: row["ended"] for row in self.database.read(f"SELECT id, ended FROM jobs WHERE state IN {_FINAL}")
        }

    # What people ask for.

    def cancel(self, job: str) -> Job | None:
        """Ask a job to stop: `CANCELLED` at once when no worker has it, else `CANCELLING`. None: there is no such."""
        with self.database.writing() as connection:
            _move(connection, JobState.CANCELLED, "id = ? AND state IN ('queued', 'paused')", job)
            _move(connection, JobState.CANCELLING, "id = ? AND state IN ('running', 'pausing')", job)
        return self.get(job)

    def pause(self, job: str) -> Job | None:
        """Put a job aside: `PAUSED` at once when no worker has it, else `PAUSING`. None: there is no such."""
        with self.database.writing() as connection:
            _move(connection, JobState.PAUSED, "id = ? AND state = 'queued'", job)
            _move(connection, JobState.PAUSING, "id = ? AND state = 'running'", job)
        return self.get(job)

    def resume(self, job: str) -> Job | None:
        """Let a job go on that was put aside; one whose worker has not heard of it yet simply runs on."""
        with self.database.writing() as connection:
            _move(connection, JobState.QUEUED, "id = ? AND state = 'paused'", job)
            _move(connection, JobState.RUNNING, "id = ? AND state = 'pausing'", job)
        return self.get(job)

    def retry(self, job: str) -> bool:
        """Queue a failed or cancelled job again, behind all others, as if it had just come. False: it is neither.

        What it had finished is found again by whoever renders it.
        """
        with self.database.writing() as connection:
            again = connection.execute(
                "UPDATE jobs SET state = 'queued', number = (SELECT max(number) + 1 FROM jobs), "
                f"place = {_LAST}, message = '', code = 0, stage = '', progress = 0, step = 0, "
                "segment = 0, seconds_left = NULL, preview = 0, furthest = 0, deaths = 0 "
                "WHERE id = ? AND state IN ('failed', 'cancelled')",
                (job,),
            )
        return again.rowcount > 0

    def prioritise(self, job: str, priority: int) -> bool:
        """Give a job another priority, −100 to 100. False: it has ended."""
        with self.database.writing() as connection:
            given = connection.execute(
                f"UPDATE jobs SET priority = ? WHERE id = ? AND state NOT IN {_FINAL}", (priority, job)
            )
        return given.rowcount > 0

    def move(self, job: str, before: str | None) -> bool:
        """Let a waiting job be rendered right before another one, or before all others, with a priority that fits.

        False: one of the two does not wait.
        """
        with self.database.writing() as connection:
            waiting = connection.execute(
                "SELECT id, priority, place FROM jobs WHERE state = 'queued' ORDER BY priority DESC, place"
            ).fetchall()
            others = [row for row in waiting if row["id"] != job]
            ids = [row["id"] for row in others]
            if len(others) == len(waiting) or (before is not None and before not in ids):
                return False
            index = 0 if before is None else ids.index(before)
            ids.insert(index, job)
            for identity, place in zip(ids, sorted(row["place"] for row in waiting), strict=True):
                connection.execute("UPDATE jobs SET place = ? WHERE id = ?", (place, identity))
            if others:
                connection.execute("UPDATE jobs SET priority = ? WHERE id = ?", (others[index]["priority"], job))
        return True

    def remove(self, job: str) -> bool:
        """Forget a job that has ended. False: it has not."""
        with self.database.writing() as connection:
            gone = connection.execute(f"DELETE FROM jobs WHERE id = ? AND state IN {_FINAL}", (job,))
        return gone.rowcount > 0

    def hold(self, paused: bool) -> Queue:
        """Begin no waiting job any more, or begin them again; what runs goes on."""
        with self.database.writing() as connection:
            connection.execute("UPDATE queue SET paused = ?", (paused,))
        return self.queue()

    def queue(self) -> Queue:
        (row,) = self.database.read(
            "SELECT paused, (SELECT count(*) FROM jobs WHERE state = 'queued') AS waiting, "
            "(SELECT count(*) FROM jobs WHERE worker IS NOT NULL) AS running FROM queue"
        )
        return Queue(paused=bool(row["paused"]), waiting=row["waiting"], running=row["running"])

    # What a worker does.

    def claim(self, worker: str) -> Job | None:
        """The next job becomes `RUNNING` and `worker`'s; None when none waits or the queue is paused."""
        following = "SELECT id FROM jobs WHERE state = 'queued' AND NOT (SELECT paused FROM queue)"
        if not self.database.read(f"{following} LIMIT 1"):  # an idle worker writes nothing
            return None
        with self.database.writing() as connection:
            won = connection.execute(
                f"UPDATE jobs SET state = 'running', worker = ?, message = '' "
                f"WHERE id = ({following} ORDER BY priority DESC, place LIMIT 1) RETURNING id",
                (worker,),
            ).fetchall()
        return self.get(won[0]["id"]) if won else None

    def standing(self, job: str, worker: str) -> JobState | None:
        """The state of a job that `worker` has; None when the job is no longer its own."""
        rows = self.database.read("SELECT state FROM jobs WHERE id = ? AND worker = ?", job, worker)
        return JobState(rows[0]["state"]) if rows else None

    def held(self, worker: str) -> str:
        """The id of the job that `worker` has; "" for none."""
        rows = self.database.read("SELECT id FROM jobs WHERE worker = ?", worker)
        return str(rows[0]["id"]) if rows else ""

    def report(self, job: str, worker: str, now: Progress) -> None:
        """Note how far `worker` is. A frame that no attempt reached before forgives earlier deaths."""
        preview = (now.segment - 1) * now.steps + now.step if now.preview else 0
        with self.database.writing() as connection:
            connection.execute(
                "UPDATE jobs SET stage = ?, progress = ?, segment = ?, segments = ?, step = ?, steps = ?, frames = ?, "
                "seconds_left = ?, preview = ?, message = iif(? = '', message, ?), "
                "deaths = iif(? > furthest, 0, deaths), furthest = max(?, furthest) "
                "WHERE id = ? AND worker = ?",
                (now.stage, now.progress, now.segment, now.segments, now.step, now.steps, now.frames, now.seconds_left,
                 preview, now.message, now.message, now.frames, now.frames, job, worker),
            )  # fmt: skip

    def finish(self, job: str, worker: str, state: JobState, message: str = "", code: int = 0) -> None:
        """End a job, a failed one with the exit code of its error.

        A cancel or a pause that came too late for a complete take does not undo it.
        """
        with self.database.writing() as connection:
            connection.execute(
                "UPDATE jobs SET state = ?, message = iif(? = '', message, ?), code = ?, stage = '', preview = 0, "
                "seconds_left = NULL, worker = NULL, progress = iif(? = 'done', 1.0, progress) "
                "WHERE id = ? AND worker = ?",
                (state, message, message, code, state, job, worker),
            )

    # What happens to the jobs of a worker that ends.

    def give_back(self, worker: str) -> None:
        """A worker that stops returns its job to the queue; what was being cancelled or put aside is so now."""
        with self.database.writing() as connection:
            _release(connection, "worker = ?", worker)

    def bury(self, worker: str, why: str) -> None:
        """The same for a worker that died; a job that keeps killing its workers fails. `why` begins a sentence."""
        with self.database.writing() as connection:
            connection.execute("UPDATE jobs SET deaths = deaths + 1 WHERE worker = ?", (worker,))
            message = f"{why}, {DEATHS} times at the same place; look into the server's log for the reason"
            doomed = f"worker = ? AND state IN ('running', 'pausing') AND deaths >= {DEATHS}"
            connection.execute(f"UPDATE jobs SET message = ? WHERE {doomed}", (message, worker))
            _move(connection, JobState.FAILED, doomed, worker)
            _release(connection, "worker = ?", worker)

    def give_back_all(self) -> None:
        """Called by a server that starts: nobody else's worker may go on."""
        with self.database.writing() as connection:
            _release(connection, "worker IS NOT NULL")

    def fail_queued(self, message: str) -> None:
        """Nobody can render what waits: say so, rather than let people wait for ever."""
        with self.database.writing() as connection:
            connection.execute("UPDATE jobs SET message = ? WHERE state = 'queued'", (message,))
            _move(connection, JobState.FAILED, "state = 'queued'")

    def stopping(self, worker: str) -> list[str]:
        """Ids of the jobs that `worker` was asked to stop and has not yet."""
        asked = "SELECT id FROM jobs WHERE worker = ? AND state IN ('cancelling', 'pausing')"
        return [row["id"] for row in self.database.read(asked, worker)]


def _move(connection: sqlite3.Connection, state: JobState, condition: str, *values: Any) -> None:
    worker = "worker" if state in _HELD else "NULL"
    left = "seconds_left" if state in _HELD else "NULL"
    connection.execute(
        f"UPDATE jobs SET state = ?, worker = {worker}, seconds_left = {left} WHERE {condition}", (state, *values)
    )


def _release(connection: sqlite3.Connection, condition: str, *values: Any) -> None:
    ends = {"cancelling": JobState.CANCELLED, "pausing": JobState.PAUSED, "running": JobState.QUEUED}
    for state, end in ends.items():
        _move(connection, end, f"{condition} AND state = '{state}'", *values)


def _job(row: sqlite3.Row) -> Job:
    retake = Retake.loads(row["retake"]).to_json() if row["retake"] else None
    return Job.from_json(dict(row) | {"retake": retake})
