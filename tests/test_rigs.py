"""Bone maps: every family's rigs are recognised by their bones' names, and what they lack is guessed, not invented."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import pytest

from wan_animate_blender import rigs
from wan_animate_blender.rigs import anatomy
from wan_animate_blender.wire import FACE_KEYPOINTS, KEYPOINTS, BadInput


def bones_of(text: str) -> list[str]:
    return text.split()


MIXAMO = bones_of(
    "Hips Spine Spine1 Spine2 Neck Head HeadTop_End LeftShoulder LeftArm LeftForeArm LeftHand LeftHandThumb1 "
    "LeftHandThumb2 LeftHandThumb3 LeftHandIndex1 LeftHandIndex2 LeftHandIndex3 LeftHandPinky1 LeftHandPinky2 "
    "LeftHandPinky3 LeftUpLeg LeftLeg LeftFoot LeftToeBase LeftToe_End"
)
UNREAL = bones_of(
    "root pelvis spine_01 spine_02 spine_03 neck_01 head clavicle_l upperarm_l upperarm_twist_01_l lowerarm_l "
    "hand_l thumb_01_l thumb_02_l thumb_03_l index_01_l index_02_l index_03_l thigh_l calf_l foot_l ball_l "
    "ik_foot_l"
)
MPFB = bones_of(
    "root spine05 neck01 head jaw eye.L shoulder01.L upperarm01.L upperarm02.L lowerarm01.L lowerarm02.L wrist.L "
    "finger1-1.L finger1-2.L finger1-3.L finger2-1.L finger2-2.L finger2-3.L upperleg01.L lowerleg01.L foot.L "
    "toe1-1.L toe1-2.L"
)
VROID = bones_of(
    "Root J_Bip_C_Hips J_Bip_C_Neck J_Bip_C_Head J_Adj_L_FaceEye J_Bip_L_UpperArm J_Bip_L_LowerArm J_Bip_L_Hand "
    "J_Bip_L_Thumb1 J_Bip_L_Thumb2 J_Bip_L_Thumb3 J_Bip_L_Little1 J_Bip_L_Little2 J_Bip_L_Little3 "
    "J_Bip_L_UpperLeg J_Bip_L_LowerLeg J_Bip_L_Foot J_Bip_L_ToeBase J_Sec_Hair1_01"
)
VRM = bones_of(
    "hips neck head leftEye leftUpperArm leftLowerArm leftHand leftThumbMetacarpal leftThumbProximal "
    "leftThumbDistal leftUpperLeg leftLowerLeg leftFoot leftToes"
)
AUTO_RIG_PRO = bones_of(
    "c_pos root.x head.x neck.x arm.l arm_stretch.l forearm.l forearm_stretch.l hand.l c_index1.l c_index2.l "
    "c_index3.l thigh.l leg.l foot.l toes_01.l c_foot_ik.l"
)
RIGIFY = bones_of(
    "spine spine.006 face jaw shoulder.L upper_arm.L forearm.L hand.L thumb.01.L thumb.02.L thumb.03.L thigh.L "
    "shin.L foot.L toe.L heel.02.L"
)

MIRRORED = (("Left", "Right"), ("left", "right"), ("_l", "_r"), (".L", ".R"), (".l", ".r"), ("_L_", "_R_"))


def both_sides(bones: Iterable[str]) -> list[str]:
    """The bones, and those of the other side."""
    named = list(bones)
    for left, right in MIRRORED:
        pattern = re.escape(left) + (r"$" if left in ("_l", ".L", ".l") else "")
        named += [re.sub(pattern, right, bone) for bone in named if re.search(pattern, bone)]
    return list(dict.fromkeys(named))


def with_prefix(prefix: str, bones: Iterable[str]) -> list[str]:
    return [prefix + bone for bone in bones]


RIGS = {
    "mixamorig:": ("Mixamo", with_prefix("mixamorig:", MIXAMO)),
    "mixamorig7:": ("Mixamo", with_prefix("mixamorig7:", MIXAMO)),
    "mixamorig_": ("Mixamo", with_prefix("mixamorig_", MIXAMO)),
    "without prefix": ("Mixamo", MIXAMO),
    "Unreal": ("Unreal mannequin", UNREAL),
    "MPFB": ("MPFB default", MPFB),
    "VRoid": ("VRoid", VROID),
    "VRM": ("VRM humanoid", VRM),
    "ARP": ("Auto-Rig Pro", AUTO_RIG_PRO),
    "metarig": ("Rigify", RIGIFY),
    "generated": (
        "Rigify",
        [*with_prefix("DEF-", RIGIFY[:-1]), *with_prefix("ORG-", RIGIFY), "hand_ik.L", "foot_ik.L"],
    ),
}


@pytest.mark.parametrize(("family", "bones"), RIGS.values(), ids=RIGS)
def test_the_family_of_a_rig_is_told_by_its_bones(family: str, bones: list[str]) -> None:
    fit = rigs.choose("someone", both_sides(bones))
    assert fit.family == family
    assert set(rigs.LIMBS) <= set(fit.spots)
    assert {spot.bone for spot in fit.spots.values()} <= set(both_sides(bones))
    assert 0.5 < fit.score <= 1.0
    assert not set(fit.missing) & set(fit.spots)


def test_a_generated_rig_is_read_off_its_deforming_bones_first() -> None:
    fit = rigs.choose("someone", both_sides(RIGS["generated"][1]))
    assert fit.spots["elbow.L"].bone == "DEF-forearm.L"
    assert fit.spots["heel.R"].bone == "ORG-heel.02.R"


def test_fingers_end_at_the_tail_of_their_last_bone() -> None:
    fit = rigs.choose("someone", both_sides(MIXAMO))
    bones = [fit.spots[f"index{i}.R"] for i in range(4)]
    assert bones == [
        rigs.Spot("RightHandIndex1"), rigs.Spot("RightHandIndex2"), rigs.Spot("RightHandIndex3"),
        rigs.Spot("RightHandIndex3", 1.0),
    ]  # fmt: skip
    assert "ring0.L" in fit.missing


def test_bones_that_fit_nowhere_are_refused_with_the_best_guess() -> None:
    bones = [bone for bone in both_sides(MIXAMO) if "ForeArm" not in bone]
    with pytest.raises(BadInput) as problem:
        rigs.choose("Robot", bones)
    assert str(problem.value) == (
        "no bone map fits the rig 'Robot': the best guess, Mixamo, finds 10 of 12 limb joints and lacks elbow.L, "
        "elbow.R; use a rig of Auto-Rig Pro, Mixamo, MPFB default, Rigify, Unreal mannequin, VRM humanoid, VRoid"
    )


def test_the_order_is_that_of_coco_wholebody() -> None:
    assert len(rigs.ORDER) == len(set(rigs.ORDER)) == KEYPOINTS
    assert rigs.ORDER[:7] == ("nose", "eye.L", "eye.R", "ear.L", "ear.R", "shoulder.L", "shoulder.R")
    assert rigs.ORDER[15:23] == (
        "ankle.L", "ankle.R", "bigtoe.L", "smalltoe.L", "heel.L", "bigtoe.R", "smalltoe.R", "heel.R",
    )  # fmt: skip
    assert rigs.ORDER[FACE_KEYPOINTS] == tuple(f"face{i}" for i in range(68))
    assert (rigs.ORDER[91], rigs.ORDER[95], rigs.ORDER[112], rigs.ORDER[132]) == (
        "hand.L", "thumb3.L", "hand.R", "pinky3.R",
    )  # fmt: skip


def test_mirror_images_of_face_points_go_both_ways() -> None:
    mirrored = [rigs.mirror_image(i) for i in range(68)]
    assert [rigs.mirror_image(i) for i in mirrored] == list(range(68))
    assert [i for i in range(68) if rigs.mirror_image(i) == i] == [8, 27, 28, 29, 30, 33, 51, 57, 62, 66]
    assert [rigs.mirror_image(i) for i in (0, 17, 36, 39, 48, 60)] == [16, 26, 45, 42, 54, 64]


# --- a person of sticks ---------------------------------------------------------------------------

JOINTS = {
    "Arm": (0.2, 0, 1.45), "ForeArm": (0.45, 0, 1.45), "Hand": (0.7, 0, 1.45), "UpLeg": (0.1, 0, 0.95),
    "Leg": (0.1, 0, 0.5), "Foot": (0.1, 0, 0.1), "ToeBase": (0.1, -0.12, 0.02),
}  # fmt: skip
"""Heads of Mixamo's bones in metres: the left side of a person that looks along −y."""


def sticks(turn: np.ndarray | None = None) -> dict[str, anatomy.Bone]:
    """A person at rest whose bones all point up, each rolled otherwise, the whole turned by `turn` (3×3)."""
    sides = (("Left", 1), ("Right", -1))
    places = {f"{side}{name}": (sign * x, y, z) for side, sign in sides for name, (x, y, z) in JOINTS.items()}
    places["Head"] = (0.0, 0.0, 1.6)
    bones = {}
    for i, (name, place) in enumerate(places.items()):
        cos, sin = np.cos(i), np.sin(i)
        matrix = np.eye(4)
        matrix[:3, :3] = np.array([[cos, 0, -sin], [sin, 0, cos], [0, 1, 0]])  # y, along the bone, is up
        matrix[:3, 3] = place
        turned = np.eye(4)
        turned[:3, :3] = np.eye(3) if turn is None else turn
        bones[name] = anatomy.Bone(turned @ matrix, 0.2)
    return bones


def at_rest(binding: anatomy.Binding, bones: dict[str, anatomy.Bone]) -> dict[str, np.ndarray]:
    matrices = np.array([bones[name].matrix for name in binding.bones])
    places = np.einsum("kij,kj->ki", matrices[binding.index], binding.local)[:, :3]
    return dict(zip(rigs.ORDER, places, strict=True))


def test_what_a_rig_lacks_is_guessed_and_says_so() -> None:
    bones = sticks()
    binding = anatomy.bind(rigs.choose("sticks", bones), bones)
    point = at_rest(binding, bones)
    sure = dict(zip(rigs.ORDER, binding.confidence, strict=True))
    assert np.allclose(point["elbow.L"], (0.45, 0, 1.45))
    assert np.allclose(point["hand.R"], (-0.7, 0, 1.45))
    assert np.allclose(point["bigtoe.L"], point["smalltoe.L"])
    assert sure["elbow.L"] == sure["bigtoe.L"] == 1.0
    assert 1.65 < point["eye.L"][2] < 1.8
    assert point["nose"][1] < point["eye.L"][1] < point["ear.L"][1] < 0.01
    assert point["eye.L"][0] > 0 > point["eye.R"][0]
    assert point["heel.L"][1] > 0.01
    assert 0.5 < sure["nose"] == sure["heel.R"] < 1.0
    assert 0.0 < sure["face30"] < 0.5
    assert sure["index0.L"] == 0.0
    assert np.isnan(point["index0.L"]).all()


def test_guesses_do_not_depend_on_how_bones_are_rolled_or_the_rig_is_turned() -> None:
    turn = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    straight, turned = sticks(), sticks(turn)
    fit = rigs.choose("sticks", straight)
    before = at_rest(anatomy.bind(fit, straight), straight)
    after = at_rest(anatomy.bind(fit, turned), turned)
    for name, place in before.items():
        assert np.allclose(turn @ place, after[name], equal_nan=True), name


def test_a_stub_of_a_head_bone_does_not_make_a_tiny_head() -> None:
    bones = sticks() | {"Head": anatomy.Bone(sticks()["Head"].matrix, 0.001)}
    point = at_rest(anatomy.bind(rigs.choose("sticks", bones), bones), bones)
    assert point["eye.L"][2] - 1.6 > 0.05


def test_without_a_head_bone_the_face_is_nowhere() -> None:
    bones = {name: bone for name, bone in sticks().items() if name != "Head"}
    binding = anatomy.bind(rigs.choose("sticks", bones), bones)
    assert np.isnan(binding.local[FACE_KEYPOINTS]).all()
    assert not binding.confidence[FACE_KEYPOINTS].any()
