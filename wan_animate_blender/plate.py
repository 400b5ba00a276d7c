"""The picture of one strip, frame by frame and pixel by pixel, as PNG files. Knows nothing of rigs or of the server."""

from __future__ import annotations

import math
import shutil
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from . import stills, timeline
from .wire import BadInput, FrameRow, Raster, RasterKind, frame_name

WITHOUT_PICTURE = {"SOUND": "sound", "ADJUSTMENT": "an adjustment layer"}
LINEAR_FILES = (".exr", ".hdr", ".dpx", ".cin")
PNG_START = struct.Struct(">8s4x4sIIBB")
"""Signature, name of the first chunk, width, height, bit depth, colour type (PNG specification, 11.2.2)."""


def check(strip: timeline.Strip, what: str = "plate") -> None:
    """Raise `BadInput` unless every frame of `strip` can be exported exactly."""
    if strip.type in WITHOUT_PICTURE:
        raise BadInput(
            f"the strip {strip.name!r} is {WITHOUT_PICTURE[strip.type]} and has no picture of its own; "
            f"choose a movie, image or other picture strip as {what}"
        )
    if timeline.content(strip).retimed:
        raise BadInput(
            f"the strip {strip.name!r} is retimed, reversed, strobed or of another frame rate, so that its frames "
            "cannot be numbered exactly; render it to an image sequence and use that"
        )
    for file in _files(strip):
        if file.suffix.lower() in LINEAR_FILES:
            raise BadInput(
                f"the strip {strip.name!r} reads {file.name}, scene-linear pixels that an 8-bit plate would clip; "
                "convert it to PNG or a movie"
            )
        if not file.is_file():
            raise BadInput(f"the strip {strip.name!r} needs {file}, which is not there; restore or relink the file")
    if strip.type == "SCENE" and strip.scene is None:
        raise BadInput(f"the scene strip {strip.name!r} has no scene; choose one in its properties")


def _files(strip: timeline.Strip) -> list[Path]:
    """The files that `strip` reads, one for each frame of an image strip's footage."""
    if strip.type == "IMAGE":
        folder = Path(bpy.path.abspath(strip.directory))
        return [folder / element.filename for element in strip.elements]
    return [Path(bpy.path.abspath(strip.filepath))] if strip.type == "MOVIE" else []


# --- where the pixels are -------------------------------------------------------------------------


def raster(scene: bpy.types.Scene, strip: timeline.Strip, kind: RasterKind) -> Raster:
    """The pixels to export: the strip's own with the way they take to the canvas, or the canvas itself.

    Strips that have no pixels of their own (text, colours, effects, metas, masks) always give the canvas. A
    transform with keyframes is recorded as it stands at the scene's current frame.
    """
    canvas = scene.render.resolution_x, scene.render.resolution_y
    size = _own_size(strip) if kind is RasterKind.SOURCE else None
    if size is None:
        return Raster(kind=RasterKind.CANVAS, width=canvas[0], height=canvas[1])
    matrix = _to_canvas(strip, size, canvas)
    return Raster(kind=kind, width=size[0], height=size[1], matrix=tuple(map(float, matrix.flat)))


def _own_size(strip: timeline.Strip) -> tuple[int, int] | None:
    if strip.type in ("IMAGE", "MOVIE"):
        first = strip.elements[0]  # only the first one knows its size, the others hold garbage
        return first.orig_width, first.orig_height
    if strip.type == "SCENE":
        render = strip.scene.render
        return tuple(size * render.resolution_percentage // 100 for size in (render.resolution_x, render.resolution_y))
    return None


def _to_canvas(strip: timeline.Strip, size: tuple[int, int], canvas: tuple[int, int]) -> np.ndarray:
    """3×3: the sequencer's transform (seq_render.cc, sequencer_image_crop_transform_matrix) with y down."""
    way = strip.transform
    pivot = np.multiply(size, way.origin)
    move = np.add([way.offset_x, way.offset_y], np.subtract(canvas, size) / 2)
    cos, sin = math.cos(way.rotation), math.sin(way.rotation)
    turn = np.array([[cos, -sin], [sin, cos]]) * [way.scale_x, way.scale_y]
    upright = np.eye(3)
    upright[:2, :2], upright[:2, 2] = turn, pivot + move - turn @ pivot
    return _mirror(strip, canvas) @ _flip_y(canvas[1]) @ upright @ _flip_y(size[1])


def _flip_y(height: int) -> np.ndarray:
    return np.array([[1.0, 0, 0], [0, -1, height], [0, 0, 1]])


def _mirror(strip: timeline.Strip, size: tuple[int, int]) -> np.ndarray:
    """The strip's flips, which Blender makes last, on the whole canvas of `size`."""
    mirror = np.eye(3)
    for axis, flipped in enumerate((strip.use_flip_x, strip.use_flip_y)):
        if flipped:
            mirror[axis, axis], mirror[axis, 2] = -1, size[axis]
    return mirror


# --- writing --------------------------------------------------------------------------------------


def write(
    scene: bpy.types.Scene, strip: timeline.Strip, rows: Sequence[FrameRow], raster: Raster, folder: Path,
    mode: str = "RGB",
) -> Iterator[Path]:  # fmt: skip
    """Write the picture of `strip` at each row's timeline frame as `folder/<shot number>.png`, in `mode` RGB or BW.

    PNG sequences that need no change are copied byte for byte; everything else is rendered by the sequencer in a
    copy of `scene` where nothing but `strip` is seen. The range of `rows` may exceed the strip's by its handles.
    """
    folder.mkdir()
    files = {row.shot: folder / frame_name(row.shot, "png") for row in rows}
    if mode == "RGB" and (originals := _untouched(strip, rows, raster)):
        for row, original in zip(rows, originals, strict=True):
            yield Path(shutil.copyfile(original, files[row.shot]))
        return
    with stills.copy_of(scene) as copy:
        stills.prepare(copy, raster.width, raster.height, mode)
        stills.set_view(copy, stills.VIEW)
        _isolate(copy, strip.name, rows, bare=raster.kind is RasterKind.SOURCE)
        for row in rows:
            copy.frame_current = int(row.timeline)
            yield stills.write(copy, files[row.shot])


def _untouched(strip: timeline.Strip, rows: Sequence[FrameRow], raster: Raster) -> list[Path]:
    """The files to copy for `rows`, [] when any of them would not be exactly what the sequencer reads."""
    if strip.type != "IMAGE" or raster.kind is not RasterKind.SOURCE or strip.colorspace_settings.name != "sRGB":
        return []
    files = [_files(strip)[int(row.source)] for row in rows]
    return files if all(_is_plain_png(file, raster) for file in set(files)) else []


def _is_plain_png(file: Path, raster: Raster) -> bool:
    """Whether `file` is a PNG of the raster's size in grey or RGB: alpha and palettes are left to the sequencer."""
    with file.open("rb") as opened:
        start = opened.read(PNG_START.size)
    if len(start) < PNG_START.size:
        return False
    signature, chunk, width, height, depth, colour = PNG_START.unpack(start)
    is_png = signature == b"\x89PNG\r\n\x1a\n" and chunk == b"IHDR"
    return is_png and (width, height) == (raster.width, raster.height) and depth in (8, 16) and colour in (0, 2)


def _isolate(copy: bpy.types.Scene, name: str, rows: Sequence[FrameRow], *, bare: bool) -> None:
    """Show nothing but the strip `name` in the temporary scene, over all of `rows`; `bare` as its source has it."""
    editor = copy.sequence_editor
    way = timeline.path(editor, name)
    strip = way[-1]
    if bare:
        copy.animation_data_clear()  # else keyframes put the transform back; the action itself stays the user's
    first, end = int(rows[0].timeline), int(rows[-1].timeline) + 1
    if (first, end) != timeline.frame_range(strip):
        timeline.set_frame_range(strip, first, end)
    for holder, shown in zip((editor, *way), way, strict=False):
        for other in timeline.strips(holder):
            other.mute = other.name != shown.name
        holder.channels[shown.channel].mute = False
        if bare:
            _bare(shown)
    # With nothing to show Blender renders the 3D scene instead; Cycles at least never needs a graphics card's GL.
    if strip.type != "SCENE":
        copy.render.engine = "CYCLES"
    copy.render.use_sequencer = True
    copy.render.pixel_aspect_x = copy.render.pixel_aspect_y = 1.0


def _bare(strip: timeline.Strip) -> None:
    """Take from a strip of the temporary scene all that changes its source's pixels or where they lie."""
    plain: dict[str, Any] = {
        "use_flip_x": False, "use_flip_y": False, "color_multiply": 1.0, "multiply_alpha": False,
        "color_saturation": 1.0, "blend_alpha": 1.0, "blend_type": "REPLACE",
    }  # fmt: skip
    for name, value in plain.items():
        if hasattr(strip, name):
            setattr(strip, name, value)
    strip.modifiers.clear()
    way, crop = strip.transform, strip.crop
    way.offset_x = way.offset_y = way.rotation = 0.0
    way.scale_x = way.scale_y = 1.0
    way.origin = 0.5, 0.5
    crop.min_x = crop.max_x = crop.min_y = crop.max_y = 0
