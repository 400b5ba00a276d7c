"""A character gets grain and softness of its plate, and an alpha of its own over a clean plate; by whole takes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import OpenEXR
import pytest

from wan_animate_blender.wire import (
    FIRST_FRAME,
    SHOT_FILE,
    Alpha,
    BadInput,
    Belonging,
    Encoding,
    Extra,
    Finish,
    Format,
    Grain,
    Raster,
    RasterKind,
    Retake,
    Shot,
    Take,
    frame_name,
    list_files,
)
from wan_animate_server import belonging, shot
from wan_animate_server import grain as grains
from wan_animate_server.evaluate.contest import lent
from wan_animate_server.render import render
from wan_animate_server.signals import ShotSignals
from wan_animate_server.video import read_picture, write_picture

from .conftest import QUICK, Make, make_light, write_shot
from .delivering import delivered, layer, said
from .test_grain import lags
from .trained import untrained

WIDTH, HEIGHT, FRAMES = 448, 320, 5
NOISE = 0.02
HALF = NOISE * 0.5
"""What the model makes of grain itself in some of these tests."""

Floats = np.ndarray[Any, np.dtype[np.float32]]
Finished = Callable[..., ShotSignals]


def wall() -> Floats:
    """Soft stripes and shelves with hard edges."""
    across = np.linspace(0, 6, WIDTH, dtype=np.float32)[None, :, None]
    soft = 0.45 + 0.08 * np.sin(across) * np.float32([1, 0.8, 0.6])
    whole = np.broadcast_to(soft, (HEIGHT, WIDTH, 3)).copy()
    for i, row in enumerate(range(20, HEIGHT, 60)):
        whole[row : row + 24, 10 : WIDTH - 10] += np.float32(0.18 if i % 2 else -0.15)
    return whole


def noise(seed: int, shape: tuple[int, ...] = (HEIGHT, WIDTH, 3)) -> Floats:
    """Grain over about two pixels, of variance 1."""
    field = np.random.default_rng(seed).standard_normal((shape[0] + 16, shape[1] + 16, 3), np.float32)
    soft = cv2.GaussianBlur(field, (0, 0), 0.7)[8:-8, 8:-8]
    return np.asarray(soft / soft.std(), np.float32)


def region() -> Floats:
    """Alpha of a person's room: hard but for the feather that the server gives it."""
    found = np.zeros((HEIGHT, WIDTH), np.uint8)
    found[40:280, 140:320] = 255
    return found


def disc() -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Where the character is that the played model makes."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.hypot(x - 230, y - 160) < 60


@pytest.fixture
def finished(make_shot: Make) -> Finished:
    """`finished(blur=0, noisy=NOISE, clean=False, light=False, **finish)`: signals of an export."""

    def make(
        blur: float = 0.0, noisy: float = NOISE, clean: bool = False, light: bool = False, **finish: Any
    ) -> ShotSignals:
        folder = make_shot(frames=FRAMES)
        plate = cv2.GaussianBlur(wall(), (0, 0), blur) if blur else wall()
        for i in range(FRAMES):
            name = frame_name(FIRST_FRAME + i, "png")
            seen = plate + np.float32(noisy) * noise(i)
            seen[60:260, 200:260] = (0.8, 0.2, 0.2)  # the old person
            store(folder / "plate" / name, seen)
            write_picture(folder / "matte" / name, np.pad(np.full((200, 60), 255, np.uint8), ((60, 60), (200, 188))))
            (folder / "region").mkdir(exist_ok=True)
            write_picture(folder / "region" / name, region())
            if clean:
                (folder / "cleanplate").mkdir(exist_ok=True)
                store(folder / "cleanplate" / name, plate + np.float32(noisy) * noise(i + 50))
        described = Shot.loads((folder / SHOT_FILE).read_bytes())
        write_shot(
            folder,
            replace(
                described, raster=Raster(kind=RasterKind.SOURCE, width=WIDTH, height=HEIGHT),
                files=list_files(folder, {SHOT_FILE}), settings=replace(QUICK, finish=Finish()),
            ),
        )  # fmt: skip
        if light:
            make_light(folder)
        described = Shot.loads((folder / SHOT_FILE).read_bytes())
        write_shot(folder, replace(described, settings=replace(QUICK, finish=Finish(seams=0, **finish))))
        return ShotSignals(shot.load(folder), WIDTH * HEIGHT)

    return make


def store(path: Path, picture: Floats) -> None:
    write_picture(path, np.rint(picture.clip(0, 1) * 255).astype(np.uint8))


def played(
    grain: float = 0.0, blur: float = 0.0, background: Floats | None = None
) -> np.ndarray[Any, np.dtype[np.float16]]:
    """What a model might make: a disc with soft shading and a few hard panels before the wall."""
    made = np.repeat((wall() if background is None else background)[None], FRAMES, axis=0)
    shade = np.linspace(0.55, 0.62, WIDTH, dtype=np.float32)[None, :, None] * np.float32([0.6, 1.0, 0.9])
    made[:, disc()] = np.broadcast_to(shade, (HEIGHT, WIDTH, 3))[disc()]
    made[:, 110:125, 205:255] = made[:, 195:210, 205:255] = 0.2
    made = np.stack([cv2.GaussianBlur(one, (0, 0), blur) if blur else one for one in made])
    return (
        np.stack([one + np.float32(grain) * noise(i + 90) for i, one in enumerate(made)]).clip(0, 1).astype(np.float16)
    )


def smooth(picture: np.ndarray[Any, Any]) -> Floats:
    """A part of the character that has neither edge nor pattern, less its slope."""
    part = picture[130:190, 195:265, :3].astype(np.float32)
    return np.asarray(part - cv2.GaussianBlur(part, (0, 0), 12), np.float32)


# --- grain ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("own", [0.0, HALF])
def test_the_character_has_as_much_grain_as_its_plate_and_of_the_same_kind(finished: Finished, own: float) -> None:
    folder = delivered(finished(grain=1.0, format=Format.PNG16), played(grain=own))
    parts = [smooth(layer(folder, "character", i)) / 65535 for i in range(FRAMES)]
    assert np.std(parts) == pytest.approx(NOISE, rel=0.15)
    known = np.mean([lags(noise(i)[..., 0]) for i in range(4)], axis=0)
    found = np.mean([lags(part[..., c]) for part in parts for c in range(3)], axis=0)
    if not own:
        np.testing.assert_allclose(found, known, rtol=0.15, atol=0.03)


def test_take_json_says_what_was_measured(finished: Finished) -> None:
    take = said(delivered(finished(grain=0.5), played()))
    assert take.belonging and take.belonging.grain
    for channel in range(3):
        np.testing.assert_allclose(take.belonging.grain.noise[channel], NOISE, rtol=0.15)
    assert Take.from_json(take.to_json()) == take


def test_grain_comes_in_the_strength_that_is_chosen_and_not_where_nothing_is_made(finished: Finished) -> None:
    signals = finished(grain=0.5, layers=(Extra.UNGRAINED,))
    folder = delivered(signals, played())
    character, bare = (cv2.imread(str(folder / name / "1001.png"), -1) for name in ("character", "ungrained"))
    np.testing.assert_array_equal(character[..., 3], bare[..., 3])
    inside = character[..., 3] == 255
    added = character[inside][:, :3].astype(float) - bare[inside][:, :3]
    assert added.std() / 255 == pytest.approx(0.5 * NOISE, rel=0.15)
    nothing = character[..., 3] == 0
    comp, plate = layer(folder, "comp"), signals.shot.stored_plate(0)
    np.testing.assert_array_equal(comp[nothing], plate[nothing])
    np.testing.assert_array_equal(comp[inside][:, ::-1], character[inside][:, :3])


def test_grain_is_the_same_on_every_run_and_another_in_every_frame(finished: Finished) -> None:
    signals, made = finished(grain=1.0), played()
    folders = [delivered(signals, made) for _ in range(2)]
    assert said(folders[0]).version != said(folders[1]).version
    for i in range(FRAMES):
        first, second = (folder / f"character/{FIRST_FRAME + i}.png" for folder in folders)
        assert first.read_bytes() == second.read_bytes()
    frames = [smooth(layer(folders[0], "character", i)) for i in (0, 1)]
    assert abs(np.corrcoef(*(frame.ravel() for frame in frames))[0, 1]) < 0.1


def test_without_grain_a_take_is_what_it_was(finished: Finished) -> None:
    signals = finished()
    folder = delivered(signals, played())
    assert said(folder).belonging is None
    np.testing.assert_array_equal(
        layer(folder, "character")[..., :3][disc()], np.rint(played()[0][disc()].astype(np.float32) * 255)
    )


def test_a_plate_of_light_gives_its_grain_as_light(finished: Finished) -> None:
    signals = finished(grain=1.0, light=True, layers=(Extra.UNGRAINED,))
    folder = delivered(signals, played())
    record = said(folder).belonging
    assert record and record.grain
    added = []
    for i in range(FRAMES):
        grained, bare = (read(folder / f"{name}/{FIRST_FRAME + i}.exr") for name in ("character", "ungrained"))
        added.append((grained - bare)[135:185, 200:260, 1])
    level = bare[135:185, 200:260, 1].mean()
    assert np.std(added) == pytest.approx(float(grains.deviation(record.grain, 1, level)), rel=0.15)
    encoded = 1.055 * level ** (1 / 2.4) - 0.055
    slope = ((encoded + 1 / 255 + 0.055) / 1.055) ** 2.4 - level
    assert np.std(added) == pytest.approx(NOISE * slope * 255, rel=0.15), "the known noise through sRGB's curve"


def read(path: Path) -> Floats:
    return np.asarray(OpenEXR.File(str(path)).channels()["RGBA"].pixels, np.float32)


# --- sharpness --------------------------------------------------------------------------------------


@pytest.mark.parametrize("blur", [1.5, 2.5])
def test_a_character_that_is_sharper_than_its_plate_gets_as_soft(finished: Finished, blur: float) -> None:
    signals = finished(blur=blur, noisy=0.004, match_sharpness=True)
    folder = delivered(signals, played(blur=0.6))
    record = said(folder).belonging
    assert record and record.softness == pytest.approx(blur, rel=0.15)
    again = belonging.measure(signals, 0, np.stack([layer(folder, "comp", i) / 255 for i in range(FRAMES)]))
    assert again.softness_made == pytest.approx(blur, rel=0.15)


def test_a_character_that_is_softer_than_its_plate_is_left_as_it_is(finished: Finished) -> None:
    made = played(blur=2.0)
    folder = delivered(finished(noisy=0.004, match_sharpness=True), made)
    record = said(folder).belonging
    assert record and record.softness and record.softness_made
    assert record.softness_made > record.softness and record.softening == 0
    shown = layer(folder, "character")
    inside = shown[..., 3] == 255
    np.testing.assert_array_equal(shown[inside][:, :3], np.rint(made[0][inside].astype(np.float32) * 255))


# --- an alpha of the character's own ------------------------------------------------------------------


def drifted(grain: float) -> np.ndarray[Any, np.dtype[np.float16]]:
    """What a model makes whose background is a little off the clean plate."""
    return played(grain=grain, background=wall() * np.float32(1.01))


def test_the_alpha_is_the_character_and_the_clean_plate_shows_beside_it(finished: Finished) -> None:
    signals = finished(clean=True, alpha=Alpha.DIFFERENCE)
    folder = delivered(signals, drifted(0.01))
    assert said(folder).layers == ("background", "character", "matte", "comp")
    region, plate = signals.alpha(0), signals.shot.stored_plate(0)
    for i in range(FRAMES):
        shown = layer(folder, "character", i)[..., 3] > 127
        assert (shown & disc()).sum() / (shown | disc()).sum() >= 0.95
    comp, background = layer(folder, "comp"), layer(folder, "background")
    np.testing.assert_array_equal(comp[region == 0], plate[region == 0])
    np.testing.assert_array_equal(background[region == 0], plate[region == 0])
    beside = (region == 255) & (cv2.dilate(disc().astype(np.uint8), np.ones((13, 13))) == 0)
    clean = signals.shot.stored_clean(0)
    assert (comp[beside] == clean[beside]).mean() > 0.999
    assert (beside & (signals.matte(0) > 0)).sum() > 1000, "the old person is gone where nobody new stands"


def test_no_seam_of_another_colour_runs_around_the_character(finished: Finished) -> None:
    signals = finished(clean=True, noisy=0.0, alpha=Alpha.DIFFERENCE)
    comp = layer(delivered(signals, drifted(0.0)), "comp").astype(int)
    wide = cv2.dilate(disc().astype(np.uint8), np.ones((9, 9))) > 0
    rim = wide & ~disc() & (cv2.erode(disc().astype(np.uint8), np.ones((9, 9))) == 0)
    true = np.rint(wall() * 255)
    assert np.abs(comp[rim] - true[rim]).max() <= 4, "1 % of drift is 3 levels of 255"


def test_the_comp_is_the_character_over_the_background(finished: Finished) -> None:
    folder = delivered(finished(clean=True, alpha=Alpha.DIFFERENCE), drifted(0.01))
    character, background, comp = (layer(folder, name).astype(float) for name in ("character", "background", "comp"))
    opacity = character[..., 3:] / 255
    assert 0.001 < ((opacity > 0) & (opacity < 1)).mean() < 0.05, "its edge is soft"
    assert np.abs(background * (1 - opacity) + character[..., :3] * opacity - comp).max() <= 0.5 + 1e-6


def test_the_edge_of_someone_who_stands_still_does_not_flicker(finished: Finished) -> None:
    folder = delivered(finished(clean=True, alpha=Alpha.DIFFERENCE), drifted(0.01))
    alphas = np.stack([layer(folder, "matte", i) for i in range(FRAMES)]).astype(float) / 255
    assert alphas.std(axis=0).mean() < 0.002
    assert alphas.std(axis=0)[cv2.erode(disc().astype(np.uint8), np.ones((9, 9))) > 0].max() == 0


def test_a_plate_of_light_has_a_background_of_light(finished: Finished, tmp_path: Path) -> None:
    signals = finished(clean=True, alpha=Alpha.REGION)
    folder = signals.shot.folder
    for sequence in ("plate", "cleanplate"):
        for file in (folder / sequence).glob("*.png"):
            write_picture(file.with_suffix(".exr"), (read_picture(file) / np.float32(255)).astype(np.float16))
            file.unlink()
    described = Shot.loads((folder / SHOT_FILE).read_bytes())
    colour = replace(described.colour, encoding=Encoding.LINEAR)
    settings = replace(QUICK, finish=Finish(alpha=Alpha.DIFFERENCE))
    write_shot(folder, replace(described, colour=colour, settings=settings, files=list_files(folder, {SHOT_FILE})))
    signals = ShotSignals(shot.load(folder), WIDTH * HEIGHT)
    take = delivered(signals, drifted(0.0))
    background, plate = read_picture(take / "background/1001.exr"), signals.shot.stored_plate(0)
    region = signals.alpha(0)
    np.testing.assert_array_equal(background[region == 0], plate[region == 0])
    np.testing.assert_array_equal(background[region == 255], signals.shot.stored_clean(0)[region == 255])


def test_without_a_clean_plate_that_is_refused_in_a_sentence(finished: Finished) -> None:
    with pytest.raises(BadInput, match="has no cleanplate frames, an alpha by difference needs one for each of its 5"):
        finished(alpha=Alpha.DIFFERENCE)


def test_a_clean_plate_changes_no_segment(finished: Finished) -> None:
    signals = finished(clean=True)
    folder = signals.shot.folder
    shutil.rmtree(folder / "cleanplate")
    write_shot(folder, replace(signals.shot.shot, files=list_files(folder, {SHOT_FILE})))
    without = ShotSignals(shot.load(folder), WIDTH * HEIGHT)
    assert not without.has_clean
    assert without.digest(range(FRAMES)) == signals.digest(range(FRAMES))


# --- what comes later ---------------------------------------------------------------------------------


def rendered(folder: Path, **asked: Any) -> Path:
    """The take folder of a whole render."""
    steps = render(folder, check=lambda: None, **asked)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return Path(end.value)


@pytest.fixture
def noisy(tmp_path: Path) -> Iterator[None]:
    """The small model before any training, whose pictures are of middling light everywhere."""
    with lent(untrained(tmp_path / "puppet")):
        yield


@pytest.mark.usefixtures("noisy")
def test_a_retake_and_its_new_grain_keep_what_the_take_has_measured(make_shot: Make) -> None:
    finish = Finish(grain=1.0, seams=0, layers=(Extra.UNGRAINED,))
    folder = make_shot(frames=5, settings=replace(QUICK, finish=finish))
    first = rendered(folder)
    assert said(first).belonging
    known = Grain(
        levels=((0.5,),) * 3, noise=((0.05,),) * 3, across=((0.0,),) * 3, down=((0.0,),) * 3,
        between=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    )  # fmt: skip
    measured = replace(said(first), belonging=Belonging(grain=known))
    (first / "take.json").write_text(measured.dumps(), encoding="utf-8")
    again = rendered(folder, base=first, retake=Retake(first=FIRST_FRAME, last=FIRST_FRAME + 4))
    assert said(again).belonging == measured.belonging
    grained, bare = (
        cv2.imread(str(again / name / "1003.png"), -1).astype(float) for name in ("character", "ungrained")
    )
    middling = (bare[..., 3] == 255) & (bare[..., :3].min(axis=-1) > 50) & (bare[..., :3].max(axis=-1) < 205)
    assert middling.sum() > 100
    assert (grained - bare)[middling][:, :3].std() / 255 == pytest.approx(0.05, rel=0.15)


def test_a_plate_too_small_to_tell_gets_no_grain_and_that_is_said(make_shot: Make) -> None:
    take = rendered(make_shot(frames=2, settings=replace(QUICK, finish=Finish(grain=1.0, match_sharpness=True))))
    assert said(take).belonging == Belonging()
    assert any(note.startswith("the plate's grain was not measured") for note in said(take).notes)
    assert any(note.startswith("plate or character show too few edges") for note in said(take).notes)
