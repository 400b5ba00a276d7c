"""What the relighting LoRA has learned: colours of clips that it was never trained on, with and without it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import avg_pool3d

from ..conditions import Picture
from ..lab import delta_e, lab
from .judge import Judge
from .lowrank import without
from .record import psnr, sheet
from .student import Student

BLOCK = 8
"""Pixels of a side whose mean colour is compared, so that light is judged and not sharpness."""


@torch.inference_mode()
def look(judge: Judge, student: Student) -> tuple[Mapping[str, float], Picture]:
    """Colour error to the scene's light with the LoRA and without it, and a sheet: plate, truth, without, with.

    `delta_e_bound` is what the autoencoder alone comes to. Looks inside the character.
    """
    relit = judge.made(student)
    with without(student):
        plain = judge.made(student)
    figures = {
        "delta_e": colour_error(relit, judge.truth, judge.body),
        "delta_e_without": colour_error(plain, judge.truth, judge.body),
        "delta_e_bound": colour_error(judge.bound(), judge.truth, judge.body),
        "psnr": psnr(relit, judge.truth, judge.body),
        "psnr_without": psnr(plain, judge.truth, judge.body),
    }
    middle = relit.shape[2] // 2
    return figures, sheet([clip[:, :, middle] for clip in (judge.plate, judge.truth, plain, relit)])


def colour_error(pictures: Tensor, truth: Tensor, weight: Tensor) -> float:
    """Mean ΔE 2000 of pictures [B, 3, T, H, W], −1..1, over blocks half of which `weight` [B, T, H, W] is in."""
    share = avg_pool3d(weight, (1, BLOCK, BLOCK))
    one, other = (lab(_block_means(clip, weight, share)) for clip in (pictures, truth))
    inside = share > 0.5
    return float(delta_e(one, other)[inside].mean())


def _block_means(clip: Tensor, weight: Tensor, share: Tensor) -> Tensor:
    """Mean colours inside `weight` [B, T, h, w, 3], 0..1."""
    total = avg_pool3d((clip.clamp(-1, 1) + 1) / 2 * weight[:, None], (1, BLOCK, BLOCK))
    return (total / share[:, None].clamp_min(1e-3)).movedim(1, -1)
