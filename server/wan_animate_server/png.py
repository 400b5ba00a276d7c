"""PNG files: samples of 8 or 16 bits as bytes of a file, with what is said about them. Knows no colours."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import cv2
import numpy.typing as npt

from .exr import Words

Samples = npt.NDArray[Any]
"""uint8 or uint16: [H, W, 3] RGB, [H, W, 4] RGBA or [H, W] grey."""

_HEAD = 8 + 25
"""Bytes of the signature and of the chunk IHDR, which come first in every PNG file."""

_KEYWORDS = {"software": "Software"}
"""Those of the PNG specification that EXR writes otherwise."""


def encoded(picture: Samples, words: Words) -> bytes:
    """`picture` as a file, without loss; each of `words` is a chunk iTXt before the samples."""
    codes = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    stored = picture if picture.ndim == 2 else cv2.cvtColor(picture, codes[picture.shape[2]])
    _, data = cv2.imencode(".png", stored)
    said = [_text(_KEYWORDS.get(name, name), str(word)) for name, word in words.items()]
    return b"".join([data[:_HEAD].tobytes(), *said, data[_HEAD:].tobytes()])


def _text(keyword: str, text: str) -> bytes:
    """PNG specification, 11.3.3.4: keyword, not compressed, no language, no translated keyword, UTF-8."""
    body = b"iTXt" + keyword.encode("latin-1") + b"\0\0\0\0\0" + text.encode()
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
