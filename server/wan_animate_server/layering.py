"""One generated frame → the files of a take: which layers it has, in which depth, and what is said in them.

Knows no segments and no model.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wan_animate_blender.wire import Alpha, Belonging, Clipped, Encoding, Extra, Format, Mode, frame_name

from . import composite, effects, exr
from .basis import Basis
from .belonging import Fitting
from .colour import Floats
from .shot import keeps_effects
from .signals import ShotSignals, pose
from .take import TakeFolder
from .version import version
from .video import Picture, read_picture, small, write_picture

DATA = "data"
"""The Color Interop Forum's name for numbers that are no colours."""

_DATA = ("matte", Extra.EFFECTS)
"""Layers of such numbers."""

_SHOWN = (Extra.POSE, Extra.FACE)
"""What the model was shown: pictures for a person, whatever the plate's numbers are."""

_AS_SEEN = (*_SHOWN, Extra.GENERATED)
"""Layers that nothing is composited of."""


@dataclass(frozen=True)
class Written:
    """A frame whose files are there."""

    shown: Picture
    """As the preview has it: uint8 [h, w, 3]."""
    clipped: Clipped
    """What the model was not shown of the plate as it is, inside the region."""


class _Own(threading.local):
    """What each thread has for itself."""

    def __init__(self) -> None:
        self.canvas = composite.Canvas()


class Layering:
    """Makes and writes the layers of one take, frame by frame; may be shared by threads."""

    def __init__(self, signals: ShotSignals, take: TakeFolder) -> None:
        self._signals, self._shot, self._take = signals, signals.shot, take
        self._space = self._shot.space if self._shot.shot.mode is Mode.REPLACE else None
        chosen = self._shot.shot.settings.finish.format
        self._depth = np.uint16 if chosen is Format.PNG16 else np.uint8
        self._own = _Own()
        self._has_effects = keeps_effects(self._shot.shot) or Extra.EFFECTS in take.take.layers
        self._compression = Format.EXR_PIZ if chosen is Format.EXR_PIZ else Format.EXR_ZIP

    def path(self, layer: str, number: int) -> str:
        """Of the file of shot number `number` in the take's folder."""
        is_exr = self._is_light(layer) or layer == Extra.EFFECTS
        return f"{layer}/{frame_name(number, 'exr' if is_exr else 'png')}"

    def copy(self, i: int, basis: Basis) -> Written:
        """Copy the files of frame `i` from `basis`, bit for bit."""
        number, layers = self._shot.shot.numbers[i], self._take.take.layers
        for layer in layers:
            basis.copy(layer, number, self._take.folder / self.path(layer, number))
        shown = small(read_picture(self._take.folder / self.path(layers[-1], number)))
        clipped = self._clipped(i, self._shot.stored_plate(i)) if self._space else Clipped()
        return Written(self._shot.seen(shown), clipped)

    def _clipped(self, i: int, plate: Picture) -> Clipped:
        """What the model was not shown of the plate of frame `i` as it is."""
        if self._space is None:
            return Clipped()
        inside = composite.pixels(plate)[np.ravel(self._signals.region(i)) > 0]
        return self._space.clipped(inside.view(plate.dtype).reshape(-1, 3))

    def write(self, i: int, frame: NDArray[np.floating[Any]], seed: int) -> Written:
        """Write the files of frame `i`, counted from 0."""
        layers, clipped = self._layers(i, frame)
        said, number = self._said(i, seed), self._shot.shot.numbers[i]
        for layer in self._take.take.layers:
            path, words = self._take.folder / self.path(layer, number), said | self._said_of(layer)
            write_picture(path, layers[layer], words=words, compression=self._compression)
        return Written(self._shot.seen(small(layers[self._take.take.layers[-1]])), clipped)

    def _is_light(self, layer: str) -> bool:
        return self._space is not None and layer not in _SHOWN

    def _layers(self, i: int, frame: NDArray[np.floating[Any]]) -> tuple[dict[str, Picture], Clipped]:
        """The pictures of frame `i` by layer, at the delivered size, and what the model was not shown as it is."""
        made = self._signals.windows[i].back(frame)
        extras = {layer: self._extra(layer, i, made) for layer in self._take.take.layers if layer in _AS_SEEN}
        if self._shot.shot.mode is Mode.ANIMATE:
            return extras, Clipped()
        layers, clipped = self._composited(i, frame, made)
        return extras | layers, clipped

    def _composited(
        self, i: int, frame: NDArray[np.floating[Any]], made: Floats
    ) -> tuple[dict[str, Picture], Clipped]:  # fmt: skip
        """Character, matte and comp of frame `i`, and what was asked for of what they are made of."""
        fitting, asked = Fitting(self._take.take.belonging or Belonging(), self._signals), self._take.take.layers
        plate, region = self._shot.stored_plate(i), self._signals.alpha(i)
        clipped = self._clipped(i, plate)
        light, found = self._space.light if self._space else None, {}
        alpha, made = fitting.alpha(i, frame, region), fitting.soften(i, made)
        ratio = effects.thrown(self._signals, i) if self._has_effects else None
        if self._shot.shot.settings.finish.alpha is Alpha.DIFFERENCE:
            plate = composite.background(plate, effects.behind(self._signals, i, ratio), region)
        if ratio is not None and Extra.EFFECTS in asked:
            found[Extra.EFFECTS.value] = ratio.astype(np.float16)
        if Extra.BACKGROUND in asked:
            found[Extra.BACKGROUND.value] = plate.copy()  # the plate becomes the comp
        if Extra.UNGRAINED in asked:
            found[Extra.UNGRAINED.value] = self._alone(made, alpha)
        grain = fitting.grain(i)
        return found | composite.layers(plate, made, alpha, self._depth, light, grain, self._own.canvas), clipped

    def _alone(self, made: Floats, alpha: Picture) -> Picture:
        """The character as it is before it gets grain."""
        box = composite.bounds(alpha)
        part = composite.element(made[box], alpha[box], self._depth, self._space.light if self._space else None)
        whole = self._own.canvas.blank(Extra.UNGRAINED, (*alpha.shape, 4), part.dtype, box)
        whole[box] = part
        return whole

    def _extra(self, layer: str, i: int, made: Floats) -> Picture:
        """What is delivered as the model was shown it, and all that it made."""
        if layer == Extra.FACE:
            return self._signals.face(i)
        if layer == Extra.POSE:
            return self._pose(i)
        if self._space is None:
            return composite.samples(made, self._depth)
        return np.asarray(self._space.light(made), np.float16)

    def _pose(self, i: int) -> Picture:
        """The skeleton at the delivered size: drawn for the plate, for that is where compositors lay it."""
        if self._shot.shot.mode is Mode.ANIMATE:
            return self._signals.pose(i)
        raster = self._shot.shot.raster
        return pose.draw(self._shot.keypoints[i], raster.width, raster.height)

    def _said(self, i: int, seed: int) -> dict[str, exr.Word]:
        """What every file of frame `i` says of itself; what OpenEXR has attributes for goes by their names."""
        take, timecode = self._take.take, self._shot.timecode(i)
        said: dict[str, exr.Word] = {
            "framesPerSecond": take.fps,
            "imageCounter": self._shot.shot.numbers[i],
            "software": f"wan-animate {version()}",
            "wanAnimate.shot": take.shot,
            "wanAnimate.seed": str(seed),  # does not fit the 32 bits of OpenEXR's whole numbers
            "wanAnimate.recipe": take.recipe,
            "wanAnimate.models": "\n".join(f"{sha256}  {name}" for name, sha256 in sorted(take.models.items())),
        }
        return said | {"timeCode": timecode} if timecode else said

    def _said_of(self, layer: str) -> dict[str, exr.Word]:
        """The layer's name, and what its numbers are."""
        named: dict[str, exr.Word] = {"wanAnimate.layer": layer}
        if self._space is None or not self._is_light(layer):
            return named | {"wanAnimate.colorSpace": DATA if layer in _DATA else Encoding.DISPLAY.value}
        name, interop = (DATA, DATA) if layer in _DATA else (self._space.name, self._space.interop)
        return named | {"wanAnimate.colorSpace": name, "colorInteropID": interop}
