"""Armatures in the scene: of given bones, moving, from other files."""

from __future__ import annotations

import math
from pathlib import Path

import bpy
from people import Stick


def build(name: str, bones: list[Stick]) -> bpy.types.Object:
    """An armature of these bones, in the scene."""
    data = bpy.data.armatures.new(name)
    thing = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(thing)
    bpy.context.view_layer.objects.active = thing
    bpy.ops.object.mode_set(mode="EDIT")
    for bone in bones:
        new = data.edit_bones.new(bone.name)
        new.head, new.tail = bone.head, bone.tail
        if bone.parent:
            new.parent = data.edit_bones[bone.parent]
    bpy.ops.object.mode_set(mode="OBJECT")
    return thing


def move(rig: bpy.types.Object) -> None:
    """Every bone turns in its own way from frame 1 to 25, the whole walks and turns."""
    for i, bone in enumerate(rig.pose.bones):
        bone.rotation_mode = "XYZ"
        for frame, angle in ((1, 0.0), (25, 0.35)):
            bone.rotation_euler = [angle * math.sin(i + k) for k in range(3)]
            bone.keyframe_insert("rotation_euler", frame=frame)
    for frame, place, turn in ((1, -0.3, -0.5), (25, 0.3, 0.6)):
        rig.location.x, rig.rotation_euler.z = place, turn
        rig.keyframe_insert("location", frame=frame)
        rig.keyframe_insert("rotation_euler", frame=frame)


def append(file: Path, name: str, link: bool = False) -> bpy.types.Object:
    with bpy.data.libraries.load(str(file), link=link) as (_, wanted):
        wanted.objects = [name]
    thing = wanted.objects[0]
    bpy.context.scene.collection.objects.link(thing)
    return thing
