"""Takes the place of a window that the wheel does not have: draws panels on paper, and is Blender's timer."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import bpy
from serving import Served

from wan_animate_blender import desk

PREFERENCES = "wan_animate_blender"


def use(served: Served) -> None:
    preferences = bpy.context.preferences.addons[PREFERENCES].preferences
    preferences.url, preferences.token = served.url, served.token


def until_done(ticket: str, seconds: float = 60.0) -> list[float]:
    """Be Blender's timer until the work is over; how long each tick took."""
    ticks, deadline = [], time.monotonic() + seconds
    while True:
        began = time.monotonic()
        again = desk.tick()
        ticks.append(time.monotonic() - began)
        if again is None:
            return ticks
        assert time.monotonic() < deadline, desk.latest.get(ticket)
        time.sleep(0.02)


class Paper:
    """Takes the place of a layout: refuses what Blender's would refuse, and remembers what was drawn."""

    def __init__(self, drawn: list[str]) -> None:
        self.drawn = drawn

    def _part(self, **_: Any) -> Paper:
        return Paper(self.drawn)

    row = column = _part

    def prop(self, data: Any, name: str) -> None:
        assert name in data.bl_rna.properties.keys()  # noqa: SIM118
        self.drawn.append(name)

    def template_ID(self, data: Any, name: str, *, open: str, text: str) -> None:  # noqa: N802
        self.prop(data, name)

    def label(self, *, text: str, icon: str) -> None:
        assert icon in bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"].enum_items
        self.drawn.append(text)

    def operator(self, name: str, *, icon: str, text: str = "", emboss: bool = True) -> SimpleNamespace:
        assert hasattr(bpy.types, name.replace("wan_animate.", "WAN_ANIMATE_OT_"))
        assert icon in bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"].enum_items
        self.drawn.append(name)
        return SimpleNamespace()

    def panel(self, name: str, *, default_closed: bool) -> tuple[Paper, Paper]:
        """Unfolded, so that everything in it is drawn."""
        self.drawn.append(name)
        return self._part(), self._part()

    def template_icon(self, icon_value: int, *, scale: float) -> None:
        assert icon_value >= 0  # 0 in a Blender without a window
        self.drawn.append("picture")

    def template_list(self, kind: str, _: str, data: Any, name: str, of: Any, active: str, *, rows: int) -> None:
        assert hasattr(bpy.types, kind)
        assert active in of.bl_rna.properties.keys()  # noqa: SIM118
        self.prop(data, name)

    def separator(self) -> None:
        self.drawn.append("")

    def progress(self, *, factor: float, text: str) -> None:
        self.drawn.append(f"{factor:.2f} {text}")


class Sidebar:
    """Of the context, what a panel needs of a window that is not there."""

    width, ui_scale = 300, 1.0


def draw(panel: type) -> list[str]:
    """What a panel draws of the active strip."""
    drawn: list[str] = []

    class Context:
        region, scene = Sidebar, bpy.context.scene

        class preferences:
            system = Sidebar

    class Itself:
        layout = Paper(drawn)

    panel.draw(Itself, Context)
    return drawn
