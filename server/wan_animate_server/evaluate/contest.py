"""The whole suite from a folder with a model to its results. Knows where models lie; measures nothing itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from wan_animate_blender.wire import Settings

from .. import world
from ..installed import EMBEDDED, find_relight
from ..library import PUPPET_VARIABLE, Library, manifest
from ..loaded import MODEL
from ..train.workshop import trained
from ..weights import find_device
from . import suite
from .cases import held_out
from .making import by_rendering
from .reading import Readers
from .suite import Result, Trial


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked for."""

    model: Path | None
    """Folder of the small model; None is the one that is shipped."""
    beside: tuple[Path, ...]
    """Folders of others, a row for each."""
    clips: int
    size: int
    frames: int
    steps: int
    ablations: bool
    out: Path
    device: str

    def __post_init__(self) -> None:
        for folder in (self.model, *self.beside):
            if folder is not None:
                trained(folder)

    def about(self) -> dict[str, Any]:
        """For whoever reads the results."""
        return {
            "date": datetime.now(UTC).date().isoformat(), "model": self.model.name if self.model else EMBEDDED,
            "held-out clips": self.clips, "size": f"{self.size}×{self.size}", "frames": self.frames,
            "steps": self.steps, "device": self.device,
        }  # fmt: skip


def hold(order: Order, readers: Readers | None) -> Iterator[Result]:
    """All rows, each as soon as it is there. Raises `BadInput`, `Unavailable` and what `render` raises."""
    place = find_device(order.device)
    spec = world.Spec(order.size, order.size, order.frames)
    cases = held_out(spec, range(order.clips), place)
    make = by_rendering(order.out, order.device)
    with lent(order.model):
        settings = settings_of(order.steps)
        trials = list(suite.trials(cases, make, settings))
        if order.ablations:
            long = held_out(replace(spec, frames=suite.LONG), range(max(order.clips // 2, 1)), place)
            loras = tuple(Library().loras(manifest(EMBEDDED)))
            trials += suite.ablations(cases, long, make, settings, loras)
        for trial in trials:
            yield from suite.run(trial, readers)
    for folder in order.beside:
        with lent(folder):
            about = "another model, told everything rightly"
            other = Trial(name=folder.name, about=about, cases=cases, settings=settings_of(order.steps), make=make)
            yield from suite.run(other, readers)


def settings_of(steps: int) -> Settings:
    """The scene's light is asked for where the model that lies ready has learned it."""
    lit = find_relight(Library(), EMBEDDED) is not None
    return Settings(model=EMBEDDED, steps=steps, relight=1.0 if lit else 0.0)


@contextmanager
def lent(folder: Path | None) -> Iterator[None]:
    """The small model is the one in `folder` meanwhile."""
    before = os.environ.get(PUPPET_VARIABLE)
    if folder is not None:
        os.environ[PUPPET_VARIABLE] = str(folder)
    MODEL.drop()
    try:
        yield
    finally:
        MODEL.drop()
        os.environ.pop(PUPPET_VARIABLE, None)
        if before is not None:
            os.environ[PUPPET_VARIABLE] = before
