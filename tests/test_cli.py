"""The command line as scripts and farms see it: exit codes, one sentence for every error, and interruptions."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from wan_animate_blender.wire import SHOT_FILE, BadInput, ExitCode, Retake, Shot, Take, TakeState
from wan_animate_server.__main__ import main
from wan_animate_server.render import render
from wan_animate_server.take import read_take

from .conftest import QUICK, Make, command, write_export
from .serving import PATIENCE, held, waits


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=PATIENCE)


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
    make_shot: Make, tmp_path: Path, number: signal.Signals, code: ExitCode
) -> None:
    folder, said = make_shot(frames=9), {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    words, environment = command("render", folder, "--json"), os.environ | waits(tmp_path)
    with held(tmp_path, frames=1), subprocess.Popen(words, **said, env=environment) as process:
        assert process.stdout and process.stderr
        for line in process.stdout:
            if json.loads(line)["frames"]:
                process.send_signal(number)
                break
        sentence = process.stderr.read()
        process.stdout.read()
    assert process.returncode == code
    assert sentence.count(b"\n") == 1
    assert take_of(folder).state is TakeState.PARTIAL
    assert take_of(folder).segments
    done = run("render", folder, "--json")
    assert json.loads(done.stdout.splitlines()[-1]) == {"take": str(folder.parent / "takes/v001")}
    assert take_of(folder).state is TakeState.COMPLETE
    assert "resuming" in take_of(folder).seconds


# --- re-takes and extensions ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of nine frames of which there is a take."""
    folder = write_export(tmp_path_factory.mktemp("taken"))
    for _ in render(folder, check=lambda: None):
        pass
    return folder


def test_a_retake_is_asked_for_by_its_frames(taken: Path) -> None:
    before = take_of(taken)
    done = run("render", taken, "--retake", "1007-1008", "--seed", "5", "--base", "v001")
    assert done.returncode == ExitCode.DONE, done.stderr
    take = read_take(Path(done.stdout.strip()))
    assert take is not None and (take.base, take.retake) == ("v001", Retake(first=1007, last=1008, seed=5))
    names = [path for path, entry in take.files.items() if entry != before.files[path]]
    assert {Path(name).stem for name in names} == {"1007", "1008", "preview", "report"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--retake", "1010-1012"], "1010-1012 is not inside 1001-1009, the frames of SH010"),
        (["--retake", "1008-1007"], "expected two shot numbers, the first no later"),
        (["--retake", "a-b"], "the frames of the re-take are 'a-b'; give shot numbers"),
        (["--retake", "1007", "--seed", "-1"], "expected a whole number from 0"),
        (["--retake", "1007", "--base", "v009"], "there is no take in"),
        (["--retake", "1007", "--extend"], "--retake and --extend are two takes"),
        (["--seed", "5"], "--seed and --base are of a re-take"),
        (["--base", "v001"], "--seed and --base are of a re-take"),
        (["--extend"], "has no frame that"),
    ],
)
def test_a_retake_that_cannot_be_made_is_one_sentence_and_exit_code_64(
    taken: Path,
    options: list[str],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In this process, whose signals stay its own: every start of another one loads torch."""
    before = sorted(path.name for path in (taken.parent / "takes").iterdir())
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["wan-animate", "render", str(taken), *options, "--json"])
    assert main() == ExitCode.BAD_INPUT
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert sentence in said
    assert sorted(path.name for path in (taken.parent / "takes").iterdir()) == before


def test_a_retake_of_an_export_without_a_take_is_refused(make_shot: Make) -> None:
    done = run("render", make_shot(frames=3), "--extend", "--json")
    assert (done.returncode, len(done.stderr.splitlines())) == (ExitCode.BAD_INPUT, 1)
    assert "there is no complete take" in done.stderr


# --- other settings than the shot's ---------------------------------------------------------------


def test_settings_are_set_anew_for_one_render_and_the_take_says_which(make_shot: Make) -> None:
    folder = make_shot(frames=3)
    done = run("render", folder, "--set", "steps=1", "--set", "finish.seams=0.5")
    assert done.returncode == ExitCode.DONE, done.stderr
    take = take_of(folder)
    assert take.settings == replace(QUICK, steps=1, finish=replace(QUICK.finish, seams=0.5))
    assert take.export == Shot.loads((folder / SHOT_FILE).read_bytes()).hash


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [("stepps=4", "setting is 'stepps', expected one of model,"), ("steps=0", "steps is 0, expected a number from 1")],
)
@pytest.mark.parametrize("verb", ["render", "plan"])
def test_a_setting_that_cannot_be_is_one_sentence_and_exit_code_64(
    make_shot: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    verb: str, assignment: str, sentence: str,
) -> None:  # fmt: skip
    folder = make_shot(frames=1)
    monkeypatch.setattr(sys, "argv", ["wan-animate", verb, str(folder), "--json", "--set", assignment])
    assert main() == ExitCode.BAD_INPUT
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1
    assert not (folder.parent / "takes").exists()


def test_an_interrupted_take_is_not_gone_on_with_by_other_settings(make_shot: Make) -> None:
    folder = make_shot(frames=9)
    begun = render(folder, check=lambda: None, overrides=["seed=5"])
    for now in begun:
        if now.frames:
            begun.close()
    list(render(folder, check=lambda: None))
    takes = [read_take(made) for made in sorted((folder.parent / "takes").iterdir())]
    assert [(take.settings.seed, take.state) for take in takes if take] == [
        (5, TakeState.PARTIAL),
        (QUICK.seed, TakeState.COMPLETE),
    ]


def test_a_retake_needs_the_settings_of_its_take(make_shot: Make) -> None:
    folder = make_shot(frames=3)
    for _ in render(folder, check=lambda: None, overrides=["steps=1"]):
        pass
    wanted = Retake(first=1002, last=1002, seed=99)
    with pytest.raises(BadInput, match="differ in steps; give both the same"):
        list(render(folder, check=lambda: None, retake=wanted))
    list(render(folder, check=lambda: None, retake=wanted, overrides=["steps=1"]))
    take = read_take(folder.parent / "takes/v002")
    assert take is not None and (take.retake, take.settings.steps) == (wanted, 1)
