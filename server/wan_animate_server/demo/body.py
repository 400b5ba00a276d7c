"""The shape of a demo person around the bones of Rigify's human metarig; knows no scene and no motion.

Every `Part` is a rounded cone along one bone. The surface of a `Skin`, its materials and its weights all follow from
the parts that it wraps. Lengths are metres in the metarig's own rest pose, which stands on z = 0 and looks along -y.
Runs inside Blender.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import bmesh
import bpy
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Place = tuple[float, float, float]
Bones = Mapping[str, tuple[Place, Place]]
"""Head and tail of each bone at rest."""

FINGERS = ("thumb", "f_index", "f_middle", "f_ring", "f_pinky")
HIP = 1.07
"""Metres from the ground to the hip joints."""

BLEND = 1.7
"""Faces over which the skin passes from one bone to the next."""


@dataclass(frozen=True)
class Part:
    """A rounded cone from `start` to `end`, stretched by `stretch` around its middle, carried by `bone`."""

    bone: str
    material: str
    start: Place
    end: Place
    radii: tuple[float, float]
    stretch: Place = (1.0, 1.0, 1.0)

    def distance(self, points: Points) -> Points:
        """Signed distance [n] of `points` [n, 3] from the surface, negative inside; approximate when stretched."""
        stretch, start, end = (np.array(place) for place in (self.stretch, self.start, self.end))
        middle = (start + end) / 2
        local, a, b = (points - middle) / stretch, (start - middle) / stretch, (end - middle) / stretch
        along = np.clip((local - a) @ (b - a) / max(float((b - a) @ (b - a)), 1e-9), 0, 1)
        radius = self.radii[0] + along * (self.radii[1] - self.radii[0])
        away: Points = (np.linalg.norm(local - a - along[:, None] * (b - a), axis=1) - radius) * stretch.min()
        return away

    def corners(self) -> Points:
        """Points [n, 3] whose hull is the part."""
        turn = np.arange(240) * np.pi * (3 - 5**0.5)  # a spiral covers a ball evenly
        height = np.linspace(-1, 1, 240)
        ring = np.sqrt(1 - height**2)
        ball = np.stack([ring * np.cos(turn), ring * np.sin(turn), height], axis=1)
        middle = (np.array(self.start) + self.end) / 2
        ends = zip((self.start, self.end), self.radii, strict=True)
        return np.concatenate([middle + (place - middle + ball * radius) * self.stretch for place, radius in ends])


@dataclass(frozen=True)
class Skin:
    """A mesh: `points` [n, 3], `faces` as tuples of point numbers, a material for each face, weights [n] of bones."""

    name: str
    points: Points
    faces: Sequence[tuple[int, ...]]
    materials: Sequence[str]
    weights: Mapping[str, Points]


def wrap(name: str, parts: Sequence[Part], voxel: float, rounds: int) -> Skin:
    """One closed surface around `parts`, of faces about `voxel` metres wide, smoothed `rounds` times."""
    points, faces = _remesh(parts, voxel, rounds)
    at_points = np.stack([part.distance(points) for part in parts])
    centres = np.stack([points[list(face)].mean(axis=0) for face in faces])
    nearest = np.stack([part.distance(centres) for part in parts]).argmin(axis=0)
    share = np.exp(-(at_points - at_points.min(axis=0)) / (BLEND * voxel))
    share[share < 0.05] = 0
    share /= share.sum(axis=0)
    weights: dict[str, Points] = {}
    for part, row in zip(parts, share, strict=True):
        weights[part.bone] = weights.get(part.bone, np.zeros(len(points))) + row
    return Skin(name, points, faces, [parts[i].material for i in nearest], weights)


def _remesh(parts: Sequence[Part], voxel: float, rounds: int) -> tuple[Points, list[tuple[int, ...]]]:
    """The union of `parts` through Blender's voxel remesher."""
    mesh = bpy.data.meshes.new("parts")
    shape = bmesh.new()
    for part in parts:
        corners = [shape.verts.new(corner) for corner in part.corners()]
        bmesh.ops.convex_hull(shape, input=corners)
        bmesh.ops.delete(shape, geom=[v for v in corners if v.is_valid and not v.link_faces], context="VERTS")
    shape.to_mesh(mesh)
    shape.free()
    body = bpy.data.objects.new("parts", mesh)
    bpy.context.scene.collection.objects.link(body)
    remesh = body.modifiers.new("remesh", "REMESH")
    remesh.mode, remesh.voxel_size = "VOXEL", voxel
    soften = body.modifiers.new("soften", "SMOOTH")
    soften.factor, soften.iterations = 0.5, rounds
    result = body.evaluated_get(bpy.context.evaluated_depsgraph_get()).to_mesh()
    points = np.empty(len(result.vertices) * 3)
    result.vertices.foreach_get("co", points)
    faces = [tuple(polygon.vertices) for polygon in result.polygons]
    bpy.data.objects.remove(body)
    bpy.data.meshes.remove(mesh)
    return points.reshape(-1, 3), faces


# --- parts ----------------------------------------------------------------------------------------


def limb(bones: Bones, bone: str, material: str, thick: float, thin: float) -> Part:
    """A part that lies along its bone."""
    return Part(bone, material, *bones[bone], (thick, thin))


def ball(bone: str, material: str, centre: Place, radius: float, stretch: Place = (1, 1, 1)) -> Part:
    return Part(bone, material, centre, centre, (radius, radius), stretch)


def torso(girth: float, coat: float) -> list[Part]:
    """Trunk and neck. `coat` is how far below the hip the top reaches in metres; 0 is a shirt."""
    trunk = [
        Part("spine", "top" if coat else "legs", (0, 0.015, 1.0), (0, 0.01, 1.1), (0.125, 0.12), (1.3, 0.9, 1)),
        Part("spine.001", "top", (0, 0.01, 1.12), (0, 0, 1.3), (0.115, 0.112), (1.28, 0.88, 1)),
        Part("spine.002", "top", (0, 0, 1.26), (0, 0, 1.42), (0.112, 0.12), (1.3, 0.88, 1)),
        Part("spine.003", "top", (0, 0, 1.4), (0, 0.005, 1.52), (0.12, 0.115), (1.35, 0.86, 1)),
        Part("spine.003", "top", (-0.14, 0.018, 1.56), (0.14, 0.018, 1.56), (0.06, 0.06)),
        Part("spine.003", "top", (0, 0.01, 1.54), (0, 0.01, 1.62), (0.095, 0.06), (1.2, 0.9, 1)),
    ]
    if coat:
        trunk.append(Part("spine", "top", (0, 0.012, 1.15), (0, 0.005, HIP - coat), (0.16, 0.19), (1.3, 0.95, 1)))
    trunk = [_grown(part, girth) for part in trunk]
    return [*trunk, Part("spine.004", "skin", (0, 0.012, 1.62), (0, -0.018, 1.76), (0.056, 0.05))]


def limbs(bones: Bones, girth: float) -> list[Part]:
    """Arms without hands and legs with shoes, both sides."""
    parts = []
    for side in "LR":
        ankle, (toe, tip) = bones[f"foot.{side}"][0], bones[f"toe.{side}"]
        heel, ball_of_foot = (ankle[0], ankle[1] + 0.03, 0.04), (toe[0], toe[1], 0.041)
        parts += [
            _grown(limb(bones, f"upper_arm.{side}", "sleeve", 0.058, 0.046), girth),
            _grown(limb(bones, f"forearm.{side}", "sleeve", 0.046, 0.035), girth),
            _grown(limb(bones, f"thigh.{side}", "legs", 0.088, 0.062), girth),
            _grown(limb(bones, f"shin.{side}", "legs", 0.06, 0.045), girth),
            Part(f"foot.{side}", "shoes", heel, ball_of_foot, (0.046, 0.042)),
            Part(f"toe.{side}", "shoes", ball_of_foot, (tip[0], tip[1] - 0.01, 0.036), (0.044, 0.034), (1.1, 1, 1)),
        ]
    return parts


def hands(bones: Bones) -> list[Part]:
    """Palms and fingers, both sides."""
    parts = []
    for side in "LR":
        parts.append(limb(bones, f"hand.{side}", "skin", 0.03, 0.033))
        parts += [limb(bones, f"palm.0{i}.{side}", "skin", 0.018, 0.015) for i in (1, 2, 3, 4)]
        parts += [limb(bones, f"{f}.0{i}.{side}", "skin", 0.0125, 0.0115) for f in FINGERS for i in (1, 2, 3)]
    return parts


def head() -> list[Part]:
    """Skull, jaw, chin, nose, cheeks and ears."""
    parts = [
        ball("spine.006", "skin", (0, -0.025, 1.9), 0.1, (0.95, 1.18, 1.05)),
        ball("jaw", "skin", (0, -0.082, 1.795), 0.07, (0.98, 1.1, 0.95)),
        Part("spine.006", "skin", (0, -0.04, 1.76), (0, -0.03, 1.82), (0.05, 0.07)),
        Part("spine.006", "skin", (0, -0.14, 1.895), (0, -0.172, 1.847), (0.012, 0.02)),
    ]
    for side in (-1, 1):
        low, high = (side * 0.1, -0.015, 1.86), (side * 0.108, -0.01, 1.9)
        parts.append(Part("spine.006", "skin", low, high, (0.016, 0.02), (0.6, 1, 1)))
        parts.append(ball("spine.006", "skin", (side * 0.046, -0.098, 1.845), 0.042))
    return parts


def hair(bun: bool) -> list[Part]:
    """A cap of hair with a fringe; with `bun`, a knot on top and a tail behind, else shorter."""
    parts = [
        ball("spine.006", "hair", (0, 0, 1.93), 0.107, (0.98, 1.12, 0.98)),
        Part("spine.006", "hair", (-0.05, -0.105, 1.985), (0.055, -0.1, 1.98), (0.03, 0.036)),
        Part("spine.006", "hair", (0, 0.055, 1.9), (0, 0.06, 1.82), (0.075, 0.06)),
    ]
    if bun:
        parts += [
            ball("spine.006", "hair", (0, 0.03, 2.06), 0.055),
            Part("spine.006", "hair", (0, 0.075, 1.85), (0, 0.1, 1.66), (0.05, 0.02)),
        ]
    return parts


def brows(bones: Bones) -> list[Part]:
    names = [f"brow.B.{side}{link}" for side in "LR" for link in ("", ".001", ".002")]
    return [limb(bones, name, "hair", 0.006, 0.006) for name in names]


def lip(bones: Bones, edge: str) -> list[Part]:
    """The upper ("T") or the lower ("B") lip."""
    names = [f"lip.{edge}.{side}{link}" for side in "LR" for link in ("", ".001")]
    return [limb(bones, name, "lips", 0.0062, 0.0062) for name in names]


def _grown(part: Part, girth: float) -> Part:
    return Part(
        part.bone, part.material, part.start, part.end, (part.radii[0] * girth, part.radii[1] * girth), part.stretch
    )


# --- the parts of a face that are not round -------------------------------------------------------


def eyes(bones: Bones, radius: float = 0.0195) -> Skin:
    """Two eyeballs with iris and pupil, each turning with its bone."""
    rings = np.array([0.01, 0.25, 0.32, 0.6, 0.68, 1.0, 1.5, 2.2, 3.1])
    polar, turn = np.meshgrid(rings, np.linspace(0, 2 * np.pi, 17), indexing="ij")
    ball = radius * np.stack([np.sin(polar) * np.cos(turn), -np.cos(polar), np.sin(polar) * np.sin(turn)], axis=-1)
    colours = np.select([rings[1:] <= 0.25, rings[1:] <= 0.6], ["pupil", "iris"], "white").repeat(16).tolist()
    balls = []
    for bone in ("eye.L", "eye.R"):
        rows = [[(tuple(point + bones[bone][0]), {bone: 1.0}) for point in ring] for ring in ball]
        balls.append(replace(_grid(bone, rows, "white"), materials=colours))
    return _joined("eyes", balls)


def mouth(bones: Bones) -> Skin:
    """The dark between the lips, opened by the bones of both."""
    rows = [
        [(bones[f"lip.{edge}.{side}{link}"][end], {f"lip.{edge}.{side}{link}": 1.0}) for side, link, end in LIP]
        for edge in "TB"
    ]
    return _grid("mouth", rows, "mouth")


def lids(bones: Bones, side: str) -> Skin:
    """Upper and lower eyelid: their edges are the lid bones', their other sides stay with the face."""
    rows = []
    for bone_edge, fold, swell in (("T", 0.016, -0.005), ("B", -0.014, -0.002)):
        links = [(f"lid.{bone_edge}.{side}{link}", end) for link, end in LID]
        edge = [(bones[bone][end], bone) for bone, end in links]
        back = [(_moved(point, 0.006, fold), {"face": 1.0}) for point, _ in edge]
        middle = [(_moved(point, swell, fold / 2), {"face": 0.5, bone: 0.5}) for point, bone in edge]
        front = [(_moved(point, -0.002, 0), {bone: 1.0}) for point, bone in edge]
        rows.append(_grid(f"lid {bone_edge} {side}", [back, middle, front], "skin"))
    return _joined("lids", rows)


LIP = (("R", ".001", 1), ("R", "", 1), ("R", "", 0), ("L", "", 1), ("L", ".001", 1))
"""Side, link and end of the lip bones from the right corner to the left one."""

LID = (("", 0), ("", 1), (".001", 1), (".002", 1), (".003", 1))
"""Link and end of the lid bones from one corner of the eye to the other."""

Rows = Sequence[Sequence[tuple[Place, Mapping[str, float]]]]


def _moved(place: Place, y: float, z: float) -> Place:
    return place[0], place[1] + y, place[2] + z


def _grid(name: str, rows: Rows, material: str) -> Skin:
    """A sheet whose `rows` hold its points and the weights of their bones."""
    flat = [cell for row in rows for cell in row]
    width = len(rows[0])
    corners = [i + j * width for j in range(len(rows) - 1) for i in range(width - 1)]
    faces = [(i, i + 1, i + 1 + width, i + width) for i in corners]
    bones = sorted({bone for _, weights in flat for bone in weights})
    weights = {bone: np.array([weights.get(bone, 0.0) for _, weights in flat]) for bone in bones}
    return Skin(name, np.array([point for point, _ in flat]), faces, [material] * len(faces), weights)


def _joined(name: str, skins: Sequence[Skin]) -> Skin:
    """One skin of several."""
    starts = np.cumsum([0, *(len(skin.points) for skin in skins)])
    weights: dict[str, Points] = {}
    for skin, start in zip(skins, starts, strict=False):
        for bone, row in skin.weights.items():
            weights.setdefault(bone, np.zeros(starts[-1]))[start : start + len(row)] = row
    faces = [tuple(int(i + start) for i in f) for skin, start in zip(skins, starts, strict=False) for f in skin.faces]
    materials = [material for skin in skins for material in skin.materials]
    return Skin(name, np.concatenate([skin.points for skin in skins]), faces, materials, weights)
