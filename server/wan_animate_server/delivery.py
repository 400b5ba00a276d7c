"""Finished segments → the files of a take, written while the next segment is being made. Knows no model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from wan_animate_blender.wire import TAKE_PREFIX, Mode, SegmentRecord, frame_name, version_name

from . import composite, exr
from .colour import Clipped
from .pipeline import Decoded
from .signals import ShotSignals
from .take import LAYERS, TakeFolder
from .version import version
from .video import Picture, Preview, write_picture

DATA = "data"
"""The Color Interop Forum's name for numbers that are no colours."""

Check = Callable[[], None]


@dataclass(frozen=True)
class _Written:
    """A frame whose files are there."""

    shown: Picture
    """As the preview has it: uint8 [H, W, 3]."""
    clipped: Clipped
    """What the model was not shown of the plate as it is, inside the region."""


@dataclass(frozen=True)
class _Segment:
    """A segment on its way into the take."""

    record: SegmentRecord
    frames: list[Future[_Written]]


class Delivery:
    """Writes one segment at a time. `take.json` lists its frames when all of them are there, and not before."""

    def __init__(
        self, signals: ShotSignals, take: TakeFolder, movie: Preview, pool: ThreadPoolExecutor, check: Check
    ) -> None:
        self._signals, self._shot, self._take, self._movie = signals, signals.shot, take, movie
        self._pool, self._check = pool, check
        self._segment: _Segment | None = None
        self._space = self._shot.space if self._shot.shot.mode is Mode.REPLACE else None
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
        first = self._shot.shot.numbers[made.first]
        record = SegmentRecord(
            index=made.segment, first=first, last=first + len(made.frames) - 1, seed=made.seed, key=made.key
        )
        frames = [
            self._pool.submit(self._write, i, frame, made.seed) for i, frame in enumerate(made.frames, start=made.first)
        ]
        self._segment = _Segment(record, frames)

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
        names = [self._name(number) for number in range(segment.record.first, segment.record.last + 1)]
        files = [f"{layer}/{name}" for layer in self._take.take.layers for name in names]
        notes = (*self._notes, *self._clipped.notes())
        self._take.note(files, segments=(*self._take.take.segments, segment.record), notes=notes)

    def _name(self, number: int) -> str:
        return frame_name(number, "exr" if self._space else "png")

    def _write(self, i: int, frame: NDArray[np.float16], seed: int) -> _Written:
        """Write the files of frame `i`, counted from 0."""
        layers, clipped = self._layers(i, frame)
        number = self._shot.shot.numbers[i]
        for layer, picture in layers.items():
            words = self._words(layer, number, seed)
            write_picture(self._take.folder / layer / self._name(number), picture, words=words)
        return _Written(self._shot.seen(layers[LAYERS[self._shot.shot.mode][-1]]), clipped)

    def _layers(self, i: int, frame: NDArray[np.float16]) -> tuple[dict[str, Picture], Clipped]:
        """The pictures of frame `i` by layer, at the delivered size, and what the model was not shown as it is."""
        made = self._signals.fit.back(frame)
        if self._shot.shot.mode is Mode.ANIMATE:
            return {"generated": np.rint(made * 255).astype(np.uint8)}, Clipped()
        plate, alpha = self._shot.stored_plate(i), self._signals.alpha(i)
        if self._space is None:
            character = composite.character(made, alpha)
            return {"character": character, "matte": alpha, "comp": composite.comp(plate, character)}, Clipped()
        character = composite.premultiplied(self._space.light(made), alpha)
        layers = {"character": character, "matte": character[..., 3], "comp": composite.over(plate, character)}
        return layers, self._space.clipped(plate[self._signals.region(i) > 0])

    def _words(self, layer: str, number: int, seed: int) -> exr.Words:
        """What the header of an EXR file says; attributes that OpenEXR knows have its names."""
        if self._space is None:
            return {}
        return {
            "framesPerSecond": self._take.take.fps,
            "imageCounter": number,
            "colorInteropID": DATA if layer == "matte" else self._space.interop,
            "software": f"wan-animate {version()}",
            "wanAnimate.colorSpace": DATA if layer == "matte" else self._space.name,
            "wanAnimate.shot": self._take.take.shot,
            "wanAnimate.take": version_name(TAKE_PREFIX, self._take.take.version),
            "wanAnimate.layer": layer,
            "wanAnimate.seed": str(seed),  # does not fit the 32 bits of OpenEXR's whole numbers
        }
