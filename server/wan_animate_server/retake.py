"""Which segments a render, a re-take or an extension makes, and which of them is seen where. Knows numbers only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from wan_animate_blender.wire import Blend, Settings

from .segments import Part, Span, plan, segment_seed

RAMP = 8
"""Frames at most over which old and new are mixed: a third of a second of film, two latent frames."""


def whole(frames: int, settings: Settings) -> tuple[Part, ...]:
    """The parts of a shot of which nothing is there."""
    spans = plan(frames, settings.segment, settings.overlap, settings.plan)
    return tuple(_part(span, span.indices(frames), settings.seed) for span in spans)


def retaken(base: Sequence[Part], made: range, frames: int, seed: int) -> tuple[Part, ...]:
    """The parts of `base` that have frames of `made`, to be rendered again with `seed` and seen in `made` only.

    Where `made` begins or ends beside a frame that is kept, a ramp inside of it leads over; not where a segment begins
    with it, for that is handed the kept frames and goes on from them.
    """
    latest = {part.index: part for part in base}.values()
    hit = sorted((part for part in latest if _common(part.keep, made)), key=lambda part: part.keep.start)
    ramp = min(RAMP, len(made) // 3)
    goes_on = made.start == hit[0].keep.start and len(hit[0].handed) > 0
    blend = Blend(
        first=made.start, last=made.stop - 1, enter=0 if made.start == 0 or goes_on else ramp,
        leave=0 if made.stop == frames else ramp,
    )  # fmt: skip
    number = _next_round(base)
    return tuple(replace(part, seed=segment_seed(seed, part.index), round=number, blend=blend, key="") for part in hit)


def extended(base: Sequence[Part], kept: range, frames: int, settings: Settings) -> tuple[Part, ...]:
    """The parts of the frames before and after `kept`, which are those of `base`.

    Those after it are handed its last frames; those before it know nothing of it, for the model only knows what was.
    """
    index = max(part.index for part in base) + 1
    found: list[Part] = []
    for part in (*_head(kept.start, frames, settings), *_tail(base, kept.stop, frames, settings)):
        number = index + len(found)
        found.append(replace(part, index=number, seed=segment_seed(settings.seed, number), round=_next_round(base)))
    return tuple(found)


def beneath(parts: Iterable[Part], part: Part) -> list[Part]:
    """What has the same frames as `part` and is older, the oldest first."""
    return [other for other in parts if other.index == part.index and other.round < part.round]


def before(parts: Iterable[Part], part: Part) -> list[Part]:
    """What delivers the frames that `part` is handed, the oldest first; [] where it is handed nothing.

    Of the same render that is the part before it alone, unmixed: mixed frames would pull it back to what was there.
    """
    if not part.handed:
        return []
    ending = [other for other in parts if other.keep.stop == part.keep.start and other.round <= part.round]
    return [other for other in ending if other.round == part.round] or ending


def visible(parts: Iterable[Part], frames: range) -> list[Part]:
    """Those of `parts`, which lie over each other, the oldest lowest, of which `frames` show something."""
    seen: list[Part] = []
    for part in parts:
        weights = [part.weight(frame) for frame in frames]
        if min(weights) == 1:
            seen = [part]
        elif max(weights) > 0:
            seen.append(part)
    return seen


def unguided(parts: Iterable[Part]) -> list[int]:
    """Frames, but for the first, that a segment begins with which knew nothing of those before."""
    return sorted({part.keep.start for part in parts if part.keep.start > 0 and not part.handed})


def _head(frames: int, of: int, settings: Settings) -> list[Part]:
    """The parts of the first `frames` of a shot; what they render beyond are the frames that follow."""
    if not frames:
        return []
    spans = plan(frames, settings.segment, settings.overlap, settings.plan)
    return [_part(span, span.indices(of), settings.seed) for span in spans]


def _tail(base: Sequence[Part], start: int, frames: int, settings: Settings) -> list[Part]:
    """The parts of the frames from `start` to the end."""
    if start == frames:
        return []
    last = next(part for part in base if part.keep.stop == start)
    known = settings.overlap if start - last.rendered[0] >= settings.overlap else 1
    given = start - known
    parts = []
    for span in plan(frames - given, settings.segment, settings.overlap, settings.plan):
        rendered = [given + i for i in span.indices(frames - given)]
        keep = range(max(given + span.keep.start, start), given + span.keep.stop)
        parts.append(replace(_part(span, rendered, settings.seed), keep=keep))
    return parts


def _part(span: Span, rendered: Sequence[int], seed: int) -> Part:
    return Part(span.index, tuple(rendered), span.keep, segment_seed(seed, span.index))


def _next_round(base: Iterable[Part]) -> int:
    return max(part.round for part in base) + 1


def _common(one: range, other: range) -> bool:
    return max(one.start, other.start) < min(one.stop, other.stop)
