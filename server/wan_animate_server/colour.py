"""Scene-linear numbers of a plate ↔ what the model is shown: sRGB's primaries and curve, 0 to 1.

A *utility* transform: no view and no look, so that what the model leaves alone comes back as it was. Knows no shot
and no file.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import PyOpenColorIO

from wan_animate_blender.wire import BadInput, Clipped

Floats = npt.NDArray[np.float32]

SEEN = "srgb_rec709_scene"
"""What the model was trained on, by its name in OpenColorIO's own configurations and in the Color Interop Forum's."""

BLENDERS = {
    "Linear Rec.709": "lin_rec709_scene",
    "Linear DCI-P3 D65": "lin_p3d65_scene",
    "Linear Adobe RGB": "lin_adobergb_scene",
}
"""Spaces that only Blender's configuration calls so."""

_MOST = float(np.finfo(np.float16).max)
_HALF_A_LEVEL = 0.5 / 255
"""The model works from 8 bits: less than this beyond 0 or 1 is not clipped but rounded."""

_STRIP = 1 << 15
"""Pixels that are converted at once: they stay in the processor's cache, which is more than twice as fast."""


class Space:
    """A scene-linear colour space and its way to what the model sees."""

    def __init__(
        self, name: str, interop: str, seen: PyOpenColorIO.CPUProcessor, light: PyOpenColorIO.CPUProcessor
    ) -> None:
        self.name = name
        self.interop = interop
        """Its name for other programs, by the Color Interop Forum's list."""
        self._seen, self._light = seen, light

    @classmethod
    @functools.cache
    def named(cls, name: str) -> Space:
        """The space that a shot calls `name`. Raises `BadInput` when OpenColorIO's configuration does not know it."""
        config = _configuration()
        found = config.getColorSpace(BLENDERS.get(name, name))
        if found is None or found.getEncoding() != "scene-linear":
            raise BadInput(
                f"the plate is in the colour space {name!r}, which this server does not know; "
                "convert it to ACEScg or Linear Rec.709 and export again"
            )
        there, back = (config.getProcessor(*way) for way in ((found.getName(), SEEN), (SEEN, found.getName())))
        return cls(name, found.getInteropID(), there.getDefaultCPUProcessor(), back.getDefaultCPUProcessor())

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


def _apply(processor: PyOpenColorIO.CPUProcessor, samples: Floats) -> None:
    rows = samples.reshape(-1, 3)
    for strip in _strips(len(rows)):
        processor.applyRGB(rows[strip])


def _strips(pixels: int) -> Iterator[slice]:
    return (slice(first, first + _STRIP) for first in range(0, pixels, _STRIP))


@functools.cache
def _configuration() -> PyOpenColorIO.Config:
    """The library's own, which knows ACES, the usual primaries and those of cameras; no file of this machine."""
    return PyOpenColorIO.Config.CreateFromBuiltinConfig("studio-config-latest")
