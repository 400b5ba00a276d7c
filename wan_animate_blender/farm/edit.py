"""A finished edit as Blender's sequencer renders it, so that it can be stopped and gone on with. Knows no shots."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import bpy

from .. import graphics, stills
from ..wire import BadInput, frame_name


def folder_of(scene: bpy.types.Scene) -> str:
    """A name for the folder of the scene's frames that is safe on every system: "01_Scene"."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", scene.name).strip("-")
    return f"{bpy.data.scenes.find(scene.name) + 1:02d}_{plain}"


def render(scene: bpy.types.Scene, folder: Path) -> Iterator[float]:
    """Render the edit of `scene` in its own output format into `folder`: a file for each frame, or a movie.

    Yields how much is done, 0 to 1. What is there already is kept: a file has its name only once it is whole. Changes
    the output settings of `scene` in memory. Raises `BadInput` where this Blender cannot render it.
    """
    _prepare(scene)
    _made(folder)
    if scene.render.is_movie_format:
        _render_movie(scene, folder / f"{folder.name}{Path(scene.render.frame_path()).suffix}")
        yield 1.0
        return
    frames = range(scene.frame_start, scene.frame_end + 1, scene.frame_step)
    extension = scene.render.file_extension[1:]
    for done, number in enumerate(frames, 1):
        file = folder / frame_name(number, extension)
        if not file.is_file():
            scene.frame_set(number)
            stills.write(scene, _part_of(file)).replace(file)
        yield done / len(frames)


def _prepare(scene: bpy.types.Scene) -> None:
    render = scene.render
    if scene.sequence_editor is None:
        raise BadInput(f"the scene {scene.name!r} has no edit; submit strips of a scene that has one")
    if graphics.is_missing(scene):
        render.engine = "CYCLES"  # asked where nothing lies in the edit, it needs no graphics driver
    render.use_sequencer, render.use_file_extension, render.use_lock_interface = True, True, True


def _made(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".*.part.*"):  # of a process that was killed
            left.unlink()
    except OSError as error:
        raise BadInput(
            f"cannot write the edit to {folder} ({error.strerror or error}); choose another folder"
        ) from error


def _part_of(file: Path) -> Path:
    """Blender tells a movie by its suffix."""
    return file.with_name(f".{file.stem}.part{file.suffix}")


def _render_movie(scene: bpy.types.Scene, file: Path) -> None:
    if file.is_file():
        return
    part = _part_of(file)
    scene.render.filepath = str(part)
    try:
        bpy.ops.render.render(animation=True, scene=scene.name)
        part.replace(file)
    except (RuntimeError, OSError) as error:
        raise BadInput(f"Blender could not render {file} ({error}); choose another output format") from error
    finally:
        part.unlink(missing_ok=True)
