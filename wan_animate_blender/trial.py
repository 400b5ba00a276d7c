"""Colour settings tried out with a small picture, since Blender does not tell what they do. Knows no user's scene."""

from __future__ import annotations

import contextlib
import re
import struct
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from . import stills, timeline
from .stills import Format, View

SIDE = 256


@dataclass(frozen=True)
class Trial:
    """An empty scene with a sequencer of 256×256 pixels, and a folder for its pictures."""

    scene: bpy.types.Scene
    folder: Path

    def views(self) -> Iterator[View]:
        """All views of all displays of the colour configuration, those of its default display first."""
        displays = _choices(self.scene.display_settings, "display_device")
        first = self.scene.display_settings.display_device
        for display in sorted(displays, key=lambda name: name != first):
            self.scene.display_settings.display_device = display
            for name in _choices(self.scene.view_settings, "view_transform"):
                yield View(display, name)

    def is_exact(self, view: View, bits: int, space: str | None = None) -> bool:
        """Whether all levels of all channels come out as they are, of a picture of `bits` (8, 16) in `space`.

        Without `space` it is in the one that Blender takes it for.
        """
        levels = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
        levels = (levels % SIDE).astype(np.uint8) if bits == 8 else levels.astype(np.uint16)
        source = self._write(np.dstack([levels, levels[::-1], levels.T]))
        stills.set_view(self.scene, view)
        written = self._render(source, Format.PNG8 if bits == 8 else Format.PNG16, space)
        return np.array_equal(_read(source), _read(written))

    def light(self, space: str, levels: np.ndarray) -> np.ndarray:
        """Scene-linear light of grey `levels` (uint16 [N]) of a picture in `space`: float32 [N]."""
        source = self._write(np.repeat(np.resize(levels, (SIDE, SIDE))[:, :, None], 3, axis=2))
        written = self._render(source, Format.FLOAT, space)
        return _read(written)[-1, : len(levels), 0]  # Blender's rows go up

    def _write(self, pixels: np.ndarray) -> Path:
        """uint8 or uint16 [H, W, 3] as PNG file (PNG specification, 5 and 11.2.2)."""
        height, width = pixels.shape[:2]
        lines = pixels.astype(pixels.dtype.newbyteorder(">")).reshape(height, -1)
        chunks = {
            b"IHDR": struct.pack(">IIBBBBB", width, height, pixels.dtype.itemsize * 8, 2, 0, 0, 0),
            b"IDAT": zlib.compress(b"".join(b"\0" + line.tobytes() for line in lines), 1),
            b"IEND": b"",
        }
        file = self.folder / f"{pixels.dtype}.png"
        packed = (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
            for name, body in chunks.items()
        )
        file.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))
        return file

    def _render(self, source: Path, file_format: Format, space: str | None) -> Path:
        """`source` through the sequencer. As a new strip, for the sequencer remembers what an old one showed."""
        stills.prepare(self.scene, SIDE, SIDE, "RGB", file_format)
        strip = timeline.new_image_sequence(self.scene.sequence_editor, "trial", [source], 1, 1)
        if space:
            strip.colorspace_settings.name = space
        strip.use_float = file_format.is_linear
        try:
            return stills.write(self.scene, self.folder / f"out.{file_format.extension}")
        finally:
            timeline.strips(self.scene.sequence_editor).remove(strip)


@contextlib.contextmanager
def begin(sequencer: str) -> Iterator[Trial]:
    """A trial in a sequencer that works in the colour space `sequencer`; nothing is left of it."""
    with stills.new_scene() as scene, tempfile.TemporaryDirectory(prefix="wan-animate-") as folder:
        scene.sequence_editor_create()
        scene.sequencer_colorspace_settings.name = sequencer
        scene.frame_current = 1
        yield Trial(scene, Path(folder))


def _choices(owner: bpy.types.bpy_struct, name: str) -> list[str]:
    """What `owner.name` may be set to. RNA lists such enumerations only in the refusal of something else."""
    try:
        setattr(owner, name, "")
    except TypeError as refusal:
        return re.findall(r"'([^']+)'", str(refusal).partition(" not found in ")[2])
    return [""]


def _read(file: Path) -> np.ndarray:
    """float32 [H, W, 4] of a picture, rows going up, in the colours that Blender takes it for."""
    image = bpy.data.images.load(str(file))
    try:
        pixels = np.empty(len(image.pixels), np.float32)
        image.pixels.foreach_get(pixels)
        return pixels.reshape(image.size[1], image.size[0], -1)
    finally:
        bpy.data.images.remove(image)
