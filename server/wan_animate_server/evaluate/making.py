"""Cases → frames: by the render verb through shot folders, or by those who do no work. Knows no figure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from wan_animate_blender.wire import (
    EXPORT_PREFIX,
    FACE_SIZE,
    FIRST_FRAME,
    OWNER_FILE,
    POSE_FILE,
    SHOT_FILE,
    BadInput,
    FaceSource,
    FrameRow,
    Mode,
    Raster,
    RasterKind,
    Settings,
    Shot,
    Take,
    claim_version,
    frame_name,
    list_files,
    write_atomically,
)

from ..render import render
from ..take import read_take
from ..video import Picture, read_picture, to_8bit, write_picture
from ..world.motion import FPS
from .cases import Case
from .metrics import Frames


@dataclass(frozen=True, eq=False)
class Made:
    """What became of a case."""

    frames: Frames
    joins: tuple[int, ...] = ()
    """The first frames of later segments, counted from 0."""
    notes: tuple[str, ...] = ()
    """What the take says of itself."""


Maker = Callable[[Case, Settings], Made]


def by_rendering(folder: Path, device: str) -> Maker:
    """Renders each case by the render verb; everything stays below `folder`, segments to be found again."""
    count = iter(range(1_000_000))

    def make(case: Case, settings: Settings) -> Made:
        place = folder / f"{next(count):04}_{case.mode}_{case.name}"
        place.mkdir(parents=True, exist_ok=True)
        shot = stage(case, settings, claim_version(place, EXPORT_PREFIX))
        steps = render(shot, takes=place / "takes", segments=folder / "segments", device=device, check=lambda: None)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return made(Path(end.value))

    return make


def made(take: Path, seen: Callable[[Picture], Picture] = to_8bit) -> Made:
    """The pictures of a take as they are looked at, 8 bit by `seen`. Raises `BadInput` when there is none."""
    said = read_take(take)
    if said is None or not said.files:
        raise BadInput(f"{take} is no take; give its folder, such as SH010/takes/v001")
    frames = [seen(read_picture(take / path)) for path in said.sequence(said.layers[-1])]
    return Made(np.stack(frames), joins(said), said.notes)


def joins(take: Take) -> tuple[int, ...]:
    """The first frames of later segments, counted from 0."""
    return tuple(sorted({segment.first - take.first for segment in take.segments if segment.first > take.first}))


def stage(case: Case, settings: Settings, folder: Path) -> Path:
    """Write `case` into an empty `folder`, as an export of it would be."""
    signals, count = case.signals, len(case.signals.plate)
    layers = {"plate": signals.plate, "matte": signals.matte, "region": signals.region}
    kept = layers if case.mode is Mode.REPLACE else {}
    if signals.face is not None:
        # Each pixel four times: the model averages them and sees what was drawn.
        times = FACE_SIZE // signals.face.shape[1]
        kept = {**kept, "face": signals.face.repeat(times, 1).repeat(times, 2)}
    for layer, pictures in kept.items():
        (folder / layer).mkdir()
        for i, picture in enumerate(pictures):
            write_picture(folder / layer / frame_name(FIRST_FRAME + i, "png"), picture)
    np.savez(folder / POSE_FILE, keypoints=signals.keypoints, face_box=np.full((count, 4), np.nan, np.float32))
    write_picture(folder / "character.png", signals.reference)
    write_atomically(folder / SHOT_FILE, _shot(case, settings, folder).dumps().encode())
    return folder


def _shot(case: Case, settings: Settings, folder: Path) -> Shot:
    count, height, width = case.signals.plate.shape[:3]
    clock = [float(i) for i in range(count)]
    rows = tuple(FrameRow(shot=FIRST_FRAME + i, timeline=t, source=t, rig=t) for i, t in enumerate(clock))
    return Shot(
        name=f"puppet_{case.name}", mode=case.mode, frames=rows, cut_in=rows[0].shot, cut_out=rows[-1].shot,
        fps=Fraction(FPS), raster=Raster(kind=RasterKind.SOURCE, width=width, height=height),
        face=FaceSource.NONE if case.signals.face is None else FaceSource.DRIVING,
        settings=replace(settings, area=height * width), files=list_files(folder, {SHOT_FILE, OWNER_FILE}),
    )  # fmt: skip


def apart(make: Maker, pieces: int) -> Maker:
    """Overlap 0: every piece is an export of its own, rendered without knowing the others, and they are put together.

    The pipeline always hands frames on, so this is what rendering without it comes to; nothing anchors colours either.
    """

    def make_apart(case: Case, settings: Settings) -> Made:
        edges = [round(i * len(case.signals.plate) / pieces) for i in range(pieces + 1)]
        parts = [
            make(case.part(slice(first, last)), replace(settings, seed=settings.seed + i))
            for i, (first, last) in enumerate(pairwise(edges))
        ]
        return Made(np.concatenate([part.frames for part in parts]), tuple(edges[1:-1]), parts[0].notes)

    return make_apart


# --- those who do no work ---------------------------------------------------------------------------


def truth(case: Case, settings: Settings) -> Made:
    """What shall come out: what estimators find wrong with it is their own error."""
    return Made(case.wanted(settings.relight))


def pasted(case: Case, _: Settings) -> Made:
    """The reference picture, in the box around the region; the picture itself where it is animated."""
    if case.mode is Mode.ANIMATE:
        return Made(np.stack([case.signals.reference] * len(case.signals.plate)))
    frames = case.signals.plate.copy()
    for frame, region in zip(frames, case.signals.region, strict=True):
        x, y, width, height = cv2.boundingRect(region)
        if width and height:
            whole = frame.copy()
            whole[y : y + height, x : x + width] = cv2.resize(case.signals.reference, (width, height))
            frame[region > 0] = whole[region > 0]
    return Made(frames)


def averaging(cases: Sequence[Case]) -> Maker:
    """The mean of everything that shall come out of `cases` in the mode, inside the region."""

    def make(case: Case, settings: Settings) -> Made:
        alike = [c.wanted(settings.relight) for c in cases if c.mode is case.mode]
        mean = np.mean([frames.mean(0) for frames in alike], 0).round().astype(np.uint8)
        plate = case.signals.plate
        return Made(np.where(case.inside[..., None], mean, plate))

    return make
