"""The contact sheet: a take at one look, six moments beside each other. Knows pictures and labels only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .video import Picture, to_8bit

MOMENTS = 6

_TILE = 320
"""Longest side of one picture."""

_GAP, _HEADER, _MARGIN = 6, 28, 84
_PAPER, _INK = 24, (225, 225, 225)


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One column: uint8 or uint16 pictures of one frame, grey or RGB; None where the mode has no such layer."""

    label: str
    plate: Picture | None = None
    skeleton: Picture | None = None
    matte: Picture | None = None
    result: Picture | None = None


def moments(frames: int, most: int = MOMENTS) -> list[int]:
    """Indices of up to `most` frames, at least two: the first and the last among them, evenly between."""
    return sorted({round(i * (frames - 1) / (most - 1)) for i in range(most)})


def contact_sheet(columns: Sequence[Moment]) -> Picture:
    """All `columns` as one picture, uint8 [H, W, 3] RGB: rows plate, skeleton, matte, result, without empty ones."""
    named = {name: [getattr(moment, name) for moment in columns] for name in ("plate", "skeleton", "matte", "result")}
    rows = {name: row for name, row in named.items() if any(picture is not None for picture in row)}
    width, height = _tile_size([picture for row in rows.values() for picture in row if picture is not None])
    sheet = np.full(
        (_HEADER + len(rows) * (height + _GAP), _MARGIN + len(columns) * (width + _GAP), 3), _PAPER, np.uint8
    )
    for i, moment in enumerate(columns):
        _write(sheet, moment.label, _MARGIN + i * (width + _GAP), _HEADER - 9)
    for j, (name, row) in enumerate(rows.items()):
        top = _HEADER + j * (height + _GAP)
        _write(sheet, name, 8, top + height // 2)
        for i, picture in enumerate(row):
            if picture is not None:
                _paste(sheet, picture, _MARGIN + i * (width + _GAP), top, width, height)
    return sheet


def _tile_size(pictures: list[Picture]) -> tuple[int, int]:
    height, width = pictures[0].shape[:2]
    scale = _TILE / max(height, width)
    return max(round(width * scale), 1), max(round(height * scale), 1)


def _paste(sheet: Picture, picture: Picture, left: int, top: int, width: int, height: int) -> None:
    """`picture` whole and centred in its tile: a model's picture may be some pixels larger than the plate."""
    tile = to_8bit(picture)
    scale = min(width / tile.shape[1], height / tile.shape[0])
    size = max(round(tile.shape[1] * scale), 1), max(round(tile.shape[0] * scale), 1)
    tile = cv2.resize(tile, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    x, y = left + (width - size[0]) // 2, top + (height - size[1]) // 2
    sheet[y : y + size[1], x : x + size[0]] = tile if tile.ndim == 3 else tile[..., None]


def _write(sheet: Picture, text: str, left: int, baseline: int) -> None:
    cv2.putText(sheet, text, (left, baseline), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _INK, 1, cv2.LINE_AA)
