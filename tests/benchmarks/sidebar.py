"""What drawing the sidebar costs in an edit of 1,000 strips with 200 jobs and as many submitted shots, beside the 5 ms
that it may cost.

Every panel with its poll, unfolded, with all rows that a list shows; the strip has a rig and thirty takes.

    PYTHONPATH=.:tests/blender python tests/benchmarks/sidebar.py [--json]

Needs a Python with `bpy`. The layout is the tests' own, which only notes what it is given; everything else is as in a
window, the timers being called between two drawings. Medians and worst of 200 drawings in milliseconds. Ends with 1
when all of them together are too slow.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy
from footage import noise, write_png
from panel import Paper, Sidebar, draw
from takes import enable_addon, export_of, take_of

from wan_animate_blender import fitting, identity, jobs, ledger, listing, preflight, stacking, take, timeline, wire
from wan_animate_blender.farm import choice, panel, sending
from wan_animate_blender.farm.submission import Asset, Engine, Submission, SubmittedShot
from wan_animate_blender.wire import Job, JobState

STRIPS, JOBS, TAKES = 1000, 200, 30
BUDGET = 5.0
DRAWINGS = 200


def edit(folder: Path) -> Any:
    """A scene of short strips on many channels, all of them marked, a fifth with a job; the active one is set up."""
    scene = bpy.context.scene
    editor = scene.sequence_editor_create()
    files = [write_png(folder / f"{i:04d}.png", noise(i)) for i in range(10)]
    for number in range(STRIPS):
        first, channel = 1 + number // 100 * 12, 1 + number % 100
        strip = timeline.new_image_sequence(editor, f"plate {number}", files, first, channel)
        strip.wan_animate.add_person()
        identity_of(scene, strip, number)
    editor.active_strip = strip
    strip.wan_animate.person.rig = rig()
    return strip


def rig() -> bpy.types.Object:
    """Rigify's, of which every point is listed."""
    import addon_utils  # found only once bpy has been imported

    addon_utils.enable("rigify", default_set=True)
    bpy.ops.object.armature_human_metarig_add()
    return bpy.context.object


def add_takes(scene: bpy.types.Scene, strip: Any, shots: Path) -> None:
    """Thirty versions in the shot's folder, two of them in the edit."""
    bpy.context.preferences.addons["wan_animate_blender"].preferences.shots = str(shots)
    export = export_of(strip, shots, name=strip.wan_animate.shot)
    folders = [take_of(export) for _ in range(TAKES)]
    for folder in folders[-2:]:
        take.import_take(scene, folder)
    listing.show(scene, strip)
    while listing.fill() is not None:
        time.sleep(0.02)


def identity_of(scene: bpy.types.Scene, strip: Any, number: int) -> None:
    """What `identity.mark` leaves on a strip, without looking for the others of this identity each time."""
    ours = strip.wan_animate
    ours.uid, ours.home, ours.shot = f"uid {number}", f"{scene.name}/{strip.name}", f"SH{number:04d}"


def board() -> tuple[Job, ...]:
    states = list(JobState)
    return tuple(
        Job(id=f"job {i}", shot=f"SH{i * 5:04d}", strip=f"uid {i * 5}", state=states[i % len(states)], segment=2,
            segments=3, stage="denoising", progress=i / JOBS, seconds_left=60.0 * i, message="a sentence " * 8)
        for i in range(JOBS)
    )  # fmt: skip


def submitted() -> Submission:
    """A shot of every fifth strip, with a plate each of which frames are missing."""
    shots = tuple(
        SubmittedShot(
            folder=f"SH{i * 5:04d}/e001", scene="Scene", strip=f"plate {i * 5}", uid=f"uid {i * 5}", person="hero",
            mode=wire.Mode.REPLACE, model="puppet", precision=wire.Precision.FP32, frames=200, width=1920, height=1080,
            gpu_memory=14 * 2**30, seconds=240.0, disk=10**9,
        )
        for i in range(JOBS)
    )  # fmt: skip
    assets = tuple(
        Asset(path=f"/plates/{i}/0001.exr", what=f"plate of 'plate {i}'", files=199, size=10**9, missing=("0007.exr",))
        for i in range(JOBS)
    )
    return Submission(name="edit f001", file="edit.blend", blender="4.5.3", shots=shots, assets=assets)


def note(paper: Paper, _: str, what: str, **__: Any) -> None:
    """In place of the tests' checks of every word."""
    paper.drawn.append(what)


def as_in_a_window() -> None:
    """Let the panel believe that timers run, so that nothing is found out while it draws."""
    app = SimpleNamespace(background=False, timers=bpy.app.timers)
    preflight.bpy = SimpleNamespace(app=app, data=bpy.data, types=bpy.types)  # type: ignore[assignment]
    Paper._draw = note  # type: ignore[method-assign]
    fitting.bpy = SimpleNamespace(app=app, context=bpy.context)  # type: ignore[assignment]


def our_panels() -> list[type]:
    """As Blender draws them: the strip's, those below it, and the list of jobs."""
    found = [kind for kind in bpy.types.Panel.__subclasses__() if kind.__name__.startswith("WAN_ANIMATE_PT_")]
    return sorted(found, key=lambda kind: getattr(kind, "bl_order", 0))


def drawn(kind: type) -> None:
    """A panel with its poll, and as many rows as its list shows."""
    if not getattr(kind, "poll", lambda _: True)(bpy.context):
        raise SystemExit(f"{kind.__name__} is not shown, so nothing would be measured")
    draw(kind)
    manager = bpy.context.window_manager
    if kind is panel.WAN_ANIMATE_PT_farm:
        chosen = choice.chosen()
        for row in chosen.rows[: panel.ROWS]:
            panel.WAN_ANIMATE_UL_farm.draw_item(None, Sidebar, Paper([]), chosen, row, 0, chosen, "active")
    if kind is jobs.WAN_ANIMATE_PT_jobs:
        ours = manager.wan_animate_jobs
        for row in ours.rows[: jobs.ROWS]:
            jobs.WAN_ANIMATE_UL_jobs.draw_item(None, Sidebar, Paper([]), ours, row, 0, ours, "active")
    if kind is stacking.WAN_ANIMATE_PT_takes:
        shelved = manager.wan_animate_takes
        for row in shelved.rows[: stacking.ROWS]:
            paper = Paper([])
            stacking.WAN_ANIMATE_UL_takes.draw_item(None, bpy.context, paper, shelved, row, 0, shelved, "active", 0)


def measure(what: str, once: Callable[[], object], times: int = DRAWINGS) -> dict[str, Any]:
    once()
    took = []
    for _ in range(times):
        began = time.perf_counter()
        once()
        took.append(1000 * (time.perf_counter() - began))
    return {"what": what, "median": statistics.median(took), "worst": max(took)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    bpy.ops.wm.read_factory_settings(use_empty=True)
    enable_addon()
    with tempfile.TemporaryDirectory() as folder:
        strip = edit(Path(folder))
        as_in_a_window()
        add_takes(bpy.context.scene, strip, Path(folder) / "shots")
        preflight._answer(bpy.context.scene.name, strip.name)
        jobs.board.jobs = board()
        jobs.board.submitted = sending.fresh(Path("f001"), submitted(), Engine.FLAMENCO)
        choice.keep(submitted())
        bpy.context.window_manager.wan_animate_jobs.scope = "ALL"
        measured = [measure(kind.bl_label.lower(), partial(drawn, kind)) for kind in our_panels()]
        between = [
            measure("between: list filled anew", refill, 20),
            measure("between: list of this file", lambda: jobs._fill(), 20),
            measure("between: jobs that are expected", ledger.waiting, 20),
            measure("between: shots that were submitted", ledger.submitted, 20),
            measure("between: strip of a job", lambda: identity.find("uid 500"), 20),
        ]
    whole = {
        "what": "all panels",
        "median": sum(one["median"] for one in measured),
        "worst": sum(one["worst"] for one in measured),
    }
    lines = [*measured, whole, *between]
    if given.json:
        sys.stdout.write(json.dumps({"blender": bpy.app.version_string, "budget": BUDGET, "lines": lines}) + "\n")
    else:
        sys.stdout.write(f"| Blender {bpy.app.version_string} | median ms | worst ms |\n|---|---|---|\n")
        sys.stdout.writelines(f"| {one['what']} | {one['median']:.2f} | {one['worst']:.2f} |\n" for one in lines)
    return int(whole["median"] > BUDGET)


def refill() -> None:
    """Every row changes, as when a server is heard for the first time."""
    jobs._listed[""] = ()
    jobs._fill()


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # the wheel may hang where Python is torn down
