"""A strip and its rig become a shot folder: the one verb behind panel, command line and farm.

Knows what is exported and in which order; how each thing is exported is its own file's.
"""

from __future__ import annotations

import enum
import io
import os
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import count
from pathlib import Path

import bpy
import numpy as np

from . import (
    armature,
    audio,
    base,
    character,
    clip,
    colours,
    configuration,
    drivers,
    face,
    footage,
    linked,
    matte,
    plate,
    pose,
    timeline,
    wire,
)
from .edges import Edges
from .face import Engine
from .layers import Layers
from .lens import Lens
from .matte import PLAIN
from .retarget import Retarget
from .rigs import Fit, Spot
from .wire import BadInput, FaceSource, FrameRow, Mode, RasterKind


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
    person: str = ""
    """Whom of the strip's people this is about."""
    base: Path | None = None
    """Folder of the take that is the plate: the people behind this one are in it already. None is the strip itself."""
    front: tuple[bpy.types.Object, ...] = ()
    """Rigs of the people in front of this one, who hide it."""
    mode: Mode = Mode.REPLACE
    raster: RasterKind = RasterKind.SOURCE
    handles: int = 8
    """Frames wanted before and after the cut; the strip may have fewer."""
    rig: bpy.types.Object | None
    assignment: Mapping[str, Spot] = field(default_factory=dict)
    """Points that were put on bones of the rig by hand."""
    retarget: Retarget | None = None
    """How the character is built; None is as the rig is."""
    rig_scene: bpy.types.Scene | None = None
    """None is the sequencer's scene."""
    rig_time: RigTime = RigTime.SOURCE
    rig_start: float | None = None
    """Frame of the rig's scene at the footage's first frame; None is that scene's first frame."""
    camera: bpy.types.Object | None = None
    """None is the rig's scene's own, as its markers switch it."""
    lens: clip.Source | None = None
    """What bent the plate; None is nothing."""
    character: bpy.types.Image | None
    matte: matte.Matte | None = None
    edges: Edges = PLAIN
    """What is done to the matte's edge."""
    region: matte.Matte | None = None
    """Where new pixels may appear; None is around matte and body, as the server finds it."""
    clean_plate: timeline.Strip | None = None
    """What is behind the person."""
    effects: matte.Matte | None = None
    """Where the person's shadow and reflection lie that are kept."""
    face: FaceSource = FaceSource.RIG
    face_engine: Engine = Engine.CYCLES
    face_strip: timeline.Strip | None = None
    """The performance, when the expression comes from one."""
    face_still: bpy.types.Image | None = None
    """The expression, when it is always the same."""
    only: range | None = None
    """Frames of the timeline that are exported, without handles; None is all of the strip."""
    settings: wire.Settings = field(default_factory=wire.Settings)
    provenance: wire.Provenance = field(default_factory=wire.Provenance)


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
        "strip": _check_strip,
        "lens": _lens,
        "rig": _check_rig,
        "matte": _check_matte,
        "region": lambda r: _layers(r).check_region(_place(r), r.strip),
        "clean plate": lambda r: _layers(r).check_clean_plate(_place(r), r.strip),
        "effects": lambda r: _layers(r).check_effects(_place(r), r.strip),
        "face": _check_face,
        "character": lambda r: character.check(r.character),
        "people": _base,
        "shot": lambda r: wire.check_name(r.name),
        "folder": _check_root,
    }
    found: dict[str, str] = {}
    for about, one in checks.items():
        sentence = _sentence(one, request)
        if sentence and sentence not in found.values():
            found[about] = sentence
    return found


def check_all(requests: Sequence[Request]) -> None:
    """Raise `BadInput` with the first sentence about any of `requests`, before the first of them is begun."""
    for request in requests:
        if problems := check(request):
            whose = f"{request.person}: " if len(requests) > 1 else ""
            raise BadInput(f"{whose}{problems[0]}")


def _sentence(one: Callable[[Request], object], request: Request) -> str | None:
    try:
        one(request)
    except BadInput as problem:
        return str(problem)
    return None


def _check_strip(request: Request) -> None:
    metas, strip = around(request), request.strip
    first, end = timeline.frame_range(strip)
    before, after = (min(request.handles, room) for room in footage.handles(metas, strip))
    plate.check(strip, kind=request.raster, sources=footage.sources(metas, strip, range(first - before, end + after)))
    colours.check(request.scene, strip, request.raster, request.settings.transform)


def _check_rig(request: Request) -> None:
    seen = view(request)
    pose.check(seen)
    linked.check(_posed(seen))
    drivers.check(_posed(seen))


def _posed(seen: pose.View) -> set[bpy.types.Object]:
    """What must stand right for the pose to be right."""
    return {seen.rig, seen.rig.parent, *pose.body(seen), *pose.cameras(seen)} - {None}


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
    _layers(request).check_matte(_place(request), request.strip, request.front)


def _check_face(request: Request) -> None:
    match request.face:
        case FaceSource.RIG:
            pose.check(view(request))
            face.check(view(request))
        case FaceSource.DRIVING:
            face.check_strip(request.face_strip, request.strip)
        case FaceSource.STILL:
            face.check_still(request.face_still)


def _check_root(request: Request) -> None:
    nearest = next(p for p in (request.root, *request.root.absolute().parents) if p.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise BadInput(f"cannot write to {request.root}; choose a folder that you may write to")


# --- what is asked for --------------------------------------------------------------------------------


def view(request: Request, fit: Fit | None = None) -> pose.View:
    """The rig as the plate's camera sees it. Raises `BadInput` without a rig.

    `fit` is the rig's with what was assigned, where that is known already.
    """
    if request.rig is None:
        raise BadInput("no rig is chosen; choose the armature that moves the character")
    linked.check([request.rig])
    raster = plate.raster(request.scene, request.strip, request.raster)
    scene = request.rig_scene or request.scene
    fit = fit or armature.fit(request.rig, request.assignment)
    size = raster.width, raster.height
    return pose.View(scene, request.rig, request.camera, *size, _lens(request), fit, request.retarget)


def _lens(request: Request) -> Lens | None:
    raster = plate.raster(request.scene, request.strip, request.raster)
    return clip.read(request.lens, raster.width, raster.height)


def frame_table(request: Request) -> tuple[tuple[FrameRow, ...], int, int]:
    """The rows, and the first and last shot number of the cut. Handles are those that strip and matte both have."""
    first, end = timeline.frame_range(request.strip)
    before, after = (0, 0) if request.only else _handles(request)
    if request.only:
        first, end = max(first, request.only.start), min(end, request.only.stop)
    frames = range(first - before, end + after)
    rows = tuple(
        FrameRow(
            shot=number,
            timeline=float(frame),
            source=source,
            rig=rig_time(request, frame, source),
        )
        for number, frame, source in zip(
            count(wire.FIRST_FRAME), frames, footage.sources(around(request), request.strip, frames), strict=False
        )
    )
    cut_in = wire.FIRST_FRAME + before
    return rows, cut_in, cut_in + end - first - 1


def rig_time(request: Request, frame: float, source: float) -> float:
    """When the rig is evaluated for a frame of the edit that shows the frame `source` of the footage."""
    if request.rig_time is RigTime.TIMELINE:
        return float(frame)
    scene = request.rig_scene or request.scene
    return float(source + (scene.frame_start if request.rig_start is None else request.rig_start))


def around(request: Request) -> list[timeline.Strip]:
    """The metas around the strip, outermost first."""
    return timeline.path(request.scene.sequence_editor, request.strip.name)[:-1]


def _handles(request: Request) -> tuple[int, int]:
    room = [footage.handles(around(request), request.strip)]
    room += _layers(request).handles(request.scene, request.strip)
    if request.face is FaceSource.DRIVING and request.face_strip:
        room.append(matte.handles(matte.FromStrip(request.face_strip), request.scene, request.strip) or room[0])
    if behind := _base(request):
        first, end = timeline.frame_range(request.strip)
        room.append((first - behind.first, behind.end - end))
    before, after = (max(min(request.handles, *side), 0) for side in zip(*room, strict=True))
    return before, after


def _layers(request: Request) -> Layers:
    if request.mode is not Mode.REPLACE:
        return Layers()
    keyed = request.settings.finish.alpha is wire.Alpha.DIFFERENCE
    effects = request.effects if request.settings.finish.effects > 0 else None
    return Layers(request.matte, request.edges, request.region, request.clean_plate, effects, keyed)


def _place(request: Request) -> matte.Place:
    return matte.Place(
        request.scene, plate.raster(request.scene, request.strip, request.raster), view(request)
    )  # fmt: skip


def _base(request: Request) -> base.Base | None:
    if request.base is None:
        return None
    raster = plate.raster(request.scene, request.strip, request.raster)
    return base.read(request.base, request.strip, request.uid, raster)


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
        yield from fill(request, folder)
    finally:
        if not (folder / wire.SHOT_FILE).is_file():
            shutil.rmtree(folder)
    return folder


def fill(request: Request, folder: Path) -> Iterator[Progress]:
    """Write all of a checked request into the empty `folder`, `shot.json` last. Whoever calls this clears it away."""
    rows, cut_in, cut_out = frame_table(request)
    place, behind = _place(request), _base(request)
    kinds = 2 + len(_layers(request).write(place, rows, folder)) + request.face.is_pictures
    for done, what in enumerate(_write_frames(request, place, behind, rows, folder), start=1):
        yield Progress(done, kinds * len(rows), what)
    drivers.check(_posed(place.view))  # renders evaluate things that no window shows, and so nobody has checked
    picture = character.write(request.character, folder)
    clip.write(request.lens, folder)
    heard = audio.write(request.scene, int(rows[0].timeline), len(rows), folder)
    shot = wire.Shot(
        name=request.name,
        strip=request.uid,
        mode=request.mode,
        frames=rows,
        cut_in=cut_in,
        cut_out=cut_out,
        fps=_fps(request.scene),
        timecode=footage.timecode(request.strip, _fps(request.scene), rows[0].source),
        raster=place.raster,
        colour=_colour(request, place, behind, folder),
        base=behind.title if behind else "",
        lens=place.view.lens.message if place.view.lens else None,
        face=request.face,
        character=picture,
        audio=heard,
        settings=request.settings,
        provenance=request.provenance,
        files=wire.list_files(folder),
    )
    wire.write_atomically(folder / wire.SHOT_FILE, shot.dumps().encode())


def _colour(request: Request, place: matte.Place, behind: base.Base | None, folder: Path) -> wire.Colour:
    """What the plate's numbers mean; the configuration that says so goes into `folder` where a server needs it."""
    if behind and behind.shot.colour.ocio:
        return base.write_configuration(behind, folder)
    meant = behind.shot.colour if behind else plate.colour(request.scene, request.strip, place.raster)
    return configuration.write(meant, request.settings.transform, folder)


def _write_frames(
    request: Request, place: matte.Place, behind: base.Base | None, rows: tuple[FrameRow, ...], folder: Path
) -> Iterator[str]:
    """Write what has frames; a word for each one. The pose comes first, for it is quick and most often wrong."""
    seen = place.view
    points = []
    for keypoints in pose.keypoints(seen, [row.rig for row in rows]):
        points.append(keypoints)
        yield "pose"
    boxes = face.boxes(np.array(list(_performed(seen, points, rows))), seen.width, seen.height)
    packed = io.BytesIO()
    np.savez(packed, keypoints=np.array(points), face_box=boxes)
    wire.write_atomically(folder / wire.POSE_FILE, packed.getvalue())
    plates = folder / "plate"
    pictures = base.write(behind, rows, plates) if behind else plate.write(
        request.scene, request.strip, rows, place.raster, plates
    )  # fmt: skip
    for _ in pictures:
        yield "plate"
    for what, layer in _layers(request).write(place, rows, folder).items():
        for _ in layer:
            yield what
    for _ in _faces(request, seen, boxes, rows, folder / "face"):
        yield "face"


def _performed(
    seen: pose.View, points: Sequence[np.ndarray], rows: tuple[FrameRow, ...]
) -> Iterable[np.ndarray]:  # fmt: skip
    """The rig's own keypoints, not the character's: its face is where they are."""
    return pose.keypoints(replace(seen, retarget=None), [row.rig for row in rows]) if seen.retarget else points


def _faces(
    request: Request, seen: pose.View, boxes: np.ndarray, rows: tuple[FrameRow, ...], folder: Path
) -> Iterator[Path]:
    match request.face:
        case FaceSource.RIG:
            return face.write(seen, boxes, rows, folder, request.face_engine)
        case FaceSource.DRIVING:
            return face.write_strip(request.scene, request.face_strip, rows, folder)
        case FaceSource.STILL:
            return face.write_still(request.face_still, rows, folder)
    return iter(())
