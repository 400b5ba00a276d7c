"""Mattes against shapes whose area is known, and each matte that does not fit the plate against its sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from footage import noise, read_png, write_png

from wan_animate_blender import grey, lens, matte, plate, pose, timeline
from wan_animate_blender.edges import Edges
from wan_animate_blender.wire import BadInput, FrameRow, Lens, LensKind, RasterKind

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
    tmp_path.mkdir(exist_ok=True)
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


FINE = 32
STEP = 1 / 16
"""As far as a pixel may be off what is covered of it."""


def disc(radius: float, x: float, y: float) -> np.ndarray:
    """How much of each pixel a disc covers, its radius and middle in pixels: float [H, W]."""
    across, down = (np.arange(WIDTH * FINE) + 0.5) / FINE, (np.arange(HEIGHT * FINE) + 0.5) / FINE
    inside = (across - x) ** 2 + (down[:, None] - y) ** 2 <= radius * radius
    return inside.reshape(HEIGHT, FINE, WIDTH, FINE).mean((1, 3))


def ball(radius: float, x: float, y: float, parent: bpy.types.Object | None = None) -> bpy.types.Object:
    """A round plate across the view; one unit is ten pixels, y points up."""
    bpy.ops.mesh.primitive_circle_add(vertices=512, radius=radius, fill_type="NGON", location=(x, y, 0))
    bpy.context.object.parent = parent
    return bpy.context.object


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (0.033, 0.021), (-0.571, 0.0487), (3.2, -1.9)])
def test_every_pixel_says_how_much_of_it_is_covered(place: matte.Place, tmp_path: Path, x: float, y: float) -> None:
    ball(1.137, x, y, parent=place.view.rig)
    (picture,) = written(matte.FromRig(), place, tmp_path, 1)
    assert np.abs(picture / 255 - disc(11.37, 40 + 10 * x, 24 - 10 * y)).max() < STEP


def test_a_hole_is_as_soft_as_what_cuts_it(place: matte.Place, tmp_path: Path) -> None:
    ball(2.0, 0.0, 0.0, parent=place.view.rig)
    ball(0.713, 0.621, 0.317).location.z = 3.0
    (picture,) = written(matte.FromRig(), place, tmp_path, 1)
    expected = disc(20, 40, 24) * (1 - disc(7.13, 46.21, 20.83))
    assert np.abs(picture / 255 - expected).max() < STEP


def test_a_film_camera_sees_the_same_square(place: matte.Place, tmp_path: Path) -> None:
    camera = place.scene.camera
    camera.data.type, camera.data.lens, camera.data.shift_x = "PERSP", 45.0, 0.1
    square(2.0, 0.04, 0.0, parent=place.view.rig)
    (picture,) = written(matte.FromRig(), place, tmp_path, 1)
    left, right = (40 + (x / 10 * 45 / 36 - 0.1) * 80 for x in (-0.96, 1.04))
    covers = np.clip(np.minimum(np.arange(80) + 1, right) - np.maximum(np.arange(80), left), 0, 1)
    assert np.abs(picture[24] / 255 - covers).max() < STEP


def test_what_moves_while_the_shutter_is_open_is_soft_when_asked(place: matte.Place, tmp_path: Path) -> None:
    moving = square(2.0, 0.0, 0.0, parent=place.view.rig)
    for frame in (0, 4):
        moving.location.x = 1.6 * (frame - 2)
        moving.keyframe_insert("location", frame=frame)
    for curve in timeline.curves(moving.animation_data):
        for key in curve.keyframe_points:
            key.interpolation = "LINEAR"
    place.scene.render.motion_blur_shutter = 0.5
    sharp = written(matte.FromRig(), place, tmp_path / "sharp", 2)[0]
    soft = written(matte.FromRig(motion_blur=True), place, tmp_path / "soft", 2)[0]
    assert set(np.unique(sharp)) == {0, 255}
    # 16 pixels a frame for half of one: each edge is 8 pixels wide, from 4 before where it is to 4 behind.
    ramp = np.clip((np.arange(80) + 0.5 - 26) / 8, 0, 1) - np.clip((np.arange(80) + 0.5 - 46) / 8, 0, 1)
    assert np.abs(soft[24] / 255 - ramp).max() < 2 * STEP
    assert np.abs(soft[15:33].mean(axis=0) / 255 - ramp).max() < STEP / 2


def test_a_frame_is_the_same_alone_and_after_others(place: matte.Place, tmp_path: Path) -> None:
    """Cycles keeps its scene from frame to frame; what appears, goes, moves or bends must be seen all the same."""
    body, front = square(2.0, 0.0, 0.0, parent=place.view.rig), square(1.0, 0.0, 4.0)
    bend = body.modifiers.new("bend", "SIMPLE_DEFORM")
    bend.deform_method, bend.deform_axis = "TAPER", "X"
    for frame, x, hidden, factor in ((1, -2.0, True, 0.0), (3, 2.0, False, 0.8)):
        front.location.x, front.hide_render, body.hide_render, bend.factor = x, hidden, not hidden, factor
        front.keyframe_insert("location", frame=frame)
        front.keyframe_insert("hide_render", frame=frame)
        bend.keyframe_insert("factor", frame=frame)
    body.hide_render = False
    times = 1, 1.75, 2.5, 3, 2
    together = written(matte.FromRig(), place, tmp_path / "all", *times)
    for number, (time, picture) in enumerate(zip(times, together, strict=True)):
        (alone,) = written(matte.FromRig(), place, tmp_path / str(number), time)
        assert np.array_equal(alone, picture), time
    assert len({picture.tobytes() for picture in together}) == len(times)


def test_what_shows_up_later_hides_or_is_seen_too(place: matte.Place, tmp_path: Path) -> None:
    shield, body = square(1.0, 0.0, 5.0), square(2.0, 0.0, 0.0, parent=place.view.rig)
    hat = square(1.0, 3.0, 0.0, parent=place.view.rig)
    for thing in (shield, hat):
        for frame, hidden in ((1, True), (2, False)):
            thing.hide_render = hidden
            thing.keyframe_insert("hide_render", frame=frame)
    place.scene.frame_set(1)
    before, after = written(matte.FromRig(), place, tmp_path, 1, 2)
    assert before.sum() / 255 == 400
    assert after.sum() / 255 == 400 - 100 + 100
    assert (after[19:29, 35:45] == 0).all()
    assert body.hide_render is False


def test_instances_hair_and_linked_things_hide_and_are_seen(place: matte.Place, tmp_path: Path) -> None:
    square(3.0, 0.0, 0.0, parent=place.view.rig)
    source = bpy.data.collections.new("source")
    bpy.ops.mesh.primitive_plane_add(size=1.0)
    bpy.context.collection.objects.unlink(linked := bpy.context.object)
    source.objects.link(linked)
    library = tmp_path / "library.blend"
    bpy.data.libraries.write(str(library), {source})
    bpy.data.batch_remove([linked, source])
    with bpy.data.libraries.load(str(library), link=True) as (_, into):
        into.collections = ["source"]
    for x, z, parent in ((0.0, 5.0, None), (3.0, 0.0, place.view.rig)):
        instance = bpy.data.objects.new("instance", None)
        instance.instance_type, instance.instance_collection = "COLLECTION", into.collections[0]
        instance.location, instance.parent = (x, 0, z), parent
        place.scene.collection.objects.link(instance)
    bpy.ops.curve.primitive_bezier_circle_add(radius=0.5, location=(-1.0, 0.0, 4.0))
    bpy.context.object.data.bevel_depth = 0.2
    (picture,) = written(matte.FromRig(), place, tmp_path, 1)
    assert (picture[20:28, 36:44] == 0).all()  # the instance in front
    assert (picture[20:28, 66:74] == 255).all()  # the instance on the rig
    assert picture[24, 25] == 0  # the curve's ring …
    assert picture[24, 30] == 255  # … and through it


def test_of_two_people_the_one_in_front_cuts_the_one_behind(place: matte.Place, tmp_path: Path) -> None:
    front = bpy.data.objects.new("front", bpy.data.armatures.new("front"))
    place.scene.collection.objects.link(front)
    square(2.0, 0.0, 0.0, parent=place.view.rig)
    square(1.0, 0.8, 4.0, parent=front)
    place.scene.view_layers[0].update()
    (behind,) = written(matte.FromRig(), place, tmp_path / "behind", 1)
    before = matte.Place(place.scene, place.raster, replace(place.view, rig=front))
    (nearer,) = written(matte.FromRig(), before, tmp_path / "nearer", 1)
    assert behind.sum() / 255 == 400 - 10 * 7
    assert nearer.sum() / 255 == 100
    assert not (behind & nearer).any()
    assert (behind | nearer).sum() / 255 == 400 + 10 * 3


def test_a_person_in_front_who_is_in_another_scene_is_refused(place: matte.Place, strip: Any) -> None:
    square(2.0, 0.0, 0.0, parent=place.view.rig)
    elsewhere = bpy.data.objects.new("front", bpy.data.armatures.new("front"))
    with pytest.raises(BadInput, match="rig 'front' of the person in front is not in the scene 'Scene'"):
        matte.check(matte.FromRig(), place, strip, front=(elsewhere,))
    place.scene.collection.objects.link(elsewhere)
    matte.check(matte.FromRig(), place, strip, front=(elsewhere,))


def test_what_the_artist_set_for_beauty_does_not_change_the_matte(place: matte.Place, tmp_path: Path) -> None:
    body, floor = square(2.0, 0.0, 0.0, parent=place.view.rig), square(6.0, 0.0, -1.0)
    (plain,) = written(matte.FromRig(), place, tmp_path / "plain", 1)
    scene, layer = place.scene, place.scene.view_layers[0]
    scene.world = bpy.data.worlds.new("white")
    scene.cycles.film_exposure, scene.view_settings.exposure, scene.render.use_freestyle = 3.0, 2.0, True
    scene.render.use_border, scene.render.border_max_x = True, 0.5
    scene.render.film_transparent = True
    layer.samples, layer.use_pass_cryptomatte_object = 1, True
    floor.is_shadow_catcher = True
    lamp = bpy.data.objects.new("lamp", bpy.data.lights.new("lamp", "AREA"))
    lamp.location.z, lamp.data.energy, lamp.data.size = 4.0, 1e5, 3.0
    scene.collection.objects.link(lamp)
    body.data.materials.append(bpy.data.materials.new("black"))
    (fancy,) = written(matte.FromRig(), place, tmp_path / "fancy", 1)
    assert np.array_equal(plain, fancy)
    assert plain.sum() / 255 == 400


def test_a_background_set_and_its_things_hide_too(place: matte.Place, tmp_path: Path) -> None:
    square(2.0, 0.0, 0.0, parent=place.view.rig)
    behind = bpy.data.scenes.new("set")
    shield = square(1.0, 0.0, 5.0)
    place.scene.collection.objects.unlink(shield)
    behind.collection.objects.link(shield)
    place.scene.background_set = behind
    (picture,) = written(matte.FromRig(), place, tmp_path, 1)
    assert picture.sum() / 255 == 300


def test_modifiers_that_only_renders_have_are_not_cut_off(place: matte.Place, tmp_path: Path) -> None:
    for shown in (False, True):
        body = square(1.0, 2.0 if shown else -2.0, 0.0, parent=place.view.rig)
        array = body.modifiers.new("array", "ARRAY")
        array.use_relative_offset, array.use_constant_offset = False, True
        array.constant_offset_displace = 0, 0.5, 0
        array.count, array.show_viewport = 2, shown
    (picture,) = written(matte.FromRig(), place, tmp_path, 1)
    assert picture.sum() / 255 == 2 * 150


def test_what_is_hidden_in_the_window_is_rendered_all_the_same(place: matte.Place, tmp_path: Path) -> None:
    square(2.0, 0.0, 0.0, parent=place.view.rig)
    hat, shield = square(1.0, 3.0, 0.0, parent=place.view.rig), square(1.0, 0.0, 5.0)
    hat.hide_set(True)
    shield.hide_viewport = True
    (picture,) = written(matte.FromRig(), place, tmp_path, 1)
    assert (picture[20:28, 66:74] == 255).all()
    assert picture.sum() / 255 == 400 + 100 - 100


def test_what_comes_in_front_later_is_cut_out_then(place: matte.Place, tmp_path: Path) -> None:
    """What is behind or beside a person is left out of the render until it may hide something."""
    square(2.0, 0.0, 0.0, parent=place.view.rig)
    for name, places in (("over", ((3.0, -9.0), (0.5, 4.0))), ("passing", ((3.0, 5.0), (-0.5, 5.0)))):
        thing = square(1.0, 0.0, 0.0)
        thing.name = name
        for frame, (x, z) in enumerate(places, start=1):
            thing.location = x, 0.0, z
            thing.keyframe_insert("location", frame=frame)
    before, after, again = written(matte.FromRig(), place, tmp_path, 1, 2, 1)
    assert before.sum() / 255 == again.sum() / 255 == 400
    assert after.sum() / 255 == 200


def test_where_nothing_is_in_the_picture_the_matte_is_black(place: matte.Place, tmp_path: Path) -> None:
    square(2.0, 30.0, 0.0, parent=place.view.rig)
    assert not written(matte.FromRig(), place, tmp_path, 1)[0].any()


def test_cameras_that_markers_switch_are_followed(place: matte.Place, tmp_path: Path) -> None:
    square(1.0, 0.0, 0.0, parent=place.view.rig)
    other = place.scene.camera.copy()
    other.location.x = 2.0
    place.scene.collection.objects.link(other)
    for frame, camera in ((1, place.scene.camera), (2, other)):
        place.scene.timeline_markers.new("cut", frame=frame).camera = camera
    pictures = written(matte.FromRig(), place, tmp_path, 1, 2)
    assert [covered(picture)[:2] for picture in pictures] == [(35, 45), (15, 25)]


def bent(coefficient: float) -> lens.Lens:
    clip = Lens(
        kind=LensKind.POLYNOMIAL, width=WIDTH, height=HEIGHT, focal=80.0, principal=(40.0, 24.0),
        coefficients=(coefficient, 0.0, 0.0),
    )  # fmt: skip
    return lens.from_message(clip, WIDTH, HEIGHT)


@pytest.mark.parametrize("coefficient", [-0.2, 0.15])
@pytest.mark.parametrize("kind", ["ORTHO", "PERSP"])
def test_through_a_lens_3d_lands_where_the_plate_shows_it(
    place: matte.Place, tmp_path: Path, coefficient: float, kind: str
) -> None:
    through = replace(place, view=replace(place.view, lens=bent(coefficient)))
    place.scene.camera.data.type, place.scene.camera.data.lens = kind, 45.0
    square(1.2, 3.0, 0.0, parent=place.view.rig).location.y = 1.2
    (picture,) = written(matte.FromRig(), through, tmp_path, 1)
    wide = 1.0 if kind == "ORTHO" else 10 * 36 / 45 / 8  # units that 8 units of the orthographic view are
    y, x = np.mgrid[: HEIGHT * 8, : WIDTH * 8] / 8 + 1 / 16
    straight = bent(coefficient).undistort(np.stack([x.ravel(), y.ravel()], axis=1)) - (40, 24)
    inside = (np.abs(straight * (0.1 * wide, -0.1 * wide) - (3.0, 1.2)) < 0.6).all(axis=1)
    expected = inside.reshape(HEIGHT, 8, WIDTH, 8).mean((1, 3))
    assert np.abs(picture / 255 - expected).max() < 0.3  # an edge is bent after it was made soft
    assert np.abs(picture / 255 - expected).mean() < 0.004
    assert abs(picture.sum() / 255 - expected.sum()) < 1.5


def test_a_lens_and_motion_blur_go_together(place: matte.Place, tmp_path: Path) -> None:
    through = replace(place, view=replace(place.view, lens=bent(-0.05)))
    camera = place.scene.camera
    for frame in (0, 4):
        camera.location.x = 0.8 * (frame - 2)
        camera.keyframe_insert("location", frame=frame)
    for curve in timeline.curves(camera.animation_data):
        for key in curve.keyframe_points:
            key.interpolation = "LINEAR"
    place.scene.render.motion_blur_shutter = 1.0
    square(2.0, 0.0, 0.0, parent=place.view.rig)
    (soft,) = written(matte.FromRig(motion_blur=True), through, tmp_path, 2)
    slope = np.diff(soft[20:28, 27:34].mean(axis=0) / 255)
    assert np.abs(slope - 1 / 8).max() < 0.03  # the camera moves by 8 pixels
    assert set(soft[24, :24]) | set(soft[24, 56:]) == {0}
    assert set(soft[24, 36:45]) == {255}


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


def test_no_pixel_of_a_mask_is_left_to_chance(place: matte.Place, tmp_path: Path) -> None:
    """Blender 4.2 and 4.5 do not write the last pixel of a mask strip, which then shows what the memory held before."""
    for number in range(12):
        for picture in written(matte.FromMask(outline((1, 9))), place, tmp_path / str(number), 1, 2, 3, 4, 5):
            assert covered(picture) == (20, 40, 16, 32)
            assert picture[0, -1] == 0


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
        # Straight edges.
        point.handle_left_type = point.handle_right_type = "FREE"
        point.handle_left = point.handle_right = place
    return mask


def test_a_strip_gives_its_brightness_at_the_same_frames(place: matte.Place, film: Film, tmp_path: Path) -> None:
    levels = film("levels", lambda i: np.full((48, 80, 3), 85 * i, np.uint8), frames=4, channel=2)
    pictures = written(matte.FromStrip(levels), place, tmp_path, 1, 2, 3, 4)
    assert [set(picture.flat) for picture in pictures] == [{0}, {85}, {170}, {255}]


def test_a_mask_strip_of_the_edit_gives_its_white(place: matte.Place, strip: Any, tmp_path: Path) -> None:
    editor = place.scene.sequence_editor
    drawn = timeline.strips(editor).new_mask(name="drawn", mask=outline((1, 9)), channel=3, frame_start=8)
    source = matte.FromStrip(drawn)
    matte.check(source, place, strip)
    assert covered(written(source, place, tmp_path, 1, 2)[1]) == (20, 40, 16, 32)


def see_through(number: int) -> np.ndarray:
    """Noise whose opacity is a ramp that begins at another level in each picture."""
    ramp = (np.arange(80) * 3 + number) % 256
    alpha = np.broadcast_to(ramp.astype(np.uint8)[None, :, None], (48, 80, 1))
    return np.concatenate([noise(number), alpha], axis=2)


@pytest.mark.parametrize("kind", [RasterKind.SOURCE, RasterKind.CANVAS])
def test_a_strips_alpha_comes_out_to_the_level(
    edit: bpy.types.Scene, place: matte.Place, film: Film, tmp_path: Path, kind: RasterKind
) -> None:
    own = film("cut out", see_through, frames=4, channel=4)
    its = matte.Place(edit, plate.raster(edit, own, kind), place.view)
    source = matte.FromStrip(own, matte.Channel.ALPHA)
    matte.check(source, its, own)
    for number, picture in enumerate(written(source, its, tmp_path, 1, 2, 3)):
        assert np.array_equal(picture, see_through(number)[:, :, 3])


def test_a_strip_without_transparency_is_refused_as_alpha(place: matte.Place, strip: Any, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"the strip 'plate' is opaque in every pixel of every frame.*its brightness"):
        written(matte.FromStrip(strip, matte.Channel.ALPHA), place, tmp_path, 1, 2)


def test_edges_are_moved_and_softened_whatever_the_matte_comes_from(
    place: matte.Place, film: Film, tmp_path: Path
) -> None:
    square(2.0, 0.0, 0.0, parent=place.view.rig)
    edges = Edges(grow=3.5, feather=4.0)
    levels = film("levels", lambda i: np.repeat(see_through(i)[:, :, 3:], 3, axis=2), frames=2, channel=2)
    cut_out = film("cut out", see_through, frames=2, channel=3)
    mask = matte.FromMask(outline((1, 2)))
    for number, source in enumerate((
        matte.FromRig(), mask, matte.FromStrip(levels), matte.FromStrip(cut_out, matte.Channel.ALPHA),
    )):  # fmt: skip
        plain = written(source, place, tmp_path / f"plain{number}", 1, 2)
        files = list(matte.write(source, place, rows(1, 2), tmp_path / f"moved{number}", edges))
        for file, before in zip(files, plain, strict=True):
            after = grey.read(file)
            assert np.array_equal(after, edges.apply(before))
            if set(np.unique(before)) == {0, 255}:  # in numpy 1 and 2 alike
                assert (after[before == 255] > 230).all()
                assert after.sum() > before.sum()
            assert file.read_bytes()[24:26] == b"\x08\x00"  # 8 bits of grey


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_grey_pictures_are_read_as_they_are_written(tmp_path: Path, depth: type) -> None:
    numbers = np.random.default_rng(1).integers(0, np.iinfo(depth).max, (33, 21), depth, endpoint=True)
    ours = grey.write(tmp_path / "ours.png", numbers)
    assert np.array_equal(grey.read(ours), numbers)
    assert grey.read(ours).dtype == depth
    assert np.array_equal(grey.read(write_png(tmp_path / "theirs.png", numbers)), numbers)


def test_nothing_is_changed_or_left_behind(place: matte.Place, tmp_path: Path) -> None:
    mesh = square(2.0, 0.0, 0.0, parent=place.view.rig)
    other = square(1.0, 1.0, 5.0)
    place.scene.frame_set(7)
    collections, scenes = list(mesh.users_collection), len(bpy.data.scenes)
    written(matte.FromRig(), place, tmp_path, 1, 2)
    assert place.scene.frame_current == 7
    assert not mesh.is_holdout and not other.is_holdout
    assert (list(mesh.users_collection), len(bpy.data.scenes)) == (collections, scenes)
    for kind in ("materials", "collections", "cameras", "objects", "scenes", "images", "worlds"):
        assert not [thing for thing in getattr(bpy.data, kind) if thing.name.startswith(".wan_animate")], kind
    assert [layer.name for layer in place.scene.view_layers] == ["ViewLayer"]


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
