"""Sentences in the sidebar, in as many lines as they need. Knows nothing of what they say."""

from __future__ import annotations

import textwrap

import bpy

LETTER_PIXELS = 7
"""Width of a letter at interface scale 1, roughly: Blender does not wrap text."""


def sentence(layout: bpy.types.UILayout, context: bpy.types.Context, text: str, icon: str) -> None:
    """A sentence in as many lines as the sidebar's width makes of it."""
    scale = context.preferences.system.ui_scale
    letters = max(int(context.region.width / (LETTER_PIXELS * scale)) - 6, 16)
    column = layout.column(align=True)
    column.scale_y = 0.8
    for number, line in enumerate(textwrap.wrap(text[:1].upper() + text[1:], letters)):
        column.label(text=line, icon="BLANK1" if number else icon)
