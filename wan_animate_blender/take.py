"""A finished take becomes strips, where its strip is now. Knows nothing of servers, jobs or windows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

from . import colours, footage, identity, likeness, placement, stack, timeline
from .wire import (
    SHOT_FILE,
    TAKE_FILE,
    BadInput,
    Extra,
    Mode,
    RasterKind,
    Shot,
    Take,
    WireError,
    frame_name,
    version_name,
)

LAYER = {Mode.REPLACE: "character", Mode.ANIMATE: "generated"}
"""The layer of a take that goes into the edit."""

COLOUR_TAG = "COLOR_04"

WHOLE = "comp"
"""The layer that shows plate and character, where there is a plate."""


@dataclass(frozen=True)
class Options:
    """How a take goes into the edit."""

    beside: tuple[str, ...] = ()
    """Layers beside the one that is shown, "matte" or "comp"; their strips are muted."""
    make_room: bool = False
    """Move what has to stay above the take up by a channel, where there is no room for it."""
    use_in_effects: bool = False
    """Let transitions and other effects on the strip show the take instead of it."""
    mute_source: bool = False
    """Mute the strip that the take was made from."""
    unfinished: bool = False
    """Also a take of which only the first frames are there: those are shown, the others are awaited (`growth`)."""


PLAIN = Options()


def import_take(
    scene: bpy.types.Scene, folder: Path, *, strip: timeline.Strip | None = None, options: Options = PLAIN,
) -> list[timeline.Strip]:  # fmt: skip
    """Put the take in `folder` above the strip of `scene` that it was made from, and return the new strips: the one
    that is shown first.

    It lies where the same frames of the footage are now, its handles trimmed, below titles and all else that was above
    the strip where there is room, and older takes are muted unless they are pinned. Nothing else of the edit is
    touched but what `options` say.
    Raises `BadInput` when it is not complete, of another strip, in the edit already, or has no frame in common with
    what the strip shows now.
    """
    take = read(folder)
    strip = _its_strip(scene, take, strip)
    layers = _new_layers(scene, take, options)
    count = there(take) if options.unfinished else _frames(take)
    files = {layer: pictures(take, folder, layer, count) for layer in layers}
    shot = export_of(folder, take)
    _expect_space(shot, take)
    span = _span(strip, take, place(strip, shot), count)
    older = stack.of(scene, strip, take.shot)
    new = [_add(scene, strip, take, layer, files[layer], span, options) for layer in layers]
    for one in new:
        _dress(scene, strip, one, shot, take)
    if options.use_in_effects:
        _use_in_effects(scene, strip, new)
    if LAYER[take.mode] in layers:
        stack.hide(older)
    strip.mute = strip.mute or options.mute_source
    return new


@dataclass(frozen=True)
class _Span:
    """Where a take lies on the timeline: all of its frames, and those that its strip shows."""

    first: int
    frames: int
    start: int
    end: int

    @property
    def whole(self) -> tuple[int, int]:
        return self.first, self.first + self.frames


def _frames(take: Take) -> int:
    return take.last - take.first + 1


def there(take: Take) -> int:
    """How many frames of a take are there from its first one on: all, unless it is still being rendered."""
    numbers = {int(Path(path).stem) for path in take.sequence(LAYER[take.mode])}
    return next(count for count in range(_frames(take) + 1) if take.first + count not in numbers)


def _span(strip: timeline.Strip, take: Take, first: int, count: int) -> _Span:
    """Where the take lies when its first `count` frames are there. Raises `BadInput` when the strip shows none."""
    frames = _frames(take)
    start, end = timeline.frame_range(strip)
    start, end = max(start, first), min(end, first + count)
    if start >= end:
        raise BadInput(
            f"{title(take)} has no frame that the strip {strip.name!r} still shows; "
            f"trim the strip back to frames {first} to {first + frames - 1}"
        )
    return _Span(first, frames, start, end)


def _new_layers(scene: bpy.types.Scene, take: Take, options: Options) -> list[str]:
    """The layers that are wanted and not in the edit yet. Raises `BadInput` when all are, or the take has them not."""
    wanted = [LAYER[take.mode], *options.beside]
    if options.use_in_effects and take.mode is Mode.REPLACE:
        wanted.append(WHOLE)  # the character alone would stand before nothing there
    lacking = [layer for layer in wanted if layer not in take.layers]
    if lacking:
        raise BadInput(f"{title(take)} has no {lacking[0]}; it has {' and '.join(take.layers)}")
    name = name_of(take)
    there = [one for one in timeline.strips_all(scene.sequence_editor) if one.wan_animate.take == name]
    new = [layer for layer in dict.fromkeys(wanted) if layer not in [one.wan_animate.layer for one in there]]
    if not new:
        raise BadInput(
            f"{title(take)} is in the edit already: {there[0].name!r} on channel {there[0].channel}, "
            f"frame {timeline.frame_range(there[0])[0]}"
        )
    return new


def title(take: Take) -> str:
    return f"{take.shot} {version_name('v', take.version)}"


def summary(new: timeline.Strip) -> str:
    """Where an imported strip lies, what it hides, and which frames of the strip below it lacks: that may have been
    trimmed since, or transitions show them."""
    text = f"{new.name} is on channel {new.channel}"
    found = identity.find(new.wan_animate.parent)
    return "; ".join([text, *_remarks(*found, new)]) if found else text


def _remarks(scene: bpy.types.Scene, source: timeline.Strip, new: timeline.Strip) -> Iterator[str]:
    holder, shown = placement.holder_of(scene, source), timeline.frame_range(new)
    hidden = [s for s in placement.over(holder, source, new.wan_animate.shot, *shown) if s.channel < new.channel]
    if hidden:
        yield f"it hides {hidden[0].name!r}, below which no channel was free; Make Room moves that up"
    lacking = set(range(*timeline.frame_range(source))) - set(range(*shown))
    for effect in placement.effects_on(holder, source):
        lacking -= set(range(*timeline.frame_range(effect)))
        if new.wan_animate.take not in [one.wan_animate.take for one in placement.inputs(effect)]:
            yield f"{effect.name!r} shows {source.name!r} without it"
    if lacking:
        yield f"frames of {source.name!r} that it lacks: {len(lacking)} from {min(lacking)}"
    mixed = scene.sequencer_colorspace_settings.name
    if new.alpha_mode == "PREMUL" and not colours.is_linear(mixed):
        yield f"soft edges differ from the take's comp, for the sequencer mixes in {mixed!r} and not in light"


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


def pictures(take: Take, folder: Path, layer: str, count: int | None = None) -> list[Path]:
    """The files of one layer, one for each frame. Raises `BadInput` naming the first that is missing of the first
    `count`, or of all."""
    paths = {int(Path(path).stem): path for path in take.sequence(layer)}
    for number in range(take.first, take.first + (_frames(take) if count is None else max(count, 1))):
        path = paths.get(number)
        if path is None:
            raise BadInput(
                f"{title(take)} has {len(paths)} of {take.last - take.first + 1} frames, {layer} {number} is the first "
                "one missing; wait until it is rendered, or render the shot again: it goes on where it stopped"
            )
        file = folder / path
        if not file.is_file() or file.stat().st_size != take.files[path].size:
            raise BadInput(f"{title(take)} is damaged: {file} is missing or truncated; fetch the take again")
    suffix = Path(paths[take.first]).suffix[1:]
    return [folder / layer / frame_name(number, suffix) for number in range(take.first, take.last + 1)]


def name_of(take: Take) -> str:
    """What no other take has: versions are counted in each folder anew, exports are known by their hash."""
    return f"{take.strip} {take.export} {take.version}"


def export_of(folder: Path, take: Take) -> Shot:
    """The shot that `take` was rendered from: it says which frames of the footage and which pixels were meant."""
    return exported(folder, take)[1]


def exported(folder: Path, take: Take) -> tuple[Path, Shot]:
    """The folder of the export that `take` was rendered from, and what it says. Raises `BadInput` when it is gone."""
    for file in sorted(folder.parent.parent.glob(f"e*/{SHOT_FILE}")):
        try:
            shot = Shot.loads(file.read_bytes())
        except WireError:  # another version's export: not the one that is looked for
            continue
        if shot.hash == take.export:
            return file.parent, shot
    raise BadInput(
        f"the export that {title(take)} was rendered from is not in {folder.parent.parent}; "
        "keep exports and takes of a shot in one folder"
    )


def _is_light(take: Take, layer: str) -> bool:
    """Whether a layer is scene-linear and premultiplied (EXR), as the plate was."""
    return take.sequence(layer)[0].endswith(".exr")


def _expect_space(shot: Shot, take: Take) -> None:
    """Raise `BadInput` when this Blender has no name for the colour space of the layers."""
    known = bpy.types.ColorManagedInputColorspaceSettings.bl_rna.properties["name"].enum_items
    if _is_light(take, LAYER[take.mode]) and shot.colour.working_space not in known:
        raise BadInput(
            f"{title(take)} is in the colour space {shot.colour.working_space!r}, which this Blender's colour "
            "configuration does not have; start Blender with the one that it was exported with"
        )


def place(strip: timeline.Strip, shot: Shot) -> int:
    """Frame of the timeline where the first frame of `shot` lies now: where its frames of the footage are.

    Raises `BadInput` when the footage plays at another speed than when `shot` was exported.
    """
    return footage.place(strip, [row.source for row in shot.frames], near=round(shot.frames[0].timeline))


def _add(
    scene: bpy.types.Scene, strip: timeline.Strip, take: Take, layer: str, files: list[Path], span: _Span,
    options: Options,
) -> timeline.Strip:  # fmt: skip
    """An image strip of one layer in the meta strip of `strip`, trimmed to what is shown of it."""
    holder = placement.holder_of(scene, strip)
    start, end = span.start, span.end
    if layer == LAYER[take.mode]:
        start, end = placement.shown_itself(holder, strip, start, end)
        channel = _channel(holder, strip, take.shot, (start, end), span.whole, options.make_room)
    else:  # muted, so that it hides nothing wherever it is
        channel = timeline.free_channel(holder, *span.whole, above=strip.channel)
    new = timeline.new_image_sequence(holder, f"{title(take)} {layer}", files, span.first, channel)
    timeline.set_frame_range(new, start, end)
    if new.channel != channel:  # its handles were in somebody's way
        new.channel = channel
    new.wan_animate.layer, new.mute = layer, layer != LAYER[take.mode]
    new.wan_animate.frames = there(take)
    return new


def _channel(
    holder: Any, strip: timeline.Strip, shot: str, shown: tuple[int, int], whole: tuple[int, int], make_room: bool
) -> int:
    """Where the take hides nothing; where that cannot be, on top."""
    where = holder, strip, shot, shown
    found = placement.channel(*where, whole) or (placement.make_room(*where) if make_room else None)
    return found or placement.channel_on_top(*where, whole)


def _use_in_effects(scene: bpy.types.Scene, strip: timeline.Strip, new: list[timeline.Strip]) -> None:
    """Let effects on `strip` show the take: the layer of it that needs nothing below it."""
    whole = next((one for one in new if one.wan_animate.layer == WHOLE), new[0])
    for effect in placement.effects_on(placement.holder_of(scene, strip), strip):
        if placement.fits(effect, strip, whole):
            placement.show_in(effect, strip, whole)


def _dress(scene: bpy.types.Scene, strip: timeline.Strip, new: timeline.Strip, shot: Shot, take: Take) -> None:
    """Make `new` coincide with what it was made from, and tell whose it is."""
    new.name = f"{title(take)} {new.wan_animate.layer}"
    new.select = False
    new.color_tag = COLOUR_TAG
    new.blend_type, new.alpha_mode = "ALPHA_OVER", "STRAIGHT"
    if new.wan_animate.layer == Extra.EFFECTS:
        new.colorspace_settings.is_data = True  # light that is many times as bright, and no colour
    elif _is_light(take, new.wan_animate.layer):
        new.alpha_mode, new.colorspace_settings.name = "PREMUL", shot.colour.working_space
    if bpy.data.filepath and bpy.context.preferences.filepaths.use_relative_paths:
        new.directory = bpy.path.relpath(new.directory)
    ours = new.wan_animate
    ours.take, ours.parent, ours.shot = name_of(take), take.strip, take.shot
    size, canvas = (take.width, take.height), (scene.render.resolution_x, scene.render.resolution_y)
    if size != (shot.raster.width, shot.raster.height):
        new.transform.scale_x = new.transform.scale_y = min(canvas[0] / size[0], canvas[1] / size[1])
    elif shot.raster.kind is RasterKind.SOURCE:
        likeness.copy(scene, strip, new)
