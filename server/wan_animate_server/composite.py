"""The layers of a take from one generated frame: character, matte, comp. Exact integer arithmetic on pictures.

Knows no shot, no region and no model.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .video import Picture


def character(generated: npt.NDArray[np.floating], alpha: Picture) -> Picture:
    """The character alone: uint8 [H, W, 4] RGBA, straight, from `generated` [H, W, 3] 0..1 and `alpha` uint8 [H, W].

    Black where nothing of it shows, so that a take does not carry pixels that nobody may use.
    """
    colour = np.rint(np.clip(generated, 0, 1).astype(np.float32) * 255).astype(np.uint8)
    colour[alpha == 0] = 0
    return np.dstack([colour, alpha])


def comp(plate: Picture, character: Picture) -> Picture:
    """`character` (straight RGBA, uint8 [H, W, 4]) over `plate` (RGB, uint8 or uint16), in the plate's own depth.

    plate·(1 − a) + character·a to the nearest sample, which is what Blender's Alpha Over gives. Where a is 0 the
    plate's samples come back bit for bit; where it is 255 the character's.
    """
    depth = np.iinfo(plate.dtype).max // 255
    alpha = character[..., 3:].astype(np.uint32)
    mixed = plate * (255 - alpha) + character[..., :3] * (alpha * depth)
    return ((mixed + 127) // 255).astype(plate.dtype)
