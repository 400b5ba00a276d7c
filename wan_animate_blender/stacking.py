"""The panel of a strip's takes and its operators: which is seen, which are kept, what was noted. Thin; drawing reads
nothing but what a timer has found out."""

from __future__ import annotations

import datetime
import logging
import time
from pathlib import Path
from typing import ClassVar

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, IntProperty, PointerProperty, StringProperty

from . import comp, desk, identity, nuke, shelf, stack, timeline
from .preferences import shots_folder
from .stack import Entry
from .timeline import Strip
from .wire import BadInput, Problem

log = logging.getLogger(__name__)

ROWS = 4
POLL_SECONDS = 0.1

Row = dict[str, str]
"""The properties of a `WanAnimateTakeRow`."""


# --- whose takes ----------------------------------------------------------------------------------


def source_of(scene: bpy.types.Scene, strip: Strip | None) -> tuple[Strip, str] | None:
    """The strip whose takes are meant, and the shot of the person: `strip`, the one that it is a take of, or else the
    uppermost one at the playhead that has takes."""
    if strip and strip.wan_animate.take:
        found = identity.find(strip.wan_animate.parent)
        return (found[1], strip.wan_animate.shot) if found and found[0] == scene else None
    if strip and strip.wan_animate.uid:
        return strip, _shot(strip)
    here = [s for s in _marked(scene) if timeline.overlaps(s, scene.frame_current, scene.frame_current + 1)]
    return max(((s, _shot(s)) for s in here), key=lambda one: one[0].channel, default=None)


def _marked(scene: bpy.types.Scene) -> list[Strip]:
    strips = timeline.strips_all(scene.sequence_editor) if scene.sequence_editor else []
    return [strip for strip in strips if strip.wan_animate.uid and not strip.wan_animate.take]


def _shot(strip: Strip) -> str:
    person = strip.wan_animate.person
    return person.shot if person and person.shot else strip.wan_animate.shot


def _folder(shot: str) -> Path | None:
    """None while nobody could have made a take."""
    try:
        return shots_folder() / shot if shot else None
    except BadInput:
        return None


# --- what is listed -------------------------------------------------------------------------------


def _write_note(row: WanAnimateTakeRow, _: bpy.types.Context) -> None:
    text = row.note.strip()
    if row.folder and text != row.noted:
        try:
            shelf.write_note(Path(row.folder), text)
            row.noted = text
        except BadInput as problem:
            log.warning("%s", problem)


class WanAnimateTakeRow(bpy.types.PropertyGroup):
    """One take, as it is listed. `name` is such as "SH010 v003"."""

    take: StringProperty()
    folder: StringProperty()
    """"" when its files are not there."""
    strip: StringProperty()
    """The strip of the edit that shows it; "" when none does."""
    state: StringProperty()
    told: StringProperty()
    noted: StringProperty()
    """The note as it is in its file."""
    note: StringProperty(
        name="Note", description="What is to be remembered of this take; kept beside its files", update=_write_note
    )


class WanAnimateTakeList(bpy.types.PropertyGroup):
    """Of the window: nothing of it is saved."""

    rows: CollectionProperty(type=WanAnimateTakeRow)
    active: IntProperty()
    about: StringProperty()
    """Scene, strip and shot whose takes they are."""

    @property
    def row(self) -> WanAnimateTakeRow | None:
        return self.rows[self.active] if 0 <= self.active < len(self.rows) else None


class _Wanted:
    """Whose takes are to be listed, as the panel that was drawn last wants it: a timer knows no window."""

    scene = ""
    strip = ""
    rows: ClassVar[list[Row]] = []
    filled = 0.0
    """When the list was last written, in seconds of no epoch."""


def show(scene: bpy.types.Scene, strip: Strip | None) -> None:
    """List the takes of `strip` from now on, and at once those that are known."""
    _want(scene, strip)
    if fill() is not None:
        _fill_soon()


def _want(scene: bpy.types.Scene, strip: Strip | None) -> None:
    _Wanted.scene, _Wanted.strip = scene.name, strip.name if strip else ""


def fill() -> float | None:
    """Write the list anew from what is known of the takes that are wanted, and have their folder read when that is old.

    Called by Blender's timer; returns the seconds until the next call, None when all is known.
    """
    scene = bpy.data.scenes.get(_Wanted.scene)
    if scene is None or scene.sequence_editor is None:
        return None
    strip = next(iter(timeline.path(scene.sequence_editor, _Wanted.strip)[-1:]), None)
    found = source_of(scene, strip)
    folder = _folder(found[1]) if found else None
    if folder and shelf.is_stale(folder):
        shelf.look_again(folder)
    listed = (shelf.known(folder) if folder else None) or ()
    _write(_rows(stack.of(scene, *found) if found else [], listed), _about(scene, strip))
    _Wanted.filled = time.monotonic()
    return POLL_SECONDS if shelf.is_reading() else None


def _rows(entries: list[Entry], listed: tuple[shelf.Listed, ...]) -> list[Row]:
    """What lies in the folder, and after it what was brought from elsewhere or has lost its files."""
    there = {entry.take: entry for entry in entries}
    rows = [_row(one, there.pop(one.take, None)) for one in listed]
    return rows + [
        {"take": entry.take, "name": entry.title, "strip": _seen(entry), "state": "elsewhere"}
        for entry in there.values()
    ]


def _row(one: shelf.Listed, entry: Entry | None) -> Row:
    date = datetime.datetime.fromtimestamp(one.date).strftime("%d %b %H:%M")
    return {
        "take": one.take,
        "name": f"{one.folder.parents[1].name} {one.folder.name}",
        "folder": str(one.folder),
        "strip": _seen(entry),
        "state": date if one.is_complete else "unfinished",
        "told": "; ".join(one.told),
        "noted": one.note,
        "note": one.note,
    }


def _seen(entry: Entry | None) -> str:
    return entry.seen[0].name if entry and entry.seen else ""


def _write(rows: list[Row], about: str) -> None:
    """Into the window's list, which is drawn again only when it has changed: else drawing would never end."""
    shelved = bpy.context.window_manager.wan_animate_takes
    if (shelved.about, len(shelved.rows), _Wanted.rows) == (about, len(rows), rows):
        return
    chosen = shelved.row.take if shelved.row else ""
    shelved.rows.clear()
    for row in rows:
        added = shelved.rows.add()
        for name, value in row.items():
            setattr(added, name, value)
    names = [row["take"] for row in rows]
    shelved.active = names.index(chosen) if chosen in names else 0
    shelved.about, _Wanted.rows = about, rows
    desk.redraw()


def _about(scene: bpy.types.Scene, strip: Strip | None) -> str:
    ours = strip.wan_animate if strip else None
    return f"{scene.name}/{strip.name}/{_shot(strip)}/{ours.take}" if strip and ours else f"{scene.name}/"


def _fill_soon() -> None:
    if not bpy.app.timers.is_registered(fill):
        bpy.app.timers.register(fill, first_interval=0.01, persistent=True)


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
            cls.poll_message_set("Click a strip that has takes, or stand on one")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        scene, strip = identity.active(context)
        try:
            found = source_of(scene, strip)
            if found is None:
                raise BadInput("no strip with takes is active or at the playhead; click one")
            self.report({"INFO"}, self.change(scene, found[0], stack.of(scene, *found)))
        except Problem as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        show(scene, identity.active(context)[1])  # the active one may be gone
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
        return f"Change between the take that is shown and {other}, there and back"

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


class WAN_ANIMATE_OT_build_comp(bpy.types.Operator):
    bl_idname = "wan_animate.build_comp"
    bl_label = "Build Comp"
    bl_description = "Put plate, character and matte of the take together in the compositor of a new scene"
    bl_options: ClassVar[set[str]] = {"REGISTER", "UNDO"}

    nuke: BoolProperty(name="Nuke Script", description="Write a script for Nuke beside the take, too")
    directory: StringProperty(subtype="DIR_PATH", options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        row = context.window_manager.wan_animate_takes.row
        if row is None or not row.folder:
            cls.poll_message_set("Choose a take whose files are there")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        folder = Path(self.directory or context.window_manager.wan_animate_takes.row.folder)
        try:
            made = comp.build(timeline.sequencer_scene(context), folder)
            where = f" and {nuke.write(folder)}" if self.nuke else ""
        except Problem as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        self.report({"INFO"}, f"The scene {made.name!r}{where} put the take together")
        return {"FINISHED"}


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
        row.label(text=item.name)
        row.label(text=item.note or item.state, icon="ERROR" if item.told else "NONE")
        if strip:
            pinned = "PINNED" if strip.wan_animate.pinned else "UNPINNED"
            row.operator("wan_animate.pin_take", text="", icon=pinned, emboss=False).take = item.take


class WAN_ANIMATE_PT_takes(bpy.types.Panel):
    bl_label = "Takes"
    bl_parent_id = "WAN_ANIMATE_PT_strip"
    bl_space_type = "SEQUENCE_EDITOR"
    bl_region_type = "UI"
    bl_category = "Wan Animate"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        _, strip = identity.active(context)
        return strip is not None and bool(strip.wan_animate.uid or strip.wan_animate.take)

    def draw(self, context: bpy.types.Context) -> None:
        layout, shelved = self.layout, context.window_manager.wan_animate_takes
        scene, strip = identity.active(context)
        is_other = shelved.about != _about(scene, strip)
        if is_other or time.monotonic() - _Wanted.filled > shelf.FRESH_SECONDS:
            _want(scene, strip)
            _fill_soon()
        if is_other:
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
            _draw_chosen(layout, chosen)


def _draw_chosen(layout: bpy.types.UILayout, chosen: WanAnimateTakeRow) -> None:
    if chosen.folder:
        layout.prop(chosen, "note")
    if chosen.told:
        layout.label(text=chosen.told, icon="ERROR")
    row = layout.row(align=True)
    row.operator("wan_animate.build_comp", icon="NODETREE").nuke = False
    row.operator("wan_animate.build_comp", text="And Nuke Script").nuke = True
    if chosen.strip:
        row.operator("wan_animate.remove_take", icon="X", text="").take = chosen.take


_register, _unregister = bpy.utils.register_classes_factory((
    WanAnimateTakeRow,
    WanAnimateTakeList,
    WAN_ANIMATE_OT_solo_take,
    WAN_ANIMATE_OT_compare_takes,
    WAN_ANIMATE_OT_pin_take,
    WAN_ANIMATE_OT_remove_take,
    WAN_ANIMATE_OT_build_comp,
    WAN_ANIMATE_UL_takes,
    WAN_ANIMATE_PT_takes,
))  # fmt: skip


def register() -> None:
    _register()
    bpy.types.WindowManager.wan_animate_takes = PointerProperty(type=WanAnimateTakeList)


def unregister() -> None:
    if bpy.app.timers.is_registered(fill):
        bpy.app.timers.unregister(fill)
    shelf.close()
    del bpy.types.WindowManager.wan_animate_takes
    _unregister()
