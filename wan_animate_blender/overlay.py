"""The skeleton over preview and 3D view, and the wipe that shows whether a tracked camera locks.

Draws what `sight` has found out. The preview's skeleton is read while drawing where that costs a millisecond (the rig's
scene stands at the frame's time); whatever needs an evaluation is found out by a timer between two drawings, once the
frame has stood still for a moment, and until then nothing is drawn: a wrong skeleton would be worse than none.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import bpy
import gpu
import numpy as np
from bpy.app.handlers import persistent
from bpy.props import BoolProperty, FloatProperty, PointerProperty
from gpu_extras.batch import batch_for_shader

from . import desk, figure, identity, pose, sight, timeline
from .person import WanAnimatePerson
from .sidebar import InSidebar
from .wire import BadInput, skeleton

REST = 0.15
"""Seconds that a frame has to stand still before a copy of its scene is evaluated."""
DISC = np.array([(np.cos(a), np.sin(a)) for a in np.linspace(0, 2 * np.pi, 13)])
EDGE, MARKER, BUNDLE = (0.2, 1.0, 0.9, 0.6), (0.1, 1.0, 0.1, 1.0), (1.0, 0.2, 0.1, 1.0)
"""Colours of the wipe: the set, tracks in the picture, and the same as the camera sees them."""


def _changed(_: bpy.types.PropertyGroup, __: bpy.types.Context) -> None:
    desk.redraw()
    _redraw("VIEW_3D")


class WanAnimateOverlay(bpy.types.PropertyGroup):
    preview: BoolProperty(
        name="Skeleton in Preview",
        description="Draw the rig over the preview as the model will see it",
        default=True,
        update=_changed,
    )
    world: BoolProperty(
        name="Skeleton in 3D",
        description="Draw the points that the model will see at the rig's bones",
        default=True,
        update=_changed,
    )
    wipe: BoolProperty(
        name="Wipe",
        description="Draw the edges of the 3D scene, and the tracks of the lens's clip, over the left of the plate",
        update=_changed,
    )
    divider: FloatProperty(
        name="Divider",
        description="How far the wipe reaches from the left",
        default=0.5,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
        update=_changed,
    )


class WAN_ANIMATE_PT_overlay(InSidebar, bpy.types.Panel):
    bl_label = "Overlay"
    bl_parent_id = "WAN_ANIMATE_PT_strip"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        layout, ours = self.layout, context.window_manager.wan_animate_overlay
        layout.use_property_split, layout.use_property_decorate = True, False
        for name in ("preview", "world", "wipe"):
            layout.prop(ours, name)
        row = layout.row()
        row.active = ours.wipe
        row.prop(ours, "divider", slider=True)


# --- what is known --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Asked:
    """What is wanted: by names, for what lies between asking and finding out may remove things."""

    scene: str
    strip: str
    state: Hashable
    """Changes with whatever changes the answer."""
    whole: bool


@dataclass(frozen=True)
class _Found:
    asked: _Asked
    keypoints: np.ndarray | None
    stage: sight.Stage | None


class _Desk:
    """What is wanted and known now. There is one preview to look at, so one of each is kept."""

    wanted: _Asked | None = None
    since: float = 0.0
    found: _Found | None = None
    changes: int = 0
    """Counts what has happened to rigs and cameras."""
    edges: tuple[sight.Stage, float, gpu.types.GPUBatch | None] | None = None
    """What the graphics card has of a stage, and up to which divider."""


def _want(asked: _Asked) -> None:
    if _Desk.wanted != asked:
        _Desk.wanted, _Desk.since = asked, time.monotonic()
    if not bpy.app.timers.is_registered(_find_out):
        bpy.app.timers.register(_find_out, first_interval=0.0 if bpy.app.background else REST, persistent=True)


def _find_out() -> float | None:
    """Called by Blender's timer until the last wish is fulfilled."""
    asked = _Desk.wanted
    left = _Desk.since + REST - time.monotonic()
    if left > 0 or any(window.screen.is_animation_playing for window in bpy.context.window_manager.windows):
        return max(left, REST)
    if bpy.app.is_job_running("RENDER"):  # it works on the same data
        return 1.0
    scene = bpy.data.scenes.get(asked.scene)
    way = timeline.path(scene.sequence_editor, asked.strip) if scene and scene.sequence_editor else []
    if way:
        _Desk.found = _look(asked, scene, way[-1])
        desk.redraw()
    return None


def _look(asked: _Asked, scene: bpy.types.Scene, strip: timeline.Strip) -> _Found:
    ours = strip.wan_animate
    try:
        moment = sight.moment(scene, strip)
        with sight.evaluated(moment, asked.whole) as view:
            keypoints = sight.keypoints(moment, view)
            stage = sight.stage(moment, view, ours.lens_clip) if asked.whole else None
    except BadInput:  # said in the panel
        return _Found(asked, None, None)
    return _Found(asked, keypoints, stage)


@persistent
def _notice(_: Any, graph: bpy.types.Depsgraph | None = None) -> None:
    """Something has changed. That Blender sorts its graphs anew, as after each temporary scene, is no change."""
    moved = graph is None or any(
        isinstance(each.id, bpy.types.Action)
        or (isinstance(each.id, bpy.types.Object) and (each.is_updated_transform or each.is_updated_geometry))
        for each in graph.updates
    )
    if moved:
        _Desk.changes += 1
        desk.redraw()


def _redraw(space: str) -> None:
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == space:
                area.tag_redraw()


# --- drawing --------------------------------------------------------------------------------------


@contextlib.contextmanager
def on_canvas(render: bpy.types.RenderSettings) -> Iterator[None]:
    """Draw in the preview in pixels of the canvas, y down from its upper left corner.

    The preview's own units are those pixels from the canvas's middle, y up, as wide as the pixels are.
    """
    with gpu.matrix.push_pop():
        gpu.matrix.scale((render.pixel_aspect_x / render.pixel_aspect_y, -1.0))
        gpu.matrix.translate((-render.resolution_x / 2, -render.resolution_y / 2))
        yield


def _draw_preview() -> None:
    context = bpy.context
    space, ours = context.space_data, context.window_manager.wan_animate_overlay
    if space.display_mode != "IMAGE" or not space.show_overlays or not (ours.preview or ours.wipe):
        return
    scene, strip = identity.active(context)
    if not _person(strip):
        return
    first, end = timeline.frame_range(strip)
    if first <= scene.frame_current < end and (found := _current(scene, strip, ours.wipe)):
        render = scene.render
        with on_canvas(render):
            _draw_found(found, ours, (render.resolution_x, render.resolution_y))


def _current(scene: bpy.types.Scene, strip: timeline.Strip, whole: bool) -> _Found | None:
    """What is known of this very frame; what is not will be found out."""
    try:
        moment = sight.moment(scene, strip)
        seen = sight.keypoints(moment, moment.view) if moment.is_now and not whole else None
    except BadInput:  # said in the panel
        return None
    asked = _Asked(scene.name, strip.name, (moment.state, scene.frame_current, _Desk.changes), whole)
    if _Desk.found and _Desk.found.asked == asked:
        return _Desk.found
    if seen is None:
        _want(asked)
    return None if seen is None else _Found(asked, seen, None)


def _draw_found(found: _Found, ours: WanAnimateOverlay, canvas: tuple[int, int]) -> None:
    gpu.state.blend_set("ALPHA")
    if found.stage and ours.wipe:
        _draw_stage(found.stage, ours.divider * canvas[0], canvas[1])
    if found.keypoints is not None and ours.preview:
        stick = max(int(min(canvas) / 200) - 1, 1)
        points, confidence = found.keypoints[:, :2], found.keypoints[:, 2]
        _draw_skeleton(points, confidence, max(2.0 * stick * _zoom(), 2.0))
        _draw_joints(points, confidence, stick + 1.0)
    gpu.state.blend_set("NONE")


def _zoom() -> float:
    """Pixels of the window for one of the canvas."""
    view = bpy.context.region.view2d
    return (view.view_to_region(1000, 0, clip=False)[0] - view.view_to_region(0, 0, clip=False)[0]) / 1000


def _draw_stage(stage: sight.Stage, divider: float, height: float) -> None:
    _draw_edges(stage, divider)
    here = stage.markers[:, 0] <= divider
    for points, colour in ((stage.markers[here], MARKER), (stage.bundles[here], BUNDLE)):
        _draw_lines(_crosses(points, 6.0 / max(_zoom(), 0.01)), colour, 2.0)
    _draw_lines(np.array([[(divider, 0), (divider, height)]]), (1.0, 1.0, 1.0, 0.8), 1.0)


def _draw_edges(stage: sight.Stage, divider: float) -> None:
    """Twenty thousand lines: what the card was given for one drawing it keeps for the next."""
    shader = gpu.shader.from_builtin("UNIFORM_COLOR")
    if _Desk.edges is None or _Desk.edges[0] is not stage or _Desk.edges[1] != divider:
        ends = sight.left_of(stage.edges, divider).reshape(-1, 2)
        places = np.c_[ends, np.zeros(len(ends))].astype(np.float32)
        _Desk.edges = stage, divider, batch_for_shader(shader, "LINES", {"pos": places}) if len(ends) else None
    if batch := _Desk.edges[2]:
        shader.uniform_float("color", EDGE)
        batch.draw(shader)


def _crosses(points: np.ndarray, size: float) -> np.ndarray:
    """[2 n, 2, 2]."""
    arms = np.array([[(-size, 0), (size, 0)], [(0, -size), (0, size)]])
    return (points[:, None, None] + arms).reshape(-1, 2, 2)


def _draw_skeleton(points: np.ndarray, confidence: np.ndarray, width: float) -> None:
    """`points` [133, 2 or 3], in colours and order of the released drawing."""
    for wanted, share in ((False, 1.0), (True, 0.5)):
        lines = [line for line in figure.lines(points, confidence) if line[3] == wanted]
        ends = np.array([line[:2] for line in lines])
        colours = np.array([line[2] for line in lines]) / 255
        known = np.isfinite(ends).all(axis=(1, 2))
        _draw_lines(ends[known], np.c_[colours, np.ones(len(lines))][known], max(width * share, 1.0))


def _draw_lines(ends: np.ndarray, colours: Any, width: float) -> None:
    """[n, 2, 2 or 3] in one colour [4] or in n of them."""
    if not len(ends):
        return
    shader = gpu.shader.from_builtin("POLYLINE_SMOOTH_COLOR")
    places = np.zeros((len(ends) * 2, 3), np.float32)
    places[:, : ends.shape[2]] = ends.reshape(-1, ends.shape[2])
    each = np.broadcast_to(np.asarray(colours, np.float32).reshape(-1, 1, 4), (len(ends), 2, 4)).reshape(-1, 4)
    batch = batch_for_shader(shader, "LINES", {"pos": places, "color": np.ascontiguousarray(each)})
    shader.uniform_float("viewportSize", gpu.state.viewport_get()[2:])
    shader.uniform_float("lineWidth", width)
    batch.draw(shader)


def _draw_joints(points: np.ndarray, confidence: np.ndarray, radius: float) -> None:
    """Discs in the released drawing's colours."""
    body = figure.joints(points, confidence)
    known = np.isfinite(body).all(axis=1)
    rim = body[known][:, None] + DISC * radius
    if not len(rim):
        return
    triangles = np.stack([np.broadcast_to(body[known][:, None], rim[:, 1:].shape), rim[:, :-1], rim[:, 1:]], axis=2)
    colours = np.c_[np.array(skeleton.COLOURS) / 255, np.ones(len(skeleton.COLOURS))][known]
    each = np.repeat(colours, triangles.shape[1] * 3, axis=0)
    shader = gpu.shader.from_builtin("SMOOTH_COLOR")
    flat = np.c_[triangles.reshape(-1, 2), np.zeros(len(each))].astype(np.float32)
    batch_for_shader(shader, "TRIS", {"pos": flat, "color": each.astype(np.float32)}).draw(shader)


def _draw_world() -> None:
    """At the bones, where the 3D view shows the rig: at that scene's own frame, which need not be the edit's."""
    context = bpy.context
    if not context.window_manager.wan_animate_overlay.world or not context.space_data.overlay.show_overlays:
        return
    scene, strip = _cast(context)
    if strip is None:
        return
    try:
        moment = sight.moment(scene, strip)
        points = pose.places(dataclasses.replace(moment.view, scene=context.scene), moment.binding)[:, :3]
    except BadInput:  # said in the panel
        return
    gpu.state.blend_set("ALPHA")
    _draw_skeleton(points, moment.binding.confidence, 3.0)
    gpu.state.blend_set("NONE")


def _cast(context: bpy.types.Context) -> tuple[bpy.types.Scene, timeline.Strip | None]:
    """The edit and the strip in it whose active person's rig is in the context's scene: before 5.0 a window has one
    scene, so that the strip is another window's or none's."""
    edits = [timeline.sequencer_scene(context), *bpy.data.scenes]
    for edit in edits:
        strip = edit.sequence_editor.active_strip if edit.sequence_editor else None
        person = _person(strip)
        if person and context.scene.objects.get(person.rig.name) == person.rig:
            return edit, strip
    return edits[0], None


def _person(strip: timeline.Strip | None) -> WanAnimatePerson | None:
    """The active one, if there is something to see of it."""
    person = strip.wan_animate.person if strip and not strip.wan_animate.take else None
    return person if person and person.rig else None


# --- registration ---------------------------------------------------------------------------------

_register, _unregister = bpy.utils.register_classes_factory((WanAnimateOverlay, WAN_ANIMATE_PT_overlay))
_drawing: list[tuple[Any, Any, str]] = []
HANDLERS = ("depsgraph_update_post", "undo_post", "redo_post", "load_post")


def register() -> None:
    _register()
    bpy.types.WindowManager.wan_animate_overlay = PointerProperty(type=WanAnimateOverlay)
    for name in HANDLERS:
        getattr(bpy.app.handlers, name).append(_notice)
    if bpy.app.background:
        return  # nothing is drawn, and 4.2 has no graphics there
    for space, region, draw in (
        (bpy.types.SpaceSequenceEditor, "PREVIEW", _draw_preview),
        (bpy.types.SpaceView3D, "WINDOW", _draw_world),
    ):
        _drawing.append((space, space.draw_handler_add(draw, (), region, "POST_VIEW"), region))


def unregister() -> None:
    while _drawing:
        space, handle, region = _drawing.pop()
        space.draw_handler_remove(handle, region)
    for name in HANDLERS:
        getattr(bpy.app.handlers, name).remove(_notice)
    if bpy.app.timers.is_registered(_find_out):
        bpy.app.timers.unregister(_find_out)
    _Desk.wanted = _Desk.found = _Desk.edges = None
    del bpy.types.WindowManager.wan_animate_overlay
    _unregister()
