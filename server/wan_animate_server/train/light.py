"""What the relighting LoRA has learned: colours of clips that it was never trained on, with and without it."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ..conditions import Picture
from ..lab import colour_error
from .judge import Judge
from .lowrank import without
from .record import psnr, sheet
from .student import Student


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
