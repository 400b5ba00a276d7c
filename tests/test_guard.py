"""The seam guard over whole clips whose colours drift from segment to segment, as those of the model do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from wan_animate_blender.wire import TAKE_FILE, Finish, Mode, Plan, Retake, SegmentRecord, Take
from wan_animate_server import seams
from wan_animate_server.conditions import Mask, Picture
from wan_animate_server.guard import Anchored, Guard
from wan_animate_server.pipeline import Decoded
from wan_animate_server.render import render
from wan_animate_server.segments import Part, Span, plan
from wan_animate_server.video import read_picture

from .conftest import QUICK, write_export

WIDTH, HEIGHT = 96, 64
BOTH_MODES = pytest.mark.parametrize("mode", list(Mode))

Clip = np.ndarray
"""Float32 [N, H, W, 3], 0..1."""
Drift = Callable[[Clip, Span], Clip]


@dataclass(frozen=True)
class Stage:
    """Signals of a clip whose true colours are known; in its middle the model makes the character."""

    mode: Mode
    truth: Clip
    hole: tuple[slice, slice] = (slice(8, 56), slice(32, 64))
    width: int = WIDTH
    height: int = HEIGHT
    frames: int = field(init=False, default=0)
    digest: str = ""

    def plate(self, i: int) -> Picture:
        return np.rint(self.truth[i] * 255).astype(np.uint8)

    def mask(self, i: int) -> Mask:
        mask = np.zeros((self.height, self.width), np.float32)
        mask[self.hole] = 1
        return mask

    def reference(self) -> Picture:
        raise AssertionError("the guard has no use for it")

    def pose(self, i: int) -> Picture:
        return self.reference()

    def face(self, i: int) -> Picture:
        return self.reference()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def spans(frames: int, overlap: int) -> tuple[Span, ...]:
    found = plan(frames, 13, overlap, Plan.EVEN)
    assert len(found) == 5
    return found


def generated(truth: Clip, drift: Drift, overlap: int) -> list[Decoded]:
    """Five segments of a model that gets everything right but the colours."""
    made = []
    for span in spans(len(truth), overlap):
        video = np.clip(drift(truth[span.indices(len(truth))], span), 0, 1).astype(np.float16)
        start, stop = span.keep.start - span.first, span.keep.stop - span.first
        part = Part(span.index, tuple(span.indices(len(truth))), span.keep, seed=0)
        made.append(Decoded(span.index, 5, part, span.keep.start, video[start:stop], video[:start], reused=False))
    return made


def guard(stage: Stage, pool: ThreadPoolExecutor, strength: float = 1.0, frozen: Sequence[SegmentRecord] = ()) -> Guard:
    return Guard(stage, strength, pool, 1001, frozen)


def anchored(guard: Guard, made: list[Decoded]) -> list[Anchored]:
    return [guard.anchor(one) for one in made]


def delivered(made: list[Decoded], found: list[Anchored]) -> Clip:
    pairs = zip(made, found, strict=True)
    return np.stack([how.deliver(i, frame) for one, how in pairs for i, frame in enumerate(one.frames, one.first)])


def guarded(stage: Stage, drift: Drift, pool: ThreadPoolExecutor, *, overlap: int = 5) -> tuple[Clip, Clip]:
    """The clip as generated and as delivered, where it is seen."""
    made = generated(stage.truth, drift, overlap)
    found = anchored(guard(stage, pool), made)
    raw, fixed = np.concatenate([one.frames for one in made]).astype(np.float32), delivered(made, found)
    seen = (slice(None), *stage.hole) if stage.mode is Mode.REPLACE else slice(None)
    return raw[seen], fixed[seen]


def apart(one: Clip, other: Clip) -> np.ndarray:
    """Mean ΔE of each frame."""
    pairs = zip(one, np.broadcast_to(other, one.shape), strict=True)
    return np.array([seams.difference(a.reshape(-1, 3), b.reshape(-1, 3)) for a, b in pairs])


def stepwise(video: Clip, span: Span) -> Clip:
    """A little more of everything with each segment: saturated, warmer, darker."""
    k = span.index
    return video * np.float32([1 + 0.02 * k, 1 - 0.01 * k, 1 - 0.025 * k]) + np.float32(0.01 * k * (-1) ** k)


def creeping(video: Clip, span: Span) -> Clip:
    """It grows from frame to frame, and each segment goes on where the one before was."""
    time = np.arange(span.first, span.first + len(video), dtype=np.float32)[:, None, None, None]
    return video * (1 + 0.003 * time) + 0.001 * time


def clip(level: Callable[[np.ndarray], np.ndarray], frames: int = 41, contrast: float = 0.0) -> Clip:
    """A picture, plain or with contrast, lit in time by `level`."""
    random = np.random.default_rng(5)
    blocks = random.uniform(-contrast, contrast, (HEIGHT // 16, WIDTH // 16, 3))
    picture = np.float32([0.5, 0.4, 0.3]) + blocks.repeat(16, 0).repeat(16, 1).astype(np.float32)
    return picture[None] * level(np.linspace(0, 1, frames, dtype=np.float32))[:, None, None, None]


def flaws(video: Clip, span: Span) -> Clip:
    """What a model gets wrong without any drift: grain, and blotches that differ from segment to segment."""
    random = np.random.default_rng(span.index)
    blotches = random.normal(0, 0.015, (1, HEIGHT // 8, WIDTH // 8, 3)).repeat(8, 1).repeat(8, 2)
    return np.asarray(video + blotches + random.normal(0, 0.02, video.shape), np.float32)


@BOTH_MODES
@pytest.mark.parametrize("overlap", [1, 5])
@pytest.mark.parametrize("contrast", [0.0, 0.2], ids=["plain", "patches"])
def test_a_constant_clip_stays_constant_over_five_segments(
    mode: Mode, overlap: int, contrast: float, pool: ThreadPoolExecutor
) -> None:
    stage = Stage(mode, clip(np.ones_like, 41 if overlap == 5 else 61, contrast))
    raw, fixed = guarded(stage, stepwise, pool, overlap=overlap)
    assert apart(raw, raw[0]).max() > 3
    assert apart(fixed, fixed[0]).max() < 0.5
    assert np.abs(np.diff(fixed, axis=0)).max() < 1.5 / 255, "and it does not flicker"


def test_colours_that_creep_away_inside_segments_are_held_by_the_plate(pool: ThreadPoolExecutor) -> None:
    stage = Stage(Mode.REPLACE, clip(np.ones_like, contrast=0.2))
    raw, fixed = guarded(stage, creeping, pool)
    assert apart(raw, raw[0]).max() > 2
    assert apart(fixed, fixed[0]).max() < 0.5
    assert np.abs(np.diff(fixed, axis=0)).max() < 1.5 / 255


@BOTH_MODES
@pytest.mark.parametrize("contrast", [0.0, 0.15], ids=["plain", "patches"])
def test_a_true_ramp_of_light_survives(mode: Mode, contrast: float, pool: ThreadPoolExecutor) -> None:
    stage = Stage(mode, clip(lambda t: 0.5 + t, contrast=contrast))
    truth = stage.truth[(slice(None), *stage.hole)] if mode is Mode.REPLACE else stage.truth
    raw, fixed = guarded(stage, flaws, pool)
    before, after = apart(raw, truth), apart(fixed, truth)
    assert after.mean() <= 1.1 * before.mean()
    assert (after <= 1.1 * before).mean() > 0.9, "in nearly every frame"


@BOTH_MODES
def test_a_ramp_that_drifts_comes_nearer_to_the_truth(mode: Mode, pool: ThreadPoolExecutor) -> None:
    stage = Stage(mode, clip(lambda t: 0.6 + 0.6 * t, contrast=0.15))
    truth = stage.truth[(slice(None), *stage.hole)] if mode is Mode.REPLACE else stage.truth
    raw, fixed = guarded(stage, lambda video, span: flaws(stepwise(video, span), span), pool)
    assert apart(fixed, truth)[-8:].mean() < 0.7 * apart(raw, truth)[-8:].mean()
    assert (
        np.polyfit(range(len(fixed)), fixed.mean((1, 2, 3)), 1)[0]
        > 0.9 * np.polyfit(range(len(truth)), truth.mean((1, 2, 3)), 1)[0]
    ), "the light still rises"


def walking(video: Clip, span: Span) -> Clip:
    """A red figure before the scene that each segment sees elsewhere: also in the frames that two of them share."""
    shown = video.copy()
    for i, frame in enumerate(shown, span.first):
        left = 4 + i + 9 * span.index
        frame[10:60, left : left + 22] = (0.8, 0.1, 0.1)
    return shown


def steady(video: Clip, span: Span) -> Clip:
    return video


@pytest.mark.parametrize("drift", [steady, stepwise])
def test_the_fit_does_not_follow_a_figure_that_moves(drift: Drift, pool: ThreadPoolExecutor) -> None:
    truth = clip(np.ones_like, contrast=0.2)
    made = generated(truth, lambda video, span: drift(walking(video, span), span), 5)
    found = anchored(guard(Stage(Mode.ANIMATE, truth), pool), made)
    for one, how in zip(made, found, strict=True):
        scene = delivered([one], [how])
        assert apart(scene[:, :8], truth[0, :8]).max() < 0.5


@BOTH_MODES
def test_each_join_is_told_before_and_after(mode: Mode, pool: ThreadPoolExecutor) -> None:
    stage = Stage(mode, clip(np.ones_like, contrast=0.2))
    made = generated(stage.truth, stepwise, 5)
    first, *others = (how.seam for how in anchored(guard(stage, pool), made))
    assert first is None, "nothing was before it"
    told = [seam for seam in others if seam]
    assert [seam.frame for seam in told] == [1001 + one.first for one in made[1:]]
    for seam in told:
        assert seam.colour_before > 0.8 > 0.3 > seam.colour_after
        assert seam.motion_before is not None and seam.motion_after is not None
        assert seam.motion_before > 1.5 * seam.motion_after


def test_where_no_plate_is_left_the_segment_before_is_the_anchor(pool: ThreadPoolExecutor) -> None:
    stage = Stage(Mode.REPLACE, clip(np.ones_like, contrast=0.2), hole=(slice(0, HEIGHT), slice(0, WIDTH)))
    raw, fixed = guarded(stage, stepwise, pool)
    assert apart(raw, raw[0]).max() > 3
    assert apart(fixed, fixed[0]).max() < 0.5


@BOTH_MODES
def test_without_strength_every_frame_is_delivered_as_it_is(mode: Mode, pool: ThreadPoolExecutor) -> None:
    stage = Stage(mode, clip(np.ones_like, contrast=0.2))
    made = generated(stage.truth, stepwise, 5)
    for one, how in zip(made, anchored(guard(stage, pool, 0.0), made), strict=True):
        assert all(how.deliver(i, frame) is frame for i, frame in enumerate(one.frames, one.first))
        if how.seam:
            assert how.seam.colour_after == how.seam.colour_before > 0.8, "and still told"


@BOTH_MODES
def test_a_strength_is_the_part_of_the_drift_that_goes(mode: Mode, pool: ThreadPoolExecutor) -> None:
    stage = Stage(mode, clip(np.ones_like, contrast=0.2))
    made = generated(stage.truth, stepwise, 5)
    none, half, whole = (delivered(made, anchored(guard(stage, pool, s), made)) for s in (0.0, 0.5, 1.0))
    np.testing.assert_allclose(half, (none.astype(np.float32) + whole) / 2, atol=0.002)


def records(made: list[Decoded], found: list[Anchored]) -> list[SegmentRecord]:
    return [replace(one.part.record(1001), grades=how.grades) for one, how in zip(made, found, strict=True)]


@BOTH_MODES
def test_a_retake_has_the_corrections_of_the_take_before(mode: Mode, pool: ThreadPoolExecutor) -> None:
    stage = Stage(mode, clip(np.ones_like, contrast=0.2))
    made = generated(stage.truth, creeping, 5)
    frozen = records(made, anchored(guard(stage, pool), made))
    other = generated(stage.truth, stepwise, 5)
    again = anchored(guard(stage, pool, frozen=frozen), other)
    assert records(made, again) == frozen
    third = other[2]
    part = replace(third, first=third.first + 2, frames=third.frames[2:5], head=third.head[:0])
    (alone,) = anchored(guard(stage, pool, frozen=frozen), [part])
    np.testing.assert_array_equal(delivered([part], [alone]), delivered([third], [again[2]])[2:5])
    assert alone.seam is None, "it joins frames that are kept"


@BOTH_MODES
def test_an_extension_goes_on_in_the_colours_of_the_take_before(mode: Mode, pool: ThreadPoolExecutor) -> None:
    stage = Stage(mode, clip(np.ones_like, contrast=0.2))
    made = generated(stage.truth, lambda video, span: stepwise(video, replace(span, index=min(span.index, 3))), 5)
    before = anchored(guard(stage, pool), made)[:-1]
    (new,) = anchored(guard(stage, pool, frozen=records(made[:-1], before)), made[-1:])
    old = delivered(made[-2:-1], before[-1:])
    scene = (slice(None), *stage.hole)
    assert apart(delivered(made[-1:], [new])[scene], old[-1][stage.hole]).max() < 0.5


@BOTH_MODES
def test_broken_pictures_break_no_correction(mode: Mode, pool: ThreadPoolExecutor) -> None:
    stage = Stage(mode, clip(np.ones_like))
    made = generated(stage.truth, lambda video, span: np.where(span.index == 2, np.nan, video), 5)
    for how in anchored(guard(stage, pool), made):
        assert np.isfinite(how.correction).all()
        if how.seam:
            how.seam.dumps()


# --- through a real render ------------------------------------------------------------------------

FRAMES, SEGMENTS = 17, 4


def taken(root: Path, mode: Mode, strength: float) -> tuple[Path, Take]:
    """A render from scratch: the take's folder and the take."""
    settings = replace(QUICK, finish=Finish(seams=strength))
    return run(write_export(root, frames=FRAMES, mode=mode, settings=settings))


def run(folder: Path, retake: Retake | None = None) -> tuple[Path, Take]:
    steps = render(folder, check=lambda: None, retake=retake)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value, Take.loads((end.value / TAKE_FILE).read_bytes())


Both = tuple[Mode, tuple[Path, Take], tuple[Path, Take]]


@pytest.fixture(scope="module", params=list(Mode))
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    """The same shot without and with the guard, neither knowing anything of the other."""
    without, guarded = (taken(tmp_path_factory.mktemp("seams"), request.param, strength) for strength in (0.0, 1.0))
    return request.param, without, guarded


def test_a_take_tells_the_figures_of_every_join_and_the_grades_of_every_segment(both: Both) -> None:
    _, (_, without), (_, take) = both
    for one in (without, take):
        assert len(one.segments) == SEGMENTS
        assert [seam.frame for seam in one.seams] == [record.first for record in one.segments[1:]]
    assert all(seam.colour_before == seam.colour_after for seam in without.seams)
    assert sum(seam.colour_after for seam in take.seams) < sum(seam.colour_before for seam in take.seams)
    assert [seam.colour_before for seam in take.seams] == [seam.colour_before for seam in without.seams]
    for record in take.segments:
        for grade in record.grades:
            assert all(seams.GAINS[0] <= gain <= seams.GAINS[1] for gain in grade.gains)
            assert all(seams.OFFSETS[0] <= offset <= seams.OFFSETS[1] for offset in grade.offsets)
    assert any(grade.gains != (1, 1, 1) for record in take.segments for grade in record.grades)


def test_what_is_stored_and_handed_over_is_the_same_with_and_without_the_guard(both: Both) -> None:
    _, *takes = both
    stores = [folder.parents[1] / "segments" for folder, _ in takes]
    names = [sorted(p.relative_to(store).as_posix() for p in store.rglob("*.npy")) for store in stores]
    assert names[0] == names[1] and len(names[0]) == 3 * SEGMENTS
    for name in names[0]:
        assert (stores[0] / name).read_bytes() == (stores[1] / name).read_bytes(), name


def test_without_strength_the_delivered_frames_are_the_stored_ones(both: Both) -> None:
    mode, (folder, take), (other, _) = both
    layer, differs = ("character" if mode is Mode.REPLACE else "generated"), 0
    for record in take.segments:
        raw = np.load(folder.parents[1] / "segments" / record.key / "frames.npy")
        for number, frame in zip(range(record.first, record.last + 1), raw, strict=True):
            picture = read_picture(folder / layer / f"{number}.png")
            seen = picture.any(-1)  # the character is black where nothing of it is
            np.testing.assert_array_equal(picture[seen], np.rint(frame[seen].astype(np.float32) * 255))
            assert seen.mean() > 0.2
            differs += int((read_picture(other / layer / f"{number}.png") != picture).any())
    assert differs >= FRAMES / 2, "and with it they are others"


@pytest.mark.parametrize("both", [Mode.REPLACE], indirect=True)
def test_the_guard_changes_nothing_outside_of_the_alpha(both: Both) -> None:
    _, (without, take), (guarded, _) = both
    for number in range(take.first, take.last + 1):
        name = f"{number}.png"
        matte, plate = read_picture(guarded / "matte" / name), read_picture(guarded.parents[1] / "e001/plate" / name)
        np.testing.assert_array_equal(matte, read_picture(without / "matte" / name))
        clear = matte[..., 0] == 0
        assert clear.any()
        np.testing.assert_array_equal(read_picture(guarded / "comp" / name)[clear], plate[clear])


def test_a_rendered_retake_keeps_the_grades_and_judges_its_joins_anew(both: Both) -> None:
    _, _, (folder, take) = both
    second, third = take.segments[1:3]
    _, again = run(folder.parents[1] / "e001", Retake(first=second.first, last=third.last, seed=99))
    new = again.segments[len(take.segments) :]
    assert [(record.index, record.grades) for record in new] == [(old.index, old.grades) for old in (second, third)]
    assert new[0].key != second.key
    (old,), (seam,) = ([s for s in one.seams if s.frame == third.first] for one in (take, again))
    assert seam != old
    assert take.seams[-1] in again.seams, "the join behind it is that of kept frames"
