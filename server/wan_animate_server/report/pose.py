"""Where the character stands beside where it was asked to: poses read off the take's own pictures. Knows no reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from safetensors import SafetensorError

from wan_animate_blender.wire import Message, Take, sha256_file

from ..evaluate import estimators, reading
from ..evaluate.estimators import Kind, PoseNet
from ..evaluate.metrics import Frames
from ..evaluate.reading import BODY, Floats, Pose
from ..installed import EMBEDDED
from ..region import Letterbox
from ..shot import LoadedShot
from ..video import read_picture
from .pictures import within

WORST = 3
"""Frames that are named."""

SEEN = 256
"""Pixels of the longer side of what is kept of a frame until all are read: the estimator sees fewer."""

_CPU = torch.device("cpu")
"""The device may be the next take's already, and a frame takes some hundredths of a second."""

_AT_ONCE = 16
"""Frames, for which the estimator needs 200 MB."""

_BROKEN = (OSError, ValueError, KeyError, TypeError, SafetensorError, RuntimeError)
"""What a file raises that is not what was installed, and torch where memory is short."""


@dataclass(frozen=True, kw_only=True)
class Estimator(Message):
    """Who read the poses."""

    name: str
    sha256: str
    """Of its weights."""
    error: float | None
    """What it is off by itself, as a share of the person's height, on pictures whose truth is known: its card says."""


@dataclass(frozen=True, kw_only=True)
class PoseError(Message):
    """How far body and feet are from the exported skeleton, where the estimator is sure of what it sees."""

    pixels: float
    """The mean over all keypoints that are judged, in pixels of the take's pictures."""
    height_share: float
    """The same, by `height`."""
    height: float
    """Pixels that the person is tall, where it is tallest."""
    frames: tuple[float | None, ...]
    """Mean pixels of each frame; None where no keypoint is judged."""
    worst: tuple[int, ...]
    """Shot numbers of the worst frames, the worst first."""
    judged: int
    """Keypoints that the estimator is sure of, in all frames together."""
    asked: int
    """Those that the skeleton has inside the pictures."""
    estimator: Estimator


def measure(folder: Path, take: Take, shot: LoadedShot, check: Callable[[], None]) -> PoseError | str:
    """Read the pose in every frame of the complete `take` in `folder` and compare it with the skeleton of `shot`.

    A sentence where that cannot be done. `check` stops it by raising. Raises `BadInput` for pictures that cannot be
    read.
    """
    if take.settings.model != EMBEDDED:
        return f"no estimator of poses is installed that knows people as {take.settings.model} makes them"
    if not estimators.path_of(estimators.HOME, Kind.POSE).is_file():
        return "no estimator of poses is installed"
    frames = _pictures(folder, take, shot, check)
    try:
        network, estimator = _installed()
        read = _read(network, frames, take, check)
    except _BROKEN as error:
        return f"the estimator of poses cannot be used: {str(error).partition(chr(10))[0]}"
    return compare(read, asked(shot, take.width, take.height), take.first, estimator)


def compare(read: Pose, keypoints: Floats, first: int, estimator: Estimator) -> PoseError | str:
    """The error of a pose that was `read` where `keypoints` [T, 133, 3] were asked for, at frames from `first` on."""
    distances, height = reading.pose_distances(read, keypoints, read.spread), reading.height_of(keypoints)
    known = np.isfinite(distances)
    if not known.any():
        return "the estimator of poses is sure of no keypoint that was asked for"
    frames = [reading.mean(row) for row in distances]
    order = sorted((i for i, error in enumerate(frames) if np.isfinite(error)), key=lambda i: -frames[i])
    pixels = reading.mean(distances)
    return PoseError(
        pixels=pixels, height_share=pixels / height, height=height,
        frames=tuple(error if np.isfinite(error) else None for error in frames),
        worst=tuple(first + i for i in order[:WORST]), judged=int(known.sum()),
        asked=int((keypoints[:, BODY, 2] > 0).sum()), estimator=estimator,
    )  # fmt: skip


def asked(shot: LoadedShot, width: int, height: int) -> Floats:
    """The exported keypoints [T, 133, 3] in pixels of pictures of `width`×`height` that a take of `shot` has.

    Where these are not the raster's, the plate lies whole in their middle, as the model was shown it.
    """
    raster = shot.shot.raster
    return Letterbox(raster.width, raster.height, width, height).points(shot.keypoints).astype(np.float32)


def _installed() -> tuple[PoseNet, Estimator]:
    network = cast(PoseNet, estimators.read(estimators.HOME, Kind.POSE, _CPU))
    sha256 = sha256_file(estimators.path_of(estimators.HOME, Kind.POSE))
    error = estimators.own_error(estimators.HOME, Kind.POSE)
    return network, Estimator(name=f"{Kind.POSE} of the made-up world", sha256=sha256, error=error)


def _pictures(folder: Path, take: Take, shot: LoadedShot, check: Callable[[], None]) -> Frames:
    """The layer that shows the whole picture, made small."""
    found = []
    for path in take.sequence(take.layers[-1]):
        check()
        found.append(within(shot.seen(read_picture(folder / path)), SEEN))
    return np.stack(found)


def _read(network: PoseNet, frames: Frames, take: Take, check: Callable[[], None]) -> Pose:
    """In pixels of the take's pictures."""
    height, width = frames.shape[1:3]
    parts = []
    for i in range(0, len(frames), _AT_ONCE):
        check()
        parts.append(reading.pose_of(network, frames[i : i + _AT_ONCE], _CPU))
    points, spread = (np.concatenate(row) for row in zip(*parts, strict=True))
    scale = np.array([take.width / width, take.height / height], np.float32)
    return Pose(points * scale, spread * np.float32(max(take.width, take.height) / max(width, height)))
