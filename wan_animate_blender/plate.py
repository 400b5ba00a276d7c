"""The picture of one strip, frame by frame and number by number, as PNG or EXR files.

Files that need no change are copied byte for byte. What has to be rendered comes out as the sequencer reads it:
8 bit exactly; 16 bit and float exactly from the strip's own pixels, see `colours` and docs/export.md. Knows nothing of
rigs or of the server.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import bpy

from . import colours, footage, graphics, grey, originals, stills, timeline
from .canvas import is_animated as is_animated
from .canvas import raster as raster
from .colours import Way
from .originals import Header
from .wire import BadInput, Colour, FrameRow, Raster, RasterKind, frame_name

WITHOUT_PICTURE = {"SOUND": "sound", "ADJUSTMENT": "an adjustment layer"}
SHOWN: dict[str, tuple[str, Callable[[timeline.Strip], bpy.types.ID | None]]] = {
    "SCENE": ("scene", lambda strip: strip.scene),
    "MASK": ("mask", lambda strip: strip.mask),
    "MOVIECLIP": ("clip", timeline.clip),
}
"""Types of strips that show a datablock, the word for it, and where it is."""


# --- before ---------------------------------------------------------------------------------------


def check(
    strip: timeline.Strip, what: str = "plate", kind: RasterKind = RasterKind.SOURCE, sources: Sequence[float] = ()
) -> None:
    """Raise `BadInput` unless the footage's frames `sources` can be exported exactly; by default those of the cut.

    The first time that anything has to be rendered, this renders a small picture for each view that is tried.
    """
    if strip.type in WITHOUT_PICTURE:
        raise BadInput(
            f"the strip {strip.name!r} is {WITHOUT_PICTURE[strip.type]} and has no picture of its own; "
            f"choose a movie, image or other picture strip as {what}"
        )
    _check_parts(strip, sources)
    scene = strip.id_data
    if not _untouched(strip, raster(scene, strip, kind), sources):
        colours.way(scene, strip, kind)


def _check_parts(strip: timeline.Strip, sources: Sequence[float] = ()) -> None:
    """Whether `strip` and all that it is made of can be shown."""
    word, find = SHOWN.get(strip.type, ("", lambda strip: strip.id_data))
    if find(strip) is None:
        raise BadInput(f"the strip {strip.name!r} has no {word}; choose one in its properties")
    if strip.type == "SCENE":
        _check_scene(strip)
    originals.check(strip, sources)
    for part in colours.parts(strip):
        _check_parts(part)


def _check_scene(strip: timeline.Strip) -> None:
    scene = strip.scene
    if strip.scene_input == "SEQUENCER":
        return
    if not (strip.scene_camera or scene.camera or any(marker.camera for marker in scene.timeline_markers)):
        raise BadInput(f"the scene {scene.name!r} of the strip {strip.name!r} has no camera; add one to it")
    if graphics.is_missing(scene):
        raise BadInput(
            f"the scene {scene.name!r} of the strip {strip.name!r} is rendered by {scene.render.engine}, which needs a "
            "graphics driver (EGL) that this machine does not have; choose Cycles, or export on another machine"
        )


def colour(scene: bpy.types.Scene, strip: timeline.Strip, raster: Raster) -> Colour:
    """What the numbers in the plate mean that `write` makes: see `colours.colour`."""
    return colours.colour(scene, strip, raster.kind)


# --- writing --------------------------------------------------------------------------------------


def write(
    scene: bpy.types.Scene, strip: timeline.Strip, rows: Sequence[FrameRow], raster: Raster, folder: Path,
    mode: str = "RGB", *, seen: bool = False,
) -> Iterator[Path]:  # fmt: skip
    """Write the picture of `strip` at each row's timeline frame as `folder/<shot number>.png`, or `.exr` when linear.

    `mode` is RGB or BW, which is always PNG. With `seen` pictures are RGB PNG as well, the scene-linear ones as the
    edit's own view shows them. Untouched sequences are copied byte for byte; everything else is rendered by the
    sequencer in a copy of `scene` where nothing but `strip` is seen. The range of `rows` may exceed the strip's by its
    handles.
    """
    folder.mkdir()
    if mode == "RGB" and not seen and (files := _untouched(strip, raster, [row.source for row in rows])):
        for row, file in zip(rows, files, strict=True):
            yield Path(shutil.copyfile(file, folder / frame_name(row.shot, file.suffix.lower()[1:])))
        return
    way = colours.seen(scene, strip) if seen else colours.way(scene, strip, raster.kind, mode)
    with stills.copy_of(scene) as copy:
        stills.prepare(copy, raster.width, raster.height, mode, way.format)
        _isolate(copy, strip.name, rows, bare=raster.kind is RasterKind.SOURCE)
        alone = timeline.path(copy.sequence_editor, strip.name)[-1]
        _set_colours(copy, alone, way)
        for row in rows:
            timeline.forget(copy)
            footage.keep_pace(alone, strip, row.timeline)
            copy.frame_current = int(row.timeline)
            file = stills.write(copy, folder / frame_name(row.shot, way.format.extension))
            yield grey.settle(file) if strip.type == "MASK" and not way.format.is_linear else file


def _set_colours(copy: bpy.types.Scene, strip: timeline.Strip, way: Way) -> None:
    copy.sequencer_colorspace_settings.name = way.sequencer
    if way.view:
        stills.set_view(copy, way.view)
    if way.strip:
        strip.colorspace_settings.name = way.strip
    if way.format.is_linear and hasattr(strip, "use_float"):
        strip.use_float = True  # else 8-bit files are rounded to 8 bits again when they are converted


def _untouched(strip: timeline.Strip, raster: Raster, sources: Sequence[float]) -> list[Path]:
    """The files to copy for `sources`, [] when any of them would not be exactly what the sequencer reads."""
    if strip.type != "IMAGE" or raster.kind is not RasterKind.SOURCE or strip.use_deinterlace:
        return []
    files = originals.used(strip, sources)
    headers = {file: originals.header(file) for file in files}.values()
    same_kind = len({header.kind for header in headers if header}) == 1
    return files if same_kind and all(_is_plain(header, strip, raster) for header in headers) else []


def _is_plain(header: Header | None, strip: timeline.Strip, raster: Raster) -> bool:
    """Whether a file with `header` has the raster's pixels and nothing else: grey or RGB, or premultiplied RGBA."""
    if header is None or (header.width, header.height) != (raster.width, raster.height):
        return False
    space = strip.colorspace_settings
    if header.kind == "png":
        return header.channels in ("L", "RGB") and (space.is_data or space.name == colours.byte_space())
    premultiplied = header.channels == "RGBA" and strip.alpha_mode == "PREMUL"
    return header.bits > 0 and (header.channels == "RGB" or premultiplied) and colours.keeps_its_space(strip)


# --- one strip alone ------------------------------------------------------------------------------


def _isolate(copy: bpy.types.Scene, name: str, rows: Sequence[FrameRow], *, bare: bool) -> None:
    """Show nothing but the strip `name` in the temporary scene, over all of `rows`; `bare` as its source has it."""
    editor = copy.sequence_editor
    way = timeline.path(editor, name)
    strip = way[-1]
    if bare:
        copy.animation_data_clear()  # else keyframes put the transform back; the action itself stays the user's
    first, end = int(rows[0].timeline), int(rows[-1].timeline) + 1
    if (first, end) != timeline.frame_range(strip):
        timeline.set_frame_range(strip, first, end)
    for holder, shown in zip((editor, *way), way, strict=False):
        _mute_others(holder, shown)
        shown.blend_type = "REPLACE"  # there is nothing to mix it with: multiplied with nothing it would be black
        if bare:
            _bare(shown)
    # With nothing to show Blender renders the 3D scene instead; Cycles at least never needs a graphics card's GL.
    if strip.type != "SCENE":
        copy.render.engine = "CYCLES"
    copy.render.use_sequencer = True
    copy.render.pixel_aspect_x = copy.render.pixel_aspect_y = 1.0


def _mute_others(holder: Any, shown: timeline.Strip) -> None:
    """Mute all strips of `holder` but `shown`. Effects show their inputs muted or not, a multicam selector does not."""
    needed = {shown.name}
    if shown.type == "MULTICAM":
        needed |= {strip.name for strip in colours.parts(shown)}
    for strip in timeline.strips(holder):
        strip.mute = strip.name not in needed
    holder.channels[shown.channel].mute = False


def _bare(strip: timeline.Strip) -> None:
    """Take from a strip of the temporary scene all that changes its source's pixels or where they lie."""
    plain: dict[str, Any] = {
        "use_flip_x": False, "use_flip_y": False, "color_multiply": 1.0, "multiply_alpha": False,
        "color_saturation": 1.0, "blend_alpha": 1.0,
    }  # fmt: skip
    for name, value in plain.items():
        if hasattr(strip, name):
            setattr(strip, name, value)
    for modifier in strip.modifiers:  # to remove them without a window ends the process of 5.0
        modifier.mute = True
    way, crop = strip.transform, strip.crop
    way.offset_x = way.offset_y = way.rotation = 0.0
    way.scale_x = way.scale_y = 1.0
    way.origin = 0.5, 0.5
    crop.min_x = crop.max_x = crop.min_y = crop.max_y = 0
