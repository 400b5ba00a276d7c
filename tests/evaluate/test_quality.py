"""What the shipped weights must do on three held-out clips, rendered on the CPU as a user would: CI judges quality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest
import torch

from wan_animate_blender.wire import LoraUse, Mode, Settings
from wan_animate_server import world
from wan_animate_server.evaluate import estimators, gates, measure, reading
from wan_animate_server.evaluate.cases import Case, held_out
from wan_animate_server.evaluate.contest import settings_of
from wan_animate_server.evaluate.making import Maker, by_rendering
from wan_animate_server.evaluate.reading import Readers
from wan_animate_server.evaluate.suite import FAST
from wan_animate_server.library import Library, manifest

from ..trained import needs_weights

pytestmark = needs_weights

POSE = {gate.figure: gate.limit for gate in gates.GATES}["pose"]
"""Share of the person's height that body and feet may be off, in each clip."""
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
    own: float
    """Pose error of the estimator itself, on what should have come out."""


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> list[Measured]:
    """A join in a plate, an animation, and a replacement in one piece."""
    cpu = torch.device("cpu")
    readers = reading.Estimators.read(estimators.HOME, cpu)
    joined = held_out(world.Spec(SIZE, SIZE, JOINED), [0], cpu)
    single = held_out(world.Spec(SIZE, SIZE, SEGMENT), [1, 2], cpu)
    cases = {(case.name, case.mode): case for case in (*joined, *single)}
    asked = (cases["00", Mode.REPLACE], cases["01", Mode.ANIMATE], cases["02", Mode.REPLACE])
    few = (LoraUse(name=FAST),) if FAST in Library().loras(manifest("puppet")) else ()
    settings = replace(settings_of(STEPS), segment=SEGMENT, overlap=OVERLAP, loras=few, seed=1)
    make = by_rendering(tmp_path_factory.mktemp("quality"), "cpu")
    return [look(case, settings, make, readers) for case in asked]


def look(case: Case, settings: Settings, make: Maker, readers: Readers) -> Measured:
    made = make(case, settings)
    wanted = readers.pose(case.wanted(settings.relight))
    keypoints = case.truth.keypoints
    own = reading.pose_error(wanted, keypoints, wanted.spread) / reading.height_of(keypoints)
    return Measured(case.mode, measure.figures(made, case, settings.relight, readers), len(made.joins), own)


def test_the_person_stands_as_the_skeleton_says(measured: list[Measured]) -> None:
    for clip in measured:
        assert clip.own <= POSE / 3, "the estimator is no judge of this clip"
        assert clip.figures["pose"] <= POSE


def test_not_a_pixel_outside_the_region_is_changed(measured: list[Measured]) -> None:
    found = [clip.figures["outside_count"] for clip in measured if clip.mode is Mode.REPLACE]
    assert found == [0, 0]


def test_the_join_of_two_segments_is_not_seen(measured: list[Measured]) -> None:
    assert [clip.joins for clip in measured] == [1, 0, 0]
    assert measured[0].figures["seam"] <= SEAM
