"""A strip and its rig become a shot folder: the one verb behind panel, command line and farm.

Knows what is exported and in which order; how each thing is exported is its own file's.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import bpy
import numpy as np

from . import (
    audio,
    base,
    character,
    checks,
    clip,
    commission,
    configuration,
    drivers,
    face,
    footage,
    matte,
    plate,
    pose,
    wire,
)
from .commission import Request
from .wire import BadInput, FaceSource, FrameRow


@dataclass(frozen=True)
class Progress:
    """What has just been written."""

    done: int
    total: int
    what: str
    """A word for people: "plate", "pose" …"""


def export(request: Request) -> Generator[Progress, None, Path]:
    """Write the shot folder `<root>/<name>/eNNN` and return it; every step says how far it is.

    `shot.json` is written last. When anything goes wrong, or the generator is closed, the folder goes away again.
    Raises `BadInput` with the first sentence of `checks.check`.
    """
    if problems := checks.check(request):
        raise BadInput(problems[0])
    folder = wire.claim_version(request.root / request.name, wire.EXPORT_PREFIX)
    try:
        yield from fill(request, folder)
    finally:
        if not (folder / wire.SHOT_FILE).is_file():
            shutil.rmtree(folder)
    return folder


def fill(request: Request, folder: Path) -> Iterator[Progress]:
    """Write all of a checked request into the empty `folder`, `shot.json` last. Whoever calls this clears it away."""
    rows, cut_in, cut_out = commission.frame_table(request)
    place, behind = commission.place(request), commission.behind(request)
    kinds = 2 + len(commission.layers(request).write(place, rows, folder)) + request.face.is_pictures
    for done, what in enumerate(_write_frames(request, place, behind, rows, folder), start=1):
        yield Progress(done, kinds * len(rows), what)
    # Renders evaluate things that no window shows, and so nobody has checked.
    drivers.check(commission.posed(place.view))
    picture = character.write(request.character, folder)
    clip.write(request.lens, folder)
    heard = audio.write(request.scene, int(rows[0].timeline), len(rows), folder)
    shot = wire.Shot(
        name=request.name,
        strip=request.uid,
        mode=request.mode,
        frames=rows,
        cut_in=cut_in,
        cut_out=cut_out,
        fps=_fps(request.scene),
        timecode=footage.timecode(request.strip, _fps(request.scene), rows[0].source),
        raster=place.raster,
        colour=_colour(request, place, behind, folder),
        base=behind.title if behind else "",
        lens=place.view.lens.message if place.view.lens else None,
        face=request.face,
        character=picture,
        audio=heard,
        settings=request.settings,
        provenance=request.provenance,
        files=wire.list_files(folder),
    )
    wire.write_atomically(folder / wire.SHOT_FILE, shot.dumps().encode())


def _fps(scene: bpy.types.Scene) -> Fraction:
    """Exact: 23.976 is 24000/1001, of which Blender keeps a rounded base."""
    return Fraction(scene.render.fps) / Fraction(scene.render.fps_base).limit_denominator(1001)


def _colour(request: Request, place: matte.Place, behind: base.Base | None, folder: Path) -> wire.Colour:
    """What the plate's numbers mean; the configuration that says so goes into `folder` where a server needs it."""
    if behind and behind.shot.colour.ocio:
        return base.write_configuration(behind, folder)
    meant = behind.shot.colour if behind else plate.colour(request.scene, request.strip, place.raster)
    return configuration.write(meant, request.settings.transform, folder)


def _write_frames(
    request: Request, place: matte.Place, behind: base.Base | None, rows: tuple[FrameRow, ...], folder: Path
) -> Iterator[str]:
    """Write what has frames; a word for each one. The pose comes first, for it is quick and most often wrong."""
    seen = place.view
    points = []
    for keypoints in pose.keypoints(seen, [row.rig for row in rows]):
        points.append(keypoints)
        yield "pose"
    boxes = face.boxes(np.array(list(_performed(seen, points, rows))), seen.width, seen.height)
    packed = io.BytesIO()
    np.savez(packed, keypoints=np.array(points), face_box=boxes)
    wire.write_atomically(folder / wire.POSE_FILE, packed.getvalue())
    plates = folder / "plate"
    pictures = base.write(behind, rows, plates) if behind else plate.write(
        request.scene, request.strip, rows, place.raster, plates
    )  # fmt: skip
    for _ in pictures:
        yield "plate"
    for what, layer in commission.layers(request).write(place, rows, folder).items():
        for _ in layer:
            yield what
    for _ in _faces(request, seen, boxes, rows, folder / "face"):
        yield "face"


def _performed(
    seen: pose.View, points: Sequence[np.ndarray], rows: tuple[FrameRow, ...]
) -> Iterable[np.ndarray]:  # fmt: skip
    """The rig's own keypoints, not the character's: its face is where they are."""
    return pose.keypoints(replace(seen, retarget=None), [row.rig for row in rows]) if seen.retarget else points


def _faces(
    request: Request, seen: pose.View, boxes: np.ndarray, rows: tuple[FrameRow, ...], folder: Path
) -> Iterator[Path]:
    match request.face:
        case FaceSource.RIG:
            return face.write(seen, boxes, rows, folder, request.face_engine)
        case FaceSource.DRIVING:
            return face.write_strip(request.scene, request.face_strip, rows, folder)
        case FaceSource.STILL:
            return face.write_still(request.face_still, rows, folder)
    return iter(())
