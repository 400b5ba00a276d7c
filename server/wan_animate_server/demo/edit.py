"""The demo's edit: strips in a scene of their own, and what an artist sets on the plate. Runs inside Blender."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wan_animate_server.demo.cut import CUT, HANDLES, HEAD, START
from wan_animate_server.demo.extension import timeline

PLATE, MATTE, TITLE = 1, 2, 6
"""Channels: between matte and title there is room for a take."""


def add_sequence(scene: Any, name: str, files: Sequence[Path], channel: int) -> Any:
    """`files` as a strip, trimmed to the cut."""
    editor = scene.sequence_editor_create()
    return trimmed(timeline.new_image_sequence(editor, name, files, START - HEAD, channel))


def add_movie(scene: Any, name: str, movie: Path, channel: int) -> Any:
    """A movie as a strip, trimmed to the cut."""
    strips = timeline.strips(scene.sequence_editor_create())
    return trimmed(strips.new_movie(name=name, filepath=str(movie), channel=channel, frame_start=START - HEAD))


def trimmed(strip: Any) -> Any:
    timeline.set_frame_range(strip, START, START + CUT)
    return strip


def add_title(scene: Any, text: str) -> Any:
    """A title over the cut, which no take may disturb."""
    strips = timeline.strips(scene.sequence_editor_create())
    spoken = strips.bl_rna.functions["new_effect"].parameters
    end = {"length": CUT} if "length" in spoken else {"frame_end": START + CUT}  # renamed in 5.0
    title = strips.new_effect(name="Title", type="TEXT", channel=TITLE, frame_start=START, **end)
    title.text, title.font_size, title.location = text, 16, (0.5, 0.08)
    title.blend_type = "ALPHA_OVER"
    return title


def ask(strip: Any, *, mode: str, rig: Any, rig_scene: Any, character: Any, matte: Any) -> None:
    """Fill in the panel: `matte` is a strip or a mask."""
    wish = strip.wan_animate
    wish.shot, wish.mode, wish.handles = "SH010", mode, HANDLES
    person = wish.add_person()
    person.rig, person.rig_scene, person.character = rig, rig_scene, character
    person.face = "rig"
    if hasattr(matte, "layers"):
        person.matte, person.matte_mask = "MASK", matte
    else:
        person.matte, person.matte_strip = "STRIP", matte.name
