"""`--command wan_animate export|import|generate`: what is written, what is said, and how it ends."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import pytest
from footage import new_effect, noise
from serving import PYTHON, ROOT, Served
from takes import export_of, take_of, whole_take_of

from wan_animate_blender import identity, ledger, timeline
from wan_animate_blender.commands import main
from wan_animate_blender.wire import SHOT_FILE, TAKE_FILE, ExitCode, Extra, Retake, Shot, Take

pytestmark = pytest.mark.usefixtures("addon")


@pytest.fixture
def plate(plate: Any) -> Any:
    """The one that is ready, with two frames of handles and two steps."""
    plate.wan_animate.handles = plate.wan_animate.steps = 2
    bpy.ops.wm.save_mainfile()
    return plate


def said(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The progress lines among all that Blender prints."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{"stage"')]


def test_export_writes_the_shot_and_says_where(plate: Any, tmp_path: Path, capsys: Any) -> None:
    assert main(["export", "--strip", "plate", "--out", str(tmp_path / "shots"), "--json"]) == ExitCode.DONE
    *steps, last = said(capsys)
    folder = tmp_path / "shots" / "SH010" / "e001"
    assert last == {"stage": "done", "export": str(folder)}
    assert {step["stage"] for step in steps} == {"exporting"}
    assert steps[-1]["progress"] == 1.0
    shot = Shot.loads((folder / SHOT_FILE).read_bytes())
    assert (len(shot.frames), shot.cut_in, shot.cut_out) == (9, 1003, 1007)
    assert (shot.settings.steps, shot.settings.segment, shot.settings.area) == (2, 9, 3840)


def test_a_strip_without_identity_gets_one_that_is_saved(plate: Any, tmp_path: Path) -> None:
    assert main(["export", "--strip", "plate", "--out", str(tmp_path / "shots")]) == ExitCode.DONE
    shot = Shot.loads((tmp_path / "shots" / "SH010" / "e001" / SHOT_FILE).read_bytes())
    bpy.ops.wm.revert_mainfile()
    strip = timeline.strips(bpy.context.scene.sequence_editor)["plate"]
    assert shot.strip == strip.wan_animate.uid != ""
    assert strip.wan_animate.shot == "SH010"


def test_the_shots_lie_where_the_preferences_say_unless_told(plate: Any, tmp_path: Path) -> None:
    assert main(["export", "--strip", "plate"]) == ExitCode.DONE
    assert (tmp_path / "wan_animate" / "SH010" / "e001" / SHOT_FILE).is_file()


def test_other_settings_than_the_strips_are_set_for_one_export(plate: Any, tmp_path: Path, capsys: Any) -> None:
    given = ["--set", "steps=4", "--set", "finish.layers=pose"]
    assert main(["export", "--strip", "plate", "--out", str(tmp_path / "shots"), *given]) == ExitCode.DONE
    shot = Shot.loads((tmp_path / "shots" / "SH010" / "e001" / SHOT_FILE).read_bytes())
    assert (shot.settings.steps, shot.settings.finish.layers) == (4, (Extra.POSE,))
    assert plate.wan_animate.steps == 2


@pytest.mark.parametrize("verb", ["export", "generate"])
def test_a_setting_that_there_is_not_is_refused_before_anything_is_written(
    plate: Any, served: Served, tmp_path: Path, capsys: Any, verb: str
) -> None:
    where = ["--server", served.url, "--token-file", str(served.token_file)] if verb == "generate" else []
    words = [verb, "--strip", "plate", "--out", str(tmp_path / "shots"), "--set", "stepps=4", *where]
    assert main(words) == ExitCode.BAD_INPUT
    assert "setting is 'stepps', expected one of model, precision, steps," in capsys.readouterr().err
    assert not (tmp_path / "shots").exists()


def test_import_puts_the_take_into_the_file(edit: Any, plate: Any, tmp_path: Path, capsys: Any) -> None:
    identity.mark(edit, plate)
    folder = take_of(export_of(plate, tmp_path / "shots"))
    assert main(["import", "--take", str(folder), "--json"]) == ExitCode.DONE
    message = "SH010 v001 character is on channel 3"
    assert said(capsys) == [{"stage": "done", "strips": ["SH010 v001 character"], "message": message}]
    bpy.ops.wm.revert_mainfile()
    new = timeline.strips(bpy.context.scene.sequence_editor)["SH010 v001 character"]
    assert (new.channel, timeline.frame_range(new)) == (3, (12, 17))


def test_import_makes_room_and_writes_a_script_when_told_to(edit: Any, plate: Any, tmp_path: Path, capsys: Any) -> None:
    identity.mark(edit, plate)
    title = new_effect(edit.sequence_editor, "COLOR", 3, 12, 17)
    blur = new_effect(edit.sequence_editor, "GAUSSIAN_BLUR", 4, 12, 17, plate)
    titles = title.name, blur.name
    plate.wan_animate.person.matte_strip = ""
    folder = whole_take_of(export_of(plate, tmp_path / "shots", layers={"plate": noise}))
    words = ["--make-room", "--use-in-effects", "--nuke", "--json"]
    assert main(["import", "--take", str(folder), *words]) == ExitCode.DONE
    (told,) = said(capsys)
    assert told["strips"] == ["SH010 v001 character", "SH010 v001 comp"]
    assert told["script"] == str(folder.with_name("SH010_v001.nk"))
    assert Path(told["script"]).is_file()
    bpy.ops.wm.revert_mainfile()
    strips = timeline.strips(bpy.context.scene.sequence_editor)
    assert [strips[name].channel for name in ("plate", told["strips"][0], "matte", *titles)] == [1, 2, 3, 4, 5]
    assert strips[titles[1]].input_1.name == "SH010 v001 comp"


def test_generate_goes_the_whole_way(plate: Any, served: Served, tmp_path: Path, capsys: Any) -> None:
    where = ["--server", served.url, "--token-file", str(served.token_file), "--out", str(tmp_path / "shots")]
    assert main(["generate", "--strip", "plate", *where, "--json"]) == ExitCode.DONE
    *steps, last = said(capsys)
    stages = list(dict.fromkeys(step["stage"] for step in steps))
    assert stages[:2] == ["exporting", "uploading"]
    assert stages[-2:] == ["fetching", "arrived"]
    assert last["takes"] == [str(tmp_path / "shots" / "SH010" / "takes" / "v001")]
    assert last["strips"] == ["SH010 v001 character"]
    take = Take.loads(Path(last["takes"][0], TAKE_FILE).read_bytes())
    assert (take.first, take.last, take.width, take.height) == (1001, 1009, 80, 48)
    bpy.ops.wm.revert_mainfile()
    new = timeline.strips(bpy.context.scene.sequence_editor)["SH010 v001 character"]
    assert (new.channel, timeline.frame_range(new), len(new.elements)) == (3, (12, 17), 9)
    assert new.strip_elem_from_frame(12).filename == "1003.png"


def trim(first: int, end: int) -> None:
    for name in ("plate", "matte"):
        timeline.set_frame_range(timeline.strips(bpy.context.scene.sequence_editor)[name], first, end)


def test_a_take_is_extended_and_taken_again_without_a_window(
    plate: Any, served: Served, tmp_path: Path, capsys: Any
) -> None:
    where = ["--server", served.url, "--token-file", str(served.token_file), "--out", str(tmp_path / "shots")]
    words = ["generate", "--strip", "plate", *where, "--json"]
    trim(10, 15)
    assert main(words) == ExitCode.DONE
    trim(10, 19)
    assert main([*words, "--extend"]) == ExitCode.DONE
    assert main([*words, "--retake", "1004-1006", "--seed", "99"]) == ExitCode.DONE
    first, second, third = (
        Take.loads((tmp_path / f"shots/SH010/takes/v00{number}" / TAKE_FILE).read_bytes()) for number in (1, 2, 3)
    )
    assert (first.last, second.last) == (1007, 1009)
    assert second.base and second.retake is None
    kept = [path for path in first.files if path.startswith("comp/")]
    assert [second.files[path] for path in kept] == [first.files[path] for path in kept]
    assert third.retake == Retake(first=1004, last=1006, seed=99)
    changed = [path for path in second.files if path.startswith("comp/") and second.files[path] != third.files[path]]
    assert sorted(changed) == [f"comp/{number}.png" for number in (1004, 1005, 1006)]
    last = said(capsys)[-1]
    assert last["takes"] == [str(tmp_path / "shots/SH010/takes/v003")]
    assert last["exports"] == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--extend"], "there is no complete take in"),
        (["--retake", "1004-1006"], "there is no complete take in"),
        (["--retake", "soon"], "the frames of the re-take are 'soon'; give shot numbers, as 1040-1060"),
        (["--retake", "1004", "--extend"], "--retake and --extend are two takes"),
        (["--seed", "3"], "--person and --seed are of a re-take"),
        (["--retake", "1004", "--set", "steps=3"], "leave out --set"),
    ],
)
def test_what_there_is_nothing_to_go_on_from_is_said(
    plate: Any, served: Served, tmp_path: Path, capsys: Any, words: list[str], sentence: str
) -> None:
    where = ["--server", served.url, "--token-file", str(served.token_file), "--out", str(tmp_path / "shots")]
    assert main(["generate", "--strip", "plate", *where, *words]) == ExitCode.BAD_INPUT
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "shots").exists()


@pytest.mark.parametrize(("number", "code"), [
    (signal.SIGINT, ExitCode.INTERRUPTED),
    (signal.SIGTERM, ExitCode.TERMINATED),
])  # fmt: skip
def test_a_signal_ends_an_export_and_nothing_of_it_stays(
    plate: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: signal.Signals, code: ExitCode
) -> None:
    shot, written = tmp_path / "wan_animate" / "SH010", list[Path]()

    class Sender(io.StringIO):
        """As soon as a frame of the plate is told, somebody who reads that sends the signal."""

        def write(self, text: str) -> int:
            if '"plate"' in text and not written:
                written.extend(shot.glob("e001/plate/*.png"))
                os.kill(os.getpid(), number)
            return super().write(text)

    monkeypatch.setattr(sys, "stdout", Sender())
    assert main(["export", "--strip", "plate", "--json"]) == code
    assert len(written) == 1
    assert list(shot.iterdir()) == []
    assert [scene.name for scene in bpy.data.scenes] == ["Scene"]


def test_a_signal_that_arrives_in_a_callback_of_blenders_is_not_lost(plate: Any, tmp_path: Path) -> None:
    """Blender prints what is raised in there, and goes on."""

    def send(*_: object) -> None:
        bpy.app.handlers.frame_change_post.remove(send)
        os.kill(os.getpid(), signal.SIGTERM)

    bpy.app.handlers.frame_change_post.append(send)
    assert main(["export", "--strip", "plate"]) == ExitCode.TERMINATED
    assert list((tmp_path / "wan_animate" / "SH010").iterdir()) == []


def test_a_handler_that_was_there_before_python_does_not_end_an_export(
    plate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python calls it None and does not take that back; Blender 5.2 brings one for SIGTERM."""
    real, answered = signal.signal, set[int]()

    def hidden(number: int, handler: Any) -> Any:
        before = real(number, handler)
        return before if number in answered else answered.add(number)

    monkeypatch.setattr(signal, "signal", hidden)
    assert main(["export", "--strip", "plate"]) == ExitCode.DONE
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


CTRL_C = """
import os, signal, sys, time
from pathlib import Path
from wan_animate_blender.client import Server
from wan_animate_blender.wire import JobState
url, token, process = sys.argv[1:]
server = Server(url, Path(token).read_text())
while not any(job.state is JobState.RUNNING for job in server.jobs()):
    time.sleep(0.01)
os.kill(int(process), signal.SIGINT)
"""
"""From a process of its own: with Python 3.11 a Blender that renders crashes at times while a thread beside it runs
Python.
"""


def test_ctrl_c_while_the_server_renders_cancels_the_job_and_keeps_the_export(
    plate: Any, served: Served, tmp_path: Path, capsys: Any
) -> None:
    where = ["--server", served.url, "--token-file", str(served.token_file), "--out", str(tmp_path / "shots")]
    before = signal.getsignal(signal.SIGINT)
    asked = [os.environ[PYTHON], "-c", CTRL_C, served.url, str(served.token_file), str(os.getpid())]
    with served.holding(step=1), subprocess.Popen(asked, env={**os.environ, "PYTHONPATH": str(ROOT)}):
        assert main(["generate", "--strip", "plate", "--set", "steps=3", *where, "--json"]) == ExitCode.INTERRUPTED
    assert signal.getsignal(signal.SIGINT) == before
    *steps, last = said(capsys)
    assert [step["job"]["state"] for step in steps if step["job"]][-1] == "cancelled"
    assert last["message"] == "SH010 was cancelled; finished segments are kept on the server"
    assert [folder.name for folder in (tmp_path / "shots" / "SH010").iterdir()] == ["e001"]


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "code", "sentence"), [
    (["export", "--strip", "nothing"], ExitCode.BAD_INPUT, "has no strip 'nothing'; its strips are: matte, plate"),
    (["export", "--strip", "plate", "--scene", "Loft"], ExitCode.BAD_INPUT, "no scene 'Loft'; choose one of Scene"),
    (["export"], ExitCode.BAD_INPUT, "one of the arguments --strip --shot is required"),
    (["exprot"], ExitCode.BAD_INPUT, "invalid choice: 'exprot'"),
    (["import", "--take", "/no/take"], ExitCode.BAD_INPUT, "/no/take holds no take"),
    (["generate", "--strip", "plate", "--server", "http://127.0.0.1:9"], ExitCode.UNAVAILABLE,
     "no server answers at http://127.0.0.1:9; start one with 'wan-animate serve'"),
    (["generate", "--strip", "plate", "--server", "http://192.0.2.1:8188"], ExitCode.UNAVAILABLE,
     "http://192.0.2.1:8188 is another machine and Blender's online access is off"),
    (["generate", "--strip", "plate", "--server", "gopher://x"], ExitCode.BAD_INPUT, "expected one such as http"),
    (["generate", "--strip", "plate", "--server", "http://127.0.0.1:9", "--token-file", "/no/file"],
     ExitCode.BAD_INPUT, "cannot read the token from /no/file"),
])  # fmt: skip
def test_what_cannot_be_done_is_one_sentence_and_nothing_is_written(
    plate: Any, tmp_path: Path, capsys: Any, monkeypatch: Any, arguments: list[str], code: ExitCode, sentence: str
) -> None:
    monkeypatch.setenv("WAN_ANIMATE_TOKEN", "a-token")
    before = (tmp_path / "edit.blend").read_bytes()
    assert main(arguments) == code
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert (tmp_path / "edit.blend").read_bytes() == before
    assert not (tmp_path / "wan_animate").exists()


def test_a_wrong_token_is_said_before_the_export(plate: Any, served: Served, capsys: Any, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("wrong")
    where = ["--server", served.url, "--token-file", str(tmp_path / "token")]
    assert main(["generate", "--strip", "plate", *where]) == ExitCode.BAD_INPUT
    assert "does not accept this token" in capsys.readouterr().err
    assert not (tmp_path / "wan_animate").exists()


def test_with_json_the_problem_is_said_there_too(plate: Any, capsys: Any) -> None:
    assert main(["export", "--strip", "nothing", "--json"]) == ExitCode.BAD_INPUT
    output = capsys.readouterr()
    assert json.loads(output.out)["stage"] == "failed"
    assert json.loads(output.out)["message"] + "\n" == output.err


def test_a_strip_without_rig_is_refused(plate: Any, capsys: Any, tmp_path: Path) -> None:
    plate.wan_animate.person.rig = None
    assert main(["export", "--strip", "plate"]) == ExitCode.BAD_INPUT
    assert "no rig is chosen" in capsys.readouterr().err
    assert not (tmp_path / "wan_animate").exists()


def test_a_strip_without_a_picture_is_refused(edit: Any, plate: Any, capsys: Any, tmp_path: Path) -> None:
    new_effect(edit.sequence_editor, "ADJUSTMENT", 5, 1, 20)
    assert main(["export", "--strip", "adjustment"]) == ExitCode.BAD_INPUT
    assert "is an adjustment layer and has no picture of its own" in capsys.readouterr().err
    assert not (tmp_path / "wan_animate").exists()


def test_a_file_that_was_never_saved_has_nowhere_to_keep_shots(
    edit: Any, film: Callable[..., Any], capsys: Any
) -> None:
    film()
    assert main(["export", "--strip", "plate"]) == ExitCode.BAD_INPUT
    assert "a .blend that was never saved; save it, or set another folder" in capsys.readouterr().err


def test_a_window_knows_of_a_take_that_the_command_imported(plate: Any, served: Served, tmp_path: Path) -> None:
    where = ["--server", served.url, "--token-file", str(served.token_file), "--out", str(tmp_path / "shots")]
    assert main(["generate", "--strip", "plate", *where]) == ExitCode.DONE
    bpy.ops.wm.revert_mainfile()
    uid = timeline.strips(bpy.context.scene.sequence_editor)["plate"].wan_animate.uid
    (entry,) = ledger.entries(uid).values()
    assert (entry.server, entry.shot, entry.is_over) == (served.url, "SH010", True)
    assert entry.takes == str(tmp_path / "shots" / "SH010" / "takes")
    assert ledger.waiting() == {}
