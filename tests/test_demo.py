"""`wan-animate demo`: from a Blender scene to generated frames on new strips, and nothing left when it is stopped."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch

from wan_animate_blender.wire import Mode, Take, TakeState, file_entry
from wan_animate_server import video
from wan_animate_server.demo import blender, cut
from wan_animate_server.evaluate import estimators, takes
from wan_animate_server.evaluate.reading import Estimators
from wan_animate_server.shot import LoadedShot, load

from .serving import PATIENCE, held, waits
from .trained import TRAINED, needs_estimators, needs_weights

CHOSEN = Path(os.environ["WAN_ANIMATE_DEMO_BLENDER"]) if "WAN_ANIMATE_DEMO_BLENDER" in os.environ else None
"""The Blender to test with; None is the one that the demo finds by itself."""

needs_blender = pytest.mark.skipif(
    CHOSEN is None and importlib.util.find_spec("bpy") is None and shutil.which("blender") is None,
    reason="there is no Blender here",
)

POSE = 0.05
"""Share of the person's height that body and feet may be off: more than on clips of the made-up world, which the small
model and its estimator have learned from; these are Blender's."""

LONGEST = 900
"""Seconds, on a machine that is busy; four minutes on two idle cores."""

REPORT = """
import bpy, json, os
scene = bpy.context.scene
editor = scene.sequence_editor
strips = editor.strips_all if hasattr(editor, "strips_all") else editor.sequences_all
said = {"scene": scene.name, "strips": {}}
for strip in strips:
    ends = (strip.left_handle, strip.right_handle) if hasattr(strip, "left_handle") else (
        strip.frame_final_start, strip.frame_final_end)
    names = [element.filename for element in strip.elements] if strip.type == "IMAGE" else []
    files = [os.path.join(bpy.path.abspath(strip.directory), name) for name in names]
    said["strips"][strip.name] = {
        "channel": strip.channel, "start": int(ends[0]), "end": int(ends[1]), "mute": strip.mute, "files": files,
        "offset": int(strip.frame_offset_start) if hasattr(strip, "frame_offset_start") else 0,
    }
print("REPORT" + json.dumps(said))
"""


@dataclass(frozen=True)
class Demo:
    out: Path
    said: str

    @property
    def shot(self) -> LoadedShot:
        return load(self.out / "shots" / "SH010" / "e001")

    @property
    def take_folder(self) -> Path:
        return self.out / "shots" / "SH010" / "takes" / "v001"

    @property
    def take(self) -> Take:
        return Take.loads((self.take_folder / "take.json").read_bytes())


def command(*words: str | Path) -> list[str]:
    chosen = ["--blender", str(CHOSEN)] if CHOSEN else []
    return [sys.executable, "-m", "wan_animate_server", "demo", *chosen, *map(str, words)]


def run_demo(out: Path, mode: Mode) -> Demo:
    ended = subprocess.run(
        command("--out", out, "--mode", mode), capture_output=True, text=True, timeout=LONGEST, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return Demo(out, ended.stdout)


@pytest.fixture(scope="session")
def replaced(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return run_demo(tmp_path_factory.mktemp("replace") / "out", Mode.REPLACE)


@pytest.fixture(scope="session")
def animated(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return run_demo(tmp_path_factory.mktemp("animate") / "out", Mode.ANIMATE)


@pytest.fixture(params=["replaced", "animated"])
def demo(request: pytest.FixtureRequest) -> Demo:
    found: Demo = request.getfixturevalue(request.param)
    return found


def strips_in(demo: Demo) -> dict[str, dict[str, Any]]:
    """What the saved file holds, as a Blender sees it that opens it anew, without the add-on."""
    script = demo.out / "report.py"
    script.write_text(REPORT)
    words = [*blender.find(CHOSEN), "-b", str(demo.out / "demo.blend"), "--factory-startup", "--python", str(script)]
    said = subprocess.run(words, capture_output=True, text=True, timeout=LONGEST, check=True).stdout
    (line,) = [line for line in said.splitlines() if line.startswith("REPORT")]
    report = json.loads(line.removeprefix("REPORT"))
    assert report["scene"] == "Edit"
    strips: dict[str, dict[str, Any]] = report["strips"]
    return strips


def picture(path: Path) -> np.ndarray[Any, Any]:
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert found is not None, f"{path} cannot be decoded"
    return found


# --- what is there at the end ---------------------------------------------------------------------


@needs_blender
def test_as_many_frames_come_back_as_were_sent(demo: Demo) -> None:
    assert len(demo.shot.keypoints) == cut.FRAMES == 29
    take = demo.take
    assert take.state is TakeState.COMPLETE
    for layer in take.layers:
        assert len(take.sequence(layer)) == cut.FRAMES
    assert f"{cut.FRAMES} in = {cut.FRAMES} out" in demo.said


@needs_blender
def test_every_file_of_the_take_is_whole(demo: Demo) -> None:
    take = demo.take
    found = {path: file_entry(demo.take_folder / path) for path in take.files}
    assert found == take.files
    sizes = {picture(demo.take_folder / path).shape[:2] for layer in take.layers for path in take.sequence(layer)}
    assert sizes == {(take.height, take.width)}


@needs_blender
def test_the_preview_plays_to_its_end(demo: Demo) -> None:
    with av.open(demo.out / "preview.mp4") as movie:
        frames = [frame.to_ndarray(format="rgb24") for frame in movie.decode(video=0)]
        assert movie.streams.video[0].average_rate == cut.FPS
    assert len(frames) == cut.FRAMES


@needs_blender
def test_the_contact_sheet_shows_six_moments_of_each_layer(demo: Demo) -> None:
    sheet = picture(demo.out / "contact_sheet.png")
    rows = 4 if demo.take.mode is Mode.REPLACE else 3
    assert sheet.shape[1] > 6 * 320 and sheet.shape[0] > rows * 192


@needs_blender
def test_the_report_says_what_the_take_says_of_itself_and_where_all_lies(demo: Demo) -> None:
    said = " ".join(demo.said.split())
    assert all(" ".join(note.split()) in said for note in demo.take.notes)
    assert TRAINED or "weights are random" in said
    flat = "".join(demo.said.split())
    for name in ("demo.blend", "contact_sheet.png", "preview.mp4"):
        assert "".join(str(demo.out / name).split()) in flat


@needs_blender
@needs_weights
@needs_estimators
def test_the_person_in_the_result_stands_as_the_rig_does(demo: Demo) -> None:
    readers = Estimators.read(estimators.HOME, torch.device("cpu"))
    assert takes.figures(demo.take_folder, None, readers)["pose"] <= POSE


# --- the plate, the matte, the rig ----------------------------------------------------------------


@needs_blender
def test_the_plate_was_exported_as_it_was_shot(demo: Demo) -> None:
    for i, path in enumerate(demo.shot.sequences["plate"]):
        footage = demo.out / "footage" / "plate" / f"{cut.HEAD - cut.HANDLES + 1 + i:04d}.png"
        np.testing.assert_array_equal(picture(demo.shot.folder / path), picture(footage)[..., :3])


@needs_blender
def test_outside_the_alpha_the_result_is_the_plate_bit_for_bit(replaced: Demo) -> None:
    take, shot = replaced.take, replaced.shot
    for i, (comp, alpha) in enumerate(zip(take.sequence("comp"), take.sequence("matte"), strict=True)):
        outside = picture(replaced.take_folder / alpha) == 0
        assert outside.mean() > 0.5
        made, plate = picture(replaced.take_folder / comp), picture(shot.folder / shot.sequences["plate"][i])
        np.testing.assert_array_equal(made[outside], plate[outside])
        assert (made[~outside] != plate[~outside]).any(axis=1).mean() > 0.5


@needs_blender
def test_the_rig_is_near_the_actor_and_not_on_it(replaced: Demo) -> None:
    shot = replaced.shot
    for i in range(0, cut.FRAMES, 4):
        body = shot.keypoints[i, :17, :2]
        ys, xs = np.nonzero(shot.matte(i) > 127)
        apart = np.hypot(*(body.mean(axis=0) - (xs.mean(), ys.mean())))
        assert 1 < apart < 0.15 * cut.SIZE[0]
        assert shot.keypoints[i, :17, 2].mean() > 0.9


@needs_blender
def test_the_face_speaks_and_blinks(replaced: Demo) -> None:
    lips = replaced.shot.keypoints[:, [23 + 51, 23 + 57], 1]
    eye = replaced.shot.keypoints[:, [23 + 37, 23 + 41], 1]
    for opening in (lips[:, 1] - lips[:, 0], eye[:, 1] - eye[:, 0]):
        assert np.ptp(opening) > 0.5 * np.median(opening)


@needs_blender
def test_the_footage_moves_and_has_grain(replaced: Demo) -> None:
    footage = replaced.out / "footage"
    first, later = (picture(footage / "matte" / f"{i:04d}.png") for i in (5, 25))
    assert np.nonzero(first > 127)[1].mean() + 5 < np.nonzero(later > 127)[1].mean()
    wall = [picture(footage / "plate" / f"{i:04d}.png")[:20, :40].astype(float) for i in (5, 6)]
    assert 1 < np.std(wall[1] - wall[0]) < 25
    blurred = (first > 40) & (first < 215)
    assert blurred.sum() > 20


# --- the edit -------------------------------------------------------------------------------------


@needs_blender
def test_new_strips_lie_where_the_plate_lies_and_nothing_else_has_changed(demo: Demo) -> None:
    strips = strips_in(demo)
    plate, matte, title = (strips.pop(name) for name in ("Plate", "Matte", "Title"))
    for strip, channel in ((plate, 1), (matte, 2), (title, 6)):
        assert (strip["channel"], strip["start"], strip["end"]) == (channel, cut.START, cut.START + cut.CUT)
    assert (plate["mute"], matte["mute"], title["mute"]) == (False, True, False)
    assert strips, "no new strip was made"
    for strip in strips.values():
        assert (strip["start"], strip["end"]) == (cut.START, cut.START + cut.CUT)
        assert strip["offset"] == cut.HANDLES
        assert len(strip["files"]) == cut.FRAMES
        assert all(Path(file).is_file() for file in strip["files"])
    channels = [strip["channel"] for strip in strips.values()]
    assert len(set(channels)) == len(channels) and not {1, 2, 6} & set(channels)


# --- footage of one's own --------------------------------------------------------------------------

MASKED = """
import bpy, json
editor = bpy.context.scene.sequence_editor
strip = (editor.strips_all if hasattr(editor, "strips_all") else editor.sequences_all)["Plate"]
wish = strip.wan_animate.person
scene = wish.rig_scene
said = {"type": strip.type, "matte": wish.matte, "size": [scene.render.resolution_x, scene.render.resolution_y],
    "fps": scene.render.fps / scene.render.fps_base, "edges": [],
    "character": bpy.path.abspath(wish.character.filepath)}
for frame in (1, 15, 31):
    bpy.context.scene.frame_set(frame)
    points = [tuple(point.co) for point in wish.matte_mask.layers[0].splines[0].points]
    said["edges"].append([min(x for x, _ in points), max(x for x, _ in points), max(y for _, y in points)])
print('{"stage": "report", "said": ' + json.dumps(said) + "}")
"""


@needs_blender
def test_footage_of_ones_own_gets_a_rig_and_a_mask_that_moves_with_it(tmp_path: Path) -> None:
    movie, character = tmp_path / "footage.mp4", tmp_path / "hero.png"
    with video.Preview(movie, Fraction(30)) as writer:
        for i in range(cut.LEAST + 4):
            writer.add(np.full((180, 320, 3), 4 * i, np.uint8))
    cv2.imwrite(str(character), np.full((64, 48, 3), 90, np.uint8))
    engine = blender.Blender(blender.find(CHOSEN), tmp_path / "user", tmp_path / "blender.log")
    engine.install_addon(tmp_path)
    wish = {"folder": str(tmp_path), "mode": "replace", "plate": str(movie), "character": str(character)}
    scene = Path(blender.__file__).with_name("scene.py")
    list(engine.run("--python", str(scene), "--", json.dumps(wish)))
    script = tmp_path / "masked.py"
    script.write_text(MASKED)
    (report,) = engine.run(str(tmp_path / "demo.blend"), "--python", str(script))
    said = report["said"]
    assert (said["type"], said["matte"], said["size"], said["fps"]) == ("MOVIE", "MASK", [320, 180], 30)
    assert said["character"] == str(character)
    first, later, last = said["edges"]
    assert 0 < first[0] < 0.5 < first[1] < 1
    assert first != later != last


# --- stopped on the way ---------------------------------------------------------------------------


@pytest.fixture
def started(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    out = tmp_path / "out"
    process = subprocess.Popen(
        command("--out", out),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | waits(tmp_path),
    )
    yield process, out
    process.terminate()  # not kill: nobody would end its children then
    process.communicate()


def wait_for(found: Callable[[], object], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + LONGEST
    while not found():
        assert process.poll() is None, "the demo ended before it was stopped: " + "".join(process.communicate())
        assert time.monotonic() < end
        time.sleep(0.2)


def stop(process: subprocess.Popen[str], number: int) -> tuple[int, str]:
    """Send a signal to the demo alone: its children have to hear of it from the demo."""
    process.send_signal(number)
    errors = process.communicate(timeout=LONGEST)[1]
    return process.returncode, errors


def processes_about(out: Path) -> list[str]:
    """Command lines of running processes that name `out`."""
    listed = subprocess.run(["ps", "-ww", "-eo", "args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(out) in line]


def end_about(out: Path) -> bool:
    """Whether the processes that name `out` end; those that were killed take a moment."""
    end = time.monotonic() + PATIENCE
    while processes_about(out) and time.monotonic() < end:
        time.sleep(0.05)
    return not processes_about(out)


def port_of(out: Path) -> int:
    (port,) = re.findall(r"http://127\.0\.0\.1:(\d+)", (out / "logs" / "server.log").read_text())
    return int(port)


def is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def takes_on_the_server(out: Path) -> list[Path]:
    return sorted((out / "server" / "jobs").glob("*/SH010/takes/v*/take.json"))


@needs_blender
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_while_blender_works_it_leaves_no_process_and_no_port(
    started: tuple[subprocess.Popen[str], Path], number: int, code: int
) -> None:
    process, out = started
    wait_for((out / "character.png").exists, process)
    assert len(processes_about(out)) >= 3, "the demo, the server and Blender run"
    ended, errors = stop(process, number)
    assert ended == code
    assert "interrupted" in errors and "Traceback" not in errors
    assert end_about(out)
    assert not is_open(port_of(out))
    assert not (out / "demo.blend").exists()


@needs_blender
def test_stopped_in_the_middle_of_a_render_it_leaves_a_partial_take_that_says_so(
    started: tuple[subprocess.Popen[str], Path],
) -> None:
    process, out = started
    with held(out.parent, step=1):
        wait_for(lambda: takes_on_the_server(out), process)
        assert is_open(port_of(out)) and len(processes_about(out)) >= 4, "with the server's worker"
        ended, errors = stop(process, signal.SIGINT)
    assert ended == 130
    assert "interrupted" in errors and "Traceback" not in errors
    assert end_about(out)
    assert not is_open(port_of(out))
    (take,) = takes_on_the_server(out)
    assert Take.loads(take.read_bytes()).state is TakeState.PARTIAL
    assert not (out / "contact_sheet.png").exists()


# --- bad input ------------------------------------------------------------------------------------


def refused(*words: str | Path) -> tuple[int, str]:
    ended = subprocess.run(command(*words), capture_output=True, text=True, timeout=LONGEST, check=False)
    return ended.returncode, ended.stderr


@needs_blender
def test_a_plate_that_is_no_movie_is_refused_at_once(tmp_path: Path) -> None:
    file = tmp_path / "plate.mp4"
    file.write_text("not a movie")
    code, said = refused("--out", tmp_path / "out", "--plate", file)
    assert code == 64
    assert "plate.mp4" in said and not (tmp_path / "out").exists()


@needs_blender
def test_a_plate_of_too_few_frames_is_refused_at_once(tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "short.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 24, (64, 48))
    for _ in range(5):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    code, said = refused("--out", tmp_path / "out", "--plate", tmp_path / "short.avi")
    assert code == 64
    assert f"has 5 frames, expected at least {cut.LEAST}" in said


@needs_blender
def test_a_character_that_is_no_picture_is_refused_at_once(tmp_path: Path) -> None:
    file = tmp_path / "character.png"
    file.write_text("not a picture")
    code, said = refused("--out", tmp_path / "out", "--character", file)
    assert code == 64
    assert "character.png" in said


@needs_blender
def test_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file is in the way")
    code, said = refused("--out", tmp_path / "out")
    assert code == 64
    assert "choose another folder with --out" in said


# --- which Blender --------------------------------------------------------------------------------


def fake(folder: Path, version: str) -> Path:
    """An executable that says it is a Blender."""
    file = folder / "blender"
    file.write_text(f"#!/bin/sh\necho 'Blender {version}'\n")
    file.chmod(0o755)
    return file


def test_a_blender_that_was_named_goes_before_all_others(tmp_path: Path) -> None:
    wanted = fake(tmp_path, "4.2.0 LTS")
    assert blender.find(wanted) == (str(wanted),)


@pytest.mark.parametrize("version", ["4.1.1", "3.6.0", "from somewhere"])
def test_a_named_blender_that_is_too_old_is_refused(tmp_path: Path, version: str) -> None:
    with pytest.raises(ValueError, match=r"expected the executable of Blender 4\.2 or newer"):
        blender.find(fake(tmp_path, version))


def test_a_named_blender_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a Blender that starts"):
        blender.find(tmp_path / "missing")


@pytest.mark.parametrize(("version", "found"), [("5.2.0", True), ("4.1.0", False)])
def test_without_the_wheel_the_blender_on_the_path_is_taken_if_new_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, found: bool
) -> None:
    installed = fake(tmp_path, version)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    if found:
        assert blender.find(None) == (str(installed),)
    else:
        with pytest.raises(blender.Unavailable, match="give --blender PATH"):
            blender.find(None)
