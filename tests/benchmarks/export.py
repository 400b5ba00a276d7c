"""What each frame of an export costs in this Blender, on scenes made here, beside what it may cost.

    PYTHONPATH=.:tests/blender python tests/benchmarks/export.py [--frames 24] [--json]

Needs a Python with `bpy`. Medians in milliseconds; the first frame of each kind, which opens files and builds
scenes, is left out. Writes a Markdown table to stdout, or JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from footage import write_png

from wan_animate_blender import face, lens, matte, plate, pose, timeline
from wan_animate_blender.wire import FrameRow, Lens, LensKind, Raster, RasterKind

PLATE = (1280, 720)
MATTE = (832, 480)
DISTORTED = Lens(
    kind=LensKind.BROWN, width=MATTE[0], height=MATTE[1], focal=700.0, principal=(437.0, 257.0),
    coefficients=(-0.1, 0.04, -0.02, 0.01, 0.01, -0.015),
)  # fmt: skip


@dataclass(frozen=True)
class Cost:
    """One line of the table."""

    what: str
    milliseconds: float
    """Median of a frame."""
    processor: float
    """Median of what all threads together took of the processors: on a busy machine the better figure."""
    target: float | None
    """What it may be; None where nothing is promised."""
    frames: int


# --- a scene --------------------------------------------------------------------------------------


def build(folder: Path, frames: int) -> bpy.types.Scene:
    """A dancing rig of 60,000 triangles before a camera, and an edit of a sequence and a movie of 1280×720."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = PLATE
    scene.view_settings.view_transform, scene.frame_end = "Standard", frames
    scene.sequence_editor_create()
    dress(dancer(scene.frame_end))
    aim(scene)
    files = [write_png(folder / "sequence" / f"{i:04d}.png", shade(i)) for i in range(frames)]
    timeline.new_image_sequence(scene.sequence_editor, "sequence", files, 1, 1)
    movie = encode(scene, folder / "movie.mp4")
    strips = timeline.strips(scene.sequence_editor)
    strips.new_movie(name="movie", filepath=str(movie), channel=2, frame_start=1)
    return scene


def dancer(end: int) -> bpy.types.Object:
    import addon_utils  # found only once bpy has been imported

    addon_utils.enable("rigify", default_set=True)
    bpy.ops.object.armature_human_metarig_add()
    rig = bpy.context.object
    for name, turn in (("upper_arm.L", 1.2), ("thigh.R", -0.5), ("spine.006", 0.4)):
        bone = rig.pose.bones[name]
        bone.rotation_mode = "XYZ"
        for frame, angle in ((1, 0.0), (end, turn)):
            bone.rotation_euler.z = angle
            bone.keyframe_insert("rotation_euler", frame=frame)
    return rig


def dress(rig: bpy.types.Object) -> None:
    """A body of balls, each of 20,480 triangles, deformed by the rig's bones."""
    for height, radius, bone in ((1.05, 0.3, "spine.001"), (1.35, 0.25, "spine.003"), (1.78, 0.16, "spine.006")):
        bpy.ops.mesh.primitive_ico_sphere_add(subdivisions=6, radius=radius, location=(0, 0, height))
        ball = bpy.context.object
        ball.vertex_groups.new(name=bone).add(range(len(ball.data.vertices)), 1.0, "REPLACE")
        ball.modifiers.new("rig", "ARMATURE").object = rig
        ball.parent = rig


def aim(scene: bpy.types.Scene) -> None:
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    scene.collection.objects.link(camera)
    camera.location, camera.rotation_euler, scene.camera = (0, -5, 1.2), (1.5, 0, 0), camera


def shade(i: int) -> np.ndarray:
    """A moving gradient with grain, which compresses as filmed pictures do."""
    width, height = PLATE
    y, x = np.mgrid[:height, :width]
    grain = np.random.default_rng(i).integers(0, 9, (height, width))
    return np.stack([(x + 5 * i) // 8 % 200 + grain, y // 4 + grain, (x + y) // 16 + grain], axis=-1).astype(np.uint8)


def encode(scene: bpy.types.Scene, file: Path) -> Path:
    """The sequence as H.264, encoded by Blender in a copy of `scene`."""
    copy = scene.copy()
    render = copy.render
    if hasattr(render.image_settings, "media_type"):
        render.image_settings.media_type = "VIDEO"
    render.image_settings.file_format = "FFMPEG"
    render.ffmpeg.format, render.ffmpeg.codec, render.filepath = "MPEG4", "H264", str(file)
    render.use_file_extension = False
    bpy.ops.render.render(animation=True, scene=copy.name)
    bpy.data.scenes.remove(copy)
    return file


# --- measuring ------------------------------------------------------------------------------------


def timed(steps: Iterable[Any]) -> tuple[float, float]:
    """Medians of milliseconds and processor milliseconds of each step but the first."""
    moments = [(time.perf_counter(), time.process_time())]
    moments += [(time.perf_counter(), time.process_time()) for _ in steps]
    wall, processor = (np.median(np.diff(clock)[1:]) * 1000 for clock in zip(*moments, strict=True))
    return float(wall), float(processor)


def measure(scene: bpy.types.Scene, folder: Path) -> Iterator[Cost]:
    frames = range(1, scene.frame_end + 1)
    rows = [FrameRow(shot=1000 + f, timeline=f, source=f - 1, rig=f) for f in frames]

    def cost(what: str, steps: Iterable[Any], target: float | None, beside: Cost | None = None) -> Cost:
        wall, processor = timed(steps)
        if beside:
            wall, processor = wall - beside.milliseconds, processor - beside.processor
        return Cost(what, round(wall, 2), round(processor, 2), target, len(rows) - 1)

    strips = timeline.strips(scene.sequence_editor)
    for name, kind, what in (
        ("movie", RasterKind.SOURCE, "plate 1280×720, H.264 movie"),
        ("sequence", RasterKind.CANVAS, "plate 1280×720, PNG sequence as the edit shows it"),
        ("sequence", RasterKind.SOURCE, "plate 1280×720, PNG sequence copied"),
    ):
        raster = plate.raster(scene, strips[name], kind)
        yield cost(what, plate.write(scene, strips[name], rows, raster, folder / f"{name}-{kind.value}"), 120)
    rig = next(thing for thing in scene.objects if thing.type == "ARMATURE")
    view = pose.View(scene, rig, None, *PLATE)
    bare = cost("frame_set alone, this rig", (pose.set_time(scene, frame) for frame in frames), None)
    yield bare
    times = [row.rig for row in rows]
    yield cost("pose, 133 points, beside frame_set", pose.keypoints(view, times), 3, beside=bare)
    yield from mattes(cost, scene, replace(view, width=MATTE[0], height=MATTE[1]), rows, folder)
    boxes = face.boxes(np.array(list(pose.keypoints(view, times))), *PLATE)
    yield cost("face 512×512, Cycles on the processor", face.write(view, boxes, rows, folder / "face"), None)


def mattes(
    cost: Callable[..., Cost], scene: bpy.types.Scene, view: pose.View, rows: list[FrameRow], folder: Path
) -> Iterator[Cost]:
    place = matte.Place(scene, Raster(kind=RasterKind.SOURCE, width=view.width, height=view.height), view)
    yield cost("matte 832×480, mask", matte.write(matte.FromMask(drawn()), place, rows, folder / "mask"), 200)
    yield cost("matte 832×480, rig in 3D", matte.write(matte.FromRig(), place, rows, folder / "rig"), 200)
    bent = lens.from_message(DISTORTED, view.width, view.height)
    x0, y0, x1, y1 = bent.frame
    straight = np.zeros((y1 - y0, x1 - x0), np.uint8)
    yield cost("matte 832×480, bent by a lens", (bent.warp(straight) for _ in rows), 15)


def drawn() -> bpy.types.Mask:
    mask = bpy.data.masks.new("mask")
    spline = mask.layers.new(name="layer").splines.new()
    spline.points.add(3)
    for point, place in zip(spline.points, ((0.3, 0.4), (0.7, 0.4), (0.6, 0.7), (0.4, 0.7)), strict=True):
        point.co = place
    spline.use_cyclic = True
    return mask


# --- telling --------------------------------------------------------------------------------------


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Blender says on stdout, past Python, where it saved each picture."""
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def table(costs: list[Cost]) -> str:
    lines = [f"Blender {bpy.app.version_string}, {os.cpu_count()} processors", ""]
    lines += ["| | ms a frame | processor ms | target |", "|---|---|---|---|"]
    lines += [f"| {c.what} | {c.milliseconds:.1f} | {c.processor:.1f} | {c.target or '–'} |" for c in costs]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, quiet():
        costs = list(measure(build(Path(folder), arguments.frames), Path(folder)))
    told = {"blender": bpy.app.version_string, "processors": os.cpu_count(), "costs": [asdict(cost) for cost in costs]}
    sys.stdout.write(json.dumps(told, indent=2) + "\n" if arguments.json else table(costs))


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # where Python is torn down the wheel of 4.2 crashes and the one of 4.5 hangs
