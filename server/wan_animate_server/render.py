"""The one render: a shot folder in, a take folder out, told as progress. Used by the command line and by the worker."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from jinja2 import TemplateError

from wan_animate_blender.wire import (
    REPORT_FILE,
    SEGMENTS,
    TAKES,
    BadInput,
    Mode,
    Retake,
    Settings,
)

from . import blueprint as blueprints
from .assembly import generate
from .basis import find
from .blueprint import Blueprint
from .delivery import Delivery
from .forecast import choose, forecast, memory_of
from .installed import adapt, sizes_of
from .loaded import MODEL, tightening
from .pipeline import Conditioned, Decoded, Event, Model, Restored, Stepped
from .placement import Residence
from .progress import Pace, Progress, Stopwatch
from .report import files as report
from .resumption import Resumption
from .shot import LoadedShot, load
from .signals import ShotSignals
from .store import SegmentStore
from .take import PREVIEW_FILE, TakeFolder, completed, read_take
from .version import version
from .video import write_picture
from .weights import find_device

MOVIE_FILE = "preview.mp4"

_LAST = 0.99
"""Progress of a render of which only the finish is left."""


def render(
    folder: Path,
    *,
    takes: Path | None = None,
    segments: Path | None = None,
    device: str = "cpu",
    check: Callable[[], None],
    retake: Retake | None = None,
    base: Path | None = None,
    overrides: Sequence[str] = (),
    resume: bool = False,
) -> Generator[Progress, None, Path]:
    """Render the shot in `folder`; yields how far it is and returns the take folder.

    With `retake` only its frames are made anew, the others are copied from the take folder `base`, by default the
    newest complete one below `takes`. With `base` alone the shot is an extension of that take, whose frames are copied.
    `overrides` are settings in place of the shot's own, as NAME=VALUE; the take says what was used. With `resume` a
    take of this work that is whole is returned as it is, and one that is not goes on, also that of a machine that died;
    it raises `TryElsewhere` when somebody who lives is making it.

    `takes` is where versions are made, by default `takes/` beside the export; `segments` is where finished segments are
    kept and looked for, by default beside `takes`. `check` is called often and stops the render by raising; the take is
    then left partial, and the next render of the same kind continues it. Raises what `shot.load`, `load_model` and
    `generate` raise, and `BadInput` when a folder cannot be written or a take cannot be built upon.
    When the device's memory runs out, it begins again with a tighter memory plan, and says so.
    """
    order = _Order(
        folder=folder, takes=takes or folder.resolve().parent / TAKES, segments=segments, device=device, check=check,
        retake=retake, base=base, overrides=overrides, resume=resume,
    )  # fmt: skip
    return (yield from tightening(order.attempt))


@dataclass(frozen=True, kw_only=True)
class _Order:
    """What is asked for."""

    folder: Path
    takes: Path
    segments: Path | None
    device: str
    check: Callable[[], None]
    retake: Retake | None
    base: Path | None
    overrides: Sequence[str]
    resume: bool

    def attempt(self, roomiest: Residence) -> Generator[Progress, None, Path]:
        """One render; weights lie no roomier than `roomiest`."""
        watch = Stopwatch()
        yield Progress(stage="checking the shot")
        shot = load(self.folder, self.overrides)
        settings, resumption = shot.shot.settings, Resumption(self.takes, shot.shot, self.check)
        if self.resume and (made := resumption.complete()):
            yield _done(made)
            return made
        signals = ShotSignals(shot, settings.area or sizes_of(settings.model).area)
        blueprint = self._drawn(signals)
        signals = blueprint.signals
        store = SegmentStore(self.segments or self.takes.parent / SEGMENTS)
        watch.lap("checking")
        self.check()
        yield Progress(stage="loading the model")
        residence = _residence(signals, settings, find_device(self.device), roomiest)
        loaded = MODEL.get(settings.model, self.device, settings.precision, residence)
        model = adapt(loaded, shot.shot.mode, settings)
        watch.lap("loading")
        self.check()
        ours = resumption.claim() if self.resume else None
        if self.resume and ours is None:  # somebody else was faster
            return (yield from self.attempt(roomiest))
        take = blueprint.claim(self.takes, shot.shot, *_delivered_size(shot, signals), ours)

        def check() -> None:
            self.check()
            take.pulse.check()

        work = _Work(
            shot=shot, signals=signals, model=model, take=take, watch=watch, check=check, pace=Pace(),
            blueprint=blueprint,
        )  # fmt: skip
        try:
            with take.pulse:
                yield from work.deliver_all(
                    generate(model, signals, settings, store, check, blueprint.made, blueprint.base, take.earlier)
                )
        finally:
            take.leave()
        return take.folder

    def _drawn(self, signals: ShotSignals) -> Blueprint:
        """What is made and what is kept. Raises `BadInput`."""
        if not self.retake and not self.base:
            return blueprints.whole(signals)
        basis = find(self.takes, self.base)
        return blueprints.retake(signals, basis, self.retake) if self.retake else blueprints.extension(signals, basis)


def _done(made: Path) -> Progress:
    """That nothing is left to do for the take in `made`."""
    take = read_take(made)
    return Progress(stage="done", progress=1.0, frames=len(take.origins) if take else 0)


def _residence(signals: ShotSignals, settings: Settings, device: torch.device, roomiest: Residence) -> Residence:
    """Where weights will lie. Raises `TryElsewhere` before anything is loaded when the shot does not fit."""
    if (memory := memory_of(device)) is None:
        return roomiest
    sizes = sizes_of(settings.model)
    chosen = choose(forecast(sizes, settings, signals.frames, signals.width, signals.height), memory)
    return max(chosen, roomiest, key=list(Residence).index)


def _delivered_size(shot: LoadedShot, signals: ShotSignals) -> tuple[int, int]:
    if shot.shot.mode is Mode.REPLACE:
        return shot.shot.raster.width, shot.shot.raster.height
    return signals.width, signals.height


@dataclass(kw_only=True)
class _Work:
    """One render while it runs: turns the pipeline's events into files and progress."""

    shot: LoadedShot
    signals: ShotSignals
    model: Model
    take: TakeFolder
    watch: Stopwatch
    check: Callable[[], None]
    pace: Pace
    blueprint: Blueprint
    now: Progress = field(default_factory=lambda: Progress(stage="conditioning"))

    def deliver_all(self, events: Iterator[Event]) -> Iterator[Progress]:
        """Write every frame as soon as its segment is there, then complete the take."""
        device = self.model.device
        self.take.note(
            models=self.model.files, notes=(*self.model.notes, *self.blueprint.notes(self.model.files)),
            roi=self.signals.roi,
            device=_device_name(device), versions=_versions(),
        )  # fmt: skip
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        movie, basis = self.take.folder / MOVIE_FILE, self.blueprint.basis
        with Delivery.into(self.take, movie, self.signals, self.check, basis) as delivery:
            delivery.keep(self.blueprint.made[0].shown.start)
            yield self.now
            for event in events:
                delivery.settle()
                self.now = replace(self.now, frames=delivery.frames)
                yield self._follow(event, delivery)
        self.watch.lap("writing")
        seconds = {stage: round(value, 3) for stage, value in self.watch.seconds.items()}
        self.take.note([MOVIE_FILE], seconds=seconds, peak_memory=_peak_memory(device), finished=time.time())
        yield replace(self.now, stage="reporting", progress=_LAST, frames=delivery.frames, seconds_left=0.0)
        self.take.complete(self._report())
        yield replace(self.now, stage="done", progress=1.0, frames=delivery.frames, seconds_left=None, preview=None)

    def _report(self) -> tuple[str, ...]:
        """The files of the report; without one a note says why, for it must not cost the take."""
        take = self.take.take
        try:
            said = report.write(self.take.folder, completed(take), self.shot, self.check).wrongs()
            files: tuple[str, ...] = (REPORT_FILE, report.JSON_FILE)
        except (BadInput, OSError, MemoryError, cv2.error, TemplateError) as error:
            said, files = (f"there is no report: {error}",), ()
        if said:
            self.take.note(notes=(*take.notes, *said))
        return files

    def _follow(self, event: Event, delivery: Delivery) -> Progress:
        match event:
            case Conditioned():
                self.pace.around(self.watch.lap("conditioning"))
                return self._reached("denoising", event.segment, event.segments)
            case Stepped():
                self.pace.stepped(self.watch.lap("denoising"))
                write_picture(self.take.folder / PREVIEW_FILE, event.preview)
                self.now = replace(self.now, preview=self.take.folder / PREVIEW_FILE)
                stage = "decoding" if event.step == event.steps else "denoising"
                return self._reached(stage, event.segment, event.segments, event.step)
            case Restored():
                self.pace.around(self.watch.lap("decoding"))
                self.pace.delivered()
                return self._reached("conditioning", event.segment + 1, event.segments)
            case Decoded():
                took = self.watch.lap("resuming" if event.reused else "decoding")
                delivery.start(event)
                took += self.watch.lap("writing")  # the wait for the segment before, where files are slower
                if not event.reused:
                    self.pace.around(took)
                    self.pace.delivered()
                more = event.segment + 1 < event.segments
                return self._reached("conditioning" if more else "writing", event.segment + 1, event.segments)

    def _reached(self, stage: str, segment: int, segments: int, step: int = 0) -> Progress:
        """`step` finished steps of `segment`, counted from 0."""
        steps = self.shot.shot.settings.steps
        self.now = replace(
            self.now, stage=stage, segment=min(segment + 1, segments), segments=segments, step=step, steps=steps,
            progress=_LAST * (segment * steps + step) / (segments * steps),
            seconds_left=self.pace.seconds_left((segments - segment) * steps - step, segments - segment),
        )  # fmt: skip
        return self.now


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {platform.machine()}, {torch.get_num_threads()} threads"


def _peak_memory(device: torch.device) -> int | None:
    """Bytes that torch held at once; None where torch does not count them."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


def _versions() -> dict[str, str]:
    return {
        "wan-animate": version(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
    }
