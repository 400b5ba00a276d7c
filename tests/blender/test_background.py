"""The work behind Generate: an export in a Blender of its own, a server, takes that arrive while the window lives."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import bpy
import pytest
from panel import PREFERENCES, draw, until_done, use
from serving import Served, wait_for

from wan_animate_blender import desk, identity, panels, preflight, timeline, wire
from wan_animate_blender.commands import main

pytestmark = pytest.mark.usefixtures("addon")


def left_by(temporary: Path) -> list[str]:
    """What an export forgot: files in the folder `temporary`, and processes that were started over one of them."""
    processes = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # ended meanwhile
            processes.append(process.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [*map(str, temporary.iterdir()), *(line for line in processes if str(temporary) in line)]


@pytest.fixture
def gate(background: Path, tmp_path: Path) -> Path:
    """A file that a background Blender waits for before it begins, a few minutes at most."""
    gate, script = tmp_path / "gate", tmp_path / "gated"
    waiting = f'for _ in $(seq 9999); do [ -e "{gate}" ] && break; sleep 0.03; done'
    script.write_text(f'#!/bin/sh\n{waiting}\nexec "{bpy.app.binary_path}" "$@"\n')
    script.chmod(0o755)
    bpy.app.binary_path = str(script)
    return gate


def test_generate_brings_a_take_onto_the_timeline(
    edit: Any, plate: Any, served: Served, background: Path, gate: Path, tmp_path: Path
) -> None:
    use(served)
    assert bpy.ops.wan_animate.generate() == {"FINISHED"}
    uid = plate.wan_animate.uid
    assert "is being worked on" in preflight.why_not(bpy.context)
    assert any("starting" in line for line in draw(panels.WAN_ANIMATE_PT_strip))
    assert [desk.tick() for _ in range(20)] == [desk.TICK_SECONDS] * 20, "the window waits for nothing"
    assert not (tmp_path / "wan_animate").exists()
    gate.touch()
    until_done(uid)
    assert desk.latest[uid].problem is None
    new = timeline.strips(edit.sequence_editor)["SH010 v001 character"]
    assert (new.channel, timeline.frame_range(new)) == (3, (12, 17))
    assert "SH010 v001 character is on channel 3" in " ".join(draw(panels.WAN_ANIMATE_PT_strip))
    assert left_by(background) == []
    assert preflight.why_not(bpy.context) == ""


def test_the_arrival_of_a_take_is_one_step_to_undo(plate: Any, served: Served, background: Path) -> None:
    use(served)
    bpy.ops.ed.undo_push(message="without a window this is what makes Blender keep steps at all")
    bpy.ops.wan_animate.generate("EXEC_DEFAULT", True)
    uid = plate.wan_animate.uid
    until_done(uid)
    assert names_of_strips() == {"plate", "matte", "SH010 v001 character"}
    bpy.ops.ed.undo()
    assert names_of_strips() == {"plate", "matte"}
    assert identity.find(uid) is not None
    bpy.ops.ed.redo()
    assert names_of_strips() == {"plate", "matte", "SH010 v001 character"}


def names_of_strips() -> set[str]:
    return {strip.name for strip in timeline.strips(bpy.context.scene.sequence_editor)}


def test_a_server_that_is_not_running_is_told_in_the_panel(plate: Any, background: Path) -> None:
    preferences = bpy.context.preferences.addons[PREFERENCES].preferences
    preferences.url, preferences.token = "http://127.0.0.1:9", "a-token"
    bpy.ops.wan_animate.generate()
    until_done(plate.wan_animate.uid)
    assert "No server answers" in " ".join(draw(panels.WAN_ANIMATE_PT_strip))


# --- what it is given -----------------------------------------------------------------------------


def test_a_change_that_was_not_saved_is_exported_and_stays_unsaved(
    plate: Any, served: Served, background: Path, tmp_path: Path
) -> None:
    use(served)
    before = (tmp_path / "edit.blend").read_bytes()
    plate.wan_animate.seed = 4711
    bpy.ops.wan_animate.generate()
    written = tmp_path / "wan_animate" / "SH010" / "e001" / wire.SHOT_FILE
    wait_for(written.exists)
    bpy.ops.wan_animate.cancel()
    until_done(plate.wan_animate.uid)
    shot = wire.Shot.loads(written.read_bytes())
    assert (shot.settings.seed, shot.strip) == (4711, plate.wan_animate.uid)
    assert (tmp_path / "edit.blend").read_bytes() == before


def test_a_background_blender_without_the_addon_is_said_to_be_so(
    plate: Any, served: Served, background: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(served)
    monkeypatch.setenv("BLENDER_USER_RESOURCES", str(tmp_path / "empty"))
    bpy.ops.wan_animate.generate()
    until_done(plate.wan_animate.uid)
    assert "save the preferences with Wan Animate enabled" in str(desk.latest[plate.wan_animate.uid].problem)


def exported(shots: Path) -> Path:
    """Generate, and end the work as soon as the export is there; its folder."""
    assert bpy.ops.wan_animate.generate() == {"FINISHED"}
    wait_for(lambda: list(shots.glob("SH010/e*/shot.json")))
    bpy.ops.wan_animate.cancel()
    until_done(bpy.context.scene.sequence_editor.active_strip.wan_animate.uid)
    return next(shots.glob("SH010/e*"))


def same(one: Path, other: Path) -> bool:
    """Whether two exports are of the same frames, pictures and poses."""
    shots = [wire.Shot.loads((folder / wire.SHOT_FILE).read_bytes()) for folder in (one, other)]
    return shots[0].files == shots[1].files and shots[0].frames == shots[1].frames


def test_a_file_that_was_never_saved_is_exported(
    unsaved: Any, served: Served, background: Path, tmp_path: Path
) -> None:
    use(served)
    bpy.context.preferences.addons[PREFERENCES].preferences.shots = str(tmp_path / "shots")
    folder = exported(tmp_path / "shots")
    assert bpy.data.filepath == ""
    assert main(["export", "--strip", "plate"]) == wire.ExitCode.DONE
    (here,) = (other for other in (tmp_path / "shots" / "SH010").glob("e*") if other != folder)
    assert same(folder, here)
    assert left_by(background) == []


def test_relative_paths_and_packed_pictures_survive_the_copy(
    edit: Any, plate: Any, served: Served, background: Path, tmp_path: Path
) -> None:
    (tmp_path / "project" / "edits").mkdir(parents=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "project" / "edits" / "edit.blend"))
    for strip in timeline.strips(edit.sequence_editor):
        strip.directory = bpy.path.relpath(strip.directory)
        assert strip.directory.startswith("//../../")
    picture = plate.wan_animate.person.character
    picture.filepath = bpy.path.relpath(picture.filepath)
    picture.pack()
    Path(bpy.path.abspath(picture.filepath)).unlink()
    use(served)
    shots = tmp_path / "project" / "edits" / "wan_animate"
    beside = exported(shots)
    assert main(["export", "--strip", "plate"]) == wire.ExitCode.DONE
    assert same(beside, shots / "SH010" / "e002")


# --- it ends --------------------------------------------------------------------------------------


def lengthen(plate: Any) -> None:
    """Let the export of `plate` last until somebody stops it: hundreds of frames and as many faces, after the first."""
    plate.wan_animate.person.face = "rig"
    for strip in timeline.strips(plate.id_data.sequence_editor):
        timeline.set_frame_range(strip, 12, 412)
    bpy.ops.wm.save_mainfile()


@pytest.fixture
def busy(plate: Any, served: Served, background: Path, tmp_path: Path) -> Path:
    """The folder of a shot of which a background Blender has just written the first frames of the plate."""
    use(served)
    lengthen(plate)
    shot = tmp_path / "wan_animate" / "SH010"
    assert bpy.ops.wan_animate.generate() == {"FINISHED"}
    wait_for(lambda: list(shot.glob("e*/plate/*")))
    assert left_by(background)
    return shot


def test_cancel_ends_the_background_blender_and_leaves_nothing(plate: Any, busy: Path, background: Path) -> None:
    assert bpy.ops.wan_animate.cancel() == {"FINISHED"}
    until_done(plate.wan_animate.uid)
    assert isinstance(desk.latest[plate.wan_animate.uid].problem, wire.Interrupted)
    assert list(busy.iterdir()) == []
    assert left_by(background) == []


def test_quitting_blender_ends_the_background_blender_and_leaves_nothing(busy: Path, background: Path) -> None:
    desk.unregister()
    assert list(busy.iterdir()) == []
    assert left_by(background) == []


WINDOW = """
import os, sys, time, bpy, addon_utils
bpy.app.binary_path = sys.argv[2]
addon_utils.enable("bl_ext.user_default.wan_animate", default_set=True)
bpy.ops.wm.open_mainfile(filepath=sys.argv[1])
preferences = bpy.context.preferences.addons["bl_ext.user_default.wan_animate"].preferences
preferences.url, preferences.token = "http://127.0.0.1:9", "a-token"
assert bpy.ops.wan_animate.generate() == {"FINISHED"}
time.sleep(600)
"""


def test_a_blender_that_dies_takes_the_background_blender_with_it(
    plate: Any, background: Path, blender: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    lengthen(plate)
    words = [sys.executable, "-c", WINDOW, str(tmp_path / "edit.blend"), str(blender[0])]
    shot = tmp_path / "wan_animate" / "SH010"
    with subprocess.Popen(words, env={**blender[1], "TMPDIR": str(background)}) as window:
        try:
            wait_for(lambda: list(shot.glob("e*/plate/*")))
        finally:
            window.kill()
    wait_for(lambda: not list(shot.iterdir()))
    wait_for(lambda: not [left for left in left_by(background) if "wan-animate-export-" in left])
