"""Pictures and strips for tests, made and read without the code that is tested."""

from __future__ import annotations

import struct
import wave
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy
import numpy as np

from wan_animate_blender import timeline


def write_png(file: Path, pixels: np.ndarray) -> Path:
    """Write uint8 or uint16 [H, W, 4], [H, W, 3] or [H, W] as a PNG file, byte for byte as the specification has it."""
    height, width = pixels.shape[:2]
    depth, colour = pixels.dtype.itemsize * 8, {1: 0, 3: 2, 4: 6}[pixels[0, 0].size]
    lines = pixels.astype(pixels.dtype.newbyteorder(">")).reshape(height, -1)
    data = zlib.compress(b"".join(b"\0" + line.tobytes() for line in lines), 1)
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", data), (b"IEND", b""))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
            for name, body in chunks
        )
    )
    return file


def read_png(file: Path) -> np.ndarray:
    """uint8 [H, W, 3] of a picture, y down, read by Blender without any view on it."""
    image = bpy.data.images.load(str(file))
    image.colorspace_settings.name = "Non-Color"
    width, height = image.size
    flat = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(flat)
    bpy.data.images.remove(image)
    return np.rint(flat.reshape(height, width, 4)[::-1, :, :3] * 255).astype(np.uint8)


def noise(seed: int, width: int = 80, height: int = 48) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def new_effect(
    editor: bpy.types.SequenceEditor, kind: str, channel: int, first: int, end: int, *inputs: timeline.Strip
) -> timeline.Strip:
    """A strip that makes its own picture. Its inputs were renamed in 4.4, its end became a length in 5.0."""
    names = ("input1", "input2") if bpy.app.version >= (4, 4) else ("seq1", "seq2")
    span: dict[str, Any] = {"length": end - first} if bpy.app.version >= (5, 0) else {"frame_end": end}
    return timeline.strips(editor).new_effect(
        name=kind.lower(),
        type=kind,
        channel=channel,
        frame_start=first,
        **span,
        **dict(zip(names, inputs, strict=False)),
    )


def new_sound(editor: bpy.types.SequenceEditor, file: Path, channel: int = 1) -> Any:
    """A sound strip called "dialog", one second long."""
    with wave.open(str(file), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(16000))
    try:
        return timeline.strips(editor).new_sound(name="dialog", filepath=str(file), channel=channel, frame_start=1)
    except RuntimeError:  # the wheel of 4.2 is built without sound: there a stand-in says what a strip would
        return SimpleNamespace(name="dialog", type="SOUND")
