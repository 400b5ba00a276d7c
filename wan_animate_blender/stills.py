"""Pictures rendered in temporary scenes, of which nothing is left behind. Knows nothing of strips, rigs or shots."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import bpy

from . import timeline
from .wire import BadInput

VIEW = "Standard"
"""The view through which 8-bit footage comes out as it went in. Raw is not: in 5.2 it shows linear light."""


@contextlib.contextmanager
def copy_of(scene: bpy.types.Scene) -> Iterator[bpy.types.Scene]:
    """A copy of `scene` that shares its objects and actions, and goes away with all that rendering it made."""
    had_result = "Render Result" in bpy.data.images
    copy = scene.copy()
    copy.name = ".wan_animate"
    try:
        yield copy
    finally:
        bpy.data.scenes.remove(copy)
        result = bpy.data.images.get("Render Result")
        if result and not had_result:
            bpy.data.images.remove(result)


def prepare(scene: bpy.types.Scene, width: int, height: int, mode: str) -> None:
    """Let a temporary scene write PNG files of exactly `width`×`height` pixels, with nothing burnt in or dithered."""
    render = scene.render
    render.resolution_x, render.resolution_y, render.resolution_percentage = width, height, 100
    render.use_border = render.use_multiview = render.use_stamp = render.use_placeholder = False
    render.use_file_extension = render.use_overwrite = True
    render.use_compositing = False
    for name in render.bl_rna.properties.keys():  # noqa: SIM118 – no dictionary
        if name.startswith("use_stamp_"):  # else every file carries dates, render times and this machine's paths
            setattr(render, name, False)
    render.dither_intensity = 0.0
    timeline.write_png(render.image_settings, mode)
    render.image_settings.color_management = "FOLLOW_SCENE"
    scene.display_settings.display_device = "sRGB"


def set_view(scene: bpy.types.Scene, view: str) -> None:
    """Show a temporary scene through `view` and nothing else. Raises `BadInput` when its colours do not have it."""
    settings = scene.view_settings
    try:
        settings.view_transform = view
    except TypeError as error:  # Blender's way to say that the enumeration has no such item
        raise BadInput(
            f"this Blender's colour configuration has no view {view!r}, through which pictures are exported exactly; "
            "start Blender with its own configuration (unset OCIO)"
        ) from error
    settings.look, settings.exposure, settings.gamma, settings.use_curve_mapping = "None", 0.0, 1.0, False


def trace(scene: bpy.types.Scene, samples: int) -> None:
    """Let a temporary scene be rendered by Cycles on the processor: the one engine that works on every machine.

    EEVEE and Workbench end the whole process where there is no graphics driver, which no code can catch.
    """
    if not hasattr(scene, "cycles"):
        raise BadInput("the render engine Cycles is switched off; enable the add-on Cycles Render Engine")
    scene.render.engine, scene.render.use_sequencer, scene.render.use_motion_blur = "CYCLES", False, False
    cycles = scene.cycles
    cycles.device, cycles.samples, cycles.use_adaptive_sampling = "CPU", samples, False
    cycles.use_denoising, cycles.seed, cycles.use_animated_seed = False, 0, False


def write(scene: bpy.types.Scene, file: Path) -> Path:
    """Render `scene` as it stands at its current frame into `file` (PNG).

    A still render takes the frame of the context's scene, whatever scene it is asked for: so the scene is made the
    context's. Unlike an animation render this also keeps sub-frames.
    """
    scene.render.filepath = str(file)
    try:
        with bpy.context.temp_override(scene=scene):
            bpy.ops.render.render(write_still=True)
    except RuntimeError as error:
        raise BadInput(f"Blender could not render {file.name}: {error}") from error
    if not file.is_file():
        raise BadInput(f"Blender did not write {file}; check that the folder is writable and the disk has room")
    return file
