"""Runs inside a Blender with a window in which the extension is installed: the panel, as an artist meets it.

`blender scene.blend --python press.py -- FOLDER URL`. What happens is done outside, with mouse and keyboard; here is
only said when there is something to be seen, and written down what became of it (panel.json, facts.json).
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy

sys.path.insert(0, str(Path(__file__).parent))

from stage import FOLDER, pin, play, region_of, shown, until

ADDON = "bl_ext.user_default.wan_animate"
desk, jobs, language, timeline = (
    importlib.import_module(f"{ADDON}.{room}") for room in ("desk", "jobs", "language", "timeline")
)
STEPS = 60
"""Of the sampler: as many as it takes to be looked at."""
GERMAN = {
    ("*", "Wan Animate"): "Wan Animate auf Deutsch",
    ("Operator", "Generate"): "Erzeugen",
    ("*", "Mode"): "Modus",
    ("*", "No strip is selected; click the strip of the plate"): "Kein Streifen gewählt; klicke den der Aufnahme an",
    ("*", "{} is on channel {}"): "Auf Kanal {1} liegt {0}",
}


def main() -> Iterator[float]:
    window = bpy.context.window_manager.windows[0]
    edit, stage = bpy.data.scenes["edit"], bpy.data.scenes["stage"]
    bpy.context.preferences.addons[ADDON].preferences.url = sys.argv[-1]
    pin(window, edit, stage)
    area = yield from arrange(window)
    edit.frame_set(12)
    strip = edit.sequence_editor.active_strip
    strip.wan_animate.steps = STEPS
    stood = stage.frame_current
    region = region_of(area, "UI")
    colour = [round(255 * part) for part in bpy.context.preferences.themes[0].user_interface.wcol_tool.inner]
    place = {"left": region.x, "bottom": region.y, "width": region.width, "height": region.height}
    (FOLDER / "panel.json").write_text(json.dumps({"button": colour[:3], **place}))
    yield from shown("panel")
    yield from until(lambda: desk.is_busy(strip.wan_animate.uid))
    uid = strip.wan_animate.uid
    yield from until(lambda: jobs.board.picture.data, lambda: (desk.latest, jobs.board.jobs, jobs.board.problem))
    yield from shown("progress")
    yield from until(lambda: not desk.is_busy(uid))
    facts: dict[str, Any] = {"said": str(desk.latest[uid].problem or desk.latest[uid].result), "takes": takes()}
    yield from until(lambda: bpy.context.window_manager.wan_animate_takes.row)
    yield from until(lambda: [job for job in jobs.board.jobs if job.state == "done"])
    yield from shown("imported")
    yield from until(lambda: not takes())
    facts["undone"] = takes()
    yield from shown("undone")
    yield from until(lambda: takes())
    facts["redone"] = takes()
    facts |= {"scene": window.scene.name, "moved": bpy.data.scenes["stage"].frame_current - stood}
    yield from in_german(facts)
    (FOLDER / "facts.json").write_text(json.dumps(facts))


def arrange(window: bpy.types.Window) -> Iterator[float]:
    """The 3D scene on the left, the edit with the sidebar on the right, and nothing else; the list of jobs unfolded."""
    while len(window.screen.areas) > 1:
        with of(window, min(window.screen.areas, key=size)):
            bpy.ops.screen.area_close()
        yield 0.2
    with of(window, window.screen.areas[0]):
        bpy.ops.screen.area_split(direction="VERTICAL", factor=0.35)
    yield 0.2
    left, area = sorted(window.screen.areas, key=lambda each: each.x)
    left.type, area.type = "VIEW_3D", "SEQUENCE_EDITOR"
    yield 0.2
    left.spaces[0].region_3d.view_perspective = "CAMERA"
    area.spaces[0].view_type, area.spaces[0].show_region_ui = "SEQUENCER_PREVIEW", True
    unfolded = jobs.WAN_ANIMATE_PT_jobs
    bpy.utils.unregister_class(unfolded)
    unfolded.bl_options = set()
    bpy.utils.register_class(unfolded)
    yield 1.0
    region_of(area, "UI").active_panel_category = "Wan Animate"
    for kind, fit in (("PREVIEW", bpy.ops.sequencer.view_all_preview), ("WINDOW", bpy.ops.sequencer.view_all)):
        with of(window, area, kind):
            fit()
    yield 2.0
    return area


def size(area: bpy.types.Area) -> int:
    return area.width * area.height


def of(window: bpy.types.Window, area: bpy.types.Area, kind: str = "HEADER") -> Any:
    """Let operators be about a region of an area."""
    return bpy.context.temp_override(window=window, area=area, region=region_of(area, kind))


def takes() -> list[list[Any]]:
    """Undo makes the scene anew, so that it is looked up each time."""
    strips = timeline.strips(bpy.data.scenes["edit"].sequence_editor)
    return [[one.name, one.channel, *timeline.frame_range(one)] for one in strips if one.wan_animate.take]


def in_german(facts: dict[str, Any]) -> Iterator[float]:
    """What Blender itself makes of words that somebody has translated."""
    bpy.app.translations.register(__name__, {"de_DE": GERMAN, "de": GERMAN})
    view = bpy.context.preferences.view
    names = [one.identifier for one in type(view).bl_rna.properties["language"].enum_items]
    view.language = next(name for name in names if name.startswith("de"))
    view.use_translate_interface = True
    facts["german"] = [language.translated("SH010 v001 character is on channel 2"), language.translated("Mode")]
    bpy.data.scenes["edit"].sequence_editor.active_strip = None
    yield from shown("german")
    bpy.app.translations.unregister(__name__)


play(main())
