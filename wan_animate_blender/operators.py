"""What an artist can do: connect, generate, cancel, import, reveal. Thin; the work is done elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import bpy

from . import clip, connection, desk, identity, jobs, plate, preflight, resumption, take, timeline
from .generation import generation
from .language import grey, refuse, tell
from .preferences import chosen_server, preferences, shots_folder
from .request import prepare, scene_of
from .session import News
from .wire import Problem, RasterKind


class WAN_ANIMATE_OT_connect(bpy.types.Operator):
    bl_idname = "wan_animate.connect"
    bl_label = "Test Connection"
    bl_description = "Go the way to the server of the preferences step by step, and name the one that fails"

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            server = chosen_server()
            desk.start(desk.CONNECTION, lambda _: connection.walk(server), hear=_connected)
        except Problem as problem:
            return refuse(self, problem)
        return {"FINISHED"}


class WAN_ANIMATE_OT_generate(bpy.types.Operator):
    bl_idname = "wan_animate.generate"
    bl_label = "Generate"
    bl_description = "Export the active strip, have it rendered by the server, and put the take above it"
    bl_options: ClassVar[set[str]] = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        reason = preflight.why_not(context)
        return grey(cls, reason)

    def execute(self, context: bpy.types.Context) -> set[str]:
        scene, strip = identity.active(context)
        try:
            server = chosen_server()
            requests = prepare(scene, strip, shots_folder())
            desk.start(strip.wan_animate.uid, generation(requests, server), imports=preferences().imports)
        except Problem as problem:
            return refuse(self, problem)
        return {"FINISHED"}


class WAN_ANIMATE_OT_cancel(bpy.types.Operator):
    bl_idname = "wan_animate.cancel"
    bl_label = "Cancel"
    bl_description = "Stop what is being made of the active strip; segments that are finished are kept on the server"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        _, strip = identity.active(context)
        if strip is None or not desk.is_busy(strip.wan_animate.uid):
            return grey(cls, "Nothing is being made of the active strip")
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        desk.cancel(identity.active(context)[1].wan_animate.uid)
        return {"FINISHED"}


class WAN_ANIMATE_OT_camera_from_clip(bpy.types.Operator):
    bl_idname = "wan_animate.camera_from_clip"
    bl_label = "Camera from Clip"
    bl_description = "Take camera, lens and first frame of the strip from its solved movie clip"
    bl_options: ClassVar[set[str]] = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        _, strip = identity.active(context)
        if strip is None or not strip.wan_animate.lens_clip:
            return grey(cls, "Choose a clip for the lens of the active strip")
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        scene, strip = identity.active(context)
        ours = strip.wan_animate
        person = ours.person or ours.add_person()
        stage = scene_of(person) or context.scene
        try:
            raster = plate.raster(scene, strip, RasterKind(ours.raster))
            start = clip.start(ours.lens_clip, scene, strip, raster)
            ours.camera = clip.camera(ours.lens_clip, stage, aspect=stage != scene)
        except Problem as problem:
            return refuse(self, problem)
        ours.lens = "CLIP"
        for person in ours.people:
            person.rig_time, person.use_rig_start, person.rig_start = "source", True, start
        return tell(self, f"The camera {ours.camera.name!r} of {stage.name!r} moves as the clip was solved")


class WAN_ANIMATE_OT_import_take(bpy.types.Operator):
    bl_idname = "wan_animate.import_take"
    bl_label = "Import Take"
    bl_description = "Put a finished take above the strip that it was made from"
    bl_options: ClassVar[set[str]] = {"REGISTER", "UNDO"}

    directory: bpy.props.StringProperty(
        name="Take",
        description="Folder of the take, such as SH010/takes/v001",
        subtype="DIR_PATH",
        options={"SKIP_SAVE"},
    )
    make_room: bpy.props.BoolProperty(
        name="Make Room", description="Move titles and all else above the strip up by a channel, where none is free"
    )
    use_in_effects: bpy.props.BoolProperty(
        name="Use in Effects", description="Let transitions and other effects on the strip show the take instead of it"
    )
    matte: bpy.props.BoolProperty(name="Matte", description="Import the take's matte, too, as a muted strip")
    comp: bpy.props.BoolProperty(name="Comp", description="Import the take's whole picture, too, as a muted strip")
    mute_source: bpy.props.BoolProperty(name="Mute Plate", description="Mute the strip that the take was made from")

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if not self.directory:
            context.window_manager.fileselect_add(self)
            return {"RUNNING_MODAL"}
        return self.execute(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        folder = Path(bpy.path.abspath(self.directory))
        options = take.Options(
            beside=tuple(layer for layer in ("matte", "comp") if getattr(self, layer)),
            make_room=self.make_room,
            use_in_effects=self.use_in_effects,
            mute_source=self.mute_source,
        )
        try:
            new = take.import_take(timeline.sequencer_scene(context), folder, options=options)
        except Problem as problem:
            return refuse(self, problem)
        return tell(self, take.summary(new[0]))


class WAN_ANIMATE_OT_reveal(bpy.types.Operator):
    bl_idname = "wan_animate.reveal"
    bl_label = "Open Folder"
    bl_description = "Show the exports and takes of the active strip in the file browser of the system"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        _, strip = identity.active(context)
        if strip is None or not strip.wan_animate.shot:
            return grey(cls, "Nothing was made of the active strip yet")
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            folder = shots_folder() / identity.active(context)[1].wan_animate.shot
        except Problem as problem:
            return refuse(self, problem)
        return bpy.ops.wm.path_open(filepath=str(folder))


def _connected(news: News) -> None:
    """What waited for a server goes on."""
    if news.result:
        desk.latest.pop(jobs.TICKET, None)
        resumption.resume()


register, unregister = bpy.utils.register_classes_factory((
    WAN_ANIMATE_OT_connect,
    WAN_ANIMATE_OT_generate,
    WAN_ANIMATE_OT_cancel,
    WAN_ANIMATE_OT_camera_from_clip,
    WAN_ANIMATE_OT_import_take,
    WAN_ANIMATE_OT_reveal,
))  # fmt: skip
