"""Frames of a plate or a take, small and as a person sees them, kept as JPEG files. Knows neither HTTP nor queue."""

from __future__ import annotations

import threading
from pathlib import Path

import cv2

from wan_animate_blender.wire import write_atomically

from ..colour import Space
from ..video import EXR, Picture, read_character, read_picture

WIDEST = 960
"""Pixels; a player in a page shows no more."""

_QUALITY = 88
"""Of JPEG: differences between two takes are seen, artefacts are not."""

_AT_ONCE = threading.Semaphore(2)
"""Frames being made small: a big scene-linear one takes a hundred megabytes, and a player asks for many."""


def small(picture: Path, space: Space | None, kept: Path) -> Path:
    """The file `kept`, made from `picture` when it is not there yet.

    `space` says what scene-linear numbers mean. Raises `BadInput` when `picture` cannot be read, `OSError` when `kept`
    cannot be written.
    """
    if not kept.exists():
        with _AT_ONCE:
            shown = _narrow(_seen(picture, space))
            _, data = cv2.imencode(".jpg", cv2.cvtColor(shown, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(kept, data.tobytes())
    return kept


def _seen(picture: Path, space: Space | None) -> Picture:
    """uint8 [H, W, 3] RGB; what is transparent over black, which is how scene-linear layers are stored already."""
    if picture.suffix == EXR and space is not None:
        return space.seen(read_picture(picture))
    return read_character(picture)


def _narrow(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    if width <= WIDEST:
        return picture
    return cv2.resize(picture, (WIDEST, max(round(height * WIDEST / width), 1)), interpolation=cv2.INTER_AREA)
