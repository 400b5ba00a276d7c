"""The layers of a take from one generated frame: character, matte, comp. Exact integer arithmetic on pictures.

Knows no shot, no region and no model.
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
