"""Where the person to remove is, as grey pictures: white is the person. Knows nothing of keypoints or of the server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import bpy

from . import colours, footage, plate, pose, stills, timeline
from .wire import BadInput, FrameRow, Raster, frame_name

SAMPLES = 16
"""Rays for each pixel of a matte: 16 steps of an edge's softness."""


@dataclass(frozen=True)
class FromStrip:
    """The brightness of another strip of the same edit, at the same frames of the timeline."""

    strip: timeline.Strip


@dataclass(frozen=True)
class FromMask:
    """A mask drawn over the footage: its first frame is the footage's first."""

    mask: bpy.types.Mask


@dataclass(frozen=True)
class FromRig:
    """What the rig deforms or carries, where nothing else of its scene hides it."""


@dataclass(frozen=True)
class FromCollection:
    """What is in a collection of the rig's scene, where nothing else hides it."""

    collection: bpy.types.Collection


Matte = FromStrip | FromMask | FromRig | FromCollection


@dataclass(frozen=True)
class Place:
    """What a matte has to lie upon."""

    scene: bpy.types.Scene
    """The sequencer's."""
    raster: Raster
    view: pose.View


def check(matte: Matte, place: Place, strip: timeline.Strip) -> None:
    """Raise `BadInput` unless `matte` covers `strip` and has the plate's pixels."""
    match matte:
        case FromStrip():
            _check_strip(matte.strip, place, strip)
        case FromMask():
            if not len(matte.mask.layers):
                raise BadInput(f"the mask {matte.mask.name!r} is empty; draw the person's outline in it")
        case FromRig() | FromCollection():
            _targets(matte, place.view)


def _check_strip(matte: timeline.Strip, place: Place, strip: timeline.Strip) -> None:
    plate.check(matte, "matte")
    (first, end), (start, stop) = timeline.frame_range(strip), timeline.frame_range(matte)
    if start > first or stop < end:
        raise BadInput(
            f"the matte {matte.name!r} covers frames {start} to {stop - 1} and the plate {strip.name!r} {first} to "
            f"{end - 1}; let the matte cover all of the plate"
        )
    own, wanted = plate.raster(place.scene, matte, place.raster.kind), place.raster
    if (own.width, own.height) != (wanted.width, wanted.height):
        raise BadInput(
            f"the matte {matte.name!r} is {own.width}×{own.height} and the plate {wanted.width}×{wanted.height} "
            "pixels; use a matte of the plate's size, or the raster 'canvas'"
        )
    if own.kind is not wanted.kind and wanted.matrix != Raster(kind=own.kind, width=1, height=1).matrix:
        raise BadInput(
            f"the matte {matte.name!r} lies on the canvas and the plate {strip.name!r} is transformed there; "
            "use the raster 'canvas'"
        )


def handles(matte: Matte, scene: bpy.types.Scene, strip: timeline.Strip) -> tuple[int, int] | None:
    """Frames by which `matte` exceeds `strip` before and after; None when it never ends."""
    if not isinstance(matte, FromStrip):
        return None
    before, after = footage.handles(timeline.path(scene.sequence_editor, matte.strip.name)[:-1], matte.strip)
    (first, end), (start, stop) = timeline.frame_range(strip), timeline.frame_range(matte.strip)
    return first - start + before, stop - end + after


def write(matte: Matte, place: Place, rows: Sequence[FrameRow], folder: Path) -> Iterator[Path]:
    """Write `folder/<shot number>.png` for each row: 8-bit grey of the plate's size, white is the person."""
    match matte:
        case FromStrip(strip):
            own = plate.raster(place.scene, strip, place.raster.kind)
            yield from plate.write(place.scene, strip, rows, own, folder, mode="BW")
        case FromMask(mask):
            yield from _write_mask(mask, place, rows, folder)
        case FromRig() | FromCollection():
            yield from _write_objects(_targets(matte, place.view), place.view, rows, folder)


def _write_mask(mask: bpy.types.Mask, place: Place, rows: Sequence[FrameRow], folder: Path) -> Iterator[Path]:
    """Through a mask strip, so that curves, feathers and keyframes are Blender's own."""
    folder.mkdir()
    with stills.copy_of(place.scene) as copy, _lasting(mask, rows[-1].source) as lasting:
        stills.prepare(copy, place.raster.width, place.raster.height, "BW")
        stills.set_view(copy, colours.shown(copy.sequencer_colorspace_settings.name)[1])
        copy.render.use_sequencer, copy.render.engine = True, "CYCLES"
        copy.animation_data_clear()
        copy.sequence_editor_clear()
        strips = timeline.strips(copy.sequence_editor_create())
        strips.new_mask(name="matte", mask=lasting, channel=1, frame_start=0)
        for row in rows:
            copy.frame_current = int(row.source)
            yield stills.write(copy, folder / frame_name(row.shot, "png"))


@contextlib.contextmanager
def _lasting(mask: bpy.types.Mask, source: float) -> Iterator[bpy.types.Mask]:
    """A copy of `mask` whose range goes on to a frame of the footage; a strip shows none from its end on."""
    copy = mask.copy()
    copy.frame_end = max(mask.frame_end, mask.frame_start + int(source) + 1)
    try:
        yield copy
    finally:
        bpy.data.masks.remove(copy)


# --- from 3D --------------------------------------------------------------------------------------


def _targets(matte: FromRig | FromCollection, view: pose.View) -> set[bpy.types.Object]:
    """The objects to show. Raises `BadInput` when nothing of them is rendered."""
    if isinstance(matte, FromCollection):
        found = pose.rendered(view) & set(matte.collection.all_objects)
        where = f"the collection {matte.collection.name!r}"
    else:
        found = pose.body(view)
        where = f"the rig {view.rig.name!r}"
    if not found:
        raise BadInput(
            f"{where} has nothing in {view.scene.name!r} that is rendered, so there is no matte; show its objects in "
            "renders, or choose a mask or a strip as matte"
        )
    return found


def _write_objects(
    targets: set[bpy.types.Object], view: pose.View, rows: Sequence[FrameRow], folder: Path
) -> Iterator[Path]:
    """White where `targets` are seen, soft at edges: they shine, all else is a hole, and light is written as it is."""
    folder.mkdir()
    others = pose.rendered(view) - targets
    with pose.time_kept(view.scene), stills.copy_of(view.scene) as copy, _glow() as glow, _holdout(copy) as holdout:
        stills.prepare(copy, view.width, view.height, "BW")
        stills.set_view(copy, colours.numbers()[1])
        stills.trace(copy, SAMPLES)
        copy.cycles.max_bounces, copy.cycles.pixel_filter_type = 0, "BOX"
        copy.world, copy.render.film_transparent = None, False
        for other in others:
            holdout.objects.link(other)
        for layer in copy.view_layers:
            layer.use = layer.name == pose.layer(view).name
            layer.material_override = glow
            layer.layer_collection.children[holdout.name].holdout = True
        if view.camera:
            copy.timeline_markers.clear()
            copy.camera = view.camera
        for row in rows:
            pose.set_time(copy, row.rig)
            yield stills.write(copy, folder / frame_name(row.shot, "png"))


@contextlib.contextmanager
def _glow() -> Iterator[bpy.types.Material]:
    """A material that shines white whatever the light."""
    material = bpy.data.materials.new(".wan_animate")
    if material.node_tree is None:
        material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    nodes.clear()
    shine = nodes.new("ShaderNodeEmission")
    shine.inputs["Color"].default_value = 1.0, 1.0, 1.0, 1.0
    links.new(shine.outputs[0], nodes.new("ShaderNodeOutputMaterial").inputs["Surface"])
    try:
        yield material
    finally:
        bpy.data.materials.remove(material)


@contextlib.contextmanager
def _holdout(scene: bpy.types.Scene) -> Iterator[bpy.types.Collection]:
    """A collection of the temporary scene for what cuts holes: so the objects themselves need not be touched."""
    collection = bpy.data.collections.new(".wan_animate")
    scene.collection.children.link(collection)
    try:
        yield collection
    finally:
        bpy.data.collections.remove(collection)
