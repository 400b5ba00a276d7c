"""The disk of a server's data folder is full, really: a small file system that something else fills."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from wan_animate_blender.wire import JobState, Unavailable

from ..conftest import write_export
from ..serving import serving
from .campaign import undisturbed
from .leftovers import processes, settled, strays
from .sending import sent

BYTES = 24 << 20
"""Enough for a few small shots and their segments."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={BYTES}", "none", folder], capture_output=True)
    if made.returncode:
        pytest.skip(
            "only an administrator of Linux makes a small disk; files that may not grow stand in, test_database"
        )
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path) -> Path:
    """Fill the disk to its last byte; to unlink the returned file makes room."""
    ballast = disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))
    with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
        while True:
            file.write(b"\0")
    assert os.statvfs(disk).f_bavail == 0
    return ballast


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Four segments, of which the last ones need room when the disk is full."""
    return write_export(tmp_path, 17)


def test_a_job_whose_disk_fills_up_fails_with_a_sentence_and_goes_on_when_there_is_room(
    disk: Path, export: Path
) -> None:
    truth = undisturbed(export)
    with serving(disk) as running:
        with running.holding(frames=1):
            job = sent(running, export).id
            running.wait(job, lambda now: now.frames > 0)
            ballast = fill(disk)
        # What held the render leaves a page of room, less than one picture takes.
        # The queue itself may have no room for that word; what is said meanwhile is no more than the truth.
        running.wait(job, lambda now: now.state is not JobState.RUNNING or "room" in running.log.read_text())
        ballast.unlink()
        ended_as = running.finished(job)
        if ended_as.state is JobState.FAILED:
            assert "make room there" in ended_as.message
            assert running.call("POST", f"/v1/jobs/{job}/retry").status_code == 202
            ended_as = running.finished(job)
        assert ended_as.state is JobState.DONE, ended_as.message
        assert running.pictures(job) == truth
        assert not settled(lambda: strays(running.data))
    assert not settled(lambda: list(map(str, processes(disk))))


def test_an_upload_to_a_full_disk_is_refused_with_a_sentence_and_goes_on_when_there_is_room(
    disk: Path, tmp_path: Path
) -> None:
    export = write_export(tmp_path, frames=5)
    truth = undisturbed(export)
    with serving(disk) as running:
        ballast = fill(disk)
        with pytest.raises(Unavailable, match="room"):
            sent(running, export)
        assert running.call("GET", "/v1/jobs").json() == []
        ballast.unlink()
        job = running.finished(sent(running, export).id)
        assert job.state is JobState.DONE, job.message
        assert running.pictures(job.id) == truth
        assert not settled(lambda: strays(running.data))


def test_a_server_that_is_killed_on_a_full_disk_has_lost_nothing_when_it_starts_with_room(
    disk: Path, export: Path
) -> None:
    truth = undisturbed(export)
    with serving(disk) as running, running.holding(frames=1):
        job = sent(running, export).id
        running.wait(job, lambda now: now.frames > 0)
        ballast = fill(disk)
        running.process.kill()
        running.process.wait()
    ballast.unlink()
    with serving(disk) as again:
        ended_as = again.finished(job)
        if ended_as.state is JobState.FAILED:  # the worker said so before it died
            assert "make room there" in ended_as.message
            again.call("POST", f"/v1/jobs/{job}/retry")
            ended_as = again.finished(job)
        assert ended_as.state is JobState.DONE, ended_as.message
        assert again.pictures(job) == truth
        assert len(again.call("GET", "/v1/jobs").json()) == 1
        assert not settled(lambda: strays(again.data))
