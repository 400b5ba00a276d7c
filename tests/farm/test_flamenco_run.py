"""A strip through Flamenco: sent by a real Blender, its tasks run by a small worker with the real programs."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from wan_animate_blender.farm.flamenco import Manager
from wan_animate_blender.farm.standing import standing
from wan_animate_blender.farm.submission import SENT_FILE, SUBMISSION_FILE, Sent, Submission
from wan_animate_blender.wire import JobState

from .labourer import Labourer
from .manager import FakeManager, variable, worker
from .studio import build, strips_in, take_in

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("bpy") is None or sys.platform == "win32",
    reason="there is no bpy wheel for this Python, or no first line in scripts on this system",
)

TYPES = (("blender",), ("wan-gpu",))


def test_a_strip_goes_through_a_farm_that_knows_its_folders_by_other_names(fake: FakeManager, tmp_path: Path) -> None:
    studio = build(tmp_path / "artist")
    fake.variables = {"linux": {"shared": variable(studio.home.as_posix(), is_twoway=True)}}
    fake.workers = [worker("one", *TYPES[0], *TYPES[1])]
    line = ("submit", "--engine", "flamenco", "--to", fake.url, "--out", studio.home / "shots", "--device", "cpu")
    sent = studio.run(studio.blender, "-b", studio.file, "--command", "wan_animate", *line, "--strip", "hall")
    assert sent.returncode == 0, sent.stdout
    folder = studio.home / "shots" / "farm" / "f001"
    where = Sent.loads((folder / SENT_FILE).read_bytes())
    submission = Submission.loads((folder / SUBMISSION_FILE).read_bytes())

    there = studio.home.rename(tmp_path / "share")  # workers know it by the variable alone
    words = {
        "blender": str(there / "bin" / "blender"), "blenderArgs": "--enable-autoexec",
        "wanAnimate": str(there / "bin" / "wan-animate"), "shared": there.as_posix(),
    }  # fmt: skip
    cpu, gpu = (Labourer(fake, types, words, {"BLENDER_USER_RESOURCES": str(there / "user")}) for types in TYPES)
    for one in (cpu, gpu, cpu):
        one.work(where.job)

    said = standing(Manager(fake.url), where.job, submission)
    assert said.importing is not None and said.importing.state is JobState.DONE, fake.logs
    (shot,) = submission.shots
    assert said.shots[shot.folder].state is JobState.DONE
    assert (cpu.ran, gpu.ran) == ([f"export {shot.folder}", "import"], [f"render {shot.folder}"])
    take, _ = take_in(there / "shots", shot.name)
    shown = strips_in(type(studio)(there), there / "shots" / "farm" / "f001" / "edit_takes.blend")
    assert [one for one in shown.values() if one["files"][0].startswith(str(take))]
