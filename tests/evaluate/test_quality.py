"""What the shipped weights must do on three held-out clips, rendered on the CPU as a user would: CI judges quality."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import pytest
import torch

from wan_animate_blender.wire import LoraUse, Mode
from wan_animate_server import world
from wan_animate_server.evaluate import estimators, gates, measure, reading
from wan_animate_server.evaluate.cases import Case, held_out
from wan_animate_server.evaluate.contest import settings_of
from wan_animate_server.evaluate.making import by_rendering
from wan_animate_server.evaluate.reading import Readers
from wan_animate_server.evaluate.suite import FAST
from wan_animate_server.library import Library, manifest

from ..trained import needs_estimators, needs_weights

pytestmark = needs_weights

POSE = {gate.figure: gate.limit for gate in gates.GATES}["pose"]
"""Share of the person's height that body and feet may be off, in each clip."""
OBEYED = 1.0
"""Decibels inside the character by which the right skeleton must be better than another clip's; 2.6 and 3.4
were measured."""
SEAM = gates.SEAM

SIZE, STEPS = 256, 4
SEGMENT, OVERLAP = 9, 5
JOINED = 2 * SEGMENT - OVERLAP
"""Frames of the first clip, which are two segments; each of the others is one."""


@dataclass(frozen=True)
class Measured:
    mode: Mode
    figures: Mapping[str, float]
    joins: int


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    """A join in a plate, an animation, and a replacement in one piece."""
    cpu = torch.device("cpu")
    joined = held_out(world.Spec(SIZE, SIZE, JOINED), [0], cpu)
    single = held_out(world.Spec(SIZE, SIZE, SEGMENT), [1, 2], cpu)
    known = {(case.name, case.mode): case for case in (*joined, *single)}
    return [known["00", Mode.REPLACE], known["01", Mode.ANIMATE], known["02", Mode.REPLACE]]


@pytest.fixture(scope="module")
def readers() -> Readers | None:
    return reading.Estimators.read(estimators.HOME, torch.device("cpu")) if estimators.installed() else None


@pytest.fixture(scope="module")
def look(readers: Readers | None, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Case], Measured]:
    few = (LoraUse(name=FAST),) if FAST in Library().loras(manifest("puppet")) else ()
    settings = replace(settings_of(STEPS), segment=SEGMENT, overlap=OVERLAP, loras=few, seed=1)
    make = by_rendering(tmp_path_factory.mktemp("quality"), "cpu")

    def rendered(case: Case) -> Measured:
        made = make(case, settings)
        return Measured(case.mode, measure.figures(made, case, settings.relight, readers), len(made.joins))

    return rendered


@pytest.fixture(scope="module")
def measured(cases: list[Case], look: Callable[[Case], Measured]) -> list[Measured]:
    return [look(case) for case in cases]


@needs_estimators
def test_the_person_stands_as_the_skeleton_says(cases: list[Case], measured: list[Measured], readers: Readers) -> None:
    for case, clip in zip(cases, measured, strict=True):
        wanted, keypoints = readers.pose(case.wanted(1.0)), case.truth.keypoints
        own = reading.pose_error(wanted, keypoints, wanted.spread) / reading.height_of(keypoints)
        assert own <= POSE / 3, "the estimator is no judge of this clip"
        assert clip.figures["pose"] <= POSE


def test_another_skeleton_leads_away_from_the_truth(
    cases: list[Case], measured: list[Measured], look: Callable[[Case], Measured]
) -> None:
    one, other = cases[1].signals.keypoints, cases[2].signals.keypoints
    for case, clip, wrong in ((cases[1], measured[1], other), (cases[2], measured[2], one)):
        misled = look(replace(case, signals=replace(case.signals, keypoints=wrong)))
        assert clip.figures["psnr_character"] >= misled.figures["psnr_character"] + OBEYED


def test_not_a_pixel_outside_the_region_is_changed(measured: list[Measured]) -> None:
    found = [clip.figures["outside_count"] for clip in measured if clip.mode is Mode.REPLACE]
    assert found == [0, 0]


def test_the_join_of_two_segments_is_not_seen(measured: list[Measured]) -> None:
    assert [clip.joins for clip in measured] == [1, 0, 0]
    assert measured[0].figures["seam"] <= SEAM
