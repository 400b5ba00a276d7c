"""Finished segments → the files of a take, written while the next segment is being made. Knows no model."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from wan_animate_blender.wire import Clipped, SeamRecord, SegmentRecord, Take

from . import audio, belonging
from .basis import Basis
from .guard import Anchored, Guard
from .layering import Layering, Written
from .pipeline import Decoded
from .signals import ShotSignals
from .take import TakeFolder
from .video import Preview

_MEMORY = 1_200_000_000
"""Bytes that pictures being put together may take, so that a 4K shot stays below 2 GB on a machine of many processors
(tests/benchmarks/compositing.py)."""

_PIXEL = 64
"""Bytes of one pixel of the plate while it is put together, measured; light needs the most."""

_MATCHED = 64
"""Bytes more where it is also given what it lacks beside the plate, measured as well."""

_WAITING = 2
"""Frames more than there are processors: some always wait until the disk has them (tests/benchmarks/compositing.py)."""

Check = Callable[[], None]

_COPIED = 16
"""Frames that are copied at a time."""


def writers(take: Take) -> int:
    """How many frames are put together at once: those that wait for the disk too, but no more than memory is for."""
    pixel = _PIXEL + (_MATCHED if take.belonging or belonging.is_lacking(None, take.settings.finish, take.mode) else 0)
    return min((os.cpu_count() or 1) + _WAITING, max(_MEMORY // (pixel * take.width * take.height), 1))


@dataclass(frozen=True)
class _Run:
    """Frames on their way into the take."""

    numbers: Sequence[int]
    frames: deque[Future[Written]]
    """Those that the preview does not have yet: each holds a picture in memory."""
    record: SegmentRecord | None = None
    """None of frames that are copied."""
    seam: SeamRecord | None = None


class Delivery:
    """Writes one segment at a time. `take.json` lists its frames when all of them are there, and not before."""

    def __init__(
        self, signals: ShotSignals, take: TakeFolder, movie: Preview, pool: ThreadPoolExecutor, check: Check,
        basis: Basis | None,
    ) -> None:  # fmt: skip
        self._signals, self._shot, self._take, self._movie = signals, signals.shot, take, movie
        self._pool, self._check, self._basis = pool, check, basis
        self._run: _Run | None = None
        self.frames = 0
        """How many frames the take lists: the first ones of the shot."""
        self._layering = Layering(signals, take)
        strength, first = self._shot.shot.settings.finish.seams, self._shot.shot.numbers[0]
        self._guard = Guard(signals, strength, pool, first, frozen=take.take.segments)
        self._notes, self._clipped = take.take.notes, Clipped()

    @classmethod
    @contextmanager
    def into(
        cls, take: TakeFolder, movie: Path, signals: ShotSignals, check: Check, basis: Basis | None = None
    ) -> Iterator[Self]:
        """A delivery that is finished, preview included, when the block ends well; otherwise what waits is dropped.

        Frames that nobody delivers are copied from `basis`. `check` stops the waiting for files by raising.
        """
        heard, notes = audio.beside(signals.shot)
        take.note(notes=(*take.take.notes, *notes))
        sound = heard.parts() if heard else iter(())
        # Blocks end in the opposite order: the pool first, for the movie's last frames come from it.
        with Preview(movie, take.take.fps, sound) as preview, ThreadPoolExecutor(writers(take.take)) as pool:
            delivery = cls(signals, take, preview, pool, check, basis)
            try:
                yield delivery
                delivery.keep(signals.frames)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def keep(self, until: int) -> None:
        """Copy all frames before frame `until` that are not there, a few at a time: each holds a picture in memory."""
        self.finish()
        numbers = self._shot.shot.numbers
        while self._basis and self.frames < until:
            few = range(self.frames, min(self.frames + _COPIED, until))
            copies = deque(self._pool.submit(self._copy, i, self._basis) for i in few)
            self._run = _Run(numbers[few.start : few.stop], copies)
            self.finish()

    def start(self, made: Decoded) -> None:
        """Begin to write what is seen of a segment, after all frames before it."""
        self.keep(made.first)
        numbers = self._shot.shot.numbers[made.first : made.first + len(made.frames)]
        self._compare(made)
        anchored = self._guard.anchor(made)
        frames = deque(self._pool.submit(self._write, made, anchored, place) for place in range(len(made.frames)))
        self._run = _Run(numbers, frames, self._record(made, anchored), anchored.seam)

    def _compare(self, made: Decoded) -> None:
        """Measure what the first segment lacks beside the plate, where the take is to say it and does not yet."""
        finish, mode = self._shot.shot.settings.finish, self._shot.shot.mode
        if not belonging.is_lacking(self._take.take.belonging, finish, mode):
            return
        found = belonging.measure(self._signals, made.first, made.frames)
        self._notes = (*self._notes, *belonging.notes(found, finish))
        self._take.note(belonging=found)

    def _record(self, made: Decoded, anchored: Anchored) -> SegmentRecord:
        """What the take says of a segment."""
        return replace(made.part.record(self._shot.shot.numbers[0]), grades=anchored.grades)

    def _copy(self, i: int, basis: Basis) -> Written:
        self._take.pulse.check()
        return self._layering.copy(i, basis)

    def _write(self, made: Decoded, anchored: Anchored, place: int) -> Written:
        self._take.pulse.check()
        i = made.first + place
        return self._layering.write(i, anchored.deliver(i, made.frames[place]), made.part.seed)

    def settle(self) -> None:
        """Show the frames that are there, and list them when all are. Does not wait; raises what the writing raised."""
        while self._run and self._run.frames and self._run.frames[0].done():
            self._show(self._run.frames.popleft())
        if self._run and not self._run.frames:
            self.finish()

    def finish(self) -> None:
        """Wait for the frames in writing, and list them. Raises what the writing raised, `BadInput` for a full disk."""
        if self._run is None:
            return
        run, self._run = self._run, None
        while run.frames:
            self._show(run.frames.popleft())
        take = self._take.take
        files = [self._layering.path(layer, number) for layer in take.layers for number in run.numbers]
        notes = (*self._notes, *self._clipped.notes())
        segments = (*take.segments, run.record) if run.record else take.segments
        self._take.note(files, segments=segments, seams=self._seams(run), notes=notes, clipped=self._clipped)
        self.frames += len(run.numbers)

    def _show(self, frame: Future[Written]) -> None:
        """Wait for a frame, and append it to the preview."""
        self._check()
        written = frame.result()
        self._movie.add(written.shown)
        self._clipped += written.clipped

    def _seams(self, run: _Run) -> tuple[SeamRecord, ...]:
        """The joins that the take knows: among frames that are new, those that were judged anew."""
        kept = [seam for seam in self._take.take.seams if run.record is None or seam.frame not in run.numbers]
        return tuple(sorted([*kept, *([run.seam] if run.seam else [])], key=lambda seam: seam.frame))
