"""A person in a pose: where every joint is and how every part is turned, and the 133 keypoints. Knows no camera.

The world is in metres, y up, the floor at y = 0; at rest a person looks along +z with the left hand at +x.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from . import face
from .motion import Motion
from .person import Person
from .turning import about_x, about_y, about_z, turned

SIDES = (("left", 1.0), ("right", -1.0))


@dataclass(frozen=True)
class Figure:
    """`joints`: places [B, T, 3]; `turns`: rotations [B, T, 3, 3] of the parts that hang from them; `fingers`: joints
    of either hand [B, T, 5, 4, 3], thumb first, from the palm outwards; `keypoints` [B, T, 133, 3].
    """

    joints: dict[str, Tensor]
    turns: dict[str, Tensor]
    fingers: dict[str, Tensor]
    keypoints: Tensor


def pose(person: Person, motion: Motion) -> Figure:
    """`person` as `motion` moves it, with the lower foot on the floor."""
    turns = _turns(motion)
    joints = _trunk(person, turns)
    fingers = {}
    for side, sign in SIDES:
        joints |= _arm(person, turns, joints, side, sign) | _leg(person, turns, joints, side, sign)
        fingers[side] = _fingers(person, motion, turns, joints, side, sign)
    shift = _standing(person, motion, joints)
    joints = {name: place + shift for name, place in joints.items()}
    fingers = {side: places + shift[:, :, None, None] for side, places in fingers.items()}
    points = _keypoints(person, motion, turns, joints, fingers)
    return Figure(joints, turns, fingers, points)


def length(person: Person, share: float, *names: str) -> Tensor:
    """Metres [B, 1]: a share of the person's size, times the named factors of the shape."""
    metres = share * person.shape["size"]
    for name in names:
        metres = metres * person.shape[name]
    return metres[:, None]


def _turns(motion: Motion) -> dict[str, Tensor]:
    a = motion.angles
    turns = {"pelvis": about_y(a["yaw"]) @ about_x(a["lean"]) @ about_z(a["sway"])}
    turns["chest"] = turns["pelvis"] @ about_y(a["twist"]) @ about_x(a["bend"]) @ about_z(a["side"])
    turns["head"] = (
        turns["chest"] @ about_x(-0.6 * a["bend"]) @ about_y(a["head_yaw"]) @ about_x(a["head_pitch"])
    ) @ about_z(a["head_roll"])
    for side, sign in SIDES:
        arm = about_z(sign * a[f"raise_{side}"]) @ about_x(-a[f"flex_{side}"]) @ about_y(-sign * a[f"roll_{side}"])
        turns[f"upper_{side}"] = turns["chest"] @ arm
        turns[f"fore_{side}"] = turns[f"upper_{side}"] @ about_x(-a[f"elbow_{side}"])
        turns[f"hand_{side}"] = turns[f"fore_{side}"] @ about_z(-sign * a[f"wrist_{side}"])
        leg = about_z(sign * a[f"splay_{side}"]) @ about_x(-a[f"thigh_{side}"]) @ about_y(sign * a[f"turnout_{side}"])
        turns[f"thigh_{side}"] = turns["pelvis"] @ leg
        turns[f"shin_{side}"] = turns[f"thigh_{side}"] @ about_x(a[f"knee_{side}"])
        turns[f"foot_{side}"] = turns[f"shin_{side}"] @ about_x(-a[f"ankle_{side}"])
    return turns


def _trunk(person: Person, turns: dict[str, Tensor]) -> dict[str, Tensor]:
    pelvis = torch.zeros_like(turns["pelvis"][..., 0])
    waist = pelvis + turned(turns["pelvis"], 0.0, length(person, 0.07, "torso"), 0.0)
    neck = waist + turned(turns["chest"], 0.0, length(person, 0.215, "torso"), 0.0)
    skull = neck + turned(turns["chest"], 0.0, length(person, 0.035), length(person, 0.008))
    centre = skull + turned(turns["head"], 0.0, face.centre_height(person)[:, None], length(person, 0.01))
    return {"pelvis": pelvis, "waist": waist, "neck": neck, "skull": skull, "head": centre}


def _arm(
    person: Person, turns: dict[str, Tensor], joints: dict[str, Tensor], side: str, sign: float
) -> dict[str, Tensor]:
    across = sign * length(person, 0.088, "shoulder")
    shoulder = joints["neck"] + turned(turns["chest"], across, length(person, -0.02), 0.0)
    elbow = shoulder + turned(turns[f"upper_{side}"], 0.0, length(person, -0.16, "arm"), 0.0)
    wrist = elbow + turned(turns[f"fore_{side}"], 0.0, length(person, -0.145, "arm"), 0.0)
    return {f"shoulder_{side}": shoulder, f"elbow_{side}": elbow, f"wrist_{side}": wrist}


def _leg(
    person: Person, turns: dict[str, Tensor], joints: dict[str, Tensor], side: str, sign: float
) -> dict[str, Tensor]:
    across = sign * length(person, 0.052, "hip")
    hip = joints["pelvis"] + turned(turns["pelvis"], across, length(person, -0.01), 0.0)
    knee = hip + turned(turns[f"thigh_{side}"], 0.0, length(person, -0.235, "leg"), 0.0)
    ankle = knee + turned(turns[f"shin_{side}"], 0.0, length(person, -0.23, "leg"), 0.0)
    drop, reach = length(person, -0.035), length(person, 0.1)
    toe = ankle + turned(turns[f"foot_{side}"], 0.0, drop, reach)
    heel = ankle + turned(turns[f"foot_{side}"], 0.0, drop, length(person, -0.03))
    return {
        f"hip_{side}": hip, f"knee_{side}": knee, f"ankle_{side}": ankle, f"toe_{side}": toe, f"heel_{side}": heel,
    }  # fmt: skip


# Of a hand that hangs down with the palm to the thigh, in lengths of the palm: where fingers begin (downwards, towards
# the thumb's side), how long they are, and how much they spread.
_FINGERS = [(0.45, 0.4, 0.85, 0.75), (1.0, 0.36, 0.8, 0.14), (1.04, 0.12, 0.92, 0.03),
            (1.0, -0.12, 0.84, -0.08), (0.92, -0.34, 0.66, -0.2)]  # fmt: skip
_JOINTS = (0.0, 0.42, 0.74, 1.0)


def palm(person: Person) -> Tensor:
    """Metres [B, 1] from the wrist to the fingers; larger than life, or hands could not be read at 128 pixels."""
    return length(person, 0.06, "arm")


def _fingers(
    person: Person, motion: Motion, turns: dict[str, Tensor], joints: dict[str, Tensor], side: str, sign: float
) -> Tensor:
    """[B, T, 5, 4, 3]: each finger in two straight pieces that curl towards the palm."""
    down, aside, long, spread = torch.tensor(_FINGERS, device=palm(person).device).unbind(-1)
    hand, size = turns[f"hand_{side}"][:, :, None], palm(person)[..., None]
    curl = motion.angles[f"curl_{side}"][..., None] * torch.tensor([0.5, 1, 1, 1, 1.1], device=down.device)
    start = joints[f"wrist_{side}"][:, :, None] + turned(
        hand, torch.zeros_like(size * down), -size * down, size * aside
    )
    places = [start]
    for part, bend in zip((0.42, 0.32, 0.26), (0.7, 1.5, 1.7), strict=True):
        inwards, outwards = (bend * curl).sin(), (bend * curl).cos()
        step = turned(hand, -sign * inwards, -outwards * spread.cos(), outwards * spread.sin())
        places.append(places[-1] + step * (part * size * long)[..., None])
    return torch.stack(places, 3)


def _standing(person: Person, motion: Motion, joints: dict[str, Tensor]) -> Tensor:
    """How far all is to be moved [B, T, 3]."""
    soles = [joints[f"{part}_{side}"][..., 1] for part in ("toe", "heel") for side in ("left", "right")]
    lowest = torch.stack(soles).amin(0) - length(person, 0.012)
    return torch.stack((motion.place[..., 0], -lowest, motion.place[..., 1]), -1)


def _keypoints(
    person: Person, motion: Motion, turns: dict[str, Tensor], joints: dict[str, Tensor], fingers: dict[str, Tensor]
) -> Tensor:
    """[B, T, 133, 3] in COCO-WholeBody's order."""
    head = face.points(person, motion.expression)
    head = joints["head"][:, :, None] + (turns["head"][:, :, None] @ head[..., None])[..., 0]
    limbs = [
        joints[f"{name}_{side}"] for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
        for side in ("left", "right")
    ]  # fmt: skip
    feet = [place for side in ("left", "right") for place in _foot(person, turns, joints, side)]
    hands = [
        torch.cat((joints[f"wrist_{side}"][:, :, None], fingers[side].flatten(2, 3)), 2) for side in ("left", "right")
    ]
    body = torch.stack((*limbs, *feet), 2)
    return torch.cat((head[:, :, :5], body, head[:, :, 5:], *hands), 2)


def _foot(person: Person, turns: dict[str, Tensor], joints: dict[str, Tensor], side: str) -> list[Tensor]:
    """Big toe, small toe and heel."""
    outwards = length(person, 0.022) * (1.0 if side == "left" else -1.0)
    toe, turn = joints[f"toe_{side}"], turns[f"foot_{side}"]
    small = toe + turned(turn, outwards, 0.0, length(person, -0.02))
    return [toe - turned(turn, 0.5 * outwards, 0.0, 0.0), small, joints[f"heel_{side}"]]


def facing(turn: Tensor) -> Tensor:
    """The way that a part looks: unit vectors [..., 3] of rotations [..., 3, 3]."""
    return normalize(turn[..., 2], dim=-1)
