"""The seam guard: what anchors each segment's colours, and how well it joins the one before. Knows no files.

In replace mode a segment is anchored to the plate where it is known, around what is made; in animate mode, or where
next to nothing of the plate is left, to the segment before it by their renderings of the same frames, and through all
before it to the first. What is handed over and stored stays as it was generated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from wan_animate_blender.wire import Grade, Mode, SeamRecord, SegmentRecord

from . import seams
from .pipeline import Decoded, Signals
from .region import CELL, Floats
from .seams import Doubles, Mask

SAMPLED = 8
"""Frames of a segment that are compared with the plate: a straight line in time needs no more."""

AROUND = 5
"""Frames looked at on each side of a join; no overlap is longer."""


@dataclass(frozen=True, eq=False)
class Anchored:
    """How the frames of one segment are delivered."""

    correction: Doubles
    """As it was fitted, or as an earlier take froze it."""
    strength: float
    frames: int
    seam: SeamRecord | None
    """None of a segment that joins nothing known."""

    @property
    def grades(self) -> tuple[Grade, ...]:
        """The correction as `take.json` has it."""
        ends = self.correction.tolist()
        return tuple(Grade(gains=tuple(gains), offsets=tuple(offsets)) for gains, offsets in ends)

    def deliver(self, place: int, frame: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """The segment's frame `place`, counted from 0, in the colours that it is delivered in."""
        if self.strength == 0:
            return frame
        share = place / max(self.frames - 1, 1)
        return seams.corrected(frame, seams.between(seams.weakened(self.correction, self.strength), share))


@dataclass(frozen=True, eq=False)
class _Side:
    """Frames of one segment beside a join."""

    places: range
    """0 is the first frame that the segment delivers; its renderings of handed-over frames lie before."""
    colours: Floats
    """As generated: [n, h, w, 3], one for each cell."""
    shown: Mask
    """Cells that are seen of it, [n, h, w]."""

    def delivered(self, anchored: Anchored) -> Floats:
        return np.stack([anchored.deliver(*one) for one in zip(self.places, self.colours, strict=True)])


@dataclass(frozen=True, eq=False)
class _End:
    """The last frames of the newest segment."""

    last: int
    """Shot number of the very last one."""
    side: _Side
    anchored: Anchored


class Guard:
    """Anchors segments, which come in their order. `pool` looks at several frames at once."""

    def __init__(self, signals: Signals, strength: float, pool: Executor, frozen: Iterable[SegmentRecord] = ()) -> None:
        """Frames that are among the `frozen` segments of an earlier take keep the correction that they have there."""
        self._signals, self._strength, self._pool = signals, strength, pool
        self._frozen = [record for record in frozen if record.grades]
        self._end: _End | None = None

    def anchor(self, made: Decoded, numbers: Sequence[int]) -> Anchored:
        """How to deliver `made`, whose frames have these shot numbers."""
        overlap, count = len(made.head), len(made.frames)
        start = self._side(made, range(-overlap, min(count, AROUND)))
        joined = self._end if self._end and overlap and self._end.last + 1 == numbers[0] else None
        correction = self._kept(numbers)
        if correction is None:
            correction = self._fitted(made, start, joined)
        found = Anchored(correction, self._strength, count, None)
        if joined:
            found = replace(found, seam=_judged(numbers[0], overlap, joined, start, found))
        end = self._side(made, range(max(count - AROUND, -overlap), count))
        self._end = _End(numbers[-1], end, found)
        return found

    def _kept(self, numbers: Sequence[int]) -> Doubles | None:
        """What an earlier take has frozen for these frames."""
        ends = [_frozen_at(self._frozen, number) for number in (numbers[0], numbers[-1])]
        return np.stack([end for end in ends if end is not None]) if all(end is not None for end in ends) else None

    def _fitted(self, made: Decoded, start: _Side, joined: _End | None) -> Doubles:
        """By the plate, by the segment before, or not at all: the first two may have nothing to compare."""
        found = self._by_plate(made) if self._signals.mode is Mode.REPLACE else None
        if found is None and joined:
            found = _by_overlap(len(made.head), start, joined)
        return seams.NEUTRAL if found is None else found

    def _by_plate(self, made: Decoded) -> Doubles | None:
        count = len(made.frames)
        places = np.unique(np.linspace(0, count - 1, SAMPLED).round().astype(int)).tolist()
        pairs = list(self._pool.map(lambda place: self._known(made.first + place, made.frames[place]), places))
        when = [np.full(len(seen), place / max(count - 1, 1)) for place, (seen, _) in zip(places, pairs, strict=True)]
        seen, wanted = (np.concatenate([pair[part] for pair in pairs]) for part in (0, 1))
        return seams.fit(seen, wanted, np.concatenate(when), blame=1.0)

    def _known(self, i: int, frame: NDArray[np.float16]) -> tuple[Floats, Floats]:
        """Generated and true colours [n, 3] of the cells of frame `i` where the plate is known.

        Not beside what is made: the autoencoder carries the black of the conditioning's hole one cell far.
        """
        near = cv2.dilate(self._shown(i).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        plate = seams.cells(self._signals.plate(i)) / np.float32(255)
        return seams.cells(frame)[~near], plate[~near]

    def _shown(self, i: int) -> Mask:
        """Cells [h, w] of frame `i` that are seen of what is made."""
        if self._signals.mode is Mode.ANIMATE:
            return np.ones((self._signals.height // CELL, self._signals.width // CELL), bool)
        return np.asarray(self._signals.mask(i)[::CELL, ::CELL] > 0)

    def _side(self, made: Decoded, places: range) -> _Side:
        frames = [made.frames[place] if place >= 0 else made.head[place] for place in places]
        colours = self._pool.map(seams.cells, frames)
        shown = self._pool.map(self._shown, [made.first + place for place in places])
        return _Side(places, np.stack(list(colours)), np.stack(list(shown)))


def _frozen_at(records: Iterable[SegmentRecord], number: int) -> Doubles | None:
    """The correction [2, 3] of the frame with this shot number."""
    for record in records:
        if record.first <= number <= record.last:
            ends = np.array([(grade.gains, grade.offsets) for grade in record.grades])
            return seams.between(ends, (number - record.first) / max(record.last - record.first, 1))
    return None


def _by_overlap(overlap: int, start: _Side, joined: _End) -> Doubles | None:
    """What brings a segment to the one before as that is anchored in full, by the frames that both have rendered.

    The same at all times: those frames lie at one end, and say nothing of the other.
    """
    full = replace(joined.anchored, strength=1.0)
    wanted = joined.side.delivered(full)[-overlap:].reshape(-1, 3)
    seen = start.colours[:overlap].reshape(-1, 3)
    return seams.fit(seen, wanted, np.full(len(seen), 0.5), blame=0.5)


def _judged(frame: int, overlap: int, joined: _End, start: _Side, anchored: Anchored) -> SeamRecord:
    """The join before `frame`, as generated and as delivered."""
    shown = joined.side.shown[-overlap:]
    versions = (
        (joined.side.colours, start.colours),
        (joined.side.delivered(joined.anchored), start.delivered(anchored)),
    )
    colours = [seams.difference(before[-overlap:][shown], after[:overlap][shown]) for before, after in versions]
    seen = np.concatenate((joined.side.shown, start.shown[overlap:]))
    join = len(joined.side.places)
    motion = [seams.unrest(np.concatenate((before, after[overlap:])), join, seen) for before, after in versions]
    return SeamRecord(
        frame=frame, colour_before=colours[0], colour_after=colours[1], motion_before=motion[0], motion_after=motion[1]
    )
