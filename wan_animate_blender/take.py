"""A finished take becomes strips, where its strip is now. Knows nothing of servers, jobs or windows."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import bpy

from . import footage, identity, timeline
from .wire import SHOT_FILE, TAKE_FILE, BadInput, Mode, RasterKind, Shot, Take, WireError, version_name

LAYER = {Mode.REPLACE: "character", Mode.ANIMATE: "generated"}
"""The layer of a take that goes into the edit."""

COLOUR_TAG = "COLOR_04"

LOOK = ("use_flip_x", "use_flip_y", "color_multiply", "color_saturation", "blend_alpha")
WAY = ("offset_x", "offset_y", "scale_x", "scale_y", "rotation", "origin", "filter")
CROP = ("min_x", "max_x", "min_y", "max_y")
"""What an export from the source's own pixels leaves out, and the strip of its take needs in turn."""


def import_take(scene: bpy.types.Scene, folder: Path, *, strip: timeline.Strip | None = None) -> list[timeline.Strip]:
    """Put the take in `folder` above the strip of `scene` that it was made from, and return the new strips.

    It lies where the same frames of the footage are now, its handles trimmed; nothing else of the edit is touched.
    Raises `BadInput` when it is not complete, of another strip, in the edit already, or has no frame in common with
    what the strip shows now.
    """
    take = read(folder)
    strip = _its_strip(scene, take, strip)
    files = pictures(take, folder, LAYER[take.mode])
    _expect_new(scene, take)
    shot = export_of(folder, take)
    first = place(strip, shot)
    start, end = timeline.frame_range(strip)
    start, end = max(start, first), min(end, first + len(files))
    if start >= end:
        raise BadInput(
            f"{title(take)} has no frame that the strip {strip.name!r} still shows; "
            f"trim the strip back to frames {first} to {first + len(files) - 1}"
        )
    new = _add(scene, strip, take, files, first)
    timeline.set_frame_range(new, start, end)
    _dress(scene, strip, new, shot, take)
    return [new]


def title(take: Take) -> str:
    return f"{take.shot} {version_name('v', take.version)}"


def summary(new: timeline.Strip) -> str:
    """Where an imported strip lies, and which frames of the strip below it lacks: that may have been trimmed since."""
    text = f"{new.name} is on channel {new.channel}"
    found = identity.find(new.wan_animate.parent)
    covered = range(*timeline.frame_range(new))
    lacking = [frame for frame in range(*timeline.frame_range(found[1])) if frame not in covered] if found else []
    if lacking:
        text += f"; frames of {found[1].name!r} that it lacks: {len(lacking)} from {lacking[0]}"
    return text


def read(folder: Path) -> Take:
    """What the take in `folder` says of itself. Raises `BadInput` when it is none."""
    try:
        return Take.loads((folder / TAKE_FILE).read_bytes())
    except OSError as error:
        raise BadInput(
            f"{folder} holds no take ({TAKE_FILE}: {error.strerror or error}); choose a folder such as takes/v001"
        ) from error


def _its_strip(scene: bpy.types.Scene, take: Take, chosen: timeline.Strip | None) -> timeline.Strip:
    found = identity.find(take.strip)
    strip = chosen or (found[1] if found and found[0] == scene else None)
    if strip is None:
        raise BadInput(
            f"{title(take)} was made from a strip that the scene {scene.name!r} does not have; "
            "open the file and the scene that it was exported from"
        )
    if not take.strip or strip.wan_animate.uid != take.strip:
        raise BadInput(f"{title(take)} was made from another strip than {strip.name!r}; choose the one it belongs to")
    return strip


def pictures(take: Take, folder: Path, layer: str) -> list[Path]:
    """The files of one layer, one for each frame. Raises `BadInput` naming a missing one."""
    paths = {int(Path(path).stem): path for path in take.sequence(layer)}
    for number in range(take.first, take.last + 1):
        path = paths.get(number)
        if path is None:
            raise BadInput(
                f"{title(take)} has {len(paths)} of {take.last - take.first + 1} frames, {layer} {number} is the first "
                "one missing; wait until it is rendered, or render the shot again: it goes on where it stopped"
            )
        file = folder / path
        if not file.is_file() or file.stat().st_size != take.files[path].size:
            raise BadInput(f"{title(take)} is damaged: {file} is missing or truncated; fetch the take again")
    return [folder / paths[number] for number in range(take.first, take.last + 1)]


def _expect_new(scene: bpy.types.Scene, take: Take) -> None:
    for strip in timeline.strips_all(scene.sequence_editor):
        if strip.wan_animate.take == _name_of(take):
            raise BadInput(
                f"{title(take)} is in the edit already: {strip.name!r} on channel {strip.channel}, "
                f"frame {timeline.frame_range(strip)[0]}"
            )


def _name_of(take: Take) -> str:
    """What no other take has: versions are counted in each folder anew, exports are known by their hash."""
    return f"{take.strip} {take.export} {take.version}"


def export_of(folder: Path, take: Take) -> Shot:
    """The shot that `take` was rendered from: it says which frames of the footage and which pixels were meant."""
    for file in sorted(folder.parent.parent.glob(f"e*/{SHOT_FILE}")):
        try:
            shot = Shot.loads(file.read_bytes())
        except WireError:  # another version's export: not the one that is looked for
            continue
        if shot.hash == take.export:
            return shot
    raise BadInput(
        f"the export that {title(take)} was rendered from is not in {folder.parent.parent}; "
        "keep exports and takes of a shot in one folder"
    )


def place(strip: timeline.Strip, shot: Shot) -> int:
    """Frame of the timeline where the first frame of `shot` lies now: where its frames of the footage are.

    Raises `BadInput` when the footage plays at another speed than when `shot` was exported.
    """
    return footage.place(strip, [row.source for row in shot.frames], near=round(shot.frames[0].timeline))


def _add(scene: bpy.types.Scene, strip: timeline.Strip, take: Take, files: list[Path], first: int) -> timeline.Strip:
    """An image strip on the lowest channel that is free for all of `files`, in the same meta.

    It is above `strip`, and above the takes of those people who stand behind this one.
    """
    editor = scene.sequence_editor
    way = timeline.path(editor, strip.name)
    holder = way[-2] if len(way) > 1 else editor
    below = max(strip.channel, *(other.channel for other in _behind(holder, strip, take)), 0)
    channel = timeline.free_channel(holder, first, first + len(files), above=below)
    return timeline.new_image_sequence(holder, title(take), files, first, channel)


def _behind(holder: object, strip: timeline.Strip, take: Take) -> list[timeline.Strip]:
    """The strips with takes of people whom the one of `take` hides."""
    shots = [person.shot for person in strip.wan_animate.people]
    hidden = shots[: shots.index(take.shot)] if take.shot in shots else []
    others = (other for other in timeline.strips(holder) if other.wan_animate.parent == take.strip)
    return [other for other in others if other.wan_animate.take and other.wan_animate.shot in hidden]


def _dress(scene: bpy.types.Scene, strip: timeline.Strip, new: timeline.Strip, shot: Shot, take: Take) -> None:
    """Make `new` coincide with what it was made from, and tell whose it is."""
    new.name = f"{title(take)} {LAYER[take.mode]}"
    new.select = False
    new.color_tag = COLOUR_TAG
    new.blend_type, new.alpha_mode = "ALPHA_OVER", "STRAIGHT"
    if bpy.data.filepath and bpy.context.preferences.filepaths.use_relative_paths:
        new.directory = bpy.path.relpath(new.directory)
    ours = new.wan_animate
    ours.take, ours.parent, ours.shot = _name_of(take), take.strip, take.shot
    size, canvas = (take.width, take.height), (scene.render.resolution_x, scene.render.resolution_y)
    if size != (shot.raster.width, shot.raster.height):
        new.transform.scale_x = new.transform.scale_y = min(canvas[0] / size[0], canvas[1] / size[1])
    elif shot.raster.kind is RasterKind.SOURCE:
        _copy(strip, new, LOOK)
        _copy(strip.transform, new.transform, WAY)
        _copy(strip.crop, new.crop, CROP)


def _copy(source: bpy.types.bpy_struct, target: bpy.types.bpy_struct, names: Iterable[str]) -> None:
    for name in names:
        setattr(target, name, getattr(source, name))
