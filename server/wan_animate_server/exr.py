"""OpenEXR files: half and float pictures in and out, bit for bit, with what is said about them. Knows no colours."""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import OpenEXR

from wan_animate_blender.wire import BadInput, Format, Timecode, WireError

from . import bands

Light = npt.NDArray[Any]
"""float16 or float32, scene-linear, without bounds: [H, W, 3] RGB, [H, W, 4] premultiplied RGBA, or [H, W] grey."""

Word = str | int | Fraction | Timecode

Words = Mapping[str, Word]
"""Attributes of a file's header; those that OpenEXR names have its meaning."""

_CHANNELS = {2: "Y", 3: "RGB", 4: "RGBA"}
"""Of an array with this many dimensions, or this many channels in the third."""

_COMPRESSIONS = {Format.EXR_ZIP: OpenEXR.ZIP_COMPRESSION, Format.EXR_PIZ: OpenEXR.PIZ_COMPRESSION}

_LINES = {Format.EXR_ZIP: 16, Format.EXR_PIZ: 32}
"""Rows that are compressed together."""

PIXELS = 1 << 27
"""Of the largest picture that is decoded, of any kind: 16,384 × 8,192. A small file can claim to be any size."""


def read(path: Path) -> Light:
    """The colours of a picture as they are stored, float16 or float32 [H, W, 3] RGB; alpha is left out.

    Numbers below 0 and above 1, infinities and NaN keep their bits. Raises `BadInput` as `size` does, and where the
    file is damaged.
    """
    size(path)
    file = OpenEXR.File(str(path), separate_channels=True)
    if not file.parts:  # how the library says that pixels cannot be decoded
        raise BadInput(f"{path} is damaged; render that frame and export the shot again")
    channels = file.channels()
    return np.stack([channels[name].pixels for name in "RGB"], axis=2)


def read_grey(path: Path) -> Light:
    """The samples [H, W] of a file of one channel Y, such as the matte of a take. Raises `BadInput`."""
    try:
        file = OpenEXR.File(str(path), separate_channels=True)
    except (OSError, RuntimeError) as error:
        raise BadInput(f"{path} is not an EXR picture that can be read; render the take again") from error
    if not file.parts or "Y" not in file.channels():
        raise BadInput(f"{path} is damaged or not of one channel Y; render the take again")
    return np.asarray(file.channels()["Y"].pixels)


def size(path: Path) -> tuple[int, int]:
    """Width and height of a whole picture of half or float RGB, without decoding it.

    Raises `BadInput` for anything else: other files, files that end early, crops, layers without RGB.
    """
    try:
        file = OpenEXR.InputFile(str(path))  # the older class: only it knows whether a file is complete
        header, is_complete = file.header(), file.isComplete()
        file.close()
    except OSError as error:
        raise BadInput(f"{path} is not an EXR picture that can be read; export the shot again") from error
    if not is_complete:
        raise BadInput(f"{path} ends in its middle; render that frame and export the shot again")
    kinds = {name: str(channel.type) for name, channel in header["channels"].items()}
    if [kinds.get(name) for name in "RGB"] not in (["HALF"] * 3, ["FLOAT"] * 3):
        named = ", ".join(f"{name} ({kind.lower()})" for name, kind in kinds.items())
        raise BadInput(
            f"{path} has the channels {named}, expected R, G and B, all half or all float; "
            "render it as one layer of RGB"
        )
    window, frame = header["dataWindow"], header["displayWindow"]
    if window != frame or (window.min.x, window.min.y) != (0, 0):
        raise BadInput(f"{path} holds a part of its frame or more than it; render it without crop and overscan")
    width, height = window.max.x + 1, window.max.y + 1
    if width * height > PIXELS:
        raise BadInput(f"{path} is {width}×{height} pixels, expected at most {PIXELS}; render it smaller")
    return width, height


def write(path: Path, picture: Light, words: Words, compression: Format = Format.EXR_ZIP) -> None:
    """Write `picture` as a file of one layer, bit for bit, compressed without loss. Raises `OSError`.

    Where somebody stops it, half a file stays.
    """
    height, width = picture.shape[:2]
    rows = bands.shown(picture, _LINES[compression])
    said = {key: _time_code(word) if isinstance(word, Timecode) else word for key, word in words.items()}
    said["dataWindow"] = (0, rows.start), (width - 1, rows.stop - 1)
    said["displayWindow"] = (0, 0), (width - 1, height - 1)
    file = _file(picture[rows], compression, said)
    try:
        file.write(str(path))  # by name: into a file of Python's it would take Python's lock for every few rows
    except RuntimeError as error:  # how the library says what the disk says
        raise OSError(str(error)) from error
    if rows.stop - rows.start < height:
        black = functools.partial(_black, picture.shape[1:], picture.dtype, compression)
        path.write_bytes(bands.widened(path.read_bytes(), height, _LINES[compression], black))


def _file(picture: Light, compression: Format, said: Mapping[str, Any]) -> OpenEXR.File:
    name = _CHANNELS[picture.ndim if picture.ndim == 2 else picture.shape[2]]
    header = {"type": OpenEXR.scanlineimage, "compression": _COMPRESSIONS[compression], **said}
    return OpenEXR.File(header, {name: np.ascontiguousarray(picture)})


@functools.lru_cache(16)
def _black(row: tuple[int, ...], kind: np.dtype[Any], compression: Format, rows: int) -> bytes:
    """A file of so many black rows of the shape `row`."""
    file = io.BytesIO()
    _file(np.zeros((rows, *row), kind), compression, {}).write(file)
    return file.getvalue()


def _time_code(timecode: Timecode) -> OpenEXR.TimeCode:
    """The attribute's digits reach to 39 frames: above 30 a second SMPTE ST 12-1 counts pairs and marks the second."""
    hours, minutes, seconds, frame = timecode.fields
    paired = timecode.fps > 30
    number, second = divmod(frame, 2) if paired else (frame, 0)
    return OpenEXR.TimeCode(hours, minutes, seconds, number, int(timecode.drops), 0, second, *[0] * 11)


def timecode(path: Path, fps: Fraction) -> Timecode | None:
    """What the header of a picture says of its place in the footage; None where it says nothing, or not at `fps`."""
    said = OpenEXR.File(str(path), header_only=True).header().get("timeCode")
    if said is None:
        return None
    frame = 2 * said.frame + said.fieldPhase if fps > 30 else said.frame
    mark = ";" if said.dropFrame else ":"
    try:
        return Timecode.read(f"{said.hours:02d}:{said.minutes:02d}:{said.seconds:02d}{mark}{frame:02d}", fps)
    except WireError:  # counted at another rate than the edit's
        return None
