"""Files of a server that change under its hands: made again, or said, and never delivered."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from wan_animate_blender.client import Server
from wan_animate_blender.wire import Job, JobState, Retake, Unavailable

from ..conftest import QUICK, write_export
from ..serving import Running, serving
from .campaign import undisturbed
from .sending import ended, read, sent

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "changed": lambda data: data[:-40] + bytes(40),
    "truncated": lambda data: data[: len(data) // 2],
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("server")) as found:
        yield found


@pytest.fixture(params=DAMAGES)
def damage(request: pytest.FixtureRequest) -> Callable[[Path], None]:
    """Damages a file in place, as a disk does: all its hard links are damaged with it."""

    def do(path: Path) -> None:
        path.write_bytes(DAMAGES[request.param](path.read_bytes()))

    return do


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """A shot that no other test sends."""
    return write_export(tmp_path, settings=replace(QUICK, seed=random.randrange(1 << 30)))


def rendered(running: Running, export: Path) -> Job:
    """What becomes of the shot when it is sent."""
    return running.finished(sent(running, export).id)


def test_a_damaged_blob_fails_its_job_with_a_sentence_and_the_shot_sent_again_is_rendered(
    running: Running, export: Path, damage: Callable[[Path], None]
) -> None:
    truth = undisturbed(export)
    running.upload(export, shot := read(export))
    entry = shot.files["plate/1003.png"]
    damage(running.data / "blobs" / entry.sha256[:2] / entry.sha256)
    first = rendered(running, export)
    if first.state is not JobState.DONE:
        assert first.state is JobState.FAILED
        assert "plate/1003.png" in first.message
        assert "again" in first.message
        first = rendered(running, export)
    assert first.state is JobState.DONE, first.message
    assert running.pictures(first.id) == truth


def test_a_damaged_segment_is_rendered_again(running: Running, export: Path, damage: Callable[[Path], None]) -> None:
    known = set((running.data / "segments").glob("[!.]*"))
    first = rendered(running, export)
    truth = running.pictures(first.id)
    (segment, *_) = set((running.data / "segments").glob("[!.]*")) - known
    damage(segment / "frames.npy")
    again = rendered(running, export)
    assert again.state is JobState.DONE
    assert running.pictures(again.id) == truth
    assert running.take(again.id).seconds.keys() >= {"denoising"}, "what was damaged is computed again"


def test_a_damaged_file_of_a_take_is_never_taken_for_a_whole_one(
    running: Running, export: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    first = rendered(running, export)
    truth = running.pictures(first.id)
    (takes,) = (running.data / "jobs" / first.id).glob("*/takes/v001")
    damage(takes / "comp" / "1003.png")
    server = Server(running.url, running.token)
    with pytest.raises(Unavailable, match=r"comp/1003\.png.*again"):
        ended(server.collect(first.id, tmp_path / "takes"))
    assert not list((tmp_path / "takes").rglob("comp/1003.png")), "it arrives under no name"
    retake = running.finished(server.retake(first.id, Retake(first=1008, last=1009, seed=5)).id)
    assert retake.state is JobState.FAILED, "what is damaged is not built upon"
    assert "1003" in retake.message
    again = rendered(running, export)
    assert running.pictures(again.id) == truth
