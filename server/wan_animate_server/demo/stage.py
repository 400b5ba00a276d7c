"""The set of the demo's own plate, its light, the cameras, and how pictures are rendered of them; knows no edit.

Runs inside Blender. Cycles on the CPU works on every machine; light reaches everything directly, so that a few samples
are enough.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from math import radians
from pathlib import Path
from typing import Any

import bmesh
import bpy
import numpy as np
from mathutils import Vector

from wan_animate_server.demo.extension import timeline
from wan_animate_server.demo.figure import SURFACE, Colour, paint

Place = tuple[float, float, float]

GRAIN = 0.022
"""Standard deviation of the film grain, of the display-encoded range."""


def new_scene(name: str, size: tuple[int, int], fps: int, frames: range) -> Any:
    """A scene for pictures of `size` (width, height) at `fps`, with plain colours."""
    scene = bpy.data.scenes.new(name)
    scene.frame_start, scene.frame_end = frames[0], frames[-1]
    render = scene.render
    render.resolution_x, render.resolution_y = size
    render.fps = fps
    render.engine = "CYCLES"
    render.use_persistent_data = True
    render.dither_intensity = 0
    scene.cycles.samples, scene.cycles.use_denoising = 10, False
    scene.cycles.use_light_tree = False
    scene.cycles.use_adaptive_sampling, scene.cycles.max_bounces = False, 0
    scene.view_settings.view_transform = "Standard"
    bpy.context.window.scene = scene
    return scene


def add_light(scene: Any, sky: Colour, strength: float = 1.0) -> Any:
    """A low sun from the front left, which is returned, and a sky."""
    scene.world = bpy.data.worlds.new(f"{scene.name} sky")
    scene.world.use_nodes = True
    background = scene.world.node_tree.nodes["Background"]
    background.inputs["Color"].default_value = (*sky, 1)
    background.inputs["Strength"].default_value = 0.9 * strength
    sun = bpy.data.objects.new(f"{scene.name} sun", bpy.data.lights.new(f"{scene.name} sun", "SUN"))
    sun.data.energy, sun.data.color, sun.data.angle = 3.2 * strength, (1.0, 0.9, 0.76), radians(1.5)
    sun.rotation_euler = (radians(48), radians(8), radians(-38))
    scene.collection.objects.link(sun)
    return sun


def add_camera(scene: Any, place: Place, lens: float) -> Any:
    """The scene's camera, level and looking along +y; `lens` is in millimetres on a film of 36 × 24."""
    camera = bpy.data.objects.new(f"{scene.name} camera", bpy.data.cameras.new(f"{scene.name} camera"))
    camera.data.lens = lens
    camera.location, camera.rotation_euler = place, (radians(90), 0, 0)
    scene.collection.objects.link(camera)
    scene.camera = camera
    return camera


def follow(camera: Any, targets: Sequence[tuple[int, Place]]) -> None:
    """Let the camera look at `targets` (frame, place), as an operator's pan would."""
    for frame, target in targets:
        aim = (Vector(target) - camera.location).to_track_quat("-Z", "Y").to_euler()
        camera.rotation_euler = aim
        camera.keyframe_insert("rotation_euler", frame=frame)


# --- the set --------------------------------------------------------------------------------------


def build_set(scene: Any) -> None:
    """A street corner in the evening: paving, a brick wall with a shop, and what stands before it."""
    wood, leaf, iron = (
        paint("wood", (0.28, 0.14, 0.06)),
        paint("leaf", (0.05, 0.16, 0.04)),
        paint("iron", (0.03, 0.04, 0.05)),
    )
    box(scene, "paving", (14, 9, 0.1), (0, 0.5, -0.05), pattern("paving", (0.32, 0.29, 0.27), (0.22, 0.2, 0.2), 1.1))
    box(scene, "wall", (14, 0.3, 5), (0, 3.2, 2.5), pattern("bricks", (0.42, 0.17, 0.11), (0.3, 0.1, 0.08), 3.2))
    box(scene, "door", (1.0, 0.1, 2.1), (-0.55, 3.03, 1.05), paint("door", (0.03, 0.16, 0.2)))
    box(scene, "window", (1.9, 0.1, 1.2), (1.6, 3.03, 1.45), paint("glass", (0.1, 0.16, 0.22)))
    box(scene, "sill", (2.1, 0.3, 0.1), (1.6, 2.95, 0.8), wood)
    for i in range(8):
        stripe = paint(f"awning {i % 2}", (0.62, 0.08, 0.07) if i % 2 else (0.8, 0.72, 0.58))
        box(scene, f"awning {i}", (0.3, 1.0, 0.06), (0.55 + 0.3 * i, 2.65, 2.35), stripe, tilt=-22)
    for i, place in enumerate(((-2.2, 2.3, 0.3), (-1.62, 2.45, 0.3), (-1.95, 2.4, 0.9))):
        box(scene, f"crate {i}", (0.55, 0.55, 0.55), place, wood, turn=12 * i)
    cylinder(scene, "lamp post", 0.06, 3.4, (2.35, 1.2, 1.7), iron)
    ball(scene, "lamp", 0.19, (2.35, 1.2, 3.3), paint("milk glass", (0.85, 0.8, 0.62)))
    cylinder(scene, "tub", 0.3, 0.5, (-2.6, 1.2, 0.25), paint("clay", (0.4, 0.16, 0.08)))
    for i, (x, z, radius) in enumerate(((-2.6, 0.8, 0.36), (-2.4, 1.1, 0.3), (-2.75, 1.25, 0.32), (-2.55, 1.55, 0.25))):
        ball(scene, f"shrub {i}", radius, (x, 1.2, z), leaf)


def box(scene: Any, name: str, size: Place, place: Place, material: Any, tilt: float = 0, turn: float = 0) -> Any:
    """A box, tilted around x and turned around z by degrees."""
    shape = bmesh.new()
    bmesh.ops.create_cube(shape, size=1)
    bmesh.ops.scale(shape, vec=size, verts=shape.verts)
    thing = add_shape(scene, name, shape, place, material)
    thing.rotation_euler = (radians(tilt), 0, radians(turn))
    return thing


def cylinder(scene: Any, name: str, radius: float, height: float, place: Place, material: Any) -> Any:
    shape = bmesh.new()
    bmesh.ops.create_cone(shape, segments=24, radius1=radius, radius2=radius, depth=height, cap_ends=True)
    return add_shape(scene, name, shape, place, material)


def ball(scene: Any, name: str, radius: float, place: Place, material: Any) -> Any:
    shape = bmesh.new()
    bmesh.ops.create_icosphere(shape, subdivisions=3, radius=radius)
    for face in shape.faces:
        face.smooth = True
    return add_shape(scene, name, shape, place, material)


def add_shape(scene: Any, name: str, shape: Any, place: Place, material: Any) -> Any:
    mesh = bpy.data.meshes.new(name)
    shape.to_mesh(mesh)
    shape.free()
    mesh.materials.append(material)
    thing = bpy.data.objects.new(name, mesh)
    thing.location = place
    scene.collection.objects.link(thing)
    return thing


def pattern(name: str, first: Colour, second: Colour, scale: float) -> Any:
    """Bricks of two colours in a light mortar; on walls their rows are level."""
    material = paint(name, first)
    nodes, links = material.node_tree.nodes, material.node_tree.links
    bricks, place, turn = (
        nodes.new(kind) for kind in ("ShaderNodeTexBrick", "ShaderNodeTexCoord", "ShaderNodeMapping")
    )
    turn.inputs["Rotation"].default_value = (radians(90) if name == "bricks" else 0, 0, 0)
    bricks.inputs["Scale"].default_value = scale
    bricks.inputs["Color1"].default_value, bricks.inputs["Color2"].default_value = (*first, 1), (*second, 1)
    bricks.inputs["Mortar"].default_value = (0.35, 0.31, 0.28, 1)
    links.new(place.outputs["Object"], turn.inputs["Vector"])
    links.new(turn.outputs["Vector"], bricks.inputs["Vector"])
    links.new(bricks.outputs["Color"], nodes[SURFACE].inputs["Color"])
    return material


# --- pictures -------------------------------------------------------------------------------------


def render_frames(scene: Any, folder: Path, frames: Iterable[int], mode: str = "RGB", stage: str = "") -> list[Path]:
    """Render `frames` of `scene` as 8-bit PNG files, RGB or grey ("BW"), telling how far it is; their paths."""
    frames = list(frames)
    files = [folder / f"{frame:04d}.png" for frame in frames]
    timeline.write_stills(scene.render.image_settings, "PNG", mode, "8")
    scene.render.filepath = str(folder / "####")

    def tell(*_: object) -> None:
        done = sum(file.exists() for file in files) / len(files)
        sys.stdout.write("\n" + json.dumps({"stage": stage, "progress": done}) + "\n")
        sys.stdout.flush()

    kept = scene.frame_start, scene.frame_end
    scene.frame_start, scene.frame_end = frames[0], frames[-1]
    bpy.app.handlers.render_write.append(tell)
    bpy.ops.render.render(animation=True, scene=scene.name)
    bpy.app.handlers.render_write.remove(tell)
    scene.frame_start, scene.frame_end = kept
    return files


def render_matte(scene: Any, actor: Any, folder: Path, frames: Iterable[int]) -> list[Path]:
    """The actor white on black with the plate's motion blur, as somebody would have drawn it around the plate."""
    white = bpy.data.materials.new("white")
    white.use_nodes = True
    tree = white.node_tree
    glow = tree.nodes.new("ShaderNodeEmission")
    tree.links.new(glow.outputs["Emission"], tree.nodes["Material Output"].inputs["Surface"])
    copy = scene.copy()
    copy.world = None
    copy.cycles.samples = 8
    copy.view_layers[0].material_override = white
    hidden = [thing for thing in copy.objects if thing.type == "MESH" and thing.parent != actor]
    for thing in hidden:
        thing.hide_render = True
    files = render_frames(copy, folder, frames, "BW", "drawing the matte")
    for thing in hidden:
        thing.hide_render = False
    bpy.data.scenes.remove(copy)
    bpy.data.materials.remove(white)
    return files


def add_grain(files: Iterable[Path], folder: Path) -> list[Path]:
    """Write `files` into `folder` with film grain over them: clumps of two pixels, strongest in the mid tones."""
    grained = []
    for number, file in enumerate(files):
        picture = bpy.data.images.load(str(file))
        pixels = np.empty(len(picture.pixels), np.float32)
        picture.pixels.foreach_get(pixels)
        colour = pixels.reshape(picture.size[1], picture.size[0], 4)[..., :3]
        noise = np.random.default_rng([1977, number]).normal(size=colour.shape)
        noise = (noise + np.roll(noise, 1, axis=0) + np.roll(noise, 1, axis=1)) / 3**0.5
        colour += GRAIN * noise * (0.4 + 2.4 * colour * (1 - colour))
        picture.pixels.foreach_set(np.clip(pixels, 0, 1))
        picture.filepath_raw = str(folder / file.name)
        picture.save()
        bpy.data.images.remove(picture)
        grained.append(folder / file.name)
    return grained
