"""Processes that are killed: no job is lost, no frame differs, nothing keeps running."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest
import requests

from wan_animate_blender.wire import ExitCode, JobState, Shot, Take, TakeState
from wan_animate_server import supervisor
from wan_animate_server.datafolder import DataFolder
from wan_animate_server.jobs import Jobs

from .conftest import Make, command
from .serving import LONG, PATIENCE, arguments, gone, lives, serving, workers

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")


def test_a_killed_worker_is_replaced_and_its_job_ends_with_the_same_bits(
    tmp_path: Path, make_shot: Make, undisturbed: dict[str, str]
) -> None:
    with serving(tmp_path / "server") as running:
        with running.holding(frames=1):
            job = running.submit(make_shot())
            running.wait(job.id, lambda now: now.frames > 0)
            os.kill(running.worker(), signal.SIGKILL)
        assert running.finished(job.id).state is JobState.DONE
        assert running.pictures(job.id) == undisturbed
        take = running.take(job.id)
        assert take.version == 1, "the interrupted take is continued"
        assert "resuming" in take.seconds, "what was finished is not computed again"
        assert not list(running.data.rglob("*.part"))


def test_a_stopped_server_leaves_nothing_running_and_goes_on_when_it_starts_again(
    tmp_path: Path, make_shot: Make
) -> None:
    with serving(tmp_path / "server") as running, running.holding(step=1):
        job = running.submit(make_shot(settings=LONG))
        running.wait(job.id, lambda now: now.step > 0)
        worker = running.worker()
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(PATIENCE) == ExitCode.TERMINATED
        assert not lives(worker)
    with pytest.raises(requests.ConnectionError):
        requests.get(running.url + "/v1/health", timeout=2)
    (take,) = running.data.rglob("take.json")
    assert Take.loads(take.read_bytes()).state is TakeState.PARTIAL
    left = Jobs(DataFolder(running.data).queue).get(job.id)
    assert left is not None
    assert left.state is JobState.QUEUED
    assert running.token not in running.log.read_text()
    with serving(tmp_path / "server") as again, again.holding(step=1):
        assert again.token == running.token
        again.wait(job.id, lambda now: now.state is JobState.RUNNING)


def test_a_job_that_a_stop_caught_goes_on_after_its_last_finished_segment_to_the_same_bits(
    tmp_path: Path, make_shot: Make
) -> None:
    export = make_shot(frames=17)
    subprocess.run(command("render", export, "--json"), capture_output=True, check=True)
    undisturbed = Take.loads((export.parent / "takes/v001/take.json").read_bytes())
    with serving(tmp_path / "server") as running, running.holding(frames=1):
        job = running.submit(export)
        running.wait(job.id, lambda now: now.frames > 0)
        running.process.terminate()
        assert running.process.wait(PATIENCE) == ExitCode.TERMINATED
    left = Jobs(DataFolder(running.data).queue).get(job.id)
    assert left is not None and left.state is JobState.QUEUED, "it was stopped in the middle"
    kept = {path.name for path in running.data.glob("segments/[!.]*")}
    assert kept and not list(running.data.rglob("*.part")), "what is finished is kept, and no half of anything"
    with serving(tmp_path / "server") as again:
        assert again.finished(job.id).state is JobState.DONE
        take = again.take(job.id)
        pictures = again.pictures(job.id)
    assert pictures == {path: undisturbed.files[path].sha256 for path in pictures} and len(pictures) == 3 * 17
    assert take.version == 1 and "resuming" in take.seconds
    assert kept < {segment.key for segment in take.segments} == {segment.key for segment in undisturbed.segments}


def test_a_worker_does_not_outlive_a_killed_server(tmp_path: Path) -> None:
    with serving(tmp_path / "server") as running:
        worker = running.worker()
        running.process.kill()
        running.process.wait()
        assert gone(worker, PATIENCE)


def test_a_worker_that_does_not_hear_a_cancel_is_killed(
    tmp_path: Path, shot: Shot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_CANCEL_SECONDS", 0.5)
    data = DataFolder(tmp_path / "data")
    jobs = Jobs(data.queue)
    watcher = supervisor.Supervisor(data, jobs, ["cpu"])
    watcher.start()
    try:
        end = time.monotonic() + PATIENCE
        while not (found := workers(os.getpid())) and time.monotonic() < end:
            time.sleep(0.02)
        os.kill(found[0], signal.SIGSTOP)  # as deaf as one that loads a large model
        jobs.add("a", shot)
        with sqlite3.connect(data.queue) as database:
            said = arguments(found[0])
            database.execute("UPDATE jobs SET state = 'running', worker = ?", [said[said.index("--name") + 1]])
        jobs.cancel("a")
        assert gone(found[0], PATIENCE)
        while (job := jobs.get("a")) and not job.state.is_final and time.monotonic() < end:
            time.sleep(0.02)
        assert job and job.state is JobState.CANCELLED
    finally:
        watcher.stop()
    assert not workers(os.getpid())


def test_jobs_do_not_wait_for_ever_for_a_worker_that_cannot_start(
    tmp_path: Path, shot: Shot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHOME", str(tmp_path / "nowhere"))  # no Python starts with this
    data = DataFolder(tmp_path)
    jobs = Jobs(data.queue)
    jobs.add("job", shot)
    watched = supervisor.Supervisor(data, jobs, ["cpu"])
    watched.start()
    try:
        end = time.monotonic() + PATIENCE
        while (job := jobs.get("job")) and not job.state.is_final:
            assert time.monotonic() < end
            time.sleep(0.1)
    finally:
        watched.stop()
    assert job is not None
    assert job.state is JobState.FAILED
    assert "worker does not start" in job.message
