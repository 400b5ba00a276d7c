"""Finished segments → the files of a take, written while the next segment is being made. Knows no model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from wan_animate_blender.wire import SeamRecord, SegmentRecord

from .colour import Clipped
from .guard import Anchored, Guard
from .layering import Layering, Written
from .pipeline import Decoded
from .signals import ShotSignals
from .take import TakeFolder
from .video import Preview

Check = Callable[[], None]


@dataclass(frozen=True)
class _Segment:
    """A segment on its way into the take."""

    record: SegmentRecord
    seam: SeamRecord | None
    frames: list[Future[Written]]


class Delivery:
    """Writes one segment at a time. `take.json` lists its frames when all of them are there, and not before."""

    def __init__(
        self, signals: ShotSignals, take: TakeFolder, movie: Preview, pool: ThreadPoolExecutor, check: Check
    ) -> None:
        self._signals, self._shot, self._take, self._movie = signals, signals.shot, take, movie
        self._pool, self._check = pool, check
        self._segment: _Segment | None = None
        self._layering = Layering(signals, take)
        self._guard = Guard(signals, signals.shot.shot.settings.finish.seams, pool, frozen=take.take.segments)
        self._notes, self._clipped = take.take.notes, Clipped()

    @classmethod
    @contextmanager
    def into(cls, take: TakeFolder, movie: Path, signals: ShotSignals, check: Check) -> Iterator[Self]:
        """A delivery that is finished, preview included, when the block ends well; otherwise what waits is dropped.

        `check` stops the waiting for files by raising.
        """
        # Blocks end in the opposite order: the pool first, for the movie's last frames come from it.
        with Preview(movie, take.take.fps) as preview, ThreadPoolExecutor(os.cpu_count()) as pool:
            delivery = cls(signals, take, preview, pool, check)
            try:
                yield delivery
                delivery.finish()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    @property
    def frames(self) -> int:
        """How many frames the take lists."""
        return sum(segment.last - segment.first + 1 for segment in self._take.take.segments)

    def start(self, made: Decoded) -> None:
        """Begin to write a segment, after the one before it."""
        self.finish()
        numbers = self._shot.shot.numbers[made.first : made.first + len(made.frames)]
        anchored = self._guard.anchor(made, numbers)
        record = SegmentRecord(
            index=made.segment, first=numbers[0], last=numbers[-1], seed=made.seed, key=made.key,
            grades=anchored.grades,
        )  # fmt: skip
        frames = [self._pool.submit(self._write, made, anchored, place) for place in range(len(made.frames))]
        self._segment = _Segment(record, anchored.seam, frames)

    def _write(self, made: Decoded, anchored: Anchored, place: int) -> Written:
        frame = anchored.deliver(place, made.frames[place])
        return self._layering.write(made.first + place, frame, made.seed)

    def settle(self) -> None:
        """List the segment in writing when all of it is there. Does not wait; raises what the writing raised."""
        if self._segment and all(frame.done() for frame in self._segment.frames):
            self.finish()

    def finish(self) -> None:
        """Wait for the segment in writing, and list it. Raises what the writing raised, `BadInput` for a full disk."""
        if self._segment is None:
            return
        segment, self._segment = self._segment, None
        for frame in segment.frames:
            self._check()
            written = frame.result()
            self._movie.add(written.shown)
            self._clipped += written.clipped
        numbers = range(segment.record.first, segment.record.last + 1)
        files = [self._layering.path(layer, number) for layer in self._take.take.layers for number in numbers]
        notes = (*self._notes, *self._clipped.notes())
        take = self._take.take
        seams = (*take.seams, segment.seam) if segment.seam else take.seams
        self._take.note(files, segments=(*take.segments, segment.record), seams=seams, notes=notes)
