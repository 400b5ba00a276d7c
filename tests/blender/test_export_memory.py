"""A long shot is exported in the memory of a short one."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from footage import noise, write_png

from wan_animate_blender import matte
from wan_animate_blender.commission import Request
from wan_animate_blender.export import export
from wan_animate_blender.wire import FaceSource, RasterKind

FRAMES = 1000
STRIDE = 100
"""Frames from one look at the memory to the next."""
MEGABYTES = 1 / 3
"""By which it may grow from look to look; one 8-bit picture of 32×32 kept of each frame would be more."""


def resident() -> float:
    """MB of this process in memory now (proc_pid_statm(5))."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells what is resident now")
def test_memory_stays_flat_over_a_thousand_frames(
    edit: bpy.types.Scene, film: Callable[..., Any], metarig: bpy.types.Object, camera: bpy.types.Object,
    tmp_path: Path,
) -> None:  # fmt: skip
    edit.render.resolution_x, edit.render.resolution_y = 32, 32
    # Cycles of 4.2 itself keeps some 20 kB of a still when several threads render it on a busy machine.
    edit.render.threads_mode, edit.render.threads = "FIXED", 1
    request = Request(
        scene=edit, strip=film("plate", lambda i: noise(i, 32, 32), FRAMES), root=tmp_path / "shots", name="SH010",
        raster=RasterKind.CANVAS, handles=0, rig=metarig, matte=matte.FromRig(),
        character=bpy.data.images.load(str(write_png(tmp_path / "hero.png", noise(1, 60, 80)))), face=FaceSource.NONE,
    )  # fmt: skip
    done: Counter[str] = Counter()
    looks: dict[str, list[float]] = {"pose": [], "plate": [], "matte": []}
    for step in export(request):
        done[step.what] += 1
        if done[step.what] % STRIDE == 0:
            looks[step.what].append(resident())
    assert done == {"pose": FRAMES, "plate": FRAMES, "matte": FRAMES}
    # The median: caches and the allocator's arenas grow by leaps, now and then; what leaks grows all the time.
    grown = {what: float(np.median(np.diff(sizes))) for what, sizes in looks.items()}
    assert max(grown.values()) < MEGABYTES, grown
