"""What a model must reach, as data, and whether it does and by how much. Knows figures by their names only."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from wan_animate_blender.wire import Mode

MODEL, TRUTH, PASTED, MEAN = "model", "ground truth", "pasted reference", "mean image"
RELIGHT = {0.0: "relight 0", 0.5: "relight 0.5", 1.0: "relight 1"}
OVERLAP = {0: "overlap 0", 1: "overlap 1", 5: "overlap 5"}

LOWER = {
    "psnr": False, "psnr_character": False, "ssim": False, "outside_most": True, "outside_count": True, "delta_e": True,
    "flicker": True, "pose_px": True, "pose": True, "expression": True, "identity": True, "identity_distance": True,
    "seam": True, "frechet": True,
}  # fmt: skip
"""Every figure, and whether less of it is better."""


@dataclass(frozen=True)
class Gate:
    """A figure of the model, and what it must not be worse than."""

    figure: str
    limit: float
    estimated: bool = False
    """Whether an estimator reads it, whose own error must be a third of the limit at most."""


GATES = (
    Gate("pose", 0.03, estimated=True), Gate("expression", 0.15, estimated=True),
    Gate("identity", 0.15, estimated=True), Gate("psnr", 22.0), Gate("ssim", 0.80), Gate("outside_count", 0.0),
)  # fmt: skip

CONTROLS = {
    "pose path off": "pose", "swapped skeletons": "pose", "swapped faces": "expression",
    "swapped references": "identity",
}  # fmt: skip
"""Rows that are told something wrong, and the gate that each must miss."""

BEATEN = ("psnr", "ssim", "delta_e", "pose", "expression", "frechet")
"""Figures by which the model must be better than those who do no work. Not by identity, flicker and what lies outside:
a pasted picture *is* the person, does not flicker and touches nothing."""

LESS_COLOUR_ERROR, MORE_STRANGENESS, SEAM = 0.7, 1.1, 1.3


@dataclass(frozen=True)
class Verdict:
    """One thing that is asked, and how it stands."""

    asked: str
    mode: str
    value: float
    limit: float
    passed: bool

    @property
    def margin(self) -> float:
        """How far the value is from the limit, above 0 on the good side, as a share of it (of 1 where it is 0)."""
        away = abs(self.value - self.limit) / (abs(self.limit) or 1.0)
        return away if self.passed else -away


Rows = Mapping[tuple[str, str], Mapping[str, float]]
"""By name and mode: the means of the figures that could be taken."""


def verdicts(rows: Rows) -> list[Verdict]:
    """Of everything that can be asked of the rows that there are."""
    found: list[Verdict] = []
    for mode in Mode:
        of = {name: figures for (name, each), figures in rows.items() if each == mode}
        found += _own(of, mode)
        found += _controls(of, mode)
        found += _baselines(of, mode)
        found += _ablations(of, mode)
    return found


def _own(of: Mapping[str, Mapping[str, float]], mode: Mode) -> Iterator[Verdict]:
    for gate in GATES:
        if mode is Mode.ANIMATE and gate.figure.startswith("outside"):
            continue
        if gate.estimated and TRUTH in of:
            own, most = of[TRUTH].get(gate.figure, math.nan), gate.limit / 3
            yield _at_most(f"own {gate.figure} error of the estimator", mode, own, most)
        if MODEL in of:
            value = of[MODEL].get(gate.figure, math.nan)
            passed = value <= gate.limit if LOWER[gate.figure] else value >= gate.limit
            yield Verdict(f"{gate.figure} of the model", mode, value, gate.limit, passed)


def _controls(of: Mapping[str, Mapping[str, float]], mode: Mode) -> Iterator[Verdict]:
    limits = {gate.figure: gate.limit for gate in GATES}
    for name, figure in CONTROLS.items():
        if name in of:
            value = of[name].get(figure, math.nan)
            yield Verdict(f"{name} miss the {figure} gate", mode, value, limits[figure], value > limits[figure])


def _baselines(of: Mapping[str, Mapping[str, float]], mode: Mode) -> Iterator[Verdict]:
    for name in (PASTED, MEAN):
        for figure in BEATEN:
            if MODEL in of and name in of and figure in of[name]:
                value, limit = of[MODEL].get(figure, math.nan), of[name][figure]
                passed = value < limit if LOWER[figure] else value > limit
                yield Verdict(f"{figure} better than the {name}", mode, value, limit, passed)


def _ablations(of: Mapping[str, Mapping[str, float]], mode: Mode) -> Iterator[Verdict]:
    off, on = (of.get(RELIGHT[strength], {}) for strength in (0.0, 1.0))
    for figure, share in (("delta_e", LESS_COLOUR_ERROR), ("identity_distance", MORE_STRANGENESS)):
        if figure in off and figure in on:
            yield _at_most(f"{figure} at relight 1 by that at 0", mode, on[figure] / max(off[figure], 1e-9), share)
    seams = [of[name]["seam"] for name in OVERLAP.values() if "seam" in of.get(name, {})]
    if len(seams) == len(OVERLAP):
        yield _at_most("seam score at overlap 5", mode, seams[-1], SEAM)
        for i, overlap in enumerate(list(OVERLAP)[1:], start=1):
            yield _at_most(f"seam score at overlap {overlap} below the one before", mode, seams[i], seams[i - 1])


def _at_most(asked: str, mode: Mode, value: float, limit: float) -> Verdict:
    return Verdict(asked, mode, value, limit, value <= limit)


def missed(found: Sequence[Verdict]) -> list[Verdict]:
    return [verdict for verdict in found if not verdict.passed]
