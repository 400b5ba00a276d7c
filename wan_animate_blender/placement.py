"""Where in an edit a take may lie so that it hides nothing that lies above its strip, and how room is made for it.

Knows strips and whose they are, nothing of folders. Whoever calls this moves no strip of the user, save by
`make_room`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bpy

from . import timeline
from .timeline import LAST_CHANNEL, Strip

UNSEEN = ("SOUND",)
"""Types of strips that show nothing."""

INPUTS = ("input_1", "input_2")


def holder_of(scene: bpy.types.Scene, strip: Strip) -> Any:
    """The innermost meta strip around `strip`, or the editor."""
    way = timeline.path(scene.sequence_editor, strip.name)
    return way[-2] if len(way) > 1 else scene.sequence_editor


def inputs(effect: Strip) -> list[Strip]:
    return [getattr(effect, name) for name in INPUTS[: getattr(effect, "input_count", 0)]]


def effects_on(holder: Any, source: Strip) -> list[Strip]:
    """The effects that show `source` or a take of it in its place, such as a transition to the next strip."""
    return [effect for effect in timeline.strips(holder) if any(_stands_for(one, source) for one in inputs(effect))]


def _stands_for(strip: Strip, source: Strip) -> bool:
    return strip == source or is_of(strip, source)


def fits(effect: Strip, source: Strip, new: Strip) -> bool:
    """Whether `effect` would show of `new` what it shows of `source`: at the same frames, over the same range."""
    return effect.type != "SPEED" and timeline.frame_range(new) == timeline.frame_range(source)


def show_in(effect: Strip, source: Strip, new: Strip) -> None:
    """Let `effect` show `new` where it showed `source` or a take of it."""
    for given in inputs(effect):
        if _stands_for(given, source):
            swap(effect, given, new)


def swap(effect: Strip, old: Strip, new: Strip) -> None:
    for name, given in zip(INPUTS, inputs(effect), strict=False):
        if given == old:
            setattr(effect, name, new)


def shown_itself(holder: Any, strip: Strip, first: int, end: int) -> tuple[int, int]:
    """Of the frames from `first` until `end` those between the transitions that lead to `strip` and away from it.

    All of them, when an effect takes its place over the whole range.
    """
    for effect in effects_on(holder, strip):
        start, stop = timeline.frame_range(effect)
        if effect.mute or len(inputs(effect)) < 2:
            continue
        if first < start < end <= stop:
            end = start
        elif start <= first < stop < end:
            first = stop
    return first, end


def is_of(strip: Strip, source: Strip) -> bool:
    """Whether `strip` shows a take of `source`, or of the one that it was split or copied from."""
    ours, its = strip.wan_animate, source.wan_animate
    return bool(ours.take) and ours.parent in {its.uid, its.parent} - {""}


def behind(holder: Any, source: Strip, shot: str) -> list[Strip]:
    """Takes of those people of `source` who stand behind the one of `shot`."""
    shots = [person.shot for person in source.wan_animate.people]
    hidden = shots[: shots.index(shot)] if shot in shots else []
    return [strip for strip in timeline.strips(holder) if is_of(strip, source) and strip.wan_animate.shot in hidden]


def channel(holder: Any, source: Strip, shot: str, shown: tuple[int, int], whole: tuple[int, int]) -> int | None:
    """The channel for a take of `shot` that is `shown` there, its handles being the rest of `whole`.

    Above `source`, what lies behind the person and its older takes; below all else that is over `source` then. None
    when there is no such channel that is free and unlocked.
    """
    ceiling = _ceiling(holder, source, shot, shown)
    floor = _floor(holder, source, shot, shown, ceiling)
    roomy = timeline.free_channels(holder, *whole, above=floor, below=ceiling)
    return next(iter(roomy or timeline.free_channels(holder, *shown, above=floor, below=ceiling)), None)


def channel_on_top(holder: Any, source: Strip, shot: str, shown: tuple[int, int], whole: tuple[int, int]) -> int:
    """The lowest channel above `source` and all its takes that must be below, whatever it hides. Raises `BadInput`."""
    return timeline.free_channel(holder, *whole, above=_floor(holder, source, shot, shown, LAST_CHANNEL + 1))


def _floor(holder: Any, source: Strip, shot: str, shown: tuple[int, int], ceiling: int) -> int:
    """The highest channel that the take has to be above: older takes on top of everything are no reason."""
    older = [
        strip.channel
        for strip in timeline.strips(holder)
        if is_of(strip, source) and strip.wan_animate.shot == shot and timeline.overlaps(strip, *shown)
    ]
    below = [other.channel for other in behind(holder, source, shot)]
    return max([source.channel, *below, *(channel for channel in older if channel < ceiling)])


def _ceiling(holder: Any, source: Strip, shot: str, shown: tuple[int, int]) -> int:
    """The lowest channel that has to stay above the take."""
    return min((strip.channel for strip in over(holder, source, shot, *shown)), default=LAST_CHANNEL + 1)


def over(holder: Any, source: Strip, shot: str, first: int, end: int) -> Iterator[Strip]:
    """Strips that are over `source` from `first` until `end` and have to stay over the take of `shot`: all that are
    seen, but for its other takes, those of people behind, and what `source` takes its mattes from."""
    ours = source.wan_animate
    shots = [person.shot for person in ours.people]
    in_front = shots[shots.index(shot) + 1 :] if shot in shots else []
    given = [(one.matte_strip, one.region_strip, one.effects_strip, one.face_strip) for one in ours.people]
    material = {ours.clean_plate, *(name for names in given for name in names)}
    for strip in timeline.strips(holder):
        if strip.channel <= source.channel or strip.type in UNSEEN or strip.name in material:
            continue
        if is_of(strip, source) and strip.wan_animate.shot not in in_front:
            continue
        if timeline.overlaps(strip, first, end):
            yield strip


def make_room(holder: Any, source: Strip, shot: str, shown: tuple[int, int]) -> int | None:
    """Insert a channel below what has to stay above the take, as if by hand: everything from there upwards moves up by
    one, channels' names, locks and mutes included. Returns the new channel; None, with nothing moved, when a strip
    or channel that would move is locked, when there are no more channels, or the people behind are above it."""
    ceiling = _ceiling(holder, source, shot, shown)
    moving = sorted((s for s in timeline.strips(holder) if s.channel >= ceiling), key=lambda s: -s.channel)
    locked = any(strip.lock or holder.channels[strip.channel].lock for strip in moving)
    full = not moving or moving[0].channel >= LAST_CHANNEL
    if locked or full or _floor(holder, source, shot, shown, ceiling) >= ceiling:
        return None
    for strip in moving:  # the highest first: where a strip goes there is none, so that Blender moves no other one
        strip.channel += 1
    for number in range(LAST_CHANNEL, ceiling, -1):
        _set_up(holder.channels, number, number - 1)
    blank = holder.channels[ceiling]
    blank.name, blank.lock, blank.mute = _plain_name(ceiling), False, False
    return ceiling


def _set_up(channels: Any, number: int, as_before: int) -> None:
    channel, before = channels[number], channels[as_before]
    plain = _plain_name(as_before)
    if before.name != plain:
        name, before.name = before.name, plain  # no two channels may have one name
        channel.name = name
    else:
        channel.name = _plain_name(number)
    channel.lock, channel.mute = before.lock, before.mute


def _plain_name(number: int) -> str:
    """What Blender calls a channel that was given no name."""
    return f"Channel {number}"
