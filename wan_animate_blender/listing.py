"""What the list of a strip's takes shows: found out by a timer and kept by the window, for drawing reads nothing."""

from __future__ import annotations

import datetime
import logging
import time
from pathlib import Path
from typing import ClassVar

import bpy
from bpy.props import CollectionProperty, IntProperty, PointerProperty, StringProperty

from . import desk, identity, shelf, stack, timeline
from .preferences import shots_folder
from .stack import Entry
from .timeline import Strip
from .wire import BadInput

log = logging.getLogger(__name__)

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

    Called by Blender's timer; returns the seconds until the next call, None when all is known and no take of the strip
    is under way.
    """
    scene = bpy.data.scenes.get(_Wanted.scene)
    if scene is None or scene.sequence_editor is None:
        return None
    strip = next(iter(timeline.path(scene.sequence_editor, _Wanted.strip)[-1:]), None)
    found = source_of(scene, strip)
    folder = _folder(found[1]) if found else None
    if folder and shelf.is_stale(folder):
        shelf.look_again(folder)
    reading = shelf.is_reading()  # before what is known is looked at: else what is read in between would be missed
    listed = (shelf.known(folder) if folder else None) or ()
    _write(_rows(stack.of(scene, *found) if found else [], listed), _about(scene, strip))
    _Wanted.filled = time.monotonic()
    if reading:
        return POLL_SECONDS
    return shelf.FRESH_SECONDS if found and desk.is_busy(found[0].wan_animate.uid) else None


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


def keep_fresh(scene: bpy.types.Scene, strip: Strip | None) -> bool:
    """Have a timer find out what of the list is old. Whether the list is of the takes of `strip`. Drawing may ask."""
    is_its = bpy.context.window_manager.wan_animate_takes.about == _about(scene, strip)
    if not is_its or time.monotonic() - _Wanted.filled > shelf.FRESH_SECONDS:
        _want(scene, strip)
        _fill_soon()
    return is_its


def _fill_soon() -> None:
    if not bpy.app.timers.is_registered(fill):
        bpy.app.timers.register(fill, first_interval=0.01, persistent=True)


_register, _unregister = bpy.utils.register_classes_factory((WanAnimateTakeRow, WanAnimateTakeList))


def register() -> None:
    _register()
    bpy.types.WindowManager.wan_animate_takes = PointerProperty(type=WanAnimateTakeList)


def unregister() -> None:
    if bpy.app.timers.is_registered(fill):
        bpy.app.timers.unregister(fill)
    shelf.close()
    del bpy.types.WindowManager.wan_animate_takes
    _unregister()
