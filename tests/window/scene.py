"""Builds what the windowed tests look at, in a Blender without a window: people of capsules, filmed by a bent lens.

Run as a script: `python scene.py FOLDER` writes FOLDER/scene.blend and the plate beside it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix, Vector

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1] / "blender")]

from footage import write_png  # noqa: E402 – found only now

import wan_animate_blender  # noqa: E402
from wan_animate_blender import lens, stills, timeline  # noqa: E402

WIDTH, HEIGHT, FRAMES, START = 640, 360, 5, 101
"""The stage's frame `START` is the footage's first."""
BENT = {"k1": 0.25, "k2": -0.05, "k3": 0.0}
BODY = ("spine", "upper_arm", "forearm", "thigh", "shin", "shoulder", "pelvis")


def main(folder: Path) -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    stage = bpy.context.scene
    stage.name = "stage"
    rig = add_person()
    add_room()
    add_camera(stage)
    (folder / "plate").mkdir(parents=True)
    for i in range(FRAMES):
        write_png(folder / "plate" / f"{i + 1:04d}.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    clip = add_clip(folder / "plate" / "0001.png")
    bent = lens.from_clip(clip, WIDTH, HEIGHT)
    for i in range(FRAMES):
        write_png(folder / "plate" / f"{i + 1:04d}.png", bent.warp(filmed(stage, START + i, bent, folder)))
    add_edit(folder, rig, clip)
    stage.frame_set(START + 40)  # nowhere near what the edit shows
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "scene.blend"), relative_remap=True)


def add_person() -> bpy.types.Object:
    """Rigify's metarig, walking sideways, as capsules that shine red."""
    import addon_utils  # found only once bpy has been imported

    addon_utils.enable("rigify", default_set=True)
    bpy.ops.object.armature_human_metarig_add()
    rig = bpy.context.object
    arm = rig.pose.bones["upper_arm.L"]
    arm.rotation_mode = "XYZ"
    for frame, place, turn in ((START, -0.9, -0.8), (START + FRAMES, 0.9, 1.2)):
        rig.location.x, arm.rotation_euler.z = place, turn
        rig.keyframe_insert("location", frame=frame)
        arm.keyframe_insert("rotation_euler", frame=frame)
    red = shining("red", (1, 0, 0, 1))
    for bone in rig.data.bones:
        if bone.name.split(".")[0] in BODY:
            add_capsule(rig, bone, red)
    return rig


def add_capsule(rig: bpy.types.Object, bone: bpy.types.Bone, red: bpy.types.Material) -> None:
    bpy.ops.mesh.primitive_uv_sphere_add(segments=12, ring_count=8, radius=0.07)
    ball = bpy.context.object
    for vertex in ball.data.vertices:
        vertex.co = Vector((vertex.co.x, vertex.co.z + (bone.length if vertex.co.z > 0 else 0), vertex.co.y))
    ball.data.materials.append(red)
    ball.parent, ball.parent_type, ball.parent_bone = rig, "BONE", bone.name
    ball.matrix_parent_inverse = Matrix.Translation((0, -bone.length, 0))


def add_room() -> None:
    """Boxes on the floor, whose edges the wipe shows."""
    green = shining("green", (0, 0.25, 0, 1))
    for x, y in ((-1.6, 1.0), (1.5, 0.6), (-0.5, 2.0), (0.7, 1.6)):
        bpy.ops.mesh.primitive_cube_add(size=0.6, location=(x, y, 0.3))
        bpy.context.object.data.materials.append(green)


def shining(name: str, colour: tuple[float, ...]) -> bpy.types.Material:
    material = bpy.data.materials.new(name)
    material.use_nodes, material.diffuse_color = True, colour
    nodes = material.node_tree.nodes
    nodes.clear()
    shine = nodes.new("ShaderNodeEmission")
    shine.inputs["Color"].default_value = colour
    material.node_tree.links.new(shine.outputs[0], nodes.new("ShaderNodeOutputMaterial").inputs["Surface"])
    return material


def add_camera(stage: bpy.types.Scene) -> None:
    data = bpy.data.cameras.new("camera")
    camera = bpy.data.objects.new("camera", data)
    stage.collection.objects.link(camera)
    camera.location, camera.rotation_euler = (0.2, -4.2, 1.3), (1.52, 0.03, 0.04)
    data.lens, stage.camera = 32.0, camera
    stage.render.resolution_x, stage.render.resolution_y = WIDTH, HEIGHT


def add_clip(file: Path) -> bpy.types.MovieClip:
    clip = bpy.data.movieclips.load(str(file))
    tracked = clip.tracking.camera
    tracked.focal_length_pixels, tracked.distortion_model = 32.0 / 36.0 * WIDTH, "POLYNOMIAL"
    for name, value in BENT.items():
        setattr(tracked, name, value)
    return clip


def filmed(stage: bpy.types.Scene, frame: int, bent: lens.Lens, folder: Path) -> np.ndarray:
    """uint8 [h, w, 3] of exactly the lens's frame, by Cycles with a border cut out of a wider render."""
    x0, y0, x1, y1 = bent.frame
    margin = max(-x0, -y0, x1 - WIDTH, y1 - HEIGHT, 0) + 8
    width, height = WIDTH + 2 * margin, HEIGHT + 2 * margin
    with stills.copy_of(stage) as copy:
        stills.prepare(copy, width, height, "RGB")
        stills.trace(copy, 16)
        copy.view_settings.view_transform = "Standard"
        stage.camera.data.sensor_width, before = 36.0 * width / WIDTH, stage.camera.data.sensor_width
        copy.frame_set(frame)
        file = stills.write(copy, folder / "straight.png")
        stage.camera.data.sensor_width = before
    pixels = read(file)
    file.unlink()
    return pixels[y0 + margin : y1 + margin, x0 + margin : x1 + margin]


def read(file: Path) -> np.ndarray:
    image = bpy.data.images.load(str(file))
    pixels = np.empty((image.size[1], image.size[0], 4), np.float32)
    image.pixels.foreach_get(pixels.ravel())
    bpy.data.images.remove(image)
    return np.rint(pixels[::-1, :, :3] * 255).astype(np.uint8)


def add_edit(folder: Path, rig: bpy.types.Object, clip: bpy.types.MovieClip) -> Any:
    edit = bpy.data.scenes.new("edit")
    edit.render.resolution_x, edit.render.resolution_y = WIDTH, HEIGHT
    edit.view_settings.view_transform = "Standard"
    edit.frame_start, edit.frame_end = 10, 10 + FRAMES - 1
    files = sorted((folder / "plate").glob("*.png"))
    strip = timeline.new_image_sequence(edit.sequence_editor_create(), "plate", files, 10, 1)
    edit.sequence_editor.active_strip = strip
    ours = strip.wan_animate
    person = ours.add_person()
    person.rig, person.rig_scene = rig, bpy.data.scenes["stage"]
    person.use_rig_start, person.rig_start = True, START
    person.matte, person.face = "RIG", "none"
    ours.lens, ours.lens_clip = "CLIP", clip
    bpy.context.window.scene = edit
    bpy.ops.wan_animate.render_character(frame=START, camera="camera")
    return strip


if __name__ == "__main__":
    wan_animate_blender.register()
    main(Path(sys.argv[1]))
    sys.stdout.flush()
    os._exit(0)  # tearing Python down can crash or hang the wheels
