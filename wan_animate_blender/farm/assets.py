"""Everything that the shots of a file read, wherever in the .blend that is said. Knows no engine and no disk."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import bpy

from .. import clip, colours, commission, configuration, footage, matte, originals, timeline
from .inventory import Need

BUILT_IN = "<builtin>"
"""Path of the font that Blender brings."""

_NUMBER = re.compile(r"[0-9]+(?=[^0-9]*$)")
_TILE = {
    "<UDIM>": lambda number: f"{number}",
    "<UVTILE>": lambda number: f"u{(number - 1001) % 10 + 1}_v{(number - 1001) // 10 + 1}",
}


def needs(asked: Sequence[commission.Request], *, edit: bool = False) -> Iterator[Need]:
    """What `asked` read, and with `edit` also what all of their edits show; other strips' files stay where they are.

    Things of the 3D scenes are listed whenever anything uses them.
    """
    for one in asked:
        yield from _of_shot(one)
    if edit:
        for scene in dict.fromkeys(one.scene for one in asked):
            for strip in timeline.strips(scene.sequence_editor):
                yield from _of_strip(f"strip {strip.name!r}", strip, range(*timeline.frame_range(strip)))
    yield from _libraries()
    yield from _images(_words(asked))
    yield from _clips()
    yield from _single(bpy.data.sounds, "sound")
    yield from _single(bpy.data.fonts, "font")
    yield from _volumes()
    yield from _cache_files()
    yield from _simulations()
    yield from _colours()
    yield from _others()


# --- strips ---------------------------------------------------------------------------------------


def _of_shot(one: commission.Request) -> Iterator[Need]:
    """Plate, mattes, clean plate and performance, at exactly the frames that are exported, handles included."""
    rows = commission.frame_table(one)[0]
    frames = range(int(rows[0].timeline), int(rows[-1].timeline) + 1)
    name = one.strip.name
    yield from _of_strip(f"plate {name!r}", one.strip, frames)
    for what, layer in (("matte", one.matte), ("region", one.region), ("effects matte", one.effects)):
        if isinstance(layer, matte.FromStrip):
            yield from _of_strip(f"{what} of {name!r}", layer.strip, frames)
    if one.clean_plate:
        yield from _of_strip(f"clean plate of {name!r}", one.clean_plate, frames)
    if one.face_strip:
        yield from _of_strip(f"performance for {name!r}", one.face_strip, frames)
    if isinstance(one.lens, clip.FromClip):  # its size is asked for, and no other of its frames
        yield Need(what=f"clip {one.lens.clip.name!r}", files=(_path(one.lens.clip.filepath, one.lens.clip),))


def _of_strip(what: str, strip: timeline.Strip, frames: range) -> Iterator[Need]:
    """What a strip shows at `frames` of the timeline, and all that it makes its picture of."""
    if strip.type == "MOVIECLIP":
        yield Need(what=what, files=tuple(_of_clip(strip, frames)))
    elif files := _shown(strip, frames):
        yield Need(what=what, files=tuple(files))
    for part in colours.parts(strip):
        elsewhere = strip.type in ("SPEED", "SCENE")  # they show other moments than they lie at
        yield from _of_strip(what, part, range(*timeline.frame_range(part)) if elsewhere else frames)


def _shown(strip: timeline.Strip, frames: range) -> list[Path]:
    if strip.type != "IMAGE":
        return originals.files(strip)
    within = _within(strip, frames)
    return originals.used(strip, [footage.source(strip, frame) for frame in within]) if within else []


def _within(strip: timeline.Strip, frames: range) -> range:
    """Those of `frames` for which the strip has footage."""
    before, after = footage.handles([], strip)
    first, end = timeline.frame_range(strip)
    return range(max(frames.start, first - before), min(frames.stop, end + after))


def _of_clip(strip: timeline.Strip, frames: range) -> Iterator[Path]:
    shown = timeline.clip(strip)
    if shown is None:
        return
    file = _path(shown.filepath, shown)
    if shown.source != "SEQUENCE" or not (number := _NUMBER.search(file.name)):
        yield file
        return
    begin = int(number[0]) + shown.frame_offset
    for frame in _within(strip, frames):
        yield _numbered(file, begin + int(footage.source(strip, frame)))


# --- things of 3D scenes --------------------------------------------------------------------------


def _path(path: str, owner: bpy.types.ID) -> Path:
    return Path(bpy.path.abspath(path, library=owner.library))


def _is_used(thing: bpy.types.ID) -> bool:
    return thing.users > thing.use_fake_user


def _numbered(file: Path, number: int) -> Path:
    """The file of a sequence that has another last number."""
    return file.with_name(_NUMBER.sub(lambda digits: str(number).zfill(len(digits[0])), file.name))


def _libraries() -> Iterator[Need]:
    """Those that are linked, and those that they link; what a lost one would link nobody knows."""
    for library in bpy.data.libraries:
        what = f"library {library.name!r}"
        if library.packed_file:
            yield Need(what=what, packed=library.packed_file.size)
        else:
            yield Need(what=what, files=(Path(bpy.path.abspath(library.filepath)),))


def _words(asked: Sequence[commission.Request]) -> dict[bpy.types.Image, str]:
    """What people call pictures that shots use themselves."""
    words: dict[bpy.types.Image, str] = {}
    for one in asked:
        mine = {one.character: "character", one.face_still: "expression"}
        if isinstance(one.lens, clip.FromMap):
            mine[one.lens.image] = "ST-map"
        words |= {image: f"{what} of {one.strip.name!r}" for image, what in mine.items() if image}
    return words


def _images(words: dict[bpy.types.Image, str]) -> Iterator[Need]:
    spans = dict(_spans())
    for image in filter(_is_used, bpy.data.images):
        what = words.get(image, f"texture {image.name!r}")
        if image.is_dirty and not image.packed_file:
            yield Need(what=what, nowhere=True)
        elif image.packed_files:
            yield Need(what=what, packed=sum(one.packed_file.size for one in image.packed_files))
        elif image.source in ("FILE", "MOVIE", "TILED", "SEQUENCE") and image.filepath:
            yield Need(what=what, files=tuple(_of_image(image, spans.get(image, ()))))


def _of_image(image: bpy.types.Image, spans: Iterable[range]) -> Iterator[Path]:
    file = _path(image.filepath, image)
    if image.source == "TILED":
        yield from (file.with_name(_tile(file.name, tile.number)) for tile in image.tiles)
        return
    frames = dict.fromkeys(number for span in spans for number in span) if image.source == "SEQUENCE" else ()
    yield from (_numbered(file, number) for number in frames) if frames else (file,)


def _tile(name: str, number: int) -> str:
    """Tiles are counted from 1001 in rows of ten; some programs tell column and row instead."""
    row, column = divmod(number - 1001, 10)
    return name.replace("<UDIM>", str(number)).replace("<UVTILE>", f"u{column + 1}_v{row + 1}")


def _clips() -> Iterator[Need]:
    """Those that nodes show, whole; a clip whose tracks alone are used has nothing to show."""
    for shown in {node.clip: None for tree in _trees() for node in tree.nodes if getattr(node, "clip", None)}:
        file = _path(shown.filepath, shown)
        number = _NUMBER.search(file.name) if shown.source == "SEQUENCE" else None
        begin = int(number[0]) + shown.frame_offset if number else 0
        frames = [_numbered(file, begin + frame) for frame in range(shown.frame_duration)] if number else [file]
        yield Need(what=f"clip {shown.name!r}", files=tuple(frames))


def _spans() -> Iterator[tuple[bpy.types.Image, list[range]]]:
    """Numbers of the files that nodes and textures show of sequences."""
    found: dict[bpy.types.Image, list[range]] = {}
    for holder in (*(node for tree in _trees() for node in tree.nodes), *bpy.data.textures):
        image = getattr(holder, "image", None)
        if isinstance(image, bpy.types.Image) and image.source == "SEQUENCE":
            user = getattr(holder, "image_user", holder)
            span = range(user.frame_offset + 1, user.frame_offset + user.frame_duration + 1)
            found.setdefault(image, []).append(span)
    yield from found.items()


def _trees() -> Iterator[bpy.types.NodeTree]:
    yield from bpy.data.node_groups
    for owners in (bpy.data.materials, bpy.data.worlds, bpy.data.lights, bpy.data.linestyles, bpy.data.textures):
        yield from (owner.node_tree for owner in owners if owner.node_tree)
    yield from filter(None, map(timeline.compositing, bpy.data.scenes))


def _single(things: Iterable[Any], word: str) -> Iterator[Need]:
    """Things that are one file each: sounds, fonts."""
    for thing in things:
        if not _is_used(thing) or thing.filepath in ("", BUILT_IN):
            continue
        if thing.packed_file:
            yield Need(what=f"{word} {thing.name!r}", packed=thing.packed_file.size)
        else:
            yield Need(what=f"{word} {thing.name!r}", files=(_path(thing.filepath, thing),))


def _volumes() -> Iterator[Need]:
    for volume in filter(_is_used, bpy.data.volumes):
        what, file = f"volume {volume.name!r}", _path(volume.filepath, volume)
        if volume.packed_file:
            yield Need(what=what, packed=volume.packed_file.size)
        elif volume.is_sequence:
            numbers = range(volume.frame_offset + 1, volume.frame_offset + volume.frame_duration + 1)
            yield Need(what=what, files=tuple(_numbered(file, number) for number in numbers))
        elif volume.filepath:
            yield Need(what=what, files=(file,))


def _cache_files() -> Iterator[Need]:
    """Alembic and USD. Of a sequence those that are there from its first to its last, and whatever lacks between."""
    for cache in filter(_is_used, bpy.data.cache_files):
        file = _path(cache.filepath, cache)
        files = [file, *(_path(layer.filepath, cache) for layer in cache.layers)]
        yield Need(what=f"cache {cache.name!r}", files=tuple([*_run_of(file), *files] if cache.is_sequence else files))


def _run_of(file: Path) -> list[Path]:
    alike = re.compile(re.sub(r"[0-9]+(?=[^0-9]*$)", "([0-9]+)", re.escape(file.name)))
    names = [path.name for path in file.parent.iterdir()] if file.parent.is_dir() else []
    numbers = sorted(int(found[1]) for found in map(alike.fullmatch, names) if found and found.groups())
    return [_numbered(file, number) for number in range(numbers[0], numbers[-1] + 1)] if numbers else []


# --- simulations ----------------------------------------------------------------------------------


def _simulations() -> Iterator[Need]:
    """Folders of what was baked. What was not is simulated anew by whoever renders it."""
    for thing in bpy.data.objects:
        for modifier in thing.modifiers:
            if folder := _baked(modifier):
                yield Need(what=f"{modifier.name!r} of {thing.name!r}", files=(_path(folder, thing),))
    for owner, cache in point_caches():
        if cache.use_external:
            yield Need(what=f"simulation of {owner.name!r}", files=(_path(cache.filepath, owner),))
        elif cache.use_disk_cache and (folder := disk_cache()):
            yield Need(what="simulations of this file", files=(folder,))


def _baked(modifier: bpy.types.Modifier) -> str:
    match modifier.type:
        case "FLUID" if modifier.fluid_type == "DOMAIN" and modifier.domain_settings.has_cache_baked_any:
            return str(modifier.domain_settings.cache_directory)
        case "OCEAN" if modifier.is_cached:
            return str(modifier.filepath)
        case "NODES":
            return str(modifier.bake_directory)
    return ""


def point_caches() -> Iterator[tuple[bpy.types.ID, bpy.types.PointCache]]:
    """The caches of cloth, hair, particles, paint and rigid bodies, with the object or scene that each belongs to."""
    for thing in bpy.data.objects:
        yield from ((thing, system.point_cache) for system in thing.particle_systems)
        for modifier in thing.modifiers:
            if modifier.type in ("CLOTH", "SOFT_BODY"):
                yield thing, modifier.point_cache
            elif modifier.type == "DYNAMIC_PAINT" and modifier.canvas_settings:
                yield from ((thing, surface.point_cache) for surface in modifier.canvas_settings.canvas_surfaces)
    for scene in bpy.data.scenes:
        if scene.rigidbody_world:
            yield scene, scene.rigidbody_world.point_cache


def disk_cache() -> Path | None:
    """The folder in which Blender keeps simulations of this file, by the file's name; None while there is none."""
    if not bpy.data.filepath:
        return None
    file = Path(bpy.data.filepath)
    folder = file.with_name(f"blendcache_{file.stem}")
    return folder if folder.is_dir() else None


# --- what is left ---------------------------------------------------------------------------------


def _colours() -> Iterator[Need]:
    if files := configuration.files():
        yield Need(what="colour configuration ($OCIO)", files=tuple(files))


def _others() -> Iterator[Need]:
    """What Blender knows of beside all that: mesh caches, photometric lights, scripts of nodes …"""
    told = {os.path.normpath(path) for path in _told()}
    for path in bpy.utils.blend_paths(absolute=True, packed=True, local=False):
        if path and os.path.normpath(path) not in told:
            yield Need(what=f"file {Path(path).name!r}", files=(Path(path),))


def _told() -> Iterator[str]:
    """Paths that were decided about above, also where it was decided that they stay."""
    data = bpy.data
    things = (data.images, data.sounds, data.fonts, data.volumes, data.cache_files, data.movieclips, data.texts)
    for thing in (thing for owners in things for thing in owners):
        yield bpy.path.abspath(thing.filepath, library=thing.library)
        yield from (bpy.path.abspath(layer.filepath, library=thing.library) for layer in getattr(thing, "layers", ()))
    yield from (bpy.path.abspath(library.filepath) for library in data.libraries)
    for scene in data.scenes:
        for strip in timeline.strips_all(scene.sequence_editor) if scene.sequence_editor else ():
            yield from map(str, originals.files(strip))
    yield from _folders()


def _folders() -> Iterator[str]:
    """Of simulations, baked or not."""
    for thing in bpy.data.objects:
        for modifier in thing.modifiers:
            for holder in (modifier, getattr(modifier, "domain_settings", None)):
                for name in ("cache_directory", "bake_directory", "filepath"):
                    if modifier.type in ("FLUID", "OCEAN", "NODES") and getattr(holder, name, ""):
                        yield bpy.path.abspath(getattr(holder, name), library=thing.library)
    for owner, cache in point_caches():
        yield bpy.path.abspath(cache.filepath, library=owner.library)
    if folder := disk_cache():
        yield str(folder)
