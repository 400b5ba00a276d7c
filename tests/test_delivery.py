"""Frames are written beside the render, and `take.json` never lists what is not there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wan_animate_blender.wire import BadInput, Interrupted
from wan_animate_server import delivery, layering, shot
from wan_animate_server.delivery import Delivery
from wan_animate_server.pipeline import Decoded
from wan_animate_server.segments import Part
from wan_animate_server.signals import ShotSignals
from wan_animate_server.take import TakeFolder
from wan_animate_server.video import Picture, write_picture

from .conftest import HEIGHT, WIDTH, Make

FRAMES = 9


@pytest.fixture
def signals(make_shot: Make) -> ShotSignals:
    return ShotSignals(shot.load(make_shot(frames=FRAMES)), WIDTH * HEIGHT)


@pytest.fixture
def take(signals: ShotSignals, tmp_path: Path) -> TakeFolder:
    return TakeFolder.claim(tmp_path / "takes", signals.shot.shot, WIDTH, HEIGHT)


def segment(index: int, first: int, frames: int) -> Decoded:
    made = np.full((frames, HEIGHT, WIDTH, 3), 0.5, np.float16)
    head = made[: min(first, 1)]
    rendered = range(first - len(head), first + frames)
    part = Part(index, tuple(rendered), range(first, first + frames), seed=index, key=f"{index}" * 64)
    return Decoded(index, 2, part, first, made, head, reused=False)


@contextmanager
def delivering(take: TakeFolder, signals: ShotSignals, check: delivery.Check = lambda: None) -> Iterator[Delivery]:
    with Delivery.into(take, take.folder / "preview.mp4", signals, check) as into:
        yield into


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Closed, it holds every picture back from the disk."""
    opened = threading.Event()

    def write(path: Path, picture: Picture, **options: Any) -> None:
        assert opened.wait(20)
        write_picture(path, picture, **options)

    monkeypatch.setattr(layering, "write_picture", write)
    return opened


def test_a_segment_is_listed_only_when_all_of_it_is_written(
    take: TakeFolder, signals: ShotSignals, gate: threading.Event
) -> None:
    with delivering(take, signals) as into:
        into.start(segment(0, 0, 5))
        into.settle()
        assert into.frames == 0 and not take.take.files, "and nobody waited"
        gate.set()
        into.finish()
        assert into.frames == 5
        assert len(take.take.files) == 5 * len(take.take.layers)


def test_the_next_segment_waits_for_the_one_before_it(take: TakeFolder, signals: ShotSignals) -> None:
    with delivering(take, signals) as into:
        into.start(segment(0, 0, 5))
        into.start(segment(1, 5, 4))
        assert into.frames == 5
    assert [record.index for record in take.take.segments] == [0, 1]
    assert (take.folder / "preview.mp4").is_file()


def test_what_cannot_be_written_is_said_and_not_listed(take: TakeFolder, signals: ShotSignals) -> None:
    (take.folder / "comp").rmdir()
    (take.folder / "comp").write_text("in the way")
    with pytest.raises(BadInput), delivering(take, signals) as into:
        into.start(segment(0, 0, 5))
    assert not take.take.files
    assert not (take.folder / "preview.mp4").exists()


def test_an_interruption_does_not_wait_for_frames(take: TakeFolder, signals: ShotSignals) -> None:
    def check() -> None:
        raise Interrupted("stopped")

    with pytest.raises(Interrupted), delivering(take, signals, check) as into:
        into.start(segment(0, 0, 5))
    assert not take.take.files
    assert not list(take.folder.rglob(".*.part"))
