"""What the seam guard makes of colours that drift, over the plate of a real shot, whose true colours are known.

    PYTHONPATH=.:server python tests/benchmarks/seams.py SHOT [--walks 4] [--sheet FILE]

SHOT is any export, such as the demo's: a person who walks, a camera that moves, shadows, a renderer's grain. A model is
played that makes the plate again, right but for grain, blotches that each segment has of its own, and a drift of gain
and offset in every channel that walks at random from segment to segment (`steps`) or from frame to frame (`creep`).
Told is the mean ΔE (CIEDE2000) to the truth where the picture is seen, of all frames and of the last segment, as
generated and as delivered; then ΔE at the joins; then what the guard costs.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from wan_animate_blender.wire import Mode, Plan
from wan_animate_server import region, seams
from wan_animate_server.guard import Anchored, Guard
from wan_animate_server.pipeline import Decoded
from wan_animate_server.segments import Part, Span, plan
from wan_animate_server.shot import load
from wan_animate_server.signals import hull

log = logging.getLogger("seams")

SEGMENT, OVERLAP = 9, 5

Clip = np.ndarray
Drift = Callable[[Span], np.ndarray]
"""Gains and offsets [n, 2, 3] of the frames that a span renders."""


@dataclass(frozen=True)
class Stage:
    """One clip, as the guard sees a shot; it asks for mode, size, plate and mask alone."""

    mode: Mode
    truth: Clip
    """Float32 [T, H, W, 3], 0..1."""
    plates: np.ndarray
    region: np.ndarray

    @property
    def height(self) -> int:
        return self.truth.shape[1]

    @property
    def width(self) -> int:
        return self.truth.shape[2]

    def plate(self, i: int) -> np.ndarray:
        return self.plates[i]

    def mask(self, i: int) -> np.ndarray:
        touched = cv2.resize(self.region[i], (self.width // 8, self.height // 8), interpolation=cv2.INTER_AREA) > 0
        cells = cv2.dilate(touched.astype(np.float32), np.ones((3, 3), np.uint8))
        return cells.repeat(8, 0).repeat(8, 1)

    def shown(self, i: int) -> np.ndarray:
        return self.region[i] > 127 if self.mode is Mode.REPLACE else np.ones((self.height, self.width), bool)


def stages(folder: Path) -> list[Stage]:
    """The shot in both modes, cut to whole blocks of the model."""
    shot = load(folder)
    raster, frames = shot.shot.raster, range(len(shot.shot.frames))
    cut = slice(raster.height // 16 * 16), slice(raster.width // 16 * 16)
    plates = np.stack([shot.plate(i)[cut] for i in frames])
    nothing = np.zeros((raster.height, raster.width), np.uint8)
    bodies = [hull.draw(shot.keypoints[i], raster.width, raster.height) for i in frames]
    regions = np.stack([region.region(nothing, body)[cut] for body in bodies])
    return [Stage(mode, plates.astype(np.float32) / 255, plates, regions) for mode in Mode]


def drifts(seed: int, frames: int) -> dict[str, Drift]:
    """Random walks: about 1.5 % of gain and 0.8 % of offset a segment."""
    random = np.random.default_rng(seed)
    walk = random.normal(0, 1, (frames, 2, 3)) * np.array([0.015, 0.008])[:, None]
    steps, creep = walk.cumsum(0), walk.cumsum(0) / np.sqrt(SEGMENT - OVERLAP)
    smooth = cv2.blur(creep.reshape(frames, 6), (1, 9)).reshape(frames, 2, 3)
    return {
        "none": lambda span: np.zeros((span.length, 2, 3)),
        "steps": lambda span: np.repeat(steps[span.index : span.index + 1], span.length, 0),
        "creep": lambda span: smooth[np.array(span.indices(frames))],
    }


def generated(stage: Stage, drift: Drift, seed: int) -> list[Decoded]:
    made = []
    frames = len(stage.truth)
    for span in plan(frames, SEGMENT, OVERLAP, Plan.EVEN):
        random = np.random.default_rng([seed, span.index])
        truth, wrong = stage.truth[span.indices(frames)], drift(span).astype(np.float32)
        blotches = cv2.resize(
            random.normal(0, 0.01, (6, 6, 3)).astype(np.float32), (stage.width, stage.height),
            interpolation=cv2.INTER_CUBIC,
        )  # fmt: skip
        video = truth * (1 + wrong[:, None, None, 0]) + wrong[:, None, None, 1] + blotches
        video = np.clip(video + random.normal(0, 0.015, video.shape), 0, 1).astype(np.float16)
        start, stop = span.keep.start - span.first, span.keep.stop - span.first
        part = Part(span.index, tuple(span.indices(frames)), span.keep, seed=0)
        made.append(Decoded(span.index, 5, part, span.keep.start, video[start:stop], video[:start], reused=False))
    return made


def apart(stage: Stage, frames: Clip) -> np.ndarray:
    """Mean ΔE to the truth of each frame."""
    return np.array(
        [seams.difference(frames[i][stage.shown(i)], stage.truth[i][stage.shown(i)]) for i in range(len(frames))]
    )


def judged(stage: Stage, drift: Drift, seed: int, pool: ThreadPoolExecutor) -> tuple[np.ndarray, Clip, Clip]:
    """Six figures, and the clip as generated and as delivered."""
    made = generated(stage, drift, seed)
    guard = Guard(stage, 1.0, pool, 1001)
    found = [guard.anchor(one) for one in made]
    raw = np.concatenate([one.frames for one in made]).astype(np.float32)
    fixed = np.stack(list(delivered(made, found)))
    before, after = apart(stage, raw), apart(stage, fixed)
    last = made[-1].first
    joins = [(how.seam.colour_before, how.seam.colour_after) for how in found if how.seam]
    figures = [before.mean(), after.mean(), before[last:].mean(), after[last:].mean(), *np.mean(joins, 0)]
    return np.array(figures), raw, fixed


def delivered(made: list[Decoded], found: list[Anchored]) -> Iterator[np.ndarray]:
    for one, how in zip(made, found, strict=True):
        for i, frame in enumerate(one.frames, one.first):
            yield how.deliver(i, frame)


def cost(pool: ThreadPoolExecutor) -> None:
    """A segment of 77 frames of 1280×720, its plate in memory."""
    frames = np.random.default_rng(1).random((82, 720, 1280, 3), np.float32).astype(np.float16)
    plates = np.broadcast_to(np.full((720, 1280, 3), 128, np.uint8), (82, 720, 1280, 3))
    region = np.zeros((82, 720, 1280), np.uint8)
    region[:, 100:700, 500:800] = 255
    stage = Stage(Mode.REPLACE, frames, plates, region)
    part = Part(1, tuple(range(82)), range(5, 82), seed=0)
    guard = Guard(stage, 1.0, pool, 1001)
    begun = time.perf_counter()
    found = guard.anchor(Decoded(1, 2, part, 5, frames[5:], frames[:5], reused=False))
    fitted = time.perf_counter()
    for i in range(5, 25):
        found.deliver(i, frames[i])
    each = (time.perf_counter() - fitted) / 20
    log.info("cost: %.2f s a segment of 77 frames of 1280×720, %.0f ms a frame", fitted - begun, each * 1000)


def sheet(path: Path, raw: Clip, fixed: Clip, truth: Clip) -> None:
    """Frames in the middle of each segment: truth, generated, delivered."""
    places = np.linspace(2, len(truth) - 2, 4).astype(int)
    rows = [np.concatenate([clip[i] for i in places], 1) for clip in (truth, raw, fixed)]
    picture = np.rint(np.clip(np.concatenate(rows), 0, 1) * 255).astype(np.uint8)
    cv2.imwrite(str(path), picture[..., ::-1])


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shot", type=Path)
    parser.add_argument("--walks", type=int, default=4)
    parser.add_argument("--sheet", type=Path)
    given = parser.parse_args()
    heads = ("", "ΔE to truth", "delivered", "last segment", "delivered", "at joins", "delivered", "worst walk")
    log.info(" ".join(f"{head:>14}" for head in heads))
    with ThreadPoolExecutor(2) as pool:
        for stage in stages(given.shot):
            for name in ("none", "steps", "creep"):
                rows = []
                for walk in range(given.walks):
                    drift = drifts(walk, len(stage.truth))[name]
                    figures, raw, fixed = judged(stage, drift, walk, pool)
                    rows.append(figures)
                if given.sheet:
                    sheet(given.sheet.with_stem(f"{given.sheet.stem}_{stage.mode}_{name}"), raw, fixed, stage.truth)
                worst = max(one[1] / one[0] for one in rows)
                told = " ".join(f"{value:>14.2f}" for value in np.mean(rows, 0))
                log.info("%14s %s %11s %.2f", f"{stage.mode} {name}", told, "×", worst)
        cost(pool)


if __name__ == "__main__":
    main()
