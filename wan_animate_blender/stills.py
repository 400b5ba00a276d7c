"""Pictures rendered in temporary scenes, of which nothing is left behind. Knows nothing of strips, rigs or shots."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import bpy

from . import timeline
from .standstill import renders
from .wire import BadInput


class Format(enum.Enum):
    """What pictures are written as, by Blender's names and the bits of a channel."""

    PNG8 = "PNG", "8"
    PNG16 = "PNG", "16"
    HALF = "OPEN_EXR", "16"
    FLOAT = "OPEN_EXR", "32"

    @property
    def is_linear(self) -> bool:
        """Whether the files hold scene-linear numbers, on which no view has any effect."""
        return self in (Format.HALF, Format.FLOAT)

    @property
    def extension(self) -> str:
        return "exr" if self.is_linear else "png"


@dataclass(frozen=True)
class View:
    """How numbers become light: a display of the colour configuration and one of its views."""

    display: str
    name: str


@contextlib.contextmanager
def copy_of(scene: bpy.types.Scene) -> Iterator[bpy.types.Scene]:
    """A copy of `scene` that shares its objects and actions, and goes away with all that rendering it made."""
    with _temporary(scene.copy()) as copy:
        if copy.sequence_editor:  # of a retimed movie 5.0 and later find the frame before the one meant in it
            copy.sequence_editor.use_cache_raw = False
        yield copy


@contextlib.contextmanager
def new_scene() -> Iterator[bpy.types.Scene]:
    """An empty scene with the colour configuration's defaults, which goes away in the same manner."""
    with _temporary(bpy.data.scenes.new(".wan_animate")) as scene:
        yield scene


@contextlib.contextmanager
def _temporary(scene: bpy.types.Scene) -> Iterator[bpy.types.Scene]:
    had_result = "Render Result" in bpy.data.images
    scene.name = ".wan_animate"
    try:
        yield scene
    finally:
        bpy.data.scenes.remove(scene)
        result = bpy.data.images.get("Render Result")
        if result and not had_result:
            bpy.data.images.remove(result)


def prepare(
    scene: bpy.types.Scene, width: int, height: int, mode: str, file_format: Format = Format.PNG8
) -> None:  # fmt: skip
    """Let a temporary scene write files of exactly `width`×`height` pixels, with nothing burnt in or dithered."""
    render = scene.render
    render.resolution_x, render.resolution_y, render.resolution_percentage = width, height, 100
    render.use_border = render.use_multiview = render.use_stamp = render.use_placeholder = False
    render.use_file_extension = render.use_overwrite = True
    render.use_compositing = False
    for name in render.bl_rna.properties.keys():  # noqa: SIM118 – no dictionary
        if name.startswith("use_stamp_"):  # else every file carries dates, render times and this machine's paths
            setattr(render, name, False)
    render.dither_intensity = 0.0
    name, depth = file_format.value
    timeline.write_stills(render.image_settings, name, mode, depth)
    render.image_settings.color_management = "FOLLOW_SCENE"


def set_view(scene: bpy.types.Scene, view: View) -> None:
    """Show a temporary scene through `view` and nothing else. Raises `BadInput` when its colours do not have it."""
    settings = scene.view_settings
    try:
        scene.display_settings.display_device, settings.view_transform = view.display, view.name
    except TypeError as error:  # Blender's way to say that the enumeration has no such item
        raise BadInput(
            f"this Blender's colour configuration has no view {view.name!r} for the display {view.display!r}; "
            "start Blender with the configuration that the file was made with"
        ) from error
    settings.look, settings.exposure, settings.gamma, settings.use_curve_mapping = "None", 0.0, 1.0, False
    if hasattr(settings, "use_white_balance"):
        settings.use_white_balance = False


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


@contextlib.contextmanager
def as_context(scene: bpy.types.Scene) -> Iterator[None]:
    """Let operators take `scene` for the context's, and the add-on's own threads stand still meanwhile."""
    with renders.hold(), bpy.context.temp_override(scene=scene):
        yield


def write(scene: bpy.types.Scene, file: Path) -> Path:
    """Render `scene` as it stands at its current frame into `file`.

    A still render takes the frame of the context's scene, whatever scene it is asked for: so the scene is made the
    context's. Unlike an animation render this also keeps sub-frames.
    """
    scene.render.filepath = str(file)
    try:
        with as_context(scene):
            bpy.ops.render.render(write_still=True)
    except RuntimeError as error:
        raise BadInput(f"Blender could not render {file.name}: {error}") from error
    if not file.is_file():
        raise BadInput(f"Blender did not write {file}; check that the folder is writable and the disk has room")
    return file
