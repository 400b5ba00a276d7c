"""Workers that hang or grow are killed and their jobs go on; no server outlives whoever wants it to end with him."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wan_animate_blender.wire import JobState, Shot
from wan_animate_server.datafolder import DataFolder
from wan_animate_server.jobs import DEATHS, Jobs
from wan_animate_server.roster import Condition, Roster
from wan_animate_server.supervisor import Limits, Supervisor

from .conftest import Make, command
from .serving import PATIENCE, arguments, gone, serving, workers

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")


def test_a_worker_whose_heart_stops_is_killed_and_its_job_ends_with_the_same_bits(
    tmp_path: Path, make_shot: Make, undisturbed: dict[str, str]
) -> None:
    with serving(tmp_path / "server", "--silence", "10") as running:
        with running.holding(frames=1):
            job = running.submit(make_shot())
            running.wait(job.id, lambda now: now.frames > 0)
            hung = running.worker()
            os.kill(hung, signal.SIGSTOP)  # as a step that never ends
        assert gone(hung, PATIENCE)
        assert running.finished(job.id).state is JobState.DONE
        assert running.pictures(job.id) == undisturbed
        assert "no sign of life for 10 s" in running.log.read_text()


def test_a_worker_that_holds_too_much_memory_is_killed_and_a_job_that_needs_it_fails_with_a_sentence(
    tmp_path: Path, shot: Shot
) -> None:
    data = DataFolder(tmp_path)
    jobs = Jobs(data.queue)
    watched = Supervisor(data, jobs, ["cpu"], Limits(memory=50_000_000))  # no worker's libraries fit into it
    jobs.add("a", shot)
    watched.start()
    try:
        end = time.monotonic() + PATIENCE
        while (job := jobs.get("a")) and not job.state.is_final:
            assert time.monotonic() < end
            if found := names(os.getpid()):
                jobs.claim(found[0])  # it is killed before it does so itself
            time.sleep(0.02)
    finally:
        watched.stop()
    assert job and job.state is JobState.FAILED
    assert "GB of memory" in job.message and f"{DEATHS} times" in job.message
    assert not workers(os.getpid())


def names(pid: int) -> list[str]:
    """The names of the workers that the process `pid` started."""
    said = [arguments(worker) for worker in workers(pid)]
    return [words[words.index("--name") + 1] for words in said if "--name" in words]


def test_a_silent_worker_is_told_from_a_living_one_by_its_heartbeats(tmp_path: Path) -> None:
    roster = Roster(Jobs(tmp_path / "jobs.sqlite").database)
    assert roster.beats("a") is None
    roster.sign_on("a", "cuda:0", 1, "a device", ("puppet",))
    roster.sign_on("b", "cuda:1", 2, "another", ("puppet", "large"))
    roster.beat("a", Condition(memory=100, free=40, loaded="puppet bf16 resident"))
    assert (roster.beats("a"), roster.beats("b")) == (1, 0)
    first, second = roster.devices()
    assert (first.name, first.memory, first.free, first.loaded) == ("cuda:0", 100, 40, "puppet bf16 resident")
    assert (second.memory, second.loaded) == (None, "")
    assert roster.models() == ("large", "puppet")
    roster.strike("b")
    assert roster.models() == ("puppet",)
    roster.strike()
    assert roster.devices() == []


STARTER = """
import subprocess, sys, time
server = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)
print(server.pid, flush=True)
time.sleep(1000)
"""


def test_a_server_with_parent_is_gone_with_its_worker_when_the_parent_is_killed(tmp_path: Path) -> None:
    options = ("--port", "0", "--data", tmp_path / "data", "--token-file", tmp_path / "token")
    serve = command("serve", *options, "--ready-file", tmp_path / "ready.json", "--with-parent")
    with subprocess.Popen([sys.executable, "-c", STARTER, *serve], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout
        server = int(starter.stdout.readline())
        end = time.monotonic() + PATIENCE
        while not (found := workers(server)):
            assert time.monotonic() < end
            time.sleep(0.05)
        starter.kill()
    assert gone(server, PATIENCE)
    assert all(gone(worker, PATIENCE) for worker in found)
    assert not (tmp_path / "ready.json").exists(), "it ended as if it had been asked to"
