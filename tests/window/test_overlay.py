"""In a real window the skeleton lies on the body that was filmed, and the set on the plate.

On demand, with a Python that has bpy (it builds the scene), a Blender with a window and ImageMagick's `import`:

    WAN_ANIMATE_WINDOW="env DISPLAY=:97" python -m pytest -c tests/window/pytest.ini tests/window

`WAN_ANIMATE_WINDOW` goes before both commands (`chroot FOLDER env DISPLAY=:97`), `WAN_ANIMATE_WINDOW_ROOT` is what
they see as `/`. `WAN_ANIMATE_WINDOW_SHEETS` may name a folder for the photographs (see screen.py).
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

pytestmark = pytest.mark.window

HERE = Path(__file__).parent
CANVAS = 640, 360
PICTURES = ("plain", "skeleton", "wipe", "world_plain", "world")


@dataclass(frozen=True)
class Seen:
    """What one Blender showed."""

    facts: dict[str, Any]
    drawn: dict[str, np.ndarray]
    """RGBA over each region, top row first: what the overlay and Blender's own overlays drew."""
    photographs: dict[str, np.ndarray]
    """RGB of the same regions as the screen has them."""


@pytest.fixture(scope="module")
def seen() -> Iterator[Seen]:
    screen.needed()
    with tempfile.TemporaryDirectory(dir=screen.ROOT / "tmp", prefix="wan_animate_window_") as name:
        folder = Path(name)
        screen.build_scene(folder)
        shutil.copytree(HERE.parents[1] / "wan_animate_blender", folder / "wan_animate_blender")
        for script in ("look.py", "stage.py"):
            shutil.copy(HERE / script, folder)
        there = screen.inside(folder)
        blender = screen.start(
            folder, "--factory-startup", f"{there}/scene.blend", "--python", f"{there}/look.py", "--", there
        )
        try:
            photographs = {name: screen.photograph(folder, name, blender) for name in PICTURES}
            blender.wait(screen.PATIENCE)
        finally:
            blender.kill()
        facts = json.loads((folder / "look.json").read_text())
        drawn = {name: np.load(folder / f"{name}.npy") for name in PICTURES}
    yield Seen(facts, drawn, {name: screen.cut(photographs[name], facts[name]) for name in PICTURES})


def mine(seen: Seen, name: str, plain: str) -> np.ndarray:
    """[h, w]: where the overlay drew, and Blender itself did not."""
    return (seen.drawn[name].astype(int) - seen.drawn[plain]).any(axis=2)


def grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    for axis in (0, 1):
        mask = np.any([np.roll(mask, step, axis) for step in range(-pixels, pixels + 1)], axis=0)
    return mask


def body(picture: np.ndarray) -> np.ndarray:
    """Where the capsules are: red and nothing else."""
    red, green, blue = picture.astype(int).transpose(2, 0, 1)
    return (red > 100) & (green < 60) & (blue < 60)


def below_the_neck(mask: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Without head, hands and feet: the skull's capsule is narrower than the face, the others have none."""
    rows, columns = np.nonzero(of)
    keep = np.zeros_like(mask)
    top, bottom = rows.min(), rows.max()
    left, right = columns.min(), columns.max()
    keep[top + (bottom - top) // 4 : bottom + 1, left : right + 1] = True
    return mask & keep


def test_the_skeleton_lies_on_the_body_that_was_filmed(seen: Seen) -> None:
    """Straight bones end where bent capsules do only if lens, time of the rig and place of the picture are all right:
    a frame's difference moves the body by fifteen pixels, its limbs are twenty wide."""
    filmed = body(seen.photographs["plain"])
    assert filmed.sum() > 10_000
    drawn = below_the_neck(mine(seen, "skeleton", "plain"), filmed)
    assert drawn.sum() > 1500
    assert filmed[drawn].mean() > 0.93
    for shift in ((0, 25), (0, -25), (25, 25)):
        assert filmed[np.roll(drawn, shift, (0, 1))].mean() < 0.6


def test_the_skeleton_has_the_models_colours(seen: Seen) -> None:
    colours = seen.drawn["skeleton"][mine(seen, "skeleton", "plain")][:, :3].astype(int)
    for colour in ((255, 0, 0), (255, 170, 0), (0, 255, 0), (0, 255, 255), (0, 85, 255), (0, 0, 255), (255, 0, 255)):
        assert (np.abs(colours - colour).max(axis=1) < 12).sum() > 10, colour


def test_the_wipe_ends_at_the_divider_and_lies_on_the_set(seen: Seen) -> None:
    """The green boxes' silhouettes in the plate are edges of the wipe, left of the divider; right of it is nothing."""
    facts, picture = seen.facts["wipe"], seen.photographs["plain"].astype(int)
    zoom = (facts["far"][0] - facts["middle"][0]) / 10000
    divider = facts["middle"][0] + (0.6 - 0.5) * CANVAS[0] * zoom
    edges = mine(seen, "wipe", "skeleton")
    across = np.nonzero(edges)[1]
    assert across.max() <= divider + 2
    green = (picture[..., 1] > 80) & (picture[..., 0] < 60)
    outline = green & ~np.all([np.roll(green, step, axis) for axis in (0, 1) for step in (-1, 1)], axis=0)
    outline[:, int(divider) - 3 :] = False
    outline &= ~grown(body(seen.photographs["plain"]), 4)  # where the body is in front no outline of a box ends
    assert outline.sum() > 200
    assert grown(edges, 3)[outline].mean() > 0.9


def test_the_3d_view_shows_the_points_at_the_bones(seen: Seen) -> None:
    """The stage stands at another frame than the edit shows, and there its bones are."""
    plain, drawn_over = seen.photographs["world_plain"].astype(int), seen.photographs["world"]
    shown = body(seen.photographs["world_plain"])
    # Blender smooths its grid from drawing to drawing, so that only strong changes are the overlay's
    drawn = below_the_neck((np.abs(plain - drawn_over) > 60).any(axis=2), shown)
    assert drawn.sum() > 500
    assert shown[drawn].mean() > 0.8
    assert shown[np.roll(drawn, 12, 1)].mean() < 0.6


def test_looking_leaves_everything_as_it_is_and_then_rests(seen: Seen) -> None:
    assert seen.facts["frames"] == [12, 141]
    assert seen.facts["place"] == 0.25
    assert seen.facts["scenes"] == ["edit", "stage"]
    assert seen.facts["idle_draws"] == 0


@pytest.mark.parametrize("name", ["skeleton", "wipe", "world"])
def test_drawing_takes_less_than_five_milliseconds(seen: Seen, name: str) -> None:
    """Here by the processor alone, where there is no graphics card."""
    assert seen.facts[name]["ms"] < 5
