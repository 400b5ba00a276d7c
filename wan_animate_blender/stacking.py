"""The panel of a strip's takes and its operators: which is seen, which are kept, what was noted. Thin; drawing reads
nothing but what a timer has found out."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from . import comp, identity, listing, nuke, shelf, stack, timeline
from .language import grey, refuse, tell, translated
from .listing import WanAnimateTakeList, WanAnimateTakeRow
from .sidebar import InSidebar, sentence
from .stack import Entry
from .timeline import Strip
from .wire import BadInput, Problem

ROWS = 4


# --- operators ------------------------------------------------------------------------------------


class _OnStack:
    """Operators about the takes of the active strip, or of the one at the playhead."""

    bl_options: ClassVar[set[str]] = {"REGISTER", "UNDO"}

    take: StringProperty(options={"HIDDEN", "SKIP_SAVE"})
    """Which one; "" is the one chosen in the list."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        scene, strip = identity.active(context)
        if scene.sequence_editor is None or (strip and not (strip.wan_animate.uid or strip.wan_animate.take)):
            return grey(cls, "Click a strip that has takes, or stand on one")
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        scene, strip = identity.active(context)
        try:
            found = listing.source_of(scene, strip)
            if found is None:
                raise BadInput("no strip with takes is active or at the playhead; click one")
            tell(self, self.change(scene, found[0], stack.of(scene, *found)))
        except Problem as problem:
            return refuse(self, problem)
        listing.show(scene, identity.active(context)[1])  # the active one may be gone
        return {"FINISHED"}

    def entry(self, entries: list[Entry]) -> Entry:
        row = bpy.context.window_manager.wan_animate_takes.row
        wanted = self.take or (row.take if row else "")
        for entry in entries:
            if entry.take == wanted:
                return entry
        raise BadInput("the take is not in the edit; import it first")


class WAN_ANIMATE_OT_solo_take(_OnStack, bpy.types.Operator):
    bl_idname = "wan_animate.solo_take"
    bl_label = "Solo Take"
    bl_description = "Show this take and mute the others of the same person"

    def change(self, scene: bpy.types.Scene, source: Strip, entries: list[Entry]) -> str:
        entry = self.entry(entries)
        stack.solo(entries, entry.take)
        return f"{entry.title} is shown"


class WAN_ANIMATE_OT_compare_takes(_OnStack, bpy.types.Operator):
    bl_idname = "wan_animate.compare_takes"
    bl_label = "A/B"

    against: EnumProperty(
        items=(("TAKE", "Take", "The take that was shown before"), ("PLATE", "Plate", "The plate alone")),
        name="Against",
        description="What the take that is shown is compared with",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def description(cls, _: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        other = "the plate" if properties.against == "PLATE" else "the one shown before, or the next older one"
        return translated(f"Change between the take that is shown and {other}, there and back")

    def change(self, scene: bpy.types.Scene, source: Strip, entries: list[Entry]) -> str:
        now = stack.compare(source, entries, plate=self.against == "PLATE")
        titles = {entry.take: entry.title for entry in entries}
        return f"{titles.get(now, 'The plate')} is shown"


class WAN_ANIMATE_OT_pin_take(_OnStack, bpy.types.Operator):
    bl_idname = "wan_animate.pin_take"
    bl_label = "Pin Take"
    bl_description = "Keep this take in sight when a newer one arrives, or let it be muted again"

    def change(self, scene: bpy.types.Scene, source: Strip, entries: list[Entry]) -> str:
        entry = self.entry(entries)
        stack.pin(entry, not entry.is_pinned)
        return f"{entry.title} {'is' if entry.is_pinned else 'is not'} pinned"


class WAN_ANIMATE_OT_remove_take(_OnStack, bpy.types.Operator):
    bl_idname = "wan_animate.remove_take"
    bl_label = "Remove Take"
    bl_description = "Take this take out of the edit; its files stay"

    def change(self, scene: bpy.types.Scene, source: Strip, entries: list[Entry]) -> str:
        entry = self.entry(entries)
        title = entry.title
        stack.remove(scene, source, entry)
        return f"{title} is not in the edit any more; its files are"


class _OnFolder:
    """Operators about the files of one take: of `directory`, else of the take that is chosen in the list."""

    directory: StringProperty(subtype="DIR_PATH", options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        row = context.window_manager.wan_animate_takes.row
        if row is None or not row.folder:
            return grey(cls, "Choose a take whose files are there")
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            return self.use(context, Path(self.directory or context.window_manager.wan_animate_takes.row.folder))
        except Problem as problem:
            return refuse(self, problem)


class WAN_ANIMATE_OT_build_comp(_OnFolder, bpy.types.Operator):
    bl_idname = "wan_animate.build_comp"
    bl_label = "Build Comp"
    bl_description = "Put plate, character and matte of the take together in the compositor of a new scene"
    bl_options: ClassVar[set[str]] = {"REGISTER", "UNDO"}

    nuke: BoolProperty(name="Nuke Script", description="Write a script for Nuke beside the take, too")

    def use(self, context: bpy.types.Context, folder: Path) -> set[str]:
        made = comp.build(timeline.sequencer_scene(context), folder)
        where = f" and {nuke.write(folder)}" if self.nuke else ""
        return tell(self, f"The scene {made.name!r}{where} put the take together")


class WAN_ANIMATE_OT_open_report(_OnFolder, bpy.types.Operator):
    bl_idname = "wan_animate.open_report"
    bl_label = "Open Report"
    bl_description = "Show figures, joins, recipe and provenance of the take in the browser of the system"

    def use(self, context: bpy.types.Context, folder: Path) -> set[str]:
        return bpy.ops.wm.url_open(url=shelf.report_of(folder).as_uri())


# --- the panel ------------------------------------------------------------------------------------


class WAN_ANIMATE_UL_takes(bpy.types.UIList):
    def draw_item(
        self, context: bpy.types.Context, layout: bpy.types.UILayout, data: WanAnimateTakeList, item: WanAnimateTakeRow,
        icon: int, active_data: WanAnimateTakeList, active_property: str, index: int,
    ) -> None:  # fmt: skip
        row = layout.row(align=True)
        strip = timeline.strips_all(timeline.sequencer_scene(context).sequence_editor).get(item.strip)
        if strip:
            seen = "HIDE_ON" if strip.mute else "HIDE_OFF"
            row.operator("wan_animate.solo_take", text="", icon=seen, emboss=False).take = item.take
        elif item.folder:
            row.operator("wan_animate.import_take", text="", icon="IMPORT", emboss=False).directory = item.folder
        row.label(text=item.name, translate=False)
        row.label(text=item.note or item.state, translate=not item.note, icon="ERROR" if item.told else "NONE")
        if strip:
            pinned = "PINNED" if strip.wan_animate.pinned else "UNPINNED"
            row.operator("wan_animate.pin_take", text="", icon=pinned, emboss=False).take = item.take


class WAN_ANIMATE_PT_takes(InSidebar, bpy.types.Panel):
    bl_label = "Takes"
    bl_parent_id = "WAN_ANIMATE_PT_strip"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        _, strip = identity.active(context)
        return strip is not None and bool(strip.wan_animate.uid or strip.wan_animate.take)

    def draw(self, context: bpy.types.Context) -> None:
        layout, shelved = self.layout, context.window_manager.wan_animate_takes
        scene, strip = identity.active(context)
        if not listing.keep_fresh(scene, strip):
            layout.label(text="The takes are being looked for", icon="INFO")
            return
        if not len(shelved.rows):
            layout.label(text="There is no take yet", icon="INFO")
            return
        layout.template_list("WAN_ANIMATE_UL_takes", "", shelved, "rows", shelved, "active", rows=ROWS)
        row = layout.row(align=True)
        for against, text in (("TAKE", "A/B"), ("PLATE", "A/B Plate")):
            row.operator("wan_animate.compare_takes", text=text).against = against
        if chosen := shelved.row:
            _draw_chosen(layout, context, chosen)


def _draw_chosen(layout: bpy.types.UILayout, context: bpy.types.Context, chosen: WanAnimateTakeRow) -> None:
    if chosen.folder:
        layout.prop(chosen, "note")
    if chosen.told:
        sentence(layout, context, chosen.told, "ERROR")
    row = layout.row(align=True)
    row.operator("wan_animate.build_comp", icon="NODETREE").nuke = False
    row.operator("wan_animate.build_comp", text="And Nuke Script").nuke = True
    layout.operator("wan_animate.open_report", icon="TEXT")
    again = layout.row(align=True)
    again.operator("wan_animate.retake", icon="FILE_REFRESH")
    again.operator("wan_animate.extend", icon="FORWARD")
    if chosen.strip:
        row.operator("wan_animate.remove_take", icon="X", text="").take = chosen.take


register, unregister = bpy.utils.register_classes_factory((
    WAN_ANIMATE_OT_solo_take,
    WAN_ANIMATE_OT_compare_takes,
    WAN_ANIMATE_OT_pin_take,
    WAN_ANIMATE_OT_remove_take,
    WAN_ANIMATE_OT_build_comp,
    WAN_ANIMATE_OT_open_report,
    WAN_ANIMATE_UL_takes,
    WAN_ANIMATE_PT_takes,
))  # fmt: skip
