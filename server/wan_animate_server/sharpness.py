"""How soft the edges of pictures are, and pictures made softer. Arithmetic; knows no shot, no file and no model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_FINE, _COARSE = 1.0, 2.0
"""Pixels of two further blurs. How much more an edge loses by the second tells how soft it was (Zhuo and Sim, "Defocus
map estimation from a single image", 2011)."""

_DIFFERENCE = 1 / 3
"""Variance in pixels² that the difference of the neighbours adds as a blur."""

_SHARP = 0.25
"""Of all edges, those that are sharpest: soft shadows and what is out of focus say nothing of the lens."""

_CLEAR = 6.0
"""An edge is this many times as steep as half of the picture: grain makes steps, too."""

_LEAST = 0.01
"""Steps a pixel that may be edges, of 0..1."""

_FEWEST = 60
"""Pixels of edges without which nothing is known."""

_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


def softness(pictures: Iterable[tuple[Floats, Mask]]) -> float | None:
    """Standard deviation in pixels of the blur of the sharpest edges, in display-encoded pictures [H, W, 3], 0..1.

    Each comes with a mask [H, W] of where it is looked at. None where there are too few edges.
    """
    found = np.concatenate([_edges(picture, usable) for picture, usable in pictures])
    return round(float(np.quantile(found, _SHARP)), 4) if len(found) >= _FEWEST else None


def softened(picture: Floats, pixels: float) -> Floats:
    """`picture` [H, W, 3] blurred by a Gaussian of `pixels`; at its edges it goes on as it ends."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), pixels, borderType=cv2.BORDER_REPLICATE), np.float32)


def _edges(picture: Floats, usable: Mask) -> npt.NDArray[np.float64]:
    """The blur of each pixel on an edge."""
    luma = picture @ _LUMA
    fine, down, across = _slope(luma, _FINE)
    coarse, _, _ = _slope(luma, _COARSE)
    calm = float(np.median(fine[usable])) if usable.any() else 0.0
    edge = usable & (fine > max(_CLEAR * calm, _LEAST)) & _ridge(fine, down, across)
    ratio = np.square(np.maximum(fine[edge] / np.maximum(coarse[edge], 1e-6), 1.0 + 1e-3), dtype=np.float64)
    variance = (_COARSE**2 + _DIFFERENCE - ratio * (_FINE**2 + _DIFFERENCE)) / (ratio - 1)
    return np.asarray(np.sqrt(np.maximum(variance, 0)))


def _slope(luma: Floats, blur: float) -> tuple[Floats, Floats, Floats]:
    """How steep a blurred picture is, altogether, downwards and to the right."""
    soft = cv2.GaussianBlur(luma, (0, 0), blur, borderType=cv2.BORDER_REPLICATE)
    down, across = np.gradient(soft)
    return np.hypot(down, across), down, across


def _ridge(steep: Floats, down: npt.NDArray[Any], across: npt.NDArray[Any]) -> Mask:
    """Where nothing beside a pixel, in the direction of the slope, is steeper."""
    padded = np.pad(steep, 1)
    upright = np.abs(down) > np.abs(across)
    above, below = padded[:-2, 1:-1], padded[2:, 1:-1]
    left, right = padded[1:-1, :-2], padded[1:-1, 2:]
    return np.asarray(steep >= np.where(upright, np.maximum(above, below), np.maximum(left, right)))
