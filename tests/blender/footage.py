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


def read_png(file: Path, levels: int = 255) -> np.ndarray:
    """uint8 [H, W, 3] of a picture, y down, read by Blender without any view on it; uint16 with 65535 `levels`."""
    return np.rint(read_numbers(file) * levels).astype(np.uint8 if levels == 255 else np.uint16)


def read_numbers(file: Path) -> np.ndarray:
    """float32 [H, W, 3] of a picture, y down, as it is in the file; whole numbers become 0 to 1."""
    image = bpy.data.images.load(str(file))
    image.colorspace_settings.name = "Non-Color"
    width, height = image.size
    flat = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(flat)
    bpy.data.images.remove(image)
    return flat.reshape(height, width, 4)[::-1, :, :3]


def write_exr(file: Path, pixels: np.ndarray) -> Path:
    """Write float16 or float32 [H, W, 3] or [H, W, 4] as an OpenEXR file of one layer, without compression."""
    height, width, count = pixels.shape
    channels = "RGBA"[:count]
    order = sorted(channels)
    kind = {2: 1, 4: 2}[pixels.dtype.itemsize]
    listed = b"".join(name.encode() + struct.pack("<BIBxxxII", 0, kind, 1, 1, 1) for name in order) + b"\0"
    box = struct.pack("<4i", 0, 0, width - 1, height - 1)
    attributes = (
        ("channels", "chlist", listed), ("compression", "compression", b"\0"), ("dataWindow", "box2i", box),
        ("displayWindow", "box2i", box), ("lineOrder", "lineOrder", b"\0"),
        ("pixelAspectRatio", "float", struct.pack("<f", 1)), ("screenWindowCenter", "v2f", bytes(8)),
        ("screenWindowWidth", "float", struct.pack("<f", 1)),
    )  # fmt: skip
    head = b"\x76\x2f\x31\x01\x02\0\0\0" + b"".join(
        name.encode() + b"\0" + of.encode() + b"\0" + struct.pack("<I", len(value)) + value
        for name, of, value in attributes
    )
    planes = np.stack([pixels[:, :, channels.index(name)] for name in order], axis=1)  # [H, C, W], as lines lie
    lines = [struct.pack("<iI", y, plane.nbytes) + plane.tobytes() for y, plane in enumerate(planes)]
    start = len(head) + 1 + 8 * height
    table = struct.pack(f"<{height}Q", *(start + y * len(lines[0]) for y in range(height)))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(head + b"\0" + table + b"".join(lines))
    return file


def light(seed: int, kind: type[np.floating] = np.float32, width: int = 80, height: int = 48) -> np.ndarray:
    """Scene-linear noise [H, W, 3], also far below 0 and above 1, and very dark."""
    random = np.random.default_rng(seed)
    exponent = random.uniform(-12, 5, (height, width, 3))
    return (np.exp2(exponent) * random.choice([-1, 1, 1, 1], exponent.shape)).astype(kind)


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
        return SimpleNamespace(name="dialog", type="SOUND", frame_final_start=1, frame_final_end=25)
