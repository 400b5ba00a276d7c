"""Pictures against pictures, as numbers. Knows arrays only: no shot, no take and no network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from .. import lab, seams
from ..train.examples import video
from ..train.record import psnr as decibels

Frames = NDArray[np.uint8]
"""[T, H, W, 3] RGB, display-encoded."""

Where = NDArray[np.bool_]
"""[T, H, W]."""

STILL = 2
"""Grey levels, of 255, that a picture may change by and still count as one in which nothing moves."""

AROUND = 8
"""Frames on each side of a join that it is compared with."""


def psnr(made: Frames, truth: Frames, where: Where) -> float:
    """dB where it is asked for; 106 of equal pictures, since no infinity fits into JSON."""
    one, other = (video(torch.from_numpy(clip)[None]) for clip in (made, truth))
    return decibels(one, other, torch.from_numpy(where)[None].float())


def ssim(made: Frames, truth: Frames, where: Where) -> float:
    """Structural similarity, −1..1, with the Gaussian window of Wang et al. 2004; its mean where it is asked for."""
    values = [
        structural_similarity(
            one, other, data_range=255, channel_axis=-1, full=True, gaussian_weights=True, use_sample_covariance=False
        )[1].mean(-1)[place]
        for one, other, place in zip(made, truth, where, strict=True)
        if place.any()
    ]
    return float(np.concatenate(values).mean())


def outside(comp: Frames, plate: Frames, region: Where) -> tuple[int, int]:
    """How far pixels outside the region are from the plate at most, in grey levels, and how many are not equal."""
    error = np.abs(comp.astype(np.int16) - plate).max(-1)[~region]
    return int(error.max(initial=0)), int((error > 0).sum())


def colour_error(made: Frames, truth: Frames, where: Where) -> float:
    """Mean CIEDE2000 of mean colours of 8×8 pixels, so that colour is judged and not sharpness."""
    one, other = (video(torch.from_numpy(clip)[None]) for clip in (made, truth))
    return lab.colour_error(one, other, torch.from_numpy(where)[None].float())


def flicker(made: Frames, still: Where) -> float:
    """Mean second difference in time, in grey levels, at `still` places of the frames between first and last."""
    middle = still[1:-1]
    change = np.abs(np.diff(made.astype(np.int16), 2, axis=0)).mean(-1)
    return float(change[middle].mean()) if middle.any() else 0.0


def stillness(frames: Frames) -> Where:
    """Where a picture is as in the frame before and in the one after it; never in the first and the last."""
    calm = np.abs(np.diff(frames.astype(np.int16), axis=0)).max(-1) <= STILL
    still = np.zeros(frames.shape[:3], bool)
    still[1:-1] = calm[:-1] & calm[1:]
    return still


def calm(frames: Frames) -> Where:
    """Where a picture's neighbours are alike, whatever it is itself: for pictures of which no truth is known."""
    found = np.zeros(frames.shape[:3], bool)
    found[1:-1] = np.abs(frames[2:].astype(np.int16) - frames[:-2]).max(-1) <= STILL
    return found


def seam(made: Frames, joins: Sequence[int], shown: Where) -> float:
    """How much more colours and motion change over the joins than around them; 1 is a join that nobody sees.

    `joins` are the first frames of later segments. The mean over them of two ratios: CIEDE2000 between neighbouring
    frames, and `seams.unrest`, both inside `shown`. Raises `ValueError` without joins.
    """
    if not joins:
        raise ValueError("a seam score needs joins")
    ratios = []
    for join in joins:
        first, last = max(join - AROUND, 0), min(join + AROUND, len(made))
        part, there = np.asarray(made[first:last] / np.float32(255), np.float32), shown[first:last]
        motion = seams.unrest(part, join - first, there)
        ratios.append([_colour_step(part, join - first, there), *([] if motion is None else [motion])])
    return float(np.mean([np.mean(row) for row in ratios]))


def _colour_step(frames: NDArray[np.float32], join: int, shown: Where) -> float:
    """ΔE from the frame before `join` to it, by the mean of the other steps; what nobody sees, 0.5, added to both."""
    both = shown[:-1] & shown[1:]
    steps = np.array([
        seams.difference(one[place], other[place]) for one, other, place in zip(frames, frames[1:], both, strict=False)
    ])  # fmt: skip
    return float((steps[join - 1] + 0.5) / (np.delete(steps, join - 1).mean() + 0.5))


def frechet(one: NDArray[np.floating[Any]], other: NDArray[np.floating[Any]]) -> float:
    """Fréchet's distance of two sets of features [n, D], each taken for a normal distribution (Dowson, Landau 1982)."""
    means = [features.mean(0) for features in (one, other)]
    first, second = (np.cov(features, rowvar=False) for features in (one, other))
    # The trace of the root of a product is the sum of the roots of its eigenvalues, which are real and at least 0.
    root = np.sqrt(np.clip(np.linalg.eigvals(first @ second).real, 0, None)).sum()
    return max(float(np.square(means[0] - means[1]).sum() + np.trace(first) + np.trace(second) - 2 * root), 0.0)
