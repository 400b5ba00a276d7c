"""The panel *Wan Animate* in the sidebar of sequencer and preview. Draws what is known, finds out nothing."""

from __future__ import annotations

from collections.abc import Callable

import bpy

from . import casting, desk, identity, people, preflight, presets
from .board import spoken
from .delivery import AWAY
from .language import listed, translated
from .person import WanAnimatePerson
from .properties import WanAnimateStrip
from .session import News
from .sidebar import BelowStrip, InSidebar, sentence
from .wire import Interrupted

FACE_FIELDS = {"rig": "face_engine", "driving": "face_strip", "still": "face_still"}
"""What has to be chosen for each source of the expression."""
MATTE_FIELDS = {"COLLECTION": "matte_collection", "MASK": "matte_mask", "STRIP": "matte_strip"}
"""The same for the matte."""


class WAN_ANIMATE_PT_strip(InSidebar, bpy.types.Panel):
    bl_label = "Wan Animate"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split, layout.use_property_decorate = True, False
        _, strip = identity.active(context)
        if strip is None or strip.wan_animate.take:
            sentence(layout, context, preflight.why_not(context), "INFO")
            layout.operator("wan_animate.import_take", icon="IMPORT")
            return
        row = layout.row()
        row.label(text=strip.name, translate=False, icon="SEQUENCE")
        if len(strip.wan_animate.people) == 1:
            row.operator("wan_animate.add_person", icon="COMMUNITY", text="", emboss=False)
        _fields(layout, context, strip.wan_animate)
        row = layout.row()
        row.scale_y = 1.4
        row.operator("wan_animate.generate", icon="RENDER_ANIMATION")
        _progress(layout, context, strip.wan_animate.uid)
        row = layout.row(align=True)
        row.operator("wan_animate.import_take", icon="IMPORT")
        row.operator("wan_animate.reveal", icon="FILE_FOLDER", text="")


class WAN_ANIMATE_PT_advanced(BelowStrip, bpy.types.Panel):
    bl_label = "Advanced"
    bl_order = 2  # after all others

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split, layout.use_property_decorate = True, False
        ours = identity.active(context)[1].wan_animate
        if person := ours.person:
            column = layout.column(align=True)
            for name in ("rig_scene", "rig_time", "use_rig_start", "rig_start")[: 3 + person.use_rig_start]:
                column.prop(person, name)
        presets.draw(layout, context)
        for names in (
            ("shot", "raster", "handles"),
            ("model", "precision", "steps", "solver", "seed"),
            ("relight", "loras", "guidance", "prompt"),
            ("segment", "overlap", "plan", "area"),
            ("transform", "highlights")[: 1 + (ours.transform == "utility")],
        ):
            column = layout.column(align=True)
            for name in names:
                column.prop(ours, name)


class WAN_ANIMATE_PT_finish(BelowStrip, bpy.types.Panel):
    bl_label = "Finish and Delivery"
    bl_order = 1

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split, layout.use_property_decorate = True, False
        finish = identity.active(context)[1].wan_animate.finish
        layout.prop(finish, "seams")
        if identity.active(context)[1].wan_animate.mode == "replace":
            for name in ("grain", "match_sharpness", "alpha", "effects"):
                layout.prop(finish, name)
        layout.prop(finish, "format")
        layout.column(align=True).prop(finish, "layers")
        layout.prop(finish, "convention")
        column = layout.column(align=True)
        for name in ("template", "show", "sequence", "shot_code", "first"):
            column.prop(finish, name)
        column = layout.column(align=True)
        for name in ("by", "consent"):
            column.prop(identity.active(context)[1].wan_animate, name)


class WAN_ANIMATE_PT_camera(BelowStrip, bpy.types.Panel):
    bl_label = "Camera"

    def draw_header_preset(self, context: bpy.types.Context) -> None:
        """Seen while the panel is closed, too."""
        if "lens" in (preflight.problems(context) or {}):
            self.layout.label(text="", icon="ERROR")

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split, layout.use_property_decorate = True, False
        ours = identity.active(context)[1].wan_animate
        layout.prop(ours, "camera")
        layout.prop(ours, "lens")
        if ours.lens == "CLIP":
            layout.template_ID(ours, "lens_clip", open="clip.open", text="Clip")
            layout.operator("wan_animate.camera_from_clip", icon="CAMERA_DATA")
        elif ours.lens == "MAP":
            layout.template_ID(ours, "lens_map", open="image.open", text="Map")
            layout.prop(ours, "lens_map_use")
        if problem := (preflight.problems(context) or {}).get("lens"):
            sentence(layout, context, problem, "ERROR")


def _fields(layout: bpy.types.UILayout, context: bpy.types.Context, ours: WanAnimateStrip) -> None:
    """What has to be chosen, each with the sentence about what is wrong with it."""
    problems = preflight.problems(context) or {}

    def complain(about: str) -> None:
        if about in problems:
            sentence(layout, context, problems[about], "ERROR")
        elif about == desk.CHARACTER and (news := desk.latest.get(about)):
            text = str(news.problem or news.result or "The server looks at the picture")
            sentence(layout, context, text, "INFO")

    complain("strip")
    layout.prop(ours, "mode")
    people.draw(layout, ours)
    complain("people")
    if ours.person:
        _person(layout, ours.mode, ours.person, complain)
    for about in ("region", "clean plate", "effects", "shot", "folder", "settings"):
        complain(about)


def _person(
    layout: bpy.types.UILayout, mode: str, person: WanAnimatePerson, complain: Callable[[str], None]
) -> None:  # fmt: skip
    layout.prop(person, "rig")
    complain("rig")
    casting.draw(layout, person)
    complain("character")
    if mode == "replace":
        layout.prop(person, "matte")
        if source := MATTE_FIELDS.get(person.matte):
            layout.prop(person, source)
        complain("matte")
    layout.prop(person, "face")
    if source := FACE_FIELDS.get(person.face):
        layout.prop(person, source)
    complain("face")


def _progress(layout: bpy.types.UILayout, context: bpy.types.Context, ticket: str) -> None:
    """How far the work on the strip is, or how it ended."""
    news = desk.latest.get(ticket)
    if desk.is_busy(ticket):
        if news and news.step and news.step.person:
            layout.label(text=translated(news.step.person), icon="OUTLINER_OB_ARMATURE")
        row = layout.row(align=True)
        row.progress(factor=_factor(news), text=_stage(news))
        row.operator("wan_animate.cancel", icon="X", text="")
    elif news and news.problem:
        sentence(layout, context, str(news.problem), "INFO" if isinstance(news.problem, Interrupted) else "ERROR")
    elif news:
        sentence(layout, context, news.result or "", "CHECKMARK")


def _factor(news: News | None) -> float:
    return news.step.whole if news and news.step else 0.0


def _stage(news: News | None) -> str:
    """Such as "denoising, segment 2 of 3, 4 min left"."""
    if news is None or news.step is None:
        return translated("starting")
    return listed(spoken(news.step.job)) if news.step.job and news.step.stage != AWAY else translated(news.step.stage)


register, unregister = bpy.utils.register_classes_factory(
    (WAN_ANIMATE_PT_strip, WAN_ANIMATE_PT_camera, WAN_ANIMATE_PT_finish, WAN_ANIMATE_PT_advanced)
)
