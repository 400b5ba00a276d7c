"""Keypoints lie where Blender itself says that the rig's bones are seen."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view

from wan_animate_blender import armature, lens, pose, rigs, wire
from wan_animate_blender.rigs import anatomy
from wan_animate_blender.wire import BadInput

WIDTH, HEIGHT = 320, 192


@pytest.fixture
def view(edit: bpy.types.Scene, metarig: bpy.types.Object, camera: bpy.types.Object) -> pose.View:
    edit.render.resolution_x, edit.render.resolution_y = WIDTH, HEIGHT
    return pose.View(edit, metarig, None, WIDTH, HEIGHT)


def as_blender_says(view: pose.View, time: float) -> Iterator[tuple[float, float]]:
    """Pixels of the 133 points of the metarig by Blender's own functions, one bone at a time."""
    scene = view.scene
    scene.frame_set(math.floor(time), subframe=time % 1)
    fit = armature.fit(view.rig)
    for point in rigs.ORDER:
        spot = fit.spot(point)
        bone = view.rig.pose.bones[spot.bone]
        place = view.rig.matrix_world @ bone.head.lerp(bone.tail, spot.along)
        x, y, _ = world_to_camera_view(scene, scene.camera, place)
        yield x * WIDTH, (1 - y) * HEIGHT


def perspective(data: bpy.types.Camera, render: bpy.types.RenderSettings) -> None:
    pass


def shifted(data: bpy.types.Camera, render: bpy.types.RenderSettings) -> None:
    data.shift_x, data.shift_y, data.sensor_fit = 0.13, -0.07, "VERTICAL"


def orthographic(data: bpy.types.Camera, render: bpy.types.RenderSettings) -> None:
    data.type, data.ortho_scale, data.shift_y = "ORTHO", 4.0, 0.1


def anamorphic(data: bpy.types.Camera, render: bpy.types.RenderSettings) -> None:
    render.pixel_aspect_x, render.resolution_percentage = 2.0, 50


def everything(data: bpy.types.Camera, render: bpy.types.RenderSettings) -> None:
    """A tall film in a wide picture, shifted, zooming, with pixels higher than wide, previewed at a third."""
    data.sensor_fit, data.sensor_width, data.sensor_height = "VERTICAL", 20.0, 31.0
    data.shift_x, data.shift_y = -0.2, 0.15
    render.pixel_aspect_y, render.resolution_percentage = 1.4, 33
    for frame, length in ((1, 24.0), (25, 40.0)):
        data.lens = length
        data.keyframe_insert("lens", frame=frame)


@pytest.mark.parametrize("change", [perspective, shifted, orthographic, anamorphic, everything])
def test_keypoints_of_a_moving_rig_equal_world_to_camera_view(view: pose.View, change: object) -> None:
    change(view.scene.camera.data, view.scene.render)  # type: ignore[operator]
    times = [1.0, 7.25, 25.0]
    for time, found in zip(times, list(pose.keypoints(view, times)), strict=True):
        expected = np.array(list(as_blender_says(view, time)))
        assert found.shape == (133, 3)
        assert found.dtype == np.float32
        assert np.abs(found[:, :2] - expected).max() < 0.01


@pytest.mark.parametrize("kind", ["polynomial", "division", "nuke", "brown"])
def test_keypoints_lie_where_the_lens_bends_them(view: pose.View, kind: str) -> None:
    """`Lens.distort` is held to Blender's node in test_lens.py."""
    numbers = (0.3, -0.1, 0.02, 0.01, 0.01, 0.02)[: wire.COEFFICIENTS[wire.LensKind(kind)]]
    message = wire.Lens(
        kind=wire.LensKind(kind), width=WIDTH * 2, height=HEIGHT * 2, focal=500.0, principal=(330, 180),
        coefficients=numbers,
    )  # fmt: skip
    bent = dataclasses.replace(view, lens=lens.from_message(message, WIDTH, HEIGHT))
    (found,) = pose.keypoints(bent, [7.25])
    straight = np.array(list(as_blender_says(view, 7.25)))
    expected = bent.lens.distort(straight)
    assert np.abs(expected - straight).max() > 0.5
    assert np.abs(found[:, :2] - expected).max() < 0.01


def test_confidence_ends_at_the_border_of_the_bent_plate(view: pose.View) -> None:
    """A lens that draws the picture together shows more than a straight one would."""
    message = wire.Lens(
        kind=wire.LensKind.DIVISION, width=WIDTH, height=HEIGHT, focal=200.0, principal=(160, 96),
        coefficients=(0.6, 0.0),
    )  # fmt: skip
    view.rig.animation_data_clear()
    view.rig.location.x = 2.3
    shown = []
    for each in (None, lens.from_message(message, WIDTH, HEIGHT)):
        (points,) = pose.keypoints(dataclasses.replace(view, lens=each), [1.0])
        shown.append((points[:, 2] > 0).sum())
    assert shown[0] < shown[1]


def test_the_scene_is_back_at_its_frame_afterwards(view: pose.View) -> None:
    view.scene.frame_set(5, subframe=0.5)
    place = view.rig.matrix_world.copy()
    points = pose.keypoints(view, [20.0, 21.0])
    next(points)
    points.close()
    assert (view.scene.frame_current, view.scene.frame_subframe) == (5, 0.5)
    assert view.rig.matrix_world == place


def test_points_outside_keep_their_place_without_confidence(view: pose.View) -> None:
    view.rig.animation_data_clear()
    view.rig.location.x = 2.7
    (points,) = pose.keypoints(view, [1.0])
    outside = (points[:, 0] < 0) | (points[:, 0] > WIDTH) | (points[:, 1] < 0) | (points[:, 1] > HEIGHT)
    assert 20 < outside.sum() < 133
    assert (points[outside, 2] == 0).all()
    assert (points[~outside, 2] == 1).all()
    assert np.isfinite(points).all()


def test_points_behind_the_camera_are_nowhere(view: pose.View) -> None:
    view.rig.animation_data_clear()
    view.rig.location = 0, -9, 0
    (points,) = pose.keypoints(view, [1.0])
    assert np.isnan(points[:, :2]).all()
    assert (points[:, 2] == 0).all()


def test_cameras_bound_to_markers_take_turns(view: pose.View) -> None:
    scene, second = view.scene, view.scene.camera.copy()
    scene.collection.objects.link(second)
    second.location.x += 1
    for frame, camera in ((1, scene.camera), (10, second)):
        scene.timeline_markers.new("cut", frame=frame).camera = camera
    for time, found in zip((9.0, 10.0), list(pose.keypoints(view, [9.0, 10.0])), strict=True):
        assert np.abs(found[:, :2] - list(as_blender_says(view, time))).max() < 0.01
    assert scene.camera == second


def test_a_rig_in_another_scene_is_seen_at_that_scenes_time(view: pose.View) -> None:
    (expected,) = pose.keypoints(view, [13.0])
    bpy.context.window.scene = bpy.data.scenes.new("edit")
    (found,) = pose.keypoints(view, [13.0])
    assert np.array_equal(found, expected)


def test_a_generic_head_is_the_metarigs_own(metarig: bpy.types.Object) -> None:
    bones = metarig.data.bones
    fit = armature.fit(metarig)
    head = bones["spine.006"]
    for point, (left, up, forward) in anatomy.head_points().items():
        bone = bones[fit.spots[point].bone]
        own = bone.head_local.lerp(bone.tail_local, fit.spots[point].along)
        generic = np.array(head.head_local) + np.array([left, -forward, up]) * head.length
        assert np.abs(generic - own).max() < 0.006 * head.length, point


def test_a_rig_without_a_face_gets_a_likely_one(view: pose.View) -> None:
    (known,) = pose.keypoints(view, [3.0])
    bpy.context.view_layer.objects.active = view.rig
    bpy.ops.object.mode_set(mode="EDIT")
    editable = view.rig.data.edit_bones
    for bone in [b for b in editable if "face" in [p.name for p in b.parent_recursive] or b.name.startswith("heel")]:
        editable.remove(bone)
    bpy.ops.object.mode_set(mode="OBJECT")
    (guessed,) = pose.keypoints(view, [3.0])
    assert np.abs(guessed[:, :2] - known[:, :2]).max() < 1.0
    assert guessed[5:17, 2].min() == 1.0
    assert (guessed[:5, 2] == np.float32(anatomy.DERIVED)).all()
    assert (guessed[23:91, 2] == np.float32(anatomy.DERIVED_FACE)).all()


# --- what cannot be read --------------------------------------------------------------------------


def test_a_rig_that_no_map_fits_is_refused(view: pose.View) -> None:
    for bone in view.rig.data.bones:
        bone.name = "x"
    bpy.context.view_layer.objects.active = view.rig
    bpy.ops.object.mode_set(mode="EDIT")
    for bone in view.rig.data.edit_bones:
        bone.parent = None
    bpy.ops.object.mode_set(mode="OBJECT")
    with pytest.raises(BadInput, match=r"no bone map fits the rig 'metarig': the best one, guessed, finds 0 of 12"):
        pose.check(view)


def test_a_mesh_is_no_rig(view: pose.View) -> None:
    bpy.ops.mesh.primitive_cube_add()
    with pytest.raises(BadInput, match="'Cube' is a mesh, not a rig; choose an armature"):
        pose.check(pose.View(view.scene, bpy.context.object, None, WIDTH, HEIGHT))


def test_a_rig_of_another_scene_is_refused(view: pose.View) -> None:
    other = bpy.data.scenes.new("other")
    with pytest.raises(BadInput, match="the rig 'metarig' is not in the scene 'other'"):
        pose.check(pose.View(other, view.rig, view.scene.camera, WIDTH, HEIGHT))


def test_a_scene_without_camera_is_refused(view: pose.View) -> None:
    view.scene.camera = None
    with pytest.raises(BadInput, match="the scene 'Scene' has no camera; add the one that filmed the plate"):
        pose.check(view)


def test_a_panoramic_camera_is_refused(view: pose.View) -> None:
    view.scene.camera.data.type = "PANO"
    with pytest.raises(BadInput, match="'camera' is a pano, expected a perspective or orthographic camera"):
        pose.check(view)
