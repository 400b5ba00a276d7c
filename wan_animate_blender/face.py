"""The face that carries the expression: its box in every frame, and its picture, rendered, filmed or still.

Knows nothing of shots or of the server.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import math
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import bpy
import numpy as np

from . import aim, plate, pose, stills, timeline
from .wire import FACE_KEYPOINTS, FACE_SIZE, BadInput, FrameRow, RasterKind, face_box, frame_name

SMOOTHING = 2
"""Frames before and after over which a box is averaged, so that the crop does not tremble."""
SAMPLES = 4
"""Rays for each pixel: 1.3 seconds of one core; 16 take 4.8 and only smooth the shadows."""


class Engine(enum.StrEnum):
    """What renders the rig's face."""

    CYCLES = "cycles"
    """Cycles on the processor with few rays: works on every machine."""
    SCENE = "scene"
    """The 3D scene's own engine as it is set up there; EEVEE and Workbench want a graphics card."""


def check(view: pose.View) -> None:
    """Raise `BadInput` when the rig has no face that could be rendered."""
    if not pose.body(view):
        raise BadInput(
            f"the rig {view.rig.name!r} carries nothing that is rendered, so its face cannot be; show its body in "
            "renders, or take the face from the plate, or none"
        )


def check_strip(performance: timeline.Strip | None, strip: timeline.Strip) -> None:
    """Raise `BadInput` unless `performance` has a picture for every frame of `strip`."""
    if performance is None:
        raise BadInput("no strip with the performance is chosen; choose one, or take the expression from elsewhere")
    plate.check(performance, "performance")
    (first, end), (start, stop) = timeline.frame_range(strip), timeline.frame_range(performance)
    if start > first or stop < end:
        raise BadInput(
            f"the performance {performance.name!r} covers frames {start} to {stop - 1} and the plate {strip.name!r} "
            f"{first} to {end - 1}; let the performance cover all of the plate"
        )


def check_still(image: bpy.types.Image | None) -> None:
    """Raise `BadInput` unless `image` is a picture that can be read."""
    if image is None:
        raise BadInput("no picture of the expression is chosen; choose one, or take the expression from elsewhere")
    if not min(image.size):  # what cannot be read has no pixels
        raise BadInput(f"the picture {image.name!r} of the expression cannot be read; relink it or choose another")


def boxes(keypoints: np.ndarray, width: int, height: int) -> np.ndarray:
    """Boxes x0, y0, x1, y1 of the face crops: float32 [N, 4], whole plate pixels, NaN where there is no face.

    `keypoints` are [N, 133, 3]. Each box is the model's rule (`wire.face_box`), averaged with its neighbours'.
    """
    found = [face_box(points[FACE_KEYPOINTS].tolist(), width, height) for points in keypoints]
    exact = np.array([box or (np.nan,) * 4 for box in found], dtype=np.float32).reshape(-1, 4)
    smooth = np.full_like(exact, np.nan)
    for i in np.flatnonzero(~np.isnan(exact[:, 0])):
        reach = min(SMOOTHING, i, len(exact) - 1 - i)  # as far to both sides, else the ends lag behind
        smooth[i] = np.rint(np.nanmean(exact[i - reach : i + reach + 1], axis=0))
    return smooth


def write(
    view: pose.View, boxes: np.ndarray, rows: Sequence[FrameRow], folder: Path, engine: Engine = Engine.CYCLES
) -> Iterator[Path]:
    """Render `folder/<shot number>.png` for each row: what the camera sees in the row's box, 512×512 RGB.

    The box fills the square whatever its shape, as the model was trained. Where there is no box it is black.
    """
    folder.mkdir()
    with pose.time_kept(view.scene), stills.copy_of(view.scene) as copy, _crop_camera(copy) as crop:
        stills.prepare(copy, FACE_SIZE, FACE_SIZE, "RGB")
        copy.render.use_sequencer = copy.render.film_transparent = False
        if engine is Engine.CYCLES:
            stills.trace(copy, SAMPLES)
            copy.cycles.max_bounces = min(copy.cycles.max_bounces, 1)
        seen = dataclasses.replace(view, scene=copy)
        for row, box in zip(rows, boxes, strict=True):
            _as_filmed(copy, view.scene)
            pose.set_time(copy, row.rig)
            file = folder / frame_name(row.shot, "png")
            if np.isnan(box).any():
                yield _write_black(file)
                continue
            aim.at(crop, seen, view.lens.straight(box) if view.lens else box, copy.render)
            copy.camera = crop
            yield stills.write(copy, file)


def _as_filmed(copy: bpy.types.Scene, scene: bpy.types.Scene) -> None:
    """Undo the last frame's aim. Markers may switch the camera again when the time is set."""
    copy.camera = scene.camera
    copy.render.pixel_aspect_x, copy.render.pixel_aspect_y = scene.render.pixel_aspect_x, scene.render.pixel_aspect_y


@contextlib.contextmanager
def _crop_camera(scene: bpy.types.Scene) -> Iterator[bpy.types.Object]:
    """A camera for the temporary scene, with a lamp on it when the scene has no light of its own."""
    lit = scene.world is not None or any(thing.type == "LIGHT" for thing in scene.objects)
    with aim.camera(scene) as camera, contextlib.nullcontext() if lit else _lamp(camera):
        yield camera


@contextlib.contextmanager
def _lamp(camera: bpy.types.Object) -> Iterator[None]:
    lamp = bpy.data.lights.new(".wan_animate", "SUN")
    lamp.energy = math.pi  # white cloth turned to the camera comes out white
    light = bpy.data.objects.new(".wan_animate", lamp)
    light.parent = camera
    camera.users_collection[0].objects.link(light)
    try:
        yield
    finally:
        bpy.data.lights.remove(lamp)  # and its object with it


def _write_black(file: Path) -> Path:
    image = bpy.data.images.new(".wan_animate", FACE_SIZE, FACE_SIZE)
    try:
        image.filepath_raw, image.file_format = str(file), "PNG"
        image.save()
    finally:
        bpy.data.images.remove(image)
    return file


# --- from elsewhere -----------------------------------------------------------------------------------


def write_strip(
    scene: bpy.types.Scene, performance: timeline.Strip, rows: Sequence[FrameRow], folder: Path
) -> Iterator[Path]:
    """Write `folder/<shot number>.png`: the middle square of what the canvas shows of `performance`, 512×512 RGB.

    So a person frames the face by the strip's transform. Nobody looks for a face in it: meant for helmet cameras and
    other footage that stays on the face.
    """
    canvas = plate.raster(scene, performance, RasterKind.CANVAS)
    folder.mkdir()
    with tempfile.TemporaryDirectory() as whole:
        frames = plate.write(scene, performance, rows, canvas, Path(whole) / "frames", seen=True)
        for row, file in zip(rows, frames, strict=True):
            image = bpy.data.images.load(str(file))
            try:
                yield _write_square(image, folder / frame_name(row.shot, "png"))
            finally:
                bpy.data.images.remove(image)
                file.unlink()


def write_still(image: bpy.types.Image, rows: Sequence[FrameRow], folder: Path) -> Iterator[Path]:
    """Write `folder/<shot number>.png` for each row, all the same: the middle square of `image`, 512×512 RGB."""
    folder.mkdir()
    first = _write_square(image, folder / frame_name(rows[0].shot, "png"))
    yield first
    for row in rows[1:]:
        yield Path(shutil.copyfile(first, folder / frame_name(row.shot, "png")))


def _write_square(image: bpy.types.Image, file: Path) -> Path:
    width, height = image.size
    side = min(width, height)
    x, y = (width - side) // 2, (height - side) // 2
    pixels = np.empty((height, width, image.channels), np.float32)
    image.pixels.foreach_get(pixels.ravel())
    colour = slice(3 if image.channels >= 3 else 1)  # of grey pictures the one channel stands for all
    middle = np.ones((side, side, 4), np.float32)
    middle[..., :3] = pixels[y : y + side, x : x + side, colour]
    square = bpy.data.images.new(".wan_animate", side, side, float_buffer=image.is_float)
    try:
        square.colorspace_settings.name = image.colorspace_settings.name
        square.pixels.foreach_set(middle.ravel())
        square.scale(FACE_SIZE, FACE_SIZE)
        square.filepath_raw, square.file_format = str(file), "PNG"
        square.save()
    finally:
        bpy.data.images.remove(square)
    return file
