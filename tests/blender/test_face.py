"""The face crop: the box that the rule gives, smoothed, and in it exactly what the shot's camera sees there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import bpy
import numpy as np
import pytest
from footage import read_png, write_png

from wan_animate_blender import face, pose, stills, timeline
from wan_animate_blender.wire import FACE_KEYPOINTS, BadInput, FrameRow, face_box

WIDTH, HEIGHT = 320, 192
Change = Callable[[bpy.types.Camera, bpy.types.RenderSettings], None]


def points_around(x: float, y: float, frames: int = 1) -> np.ndarray:
    """A pose whose face points fill 40×60 pixels around (x, y)."""
    keypoints = np.full((frames, 133, 3), 5.0, np.float32)
    turn = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    keypoints[:, FACE_KEYPOINTS, 0], keypoints[:, FACE_KEYPOINTS, 1] = x + 20 * np.cos(turn), y + 30 * np.sin(turn)
    return keypoints


def test_a_resting_face_has_the_box_of_the_rule() -> None:
    keypoints = points_around(160, 90, frames=3)
    expected = face_box(keypoints[0, FACE_KEYPOINTS].tolist(), WIDTH, HEIGHT)
    assert face.boxes(keypoints, WIDTH, HEIGHT).tolist() == [list(expected or ())] * 3


def test_boxes_of_a_steady_motion_follow_it_and_jumps_are_softened() -> None:
    steady = np.concatenate([points_around(60 + 10 * i, 90) for i in range(9)])
    left = face.boxes(steady, WIDTH, HEIGHT)[:, 0]
    assert np.abs(np.diff(left) - 10).max() <= 1
    steady[4] = points_around(200, 90)[0]
    assert np.abs(np.diff(face.boxes(steady, WIDTH, HEIGHT)[:, 0])).max() < 40


def test_the_first_and_the_last_box_of_a_motion_do_not_lag() -> None:
    moving = np.concatenate([points_around(60 + 10 * i, 90) for i in range(5)])
    ends = [face_box(moving[i, FACE_KEYPOINTS].tolist(), WIDTH, HEIGHT) for i in (0, 4)]
    assert face.boxes(moving, WIDTH, HEIGHT)[[0, 4]].tolist() == [list(box or ()) for box in ends]


def test_frames_without_a_face_have_no_box_and_spoil_no_other() -> None:
    keypoints = points_around(160, 90, frames=3)
    keypoints[1, 30, :2] = np.nan
    boxes = face.boxes(keypoints, WIDTH, HEIGHT)
    assert boxes.dtype == np.float32
    assert np.isnan(boxes[1]).all()
    assert np.isfinite(boxes[[0, 2]]).all()


@pytest.fixture
def view(edit: bpy.types.Scene, metarig: bpy.types.Object, camera: bpy.types.Object) -> pose.View:
    """The camera at a wall of coloured cubes that shine."""
    for i, (x, z) in enumerate(np.ndindex(6, 5)):
        bpy.ops.mesh.primitive_cube_add(size=0.4, location=(x * 0.5 - 1, 0.2 * (i % 3), z * 0.5 + 0.5))
        bpy.context.object.data.materials.append(shining(((i * 7 % 11) / 10, (i * 5 % 11) / 10, (i * 3 % 11) / 10)))
    bpy.data.objects["head"].data.materials.append(shining((0.5, 0.2, 0.1)))
    edit.view_settings.view_transform = "Standard"
    return pose.View(edit, metarig, None, WIDTH, HEIGHT)


def shining(colour: tuple[float, float, float]) -> bpy.types.Material:
    material = bpy.data.materials.new("colour")
    if material.node_tree is None:
        material.use_nodes = True
    nodes = material.node_tree.nodes
    nodes.clear()
    shine = nodes.new("ShaderNodeEmission")
    shine.inputs["Color"].default_value = (*colour, 1)
    material.node_tree.links.new(shine.outputs[0], nodes.new("ShaderNodeOutputMaterial").inputs["Surface"])
    return material


def perspective(lens: bpy.types.Camera, render: bpy.types.RenderSettings) -> None:
    pass


def shifted(lens: bpy.types.Camera, render: bpy.types.RenderSettings) -> None:
    lens.shift_x, lens.shift_y, lens.sensor_fit = 0.13, -0.07, "VERTICAL"


def orthographic(lens: bpy.types.Camera, render: bpy.types.RenderSettings) -> None:
    lens.type, lens.ortho_scale, lens.shift_y = "ORTHO", 4.0, 0.1


def anamorphic(lens: bpy.types.Camera, render: bpy.types.RenderSettings) -> None:
    render.pixel_aspect_x = 1.5


@pytest.mark.parametrize("change", [perspective, shifted, orthographic, anamorphic])
def test_the_crop_shows_what_the_camera_sees_in_the_box(view: pose.View, tmp_path: Path, change: Change) -> None:
    scene, box = view.scene, np.array([130.0, 40.0, 190.0, 160.0])
    change(scene.camera.data, scene.render)
    (file,) = face.write(view, box[None], [FrameRow(shot=1001, timeline=1, source=0, rig=1)], tmp_path / "face")
    crop = read_png(file).astype(int)
    whole = whole_view(view, tmp_path / "whole.png", scale=4).astype(int)
    x0, y0, x1, y1 = (box * 4).astype(int)
    columns = x0 + ((np.arange(512) + 0.5) / 512 * (x1 - x0)).astype(int)
    lines = y0 + ((np.arange(512) + 0.5) / 512 * (y1 - y0)).astype(int)
    differs = np.abs(crop - whole[lines][:, columns]).max(axis=2) > 24
    assert file.name == "1001.png"
    assert crop.std() > 20
    assert differs.mean() < 0.03  # only along edges, where the whole view has fewer pixels


def whole_view(view: pose.View, file: Path, scale: int) -> np.ndarray:
    with stills.copy_of(view.scene) as copy:
        stills.prepare(copy, view.width * scale, view.height * scale, "RGB")
        stills.trace(copy, 4)
        copy.frame_set(1)
        return read_png(stills.write(copy, file))


def test_a_frame_without_a_box_is_black_and_nothing_is_left_behind(view: pose.View, tmp_path: Path) -> None:
    things, lenses, frame = len(bpy.data.objects), len(bpy.data.cameras), view.scene.frame_current
    boxes = np.array([[np.nan] * 4, [130, 40, 190, 160]])
    table = [FrameRow(shot=1001 + i, timeline=i, source=i, rig=20 + i) for i in range(2)]
    black, seen = (read_png(file) for file in face.write(view, boxes, table, tmp_path / "face"))
    assert black.shape == seen.shape == (512, 512, 3)
    assert not black.any()
    assert seen.any()
    assert (len(bpy.data.objects), len(bpy.data.cameras), view.scene.frame_current) == (things, lenses, frame)


def test_a_scene_without_light_gets_a_lamp_for_the_face(view: pose.View, tmp_path: Path) -> None:
    plain = bpy.data.materials.new("plain")
    for thing in view.scene.objects:
        if thing.type == "MESH":
            thing.data.materials.clear()
            thing.data.materials.append(plain)
    table = [FrameRow(shot=1001, timeline=1, source=0, rig=1)]
    (file,) = face.write(view, np.array([[130.0, 40, 190, 160]]), table, tmp_path / "face")
    assert read_png(file).mean() > 60
    assert not bpy.data.lights


def test_a_rig_without_a_body_has_no_face_to_render(view: pose.View) -> None:
    face.check(view)
    bpy.data.objects["head"].hide_render = True
    with pytest.raises(BadInput, match="the rig 'metarig' carries nothing that is rendered, so its face cannot be"):
        face.check(view)


def test_the_scenes_own_engine_renders_the_face_by_choice(view: pose.View, tmp_path: Path) -> None:
    view.scene.render.engine = "CYCLES"
    view.scene.cycles.samples = 1
    box, table = np.array([[130.0, 40, 190, 160]]), [FrameRow(shot=1001, timeline=1, source=0, rig=1)]
    (quick,) = face.write(view, box, table, tmp_path / "quick")
    (own,) = face.write(view, box, table, tmp_path / "own", face.Engine.SCENE)
    quick_pixels, own_pixels = read_png(quick).astype(int), read_png(own).astype(int)
    assert own_pixels.shape == (512, 512, 3)
    assert (np.abs(quick_pixels - own_pixels).max(axis=2) > 24).mean() < 0.03  # edges have fewer rays
    assert (quick_pixels != own_pixels).any()


# --- from elsewhere -----------------------------------------------------------------------------------


def rows(first: int, count: int) -> list[FrameRow]:
    return [FrameRow(shot=1001 + i, timeline=first + i, source=i, rig=1) for i in range(count)]


def halves(frame: int) -> np.ndarray:
    """Black and white halves of a wide picture between blue bars, and a red bar that says which frame it is."""
    picture = np.zeros((48, 80, 3), np.uint8)
    picture[:, :16] = picture[:, 64:] = 0, 0, 255
    picture[:, 40:64] = 255
    picture[:4, 16 : 16 + 4 * (frame + 1)] = 255, 0, 0
    return picture


def test_a_performance_strip_gives_its_middle_square(
    edit: bpy.types.Scene, film: Callable[..., timeline.Strip], tmp_path: Path
) -> None:
    strip = film("actor", halves, 4, first=5)
    face.check_strip(strip, strip)
    files = list(face.write_strip(edit, strip, rows(6, 2), tmp_path / "face"))
    assert [file.name for file in files] == ["1001.png", "1002.png"]
    for number, file in enumerate(files, start=1):
        picture = read_png(file)
        assert picture.shape == (512, 512, 3)
        assert (picture[100:, :240] == 0).all()
        assert (picture[100:, 272:] == 255).all()
        red = (picture[10] == [255, 0, 0]).all(axis=1).sum()
        assert red == pytest.approx((number + 1) * 4 * 512 / 48, abs=12)


def test_a_performance_that_ends_before_the_plate_is_refused(
    edit: bpy.types.Scene, film: Callable[..., timeline.Strip]
) -> None:
    plate, performance = film("plate", halves, 6), film("actor", halves, 4)
    with pytest.raises(BadInput, match="the performance 'actor' covers frames"):
        face.check_strip(performance, plate)
    with pytest.raises(BadInput, match="no strip with the performance"):
        face.check_strip(None, plate)


def test_a_still_expression_is_the_same_picture_in_every_frame(tmp_path: Path) -> None:
    image = bpy.data.images.load(str(write_png(tmp_path / "smile.png", halves(0))))
    face.check_still(image)
    files = list(face.write_still(image, rows(1, 3), tmp_path / "face"))
    assert [file.name for file in files] == ["1001.png", "1002.png", "1003.png"]
    assert len({file.read_bytes() for file in files}) == 1
    picture = read_png(files[0])
    assert picture.shape == (512, 512, 3)
    assert (picture[100:, 272:] == 255).all()
    assert [each.name for each in bpy.data.images] == ["smile.png"]


def test_an_expression_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    image = bpy.data.images.load(str(write_png(tmp_path / "smile.png", halves(0))))
    (tmp_path / "smile.png").unlink()
    for given in (None, image):
        with pytest.raises(BadInput, match="expression"):
            face.check_still(given)
