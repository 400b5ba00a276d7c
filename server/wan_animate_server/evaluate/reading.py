"""What estimators read off pictures, and how far it is from the truth. Knows neither takes nor folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..train.examples import video
from ..world.motion import EXPRESSION_SPANS
from ..world.pairs import face_box
from .estimators import ExpressionNet, IdentityNet, Kind, PoseNet, body_boxes, cut, picture_boxes, read, whole
from .metrics import Frames

Floats = NDArray[np.float32]

BODY = slice(0, 23)
"""Body and feet among the 133 keypoints: what a pose is judged by."""

UNSURE = 0.03
"""Deviation, as a share of the person's height, beyond which a keypoint of the truth's own picture is not judged."""

VAGUE = 0.1
"""The same of an expression's number, as a share of its range."""

SMALLEST = 24
"""Pixels of the shorter side of a face that is judged."""

_AT_ONCE = 64


class Pose(NamedTuple):
    """Keypoints read off pictures."""

    points: Floats
    """[T, 133, 2] in pixels."""
    spread: Floats
    """[T, 133]: how far off they may be, in pixels."""


class Expression(NamedTuple):
    """Expressions read off faces."""

    values: Floats
    """[T, E], see `world.EXPRESSION`."""
    spread: Floats
    """[T, E]: how far off they may be."""


class Readers(Protocol):
    """All that is asked of estimators. Pictures are `Frames`, keypoints float32 [T, 133, 3] in their pixels."""

    def pose(self, frames: Frames) -> Pose: ...

    def expression(self, frames: Frames, keypoints: Floats) -> Expression:
        """Of the faces where `keypoints` say; endlessly vague where no face is large enough."""
        ...

    def identity(self, frames: Frames, keypoints: Floats) -> Floats:
        """Directions [T, D] of the persons where `keypoints` say, all of them where they are not known."""
        ...

    def features(self, frames: Frames) -> Floats:
        """[T, D]: of what kind each picture is."""
        ...

    @property
    def others(self) -> Floats:
        """Directions [M, D] of the references of characters that nobody trained on."""
        ...


@dataclass(frozen=True, eq=False)
class Estimators:
    """The trained networks."""

    poses: PoseNet
    identities: IdentityNet
    expressions: ExpressionNet
    device: torch.device

    @classmethod
    def read(cls, folder: Path, device: torch.device) -> Estimators:
        """Raises `BadInput` when one is missing in `folder`."""
        return cls(
            cast(PoseNet, read(folder, Kind.POSE, device)),
            cast(IdentityNet, read(folder, Kind.IDENTITY, device)),
            cast(ExpressionNet, read(folder, Kind.EXPRESSION, device)),
            device,
        )

    @property
    def others(self) -> Floats:
        return _array(self.identities.others)

    def pose(self, frames: Frames) -> Pose:
        return pose_of(self.poses, frames, self.device)

    @torch.inference_mode()
    def expression(self, frames: Frames, keypoints: Floats) -> Expression:
        boxes = face_box(torch.from_numpy(keypoints)[None], *frames.shape[1:3])[0].to(self.device)
        parts = [
            self.expressions(cut(part, box, self.expressions.size))
            for part, box in zip(_pictures(frames, self.device), _parts(boxes), strict=True)
        ]
        values, spread = (torch.cat(row) for row in zip(*parts, strict=True))
        small = (boxes[:, 2:] - boxes[:, :2]).amin(-1, keepdim=True) < SMALLEST
        return Expression(_array(values), _array(torch.where(small, torch.inf, spread)))

    @torch.inference_mode()
    def identity(self, frames: Frames, keypoints: Floats) -> Floats:
        boxes = person_boxes(torch.from_numpy(keypoints), *frames.shape[1:3]).to(self.device)
        parts = [
            self.identities(cut(part, box, self.identities.size))
            for part, box in zip(_pictures(frames, self.device), _parts(boxes), strict=True)
        ]
        return _array(torch.cat(parts))

    @torch.inference_mode()
    def features(self, frames: Frames) -> Floats:
        parts = _pictures(frames, self.device)
        return _array(torch.cat([self.poses.features(whole(part, self.poses.size)) for part in parts]))


@torch.inference_mode()
def pose_of(network: PoseNet, frames: Frames, device: torch.device) -> Pose:
    """What `network`, which is on `device`, reads off whole pictures."""
    height, width = frames.shape[1:3]
    parts = [network(whole(part, network.size)) for part in _pictures(frames, device)]
    places, spread = (torch.cat(row) for row in zip(*parts, strict=True))
    return Pose(_array(places * places.new_tensor([width, height])), _array(spread * max(width, height)))


def _pictures(frames: Frames, device: torch.device) -> list[Tensor]:
    """[N, 3, H, W] on the device, some at once."""
    return [video(part[None].to(device))[0].transpose(0, 1) for part in _parts(torch.from_numpy(frames))]


def _parts(many: Tensor) -> list[Tensor]:
    """As many rows at once as a network is shown."""
    return [many[i : i + _AT_ONCE] for i in range(0, len(many), _AT_ONCE)]


def person_boxes(keypoints: Tensor, height: int, width: int) -> Tensor:
    """`body_boxes`, the whole picture where no keypoint is seen."""
    boxes = body_boxes(keypoints)
    everything = picture_boxes(len(boxes), height, width, boxes.device)
    return torch.where(boxes[:, 2:3] > boxes[:, :1], boxes, everything)


def height_of(keypoints: Floats) -> float:
    """Pixels that the person of keypoints [T, 133, 3] is tall: along nose, neck, hips, knee and ankle, and a tenth for
    the crown, in the frame where that is longest; what lies outside the picture counts. NaN where in every frame some
    of it lies behind the camera."""
    points = keypoints[..., :2]
    neck, hips = (points[:, 5] + points[:, 6]) / 2, (points[:, 11] + points[:, 12]) / 2
    down = [np.stack((points[:, 0], neck, hips, points[:, knee], points[:, knee + 2])) for knee in (13, 14)]
    lengths = np.linalg.norm(np.diff(np.stack(down), axis=1), axis=-1).sum(1)
    known = lengths[np.isfinite(lengths)]
    return 1.1 * float(known.max()) if known.size else float("nan")


def pose_distances(read: Pose, keypoints: Floats, sure: Floats | None = None) -> Floats:
    """Of body and feet [T, 23] in pixels, of those that are in the picture and, where `sure` [T, 133] tells how far off
    a reader was in the truth's own picture, that it saw there. NaN elsewhere."""
    there = keypoints[:, BODY, 2] > 0
    if sure is not None:
        there &= sure[:, BODY] < UNSURE * height_of(keypoints)
    distance = np.linalg.norm(read.points[:, BODY] - keypoints[:, BODY, :2], axis=-1)
    return np.where(there, distance, np.float32(np.nan))


def pose_error(read: Pose, keypoints: Floats, sure: Floats | None = None) -> float:
    """The mean of `pose_distances` in pixels; NaN where there is none."""
    return mean(pose_distances(read, keypoints, sure))


def expression_error(read: Expression, truth: Floats, sure: Floats) -> float:
    """Mean distance of numbers as shares of their ranges, of those that a reader saw in the truth's own picture, whose
    `sure` [T, E] says how far off it was there. NaN where it saw none."""
    span = np.array([high - low for low, high in EXPRESSION_SPANS], np.float32)
    there = sure / span < VAGUE
    error = (np.abs(read.values - truth) / span)[there]
    return float(error.mean()) if error.size else float("nan")


def confusion(found: Floats, reference: Floats, others: Floats) -> float:
    """The share of `others` [M, D] who look more like the persons found [T, D] than their own `reference` [D]: 0 where
    everybody is recognised, ½ where chance decides."""
    own = found @ reference
    return float((found @ others.T > own[:, None]).mean())


def strangeness(found: Floats, reference: Floats) -> float:
    """Mean distance 1 − cosine of the persons found [T, D] from `reference` [D]."""
    return float(1 - (found @ reference).mean())


def mean(values: Floats) -> float:
    """Of those that are numbers; NaN where none is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def _array(tensor: Tensor) -> Floats:
    return np.asarray(tensor.float().cpu().numpy(), np.float32)
