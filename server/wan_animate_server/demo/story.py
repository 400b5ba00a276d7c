"""Who plays what in the demo's shot, and the order in which the .blend is built. Runs inside Blender."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import bpy
from mathutils import Vector

from wan_animate_server.demo import edit, motion, roto, stage
from wan_animate_server.demo.cut import CUT, FPS, HEAD, SIZE, START, TAIL
from wan_animate_server.demo.figure import Look, add_figure, paint
from wan_animate_server.demo.motion import Gait

FILM = range(1, HEAD + CUT + TAIL + 1)
"""Frames of the 3D scenes; the footage's first frame is 1."""

KEYED = range(FILM[0] - 1, FILM[-1] + 2)
"""One frame more on both sides, for motion blur."""

TIMELINE = range(1, START + CUT + 12)
"""Frames of the edit."""

ACTOR = Look(
    legs=1.0, arms=1.0, shoulders=1.08, neck=0.04, head=1.08, girth=1.1, coat=0.0, bun=False,
    colours={
        "top": (0.04, 0.28, 0.3), "sleeve": (0.04, 0.28, 0.3), "legs": (0.04, 0.06, 0.14), "shoes": (0.3, 0.28, 0.26),
        "skin": (0.5, 0.26, 0.16), "hair": (0.03, 0.018, 0.012), "lips": (0.35, 0.1, 0.08),
    },
)  # fmt: skip
CHARACTER = Look(
    legs=0.9, arms=0.95, shoulders=0.9, neck=0.06, head=1.25, girth=0.96, coat=0.3, bun=True,
    colours={
        "top": (0.75, 0.42, 0.03), "sleeve": (0.75, 0.42, 0.03), "legs": (0.05, 0.03, 0.12), "shoes": (0.3, 0.02, 0.06),
        "skin": (0.62, 0.34, 0.22), "hair": (0.35, 0.06, 0.02), "lips": (0.45, 0.09, 0.09),
    },
)  # fmt: skip

ACTING = Gait(
    period=26, phase=0.1, swing=23, wave=13, lift=38, bend=82, start=Vector((-0.7, 0.6, 0)), heading=35, mood=0.0
)
FOLLOWING = Gait(
    period=26, phase=0.13, swing=24, wave=13, lift=34, bend=84, start=Vector((-0.6, 0.52, 0)), heading=35, mood=0.2
)
APPROACHING = Gait(
    period=40, phase=0.1, swing=12, wave=13, lift=-24, bend=128, start=Vector((0, 0, 0)), heading=-5, mood=0.2
)
"""For footage of one's own: somebody coming slowly towards the camera."""


def build(folder: str, mode: str, plate: str | None, character: str | None) -> None:
    """Build the shot in `folder` and save it there as demo.blend. Paths are absolute; None is the demo's own."""
    place = Path(folder)
    blank = list(bpy.data.scenes)
    layout = stage.new_scene("Layout", SIZE, FPS, FILM)
    rig = add_figure("Rig", CHARACTER)
    picture = Path(character) if character else render_character(rig, place)
    strip, matte = use_movie(Path(plate), layout, rig) if plate else shoot(place, layout, rig)
    edit.add_title(strip.id_data, "Wan Animate")
    wanted = bpy.data.images.load(str(picture))
    edit.ask(strip, mode=mode, rig=rig, rig_scene=layout, character=wanted, matte=matte)
    bpy.context.window.scene = strip.id_data
    for scene in blank:
        bpy.data.scenes.remove(scene)
    bpy.data.orphans_purge()
    bpy.context.preferences.filepaths.save_version = 0
    bpy.ops.wm.save_as_mainfile(filepath=str(place / "demo.blend"))


def render_character(rig: Any, folder: Path) -> Path:
    """A picture of the rig's body as a costume fitting would take it: standing, from the front, on a plain set."""
    motion.stand(rig)
    studio = stage.new_scene("Studio", (384, 512), FPS, range(1, 2))
    studio.collection.children.link(rig.users_collection[0])
    stage.add_light(studio, (0.8, 0.8, 0.85), strength=0.9)
    stage.box(studio, "backdrop", (12, 0.1, 8), (0, 1.6, 2), paint("backdrop", (0.36, 0.38, 0.42)))
    stage.box(studio, "floor", (12, 6, 0.1), (0, 0, -0.05), paint("floor", (0.3, 0.31, 0.34)))
    stage.add_camera(studio, (0, -4.6, 0.98), 62)
    studio.cycles.samples = 32
    with tempfile.TemporaryDirectory() as draft:
        (still,) = stage.render_frames(studio, Path(draft), [1], stage="character")
        shutil.move(still, folder / "character.png")
    bpy.data.scenes.remove(studio)
    return folder / "character.png"


def shoot(folder: Path, layout: Any, rig: Any) -> tuple[Any, Any]:
    """Film the actor, draw the matte, match the rig; the strips of plate and matte in the edit."""
    floor = stage.new_scene("Stage", SIZE, FPS, FILM)
    sun = stage.add_light(floor, (0.5, 0.62, 0.85))
    stage.build_set(floor)
    camera = stage.add_camera(floor, (0, -5.6, 1.3), 42)
    stage.follow(camera, [(FILM[0], (-0.3, 0, 0.95)), (FILM[-1], (0.15, 0, 0.92))])
    floor.render.use_motion_blur, floor.render.motion_blur_shutter = True, 0.5
    actor = add_figure("Actor", ACTOR)
    motion.perform(actor, ACTING, KEYED)
    plates, mattes = folder / "footage" / "plate", folder / "footage" / "matte"
    with tempfile.TemporaryDirectory() as draft:
        pictures = stage.add_grain(stage.render_frames(floor, Path(draft), FILM, stage="filming the plate"), plates)
    drawn = stage.render_matte(floor, actor, mattes, FILM)
    motion.perform(rig, FOLLOWING, KEYED)
    for thing in (camera, sun):
        layout.collection.objects.link(thing)
    layout.camera, layout.world = camera, floor.world
    scene = stage.new_scene("Edit", SIZE, FPS, TIMELINE)
    matte = edit.add_sequence(scene, "Matte", drawn, edit.MATTE)
    matte.mute = True
    return edit.add_sequence(scene, "Plate", pictures, edit.PLATE), matte


def use_movie(movie: Path, layout: Any, rig: Any) -> tuple[Any, Any]:
    """Lay `movie` into the edit, the rig over whoever is in its middle, and a mask around both: strip and mask."""
    clip = bpy.data.movieclips.load(str(movie))
    size, fps = tuple(clip.size), clip.fps
    for scene in (layout, edited := stage.new_scene("Edit", size, FPS, TIMELINE)):
        scene.render.resolution_x, scene.render.resolution_y = size
        scene.render.fps, scene.render.fps_base = round(fps), round(fps) / fps
    bpy.data.movieclips.remove(clip)
    motion.perform(rig, APPROACHING, KEYED)
    stage.add_light(layout, (0.7, 0.7, 0.8))
    camera = stage.add_camera(layout, (-0.1, -3, 1.6), 69)
    camera.data.sensor_fit = "VERTICAL"
    strip = edit.add_movie(edited, "Plate", movie, edit.PLATE)
    return strip, roto.draw_mask("Person", layout, rig, FILM[::2])
