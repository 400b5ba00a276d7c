"""A long shot is exported in the memory of a short one."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import pytest
from footage import noise, write_png

from wan_animate_blender import matte
from wan_animate_blender.export import Request, export
from wan_animate_blender.wire import FaceSource, RasterKind

FRAMES = 1000
SETTLED = 100
"""Frames of each kind after which Blender's caches and Python's pools have got their size."""
MEGABYTES = 3
"""What may be in the pools of libraries; one 8-bit picture of 32×32 kept of each frame would be more."""


def resident() -> float:
    """MB of this process in memory now (proc_pid_statm(5))."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells what is resident now")
def test_memory_stays_flat_over_a_thousand_frames(
    edit: bpy.types.Scene, film: Callable[..., Any], metarig: bpy.types.Object, camera: bpy.types.Object,
    tmp_path: Path,
) -> None:  # fmt: skip
    edit.render.resolution_x, edit.render.resolution_y = 32, 32
    request = Request(
        scene=edit, strip=film("plate", lambda i: noise(i, 32, 32), FRAMES), root=tmp_path / "shots", name="SH010",
        raster=RasterKind.CANVAS, handles=0, rig=metarig, matte=matte.FromRig(),
        character=bpy.data.images.load(str(write_png(tmp_path / "hero.png", noise(1, 60, 80)))), face=FaceSource.NONE,
    )  # fmt: skip
    done: Counter[str] = Counter()
    settled: dict[str, float] = {}
    grown: dict[str, float] = {}
    for step in export(request):
        done[step.what] += 1
        if done[step.what] == SETTLED:
            settled[step.what] = resident()
        if done[step.what] == FRAMES:
            grown[step.what] = resident() - settled[step.what]
    assert done == {"pose": FRAMES, "plate": FRAMES, "matte": FRAMES}
    assert max(grown.values()) < MEGABYTES, grown
