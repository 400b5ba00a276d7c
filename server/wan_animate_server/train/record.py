"""What a training leaves to be looked at: figures as CSV and as curves, contact sheets. Knows no network."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from wan_animate_blender.wire import write_atomically

from ..conditions import Picture

ROWS = 8
"""Clips of a contact sheet."""

_PAPER, _INK, _GRID = 255, (40, 40, 40), (210, 210, 210)
_COLOURS = ((200, 60, 40), (40, 90, 200), (40, 150, 60), (190, 130, 0), (140, 60, 170), (0, 150, 160))


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """How a stage stands."""

    stage: str
    step: int
    seconds: float
    """Since kernels were compiled."""
    loss: float
    """The mean since the last report."""
    steps_per_second: float
    tflops: float
    """Achieved, in 10^12 operations a second."""
    figures: Mapping[str, float] = field(default_factory=dict)
    sheet: Picture | None = None

    def to_json(self) -> dict[str, Any]:
        """All but the sheet, rounded for reading."""
        numbers = {k: v for k, v in asdict(self).items() if k not in ("sheet", "figures")} | dict(self.figures)
        return {k: round(v, 4) if isinstance(v, float) else v for k, v in numbers.items()}


class Record:
    """The files of one stage below `folder`: `<stage>.csv`, `<stage>.png` and `<stage>_NN.png` for each sheet."""

    def __init__(self, folder: Path, stage: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._stage = stage
        self._rows: list[dict[str, Any]] = []

    def add(self, report: Report) -> None:
        """Write one report, and the curves anew."""
        self._rows.append(report.to_json())
        path = self._folder / f"{self._stage}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(self._rows[-1]))
            writer.writeheader()
            writer.writerows(self._rows)
        write_png(self._folder / f"{self._stage}.png", curves(self._rows, list(report.figures)))
        if report.sheet is not None:
            write_png(self._folder / f"{self._stage}_{len(self._rows):02d}.png", report.sheet)


def write_png(path: Path, picture: Picture) -> None:
    """RGB uint8 [H, W, 3], without loss."""
    _, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    write_atomically(path, data.tobytes())


def psnr(pictures: Tensor, truth: Tensor, weight: Tensor) -> float:
    """In dB of pictures [B, 3, T, H, W], −1..1, where `weight` [B, T, H, W] is not 0: the mean over such clips."""
    error = (pictures.clamp(-1, 1) - truth).square().mean(1) * weight
    area = weight.sum((1, 2, 3))
    there = area > 0
    mse = error.sum((1, 2, 3))[there] / area[there]
    return float((10 * torch.log10(4 / mse.clamp_min(1e-10))).mean())


def sheet(columns: Sequence[Tensor]) -> Picture:
    """One row for each clip of pictures [B, 3, H, W], −1..1; uint8 RGB."""
    rows = torch.cat([column[:ROWS] for column in columns], dim=3)
    pixels = ((rows.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1)
    picture: Picture = pixels.flatten(0, 1).cpu().numpy()
    return picture


def curves(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Picture:
    """The `names` of all rows over seconds, in one frame of 800×500 pixels."""
    canvas = np.full((500, 800, 3), _PAPER, np.uint8)
    seconds = np.array([row["seconds"] for row in rows])
    values = {name: np.array([row.get(name, np.nan) for row in rows], float) for name in names}
    known = np.concatenate([v[np.isfinite(v)] for v in values.values()]) if values else np.zeros(0)
    if not known.size:
        return canvas
    low, high = np.floor(known.min()), np.ceil(known.max()) + 1e-9
    width = max(float(seconds.max()), 1e-9)
    for tick in np.linspace(low, high, 6):
        y = round(470 - 440 * float((tick - low) / (high - low)))
        cv2.line(canvas, (50, y), (790, y), _GRID, 1)
        cv2.putText(canvas, f"{tick:.1f}", (4, y + 4), cv2.FONT_HERSHEY_SIMPLEX, 0.4, _INK, 1, cv2.LINE_AA)
    for i, (name, row) in enumerate(values.items()):
        colour = _COLOURS[i % len(_COLOURS)]
        there = np.isfinite(row)
        x, y = 50 + 740 * seconds[there] / width, 470 - 440 * (row[there] - low) / (high - low)
        cv2.polylines(canvas, [np.stack([x, y], 1).round().astype(np.int32)], False, colour, 2, cv2.LINE_AA)
        cv2.putText(canvas, name, (60, 30 + 16 * i), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)
    return canvas
