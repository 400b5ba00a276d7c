"""`wan-animate doctor`: what is found, what is advised, and that nothing stops it or gets out."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from wan_animate_blender.wire import ExitCode
from wan_animate_server import doctor, hardware, library, premises
from wan_animate_server.database import MIGRATIONS
from wan_animate_server.datafolder import DataFolder
from wan_animate_server.finding import Finding, State, ok
from wan_animate_server.jobs import Jobs
from wan_animate_server.keyring import NamedTokens, own_secret
from wan_animate_server.library import Library, Manifest, manifests

from .conftest import command
from .serving import serving


def found(findings: Iterator[Finding]) -> dict[str, Finding]:
    return {finding.about: finding for finding in findings}


def states(findings: Iterator[Finding]) -> dict[str, State]:
    return {finding.about: finding.state for finding in findings}


def run(tmp_path: Path, *options: str | Path) -> subprocess.CompletedProcess[str]:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        free = str(door.getsockname()[1])
    options = ("--data", tmp_path / "data", "--token-file", tmp_path / "token", *(options or ("--port", free)))
    return subprocess.run(command("doctor", *options), capture_output=True, text=True, timeout=900)


def test_this_machine_is_fit_and_every_line_says_what_it_is_about(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == ExitCode.DONE, done.stdout
    lines = done.stdout.splitlines()
    assert all(line.startswith(("ok      ", "note    ")) for line in lines), lines
    for about in ("Python", "PyTorch", "CUDA", "attention", "memory", "EXR", "FFmpeg", "disk speed", "model puppet",
                  "port ", "token", "queue"):  # fmt: skip
        assert any(line[8:].startswith(about) for line in lines), about
    assert not list(tmp_path.iterdir()), "it has made nothing"


def test_something_missing_is_exit_code_69_and_a_secret_is_never_said(tmp_path: Path) -> None:
    secret = own_secret(tmp_path / "token")
    named = NamedTokens(tmp_path / "token").add("anna")
    (tmp_path / "token").chmod(0o644)
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen()
        done = run(tmp_path, "--json", "--port", str(door.getsockname()[1]))
    assert done.returncode == ExitCode.UNAVAILABLE
    assert done.stderr.startswith("wan-animate: ") and done.stderr.count("\n") == 1
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(line.keys() == {"about", "state", "said", "advice"} for line in said)
    wrong = {line["about"].split()[0]: line for line in said if line["state"] == "problem"}
    assert set(wrong) == ({"token", "port"} if os.name == "posix" else {"port"})
    assert all(line["advice"] for line in wrong.values())
    assert secret not in done.stdout + done.stderr and named not in done.stdout + done.stderr


@pytest.mark.parametrize("options", [["--port", "0"], ["--port", "x"], ["--nonsense"]])
def test_options_that_make_no_sense_are_bad_input(tmp_path: Path, options: list[str]) -> None:
    assert run(tmp_path, *options).returncode == ExitCode.BAD_INPUT


def test_a_check_that_breaks_is_a_problem_and_stops_no_other() -> None:
    def broken() -> Iterator[Finding]:
        yield ok("first", "fine")
        raise ImportError("no such library")

    checks: dict[str, doctor.Check] = {"libraries": broken, "other": lambda: [ok("second", "fine")]}
    first, wrong, second = doctor.examine(checks)
    assert (first.about, second.about) == ("first", "second")
    assert wrong.state is State.PROBLEM and "ImportError: no such library" in wrong.said and wrong.advice


# --- what it runs on --------------------------------------------------------------------------------


def test_packages_outside_of_their_range_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "requirements", lambda: [Requirement("torch<1"), Requirement("no-such-thing>=1")])
    lines = [finding for finding in hardware.versions() if finding.state is State.PROBLEM]
    assert f"torch is {torch.__version__}, expected <1" in lines[0].said
    assert "no-such-thing is not installed" in lines[1].said


def test_the_ranges_are_those_of_the_project() -> None:
    named = {requirement.name: requirement for requirement in hardware.requirements()}
    assert "2.13.0" in named["torch"].specifier and "1.0" not in named["torch"].specifier
    assert "pytest" not in named and "fastapi" in named
    assert "3.11" in (known := SpecifierSet(hardware.python_range())) and "3.10" not in known


@pytest.mark.parametrize(("cards", "built", "seen", "state", "advice"), [
    ([], None, 0, State.NOTE, "CUDA card"),
    (["H200 driver 580"], None, 0, State.PROBLEM, "install PyTorch for CUDA"),
    (["H200 driver 380"], "12.8", 0, State.PROBLEM, "update the driver"),
    (["H200 driver 580"], "12.8", 1, State.OK, ""),
])  # fmt: skip
def test_a_driver_and_pytorch_must_fit(
    monkeypatch: pytest.MonkeyPatch, cards: list[str], built: str | None, seen: int, state: State, advice: str
) -> None:
    monkeypatch.setattr(hardware, "_cards", lambda: cards)
    monkeypatch.setattr(torch.version, "cuda", built)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: seen)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H200")
    (line,) = hardware.driver()
    assert line.state is state and advice in line.advice


def test_nvidia_smi_is_asked_and_one_that_fails_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    smi.write_text(f"#!{sys.executable}\nprint('NVIDIA H200, 580.1')\n")
    smi.chmod(0o755)
    assert hardware._cards() == ["NVIDIA H200 driver 580.1"]
    smi.write_text(f"#!{sys.executable}\nraise SystemExit(9)\n")
    monkeypatch.setattr(hardware, "_DRIVER", tmp_path / "none")
    assert hardware._cards() == []


@pytest.mark.parametrize(("free", "state"), [(1_000_000, State.NOTE), (10**12, State.OK)])
def test_whether_a_model_fits_is_forecast(monkeypatch: pytest.MonkeyPatch, free: int, state: State) -> None:
    monkeypatch.setattr("wan_animate_server.installed.MODELS", ("puppet",))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free, total=10**12))
    assert states(hardware.memory())["puppet on cpu"] is state


def test_pictures_that_do_not_come_back_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    from wan_animate_server import video

    read = video.read_picture
    monkeypatch.setattr(video, "read_picture", lambda path: read(path) + 1 if path.suffix == ".exr" else read(path))
    lines = states(hardware.libraries())
    assert (lines["PNG"], lines["EXR"], lines["FFmpeg"]) == (State.OK, State.PROBLEM, State.OK)


# --- what is around a server --------------------------------------------------------------------------


def test_a_disk_is_measured_and_nothing_is_left_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = found(premises.disk(DataFolder(tmp_path / "not/yet")))
    assert "MB/s" in lines["disk speed"].said and str(tmp_path) in lines["disk"].said
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(premises, "_SLOW", 1e15)
    assert found(premises.disk(DataFolder(tmp_path)))["disk speed"].state is State.NOTE
    monkeypatch.setattr(premises, "_ROOM", 1e18)
    assert states(premises.disk(DataFolder(tmp_path))) == {"disk": State.PROBLEM}


def test_a_model_that_changed_is_found_at_a_glance_and_one_that_rotted_by_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = manifests()["wan-animate-14b"]
    tokenizer = replace(next(file for file in released.files if file.part == "tokenizer"), sha256=None)
    small = Manifest(name="small", title="", repository="x/y", revision="z", terms={}, files=(tokenizer,))
    monkeypatch.setattr(premises, "manifests", lambda: {"small": small})
    here = Library(tmp_path / "models")
    assert found(premises.models(here, False))["model small"].advice == "wan-animate models pull small"
    source = tmp_path / "source"
    source.write_bytes(b"as it was")
    here.adopt(small, source, tokenizer.path)
    assert states(premises.models(here, True)) == {"model small": State.OK}
    kept = here.folder(small) / tokenizer.path
    kept.unlink()
    kept.write_bytes(b"as it ist")
    assert states(premises.models(here, False)) == {"model small": State.OK}
    assert states(premises.models(here, True)) == {"model small": State.PROBLEM}
    kept.write_bytes(b"longer than it was")
    assert states(premises.models(here, False)) == {"model small": State.PROBLEM}
    assert library.State.CHANGED in {held.state for held in here.held(small)}


def test_a_port_is_free_ours_or_somebody_elses(tmp_path: Path) -> None:
    with serving(tmp_path / "server") as running:
        number = int(running.url.rsplit(":", 1)[1])
        (line,) = premises.port(number)
        assert line.state is State.OK and "a server of this kind" in line.said
    (line,) = premises.port(number)
    assert line.said == "free"


@pytest.mark.skipif(os.name != "posix", reason="rights are another matter there")
def test_a_token_that_others_may_read_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "token"
    own_secret(path)
    NamedTokens(path).add("anna")
    assert [line.state for line in premises.token(path)] == [State.OK]
    (tmp_path / "tokens/anna.json").chmod(0o640)
    wrong, _ = premises.token(path)
    assert wrong.state is State.PROBLEM and "anna.json" in wrong.said


def test_a_queue_is_judged_by_its_version_and_read_only(tmp_path: Path) -> None:
    data = DataFolder(tmp_path)
    Jobs(data.queue)

    def now() -> Finding:
        (line,) = premises.queue(data)
        return line

    assert now().state is State.OK and "no jobs" in now().said
    for more, state in ((1, State.PROBLEM), (-1, State.NOTE)):
        with closing(sqlite3.connect(data.queue)) as connection:
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + more}")
        assert now().state is state
    data.queue.write_bytes(b"this is no database" * 1000)
    for beside in tmp_path.glob("jobs.sqlite-*"):
        beside.unlink()
    assert now().state is State.PROBLEM and "backup" in now().advice
