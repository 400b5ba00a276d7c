"""What an artist can do: connect, generate, cancel, import, reveal. Thin; the work is done elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import bpy

from . import background, desk, export, identity, preflight, take, timeline
from .client import Server
from .preferences import chosen_server, shots_folder
from .request import prepare
from .session import Cancelled, Step, Work, deliver
from .wire import BadInput, Problem


class WAN_ANIMATE_OT_connect(bpy.types.Operator):
    bl_idname = "wan_animate.connect"
    bl_label = "Test Connection"
    bl_description = "Ask the server of the preferences whether it is there, of this release, and takes the token"

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            server = chosen_server()
            desk.start(desk.CONNECTION, lambda _: _ask(server))
        except Problem as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        return {"FINISHED"}


class WAN_ANIMATE_OT_generate(bpy.types.Operator):
    bl_idname = "wan_animate.generate"
    bl_label = "Generate"
    bl_description = "Export the active strip, have it rendered by the server, and put the take above it"
    bl_options: ClassVar[set[str]] = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        reason = preflight.why_not(context)
        if reason:
            cls.poll_message_set(reason)
        return not reason

    def execute(self, context: bpy.types.Context) -> set[str]:
        scene, strip = identity.active(context)
        try:
            server = chosen_server()
            request = prepare(scene, strip, shots_folder())[0]
            desk.start(request.uid, _generation(request, server))
        except Problem as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        return {"FINISHED"}


class WAN_ANIMATE_OT_cancel(bpy.types.Operator):
    bl_idname = "wan_animate.cancel"
    bl_label = "Cancel"
    bl_description = "Stop what is being made of the active strip; segments that are finished are kept on the server"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        _, strip = identity.active(context)
        if strip is None or not desk.is_busy(strip.wan_animate.uid):
            cls.poll_message_set("Nothing is being made of the active strip")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        desk.cancel(identity.active(context)[1].wan_animate.uid)
        return {"FINISHED"}


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

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if not self.directory:
            context.window_manager.fileselect_add(self)
            return {"RUNNING_MODAL"}
        return self.execute(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        folder = Path(bpy.path.abspath(self.directory))
        try:
            new = take.import_take(timeline.sequencer_scene(context), folder)
        except Problem as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        self.report({"INFO"}, take.summary(new[0]))
        return {"FINISHED"}


class WAN_ANIMATE_OT_reveal(bpy.types.Operator):
    bl_idname = "wan_animate.reveal"
    bl_label = "Open Folder"
    bl_description = "Show the exports and takes of the active strip in the file browser of the system"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        _, strip = identity.active(context)
        if strip is None or not strip.wan_animate.shot:
            cls.poll_message_set("Nothing was made of the active strip yet")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            folder = shots_folder() / identity.active(context)[1].wan_animate.shot
        except Problem as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        return bpy.ops.wm.path_open(filepath=str(folder))


def _ask(server: Server) -> Work[str]:
    yield Step(stage="connecting", progress=0.0)
    health = server.health()
    return f"Connected: version {health.version}, models {', '.join(health.models) or 'none'}"


def _generation(request: export.Request, server: Server) -> Callable[[Cancelled], Work[str]]:
    """Export and delivery as one work: the export in a Blender of its own, or here and now where there is no binary."""
    if not bpy.app.binary_path:
        folder = background.in_place(request, lambda _: None)
        return lambda cancelled: deliver(server, folder, cancelled)
    if problems := export.check(request):
        raise BadInput(problems[0])
    copy = background.save_copy()
    arguments = background.command(copy, request)

    def work(cancelled: Cancelled) -> Work[str]:
        folder = yield from background.export(arguments, copy, request.root / request.name, cancelled)
        return (yield from deliver(server, folder, cancelled))

    return work


register, unregister = bpy.utils.register_classes_factory((
    WAN_ANIMATE_OT_connect,
    WAN_ANIMATE_OT_generate,
    WAN_ANIMATE_OT_cancel,
    WAN_ANIMATE_OT_import_take,
    WAN_ANIMATE_OT_reveal,
))  # fmt: skip
