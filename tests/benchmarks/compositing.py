"""How fast frames become layers beside the bare writing of the same EXR files, and what a long 4K shot takes of memory.

    python tests/benchmarks/compositing.py speed          # 1080p, half float, ZIP and PIZ
    python tests/benchmarks/compositing.py memory         # 500 frames of 3840×2160, about 5 GB of files
    python tests/benchmarks/compositing.py parts          # where the time of one frame goes

Plates are a gradient with a photograph's grain, so that compression has what it has in a production. No model runs:
its frames are made up, as many at a time as a segment has.
"""

from __future__ import annotations

import cProfile
import logging
import os
import pstats
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Protocol

import cv2
import numpy as np
import OpenEXR

from wan_animate_blender.wire import (
    FIRST_FRAME,
    POSE_FILE,
    Colour,
    Encoding,
    Finish,
    Format,
    FrameRow,
    Mode,
    Raster,
    RasterKind,
    Settings,
    Shot,
    frame_name,
    list_files,
)  # fmt: skip
from wan_animate_server import composite
from wan_animate_server import shot as shots
from wan_animate_server.delivery import Delivery, writers
from wan_animate_server.layering import Layering
from wan_animate_server.pipeline import Decoded
from wan_animate_server.segments import Part
from wan_animate_server.signals import ShotSignals
from wan_animate_server.take import TakeFolder
from wan_animate_server.video import write_picture

log = logging.getLogger("compositing")

AREA = 1280 * 720
SEGMENT = 77
DIFFERENT = 4
"""Plates that are really drawn; the others are links to them."""


@dataclass(frozen=True)
class Stage:
    """A shot and a take of it that waits for its frames."""

    signals: ShotSignals
    take: TakeFolder


@contextmanager
def stage(width: int, height: int, frames: int, *, grain: float, chosen: Format = Format.EXR_ZIP) -> Iterator[Stage]:
    """A scene-linear shot of `frames` frames in a folder that goes away, a person a third as wide as high in it."""
    with tempfile.TemporaryDirectory(prefix="compositing") as root:
        folder = Path(root) / "SH010" / "e001"
        _draw(folder, width, height, frames, grain)
        rows = tuple(FrameRow(shot=FIRST_FRAME + i, timeline=i, source=i, rig=i) for i in range(frames))
        settings = Settings(area=AREA, segment=SEGMENT, roi=False, finish=Finish(format=chosen))
        said = Shot(
            name="SH010", mode=Mode.REPLACE, frames=rows, cut_in=rows[0].shot, cut_out=rows[-1].shot, fps=Fraction(24),
            raster=Raster(kind=RasterKind.SOURCE, width=width, height=height), settings=settings,
            colour=Colour(encoding=Encoding.LINEAR, working_space="ACEScg"), files=list_files(folder),
        )  # fmt: skip
        (folder / "shot.json").write_text(said.dumps())
        signals = ShotSignals(shots.load(folder), AREA)
        yield Stage(signals, TakeFolder.claim(folder.parent / "takes", said, width, height))


def _draw(folder: Path, width: int, height: int, frames: int, grain: float) -> None:
    numbers = np.random.default_rng(1)
    for layer in ("plate", "matte"):
        (folder / layer).mkdir(parents=True)
    gradient = np.linspace(0.01, 1.5, width, dtype=np.float32)[None, :, None].repeat(height, 0).repeat(3, 2)
    for i in range(frames):
        plate, matte = (
            folder / layer / frame_name(FIRST_FRAME + i, end) for layer, end in (("plate", "exr"), ("matte", "png"))
        )
        if i >= DIFFERENT:
            for file in (plate, matte):
                os.link(file.with_stem(str(FIRST_FRAME + i % DIFFERENT)), file)
            continue
        noise = numbers.normal(0, grain, gradient.shape).astype(np.float32)
        write_picture(plate, (gradient * (1 + noise)).astype(np.float16))
        person = np.zeros((height, width), np.uint8)
        middle = width // 2 + i * width // 40, height // 2
        cv2.ellipse(person, middle, (height // 7, height * 2 // 5), 0, 0, 360, 255, -1)
        write_picture(matte, cv2.GaussianBlur(person, (5, 5), 0))
    points = np.zeros((frames, 133, 3), np.float32)
    np.savez(folder / POSE_FILE, keypoints=points)
    write_picture(folder / "character.png", np.full((64, 48, 3), 90, np.uint8))


def made(signals: ShotSignals) -> np.ndarray:
    """A frame as a model makes it: smooth, with a little noise, float16 [h, w, 3]."""
    numbers = np.random.default_rng(2)
    small = numbers.random((9, 16, 3)).astype(np.float32)
    frame = cv2.resize(small, (signals.width, signals.height), interpolation=cv2.INTER_CUBIC)
    return np.clip(frame + numbers.normal(0, 0.01, frame.shape), 0, 1).astype(np.float16)


# --- speed ------------------------------------------------------------------------------------------


TURNS = 7


def speed(frames: int = 16) -> None:
    """Ways through a pool as large as the delivery's, in turns: files alone, synchronised, composited, the whole way.

    What a turn costs is put beside bare files of the same turn, and of all turns the middle is said: other work on the
    machine comes and goes. Threads have run before, as they have for all of a take but its first frames.
    """
    for chosen in (Format.EXR_ZIP, Format.EXR_PIZ):
        with (
            stage(1920, 1080, frames, grain=0.03, chosen=chosen) as on,
            ThreadPoolExecutor(writers(on.take.take)) as pool,
        ):
            whole, bare = WholeWay(on), BareWriter(on, chosen)
            ways = {"bare": bare, "synced": Synced(bare), "composited": Composited(on, chosen), "whole": whole}
            for write in ways.values():
                cost(pool, frames, write)
            turns = [{name: cost(pool, frames, write) for name, write in ways.items()} for _ in range(TURNS)]
            for name in ways:
                costs = [turn[name] for turn in turns]
                log.info("%s %-10s %s", chosen, name, Cost.said(costs, [turn["bare"] for turn in turns]))


@dataclass(frozen=True)
class Cost:
    """Of one frame, in seconds."""

    wall: float
    processor: float
    """Of all threads together: on a busy machine the better figure."""

    @staticmethod
    def said(costs: Sequence[Cost], bare: Sequence[Cost]) -> str:
        by_clock = median(one.wall / other.wall for one, other in zip(bare, costs, strict=True))
        by_processor = median(one.processor / other.processor for one, other in zip(bare, costs, strict=True))
        wall, processor = median(cost.wall for cost in costs), median(cost.processor for cost in costs)
        return (
            f"{1 / wall:5.2f} frames/s, {1000 * processor:3.0f} ms of processor a frame, "
            f"{by_clock:.1%} of the bare rate, {by_processor:.1%} by processor time"
        )


class Way(Protocol):
    """Writes frames, each on its own."""

    def ready(self) -> None:
        """Prepare, where that is not measured, for frames that begin anew."""

    def __call__(self, i: int) -> None: ...


def cost(pool: ThreadPoolExecutor, frames: int, write: Way) -> Cost:
    write.ready()
    wall, processor = time.perf_counter(), time.process_time()
    list(pool.map(write, range(frames)))
    return Cost((time.perf_counter() - wall) / frames, (time.process_time() - processor) / frames)


class WholeWay:
    """As the delivery does it: reads all, finds the region, resamples, makes layers and writes them, and a preview."""

    def __init__(self, on: Stage) -> None:
        self._layering, self._frame = Layering(on.signals, on.take), made(on.signals)
        self._layering.write(0, self._frame, 1)  # whose files the bare way writes again

    def ready(self) -> None:
        """Reading is part of it."""

    def __call__(self, i: int) -> None:
        self._layering.write(i, self._frame, 1)


class BareWriter:
    """Writes the same three files of a frame from arrays that are there, by OpenEXR alone."""

    def __init__(self, on: Stage, chosen: Format) -> None:
        self._folder = on.take.folder
        method = OpenEXR.PIZ_COMPRESSION if chosen is Format.EXR_PIZ else OpenEXR.ZIP_COMPRESSION
        self._header = {"type": OpenEXR.scanlineimage, "compression": method}
        shared = {layer: self._channels(layer) for layer in on.take.take.layers}
        self._layers = [shared | {"comp": self._channels("comp")} for _ in range(on.signals.frames)]

    def _channels(self, layer: str) -> dict[str, np.ndarray]:
        channels = OpenEXR.File(str(self._folder / layer / frame_name(FIRST_FRAME, "exr"))).channels()
        return {name: np.ascontiguousarray(channel.pixels) for name, channel in channels.items()}

    def ready(self) -> None:
        """Arrays are there; a comp of each frame's own, as no two plates of a shot are one picture in the cache."""

    def __call__(self, i: int) -> None:
        for layer, channels in self._layers[i].items():
            OpenEXR.File(dict(self._header), channels).write(str(self.path(layer, i)))

    def path(self, layer: str, i: int) -> Path:
        return self._folder / layer / f"bare{i:04d}.exr"

    @property
    def layers(self) -> Iterable[str]:
        return self._layers[0]


class Synced:
    """The same, and waits until the disk has them, as the files of a take do."""

    def __init__(self, bare: BareWriter) -> None:
        self._bare = bare

    def ready(self) -> None:
        self._bare.ready()

    def __call__(self, i: int) -> None:
        self._bare(i)
        for layer in self._bare.layers:
            with self._bare.path(layer, i).open("rb+") as file:
                os.fsync(file.fileno())


class Own(threading.local):
    """Memory of one thread."""

    def __init__(self) -> None:
        self.canvas = composite.Canvas()


class Composited:
    """Layers made of plate, alpha and the model's frame, all in memory at the plate's size, and written for good."""

    def __init__(self, on: Stage, chosen: Format) -> None:
        shot = on.signals.shot
        assert shot.space
        self._folder, self._space, self._format = on.take.folder, shot.space, chosen
        self._plate, self._alpha, self._own = shot.stored_plate(0), on.signals.alpha(0), Own()
        self._plates = [self._plate.copy() for _ in range(on.signals.frames)]
        self._made = on.signals.windows[0].back(made(on.signals))

    def ready(self) -> None:
        for plate in self._plates:
            np.copyto(plate, self._plate)  # which became a comp

    def __call__(self, i: int) -> None:
        layers = composite.layers(
            self._plates[i], self._made, self._alpha, light=self._space.light, canvas=self._own.canvas
        )
        for layer, picture in layers.items():
            write_picture(self._folder / layer / f"quick{i:04d}.exr", picture, compression=self._format)


def parts() -> None:
    with stage(1920, 1080, 6, grain=0.03) as on:
        whole, profile = WholeWay(on), cProfile.Profile()
        profile.enable()
        for i in range(1, 6):
            whole(i)
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(22)


# --- memory -----------------------------------------------------------------------------------------


def memory(frames: int = 500, width: int = 3840, height: int = 2160) -> None:
    """Deliver segment after segment, and say after each what this process held at most."""
    with stage(width, height, frames, grain=0.0) as on:
        frame, movie = made(on.signals), on.take.folder / "preview.mp4"
        log.info("before: %s", held())
        with Delivery.into(on.take, movie, on.signals, lambda: None) as delivery:
            for index, first in enumerate(range(0, frames, SEGMENT)):
                delivery.start(segment(frame, index, range(first, min(first + SEGMENT, frames)), frames))
                log.info("segment %d begun, %d frames listed: %s", index, delivery.frames, held())
        log.info("after: %s", held())


def segment(frame: np.ndarray, index: int, keep: range, frames: int) -> Decoded:
    """A segment's frames, all of them the same picture, each with memory of its own."""
    part = Part(index, tuple(keep), keep, seed=index)
    made_up, head = np.repeat(frame[None], len(keep), 0), np.zeros((0, *frame.shape), np.float16)
    return Decoded(index, -(-frames // SEGMENT), part, keep.start, made_up, head, reused=False)


def held() -> str:
    now = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return f"{now / 1e9:.2f} GB now, {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9:.2f} GB at most"


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    {"speed": speed, "memory": memory, "parts": parts}[sys.argv[1]](*map(int, sys.argv[2:]))
