"""The command line as scripts and farms see it: exit codes, one sentence for every error, and interruptions."""

from __future__ import annotations

import json
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from wan_animate_blender.wire import ExitCode, Take, TakeState

from .conftest import QUICK, Make, command


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=120)


def take_of(folder: Path) -> Take:
    return Take.loads((folder.parent / "takes/v001/take.json").read_bytes())


def test_the_version_is_said() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout.split()[0]) == (ExitCode.DONE, "wan-animate")


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["render"], ["render", "x", "--device", "tpu"], ["serve", "--port", "x"]]
)
def test_a_command_line_that_makes_no_sense_is_bad_input(arguments: list[str]) -> None:
    assert run(*arguments).returncode == ExitCode.BAD_INPUT


def test_a_shot_renders_for_a_person_and_the_take_is_printed(make_shot: Make) -> None:
    folder = make_shot(frames=3)
    done = run("render", folder)
    assert done.returncode == ExitCode.DONE, done.stderr
    assert done.stdout == f"{folder.parent / 'takes/v001'}\n"
    assert take_of(folder).state is TakeState.COMPLETE


def test_bad_input_is_one_sentence_and_exit_code_64(make_shot: Make) -> None:
    folder = make_shot(frames=3)
    (folder / "plate/1002.png").unlink()
    done = run("render", folder, "--json")
    assert done.returncode == ExitCode.BAD_INPUT
    assert len(done.stderr.splitlines()) == 1
    assert "plate/1002.png" in done.stderr


def test_a_missing_model_is_exit_code_69(make_shot: Make) -> None:
    done = run("render", make_shot(frames=1, settings=replace(QUICK, model="nobody")), "--json")
    assert (done.returncode, len(done.stderr.splitlines())) == (ExitCode.UNAVAILABLE, 1)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, ExitCode.TERMINATED), (signal.SIGINT, ExitCode.INTERRUPTED)]
)
def test_an_interrupted_render_keeps_what_is_finished_and_goes_on_there(
    make_shot: Make, number: signal.Signals, code: ExitCode
) -> None:
    folder = make_shot(frames=9)
    with subprocess.Popen(
        command("render", folder, "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout and process.stderr
        for line in process.stdout:
            if json.loads(line)["frames"]:
                process.send_signal(number)
                break
        sentence = process.stderr.read()
        process.stdout.read()
    if process.returncode == ExitCode.DONE:
        pytest.fail("the render was finished before it could be interrupted")
    assert process.returncode == code
    assert sentence.count(b"\n") == 1
    assert take_of(folder).state is TakeState.PARTIAL
    assert take_of(folder).segments
    done = run("render", folder, "--json")
    assert json.loads(done.stdout.splitlines()[-1]) == {"take": str(folder.parent / "takes/v001")}
    assert take_of(folder).state is TakeState.COMPLETE
    assert "resuming" in take_of(folder).seconds
