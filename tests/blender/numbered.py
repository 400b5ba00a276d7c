"""Footage whose frames carry their own number as black and white columns, and what a sequencer makes of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from footage import read_png

from wan_animate_blender import timeline

BITS = 8
WIDTH, HEIGHT = 80, 48


def picture(number: int) -> np.ndarray:
    """uint8 [48, 80, 3]: the number's bits from left to right, the lowest first, white for 1."""
    bits = (number >> np.arange(BITS)) & 1
    columns = np.repeat(bits, WIDTH // BITS) * 255
    return np.broadcast_to(columns[None, :, None], (HEIGHT, WIDTH, 3)).astype(np.uint8)


def number(pixels: np.ndarray) -> int:
    """What `picture` was given, read from the middle of each column."""
    middle = pixels[HEIGHT // 2, WIDTH // BITS // 2 :: WIDTH // BITS, 0]
    assert set(np.unique(middle)) <= set(range(50)) | set(range(206, 256)), "no picture of one frame alone"
    return int(((middle > 127) << np.arange(BITS)).sum())


def rendered(scene: bpy.types.Scene, frames: Iterable[int], folder: Path) -> list[np.ndarray]:
    """What the sequencer of `scene` shows at consecutive `frames`, uint8 [H, W, 3] each."""
    frames = list(frames)
    folder.mkdir(exist_ok=True)
    scene.view_settings.view_transform, scene.render.dither_intensity = "Standard", 0.0
    timeline.write_stills(scene.render.image_settings, "PNG", "RGB", "8")
    scene.render.filepath = f"{folder}/######"
    scene.sequence_editor.use_cache_raw = False
    for frame in frames:
        timeline.forget(scene)
        scene.frame_start = scene.frame_end = frame
        bpy.ops.render.render(animation=True, scene=scene.name)
    return [read_png(folder / f"{frame:06d}.png") for frame in frames]


def shown(scene: bpy.types.Scene, frames: Iterable[int], folder: Path) -> list[int]:
    """The number that the sequencer of `scene` shows at each of consecutive `frames`."""
    return [number(pixels) for pixels in rendered(scene, frames, folder)]


def encode(scene: bpy.types.Scene, file: Path, fps: int, frames: int) -> Path:
    """A lossless movie of what the sequencer of `scene` shows from frame 1, encoded by Blender itself."""
    render = scene.render
    if hasattr(render.image_settings, "media_type"):
        render.image_settings.media_type = "VIDEO"
    render.image_settings.file_format = "FFMPEG"
    render.ffmpeg.format, render.ffmpeg.codec = "AVI", "PNG"
    scene.view_settings.view_transform, render.dither_intensity, render.fps = "Standard", 0.0, fps
    render.filepath, render.use_file_extension = str(file), False
    scene.frame_start, scene.frame_end = 1, frames
    bpy.ops.render.render(animation=True, scene=scene.name)
    return file


def operate(scene: bpy.types.Scene, strip: timeline.Strip, name: str, **settings: Any) -> None:
    """Run one of the sequencer's operators on `strip`, at the frame `scene` stands at."""
    for other in timeline.strips_all(scene.sequence_editor):
        other.select = other == strip
    scene.sequence_editor.active_strip = strip
    if hasattr(bpy.context.workspace, "sequencer_scene"):  # since 5.0 it need not be the window's scene
        bpy.context.workspace.sequencer_scene = scene
    with bpy.context.temp_override(scene=scene):
        assert getattr(bpy.ops.sequencer, name)(**settings) == {"FINISHED"}
