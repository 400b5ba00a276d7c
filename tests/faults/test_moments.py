"""Moments that are too short to be hit by chance, made by hand: between two writes that belong together."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from wan_animate_blender.wire import OWNER_FILE, TAKE_FILE, JobState, owner

from ..conftest import write_export
from ..serving import serving
from .leftovers import settled, strays
from .sending import sent

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")


@pytest.fixture
def dead() -> str:
    """The owner record of a process of this machine that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return json.dumps(owner() | {"pid": process.pid})


def test_a_worker_that_died_between_the_take_and_the_word_that_it_is_done_costs_no_second_take(
    tmp_path: Path, dead: str, undisturbed: dict[str, str]
) -> None:
    with serving(tmp_path / "server") as running:
        job = running.finished(sent(running, write_export(tmp_path)).id)
        (take,) = running.data.glob("jobs/*/*/takes/v001")
    with closing(sqlite3.connect(running.data / "jobs.sqlite")) as connection, connection:
        connection.execute("UPDATE jobs SET state = 'running', worker = 'gone', progress = 0.99, frames = 5")
    (take / OWNER_FILE).write_text(dead)
    made = (take / "comp" / "1001.png").stat().st_mtime_ns
    with serving(tmp_path / "server") as again:
        found = again.finished(job.id)
        assert (found.state, found.frames, found.progress) == (JobState.DONE, 9, 1.0)
        assert (take / "comp" / "1001.png").stat().st_mtime_ns == made, "nothing is made twice"
        assert again.pictures(job.id) == undisturbed
        assert not settled(lambda: strays(again.data))


def test_a_worker_that_died_before_its_take_said_of_what_it_is_costs_no_version(
    tmp_path: Path, dead: str, undisturbed: dict[str, str]
) -> None:
    with serving(tmp_path / "server") as running:
        running.call("POST", "/v1/queue/pause")
        job = sent(running, write_export(tmp_path))
        claimed = running.data / "jobs" / job.id / "SH010" / "takes" / "v001"
        claimed.mkdir(parents=True)
        (claimed / OWNER_FILE).write_text(dead)
        running.call("POST", "/v1/queue/resume")
        assert running.finished(job.id).state is JobState.DONE
        assert (claimed / TAKE_FILE).exists()
        assert running.pictures(job.id) == undisturbed
        assert not settled(lambda: strays(running.data))
