"""Grey pictures as arrays and PNG files, so that no number on their way is rounded or shown through a view."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import bpy
import numpy as np

from .edges import Grey

ALPHA = 3
"""The channel that `read` takes for the opacity; 0 is the brightness of a grey picture."""


def read(file: Path, channel: int = 0) -> Grey:
    """One channel of a picture that Blender reads: [H, W], top row first, uint16 when it has more than 8 bits."""
    numbers, is_deep = _numbers(file, channel)
    depth = np.uint16 if is_deep else np.uint8
    return np.rint(numbers * np.iinfo(depth).max).astype(depth)


def read_light(file: Path) -> np.ndarray:
    """The first channel of a scene-linear picture: float32 [H, W], 0–1, top row first."""
    return _numbers(file, 0)[0]


def _numbers(file: Path, channel: int) -> tuple[np.ndarray, bool]:
    image = bpy.data.images.load(str(file))
    try:
        image.colorspace_settings.is_data = True
        width, height = image.size
        pixels = np.empty((height, width, image.channels), np.float32)
        image.pixels.foreach_get(pixels.ravel())
        return np.clip(pixels[::-1, :, min(channel, image.channels - 1)], 0, 1), image.is_float
    finally:
        bpy.data.images.remove(image)


def write(file: Path, grey: Grey) -> Path:
    """Write uint8 or uint16 [H, W] as a PNG file (PNG specification, 5 and 11.2)."""
    height, width = grey.shape
    depth = grey.dtype.itemsize
    lines = np.zeros((height, 1 + width * depth), np.uint8)  # each begins with its filter: none
    lines[:, 1:] = grey.astype(grey.dtype.newbyteorder(">")).view(np.uint8)
    head = struct.pack(">IIBBBBB", width, height, 8 * depth, 0, 0, 0, 0)
    chunks = (b"IHDR", head), (b"IDAT", zlib.compress(lines, 1)), (b"IEND", b"")
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, body) for name, body in chunks))
    return file


def settle(file: Path) -> Path:
    """Give the last pixel of a mask strip's picture, in the upper right, its neighbour's grey: 4.2 and 4.5 leave it to
    chance."""
    picture = read(file)
    picture[0, -1] = picture[0, -2:][0]
    return write(file, picture)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
