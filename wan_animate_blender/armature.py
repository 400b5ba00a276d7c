"""A rig of Blender as names and numbers: bones at rest, what VRM stores about them, which file it comes from.

Knows no camera, no strip and no family of rigs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import bpy
import numpy as np

from . import rigs, timeline
from .rigs import anatomy
from .wire import BadInput

VRM = "vrm_addon_extension"
"""Where the VRM add-on keeps what it knows, on armatures and on their bones."""


def read(rig: bpy.types.Object) -> rigs.Rig:
    """What `rigs` wants to know of an armature. Raises `BadInput` for any other object."""
    if rig.type != "ARMATURE":
        raise BadInput(f"{rig.name!r} is a {rig.type.lower()}, not a rig; choose an armature")
    bones = rig.data.bones
    columns = np.empty(16 * len(bones), np.float32)
    bones.foreach_get("matrix_local", columns)
    matrices = columns.reshape(-1, 4, 4).transpose(0, 2, 1).astype(np.float64)
    found = {
        bone.name: rigs.Bone(matrix, bone.length, bone.parent.name if bone.parent else "", bone.use_deform)
        for bone, matrix in zip(bones, matrices, strict=True)
    }
    return rigs.Rig(rig.name, found, _humanoid(rig.data))


def fit(rig: bpy.types.Object, assignment: Mapping[str, rigs.Spot] | None = None) -> rigs.Fit:
    """Where the keypoints are on the bones of `rig`: by the map that fits best, and what was assigned by hand.

    Raises `BadInput` when limbs are missing after that.
    """
    read_off = read(rig)
    found = rigs.assign(rigs.choose(read_off), assignment or {}, read_off)
    rigs.check(found, read_off)
    return found


def bind(rig: bpy.types.Object, fit: rigs.Fit) -> anatomy.Binding:
    """Attach the keypoints to the bones that `fit` names."""
    return anatomy.bind(fit, read(rig).bones)


def at_rest(rig: bpy.types.Object, fit: rigs.Fit) -> np.ndarray:
    """The keypoints of `rig` at rest, in scene units: [133, 3], NaN for those that it does not have."""
    bones = read(rig).bones
    points = anatomy.at_rest(anatomy.bind(fit, bones), bones)
    world = np.array(rig.matrix_world)
    return points @ world[:3, :3].T + world[:3, 3]


def key(rig: bpy.types.Object) -> str:
    """What a rig is known by in every file that has it: "library.blend|Armature", overridden or not.

    The library's folder is left out: it changes when either file is moved.
    """
    original = rig.override_library.reference if rig.override_library else rig
    library = original.library.filepath if original.library else ""
    file = re.split(r"[/\\]", library)[-1]  # a file that was saved on Windows has its backslashes everywhere
    return f"{file}|{original.name}"


# --- VRM ----------------------------------------------------------------------------------------------


def _humanoid(armature: bpy.types.Armature) -> Mapping[str, str]:
    """Bones by their names in the VRM humanoid, read from what the VRM add-on stored, be it installed or not.

    Its `node.bone_name` is computed; stored is the `uuid` of a bone, and in files of old releases the bone's name
    (VRM-Addon-for-Blender, editor/property_group.py).
    """
    stored = _plain(timeline.registered(armature, VRM))
    if not stored:
        return {}
    by_uuid = {_plain(timeline.registered(bone, VRM)).get("uuid"): bone.name for bone in armature.bones}

    def bones(nodes: Iterator[tuple[str, Any]]) -> dict[str, str]:
        named = {
            name: by_uuid.get(node.get("bone_uuid") or None) or node.get("bone_name") or node.get("value")
            for name, node in nodes
        }
        return {name: bone for name, bone in named.items() if bone in armature.bones}

    one, zero = bones(_nodes_of_1(stored)), bones(_nodes_of_0(stored))
    return one if len(one) >= len(zero) else zero


def _plain(group: Any) -> dict[str, Any]:
    return group.to_dict() if group is not None else {}


def _nodes_of_1(stored: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """VRM 1 has a member for each bone: "left_upper_arm" is the humanoid's leftUpperArm."""
    human_bones = stored.get("vrm1", {}).get("humanoid", {}).get("human_bones", {})
    for member, bone in human_bones.items():
        if isinstance(bone, dict) and "node" in bone:
            first, *more = member.split("_")
            yield first + "".join(word.capitalize() for word in more), bone["node"]


def _nodes_of_0(stored: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """VRM 0 has a list."""
    for bone in stored.get("vrm0", {}).get("humanoid", {}).get("human_bones", []):
        yield bone.get("bone", ""), bone.get("node", {})
