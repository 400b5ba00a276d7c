"""In a real window: the panel is seen, Generate is pressed with the mouse, progress is seen and the take imported.

On demand, as test_overlay.py, and with `WAN_ANIMATE_SERVER_PYTHON` for the server (see tests/blender/serving.py). The
edit is pinned in the workspace, while the window shows another scene.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import screen
from installed import build
from serving import serving

pytestmark = pytest.mark.window

HERE = Path(__file__).parent
TAKE = ["SH010 v001 character", 2, 10, 15]
"""Its name, channel and range: those of the strip, which begins at frame 10."""
HIGH = 24
"""Pixels of the highest button at least; others are 20 high."""


@dataclass(frozen=True)
class Seen:
    facts: dict[str, Any]
    place: dict[str, Any]
    """Where the sidebar is."""
    pictures: dict[str, np.ndarray]
    """The whole screen, RGB."""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    screen.needed()
    with (
        tempfile.TemporaryDirectory(dir=screen.ROOT / "tmp", prefix="wan_animate_window_") as name,
        serving(tmp_path_factory.mktemp("server")) as served,
    ):
        folder = Path(name)
        screen.build_scene(folder)
        for script in ("press.py", "stage.py"):
            shutil.copy(HERE / script, folder)
        there = screen.inside(folder)
        variables = {"BLENDER_USER_RESOURCES": f"{there}/resources", "WAN_ANIMATE_TOKEN": served.token}
        install(folder, variables)
        words = [f"{there}/scene.blend", "--python", f"{there}/press.py", "--", there, served.url]
        blender = screen.start(folder, *words, variables=variables)
        try:
            pictures = play(folder, blender)
            blender.wait(screen.PATIENCE)
        finally:
            blender.kill()
        facts, place = (json.loads((folder / file).read_text()) for file in ("facts.json", "panel.json"))
        yield Seen(facts, place, pictures)


def install(folder: Path, variables: dict[str, str]) -> None:
    """The extension, enabled for good: the background Blender that exports has to find it, too."""
    said = [f"{name}={value}" for name, value in variables.items()]
    file = screen.inside(build(folder))
    screen.run("env", *said, "blender", "--command", "extension", "install-file", "-r", "user_default", "-e", file)


def play(folder: Path, blender: Any) -> dict[str, np.ndarray]:
    """Look, and press what an artist would press."""
    pictures = {"panel": screen.photograph(folder, "panel", blender)}
    place = json.loads((folder / "panel.json").read_text())
    screen.click(*generate(pictures["panel"], place))
    for name in ("progress", "imported"):
        pictures[name] = screen.photograph(folder, name, blender)
    timeline = place["left"] - 200, pictures["panel"].shape[0] - place["bottom"] - 120
    screen.run("xdotool", "mousemove", *map(str, timeline), "sleep", "0.5")
    screen.press("ctrl+z")
    screen.await_(folder, "undone", blender)
    (folder / "undone.done").touch()
    screen.press("ctrl+shift+z")
    pictures["german"] = screen.photograph(folder, "german", blender)
    return pictures


def generate(picture: np.ndarray, place: dict[str, Any]) -> tuple[int, int]:
    """The middle of the highest button of the sidebar."""
    panel = screen.cut(picture, place)
    middle = panel[:, panel.shape[1] // 4 : -panel.shape[1] // 4].astype(int)
    button = (np.abs(middle - place["button"]).max(axis=2) < 12).mean(axis=1) > 0.5
    edges = np.flatnonzero(np.diff(np.r_[False, button, False].astype(int)))
    first, end = max(zip(edges[::2], edges[1::2], strict=True), key=lambda run: run[1] - run[0])
    assert end - first >= HIGH, "no high button is seen"
    return place["left"] + panel.shape[1] // 2, picture.shape[0] - place["bottom"] - place["height"] + (
        first + end
    ) // 2


def test_generate_pressed_with_the_mouse_brings_the_take_above_its_strip(seen: Seen) -> None:
    assert seen.facts["takes"] == [TAKE]
    assert "is on channel 2" in seen.facts["said"]


def test_the_window_goes_on_showing_its_own_scene(seen: Seen) -> None:
    assert (seen.facts["scene"], seen.facts["moved"]) == ("stage", 0)


def test_a_bar_grows_while_it_is_rendered(seen: Seen) -> None:
    """Blue as nothing else in the sidebar of an idle Blender."""
    before, bar = (blue(screen.cut(seen.pictures[name], seen.place)) for name in ("panel", "progress"))
    assert bar > before + 1000


def test_the_take_is_seen_in_the_preview(seen: Seen) -> None:
    before, after = (seen.pictures[name][:, : seen.place["left"]].astype(int) for name in ("panel", "imported"))
    assert (np.abs(after - before).max(axis=2) > 30).sum() > 3000


def test_ctrl_z_takes_it_back_in_one_step_and_ctrl_shift_z_brings_it_again(seen: Seen) -> None:
    assert (seen.facts["undone"], seen.facts["redone"]) == ([], [TAKE])


def test_blender_translates_what_is_said(seen: Seen) -> None:
    assert seen.facts["german"] == ["Auf Kanal 2 liegt SH010 v001 character", "Modus"]


def blue(panel: np.ndarray) -> int:
    red, green, colour = panel.astype(int).transpose(2, 0, 1)
    return int(((colour > 140) & (colour > red + 50) & (colour > green + 25)).sum())
