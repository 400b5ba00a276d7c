"""Which frames each segment renders, hands over and delivers. Knows numbers of frames only."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from wan_animate_blender.wire import Blend, Plan, SegmentRecord


@dataclass(frozen=True)
class Span:
    """The frames of one segment, counted from the shot's first, which is 0."""

    index: int
    first: int
    length: int
    """Frames that are rendered, 4n+1; the last may lie beyond the shot."""
    keep: range
    """Frames that it delivers. The next span begins `overlap` frames before their end."""

    def indices(self, frames: int) -> list[int]:
        """Source frame of each rendered frame. Beyond the shot's end they run back and forth: 0 1 2 3 2 1 0 1 …"""
        period = max(2 * (frames - 1), 1)
        places = (i % period for i in range(self.first, self.first + self.length))
        return [min(i, period - i) if frames > 1 else 0 for i in places]


@dataclass(frozen=True)
class Part:
    """One segment of a take: what it is rendered from, and what is seen of it. Frames count from the shot's first."""

    index: int
    rendered: tuple[int, ...]
    """The shot's frame of each frame that is rendered."""
    keep: range
    """Frames that it delivers, and of which the last ones are handed on."""
    seed: int
    round: int = 0
    """Which render of the take it belongs to: 0 is the first, re-takes and extensions follow."""
    blend: Blend | None = None
    """How it lies over the part that has the same frames; its numbers are frames, too."""
    key: str = ""
    execution: str = ""
    """What computed it: number type, device and threads, on which rounding depends."""

    @property
    def handed(self) -> range:
        """The frames that it begins with and that the segment before it delivers."""
        return range(self.rendered[0], self.keep.start)

    @property
    def shown(self) -> range:
        """Frames of which something is seen."""
        if self.blend is None:
            return self.keep
        return range(max(self.keep.start, self.blend.first), min(self.keep.stop, self.blend.last + 1))

    def weight(self, frame: int) -> float:
        """How much of it is seen in `frame`, 0 to 1."""
        return 1.0 if self.blend is None else self.blend.weight(frame)

    def record(self, first: int) -> SegmentRecord:
        """As a take tells of it whose first frame has the number `first`."""
        return SegmentRecord(
            index=self.index, first=self.keep.start + first, last=self.keep.stop - 1 + first, seed=self.seed,
            key=self.key, rendered=tuple(i + first for i in self.rendered), round=self.round,
            blend=self.blend and self.blend.moved(first), execution=self.execution,
        )  # fmt: skip

    @classmethod
    def of(cls, record: SegmentRecord, first: int) -> Part:
        """The part that `record` tells of in a take whose first frame has the number `first`."""
        return cls(
            index=record.index, rendered=tuple(n - first for n in record.rendered),
            keep=range(record.first - first, record.last + 1 - first), seed=record.seed, round=record.round,
            blend=record.blend and record.blend.moved(-first), key=record.key,
            execution=record.execution,
        )  # fmt: skip


def plan(frames: int, segment: int, overlap: int, plan: Plan) -> tuple[Span, ...]:
    """Cover `frames` ≥ 1 by spans of at most `segment` (4n+1) frames, each starting with `overlap` known ones.

    Every frame is delivered once, in order. `Plan.OFFICIAL` spans are all `segment` long; those of `Plan.EVEN` are
    all as short as covers the shot, and what is left over widens the overlaps instead of mirroring the end.
    """
    count = max(1, -(-(frames - overlap) // (segment - overlap)))
    if plan is Plan.OFFICIAL:
        length, starts = segment, [k * (segment - overlap) for k in range(count)]
    else:
        length = _shortest(frames + (count - 1) * overlap, count)
        starts = [0, *(k * (frames - length) // (count - 1) for k in range(1, count))]
    # A span delivers up to the frames that the next one is handed: its first `overlap`.
    bounds = [0, *(start + overlap for start in starts[1:]), frames]
    return tuple(Span(k, starts[k], length, range(bounds[k], bounds[k + 1])) for k in range(count))


def _shortest(frames: int, count: int) -> int:
    """The smallest 4n+1 of which `count` make at least `frames`."""
    each = -(-frames // count)
    return 4 * -(-(each - 1) // 4) + 1


def segment_seed(seed: int, index: int) -> int:
    """The seed of one segment, below 2^63: the same wherever and in whichever order it is rendered."""
    digest = hashlib.sha256(f"{seed}/{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
