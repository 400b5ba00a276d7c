"""One generated frame → the files of a take: which layers it has, in which depth, and what their headers say.

Knows no segments and no model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wan_animate_blender.wire import TAKE_PREFIX, Mode, frame_name, version_name

from . import composite, exr
from .colour import Clipped
from .signals import ShotSignals
from .take import LAYERS, TakeFolder
from .version import version
from .video import Picture, write_picture

DATA = "data"
"""The Color Interop Forum's name for numbers that are no colours."""


@dataclass(frozen=True)
class Written:
    """A frame whose files are there."""

    shown: Picture
    """As the preview has it: uint8 [H, W, 3]."""
    clipped: Clipped
    """What the model was not shown of the plate as it is, inside the region."""


class Layering:
    """Makes and writes the layers of one take, frame by frame; may be shared by threads."""

    def __init__(self, signals: ShotSignals, take: TakeFolder) -> None:
        self._signals, self._shot, self._take = signals, signals.shot, take
        self._space = self._shot.space if self._shot.shot.mode is Mode.REPLACE else None

    def name(self, number: int) -> str:
        return frame_name(number, "exr" if self._space else "png")

    def write(self, i: int, frame: NDArray[np.float16], seed: int) -> Written:
        """Write the files of frame `i`, counted from 0."""
        layers, clipped = self._layers(i, frame)
        number = self._shot.shot.numbers[i]
        for layer, picture in layers.items():
            words = self._words(layer, number, seed)
            write_picture(self._take.folder / layer / self.name(number), picture, words=words)
        return Written(self._shot.seen(layers[LAYERS[self._shot.shot.mode][-1]]), clipped)

    def _layers(self, i: int, frame: NDArray[np.float16]) -> tuple[dict[str, Picture], Clipped]:
        """The pictures of frame `i` by layer, at the delivered size, and what the model was not shown as it is."""
        made = self._signals.windows[i].back(frame)
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
