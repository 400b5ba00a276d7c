"""A small edit for a farm, made inside a Blender that has the add-on: `--python edit.py -- FOLDER` saves `edit.blend`.

Two marked strips in the scene "Edit" and one in "Titles", of pictures that lie in FOLDER already; one figure moves all.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import addon_utils
import bpy

timeline = importlib.import_module("bl_ext.user_default.wan_animate.timeline")


def make(folder: Path) -> None:
    edit = bpy.context.scene
    edit.name = "Edit"
    titles = bpy.data.scenes.new("Titles")
    hero = bpy.data.images.load(str(folder / "hero.png"))
    rig, camera = figure(edit), view(edit)
    for scene in (edit, titles):
        scene.render.resolution_x, scene.render.resolution_y = 80, 48
        scene.sequence_editor_create()
    titles.camera = camera
    for scene, name, first in ((edit, "hall", 1), (edit, "door", 21), (titles, "stairs", 5)):
        strip = sequence(scene, folder, name, first, 1)
        sequence(scene, folder, "matte", first, 2).name = f"{name} matte"
        ours = strip.wan_animate
        ours.handles, ours.steps, ours.segment, ours.overlap, ours.area = 0, 1, 5, "1", 80 * 48
        person = ours.add_person()
        person.rig, person.rig_scene, person.character, person.face = rig, edit, hero, "none"
        person.matte, person.matte_strip = "STRIP", f"{name} matte"
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "edit.blend"))


def sequence(scene: Any, folder: Path, name: str, first: int, channel: int) -> Any:
    files = sorted((folder / name).glob("*.png"))
    return timeline.new_image_sequence(scene.sequence_editor, name, files, first, channel)


def figure(scene: Any) -> Any:
    """Rigify's human metarig, drifting to its left."""
    addon_utils.enable("rigify", default_set=True)
    bpy.ops.object.armature_human_metarig_add()
    rig = bpy.context.object
    for frame, place in ((1, -0.4), (40, 0.6)):
        rig.location.x = place
        rig.keyframe_insert("location", frame=frame)
    return rig


def view(scene: Any) -> Any:
    """Five metres in front of it, looking at its chest."""
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    scene.collection.objects.link(camera)
    camera.location, camera.rotation_euler, camera.data.lens = (0.3, -5.0, 1.6), (1.48, 0.02, 0.05), 32.0
    scene.camera = camera
    return camera


make(Path(sys.argv[sys.argv.index("--") + 1]))
