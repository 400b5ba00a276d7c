"""Rows of an EXR file that show nothing: they are always the same bytes, and need not be compressed for every frame.

Knows how such a file is laid out (https://openexr.com/en/latest/OpenEXRFileLayout.html), and no colours.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

_WHOLE = {2: np.uint16, 4: np.uint32}
"""Types in which samples of so many bytes are black only where all of their bits are."""

_BOX = struct.Struct("<4i")
"""Left, top, right and bottom, the last ones included."""

Black = Callable[[int], bytes]
"""A file of so many black rows, of the same width, channels and compression."""


def shown(picture: npt.NDArray[Any], lines: int) -> slice:
    """The rows of `picture` [H, W, …] without those above and below that are black, in chunks of `lines`; one at least.

    −0 is not black here: its bits are kept.
    """
    stored, chunks = picture.view(_WHOLE[picture.itemsize]), range(0, len(picture), lines)
    first, last = (
        next((start for start in order if stored[start : start + lines].any()), 0)
        for order in (chunks, reversed(chunks))
    )
    return slice(first, min(last + lines, len(picture)))


def widened(file: bytes, height: int, lines: int, black: Black) -> bytes:
    """The file of a picture `height` rows high, as it is when all of it is compressed, from that of what is `shown`.

    `lines` rows are compressed together. Both have one part, and as many bytes before their table of chunks.
    """
    window, table = _header(file)
    left, top, right, bottom = _BOX.unpack_from(file, window)
    above = [_blank(y, black(lines)) for y in range(0, top, lines)]
    below = [_blank(y, black(min(lines, height - y))) for y in range(bottom + 1, height, lines)]
    chunks = [*above, *_chunks(file, table), *below]
    offsets = [*accumulate(map(len, chunks), initial=table + 8 * len(chunks))][:-1]
    head = file[:window] + _BOX.pack(left, 0, right, height - 1) + file[window + _BOX.size : table]
    return b"".join([head, struct.pack(f"<{len(offsets)}Q", *offsets), *chunks])


def _blank(y: int, black: bytes) -> bytes:
    """The only chunk of `black`, as the one whose first row is `y`."""
    (chunk,) = _chunks(black, _header(black)[1])
    return struct.pack("<i", y) + chunk[4:]


def _chunks(file: bytes, table: int) -> list[bytes]:
    """All chunks of a file whose table of them, which ends where the first one begins, lies at `table`."""
    (first,) = struct.unpack_from("<Q", file, table)
    offsets = struct.unpack_from(f"<{(first - table) // 8}Q", file, table)
    return [file[start:end] for start, end in pairwise((*offsets, len(file)))]


def _header(file: bytes) -> tuple[int, int]:
    """Where in a file of one part the value of its data window lies, and where its table of chunks."""
    at, window = 8, 0  # behind magic number and version
    while file[at]:
        named = file.index(0, at)
        typed = file.index(0, named + 1)
        value = typed + 5  # behind its own size
        if file[at:named] == b"dataWindow":
            window = value
        at = value + int.from_bytes(file[typed + 1 : value], "little")
    return window, at + 1
