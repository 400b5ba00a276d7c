"""Bone maps: every family's rigs are recognised by their bones' names, and what they lack is guessed, not invented."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from wan_animate_blender import rigs
from wan_animate_blender.rigs import anatomy
from wan_animate_blender.wire import FACE_KEYPOINTS, KEYPOINTS, BadInput

from .blender import people
from .blender.people import FAMILIES, STRANGERS, Stick


def at_rest(rig: rigs.Rig, fit: rigs.Fit) -> dict[str, np.ndarray]:
    return dict(zip(rigs.ORDER, anatomy.at_rest(anatomy.bind(fit, rig.bones), rig.bones), strict=True))


def off(rig: rigs.Rig, fit: rigs.Fit, points: tuple[str, ...]) -> dict[str, float]:
    """How far, in metres, points lie from where they are on this person."""
    found, right = at_rest(rig, fit), people.expected()
    return {point: float(np.abs(found[point] - right[point]).max()) for point in points}


FINGER_POINTS = tuple(point for point in people.expected() if point not in rigs.LIMBS)

# --- families -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "bones"), FAMILIES.values(), ids=FAMILIES)
def test_the_family_of_a_rig_is_told_by_its_bones(family: str, bones: list[Stick]) -> None:
    rig = people.rig("someone", bones)
    fit = rigs.choose(rig)
    assert fit.family == family
    assert fit.score == max(rigs.fit(each, rig.bones).score for each in rigs.families())
    assert {spot.bone for spot in fit.spots.values()} <= set(rig.bones)
    assert not set(fit.missing) & set(fit.spots)
    rigs.check(fit, rig)


@pytest.mark.parametrize(("family", "bones"), FAMILIES.values(), ids=FAMILIES)
def test_every_joint_is_where_the_rig_has_it(family: str, bones: list[Stick]) -> None:
    rig = people.rig("someone", bones)
    fit = rigs.choose(rig)
    assert max(off(rig, fit, rigs.LIMBS).values()) < 1e-9
    if family != "MPFB OpenPose":
        assert max(off(rig, fit, FINGER_POINTS).values()) < 1e-9


@pytest.mark.parametrize(("family", "bones"), FAMILIES.values(), ids=FAMILIES)
def test_no_other_family_comes_near(family: str, bones: list[Stick]) -> None:
    """A prefix or a spelling more would otherwise turn the choice round."""
    scores = {each.name: rigs.fit(each, {bone.name for bone in bones}).score for each in rigs.families()}
    others = max(score for name, score in scores.items() if name != family)
    assert scores[family] > others + 0.3
    assert 0.5 < scores[family] <= 1.0


def test_a_generated_rig_is_read_off_its_deforming_bones_first() -> None:
    bones = FAMILIES["generated, deforming"][1] + FAMILIES["generated, original"][1]
    heel = Stick("ORG-heel.02.R", "ORG-foot.R", (-0.1, 0.05, 0), (-0.14, 0.05, 0))
    fit = rigs.choose(people.rig("someone", [*bones, heel]))
    assert fit.spots["elbow.L"].bone == "DEF-forearm.L"
    assert fit.spots["heel.R"] == rigs.Spot("ORG-heel.02.R", 0.5)


def test_twist_halves_of_generated_limbs_are_passed_over() -> None:
    halves = {f"DEF-{limb}.{s}": (f"DEF-{limb}.{s}", f"DEF-{limb}.{s}.001")
              for limb in ("upper_arm", "forearm", "thigh", "shin") for s in "LR"}  # fmt: skip
    rig = people.rig("someone", people.split(FAMILIES["generated, deforming"][1], halves))
    assert max(off(rig, rigs.choose(rig), rigs.LIMBS).values()) < 1e-9


def test_fingers_end_at_the_tail_of_their_last_bone_or_where_a_fourth_begins() -> None:
    bones = FAMILIES["Mixamo, without prefix"][1]
    fit = rigs.choose(people.rig("someone", bones))
    assert [fit.spots[f"index{i}.R"] for i in range(4)] == [
        rigs.Spot("RightHandIndex1"), rigs.Spot("RightHandIndex2"), rigs.Spot("RightHandIndex3"),
        rigs.Spot("RightHandIndex3", 1.0),
    ]  # fmt: skip
    fourth = Stick("RightHandIndex4", "RightHandIndex3", (-0.7, 0, 0.9), (-0.7, 0, 0.89))
    assert rigs.choose(people.rig("someone", [*bones, fourth])).spots["index3.R"] == rigs.Spot("RightHandIndex4")


# --- VRM --------------------------------------------------------------------------------------------------


def humanoid(bones: list[Stick], named: list[Stick]) -> dict[str, str]:
    """The stored mapping of a rig whose bones are called otherwise."""
    return {human.name: bone.name for human, bone in zip(named, bones, strict=True)}


@pytest.mark.parametrize("release", ["VRM 0", "VRM 1"])
def test_a_stored_mapping_wins_over_any_names(release: str) -> None:
    named = FAMILIES[release][1]
    misleading = FAMILIES["Mixamo, without prefix"][1][0].name
    odd = [replace(bone, name=f"x{i:02d}") for i, bone in enumerate(named)]
    called = dict(zip((bone.name for bone in named), (bone.name for bone in odd), strict=True)) | {"": ""}
    odd = [replace(bone, parent=called[bone.parent]) for bone in odd]
    rig = people.rig("someone", [*odd, Stick(misleading, "", (5, 5, 5), (6, 6, 6))], humanoid(odd, named))
    fit = rigs.choose(rig)
    assert fit.family == "VRM humanoid (stored)"
    assert fit.score > 0.9
    assert max(off(rig, fit, (*rigs.LIMBS, *FINGER_POINTS)).values()) < 1e-9


def test_an_unfinished_stored_mapping_does_not_hide_what_the_names_say() -> None:
    bones = FAMILIES["VRoid"][1]
    fit = rigs.choose(people.rig("someone", bones, {"hips": "J_Bip_C_Hips", "leftUpperArm": "J_Bip_L_UpperArm"}))
    assert fit.family == "VRoid"


# --- strangers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bones", STRANGERS.values(), ids=STRANGERS)
def test_bones_of_an_unknown_rig_are_guessed_by_names(bones: list[Stick]) -> None:
    rig = people.rig("stranger", bones)
    fit = rigs.choose(rig)
    assert "guessed" in fit.family
    assert max(off(rig, fit, rigs.LIMBS).values()) < 1e-9
    assert "head" in fit.spots
    assert fit.score < 0.95


# Halves of limbs, as Genesis has them, cannot be told from whole ones without their names.
WHOLE = {name: bones for name, bones in STRANGERS.items() if name != "Genesis"}
WHOLE["Unreal"] = FAMILIES["Unreal and MPFB game engine"][1]


@pytest.mark.parametrize("bones", WHOLE.values(), ids=WHOLE)
@pytest.mark.parametrize("turned", [False, True], ids=["upright", "turned"])
def test_bones_without_names_are_guessed_by_tree_and_symmetry(bones: list[Stick], turned: bool) -> None:
    rig = people.rig("stranger", people.anonymous(bones))
    turn = np.eye(4)[[1, 2, 0, 3]] if turned else np.eye(4)
    rig = replace(rig, bones={name: replace(bone, matrix=turn @ bone.matrix) for name, bone in rig.bones.items()})
    fit = rigs.choose(rig)
    found = {point: turn[:3, :3].T @ place for point, place in at_rest(rig, fit).items()}
    right = people.expected()
    assert max(float(np.abs(found[point] - right[point]).max()) for point in rigs.LIMBS) < 1e-9
    assert fit.family == "guessed"
    assert {fit.spots[point].sure for point in rigs.LIMBS} == {0.7}


def test_the_gaps_of_a_guess_are_listed_and_lower_its_score() -> None:
    whole = rigs.choose(people.rig("stranger", STRANGERS["Maya"]))
    handless = [bone for bone in STRANGERS["Maya"] if not any(finger in bone.name for finger in rigs.FINGERS)]
    fit = rigs.choose(people.rig("stranger", handless))
    assert {"index0.L", "pinky3.R"} <= set(fit.missing)
    assert "index0.L" not in whole.missing
    assert fit.score < whole.score < 0.95


def test_controls_that_are_called_like_limbs_are_passed_over() -> None:
    controls = [Stick(f"{part}_ik_{s}", "", (x, 1, 1), (x, 1.1, 1)) for part in ("hand", "foot", "knee_pole")
                for s, x in (("l", 0.3), ("r", -0.3))]  # fmt: skip
    rig = people.rig("stranger", [*controls, *STRANGERS["numbered limbs"]])
    assert max(off(rig, rigs.choose(rig), rigs.LIMBS).values()) < 1e-9


def test_what_one_side_does_not_say_the_other_side_does() -> None:
    renamed = {"L_elbow_jnt": "blob", "L_wrist_jnt": "blub", "L_shoulder_jnt": "blib"}
    bones = [replace(bone, name=renamed.get(bone.name, bone.name), parent=renamed.get(bone.parent, bone.parent))
             for bone in STRANGERS["Maya"]]  # fmt: skip
    rig = people.rig("stranger", bones)
    fit = rigs.choose(rig)
    assert max(off(rig, fit, rigs.LIMBS).values()) < 1e-9
    assert fit.spots["elbow.L"].sure < fit.spots["elbow.R"].sure


def test_a_family_with_two_bones_renamed_keeps_its_other_bones() -> None:
    bones = FAMILIES["Mixamo, without prefix"][1]
    renamed = {"LeftForeArm": "LeftElbowX", "RightForeArm": "RightElbowX"}
    bones = [replace(bone, name=renamed.get(bone.name, bone.name), parent=renamed.get(bone.parent, bone.parent))
             for bone in bones]  # fmt: skip
    rig = people.rig("someone", bones)
    fit = rigs.choose(rig)
    assert fit.family == "Mixamo, in part guessed"
    assert max(off(rig, fit, (*rigs.LIMBS, *FINGER_POINTS)).values()) < 1e-9
    assert fit.spots["wrist.L"].sure == 1.0 > fit.spots["elbow.L"].sure


TABLE = [Stick(f"leg{i}", "top", (x, y, 0.8), (x, y, 0)) for i, (x, y) in enumerate(((1, 2), (3, -1), (-2, 1)))]
TABLE = [Stick("top", "", (0, 0, 0.8), (0, 0, 0.9)), *TABLE]


def test_bones_that_fit_nowhere_are_refused_with_the_best_guess() -> None:
    rig = people.rig("Table", TABLE)
    with pytest.raises(BadInput) as problem:
        rigs.check(rigs.choose(rig), rig)
    assert str(problem.value) == (
        "no bone map fits the rig 'Table': the best one, guessed, finds 0 of 12 limb joints and lacks Left Shoulder, "
        "Right Shoulder, Left Elbow, Right Elbow …; assign them by hand, or use a rig of Auto-Rig Pro, Mixamo, "
        "MPFB default, MPFB OpenPose, Rigify, Unreal mannequin, VRM humanoid, VRoid"
    )


def test_an_armature_without_bones_is_refused_like_any_other() -> None:
    rig = people.rig("Nobody", [])
    with pytest.raises(BadInput, match="the rig 'Nobody': the best one, guessed, finds 0 of 12"):
        rigs.check(rigs.choose(rig), rig)


def layered(bones: list[Stick]) -> rigs.Rig:
    """Nameless, limbs in halves, bones that only move others beside them, as production rigs have them."""
    limbs = [bone.name for bone in bones if bone.name.startswith(("upperarm", "lowerarm", "thigh", "calf"))]
    deforming = people.split(bones, {name: (name, f"{name} half") for name in limbs})
    movers = [Stick(f"x {bone.name}", bone.parent and f"x {bone.parent}", bone.head, bone.tail) for bone in bones]
    rig = people.rig("stranger", people.anonymous([*movers, *deforming]))
    numbered = enumerate(rig.bones.items())
    return replace(rig, bones={name: replace(bone, deforms=i >= len(movers)) for i, (name, bone) in numbered})


def test_limbs_in_halves_under_layers_of_controls_are_found_without_names() -> None:
    rig = layered(FAMILIES["Unreal and MPFB game engine"][1])
    fit = rigs.choose(rig)
    assert not fit.lacking
    assert max(off(rig, fit, rigs.LIMBS).values()) < 1e-9


def test_straight_arms_of_even_parts_are_no_halves() -> None:
    bones = []
    places = {"upperarm": ((0.2, 0, 1.4), (0.45, 0, 1.4)), "lowerarm": ((0.45, 0, 1.4), (0.7, 0, 1.4)),
              "hand": ((0.7, 0, 1.4), (0.8, 0, 1.4))}  # fmt: skip
    for bone in STRANGERS["3ds Max Biped"]:
        role = {"UpperArm": "upperarm", "Forearm": "lowerarm", "Hand": "hand"}.get(bone.name.split()[-1])
        ends = places[role] if role else (bone.head, bone.tail)
        mirror = people.mirrored if role and " R " in bone.name else tuple
        bones.append(replace(bone, head=mirror(ends[0]), tail=mirror(ends[1])))
    rig = people.rig("T", people.anonymous(bones))
    place = at_rest(rig, rigs.choose(rig))
    assert place["elbow.L"] == pytest.approx((0.45, 0, 1.4))
    assert place["wrist.R"] == pytest.approx((-0.7, 0, 1.4))


def test_a_heap_of_twins_is_not_taken_for_a_person() -> None:
    """Nothing found is better than a pose of nonsense that looks like an answer."""
    legs = [Stick(f"leg{i}{j}{s}", f"leg{i}{j - 1}{s}" if j else "body", (x, i, 0.6 - 0.2 * j), (x, i, 0.4 - 0.2 * j))
            for i in range(4) for j in range(3) for s, x in (("a", 0.3), ("b", -0.3))]  # fmt: skip
    spider = [Stick("body", "", (0, 0, 0.6), (0, 3, 0.6)), *legs]
    for bones in (spider, people.anonymous(spider)):
        assert rigs.choose(people.rig("Spider", bones)).lacking


# --- assigning by hand ------------------------------------------------------------------------------------


def test_what_is_assigned_by_hand_fills_gaps_and_wins_over_the_map() -> None:
    rig = people.rig("Table", TABLE)
    assignment = {point: rigs.Spot("leg0", i / 12) for i, point in enumerate(rigs.LIMBS)}
    fit = rigs.assign(rigs.choose(rig), assignment, rig)
    rigs.check(fit, rig)
    assert fit.spots["knee.L"] == assignment["knee.L"]
    assert at_rest(rig, fit)["knee.L"] == pytest.approx([1, 2, 0.8 * (1 - rigs.LIMBS.index("knee.L") / 12)])

    known = people.rig("someone", FAMILIES["Mixamo"][1])
    moved = rigs.assign(rigs.choose(known), {"elbow.L": rigs.Spot("mixamorig:LeftArm", 0.9)}, known)
    assert moved.spots["elbow.L"] == rigs.Spot("mixamorig:LeftArm", 0.9)
    assert moved.spots["elbow.R"] == rigs.choose(known).spots["elbow.R"]


def test_toes_can_be_put_on_bones_of_their_own() -> None:
    rig = people.rig("someone", FAMILIES["Unreal and MPFB game engine"][1])
    fit = rigs.assign(rigs.choose(rig), {"smalltoe.L": rigs.Spot("ball_l", 0.5)}, rig)
    point = at_rest(rig, fit)
    assert np.linalg.norm(point["smalltoe.L"] - point["bigtoe.L"]) > 0.03
    assert np.array_equal(point["smalltoe.R"], point["bigtoe.R"])


def test_an_assignment_to_a_bone_that_is_gone_says_so() -> None:
    rig = people.rig("someone", FAMILIES["Mixamo"][1])
    with pytest.raises(BadInput, match="Left Elbow is assigned to the bone 'gone', which the rig 'someone' does not"):
        rigs.assign(rigs.choose(rig), {"elbow.L": rigs.Spot("gone")}, rig)


@pytest.mark.parametrize(
    "bone", ["forearm.L", "a|b", "at@home", "at@0.5", 'quote"d', "{side}", "左ひじ", "back\\slash"]
)
def test_a_saved_map_is_the_same_when_it_is_loaded(bone: str, tmp_path: Path) -> None:
    spots = {"elbow.L": rigs.Spot(bone, 0.25), "face12": rigs.Spot("jaw"), "head": rigs.Spot(bone, 1.0)}
    file = tmp_path / "studio.toml"
    file.write_text(rigs.write("Studio", spots), encoding="utf-8")
    family = rigs.read(file)
    assert family.name == "Studio"
    assert {point: places[0] for point, places in family.spots.items()} == spots
    assert rigs.fit(family, {bone, "jaw"}).spots == spots


@pytest.mark.parametrize("text", ["", "name = ", "[points]\nelbow = 5\n", "[points]\nwing = 'a'\n", "points = 3\n"])
def test_a_file_that_is_no_map_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "broken.toml"
    file.write_text(text)
    with pytest.raises(BadInput, match=r"broken\.toml"):
        rigs.read(file)


# --- names of points --------------------------------------------------------------------------------------


def test_points_have_names_that_people_read() -> None:
    points = ("elbow.L", "bigtoe.R", "index0.L", "pinky3.R", "face30", "nose", "head")
    assert [rigs.label(point) for point in points] == [
        "Left Elbow", "Right Big Toe", "Left Index Base", "Right Little Finger Tip", "Face 30", "Nose", "Head",
    ]  # fmt: skip
    labels = [rigs.label(point) for point in rigs.ASSIGNABLE]
    assert len(set(labels)) == len(labels) == 133 - 2 + 1


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


# --- what is derived --------------------------------------------------------------------------------------

JOINTS = {
    "Arm": (0.2, 0, 1.45), "ForeArm": (0.45, 0, 1.45), "Hand": (0.7, 0, 1.45), "UpLeg": (0.1, 0, 0.95),
    "Leg": (0.1, 0, 0.5), "Foot": (0.1, 0, 0.1), "ToeBase": (0.1, -0.12, 0.02),
}  # fmt: skip
"""Heads of Mixamo's bones in metres: the left side of a person that looks along −y."""


def sticks(turn: np.ndarray | None = None) -> rigs.Rig:
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
        bones[name] = rigs.Bone(turned @ matrix, 0.2)
    return rigs.Rig("sticks", bones)


def without(rig: rigs.Rig, bone: str) -> rigs.Rig:
    return replace(rig, bones={name: each for name, each in rig.bones.items() if name != bone})


def test_what_a_rig_lacks_is_guessed_and_says_so() -> None:
    rig = sticks()
    fit = rigs.choose(rig)
    point = at_rest(rig, fit)
    sure = dict(zip(rigs.ORDER, anatomy.bind(fit, rig.bones).confidence, strict=True))
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


def test_a_guessed_place_is_only_as_sure_as_the_guess() -> None:
    rig = people.rig("stranger", people.anonymous(STRANGERS["3ds Max Biped"]))
    binding = anatomy.bind(rigs.choose(rig), rig.bones)
    assert binding.confidence[5:17] == pytest.approx(0.7)


def test_the_floor_is_under_the_feet() -> None:
    rig = people.rig("someone", FAMILIES["MPFB OpenPose"][1])
    place, up = anatomy.bind(rigs.choose(rig), rig.bones).floor
    assert up == pytest.approx([0, 0, 1], abs=0.06)
    assert abs(place[2] - 0.01) < 0.02


def test_fingertips_of_bones_that_importers_let_point_anywhere_go_on_with_the_finger() -> None:
    bones = [replace(bone, tail=(bone.head[0], bone.head[1], bone.head[2] + 0.3)) if "_03_" in bone.name else bone
             for bone in FAMILIES["Unreal and MPFB game engine"][1]]  # fmt: skip
    rig = people.rig("imported", bones)
    fit = rigs.choose(rig)
    assert max(off(rig, fit, ("index3.L", "pinky3.R")).values()) < 1e-9  # the sticks' fingers are straight and even
    sure = dict(zip(rigs.ORDER, anatomy.bind(fit, rig.bones).confidence, strict=True))
    assert sure["index3.L"] == anatomy.DERIVED < sure["index2.L"] == 1.0


def test_without_toes_the_foot_ends_where_its_bone_does() -> None:
    bones = [bone for bone in FAMILIES["Unreal and MPFB game engine"][1] if not bone.name.startswith("ball")]
    rig = people.rig("someone", bones)
    assert at_rest(rig, rigs.choose(rig))["bigtoe.L"] == pytest.approx(people.BODY["foot"][2])


def test_guesses_do_not_depend_on_how_bones_are_rolled_or_the_rig_is_turned() -> None:
    turn = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    straight, turned = sticks(), sticks(turn)
    before, after = at_rest(straight, rigs.choose(straight)), at_rest(turned, rigs.choose(turned))
    for name, place in before.items():
        assert np.allclose(turn @ place, after[name], equal_nan=True), name


def test_a_stub_of_a_head_bone_does_not_make_a_tiny_head() -> None:
    rig = sticks()
    rig = replace(rig, bones={**rig.bones, "Head": rigs.Bone(rig.bones["Head"].matrix, 0.001)})
    assert at_rest(rig, rigs.choose(rig))["eye.L"][2] - 1.6 > 0.05


def test_without_a_head_bone_the_face_is_nowhere() -> None:
    rig = without(sticks(), "Head")
    binding = anatomy.bind(rigs.choose(rig), rig.bones)
    assert np.isnan(binding.local[FACE_KEYPOINTS]).all()
    assert not binding.confidence[FACE_KEYPOINTS].any()
