"""The layers of a take from one generated frame: character, matte, comp, in the plate's own depth and encoding.

Display-encoded pictures by exact arithmetic on whole numbers, scene-linear ones as a compositor's Over does it. Knows
no shot, no region, no colour space and no model.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .video import Picture


def character(generated: npt.NDArray[np.floating[Any]], alpha: Picture) -> Picture:
    """The character alone: uint8 [H, W, 4] RGBA, straight, from `generated` [H, W, 3] 0..1 and `alpha` uint8 [H, W].

    Black where nothing of it shows, so that a take does not carry pixels that nobody may use.
    """
    shown = alpha > 0
    layer = np.zeros((*alpha.shape, 4), np.uint8)
    layer[shown, :3] = np.rint(np.clip(generated[shown].astype(np.float32), 0, 1) * 255)
    layer[..., 3] = alpha
    return layer


def comp(plate: Picture, character: Picture) -> Picture:
    """`character` (straight RGBA, uint8 [H, W, 4]) over `plate` (RGB, uint8 or uint16), in the plate's own depth.

    plate·(1 − a) + character·a to the nearest sample, which is what Blender's Alpha Over gives. Where a is 0 the
    plate's samples come back bit for bit; where it is 255 the character's.
    """
    depth = np.iinfo(plate.dtype).max // 255
    shown = character[..., 3] > 0
    alpha = character[shown, 3:].astype(np.uint32)
    mixed = plate[shown] * (255 - alpha) + character[shown, :3] * (alpha * depth)
    result = plate.copy()
    result[shown] = (mixed + 127) // 255
    return result


def premultiplied(light: npt.NDArray[np.floating[Any]], alpha: Picture) -> Picture:
    """The character alone for a scene-linear plate: float16 [H, W, 4], `light` [H, W, 3] times `alpha` uint8 [H, W]."""
    layer = np.zeros((*alpha.shape, 4), np.float16)
    layer[..., 3] = alpha.astype(np.float32) / 255
    shown = alpha > 0
    layer[shown, :3] = light[shown] * layer[shown, 3:].astype(np.float32)
    return layer


def over(plate: Picture, character: Picture) -> Picture:
    """`character` (premultiplied, float16 [H, W, 4]) over `plate` (RGB, float16 or float32), in the plate's own type.

    plate·(1 − a) + character in float32, from the very numbers of the two files: so any compositor's Over of them gives
    the same. Where a is 0 the plate keeps its bits, infinities and NaN too; where it is 1 nothing of it is left.
    """
    result = plate.copy()
    whole = character[..., 3] == 1
    result[whole] = character[whole, :3]
    soft = (character[..., 3] > 0) & ~whole
    layer = character[soft].astype(np.float32)
    with np.errstate(invalid="ignore"):  # a signalling NaN of the plate stays one, quietly
        result[soft] = plate[soft].astype(np.float32) * (1 - layer[:, 3:]) + layer[:, :3]
    return result
