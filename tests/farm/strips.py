"""Says what lies in a file's edits, from inside a fresh Blender without the add-on: `--python strips.py`."""

import json
import sys
from pathlib import Path

import bpy


def ends(strip):
    """First frame and the one behind the last, in Blender 5 and before."""
    if hasattr(strip, "left_handle"):
        return int(strip.left_handle), int(strip.right_handle)
    return int(strip.frame_final_start), int(strip.frame_final_end)


def shown(scene, strip):
    folder = Path(bpy.path.abspath(strip.directory))
    first, end = ends(strip)
    return {
        "scene": scene.name, "name": strip.name, "channel": strip.channel, "first": first, "end": end,
        "files": [str((folder / element.filename).resolve()) for element in strip.elements],
    }  # fmt: skip


said = []
for scene in bpy.data.scenes:
    editor = scene.sequence_editor
    strips = getattr(editor, "strips_all", None) or getattr(editor, "sequences_all", ())
    said += [shown(scene, strip) for strip in strips]
sys.stdout.write(f"STRIPS{json.dumps(said)}\n")
