"""What drawing the sidebar costs in an edit of 1,000 strips with 200 jobs, beside the 5 ms that it may cost.

    PYTHONPATH=.:tests/blender python tests/benchmarks/sidebar.py [--json]

Needs a Python with `bpy`. The layout is the tests' own, which checks every word it is given and so is slower than
Blender's; everything else is as in a window, the timers being called between two drawings. Medians and worst of 200
drawings in milliseconds. Ends with 1 when one of them is too slow.
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
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy
from footage import noise, write_png
from panel import Paper, Sidebar, draw
from takes import enable_addon

from wan_animate_blender import identity, jobs, ledger, panels, preflight, timeline
from wan_animate_blender.wire import Job, JobState

STRIPS, JOBS = 1000, 200
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
    return strip


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


def as_in_a_window() -> None:
    """Let the panel believe that timers run, so that nothing is found out while it draws."""
    app = SimpleNamespace(background=False, timers=bpy.app.timers)
    preflight.bpy = SimpleNamespace(app=app, data=bpy.data, types=bpy.types)  # type: ignore[assignment]


def list_drawn() -> None:
    """The panel of jobs with as many rows as its list shows."""
    ours = bpy.context.window_manager.wan_animate_jobs
    draw(jobs.WAN_ANIMATE_PT_jobs)
    for row in ours.rows[: jobs.ROWS]:
        jobs.WAN_ANIMATE_UL_jobs.draw_item(None, Sidebar, Paper([]), ours, row, 0, ours, "active")


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
        preflight._answer(bpy.context.scene.name, strip.name)
        jobs.board.jobs = board()
        bpy.context.window_manager.wan_animate_jobs.scope = "ALL"
        drawn = [
            measure("strip", lambda: draw(panels.WAN_ANIMATE_PT_strip)),
            measure("camera", lambda: draw(panels.WAN_ANIMATE_PT_camera)),
            measure("advanced", lambda: draw(panels.WAN_ANIMATE_PT_advanced)),
            measure("jobs", list_drawn),
        ]
        between = [
            measure("between: list filled anew", refill, 20),
            measure("between: list of this file", lambda: jobs._fill(), 20),
            measure("between: jobs that are expected", ledger.waiting, 20),
            measure("between: strip of a job", lambda: identity.find("uid 500"), 20),
        ]
    whole = {
        "what": "all panels",
        "median": sum(one["median"] for one in drawn),
        "worst": sum(one["worst"] for one in drawn),
    }
    lines = [*drawn, whole, *between]
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
