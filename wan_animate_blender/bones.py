"""The panel of a rig's bones: which one every keypoint is read off, and re-assigning, saving and loading that. Thin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import bpy
from bpy.props import EnumProperty, FloatProperty, StringProperty

from . import armature, identity, rigs, wire
from .language import grey, refuse, translated
from .person import WanAnimatePerson
from .rigs import assignment
from .sidebar import BelowStrip, sentence
from .wire import BadInput, Problem

POINTS = tuple((point, rigs.label(point), "") for point in rigs.ASSIGNABLE)


@dataclass(frozen=True)
class _Known:
    """What was found out about a rig; drawing asks for it again and again."""

    question: object
    fit: rigs.Fit | None
    problem: str


_known: dict[str, _Known] = {}
"""By the rig's key."""


def _assign(person: WanAnimatePerson, by_hand: Mapping[str, rigs.Spot]) -> None:
    person.bones = assignment.changed(person.bones, armature.key(person.rig), by_hand)


def _best(person: WanAnimatePerson) -> rigs.Fit:
    """The fit with what was assigned, limbs or no limbs. Raises `BadInput`."""
    rig = armature.read(person.rig)
    return rigs.assign(rigs.choose(rig), person.assignment(), rig)


def _look(person: WanAnimatePerson) -> _Known:
    """`_best` or its problem, found out once for every state of the rig's names and the assignment."""
    key, question = armature.key(person.rig), (tuple(person.rig.data.bones.keys()), person.bones)
    if key not in _known or _known[key].question != question:
        try:
            _known[key] = _Known(question, _best(person), "")
        except BadInput as problem:
            _known[key] = _Known(question, None, str(problem))
    return _known[key]


# --- operators ----------------------------------------------------------------------------------------


def _names(_: bpy.types.Operator, context: bpy.types.Context, text: str) -> list[str]:
    """Bones for the search field."""
    return [name for name in identity.person(context).rig.data.bones.keys() if text.lower() in name.lower()]  # noqa: SIM118


class _OfRig:
    """Operators about the bones of the active person's rig."""

    bl_options: ClassVar[set[str]] = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        person = identity.person(context)
        if person is None or person.rig is None:
            return grey(cls, "Choose a rig")
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            self.change(identity.person(context))
        except Problem as problem:
            return refuse(self, problem)
        return {"FINISHED"}


class WAN_ANIMATE_OT_assign_bone(_OfRig, bpy.types.Operator):
    bl_idname = "wan_animate.assign_bone"
    bl_label = "Assign Bone"
    bl_description = "Choose the bone that this point of the body is read off"

    point: EnumProperty(name="Point", description="Point of the body", items=POINTS, options={"SKIP_SAVE"})
    bone: StringProperty(name="Bone", description="Bone of the rig", search=_names, options={"SKIP_SAVE"})
    along: FloatProperty(
        name="Along",
        description="Where on the bone: 0 is its head, 1 its tail",
        soft_min=0.0,
        soft_max=1.0,
        options={"SKIP_SAVE"},
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        known = _look(identity.person(context))
        if known.fit and (spot := known.fit.spot(self.point)):
            self.bone, self.along = spot.bone, spot.along
        return context.window_manager.invoke_props_dialog(self)

    def change(self, person: WanAnimatePerson) -> None:
        if self.bone not in person.rig.data.bones:
            raise BadInput(f"the rig {person.rig.name!r} has no bone {self.bone!r}; choose one of its bones")
        _assign(person, person.assignment() | {self.point: rigs.Spot(self.bone, round(self.along, 4))})


class WAN_ANIMATE_OT_reset_bones(_OfRig, bpy.types.Operator):
    bl_idname = "wan_animate.reset_bones"
    bl_label = "Reset Bones"
    bl_description = "Read this point, or all of them, off the bones that were found for it"

    point: StringProperty(name="Point", description="Empty: all points of this rig", options={"SKIP_SAVE"})

    def change(self, person: WanAnimatePerson) -> None:
        if self.point:
            _assign(person, {point: spot for point, spot in person.assignment().items() if point != self.point})
        else:
            person.bones = _without(person)


def _without(person: WanAnimatePerson) -> str:
    """The stored text without the person's rig; nothing where it is damaged."""
    try:
        return assignment.changed(person.bones, armature.key(person.rig), {})
    except BadInput:
        return ""


class _OfFile(_OfRig):
    """Operators that ask for the file of a bone map."""

    filename_ext = ".toml"
    filepath: StringProperty(
        name="File", description="Where the map is, or goes", subtype="FILE_PATH", options={"SKIP_SAVE"}
    )
    filter_glob: StringProperty(default="*.toml", options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        self.filepath = self.filepath or f"{identity.person(context).rig.name}.toml"
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    @property
    def file(self) -> Path:
        return Path(bpy.path.abspath(bpy.path.ensure_ext(self.filepath, self.filename_ext)))


class WAN_ANIMATE_OT_save_bone_map(_OfFile, bpy.types.Operator):
    bl_idname = "wan_animate.save_bone_map"
    bl_label = "Save Bone Map"
    bl_description = "Write which bone every point is read off into a file, for other rigs with these bones"

    def change(self, person: WanAnimatePerson) -> None:
        text = rigs.write(self.file.stem, _best(person).spots)
        try:
            wire.write_atomically(self.file, text.encode())
        except OSError as error:
            raise BadInput(f"cannot write to {self.file} ({error.strerror}); choose another place") from error


class WAN_ANIMATE_OT_load_bone_map(_OfFile, bpy.types.Operator):
    bl_idname = "wan_animate.load_bone_map"
    bl_label = "Load Bone Map"
    bl_description = "Read the points off the bones that a saved map names"

    def change(self, person: WanAnimatePerson) -> None:
        rig = armature.read(person.rig)
        family = rigs.read(self.file)
        if not (loaded := rigs.fit(family, rig.bones).spots):
            raise BadInput(
                f"the rig {person.rig.name!r} has none of the bones of {family.name!r}; load a map of its own family"
            )
        found = rigs.choose(rig).spots
        _assign(person, {point: spot for point, spot in loaded.items() if found.get(point) != spot})


# --- panel --------------------------------------------------------------------------------------------


class WAN_ANIMATE_PT_bones(BelowStrip, bpy.types.Panel):
    bl_label = "Bones"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        person = identity.person(context)
        return person is not None and person.rig is not None

    def draw(self, context: bpy.types.Context) -> None:
        person, layout = identity.person(context), self.layout
        known = _look(person)
        if known.fit:
            layout.label(text=translated(f"{known.fit.family}, fits to {known.fit.score:.0%}"), icon="ARMATURE_DATA")
            for name, points in rigs.GROUPS.items():
                _group(layout, name, points, known.fit, set(person.assignment()))
        else:
            sentence(layout, context, known.problem, "ERROR")
        row = layout.row(align=True)
        row.operator("wan_animate.load_bone_map", icon="FILEBROWSER", text="Load")
        row.operator("wan_animate.save_bone_map", icon="FILE_TICK", text="Save")
        row.operator("wan_animate.reset_bones", icon="LOOP_BACK", text="Reset")


def _group(
    layout: bpy.types.UILayout, name: str, points: tuple[str, ...], fit: rigs.Fit, by_hand: set[str]
) -> None:  # fmt: skip
    """A group's points that can be unfolded, with how many of them have a bone."""
    found = sum(fit.spot(point) is not None for point in points)
    header, body = layout.panel(f"wan_animate_{name}", default_closed=True)
    header.label(text=name, icon="CHECKMARK" if found == len(points) else "DOT")
    header.label(text="all" if found == len(points) else translated(f"{found} of {len(points)}"), icon="NONE")
    for point in points if body else ():
        row = body.row(align=True)
        row.label(text=rigs.label(point), icon="NONE")
        row.operator("wan_animate.assign_bone", icon="NONE", text=_described(fit.spot(point))).point = point
        if point in by_hand:
            row.operator("wan_animate.reset_bones", icon="X", text="").point = point


def _described(spot: rigs.Spot | None) -> str:
    """Such as "forearm.L", "toe.L, tail", "jaw, 25 %" or "spine.006 ?" for a guess."""
    if spot is None:
        return "–"
    where = {0.0: "", 1.0: ", tail"}.get(spot.along, f", {spot.along:.0%}")
    return f"{spot.bone}{where}{' ?' if spot.sure < 1 else ''}"


register, unregister = bpy.utils.register_classes_factory((
    WAN_ANIMATE_OT_assign_bone,
    WAN_ANIMATE_OT_reset_bones,
    WAN_ANIMATE_OT_save_bone_map,
    WAN_ANIMATE_OT_load_bone_map,
    WAN_ANIMATE_PT_bones,
))  # fmt: skip
