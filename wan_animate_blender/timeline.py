"""Strips, channels and ranges, as Blender 4.2 to 5.2 spell them: the only file that looks at Blender's version.

New spellings are tried first, because in 5.2 merely reading an old one is a DeprecationWarning. Collections are
never tested for truth: an empty one is false. Knows nothing of shots or of rendering.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from . import dna, retiming
from .wire import BadInput

Editor = bpy.types.SequenceEditor
Strip = bpy.types.Strip if hasattr(bpy.types, "Strip") else bpy.types.Sequence  # renamed in 4.4

LAST_CHANNEL = 128
FOOTAGE = ("MOVIE", "IMAGE", "SCENE", "MOVIECLIP", "MASK", "META")
"""Types of strips that show a piece of something longer, so that trimming them leaves handles."""

OLD_KEYS = bpy.app.version < (5, 0)
"""Whether the last retiming key lies on the last frame and not behind it."""
WHOLE_TARGETS = bpy.app.version < (4, 4)
"""Whether a Speed effect looks at its input at whole frames only, the one before the moment that is meant."""
BACK_FROM_THE_END = bpy.app.version >= (5, 1)
"""Whether a negative factor of a Speed effect counts back from the end, instead of showing the first frame."""
AUTO_PLAYBACK_RATE = 1 << 17
"""Flag of a strip that keeps its footage's rate in a scene of another (DNA_sequence_types.h)."""
TRANSITION_BEGINS = 1
"""Flag of a retiming key at which the speed begins to change (the same)."""


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
    end: int
    """First frame of the timeline after it, were it not trimmed."""
    frames: int
    """Number of its frames; `end` - `first` when each is seen once."""
    trimmed: int
    """Frames cut off before the first, which no handle brings back."""


def content(strip: Strip) -> Content:
    """What a strip shows a piece of; strips that make their own picture (text, effects) show all of themselves."""
    first, end = frame_range(strip)
    if strip.type not in FOOTAGE:
        return Content(first, end, end - first, 0)
    if hasattr(strip, "content_start"):
        start, stop = strip.content_start, strip.content_end
        trimmed = getattr(strip, "content_trim_start", 0)
    else:
        start, stop = strip.frame_start, strip.frame_final_end + strip.frame_offset_end
        trimmed = getattr(strip, "animation_offset_start", 0)
    # What Python calls the duration is the footage's in 4.2 and, since some version after it, the timeline's
    frames = dna.layout("Sequence", "len").read(strip.as_pointer(), "len")
    return Content(round(start), round(stop), int(frames), trimmed)


def rate(strip: Strip) -> float:
    """Frames of the footage to one of the timeline, as it was set when the strip was added."""
    memory, address = dna.layout("Sequence", "flag", "media_playback_rate"), strip.as_pointer()
    own = memory.read(address, "media_playback_rate")
    if not int(memory.read(address, "flag")) & AUTO_PLAYBACK_RATE or not own:
        return 1.0
    render = strip.id_data.render
    return float(np.float32(own) / (np.float32(render.fps) / np.float32(render.fps_base)))


def retiming_keys(strip: Strip) -> tuple[retiming.Key, ...]:
    """The retiming keys, of which Python shows the place, but neither the speed nor, on most types, that they exist."""
    memory, address = dna.layout("Sequence", "retiming_handles", "retiming_handle_num"), strip.as_pointer()
    count, start = (int(memory.read(address, name)) for name in ("retiming_handle_num", "retiming_handles"))
    key = dna.layout("SeqRetimingHandle", "strip_frame_index", "retiming_factor", "flag")
    keys = tuple(
        retiming.Key(
            float(key.read(at, "strip_frame_index")),
            float(key.read(at, "retiming_factor")),
            bool(int(key.read(at, "flag")) & TRANSITION_BEGINS),
        )
        for at in range(start, start + count * key.size, key.size)
    )
    if keys and (keys[0].eases or keys[-2].eases):
        raise BadInput(
            f"the strip {strip.name!r} changes its speed gradually from its first or to its last frame, which Blender "
            "does not define; move that retiming key inwards, or remove the transition"
        )
    return keys


def forget(scene: bpy.types.Scene) -> None:
    """Have the next frame of `scene` rendered and not remembered.

    5.2 may take the last picture of a reversed meta strip or an interpolating Speed effect for the next one.
    """
    for strip in strips_all(scene.sequence_editor):
        if strip.type in ("META", "SPEED"):
            strip.invalidate_cache("COMPOSITE")


def clip(strip: Strip) -> bpy.types.MovieClip | None:
    """What a MOVIECLIP strip shows, which Python is told since 4.3."""
    if hasattr(strip, "clip"):
        return strip.clip
    address = dna.layout("Sequence", "clip").read(strip.as_pointer(), "clip")
    return next((found for found in bpy.data.movieclips if found.as_pointer() == address), None)


def free_channel(editor: Editor, first: int, end: int, above: int = 0) -> int:
    """Lowest unlocked channel over `above` with nothing from `first` until `end`. Raises `BadInput` when none is."""
    for channel in free_channels(editor, first, end, above):
        return channel
    raise BadInput(f"no channel is free from frame {first} to {end - 1}; unlock one or move strips apart")


def free_channels(holder: Any, first: int, end: int, above: int = 0, below: int = LAST_CHANNEL + 1) -> list[int]:
    """The unlocked channels between `above` and `below` with nothing from `first` until `end`, lowest first."""
    taken = {strip.channel for strip in strips(holder) if overlaps(strip, first, end)}
    between = range(above + 1, below)
    return [channel for channel in between if channel not in taken and not holder.channels[channel].lock]


def overlaps(strip: Strip, first: int, end: int) -> bool:
    start, stop = frame_range(strip)
    return start < end and stop > first


def new_image_sequence(editor: Editor, name: str, files: Sequence[Path], first: int, channel: int) -> Strip:
    """One image strip with one frame for each of `files`, all of one folder, starting at `first`."""
    strip = strips(editor).new_image(name=name, filepath=str(files[0]), channel=channel, frame_start=first)
    for file in files[1:]:
        strip.elements.append(file.name)
    return strip


def write_stills(settings: bpy.types.ImageFormatSettings, file_format: str, mode: str, depth: str) -> None:
    """Let a render write "PNG" or "OPEN_EXR" files in colour `mode` ("RGB", "BW") with `depth` bits a channel.

    5.0 wants to be told in two steps. Both are packed without loss: PNG as quickly as can be, EXR by lines in ZIP.
    """
    if hasattr(settings, "media_type"):
        settings.media_type = "IMAGE"
    settings.file_format = file_format
    settings.color_mode, settings.color_depth = mode, depth
    settings.compression, settings.exr_codec = 0, "ZIP"


def curves(animation: bpy.types.AnimData | None) -> list[bpy.types.FCurve]:
    """All keyframed properties, which since 4.4 lie in layers and since 5.0 nowhere else."""
    action = animation.action if animation else None
    if action is None:
        return []
    if not hasattr(action, "layers"):
        return list(action.fcurves)
    pieces = (piece for layer in action.layers for piece in layer.strips if animation.action_slot)
    bags = (piece.channelbag(animation.action_slot) for piece in pieces)
    return [curve for bag in bags if bag for curve in bag.fcurves]


def add_curve(animation: bpy.types.AnimData, like: bpy.types.FCurve, path: str) -> bpy.types.FCurve:
    """A curve without keyframes for the property at `path`, beside `like` and for the same one of several."""
    action = animation.action
    if not hasattr(action, "layers"):
        return action.fcurves.new(path, index=like.array_index)
    pieces = (piece for layer in action.layers for piece in layer.strips)
    bags = (piece.channelbag(animation.action_slot) for piece in pieces)
    bag = next(bag for bag in bags if bag and like in list(bag.fcurves))
    return bag.fcurves.new(path, index=like.array_index)


def compositing(scene: bpy.types.Scene) -> bpy.types.NodeTree | None:
    """The nodes of a scene's compositor; since 5.0 they are a node group like any other."""
    return scene.compositing_node_group if hasattr(scene, "compositing_node_group") else scene.node_tree
