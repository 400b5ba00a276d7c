"""The list of a strip's people, front on top as with channels, and its operators. Thin."""

from __future__ import annotations

from typing import ClassVar

import bpy

from . import identity
from .language import grey, translated
from .properties import WanAnimateStrip

ROWS = 3


class WAN_ANIMATE_UL_people(bpy.types.UIList):
    def draw_item(
        self, context: bpy.types.Context, layout: bpy.types.UILayout, data: WanAnimateStrip, item: object, icon: int,
        active_data: WanAnimateStrip, active_property: str, index: int,
    ) -> None:  # fmt: skip
        layout.prop(item, "name", text="", emboss=False, icon="OUTLINER_OB_ARMATURE")

    def filter_items(
        self, context: bpy.types.Context, data: WanAnimateStrip, property: str
    ) -> tuple[list[int], list[int]]:  # fmt: skip
        count = len(getattr(data, property))
        return [], list(range(count - 1, -1, -1))


class _OfStrip:
    """Operators about the people of the active strip."""

    bl_options: ClassVar[set[str]] = {"REGISTER", "UNDO"}
    least = 0
    """How many people there must be."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        strip = identity.active(context)[1]
        if strip is None or strip.wan_animate.take:
            return grey(cls, "Click the strip of the plate")
        return len(strip.wan_animate.people) >= cls.least

    def execute(self, context: bpy.types.Context) -> set[str]:
        return self.change(identity.active(context)[1].wan_animate)


class WAN_ANIMATE_OT_add_person(_OfStrip, bpy.types.Operator):
    bl_idname = "wan_animate.add_person"
    bl_label = "Add Person"
    bl_description = "Let another character appear in this strip, in front of those that are there"

    def change(self, ours: WanAnimateStrip) -> set[str]:
        ours.add_person()
        return {"FINISHED"}


class WAN_ANIMATE_OT_remove_person(_OfStrip, bpy.types.Operator):
    bl_idname = "wan_animate.remove_person"
    bl_label = "Remove Person"
    bl_description = "Take the chosen character out of this strip; its takes stay"
    least = 2

    def change(self, ours: WanAnimateStrip) -> set[str]:
        ours.people.remove(ours.active_person)
        ours.active_person = max(ours.active_person - 1, 0)
        return {"FINISHED"}


class WAN_ANIMATE_OT_move_person(_OfStrip, bpy.types.Operator):
    bl_idname = "wan_animate.move_person"
    bl_label = "Move Person"
    least = 2

    forwards: bpy.props.BoolProperty(name="Forwards", description="Nearer to the camera", options={"SKIP_SAVE"})

    @classmethod
    def description(cls, _: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        where = "in front of the next one" if properties.forwards else "behind the one before"
        return translated(f"Put the chosen character {where}: who is in front hides the others")

    def change(self, ours: WanAnimateStrip) -> set[str]:
        to = ours.active_person + (1 if self.forwards else -1)
        if not 0 <= to < len(ours.people):
            return {"CANCELLED"}
        ours.people.move(ours.active_person, to)
        ours.active_person = to
        return {"FINISHED"}


def draw(layout: bpy.types.UILayout, ours: WanAnimateStrip) -> None:
    """The list with its buttons, where there are several; nothing where one is alone."""
    if len(ours.people) < 2:
        return
    row = layout.row()
    row.template_list("WAN_ANIMATE_UL_people", "", ours, "people", ours, "active_person", rows=ROWS)
    column = row.column(align=True)
    column.operator("wan_animate.add_person", icon="ADD", text="")
    column.operator("wan_animate.remove_person", icon="REMOVE", text="")
    column.separator()
    for forwards, icon in ((True, "TRIA_UP"), (False, "TRIA_DOWN")):
        column.operator("wan_animate.move_person", icon=icon, text="").forwards = forwards


register, unregister = bpy.utils.register_classes_factory((
    WAN_ANIMATE_UL_people,
    WAN_ANIMATE_OT_add_person,
    WAN_ANIMATE_OT_remove_person,
    WAN_ANIMATE_OT_move_person,
))  # fmt: skip
