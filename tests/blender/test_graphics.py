"""A scene that only a graphics driver can render is known before an export begins."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import bpy
import pytest
from serving import PATIENCE

from wan_animate_blender import graphics, plate, timeline
from wan_animate_blender.wire import BadInput


def test_a_scene_that_would_end_the_process_is_refused(
    edit: Any, camera: bpy.types.Object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any EGL vendor, which is what a machine without a graphics driver has."""
    inner = bpy.data.scenes.new("inner")
    inner.camera, inner.render.engine = camera, "BLENDER_WORKBENCH"
    strip = timeline.strips(edit.sequence_editor).new_scene(name="s", scene=inner, channel=1, frame_start=1)
    monkeypatch.setenv("__EGL_VENDOR_LIBRARY_DIRS", "/nowhere")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/nowhere")
    graphics.works.cache_clear()
    with pytest.raises(BadInput, match=r"rendered by BLENDER_WORKBENCH, which needs a graphics driver \(EGL\)"):
        plate.check(strip)
    inner.render.engine = "CYCLES"
    plate.check(strip)
    graphics.works.cache_clear()


def test_what_is_said_of_the_graphics_driver_is_true() -> None:
    """Only a Blender that draws can tell: so one does, in a process of its own."""
    script = (
        "import os, sys, bpy; scene = bpy.context.scene; scene.render.engine = 'BLENDER_WORKBENCH'; "
        "scene.render.resolution_x = scene.render.resolution_y = 16; bpy.ops.render.render(); "
        "sys.stdout.flush(); os._exit(0)"
    )
    drawn = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=PATIENCE, check=False)
    graphics.works.cache_clear()
    assert graphics.works() == (drawn.returncode == 0)
