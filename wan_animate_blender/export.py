"""A strip and its rig become a shot folder: the one verb behind panel, command line and farm.

Knows what is exported and in which order; how each thing is exported is its own file's.
"""

from __future__ import annotations

import enum
import io
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import bpy
import numpy as np

from . import face, matte, plate, pose, timeline, wire
from .wire import BadInput, FaceSource, FrameRow, Mode, RasterKind

CHARACTER_FILES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")


class RigTime(enum.StrEnum):
    """Which clock the rig's animation follows."""

    SOURCE = "source"
    """The footage's: it was animated to the whole take, wherever the edit puts it."""
    TIMELINE = "timeline"
    """The edit's: frame for frame the timeline's."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One export, as a person asks for it."""

    scene: bpy.types.Scene
    """The sequencer's."""
    strip: timeline.Strip
    root: Path
    """Shots lie here, each in a folder of its name."""
    name: str
    uid: str = ""
    """Identity of the strip, by which takes find back to it."""
    mode: Mode = Mode.REPLACE
    raster: RasterKind = RasterKind.SOURCE
    handles: int = 8
    """Frames wanted before and after the cut; the strip may have fewer."""
    rig: bpy.types.Object | None
    rig_scene: bpy.types.Scene | None = None
    """None is the sequencer's scene."""
    rig_time: RigTime = RigTime.SOURCE
    rig_start: float | None = None
    """Frame of the rig's scene at the footage's first frame; None is that scene's first frame."""
    camera: bpy.types.Object | None = None
    """None is the rig's scene's own, as its markers switch it."""
    character: Path | None
    matte: matte.Matte | None = None
    face: FaceSource = FaceSource.RIG
    settings: wire.Settings = field(default_factory=wire.Settings)


@dataclass(frozen=True)
class Progress:
    """What has just been written."""

    done: int
    total: int
    what: str
    """A word for people: "plate", "pose" …"""


# --- before -------------------------------------------------------------------------------------------


def check(request: Request) -> list[str]:
    """What stands in the way of an export, one sentence each; [] when nothing does."""
    return list(problems(request).values())


def problems(request: Request) -> dict[str, str]:
    """The sentences of `check` by what they are about: "strip", "rig", "matte", "face", "character" …"""
    checks: dict[str, Callable[[Request], object]] = {
        "strip": lambda r: plate.check(r.strip),
        "rig": lambda r: pose.check(view(r)),
        "matte": _check_matte,
        "face": _check_face,
        "character": _check_character,
        "shot": lambda r: wire.check_name(r.name),
        "folder": _check_root,
    }
    found: dict[str, str] = {}
    for about, one in checks.items():
        sentence = _sentence(one, request)
        if sentence and sentence not in found.values():
            found[about] = sentence
    return found


def _sentence(one: Callable[[Request], object], request: Request) -> str | None:
    try:
        one(request)
    except BadInput as problem:
        return str(problem)
    return None


def _check_matte(request: Request) -> None:
    if request.mode is not Mode.REPLACE:
        return
    if request.matte is None:
        raise BadInput(
            "no matte is chosen, and replacing a person needs one; choose a mask, a strip, a collection or the rig, "
            "or the mode 'animate'"
        )
    plate.check(request.strip)
    pose.check(view(request))
    matte.check(request.matte, _place(request), request.strip)


def _check_face(request: Request) -> None:
    if request.face is FaceSource.RIG:
        pose.check(view(request))
        face.check(view(request))


def _check_character(request: Request) -> None:
    """The server will read it with other code; what Blender already cannot read is not worth sending."""
    file = request.character
    if file is None:
        raise BadInput("no picture of the character is chosen; choose one")
    if not file.is_file():
        raise BadInput(f"the character picture {file} is not there; choose a picture of the character")
    if file.suffix.lower() not in CHARACTER_FILES:
        raise BadInput(f"the character {file.name} is no picture ({', '.join(CHARACTER_FILES)}); choose another file")
    if not _is_readable(file):
        raise BadInput(f"the character picture {file.name} cannot be read; save it again as PNG or choose another file")


def _is_readable(file: Path) -> bool:
    try:
        image = bpy.data.images.load(str(file))
    except RuntimeError:  # no permission, or gone since
        return False
    try:
        return image.source == "FILE" and len(image.pixels) > 0  # reading the pixels finds truncated files too
    finally:
        bpy.data.images.remove(image)


def _check_root(request: Request) -> None:
    nearest = next(p for p in (request.root, *request.root.absolute().parents) if p.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise BadInput(f"cannot write to {request.root}; choose a folder that you may write to")


# --- what is asked for --------------------------------------------------------------------------------


def view(request: Request) -> pose.View:
    """The rig as the plate's camera sees it. Raises `BadInput` without a rig."""
    if request.rig is None:
        raise BadInput("no rig is chosen; choose the armature that moves the character")
    raster = plate.raster(request.scene, request.strip, request.raster)
    scene = request.rig_scene or request.scene
    return pose.View(scene, request.rig, request.camera, raster.width, raster.height)


def frame_table(request: Request) -> tuple[tuple[FrameRow, ...], int, int]:
    """The rows, and the first and last shot number of the cut. Handles are those that strip and matte both have."""
    first, end = timeline.frame_range(request.strip)
    before, after = _handles(request)
    behind = timeline.content(request.strip)
    scene = request.rig_scene or request.scene
    start = scene.frame_start if request.rig_start is None else request.rig_start

    def row(frame: int) -> FrameRow:
        source = behind.source(frame)
        rig = start + source if request.rig_time is RigTime.SOURCE else frame
        number = wire.FIRST_FRAME + frame - (first - before)
        return FrameRow(shot=number, timeline=float(frame), source=float(source), rig=float(rig))

    cut_in = wire.FIRST_FRAME + before
    return tuple(map(row, range(first - before, end + after))), cut_in, cut_in + end - first - 1


def _handles(request: Request) -> tuple[int, int]:
    way = timeline.path(request.scene.sequence_editor, request.strip.name)
    room = [timeline.handles(way[:-1], request.strip)]
    if request.mode is Mode.REPLACE and request.matte:
        room.append(matte.handles(request.matte, request.scene, request.strip) or room[0])
    before, after = (max(min(request.handles, *side), 0) for side in zip(*room, strict=True))
    return before, after


def _place(request: Request) -> matte.Place:
    return matte.Place(
        request.scene, plate.raster(request.scene, request.strip, request.raster), view(request)
    )  # fmt: skip


def _fps(scene: bpy.types.Scene) -> Fraction:
    """Exact: 23.976 is 24000/1001, of which Blender keeps a rounded base."""
    return Fraction(scene.render.fps) / Fraction(scene.render.fps_base).limit_denominator(1001)


# --- the export ---------------------------------------------------------------------------------------


def export(request: Request) -> Generator[Progress, None, Path]:
    """Write the shot folder `<root>/<name>/eNNN` and return it; every step says how far it is.

    `shot.json` is written last. When anything goes wrong, or the generator is closed, the folder goes away again.
    Raises `BadInput` with the first sentence of `check`.
    """
    if problems := check(request):
        raise BadInput(problems[0])
    folder = wire.claim_version(request.root / request.name, wire.EXPORT_PREFIX)
    try:
        yield from _fill(request, folder)
    finally:
        if not (folder / wire.SHOT_FILE).is_file():
            shutil.rmtree(folder)
    return folder


def _fill(request: Request, folder: Path) -> Iterator[Progress]:
    rows, cut_in, cut_out = frame_table(request)
    place = _place(request)
    kinds = 2 + (request.mode is Mode.REPLACE) + (request.face is FaceSource.RIG)
    for done, what in enumerate(_write_frames(request, place, rows, folder), start=1):
        yield Progress(done, kinds * len(rows), what)
    character = f"character{request.character.suffix.lower()}"
    shutil.copyfile(request.character, folder / character)
    shot = wire.Shot(
        name=request.name,
        strip=request.uid,
        mode=request.mode,
        frames=rows,
        cut_in=cut_in,
        cut_out=cut_out,
        fps=_fps(request.scene),
        raster=place.raster,
        face=request.face,
        character=character,
        settings=request.settings,
        files=wire.list_files(folder),
    )
    wire.write_atomically(folder / wire.SHOT_FILE, shot.dumps().encode())


def _write_frames(
    request: Request, place: matte.Place, rows: tuple[FrameRow, ...], folder: Path
) -> Iterator[str]:  # fmt: skip
    """Write what has frames; a word for each one. The pose comes first, for it is quick and most often wrong."""
    seen = place.view
    points = []
    for keypoints in pose.keypoints(seen, [row.rig for row in rows]):
        points.append(keypoints)
        yield "pose"
    boxes = face.boxes(np.array(points), seen.width, seen.height)
    packed = io.BytesIO()
    np.savez(packed, keypoints=np.array(points), face_box=boxes)
    wire.write_atomically(folder / wire.POSE_FILE, packed.getvalue())
    for _ in plate.write(request.scene, request.strip, rows, place.raster, folder / "plate"):
        yield "plate"
    if request.mode is Mode.REPLACE and request.matte:
        for _ in matte.write(request.matte, place, rows, folder / "matte"):
            yield "matte"
    if request.face is FaceSource.RIG:
        for _ in face.write(seen, boxes, rows, folder / "face"):
            yield "face"
