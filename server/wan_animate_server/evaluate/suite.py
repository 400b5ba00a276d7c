"""The trials of the small model: itself, those who do no work, those who are told wrong, and what its parts are for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np

from wan_animate_blender.wire import LoraUse, Mode, Plan, Settings

from . import cases as tasks
from . import gates, metrics
from .cases import Case, Change
from .making import Made, Maker, apart, averaging, pasted, truth
from .measure import figures
from .reading import Floats, Readers

LONG, PIECES = 33, 4
SEGMENT = {1: 9, 5: 13}
"""Frames of a segment by overlap: `LONG` frames are four segments of each."""

FAST = "fast"
"""The LoRA for four steps."""

MEASURING = 4
"""Clips that are measured side by side, on the CPU for the most part, while the next is rendered."""

SHOWN = 5
"""Cases of each row that are kept to be looked at."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Trial:
    """One row of the table."""

    name: str
    about: str
    cases: Sequence[Case]
    settings: Settings
    make: Maker


@dataclass(frozen=True, eq=False)
class Result:
    """What a trial came to, in one mode."""

    name: str
    mode: Mode
    about: str
    clips: Sequence[Mapping[str, float]]
    """Figures of each case."""
    figures: Mapping[str, float]
    """Their means, and what only many clips together have."""
    notes: tuple[str, ...]
    relight: float
    """How much of the scene's light was asked for."""
    shown: Sequence[tuple[Case, Made]] = field(default=())


def trials(cases: Sequence[Case], make: Maker, settings: Settings) -> Iterator[Trial]:
    """The model, what it is measured beside, and controls."""

    def trial(name: str, about: str, maker: Maker = make, change: Change = list) -> Trial:
        return Trial(name=name, about=about, cases=change(cases), settings=settings, make=maker)

    yield trial(gates.TRUTH, "what shall come out; its errors are the estimators' own", truth)
    yield trial(gates.MODEL, "told everything rightly")
    yield trial(gates.PASTED, "the character's picture in the region, no model", pasted)
    yield trial(gates.MEAN, "the mean of all that shall come out, no model", averaging(cases))
    yield trial("pose path off", "no skeleton", change=tasks.without_pose)
    yield trial("swapped skeletons", "another clip's skeleton", change=tasks.swapped("keypoints"))
    yield trial("swapped faces", "another clip's expression", change=tasks.swapped("face"))
    yield trial("swapped references", "another character's picture", change=tasks.swapped("reference"))


def ablations(
    cases: Sequence[Case], long: Sequence[Case], make: Maker, settings: Settings, loras: Sequence[str]
) -> Iterator[Trial]:
    """What each part is for. `loras` are those that the model has."""

    def trial(name: str, about: str, *, maker: Maker = make, on: Sequence[Case] = cases, **changes: object) -> Trial:
        return Trial(name=name, about=about, cases=on, settings=replace(settings, **changes), make=maker)  # type: ignore[arg-type]

    yield Trial(
        name="face path off", about="no expression", cases=tasks.without_face(cases), settings=settings, make=make
    )
    replaced = [case for case in cases if case.mode is Mode.REPLACE]
    for strength, name in gates.RELIGHT.items() if settings.relight else ():
        yield trial(name, "the relighting LoRA at this strength", on=replaced, relight=strength)
    if FAST in loras:
        yield trial("4 steps", "with the LoRA for few steps", steps=4, loras=(LoraUse(name=FAST),))
    yield trial("4 steps, no LoRA", "the same model, stopped early", steps=4)
    yield trial(gates.OVERLAP[0], "four exports, each rendered alone", maker=apart(make, PIECES), on=long)
    for overlap, length in SEGMENT.items():
        about = f"four segments of {length} frames, even plan"
        yield trial(gates.OVERLAP[overlap], about, on=long, overlap=overlap, segment=length)
    yield trial("official plan", "the released plan: a mirrored tail; compare with overlap 5", on=long, overlap=5,
                segment=SEGMENT[5], plan=Plan.OFFICIAL)  # fmt: skip


def run(trial: Trial, readers: Readers | None) -> Iterator[Result]:
    """Make and measure all cases; a result for each mode that there is."""
    order = sorted(trial.cases, key=lambda case: case.mode)
    for mode, group in groupby(order, key=lambda case: case.mode):
        yield _of_mode(trial, mode, list(group), readers)


def _of_mode(trial: Trial, mode: Mode, cases: Sequence[Case], readers: Readers | None) -> Result:
    relight = trial.settings.relight
    made: list[Made] = []
    with ThreadPoolExecutor(MEASURING) as pool:
        waiting = []
        for case in cases:
            made.append(trial.make(case, trial.settings))
            waiting.append(pool.submit(_measured, made[-1], case, relight, readers))
        clips, features = zip(*(each.result() for each in waiting), strict=True)
    known = {name: [clip[name] for clip in clips if name in clip] for name in gates.LOWER}
    means = {name: float(np.mean(values)) for name, values in known.items() if values}
    if readers is not None:
        means["frechet"] = metrics.frechet(*map(moving, zip(*features, strict=True)))
    notes = tuple(dict.fromkeys(note for each in made for note in each.notes))
    shown = list(zip(cases, made, strict=True))[:SHOWN]
    return Result(trial.name, mode, trial.about, clips, means, notes, relight, shown)


def _measured(
    made: Made, case: Case, relight: float, readers: Readers | None
) -> tuple[Mapping[str, float], tuple[Floats, ...]]:
    """Figures of one clip, and features of what was made and of what should have been."""
    both = () if readers is None else (readers.features(made.frames), readers.features(case.wanted(relight)))
    return figures(made, case, relight, readers), both


def moving(clips: Sequence[Floats]) -> Floats:
    """Features of pictures [T, D] of each clip → of every two neighbours their mean and their change [n, 2·D]."""
    rows = [np.concatenate(((clip[1:] + clip[:-1]) / 2, clip[1:] - clip[:-1]), 1) for clip in clips]
    return np.concatenate(rows)
