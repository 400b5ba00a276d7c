"""Exports and takes as a server leaves them, written without the code that is tested."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from footage import noise, write_exr, write_png
from serving import PYTHON, ROOT

from wan_animate_blender import footage, timeline, wire

Paint = Callable[[int], np.ndarray]
"""What a frame looks like, by its number from 0."""


def enable_addon() -> None:
    import addon_utils  # found only once bpy has been imported

    assert addon_utils.enable("wan_animate_blender", default_set=True)


def export_of(
    strip: timeline.Strip, root: Path, *, handles: int = 0, kind: str = "source", size: tuple[int, int] = (80, 48),
    mode: str = "replace", name: str = "SH010", layers: dict[str, Paint] | None = None, **said: Any,
) -> Path:  # fmt: skip
    """`<root>/SH010/e001` of all that `strip` shows and `handles` frames around it: `shot.json`, and frame i of each of
    `layers` as painted."""
    first, end = timeline.frame_range(strip)
    frames = range(first - handles, end + handles)
    rows = tuple(
        wire.FrameRow(shot=1001 + i, timeline=float(frame), source=source, rig=float(frame))
        for i, (frame, source) in enumerate(zip(frames, footage.sources([], strip, frames), strict=True))
    )
    folder = wire.claim_version(root / name, wire.EXPORT_PREFIX)
    _write(folder, layers or {}, [row.shot for row in rows])
    shot = wire.Shot(
        name=name, strip=strip.wan_animate.uid, mode=wire.Mode(mode), frames=rows, cut_in=1001 + handles,
        cut_out=1000 + handles + end - first, fps=Fraction(24), files=wire.list_files(folder),
        raster=wire.Raster(kind=wire.RasterKind(kind), width=size[0], height=size[1]), **said,
    )  # fmt: skip
    wire.write_atomically(folder / wire.SHOT_FILE, shot.dumps().encode())
    return folder


def take_of(export: Path, pictures: Paint | None = None, layer: str = "character") -> Path:
    """`takes/vNNN` beside `export`: one picture for each frame, RGBA by default half transparent."""
    shot = wire.Shot.loads((export / wire.SHOT_FILE).read_bytes())
    size = shot.raster.height, shot.raster.width
    return take_of_layers(export, {layer: pictures or (lambda i: np.full((*size, 4), (200, 60, i, 128), np.uint8))})


def take_of_layers(export: Path, layers: dict[str, Paint]) -> Path:
    """`takes/vNNN` beside `export` with frame i of each layer as painted."""
    shot = wire.Shot.loads((export / wire.SHOT_FILE).read_bytes())
    folder = wire.claim_version(export.parent / wire.TAKES, wire.TAKE_PREFIX)
    height, width = _write(folder, layers, shot.numbers)
    take = wire.Take(
        shot=shot.name, strip=shot.strip, version=int(folder.name[1:]), export=shot.hash, mode=shot.mode,
        state=wire.TakeState.COMPLETE, first=shot.numbers[0], last=shot.numbers[-1], cut_in=shot.cut_in,
        cut_out=shot.cut_out, fps=shot.fps, width=width, height=height, layers=tuple(layers),
        files=wire.list_files(folder), settings=shot.settings,
    )  # fmt: skip
    wire.write_atomically(folder / wire.TAKE_FILE, take.dumps().encode())
    return folder


def _write(folder: Path, layers: dict[str, Paint], numbers: Iterable[int]) -> tuple[int, int]:
    """Write frame i of each layer, whole numbers as PNG and others as EXR; height and width of the last one."""
    size = 0, 0
    for layer, paint in layers.items():
        for index, number in enumerate(numbers):
            picture = paint(index)
            is_light = picture.dtype.kind == "f"
            write = write_exr if is_light else write_png
            write(folder / layer / wire.frame_name(number, "exr" if is_light else "png"), picture)
            size = picture.shape[:2]
    return size


def soft(seed: int) -> np.ndarray:
    """A region of all greys: nothing on the left and everything on the right, so that every alpha is there."""
    return np.broadcast_to(np.clip(np.linspace(-40, 330, 80), 0, 255).astype(np.uint8), (48, 80))


def finished(
    strip: timeline.Strip, root: Path, paint: Paint, colour: wire.Colour | None = None,
    beside: dict[str, Paint] | None = None, **finish: Any,
) -> Path:  # fmt: skip
    """A take of `strip` with soft edges, finished by the server's own code in its own Python.

    `paint` is the footage, `beside` what is exported beside plate, matte and region.
    """
    said = {"colour": colour} if colour else {}
    first, end = timeline.frame_range(strip)
    source = int(next(iter(footage.sources([], strip, range(first, end)))))
    shown = {"plate": lambda i: paint(i + source), "matte": soft, "region": soft, **(beside or {})}
    export = export_of(strip, root, layers=shown, **said)
    points = np.zeros((end - first, 133, 3), np.float32)
    points[:, :, :2], points[:, :, 2] = np.random.default_rng(3).uniform(10, 40, (133, 2)), 1
    np.savez(export / wire.POSE_FILE, keypoints=points)
    write_png(export / "character.png", noise(1))
    shot = wire.Shot.loads((export / wire.SHOT_FILE).read_bytes())
    settings = wire.Settings(finish=wire.Finish(feather=0.0, **finish))
    (export / wire.SHOT_FILE).write_text(
        replace(shot, settings=settings, files=wire.list_files(export, {wire.SHOT_FILE})).dumps(), encoding="utf-8"
    )
    script, paths = Path(__file__).with_name("finished.py"), os.pathsep.join((str(ROOT), str(ROOT / "server")))
    done = subprocess.run(
        [os.environ[PYTHON], script, export], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": paths}
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout)


def empty_floor(is_light: bool) -> dict[str, Paint]:
    """A clean plate, and an effects matte where the old person's shadow lies on it."""
    grey = np.full((48, 80, 3), 0.4 if is_light else 160)
    shadow = np.zeros((48, 80), np.uint8)
    shadow[20:40, 20:70] = 255
    return {"cleanplate": lambda _: grey.astype(np.float16 if is_light else np.uint8), "effects": lambda _: shadow}


def person(seed: int) -> np.ndarray:
    """uint8 [48, 80, 4], straight: noise that is opaque on the left, soft in the middle, absent on the right."""
    alpha = np.clip(np.linspace(400, -145, 80), 0, 255).astype(np.uint8)
    return np.dstack([noise(seed + 500), np.broadcast_to(alpha, (48, 80))]) * (alpha > 0)[None, :, None]


def over(plate: np.ndarray, character: np.ndarray) -> np.ndarray:
    """The plate with the character in it, to the nearest of 256 levels."""
    alpha = character[..., 3:] / 255
    return np.rint(plate * (1 - alpha) + character[..., :3] * alpha).astype(np.uint8)


def whole_take_of(export: Path, plates: Paint = noise) -> Path:
    """A take as the server delivers it: character, matte and comp of `person` over frame i of the plate."""
    return take_of_layers(export, {
        "character": person, "matte": lambda i: person(i)[..., 3], "comp": lambda i: over(plates(i), person(i)),
    })  # fmt: skip


def shown(scene: bpy.types.Scene, frame: int, file: Path) -> np.ndarray:
    """uint8 [H, W, 3]: what the sequencer shows at `frame`, without a view transform on it."""
    from footage import read_png

    scene.view_settings.view_transform = "Standard"
    scene.render.dither_intensity = 0.0
    timeline.write_stills(scene.render.image_settings, "PNG", "RGB", "8")
    scene.render.filepath, scene.frame_start, scene.frame_end = str(file.with_suffix("")) + "_####", frame, frame
    bpy.ops.render.render(animation=True, scene=scene.name)
    return read_png(Path(f"{file.with_suffix('')}_{frame:04d}.png"))
