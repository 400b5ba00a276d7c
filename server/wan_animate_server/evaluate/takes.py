"""Figures of takes as they lie on disk: those that need no truth, and others where a folder of it is given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wan_animate_blender.wire import EXPORT_PREFIX, BadInput, Mode, Take, frame_name

from .. import shot as shots
from ..installed import EMBEDDED
from ..report.pose import asked
from ..shot import LoadedShot
from ..take import read_take
from ..video import read_grey, read_picture, to_8bit
from . import metrics, reading
from .making import Made, made
from .metrics import Frames, Where
from .reading import Readers


def figures(folder: Path, truth: Path | None, readers: Readers | None) -> dict[str, float]:
    """By name, see `gates.LOWER`, of the take in `folder`.

    `truth` has a picture for each frame, named by its number. `readers` know people of the made-up world, as the small
    model makes them, and are asked of its takes only. Raises `BadInput`.
    """
    take = read_take(folder)
    if take is None:
        raise BadInput(f"{folder} is no take; give its folder, such as SH010/takes/v001")
    shot = _shot_of(folder, take)
    result = made(folder, shot.seen if shot else to_8bit)
    inside = _inside(folder, take, result.frames)
    found = {"flicker": metrics.flicker(result.frames, metrics.calm(result.frames))}
    if result.joins:
        found["seam"] = metrics.seam(result.frames, result.joins, inside)
    if take.mode is Mode.REPLACE and shot:
        plate = np.stack([shot.plate(i) for i in range(len(result.frames))])
        most, count = metrics.outside(result.frames, plate, inside)
        found |= {"outside_most": most, "outside_count": count}
    if truth is not None:
        wanted = _truth(truth, take, result.frames.shape)
        found["psnr"] = metrics.psnr(result.frames, wanted, inside)
        found["ssim"] = metrics.ssim(result.frames, wanted, inside)
        found["delta_e"] = metrics.colour_error(result.frames, wanted, inside)
    if readers is not None and shot and take.settings.model == EMBEDDED:
        found |= _pose(result, shot, readers)
    return found


def _shot_of(folder: Path, take: Take) -> LoadedShot | None:
    """The export that the take was rendered from, where it still lies beside the takes."""
    for export in sorted(folder.resolve().parents[1].glob(f"{EXPORT_PREFIX}*")):
        if (export / "shot.json").is_file() and shots.read(export).hash == take.export:
            return shots.load(export)
    return None


def _inside(folder: Path, take: Take, frames: Frames) -> Where:
    """Where the take is not the plate."""
    if take.mode is not Mode.REPLACE:
        return np.ones(frames.shape[:3], bool)
    return np.stack([to_8bit(read_grey(folder / path)) > 0 for path in take.sequence("matte")])


def _truth(folder: Path, take: Take, shape: tuple[int, ...]) -> Frames:
    pictures: list[NDArray[np.uint8]] = []
    for number in range(take.first, take.last + 1):
        path = folder / frame_name(number, "png")
        if not path.is_file():
            raise BadInput(f"{path} is not there; the truth needs a picture for each frame of the take")
        pictures.append(to_8bit(read_picture(path)))
    if {picture.shape for picture in pictures} != {shape[1:]}:
        raise BadInput(
            f"the pictures in {folder} are {pictures[0].shape[1]}×{pictures[0].shape[0]}, the take's "
            f"{shape[2]}×{shape[1]}; give the truth in its size"
        )
    return np.stack(pictures)


def _pose(result: Made, shot: LoadedShot, readers: Readers) -> dict[str, float]:
    """Against the skeleton that was exported, at the points that a reader is sure of in the take itself."""
    height, width = result.frames.shape[1:3]
    keypoints = asked(shot, width, height)
    read = readers.pose(result.frames)
    error = reading.pose_error(read, keypoints, read.spread)
    found = {"pose_px": error, "pose": error / reading.height_of(keypoints)}
    return {name: value for name, value in found.items() if np.isfinite(value)}
