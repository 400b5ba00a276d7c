"""Buttons that start and stop the server of this machine, and enter it in the preferences."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import bpy

from . import daemon, desk, resumption
from .client import Server, is_loopback
from .language import grey, refuse
from .preferences import preferences, token
from .session import News
from .wire import Problem

PORT = 8188


class WAN_ANIMATE_OT_start_server(bpy.types.Operator):
    bl_idname = "wan_animate.start_server"
    bl_label = "Start Server"
    bl_description = "Start a server on this machine and enter it here. It goes on when Blender is quit"

    @classmethod
    def poll(cls, _: bpy.types.Context) -> bool:
        if desk.is_busy(desk.SERVER) or daemon.running(_folder()):
            return grey(cls, "A server was started already; Stop Server ends it")
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        ours, folder = preferences(), _folder()
        port = urlsplit(ours.url).port if is_loopback(ours.url) else PORT
        try:
            executable = daemon.find(bpy.path.abspath(ours.executable))
            work = partial(daemon.start, executable, folder, port or PORT, ours.device)
            desk.start(desk.SERVER, work, hear=_enter)
        except Problem as problem:
            return refuse(self, problem)
        return {"FINISHED"}


class WAN_ANIMATE_OT_stop_server(bpy.types.Operator):
    bl_idname = "wan_animate.stop_server"
    bl_label = "Stop Server"
    bl_description = "End the server that was started here; its job goes on when it is started again"

    @classmethod
    def poll(cls, _: bpy.types.Context) -> bool:
        if desk.is_busy(desk.SERVER) or not daemon.running(_folder()):
            return grey(cls, "No server was started from here")
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        folder, found = _folder(), daemon.running(_folder())
        try:
            server = Server(found.url, found.token or token())
            desk.start(desk.SERVER, lambda _: daemon.stop(folder, server))
        except Problem as problem:
            return refuse(self, problem)
        return {"FINISHED"}


def _enter(news: News) -> None:
    """Let the preferences name the server that has just been started."""
    found = daemon.running(_folder())
    if not (news.result and found):
        return
    ours = preferences()
    ours.url, ours.token = found.url, found.token or ours.token
    bpy.context.preferences.is_dirty = True
    resumption.resume()


def _folder() -> Path:
    return Path(bpy.utils.user_resource("CONFIG")) / "wan_animate"


register, unregister = bpy.utils.register_classes_factory((WAN_ANIMATE_OT_start_server, WAN_ANIMATE_OT_stop_server))
