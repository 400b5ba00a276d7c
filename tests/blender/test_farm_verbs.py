"""`export --shot` and `import --submission` as a farm runs them: again, after a kill, at once, with shots missing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from footage import read_png
from serving import PATIENCE
from takes import take_of, whole_take_of

from wan_animate_blender import timeline
from wan_animate_blender.commands import main
from wan_animate_blender.farm import reservation
from wan_animate_blender.farm.submission import Submission, SubmittedShot
from wan_animate_blender.request import prepare
from wan_animate_blender.wire import OWNER_FILE, POSE_FILE, SHOT_FILE, ExitCode, Mode, Precision, Shot, claim_version

pytestmark = pytest.mark.usefixtures("addon")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "shots"


@pytest.fixture
def plate(plate: Any, edit: Any, root: Path) -> Any:
    """The one that is ready, marked, in a saved file; its rig has no face to render."""
    prepare(edit, plate, root)
    bpy.ops.wm.save_mainfile()
    return plate


def said(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The progress lines among all that Blender prints."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{"stage"')]


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def export(root: Path, shot: str = "SH010/e001", *more: str) -> int:
    return main(["export", "--shot", shot, "--out", str(root), *more])


# --- export ---------------------------------------------------------------------------------------


def test_a_reserved_version_is_nobody_elses_and_is_filled_by_whoever_exports_the_shot(plate: Any, root: Path) -> None:
    assert reservation.reserve(root, "SH010") == "SH010/e001"
    assert claim_version(root / "SH010", "e").name == "e002"
    assert export(root) == ExitCode.DONE
    shot = Shot.loads((root / "SH010" / "e001" / SHOT_FILE).read_bytes())
    assert (shot.name, shot.strip, len(shot.frames)) == ("SH010", plate.wan_animate.uid, 5)
    assert {name: (root / "SH010" / "e001" / name).stat().st_size for name in shot.files} == {
        name: entry.size for name, entry in shot.files.items()
    }
    assert sorted(p.name for p in (root / "SH010").iterdir()) == ["e001", "e002"]


def test_a_version_that_this_machine_has_never_seen_is_simply_made(plate: Any, root: Path) -> None:
    assert export(root, "SH010/e007") == ExitCode.DONE
    assert [p.name for p in (root / "SH010").iterdir()] == ["e007"]


def test_an_export_that_is_there_is_not_made_again(plate: Any, root: Path, capsys: Any) -> None:
    assert export(root) == ExitCode.DONE
    before = {name: (root / "SH010/e001" / name).stat().st_mtime_ns for name in files(root / "SH010/e001")}
    capsys.readouterr()
    assert export(root, "SH010/e001", "--json") == ExitCode.DONE
    assert said(capsys)[-1]["message"] == "SH010/e001 was exported before"
    assert {name: (root / "SH010/e001" / name).stat().st_mtime_ns for name in before} == before


def test_a_shot_is_found_in_a_scene_that_is_not_open(plate: Any, edit: Any, root: Path) -> None:
    other = bpy.data.scenes.new("Other")
    bpy.context.window_manager.windows and setattr(bpy.context.window, "scene", other)
    assert export(root) == ExitCode.DONE


def test_a_copy_of_the_strip_is_not_mistaken_for_it(plate: Any, edit: Any, root: Path) -> None:
    bpy.data.scenes["Scene"].copy().name = "A Copy"
    assert export(root) == ExitCode.DONE
    assert Shot.loads((root / "SH010/e001" / SHOT_FILE).read_bytes()).strip == plate.wan_animate.uid


def test_progress_is_told_in_the_engines_lines(plate: Any, root: Path, capsys: Any) -> None:
    assert export(root, "SH010/e001", "--progress", "openjd") == ExitCode.DONE
    lines = capsys.readouterr().out.splitlines()
    assert "openjd_progress: 100.0" in lines and "openjd_status: exporting plate" in lines
    assert export(root, "SH010/e002", "--progress", "percent") == ExitCode.DONE
    assert "100 % done SH010/e002" in capsys.readouterr().out.splitlines()
    assert export(root, "SH020/e001", "--progress", "openjd") == ExitCode.BAD_INPUT
    told = capsys.readouterr()
    assert f"openjd_fail: {told.err.strip()}" in told.out.splitlines()
    assert told.err == "the file has no shot 'SH020'; its shots are: SH010\n"


@pytest.mark.parametrize("shot", ["SH010", "../e001", "SH010/v001", "a/SH010/e001"])
def test_a_shot_that_is_no_folder_of_an_export_is_refused(plate: Any, root: Path, shot: str, capsys: Any) -> None:
    assert export(root, shot) == ExitCode.BAD_INPUT
    assert capsys.readouterr().err.count("\n") == 1
    assert not root.exists()


def test_what_a_killed_maker_left_is_cleared_and_made_again(plate: Any, root: Path) -> None:
    folder = claim_version(root / "SH010", "e")
    ended = subprocess.Popen(["true"])
    ended.wait()
    owner = json.loads((folder / OWNER_FILE).read_text())
    (folder / OWNER_FILE).write_text(json.dumps(owner | {"pid": ended.pid}))
    (folder / POSE_FILE).write_bytes(b"half")
    assert export(root) == ExitCode.DONE
    assert OWNER_FILE not in files(folder)
    assert Shot.loads((folder / SHOT_FILE).read_bytes()).name == "SH010"
    assert [p.name for p in (root / "SH010").iterdir()] == ["e001"]


def test_what_somebody_else_may_be_writing_is_left_alone(plate: Any, root: Path, capsys: Any) -> None:
    folder = claim_version(root / "SH010", "e")
    (folder / POSE_FILE).write_bytes(b"half")
    before = files(folder)
    assert export(root) == ExitCode.TRY_ELSEWHERE
    assert "another process may be writing it" in capsys.readouterr().err
    assert files(folder) == before


def test_of_two_makers_the_first_stays_and_the_second_is_content(plate: Any, root: Path) -> None:
    """The other one is done while this one is at its last frames: as if by another machine."""
    assert export(root, "SH010/e005") == ExitCode.DONE
    first = files(root / "SH010/e005")

    def overtake(*_: object) -> None:
        if (root / "SH010/e005").is_dir() and list((root / "SH010").glob(".e001.*/plate")):
            (root / "SH010/e005").rename(root / "SH010/e001")

    bpy.app.handlers.render_post.append(overtake)
    try:
        assert export(root) == ExitCode.DONE
    finally:
        bpy.app.handlers.render_post.remove(overtake)
    assert [p.name for p in (root / "SH010").iterdir()] == ["e001"]
    assert files(root / "SH010/e001") == first


def test_a_signal_ends_it_and_the_version_is_free_for_the_next_one(plate: Any, root: Path) -> None:
    reservation.reserve(root, "SH010")

    def send(*_: object) -> None:
        assert list(root.glob("SH010/.e001.*.part/plate/*"))
        bpy.app.handlers.render_pre.remove(send)
        os.kill(os.getpid(), signal.SIGTERM)

    bpy.app.handlers.render_pre.append(send)  # the matte is rendered, after the plate was copied
    assert export(root) == ExitCode.TERMINATED
    assert send not in bpy.app.handlers.render_pre
    assert [p.name for p in (root / "SH010").iterdir()] == ["e001"]
    assert files(root) == {}


HANG = """
import time, bpy
bpy.app.handlers.render_pre.append(lambda *_: time.sleep(3600))
"""


def test_a_worker_that_is_killed_is_in_nobodys_way(
    plate: Any, root: Path, blender: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    (tmp_path / "hang.py").write_text(HANG)
    start = [str(blender[0]), "-b", bpy.data.filepath, "--python-exit-code", "3"]
    words = ["--command", "wan_animate", "export", "--shot", "SH010/e003", "--out", str(root), "--progress", "openjd"]
    line = [*start, "--python", str(tmp_path / "hang.py"), *words]
    killed = subprocess.Popen(line, env=blender[1], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(list(root.glob("SH010/.e003.*.part/plate/*"))) < 5 and killed.poll() is None:
        time.sleep(0.01)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    assert not (root / "SH010/e003").exists()
    assert len(list(root.glob("SH010/.e003.*.part"))) == 1
    done = subprocess.run([*start, *words], env=blender[1], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == ExitCode.DONE, done.stdout + done.stderr
    assert "openjd_progress: 100.0" in done.stdout.splitlines()
    assert [p.name for p in (root / "SH010").iterdir()] == ["e003"]
    again = subprocess.run([*start, *words], env=blender[1], capture_output=True, text=True, timeout=PATIENCE)
    assert again.returncode == ExitCode.DONE
    assert "openjd_status: done SH010/e003 was exported before" in again.stdout.splitlines()


# --- the person behind ----------------------------------------------------------------------------


@pytest.fixture
def two(plate: Any, edit: Any, root: Path) -> Any:
    """The plate with somebody in front of the first person, both saved and marked."""
    first = plate.wan_animate.person
    second = plate.wan_animate.add_person()
    for name in ("rig", "character", "matte", "matte_strip", "face"):
        setattr(second, name, getattr(first, name))
    first.name, second.name = "Ann", "Bob"
    prepare(edit, plate, root)
    bpy.ops.wm.save_mainfile()
    return plate


def test_the_base_is_the_newest_complete_take_of_an_export(two: Any, root: Path) -> None:
    assert export(root) == ExitCode.DONE
    whole_take_of(root / "SH010/e001", lambda _: np.zeros((48, 80, 3), np.uint8))
    newest = whole_take_of(root / "SH010/e001", lambda _: np.full((48, 80, 3), 90, np.uint8))
    begun = claim_version(root / "SH010" / "takes", "v")
    assert export(root, "SH010_Bob/e001", "--base", "SH010/e001") == ExitCode.DONE
    shot = Shot.loads((root / "SH010_Bob/e001" / SHOT_FILE).read_bytes())
    assert (shot.name, shot.base) == ("SH010_Bob", f"SH010 {newest.name}")
    plates = root / "SH010_Bob/e001/plate"
    assert (plates / "1001.png").read_bytes() == (newest / "comp/1001.png").read_bytes()
    assert begun.is_dir()
    assert export(root, "SH010_Bob/e002", "--base", str(newest)) == ExitCode.DONE


def test_without_a_take_of_the_person_behind_nothing_is_exported(two: Any, root: Path, capsys: Any) -> None:
    assert export(root) == ExitCode.DONE
    assert export(root, "SH010_Bob/e001", "--base", "SH010/e001") == ExitCode.UNAVAILABLE
    assert "SH010/e001 has no complete take yet, which is the plate of SH010_Bob/e001" in capsys.readouterr().err
    assert not (root / "SH010_Bob").exists()


# --- import ---------------------------------------------------------------------------------------


@pytest.fixture
def submission(two: Any, edit: Any, root: Path) -> Path:
    """A submission of both people; those in front have no export yet."""
    shots = tuple(
        SubmittedShot(
            folder=f"{name}/e001", scene="Scene", strip="plate", uid=two.wan_animate.uid, person=person, base=base,
            mode=Mode.REPLACE, model="puppet", precision=Precision.FP32, frames=5, width=80, height=48,
        )
        for name, person, base in (("SH010", "Ann", ""), ("SH010_Bob", "Bob", "SH010/e001"))
    )  # fmt: skip
    folder = claim_version(root / "farm", "f")
    sent = Submission(name="edit f001", file="edit.blend", blender="4.5.0", shots=shots)
    (folder / "submission.json").write_text(sent.dumps())
    assert export(root) == ExitCode.DONE
    return folder / "submission.json"


def both_rendered(root: Path) -> None:
    whole_take_of(root / "SH010/e001")
    assert export(root, "SH010_Bob/e001", "--base", "SH010/e001") == ExitCode.DONE
    take_of(root / "SH010_Bob/e001")


def shown() -> list[str]:
    strips = timeline.strips_all(bpy.data.scenes["Scene"].sequence_editor)
    return sorted(one.name for one in strips if one.wan_animate.take)


def test_import_takes_every_shot_and_the_second_time_nothing(submission: Path, root: Path, capsys: Any) -> None:
    both_rendered(root)
    words = ["import", "--submission", str(submission), "--out", str(root), "--json"]
    assert main(words) == ExitCode.DONE
    assert said(capsys)[-1]["strips"] == ["SH010 v001 character", "SH010_Bob v001 character"]
    saved = Path(bpy.data.filepath).stat().st_mtime_ns
    bpy.ops.wm.revert_mainfile()
    assert shown() == ["SH010 v001 character", "SH010_Bob v001 character"]
    assert main(words) == ExitCode.DONE
    assert said(capsys)[-1]["strips"] == []
    assert shown() == ["SH010 v001 character", "SH010_Bob v001 character"]
    assert Path(bpy.data.filepath).stat().st_mtime_ns == saved


def test_a_shot_without_a_take_is_told_and_the_others_are_imported_and_saved(
    submission: Path, root: Path, capsys: Any
) -> None:
    whole_take_of(root / "SH010/e001")
    assert main(["import", "--submission", str(submission), "--out", str(root)]) == ExitCode.UNAVAILABLE
    error = capsys.readouterr().err
    assert "1 shots have no complete take yet, the first is SH010_Bob/e001; the other 1 of 2 shots" in error
    bpy.ops.wm.revert_mainfile()
    assert shown() == ["SH010 v001 character"]


def test_a_damaged_take_is_told_and_the_others_are_imported(submission: Path, root: Path, capsys: Any) -> None:
    both_rendered(root)
    (root / "SH010/takes/v001/character/1002.png").write_bytes(b"")
    assert main(["import", "--submission", str(submission), "--out", str(root)]) == ExitCode.BAD_INPUT
    assert "1 shots cannot be imported, the first is SH010/e001: SH010 v001 is damaged" in capsys.readouterr().err
    bpy.ops.wm.revert_mainfile()
    assert shown() == ["SH010_Bob v001 character"]


def test_saved_as_a_copy_the_file_stays_what_it_was(submission: Path, root: Path, tmp_path: Path) -> None:
    both_rendered(root)
    before = Path(bpy.data.filepath).read_bytes()
    target = tmp_path / "finished" / "edit.blend"
    words = ["import", "--submission", str(submission), "--out", str(root), "--save-as", str(target)]
    assert main(words) == ExitCode.DONE
    assert Path(bpy.data.filepath).read_bytes() == before
    bpy.ops.wm.open_mainfile(filepath=str(target))
    assert shown() == ["SH010 v001 character", "SH010_Bob v001 character"]
    strip = timeline.strips_all(bpy.data.scenes["Scene"].sequence_editor)["SH010 v001 character"]
    folder = Path(bpy.path.abspath(strip.directory)).resolve()
    assert folder == root / "SH010/takes/v001/character"


@pytest.mark.parametrize("content", [None, "{}", "no json"])
def test_what_is_no_submission_is_refused(plate: Any, tmp_path: Path, capsys: Any, content: str | None) -> None:
    file = tmp_path / "submission.json"
    if content is not None:
        file.write_text(content)
    assert main(["import", "--submission", str(file), "--out", str(tmp_path)]) == ExitCode.BAD_INPUT
    assert capsys.readouterr().err.count("\n") == 1


def test_the_edit_is_rendered_and_a_second_time_only_what_is_missing(
    submission: Path, edit: Any, root: Path, tmp_path: Path
) -> None:
    both_rendered(root)
    edit.frame_start, edit.frame_end = 11, 14
    edit.view_settings.view_transform = "Standard"
    bpy.ops.wm.save_mainfile()
    folder = tmp_path / "edit"
    words = ["import", "--submission", str(submission), "--out", str(root), "--render-edit", str(folder)]
    assert main(words) == ExitCode.DONE
    frames = folder / "01_Scene"
    assert sorted(p.name for p in frames.iterdir()) == ["0011.png", "0012.png", "0013.png", "0014.png"]
    pictures = {name: read_png(frames / name) for name in ("0011.png", "0012.png", "0013.png")}
    assert not (pictures["0012.png"] == pictures["0013.png"]).all()
    (frames / "0013.png").unlink()
    (frames / ".0014.part.png").write_bytes(b"half")
    (frames / "0012.png").write_bytes(b"kept")
    assert main(words) == ExitCode.DONE
    assert sorted(p.name for p in frames.iterdir()) == ["0011.png", "0012.png", "0013.png", "0014.png"]
    assert (frames / "0012.png").read_bytes() == b"kept"
    assert (read_png(frames / "0013.png") == pictures["0013.png"]).all()


def test_an_edit_that_is_a_movie_is_whole_or_not_there(submission: Path, edit: Any, root: Path, tmp_path: Path) -> None:
    both_rendered(root)
    edit.frame_start, edit.frame_end = 11, 14
    settings = edit.render.image_settings
    if hasattr(settings, "media_type"):
        settings.media_type = "VIDEO"
    settings.file_format, edit.render.ffmpeg.format, edit.render.ffmpeg.codec = "FFMPEG", "MKV", "FFV1"
    bpy.ops.wm.save_mainfile()
    folder = tmp_path / "edit" / "01_Scene"
    folder.mkdir(parents=True)
    (folder / ".01_Scene.part.mkv").write_bytes(b"half")
    words = ["import", "--submission", str(submission), "--out", str(root), "--render-edit", str(folder.parent)]
    assert main(words) == ExitCode.DONE
    (movie,) = folder.iterdir()
    assert movie.name == "01_Scene.mkv"
    clip = bpy.data.movieclips.load(str(movie))
    assert (clip.frame_duration, tuple(clip.size)) == (4, (80, 48))
    before = movie.stat().st_mtime_ns
    assert main(words) == ExitCode.DONE
    assert movie.stat().st_mtime_ns == before


def test_while_a_take_is_missing_the_edit_is_not_rendered(submission: Path, root: Path, tmp_path: Path) -> None:
    whole_take_of(root / "SH010/e001")
    words = ["import", "--submission", str(submission), "--out", str(root), "--render-edit", str(tmp_path / "edit")]
    assert main(words) == ExitCode.UNAVAILABLE
    assert not (tmp_path / "edit").exists()


# --- submit ---------------------------------------------------------------------------------------


def submitted(root: Path, *words: str, engine: str = "openjd") -> int:
    return main(["submit", "--engine", engine, "--out", str(root), *words])


def test_submit_writes_a_bundle_and_another_copy_of_it(plate: Any, root: Path, tmp_path: Path, capsys: Any) -> None:
    words = ["--to", str(tmp_path / "bundle"), "--gpu-memory", "20", "--device", "cpu", "--chunk", "3", "--json"]
    assert submitted(root, *words) == ExitCode.DONE
    folder = root / "farm" / "f001"
    assert said(capsys)[-1]["submission"] == str(folder)
    bundle = ["asset_references.json", "parameter_values.json", "template.json"]
    assert sorted(p.name for p in folder.iterdir()) == sorted([*bundle, "edit.blend", "sent.json", "submission.json"])
    assert sorted(p.name for p in (tmp_path / "bundle").iterdir()) == bundle
    assert files(tmp_path / "bundle").items() <= files(folder).items()
    sent = Submission.loads((folder / "submission.json").read_bytes())
    assert [(one.folder, one.gpu_memory) for one in sent.shots] == [("SH010/e001", 20 * 2**30)]
    given = {one["name"]: one["value"] for one in json.loads(files(folder)["parameter_values.json"])["parameterValues"]}
    assert (given["Device"], given["Shots"]) == ("cpu", str(root))
    assert (given["SceneFile"], given["ResultFile"]) == (str(folder / "edit.blend"), str(folder / "edit_takes.blend"))
    assert submitted(root, *words) == ExitCode.BAD_INPUT
    assert "holds a job bundle already" in capsys.readouterr().err
    assert not (root / "farm" / "f002").exists()


def test_what_was_submitted_is_exported_and_imported_by_the_words_of_the_bundle(plate: Any, root: Path) -> None:
    assert submitted(root) == ExitCode.DONE
    folder = root / "farm" / "f001"
    bpy.ops.wm.open_mainfile(filepath=str(folder / "edit.blend"))
    assert export(root) == ExitCode.DONE
    take_of(root / "SH010/e001")
    words = ["--out", str(root), "--save-as", str(folder / "edit_takes.blend")]
    assert main(["import", "--submission", str(folder / "submission.json"), *words]) == ExitCode.DONE
    bpy.ops.wm.open_mainfile(filepath=str(folder / "edit_takes.blend"))
    assert shown() == ["SH010 v001 character"]


def test_a_strip_that_was_never_exported_is_marked_in_the_file(
    edit: Any, unsaved: Any, root: Path, tmp_path: Path
) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "new.blend"))
    assert submitted(root) == ExitCode.DONE
    bpy.ops.wm.revert_mainfile()
    strip = timeline.strips(bpy.context.scene.sequence_editor)["plate"]
    sent = Submission.loads((root / "farm/f001/submission.json").read_bytes())
    assert (strip.wan_animate.uid, strip.wan_animate.person.shot) == (sent.shots[0].uid, "SH010")


def test_a_dry_run_says_the_preflight_as_json_and_writes_nothing(plate: Any, root: Path, capsys: Any) -> None:
    before = Path(bpy.data.filepath).read_bytes()
    assert submitted(root, "--dry-run") == ExitCode.DONE
    (line,) = [one for one in capsys.readouterr().out.splitlines() if one.startswith('{"submission"')]
    told = json.loads(line)
    assert (told["files"], told["missing"], told["advice"]) == (11, [], [])
    assert Submission.from_json(told["submission"]).shots[0].folder == "SH010/e001"
    assert not root.exists()
    assert Path(bpy.data.filepath).read_bytes() == before


def test_missing_files_are_told_and_refused_unless_allowed(plate: Any, edit: Any, root: Path, capsys: Any) -> None:
    font = bpy.data.volumes.new("smoke")
    font.filepath = str(root.parent / "smoke.vdb")
    edit.collection.objects.link(bpy.data.objects.new("smoke", font))
    assert submitted(root, "--dry-run") == ExitCode.BAD_INPUT
    output = capsys.readouterr()
    assert "volume 'smoke': 1 of 1 files are missing, the first is smoke.vdb" in output.err
    assert '"missing": ["volume' in output.out
    assert submitted(root) == ExitCode.BAD_INPUT
    assert not root.exists()
    assert submitted(root, "--allow-missing") == ExitCode.DONE


@pytest.mark.parametrize(("words", "engine", "code", "sentence"), [
    (["--strip", "matte"], "openjd", ExitCode.BAD_INPUT, "no strip 'matte' is marked"),
    (["--chunk", "0"], "openjd", ExitCode.BAD_INPUT, "the chunk is 0 shots"),
    (["--chunk", "3"], "flamenco", ExitCode.BAD_INPUT, "--chunk goes with --engine openjd"),
    (["--to", "http://127.0.0.1:9"], "flamenco", ExitCode.UNAVAILABLE, "127.0.0.1:9"),
    (["--to", "http://192.0.2.1:8080"], "flamenco", ExitCode.UNAVAILABLE, "online access is off"),
    ([], "flamenco", ExitCode.BAD_INPUT, "no Flamenco Manager is chosen; give its address by --to"),
    ([], "slurm", ExitCode.BAD_INPUT, "invalid choice: 'slurm'"),
])  # fmt: skip
def test_what_cannot_be_submitted_is_one_sentence_and_nothing_is_written(
    plate: Any, root: Path, capsys: Any, words: list[str], engine: str, code: ExitCode, sentence: str
) -> None:
    assert submitted(root, *words, engine=engine) == code
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1
    assert not root.exists() or not list(root.rglob("*"))
