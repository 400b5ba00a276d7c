"""A contact sheet of clips, for the eye: a row for each. Knows clips and pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from .drawing import skeleton
from .pairs import Clips


def sheet(clips: Clips, path: Path, count: int) -> None:
    """Writes the first `count` clips as a PNG.

    In a row: reference; plate, character and skeleton of the first, middle and last frame; then of the last frame
    relit, neutral, own, clean and matte; the faces of the first and the last.
    """
    height, width = clips.frames.shape[2:4]
    cv2.imwrite(str(path), np.vstack([_row(clips, i, height, width) for i in range(count)])[..., ::-1])


def _row(clips: Clips, i: int, height: int, width: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    moments = [0, clips.frames.shape[1] // 2, -1]
    drawn = skeleton(clips.keypoints[i, moments], height, width)
    parts = [clips.reference[i]]
    for j, moment in enumerate(moments):
        parts += [clips.plate[i, moment], clips.frames[i, moment], drawn[j]]
    parts += [each[i, -1] for each in (clips.relit, clips.neutral, clips.own, clips.clean)]
    parts.append(clips.matte[i, -1][..., None].expand(-1, -1, 3))
    faces = [cv2.resize(_array(clips.face[i, k]), (width, height), interpolation=cv2.INTER_AREA) for k in (0, -1)]
    return np.hstack([_array(torch.cat(parts, 1)), *faces])


def _array(picture: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.asarray(picture.cpu().numpy(), np.uint8)
