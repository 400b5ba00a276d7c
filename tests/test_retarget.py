"""Retargeting: lengths of limbs become the character's, the motion stays, feet stay on the floor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wan_animate_blender import retarget, rigs
from wan_animate_blender.retarget import LIMB_FACTORS, Retarget
from wan_animate_blender.rigs import anatomy

from .blender import people
from .blender.people import FAMILIES

FLOOR = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
AT = {point: i for i, point in enumerate(rigs.ORDER)}


def person() -> np.ndarray:
    """All 133 points at rest: a Rigify person with a derived face."""
    rig = people.rig("someone", FAMILIES["metarig"][1])
    return anatomy.at_rest(anatomy.bind(rigs.choose(rig), rig.bones), rig.bones)


def posed() -> np.ndarray:
    """The same, walking: each limb turned about its joint, lengths kept."""
    points = person()
    for joint, axis, angle in (("hip.L", 0, 0.6), ("knee.L", 0, -0.9), ("shoulder.R", 2, 0.8), ("elbow.R", 1, 1.1)):
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.eye(3)
        a, b = (i for i in range(3) if i != axis)
        turn[[a, a, b, b], [a, b, a, b]] = cos, -sin, sin, cos
        moved = [AT[point] for point in below(joint)]
        points[moved] = points[AT[joint]] + (points[moved] - points[AT[joint]]) @ turn.T
    return points


def below(joint: str) -> list[str]:
    """Points that a joint carries."""
    part, _, s = joint.partition(".")
    arm = ["shoulder", "elbow", "wrist"]
    leg = ["hip", "knee", "ankle"]
    chain = arm if part in arm else leg
    ends = [p for p in rigs.ORDER if p.endswith(f".{s}") and (
        p.split(".")[0] in ("bigtoe", "smalltoe", "heel") if chain is leg
        else p.startswith(("hand", *rigs.FINGERS)))]  # fmt: skip
    return [f"{each}.{s}" for each in chain[chain.index(part) + 1 :]] + ends


def length(points: np.ndarray, a: str, b: str) -> float:
    return float(np.linalg.norm(points[AT[a]] - points[AT[b]]))


FACTORS = st.fixed_dictionaries(dict.fromkeys(LIMB_FACTORS, st.floats(0.3, 3.0)))


@given(factors=FACTORS, scale=st.floats(0.3, 3.0))
@settings(max_examples=50, deadline=None)
def test_every_limb_gets_its_own_length(factors: dict[str, float], scale: float) -> None:
    before, after = posed(), retarget.apply(posed(), Retarget(scale=scale, **factors), FLOOR)
    for s in "LR":
        for name, a, b in (
            ("upper_arm", "shoulder", "elbow"), ("forearm", "elbow", "wrist"), ("thigh", "hip", "knee"),
            ("shank", "knee", "ankle"), ("foot", "ankle", "bigtoe"), ("foot", "ankle", "heel"),
            ("hand", "hand", "pinky3"), ("hand", "index1", "index2"),
        ):  # fmt: skip
            a, b = f"{a}.{s}", f"{b}.{s}"
            assert length(after, a, b) == pytest.approx(scale * factors[name] * length(before, a, b)), name
    for name, a, b in (
        ("shoulders", "shoulder.L", "shoulder.R"),
        ("hips", "hip.L", "hip.R"),
        ("head", "nose", "face8"),
    ):
        assert length(after, a, b) == pytest.approx(scale * factors[name] * length(before, a, b)), name


@given(factors=FACTORS)
@settings(max_examples=25, deadline=None)
def test_limbs_keep_their_directions(factors: dict[str, float]) -> None:
    before, after = posed(), retarget.apply(posed(), Retarget(**factors), FLOOR)
    for a, b in (("shoulder.R", "elbow.R"), ("hip.L", "knee.L"), ("knee.L", "ankle.L"), ("index0.L", "index3.L")):
        old, new = (points[AT[b]] - points[AT[a]] for points in (before, after))
        assert new / np.linalg.norm(new) == pytest.approx(old / np.linalg.norm(old), abs=1e-9)


def test_hands_move_along_with_the_wrist_and_faces_with_the_head() -> None:
    before, after = posed(), retarget.apply(posed(), Retarget(upper_arm=1.5, neck=2.0), FLOOR)
    hand = slice(AT["hand.R"], AT["pinky3.R"] + 1)
    face = slice(AT["face0"], AT["face67"] + 1)
    for part in (hand, face):
        assert np.ptp(after[part] - before[part], axis=0) == pytest.approx(0, abs=1e-12)
        assert np.linalg.norm((after - before)[part], axis=1).min() > 0.05
    assert after[AT["knee.R"]] == pytest.approx(before[AT["knee.R"]])


def test_without_a_change_every_bit_stays() -> None:
    points = posed()
    assert retarget.apply(points, Retarget(), FLOOR) is points
    assert retarget.apply(points, Retarget(x=0.3, y=-0.2), FLOOR) is points  # the camera's to add


@pytest.mark.parametrize("to", [Retarget(scale=0.5), Retarget(thigh=1.4, shank=1.4, foot=1.4)])
def test_feet_stay_on_the_floor(to: Retarget) -> None:
    before = person()
    floor = np.array([[0.3, -0.2, before[:, 2].min()], [0.0, 0.0, 1.0]])
    after = retarget.apply(before, to, floor)
    assert np.nanmin(after[:, 2]) == pytest.approx(np.nanmin(before[:, 2]), abs=0.01)
    assert after[AT["hip.L"], :2].mean() == pytest.approx(before[AT["hip.L"], :2].mean(), abs=0.06)


def test_the_floor_may_have_any_direction() -> None:
    turn = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    to = Retarget(scale=1.3, thigh=0.8, head=2.0)
    straight = retarget.apply(posed(), to, FLOOR)
    turned = retarget.apply(posed() @ turn.T, to, FLOOR @ turn.T)
    assert np.allclose(turned, straight @ turn.T, equal_nan=True)


@given(factors=FACTORS, scale=st.floats(0.3, 3.0))
@settings(max_examples=25, deadline=None)
def test_lengths_of_another_rig_are_taken_over(factors: dict[str, float], scale: float) -> None:
    """A rig retargeted to another one's lengths has that one's lengths."""
    ours = person()
    theirs = retarget.apply(ours, Retarget(scale=scale, **factors), FLOOR)
    found = retarget.between(ours, theirs)
    fitted = retarget.apply(ours, found, FLOOR)
    for s in "LR":
        for a, b in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"), ("ankle", "bigtoe"),
                     ("hand", "middle0"), ("shoulder", "hip")):  # fmt: skip
            a, b = f"{a}.{s}", f"{b}.{s}"
            assert length(fitted, a, b) == pytest.approx(length(theirs, a, b), abs=1e-6)
    assert length(fitted, "ear.L", "ear.R") == pytest.approx(length(theirs, "ear.L", "ear.R"), abs=1e-6)


def test_a_rig_twice_as_large_is_a_matter_of_scale_alone() -> None:
    found = retarget.between(person(), 2 * person())
    assert found.scale == pytest.approx(2)
    assert [getattr(found, name) for name in LIMB_FACTORS] == pytest.approx([1] * len(LIMB_FACTORS))
    assert retarget.between(person(), person()) == Retarget()


def test_lengths_that_a_rig_does_not_have_stay_as_they_are() -> None:
    handless = person()
    handless[AT["thumb0.L"] : AT["pinky3.L"] + 1] = np.nan
    found = retarget.between(person(), handless)
    assert found.hand == 1.0
    fitted = retarget.apply(handless, replace(found, forearm=2.0), FLOOR)
    assert np.isnan(fitted[AT["index0.L"]]).all()
    assert np.isfinite(fitted[AT["wrist.L"]]).all()
