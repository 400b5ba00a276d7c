"""Rigs whose drivers need scripts, where scripts are blocked and where they may run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from panel import until_done, use
from serving import Served

from wan_animate_blender import desk, drivers, timeline, wire
from wan_animate_blender.commands import main
from wan_animate_blender.wire import BadInput

SCRIPT = "noise.random() * 0 + 0.25"
"""What Blender evaluates only where scripts may run."""


def drive(thing: Any, path: str, expression: str, index: int = -1) -> bpy.types.FCurve:
    curve = thing.driver_add(path, index) if index >= 0 else thing.driver_add(path)
    curve.driver.type, curve.driver.expression = "SCRIPTED", expression
    return curve


@pytest.fixture
def driven(plate: Any, tmp_path: Path) -> Any:
    """The saved file whose rig is moved by a script, opened again in this Blender, which blocks scripts."""
    drive(plate.wan_animate.person.rig, "delta_location", SCRIPT, 1)
    return opened(tmp_path, scripts=False)


def opened(folder: Path, *, scripts: bool) -> Any:
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "edit.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(folder / "edit.blend"), use_scripts=scripts)
    scene = bpy.data.scenes["Scene"]
    scene.sequence_editor.active_strip = strip = timeline.strips(scene.sequence_editor)["plate"]
    return strip


def test_a_rig_whose_scripts_are_blocked_is_not_exported(driven: Any, tmp_path: Path, capsys: Any) -> None:
    assert main(["export", "--strip", "plate"]) == wire.ExitCode.BAD_INPUT
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(
        "the driver of 'metarig', delta_location, needs scripts and they are blocked, so that the pose "
    )
    assert not list((tmp_path / "wan_animate").rglob("e*"))


def test_a_rig_whose_scripts_may_run_is_exported_as_it_stands(driven: Any, tmp_path: Path) -> None:
    opened(tmp_path, scripts=True)
    assert main(["export", "--strip", "plate"]) == wire.ExitCode.DONE
    rig = bpy.data.objects["metarig"]
    rig.driver_remove("delta_location", 1)
    rig.delta_location.y = 0.25
    assert main(["export", "--strip", "plate"]) == wire.ExitCode.DONE
    driven_, placed = (np.load(file)["keypoints"] for file in sorted(tmp_path.rglob(wire.POSE_FILE)))
    assert np.allclose(driven_, placed, atol=1e-3)
    rig.delta_location.y = 0.0
    assert main(["export", "--strip", "plate"]) == wire.ExitCode.DONE
    assert not np.allclose(driven_, np.load(sorted(tmp_path.rglob(wire.POSE_FILE))[-1])["keypoints"], atol=0.1)


def shape_key(plate: Any) -> bpy.types.FCurve:
    """On the head that the rig carries."""
    head = bpy.data.objects["head"]
    head.shape_key_add(name="Basis")
    return drive(head.shape_key_add(name="smile"), "value", SCRIPT)


def bone_property(plate: Any) -> bpy.types.FCurve:
    rig = plate.wan_animate.person.rig
    rig.pose.bones["hand.L"].constraints.new("COPY_LOCATION").name = "hold"
    return drive(rig.pose.bones["hand.L"].constraints["hold"], "influence", SCRIPT)


def cameras_lens(plate: Any) -> bpy.types.FCurve:
    return drive(bpy.data.cameras["camera"], "lens", SCRIPT)


def rigs_parent(plate: Any) -> bpy.types.FCurve:
    parent = bpy.data.objects.new("cart", None)
    bpy.context.scene.collection.objects.link(parent)
    plate.wan_animate.person.rig.parent = parent
    return drive(parent, "location", SCRIPT, 2)


@pytest.mark.parametrize(("make", "named"), [
    (shape_key, "'Key', key_blocks[\"smile\"].value"),
    (bone_property, "'metarig', pose.bones[\"hand.L\"].constraints[\"hold\"].influence"),
    (cameras_lens, "'camera', lens"),
    (rigs_parent, "'cart', location"),
])  # fmt: skip
def test_whatever_the_pose_depends_on_is_looked_at(
    plate: Any, make: Callable[[Any], bpy.types.FCurve], named: str, capsys: Any, tmp_path: Path
) -> None:
    curve = make(plate)
    assert main(["export", "--strip", "plate"]) == wire.ExitCode.BAD_INPUT
    assert f"the driver of {named}, needs scripts" in capsys.readouterr().err
    curve.mute = True
    opened(tmp_path, scripts=False)
    assert main(["export", "--strip", "plate"]) == wire.ExitCode.DONE


def test_what_only_a_render_evaluates_is_looked_at_after_it(plate: Any, tmp_path: Path, capsys: Any) -> None:
    shape_key(plate)
    bpy.data.objects["head"].hide_viewport = True
    plate.wan_animate.person.face = "rig"
    opened(tmp_path, scripts=False)
    assert main(["export", "--strip", "plate"]) == wire.ExitCode.BAD_INPUT
    assert "the driver of 'Key'" in capsys.readouterr().err
    assert not list((tmp_path / "wan_animate").rglob("e*"))


@pytest.mark.parametrize("expression", ["frame * 0.01", "sum([0.1, 0.2])"])
def test_drivers_that_need_no_scripts_run_where_they_are_blocked(plate: Any, expression: str, tmp_path: Path) -> None:
    drive(plate.wan_animate.person.rig, "delta_location", expression, 1)
    opened(tmp_path, scripts=False)
    assert main(["export", "--strip", "plate"]) == wire.ExitCode.DONE


def test_a_driver_that_is_broken_is_said_to_be_so(plate: Any, tmp_path: Path) -> None:
    drive(plate.wan_animate.person.rig, "delta_location", "nowhere + 1", 1)
    strip = opened(tmp_path, scripts=True)
    with pytest.raises(BadInput, match="cannot be evaluated, so that the pose would be wrong; mend its expression"):
        drivers.check([strip.wan_animate.person.rig])


# --- whether this session runs scripts ------------------------------------------------------------


@pytest.mark.parametrize(("scripts", "expression", "run"), [
    (False, SCRIPT, False),
    (True, SCRIPT, True),
    (True, "sum([0.1, 0.2])", False),  # proves nothing
])  # fmt: skip
def test_it_shows_in_a_driver_that_a_file_was_opened_as_trusted(
    plate: Any, tmp_path: Path, scripts: bool, expression: str, run: bool
) -> None:
    drive(plate.wan_animate.person.rig, "delta_location", expression, 1)
    strip = opened(tmp_path, scripts=scripts)
    assert drivers.scripts_run([strip.wan_animate.person.rig]) is run


@pytest.mark.parametrize(("folder", "glob", "run"), [
    (None, False, True),
    ("{}/", False, False),
    ("*/edit.blend", True, False),
    ("/elsewhere/", False, True),
])  # fmt: skip
def test_the_preferences_allow_scripts_but_not_in_folders_that_are_left_out(
    plate: Any, tmp_path: Path, folder: str | None, glob: bool, run: bool
) -> None:
    assert not drivers.scripts_run([])
    preferences = bpy.context.preferences
    preferences.filepaths.use_scripts_auto_execute = True
    if folder:
        left_out = preferences.autoexec_paths.new()
        left_out.path, left_out.use_glob = folder.format(tmp_path), glob
    assert drivers.scripts_run([]) is run


@pytest.mark.parametrize(("words", "run"), [(["-y"], True), (["--disable-autoexec"], False), (["-y", "-Y"], False)])
def test_what_blender_was_started_with_counts_more_than_the_preferences(
    monkeypatch: pytest.MonkeyPatch, words: list[str], run: bool
) -> None:
    bpy.context.preferences.filepaths.use_scripts_auto_execute = not run
    monkeypatch.setattr(sys, "argv", ["blender", *words])
    assert drivers.scripts_run([]) is run


# --- in the background ----------------------------------------------------------------------------


@pytest.mark.parametrize("scripts", [True, False])
def test_a_background_blender_runs_scripts_where_the_window_does(
    plate: Any, served: Served, background: Path, tmp_path: Path, scripts: bool
) -> None:
    drive(plate.wan_animate.person.rig, "delta_location", SCRIPT, 1)
    strip = opened(tmp_path, scripts=scripts)
    use(served)
    if not scripts:
        with pytest.raises(RuntimeError, match="needs scripts and they are blocked"):
            bpy.ops.wan_animate.generate("EXEC_DEFAULT")
        return
    assert bpy.ops.wan_animate.generate() == {"FINISHED"}
    until_done(strip.wan_animate.uid)
    assert desk.latest[strip.wan_animate.uid].problem is None
    assert main(["export", "--strip", "plate"]) == wire.ExitCode.DONE
    beside, here = (np.load(file)["keypoints"] for file in sorted(tmp_path.rglob(wire.POSE_FILE)))
    assert np.array_equal(beside, here)
