"""`wan-animate serve --private`: one warm model for a farm's session, that renders in place and leaves nothing."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import requests

from wan_animate_blender.wire import WIRE_HEADER, ExitCode, Precision, Shot
from wan_animate_server import private
from wan_animate_server.jobs import Jobs
from wan_animate_server.private import stop
from wan_animate_server.ready import VARIABLE, Ready

from ..conftest import QUICK, command, write_export
from ..serving import gone, held, lives, waits, workers
from .hosts import PATIENCE, ended, everything, has_frames, owner_of, pictures, started, take_of, until, versions_of

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")


@dataclass(frozen=True)
class Session:
    """A farm's session with a private server."""

    file: Path
    said: str
    ready: Ready

    @property
    def environment(self) -> dict[str, str]:
        """Of its actions, as the engine heard it."""
        name, _, value = self.said.removeprefix("openjd_env: ").strip().partition("=")
        return {name: value}

    @property
    def worker(self) -> int:
        until(lambda: workers(self.ready.pid))
        return workers(self.ready.pid)[0]


@contextmanager
def session(folder: Path, root: Path, **environment: str) -> Iterator[Session]:
    """Its renders wait where `held(folder)` says."""
    file = folder / "session" / "ready.json"
    words = command("serve", "--private", "--ready-file", file, "--root", root)
    done = ended(words, TMPDIR=str(folder), **waits(folder), **environment)
    assert done.returncode == ExitCode.DONE, done.stderr
    ready = Ready.read(file)
    assert ready is not None
    try:
        yield Session(file, done.stdout, ready)
    finally:
        stop(file)


def resume(export: Path, *more: str) -> list[str]:
    return command("render", export, "--resume", "--progress", "openjd", *more)


def data_of(folder: Path) -> list[Path]:
    return list(folder.glob("wan-animate-*"))


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return write_export(tmp_path / "shots")


def test_all_shots_of_a_session_are_rendered_in_place_by_one_process(
    tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    exports = [write_export(tmp_path / "shots" / str(number)) for number in range(2)]
    with session(tmp_path, tmp_path / "shots") as running:
        assert running.said == f"openjd_env: {VARIABLE}={running.file}\n", "and this line ended, though it goes on"
        assert stat.S_IMODE(running.file.stat().st_mode) == 0o600
        worker = running.worker
        for export in exports:
            done = ended(resume(export), **running.environment)
            assert done.returncode == ExitCode.DONE, done.stderr
            assert done.stdout.splitlines()[-1] == str(export.parent / "takes/v001")
            assert done.stdout.splitlines()[-3:-1] == ["openjd_progress: 100.0", "openjd_status: done, segment 2 of 2"]
            assert pictures(export) == undisturbed
            assert not list((export.parent / "takes/v001").glob(".*"))
        assert running.worker == worker
        before = everything(exports[0])
        again = ended(resume(exports[0]), **running.environment)
        assert again.returncode == ExitCode.DONE and everything(exports[0]) == before
        said = (running.file.parent / "ready.json.log").read_text()
        assert said.count("rendering SH010") == 3 and running.ready.token not in said
        private = ended(command("serve", "--private", "--ready-file", running.file))
        assert private.stdout == running.said and Ready.read(running.file) == running.ready, "one is enough"
        assert ended(command("serve", "--stop", "--ready-file", running.file)).returncode == ExitCode.DONE
        assert not lives(running.ready.pid) and not lives(worker)
        assert not running.file.exists() and not data_of(tmp_path)
        assert ended(command("serve", "--stop", "--ready-file", running.file)).returncode == ExitCode.DONE


def test_nobody_comes_in_without_the_ready_file(tmp_path: Path, export: Path) -> None:
    with session(tmp_path, export.parent) as running:
        assert running.ready.url.startswith("http://127.0.0.1:")
        wire = {WIRE_HEADER: "1"}
        assert requests.get(f"{running.ready.url}/v1/jobs", headers=wire, timeout=PATIENCE).status_code == 401
        known = wire | {"Authorization": f"Bearer {running.ready.token}"}
        assert requests.get(f"{running.ready.url}/v1/jobs", headers=known, timeout=PATIENCE).status_code == 200
        assert running.ready.token not in Path(f"/proc/{running.ready.pid}/cmdline").read_text()
        assert running.ready.token not in Path(f"/proc/{running.worker}/environ").read_text()


def test_a_render_that_is_told_to_stop_stops_its_job_and_goes_on_later(
    tmp_path: Path, export: Path, undisturbed: dict[str, str]
) -> None:
    with session(tmp_path, export.parent) as running:
        with held(tmp_path, frames=5), started(resume(export), tmp_path, **running.environment) as stopped:
            until(has_frames(export), stopped)
            stopped.terminate()
            assert stopped.wait(PATIENCE) == ExitCode.TERMINATED
            until(lambda: "released" in owner_of(export))
        assert ended(resume(export), **running.environment).returncode == ExitCode.DONE
    assert versions_of(export) == ["v001"] and pictures(export) == undisturbed


def test_a_server_that_dies_costs_a_line_and_no_frame(
    tmp_path: Path, export: Path, undisturbed: dict[str, str]
) -> None:
    with session(tmp_path, export.parent) as running, held(tmp_path, frames=5):
        with started(resume(export), tmp_path / "free", **running.environment) as render:
            until(has_frames(export), render)
            os.kill(running.ready.pid, 9)
            said, noted = render.communicate(timeout=PATIENCE)
        assert render.returncode == ExitCode.DONE, noted
    assert "does not answer" in said and "rendering here" in said
    assert versions_of(export) == ["v001"] and pictures(export) == undisturbed


@pytest.mark.parametrize("why", ["not there", "another root"])
def test_a_shot_that_cannot_be_handed_over_is_rendered_here_and_that_is_said(
    tmp_path: Path, export: Path, why: str
) -> None:
    (tmp_path / "other").mkdir()
    with session(tmp_path, tmp_path / "other") as running:
        file = running.file if why == "another root" else tmp_path / "nothing.json"
        done = ended(resume(export), **{VARIABLE: str(file)})
    assert done.returncode == ExitCode.DONE, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "rendering here" in line]
    assert line.startswith("openjd_status: the private server")
    assert take_of(export)


def test_what_a_job_fails_by_is_what_the_command_fails_by(tmp_path: Path) -> None:
    export = write_export(
        tmp_path / "shots", settings=replace(QUICK, model="wan-animate-14b", precision=Precision.BF16)
    )
    with session(tmp_path, export.parent, WAN_ANIMATE_MODELS=str(tmp_path / "none")) as running:
        done = ended(resume(export), **running.environment)
    assert done.returncode == ExitCode.UNAVAILABLE
    assert "wan-animate-14b" in done.stderr and "\nopenjd_fail: " in done.stdout


def test_the_server_goes_with_whoever_runs_the_session(tmp_path: Path, export: Path) -> None:
    """As OpenJD's runner does: the action is a session of its own, a script that starts the command and ends."""
    file = tmp_path / "ready.json"
    action = ["sh", "-c", 'echo begun; "$@"; true', "sh", *command("serve", "--private", "--ready-file", file)]
    runner = (
        "import subprocess, sys, time\nsubprocess.run(sys.argv[1:], start_new_session=True, check=True)\n"
        "print('action ended', flush=True)\ntime.sleep(10000)"
    )
    words = [sys.executable, "-c", runner, *action]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(tmp_path)}) as farm:
        assert farm.stdout
        try:
            lines = [farm.stdout.readline() for _ in range(3)]
            assert lines == ["begun\n", f"openjd_env: {VARIABLE}={file}\n", "action ended\n"]
            ready = Ready.read(file)
            assert ready and lives(ready.pid)
        finally:
            farm.kill()
        assert gone(ready.pid, PATIENCE) and not file.exists() and not data_of(tmp_path)


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    done = ended(command("serve", "--private", "--ready-file", tmp_path / "r.json", "--root", tmp_path / "nowhere"))
    assert done.returncode == ExitCode.UNAVAILABLE
    assert "nowhere is no folder" in done.stderr and len(done.stderr.splitlines()) == 1
    nameless = ended(command("serve", "--private"))
    assert nameless.returncode == ExitCode.BAD_INPUT and "--ready-file" in nameless.stderr


def test_a_server_that_nobody_wants_ends_and_one_with_work_does_not(
    tmp_path: Path, shot: Shot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private, "IDLE_SECONDS", 0.2)
    monkeypatch.setattr(private, "_LOOK_SECONDS", 0.01)
    (tmp_path / "own.json").write_text(json.dumps({"url": "http://127.0.0.1:1"}))
    lived = private._Session(
        file=tmp_path / "ready.json", ready=tmp_path / "own.json", token="t", devices=("cpu",), starter=None
    )
    jobs, looks = Jobs(tmp_path / "jobs.sqlite"), iter(range(1000))
    jobs.add("a", shot)
    count = jobs.queue

    def queue() -> object:
        if next(looks) == 100:  # five times as long as an idle one would live
            jobs.cancel("a")
        return count()

    monkeypatch.setattr(jobs, "queue", queue)
    lived.ends(jobs)
    assert next(looks) > 100
