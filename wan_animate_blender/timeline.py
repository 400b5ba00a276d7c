"""Strips, channels and ranges, as Blender 4.2 to 5.2 spell them: the only file that looks at Blender's version.

New spellings are tried first, because in 5.2 merely reading an old one is a DeprecationWarning. Collections are
never tested for truth: an empty one is false. Knows nothing of shots or of rendering.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

from .wire import BadInput

Editor = bpy.types.SequenceEditor
Strip = bpy.types.Strip if hasattr(bpy.types, "Strip") else bpy.types.Sequence  # renamed in 4.4

LAST_CHANNEL = 128
FOOTAGE = ("MOVIE", "IMAGE", "SCENE", "MOVIECLIP", "MASK", "META")
"""Types of strips that show a piece of something longer, so that trimming them leaves handles."""


def strips(holder: Any) -> Any:
    """The strips directly in a sequence editor or a meta strip; has the `new_…` functions."""
    return holder.strips if hasattr(holder, "strips") else holder.sequences


def strips_all(editor: Editor) -> Any:
    """The strips of a sequence editor, those inside metas included."""
    return editor.strips_all if hasattr(editor, "strips_all") else editor.sequences_all


def path(holder: Any, name: str) -> list[Strip]:
    """The strip called `name` with the metas around it, outermost first; [] when there is none."""
    for strip in strips(holder):
        if strip.name == name:
            return [strip]
        if strip.type == "META" and (inner := path(strip, name)):
            return [strip, *inner]
    return []


def sequencer_scene(context: bpy.types.Context) -> bpy.types.Scene:
    """The scene being edited, which since 5.0 need not be the window's."""
    return getattr(context, "sequencer_scene", None) or context.scene


def registered(thing: Any, name: str) -> Any:
    """What an add-on registered as `name` on a datablock or a bone, be it installed or not; None when there is nothing.

    5.0 keeps it apart from the properties that people add.
    """
    held = thing.bl_system_properties_get() if hasattr(thing, "bl_system_properties_get") else thing
    return held.get(name) if held is not None else None


def frame_range(strip: Strip) -> tuple[int, int]:
    """First frame of a strip on the timeline, and the first one after it."""
    if hasattr(strip, "left_handle"):
        return int(strip.left_handle), int(strip.right_handle)
    return int(strip.frame_final_start), int(strip.frame_final_end)


def set_frame_range(strip: Strip, first: int, end: int) -> None:
    """Trim or extend a strip. Blender moves it to another channel when it would overlap there."""
    left, right = ("left_handle", "right_handle") if hasattr(strip, "left_handle") else (
        "frame_final_start", "frame_final_end",
    )  # fmt: skip
    setattr(strip, left, first)
    setattr(strip, right, end)


@dataclass(frozen=True)
class Content:
    """The footage behind a strip, on the timeline."""

    first: int
    """Frame of the timeline at which its first frame lies, were it not trimmed."""
    frames: int
    """Number of frames."""
    trimmed: int
    """Frames cut off before the first, which no handle brings back."""
    retimed: bool
    """Whether a frame of the timeline is anything else than one frame of the footage, in order."""

    def source(self, frame: float) -> float:
        """The footage's frame (0 is its first) that is seen at `frame` of the timeline; ends are held."""
        return self.trimmed + min(max(frame - self.first, 0), self.frames - 1)


def content(strip: Strip) -> Content:
    """What a strip shows a piece of; strips that make their own picture (text, effects) show all of themselves."""
    first, end = frame_range(strip)
    if strip.type not in FOOTAGE:
        return Content(first, end - first, 0, retimed=False)
    if hasattr(strip, "content_start"):
        start, stop = strip.content_start, strip.content_end
        frames, trimmed = strip.content_duration, getattr(strip, "content_trim_start", 0)
    else:
        start, stop = strip.frame_start, strip.frame_final_end + strip.frame_offset_end
        frames, trimmed = strip.frame_duration, getattr(strip, "animation_offset_start", 0)
    plain = (
        round(stop - start) == frames
        and not getattr(strip, "use_reverse_frames", False)
        and getattr(strip, "strobe", 1) <= 1
        and not len(getattr(strip, "retiming_keys", ()))
    )
    return Content(round(start), frames, trimmed, retimed=not plain)


def handles(parents: Sequence[Strip], strip: Strip) -> tuple[int, int]:
    """Frames of footage that `strip` has before its first and after its last one, inside the metas around it."""
    first, end = frame_range(strip)
    behind = content(strip)
    start, stop = behind.first, behind.first + behind.frames
    for meta in parents:
        start, stop = max(start, frame_range(meta)[0]), min(stop, frame_range(meta)[1])
    return max(first - start, 0), max(stop - end, 0)


def free_channel(editor: Editor, first: int, end: int, above: int = 0) -> int:
    """Lowest unlocked channel over `above` with nothing from `first` until `end`. Raises `BadInput` when none is."""
    for channel in range(above + 1, LAST_CHANNEL + 1):
        if not editor.channels[channel].lock and not any(_overlapping(editor, channel, first, end)):
            return channel
    raise BadInput(f"no channel is free from frame {first} to {end - 1}; unlock one or move strips apart")


def _overlapping(editor: Editor, channel: int, first: int, end: int) -> Iterator[Strip]:
    for strip in strips(editor):
        start, stop = frame_range(strip)
        if strip.channel == channel and start < end and stop > first:
            yield strip


def new_image_sequence(editor: Editor, name: str, files: Sequence[Path], first: int, channel: int) -> Strip:
    """One image strip with one frame for each of `files`, all of one folder, starting at `first`."""
    strip = strips(editor).new_image(name=name, filepath=str(files[0]), channel=channel, frame_start=first)
    for file in files[1:]:
        strip.elements.append(file.name)
    return strip


def write_png(settings: bpy.types.ImageFormatSettings, mode: str) -> None:
    """Let a render write 8-bit PNG files in colour `mode` ("RGB", "BW"), which 5.0 wants to be told in two steps."""
    if hasattr(settings, "media_type"):
        settings.media_type = "IMAGE"
    settings.file_format = "PNG"
    settings.color_mode, settings.color_depth, settings.compression = mode, "8", 0
