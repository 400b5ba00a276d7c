"""The queue's file: older ones become this version's, newer ones are refused, and a full disk loses nothing."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from wan_animate_blender.wire import BadInput, JobState, Shot
from wan_animate_server import database
from wan_animate_server.database import MIGRATIONS, Database, NoRoom, insist
from wan_animate_server.jobs import Jobs
from wan_animate_server.progress import Progress

from .conftest import QUICK, write_export
from .serving import serving

OLD = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE, shot TEXT NOT NULL, strip TEXT NOT NULL, state TEXT NOT NULL, created REAL NOT NULL,
    stage TEXT NOT NULL DEFAULT '', progress REAL NOT NULL DEFAULT 0, segment INTEGER NOT NULL DEFAULT 0,
    segments INTEGER NOT NULL DEFAULT 0, step INTEGER NOT NULL DEFAULT 0, steps INTEGER NOT NULL DEFAULT 0,
    frames INTEGER NOT NULL DEFAULT 0, seconds_left REAL, message TEXT NOT NULL DEFAULT '',
    worker TEXT, furthest INTEGER NOT NULL DEFAULT 0, deaths INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE models (name TEXT PRIMARY KEY);
INSERT INTO jobs (id, shot, strip, state, created, worker, frames) VALUES
    ('done', 'SH010', 's', 'done', 1, NULL, 9), ('lost', 'SH010', 's', 'running', 2, 'gone', 5),
    ('next', 'SH020', 't', 'queued', 3, NULL, 0);
"""
"""The file of the first release, which had no number of its version."""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as connection:
        connection.executescript(OLD)
    return tmp_path / "jobs.sqlite"


def test_jobs_of_an_old_file_keep_their_state_and_their_order(old: Path) -> None:
    jobs = Jobs(old)
    assert [(job.id, job.state, job.frames) for job in jobs.all()] == [
        ("done", JobState.DONE, 9), ("lost", JobState.RUNNING, 5), ("next", JobState.QUEUED, 0)
    ]  # fmt: skip
    jobs.give_back_all()
    assert [job and job.id for job in (jobs.claim("a"), jobs.claim("b"), jobs.claim("c"))] == ["lost", "next", None]


def test_a_file_is_migrated_once(old: Path, tmp_path: Path) -> None:
    for _ in range(2):
        Jobs(old).hold(True)
    assert Jobs(old).queue().paused, "a second look does not begin anew"
    new = Jobs(tmp_path / "new.sqlite")

    def tables(path: Path) -> list[tuple[str, ...]]:
        with closing(sqlite3.connect(path)) as connection:
            return sorted(connection.execute("SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"))

    assert tables(old) == tables(new.database.path)


def test_a_migration_that_breaks_off_leaves_the_file_as_it_was(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = (*MIGRATIONS, ("CREATE TABLE more (a)", "this is no SQL"))
    with monkeypatch.context() as patched, pytest.raises(BadInput, match="choose another data folder"):
        patched.setattr(database, "MIGRATIONS", broken)
        Jobs(old)
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (0,)
    assert len(Jobs(old).all()) == 3


def test_a_newer_file_is_refused_with_a_sentence_and_not_touched(tmp_path: Path) -> None:
    Jobs(tmp_path / "jobs.sqlite")
    with closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    newer, known = len(MIGRATIONS) + 1, len(MIGRATIONS)
    with pytest.raises(BadInput, match=f"version {newer}, this server knows {known}; update the server"):
        Jobs(tmp_path / "jobs.sqlite")


@pytest.fixture
def fill(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """`fill(True)` lets SQLite find no more room than it has, by its own limit; `fill(False)` makes room again."""
    connect = Database._connect
    full: list[bool] = []

    def limited(self: Database, **more: bool) -> sqlite3.Connection:
        connection = connect(self, **more)
        if full:
            connection.execute("PRAGMA max_page_count = 1")
        return connection

    def fill(wanted: bool) -> None:
        full[:] = [True] if wanted else []

    monkeypatch.setattr(Database, "_connect", limited)
    return fill


def test_a_full_disk_is_a_sentence_and_changes_nothing(
    tmp_path: Path, shot: Shot, fill: Callable[[bool], None]
) -> None:
    jobs = Jobs(tmp_path / "jobs.sqlite")
    jobs.add("a", shot)
    fill(True)
    long = replace(shot, strip="x" * 100_000)
    with pytest.raises(NoRoom, match="make room there"):
        jobs.add("b", long)
    assert [job.id for job in jobs.all()] == ["a"]
    fill(False)
    jobs.add("b", long)
    assert jobs.claim("worker") is not None


def test_what_must_be_written_is_tried_until_there_is_room(
    tmp_path: Path, shot: Shot, fill: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_AGAIN_SECONDS", 0.01)
    jobs = Jobs(tmp_path / "jobs.sqlite")
    jobs.add("a", shot)
    jobs.claim("worker")
    jobs.report("a", "worker", Progress(stage="writing"))
    fill(True)
    tries: list[int] = []

    def finish() -> None:
        tries.append(1)
        if len(tries) == 3:
            fill(False)
        jobs.finish("a", "worker", JobState.FAILED, "x" * 100_000)

    insist(finish, threading.Event())
    assert len(tries) == 3
    found = jobs.get("a")
    assert found and found.state is JobState.FAILED


def test_insisting_ends_when_it_must(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()

    def never() -> None:
        raise NoRoom("full")

    assert insist(never, stop) is None


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
def test_a_server_that_starts_with_an_old_file_renders_what_waited_in_it(tmp_path: Path) -> None:
    folder = write_export(tmp_path, frames=1, settings=replace(QUICK, seed=3))
    with serving(tmp_path / "server") as running:
        running.call("POST", "/v1/queue/pause")
        job = running.submit(folder)
    file = running.data / "jobs.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(
            "DROP TRIGGER ending; DROP INDEX waiting; DROP TABLE queue; DROP TABLE workers; PRAGMA user_version = 0"
        )
        for column in ("sender", "priority", "place", "preview", "retake", "folder", "ended", "code"):
            connection.execute(f"ALTER TABLE jobs DROP COLUMN {column}")
    with serving(tmp_path / "server") as again:
        assert again.finished(job.id).state is JobState.DONE
    with pytest.raises(requests.ConnectionError):
        requests.get(again.url + "/v1/health", timeout=2)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="only Linux limits another process")
def test_a_server_whose_disk_is_full_says_so_goes_on_answering_and_has_forgotten_nothing(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    with serving(tmp_path / "server") as running:
        running.call("POST", "/v1/queue/pause")
        job = running.submit(write_export(tmp_path, frames=1)).id
        _, most = resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (1000, most))  # bytes of any file that it writes
        for method, path in (("PUT", "priority"), ("POST", "pause"), ("DELETE", "")):
            reply = running.call(method, f"/v1/jobs/{job}/{path}".rstrip("/"), json={"priority": 1})
            assert (reply.status_code, reply.json()["error"]) == (507, "no-room"), reply.text
            assert "make room there" in reply.json()["message"]
        assert running.job(job).state is JobState.QUEUED
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (most, most))
        assert running.call("PUT", f"/v1/jobs/{job}/priority", json={"priority": 1}).json()["priority"] == 1
        running.call("POST", "/v1/queue/resume")
        assert running.finished(job).state is JobState.DONE
