"""How a person moves: joint angles, place and expression over time. Knows no body and no camera.

Every angle goes smoothly from one value to another while it swings about both; kinds of motion (gestures, walks, waves,
reaches, dances, turns) differ in how far and how fast, and a gait ties legs and arms together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .chance import Chance

FPS = 24.0

# Degrees: rest, how far from rest one may begin and end (both ways), swing, limits.
_ANGLES = {
    "yaw": (0, 35, 4, -400, 400), "lean": (3, 6, 3, -15, 25), "sway": (0, 4, 3, -15, 15),
    "twist": (0, 12, 5, -40, 40), "bend": (4, 10, 4, -20, 45), "side": (0, 7, 4, -25, 25),
    "head_yaw": (0, 25, 6, -70, 70), "head_pitch": (-5, 12, 5, -35, 40), "head_roll": (0, 9, 4, -30, 30),
    **{f"{name}_{side}": row for side in ("left", "right") for name, row in {
        "raise": (12, 6, 4, -5, 165), "flex": (6, 12, 7, -45, 170), "roll": (0, 30, 8, -80, 80),
        "elbow": (18, 14, 9, 2, 145), "wrist": (0, 20, 10, -60, 60), "curl": (25, 25, 10, -5, 95),
        "thigh": (3, 8, 4, -35, 100), "splay": (4, 5, 2, -10, 45), "turnout": (8, 10, 2, -25, 40),
        "knee": (8, 8, 5, 0, 130), "ankle": (0, 6, 4, -35, 35),
    }.items()},
}  # fmt: skip
ANGLES = tuple(_ANGLES)

_NODDING = ("lean", "sway", "bend", "side", "head_pitch", "head_roll")
"""Half as much of these in a portrait, so that the face is seen."""

_SPANS = {
    "jaw": (0, 1), "smile": (-1, 1), "round": (0, 1), "raise": (-1, 1), "frown": (-1, 1),
    "lid_left": (0, 1), "lid_right": (0, 1), "gaze_x": (-1, 1), "gaze_y": (-1, 1),
}  # fmt: skip
EXPRESSION = tuple(_SPANS)
"""Mouth open; corners up; pursed; brows up; inner ends of the brows down; eyes open (1) or shut; gaze to the left of
the person and up."""

EXPRESSION_SPANS = tuple((float(low), float(high)) for low, high in _SPANS.values())
"""Lowest and highest of each."""

GESTURE, WALK, WAVE, REACH, DANCE, TURN = range(6)
_KINDS = (3, 3, 2, 3, 3, 1.5)


@dataclass(frozen=True)
class Motion:
    """`angles`: radians [B, T] by name; `place` [B, T, 2]: metres to the left and forward; `expression` [B, T, E]."""

    angles: dict[str, Tensor]
    place: Tensor
    expression: Tensor


def draw(chance: Chance, frames: int, difficulty: float, portrait: Tensor) -> Motion:
    """A motion of `frames` frames for each clip; `portrait` bool [B]: the face stays in sight."""
    kind = chance.chosen("kind", *_KINDS)
    time = torch.arange(frames, device=kind.device) / FPS
    degrees = _swings(chance, time, difficulty, kind, portrait)
    degrees = degrees + _gait(chance, time, kind)
    low, high = torch.tensor([row[3:] for row in _ANGLES.values()], device=kind.device).unbind(-1)
    angles = degrees.clamp(low, high) * (math.pi / 180)
    named = dict(zip(ANGLES, angles.unbind(-1), strict=True))
    return Motion(named, _place(chance, time, kind, named["yaw"], portrait), _expression(chance, time))


def still(chance: Chance, portrait: Tensor) -> Motion:
    """One frame of somebody who stands for a picture: T = 1."""
    motion = draw(chance, 1, 0.4, portrait)
    angles = {name: angle * (0.5 if name in ("yaw", "head_yaw") else 1.0) for name, angle in motion.angles.items()}
    return Motion(angles, torch.zeros_like(motion.place), motion.expression)


def eased(share: Tensor) -> Tensor:
    """From 0 to 1 without a jerk."""
    share = share.clamp(0, 1)
    return share * share * (3 - 2 * share)


def _passing(chance: Chance, name: str, time: Tensor, count: int) -> Tensor:
    """How far each of `count` values is from its first to its last [B, T, count]: some go early, some late."""
    length = (time[-1] + 1 / FPS).clamp(min=0.4)
    start, lasting = chance.uniform(name, 2, count).unbind(1)
    start, lasting = length * (start * 0.8 - 0.2), 0.3 + 0.9 * lasting
    return eased((time[:, None] - start[:, None]) / lasting[:, None])


def _swings(chance: Chance, time: Tensor, difficulty: float, kind: Tensor, portrait: Tensor) -> Tensor:
    """Degrees [B, T, A] before the gait and the limits."""
    rest, reach, swing = torch.tensor([row[:3] for row in _ANGLES.values()], device=time.device).T.float()
    nodding = torch.tensor([name in _NODDING for name in ANGLES], device=time.device)
    reach = reach * (0.5 + difficulty) * torch.where(portrait[:, None, None] & nodding, 0.5, 1.0)
    ends = rest + reach * _bell(chance, "ends", 2, len(ANGLES))
    first, last = _raised(chance, ends, kind, portrait).unbind(1)
    first, last = _turning(chance, first, last, kind, portrait, difficulty)
    frequency, phase, much = chance.uniform("swing", 3, len(ANGLES)).unbind(1)
    lively = 0.4 + 0.8 * difficulty + 1.5 * (kind == DANCE)[:, None] * much
    wave = torch.sin(2 * math.pi * ((0.3 + 1.2 * frequency)[:, None] * time[:, None] + phase[:, None]))
    between = torch.lerp(first[:, None], last[:, None], _passing(chance, "passing", time, len(ANGLES)))
    swung: Tensor = between + wave * (swing * lively)[:, None]
    return swung


def _raised(chance: Chance, ends: Tensor, kind: Tensor, portrait: Tensor) -> Tensor:
    """The same `ends` [B, 2, A] with arms lifted: always when one waves or reaches, often in a dance or a gesture.

    In a portrait less often and less high: a hand before the face hides what the clip is for.
    """
    share = torch.tensor([0.4, 0.12, 0.25, 0.8, 0.75, 0.3], device=kind.device)[kind]
    share, high = share * torch.where(portrait, 0.5, 1.0), torch.where(portrait, 0.7, 1.0)[:, None]
    for side in ("left", "right"):
        lifted = chance.uniform(f"lifted {side}", 2) < share[:, None]
        lifted = lifted | ((kind == WAVE)[:, None] & chance.happens("hand", 0.5)[:, None].eq(side == "left"))
        up = chance.uniform(f"up {side}", 2, 5)
        waving = (kind == WAVE)[:, None]
        pose = {
            "raise": torch.where(waving, 70 + 60 * up[..., 0], 10 + 120 * up[..., 0] ** 1.5),
            "flex": torch.where(waving, 20 * up[..., 1], -10 + 130 * high * up[..., 1]),
            "roll": -60 + 120 * up[..., 2],
            "elbow": torch.where(waving, 40 + 60 * up[..., 3], 5 + 110 * up[..., 3]),
            "curl": 90 * up[..., 4] ** 2,
        }
        for name, degrees in pose.items():
            column = ANGLES.index(f"{name}_{side}")
            ends = ends.index_copy(2, _number(column, ends), torch.where(lifted, degrees, ends[..., column])[..., None])
    return ends


def _turning(
    chance: Chance, first: Tensor, last: Tensor, kind: Tensor, portrait: Tensor, difficulty: float
) -> tuple[Tensor, Tensor]:
    """Yaw: towards the camera more or less, walkers anywhere, and turns by up to half a circle."""
    yaw = _number(ANGLES.index("yaw"), first)
    wide = torch.where(kind == WALK, 70.0, 30.0) * torch.where(portrait, 0.5, 1.0) * (0.6 + 0.8 * difficulty)
    begin = wide * _bell(chance, "facing")
    turn = torch.where(kind == TURN, 180.0, 20.0) * torch.where(portrait, 0.3, 1.0)
    end = begin + turn * chance.between("turning", -1, 1)
    return first.index_copy(1, yaw, begin[:, None]), last.index_copy(1, yaw, end[:, None])


def _gait(chance: Chance, time: Tensor, kind: Tensor) -> Tensor:
    """Degrees [B, T, A] that walking and dancing add: legs in turn, arms against them, knees in a beat."""
    pace, phase, force = chance.uniform("gait", 3).unbind(1)
    cycle = 2 * math.pi * ((0.7 + 0.6 * pace)[:, None] * time + phase[:, None])
    walk = ((kind == WALK) * (0.7 + 0.6 * force))[:, None]
    dance = ((kind == DANCE) * force)[:, None]
    added = dict.fromkeys(ANGLES, torch.zeros_like(cycle))
    for side, sign in (("left", 1.0), ("right", -1.0)):
        added[f"thigh_{side}"] = walk * 28 * sign * cycle.sin() + dance * 14 * (1 + (2 * cycle).sin())
        added[f"knee_{side}"] = walk * 26 * (1 + sign * (cycle + 0.6).cos()) + dance * 28 * (1 + (2 * cycle).sin())
        added[f"flex_{side}"] = -walk * 24 * sign * cycle.sin()
        added[f"elbow_{side}"] = walk * 10 * (1 - sign * cycle.sin())
        added[f"ankle_{side}"] = walk * 10 * sign * (cycle + 1.2).sin()
    added["twist"] = walk * 7 * cycle.sin()
    added["sway"] = dance * 8 * cycle.sin()
    added["side"] = -dance * 10 * cycle.sin()
    for side in ("left", "right"):
        hand = chance.happens("hand", 0.5).eq(side == "left")
        added[f"elbow_{side}"] = added[f"elbow_{side}"] + ((kind == WAVE) & hand)[:, None] * 28 * (3 * cycle).sin()
    return torch.stack(list(added.values()), -1)


def _place(chance: Chance, time: Tensor, kind: Tensor, yaw: Tensor, portrait: Tensor) -> Tensor:
    """Walkers go where they look, centred on the middle of the clip; the others shift a little."""
    speed = (kind == WALK) * chance.between("speed", 0.3, 1.2) * torch.where(portrait, 0.25, 1.0)
    steps = torch.stack((yaw.sin(), yaw.cos()), -1) * (speed[:, None, None] / FPS)
    path = steps.cumsum(1)
    drift = 0.12 * _bell(chance, "drift", 1, 2) * (time[:, None] - time[-1] / 2)
    return path - path[:, len(time) // 2, None] + drift


def _expression(chance: Chance, time: Tensor) -> Tensor:
    """From one expression over a second to a third, talking at times; eyes blink and look about."""
    count = len(EXPRESSION)
    marks = chance.uniform("expressions", 3, count)
    strength = torch.tensor([1.0, 1, 0.8, 1, 1, 0, 0, 1, 1], device=time.device)
    low, high = torch.tensor(list(_SPANS.values()), device=time.device).unbind(-1)
    strong = marks * marks * (3 - 2 * marks)  # away from the middle, so that expressions are seen
    first, second, third = (low + (high - low) * strong * strength).unbind(1)
    turn, back = (_passing(chance, f"face {i}", time, count) for i in (1, 2))
    now = torch.lerp(torch.lerp(first[:, None], second[:, None], turn), third[:, None], back * turn)
    parts = dict(zip(EXPRESSION, now.unbind(-1), strict=True))
    parts["jaw"] = _jaw(chance, time, parts["jaw"])
    parts["lid_left"], parts["lid_right"] = _lids(chance, time).unbind(-1)
    parts["round"] = parts["round"] * (parts["smile"] < 0.5)
    return torch.stack([parts[name] for name in EXPRESSION], -1)


def _jaw(chance: Chance, time: Tensor, jaw: Tensor) -> Tensor:
    talks = chance.happens("talks", 0.4)[:, None]
    tempo, phase = chance.uniform("talk", 2).unbind(1)
    beat = torch.sin(2 * math.pi * ((2.0 + 2.5 * tempo)[:, None] * time + phase[:, None]))
    return torch.where(talks, 0.3 * jaw + 0.35 * (1 + beat), jaw * (jaw > 0.15))


def _lids(chance: Chance, time: Tensor) -> Tensor:
    """[B, T, 2]: wide, half shut or shut for the whole clip, and a blink at some moment."""
    base = chance.uniform("lids", 2)
    shared = torch.where(chance.happens("wink", 0.2)[:, None], base, base[:, :1])
    opening = torch.where(shared < 0.06, torch.zeros_like(shared), 0.45 + 0.55 * shared)
    moment = chance.between("blink", -0.3, 2.5)[:, None]
    blink = ((time - moment).abs() / 0.12).clamp(0, 1)
    return opening[:, None] * blink[..., None]


def _bell(chance: Chance, name: str, *shape: int) -> Tensor:
    """[B, *shape] between -1.5 and 1.5, mostly small."""
    return chance.uniform(name, 3, *shape).sum(1) - 1.5


def _number(index: int, like: Tensor) -> Tensor:
    return torch.tensor([index], device=like.device)
