"""The server's one SQLite file: its tables, how older ones become them, and what a full disk says. Knows no job."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from wan_animate_blender.wire import BadInput, Unavailable

log = logging.getLogger(__name__)

# `number` keeps the order of arrival, `furthest` the most frames any attempt reached.
_FIRST = (
    """CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE, shot TEXT NOT NULL, strip TEXT NOT NULL, state TEXT NOT NULL, created REAL NOT NULL,
    stage TEXT NOT NULL DEFAULT '', progress REAL NOT NULL DEFAULT 0, segment INTEGER NOT NULL DEFAULT 0,
    segments INTEGER NOT NULL DEFAULT 0, step INTEGER NOT NULL DEFAULT 0, steps INTEGER NOT NULL DEFAULT 0,
    frames INTEGER NOT NULL DEFAULT 0, seconds_left REAL, message TEXT NOT NULL DEFAULT '',
    worker TEXT, furthest INTEGER NOT NULL DEFAULT 0, deaths INTEGER NOT NULL DEFAULT 0
    )""",
)

# `place` is the order in which jobs of one priority wait, `folder` the export of a shot that was handed over,
# `retake` a message or "". There is one row in `queue`.
_SECOND = (
    "ALTER TABLE jobs ADD COLUMN sender TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE jobs ADD COLUMN priority INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE jobs ADD COLUMN place INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE jobs ADD COLUMN preview INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE jobs ADD COLUMN retake TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE jobs ADD COLUMN folder TEXT NOT NULL DEFAULT ''",
    "UPDATE jobs SET place = number",
    "CREATE INDEX waiting ON jobs (priority DESC, place) WHERE state = 'queued'",
    "CREATE TABLE queue (paused INTEGER NOT NULL)",
    "INSERT INTO queue VALUES (0)",
    """CREATE TABLE workers (
    name TEXT PRIMARY KEY, device TEXT NOT NULL, pid INTEGER NOT NULL, title TEXT NOT NULL, models TEXT NOT NULL,
    beats INTEGER NOT NULL DEFAULT 0, seen REAL NOT NULL, memory INTEGER, free INTEGER, loaded TEXT NOT NULL DEFAULT ''
    )""",
    "DROP TABLE IF EXISTS models",
)

# `ended` is when a job came to its end, in seconds since 1970; of those that had before, when their file was migrated.
_THIRD = (
    "ALTER TABLE jobs ADD COLUMN ended REAL",
    "UPDATE jobs SET ended = CAST(strftime('%s', 'now') AS REAL) WHERE state IN ('done', 'failed', 'cancelled')",
    """CREATE TRIGGER ending AFTER UPDATE OF state ON jobs
    WHEN NEW.state IN ('done', 'failed', 'cancelled') AND OLD.state <> NEW.state BEGIN
        UPDATE jobs SET ended = CAST(strftime('%s', 'now') AS REAL) WHERE number = NEW.number;
    END""",
)

# `code` is how a command would have ended that failed like the job.
_FOURTH = ("ALTER TABLE jobs ADD COLUMN code INTEGER NOT NULL DEFAULT 0",)

MIGRATIONS = (_FIRST, _SECOND, _THIRD, _FOURTH)
"""Each turns a file of the version that is its index into the next one. Only ever added to."""

_BUSY_SECONDS = 30.0
_NO_ROOM = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
_HELD = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_AGAIN_SECONDS = 1.0
"""Time between two tries to write what must be written to a full disk."""

T = TypeVar("T")


class NoRoom(Unavailable):
    """The file takes nothing at the moment: its disk is full, or a process hangs that holds it. It is as it was."""


class Database:
    """The file at `path`. May be shared by threads; every call opens its own connection."""

    def __init__(self, path: Path) -> None:
        """Make or migrate it. Raises `BadInput` when it cannot be written, is no database or of a newer version."""
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._connect()) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
            with self.writing() as connection:
                _migrate(connection, path)
            # Never used, but it keeps the file open: whoever closes it last copies the log back under a lock that keeps
            # all others out, every time, and for ever when it hangs meanwhile.
            self._open = self._connect(check_same_thread=False)
            self._open.execute("SELECT count(*) FROM jobs").fetchone()
        except (OSError, sqlite3.Error, NoRoom) as error:
            raise BadInput(f"cannot keep jobs in {path} ({error}); choose another data folder with --data") from error

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it or nothing. Raises `NoRoom`."""
        with self._sentenced(), closing(self._connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                yield connection

    def read(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """Raises `NoRoom`: even a reader may have to write the log's index."""
        with self._sentenced(), closing(self._connect()) as connection:
            return connection.execute(query, values).fetchall()

    @contextmanager
    def _sentenced(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            kind = error.sqlite_errorcode & 0xFF
            if kind in _NO_ROOM:
                raise NoRoom(f"the queue in {self.path.parent} cannot be written ({error}); make room there") from error
            if kind in _HELD:
                raise NoRoom(f"the queue in {self.path.parent} is held by a process that hangs; end it") from error
            raise

    def _connect(self, *, check_same_thread: bool = True) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=check_same_thread
        )
        connection.row_factory = sqlite3.Row
        # With WAL, NORMAL never corrupts; a power cut may cost the last progress, which a resume finds again.
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection


def insist(action: Callable[[], T], stop: threading.Event) -> T | None:
    """Do what must be written, again and again while there is no room for it; None when `stop` was first."""
    while True:
        try:
            return action()
        except NoRoom as error:
            log.warning("%s", error)
            if stop.wait(_AGAIN_SECONDS):
                return None


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise BadInput(
            f"the queue {path} is of version {version}, this server knows {len(MIGRATIONS)}; "
            "update the server, or choose another data folder with --data"
        )
    for statements in MIGRATIONS[version:]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
