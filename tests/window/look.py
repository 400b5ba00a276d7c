"""Runs inside a Blender with a window: shows the scene's preview with and without overlay and keeps what is drawn.

`blender --python look.py -- FOLDER` with FOLDER/scene.blend and the package beside it. Writes what the overlay drew as
.npy and numbers as look.json.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy
import gpu
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from stage import FOLDER, pin, play, region_of, shown

import wan_animate_blender
from wan_animate_blender import overlay

FRAME = 12
"""Of the edit: the third of the footage."""
UNKEYED = 0.25
"""Where the rig is put at the stage's own frame, without a key: going to another frame and back would lose it."""
PATIENCE = 30.0
Facts = dict[str, Any]


def main() -> Iterator[float]:
    """The steps; between two of them Blender draws and waits for so many seconds."""
    facts: Facts = {}
    window = bpy.context.window_manager.windows[0]
    edit, stage = bpy.data.scenes["edit"], bpy.data.scenes["stage"]
    area = show(window, edit, stage)
    yield 1.0
    edit.frame_set(FRAME)
    rig = bpy.data.objects["metarig"]
    rig.location.x = UNKEYED
    with bpy.context.temp_override(window=window, area=area, region=view_of(area)):
        bpy.ops.sequencer.view_all_preview()
    ours = bpy.context.window_manager.wan_animate_overlay
    for name, skeleton, wipe in (("plain", False, False), ("skeleton", True, False), ("wipe", True, True)):
        ours.preview, ours.wipe, ours.divider = skeleton, wipe, 0.6
        yield from until_found(skeleton)
        yield from keep(area, name, facts)
    yield from count_draws(area, facts)
    facts["frames"] = [edit.frame_current, stage.frame_current]
    facts["place"], facts["scenes"] = rig.location.x, sorted(bpy.data.scenes.keys())
    yield from in_three_dimensions(window, stage, facts)
    (FOLDER / "look.json").write_text(json.dumps(facts))


def show(window: bpy.types.Window, edit: bpy.types.Scene, stage: bpy.types.Scene) -> bpy.types.Area:
    """The preview in the largest area."""
    pin(window, edit, stage)
    area = max(window.screen.areas, key=lambda each: each.width * each.height)
    area.type = "SEQUENCE_EDITOR"
    area.spaces[0].view_type, area.spaces[0].show_region_ui = "PREVIEW", False
    return area


def view_of(area: bpy.types.Area) -> bpy.types.Region:
    return region_of(area, "PREVIEW" if area.type == "SEQUENCE_EDITOR" else "WINDOW")


def until_found(wanted: bool) -> Iterator[float]:
    """Blender has to draw to find out that something is wanted, and a timer to find it."""
    end = time.monotonic() + PATIENCE
    yield 1.0
    while wanted and (overlay._Desk.found is None or overlay._Desk.found.asked != overlay._Desk.wanted):
        if time.monotonic() > end:
            raise TimeoutError(f"wanted {overlay._Desk.wanted}, found {overlay._Desk.found}")
        yield 0.2


def keep(area: bpy.types.Area, name: str, facts: Facts) -> Iterator[float]:
    """Read what the next drawing puts over the region, measure it, and wait for the photographer."""
    done: list[bool] = []
    space, kind = type(area.spaces[0]), view_of(area).type

    def grab() -> None:
        if done or bpy.context.area != area:
            return
        done.append(True)
        x, y, width, height = gpu.state.viewport_get()
        pixels = gpu.state.active_framebuffer_get().read_color(x, y, width, height, 4, 0, "UBYTE")
        pixels.dimensions = width * height * 4
        np.save(FOLDER / f"{name}.npy", np.array(pixels, np.uint8).reshape(height, width, 4)[::-1])
        facts[name] = measure()

    handle = space.draw_handler_add(grab, (), kind, "POST_PIXEL")
    while not done:
        area.tag_redraw()
        yield 0.2
    space.draw_handler_remove(handle, kind)
    area.tag_redraw()  # measuring has drawn in the wrong units
    yield from shown(name)


def measure() -> Facts:
    """Where the canvas's middle and a point 10,000 pixels off it lie in the region, and milliseconds of a drawing.

    The least of many: others may be using the machine.
    """
    context = bpy.context
    draw = overlay._draw_preview if context.area.type == "SEQUENCE_EDITOR" else overlay._draw_world
    times = []
    for _ in range(15):
        start = time.perf_counter()
        draw()
        times.append((time.perf_counter() - start) * 1000)
    view, region = context.region.view2d, context.region
    middle, far = (view.view_to_region(place, place, clip=False) for place in (0, 10000))
    place = {"left": region.x, "bottom": region.y, "width": region.width, "height": region.height}
    return {"middle": middle, "far": far, "ms": min(times), **place}


def count_draws(area: bpy.types.Area, facts: Facts) -> Iterator[float]:
    """Once everything is found, the window has to rest."""
    draws: list[float] = []
    handle = bpy.types.SpaceSequenceEditor.draw_handler_add(
        lambda: draws.append(time.monotonic()), (), "PREVIEW", "POST_PIXEL"
    )
    yield 1.0
    draws.clear()
    yield 3.0
    facts["idle_draws"] = len(draws)
    bpy.types.SpaceSequenceEditor.draw_handler_remove(handle, "PREVIEW")


def in_three_dimensions(window: bpy.types.Window, stage: bpy.types.Scene, facts: Facts) -> Iterator[float]:
    """Through the stage's own camera, at its own frame."""
    window.scene = stage
    area = max(window.screen.areas, key=lambda each: each.width * each.height)
    area.type = "VIEW_3D"
    space = area.spaces[0]
    space.region_3d.view_perspective, space.shading.type, space.shading.light = "CAMERA", "SOLID", "FLAT"
    space.shading.color_type = "MATERIAL"
    for thing in stage.objects:
        thing.select_set(False)
    yield 1.0
    for name, seen in (("world_plain", False), ("world", True)):
        bpy.context.window_manager.wan_animate_overlay.world = seen
        yield from keep(area, name, facts)


wan_animate_blender.register()
play(main())
