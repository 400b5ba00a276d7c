"""The panel of the test frame: what it looks like at several strengths of relight, and which of them is used."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import bpy
import bpy.utils.previews

from . import background, checks, commission, desk, identity, preflight, proof, timeline
from .client import Server
from .language import grey, refuse, translated
from .preferences import chosen_server, shots_folder
from .request import prepare
from .session import Cancelled, News, Work
from .sidebar import BelowStrip, sentence
from .wire import FIRST_FRAME, Problem

LINES = 5.0
"""Side of a picture in lines of the panel."""


@dataclass
class _Proofs:
    """What has arrived for one strip."""

    folder: tempfile.TemporaryDirectory[str]
    pictures: dict[float, Path] = field(default_factory=dict)


_made: dict[str, _Proofs] = {}
"""The newest of each strip, by its uid."""
_previews: dict[str, Any] = {}
"""All of them, while the add-on is registered."""


class WAN_ANIMATE_OT_test_frame(bpy.types.Operator):
    bl_idname = "wan_animate.test_frame"
    bl_label = "Test Frame"
    bl_description = "Render the frame at the playhead without relight, with half and with all of it, to choose from"
    bl_options: ClassVar[set[str]] = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        reason = preflight.why_not(context) or _why_not(context)
        return grey(cls, reason)

    def execute(self, context: bpy.types.Context) -> set[str]:
        scene, strip = identity.active(context)
        ours, now = strip.wan_animate, scene.frame_current
        try:
            server = chosen_server()
            asked = prepare(scene, strip, shots_folder())[min(ours.active_person, len(ours.people) - 1)]
            only = proof.frames(now, *timeline.frame_range(strip))
            made = _Proofs(tempfile.TemporaryDirectory(prefix=background.PREFIX, ignore_cleanup_errors=True))
            work = _work(replace(asked, only=only), now - only.start, server, made)
            desk.start(_ticket(ours.uid), work, hear=partial(_show, ours.uid))
            _replace(ours.uid, made)
        except Problem as problem:
            return refuse(self, problem)
        return {"FINISHED"}


class WAN_ANIMATE_OT_cancel_test_frame(bpy.types.Operator):
    bl_idname = "wan_animate.cancel_test_frame"
    bl_label = "Cancel Test Frame"
    bl_description = "Stop the test frame of the active strip"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        _, strip = identity.active(context)
        if strip is None or not desk.is_busy(_ticket(strip.wan_animate.uid)):
            return grey(cls, "No test frame is being made of the active strip")
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        desk.cancel(_ticket(identity.active(context)[1].wan_animate.uid))
        return {"FINISHED"}


class WAN_ANIMATE_OT_use_relight(bpy.types.Operator):
    bl_idname = "wan_animate.use_relight"
    bl_label = "Use Relight"
    bl_description = "Generate the active strip with this strength of relight"
    bl_options: ClassVar[set[str]] = {"REGISTER", "UNDO"}

    relight: bpy.props.FloatProperty(name="Relight", description="Strength of relight", min=0.0, max=2.0)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if identity.active(context)[1] is None:
            return grey(cls, "No strip is selected")
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        identity.active(context)[1].wan_animate.relight = self.relight
        return {"FINISHED"}


class WAN_ANIMATE_PT_test_frame(BelowStrip, bpy.types.Panel):
    bl_label = "Test Frame"

    def draw(self, context: bpy.types.Context) -> None:
        layout, ours = self.layout, identity.active(context)[1].wan_animate
        layout.operator("wan_animate.test_frame", icon="RENDER_STILL")
        ticket = _ticket(ours.uid)
        news = desk.latest.get(ticket)
        if desk.is_busy(ticket):
            step = news.step if news else None
            row = layout.row(align=True)
            row.progress(factor=step.whole if step else 0.0, text=translated(step.stage if step else "starting"))
            row.operator("wan_animate.cancel_test_frame", icon="X", text="")
        elif news and (news.problem or news.result):
            sentence(layout, context, str(news.problem or news.result), "ERROR" if news.problem else "INFO")
        _draw_proofs(layout, ours.uid)


def _draw_proofs(layout: bpy.types.UILayout, uid: str) -> None:
    made = _made.get(uid)
    row = layout.row(align=True)
    for strength in made.pictures if made else ():
        column = row.column(align=True)
        if (preview := _previews["proofs"].get(f"{uid} {strength}")) is not None:
            column.template_icon(preview.icon_id, scale=LINES)
        column.operator("wan_animate.use_relight", text=translated(f"Use {strength:g}")).relight = strength


def _ticket(uid: str) -> str:
    return f"proof {uid}"


def _why_not(context: bpy.types.Context) -> str:
    scene, strip = identity.active(context)
    first, end = timeline.frame_range(strip)
    if desk.is_busy(_ticket(strip.wan_animate.uid)):
        return "A test frame of this strip is being made"
    return "" if first <= scene.frame_current < end else "Move the playhead onto the strip"


def _work(
    asked: commission.Request, index: int, server: Server, made: _Proofs
) -> Callable[[Cancelled], Work[str]]:  # fmt: skip
    """The frames that are asked for exported in a Blender of its own, and rendered. Raises `Problem`."""
    checks.check_all([asked])
    copy = background.save_copy()
    asked = replace(asked, root=Path(copy.name))
    words = [*background.blender(copy, [asked]), "--command", *background.command(asked)]

    def work(cancelled: Cancelled) -> Work[str]:
        with copy:
            folder = yield from background.export(words, copy.name, asked.root / asked.name, cancelled)
            target = Path(made.folder.name)
            show = made.pictures.__setitem__
            return (yield from proof.proofs(server, folder, FIRST_FRAME + index, target, cancelled, show))

    return work


def _replace(uid: str, made: _Proofs) -> None:
    """Forget the pictures of an earlier test of the strip."""
    for strength in proof.STRENGTHS:
        _previews["proofs"].pop(f"{uid} {strength}", None)
    if uid in _made:
        _made[uid].folder.cleanup()
    _made[uid] = made


def _show(uid: str, _: News) -> None:
    """Let Blender read the pictures that have arrived."""
    previews = _previews["proofs"]
    for strength, file in list(_made[uid].pictures.items()):
        name = f"{uid} {strength}"
        if name not in previews:
            previews.load(name, str(file), "IMAGE")


classes = (
    WAN_ANIMATE_OT_test_frame, WAN_ANIMATE_OT_cancel_test_frame, WAN_ANIMATE_OT_use_relight, WAN_ANIMATE_PT_test_frame
)  # fmt: skip
_register, _unregister = bpy.utils.register_classes_factory(classes)


def register() -> None:
    _register()
    _previews["proofs"] = bpy.utils.previews.new()


def unregister() -> None:
    bpy.utils.previews.remove(_previews.pop("proofs"))
    for made in _made.values():
        made.folder.cleanup()
    _made.clear()
    _unregister()
