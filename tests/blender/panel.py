"""Takes the place of a window that the wheel does not have: draws panels on paper, and is Blender's timer."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy
from serving import PATIENCE, Served, wait_for

from wan_animate_blender import desk, jobs, listing, shelf

PREFERENCES = "wan_animate_blender"


def use(served: Served) -> None:
    preferences = bpy.context.preferences.addons[PREFERENCES].preferences
    preferences.url, preferences.token = served.url, served.token


def until_done(ticket: str) -> None:
    """Be Blender's timer until all work is over."""
    deadline = time.monotonic() + PATIENCE
    while desk.tick() is not None:
        assert time.monotonic() < deadline, desk.latest.get(ticket)
        time.sleep(0.02)


def tick_until(there: Callable[[], object]) -> None:
    """Be Blender's timer until something is there."""
    deadline = time.monotonic() + PATIENCE
    while not there():
        desk.tick()
        assert time.monotonic() < deadline, (desk.latest, jobs.board.jobs)
        time.sleep(0.02)


def look_until(there: Callable[[], object]) -> None:
    """The same with somebody who looks at the list of jobs."""

    def seen() -> object:
        jobs.board.look()
        if not desk.is_busy(jobs.TICKET):
            jobs.follow()
        return there()

    tick_until(seen)


def listed(plate: Any) -> list[str]:
    """The takes of a strip as the panel lists them."""
    shelf.close()
    listing.show(bpy.context.scene, plate)
    wait_for(lambda: listing.fill() is None)
    return [row.name for row in bpy.context.window_manager.wan_animate_takes.rows]


def frames(folder: Path, layer: str = "comp") -> dict[int, bytes]:
    """The files of a layer of the take in `folder`, by the number of the frame."""
    return {int(file.stem): file.read_bytes() for file in (folder / layer).iterdir()}


LAYOUT = bpy.types.UILayout.bl_rna.functions


class Paper:
    """Takes the place of a layout: refuses what Blender's would refuse, and remembers what was drawn."""

    def __init__(self, drawn: list[str]) -> None:
        self.drawn = drawn

    def _draw(self, function: str, what: str, **how: Any) -> None:
        """Expect that Blender's `function` takes these words, and has such an icon."""
        parameters = LAYOUT[function].parameters
        assert set(how) <= set(parameters.keys())
        assert how.get("icon", "NONE") in parameters["icon"].enum_items if "icon" in parameters else "icon" not in how
        self.drawn.append(what)

    def _part(self, **_: Any) -> Paper:
        return Paper(self.drawn)

    row = column = split = _part

    def separator(self) -> None:
        self.drawn.append("")

    def label(self, *, text: str, **how: Any) -> None:
        self._draw("label", text, **how)

    def progress(self, *, factor: float, text: str) -> None:
        self._draw("progress", f"{factor:.2f} {text}", factor=factor, text=text)

    def prop(self, data: Any, name: str, **how: Any) -> None:
        assert name in data.bl_rna.properties.keys()  # noqa: SIM118
        self._draw("prop", name, **how)

    def template_ID(self, data: Any, name: str, **how: Any) -> None:  # noqa: N802
        assert name in data.bl_rna.properties.keys()  # noqa: SIM118
        self._draw("template_ID", name, **how)

    def panel(self, name: str, *, default_closed: bool) -> tuple[Paper, Paper]:
        """Unfolded, so that everything in it is drawn."""
        self._draw("panel", name, default_closed=default_closed)
        return self._part(), self._part()

    def template_icon(self, icon_value: int, **how: Any) -> None:
        assert icon_value >= 0  # 0 in a Blender without a window
        self._draw("template_icon", "picture", **how)

    def template_list(self, kind: str, _: str, data: Any, name: str, of: Any, active: str, **how: Any) -> None:
        assert hasattr(bpy.types, kind)
        assert active in of.bl_rna.properties.keys()  # noqa: SIM118
        self._draw("template_list", name, **how)

    def operator(self, name: str, **how: Any) -> SimpleNamespace:
        assert hasattr(bpy.types, name.replace("wan_animate.", "WAN_ANIMATE_OT_"))
        self._draw("operator", name, **how)
        return SimpleNamespace()


class Sidebar:
    """Of the context, what a panel needs of a window that is not there."""

    width, ui_scale = 300, 1.0


def draw(panel: type) -> list[str]:
    """What a panel draws of the active strip."""
    drawn: list[str] = []

    class Context:
        region, scene, window_manager = Sidebar, bpy.context.scene, bpy.context.window_manager

        class preferences:
            system = Sidebar

    class Itself:
        layout = Paper(drawn)

    panel.draw(Itself, Context)
    return drawn
