"""How a demo person moves: a walk, a wave and a face that changes, keyed on the metarig's bones; knows no set.

All angles are turns about the armature's own axes at rest (x to its left, -y ahead, z up), whatever the roll of a bone.
Runs inside Blender.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import cos, pi, radians, sin
from typing import Any

from mathutils import Matrix, Quaternion, Vector

X, Y, Z = Vector((1, 0, 0)), Vector((0, 1, 0)), Vector((0, 0, 1))


@dataclass(frozen=True, kw_only=True)
class Gait:
    """One person's way to walk and wave."""

    period: float
    """Frames of two steps."""
    phase: float
    """Where in the walk it is at frame 0, in turns."""
    swing: float
    """Degrees of a thigh from the vertical."""
    wave: float
    """Frames of one wave of the hand."""
    lift: float
    """Degrees by which the waving arm is raised from where the metarig holds it."""
    bend: float
    """Degrees by which its forearm is turned up from there, in the middle of the wave."""
    start: Vector
    """Where it stands at frame 0, metres."""
    heading: float
    """Degrees from straight towards -y; positive turns to the person's left."""
    mood: float
    """Turns by which its face is ahead of another's."""


def stand(rig: Any) -> None:
    """Arms beside the body, a friendly face: how a character is shown."""
    for side, sign in (("L", 1), ("R", -1)):
        turn(rig, f"upper_arm.{side}", (Y, sign * radians(47)))
        turn(rig, f"forearm.{side}", (Y, sign * radians(8)), (X, radians(-8)))
    express(rig, smile=1.0, mouth=0.0, brow=0.4, blink=0.0, look=0.0)


def perform(rig: Any, gait: Gait, frames: Iterable[int]) -> None:
    """Key the walk, the wave and the face on every one of `frames`."""
    rig.rotation_euler = (0, 0, radians(gait.heading))
    ahead = Matrix.Rotation(radians(gait.heading), 3, "Z") @ -Y
    leg = rig.data.bones["thigh.L"].head_local.z
    stride = 4 * leg * sin(radians(gait.swing))
    for frame in frames:
        turns = frame / gait.period + gait.phase
        walk(rig, gait, turns)
        greet(rig, gait, frame)
        feel(rig, frame / 30 + gait.mood)
        drop = leg * (1 - cos(radians(gait.swing) * sin(2 * pi * turns)))
        rig.location = gait.start + ahead * (stride * frame / gait.period) - Z * drop
        rig.keyframe_insert("location", frame=frame)
        for bone in rig.pose.bones:
            if bone.name in MOVING or bone.name.startswith(FACE):
                bone.keyframe_insert("location", frame=frame)
                bone.keyframe_insert("rotation_quaternion", frame=frame)


MOVING = {
    "spine", "spine.001", "spine.003", "spine.006",
    *(f"{bone}.{side}" for side in "LR" for bone in ("thigh", "shin", "foot", "toe", "upper_arm", "forearm", "hand")),
}  # fmt: skip
FACE = ("eye.", "lid.", "brow.", "lip.", "jaw")


def walk(rig: Any, gait: Gait, turns: float) -> None:
    """Legs, trunk and the arm that hangs, at `turns` full walks since the start."""
    swing = radians(gait.swing)
    for side, half in (("L", 0.0), ("R", 0.5)):
        angle = 2 * pi * (turns + half)
        thigh = -swing * sin(angle)
        knee = radians(6) + radians(58) * max(0.0, cos(angle + 0.35)) ** 2
        turn(rig, f"thigh.{side}", (X, thigh))
        turn(rig, f"shin.{side}", (X, knee))
        turn(rig, f"foot.{side}", (X, -0.75 * (thigh + knee)))
    angle = 2 * pi * turns
    turn(rig, "spine", (Z, radians(5) * sin(angle)))
    turn(rig, "spine.001", (Y, radians(2) * cos(angle)), (X, radians(3)))
    turn(rig, "spine.003", (Z, radians(-8) * sin(angle)))
    turn(rig, "upper_arm.L", (Y, radians(48)), (X, 0.9 * swing * sin(angle)))
    turn(rig, "forearm.L", (X, radians(-18) + 0.4 * swing * sin(angle)))


def greet(rig: Any, gait: Gait, frame: float) -> None:
    """The right arm up, its hand going to and fro; the head leans with it."""
    beat = sin(2 * pi * frame / gait.wave)
    turn(rig, "upper_arm.R", (Y, radians(gait.lift)))
    turn(rig, "forearm.R", (Y, radians(gait.bend + 24 * beat)), (X, radians(-14)))
    turn(rig, "hand.R", (Y, radians(14) * sin(2 * pi * frame / gait.wave - 0.9)))
    turn(rig, "spine.006", (Y, radians(3) * beat), (Z, radians(5) * cos(2 * pi * frame / 40)))


def feel(rig: Any, turns: float) -> None:
    """A face that speaks, blinks, raises its brows and looks about."""
    spoken = 0.5 - 0.5 * cos(2 * pi * turns * 3)
    blink = max(0.0, 1 - abs((turns * 1.3 + 0.6) % 1 - 0.5) * 12)
    express(rig, smile=0.7, mouth=spoken, brow=0.5 + 0.5 * sin(2 * pi * turns), blink=blink, look=cos(2 * pi * turns))


def express(rig: Any, *, smile: float, mouth: float, brow: float, blink: float, look: float) -> None:
    """Set the face. All are 0 to 1 but `look`, -1 (its right) to 1."""
    size = (rig.data.bones["eye.L"].head_local - rig.data.bones["eye.R"].head_local).length / 0.104
    for side, sign in (("L", 1), ("R", -1)):
        turn(rig, f"eye.{side}", (Z, radians(16) * look), (X, radians(2)))
        up, corner = Z * brow * 0.011 * size, (Z * 0.6 + X * sign * 0.45) * smile * 0.014 * size
        for line in "TB":
            links = [f"brow.{line}.{side}{link}" for link in ("", ".001", ".002")]
            follow(rig, links, [Vector(), *[up * (1 + 0.25 * i) for i in range(3)]])
        closed = [f"lid.T.{side}{link}" for link in ("", ".001", ".002", ".003")]
        shut = [Vector(), *(-Z * blink * drop * size for drop in (0.009, 0.0165, 0.0135)), Vector()]
        still = [f"lid.B.{side}{link}" for link in ("", ".001", ".002", ".003")]
        follow(rig, closed + still, [*shut, *[Vector()] * 4])
        open_ = -Z * mouth * 0.028 * size
        follow(rig, [f"lip.T.{side}", f"lip.T.{side}.001"], [-open_ * 0.15, -open_ * 0.1, corner])
        follow(rig, [f"lip.B.{side}", f"lip.B.{side}.001"], [open_, open_ * 0.9, corner])
    turn(rig, "jaw", (X, radians(9) * mouth))


def turn(rig: Any, name: str, *turns: tuple[Vector, float]) -> None:
    """Rotate a bone by `turns` (axis, radians), one after the other."""
    spin = Quaternion()
    for axis, angle in turns:
        spin = Quaternion(axis, angle) @ spin
    settle(rig, name, spin, Vector())


def follow(rig: Any, chain: Sequence[str], moved: Sequence[Vector]) -> None:
    """Lead the joints of a chain of bones, its head first, to where they are at rest plus `moved`."""
    bones = [rig.data.bones[name] for name in chain]
    places = [bones[0].head_local, *(bone.tail_local for bone in bones)]
    goals = [place + offset for place, offset in zip(places, moved, strict=True)]
    turned = Quaternion()
    for i, bone in enumerate(bones):
        spin = (bone.tail_local - bone.head_local).rotation_difference(goals[i + 1] - goals[i])
        settle(rig, bone.name, turned.inverted() @ spin, moved[0] if i == 0 else Vector())
        turned = spin


def settle(rig: Any, name: str, spin: Quaternion, shift: Vector) -> None:
    """Pose a bone by a rotation and a shift that are given in the armature's axes at rest."""
    rest = rig.data.bones[name].matrix_local.to_quaternion()
    bone = rig.pose.bones[name]
    bone.rotation_mode = "QUATERNION"
    bone.rotation_quaternion = rest.inverted() @ spin @ rest
    bone.location = rest.inverted() @ shift
