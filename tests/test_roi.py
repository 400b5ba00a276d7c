"""A render of a plate larger than the model's pictures: by a window that follows, from the shot folder to the take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from wan_animate_blender.wire import Finish, Settings, Take
from wan_animate_server.assembly import generate
from wan_animate_server.installed import load_model
from wan_animate_server.pipeline import Decoded, Store, StoredSegment
from wan_animate_server.plan import plan
from wan_animate_server.region import Fit
from wan_animate_server.render import render
from wan_animate_server.segments import plan as spans
from wan_animate_server.shot import load
from wan_animate_server.signals import ShotSignals
from wan_animate_server.window import Window

from .conftest import make_large, write_export

AREA, FRAMES = 96 * 96, 13
WALKING = Settings(steps=2, segment=9, overlap=5, area=AREA, seed=3, relight=0.0, finish=Finish(seams=0.0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody who crosses a 640×360 plate."""
    small = write_export(tmp_path_factory.mktemp("walking"), frames=FRAMES, settings=WALKING)
    return make_large(small, (40, 150), (30, 4))


class Kept(dict[str, StoredSegment], Store):
    """What a render stores, to look at."""

    def put(self, key: str, segment: StoredSegment) -> None:
        self[key] = segment

    def has(self, key: str) -> bool:
        return key in self


@pytest.fixture(scope="module")
def take(folder: Path) -> Path:
    return rendered(folder)


def rendered(folder: Path, **changes: Any) -> Path:
    """The take of the shot in `folder`."""
    steps = render(folder, check=lambda: None, **changes)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def stored(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def frames(folder: Path, take: Path) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Plate, character, alpha and comp of each frame."""
    for number in range(1001, 1001 + FRAMES):
        layers = (take / layer / f"{number}.png" for layer in ("character", "matte", "comp"))
        yield stored(folder / "plate" / f"{number}.png"), *map(stored, layers)


def test_outside_the_alpha_the_comp_is_the_plate_bit_for_bit(folder: Path, take: Path) -> None:
    changed = 0
    for plate, character, alpha, comp in frames(folder, take):
        assert comp.shape == plate.shape == (360, 640, 3)
        np.testing.assert_array_equal(comp[alpha == 0], plate[alpha == 0])
        over = plate.astype(int) * (255 - alpha[..., None]) + character[..., :3].astype(int) * alpha[..., None]
        assert np.abs(comp - over / 255).max() <= 0.5
        changed += np.count_nonzero(comp != plate)
    assert changed > 0


def test_the_numbers_of_the_take_place_the_models_pictures_where_they_are(folder: Path, take: Path) -> None:
    """Somebody with nothing but `take.json` and the model's own pictures makes the same character layer."""
    told = Take.loads((take / "take.json").read_bytes())
    assert told.roi is not None
    model, signals, kept = load_model("puppet", device="cpu"), ShotSignals(load(folder), AREA), Kept()
    made = [e for e in generate(model, signals, WALKING, kept, lambda: None) if isinstance(e, Decoded)]
    assert len(made) > 1
    pictures = np.concatenate([event.frames for event in made]).astype(np.float32)
    size = -(-told.roi.width // told.roi.block) * told.roi.block, -(-told.roi.height // told.roi.block) * told.roi.block
    for i, (_, character, alpha, _) in enumerate(frames(folder, take)):
        large = np.clip(cv2.resize(pictures[i], size, interpolation=cv2.INTER_CUBIC), 0, 1)
        x, y = told.roi.x[i], told.roi.y[i]
        part = np.s_[y : y + told.roi.height, x : x + told.roi.width]
        shown = alpha[part] > 0
        wanted = np.rint(large[: told.roi.height, : told.roi.width][..., ::-1] * 255)[shown]
        np.testing.assert_array_equal(character[part][..., :3][shown], wanted)
        assert np.count_nonzero(alpha) == np.count_nonzero(shown)


def test_two_segments_see_a_frame_that_they_share_through_the_same_window(folder: Path) -> None:
    """It moves on inside the overlap; what one segment hands over lies where the next one is shown plate and pose."""
    first, second = spans(FRAMES, WALKING.segment, WALKING.overlap, WALKING.plan)
    shared = sorted({*first.indices(FRAMES)} & {*second.indices(FRAMES)})
    giving, taking = ShotSignals(load(folder), AREA), ShotSignals(load(folder), AREA)
    handed = {i: (giving.plate(i), giving.mask(i), giving.pose(i)) for i in first.indices(FRAMES)}
    shown = {i: (taking.plate(i), taking.mask(i), taking.pose(i)) for i in second.indices(FRAMES)}
    assert len(shared) >= WALKING.overlap
    for i in shared:
        for given, expected in zip(handed[i], shown[i], strict=True):
            np.testing.assert_array_equal(given, expected)
        beside = taking.windows[i - 1].picture(taking.shot.plate(i))
        assert (beside != shown[i][0]).any()


def test_the_plan_counts_with_the_windows_size(folder: Path) -> None:
    needs, signals = plan(folder, "cpu").needs, ShotSignals(load(folder), AREA)
    assert (needs.width, needs.height) == (signals.width, signals.height)
    frame = Fit.choose(640, 360, AREA)
    assert (needs.width, needs.height) != (frame.width, frame.height)


def test_the_take_tells_every_window(folder: Path, take: Path) -> None:
    roi, signals = Take.loads((take / "take.json").read_bytes()).roi, ShotSignals(load(folder), AREA)
    assert roi is not None
    fit = Fit(roi.width, roi.height, roi.block)
    assert tuple(Window(640, 360, x, y, fit) for x, y in zip(roi.x, roi.y, strict=True)) == signals.windows


def test_an_extension_goes_on_from_the_windows_of_its_take(tmp_path: Path) -> None:
    """A longer shot of its own would be seen through other windows; the kept frames keep theirs, and their bits."""
    short, long = (
        make_large(write_export(tmp_path / name, frames=n, settings=WALKING), (40, 150), (30, 4))
        for name, n in (("short", 5), ("long", 9))
    )
    base = rendered(short)
    made = rendered(long, takes=base.parent, base=base)
    one, other = (Take.loads((folder / "take.json").read_bytes()) for folder in (base, made))
    assert one.roi and other.roi
    assert (other.roi.width, other.roi.block) == (one.roi.width, one.roi.block)
    assert (other.roi.x[:5], other.roi.y[:5]) == (one.roi.x, one.roi.y)
    assert other.roi.x[-1] > one.roi.x[-1]
    assert ShotSignals(load(long), AREA).roi != other.roi
    for path, entry in one.files.items():
        if path.endswith(".png"):
            assert other.files[path] == entry
    alpha = stored(made / "matte" / "1009.png")
    outside = alpha.copy()
    x, y = other.roi.x[8], other.roi.y[8]
    outside[y : y + other.roi.height, x : x + other.roi.width] = 0
    assert alpha.any()
    assert not outside.any()
