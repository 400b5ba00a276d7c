"""One export as a person asks for it, and what follows from that: its frames, its view, its layers. Writes nothing."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import bpy

from . import armature, base, clip, footage, linked, matte, plate, pose, timeline, wire
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
    return pose.View(scene, request.rig, request.camera, *size, lens(request), fit, request.retarget)


def posed(seen: pose.View) -> set[bpy.types.Object]:
    """What must stand right for the pose to be right."""
    return {seen.rig, seen.rig.parent, *pose.body(seen), *pose.cameras(seen)} - {None}


def lens(request: Request) -> Lens | None:
    """What bent the plate, at its size. Raises `BadInput`."""
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
    room += layers(request).handles(request.scene, request.strip)
    if request.face is FaceSource.DRIVING and request.face_strip:
        room.append(matte.handles(matte.FromStrip(request.face_strip), request.scene, request.strip) or room[0])
    if below := behind(request):
        first, end = timeline.frame_range(request.strip)
        room.append((first - below.first, below.end - end))
    before, after = (max(min(request.handles, *side), 0) for side in zip(*room, strict=True))
    return before, after


def layers(request: Request) -> Layers:
    """What is exported beside the plate; nothing where the character stands alone."""
    if request.mode is not Mode.REPLACE:
        return Layers()
    keyed = request.settings.finish.alpha is wire.Alpha.DIFFERENCE
    effects = request.effects if request.settings.finish.effects > 0 else None
    return Layers(request.matte, request.edges, request.region, request.clean_plate, effects, keyed)


def place(request: Request) -> matte.Place:
    """Where mattes are drawn."""
    return matte.Place(request.scene, plate.raster(request.scene, request.strip, request.raster), view(request))


def behind(request: Request) -> base.Base | None:
    """The take of the people behind this one, which is the plate. Raises `BadInput` where it does not fit."""
    if request.base is None:
        return None
    raster = plate.raster(request.scene, request.strip, request.raster)
    return base.read(request.base, request.strip, request.uid, raster)
