"""What a character lacks beside its plate, measured in a few frames of both, and given to it frame by frame.

Knows shots and windows; no file of a take and no network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wan_animate_blender.wire import Alpha, Belonging, Finish, Grain, Mode

from . import effects, sharpness
from . import grain as grains
from . import key as keys
from .colour import Floats, numbers
from .grain import TOGETHER, Mask
from .shot import keeps_effects
from .signals import ShotSignals
from .video import Picture

_LOOKS = 3
"""Places in time where grain is looked at."""

_LEAP = 3
"""Frames between those that are compared: footage on twos and threes repeats its grain from one to the next."""

_CALMEST = 0.1
"""Of a character's blocks those that are believed: cloth and hair are no grain, and too little taken off is better than
a character that stays without."""

_SAMPLED = 4
"""Frames in which edges, and distances to the clean plate, are looked at."""

_NO_LIGHT = 0.02
"""Of the clean plate's light: less than that is no shadow that anybody sees."""

Frames = NDArray[np.float16]


def is_lacking(known: Belonging | None, finish: Finish, mode: Mode) -> bool:
    """Whether something has to be measured that is not `known`."""
    if mode is Mode.ANIMATE:
        return False
    if finish.alpha is Alpha.DIFFERENCE:
        return not known or not known.key
    return not known and (finish.grain > 0 or finish.match_sharpness)


def measure(signals: ShotSignals, first: int, frames: Frames) -> Belonging:
    """What the plate shows, and generated `frames` [n, h, w, 3], 0..1, which begin with the shot's frame `first`."""
    measured = _Measured(signals, first, frames)
    return Belonging(
        grain=measured.plates_grain(), grain_made=measured.own_grain(), softness=measured.plates_softness(),
        softness_made=measured.own_softness(), key=measured.key(), effects=measured.effects(),
    )  # fmt: skip


def notes(found: Belonging, finish: Finish) -> tuple[str, ...]:
    """What a person must know of it."""
    said = []
    if finish.grain > 0 and found.grain is None:
        said.append("the plate's grain was not measured, too little of it lies outside the region; none was added")
    if finish.match_sharpness and (found.softness is None or found.softness_made is None):
        said.append("plate or character show too few edges to tell how soft they are; nothing was softened")
    if found.effects and max(abs(light - 1) for light in found.effects) < _NO_LIGHT:
        said.append("inside the effects matte the plate is as bright as the clean plate; no shadow was found to keep")
    return tuple(said)


class Fitting:
    """Gives frames what a take's `Belonging` says that they lack."""

    def __init__(self, found: Belonging, signals: ShotSignals) -> None:
        self._found, self._signals = found, signals
        self._finish, self._seed = signals.shot.shot.settings.finish, signals.shot.shot.settings.seed
        lacking = grains.lacking(found.grain, found.grain_made) if found.grain else None
        self._grain = lacking if self._finish.grain > 0 else None
        self._pixels = found.softening if self._finish.match_sharpness else 0.0

    def soften(self, i: int, made: Floats) -> Floats:
        """What was made of frame `i`, at the plate's size, as soft as the plate."""
        if self._pixels == 0:
            return made
        result = made.copy()
        window = self._signals.windows[i]
        window.crop(result)[:] = sharpness.softened(np.ascontiguousarray(window.crop(made)), self._pixels)
        return result

    def grain(self, i: int) -> Callable[[Floats], Floats] | None:
        """What gives the plate's grain to a part of frame `i`, in the plate's numbers; None where there is none."""
        if self._grain is None:
            return None
        grain, seed = self._grain, (self._seed, self._signals.shot.shot.numbers[i])
        return lambda part: grains.grained(part, grain, self._finish.grain, seed)

    def alpha(self, i: int, frame: NDArray[np.floating[Any]], alpha: Picture) -> Picture:
        """The character's alpha, uint8 [H, W]: the region's own `alpha`, cut out where that is asked for."""
        if self._finish.alpha is Alpha.REGION:
            return alpha
        low, high = self._found.key
        window = self._signals.windows[i]
        inside = window.picture((alpha > 0).astype(np.float32)) > 0
        cut = keys.key(keys.distance(frame, self._signals.clean(i)), inside, low, high)
        return np.minimum(alpha, np.rint(window.back(cut) * 255).astype(np.uint8))


class _Measured:
    """Looks at a few frames of plate and character."""

    def __init__(self, signals: ShotSignals, first: int, frames: Frames) -> None:
        self._signals, self._first, self._frames = signals, first, frames
        self._space = signals.shot.space

    def plates_grain(self) -> Grain | None:
        groups = _groups(range(self._signals.frames))
        looks = [grains.look(*self._together([self._plate(i) for i in group])) for group in groups]
        return grains.measure(looks, self._step(), light=self._space is not None) if looks else None

    def own_grain(self) -> Grain | None:
        groups = _groups(range(self._first, self._first + len(self._frames)), most=1)
        looks = [grains.look(*self._together([self._made(i) for i in group]), moves=True) for group in groups]
        return grains.measure(looks, 0.0, calm=_CALMEST, light=self._space is not None) if looks else None

    def plates_softness(self) -> float | None:
        shown = _spread(range(self._signals.frames), _SAMPLED)
        return sharpness.softness((numbers(self._signals.shot.plate(i)), self._outside(i)) for i in shown)

    def own_softness(self) -> float | None:
        shown = _spread(range(self._first, self._first + len(self._frames)), _SAMPLED)
        return sharpness.softness((self._back(i), self._signals.alpha(i) == 255) for i in shown)

    def key(self) -> tuple[float, ...]:
        """By what lies around what is made: what the autoencoder changes there, it changes of the background, too."""
        if not self._signals.has_clean:
            return ()
        shown = _spread(range(self._first, self._first + len(self._frames)), _SAMPLED)
        return keys.limits(map(self._apart, shown))

    def effects(self) -> tuple[float, ...]:
        if not keeps_effects(self._signals.shot.shot):
            return ()
        shown = _spread(range(self._first, self._first + len(self._frames)), _SAMPLED)
        found = [effects.extremes(effects.thrown(self._signals, i), self._signals.shot.effects(i)) for i in shown]
        return round(min(least for least, _ in found), 4), round(max(most for _, most in found), 4)

    def _apart(self, i: int) -> Floats:
        """Distances to the clean plate where nothing is made anew."""
        kept = np.asarray(self._signals.mask(i) == 0)
        return np.asarray(keys.distance(self._frame(i), self._signals.clean(i))[kept])

    def _plate(self, i: int) -> tuple[Floats, Mask]:
        plate = numbers(self._signals.shot.stored_plate(i))
        finite = np.asarray(np.isfinite(plate).all(axis=-1))
        return np.where(finite[..., None], plate, 0), finite & self._outside(i)

    def _made(self, i: int) -> tuple[Floats, Mask]:
        made = self._back(i)
        return self._space.light(made) if self._space else made, self._signals.alpha(i) == 255

    def _together(self, shown: Sequence[tuple[Floats, Mask]]) -> tuple[list[Floats], Mask]:
        """Pictures, and where all of them are usable."""
        return [picture for picture, _ in shown], np.logical_and.reduce([usable for _, usable in shown])

    def _outside(self, i: int) -> Mask:
        return np.asarray(self._signals.region(i) == 0)

    def _frame(self, i: int) -> Frames:
        return np.asarray(self._frames[i - self._first])

    def _back(self, i: int) -> Floats:
        return self._signals.windows[i].back(self._frame(i))

    def _step(self) -> float:
        kind = self._signals.shot.stored_plate(0).dtype
        return 0.0 if kind.kind == "f" else 1 / np.iinfo(kind).max


def _groups(frames: range, most: int = _LEAP) -> list[range]:
    """Frames that are looked at together, at `most` so many apart, spread over all; none where there are too few."""
    leap = min(most, (len(frames) - 1) // (TOGETHER - 1))
    if leap == 0:
        return []
    length = leap * (TOGETHER - 1) + 1
    starts = _spread(range(frames.start, frames.stop - length + 1), _LOOKS)
    return [range(start, start + length, leap) for start in starts]


def _spread(frames: range, most: int) -> list[int]:
    """At most so many of `frames`, from the first to the last."""
    places = np.unique(np.linspace(0, len(frames) - 1, min(most, len(frames))).round().astype(int))
    return [frames[place] for place in places.tolist()]
