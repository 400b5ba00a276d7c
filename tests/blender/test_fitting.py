"""The character's build: taken from another rig or set by hand, seen over the character's picture, exported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from armatures import build, move
from panel import draw
from people import BODY, FAMILIES, Stick

from wan_animate_blender import armature, commission, export, figure, fitting, pose, preferences, rigs
from wan_animate_blender.request import request
from wan_animate_blender.retarget import Retarget
from wan_animate_blender.wire import skeleton

pytestmark = pytest.mark.usefixtures("addon")

WIDTH, HEIGHT = 80, 48
AT = {point: i for i, point in enumerate(rigs.ORDER)}


@pytest.fixture
def person(edit: bpy.types.Scene, film: Callable[..., Any], camera: bpy.types.Object, tmp_path: Path) -> Any:
    """The one person of the active strip, on a moving Mixamo rig that the camera sees whole."""
    camera.location, camera.rotation_euler = (0.0, -5.0, 0.9), (np.pi / 2, 0.0, 0.0)
    edit.sequence_editor.active_strip = film("plate")
    person = edit.sequence_editor.active_strip.wan_animate.add_person()
    person.rig = build("Hero", FAMILIES["Mixamo"][1])
    move(person.rig)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "edit.blend"))
    edit = bpy.context.scene
    edit.frame_set(1)
    return edit.sequence_editor.active_strip.wan_animate.person


def seen() -> pose.View:
    """What an export of the active strip would look at."""
    scene = bpy.context.scene
    return commission.view(request(scene, scene.sequence_editor.active_strip, preferences.shots_folder()))


def child() -> list[Stick]:
    """A person of another build under other names: half as tall, with a large head and short legs."""
    squat = {}
    for role, (parent, head, tail) in BODY.items():
        squat[role] = parent, *(
            tuple(0.5 * (0.7 * c if i == 2 and c < 0.95 else c * (1.3 if role in ("head", "eye") and i == 0 else 1.0))
                  for i, c in enumerate(place)) for place in (head, tail)
        )  # fmt: skip
    names = {bone.name: bone for bone in FAMILIES["VRoid"][1]}
    whole = {bone.name: (bone.head, bone.tail) for bone in names.values()}
    moved = {(head, tail): squat[role][1:] for role, (_, head, tail) in BODY.items()}
    found = []
    for name, (head, tail) in whole.items():
        flipped = tuple((-x, y, z) for x, y, z in (head, tail))
        new = moved.get((head, tail)) or tuple((-x, y, z) for x, y, z in moved[flipped])
        found.append(Stick(name, names[name].parent, *new))
    return found


LIMBS = (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"), ("hand", "middle0"))


def lengths(points: np.ndarray) -> dict[str, float]:
    return {
        f"{a}-{b}.{s}": float(np.linalg.norm(points[AT[f"{a}.{s}"]] - points[AT[f"{b}.{s}"]]))
        for a, b in LIMBS
        for s in "LR"
    }


# --- taken from a rig ---------------------------------------------------------------------------------


def test_the_build_of_another_rig_is_taken_over(person: Any) -> None:
    person.proportions.rig = build("Child", child())
    assert bpy.ops.wan_animate.take_proportions() == {"FINISHED"}
    theirs = lengths(armature.at_rest(person.proportions.rig, armature.fit(person.proportions.rig)))
    for frame in (1, 13, 25):
        bpy.context.scene.frame_set(frame)
        view = seen()
        ours = lengths(pose.places(view, armature.bind(view.rig, view.fit))[:, :3])
        assert ours == pytest.approx(theirs, abs=1e-6)
    assert 0.4 < person.proportions.scale < 0.6
    assert person.proportions.thigh < 0.9 < person.proportions.upper_arm


def test_without_a_rig_to_take_from_the_button_is_grey(person: Any) -> None:
    assert not bpy.ops.wan_animate.take_proportions.poll()


def test_a_rig_that_no_map_fits_cannot_be_taken_from(person: Any) -> None:
    person.proportions.rig = build("Table", [Stick("top", "", (0, 0, 0), (0, 0, 1))])
    with pytest.raises(RuntimeError, match="no bone map fits the rig 'Table'"):
        bpy.ops.wan_animate.take_proportions()
    assert person.proportions.read() is None


def test_resetting_gives_the_rigs_own_build(person: Any) -> None:
    person.proportions.write(Retarget(scale=2.0, x=0.1, thigh=0.5))
    assert person.proportions.read() == Retarget(scale=2.0, x=person.proportions.x, thigh=0.5)
    bpy.ops.wan_animate.reset_proportions()
    assert person.proportions.read() is None


# --- as exported --------------------------------------------------------------------------------------


def test_the_rigs_own_build_leaves_every_bit_as_it_is(person: Any) -> None:
    view, times = seen(), [1.0, 8.5, 25.0]
    assert view.retarget is None
    plain = list(pose.keypoints(view, times))
    assert np.array_equal(plain, list(pose.keypoints(replace(view, retarget=Retarget()), times)), equal_nan=True)


def test_the_figure_is_moved_in_the_picture_without_a_change_of_view(person: Any) -> None:
    (before,) = pose.keypoints(seen(), [9.0])
    person.proportions.x, person.proportions.y = 0.125, 0.25
    (after,) = pose.keypoints(seen(), [9.0])
    known = np.isfinite(before[:, 0])
    assert np.abs((after - before)[known, :2] - [0.125 * HEIGHT, -0.25 * HEIGHT]).max() < 1e-4


def test_a_smaller_figure_stands_where_the_rig_stands(person: Any) -> None:
    (before,) = pose.keypoints(seen(), [1.0])
    person.proportions.scale = 0.5
    (after,) = pose.keypoints(seen(), [1.0])
    feet = [AT["heel.L"], AT["heel.R"]]
    assert np.abs(after[feet, 1] - before[feet, 1]).max() < 0.5
    tall = [np.ptp(points[[AT["nose"], AT["heel.L"]], 1]) for points in (before, after)]
    assert tall[1] == pytest.approx(0.5 * tall[0], abs=0.5)


def test_the_export_writes_the_characters_pose_and_the_rigs_own_face(person: Any) -> None:
    scene = bpy.context.scene
    strip = scene.sequence_editor.active_strip
    strip.wan_animate.mode = "animate"
    person.face = "none"
    person.character = bpy.data.images.new("hero", 32, 64)
    person.character.pack()
    written = []
    for scale in (1.0, 0.5):
        person.proportions.scale = scale
        *_, _ = export.export(asked := request(scene, strip, preferences.shots_folder()))
        folder = max((asked.root / asked.name).glob("e*"))
        written.append(dict(np.load(folder / "pose.npz")))
    whole, half = written
    assert np.array_equal(whole["face_box"], half["face_box"])
    expected = list(pose.keypoints(seen(), [row.rig for row in commission.frame_table(asked)[0]]))
    assert np.array_equal(half["keypoints"], expected, equal_nan=True)
    assert not np.array_equal(half["keypoints"], whole["keypoints"], equal_nan=True)


# --- the figure on the character's picture ------------------------------------------------------------


@pytest.fixture
def picture() -> bpy.types.Image:
    """A tall, dark character picture, larger than the panel's."""
    image = bpy.data.images.new("hero", 600, 1200)
    image.pixels.foreach_set(np.tile(np.array([0.1, 0.1, 0.1, 1.0], np.float32), 600 * 1200))
    return image


def test_limbs_lie_where_the_model_will_see_them(person: Any, picture: bpy.types.Image) -> None:
    """The plate is fitted into the middle of the character's frame, as the server does in animate mode."""
    view = seen()
    sheet = fitting.sheet(view, picture)
    assert sheet.shape == (400, 200, 4)
    points = pose.now(view)
    scale, above = 200 / WIDTH, (400 - 200 * HEIGHT / WIDTH) / 2
    limbs = {(2, 3): ("shoulder.R", "elbow.R"), (5, 6): ("shoulder.L", "elbow.L"), (8, 9): ("hip.R", "knee.R"),
             (11, 12): ("hip.L", "knee.L"), (12, 13): ("knee.L", "ankle.L")}  # fmt: skip
    for limb, (a, b) in limbs.items():
        x, y = (points[AT[a], :2] + points[AT[b], :2]) / 2 * scale + [0, above]
        colour = np.array(skeleton.COLOURS[skeleton.LIMBS.index(limb)]) / 255
        assert sheet[int(y), int(x), :3] == pytest.approx(colour, abs=0.01), (a, b)
    assert sheet[5, 5, :3] == pytest.approx(0.1, abs=0.01)
    assert (picture.size[0], picture.size[1], len(bpy.data.images)) == (600, 1200, 1)


def test_the_panels_picture_follows_every_setting(person: Any, picture: bpy.types.Image) -> None:
    person.character = picture
    shown = []
    for scale in (1.0, 1.0, 0.6):
        person.proportions.scale = scale
        assert "picture" in draw(fitting.WAN_ANIMATE_PT_proportions)
        preview = fitting._previews["figure"]["sheet"]
        assert tuple(preview.image_size) == (200, 400)
        shown.append(np.array(preview.image_pixels_float))
    assert np.array_equal(shown[0], shown[1])
    assert np.abs(shown[0] - shown[2]).max() > 0.5
    bpy.context.scene.frame_set(20)
    draw(fitting.WAN_ANIMATE_PT_proportions)
    assert not np.array_equal(shown[2], fitting._previews["figure"]["sheet"].image_pixels_float)


def test_without_a_picture_the_figure_stands_on_grey(person: Any) -> None:
    sheet = fitting.sheet(seen(), None)
    assert sheet.shape == (round(512 * HEIGHT / WIDTH), 512, 4)
    assert sheet[0, 0].tolist() == pytest.approx([fitting.GREY] * 3 + [1])


def test_why_there_is_no_picture_is_told_in_its_place(person: Any) -> None:
    bpy.context.scene.camera = None
    drawn = draw(fitting.WAN_ANIMATE_PT_proportions)
    assert "picture" not in drawn
    assert any("has no camera" in sentence for sentence in drawn)


def test_points_that_are_nowhere_or_unsure_are_not_drawn() -> None:
    points = np.full((133, 3), np.nan)
    points[:, 2] = 0.0
    black = np.zeros((400, 400, 4), np.float32)
    assert np.array_equal(figure.draw(black, points), black)
    points[[5, 7]] = [[100, 100, 0.4], [300, 300, 1.0]]
    assert np.array_equal(figure.draw(black, points), black)
    points[5, 2] = 0.9
    assert figure.draw(black, points)[200, 200].max() == 1.0


def test_limbs_that_leave_the_picture_are_cut_at_its_edge() -> None:
    points = np.zeros((133, 3))
    points[[5, 7]] = [[-1e7, 200, 1.0], [1e7, 200, 1.0]]
    drawn = figure.draw(np.zeros((400, 400, 4), np.float32), points)
    assert (drawn[200, :, 3] == 1).all()
    assert not drawn[:190].any()
