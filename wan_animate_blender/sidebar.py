"""The sidebar of sequencer and preview: where our panels are, and sentences in as many lines as they need.

Knows nothing of what they say.
"""

from __future__ import annotations

import textwrap
from typing import ClassVar

import bpy

from . import identity
from .language import translated

LETTER_PIXELS = 7
"""Width of a letter at interface scale 1, roughly: Blender does not wrap text."""


class InSidebar:
    """A panel on our tab."""

    bl_space_type = "SEQUENCE_EDITOR"
    bl_region_type = "UI"
    bl_category = "Wan Animate"


class BelowStrip(InSidebar):
    """A folded panel about the active strip, below that of the strip itself."""

    bl_parent_id = "WAN_ANIMATE_PT_strip"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        _, strip = identity.active(context)
        return strip is not None and not strip.wan_animate.take


def sentence(layout: bpy.types.UILayout, context: bpy.types.Context, text: str, icon: str) -> None:
    """A sentence in the language of the interface, in as many lines as the sidebar's width makes of it."""
    text = translated(text)
    scale = context.preferences.system.ui_scale
    letters = max(int(context.region.width / (LETTER_PIXELS * scale)) - 6, 16)
    column = layout.column(align=True)
    column.scale_y = 0.8
    for number, line in enumerate(textwrap.wrap(text[:1].upper() + text[1:], letters)):
        column.label(text=line, translate=False, icon="BLANK1" if number else icon)
