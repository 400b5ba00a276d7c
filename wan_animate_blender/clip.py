"""What tracked footage knows of its camera: the lens of a clip or an ST-map, and the camera once a clip is solved.

Knows nothing of rigs, exports or panels.
"""

from __future__ import annotations

import functools
import shutil
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from . import footage, lens, timeline
from .wire import BadInput, MapUse, Raster

FOLDER = "lens"
"""Where a shot keeps its ST-map."""


@dataclass(frozen=True)
class FromClip:
    """The lens that a movie clip was solved with."""

    clip: bpy.types.MovieClip


@dataclass(frozen=True)
class FromMap:
    """An ST-map: a float or 16-bit picture of coordinates, in a file of its own."""

    image: bpy.types.Image
    use: MapUse

    @property
    def file(self) -> Path:
        return Path(bpy.path.abspath(self.image.filepath, library=self.image.library))


Source = FromClip | FromMap


def read(source: Source | None, width: int, height: int) -> lens.Lens | None:
    """The lens on a plate of `width`×`height` pixels. Raises `BadInput` for what is none, or another plate's."""
    match source:
        case FromClip(clip):
            return lens.from_clip(clip, width, height)
        case FromMap():
            file = source.file
            if source.image.packed_file or not file.is_file():
                raise BadInput(
                    f"the ST-map {source.image.name!r} is not in a file of its own ({file}); unpack or relink it"
                )
            return _mapped(file, file.stat().st_mtime_ns, source.use, width, height)
    return None


def write(source: Source | None, folder: Path) -> None:
    """Copy an ST-map into the shot `folder`, to where the message of its lens says that it is."""
    if isinstance(source, FromMap):
        (folder / FOLDER).mkdir()
        shutil.copyfile(source.file, folder / FOLDER / source.file.name)


@functools.lru_cache(maxsize=2)
def _mapped(file: Path, _changed: int, use: MapUse, width: int, height: int) -> lens.Lens:
    return lens.from_map(_read_map(file), use, f"{FOLDER}/{file.name}", width, height)


def _read_map(file: Path) -> np.ndarray:
    """Red and green of a picture [h, w, 2], top row first, as they are in the file."""
    image = bpy.data.images.load(str(file))
    try:
        image.colorspace_settings.name = "Non-Color"
        wide, high = image.size
        pixels = np.empty((high, wide, image.channels), np.float32)
        image.pixels.foreach_get(pixels.ravel())
        exact = image.is_float and image.channels >= 3
    finally:
        bpy.data.images.remove(image)
    if not exact:
        raise BadInput(f"the ST-map {file.name} has 8 bits or no colours, expected 32-bit float; write it as EXR")
    return pixels[::-1, :, :2].copy()


# --- the camera -----------------------------------------------------------------------------------


def start(clip: bpy.types.MovieClip | None, scene: bpy.types.Scene, strip: timeline.Strip, raster: Raster) -> int:
    """Frame of the 3D scene at which, as the clip lies there, the footage begins that `strip` shows a piece of.

    `scene` is the edit's, `raster` the strip's. Raises `BadInput` when the clip is not solved, or was made of other
    footage: of another shape, or with too few frames.
    """
    if clip is None:
        raise BadInput("no clip is chosen; choose the movie clip in which the plate's camera was solved")
    solved = reconstruction(clip)
    if not solved.is_valid or not len(solved.cameras):
        raise BadInput(f"the camera of the clip {clip.name!r} is not solved; solve it in the Movie Clip Editor")
    lens.from_clip(clip, raster.width, raster.height)
    begins = _first_file(clip, strip) + clip.frame_offset
    first, end = timeline.frame_range(strip)
    way = timeline.path(scene.sequence_editor, strip.name)
    shown = footage.sources(way[:-1], strip, (first, end - 1))
    frames = [each.frame - 1 + begins for each in solved.cameras]
    if min(shown) < min(frames) or max(shown) > max(frames):
        raise BadInput(
            f"the clip {clip.name!r} is solved from frame {min(frames)} to {max(frames)} of the footage, and the strip "
            f"{strip.name!r} shows {min(shown):g} to {max(shown):g}; solve all of it, or trim the strip"
        )
    return clip.frame_start - begins


def reconstruction(clip: bpy.types.MovieClip) -> bpy.types.MovieTrackingReconstruction:
    """Of the camera; a clip may have moving objects, too."""
    return next(thing for thing in clip.tracking.objects if thing.is_camera).reconstruction


def _first_file(clip: bpy.types.MovieClip, strip: timeline.Strip) -> int:
    """Which frame of the strip's footage is the clip's first file: both may begin anywhere in a sequence."""
    name = Path(clip.filepath).name
    if strip.type != "IMAGE" or clip.source != "SEQUENCE":
        return 0
    return next((i for i, element in enumerate(strip.elements) if element.filename == name), 0)


def camera(clip: bpy.types.MovieClip, scene: bpy.types.Scene, aspect: bool) -> bpy.types.Object:
    """The camera in `scene` that moves as `clip` was solved: the one there already, which somebody may have put
    upright, or a new one. Its optics become the clip's.

    `aspect` says whether the scene may be given the pixel aspect of the clip. Raises `BadInput` when it has another.
    """
    render, wanted = scene.render, clip.tracking.camera.pixel_aspect
    if abs(render.pixel_aspect_x / render.pixel_aspect_y - wanted) > 1e-4:
        if not aspect:
            raise BadInput(
                f"the clip {clip.name!r} has pixels {wanted:g} times as wide as high and the scene {scene.name!r} has "
                "not, which is also the edit's; put the rig into a scene of its own"
            )
        render.pixel_aspect_x, render.pixel_aspect_y = max(wanted, 1.0), max(1 / wanted, 1.0)
    found = next((thing for thing in scene.objects if thing.type == "CAMERA" and _follows(thing, clip, scene)), None)
    seer = found or _new_camera(clip, scene)
    _set_optics(seer.data, clip)
    return seer


def _follows(thing: bpy.types.Object, clip: bpy.types.MovieClip, scene: bpy.types.Scene) -> bool:
    solvers = (c for c in thing.constraints if c.type == "CAMERA_SOLVER" and not c.mute)
    return any((scene.active_clip if c.use_active_clip else c.clip) == clip for c in solvers)


def _new_camera(clip: bpy.types.MovieClip, scene: bpy.types.Scene) -> bpy.types.Object:
    seer = bpy.data.objects.new(clip.name, bpy.data.cameras.new(clip.name))
    scene.collection.objects.link(seer)
    solver = seer.constraints.new("CAMERA_SOLVER")
    solver.use_active_clip, solver.clip = False, clip
    return seer


def _set_optics(data: bpy.types.Camera, clip: bpy.types.MovieClip) -> None:
    """Fitted to the width, whatever the picture's shape: so shifts count in widths of the picture."""
    tracked, (width, height) = clip.tracking.camera, clip.size
    data.type, data.sensor_fit, data.sensor_width = "PERSP", "HORIZONTAL", tracked.sensor_width
    data.lens = tracked.focal_length_pixels * tracked.sensor_width / width
    x, y = tracked.principal_point_pixels
    data.shift_x = (width / 2 - x) / width
    data.shift_y = (height / 2 - y) / width / tracked.pixel_aspect


def bundles(seer: bpy.types.Object, clip: bpy.types.MovieClip, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the tracks of the clip's frame (1 is its first) are: places in the world [n, 4], markers [n, 2].

    `seer` is the solved camera, evaluated at that frame; markers are in heights and widths of the picture, y up.
    """
    # What the camera object adds to the solution (somebody put the scene upright) goes for the bundles, too
    pose = next((c for c in reconstruction(clip).cameras if c.frame == frame), None)
    tracks = next(thing for thing in clip.tracking.objects if thing.is_camera).tracks
    seen = [(track, track.markers.find_frame(frame)) for track in tracks if track.has_bundle]
    known = [(track.bundle, marker.co) for track, marker in seen if marker and not marker.mute]
    if pose is None or not known:
        return np.empty((0, 4)), np.empty((0, 2))
    place = np.array(seer.matrix_world) @ np.linalg.inv(np.array(pose.matrix))
    points = np.array([[*bundle, 1.0] for bundle, _ in known])
    return points @ place.T, np.array([tuple(marker) for _, marker in known])
