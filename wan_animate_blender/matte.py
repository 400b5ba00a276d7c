"""Where something is in the plate, as grey pictures of its size: the person to remove, or an artist's region.

White is inside. Knows nothing of keypoints or of the server.
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from . import colours, footage, grey, plate, pose, silhouette, stills, timeline
from .edges import Edges
from .wire import BadInput, FrameRow, Raster, frame_name

PLAIN = Edges()


class Channel(enum.StrEnum):
    """What of a strip is the matte."""

    LUMA = "luma"
    ALPHA = "alpha"


@dataclass(frozen=True)
class FromStrip:
    """The brightness or opacity of a strip of the same edit, be it the plate, at the same frames of the timeline."""

    strip: timeline.Strip
    channel: Channel = Channel.LUMA


@dataclass(frozen=True)
class FromMask:
    """A mask drawn over the footage: its first frame is the footage's first."""

    mask: bpy.types.Mask


@dataclass(frozen=True)
class FromRig:
    """What the rig deforms or carries, where nothing else of its scene hides it."""

    motion_blur: bool = False
    """Whether it is as soft as its movement while the scene's shutter is open."""


@dataclass(frozen=True)
class FromCollection:
    """What is in a collection of the rig's scene, where nothing else hides it."""

    collection: bpy.types.Collection
    motion_blur: bool = False


Matte = FromStrip | FromMask | FromRig | FromCollection


@dataclass(frozen=True)
class Place:
    """What a matte has to lie upon."""

    scene: bpy.types.Scene
    """The sequencer's."""
    raster: Raster
    view: pose.View


def check(
    matte: Matte, place: Place, strip: timeline.Strip, front: Sequence[bpy.types.Object] = (), what: str = "matte"
) -> None:  # fmt: skip
    """Raise `BadInput` unless `matte` covers `strip` and has the plate's pixels; `what` is what people call it.

    `front` are the rigs of people in front: to hide what is behind them in 3D, they have to be in its scene.
    """
    match matte:
        case FromStrip():
            check_strip(matte.strip, place, strip, what)
        case FromMask():
            if not len(matte.mask.layers):
                raise BadInput(f"the mask {matte.mask.name!r} is empty; draw the person's outline in it")
        case FromRig() | FromCollection():
            _targets(matte, place.view)
            _check_front(front, place.view)


def _check_front(front: Sequence[bpy.types.Object], view: pose.View) -> None:
    for rig in front:
        if rig.name not in view.scene.objects:
            raise BadInput(
                f"the rig {rig.name!r} of the person in front is not in the scene {view.scene.name!r} of the rig "
                f"{view.rig.name!r}, so it hides nothing there; link its collection into that scene, or choose a mask "
                "or a strip as matte"
            )


def check_strip(matte: timeline.Strip, place: Place, strip: timeline.Strip, what: str) -> None:
    """Raise `BadInput` unless the strip `matte` lies upon every frame and pixel of `strip`."""
    plate.check(matte, what)
    (first, end), (start, stop) = timeline.frame_range(strip), timeline.frame_range(matte)
    if start > first or stop < end:
        raise BadInput(
            f"the {what} {matte.name!r} covers frames {start} to {stop - 1} and the plate {strip.name!r} {first} to "
            f"{end - 1}; let the {what} cover all of the plate"
        )
    own, wanted = plate.raster(place.scene, matte, place.raster.kind), place.raster
    if (own.width, own.height) != (wanted.width, wanted.height):
        raise BadInput(
            f"the {what} {matte.name!r} is {own.width}×{own.height} and the plate {wanted.width}×{wanted.height} "
            f"pixels; use a {what} of the plate's size, or the raster 'canvas'"
        )
    if own.kind is not wanted.kind and wanted.matrix != Raster(kind=own.kind, width=1, height=1).matrix:
        raise BadInput(
            f"the {what} {matte.name!r} lies on the canvas and the plate {strip.name!r} is transformed there; "
            "use the raster 'canvas'"
        )


def handles(matte: Matte, scene: bpy.types.Scene, strip: timeline.Strip) -> tuple[int, int] | None:
    """Frames by which `matte` exceeds `strip` before and after; None when it never ends."""
    if not isinstance(matte, FromStrip):
        return None
    before, after = footage.handles(timeline.path(scene.sequence_editor, matte.strip.name)[:-1], matte.strip)
    (first, end), (start, stop) = timeline.frame_range(strip), timeline.frame_range(matte.strip)
    return first - start + before, stop - end + after


def write(
    matte: Matte, place: Place, rows: Sequence[FrameRow], folder: Path, edges: Edges = PLAIN
) -> Iterator[Path]:  # fmt: skip
    """Write `folder/<shot number>.png` for each row: 8- or 16-bit grey of the plate's size, white is the person.

    `edges` are moved and softened afterwards. What needs neither stays as Blender's sequencer writes it.
    """
    match matte:
        case FromStrip(strip, channel):
            own = plate.raster(place.scene, strip, place.raster.kind)
            files = plate.write(place.scene, strip, rows, own, folder, "BW" if channel is Channel.LUMA else "RGBA")
            if channel is Channel.ALPHA:
                yield from _opacity(files, strip, edges)
            else:
                yield from _with_edges(files, edges)
        case FromMask(mask):
            yield from _with_edges(_write_mask(mask, place, rows, folder), edges)
        case FromRig() | FromCollection():
            folder.mkdir()
            times = [row.rig for row in rows]
            seen = silhouette.write(_targets(matte, place.view), place.view, times, motion_blur=matte.motion_blur)
            for row, picture in zip(rows, seen, strict=True):
                yield grey.write(folder / frame_name(row.shot, "png"), edges.apply(picture))


def _with_edges(files: Iterator[Path], edges: Edges) -> Iterator[Path]:
    """The pictures in their place, with their edges moved."""
    for file in files:
        yield file if edges == PLAIN else grey.write(file, edges.apply(grey.read(file)))


def _opacity(files: Iterator[Path], strip: timeline.Strip, edges: Edges) -> Iterator[Path]:
    """The alpha of pictures in their place. Raises `BadInput` at the end when there is none."""
    is_opaque = True
    for file in files:
        alpha = grey.read(file, grey.ALPHA)
        is_opaque = is_opaque and bool((alpha == np.iinfo(alpha.dtype).max).all())
        yield grey.write(file, edges.apply(alpha))
    if is_opaque:
        raise BadInput(
            f"the strip {strip.name!r} is opaque in every pixel of every frame, so its alpha tells nothing; choose its "
            "brightness, or another matte"
        )


def _write_mask(mask: bpy.types.Mask, place: Place, rows: Sequence[FrameRow], folder: Path) -> Iterator[Path]:
    """Through a mask strip, so that curves, feathers and keyframes are Blender's own."""
    folder.mkdir()
    with stills.copy_of(place.scene) as copy, _lasting(mask, max(row.source for row in rows)) as lasting:
        stills.prepare(copy, place.raster.width, place.raster.height, "BW")
        stills.set_view(copy, colours.shown(copy.sequencer_colorspace_settings.name)[1])
        copy.render.use_sequencer, copy.render.engine = True, "CYCLES"
        copy.animation_data_clear()
        copy.sequence_editor_clear()
        strips = timeline.strips(copy.sequence_editor_create())
        strips.new_mask(name="matte", mask=lasting, channel=1, frame_start=0)
        for row in rows:
            copy.frame_current = int(row.source)
            yield grey.settle(stills.write(copy, folder / frame_name(row.shot, "png")))


@contextlib.contextmanager
def _lasting(mask: bpy.types.Mask, source: float) -> Iterator[bpy.types.Mask]:
    """A copy of `mask` whose range goes on to a frame of the footage; a strip shows none from its end on."""
    copy = mask.copy()
    copy.frame_end = max(mask.frame_end, mask.frame_start + int(source) + 1)
    try:
        yield copy
    finally:
        bpy.data.masks.remove(copy)


def _targets(matte: FromRig | FromCollection, view: pose.View) -> set[bpy.types.Object]:
    """The objects to show. Raises `BadInput` when nothing of them is rendered."""
    if isinstance(matte, FromCollection):
        found = silhouette.things_of(view) & set(matte.collection.all_objects)
        where = f"the collection {matte.collection.name!r}"
    else:
        found = {thing for thing in silhouette.things_of(view) if pose.belongs(thing, view.rig)}
        where = f"the rig {view.rig.name!r}"
    if not found & pose.rendered(view):
        raise BadInput(
            f"{where} has nothing in {view.scene.name!r} that is rendered, so there is no matte; show its objects in "
            "renders, or choose a mask or a strip as matte"
        )
    return found
