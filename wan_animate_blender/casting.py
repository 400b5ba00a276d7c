"""Choosing the character: its thumbnail, its render from the rig, and what is known of its picture before it is sent.

Thin; pictures are made and read in character.py.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import bpy
from bpy.props import FloatProperty, StringProperty

from . import armature, character, desk, identity, pose
from .client import Server
from .language import grey, refuse
from .person import WanAnimatePerson
from .preferences import chosen_server
from .request import scene_of
from .session import Cancelled, Step, Work
from .wire import Mode, Problem

THUMBNAIL = 6.0
"""Side of the thumbnail in lines of the panel."""


def _cameras(_: bpy.types.Operator, context: bpy.types.Context, text: str) -> list[str]:
    """Names for the camera's search field."""
    cameras = [thing.name for thing in _stage(context).objects if thing.type == "CAMERA"]
    return [name for name in cameras if text.lower() in name.lower()]


class WAN_ANIMATE_OT_render_character(bpy.types.Operator):
    bl_idname = "wan_animate.render_character"
    bl_label = "Render Character"
    bl_description = (
        "Render the figure on the rig as the character's picture, seen by the chosen camera at the current frame of "
        "the 3D scene: alone to replace a person, with its background to animate it"
    )
    bl_options: ClassVar[set[str]] = {"REGISTER", "UNDO"}

    frame: FloatProperty(name="Frame", description="Frame of the 3D scene at which the figure is seen")
    camera: StringProperty(name="Camera", description="Camera of the 3D scene that sees it", search=_cameras)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        person = identity.person(context)
        if person is None or person.rig is None:
            return grey(cls, "Choose the rig whose figure is to be rendered")
        return True

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        stage, camera = _stage(context), identity.active(context)[1].wan_animate.camera or _stage(context).camera
        self.frame, self.camera = stage.frame_current_final, camera.name if camera else ""
        return context.window_manager.invoke_props_dialog(self)

    def execute(self, context: bpy.types.Context) -> set[str]:
        strip, stage = identity.active(context)[1], _stage(context)
        person = strip.wan_animate.person
        size = stage.render.resolution_x, stage.render.resolution_y
        try:
            fit = armature.fit(person.rig, person.assignment())
            view = pose.View(stage, person.rig, stage.objects.get(self.camera), *size, fit=fit)
            pose.check(view)
            picture = character.render(view, self.frame, alone=strip.wan_animate.mode == Mode.REPLACE)
        except Problem as problem:
            return refuse(self, problem)
        person.character = picture
        picture.preview_ensure()
        return {"FINISHED"}


class WAN_ANIMATE_OT_check_character(bpy.types.Operator):
    bl_idname = "wan_animate.check_character"
    bl_label = "Check Picture"
    bl_description = "Let the server look for the face in the character's picture, before anything is rendered with it"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        person = identity.person(context)
        if person is None or person.character is None:
            return grey(cls, "Choose a picture of the character")
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        image = identity.person(context).character
        try:
            character.check(image)
            desk.start(desk.CHARACTER, _look(chosen_server(), image))
        except Problem as problem:
            return refuse(self, problem)
        return {"FINISHED"}


def _stage(context: bpy.types.Context) -> bpy.types.Scene:
    """The 3D scene of the active person."""
    scene, strip = identity.active(context)
    return scene_of(strip.wan_animate.person) or scene


def _look(server: Server, image: bpy.types.Image) -> Callable[[Cancelled], Work[str]]:
    """The question to the server; the picture is written here, for only this thread may read it."""
    folder = tempfile.TemporaryDirectory()
    file, name = Path(folder.name) / character.write(image, Path(folder.name)), image.name

    def work(_: Cancelled) -> Work[str]:
        with folder:
            yield Step(stage="looking", progress=0.0)
            faces = server.faces(file)
        return f"{name}: {'. '.join(character.hints(faces.width, faces.height, faces))}"

    return work


def draw(layout: bpy.types.UILayout, person: WanAnimatePerson) -> None:
    """The character's thumbnail between its buttons; sentences are the panel's."""
    layout.template_ID(person, "character", open="image.open", text="Character")
    if person.character and person.character.preview:
        layout.template_icon(person.character.preview.icon_id, scale=THUMBNAIL)
    row = layout.row(align=True)
    row.operator("wan_animate.render_character", icon="RENDER_STILL", text="Render")
    row.operator("wan_animate.check_character", icon="VIEWZOOM", text="Check")


register, unregister = bpy.utils.register_classes_factory(
    (WAN_ANIMATE_OT_render_character, WAN_ANIMATE_OT_check_character)
)
