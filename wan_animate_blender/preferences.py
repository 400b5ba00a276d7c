"""What belongs to the person and this machine, not to the film: the server, its token, the folder of shots."""

from __future__ import annotations

import os
from pathlib import Path

import bpy

from . import desk
from .client import Server, is_loopback
from .farm.transport import checked_url
from .language import translated
from .session import News
from .wire import BadInput, Unavailable

TOKEN_VARIABLE = "WAN_ANIMATE_TOKEN"

MAY_BE_RELATIVE = "is_path_supports_blend_relative" in bpy.types.Property.bl_rna.properties.keys()  # noqa: SIM118
"""Since 4.5 a path that begins with // is shown as an error unless its property says that it may."""


class WanAnimatePreferences(bpy.types.AddonPreferences):
    bl_idname = __package__

    url: bpy.props.StringProperty(
        name="Server",
        description="Address of the Wan Animate server. This machine is always allowed, others need Online Access",
        default="http://127.0.0.1:8188",
    )
    token: bpy.props.StringProperty(
        name="Token",
        description="What 'wan-animate serve' shows when it starts. Kept in the preferences, never in the .blend",
        subtype="PASSWORD",
    )
    shots: bpy.props.StringProperty(
        name="Shots",
        description="Folder for exported shots and their takes; // is the folder of the .blend",
        subtype="DIR_PATH",
        default="//wan_animate",
        options={"PATH_SUPPORTS_BLEND_RELATIVE"} if MAY_BE_RELATIVE else set(),
    )

    imports: bpy.props.BoolProperty(
        name="Import Takes",
        description="Put takes into the edit as soon as they are rendered. Off: only list them under Jobs",
        default=True,
    )

    executable: bpy.props.StringProperty(
        name="Executable",
        description="The file 'wan-animate' of the server's installation. Empty: where commands are",
        subtype="FILE_PATH",
    )
    device: bpy.props.EnumProperty(
        name="Device",
        description="What a server that is started here renders on",
        items=(("cpu", "CPU", "Works on every machine, for small models"), ("cuda", "CUDA", "An NVIDIA graphics card")),
    )

    manager: bpy.props.StringProperty(
        name="Flamenco Manager",
        description="Address of the Flamenco Manager of the studio, such as http://manager:8080. Empty: there is none",
    )

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "url")
        layout.prop(self, "token")
        layout.prop(self, "shots")
        layout.prop(self, "imports")
        layout.operator("wan_animate.connect", icon="LINKED")
        _news(layout, desk.CONNECTION)
        layout.separator()
        layout.prop(self, "executable")
        layout.prop(self, "device")
        row = layout.row(align=True)
        row.operator("wan_animate.start_server", icon="PLAY")
        row.operator("wan_animate.stop_server", icon="PAUSE")
        _news(layout, desk.SERVER)
        layout.separator()
        layout.prop(self, "manager")


def _news(layout: bpy.types.UILayout, ticket: str) -> None:
    if news := desk.latest.get(ticket):
        stage = news.step and f"Now: {news.step.stage}"
        layout.label(text=translated(str(news.problem or news.result or stage)), icon=_icon(news))


def _icon(news: News) -> str:
    if news.problem:
        return "ERROR"
    return "CHECKMARK" if news.result else "TIME"


def preferences() -> WanAnimatePreferences:
    return bpy.context.preferences.addons[__package__].preferences


def chosen_server() -> Server:
    """The server of the preferences. Raises `Problem` when it may not be asked."""
    return server(preferences().url, token())


def token() -> str:
    return os.environ.get(TOKEN_VARIABLE) or preferences().token


def server(url: str, token: str) -> Server:
    """Raises `Unavailable` for another machine while Blender's online access is off."""
    chosen = Server(url, token)
    expect_allowed(url)
    return chosen


def expect_allowed(url: str) -> None:
    """Raise `Unavailable` for another machine while Blender's online access is off."""
    if not (is_loopback(url) or bpy.app.online_access):
        raise Unavailable(
            f"{url} is another machine and Blender's online access is off; "
            "allow it under Preferences, System, Network, or use a server on this machine"
        )


def chosen_manager() -> str:
    """Address of the Flamenco Manager; empty where there is none. Raises `Problem` when it may not be asked."""
    url = preferences().manager
    if not url:
        return ""
    expect_allowed(url)
    return checked_url(url)


def shots_folder() -> Path:
    """Where exports and takes go. Raises `BadInput` when that depends on a .blend that was never saved."""
    folder = preferences().shots
    if folder.startswith("//") and not bpy.data.filepath:
        raise BadInput("the shots folder is relative to a .blend that was never saved; save it, or set another folder")
    return Path(bpy.path.abspath(folder))


register, unregister = bpy.utils.register_classes_factory((WanAnimatePreferences,))
