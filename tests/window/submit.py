"""Runs inside a Blender with a window in which the extension is installed: the panel Farm, before and after a check.

`blender scene.blend --python submit.py -- FOLDER`. What was found is in facts.json.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).parent))

from stage import FOLDER, pin, play, region_of, shown, until

ADDON = "bl_ext.user_default.wan_animate"
choice, desk, jobs, panel, turns = (
    importlib.import_module(f"{ADDON}.{room}") for room in ("farm.choice", "desk", "jobs", "farm.panel", "turns")
)


def main() -> Iterator[float]:
    window = bpy.context.window_manager.windows[0]
    edit, stage = bpy.data.scenes["edit"], bpy.data.scenes["stage"]
    pin(window, edit, stage)
    lose_a_texture()
    area = yield from arrange(window)
    region = region_of(area, "UI")
    place = {"left": region.x, "bottom": region.y, "width": region.width, "height": region.height}
    (FOLDER / "panel.json").write_text(json.dumps(place))
    choice.chosen().gpu_memory = 14.0
    yield from shown("folded")
    bpy.ops.wan_animate.farm_check()
    yield from until(lambda: not desk.is_busy(panel.TICKET), lambda: desk.latest)
    choice.chosen().allow_missing = True
    bpy.ops.wan_animate.farm_export()
    yield from until(lambda: jobs.board.submitted, lambda: (jobs.board.hindrance, desk.latest))
    yield from shown("farm")
    facts = {
        "shots": {row.name: row.words for row in choice.chosen().rows},
        "missing": list(choice.known[""].submission.missing),
        "listed": [[job.shot, job.state, job.by] for job in jobs.board.submitted],
        "file": Path(bpy.data.filepath).name,
    }
    (FOLDER / "facts.json").write_text(json.dumps(facts))


def lose_a_texture() -> None:
    material = bpy.data.materials.new("cloth")
    material.use_nodes = True
    image = bpy.data.images.load(str(next((FOLDER / "plate").glob("*.png"))))
    material.node_tree.nodes.new("ShaderNodeTexImage").image = image
    image.filepath, material.use_fake_user = "//cloth.png", True


def arrange(window: bpy.types.Window) -> Iterator[float]:
    """Nothing but the edit with its sidebar, in which is only what this is about."""
    while len(window.screen.areas) > 1:
        smallest = min(window.screen.areas, key=lambda area: area.width * area.height)
        with bpy.context.temp_override(window=window, area=smallest, region=region_of(smallest, "HEADER")):
            bpy.ops.screen.area_close()
        yield 0.2
    area = window.screen.areas[0]
    area.type = "SEQUENCE_EDITOR"
    area.spaces[0].view_type, area.spaces[0].show_region_ui = "SEQUENCER_PREVIEW", True
    panels = [one for one in bpy.types.Panel.__subclasses__() if one.__name__.startswith("WAN_ANIMATE_PT_")]
    for kind in panels:
        bpy.utils.unregister_class(kind)
    for kind in (panel.WAN_ANIMATE_PT_farm, jobs.WAN_ANIMATE_PT_jobs, turns.WAN_ANIMATE_PT_turn):
        kind.bl_options -= {"DEFAULT_CLOSED"}
        bpy.utils.register_class(kind)
    yield 1.0
    region_of(area, "UI").active_panel_category = "Wan Animate"
    yield 2.0
    return area


play(main())
