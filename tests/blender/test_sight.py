"""What lies over a frame of the edit is what the export would say of it, and looking at it changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from footage import noise
from tracked import shoot, solve, solved, track

from wan_animate_blender import armature, clip, commission, pose, rigs, sight, timeline
from wan_animate_blender.request import request
from wan_animate_blender.rigs import assignment
from wan_animate_blender.wire import BadInput


@pytest.fixture
def cut(
    addon: None, edit: bpy.types.Scene, film: Callable[..., Any], metarig: bpy.types.Object, camera: bpy.types.Object
) -> Any:
    """A strip from frame 10 on, moved by the metarig of the same scene, whose frame 5 is the footage's first."""
    strip = film("plate", lambda i: noise(i, 160, 96), frames=12, first=10)
    strip.transform.offset_x, strip.transform.scale_x = 7, 0.4
    person = strip.wan_animate.add_person()
    person.rig, person.use_rig_start, person.rig_start = metarig, True, 5
    return strip


def look(edit: bpy.types.Scene, strip: Any) -> np.ndarray:
    asked = sight.moment(edit, strip)
    with sight.evaluated(asked, whole=False) as view:
        return sight.keypoints(asked, view)


def exported(edit: bpy.types.Scene, strip: Any, frame: int) -> np.ndarray:
    """What the shot's pose.npz says, on the canvas."""
    asked = request(edit, strip, Path())
    rows, _, _ = commission.frame_table(asked)
    (row,) = (row for row in rows if row.timeline == frame)
    (points,) = pose.keypoints(commission.view(asked), [row.rig])
    matrix = sight.moment(edit, strip).matrix
    homogeneous = np.c_[points[:, :2], np.ones(133)] @ matrix.T
    return np.c_[homogeneous[:, :2], points[:, 2]]


def everything() -> dict[str, int]:
    names = ("scenes", "objects", "meshes", "cameras", "collections", "images", "armatures", "actions")
    return {name: len(getattr(bpy.data, name)) for name in names}


def test_the_skeleton_is_that_of_the_export(edit: bpy.types.Scene, cut: Any) -> None:
    for frame in (10, 17, 21):
        expected = exported(edit, cut, frame)
        edit.frame_set(frame)
        assert np.abs(look(edit, cut) - expected).max() < 1e-3


def test_looking_leaves_the_scene_as_it_is(edit: bpy.types.Scene, cut: Any, metarig: bpy.types.Object) -> None:
    """A pose without a key would be lost by going to another frame and back."""
    edit.frame_set(14)
    metarig.pose.bones["forearm.R"].rotation_quaternion = (0.5, 0.5, 0.5, 0.5)
    metarig.location.x = 0.123
    edit.view_layers[0].update()
    before, frames = everything(), []
    bpy.app.handlers.frame_change_post.append(lambda scene, _: frames.append(scene.name))
    look(edit, cut)
    assert edit.frame_current == 14
    assert tuple(metarig.pose.bones["forearm.R"].rotation_quaternion) == (0.5, 0.5, 0.5, 0.5)
    assert metarig.location.x == pytest.approx(0.123)
    assert everything() == before
    assert edit.name not in frames


def test_where_the_rig_stands_at_that_time_its_unkeyed_pose_is_seen(
    edit: bpy.types.Scene, cut: Any, metarig: bpy.types.Object
) -> None:
    cut.wan_animate.person.rig_time = "timeline"
    edit.frame_set(12)
    keyed = look(edit, cut)
    metarig.location.z += 0.3
    edit.view_layers[0].update()
    assert sight.moment(edit, cut).is_now
    assert (keyed[:, 1] - look(edit, cut)[:, 1]).min() > 1


def test_a_rig_in_a_scene_that_nobody_looks_at_is_seen(
    edit: bpy.types.Scene, cut: Any, film: Callable[..., Any]
) -> None:
    expected = exported(edit, cut, 17)
    other = bpy.data.scenes.new("other edit")
    other.render.resolution_x, other.render.resolution_y = 80, 48
    strip = timeline.new_image_sequence(
        other.sequence_editor_create(), "plate", [Path(cut.directory, each.filename) for each in cut.elements], 10, 1
    )
    strip.transform.offset_x, strip.transform.scale_x = 7, 0.4
    person = strip.wan_animate.add_person()
    person.rig, person.use_rig_start, person.rig_start = cut.wan_animate.person.rig, True, 5
    if bpy.app.version >= (4, 5, 0):  # the wheel of 4.2 was once seen to crash in this assignment
        bpy.context.window.scene = other
    other.frame_set(17)
    assert np.abs(look(other, strip) - expected).max() < 1e-3
    assert edit.frame_current != 12


def test_a_rig_is_bound_anew_only_when_it_or_its_assignment_changes(edit: bpy.types.Scene, cut: Any) -> None:
    first = sight.moment(edit, cut).binding
    assert sight.moment(edit, cut).binding is first
    rig = cut.wan_animate.person.rig
    cut.wan_animate.person.bones = assignment.changed("", armature.key(rig), {"nose": rigs.Spot("spine.006", 1.0)})
    assert sight.moment(edit, cut).binding is not first


def test_what_cannot_be_seen_says_why(edit: bpy.types.Scene, cut: Any) -> None:
    edit.camera = None
    edit.frame_set(17)
    with pytest.raises(BadInput, match="has no camera"):
        look(edit, cut)
    assert ".wan_animate" not in bpy.data.scenes
    cut.wan_animate.person.rig = None
    with pytest.raises(BadInput, match="no rig is chosen"):
        look(edit, cut)


# --- the wipe -------------------------------------------------------------------------------------


@pytest.fixture
def box(edit: bpy.types.Scene, cut: Any) -> Iterator[bpy.types.Object]:
    bpy.data.objects["head"].hide_render = True
    bpy.ops.mesh.primitive_cube_add(size=0.5, location=(0.4, 0, 1))
    yield bpy.context.object


def test_the_edges_of_the_set_lie_where_the_camera_sees_them(
    edit: bpy.types.Scene, cut: Any, box: bpy.types.Object
) -> None:
    edit.frame_set(12)
    asked = sight.moment(edit, cut)
    with sight.evaluated(asked, whole=True) as view:
        seen = sight.stage(asked, view, None)
    assert seen.edges.shape == (12, 2, 2)
    corners = np.array([[*(box.matrix_world @ vertex.co), 1.0] for vertex in box.data.vertices])
    expected = sight.to_canvas(pose.project(asked.view, edit.camera, corners)[:, :2], asked.matrix)
    found = np.unique(np.round(seen.edges.reshape(-1, 2), 3), axis=0)
    assert np.abs(found - np.unique(np.round(expected, 3), axis=0)).max() < 0.01


def test_large_sets_are_thinned_out(
    edit: bpy.types.Scene, cut: Any, box: bpy.types.Object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sight, "MOST_EDGES", 100)
    asked = sight.moment(edit, cut)
    with sight.evaluated(asked, whole=True) as view:
        assert 0 < len(sight.stage(asked, view, None).edges) <= 100


def test_tracks_lie_over_their_bundles_where_the_camera_locks(
    addon: None, edit: bpy.types.Scene, metarig: bpy.types.Object, tmp_path: Path
) -> None:
    files = shoot(tmp_path / "plate")
    edit.render.resolution_x, edit.render.resolution_y = 320, 180
    strip = timeline.new_image_sequence(edit.sequence_editor, "plate", files, 10, 1)
    footage = solved(files[0], "BROWN", focal=300.0)
    track(footage)
    solve(footage)
    ours = strip.wan_animate
    ours.add_person().rig = metarig
    ours.lens, ours.lens_clip, ours.camera = "CLIP", footage, clip.camera(footage, edit, aspect=True)
    edit.frame_set(18)
    asked = sight.moment(edit, strip)
    with sight.evaluated(asked, whole=True) as view:
        seen = sight.stage(asked, view, footage)
    assert len(seen.markers) > 20
    assert np.abs(seen.markers - seen.bundles).max() < 0.05
    footage.tracking.camera.k1 = ours.camera.data.shift_x = 0.01  # it does not lock any more
    with sight.evaluated(asked, whole=True) as view:
        assert np.abs(sight.stage(asked, view, footage).bundles - seen.markers).max() > 2


def test_lines_end_at_the_divider() -> None:
    lines = np.array([[(0, 0), (10, 10)], [(8, 0), (4, 4)], [(1, 1), (2, 2)], [(6, 0), (9, 0)]], np.float64)
    assert sight.left_of(lines, 5.0).tolist() == [[[0, 0], [5, 5]], [[5, 3], [4, 4]], [[1, 1], [2, 2]]]
