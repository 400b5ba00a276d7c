"""What lies over one frame of the edit: the skeleton as the model will see it, and the set as the camera does.

Nothing of the user's is moved to find out. Where the rig's scene stands at the frame's own time already, what Blender
has evaluated is read. Else a copy of the scene is evaluated and thrown away: going to another frame and back in the
scene itself would drop a pose that has no key yet, and wake the handlers of other add-ons. Draws nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from . import armature, clip, commission, footage, plate, pose, stills, timeline
from .request import request
from .rigs import Fit, anatomy

MOST_EDGES = 20_000
"""Of the set; of larger ones every second, third … is shown."""
SAME_TIME = 1e-4
"""Frames."""


@dataclass(frozen=True)
class Moment:
    """The active person of a strip at one frame of the edit."""

    view: pose.View
    binding: anatomy.Binding
    time: float
    """The rig's."""
    matrix: np.ndarray
    """3×3: plate pixels to those of the canvas, y down."""

    @property
    def is_now(self) -> bool:
        """Whether a window shows the rig's scene at that time, so that nothing has to be evaluated."""
        scene, layer = self.view.scene, pose.layer(self.view)
        shown = any((w.scene, w.view_layer) == (scene, layer) for w in bpy.context.window_manager.windows)
        return shown and abs(scene.frame_current + scene.frame_subframe - self.time) < SAME_TIME

    @property
    def state(self) -> Hashable:
        """What is set in the panel, and when it is seen; what moves in Blender is not in it."""
        view = self.view
        things = [thing.name_full for thing in (view.scene, view.rig, view.camera) if thing]
        lens = view.lens.message if view.lens else None
        return (
            *things,
            view.width,
            view.height,
            lens,
            view.retarget,
            id(self.binding),
            self.time,
            self.matrix.tobytes(),
        )


@dataclass(frozen=True)
class Stage:
    """What else the camera sees, on the canvas."""

    edges: np.ndarray
    """[n, 2, 2]: ends of edges of the scene's meshes."""
    markers: np.ndarray
    """[m, 2]: where the tracks of the clip are."""
    bundles: np.ndarray
    """[m, 2]: where the camera sees the points that were made of them."""


@dataclass(frozen=True)
class _Bound:
    question: Hashable
    fit: Fit
    binding: anatomy.Binding


_bound: dict[str, _Bound] = {}
"""By the rig's key: attaching keypoints to 700 bones takes 30 ms, drawing may take 5."""


def moment(scene: bpy.types.Scene, strip: timeline.Strip) -> Moment:
    """The active person of `strip` at the current frame of the edit `scene`. Raises `BadInput`."""
    asked = request(scene, strip, Path())
    frame = scene.frame_current
    (source,) = footage.sources(commission.around(asked), strip, [frame])
    bound = _bind(asked) if asked.rig else None
    view = commission.view(asked, bound.fit if bound else None)
    matrix = np.array(plate.raster(scene, strip, asked.raster).matrix).reshape(3, 3)
    return Moment(view, bound.binding, commission.rig_time(asked, frame, source), matrix)


def _bind(asked: commission.Request) -> _Bound:
    """The rig's keypoints, attached once for every state of its rest pose and of what was assigned by hand."""
    rig = asked.rig
    key, bones = armature.key(rig), rig.data.bones
    rest = np.empty(16 * len(bones), np.float32)
    bones.foreach_get("matrix_local", rest)
    question = (tuple(bones.keys()), rest.tobytes(), tuple((asked.assignment or {}).items()))
    if key not in _bound or _bound[key].question != question:
        fit = armature.fit(rig, asked.assignment)
        _bound[key] = _Bound(question, fit, armature.bind(rig, fit))
    return _bound[key]


@contextlib.contextmanager
def evaluated(asked: Moment, whole: bool) -> Iterator[pose.View]:
    """The view in a scene that is evaluated at its time; `whole` if more is wanted of it than rig and cameras."""
    view = asked.view
    if asked.is_now:
        yield view
        return
    with stills.copy_of(view.scene) as copy:
        if not whole:
            _keep(copy, {view.rig} | pose.cameras(view))
        # Its view layers must not be told to update: that would make them active ones, whose animation Blender writes
        # back to the objects that the copy shares with the user's scene.
        pose.set_time(copy, asked.time)
        yield dataclasses.replace(view, scene=copy)


def _keep(copy: bpy.types.Scene, wanted: set[bpy.types.Object]) -> None:
    """Leave out of a temporary scene what need not be evaluated: Blender adds what `wanted` depends upon."""
    root = copy.collection
    for child in list(root.children):
        root.children.unlink(child)
    for thing in set(root.objects) - wanted:
        root.objects.unlink(thing)
    for thing in wanted - set(root.objects):
        root.objects.link(thing)


def keypoints(asked: Moment, view: pose.View) -> np.ndarray:
    """[133, 3] on the canvas, as `pose.see` says them. `view` is evaluated."""
    points = pose.see(view, asked.binding).astype(np.float64)
    points[:, :2] = to_canvas(points[:, :2], asked.matrix)
    return points


def to_canvas(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Plate pixels [..., 2] through the raster's matrix, which is affine."""
    return points @ matrix[:2, :2].T + matrix[:2, 2]


# --- the set --------------------------------------------------------------------------------------


def stage(asked: Moment, view: pose.View, tracked: bpy.types.MovieClip | None) -> Stage:
    """The edges of what the scene shows, and the tracks of its clip. `view` is evaluated, as a whole."""
    seer = pose.camera_now(view)
    markers, bundles = _tracks(view, seer, tracked, asked.time) if tracked else (np.empty((0, 2)), np.empty((0, 2)))
    edges = _edges(view, seer)
    return Stage(*(to_canvas(points, asked.matrix) for points in (edges, markers, bundles)))


def _edges(view: pose.View, seer: bpy.types.Object) -> np.ndarray:
    """In plate pixels [n, 2, 2], without those that are behind the camera or far outside."""
    ends = np.concatenate([np.empty((0, 2, 4)), *_of_meshes(pose.depsgraph(view))])
    seen = pose.project(view, seer, ends.reshape(-1, 4)).reshape(-1, 2, 3)
    size = np.array([view.width, view.height])
    with np.errstate(invalid="ignore"):
        near = (seen[..., 2] > 0) & (np.abs(seen[..., :2] / size - 0.5) < 2).all(axis=2)
    return seen[near.all(axis=1), :, :2]


def _of_meshes(graph: bpy.types.Depsgraph) -> Iterator[np.ndarray]:
    """Ends [n, 2, 4] in the world of the edges of each mesh, instances included."""
    total = sum(len(each.object.data.edges) for each in graph.object_instances if each.object.type == "MESH")
    step = -(-total // MOST_EDGES) or 1
    for each in graph.object_instances:
        if each.object.type != "MESH" or each.object.hide_render:
            continue
        mesh = each.object.data
        places = np.empty((len(mesh.vertices), 3), np.float32)
        edges = np.empty((len(mesh.edges), 2), np.int32)
        mesh.vertices.foreach_get("co", places.ravel())
        mesh.edges.foreach_get("vertices", edges.ravel())
        chosen = places[edges[::step]]
        yield np.concatenate([chosen, np.ones((*chosen.shape[:2], 1))], axis=2) @ np.array(each.matrix_world).T


def _tracks(
    view: pose.View, seer: bpy.types.Object, tracked: bpy.types.MovieClip, time: float
) -> tuple[np.ndarray, np.ndarray]:
    """Markers and bundles in plate pixels, each [m, 2]."""
    frame = round(time) - tracked.frame_start + 1
    places, markers = clip.bundles(seer.evaluated_get(pose.depsgraph(view)), tracked, frame)
    seen = pose.project(view, seer, places)
    return (markers * (1, -1) + (0, 1)) * (view.width, view.height), seen[:, :2]


def left_of(edges: np.ndarray, x: float) -> np.ndarray:
    """What of the lines [n, 2, 2] is to the left of `x`."""
    start, end = edges[:, 0], edges[:, 1]
    inside = edges[..., 0] <= x
    with np.errstate(divide="ignore", invalid="ignore"):
        along = (x - start[:, 0]) / (end[:, 0] - start[:, 0])
    cut = start + along[:, None] * (end - start)
    clipped = np.stack([np.where(inside[:, :1], start, cut), np.where(inside[:, 1:], end, cut)], axis=1)
    return clipped[inside.any(axis=1)]
