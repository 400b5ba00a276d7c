"""What the numbers of a strip mean, and the way they take into files so that none of them changes.

Nothing is known here by name: spaces come from Blender's own defaults, views from a trial with a ramp. Measured in
4.2, 4.5 and 5.2: numbers pass unchanged, 8 and 16 bit alike, when strip and sequencer are told to be in the working
space and are shown through a view that leaves it alone (Raw); numbers of EXR files do without any view. A sequencer
in another space costs float32 4e-5 until 4.5, and 16 bit one level.
"""

from __future__ import annotations

import enum
import functools
import os
from dataclasses import dataclass, replace
from pathlib import Path

import bpy
import numpy as np

from . import configuration, originals, timeline, trial
from .stills import Format, View
from .wire import BadInput, Colour, Encoding, RasterKind, Transform

LINEAR_TOLERANCE = 0.01
"""Relative error of doubled light up to which a colour space is scene-linear; a gamma of 1.02 has more."""

NO_LOOK = "None"
"""Blender's word, in every configuration."""

NO_VIEW = (
    "this Blender's colour configuration has no view through which pictures come out as they are; "
    "use an untouched PNG or EXR sequence, or start Blender with its own configuration (unset OCIO)"
)


class Grade(enum.IntEnum):
    """How fine a strip's numbers are; the finest of several wins."""

    BYTE = 0
    DEEP = 1
    """Display-encoded with more than 8 bits."""
    HALF = 2
    FLOAT = 3


FORMATS = {Grade.BYTE: Format.PNG8, Grade.DEEP: Format.PNG16, Grade.HALF: Format.HALF, Grade.FLOAT: Format.FLOAT}


@dataclass(frozen=True)
class Way:
    """Settings of a temporary scene through which a strip's numbers reach its file."""

    format: Format
    sequencer: str
    """The colour space in which the sequencer works."""
    view: View | None = None
    """None: scene-linear files know none."""
    strip: str | None = None
    """The colour space that the strip is told to be in; None: its own."""


def way(scene: bpy.types.Scene, strip: timeline.Strip, kind: RasterKind, mode: str = "RGB") -> Way:
    """How to write `strip` exactly, in colour `mode` "RGB" or "BW", which is always PNG.

    Raises `BadInput` when this Blender's colour configuration has no such way.
    """
    grade = grade_of(strip, kind)
    is_linear = FORMATS[grade].is_linear
    if mode == "RGB" and is_linear:
        return _linear_way(scene, strip, kind, FORMATS[grade])
    as_numbers = is_linear or (kind is RasterKind.SOURCE and _reads_files(strip))
    space, view = numbers() if as_numbers else shown(scene.sequencer_colorspace_settings.name)
    return Way(FORMATS[min(grade, Grade.DEEP)], space, view, space if as_numbers and _reads_files(strip) else None)


def _linear_way(scene: bpy.types.Scene, strip: timeline.Strip, kind: RasterKind, file_format: Format) -> Way:
    """In the working space nothing is converted; on the canvas strips are mixed as the edit mixes them."""
    working = working_space()
    if kind is RasterKind.CANVAS:
        return Way(file_format, scene.sequencer_colorspace_settings.name)
    return Way(file_format, working, strip=working if _reads_files(strip) and keeps_its_space(strip) else None)


def seen(scene: bpy.types.Scene, strip: timeline.Strip) -> Way:
    """How to write `strip` as 8-bit pictures that look as the edit does: through its own view where that matters."""
    sequencer = scene.sequencer_colorspace_settings.name
    if FORMATS[grade_of(strip, RasterKind.CANVAS)].is_linear:
        return Way(Format.PNG8, sequencer)
    return replace(way(scene, strip, RasterKind.CANVAS), format=Format.PNG8)


def colour(scene: bpy.types.Scene, strip: timeline.Strip, kind: RasterKind) -> Colour:
    """What the numbers in a plate of `strip` mean.

    Scene-linear ones are in `working_space`, and the edit shows them through `view`. Display-encoded ones are as they
    appear through `view`; "" when the colour configuration has no view that does so.
    """
    if FORMATS[grade_of(strip, kind)].is_linear:
        own = kind is RasterKind.SOURCE and _reads_files(strip) and keeps_its_space(strip)
        space = strip.colorspace_settings.name if own and not strip.colorspace_settings.is_data else working_space()
        view = scene.view_settings
        return Colour(
            encoding=Encoding.LINEAR, working_space=space, view=view.view_transform,
            display=scene.display_settings.display_device, look="" if view.look == NO_LOOK else view.look,
            exposure=view.exposure, gamma=view.gamma,
        )  # fmt: skip
    view = _shown(_configuration(), scene.sequencer_colorspace_settings.name)
    return Colour(encoding=Encoding.DISPLAY, working_space=working_space(), view=view.name if view else "")


def check(scene: bpy.types.Scene, strip: timeline.Strip, kind: RasterKind, transform: Transform) -> None:
    """Raise `BadInput` when what a plate of `strip` means cannot be said, or not be undone after `transform`."""
    if not FORMATS[grade_of(strip, kind)].is_linear:
        return  # what shows such numbers is tried out, which Blender allows no button that asks whether it is grey
    configuration.check(colour(scene, strip, kind), transform)
    view = scene.view_settings
    if transform is Transform.UTILITY:
        return
    for name, word in (("use_curve_mapping", "curves"), ("use_white_balance", "a white balance")):
        if getattr(view, name, False):  # a white balance since 4.3
            raise BadInput(
                f"the view of the scene {scene.name!r} has {word}, which cannot be undone after the model; "
                "switch that off, or choose the transform 'utility'"
            )


# --- how fine numbers are -------------------------------------------------------------------------


def grade_of(strip: timeline.Strip, kind: RasterKind) -> Grade:
    """The grade in which nothing of `strip` is lost: its files', or the finest of what it is made of."""
    own = max([_own_grade(strip), *(grade_of(part, RasterKind.CANVAS) for part in parts(strip))])
    if kind is RasterKind.CANVAS:
        if any(modifier.type == "COMPOSITOR" for modifier in strip.modifiers):
            return Grade.FLOAT
        if getattr(strip, "use_float", False):
            return max(own, Grade.DEEP)
    return own


def parts(strip: timeline.Strip) -> list[timeline.Strip]:
    """The strips that `strip` makes its picture of, be they muted or not, as far as it shows them."""
    if strip.type == "META":
        return [part for part in timeline.strips(strip) if not part.mute and part.type != "SOUND"]
    if strip.type == "SCENE" and strip.scene_input == "SEQUENCER" and strip.scene and strip.scene.sequence_editor:
        return [part for part in timeline.strips(strip.scene.sequence_editor) if part.type != "SOUND"]
    if strip.type in ("MULTICAM", "ADJUSTMENT"):
        return below(strip)
    inputs = (getattr(strip, name, None) for name in ("input_1", "input_2"))
    return [part for part in inputs if part is not None]


def below(strip: timeline.Strip) -> list[timeline.Strip]:
    """The strips beneath `strip` in the same meta or sequencer, among which a multicam selector chooses."""
    editor = strip.id_data.sequence_editor
    holder = [editor, *timeline.path(editor, strip.name)][-2]
    siblings = timeline.strips(holder)
    return [part for part in siblings if part.channel < strip.channel and part.type != "SOUND" and not part.mute]


def _own_grade(strip: timeline.Strip) -> Grade:
    match strip.type:
        case "IMAGE" | "MOVIE":
            return _grade_of_files(strip, strip.colorspace_settings)
        case "MOVIECLIP":
            return _grade_of_files(strip, timeline.clip(strip).colorspace_settings)
        case "SCENE" if strip.scene_input == "CAMERA":
            return Grade.FLOAT
        case "COMPOSITOR":
            return Grade.FLOAT
    return Grade.BYTE


def _grade_of_files(strip: timeline.Strip, space: bpy.types.ColorManagedInputColorspaceSettings) -> Grade:
    files = dict.fromkeys(originals.used(strip))
    examples = {file.suffix.lower(): file for file in files}.values()
    natures = [_nature(file, file.stat().st_mtime_ns) for file in examples]
    is_float = any(nature.is_float for nature in natures)
    holds_light = any(nature.is_float and nature.space != byte_space() for nature in natures)
    if holds_light if space.is_data else space.name != byte_space():
        headers = map(originals.header, files)
        return Grade.HALF if all(head and (head.kind, head.bits) == ("exr", 16) for head in headers) else Grade.FLOAT
    return Grade.DEEP if is_float else Grade.BYTE


@dataclass(frozen=True)
class Nature:
    """How Blender itself reads a file."""

    is_float: bool
    space: str
    """The colour space that it takes it for."""


@functools.lru_cache(maxsize=256)
def _nature(file: Path, _modified: int) -> Nature:
    """Raises `BadInput` when Blender cannot read `file`."""
    unreadable = f"{file} cannot be read as a picture or movie; convert it or choose another file"
    try:
        image = bpy.data.images.load(str(file))
    except RuntimeError as error:  # not there any more, or no permission
        raise BadInput(unreadable) from error
    try:
        if not min(image.size):
            raise BadInput(unreadable)
        return Nature(image.is_float, image.colorspace_settings.name)
    finally:
        bpy.data.images.remove(image)


def _reads_files(strip: timeline.Strip) -> bool:
    return strip.type in ("IMAGE", "MOVIE")


def keeps_its_space(strip: timeline.Strip) -> bool:
    """Whether the numbers of a scene-linear `strip` mean light as they are, in whatever primaries."""
    return strip.colorspace_settings.is_data or is_linear(strip.colorspace_settings.name)


# --- spaces and views -----------------------------------------------------------------------------


def working_space() -> str:
    """The space in which Blender renders, which can be chosen since 5.0."""
    return _default_space(float_buffer=True)


def byte_space() -> str:
    """The space in which Blender takes 8-bit files to be."""
    return _default_space(float_buffer=False)


def _default_space(*, float_buffer: bool) -> str:
    image = bpy.data.images.new(".wan_animate", 1, 1, float_buffer=float_buffer)
    try:
        return image.colorspace_settings.name
    finally:
        bpy.data.images.remove(image)


def numbers() -> tuple[str, View]:
    """A colour space and a view in which the numbers of files come out as they are, best also those of 16 bits.

    Raises `BadInput` when the colour configuration has none, as `shown` does.
    """
    if found := _numbers(_configuration()):
        return found
    raise BadInput(NO_VIEW)


def shown(sequencer: str) -> tuple[str, View]:
    """`sequencer`, the colour space in which it works, and a view that then leaves 8-bit pictures as they are."""
    if view := _shown(_configuration(), sequencer):
        return sequencer, view
    raise BadInput(NO_VIEW)


def is_linear(space: str) -> bool:
    """Whether twice the number is twice the light in `space`."""
    return space == working_space() or _is_linear(_configuration(), space)


def _configuration() -> tuple[str, ...]:
    """Changes whenever colours may."""
    return os.environ.get("OCIO", ""), working_space(), byte_space()


@functools.cache
def _numbers(_configuration: tuple[str, ...]) -> tuple[str, View] | None:
    found = None
    for space in dict.fromkeys((working_space(), byte_space())):
        with trial.begin(space) as attempt:
            for view in attempt.views():
                if attempt.is_exact(view, 8, space):
                    found = found or (space, view)
                    if attempt.is_exact(view, 16, space):
                        return space, view
    return found


@functools.cache
def _shown(_configuration: tuple[str, ...], sequencer: str) -> View | None:
    with trial.begin(sequencer) as attempt:
        return next((view for view in attempt.views() if attempt.is_exact(view, 8)), None)


@functools.cache
def _is_linear(_configuration: tuple[str, ...], space: str) -> bool:
    with trial.begin(working_space()) as attempt:
        light = attempt.light(space, np.array([8000, 16000, 32000], np.uint16))
    return bool(np.allclose(light, light[0] * np.array([1, 2, 4]), rtol=LINEAR_TOLERANCE))
