"""The layers of a take from one generated frame: character, matte, comp, in the plate's own depth and encoding.

Display-encoded pictures by exact arithmetic on whole numbers, scene-linear ones as a compositor's Over does it. Knows
no shot, no region, no colour space and no model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from .video import Picture

_OPACITY = (np.arange(256, dtype=np.float32) / 255).astype(np.float16).astype(np.float32)
"""Of each alpha, as a file in half has it."""

_STORED = _OPACITY.astype(np.float16).view(np.uint16)
"""The bits of it."""

_SHOWN = np.where(_STORED > 0, np.uint16(0xFFFF), np.uint16(0))
"""All bits where an alpha shows something, none where it shows nothing."""

_OPAQUE = int(_STORED[255])
"""The bits of 1: as whole numbers, halves from 0 to 1 compare as they do as numbers, and quicker."""

_SERIAL = 1 << 15
"""Numbers that are converted at once: of more, torch would wake threads beside those that put frames together."""

_STRIP = 1 << 16
"""Pixels that are put together at once: what they go through on their way mostly stays in the processor's cache. Fewer
would be quicker there, but hand Python's lock to and fro more often."""

Box = tuple[slice, slice]
"""Rows and columns of a picture."""

Change = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]
"""What is done to a part of a picture: how numbers 0..1 of the model become light, or how they get grain."""


class Canvas:
    """Pictures that are black but for a box, in memory that is kept: to clear fresh memory takes longer than to draw.

    What it has drawn holds until it draws the same again. No two threads may share one.
    """

    def __init__(self) -> None:
        self._drawn: dict[str, tuple[Picture, Box]] = {}

    def blank(self, name: str, size: tuple[int, ...], kind: npt.DTypeLike, box: Box) -> Picture:
        """The picture `name` of `size` [H, W] or [H, W, channels], black; nothing may be drawn on it outside `box`."""
        whole, before = self._drawn.get(name, (None, box))
        if whole is None or (whole.shape, whole.dtype) != (size, kind):
            whole = np.zeros(size, kind)
        whole[before] = 0
        self._drawn[name] = whole, box
        return whole


def layers(
    plate: Picture, made: npt.NDArray[np.float32], alpha: Picture, depth: type = np.uint8,
    light: Change | None = None, grain: Change | None = None, canvas: Canvas | None = None,
) -> dict[str, Picture]:  # fmt: skip
    """Character, matte and comp of what was `made` [H, W, 3] over `plate` [H, W, 3]; `alpha` is uint8 [H, W].

    `plate` becomes the comp: no sample of it outside the box of rows and columns that shows the character is touched.
    A scene-linear one needs `light`; otherwise `depth` is the character's. `grain` is given in the plate's numbers.
    Where there is a `canvas`, character and matte are drawn on it.
    """
    box, canvas, kind = bounds(alpha), canvas or Canvas(), depth if light is None else np.float16
    alone = canvas.blank("character", (*alpha.shape, 4), kind, box)
    matte = canvas.blank("matte", alpha.shape, kind, box)
    for strip in [box] if grain else _strips(alpha, box):  # grain hangs together
        part = element(made[strip], alpha[strip], depth, light, grain)
        alone[strip], matte[strip] = part, part[..., 3]
        plate[strip] = (comp if light is None else over)(plate[strip], part)
    return {"character": alone, "matte": matte, "comp": plate}


def bounds(alpha: Picture) -> Box:
    """The rows and columns outside of which nothing shows: one pixel at least, for OpenCV takes no picture of none."""
    x, y, width, height = cv2.boundingRect(alpha)
    return slice(y, y + max(height, 1)), slice(x, x + max(width, 1))


def _strips(alpha: Picture, box: Box) -> Iterator[Box]:
    """What shows inside `box`, some rows at a time, each with no more columns than it needs."""
    rows, columns = box
    height = max(_STRIP // (columns.stop - columns.start), 1)
    for first in range(rows.start, rows.stop, height):
        last = min(first + height, rows.stop)
        x, _, width, _ = cv2.boundingRect(alpha[first:last])
        if width:
            yield slice(first, last), slice(x, x + width)


def element(
    made: npt.NDArray[np.float32], alpha: Picture, depth: type, light: Change | None, grain: Change | None = None
) -> Picture:
    """The character alone [H, W, 4], of the same arguments as `layers` has."""
    numbers = made if light is None else light(made)
    if grain:
        numbers = grain(numbers)
    return character(numbers, alpha, depth) if light is None else premultiplied(numbers, alpha)


def background(plate: Picture, clean: Picture, alpha: Picture) -> Picture:
    """`clean` over `plate`, both [H, W, 3] and of the same kind of numbers, as `alpha` uint8 [H, W] says.

    In the plate's type; where the alpha is 0 its samples come back bit for bit.
    """
    if plate.dtype.kind == "f":
        return over(plate, premultiplied(np.asarray(clean, np.float32), alpha))
    kind = clean.dtype.type
    opacity = alpha.astype(kind) * kind(np.iinfo(kind).max // 255)
    return comp(plate, np.dstack((clean, opacity)))


def character(generated: npt.NDArray[np.floating[Any]], alpha: Picture, depth: type = np.uint8) -> Picture:
    """The character alone: RGBA [H, W, 4], straight, from `generated` [H, W, 3] 0..1 and `alpha` uint8 [H, W].

    Its `depth` is uint8 or uint16. Black where nothing of it shows, so that a take does not carry pixels that nobody
    may use.
    """
    shown = alpha > 0
    layer: Picture = np.zeros((*alpha.shape, 4), depth)
    layer[shown, :3] = samples(generated[shown], depth)
    layer[..., 3] = alpha.astype(depth) * depth(np.iinfo(depth).max // 255)
    return layer


def samples(generated: npt.NDArray[np.floating[Any]], depth: type) -> Picture:
    """Numbers 0..1 as whole ones of `depth`, uint8 or uint16, to the nearest; what lies outside is clipped."""
    most = np.iinfo(depth).max
    return np.asarray(np.rint(np.clip(generated.astype(np.float32), 0, 1) * most), depth)


def comp(plate: Picture, character: Picture) -> Picture:
    """`character` (straight RGBA [H, W, 4]) over `plate` (RGB), each uint8 or uint16, in the plate's own depth.

    plate·(1 − a) + character·a to the nearest sample, which is what Blender's Alpha Over gives. Where a is 0 the
    plate's samples come back bit for bit; where it is 1 the character's.
    """
    most, top = (int(np.iinfo(picture.dtype).max) for picture in (plate, character))
    finer, shown = max(most, top), character[..., 3] > 0
    wide = np.uint32 if top == 255 else np.uint64
    below: npt.NDArray[Any] = plate[shown].astype(wide)
    above: npt.NDArray[Any] = character[shown].astype(wide)
    alpha = above[:, 3:]
    mixed = below * ((top - alpha) * (finer // most)) + above[:, :3] * (alpha * (finer // top))
    unit = top * finer // most
    result = plate.copy()
    result[shown] = (mixed + unit // 2) // unit
    return result


def premultiplied(light: npt.NDArray[np.floating[Any]], alpha: Picture) -> Picture:
    """The character alone for a scene-linear plate: float16 [H, W, 4], `light` [H, W, 3] times `alpha` uint8 [H, W]."""
    channels = np.empty((3, *alpha.shape), np.float32)  # apart, so that the alpha need not be there for each of them
    cv2.split(np.asarray(light, np.float32), list(channels))
    with np.errstate(invalid="ignore"):
        channels *= cv2.LUT(alpha, _OPACITY)
    stored = halves(channels).view(np.uint16)
    stored &= np.asarray(cv2.LUT(alpha, _SHOWN), np.uint16)  # no sign and no NaN of what is not shown
    return np.asarray(cv2.merge([*stored, cv2.LUT(alpha, _STORED)])).view(np.float16)


def over(plate: Picture, character: Picture) -> Picture:
    """`character` (premultiplied, float16 [H, W, 4]) over `plate` (RGB, float16 or float32), in the plate's own type.

    plate·(1 − a) + character in float32, from the very numbers of the two files: so any compositor's Over of them gives
    the same. Where a is 0 the plate keeps its bits, infinities and NaN too; where it is 1 nothing of it is left.
    """
    stored, result = np.ascontiguousarray(character), plate.copy()
    alpha, half = cv2.extractChannel(_bits(stored), 3), plate.dtype == np.float16
    alone = cv2.cvtColor(_bits(stored), cv2.COLOR_RGBA2RGB).view(np.float16)
    hidden = (alpha == _OPAQUE).view(np.uint8)
    cv2.copyTo(_bits(alone if half else floats(alone)), hidden, _bits(result))
    soft = np.flatnonzero((alpha > 0) & (alpha < _OPAQUE))
    above, mixed = _chosen(stored, soft), _chosen(result, soft)
    with np.errstate(invalid="ignore", over="ignore"):
        mixed *= 1 - above[:, 3:]
        mixed += above[:, :3]
    pixels(result)[soft] = pixels(halves(mixed) if half else mixed)
    return result


def _chosen(picture: Picture, places: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
    """The pixels of a whole picture at `places`, as floats [n, channels]."""
    return floats(pixels(picture)[places].view(picture.dtype).reshape(-1, picture.shape[-1]))


def halves(numbers: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    """`numbers` in half, to the nearest, of two equally near ones the even: numpy's own way takes six times as long."""
    return np.asarray(_converted(numbers, np.empty(numbers.shape, np.float16)))


def floats(numbers: Picture) -> npt.NDArray[np.float32]:
    """Numbers in half or float as floats, exactly; also several times as quick as numpy."""
    if numbers.dtype == np.float32:
        return numbers
    return np.asarray(_converted(numbers, np.empty(numbers.shape, np.float32)))


def _converted(numbers: Picture, result: Picture) -> Picture:
    """`result`, which has become `numbers` in its own type."""
    source, target = (torch.from_numpy(np.ravel(array)) for array in (numbers, result))
    for first in range(0, len(source), _SERIAL):
        target[first : first + _SERIAL].copy_(source[first : first + _SERIAL])
    return result


def pixels(picture: Picture) -> npt.NDArray[np.void]:
    """A whole picture [H, W, channels] as a view of H·W pixels, to be chosen in one go: far quicker than samples."""
    return picture.view(np.dtype((np.void, picture.shape[-1] * picture.itemsize))).reshape(-1)


def _bits(picture: Picture) -> Picture:
    """The same samples as whole numbers, which OpenCV copies as they are."""
    return picture.view({2: np.uint16, 4: np.int32}[picture.itemsize])
