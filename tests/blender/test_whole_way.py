"""The whole way in each mode and raster: exported, rendered by a server, imported, and what the edit then shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from footage import read_png
from serving import Served
from takes import shown

from wan_animate_blender import comp, timeline
from wan_animate_blender.commands import main
from wan_animate_blender.wire import TAKE_FILE, ExitCode, Take

pytestmark = pytest.mark.usefixtures("addon")

FRAMES = {12: 1001, 14: 1003, 16: 1005}
"""Shot numbers of three of the strip's five frames, by frames of the edit."""


@pytest.fixture
def take(request: pytest.FixtureRequest, plate: Any, served: Served, tmp_path: Path) -> Path:
    """The folder of a take that was made in a mode and on a raster, and is in the open file."""
    plate.wan_animate.mode, plate.wan_animate.raster = request.param
    if request.param[1] == "canvas":
        plate.transform.scale_x = plate.transform.scale_y = 0.75
        plate.transform.offset_x = 6
    timeline.strips(bpy.context.scene.sequence_editor)["matte"].mute = True
    bpy.ops.wm.save_mainfile()
    where = ["--server", served.url, "--token-file", str(served.token_file)]
    assert main(["generate", "--strip", "plate", *where]) == ExitCode.DONE
    bpy.ops.wm.revert_mainfile()
    return tmp_path / "wan_animate" / "SH010" / "takes" / "v001"


def picture(take: Path, layer: str, number: int) -> np.ndarray:
    return read_png(take / layer / f"{number}.png").astype(int)


def composed(scene: bpy.types.Scene, number: int, folder: Path) -> np.ndarray:
    """What the compositor of `scene` makes of one frame."""
    timeline.write_stills(scene.render.image_settings, "PNG", "RGB", "8")
    scene.render.filepath, scene.frame_start, scene.frame_end = f"{folder}/made_######", number, number
    bpy.ops.render.render(animation=True, scene=scene.name)
    return read_png(folder / f"made_{number:06d}.png").astype(int)


@pytest.mark.parametrize("take", [("replace", "source"), ("replace", "canvas")], indirect=True, ids="-".join)
def test_plate_and_character_are_the_comp_in_the_edit_and_in_the_compositor(take: Path, tmp_path: Path) -> None:
    scene = bpy.context.scene
    told = Take.loads((take / TAKE_FILE).read_bytes())
    new = timeline.strips(scene.sequence_editor)["SH010 v001 character"]
    assert (timeline.frame_range(new), new.blend_type) == ((12, 17), "ALPHA_OVER")
    assert (told.width, told.height) == (80, 48)
    for frame, number in FRAMES.items():
        wanted = picture(take, "comp", number)
        seen = shown(scene, frame, tmp_path / "seen.png").astype(int)
        assert np.abs(seen - wanted).max() <= 1
        new.mute = True
        alone = shown(scene, frame, tmp_path / "alone.png").astype(int)
        new.mute = False
        outside = picture(take, "matte", number) == 0
        assert 0.1 < outside.mean() < 1
        assert np.array_equal(seen[outside], alone[outside])
        assert np.abs(seen - alone)[~outside].mean() > 5
    made = comp.build(scene, take)
    for number in FRAMES.values():
        assert np.abs(composed(made, number, tmp_path) - picture(take, "comp", number)).max() <= 1


@pytest.mark.parametrize("take", [("animate", "source"), ("animate", "canvas")], indirect=True, ids="-".join)
def test_the_generated_picture_covers_the_plate(take: Path, tmp_path: Path) -> None:
    scene = bpy.context.scene
    new = timeline.strips(scene.sequence_editor)["SH010 v001 generated"]
    assert timeline.frame_range(new) == (12, 17)
    told = Take.loads((take / TAKE_FILE).read_bytes())
    fits = min(80 / told.width, 48 / told.height)
    assert new.transform.scale_x == new.transform.scale_y == pytest.approx(fits)
    new.transform.scale_x = new.transform.scale_y = 1.0  # pixel for pixel, so that nothing is filtered
    scene.render.resolution_x, scene.render.resolution_y = told.width, told.height
    for frame, number in FRAMES.items():
        seen = shown(scene, frame, tmp_path / "seen.png").astype(int)
        assert np.array_equal(seen, picture(take, "generated", number))
