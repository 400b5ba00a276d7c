"""A render that goes on under another plan of execution keeps what is finished, and its take says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from wan_animate_blender.wire import Interrupted, Take, TakeState
from wan_animate_server.render import render
from wan_animate_server.take import newest_take, read_take

from .conftest import Make


@pytest.fixture
def threads() -> Iterator[int]:
    """How many threads compute; whatever a test makes of it is undone."""
    given = torch.get_num_threads()
    yield given
    torch.set_num_threads(given)


def finished(folder: Path) -> Take:
    steps = render(folder, check=lambda: None)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return Take.loads((end.value / "take.json").read_bytes())


def interrupted(folder: Path) -> Take:
    """The take of `folder` of which the first segment is written, and the second is being made."""

    def check() -> None:
        if stop:
            raise Interrupted("enough")

    stop: list[bool] = []
    with pytest.raises(Interrupted):
        for now in render(folder, check=check):
            if now.frames and now.step:
                stop.append(True)
    take = read_take(newest_take(folder.parent / "takes") or folder)
    assert take and take.state is TakeState.PARTIAL
    return take


def test_a_take_that_goes_on_with_other_threads_keeps_its_segments_and_says_mixed(
    make_shot: Make, threads: int
) -> None:
    folder = make_shot()
    before = interrupted(folder)
    torch.set_num_threads(threads + 1)
    take = finished(folder)
    assert take.version == before.version
    assert take.segments[0] == before.segments[0], "it is not made again"
    assert [f"{n} threads" in s.execution for s, n in zip(take.segments, (threads, threads + 1), strict=True)] == [
        True, True
    ]  # fmt: skip
    (note,) = [note for note in take.notes if note.startswith("mixed")]
    assert all(segment.execution in note for segment in take.segments)


@pytest.mark.usefixtures("threads")
def test_a_new_take_is_made_in_one_way_whatever_lies_in_the_store(make_shot: Make) -> None:
    folder = make_shot()
    first = finished(folder)
    torch.set_num_threads(torch.get_num_threads() + 1)
    second = finished(folder)
    assert {s.key for s in first.segments}.isdisjoint(s.key for s in second.segments)
    assert not [note for take in (first, second) for note in take.notes if "mixed" in note]
