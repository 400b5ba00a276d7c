"""The suite with an actor who obeys to the letter and with readers who know everybody: perfect passes, wrong fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from wan_animate_blender.wire import Mode, Settings
from wan_animate_server import world
from wan_animate_server.evaluate import cases as tasks
from wan_animate_server.evaluate import gates, reading, suite
from wan_animate_server.evaluate.cases import Case, held_out
from wan_animate_server.evaluate.gates import Verdict, verdicts
from wan_animate_server.evaluate.making import Made, apart
from wan_animate_server.evaluate.metrics import Frames
from wan_animate_server.evaluate.reading import Expression, Floats, Pose
from wan_animate_server.world import area

from .conftest import CLIPS, FRAMES, SIZE

LIT = Settings(relight=1.0)


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return held_out(world.Spec(SIZE, SIZE, FRAMES), range(CLIPS), torch.device("cpu"))


@dataclass(frozen=True, eq=False)
class Knowing:
    """Readers who have seen every true picture, and know nothing of any other."""

    cases: Sequence[Case]

    def _found(self, frames: Frames) -> Case | None:
        known = [(c, clip) for c in self.cases for clip in (c.truth.frames, c.truth.lit)]
        return next((c for c, clip in known if clip.shape == frames.shape and np.array_equal(clip, frames)), None)

    def pose(self, frames: Frames) -> Pose:
        case = self._found(frames)
        points = case.truth.keypoints[..., :2] if case else np.zeros((len(frames), 133, 2), np.float32)
        return Pose(points, np.zeros(points.shape[:2], np.float32))

    def expression(self, frames: Frames, keypoints: Floats) -> Expression:
        case = self._found(frames)
        values = case.truth.expression if case else np.full((len(frames), 9), 9.0, np.float32)
        return Expression(values, np.zeros_like(values))

    def identity(self, frames: Frames, keypoints: Floats) -> Floats:
        pictures = [c.truth.reference for c in self.cases]
        case = self._found(frames)
        who = case.truth.reference if case else frames[0]
        directions = np.array([np.array_equal(who, picture) for picture in pictures], np.float32)
        return np.stack([directions] * len(frames)) / max(np.linalg.norm(directions), 1)

    def features(self, frames: Frames) -> Floats:
        return frames.reshape(len(frames), -1, 3).mean(1).astype(np.float32)

    @property
    def others(self) -> Floats:
        """Directions of strangers, a little like everybody."""
        return np.full((8, len(self.cases)), 0.1, np.float32)


def obedient(cases: Sequence[Case]) -> suite.Maker:
    """Makes what shall come out for the signals that it is told: the truth of whoever they are all from."""

    def make(case: Case, settings: Settings) -> Made:
        for name in ("keypoints", "face", "reference"):
            told, own = getattr(case.signals, name), getattr(case.truth, name, None)
            source = [c for c in cases if c.mode is case.mode and np.array_equal(getattr(c.signals, name), told)]
            if not source:
                return Made(np.zeros_like(case.signals.plate))
            if source[0].name != case.name and not (own is not None and np.array_equal(told, own)):
                return Made(source[0].wanted(settings.relight))
        return Made(case.wanted(settings.relight))

    return make


@pytest.fixture(scope="module")
def rows(cases: list[Case]) -> gates.Rows:
    found = {}
    for trial in suite.trials(cases, obedient(cases), LIT):
        for result in suite.run(trial, Knowing(cases)):
            found[result.name, result.mode.value] = result.figures
    return found


def of(found: list[Verdict], start: str) -> list[Verdict]:
    return [verdict for verdict in found if verdict.asked.startswith(start)]


def test_the_truth_passes_every_gate_and_what_is_told_wrong_fails_its_own(rows: gates.Rows) -> None:
    found = verdicts(rows)
    assert {(v.asked, v.mode) for v in found if not v.passed} == set()
    for name, figure in gates.CONTROLS.items():
        asked = of(found, f"{name} miss the {figure}")
        assert [v.mode for v in asked] == [Mode.REPLACE, Mode.ANIMATE] and all(v.margin > 0.2 for v in asked)
    assert len(of(found, "own ")) == 2 * sum(gate.estimated for gate in gates.GATES)


def test_a_model_that_is_only_a_pasted_picture_misses_gates_and_is_no_better_than_itself(rows: gates.Rows) -> None:
    lazy = {key: dict(value) for key, value in rows.items()}
    for mode in Mode:
        lazy[gates.MODEL, mode.value] = lazy[gates.PASTED, mode.value]
    found = verdicts(lazy)
    for asked in ("pose of the model", "psnr of the model", "psnr better than the pasted", "ssim better than the pas"):
        assert not any(v.passed for v in of(found, asked)), asked
    assert all(v.margin < 0 for v in found if not v.passed and v.value != v.limit)


def test_a_controls_gate_is_missed_when_a_model_does_not_listen(rows: gates.Rows) -> None:
    deaf = {**rows, **{(name, m.value): rows[gates.MODEL, m.value] for name in gates.CONTROLS for m in Mode}}
    assert not any(v.passed for v in verdicts(deaf) if " miss the " in v.asked)


def test_the_regions_do_not_tell_the_silhouette_and_hold_the_character(cases: list[Case]) -> None:
    for case in cases:
        alpha, region = case.truth.alpha, case.signals.region > 0
        assert not (alpha & ~region).any()
        assert region.sum() > 1.2 * alpha.sum()
    # Boxes take all of pictures as small and narrow as these: of wide ones they leave enough.
    wide = held_out(world.Spec(SIZE, 3 * SIZE, FRAMES), range(2), torch.device("cpu"))
    for case in (c for c in wide if c.mode is Mode.REPLACE):
        assert (case.signals.region > 0).mean((1, 2)).max() < area.ROOM
        for region in case.signals.region:
            rows_there, columns = region.any(1), region.any(0)
            assert region[rows_there][:, columns].all()


def test_signals_are_swapped_inside_a_mode_and_truths_stay(cases: list[Case]) -> None:
    for signal in ("keypoints", "face", "reference"):
        for case, other in zip(cases, tasks.swapped(signal)(cases), strict=True):
            assert not np.array_equal(getattr(case.signals, signal), getattr(other.signals, signal))
            assert case.truth is other.truth and case.signals.plate is other.signals.plate


def test_overlap_0_is_pieces_that_do_not_know_each_other(cases: list[Case]) -> None:
    asked: list[tuple[int, int]] = []

    def make(case: Case, settings: Settings) -> Made:
        asked.append((len(case.signals.plate), settings.seed))
        return Made(case.wanted(settings.relight))

    made = apart(make, 2)(cases[0], LIT)
    assert asked == [(2, 0), (3, 1)] and made.joins == (2,)
    assert np.array_equal(made.frames, cases[0].wanted(1.0))


def test_the_long_clip_is_four_segments_with_either_overlap() -> None:
    from wan_animate_server.segments import plan

    for overlap, length in suite.SEGMENT.items():
        for kind in suite.Plan:
            assert len(plan(suite.LONG, length, overlap, kind)) == suite.PIECES


def test_ablations_are_asked_for_as_far_as_the_model_can(cases: list[Case]) -> None:
    make = obedient(cases)
    plain = [trial.name for trial in suite.ablations(cases, cases, make, replace(LIT, relight=0.0), ())]
    whole = {trial.name: trial for trial in suite.ablations(cases, cases, make, LIT, ("fast",))}
    assert set(whole) - set(plain) == {*gates.RELIGHT.values(), "4 steps"}
    assert whole["relight 0.5"].settings.relight == 0.5 and whole["4 steps"].settings.steps == 4
    assert {case.mode for case in whole["relight 0"].cases} == {Mode.REPLACE}
    assert all(case.signals.face is None for case in whole["face path off"].cases)


def test_relighting_and_overlaps_are_judged_by_each_other() -> None:
    figures = {0.0: (10.0, 0.2), 1.0: (6.9, 0.21)}
    table = {(gates.RELIGHT[s], "replace"): {"delta_e": d, "identity_distance": i} for s, (d, i) in figures.items()}
    table |= {(gates.OVERLAP[o], "replace"): {"seam": s} for o, s in ((0, 4.0), (1, 1.6), (5, 1.7))}
    passed = {v.asked: v.passed for v in verdicts(table)}
    assert passed == {
        "delta_e at relight 1 by that at 0": True, "identity_distance at relight 1 by that at 0": True,
        "seam score at overlap 5": False, "seam score at overlap 1 below the one before": True,
        "seam score at overlap 5 below the one before": False,
    }  # fmt: skip


def test_a_person_is_as_tall_as_it_is_drawn() -> None:
    points = np.zeros((2, 133, 3), np.float32)
    for i, y in ((0, 10), (5, 20), (6, 20), (11, 50), (12, 50), (13, 75), (14, 75), (15, 100), (16, 100)):
        points[1, i, 1] = y
    assert reading.height_of(points) == pytest.approx(1.1 * 90)


def test_errors_are_those_at_points_that_were_seen_in_the_truth() -> None:
    points = np.zeros((1, 133, 3), np.float32)
    points[0, :, 2] = 1
    points[0, (13, 14), 1] = 50
    points[0, (15, 16), 1] = 100
    found = Pose(points[..., :2] + np.float32([3, 4]), np.zeros((1, 133), np.float32))
    unsure = np.full((1, 133), 50.0, np.float32)
    unsure[0, 0] = 0
    found.points[0, 0, 0] += 3
    assert reading.pose_error(found, points, unsure) == pytest.approx(np.hypot(6, 4))
    assert np.isnan(reading.pose_error(found, points, unsure + 50))
    points[0, 0, 2] = 0
    assert reading.pose_error(found, points) == pytest.approx(5)


def test_confusion_is_chance_for_a_stranger_and_none_for_oneself() -> None:
    own = np.float32([1, 0])
    others = np.stack([np.array([np.cos(a), np.sin(a)], np.float32) for a in np.linspace(0.2, 6, 50)])
    assert reading.confusion(own[None], own, others) == 0
    assert reading.confusion(others[:20], own, others) > 0.2
    assert reading.strangeness(np.float32([[0, 1]]), own) == pytest.approx(1)
