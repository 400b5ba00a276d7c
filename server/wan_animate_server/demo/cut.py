"""The numbers of the demo's shot that Blender and the command share."""

SIZE = (320, 192)
FPS = 24

HEAD, CUT, TAIL = 11, 13, 11
"""Frames of the footage before, inside and after the cut: more than the handles take."""

HANDLES = 8
FRAMES = CUT + 2 * HANDLES
"""Frames of the shot: 29."""

START = 25
"""Frame of the edit at which the cut begins."""

LEAST = HEAD + CUT + HANDLES
"""Frames that footage of somebody's own must have."""
