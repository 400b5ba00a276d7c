"""A person for the demo: Rigify's human metarig in a costume, and of proportions, of its own; knows no set and no shot.

Runs inside Blender.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import addon_utils
import bpy
import numpy as np

from wan_animate_server.demo import body
from wan_animate_server.demo.body import HIP, Bones, Points, Skin

Colour = tuple[float, float, float]

NECK = 1.74
SHOULDER_X, SHOULDER_Z = 0.195, 1.585
"""Where the metarig's proportions change, metres."""

SURFACE = "surface"
"""Name of the node that gives a material its colour."""

FACE_COLOURS: Mapping[str, Colour] = {
    "white": (0.85, 0.85, 0.82),
    "iris": (0.08, 0.22, 0.3),
    "pupil": (0.005, 0.005, 0.005),
    "mouth": (0.09, 0.01, 0.015),
}


@dataclass(frozen=True, kw_only=True)
class Look:
    """Proportions as factors of the metarig's, and the costume."""

    legs: float
    arms: float
    shoulders: float
    neck: float
    """Metres by which the neck is shorter than the metarig's, which is long."""
    head: float
    girth: float
    coat: float
    """How far below the hip the top reaches, metres; 0 is a shirt."""
    bun: bool
    colours: Mapping[str, Colour]
    """Linear RGB of "top", "sleeve", "legs", "shoes", "skin", "hair" and "lips"."""


def add_figure(name: str, look: Look) -> Any:
    """Add a person to the active scene, in a collection called `name`; its armature, which carries all meshes."""
    rig = add_metarig(name)
    bones = {bone.name: (tuple(bone.head_local), tuple(bone.tail_local)) for bone in rig.data.bones}
    skins = dress(bones, look)
    reshape(rig, look)
    materials = {key: paint(f"{name} {key}", colour) for key, colour in {**FACE_COLOURS, **look.colours}.items()}
    for skin in skins:
        cover(rig, skin, look, materials)
    return rig


def dress(bones: Bones, look: Look) -> list[Skin]:
    """All meshes of a person in the metarig's own proportions."""
    trunk = [*body.torso(look.girth, look.coat), *body.limbs(bones, look.girth)]
    return [
        body.wrap("body", trunk, 0.013, 4),
        body.wrap("hands", body.hands(bones), 0.0065, 2),
        body.wrap("head", body.head(), 0.0065, 5),
        body.wrap("hair", body.hair(look.bun), 0.01, 3),
        body.wrap("brows", body.brows(bones), 0.0028, 1),
        body.wrap("upper lip", body.lip(bones, "T"), 0.0028, 1),
        body.wrap("lower lip", body.lip(bones, "B"), 0.0028, 1),
        body.eyes(bones),
        body.lids(bones, "L"),
        body.lids(bones, "R"),
        body.mouth(bones),
    ]


def add_metarig(name: str) -> Any:
    """Rigify's human metarig in a collection of its own, which becomes part of the active scene."""
    addon_utils.enable("rigify", default_set=True)  # it looks for its own preferences
    bpy.ops.object.armature_human_metarig_add()
    rig = bpy.context.object
    rig.name = rig.data.name = name
    collection = bpy.data.collections.new(name)
    bpy.context.scene.collection.children.link(collection)
    for old in list(rig.users_collection):
        old.objects.unlink(rig)
    collection.objects.link(rig)
    return rig


def reshape(rig: Any, look: Look) -> None:
    """Give the bones the look's proportions."""
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    ends = [(bone, end) for bone in rig.data.edit_bones for end in ("head", "tail")]
    for (bone, end), place in zip(ends, proportioned(np.array([getattr(*key) for key in ends]), look), strict=True):
        setattr(bone, end, place)
    bpy.ops.object.mode_set(mode="OBJECT")


def proportioned(points: Points, look: Look) -> Points:
    """`points` [n, 3] of the metarig moved to where they are on a person of these proportions."""
    x, y, z = points.T.copy()
    beyond = np.clip(np.abs(x) - SHOULDER_X, 0, None)
    arm = (beyond > 0) & (z > HIP)
    x = np.sign(x) * (np.minimum(np.abs(x), SHOULDER_X) * np.where(z > HIP, look.shoulders, 1) + beyond * look.arms)
    z = np.where(arm, SHOULDER_Z + (z - SHOULDER_Z) * look.arms, z)
    z = z - look.neck * np.clip((z - NECK + 0.12) / 0.12, 0, 1) * ~arm
    pivot = NECK - look.neck
    ramp = np.clip((z - pivot + 0.05) / 0.1, 0, 1)
    scale = 1 + (look.head - 1) * ramp * ~arm
    x, y, z = x * scale, (y + 0.02) * scale - 0.02, pivot + (z - pivot) * scale
    z = np.where(z < HIP, z * look.legs, z + HIP * (look.legs - 1))
    return np.stack([x, y, z], axis=1)


def cover(rig: Any, skin: Skin, look: Look, materials: Mapping[str, Any]) -> Any:
    """Add one mesh, weighted to the bones of `rig`."""
    mesh = bpy.data.meshes.new(f"{rig.name} {skin.name}")
    mesh.from_pydata(proportioned(skin.points, look).tolist(), [], [list(face) for face in skin.faces])
    used = sorted(set(skin.materials))
    for key in used:
        mesh.materials.append(materials[key])
    mesh.polygons.foreach_set("material_index", [used.index(key) for key in skin.materials])
    mesh.polygons.foreach_set("use_smooth", [True] * len(skin.faces))
    cloth = bpy.data.objects.new(mesh.name, mesh)
    rig.users_collection[0].objects.link(cloth)
    for bone, weights in skin.weights.items():
        group = cloth.vertex_groups.new(name=bone)
        for vertex in np.flatnonzero(weights):
            group.add([int(vertex)], float(weights[vertex]), "REPLACE")
    cloth.parent = rig
    cloth.modifiers.new("rig", "ARMATURE").object = rig
    return cloth


def paint(name: str, colour: Colour) -> Any:
    """A matt material of one linear colour: the cheapest that Cycles has."""
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    material.diffuse_color = (*colour, 1)
    tree = material.node_tree
    tree.nodes.remove(tree.nodes["Principled BSDF"])
    surface = tree.nodes.new("ShaderNodeBsdfDiffuse")
    surface.name = SURFACE
    surface.inputs["Color"].default_value = (*colour, 1)
    tree.links.new(surface.outputs["BSDF"], tree.nodes["Material Output"].inputs["Surface"])
    return material
