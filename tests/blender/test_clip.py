"""A camera that Blender itself has solved films the strip again in 3D, and lenses come from clips and files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from footage import noise, write_png
from mathutils import Matrix, Vector
from tracked import FRAMES, MODELS, own_places, shoot, solve, solved, track, write_exr

from wan_animate_blender import clip, commission, export, lens, plate, pose, timeline, wire
from wan_animate_blender.wire import BadInput, MapUse, RasterKind

WIDE, TALL = (320, 180), (180, 321)
"""Pixels. Blender's solver cuts the height over the pixel aspect to a whole number: 321 / 1.5 is one."""


@pytest.fixture
def stage(edit: bpy.types.Scene) -> bpy.types.Scene:
    """The 3D scene, beside the edit's."""
    return bpy.data.scenes.new("stage")


def show(edit: bpy.types.Scene, files: list[Path]) -> Any:
    strip = timeline.new_image_sequence(edit.sequence_editor, "plate", files, 50, 1)
    edit.sequence_editor.active_strip = strip
    return strip


def tracked(files: list[Path], model: str = "BROWN", aspect: float = 1.0, skipped: int = 0) -> bpy.types.MovieClip:
    """The footage from the frame `skipped` on, tracked and solved."""
    found = solved(files[skipped], model, aspect, focal=300.0)
    track(found, skipped)
    solve(found)
    return found


def misses(seer: bpy.types.Object, stage: bpy.types.Scene, footage: bpy.types.MovieClip, frame: int) -> np.ndarray:
    """Pixels between markers and where the camera sees their bundles, at a frame of the clip."""
    width, height = footage.size
    stage.view_layers[0].update()
    pose.set_time(stage, footage.frame_start + frame - 1)
    view = pose.View(stage, seer, seer, width, height, lens.from_clip(footage, width, height))
    places, markers = clip.bundles(seer.evaluated_get(pose.depsgraph(view)), footage, frame)
    assert len(markers) > 8
    return pose.project(view, seer, places)[:, :2] - (markers * (1, -1) + (0, 1)) * (width, height)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("size", [WIDE, TALL], ids=["wide", "tall"])
@pytest.mark.parametrize("aspect", [1.0, 1.5])
def test_the_cameras_of_solved_clips_see_every_bundle_at_its_marker(
    stage: bpy.types.Scene, tmp_path: Path, model: str, size: tuple[int, int], aspect: float
) -> None:
    """The markers were bent by our models and the camera was solved with libmv's: had they been others, or without the
    pixel aspect, no camera could fit both."""
    footage = tracked(shoot(tmp_path / "plate", *size), model, aspect)
    assert clip.reconstruction(footage).average_error < 0.02
    seer = clip.camera(footage, stage, aspect=True)
    assert stage.render.pixel_aspect_x / stage.render.pixel_aspect_y == pytest.approx(aspect)
    assert max(np.abs(misses(seer, stage, footage, frame)).max() for frame in (1, 8, FRAMES)) < 0.05


def test_a_camera_that_was_put_upright_is_taken_as_it_is(stage: bpy.types.Scene, tmp_path: Path) -> None:
    footage = tracked(shoot(tmp_path / "plate"))
    seer = clip.camera(footage, stage, aspect=True)
    seer.matrix_world = Matrix.Translation((3, 4, 5)) @ Matrix.Rotation(0.7, 4, (1, 2, 3)) @ Matrix.Scale(2.5, 4)
    seer.data.lens, seer.data.shift_x = 7.0, 0.0
    assert clip.camera(footage, stage, aspect=True) == seer
    assert len(stage.objects) == 1
    assert np.abs(misses(seer, stage, footage, 8)).max() < 0.05
    assert (
        np.abs(seer.evaluated_get(stage.view_layers[0].depsgraph).matrix_world.translation - Vector((3, 4, 5))).max()
        > 0.1
    )


def test_the_button_takes_camera_lens_and_first_frame(
    edit: bpy.types.Scene, stage: bpy.types.Scene, addon: None, tmp_path: Path
) -> None:
    files = shoot(tmp_path / "plate")
    strip, footage = show(edit, files), tracked(files)
    footage.frame_start = 101
    ours = strip.wan_animate
    ours.add_person().rig_scene = stage
    ours.lens_clip = footage
    assert bpy.ops.wan_animate.camera_from_clip() == {"FINISHED"}
    assert ours.camera.name in stage.objects
    assert ours.lens == "CLIP"
    person = ours.person
    assert (person.rig_time, person.use_rig_start, person.rig_start) == ("source", True, 101)


def test_the_button_can_be_undone(edit: bpy.types.Scene, addon: None, tmp_path: Path) -> None:
    """Called from Python an operator leaves no step of its own, so the test makes those that a click would make."""
    files = shoot(tmp_path / "plate")
    show(edit, files).wan_animate.lens_clip = tracked(files)
    bpy.ops.ed.undo_push(message="before")
    bpy.ops.wan_animate.camera_from_clip()
    assert "UNDO" in bpy.types.WAN_ANIMATE_OT_camera_from_clip.bl_options
    bpy.ops.ed.undo_push(message="Camera from Clip")
    bpy.ops.ed.undo()
    ours = bpy.context.scene.sequence_editor.active_strip.wan_animate
    assert (ours.camera, ours.lens, len(bpy.data.cameras)) == (None, "NONE", 0)


def test_a_clip_that_begins_later_than_the_strip_keeps_its_place(edit: bpy.types.Scene, tmp_path: Path) -> None:
    """The clip starts from the fourth file, and Blender was told to leave out two more."""
    files = shoot(tmp_path / "plate")
    strip = show(edit, files)
    timeline.set_frame_range(strip, 60, 70)
    footage = tracked(files, skipped=3)
    raster = plate.raster(edit, strip, RasterKind.SOURCE)
    footage.frame_start = 1001
    assert clip.start(footage, edit, strip, raster) == 998
    footage.frame_offset = 2
    assert clip.start(footage, edit, strip, raster) == 996


# --- what cannot be taken -------------------------------------------------------------------------


def test_a_clip_that_is_not_solved_is_refused(edit: bpy.types.Scene, addon: None, tmp_path: Path) -> None:
    files = shoot(tmp_path / "plate")
    strip = show(edit, files)
    assert not bpy.ops.wan_animate.camera_from_clip.poll()
    strip.wan_animate.lens_clip = solved(files[0], "BROWN")
    with pytest.raises(RuntimeError, match=r"the camera of the clip 'plate_0001\.png' is not solved; solve it in the"):
        bpy.ops.wan_animate.camera_from_clip()
    assert strip.wan_animate.camera is None
    assert not len(bpy.data.cameras)


def test_a_clip_of_less_than_the_strip_shows_is_refused(edit: bpy.types.Scene, tmp_path: Path) -> None:
    files = shoot(tmp_path / "plate")
    strip, footage = show(edit, files), tracked(files, skipped=3)
    with pytest.raises(
        BadInput, match=r"solved from frame 3 to 19 of the footage, and the strip 'plate' shows 0 to 19"
    ):
        clip.start(footage, edit, strip, plate.raster(edit, strip, RasterKind.SOURCE))


def test_a_clip_of_another_shape_is_refused(edit: bpy.types.Scene, tmp_path: Path) -> None:
    strip = show(edit, shoot(tmp_path / "plate", 240, 180))
    footage = tracked(shoot(tmp_path / "clip"))
    with pytest.raises(BadInput, match="the clip of the lens is 320×180 and the plate 240×180 pixels"):
        clip.start(footage, edit, strip, plate.raster(edit, strip, RasterKind.SOURCE))


def test_pixels_of_another_aspect_are_not_forced_upon_the_edit(edit: bpy.types.Scene, tmp_path: Path) -> None:
    footage = tracked(shoot(tmp_path / "plate"), aspect=1.5)
    with pytest.raises(BadInput, match=r"pixels 1\.5 times as wide as high .* put the rig into a scene of its own"):
        clip.camera(footage, edit, aspect=False)
    assert edit.render.pixel_aspect_x == 1.0


# --- ST-maps --------------------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path: Path) -> lens.Lens:
    return lens.from_clip(solved(shoot(tmp_path / "model", 192, 108)[0], "BROWN"), 192, 108)


@pytest.fixture
def st_map(model: lens.Lens, tmp_path: Path) -> bpy.types.Image:
    """In a file; the datablock has Blender's own idea of its colours."""
    places = model.distort(own_places(192, 108).reshape(-1, 2)) / (192, -108) + (0, 1)
    return bpy.data.images.load(str(write_exr(tmp_path / "map.exr", places.reshape(108, 192, 2))))


def test_an_st_map_is_read_as_it_is_in_its_file(model: lens.Lens, st_map: bpy.types.Image) -> None:
    st_map.colorspace_settings.name = "sRGB"
    images = len(bpy.data.images)
    found = clip.read(clip.FromMap(st_map, MapUse.UNDISTORT), 192, 108)
    points = own_places(192, 108).reshape(-1, 2)
    assert np.abs(found.distort(points) - model.distort(points)).max() < 0.01
    assert len(bpy.data.images) == images
    assert found.message.file == "lens/map.exr"


def test_an_st_map_of_eight_bits_is_refused(tmp_path: Path) -> None:
    image = bpy.data.images.load(str(write_png(tmp_path / "map.png", noise(1, 192, 108))))
    with pytest.raises(BadInput, match=r"the ST-map map\.png has 8 bits or no colours, expected 32-bit float"):
        clip.read(clip.FromMap(image, MapUse.UNDISTORT), 192, 108)


def test_an_st_map_without_a_file_is_refused(st_map: bpy.types.Image) -> None:
    st_map.pack()
    with pytest.raises(BadInput, match=r"the ST-map 'map\.exr' is not in a file of its own .*; unpack or relink it"):
        clip.read(clip.FromMap(st_map, MapUse.UNDISTORT), 192, 108)


def test_a_shot_carries_its_lens_and_its_keypoints_are_bent(
    edit: bpy.types.Scene, film: Callable[..., Any], metarig: bpy.types.Object, camera: bpy.types.Object,
    st_map: bpy.types.Image, tmp_path: Path,
) -> None:  # fmt: skip
    strip = film("plate", lambda i: noise(i, 192, 108), frames=3)
    character = bpy.data.images.load(str(write_png(tmp_path / "hero.png", noise(1, 60, 80))))
    points = {}
    for source in (None, clip.FromMap(st_map, MapUse.UNDISTORT)):
        request = commission.Request(
            scene=edit, strip=strip, root=tmp_path / "shots", name="SH010", mode=wire.Mode.ANIMATE, handles=0,
            rig=metarig, character=character, face=wire.FaceSource.NONE, lens=source,
        )  # fmt: skip
        for _ in export.export(request):
            pass
        folder = max((tmp_path / "shots" / "SH010").glob("e*"))
        shot = wire.Shot.loads((folder / wire.SHOT_FILE).read_bytes())
        points[source] = np.load(folder / wire.POSE_FILE)["keypoints"]
    assert shot.lens == wire.Lens(kind=wire.LensKind.STMAP, width=192, height=108, file="lens/map.exr")
    assert (folder / "lens" / "map.exr").read_bytes() == (tmp_path / "map.exr").read_bytes()
    straight, bent = (each[..., :2].reshape(-1, 2) for each in points.values())
    expected = clip.read(source, 192, 108).distort(straight)
    assert np.abs(expected - straight).max() > 0.5
    assert np.abs(bent - expected).max() < 1e-3
