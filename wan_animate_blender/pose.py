"""A rig, its body and its 133 keypoints, seen through a camera, frame by frame. Knows no strips and no bones' names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import bpy
import numpy as np

from . import armature, retarget, rigs
from .lens import Lens
from .rigs import anatomy
from .wire import BadInput

SOLID = ("MESH", "CURVE", "SURFACE", "FONT", "META", "CURVES", "POINTCLOUD", "VOLUME")
"""Types of objects that a ray can hit."""


@dataclass(frozen=True)
class View:
    """What is looked at, from where and onto which pixels."""

    scene: bpy.types.Scene
    """The rig's, at whose times everything is evaluated."""
    rig: bpy.types.Object
    camera: bpy.types.Object | None
    """None is the scene's own, switched by its markers."""
    width: int
    height: int
    """Of the plate. The camera frames it as if these were the scene's own resolution."""
    lens: Lens | None = None
    """How the plate is bent; None is a camera without distortion, as Blender's are."""
    fit: rigs.Fit | None = None
    """Where the keypoints are on the rig's bones; None is the map that fits best."""
    retarget: retarget.Retarget | None = None
    """How the character is built, where not as the rig is."""


def check(view: View) -> None:
    """Raise `BadInput` unless keypoints can be read off the rig."""
    rig, scene = view.rig, view.scene
    if rig.type != "ARMATURE":
        raise BadInput(f"{rig.name!r} is a {rig.type.lower()}, not a rig; choose an armature")
    if rig.name not in scene.objects:
        raise BadInput(f"the rig {rig.name!r} is not in the scene {scene.name!r}; choose the scene that it is in")
    if not any(rig.name in each.objects for each in scene.view_layers):
        # What a script has just linked is in none yet. Only then, for updating makes a layer active, and of an active
        # one Blender writes the animation back to objects that another scene may show at another frame.
        for each in scene.view_layers:
            each.update()
    layer(view)
    fit(view)
    if not cameras(view):
        raise BadInput(f"the scene {scene.name!r} has no camera; add the one that filmed the plate, or choose it")
    for camera in cameras(view):
        _check_camera(camera)


def cameras(view: View) -> set[bpy.types.Object]:
    """The view's camera, or all that the scene's markers may switch to."""
    if view.camera:
        return {view.camera}
    return {marker.camera for marker in view.scene.timeline_markers if marker.camera} | {view.scene.camera} - {None}


def _check_camera(camera: bpy.types.Object) -> None:
    if camera.type != "CAMERA" or camera.data.type not in ("PERSP", "ORTHO"):
        kind = camera.data.type.lower() if camera.type == "CAMERA" else camera.type.lower()
        raise BadInput(f"{camera.name!r} is a {kind}, expected a perspective or orthographic camera; choose another")


def fit(view: View) -> rigs.Fit:
    """Where the keypoints are on the rig's bones. Raises `BadInput` when limbs are nowhere."""
    return view.fit or armature.fit(view.rig)


@contextlib.contextmanager
def time_kept(scene: bpy.types.Scene) -> Iterator[None]:
    """Bring `scene` back to its current frame afterwards."""
    frame, subframe = scene.frame_current, scene.frame_subframe
    try:
        yield
    finally:
        scene.frame_set(frame, subframe=subframe)


def set_time(scene: bpy.types.Scene, time: float) -> None:
    """Evaluate `scene` at `time` in frames, sub-frames included; also switches cameras bound to markers.

    Only `frame_set` gives right poses: assigning `frame_current` leaves rigs a few millimetres off.
    """
    frame = int(np.floor(time))
    scene.frame_set(frame, subframe=time - frame)


def camera_now(view: View) -> bpy.types.Object:
    """The camera at the scene's current time. Raises `BadInput` when there is none."""
    if not (camera := view.camera or view.scene.camera):
        raise BadInput(f"the scene {view.scene.name!r} has no camera at frame {view.scene.frame_current}; add one")
    return camera


def layer(view: View) -> bpy.types.ViewLayer:
    """The first view layer that the rig is in. Raises `BadInput` when it is in none."""
    for candidate in view.scene.view_layers:
        if view.rig.name in candidate.objects:
            return candidate
    raise BadInput(f"the rig {view.rig.name!r} is in no view layer of {view.scene.name!r}; include its collection")


def depsgraph(view: View) -> bpy.types.Depsgraph:
    """The evaluated scene. `context.evaluated_depsgraph_get()` would be the window's scene, not the rig's."""
    return layer(view).depsgraph


def rendered(view: View) -> set[bpy.types.Object]:
    """What is seen in renders of the rig's view layer and has a surface, instances of collections included."""
    shown = _shown(layer(view).layer_collection)
    return {thing for thing in shown if is_solid(thing)}


def is_solid(thing: bpy.types.Object) -> bool:
    """Whether a ray can hit `thing`, or what it is an instance of."""
    return thing.type in SOLID or thing.instance_type == "COLLECTION"


def _shown(layer: bpy.types.LayerCollection) -> Iterator[bpy.types.Object]:
    if layer.exclude or layer.collection.hide_render:
        return
    yield from (thing for thing in layer.collection.objects if not thing.hide_render)
    for child in layer.children:
        yield from _shown(child)


def body(view: View) -> set[bpy.types.Object]:
    """What of that the rig deforms, or carries through however many parents."""
    return {thing for thing in rendered(view) if belongs(thing, view.rig)}


def belongs(thing: bpy.types.Object, rig: bpy.types.Object) -> bool:
    """Whether `rig` deforms `thing`, or carries it through however many parents."""
    deformed = any(m.type == "ARMATURE" and m.object == rig for m in thing.modifiers)
    return deformed or (thing.parent is not None and (thing.parent == rig or belongs(thing.parent, rig)))


def keypoints(view: View, times: Sequence[float]) -> Iterator[np.ndarray]:
    """The keypoints at each of `times`: float32 [133, 3] of x, y in plate pixels (y down) and confidence 0–1.

    Outside the plate the confidence is 0 and the coordinates stay; behind the camera they are NaN.
    """
    binding = armature.bind(view.rig, fit(view))
    with time_kept(view.scene):
        for time in times:
            set_time(view.scene, time)
            yield see(view, binding)


def now(view: View) -> np.ndarray:
    """The keypoints at the scene's current time, like those of `keypoints`."""
    return see(view, armature.bind(view.rig, fit(view)))


def see(view: View, binding: anatomy.Binding) -> np.ndarray:
    """`now`, of keypoints that are attached already."""
    x, y, depth = project(view, camera_now(view), places(view, binding)).T
    if view.retarget:
        x, y = x + view.retarget.x * view.height, y - view.retarget.y * view.height
    seen = (x >= 0) & (x <= view.width) & (y >= 0) & (y <= view.height) & (depth > 0)
    result = np.stack([x, y, np.where(seen, binding.confidence, 0.0)], axis=1)
    result[~(depth > 0), :2] = np.nan
    return result.astype(np.float32)


def places(view: View, binding: anatomy.Binding) -> np.ndarray:
    """The keypoints in the world at the scene's current time, on the character's build: [133, 4]."""
    rig = view.rig.evaluated_get(depsgraph(view))
    bones = _matrices(rig, binding.bones)
    world = np.array(rig.matrix_world)
    points = np.einsum("kij,kj->ki", world @ bones[binding.index], binding.local)
    if view.retarget:
        floor = binding.floor @ world[:3, :3].T
        floor = np.stack([floor[0] + world[:3, 3], floor[1] / np.linalg.norm(floor[1])])
        points[:, :3] = retarget.apply(points[:, :3], view.retarget, floor)
    return points


def _matrices(rig: bpy.types.Object, names: Sequence[str]) -> np.ndarray:
    """Matrices [n, 4, 4] of posed bones. All bones at once, for asking each one by name takes several times as long."""
    bones = rig.pose.bones
    columns = np.empty(16 * len(bones), np.float32)
    bones.foreach_get("matrix", columns)
    row = {name: i for i, name in enumerate(bones.keys())}
    return columns.reshape(-1, 4, 4)[[row[name] for name in names]].transpose(0, 2, 1)


def project(view: View, camera: bpy.types.Object, points: np.ndarray) -> np.ndarray:
    """World `points` [n, 4] to [n, 3]: x, y in plate pixels (y down, first centre at 0.5) and depth (> 0 in front).

    Through the lens, if the view has one. What is not in front of the camera may be anywhere, even NaN.
    """
    seer = camera.evaluated_get(depsgraph(view))
    local = points @ np.array(seer.matrix_world.normalized().inverted()).T
    clip = local @ projection(view, camera).T
    with np.errstate(invalid="ignore", divide="ignore"):
        x, y = (clip[:, :2] / clip[:, 3:]).T
    straight = np.stack([(x + 1) / 2 * view.width, (1 - y) / 2 * view.height], axis=1)
    bent = view.lens.distort(straight) if view.lens else straight
    return np.column_stack([bent, -local[:, 2]])


def projection(view: View, camera: bpy.types.Object) -> np.ndarray:
    """4×4 matrix of the camera at the scene's current time, as OpenGL has it."""
    graph, render = depsgraph(view), view.scene.render
    seer = camera.evaluated_get(graph)
    matrix = seer.calc_matrix_camera(
        graph, x=view.width, y=view.height, scale_x=render.pixel_aspect_x, scale_y=render.pixel_aspect_y
    )
    return np.array(matrix)
