"""The seam guard: what anchors each segment's colours, and how well it joins the one before. Knows no files.

In replace mode a segment is anchored to the plate where it is known, around what is made; in animate mode, or where
next to nothing of the plate is left, to the segment before it by their renderings of the same frames, and through all
before it to the first. What is handed over and stored stays as it was generated.
"""

from __future__ import annotations

from collections.abc import Iterable
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
    """As it was fitted, or as an earlier take froze it, from the first to the last frame of `keep`."""
    strength: float
    keep: range
    seam: SeamRecord | None
    """None of a segment that joins nothing that was seen."""

    @property
    def grades(self) -> tuple[Grade, ...]:
        """The correction as `take.json` has it."""
        ends = self.correction.tolist()
        return tuple(Grade(gains=tuple(gains), offsets=tuple(offsets)) for gains, offsets in ends)

    def deliver(self, i: int, frame: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """Frame `i` of the shot, counted from 0, or cells of it, in the colours that it is delivered in."""
        if self.strength == 0:
            return frame
        return seams.corrected(frame, seams.between(seams.weakened(self.correction, self.strength), self.share(i)))

    def share(self, i: int) -> float:
        """The place of frame `i` between the first frame of `keep`, 0, and the last, 1."""
        return (i - self.keep.start) / max(len(self.keep) - 1, 1)


@dataclass(frozen=True, eq=False)
class _Side:
    """Frames of one segment beside a join."""

    frames: range
    """Of the shot."""
    colours: Floats
    """As generated: [n, h, w, 3], one for each cell."""
    shown: Mask
    """Cells that are seen of it, [n, h, w]."""

    def delivered(self, anchored: Anchored) -> Floats:
        return np.stack([anchored.deliver(*one) for one in zip(self.frames, self.colours, strict=True)])


class Guard:
    """Anchors segments, which come in their order. `pool` looks at several frames at once."""

    def __init__(
        self, signals: Signals, strength: float, pool: Executor, first: int, frozen: Iterable[SegmentRecord] = ()
    ) -> None:
        """`first` is the number of the shot's first frame. Segments that are `frozen` in an earlier take stay so."""
        self._signals, self._strength, self._pool, self._first = signals, strength, pool, first
        self._frozen = [record for record in frozen if record.grades]
        self._end: tuple[_Side, Anchored] | None = None

    def anchor(self, made: Decoded) -> Anchored:
        """How to deliver the frames of `made`."""
        head, stop = len(made.head), made.first + len(made.frames)
        joined = self._end if self._end and head and self._end[0].frames.stop == made.first else None
        # A re-take may begin a few frames before a join: of the frames that were handed over, only those are new.
        overlap = min(head, len(joined[0].frames)) if joined else head
        start = self._side(made, range(made.first - overlap, min(stop, made.first + AROUND)))
        correction = self._kept(made.part.index)
        if correction is None:
            correction = self._fitted(made, start, joined)
        found = Anchored(correction, self._strength, made.part.keep, None)
        if joined:
            found = replace(found, seam=_judged(made.first + self._first, overlap, joined, start, found))
        self._end = self._side(made, range(max(stop - AROUND, made.first - head), stop)), found
        return found

    def _kept(self, index: int) -> Doubles | None:
        """What an earlier take has frozen for the segment `index`."""
        return next((_correction(record) for record in self._frozen if record.index == index), None)

    def _fitted(self, made: Decoded, start: _Side, joined: tuple[_Side, Anchored] | None) -> Doubles:
        """By the plate, by the segment before, or not at all: each may have nothing to compare."""
        found = self._by_plate(made) if self._signals.mode is Mode.REPLACE else None
        if found is None and joined:
            found = _by_overlap(made.first - start.frames.start, start, *joined)
        return self._continued(made.first + self._first - 1) if found is None else found

    def _continued(self, number: int) -> Doubles:
        """The grade of the frame with this number goes on in an extension of its take; else nothing is changed."""
        ends = (_correction(record)[1] for record in self._frozen if record.last == number)
        end = next(ends, None)
        return seams.NEUTRAL if end is None else np.stack((end, end))

    def _by_plate(self, made: Decoded) -> Doubles | None:
        frames = np.unique(np.linspace(0, len(made.frames) - 1, SAMPLED).round().astype(int)).tolist()
        pairs = list(self._pool.map(lambda place: self._known(made.first + place, made.frames[place]), frames))
        last = max(len(made.frames) - 1, 1)
        when = [np.full(len(seen), place / last) for place, (seen, _) in zip(frames, pairs, strict=True)]
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

    def _side(self, made: Decoded, frames: range) -> _Side:
        pictures = [made.frames[i - made.first] if i >= made.first else made.head[i - made.first] for i in frames]
        colours = self._pool.map(seams.cells, pictures)
        shown = self._pool.map(self._shown, frames)
        return _Side(frames, np.stack(list(colours)), np.stack(list(shown)))


def _correction(record: SegmentRecord) -> Doubles:
    return np.array([(grade.gains, grade.offsets) for grade in record.grades])


def _by_overlap(overlap: int, start: _Side, end: _Side, before: Anchored) -> Doubles | None:
    """What brings a segment to the one before as that is anchored in full, by the frames that both have rendered.

    The same at all times: those frames lie at one end, and say nothing of the other.
    """
    wanted = end.delivered(replace(before, strength=1.0))[-overlap:].reshape(-1, 3)
    seen = start.colours[:overlap].reshape(-1, 3)
    return seams.fit(seen, wanted, np.full(len(seen), 0.5), blame=0.5)


def _judged(number: int, overlap: int, joined: tuple[_Side, Anchored], start: _Side, anchored: Anchored) -> SeamRecord:
    """The join before the frame with this number, as generated and as delivered."""
    end, before = joined
    versions = ((end.colours, start.colours), (end.delivered(before), start.delivered(anchored)))
    shown, seen = end.shown[-overlap:], np.concatenate((end.shown, start.shown[overlap:]))
    colours = [seams.difference(one[-overlap:][shown], other[:overlap][shown]) for one, other in versions]
    motion = [seams.unrest(np.concatenate((one, other[overlap:])), len(one), seen) for one, other in versions]
    return SeamRecord(
        frame=number, colour_before=colours[0], colour_after=colours[1], motion_before=motion[0], motion_after=motion[1]
    )
