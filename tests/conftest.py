"""Shot folders as Blender exports them, small, for every test that needs one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as effort

from wan_animate_blender.wire import (
    FIRST_FRAME,
    POSE_FILE,
    SHOT_FILE,
    Colour,
    Encoding,
    FrameRow,
    Mode,
    Raster,
    RasterKind,
    Settings,
    Shot,
    Take,
    frame_name,
    list_files,
)
from wan_animate_server.video import write_picture

# As the command line does it; tests that run side by side would otherwise spin on each other's cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# What commands say is read here, not seen: no colours and no width of whoever started the tests.
for _ in ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "COLUMNS", "TERMINAL_WIDTH"):
    os.environ.pop(_, None)

# A property is asked the same examples every time, so that no change is blamed for what chance found; whoever wants to
# find more runs `pytest --hypothesis-profile search`. How long an example takes says something of the machine only.
_PATIENT = effort(deadline=None, suppress_health_check=[HealthCheck.too_slow])
effort.register_profile("steady", _PATIENT, derandomize=True, database=None)
effort.register_profile("search", _PATIENT, derandomize=False, print_blob=True)
effort.load_profile("steady")

WIDTH, HEIGHT = 64, 48

Make = Callable[..., Path]


QUICK = Settings(steps=2, segment=5, overlap=1, area=WIDTH * HEIGHT, seed=7)
"""Two steps and segments of five frames: 9 frames are two segments, 13 are three."""


def write_export(root: Path, frames: int = 9, mode: Mode = Mode.REPLACE, **changes: Any) -> Path:
    """Write a complete export below `root` and return its folder; `changes` are fields of its `Shot`."""
    folder = root / "SH010" / "e001"
    _write_pictures(folder, frames)
    rows = tuple(FrameRow(shot=FIRST_FRAME + i, timeline=i + 10.0, source=float(i), rig=1.0 + i) for i in range(frames))
    shot = Shot(
        name="SH010", strip="strip-1", mode=mode, frames=rows, cut_in=rows[0].shot, cut_out=rows[-1].shot,
        fps=Fraction(24), raster=Raster(kind=RasterKind.SOURCE, width=WIDTH, height=HEIGHT),
        settings=QUICK, files=list_files(folder),
    )  # fmt: skip
    write_shot(folder, replace(shot, **changes))
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A real browser for all tests of pages, one for all: Playwright runs once in a process."""
    from .browsing import started  # only tests of pages need Playwright

    with started() as one:
        yield one


@pytest.fixture
def make_shot(tmp_path: Path) -> Make:
    """`make_shot(frames=9, mode=Mode.REPLACE, **changes)` is `write_export` below the test's own folder, or `root`."""

    def make(*given: Any, root: Path = tmp_path, **changes: Any) -> Path:
        return write_export(root, *given, **changes)

    return make


@pytest.fixture
def shot(make_shot: Make) -> Shot:
    """The message of a complete export in replace mode."""
    return Shot.loads((make_shot() / SHOT_FILE).read_bytes())


def write_shot(folder: Path, shot: Shot) -> None:
    (folder / SHOT_FILE).write_text(shot.dumps(), encoding="utf-8")


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """SHA-256 of every frame of the default shot, rendered without a server and in one go."""
    folder = write_export(tmp_path_factory.mktemp("undisturbed"))
    done = subprocess.run(command("render", folder, "--json"), capture_output=True, check=True)
    *progress, last = map(json.loads, done.stdout.splitlines())
    assert [now["progress"] for now in progress][-1] == 1.0
    take = Take.loads((Path(last["take"]) / "take.json").read_bytes())
    return {path: take.files[path].sha256 for layer in take.layers for path in take.sequence(layer)}


def command(*arguments: str | Path) -> list[str]:
    """The words that run `wan-animate` in a process of its own."""
    return [sys.executable, "-m", "wan_animate_server", *map(str, arguments)]


def relist_files(folder: Path) -> None:
    """List the files anew, as an export that was damaged from the start would have."""
    data = json.loads((folder / SHOT_FILE).read_text(encoding="utf-8"))
    data["files"] = {path: entry.to_json() for path, entry in list_files(folder, {SHOT_FILE}).items()}
    (folder / SHOT_FILE).write_text(json.dumps(data), encoding="utf-8")


def make_light(folder: Path, space: str = "Linear Rec.709", kind: type = np.float16) -> Path:
    """Turn the plate of the export in `folder` into scene-linear EXR in `space`: a lamp, and what is no colour at all.

    The lamp is 10 pixels high, at the top, up to 40 times brighter than white. Row 0 begins with NaN, an infinity and a
    negative number, three pixels each.
    """
    for file in sorted((folder / "plate").glob("*.png")):
        picture = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB).astype(np.float32) / 255
        light = np.where(picture <= 0.04045, picture / 12.92, ((picture + 0.055) / 1.055) ** 2.4)
        light[:10] *= 40
        light[0, :9] = np.repeat([np.nan, np.inf, -0.25], 3)[:, None]
        write_picture(file.with_suffix(".exr"), light.astype(kind))
        file.unlink()
    shot = Shot.loads((folder / SHOT_FILE).read_bytes())
    colour = Colour(encoding=Encoding.LINEAR, working_space=space, view="AgX")
    write_shot(folder, replace(shot, colour=colour, files=list_files(folder, {SHOT_FILE})))
    return folder


def make_large(folder: Path, corner: tuple[int, int], step: tuple[int, int] = (0, 0)) -> Path:
    """Put the pictures of the export in `folder` on a blotchy 640×360 plate, at `corner`, `step` further each frame."""
    with np.load(folder / POSE_FILE) as arrays:
        keypoints, boxes = arrays["keypoints"], arrays["face_box"]
    blotches = np.random.default_rng(2).integers(20, 235, (30, 54, 3), np.uint8)
    wall = cv2.resize(blotches, (640, 360), interpolation=cv2.INTER_LINEAR)
    for i in range(len(keypoints)):
        x, y = corner[0] + i * step[0], corner[1] + i * step[1]
        move = np.float32([[1, 0, x], [0, 1, y]])
        for layer, ground in (("plate", wall), ("matte", np.uint8([0]))):
            path = str(folder / layer / frame_name(FIRST_FRAME + i, "png"))
            small = cv2.imread(path, cv2.IMREAD_UNCHANGED)
            large = np.broadcast_to(ground, (360, 640, *small.shape[2:])).copy()
            cv2.warpAffine(small, move, (640, 360), large, cv2.INTER_NEAREST, cv2.BORDER_TRANSPARENT)
            cv2.imwrite(path, large)
        keypoints[i, :, :2] += (x, y)
        boxes[i] += (x, y, x, y)
    np.savez(folder / POSE_FILE, keypoints=keypoints, face_box=boxes)
    shot = Shot.loads((folder / SHOT_FILE).read_bytes())
    raster = replace(shot.raster, width=640, height=360)
    write_shot(folder, replace(shot, raster=raster, files=list_files(folder, {SHOT_FILE})))
    return folder


@pytest.fixture
def relist() -> Callable[[Path], None]:
    return relist_files


def _write_pictures(folder: Path, frames: int) -> None:
    """A body that walks to the right before a gradient with grain, its matte, its pose and a character."""
    random = np.random.default_rng(1)
    gradient = np.linspace(40, 200, WIDTH, dtype=np.float32)[None, :, None].repeat(HEIGHT, 0).repeat(3, 2)
    poses = np.zeros((frames, 133, 3), np.float32)
    for layer in ("plate", "matte"):
        (folder / layer).mkdir(parents=True)
    for i in range(frames):
        left = 12 + i
        plate = (gradient + random.normal(0, 4, gradient.shape)).clip(0, 255).astype(np.uint8)
        matte = np.zeros((HEIGHT, WIDTH), np.uint8)
        cv2.rectangle(matte, (left, 8), (left + 14, 42), 255, -1)
        plate[matte > 0] = (60, 90, 160)
        name = frame_name(FIRST_FRAME + i, "png")
        cv2.imwrite(str(folder / "plate" / name), plate)
        cv2.imwrite(str(folder / "matte" / name), matte)
        poses[i] = _pose(left + 7.0)
    np.savez(folder / POSE_FILE, keypoints=poses, face_box=np.tile(np.float32([20, 8, 34, 20]), (frames, 1)))
    character = np.full((80, 60, 3), 30, np.uint8)
    cv2.ellipse(character, (30, 40), (15, 34), 0, 0, 360, (40, 200, 90), -1)
    cv2.imwrite(str(folder / "character.png"), character)


def _pose(middle: float) -> np.ndarray[Any, Any]:
    """A standing figure: body, feet, face and hands of 133 points around the column `middle`."""
    body = [(0, 12), (1, 11), (-1, 11), (2, 12), (-2, 12), (5, 17), (-5, 17), (6, 23), (-6, 23), (6, 28), (-6, 28),
            (3, 28), (-3, 28), (3, 35), (-3, 35), (3, 41), (-3, 41)]  # fmt: skip
    feet = [(5, 42), (4, 42), (2, 42), (-5, 42), (-4, 42), (-2, 42)]
    turn = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    face = np.stack((3 * np.cos(turn), 12 + 4 * np.sin(turn)), 1)
    hands = [(side * (6 + k % 3), 28 + k / 7) for side in (1, -1) for k in range(21)]
    points = np.concatenate((body, feet, face, hands)).astype(np.float32) + np.float32([middle, 0.5])
    return np.concatenate((points, np.ones((133, 1), np.float32)), 1)
