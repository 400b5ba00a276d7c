"""In a real window: the panel Farm lists what would be submitted, and what was stands in the list of jobs.

On demand, as test_overlay.py.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import screen
from installed import build

pytestmark = pytest.mark.window

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Seen:
    facts: dict[str, Any]
    before: np.ndarray
    """The sidebar, RGB."""
    after: np.ndarray


@pytest.fixture(scope="module")
def seen() -> Iterator[Seen]:
    screen.needed()
    with tempfile.TemporaryDirectory(dir=screen.ROOT / "tmp", prefix="wan_animate_window_") as name:
        folder = Path(name)
        screen.build_scene(folder)
        for script in ("submit.py", "stage.py"):
            shutil.copy(HERE / script, folder)
        there = screen.inside(folder)
        variables = {"BLENDER_USER_RESOURCES": f"{there}/resources"}
        said = [f"{name}={value}" for name, value in variables.items()]
        file = screen.inside(build(folder))
        screen.run("env", *said, "blender", "--command", "extension", "install-file", "-r", "user_default", "-e", file)
        words = [f"{there}/scene.blend", "--python", f"{there}/submit.py", "--", there]
        blender = screen.start(folder, *words, variables=variables)
        try:
            before, after = (screen.photograph(folder, name, blender) for name in ("folded", "farm"))
            blender.wait(screen.PATIENCE)
        finally:
            blender.kill()
        place = json.loads((folder / "panel.json").read_text())
        facts = json.loads((folder / "facts.json").read_text())
        yield Seen(facts, screen.cut(before, place), screen.cut(after, place))


def test_a_check_lists_shots_and_what_is_missing(seen: Seen) -> None:
    ((_, words),) = seen.facts["shots"].items()
    assert "5 frames" in words and "14.0 GiB" in words
    assert ["cloth.png" in sentence for sentence in seen.facts["missing"]] == [True]


def test_what_was_submitted_stands_in_the_list_and_the_file_stays_open(seen: Seen) -> None:
    ((_, state, by),) = seen.facts["listed"]
    assert (state, by, seen.facts["file"]) == ("queued", "OpenJD", "scene.blend")


def test_all_of_it_is_seen_in_the_sidebar(seen: Seen) -> None:
    """Letters where before was the empty ground below the buttons."""
    changed = (np.abs(seen.after.astype(int) - seen.before.astype(int)).max(axis=2) > 30).mean()
    assert changed > 0.02


def test_a_worker_without_the_add_on_ends_with_1_and_names_the_command() -> None:
    """By the real executable; the wheel has no `--command` of its own."""
    screen.needed()
    with pytest.raises(subprocess.CalledProcessError) as failure:
        screen.run(
            "blender", "-b", "--factory-startup", "--python-exit-code", "3", "--command", "wan_animate", "export"
        )
    assert failure.value.returncode == 1
    assert b"wan_animate" in failure.value.stdout + failure.value.stderr
