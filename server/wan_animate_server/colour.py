"""Scene-linear numbers of a plate ↔ what the model is shown: sRGB's primaries and curve, 0 to 1.

By a *utility* transform without view and look, so that what the model leaves alone comes back as it was; or, when asked
for, through the view of the edit and back. Knows no shot.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import PyOpenColorIO

from wan_animate_blender.wire import Clipped, Colour, Encoding, Highlights, Transform

from . import configuration, shoulder
from .configuration import LIGHT, SEEN, Configuration, Way

Floats = npt.NDArray[np.float32]

Step = Callable[[Floats], None]
"""Changes samples [n, 3] where they are."""

Steps = tuple[tuple[Step, ...], tuple[Step, ...]]
"""To what the model sees, and back."""

_MOST = float(np.finfo(np.float16).max)
_HALF_A_LEVEL = 0.5 / 255
"""The model works from 8 bits: less than this beyond 0 or 1 is not clipped but rounded."""

_LOSS = 2 / 255
"""What a view may change of 99 in 100 samples on its way back and forth: too little to be seen."""

_DIMMED = 0.02
"""How much brighter or darker it may make a grey, of its light."""

_STOPS = -8.0, 2.0
"""The light that a view must bring back: from hardly black to four times white."""

_STRIP = 1 << 15
"""Pixels that are converted at once: they stay in the processor's cache, which is more than twice as fast."""


class Space:
    """A scene-linear colour space and its way to what the model sees."""

    def __init__(self, name: str, interop: str, steps: Steps, facts: tuple[object, ...]) -> None:
        self.name = name
        self.interop = interop
        """Its name for other programs, by the Color Interop Forum's list."""
        self.facts = facts
        """What its numbers depend on, as JSON has it."""
        self._seen, self._light = steps

    @classmethod
    @functools.cache
    def named(cls, name: str) -> Space:
        """The space that Blender calls `name`. Raises `BadInput` when OpenColorIO's configuration does not know it."""
        return cls.of(Colour(encoding=Encoding.LINEAR, working_space=name), Path())

    @classmethod
    def of(
        cls, colour: Colour, folder: Path, transform: Transform = Transform.UTILITY,
        highlights: Highlights = Highlights.CLIP,
    ) -> Space:  # fmt: skip
        """What a shot in `folder` says of its plate. Raises `BadInput` when that is not known or cannot be undone."""
        known = configuration.of(colour, folder)
        name = known.name(colour.working_space if colour.ocio else configuration.public(colour.working_space))
        if transform is Transform.VIEW:
            steps = _through_view(known, name, colour)
        elif highlights is Highlights.SHOULDER:
            steps = _over_shoulder(known.standard(name, LIGHT))
        else:
            steps = _plain(known.standard(name, SEEN))
        shown = (colour.display, colour.view, colour.look, colour.exposure, colour.gamma)
        facts = (name, known.identity, transform, highlights, *(shown if transform is Transform.VIEW else ()))
        return cls(colour.working_space, known.interop(name), steps, facts)

    def shown(self, light: npt.NDArray[np.floating[Any]]) -> Floats:
        """Samples [..., 3] of the plate as the model sees them: float32, 0..1, what is no number as 0."""
        samples = self._unclipped(light)
        return np.clip(samples, 0, 1, out=samples)

    def seen(self, light: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint8]:
        """The same in 8 bits, to the nearest."""
        result = np.empty(light.shape, np.uint8)
        samples, seen = light.reshape(-1, 3), result.reshape(-1, 3)
        for strip in _strips(len(samples)):
            seen[strip] = np.rint(self.shown(samples[strip]) * 255)
        return result

    def light(self, shown: npt.NDArray[np.floating[Any]]) -> Floats:
        """The way back: float32 [..., 3] in this space from what the model made, 0..1."""
        samples = np.array(shown, np.float32, order="C")
        _apply(self._light, samples)
        return samples

    def clipped(self, light: npt.NDArray[np.floating[Any]]) -> Clipped:
        """What of samples [n, 3] the model is not shown as it is."""
        display, missing = self._unclipped(light), np.isnan(light)
        finite = light[np.isfinite(light)]
        return Clipped(
            samples=display.size,
            above=int((display > 1 + _HALF_A_LEVEL).sum()),
            below=int(((display < -_HALF_A_LEVEL) | missing).sum()),
            brightest=float(finite.max(initial=0)),
        )

    def _unclipped(self, light: npt.NDArray[np.floating[Any]]) -> Floats:
        # Infinities and NaN would take a pixel's other channels with them where primaries are mixed.
        samples = np.array(light, np.float32, order="C")
        np.clip(samples, -_MOST, _MOST, out=samples)
        samples[np.isnan(samples)] = 0
        _apply(self._seen, samples)
        return samples


def numbers(picture: npt.NDArray[Any]) -> Floats:
    """Samples of a plate: whole ones as 0..1, light as it is."""
    if picture.dtype.kind == "f":
        return np.asarray(picture, np.float32)
    return picture.astype(np.float32) / np.float32(np.iinfo(picture.dtype).max)


def _apply(steps: tuple[Step, ...], samples: Floats) -> None:
    rows = samples.reshape(-1, 3)
    for strip in _strips(len(rows)):
        for step in steps:
            step(rows[strip])


def _strips(pixels: int) -> Iterator[slice]:
    return (slice(first, first + _STRIP) for first in range(0, pixels, _STRIP))


def _plain(way: Way) -> Steps:
    return (_fast(way.there),), (_fast(way.back),)


def _over_shoulder(way: Way) -> Steps:
    """`way` to light in the model's primaries, which is compressed there before it gets the model's curve."""
    (there,), (back,) = _plain(way)
    (encode,), (decode,) = _plain(configuration.own().standard(LIGHT, SEEN))
    return (there, shoulder.compress, encode), (decode, shoulder.expand, back)


def _through_view(known: Configuration, name: str, colour: Colour) -> Steps:
    """Back by OpenColorIO's quick inverse where that is right, else by the exact one, which takes seconds a frame.

    Raises `BadInput` when neither brings plates back.
    """
    way = known.view(name, colour)
    there = _fast(way.there)
    for back in (_fast(way.back), way.back.getOptimizedCPUProcessor(PyOpenColorIO.OPTIMIZATION_LOSSLESS).applyRGB):
        if _returns(there, back):
            return (there,), (back,)
    raise configuration.no_inverse(colour, "plates would not come back as they were")


def _fast(processor: PyOpenColorIO.Processor) -> Step:
    """By way of four channels: OpenColorIO computes in four, and is slower than OpenCV to make them of three."""
    apply: Step = processor.getDefaultCPUProcessor().applyRGBA

    def step(samples: Floats) -> None:
        wide = cv2.cvtColor(samples[None], cv2.COLOR_RGB2RGBA)
        apply(wide[0])
        cv2.cvtColor(wide, cv2.COLOR_RGBA2RGB, samples[None])

    return step


def _returns(there: Step, back: Step) -> bool:
    """Whether plates look through a view as they did once they went there and back, and their greys are as bright."""
    stops = np.exp2(np.linspace(*_STOPS, num=41, dtype=np.float32))
    tints = np.random.default_rng(0).uniform(0.5, 1, (50, 3)).astype(np.float32)
    light = (np.concatenate((np.ones((1, 3), np.float32), tints))[:, None] * stops[:, None]).reshape(-1, 3)
    shown = light.copy()
    there(shown)
    np.clip(shown, 0, 1, out=shown)
    returned = shown.copy()
    back(returned)
    again = returned.copy()
    there(again)
    greys = np.s_[: len(stops)]
    told = (shown[greys] > _HALF_A_LEVEL) & (shown[greys] < 1 - _HALF_A_LEVEL)  # the rest is clipped
    dimmed = np.abs(returned[greys] / light[greys] - 1)[told]
    changed = np.percentile(np.abs(np.clip(again, 0, 1) - shown), 99)
    return bool(changed <= _LOSS and dimmed.max(initial=0) <= _DIMMED)
