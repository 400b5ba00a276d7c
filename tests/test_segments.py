"""The segment plans: every frame once, in order, whatever the shot's length."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from wan_animate_blender.wire import Plan
from wan_animate_server.segments import Span, plan, segment_seed

FRAMES = st.integers(1, 400)
SEGMENTS = st.integers(1, 30).map(lambda n: 4 * n + 1)
OVERLAPS = st.sampled_from([1, 5])
PLANS = st.sampled_from(list(Plan))


@given(FRAMES, SEGMENTS, OVERLAPS, PLANS)
@settings(max_examples=1000)
def test_every_frame_is_delivered_once_and_in_order_by_spans_that_rendered_it(
    frames: int, segment: int, overlap: int, kind: Plan
):
    assume(segment > overlap)
    spans = plan(frames, segment, overlap, kind)
    assert [i for span in spans for i in span.keep] == list(range(frames))
    for span in spans:
        assert span.length % 4 == 1
        assert span.length <= segment
        assert [span.indices(frames)[i - span.first] for i in span.keep] == list(span.keep)


@given(FRAMES, SEGMENTS, OVERLAPS, PLANS)
def test_a_span_starts_with_the_last_frames_that_its_predecessor_delivered(
    frames: int, segment: int, overlap: int, kind: Plan
):
    assume(segment > overlap)
    spans = plan(frames, segment, overlap, kind)
    for before, after in pairwise(spans):
        handed = range(after.first, after.first + overlap)
        assert handed.stop == before.keep.stop == after.keep.start
        assert handed.start >= before.first
        assert after.indices(frames)[:overlap] == list(handed)


@given(FRAMES, SEGMENTS, OVERLAPS)
def test_an_even_plan_has_one_length_and_renders_nothing_beyond_the_shot_but_its_rounding(
    frames: int, segment: int, overlap: int
):
    assume(segment > overlap)
    spans = plan(frames, segment, overlap, Plan.EVEN)
    assert len({span.length for span in spans}) == 1
    end = spans[-1].first + spans[-1].length
    assert end == frames if len(spans) > 1 else frames <= end < frames + 4


@given(FRAMES, SEGMENTS, OVERLAPS)
def test_an_even_plan_renders_no_more_segments_and_frames_than_the_official_one(
    frames: int, segment: int, overlap: int
):
    assume(segment > overlap)
    even, official = (plan(frames, segment, overlap, kind) for kind in (Plan.EVEN, Plan.OFFICIAL))
    assert len(even) == len(official)
    assert all(a.length <= b.length for a, b in zip(even, official, strict=True))


@pytest.mark.parametrize(
    ("frames", "overlap", "segments", "rendered"),
    [(50, 1, 1, 77), (78, 1, 2, 153), (154, 1, 3, 229), (78, 5, 2, 149), (153, 5, 3, 221)],
)
def test_the_official_plan_is_the_released_one(frames: int, overlap: int, segments: int, rendered: int):
    spans = plan(frames, 77, overlap, Plan.OFFICIAL)
    assert [span.first for span in spans] == [k * (77 - overlap) for k in range(segments)]
    assert spans[-1].first + spans[-1].length == rendered


def test_frames_beyond_the_shot_run_back_and_forth_without_repeating_an_end():
    assert Span(0, 0, 13, range(5)).indices(5) == [0, 1, 2, 3, 4, 3, 2, 1, 0, 1, 2, 3, 4]
    assert Span(0, 0, 5, range(1)).indices(1) == [0] * 5


@pytest.mark.parametrize("kind", list(Plan))
@pytest.mark.parametrize("frames", [1, 2, 5])
def test_a_shot_no_longer_than_the_overlap_is_one_segment(kind: Plan, frames: int):
    (span,) = plan(frames, 77, 5, kind)
    assert span.keep == range(frames)


@given(st.integers(0, 2**63 - 1), st.integers(0, 50))
def test_a_segment_has_a_seed_of_its_own_that_every_generator_takes(seed: int, index: int):
    assert 0 <= segment_seed(seed, index) < 2**63
    assert segment_seed(seed, index) == segment_seed(seed, index)
    assert segment_seed(seed, index) not in (segment_seed(seed, index + 1), segment_seed(seed + 1, index))
