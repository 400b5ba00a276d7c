"""Mattes against shapes whose area is known, and each matte that does not fit the plate against its sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from footage import noise, read_png

from wan_animate_blender import matte, plate, pose, timeline
from wan_animate_blender.wire import BadInput, FrameRow, RasterKind

Film = Callable[..., Any]
WIDTH, HEIGHT = 80, 48


@pytest.fixture
def strip(film: Film) -> Any:
    return film("plate", frames=4)


@pytest.fixture
def place(edit: bpy.types.Scene, strip: Any) -> matte.Place:
    """A plate of 80×48 pixels, filmed by an orthographic camera that sees 8 units from left to right, down −z."""
    lens = bpy.data.cameras.new("camera")
    camera = bpy.data.objects.new("camera", lens)
    rig = bpy.data.objects.new("rig", bpy.data.armatures.new("rig"))
    for thing in (camera, rig):
        edit.collection.objects.link(thing)
    lens.type, lens.ortho_scale, camera.location.z = "ORTHO", 8.0, 10.0
    edit.camera = camera
    edit.view_layers[0].update()
    return matte.Place(edit, plate.raster(edit, strip, RasterKind.SOURCE), pose.View(edit, rig, None, WIDTH, HEIGHT))


def square(size: float, x: float, z: float, parent: bpy.types.Object | None = None) -> bpy.types.Object:
    """A square that lies across the view; one unit is ten pixels."""
    bpy.ops.mesh.primitive_plane_add(size=size, location=(x, 0, z))
    bpy.context.object.parent = parent
    return bpy.context.object


def rows(*times: float) -> list[FrameRow]:
    return [FrameRow(shot=1001 + i, timeline=10.0 + i, source=float(i), rig=t) for i, t in enumerate(times)]


def written(source: matte.Matte, place: matte.Place, tmp_path: Path, *times: float) -> list[np.ndarray]:
    files = matte.write(source, place, rows(*times), tmp_path / "matte")
    return [read_png(file)[:, :, 0] for file in files]


def covered(picture: np.ndarray) -> tuple[int, int, int, int]:
    """Columns and rows, first and one after the last, that are fully white."""
    ys, xs = np.nonzero(picture == 255)
    return int(xs.min()), int(xs.max()) + 1, int(ys.min()), int(ys.max()) + 1


def test_what_hangs_on_the_rig_is_white_and_what_is_before_it_cuts_a_hole(place: matte.Place, tmp_path: Path) -> None:
    square(2.0, 0.0, 0.0, parent=place.view.rig)
    square(1.0, 1.0, 5.0)
    square(1.0, -3.0, 0.0)
    (picture,) = written(matte.FromRig(), place, tmp_path, 1)
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[14:34, 30:50] = 255
    expected[19:29, 45:55] = 0
    assert np.array_equal(picture, expected)


def test_an_edge_through_a_pixel_covers_its_part_of_it(place: matte.Place, tmp_path: Path) -> None:
    square(2.0, 0.04, 0.0, parent=place.view.rig)
    (picture,) = written(matte.FromRig(), place, tmp_path, 1)
    assert covered(picture) == (31, 50, 14, 34)
    assert np.abs(picture[20, [30, 50]] / 255 - [0.6, 0.4]).max() < 0.1
    assert abs(picture.sum() / 255 - 400) < 5


def test_a_rigs_meshes_are_those_that_it_deforms_or_carries(place: matte.Place, tmp_path: Path) -> None:
    deformed, hat = square(1.0, -2.0, 0.0), square(1.0, 2.0, 0.0)
    deformed.modifiers.new("rig", "ARMATURE").object = place.view.rig
    hat.parent = deformed
    hat.location.x = 4.0
    (picture,) = written(matte.FromRig(), place, tmp_path, 1)
    assert set(np.flatnonzero(picture[24] == 255)) == {*range(15, 25), *range(55, 65)}


def test_a_collection_moves_with_its_scene_between_frames_too(place: matte.Place, tmp_path: Path) -> None:
    moving = square(1.0, 0.0, 0.0)
    people = bpy.data.collections.new("people")
    place.scene.collection.children.link(people)
    people.objects.link(moving)
    place.scene.collection.objects.unlink(moving)
    for frame, x in ((1, -2.0), (2, 2.0)):
        moving.location.x = x
        moving.keyframe_insert("location", frame=frame)
    pictures = written(matte.FromCollection(people), place, tmp_path, 1, 1.5, 2)
    assert [covered(picture)[:2] for picture in pictures] == [(15, 25), (35, 45), (55, 65)]


def test_an_animated_mask_is_read_at_the_footages_frames(place: matte.Place, tmp_path: Path) -> None:
    mask = outline(mask_frames=(1, 2))
    mask.layers[0].keyframe_insert("alpha", frame=1)
    mask.layers[0].alpha = 0.0
    mask.layers[0].keyframe_insert("alpha", frame=3)
    pictures = written(matte.FromMask(mask), place, tmp_path, 1, 2, 3)
    assert covered(pictures[0]) == (20, 40, 16, 32)
    assert abs(pictures[0].sum() / 255 - 20 * 16) < 20
    assert 100 < pictures[1][24, 30] < 155
    assert not pictures[2].any()
    assert (list(bpy.data.masks), mask.frame_end) == ([mask], 2)


def outline(mask_frames: tuple[int, int]) -> bpy.types.Mask:
    """A mask of 20×16 pixels, its left upper corner at (20, 16)."""
    mask = bpy.data.masks.new("outline")
    mask.frame_start, mask.frame_end = mask_frames
    spline = mask.layers.new().splines.new()
    spline.points.add(3)
    spline.use_cyclic = True
    # Masks measure the picture in a square of its longer side: 80 of 48 rows begin at 0.2.
    for point, place in zip(spline.points, ((0.25, 0.4), (0.5, 0.4), (0.5, 0.6), (0.25, 0.6)), strict=True):
        point.co = place
        # Straight edges. Left to themselves, the handles of points that a script adds are not always set (4.2).
        point.handle_left_type = point.handle_right_type = "VECTOR"
        point.handle_left_type = point.handle_right_type = "VECTOR"
    return mask


def test_a_strip_gives_its_brightness_at_the_same_frames(place: matte.Place, film: Film, tmp_path: Path) -> None:
    levels = film("levels", lambda i: np.full((48, 80, 3), 85 * i, np.uint8), frames=4, channel=2)
    pictures = written(matte.FromStrip(levels), place, tmp_path, 1, 2, 3, 4)
    assert [set(picture.flat) for picture in pictures] == [{0}, {85}, {170}, {255}]


def test_nothing_is_changed_or_left_behind(place: matte.Place, tmp_path: Path) -> None:
    mesh = square(2.0, 0.0, 0.0, parent=place.view.rig)
    other = square(1.0, 1.0, 5.0)
    place.scene.frame_set(7)
    collections, scenes = list(mesh.users_collection), len(bpy.data.scenes)
    written(matte.FromRig(), place, tmp_path, 1, 2)
    assert place.scene.frame_current == 7
    assert not mesh.is_holdout and not other.is_holdout
    assert (list(mesh.users_collection), len(bpy.data.scenes)) == (collections, scenes)
    assert not [m for m in bpy.data.materials if m.name.startswith(".wan_animate")]
    assert not [c for c in bpy.data.collections if c.name.startswith(".wan_animate")]


# --- what does not fit ----------------------------------------------------------------------------


def test_a_rig_without_meshes_gives_no_matte(place: matte.Place, strip: Any) -> None:
    hidden = square(2.0, 0.0, 0.0, parent=place.view.rig)
    hidden.hide_render = True
    with pytest.raises(BadInput, match=r"the rig 'rig' has nothing in 'Scene' that is rendered.*choose a mask"):
        matte.check(matte.FromRig(), place, strip)


def test_an_empty_collection_gives_no_matte(place: matte.Place, strip: Any) -> None:
    with pytest.raises(BadInput, match="the collection 'nobody' has nothing in 'Scene' that is rendered"):
        matte.check(matte.FromCollection(bpy.data.collections.new("nobody")), place, strip)


def test_an_empty_mask_gives_no_matte(place: matte.Place, strip: Any) -> None:
    with pytest.raises(BadInput, match="the mask 'outline' is empty; draw the person's outline in it"):
        matte.check(matte.FromMask(bpy.data.masks.new("outline")), place, strip)


def test_a_matte_shorter_than_the_plate_is_refused(place: matte.Place, film: Film, strip: Any) -> None:
    short = film("short", frames=3, channel=2)
    with pytest.raises(BadInput, match="the matte 'short' covers frames 10 to 12 and the plate 'plate' 10 to 13"):
        matte.check(matte.FromStrip(short), place, strip)


def test_a_matte_of_another_size_is_refused(place: matte.Place, film: Film, strip: Any) -> None:
    large = film("large", lambda i: noise(i, 96, 48), frames=4, channel=2)
    with pytest.raises(BadInput, match="the matte 'large' is 96×48 and the plate 80×48 pixels; use a matte of"):
        matte.check(matte.FromStrip(large), place, strip)


def test_handles_end_where_the_matte_does(edit: bpy.types.Scene, film: Film) -> None:
    strip, mask = film("plate", frames=20), film("matte", frames=20, channel=2)
    timeline.set_frame_range(strip, 15, 20)
    timeline.set_frame_range(mask, 12, 21)
    assert matte.handles(matte.FromStrip(mask), edit, strip) == (5, 10)
    mask.channel, strip.channel = 3, 4
    timeline.strips(edit.sequence_editor).remove(mask)
    short = film("short", frames=8, first=13, channel=2)
    assert matte.handles(matte.FromStrip(short), edit, strip) == (2, 1)
