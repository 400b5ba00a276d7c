"""A scene through a farm for real: submitted by Blender, exported, rendered and imported by `openjd run`.

Three shots, two marked strips in one scene and one in another; real Blender, the real small model on processors.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from wan_animate_blender import wire
from wan_animate_blender.farm import deadline, openjd
from wan_animate_blender.farm.submission import SUBMISSION_FILE, Submission
from wan_animate_blender.session import Cancelled

from ..serving import held
from .studio import (
    FRAMES,
    LONGEST,
    OPENJD,
    Studio,
    build,
    hashes,
    line,
    processes_about,
    stamps,
    strips_in,
    take_in,
)

pytestmark = pytest.mark.skipif(importlib.util.find_spec("bpy") is None, reason="there is no bpy wheel for this Python")

SHOTS = ("SH010", "SH020", "SH030")
PLATES = {"SH010": ("Edit", "hall", 1), "SH020": ("Edit", "door", 21), "SH030": ("Titles", "stairs", 5)}
"""Scene, strip and first frame on the timeline that each shot was submitted from."""


@dataclass(frozen=True)
class Job:
    """A submission, and what running it has said."""

    studio: Studio
    shots: Path
    said: str = ""

    @property
    def bundle(self) -> Path:
        return self.shots / "farm" / "f001"

    @property
    def result(self) -> Path:
        return self.bundle / "edit_takes.blend"


@pytest.fixture(scope="module")
def submitted(tmp_path_factory: pytest.TempPathFactory) -> Job:
    studio = build(tmp_path_factory.mktemp("studio"))
    job = Job(studio, studio.home / "shots")
    verb = ("--command", "wan_animate", "submit", "--engine", "openjd", "--device", "cpu", "--out", job.shots)
    done = studio.run("blender", "-b", studio.file, "--python-exit-code", "3", *verb, "--to", studio.home / "bundle")
    assert done.returncode == 0, done.stdout
    return job


@pytest.fixture(scope="module")
def finished(submitted: Job) -> Job:
    done = submitted.studio.run(*line(submitted.studio.home / "bundle"))
    assert done.returncode == 0, done.stdout
    return Job(submitted.studio, submitted.shots, done.stdout)


@pytest.fixture
def elsewhere(finished: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Job]:
    """The same submission in another place, exported, of which nothing was rendered yet."""
    job = Job(finished.studio, tmp_path / "shots")
    shutil.copytree(finished.shots, job.shots, ignore=shutil.ignore_patterns("takes", "segments", "edit_takes.*"))
    options = openjd.Options(shots=job.shots, result=job.result, device="cpu")
    openjd.write(Submission.loads((job.bundle / SUBMISSION_FILE).read_bytes()), job.bundle, options)
    for name, value in finished.studio.environment.items():
        monkeypatch.setenv(name, value)
    yield job
    end_all(job)


def end_all(job: Job) -> None:
    """As a machine ends that loses its power: nobody is asked."""
    for process in processes_about(job.shots):
        with contextlib.suppress(psutil.NoSuchProcess):  # it went with another one
            process.kill()
            process.wait(LONGEST)


def result_of(job: Job) -> dict[str, dict[str, object]]:
    """The new strips of the imported edit, by shot."""
    strips = strips_in(job.studio, job.result)
    return {
        name: strip
        for name in SHOTS
        for strip in strips.values()
        if f"/{name}/takes/" in str(strip["files"])
    }  # fmt: skip


# --- undisturbed ----------------------------------------------------------------------------------


def test_marked_strips_of_all_scenes_are_submitted_and_nothing_else_is_written(submitted: Job) -> None:
    asked = Submission.loads((submitted.bundle / SUBMISSION_FILE).read_bytes())
    assert {shot.name: (shot.scene, shot.strip) for shot in asked.shots} == {
        name: (scene, strip) for name, (scene, strip, _) in PLATES.items()
    }
    for name in ("template.json", "parameter_values.json", "asset_references.json"):
        assert (submitted.bundle / name).read_bytes() == (submitted.studio.home / "bundle" / name).read_bytes()


def test_every_submitted_shot_is_rendered_whole(finished: Job) -> None:
    for name in SHOTS:
        folder, take = take_in(finished.shots, name)
        assert (folder.name, take.state, take.last - take.first + 1) == ("v001", wire.TakeState.COMPLETE, FRAMES)
        for path in hashes(finished.shots, name):
            assert (folder / path).is_file()


def test_every_take_lies_on_a_strip_above_the_plate_that_it_was_made_from(finished: Job) -> None:
    strips = strips_in(finished.studio, finished.result)
    new = result_of(finished)
    assert sorted(new) == list(SHOTS)
    for name, strip in new.items():
        scene, plate, first = PLATES[name]
        assert (strip["scene"], strip["first"], strip["end"]) == (scene, first, first + FRAMES)
        assert strip["channel"] > strips[plate]["channel"]
        folder, take = take_in(finished.shots, name)
        assert strip["files"] == [str((folder / path).resolve()) for path in take.sequence("character")]


def test_the_submitted_file_itself_is_left_as_it_was(finished: Job) -> None:
    assert not [
        one for one in strips_in(finished.studio, finished.studio.file).values() if "takes" in str(one["files"])
    ]


def test_the_plate_is_untouched_outside_the_alpha(finished: Job) -> None:
    for name, (_, plate, _) in PLATES.items():
        folder, take = take_in(finished.shots, name)
        for i, (comp, alpha) in enumerate(zip(take.sequence("comp"), take.sequence("matte"), strict=True)):
            shown = cv2.imread(str(folder / comp), cv2.IMREAD_UNCHANGED)[..., :3]
            filmed = cv2.imread(str(finished.studio.home / plate / f"{i + 1:04d}.png"))
            outside = cv2.imread(str(folder / alpha), cv2.IMREAD_UNCHANGED) == 0
            assert 0.1 < outside.mean() < 0.95
            assert np.array_equal(shown[outside], filmed[outside])
            assert not np.array_equal(shown, filmed)


def test_shots_of_one_step_share_a_model_that_ends_with_the_session(finished: Job) -> None:
    assert finished.said.count("openjd_env: WAN_ANIMATE_PRIVATE=") == 1
    assert processes_about(finished.shots) == []
    assert list((finished.studio.home / "tmp" / "OpenJD").iterdir()) == []


def test_a_farm_is_told_how_far_each_task_is(finished: Job) -> None:
    assert len(re.findall(r"\topenjd_progress: 100\.0$", finished.said, re.MULTILINE)) >= 2 * len(SHOTS)


# --- again, and disturbed -------------------------------------------------------------------------


def test_run_again_nothing_is_made_twice(finished: Job) -> None:
    before = {name: stamps(finished.shots / name) for name in SHOTS}
    again = finished.studio.run(*line(finished.bundle))
    assert again.returncode == 0, again.stdout
    assert {name: stamps(finished.shots / name) for name in SHOTS} == before
    assert len(result_of(finished)) == len(SHOTS)


def test_after_a_power_cut_and_with_a_damaged_shot_all_others_come_to_the_same_bits(
    finished: Job, elsewhere: Job
) -> None:
    """The first shot is killed with its server while it renders; of the second one's export the character is lost."""
    render = line(elsewhere.bundle, "--step", "Render_001", "--no-run-dependencies")
    with held(elsewhere.studio.home, frames=5):
        running = elsewhere.studio.start(*render)
        wait_until(lambda: len(list(elsewhere.shots.glob("SH010/takes/v001/character/*.png"))) >= 5, running.poll)
        end_all(elsewhere)
        running.wait(LONGEST)
    _, cut = take_in(elsewhere.shots, "SH010")
    assert cut.state is not wire.TakeState.COMPLETE
    (elsewhere.shots / "SH020" / "e001" / "character.png").unlink()

    said = refusal(elsewhere)
    assert said.startswith("1 of 3 shots failed (SH020/e001: ")
    assert "character.png" in said
    assert "exited with code: 64" in (elsewhere.bundle / "openjd.log").read_text()
    for name in ("SH010", "SH030"):
        assert take_in(elsewhere.shots, name)[1].state is wire.TakeState.COMPLETE
        assert hashes(elsewhere.shots, name) == hashes(finished.shots, name)
    assert sorted(result_of(elsewhere)) == ["SH010", "SH030"]


def refusal(job: Job) -> str:
    """What is said of a run here that does not end well."""
    work = deadline.run_here(OPENJD, job.bundle, Cancelled())
    with pytest.raises(wire.Unavailable) as refused:
        for step in work:
            if step is None:
                time.sleep(0.1)
    return str(refused.value)


def wait_until(is_so: Callable[[], bool], has_ended: Callable[[], int | None]) -> None:
    end = time.monotonic() + LONGEST
    while not is_so():
        assert time.monotonic() < end
        assert has_ended() is None
        time.sleep(0.05)
