"""A person of bones in a natural stance, under the bones' names of every family of rigs. Numbers and names only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from wan_animate_blender import rigs

Place = tuple[float, float, float]


@dataclass(frozen=True)
class Stick:
    """A bone as an armature's edit mode has it; metres, the person looks along −y, its left is +x."""

    name: str
    parent: str
    head: Place
    tail: Place


# role: parent, head, tail; of bones on both sides the left one
BODY: dict[str, tuple[str, Place, Place]] = {
    "hips": ("", (0, 0, 0.95), (0, 0, 1.08)),
    "spine": ("hips", (0, 0, 1.08), (0, 0.02, 1.25)),
    "chest": ("spine", (0, 0.02, 1.25), (0, 0.03, 1.45)),
    "neck": ("chest", (0, 0.03, 1.45), (0, 0.01, 1.55)),
    "head": ("neck", (0, 0.01, 1.55), (0, 0.0, 1.75)),
    "eye": ("head", (0.03, -0.08, 1.63), (0.03, -0.1, 1.63)),
    "clavicle": ("chest", (0.03, 0.0, 1.43), (0.17, 0.03, 1.43)),
    "upper_arm": ("clavicle", (0.17, 0.03, 1.43), (0.36, 0.05, 1.22)),
    "forearm": ("upper_arm", (0.36, 0.05, 1.22), (0.54, 0.0, 1.04)),
    "hand": ("forearm", (0.54, 0.0, 1.04), (0.6, -0.02, 0.98)),
    "thigh": ("hips", (0.1, 0.0, 0.92), (0.11, -0.02, 0.5)),
    "shin": ("thigh", (0.11, -0.02, 0.5), (0.12, 0.02, 0.09)),
    "foot": ("shin", (0.12, 0.02, 0.09), (0.13, -0.11, 0.03)),
    "toe": ("foot", (0.13, -0.11, 0.03), (0.135, -0.19, 0.02)),
}


def _fingers() -> Iterator[tuple[str, tuple[str, Place, Place]]]:
    for number, finger in enumerate(rigs.FINGERS):
        start = np.array([0.59, -0.05 + 0.02 * number, 0.99]) if number else np.array([0.55, -0.03, 1.02])
        step = np.array([0.022, 0.0, -0.022]) if number else np.array([0.012, -0.022, -0.015])
        for i in range(3):
            head, tail = (start + step * k for k in (i, i + 1))
            parent = f"{finger}{i - 1}" if i else "hand"
            yield f"{finger}{i}", (parent, tuple(head.tolist()), tuple(tail.tolist()))


BODY |= dict(_fingers())

POINTS = {
    "shoulder": "upper_arm", "elbow": "forearm", "wrist": "hand", "hip": "thigh", "knee": "shin", "ankle": "foot",
    **{f"{finger}{i}": f"{finger}{i}" for finger in rigs.FINGERS for i in range(3)},
}  # fmt: skip
"""Whose head each point is."""


def mirrored(place: Place) -> Place:
    return (-place[0], *place[1:])


def expected() -> dict[str, Place]:
    """Where the points of this person are at rest, those that every family has."""
    found = {}
    for point, role in POINTS.items():
        found |= {f"{point}.L": BODY[role][1], f"{point}.R": mirrored(BODY[role][1])}
    for finger in rigs.FINGERS:
        tip = BODY[f"{finger}2"][2]
        found |= {f"{finger}3.L": tip, f"{finger}3.R": mirrored(tip)}
    return found


def sticks(names: Mapping[str, str], sides: tuple[str, str]) -> list[Stick]:
    """The person whose bone of each role is called as `names` say, "{side}" standing for one of `sides`.

    Roles without a name are left out; their children hang on the next one above.
    """

    def called(role: str, side: str) -> str:
        while role and role not in names:
            role = BODY[role][0]
        return names[role].replace("{side}", side) if role else ""

    found = []
    for role, (parent, head, tail) in BODY.items():
        if role in names and "{side}" not in names[role]:
            found.append(Stick(names[role], called(parent, ""), head, tail))
        elif role in names:
            for side, flip in zip(sides, (tuple, mirrored), strict=True):
                found.append(Stick(called(role, side), called(parent, side), flip(head), flip(tail)))
    return found


def split(bones: list[Stick], renamed: Mapping[str, tuple[str, str]]) -> list[Stick]:
    """With some bones in two halves, as rigs do that twist them."""
    found: list[Stick] = []
    for bone in bones:
        parent = renamed[bone.parent][1] if bone.parent in renamed else bone.parent
        if bone.name in renamed:
            middle = tuple(((np.array(bone.head) + bone.tail) / 2).tolist())
            first, second = renamed[bone.name]
            found += [Stick(first, parent, bone.head, middle), Stick(second, first, middle, bone.tail)]
        else:
            found.append(Stick(bone.name, parent, bone.head, bone.tail))
    return found


def rig(name: str, bones: list[Stick], humanoid: Mapping[str, str] | None = None) -> rigs.Rig:
    """The armature's numbers without Blender; bones are not rolled."""
    return rigs.Rig(name, {bone.name: rigs.Bone(_matrix(bone), _length(bone), bone.parent) for bone in bones},
                    humanoid or {})  # fmt: skip


def _length(bone: Stick) -> float:
    return float(np.linalg.norm(np.subtract(bone.tail, bone.head)))


def _matrix(bone: Stick) -> np.ndarray:
    along = np.subtract(bone.tail, bone.head) / _length(bone)
    across = np.cross(along, [0.3, 0.5, 0.81])
    across /= np.linalg.norm(across)
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([across, along, np.cross(across, along)], axis=1)
    matrix[:3, 3] = bone.head
    return matrix


# --- families -----------------------------------------------------------------------------------------


def _names(body: str, fingers: Mapping[str, str]) -> dict[str, str]:
    """`body` names the roles up to the toe in order, "-" for none; `fingers` has {n} for 1, 2, 3."""
    roles = [role for role in BODY if role.rstrip("012") not in rigs.FINGERS]
    named = {role: name for role, name in zip(roles, body.split(","), strict=True) if name != "-"}
    for finger, pattern in fingers.items():
        named |= {f"{finger}{i}": pattern.replace("{n}", str(i + 1)) for i in range(3)}
    return named


def _same(pattern: str, last: str = "pinky") -> dict[str, str]:
    """All fingers by one pattern with {Finger} or {finger}."""
    named = dict(zip(rigs.FINGERS, (*rigs.FINGERS[:-1], last), strict=True))
    return {
        finger: pattern.replace("{finger}", name).replace("{Finger}", name.capitalize())
        for finger, name in named.items()
    }


def _mixamo(prefix: str) -> list[Stick]:
    body = "Hips,Spine,Spine1,Neck,Head,-,{side}Shoulder,{side}Arm,{side}ForeArm,{side}Hand,{side}UpLeg,{side}Leg,{side}Foot,{side}ToeBase"  # noqa: E501
    names = _names(body, _same("{side}Hand{Finger}{n}"))
    return sticks({role: prefix + name for role, name in names.items()}, ("Left", "Right"))


def _mpfb() -> list[Stick]:
    body = "root,spine05,spine01,neck01,head,eye.{side},clavicle.{side},upperarm01.{side},lowerarm01.{side},wrist.{side},upperleg01.{side},lowerleg01.{side},foot.{side},toe1-1.{side}"  # noqa: E501
    fingers = {finger: f"finger{i}-{{n}}.{{side}}" for i, finger in enumerate(rigs.FINGERS, start=1)}
    halves = {f"{limb}01.{s}": (f"{limb}01.{s}", f"{limb}02.{s}")
              for limb in ("upperarm", "lowerarm", "upperleg", "lowerleg") for s in "LR"}  # fmt: skip
    return split(sticks(_names(body, fingers), ("L", "R")), halves)


def _unreal() -> list[Stick]:
    body = "pelvis,spine_01,spine_03,neck_01,head,-,clavicle_{side},upperarm_{side},lowerarm_{side},hand_{side},thigh_{side},calf_{side},foot_{side},ball_{side}"  # noqa: E501
    return sticks(_names(body, _same("{finger}_0{n}_{side}")), ("l", "r"))


def _rigify(prefix: str) -> list[Stick]:
    body = "spine,spine.001,spine.003,spine.004,spine.006,eye.{side},shoulder.{side},upper_arm.{side},forearm.{side},hand.{side},thigh.{side},shin.{side},foot.{side},toe.{side}"  # noqa: E501
    fingers = _same("f_{finger}.0{n}.{side}") | {"thumb": "thumb.0{n}.{side}"}
    return sticks({role: prefix + name for role, name in _names(body, fingers).items()}, ("L", "R"))


def _vrm(thumb: tuple[str, str, str]) -> list[Stick]:
    body = "hips,spine,chest,neck,head,{side}Eye,{side}Shoulder,{side}UpperArm,{side}LowerArm,{side}Hand,{side}UpperLeg,{side}LowerLeg,{side}Foot,{side}Toes"  # noqa: E501
    named = _names(body, {})
    for finger in rigs.FINGERS:
        called = "Little" if finger == "pinky" else finger.capitalize()
        parts = thumb if finger == "thumb" else ("Proximal", "Intermediate", "Distal")
        named |= {f"{finger}{i}": f"{{side}}{called}{part}" for i, part in enumerate(parts)}
    return sticks(named, ("left", "right"))


def _vroid() -> list[Stick]:
    body = "J_Bip_C_Hips,J_Bip_C_Spine,J_Bip_C_Chest,J_Bip_C_Neck,J_Bip_C_Head,J_Adj_{side}_FaceEye,J_Bip_{side}_Shoulder,J_Bip_{side}_UpperArm,J_Bip_{side}_LowerArm,J_Bip_{side}_Hand,J_Bip_{side}_UpperLeg,J_Bip_{side}_LowerLeg,J_Bip_{side}_Foot,J_Bip_{side}_ToeBase"  # noqa: E501
    return sticks(_names(body, _same("J_Bip_{side}_{Finger}{n}", last="little")), ("L", "R"))


def _auto_rig_pro() -> list[Stick]:
    body = "root.x,spine_01.x,spine_02.x,neck.x,head.x,c_eye.{side},shoulder.{side},arm.{side},forearm.{side},hand.{side},thigh.{side},leg.{side},foot.{side},toes_01.{side}"  # noqa: E501
    return sticks(_names(body, _same("c_{finger}{n}.{side}")), ("l", "r"))


def _auto_rig_pro_exported() -> list[Stick]:
    """Only what deforms: limbs in halves, the first one of which begins at the joint."""
    halves = {}
    for s in "lr":
        halves |= {f"arm.{s}": (f"arm_twist.{s}", f"arm_stretch.{s}"),
                   f"forearm.{s}": (f"forearm_stretch.{s}", f"forearm_twist.{s}"),
                   f"thigh.{s}": (f"thigh_twist.{s}", f"thigh_stretch.{s}"),
                   f"leg.{s}": (f"leg_stretch.{s}", f"leg_twist.{s}")}  # fmt: skip
    return split(_auto_rig_pro(), halves)


def _openpose() -> list[Stick]:
    """Every bone ends in the point that it is named after."""
    middle = {"MidHip": ("", (0, 0, 0.92), (0, 0.03, 1.43)), "Neck": ("MidHip", (0, 0.03, 1.43), (0, -0.12, 1.6))}
    limbs = {"Shoulder": ("MidHip", "upper_arm"), "Elbow": ("Shoulder", "forearm"), "Wrist": ("Elbow", "hand"),
             "Hip": ("", "thigh"), "Knee": ("Hip", "shin"), "Ankle": ("Knee", "foot")}  # fmt: skip
    found = [Stick(name, *bone) for name, bone in middle.items()]
    for s, flip in (("L", tuple), ("R", mirrored)):
        ends = {"MidHip": middle["MidHip"][2], "": (0, 0, 0.92)}
        for name, (parent, role) in limbs.items():
            ends[name] = BODY[role][1]
            above = parent if parent in ("", "MidHip") else s + parent
            found.append(Stick(s + name, above, flip(ends[parent]), flip(ends[name])))
        ankle, toe = BODY["foot"][1], BODY["toe"][2]
        found.append(Stick(f"{s}BigToe", f"{s}Ankle", flip(ankle), flip(toe)))
        found.append(Stick(f"{s}SmallToe", f"{s}BigToe", flip(toe), flip((0.17, -0.17, 0.02))))
        found.append(Stick(f"{s}Heel", f"{s}Ankle", flip(ankle), flip((0.12, 0.05, 0.01))))
        found.append(Stick(f"{s}Eye", "Neck", (0, -0.12, 1.6), flip((0.03, -0.1, 1.63))))
        found.append(Stick(f"{s}Ear", f"{s}Eye", flip((0.03, -0.1, 1.63)), flip((0.08, 0.0, 1.61))))
    return found


FAMILIES: dict[str, tuple[str, list[Stick]]] = {
    "metarig": ("Rigify", _rigify("")),
    "generated, deforming": ("Rigify", _rigify("DEF-")),
    "generated, original": ("Rigify", _rigify("ORG-")),
    "Mixamo": ("Mixamo", _mixamo("mixamorig:")),
    "Mixamo, numbered": ("Mixamo", _mixamo("mixamorig7:")),
    "Mixamo, underscored": ("Mixamo", _mixamo("mixamorig_")),
    "Mixamo, without prefix": ("Mixamo", _mixamo("")),
    "MPFB default": ("MPFB default", _mpfb()),
    "MPFB OpenPose": ("MPFB OpenPose", _openpose()),
    "Unreal and MPFB game engine": ("Unreal mannequin", _unreal()),
    "VRM 1": ("VRM humanoid", _vrm(("Metacarpal", "Proximal", "Distal"))),
    "VRM 0": ("VRM humanoid", _vrm(("Proximal", "Intermediate", "Distal"))),
    "VRoid": ("VRoid", _vroid()),
    "Auto-Rig Pro": ("Auto-Rig Pro", _auto_rig_pro()),
    "Auto-Rig Pro, exported": ("Auto-Rig Pro", _auto_rig_pro_exported()),
}
"""By a name for people: the family that is expected, and the bones."""


def _biped() -> list[Stick]:
    body = "Bip001 Pelvis,Bip001 Spine,Bip001 Spine1,Bip001 Neck,Bip001 Head,-,Bip001 {side} Clavicle,Bip001 {side} UpperArm,Bip001 {side} Forearm,Bip001 {side} Hand,Bip001 {side} Thigh,Bip001 {side} Calf,Bip001 {side} Foot,Bip001 {side} Toe0"  # noqa: E501
    return sticks(_names(body, {}), ("L", "R"))


def _genesis() -> list[Stick]:
    body = "hip,abdomenLower,chestLower,neckLower,head,{side}Eye,{side}Collar,{side}Shldr,{side}Forearm,{side}Hand,{side}Thigh,{side}Shin,{side}Foot,{side}Toe"  # noqa: E501
    halves = {
        f"{s}{limb}": (f"{s}{limb}Bend", f"{s}{limb}Twist") for s in "lr" for limb in ("Shldr", "Forearm", "Thigh")
    }
    return split(sticks(_names(body, _same("{side}{Finger}{n}") | {"middle": "{side}Mid{n}"}), ("l", "r")), halves)


def _character_creator() -> list[Stick]:
    body = "CC_Base_Hip,CC_Base_Waist,CC_Base_Spine02,CC_Base_NeckTwist01,CC_Base_Head,CC_Base_{side}_Eye,CC_Base_{side}_Clavicle,CC_Base_{side}_Upperarm,CC_Base_{side}_Forearm,CC_Base_{side}_Hand,CC_Base_{side}_Thigh,CC_Base_{side}_Calf,CC_Base_{side}_Foot,CC_Base_{side}_ToeBase"  # noqa: E501
    return sticks(_names(body, _same("CC_Base_{side}_{Finger}{n}") | {"middle": "CC_Base_{side}_Mid{n}"}), ("L", "R"))


def _maya() -> list[Stick]:
    body = "root_jnt,spine_01_jnt,spine_02_jnt,neck_jnt,head_jnt,-,{side}_clavicle_jnt,{side}_shoulder_jnt,{side}_elbow_jnt,{side}_wrist_jnt,{side}_hip_jnt,{side}_knee_jnt,{side}_ankle_jnt,{side}_toe_jnt"  # noqa: E501
    return sticks(_names(body, _same("{side}_{finger}_0{n}_jnt")), ("L", "R"))


def _numbered() -> list[Stick]:
    body = "pelvis,spine1,spine2,neck,head,-,collar_{side},arm_1_{side},arm_2_{side},hand_{side},leg_1_{side},leg_2_{side},foot_{side},-"  # noqa: E501
    return sticks(_names(body, {}), ("l", "r"))


def _mmd() -> list[Stick]:
    body = "センター,上半身,上半身2,首,頭,{side}目,{side}肩,{side}腕,{side}ひじ,{side}手首,{side}足,{side}ひざ,{side}足首,{side}つま先"  # noqa: E501
    return sticks(_names(body, {}), ("左", "右"))


def anonymous(bones: list[Stick]) -> list[Stick]:
    """The same bones called Bone, Bone.001 … in an order that says nothing."""
    order = np.random.default_rng(3).permutation(len(bones))
    named = {bone.name: f"Bone.{number:03d}" for bone, number in zip(bones, order, strict=True)} | {"": ""}
    return [Stick(named[bone.name], named[bone.parent], bone.head, bone.tail) for bone in bones]


STRANGERS = {
    "3ds Max Biped": _biped(),
    "Genesis": _genesis(),
    "Character Creator": _character_creator(),
    "Maya": _maya(),
    "numbered limbs": _numbered(),
    "MikuMikuDance": _mmd(),
}
"""Rigs of which there is no map, whose bones have names."""
