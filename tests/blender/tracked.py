"""Footage with a known camera and lens, tracked and solved by Blender itself, and pictures of coordinates."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
from footage import write_png
from mathutils import Euler, Matrix

from wan_animate_blender import lens

FRAMES = 20
POINTS = np.random.default_rng(5).uniform([-2, -2, -14], [4, 2, -6], (60, 3))
"""Of the set, in the first camera's space."""
FOCAL = 150.0
MODELS = {
    "POLYNOMIAL": {"k1": -0.12, "k2": 0.05, "k3": 0.02},
    "DIVISION": {"division_k1": -0.15, "division_k2": 0.04},
    "NUKE": {"nuke_k1": 0.08, "nuke_k2": 0.03},
    "BROWN": {
        "brown_k1": -0.1, "brown_k2": 0.04, "brown_k3": -0.02, "brown_k4": 0.01, "brown_p1": 0.01, "brown_p2": -0.015
    },
}  # fmt: skip
if "nuke_p1" in bpy.types.MovieTrackingCamera.bl_rna.properties:
    MODELS["ANAMORPHIC NUKE"] = MODELS["NUKE"] | {"nuke_p1": 0.01, "nuke_p2": -0.02}


def own_places(width: int, height: int) -> np.ndarray:
    """[h, w, 2]: every pixel is its own place."""
    y, x = np.mgrid[:height, :width] + 0.5
    return np.stack([x, y], axis=-1)


def write_exr(file: Path, pixels: np.ndarray) -> Path:
    """[h, w, 2], top row first, as red and green of a float EXR."""
    height, width = pixels.shape[:2]
    image = bpy.data.images.new(file.stem, width, height, float_buffer=True)
    image.colorspace_settings.name = "Non-Color"
    whole = np.ones((height, width, 4), np.float32)
    whole[..., :2] = pixels[::-1]
    image.pixels.foreach_set(whole.ravel())
    image.file_format, image.filepath_raw = "OPEN_EXR", str(file)
    image.save()
    bpy.data.images.remove(image)
    return file


def read_exr(file: Path) -> np.ndarray:
    image = load(file)
    pixels = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(pixels)
    width, height = image.size
    bpy.data.images.remove(image)
    return pixels.reshape(height, width, 4)[::-1, :, :2]


def load(file: Path) -> bpy.types.Image:
    image = bpy.data.images.load(str(file))
    image.colorspace_settings.name = "Non-Color"
    return image


def solved(file: Path, model: str, aspect: float = 1.0, focal: float = FOCAL) -> bpy.types.MovieClip:
    """A clip whose lens is known: off the middle and bent."""
    clip = bpy.data.movieclips.load(str(file))
    camera = clip.tracking.camera
    camera.pixel_aspect, camera.focal_length_pixels = aspect, focal
    camera.principal_point_pixels = clip.size[0] * 0.53, clip.size[1] * 0.47
    camera.distortion_model = model.split()[-1]
    for name, value in MODELS[model].items():
        setattr(camera, name, value)
    return clip


# --- a camera that moves --------------------------------------------------------------------------


def position(frame: int) -> np.ndarray:
    """4×4 of the camera that films, at a frame of the footage (0 is its first)."""
    turn = Euler((0, 0.005 * frame, 0.002 * frame)).to_matrix().to_4x4()
    return np.array(Matrix.Translation((0.08 * frame, 0.02 * frame, 0)) @ turn)


def shoot(folder: Path, width: int = 320, height: int = 180) -> list[Path]:
    """Black frames: the tracks are made without looking at them."""
    black = np.zeros((height, width, 3), np.uint8)
    return [write_png(folder / f"plate_{i:04d}.png", black) for i in range(1, FRAMES + 1)]


def track(clip: bpy.types.MovieClip, skipped: int = 0) -> None:
    """Put markers where the lens shows the points. The clip's first frame is frame `skipped` of the footage."""
    width, height = clip.size
    tracked, seen = clip.tracking.camera, lens.from_clip(clip, width, height)
    x, y = tracked.principal_point_pixels
    places = []
    for frame in range(skipped, FRAMES):
        local = np.c_[POINTS, np.ones(len(POINTS))] @ np.linalg.inv(position(frame)).T
        right, up = (tracked.focal_length_pixels * local[:, :2] / -local[:, 2:3]).T
        bent = seen.distort(np.stack([x + right, height - y - up * tracked.pixel_aspect], axis=1))
        places.append(np.array([0, 1]) + bent / (width, -height))
    for i, way in enumerate(np.transpose(places, (1, 0, 2))):
        shown = np.flatnonzero(((way > 0) & (way < 1)).all(axis=1))
        if len(shown):
            new = clip.tracking.tracks.new(name=f"point {i}", frame=int(shown[0]) + 1)
            for frame in shown:
                new.markers.insert_frame(int(frame) + 1, co=way[frame])


def solve(clip: bpy.types.MovieClip) -> None:
    """As the button of the clip editor does; its poll wants one of the editor's areas."""
    camera = next(thing for thing in clip.tracking.objects if thing.is_camera)
    camera.keyframe_a, camera.keyframe_b = 1, clip.frame_duration
    area = bpy.context.window.screen.areas[0]
    before, area.type = area.type, "CLIP_EDITOR"
    area.spaces[0].clip = clip
    with bpy.context.temp_override(area=area, region=area.regions[-1], space_data=area.spaces[0]):
        assert bpy.ops.clip.solve_camera() == {"FINISHED"}
    area.type = before
