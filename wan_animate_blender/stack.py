"""The takes of a strip that are in the edit, one above the other: which of them is seen. Knows no folders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import bpy

from . import placement, timeline
from .timeline import Strip
from .wire import TAKE_PREFIX, version_name

SHOWN = ("character", "generated")
"""The layers that are seen; strips of the others are there for effects and masks, and stay muted."""


@dataclass(frozen=True)
class Entry:
    """One take in the edit."""

    take: str
    """What no other take is called (see `WanAnimateStrip.take`)."""
    shot: str
    strips: tuple[Strip, ...]
    """One for each layer, and for each piece when it was cut."""

    @property
    def version(self) -> int:
        return int(self.take.rpartition(" ")[2])

    @property
    def title(self) -> str:
        return f"{self.shot} {version_name(TAKE_PREFIX, self.version)}"

    @property
    def seen(self) -> list[Strip]:
        return [strip for strip in self.strips if strip.wan_animate.layer in SHOWN]

    @property
    def is_shown(self) -> bool:
        return any(not strip.mute for strip in self.seen)

    @property
    def is_pinned(self) -> bool:
        return any(strip.wan_animate.pinned for strip in self.strips)


def of(scene: bpy.types.Scene, source: Strip, shot: str) -> list[Entry]:
    """The takes of the person of `shot` in `source`, the newest first.

    After a cut those of the strip that `source` was a part of come last, as far as they lie within it.
    """
    ours = source.wan_animate
    own: dict[str, list[Strip]] = {}
    inherited: dict[str, list[Strip]] = {}
    first, end = timeline.frame_range(source)
    for strip in timeline.strips_all(scene.sequence_editor):
        theirs = strip.wan_animate
        if not theirs.take:
            continue
        if theirs.parent == ours.uid and theirs.shot == shot:
            own.setdefault(theirs.take, []).append(strip)
        elif theirs.parent == ours.parent and _same_person(theirs.shot, source, shot) and _within(strip, first, end):
            inherited.setdefault(theirs.take, []).append(strip)
    return [*_newest_first(own), *_newest_first(inherited)]


def _newest_first(found: dict[str, list[Strip]]) -> list[Entry]:
    entries = [Entry(take, strips[0].wan_animate.shot, tuple(strips)) for take, strips in found.items()]
    return sorted(entries, key=lambda entry: -entry.version)


def _within(strip: Strip, first: int, end: int) -> bool:
    start, stop = timeline.frame_range(strip)
    return first <= start and stop <= end


def _same_person(other: str, source: Strip, shot: str) -> bool:
    """Whether `other`, a shot of the strip that `source` was cut from, is of the same person as `shot`.

    What follows the name of the strip's shot is the person's (see `request.prepare`), and nothing for the first one.
    """
    ours = source.wan_animate
    endings = [person.shot.removeprefix(ours.shot) for person in ours.people]
    its = max((ending for ending in endings if other.endswith(ending)), key=len, default="")
    return its == shot.removeprefix(ours.shot)


def hide(entries: Iterable[Entry]) -> None:
    """Mute takes, as a newer one arrives: those that are pinned stay in sight."""
    for entry in entries:
        if not entry.is_pinned:
            _show(entry, False)


def solo(entries: Sequence[Entry], take: str) -> None:
    """Show `take` and mute all others; "" mutes all, so that the plate is seen."""
    for entry in entries:
        _show(entry, entry.take == take)


def _show(entry: Entry, shown: bool) -> None:
    for strip in entry.seen:
        strip.mute = not shown


def shown(entries: Iterable[Entry]) -> str:
    """The uppermost take that is seen; "" while that is the plate alone."""
    seen = [entry for entry in entries if entry.is_shown]
    return max(seen, key=lambda entry: max(strip.channel for strip in entry.seen)).take if seen else ""


def compare(source: Strip, entries: Sequence[Entry], *, plate: bool) -> str:
    """Change between two pictures of the same frames, there and back: the take that is seen, and the plate or the take
    seen before, which at first is the next older one. Returns the take that is seen now, "" for the plate.

    Without another take it is the plate, too.
    """
    now, names = shown(entries), [entry.take for entry in entries]
    before = source.wan_animate.compared
    if plate:
        then = "" if now else before if before in names else next(iter(names), "")
    else:
        others = names[names.index(now) + 1 :] + names if now else names
        then = before if before in names and before != now else next((name for name in others if name != now), "")
    if now:
        source.wan_animate.compared = now
    solo(entries, then)
    return then


def pin(entry: Entry, pinned: bool) -> None:
    for strip in entry.strips:
        strip.wan_animate.pinned = pinned


def remove(scene: bpy.types.Scene, source: Strip, entry: Entry) -> None:
    """Take `entry` out of the edit; its files stay, and effects that showed it show `source` again."""
    for strip in entry.strips:
        holder = placement.holder_of(scene, strip)
        for effect in timeline.strips(holder):
            placement.swap(effect, strip, source)  # else Blender would remove the effect with its input
        timeline.strips(holder).remove(strip)
