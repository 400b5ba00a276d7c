"""What was made against what shall come out: all figures of one clip. Knows no folder."""

from __future__ import annotations

import math

import numpy as np

from wan_animate_blender.wire import Mode

from . import metrics, reading
from .cases import Case
from .making import Made
from .reading import Readers


def figures(made: Made, case: Case, relight: float, readers: Readers | None) -> dict[str, float]:
    """By name, see `gates.LOWER`; what cannot be taken of this clip is left out."""
    wanted, inside = case.wanted(relight), case.inside
    found = {
        "psnr": metrics.psnr(made.frames, wanted, inside),
        "psnr_character": metrics.psnr(made.frames, wanted, case.truth.alpha),
        "ssim": metrics.ssim(made.frames, wanted, inside),
        "delta_e": metrics.colour_error(made.frames, case.truth.lit, case.truth.alpha),
        "flicker": metrics.flicker(made.frames, metrics.stillness(wanted)),
    }
    if case.mode is Mode.REPLACE:
        most, count = metrics.outside(made.frames, case.signals.plate, inside)
        found |= {"outside_most": most, "outside_count": count}
    if made.joins:
        found["seam"] = metrics.seam(made.frames, made.joins, inside)
    if readers is not None:
        found |= _read(made, case, relight, readers)
    return {name: float(value) for name, value in found.items() if math.isfinite(value)}


def _read(made: Made, case: Case, relight: float, readers: Readers) -> dict[str, float]:
    """What estimators find."""
    wanted, truth = case.wanted(relight), case.truth
    sure = readers.pose(wanted).spread
    distance = reading.pose_error(readers.pose(made.frames), truth.keypoints, sure)
    seen = readers.expression(wanted, truth.keypoints).spread
    expression = readers.expression(made.frames, truth.keypoints)
    nowhere = np.zeros_like(truth.keypoints[:1])
    known = readers.identity(truth.reference[None], nowhere)[0]
    who = readers.identity(made.frames, truth.keypoints)
    return {
        "pose_px": distance,
        "pose": distance / reading.height_of(truth.keypoints),
        "expression": reading.expression_error(expression, truth.expression, seen),
        "identity": reading.confusion(who, known, readers.others),
        "identity_distance": reading.strangeness(who, known),
    }
