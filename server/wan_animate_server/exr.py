"""OpenEXR files: half and float pictures in and out, bit for bit, with what is said about them. Knows no colours."""

from __future__ import annotations

import io
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import OpenEXR

from wan_animate_blender.wire import BadInput

Light = npt.NDArray[Any]
"""float16 or float32, scene-linear, without bounds: [H, W, 3] RGB, [H, W, 4] premultiplied RGBA, or [H, W] grey."""

Words = Mapping[str, str | int | Fraction]
"""Attributes of a file's header; those that OpenEXR names have its meaning."""

_CHANNELS = {2: "Y", 3: "RGB", 4: "RGBA"}
"""Of an array with this many dimensions, or this many channels in the third."""


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
    return window.max.x + 1, window.max.y + 1


def encoded(picture: Light, words: Words) -> bytes:
    """`picture` as a file of one layer, bit for bit, compressed without loss (ZIP)."""
    name = _CHANNELS[picture.ndim if picture.ndim == 2 else picture.shape[2]]
    header = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION, **words}
    file = io.BytesIO()
    OpenEXR.File(header, {name: np.ascontiguousarray(picture)}).write(file)
    return file.getvalue()
