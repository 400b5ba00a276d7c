"""Small pictures of a take as data URIs, each within a number of bytes. Knows neither figures nor HTML."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2

from wan_animate_blender.wire import Take

from ..sheet import moments
from ..shot import LoadedShot
from ..video import Picture, read_picture
from .plate import COMP

THUMBNAILS, PAIRS = 12, 3

_THUMB, _THUMB_BYTES = 320, 24_000
_PAIR, _PAIR_BYTES = 960, 240_000
"""Pixels of the longer side and bytes at most: all together stay below 2.5 MB as base64."""

_QUALITIES = (90, 80, 70, 55, 40, 25, 10)
"""Of JPEG; grain can make the finer ones large."""


@dataclass(frozen=True)
class Thumbnail:
    """One frame of the layer that shows the whole picture."""

    number: int
    """Of the shot."""
    picture: str
    """As a data URI."""


@dataclass(frozen=True)
class Pair:
    """One frame of the plate and of the comp, as data URIs of one size."""

    number: int
    plate: str
    comp: str
    width: int
    height: int


def thumbnails(folder: Path, take: Take, shot: LoadedShot) -> Iterator[Thumbnail]:
    """Frames of the take in `folder`, evenly spaced. Raises `BadInput` for what cannot be read."""
    paths = take.sequence(take.layers[-1])
    for i in moments(len(paths), THUMBNAILS):
        seen = shot.seen(read_picture(folder / paths[i]))
        yield Thumbnail(take.first + i, _uri(within(seen, _THUMB), _THUMB_BYTES))


def pairs(folder: Path, take: Take, shot: LoadedShot) -> Iterator[Pair]:
    """The first, the middle and the last frame beside the plate; none where there is no comp. Raises `BadInput`."""
    if COMP not in take.layers:
        return
    paths = take.sequence(COMP)
    for i in moments(len(paths), PAIRS):
        plate, comp = (within(seen, _PAIR) for seen in (shot.plate(i), shot.seen(read_picture(folder / paths[i]))))
        height, width = plate.shape[:2]
        yield Pair(take.first + i, _uri(plate, _PAIR_BYTES), _uri(comp, _PAIR_BYTES), width, height)


def within(picture: Picture, longest: int) -> Picture:
    """`picture` [H, W, 3] with a longer side of at most `longest` pixels."""
    height, width = picture.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return picture
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def _uri(picture: Picture, most: int) -> str:
    """uint8 [H, W, 3] as a JPEG of the finest quality that needs no more than `most` bytes, else the coarsest."""
    return f"data:image/jpeg;base64,{base64.b64encode(_jpeg(picture, most)).decode()}"


def _jpeg(picture: Picture, most: int) -> bytes:
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    data = b""
    for quality in _QUALITIES:
        _, coded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
        data = coded.tobytes()
        if len(data) <= most:
            break
    return data
