"""The panel of the character's build: its lengths, taken from another rig or set by eye over the character's picture.

Thin; lengths are retarget.py's, drawing is figure.py's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import bpy
import bpy.utils.previews
import numpy as np

from . import armature, commission, figure, identity, pose, preferences, retarget
from .language import grey, refuse
from .request import request
from .sidebar import BelowStrip, sentence
from .wire import BadInput, Problem

SIDE = 512
"""Pixels of the longer side of the character's picture in the panel."""
LINES = 14.0
"""Side of the picture in lines of the panel."""
GREY = 0.18
"""Behind the figure while no picture is chosen."""

_previews: dict[str, bpy.utils.previews.ImagePreviewCollection] = {}
"""The one picture that is shown, while the add-on is registered."""
_shown = {"": "", "problem": ""}
"""What the picture is about (""), and why there is none."""


class WAN_ANIMATE_OT_take_proportions(bpy.types.Operator):
    bl_idname = "wan_animate.take_proportions"
    bl_label = "Take Over"
    bl_description = "Set the lengths so that the figure is built as the chosen rig is at rest"
    bl_options: ClassVar[set[str]] = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        person = identity.person(context)
        if person is None or person.rig is None or person.proportions.rig is None:
            return grey(cls, "Choose a rig that is built as the character is")
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        person = identity.person(context)
        theirs, ours = person.proportions.rig, person.rig
        try:
            mine = armature.at_rest(ours, armature.fit(ours, person.assignment()))
            found = retarget.between(mine, armature.at_rest(theirs, armature.fit(theirs)))
        except Problem as problem:
            return refuse(self, problem)
        person.proportions.write(replace(found, x=person.proportions.x, y=person.proportions.y))
        return {"FINISHED"}


class WAN_ANIMATE_OT_reset_proportions(bpy.types.Operator):
    bl_idname = "wan_animate.reset_proportions"
    bl_label = "Reset"
    bl_description = "Build the figure as the rig is"
    bl_options: ClassVar[set[str]] = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return identity.person(context) is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        identity.person(context).proportions.write(retarget.Retarget())
        return {"FINISHED"}


class WAN_ANIMATE_PT_proportions(BelowStrip, bpy.types.Panel):
    bl_label = "Proportions"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        person = identity.person(context)
        return person is not None and person.rig is not None

    def draw(self, context: bpy.types.Context) -> None:
        layout, ours = self.layout, identity.person(context).proportions
        layout.use_property_split, layout.use_property_decorate = True, False
        _draw_picture(layout, context)
        row = layout.row(align=True)
        row.prop(ours, "rig")
        row.operator("wan_animate.take_proportions", icon="CON_SIZELIKE", text="")
        for names in (
            ("scale", "x", "y"),
            ("trunk", "neck", "head", "shoulders", "hips"),
            ("upper_arm", "forearm", "hand"),
            ("thigh", "shank", "foot"),
        ):
            column = layout.column(align=True)
            for name in names:
                column.prop(ours, name)
        layout.operator("wan_animate.reset_proportions", icon="LOOP_BACK", text="Reset")


# --- the figure on the character's picture ------------------------------------------------------------


def _draw_picture(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """The picture as it was last made; a newer one is made between two drawings, for now nothing may be evaluated."""
    if _shown[""] != _question(context):
        if bpy.app.background:
            _make()
        elif not bpy.app.timers.is_registered(_make):
            bpy.app.timers.register(_make, first_interval=0.01)
    if _shown["problem"]:
        sentence(layout, context, _shown["problem"], "ERROR")
    elif "sheet" in _previews["figure"]:
        layout.template_icon(_previews["figure"]["sheet"].icon_id, scale=LINES)


def _question(context: bpy.types.Context) -> str:
    """Changes whenever the picture does."""
    person = identity.person(context)
    stage = person.rig.users_scene[0] if person.rig.users_scene else context.scene
    picture = person.character.name_full if person.character else ""
    return repr((person.proportions.read(), person.rig.name_full, person.bones, picture, stage.frame_current_final))


def _make() -> None:
    """Called by Blender's timer."""
    context = bpy.context
    if (person := identity.person(context)) is None or person.rig is None:
        return
    _shown.update({"": _question(context), "problem": ""})
    try:
        _show(sheet(_view(context), person.character))
    except Problem as problem:
        _shown["problem"] = str(problem)
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "SEQUENCE_EDITOR":
                area.tag_redraw()


def _view(context: bpy.types.Context) -> pose.View:
    """Of the active person. Raises `BadInput`."""
    scene, strip = identity.active(context)
    return commission.view(request(scene, strip, preferences.shots_folder()))


def sheet(view: pose.View, image: bpy.types.Image | None) -> figure.Picture:
    """The rig's pose at its scene's current time on the character's picture, as the model will be told to move it.

    At most `SIDE` pixels high and wide; grey where no picture is chosen. Raises `BadInput`.
    """
    pose.check(view)
    picture = _small(image) if image else _grey(view.width, view.height)
    height, width = picture.shape[:2]
    points = figure.placed(pose.now(view), (view.width, view.height), (width, height))
    return figure.draw(picture, points)


def _grey(width: int, height: int) -> figure.Picture:
    scale = SIDE / max(width, height)
    return np.full((max(round(height * scale), 1), max(round(width * scale), 1), 4), [GREY] * 3 + [1.0], np.float32)


def _small(image: bpy.types.Image) -> figure.Picture:
    """Every so many pixels of a picture, so that it is at most `SIDE` high and wide; opaque, as the model takes it."""
    width, height = image.size
    if not width or not height:
        raise BadInput(f"the character picture {image.name!r} cannot be read; choose another one")
    pixels = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(pixels)
    step = -(-max(width, height) // SIDE)
    few = pixels.reshape(height, width, -1)[::-1][::step, ::step]
    picture = np.ones((*few.shape[:2], 4), np.float32)
    picture[..., :3] = few[..., :3] if few.shape[2] >= 3 else few[..., :1]
    return picture


def _show(picture: figure.Picture) -> None:
    previews = _previews["figure"]
    preview = previews.get("sheet") or previews.new("sheet")
    preview.image_size = picture.shape[1], picture.shape[0]
    preview.image_pixels_float.foreach_set(np.ascontiguousarray(picture[::-1]).ravel())


classes = (WAN_ANIMATE_OT_take_proportions, WAN_ANIMATE_OT_reset_proportions, WAN_ANIMATE_PT_proportions)
_register, _unregister = bpy.utils.register_classes_factory(classes)


def register() -> None:
    _register()
    _previews["figure"] = bpy.utils.previews.new()


def unregister() -> None:
    bpy.utils.previews.remove(_previews.pop("figure"))
    _shown.update({"": "", "problem": ""})
    _unregister()
