"""Rigs in a real Blender: every family's, generated ones, VRM's stored mapping, linked and overridden ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import bpy
import numpy as np
import people
import pytest
from armatures import append, build, move
from bpy_extras.object_utils import world_to_camera_view
from people import FAMILIES, STRANGERS, Stick

from wan_animate_blender import armature, pose, rigs
from wan_animate_blender.rigs import anatomy
from wan_animate_blender.wire import FACE_KEYPOINTS, BadInput

WIDTH, HEIGHT = 480, 640
TIMES = [1.0, 7.25, 20.0]


@pytest.fixture
def view(edit: bpy.types.Scene, camera: bpy.types.Object) -> Callable[[bpy.types.Object], pose.View]:
    edit.render.resolution_x, edit.render.resolution_y = WIDTH, HEIGHT
    camera.location.z = 1.3

    def make(rig: bpy.types.Object) -> pose.View:
        return pose.View(edit, rig, None, WIDTH, HEIGHT)

    return make


def seen(view: pose.View, point: str) -> tuple[float, float]:
    """Where Blender itself sees a point that the rig has a bone for."""
    spot = pose.fit(view).spot(point)
    bone = view.rig.evaluated_get(pose.depsgraph(view)).pose.bones[spot.bone]
    place = view.rig.matrix_world @ bone.head.lerp(bone.tail, spot.along)
    x, y, _ = world_to_camera_view(view.scene, view.scene.camera, place)
    return x * WIDTH, (1 - y) * HEIGHT


def follows(view: pose.View) -> float:
    """How far, in pixels, keypoints with a bone are at most from where Blender sees that bone's end."""
    fit, worst = pose.fit(view), 0.0
    for time, found in zip(TIMES, list(pose.keypoints(view, TIMES)), strict=True):
        view.scene.frame_set(math.floor(time), subframe=time % 1)
        for i, point in enumerate(rigs.ORDER):
            if fit.spot(point):
                worst = max(worst, float(np.abs(found[i, :2] - seen(view, point)).max()))
    return worst


# --- families -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
def test_keypoints_follow_the_moving_rig_of_every_family(name: str, view: Callable[..., pose.View]) -> None:
    family, bones = FAMILIES[name]
    rig = build(name, bones)
    move(rig)
    assert pose.fit(view(rig)).family == family
    assert follows(view(rig)) < 0.01
    (points,) = pose.keypoints(view(rig), [1.0])
    assert (points[5:17, 2] == 1).all()


@pytest.mark.parametrize("name", FAMILIES)
def test_an_armature_says_the_same_as_its_numbers(name: str) -> None:
    family, bones = FAMILIES[name]
    rig = build(name, bones)
    fit = armature.fit(rig)
    assert fit.family == family
    found = dict(zip(rigs.ORDER, armature.at_rest(rig, fit), strict=True))
    expected = people.expected()
    for point in rigs.LIMBS:
        assert found[point] == pytest.approx(expected[point], abs=1e-6), point


@pytest.mark.parametrize("name", FAMILIES)
def test_left_is_the_persons_left_and_the_figure_stands_upright(name: str, view: Callable[..., pose.View]) -> None:
    (points,) = pose.keypoints(view(build(name, FAMILIES[name][1])), [1.0])
    at = dict(zip(rigs.ORDER, points[:, :2], strict=True))
    for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle", "eye", "ear"):
        assert at[f"{joint}.L"][0] > at[f"{joint}.R"][0] + 1, joint  # the person looks at the camera
    heights = [at[point][1] for point in ("nose", "shoulder.L", "hip.L", "knee.L", "ankle.L", "bigtoe.L")]
    assert heights == sorted(heights)


@pytest.mark.parametrize("name", STRANGERS)
def test_keypoints_follow_the_moving_rig_of_a_stranger(name: str, view: Callable[..., pose.View]) -> None:
    rig = build(name, people.anonymous(STRANGERS[name]) if name != "Genesis" else STRANGERS[name])
    move(rig)
    assert "guessed" in pose.fit(view(rig)).family
    assert follows(view(rig)) < 0.01


def test_what_was_assigned_by_hand_is_followed(view: Callable[..., pose.View]) -> None:
    rig = build("someone", FAMILIES["Mixamo"][1])
    move(rig)
    assigned = armature.fit(rig, {"elbow.L": rigs.Spot("mixamorig:LeftHandIndex2", 0.5)})
    there = pose.View(view(rig).scene, rig, None, WIDTH, HEIGHT, fit=assigned)
    assert follows(there) < 0.01
    (before,), (after,) = pose.keypoints(view(rig), [9.0]), pose.keypoints(there, [9.0])
    changed = [point for i, point in enumerate(rigs.ORDER) if not np.array_equal(before[i], after[i])]
    assert changed == ["elbow.L"]


def test_an_assignment_makes_a_hopeless_rig_usable(view: Callable[..., pose.View]) -> None:
    bones = [Stick(f"stump{i}", "", (math.sin(i), 0, 1 + i / 9), (math.sin(i), 0.1, 1 + i / 9)) for i in range(12)]
    rig = build("stumps", bones)
    with pytest.raises(BadInput, match="finds 0 of 12 limb joints and lacks Left Shoulder"):
        pose.check(view(rig))
    by_hand = {point: rigs.Spot(f"stump{i}") for i, point in enumerate(rigs.LIMBS)}
    there = pose.View(view(rig).scene, rig, None, WIDTH, HEIGHT, fit=armature.fit(rig, by_hand))
    pose.check(there)
    assert follows(there) < 0.01


# --- Rigify -------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A .blend with the rig that Rigify makes of its human metarig. Takes 8 to 38 s, so it is made once."""
    import addon_utils  # found only once bpy has been imported

    file = tmp_path_factory.mktemp("rigify") / "generated.blend"
    bpy.ops.wm.read_factory_settings(use_empty=True)
    addon_utils.enable("rigify", default_set=True)
    bpy.ops.object.armature_human_metarig_add()
    metarig = bpy.context.object
    bpy.ops.pose.rigify_generate()
    bpy.data.objects.remove(metarig)
    bpy.ops.wm.save_as_mainfile(filepath=str(file))
    return file


CONTROLS = {
    "hand_ik.L": ("location", (0.1, -0.3, 0.3)), "foot_ik.R": ("location", (-0.1, -0.3, 0.2)),
    "torso": ("location", (0.1, 0.0, -0.2)), "head": ("rotation_euler", (0.3, 0.4, 0.1)),
    "f_index.01_master.L": ("scale", (1.0, 0.5, 1.0)), "lips.L": ("location", (0.02, 0.0, 0.02)),
}  # fmt: skip
"""What an animator moves: channel, and value at frame 25."""


def animate_controls(rig: bpy.types.Object) -> None:
    for name, (channel, value) in CONTROLS.items():
        control = rig.pose.bones[name]
        control.rotation_mode = "XYZ"
        for frame, amount in ((1, 0.0), (25, 1.0)):
            rest = 1.0 if channel == "scale" else 0.0
            setattr(control, channel, [rest + amount * (each - rest) for each in value])
            control.keyframe_insert(channel, frame=frame)


def test_keypoints_follow_the_deforming_bones_of_a_generated_rig(
    generated: Path, view: Callable[..., pose.View]
) -> None:  # fmt: skip
    rig = append(generated, "rig")
    animate_controls(rig)
    fit = pose.fit(view(rig))
    assert (fit.family, fit.score, fit.missing) == ("Rigify", 1.0, ())
    unusual = {spot.bone for spot in fit.spots.values() if not spot.bone.startswith("DEF-")}
    assert unusual == {"ORG-eye.L", "ORG-eye.R", "ORG-heel.02.L", "ORG-heel.02.R"}
    assert follows(view(rig)) < 0.01
    still, moved = list(pose.keypoints(view(rig), [1.0, 25.0]))
    travelled = dict(zip(rigs.ORDER, np.linalg.norm(moved[:, :2] - still[:, :2], axis=1), strict=True))
    assert min(travelled[point] for point in ("wrist.L", "ankle.R", "hip.L", "nose", "index3.L")) > 10
    assert travelled["ankle.L"] < 1  # that foot stands
    lips = [travelled[f"face{i}"] for i in (48, 54)]
    assert abs(lips[0] - lips[1]) > 1  # one corner of the mouth was pulled


def test_a_generated_rig_is_found_without_any_of_its_names(generated: Path) -> None:
    """706 bones in four layers: only the deforming ones have the shape of a person, their limbs in halves."""
    rig = armature.read(append(generated, "rig"))
    named = {name: f"b{i}" for i, name in enumerate(rig.bones)} | {"": ""}
    bones = {named[name]: replace(bone, parent=named[bone.parent]) for name, bone in rig.bones.items()}
    found, known = rigs.choose(replace(rig, bones=bones)), rigs.choose(rig)
    assert found.family == "guessed"
    for point in rigs.LIMBS:
        place = bones[found.spots[point].bone].at(found.spots[point].along)
        assert place == pytest.approx(rig.bones[known.spots[point].bone].at(0), abs=1e-5), point


# --- VRM ----------------------------------------------------------------------------------------------


class Node(bpy.types.PropertyGroup):
    bone_uuid: bpy.props.StringProperty()
    bone_name: bpy.props.StringProperty()


class HumanBone(bpy.types.PropertyGroup):
    bone: bpy.props.StringProperty()
    node: bpy.props.PointerProperty(type=Node)


def member(human: str) -> str:
    """leftUpperArm as VRM 1's group calls it: left_upper_arm."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in human)


MEMBERS = {member(bone.name): bpy.props.PointerProperty(type=HumanBone) for bone in FAMILIES["VRM 1"][1]}
Bones1 = type("Bones1", (bpy.types.PropertyGroup,), {"__annotations__": MEMBERS})


class Bones0(bpy.types.PropertyGroup):
    human_bones: bpy.props.CollectionProperty(type=HumanBone)


class Humanoid1(bpy.types.PropertyGroup):
    human_bones: bpy.props.PointerProperty(type=Bones1)


class Vrm1(bpy.types.PropertyGroup):
    humanoid: bpy.props.PointerProperty(type=Humanoid1)


class Vrm0(bpy.types.PropertyGroup):
    humanoid: bpy.props.PointerProperty(type=Bones0)


class Extension(bpy.types.PropertyGroup):
    vrm0: bpy.props.PointerProperty(type=Vrm0)
    vrm1: bpy.props.PointerProperty(type=Vrm1)


class BoneExtension(bpy.types.PropertyGroup):
    uuid: bpy.props.StringProperty()


GROUPS = (Node, HumanBone, Bones1, Bones0, Humanoid1, Vrm1, Vrm0, Extension, BoneExtension)


class Vrm:
    """The properties of the VRM add-on that count here, as it declares them, and their going away with it."""

    def install(self) -> None:
        for group in GROUPS:
            bpy.utils.register_class(group)
        bpy.types.Armature.vrm_addon_extension = bpy.props.PointerProperty(type=Extension)
        bpy.types.Bone.vrm_addon_extension = bpy.props.PointerProperty(type=BoneExtension)

    def remove(self) -> None:
        del bpy.types.Armature.vrm_addon_extension, bpy.types.Bone.vrm_addon_extension
        for group in reversed(GROUPS):
            bpy.utils.unregister_class(group)

    def map(self, rig: bpy.types.Object, release: str, by_name: bool = False) -> None:
        """Store which bone is which; then give all bones other names, which the add-on does not need to know."""
        named = rig.data.vrm_addon_extension
        for human, bone in [(human, rig.data.bones[human.name]) for human in FAMILIES[release][1]]:
            bone.vrm_addon_extension.uuid = f"uuid of {bone.name}"
            if release == "VRM 1":
                entry = getattr(named.vrm1.humanoid.human_bones, member(human.name))
            else:
                entry = named.vrm0.humanoid.human_bones.add()
                entry.bone = human.name
            bone.name = f"Knochen {len(bone.name)}"
            if by_name:
                entry.node.bone_name = bone.name
            else:
                entry.node.bone_uuid = bone.vrm_addon_extension.uuid


@pytest.fixture
def vrm() -> Iterator[Vrm]:
    addon = Vrm()
    addon.install()
    yield addon
    if hasattr(bpy.types.Armature, "vrm_addon_extension"):
        addon.remove()


@pytest.mark.parametrize("release", ["VRM 0", "VRM 1"])
@pytest.mark.parametrize("by_name", [False, True], ids=["by uuid", "by name, as old releases do"])
def test_the_mapping_that_vrm_stores_is_read_with_and_without_its_addon(
    release: str, by_name: bool, vrm: Vrm, tmp_path: Path
) -> None:
    rig = build("avatar", FAMILIES[release][1])
    vrm.map(rig, release, by_name)
    assert armature.fit(rig).family == "VRM humanoid (stored)"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "avatar.blend"))
    vrm.remove()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "avatar.blend"))
    rig = bpy.data.objects["avatar"]
    fit = armature.fit(rig)
    assert (fit.family, fit.spots["elbow.L"].bone[:7]) == ("VRM humanoid (stored)", "Knochen")
    found, expected = dict(zip(rigs.ORDER, armature.at_rest(rig, fit), strict=True)), people.expected()
    for point, place in expected.items():
        assert found[point] == pytest.approx(place, abs=1e-6), point


def test_a_linked_avatar_has_its_mapping_too(vrm: Vrm, tmp_path: Path) -> None:
    rig = build("avatar", FAMILIES["VRM 1"][1])
    vrm.map(rig, "VRM 1")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "avatar.blend"))
    vrm.remove()
    bpy.ops.wm.read_factory_settings(use_empty=True)
    assert armature.fit(append(tmp_path / "avatar.blend", "avatar", link=True)).family == "VRM humanoid (stored)"


# --- linked rigs --------------------------------------------------------------------------------------


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A .blend with a moving Mixamo rig called Hero."""
    move(build("Hero", FAMILIES["Mixamo"][1]))
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "hero.blend"))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return tmp_path / "hero.blend"


@pytest.mark.parametrize("overridden", [False, True], ids=["linked", "overridden"])
def test_a_linked_rig_is_read_like_any_other(
    library: Path, overridden: bool, request: pytest.FixtureRequest
) -> None:  # fmt: skip
    make = request.getfixturevalue("view")  # only now: it builds its scene in the file that the library left
    rig = append(library, "Hero", link=True)
    if overridden:
        rig = rig.override_create(remap_local_usages=True)
    assert armature.key(rig) == "hero.blend|Hero"
    assert pose.fit(make(rig)).family == "Mixamo"
    pose.check(make(rig))
    assert follows(make(rig)) < 0.01


def test_a_rig_of_this_file_has_a_key_without_a_library() -> None:
    assert armature.key(build("Hero", FAMILIES["Mixamo"][1])) == "|Hero"


# --- what is derived ----------------------------------------------------------------------------------


def test_what_a_rig_lacks_is_less_sure(view: Callable[..., pose.View]) -> None:
    fingers = tuple(rigs.FINGERS)
    bones = [bone for bone in FAMILIES["Unreal and MPFB game engine"][1] if not bone.name.startswith(fingers)]
    (points,) = pose.keypoints(view(build("someone", bones)), [1.0])
    sure = dict(zip(rigs.ORDER, points[:, 2], strict=True))
    assert sure["nose"] == np.float32(anatomy.DERIVED)
    assert (points[FACE_KEYPOINTS, 2] == np.float32(anatomy.DERIVED_FACE)).all()
    assert sure["index0.L"] == sure["pinky3.R"] == 0
    assert sure["bigtoe.L"] == 1
