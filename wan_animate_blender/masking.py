"""Choosing the matte's edge and the region, and looking at both over the preview. Thin; they are made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import gpu
import numpy as np
from gpu_extras.batch import batch_for_shader

from . import desk, identity, overlay, preview
from .language import grey, refuse
from .person import WanAnimatePerson
from .request import request
from .sidebar import BelowStrip
from .wire import Mode, Problem

RENDERED = ("RIG", "COLLECTION")
"""Mattes from 3D."""


class _Shown:
    """What lies over the preview now. There is one to look at, so one is kept."""

    strip: str = ""
    preview: preview.Preview | None = None
    texture: Any = None
    """The tint on the graphics card, once it has been drawn."""


def shown(scene: bpy.types.Scene, strip: bpy.types.ID | None) -> preview.Preview | None:
    """The tint that belongs over the current frame of `strip`, if one was asked for."""
    found = _Shown.preview
    return found if found and strip and (_Shown.strip, found.frame) == (strip.name, scene.frame_current) else None


class WAN_ANIMATE_OT_preview_matte(bpy.types.Operator):
    bl_idname = "wan_animate.preview_matte"
    bl_label = "Preview Matte"
    bl_description = (
        "Make matte and region of the current frame as they will be exported, and show them over the preview: what is "
        "removed in red, what else may become new in blue. Another frame hides them"
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if _person(context) is None:
            return grey(cls, "Select the strip of a plate in which a person is to be replaced")
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        scene, strip = identity.active(context)
        try:
            found = preview.look(request(scene, strip, Path()), scene.frame_current)
        except Problem as problem:
            return refuse(self, problem)
        _Shown.strip, _Shown.preview, _Shown.texture = strip.name, found, None
        desk.redraw()
        return {"FINISHED"}


class WAN_ANIMATE_PT_matte(BelowStrip, bpy.types.Panel):
    bl_label = "Matte and Region"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return _person(context) is not None

    def draw(self, context: bpy.types.Context) -> None:
        layout, ours = self.layout, identity.active(context)[1].wan_animate
        person = ours.person
        layout.use_property_split, layout.use_property_decorate = True, False
        column = layout.column(align=True)
        column.prop(person, "matte_grow")
        column.prop(person, "matte_feather")
        if person.matte in RENDERED:
            layout.prop(person, "motion_blur")
        elif person.matte == "STRIP":
            layout.prop(person, "matte_channel")
        layout.prop(person, "region")
        column = layout.column(align=True)
        if person.region == "AUTO":
            column.prop(person, "region_grow")
        else:
            column.prop(person, f"region_{person.region.lower()}")
        column.prop(person, "region_feather")
        layout.prop(ours, "roi")
        layout.prop(ours, "clean_plate")
        layout.prop(person, "effects")
        if person.effects != "NONE":
            layout.prop(person, f"effects_{person.effects.lower()}")
        layout.operator("wan_animate.preview_matte", icon="IMAGE_ALPHA")


def _person(context: bpy.types.Context) -> WanAnimatePerson | None:
    """The active one, if it is to be replaced."""
    strip = identity.active(context)[1]
    ours = strip.wan_animate if strip else None
    return ours.person if ours and not ours.take and ours.mode == Mode.REPLACE else None


# --- drawing --------------------------------------------------------------------------------------


def _draw() -> None:
    space, (scene, strip) = bpy.context.space_data, identity.active(bpy.context)
    found = shown(scene, strip)
    if found is None or space.display_mode != "IMAGE" or not space.show_overlays:
        return
    _Shown.texture = _Shown.texture or _upload(found.tint())
    height, width = found.matte.shape
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], np.float32)
    places = np.c_[corners * (width, height), np.ones(4)] @ found.matrix.T
    shader = gpu.shader.from_builtin("IMAGE")
    content = {"pos": places[:, :2].astype(np.float32), "texCoord": corners}
    batch = batch_for_shader(shader, "TRIS", content, indices=((0, 1, 2), (0, 2, 3)))
    with overlay.on_canvas(scene.render):
        gpu.state.blend_set("ALPHA")
        shader.uniform_sampler("image", _Shown.texture)
        batch.draw(shader)
        gpu.state.blend_set("NONE")


def _upload(tint: np.ndarray) -> Any:
    height, width = tint.shape[:2]
    return gpu.types.GPUTexture(
        (width, height), format="RGBA16F", data=gpu.types.Buffer("FLOAT", tint.size, tint.ravel())
    )


_register, _unregister = bpy.utils.register_classes_factory((WAN_ANIMATE_OT_preview_matte, WAN_ANIMATE_PT_matte))
_drawing: list[Any] = []


def register() -> None:
    _register()
    if not bpy.app.background:  # else nothing is drawn, and 4.2 has no graphics there
        _drawing.append(bpy.types.SpaceSequenceEditor.draw_handler_add(_draw, (), "PREVIEW", "POST_VIEW"))


def unregister() -> None:
    while _drawing:
        bpy.types.SpaceSequenceEditor.draw_handler_remove(_drawing.pop(), "PREVIEW")
    _Shown.preview = _Shown.texture = None
    _unregister()
