"""Which frame of its footage a strip shows when, and where on the timeline a frame of the footage is.

Knows what the sequencer does with time; how this Blender spells it is the timeline's to know.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction

import bpy
import numpy as np

from . import retiming, timeline
from .wire import BadInput, Timecode, WireError

BETWEEN_FRAMES = ("SCENE", "MASK", "META")
"""Types of strips that have a picture at every moment, and not only at whole frames."""


def sources(parents: Sequence[timeline.Strip], strip: timeline.Strip, frames: Iterable[int]) -> list[float]:
    """The frame of the footage (0 is its first) that `strip` shows at each of `frames` of the timeline.

    It is the frame that is seen, so that a pose made at it fits the picture: whole where Blender shows whole frames,
    with its fraction where Blender makes a picture between two of them (scenes, masks, an interpolating Speed
    effect). Of scenes, masks and clips 0 is the first frame of their own range, of a meta strip its content's first.
    An effect on one strip shows that strip's footage; other effects, colours and texts count their own frames.
    Raises `BadInput` when a meta strip around it plays at another pace, or a setting of time is driven.
    """
    for meta in parents:
        _expect_plain(meta)
    return [source(strip, frame) for frame in frames]


def source(strip: timeline.Strip, frame: float) -> float:
    """As `sources`, of one frame of the timeline that the strip is on."""
    if strip.type == "SPEED":
        return _through_speed(strip, frame)
    if getattr(strip, "input_count", 0) == 1:
        return source(strip.input_1, frame)
    if strip.type not in timeline.FOOTAGE:
        return float(frame - timeline.frame_range(strip)[0])
    index = _clock(strip, frame).index(frame)
    if strip.type in BETWEEN_FRAMES:
        return index + (0 if _ignores_trim(strip) else timeline.content(strip).trimmed)
    return float(retiming.nearest(index) + timeline.content(strip).trimmed)


def _ignores_trim(strip: timeline.Strip) -> bool:
    """Blender cuts frames off the start of these without ever starting later."""
    return strip.type == "MASK" or (strip.type == "SCENE" and strip.scene_input == "SEQUENCER")


def _clock(strip: timeline.Strip, frame: float) -> retiming.Clock:
    """How `strip` counts at `frame`, at which its keyframes are taken."""
    behind = timeline.content(strip)
    return retiming.Clock(
        first=behind.first,
        last=behind.end - 1,
        frames=behind.frames,
        rate=timeline.rate(strip),
        reverse=bool(_value(strip, "use_reverse_frames", frame)),
        strobe=_value(strip, "strobe", frame),
        keys=timeline.retiming_keys(strip),
        old=timeline.OLD_KEYS,
    )


def keep_pace(copy: timeline.Strip, strip: timeline.Strip, frame: float) -> None:
    """Let `copy`, which has lost its keyframes, count at `frame` as `strip` does."""
    if strip.type in timeline.FOOTAGE:
        copy.strobe = _value(strip, "strobe", frame)
        copy.use_reverse_frames = bool(_value(strip, "use_reverse_frames", frame))


def _expect_plain(meta: timeline.Strip) -> None:
    clock = _clock(meta, timeline.frame_range(meta)[0])
    if clock.reverse or clock.strobe > 1 or clock.rate != 1 or clock.keys:
        raise BadInput(
            f"the meta strip {meta.name!r} plays what is in it reversed, strobed or retimed; "
            "generate the meta strip itself, or set that on the strips inside it"
        )


def _value(strip: timeline.Strip, name: str, frame: float) -> float:
    """A setting of `strip` at `frame`, by its keyframes where it has some. Raises `BadInput` when it is driven."""
    animation = strip.id_data.animation_data
    if animation is None:
        return float(getattr(strip, name))
    path = strip.path_from_id(name)
    if animation.drivers.find(path):
        raise BadInput(
            f"{name!r} of the strip {strip.name!r} has a driver, whose values of other frames are not known; "
            "bake it to keyframes"
        )
    curve = _curve(animation, path)
    return curve.evaluate(frame) if curve else float(getattr(strip, name))


def _curve(animation: bpy.types.AnimData | None, path: str) -> bpy.types.FCurve | None:
    return next((curve for curve in timeline.curves(animation) if curve.data_path == path), None)


# --- the Speed effect -----------------------------------------------------------------------------


def _through_speed(effect: timeline.Strip, frame: float) -> float:
    """The frame of the footage that a Speed effect takes from its input: between two frames when it interpolates."""
    target = _target(effect, frame)
    if not effect.use_frame_interpolate:
        return source(effect.input_1, math.floor(target) if timeline.WHOLE_TARGETS else target)
    start, end = (source(effect.input_1, frame) for frame in (math.floor(target), math.ceil(target)))
    return start + (target - math.floor(target)) * (end - start)


def _target(effect: timeline.Strip, frame: float) -> float:
    """Frame of the timeline at which a Speed effect looks at its input (effects.cc, speed_effect_target_frame)."""
    one = np.float32
    first, end = timeline.frame_range(effect)
    reverse, strobe = bool(_value(effect, "use_reverse_frames", frame)), _value(effect, "strobe", frame)
    own = retiming.Clock(first, end, end - first + 1, reverse=reverse, strobe=strobe)
    index = retiming.nearest(own.index(frame))
    below = timeline.content(effect.input_1)
    length = one(below.end - below.first)
    match effect.speed_control:
        case "STRETCH":
            shown = length - one(timeline.frame_range(effect.input_1)[0] - below.first)
            target = shown * (one(index) / one(end - first))
        case "MULTIPLY":
            target = _multiplied(effect, index, float(length))
        case "LENGTH":
            target = length * (one(_value(effect, "speed_length", frame)) / one(100))
        case _:
            target = one(_value(effect, "speed_frame_number", frame))
    return float(min(max(target, one(0)), length) + one(first))


def _multiplied(effect: timeline.Strip, index: int, length: float) -> np.float32:
    """Frames that `index` frames of a Speed effect take at its factor; a factor with keyframes is summed up."""
    curve = _curve(effect.id_data.animation_data, effect.path_from_id("speed_factor"))
    if curve is None:
        factor = np.float32(effect.speed_factor)
        return np.float32(index) * factor + np.float32(length if factor < 0 and timeline.BACK_FROM_THE_END else 0)
    target, first = np.float32(0), timeline.frame_range(effect)[0]
    for frame in range(first + 1, first + index + 1):
        target = min(max(target + np.float32(curve.evaluate(frame)), np.float32(0)), np.float32(length))
    return target


# --- handles and places ---------------------------------------------------------------------------


def handles(parents: Sequence[timeline.Strip], strip: timeline.Strip) -> tuple[int, int]:
    """Frames of the timeline before and after `strip` at which it would show new footage, inside the metas around it.

    What a retimed strip holds at its ends is not new.
    """
    first, end = timeline.frame_range(strip)
    behind = timeline.content(strip)
    start, stop = behind.first, behind.end
    for meta in parents:
        start, stop = max(start, timeline.frame_range(meta)[0]), min(stop, timeline.frame_range(meta)[1])
    while start < first and source(strip, start) == source(strip, start + 1):
        start += 1
    while stop > end and source(strip, stop - 1) == source(strip, stop - 2):
        stop -= 1
    return max(first - start, 0), max(stop - end, 0)


def timecode(strip: timeline.Strip, fps: Fraction, frame: float) -> str:
    """What the movie of `strip` counts at `frame` of its footage; "" where it counts nothing, or at another rate than
    `fps`. Blender tells what the file says as a whole (MXF), not what a track of it says (MOV, MP4)."""
    said = strip.metadata() if strip.type == "MOVIE" and abs(strip.fps - fps) < 1e-3 else None
    try:
        return str(Timecode.read(said["timecode"], fps).later(math.floor(frame))) if said else ""
    except (KeyError, WireError):  # none, or one that this rate never counts
        return ""


def place(strip: timeline.Strip, wanted: Sequence[float], near: int) -> int:
    """Frame of the timeline at which the first of `wanted` frames of the footage lies now, one after the other.

    All of them that the strip shows there are as wanted; where that leaves a choice, it is the place nearest to
    `near`. Raises `BadInput` when there is no such place: the footage was replaced, or plays at another speed.
    """
    start, end = timeline.frame_range(strip)
    behind = timeline.content(strip)
    now = {at: _same(source(strip, at)) for at in range(min(start, behind.first), max(end, behind.end))}
    order: dict[float, list[int]] = {}
    for i, value in enumerate(wanted):
        order.setdefault(_same(value), []).append(i)
    votes = Counter(at - i for at, value in now.items() for i in order.get(value, ()))
    if not votes:
        raise BadInput(
            f"the strip {strip.name!r} has none of the frames any more; give it back the footage that was exported"
        )
    best = max(votes, key=lambda first: (votes[first], -abs(first - near)))
    seen = range(max(start, best), min(end, best + len(wanted)))
    if any(now[at] != _same(wanted[at - best]) for at in seen):
        raise BadInput(
            f"the strip {strip.name!r} has been retimed or reversed since it was exported; "
            "undo that, or generate it again"
        )
    return best


def _same(source: float) -> float:
    """What two sources of the same frame share, after arithmetic and a file."""
    return round(source, 3)
