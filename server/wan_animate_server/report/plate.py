"""Whether the plate is untouched: `comp` beside the plate, sample by sample, from the files. Knows no reports."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from wan_animate_blender.wire import Alpha, BadInput, Extra, Message, Take

from ..delivery import writers
from ..shot import LoadedShot
from ..video import Picture, read_grey, read_picture

COMP, MATTE = "comp", "matte"

Grounds = Callable[[int], Picture]
"""What the comp lies over at a frame, counted from 0."""


@dataclass(frozen=True, kw_only=True)
class PlateError(Message):
    """How far `comp` is from the plate where the compositing alpha is 0. Sums up over frames.

    Where the alpha is the character's own, the clean plate shows between it and the region's edge. Then the plate is
    the take's layer `background`, which is plate outside the region and clean plate inside.
    """

    frames: int = 0
    """That were compared, those that a re-take kept among them."""
    samples: int = 0
    """Outside the character: three for each pixel."""
    different: int = 0
    """Of these, those whose bits differ; 0 is what is promised."""
    largest: float = 0.0
    """Of their differences, in the plate's own numbers."""
    first: int | None = None
    """Shot number of the first frame that has one."""

    def __add__(self, other: PlateError) -> PlateError:
        return PlateError(
            frames=self.frames + other.frames, samples=self.samples + other.samples,
            different=self.different + other.different, largest=max(self.largest, other.largest),
            first=other.first if self.first is None else self.first,
        )  # fmt: skip

    def notes(self) -> tuple[str, ...]:
        """A sentence where the plate was touched."""
        if not self.different:
            return ()
        return (
            f"{self.different} samples of comp are not the plate's where nothing of the character is, frame "
            f"{self.first} first, by up to {self.largest:.6g}; render the take again",
        )


def measure(folder: Path, take: Take, shot: LoadedShot, check: Callable[[], None]) -> PlateError | None:
    """Compare every frame of the complete `take` in `folder` with the plate of `shot`; None where there is no comp.

    A few frames are in memory at once. `check` stops it by raising. Raises `BadInput` for what cannot be read.
    """
    if COMP not in take.layers:
        return None
    comps, mattes, total = take.sequence(COMP), take.sequence(MATTE), PlateError()
    compare = partial(_frame, folder, shot.shot.numbers, _grounds(folder, take, shot))
    with ThreadPoolExecutor(writers(take)) as pool:
        try:
            for found in pool.map(compare, range(len(comps)), comps, mattes):
                check()
                total += found
        finally:
            pool.shutdown(cancel_futures=True)
    return total


def _grounds(folder: Path, take: Take, shot: LoadedShot) -> Grounds:
    if take.settings.finish.alpha is not Alpha.DIFFERENCE:
        return shot.stored_plate
    paths = take.sequence(Extra.BACKGROUND)
    return lambda i: read_picture(folder / paths[i])


def _frame(folder: Path, numbers: range, grounds: Grounds, i: int, comp: str, matte: str) -> PlateError:
    plate, there, alpha = grounds(i), read_picture(folder / comp), read_grey(folder / matte)
    if (there.shape, there.dtype) != (plate.shape, plate.dtype) or alpha.shape != plate.shape[:2]:
        raise BadInput(
            f"{comp} of {folder} is {_kind(there)}, its plate {_kind(plate)}, its matte {_kind(alpha)}; expected one "
            "size and the plate's depth, render the take again"
        )
    outside = alpha == 0
    return error(plate[outside], there[outside], numbers[i])


def error(plate: Picture, comp: Picture, number: int) -> PlateError:
    """Of samples [n, 3] of one type in frame `number`: bits are compared, so that NaN is like itself."""
    bits = np.dtype(f"u{plate.itemsize}")
    differs = plate.view(bits) != comp.view(bits)
    if not (different := int(differs.sum())):
        return PlateError(frames=1, samples=plate.size)
    with np.errstate(invalid="ignore"):
        gaps = np.abs(plate[differs].astype(np.float64) - comp[differs].astype(np.float64))
    largest = float(np.nan_to_num(gaps, nan=sys.float_info.max).max())  # a number beside none
    return PlateError(frames=1, samples=plate.size, different=different, largest=largest, first=number)


def _kind(picture: Picture) -> str:
    return f"{picture.shape[1]}×{picture.shape[0]} {picture.dtype}"
