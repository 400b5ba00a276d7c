"""Clips of the world → what the networks see and shall answer, as the pipeline would show it to them.

Works on whole batches, on the clips' device. Knows no network.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import avg_pool3d, interpolate, max_pool2d

from .. import conditions, world
from ..region import HALO

CELL = 8
"""Pixels of a side of a latent cell."""

OVERLAPS = (0, 1, 5)
"""Frames that an earlier segment may have handed over."""

FACE = slice(23, 91)
"""The face among the 133 keypoints."""


@dataclass(frozen=True, eq=False)
class Choice:
    """What is asked of each clip of a batch."""

    replace: Tensor
    """bool [B]; else the character is animated on its own background."""
    overlap: Tensor
    """int [B], frames that are known already."""


def choose(
    batch: int, device: torch.device, generator: torch.Generator, overlaps: tuple[int, ...], *, lit: bool
) -> Choice:
    """Both modes and all `overlaps` alike, at random; `lit` is asked for where persons are replaced alone."""
    replace = torch.rand(batch, device=device, generator=generator) < (1.0 if lit else 0.5)
    drawn = torch.randint(len(overlaps), (batch,), device=device, generator=generator)
    return Choice(replace, torch.tensor(overlaps, device=device)[drawn])


@dataclass(frozen=True, eq=False)
class Examples:
    """A batch of clips as the pipeline would show them to the model, and the answer."""

    target: Tensor
    """uint8 [B, T, H, W, 3]."""
    alpha: Tensor
    """uint8 [B, T, H, W]: where the character is in it."""
    pose: Tensor
    """The drawn skeleton, uint8 [B, T, H, W, 3]."""
    known: Tensor
    """The conditioning video, float [B, 3, T, H, W], −1..1."""
    cells: Tensor
    """Its packed mask, float [B, 4, t, h, w]; 1 = known."""
    reference: Tensor
    """uint8 [B, H, W, 3]."""
    faces: Tensor
    """uint8 [B, T, S, S, 3], S the motion encoder's."""
    face: Tensor
    """Where the face is in `target`, bool [B, T, H, W]."""
    weight: Tensor
    """How much an error in each latent cell counts, float [B, t, h, w]."""


def examples(clips: world.Clips, seeds: Tensor, choice: Choice, face_size: int, *, lit: bool = False) -> Examples:
    """The same clips as `choice` asks for them. `lit` wants the character in the scene's light, else in its own."""
    replace = choice.replace.view(-1, 1, 1, 1)
    target = torch.where(replace[..., None], clips.frames if lit else clips.neutral, clips.own)
    region = world.region(clips.matte, clips.keypoints, seeds)
    made = torch.where(replace, model_mask(region), 1.0)
    early = torch.arange(target.shape[1], device=target.device) < choice.overlap[:, None]
    known = torch.vmap(partial(conditions.known_cells, stride=CELL))(made)
    known = torch.where(early[:, :, None, None], 1.0, known)
    height, width = target.shape[2:4]
    face = face_boxes(clips.keypoints, height, width)
    return Examples(
        target=target,
        alpha=clips.alpha,
        pose=world.skeleton(clips.keypoints, height, width),
        known=known_video(target, clips.plate, made, early, replace),
        cells=torch.vmap(conditions.pack)(known),
        reference=clips.reference,
        faces=shrunk(clips.face, face_size),
        face=face,
        weight=0.25 + 0.75 * cell_means(made) + 2 * cell_means(clips.alpha / 255) + 4 * cell_means(face.float()),
    )


def video(pictures: Tensor) -> Tensor:
    """uint8 [B, T, H, W, 3] → float [B, 3, T, H, W], −1..1; a single picture [B, H, W, 3] is a clip of one frame."""
    clip = pictures if pictures.dim() == 5 else pictures.unsqueeze(1)
    return clip.permute(0, 4, 1, 2, 3).float() / 127.5 - 1


def known_video(target: Tensor, plate: Tensor, made: Tensor, early: Tensor, replace: Tensor) -> Tensor:
    """Plates with a black hole, or mid-grey; the `early` frames [B, T] as they shall be."""
    hole = (video(plate) + 1) * (1 - made[:, None]) - 1
    blank = torch.where(replace[:, None], hole, 0.0)
    return torch.where(early[:, None, :, None, None], video(target), blank)


def model_mask(region: Tensor) -> Tensor:
    """uint8 [B, T, H, W] → float, 1 = make: whole cells and some more around, as `region.model_mask`."""
    cells = max_pool2d((region > 0).float(), CELL)
    grown = max_pool2d(cells, 2 * HALO + 1, stride=1, padding=HALO)
    return grown.repeat_interleave(CELL, 2).repeat_interleave(CELL, 3)


def face_boxes(keypoints: Tensor, height: int, width: int) -> Tensor:
    """keypoints [B, T, 133, 3] → bool [B, T, H, W], true in the box of those of the face that can be seen."""
    points = keypoints[:, :, FACE]
    seen = points[..., 2:] > 0
    low = torch.where(seen, points[..., :2], torch.inf).amin(2)
    high = torch.where(seen, points[..., :2], -torch.inf).amax(2)
    x = torch.arange(width, device=keypoints.device) + 0.5
    y = torch.arange(height, device=keypoints.device) + 0.5
    columns = (x >= low[..., :1]) & (x <= high[..., :1])
    rows = (y >= low[..., 1:]) & (y <= high[..., 1:])
    return rows[..., :, None] & columns[..., None, :]


def cell_means(values: Tensor) -> Tensor:
    """float [B, T, H, W] → its means over latent cells [B, t, h, w]: the first frame alone, then four by four."""
    first = avg_pool3d(values[:, :1], (1, CELL, CELL))
    return torch.cat([first, avg_pool3d(values[:, 1:], (4, CELL, CELL))], 1)


def shrunk(faces: Tensor, size: int) -> Tensor:
    """uint8 [B, T, S, S, 3] → [B, T, size, size, 3], averaged as `conditions.faces` does."""
    pictures = faces.flatten(0, 1).permute(0, 3, 1, 2).float()
    small = interpolate(pictures, (size, size), mode="area").round().byte()
    return torch.unflatten(small.permute(0, 2, 3, 1), 0, faces.shape[:2])
