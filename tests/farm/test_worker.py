"""`wan-animate render SHOT --resume` as farms run it: on hosts that die, sleep, are full, too small or not alone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from wan_animate_blender.wire import ExitCode, Precision, TakeState
from wan_animate_server import loaded
from wan_animate_server import render as rendering
from wan_animate_server.__main__ import main
from wan_animate_server.pipeline import Model
from wan_animate_server.placement import Residence

from ..conftest import QUICK, Make, command
from ..serving import gone, held, lives
from .hosts import (
    PATIENCE,
    ended,
    everything,
    has_frames,
    on,
    owner_of,
    pictures,
    stand_still,
    started,
    take_of,
    until,
    versions_of,
)

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")

PATIENT = 10 * PATIENCE
"""Seconds of watching that a living owner ends with his next beat."""


def resume(export: Path, *more: str) -> list[str]:
    return command("render", export, "--resume", *more)


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """What a command says in the end, which is all but a bar."""
    said = [line for line in done.stderr.splitlines() if line.startswith("wan-animate: ")]
    assert said and done.stderr.endswith(f"{said[0]}\n"), done.stderr
    return said[0]


# --- the same version goes on ---------------------------------------------------------------------


def test_a_shot_that_was_killed_goes_on_in_its_version_to_the_same_bits_and_done_stays_done(
    make_shot: Make, tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    export = make_shot()
    with held(tmp_path, frames=5), started(resume(export), tmp_path) as killed:
        until(has_frames(export), killed)
        killed.kill()
        killed.wait()
        left = take_of(export)
        assert left and left.state is TakeState.PARTIAL and left.segments
    done = ended(resume(export))
    assert (done.returncode, done.stdout) == (ExitCode.DONE, f"{export.parent / 'takes/v001'}\n"), done.stderr
    assert pictures(export) == undisturbed
    whole = take_of(export)
    assert whole and whole.state is TakeState.COMPLETE and "resuming" in whole.seconds
    before = everything(export)
    again = ended(resume(export, "--progress", "openjd"))
    assert again.returncode == ExitCode.DONE
    assert again.stdout.splitlines()[-3:] == [
        "openjd_progress: 100.0", "openjd_status: done", str(export.parent / "takes/v001")
    ]  # fmt: skip
    assert everything(export) == before


def test_a_shot_that_is_told_to_stop_writes_down_what_it_has_and_goes_on_there(
    make_shot: Make, tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    export = make_shot()
    with held(tmp_path, frames=5), started(resume(export, "--progress", "openjd"), tmp_path) as stopped:
        until(has_frames(export), stopped)
        stopped.terminate()
        said, noted = stopped.communicate(timeout=PATIENCE)
        assert stopped.returncode == ExitCode.TERMINATED
    assert "openjd_fail" not in said and len(noted.splitlines()) == 1
    assert "released" in owner_of(export), "the next host need not find out whether this one lives"
    assert ended(resume(export)).returncode == ExitCode.DONE
    assert versions_of(export) == ["v001"] and pictures(export) == undisturbed


def test_a_command_that_does_not_hear_ends_all_the_same() -> None:
    """As one that loads a large model does not: Python's own handlers wait for the end of a call."""
    deaf = (
        "import hashlib, signal, sys\nfrom wan_animate_server import starter\nstarter.GRACE_SECONDS = 0.2\n"
        "signal.signal(signal.SIGTERM, lambda *_: None)\nstarter.end_in_time()\nprint('ready', flush=True)\n"
        "hashlib.pbkdf2_hmac('sha256', b'x', b'y', 2**31 - 1)"
    )
    with subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"ready\n"
        process.terminate()
        assert process.wait(PATIENCE) == ExitCode.TERMINATED


def test_a_render_does_not_outlive_the_farm_that_started_it(make_shot: Make, tmp_path: Path) -> None:
    export, pid = make_shot(), tmp_path / "pid"
    runner = (
        "import subprocess, sys, time\np = subprocess.Popen(sys.argv[2:], start_new_session=True)\n"
        "open(sys.argv[1], 'w').write(str(p.pid))\ntime.sleep(10000)"
    )
    words = [sys.executable, "-c", runner, str(pid), *resume(export, "--progress", "percent")]
    with held(tmp_path, step=1), started(words, tmp_path) as farm:
        until(lambda: take_of(export) is not None, farm)
        render = int(pid.read_text())
        assert lives(render)
        farm.kill()
        assert gone(render, PATIENCE)
    assert "released" in owner_of(export)


# --- two at once ----------------------------------------------------------------------------------


def test_of_several_hosts_that_begin_a_shot_at_once_one_renders_it_and_the_others_leave(
    make_shot: Make, tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    export = make_shot()
    words = resume(export, "--json")
    with held(tmp_path, step=1), started(words, tmp_path) as one, started(words, tmp_path) as other:
        both = (one, other)
        until(lambda: any(each.poll() is not None for each in both) and take_of(export))
        (left,) = (each for each in both if each.poll() is not None)
        (winner,) = (each for each in both if each is not left)
        said = left.communicate()[1]
        assert left.returncode == ExitCode.TRY_ELSEWHERE, said
        assert f"v001 is being rendered by process {winner.pid} on" in said and len(said.splitlines()) == 1
        (tmp_path / "hold.json").unlink()
        assert winner.wait(PATIENCE) == ExitCode.DONE
    assert versions_of(export) == ["v001"] and pictures(export) == undisturbed


@pytest.mark.parametrize("skew", [0.0, -4e8, 4e8])
def test_a_shot_that_another_machine_renders_is_left_alone_whatever_its_clock_says(
    make_shot: Make, tmp_path: Path, skew: float
) -> None:
    export = make_shot()
    with held(tmp_path, frames=5), started(on("render-07", "render", export, "--resume", skew=skew), tmp_path) as far:
        until(has_frames(export), far)
        refused = ended(on("render-08", "render", export, "--resume", "--progress", "openjd", watch=PATIENT))
        assert refused.returncode == ExitCode.TRY_ELSEWHERE
        assert f"is being rendered by process {far.pid} on render-07; nothing was touched" in sentence(refused)
        assert f"openjd_fail: {sentence(refused).removeprefix('wan-animate: ')}" in refused.stdout.splitlines()
        assert versions_of(export) == ["v001"] and far.poll() is None


@pytest.mark.parametrize("skew", [0.0, -4e8, 4e8])
def test_a_shot_of_a_machine_that_died_goes_on_elsewhere_whatever_its_clock_said(
    make_shot: Make, tmp_path: Path, undisturbed: dict[str, str], skew: float
) -> None:
    export = make_shot()
    with held(tmp_path, frames=5), started(on("render-07", "render", export, "--resume", skew=skew), tmp_path) as dead:
        until(has_frames(export), dead)
        dead.kill()
        dead.wait()
    assert owner_of(export)["host"] == "render-07"
    done = ended(on("render-08", "render", export, "--resume"))
    assert done.returncode == ExitCode.DONE, done.stderr
    assert versions_of(export) == ["v001"] and pictures(export) == undisturbed
    assert not list((export.parent / "takes/v001").glob(".*"))


def test_a_machine_that_slept_while_another_took_over_leaves_and_damages_nothing(
    make_shot: Make, tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    export, own, other = make_shot(), tmp_path / "own", tmp_path / "other"
    own.mkdir()
    other.mkdir()
    with (
        held(own, frames=5),
        held(other, frames=5),
        started(on("render-07", "render", export, "--resume"), own) as sleeper,
    ):
        until(has_frames(export), sleeper)
        stand_still(sleeper)
        with started(on("render-08", "render", export, "--resume"), other) as heir:
            until(lambda: owner_of(export)["host"] == "render-08" and has_frames(export)(), heir)
            (own / "hold.json").unlink()
            sleeper.send_signal(signal.SIGCONT)
            said = sleeper.communicate(timeout=PATIENCE)[1].splitlines()
            assert sleeper.returncode == ExitCode.TRY_ELSEWHERE
            assert f"process {heir.pid} on render-08 goes on with it; nothing more was written" in said[-1]
            assert owner_of(export)["host"] == "render-08"
            (other / "hold.json").unlink()
            assert heir.wait(PATIENCE) == ExitCode.DONE, heir.communicate()
    assert versions_of(export) == ["v001"] and pictures(export) == undisturbed


def test_a_take_of_other_settings_is_other_work(make_shot: Make, tmp_path: Path) -> None:
    export = make_shot(frames=3)
    assert ended(resume(export, "--set", "steps=1")).returncode == ExitCode.DONE
    assert ended(resume(export)).returncode == ExitCode.DONE
    assert ended(resume(export, "--set", "steps=1")).stdout.endswith("v001\n")
    assert versions_of(export) == ["v001", "v002"]


# --- hosts that cannot ----------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, 24 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", folder], capture_output=True).returncode:
        pytest.skip("only an administrator of Linux makes a disk that cannot be written")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", disk], check=True)


def test_storage_that_may_only_be_read_is_one_sentence(disk: Path, make_shot: Make) -> None:
    export = make_shot(root=disk)
    remount(disk, "ro")
    done = ended(resume(export, "--progress", "openjd"))
    assert done.returncode == ExitCode.BAD_INPUT
    assert "Read-only file system" in sentence(done) and "openjd_fail: cannot write to" in done.stdout


def test_storage_whose_place_for_takes_is_taken_is_one_sentence(make_shot: Make) -> None:
    export = make_shot(frames=1)
    (export.parent / "takes").touch()
    done = ended(resume(export))
    assert done.returncode == ExitCode.BAD_INPUT and "cannot write" in sentence(done)


def test_storage_that_is_read_only_or_full_for_a_while_costs_only_that_while(
    disk: Path, make_shot: Make, tmp_path: Path, undisturbed: dict[str, str]
) -> None:
    export, ballast = make_shot(root=disk), disk / "ballast"
    for spoil, repair in (
        (lambda: remount(disk, "ro"), lambda: remount(disk, "rw")),
        (lambda: subprocess.run(["dd", "if=/dev/zero", f"of={ballast}"], capture_output=True), ballast.unlink),
    ):
        with held(tmp_path, step=1), started(resume(export), tmp_path) as spoiled:
            until(lambda: take_of(export) is not None and owner_of(export)["pid"] == spoiled.pid, spoiled)
            spoil()
            (tmp_path / "hold.json").unlink()
            said = spoiled.communicate(timeout=PATIENCE)[1].splitlines()
            assert spoiled.returncode == ExitCode.BAD_INPUT, said
            assert any(line.startswith("wan-animate: cannot write") for line in said), said
        repair()
    assert ended(resume(export)).returncode == ExitCode.DONE
    assert versions_of(export) == ["v001"] and pictures(export) == undisturbed


def test_a_host_without_the_model_says_which_and_makes_nothing(make_shot: Make, tmp_path: Path) -> None:
    export = make_shot(settings=replace(QUICK, model="wan-animate-14b", precision=Precision.BF16))
    done = ended(resume(export, "--progress", "openjd"), WAN_ANIMATE_MODELS=str(tmp_path / "none"))
    assert done.returncode == ExitCode.UNAVAILABLE
    assert "wan-animate-14b" in sentence(done) and "\nopenjd_fail: " in done.stdout
    assert not (export.parent / "takes").exists()


def run_here(export: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """In this process, whose device can be made smaller, and whose signals stay its own."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(signal, "set_wakeup_fd", lambda *_, **__: -1)
    monkeypatch.setattr(sys, "argv", ["wan-animate", "render", str(export), "--resume", "--json"])
    return main()


def test_a_host_whose_gpu_is_too_small_says_what_would_do_and_leaves_it_to_another(
    make_shot: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    export = make_shot(frames=3)
    monkeypatch.setattr(rendering, "memory_of", lambda _: 1_000_000)
    assert run_here(export, monkeypatch) == ExitCode.TRY_ELSEWHERE
    assert re.search(r"needs \d+\.\d GB of device memory even with streamed weights", capsys.readouterr().err)
    assert not (export.parent / "takes").exists()


@pytest.mark.parametrize("fits", [Residence.STREAMED, None])
def test_a_gpu_that_runs_full_is_tried_again_tighter_and_no_further(
    make_shot: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fits: Residence | None
) -> None:
    export, tried, load = make_shot(frames=3), [], loaded.load_model

    def small(*given: str, residence: Residence, **more: str) -> Model:
        tried.append(residence)
        if residence is not fits:
            raise torch.OutOfMemoryError("out of memory")
        return load(*given, residence=residence, **more)

    loaded.MODEL.drop()
    monkeypatch.setattr(loaded, "MODEL", loaded.LastModel())
    monkeypatch.setattr(rendering, "MODEL", loaded.MODEL)
    monkeypatch.setattr(loaded, "load_model", small)
    code = run_here(export, monkeypatch)
    said = capsys.readouterr()
    assert tried == list(Residence)
    assert code == (ExitCode.DONE if fits else ExitCode.TRY_ELSEWHERE), said.err
    assert said.out.count("the device's memory ran out") == 2
    assert (export.parent / "takes").exists() is bool(fits)


def test_a_resume_is_of_a_whole_shot(make_shot: Make) -> None:
    done = ended(resume(make_shot(frames=1), "--extend"))
    assert done.returncode == ExitCode.BAD_INPUT and "leave it out" in sentence(done)


def test_a_log_is_told_in_percent(make_shot: Make) -> None:
    export = make_shot(frames=3)
    *lines, last = ended(resume(export, "--progress", "percent")).stdout.splitlines()
    assert all(re.fullmatch(r"\d{1,3} % [a-z].*", line) for line in lines) and lines[-1].startswith("100 % done")
    assert last == str(export.parent / "takes" / "v001") and os.fspath(export)
