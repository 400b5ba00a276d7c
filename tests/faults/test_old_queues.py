"""A server starts where another release has been: it goes on with what an older one left, and leaves a newer one's."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from wan_animate_blender.wire import ExitCode, JobState, TakeState, sha256_file
from wan_animate_server.database import MIGRATIONS
from wan_animate_server.datafolder import DataFolder

from ..conftest import command, write_export
from ..serving import PATIENCE, serving
from .leftovers import settled, strays
from .sending import read

BEFORE = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE, shot TEXT NOT NULL, strip TEXT NOT NULL, state TEXT NOT NULL, created REAL NOT NULL,
    stage TEXT NOT NULL DEFAULT '', progress REAL NOT NULL DEFAULT 0, segment INTEGER NOT NULL DEFAULT 0,
    segments INTEGER NOT NULL DEFAULT 0, step INTEGER NOT NULL DEFAULT 0, steps INTEGER NOT NULL DEFAULT 0,
    frames INTEGER NOT NULL DEFAULT 0, seconds_left REAL, message TEXT NOT NULL DEFAULT '',
    worker TEXT, furthest INTEGER NOT NULL DEFAULT 0, deaths INTEGER NOT NULL DEFAULT 0,
    sender TEXT NOT NULL DEFAULT '', priority INTEGER NOT NULL DEFAULT 0, place INTEGER NOT NULL DEFAULT 0,
    preview INTEGER NOT NULL DEFAULT 0, retake TEXT NOT NULL DEFAULT '', folder TEXT NOT NULL DEFAULT ''
);
CREATE INDEX waiting ON jobs (priority DESC, place) WHERE state = 'queued';
CREATE TABLE queue (paused INTEGER NOT NULL);
INSERT INTO queue VALUES (0);
CREATE TABLE workers (
    name TEXT PRIMARY KEY, device TEXT NOT NULL, pid INTEGER NOT NULL, title TEXT NOT NULL, models TEXT NOT NULL,
    beats INTEGER NOT NULL DEFAULT 0, seen REAL NOT NULL, memory INTEGER, free INTEGER, loaded TEXT NOT NULL DEFAULT ''
);
INSERT INTO workers (name, device, pid, title, models, seen) VALUES ('gone', 'cpu', 1, 'cpu', '[]', 1);
INSERT INTO jobs (id, shot, strip, state, created, place, worker, frames) VALUES
    ('over', 'SH010', 's', 'failed', 1, 1, NULL, 0), ('lost', 'SH010', 's', 'running', 2, 2, 'gone', 5),
    ('next', 'SH010', 's', 'queued', 3, 3, NULL, 0);
PRAGMA user_version = 2;
"""
"""The queue of the release before, whose server was killed while its worker had `lost`."""


@pytest.fixture
def data(tmp_path: Path) -> DataFolder:
    """A data folder with the exports of three jobs, whose file is still to be made."""
    folder, export = DataFolder(tmp_path / "server" / "data"), write_export(tmp_path)
    for job in ("over", "lost", "next"):
        by_hash = {entry.sha256: export / path for path, entry in read(export).files.items()}
        folder.lay_out(job, read(export), by_hash.__getitem__)
    return folder


def test_a_server_goes_on_with_the_queue_of_the_release_before(data: DataFolder, undisturbed: dict[str, str]) -> None:
    with closing(sqlite3.connect(data.queue)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(BEFORE)
    with serving(data.root.parent) as running:
        for job in ("lost", "next"):
            assert running.finished(job).state is JobState.DONE
            assert running.pictures(job) == undisturbed
            assert running.take(job).state is TakeState.COMPLETE
        told = [(job["id"], job["state"]) for job in running.call("GET", "/v1/jobs").json()]
        assert told == [("over", "failed"), ("lost", "done"), ("next", "done")]
        assert not settled(lambda: strays(running.data))


def test_a_queue_of_a_newer_release_is_refused_with_a_sentence_and_not_touched(data: DataFolder) -> None:
    with closing(sqlite3.connect(data.queue)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript("CREATE TABLE jobs (id, wishes); INSERT INTO jobs VALUES ('a', 'b')")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    before, folders = sha256_file(data.queue), sorted(data.jobs.iterdir())
    refused = subprocess.run(
        command("serve", "--port", "0", "--data", data.root, "--token-file", data.root.parent / "token"),
        capture_output=True, text=True, timeout=PATIENCE, env=os.environ | {"COLUMNS": "500"}, check=False,
    )  # fmt: skip
    assert refused.returncode == ExitCode.BAD_INPUT
    known = len(MIGRATIONS)
    assert f"is of version {known + 1}, this server knows {known}; update the server" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert sha256_file(data.queue) == before
    assert sorted(data.jobs.iterdir()) == folders, "nothing is taken for a stray"
