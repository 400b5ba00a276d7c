"""The old actor's shadow stays on the floor when he is gone, where an effects matte asks for it, and nowhere else."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import OpenEXR
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wan_animate_blender.wire import (
    FIRST_FRAME,
    POSE_FILE,
    SHOT_FILE,
    Alpha,
    BadInput,
    Belonging,
    Colour,
    Encoding,
    Extra,
    Finish,
    Mode,
    Raster,
    RasterKind,
    Shot,
    frame_name,
    list_files,
)
from wan_animate_server import effects, lab, shot
from wan_animate_server.colour import Space
from wan_animate_server.configuration import LIGHT
from wan_animate_server.signals import ShotSignals
from wan_animate_server.video import read_grey, read_picture, write_picture

from .conftest import QUICK, Make, write_shot
from .delivering import delivered, layer, said

WIDTH, HEIGHT, FRAMES = 320, 240, 3
GRAIN = 0.004

Floats = np.ndarray[Any, np.dtype[np.float32]]
Export = Callable[..., Path]


def srgb(light: Floats) -> Floats:
    """IEC 61966-2-1."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 0) ** (1 / 2.4) - 0.055)


def floor() -> Floats:
    """Light of boards of two colours, brighter to the right."""
    boards = np.where(np.arange(HEIGHT)[:, None, None] // 12 % 2, (0.35, 0.25, 0.15), (0.30, 0.22, 0.14))
    return np.asarray(boards * np.linspace(0.7, 1.3, WIDTH)[None, :, None], np.float32)


def shadow() -> Floats:
    """How much light is left: a soft shadow with a bluish tint, from the actor's feet to the right."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    depth = np.exp(-(((x - 185) / 55) ** 2 + ((y - 175) / 22) ** 2))
    return np.asarray(1 - depth[..., None] * np.float32([0.6, 0.55, 0.45]), np.float32)


def person() -> np.ndarray[Any, np.dtype[np.uint8]]:
    found = np.zeros((HEIGHT, WIDTH), np.uint8)
    found[50:180, 120:160] = 255
    return found


def matte() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Of the effects, as an artist draws it: generous, with a soft edge."""
    found = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.ellipse(found, (185, 175), (130, 60), 0, 0, 360, 255, -1)
    return np.asarray(cv2.GaussianBlur(found, (0, 0), 4), np.uint8)


def region() -> np.ndarray[Any, np.dtype[np.uint8]]:
    found = np.zeros((HEIGHT, WIDTH), np.uint8)
    found[30:215, 90:260] = 255
    return found


def grained(light: Floats, seed: int) -> Floats:
    """Display-encoded numbers of `light` with grain."""
    noise = np.random.default_rng(seed).standard_normal(light.shape, np.float32)
    return np.asarray(np.clip(srgb(light) + np.float32(GRAIN) * noise, 0, 1), np.float32)


def stored(numbers: Floats, light: bool) -> np.ndarray[Any, Any]:
    """Samples as a plate has them: 8 bit, or half light."""
    return Space.named(LIGHT).light(numbers).astype(np.float16) if light else np.rint(numbers * 255).astype(np.uint8)


@pytest.fixture
def export(make_shot: Make, tmp_path: Path) -> Export:
    """`export(light=False, without=(), **finish)`: an actor on a floor, his shadow, the floor alone, an effects matte.

    `without` names layers that are left out.
    """

    def make(light: bool = False, without: tuple[str, ...] = (), **finish: Any) -> Path:
        folder = make_shot(frames=FRAMES, root=tmp_path / uuid.uuid4().hex)
        for file in (folder / "plate").iterdir():
            file.unlink()
        for i in range(FRAMES):
            seen = grained(floor() * shadow(), i)
            seen[person() > 0] = (0.8, 0.3, 0.2)
            pictures = {
                "plate": stored(seen, light), "cleanplate": stored(grained(floor(), i + 50), light),
                "matte": person(), "region": region(), "effects": matte(),
            }  # fmt: skip
            for kind, picture in pictures.items():
                if kind not in without:
                    (folder / kind).mkdir(exist_ok=True)
                    end = "exr" if picture.dtype == np.float16 else "png"
                    write_picture(folder / kind / frame_name(FIRST_FRAME + i, end), picture)
        np.savez(folder / POSE_FILE, keypoints=np.zeros((FRAMES, 133, 3), np.float32))
        said = Shot.loads((folder / SHOT_FILE).read_bytes())
        colour = Colour(encoding=Encoding.LINEAR, working_space="Linear Rec.709") if light else said.colour
        chosen = Finish(**{"seams": 0.0, "alpha": Alpha.DIFFERENCE, **finish})
        raster = Raster(kind=RasterKind.SOURCE, width=WIDTH, height=HEIGHT)
        write_shot(
            folder,
            replace(
                said, raster=raster, colour=colour, settings=replace(QUICK, finish=chosen),
                files=list_files(folder, {SHOT_FILE}),
            ),
        )  # fmt: skip
        return folder

    return make


def taken(folder: Path) -> Path:
    """The take of a model that makes the floor without a shadow and a small figure on it."""
    signals = ShotSignals(shot.load(folder), WIDTH * HEIGHT)
    frame = srgb(floor())
    frame[60:170, 118:132] = (0.1, 0.2, 0.7)
    frames = np.repeat(signals.windows[0].picture(np.asarray(frame, np.float32))[None], FRAMES, 0).astype(np.float16)
    return delivered(signals, frames)


def seen(folder: Path, name: str) -> Floats:
    """A layer in display-encoded numbers 0..1."""
    picture = layer(folder, name)
    return Space.named(LIGHT).shown(picture) if picture.dtype.kind == "f" else np.float32(picture / 255)


def far(first: Floats, second: Floats) -> Floats:
    """CIEDE2000 between pictures [H, W, 3], softened over a few pixels: grain is no light."""
    pair = (torch.from_numpy(np.float32(cv2.GaussianBlur(each, (0, 0), 2))) for each in (first, second))
    return np.asarray(lab.delta_e(*(lab.lab(each) for each in pair)))


def shows_floor() -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Inside the region, where the figure is not, and the shadow is deep."""
    figure = np.zeros((HEIGHT, WIDTH), np.uint8)
    figure[60:170, 118:132] = 1
    return (region() > 0) & (cv2.dilate(figure, np.ones((21, 21))) == 0) & (shadow().mean(axis=-1) < 0.8)


@pytest.mark.parametrize("light", [False, True])
def test_the_shadow_stays_where_the_actor_is_gone(export: Export, light: bool) -> None:
    true, bare = srgb(floor() * shadow()), srgb(floor())
    kept, lost = (seen(taken(export(light, effects=effects)), "comp") for effects in (1.0, 0.0))
    inside, hidden = shows_floor(), shows_floor() & (person() > 0)
    assert hidden.sum() > 200, "the floor shows where the actor stood"
    assert far(true, bare)[inside].mean() > 5
    assert far(kept, true)[inside].mean() < 0.5
    assert far(kept, true)[inside & ~hidden].max() < 1.5
    assert far(kept, true)[hidden].max() < 3, "behind the actor it is filled from around"
    assert far(lost, bare)[inside & (region() > 0)].mean() < 0.5, "without effects it is gone"


@pytest.mark.parametrize("light", [False, True])
def test_outside_the_region_nothing_changes_and_beside_the_character_the_background_shows(
    export: Export, light: bool
) -> None:
    folder = export(light, layers=(Extra.EFFECTS,))
    take, signals = taken(folder), ShotSignals(shot.load(folder), WIDTH * HEIGHT)
    assert said(take).layers == ("effects", "background", "character", "matte", "comp")
    for i in range(FRAMES):
        plate, region = signals.shot.stored_plate(i), signals.alpha(i)
        comp, background = layer(take, "comp", i), layer(take, "background", i)
        alpha = read_grey(next((take / "matte").glob(f"{FIRST_FRAME + i}.*")))
        np.testing.assert_array_equal(comp[region == 0], plate[region == 0])
        np.testing.assert_array_equal(comp[alpha == 0], background[alpha == 0])
        assert ((region == 0) & (matte() > 0)).any(), "the matte reaches beyond the region"


def test_the_layer_is_what_the_clean_plates_light_is_multiplied_by(export: Export) -> None:
    folder = export(light=True, layers=(Extra.EFFECTS,))
    take, signals = taken(folder), ShotSignals(shot.load(folder), WIDTH * HEIGHT)
    header = OpenEXR.File(str(take / "effects/1001.exr")).header()
    assert (header["colorInteropID"], header["wanAnimate.colorSpace"]) == ("data", "data")
    ratio, background, clean = layer(take, "effects"), layer(take, "background"), signals.shot.stored_clean(0)
    assert (ratio[matte() == 0] == 1).all()
    inside = signals.alpha(0) == 255
    np.testing.assert_allclose(background[inside], (clean * ratio.astype(np.float32))[inside], rtol=3e-3)


def test_of_a_plate_of_8_bits_the_layer_is_the_same_light(export: Export) -> None:
    eight, half = (taken(export(light, layers=(Extra.EFFECTS,))) for light in (False, True))
    np.testing.assert_allclose(layer(eight, "effects"), layer(half, "effects"), atol=0.02)


def test_a_strength_leaves_a_part_of_it(export: Export) -> None:
    half, whole = (layer(taken(export(layers=(Extra.EFFECTS,), effects=s)), "effects") for s in (0.5, 1.0))
    np.testing.assert_allclose(half, (1 + whole.astype(np.float32)) / 2, atol=1e-3)


def test_the_take_says_how_much_light_was_left(export: Export) -> None:
    found = said(taken(export())).belonging
    assert found and found.effects[0] == pytest.approx(shadow().mean(axis=-1).min(), abs=0.06)
    assert found.effects[1] == pytest.approx(1, abs=0.03)
    assert Belonging.from_json(found.to_json()) == found
    off = said(taken(export(effects=0.0))).belonging
    assert off and off.effects == ()


def test_a_plate_without_a_shadow_is_said(export: Export) -> None:
    folder = export()
    for i in range(FRAMES):
        name = frame_name(FIRST_FRAME + i, "png")
        write_picture(folder / "plate" / name, read_picture(folder / "cleanplate" / name))
    described = Shot.loads((folder / SHOT_FILE).read_bytes())
    write_shot(folder, replace(described, files=list_files(folder, {SHOT_FILE})))
    (note,) = (note for note in said(taken(folder)).notes if "effects" in note)
    assert note == ("inside the effects matte the plate is as bright as the clean plate; no shadow was found to keep")


def test_an_effects_matte_changes_no_segment(export: Export) -> None:
    with_it, without = (ShotSignals(shot.load(export(without=layers)), WIDTH * HEIGHT) for layers in ((), ("effects",)))
    assert with_it.digest(range(FRAMES)) == without.digest(range(FRAMES))


@pytest.mark.parametrize(
    ("without", "finish", "sentence"),
    [
        (("cleanplate",), {}, "has no cleanplate frames, an effects matte needs one for each of its 3 frames"),
        (("effects",), {"layers": (Extra.EFFECTS,)}, "has no effects frames, the layer effects needs one for each"),
        ((), {"alpha": Alpha.REGION}, "has an effects matte and an alpha by region, under which nothing of the clean"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(
    export: Export, without: tuple[str, ...], finish: dict[str, Any], sentence: str
) -> None:
    folder = export(without=without, **finish)
    with pytest.raises(BadInput, match=sentence):
        shot.load(folder)


def test_what_nobody_uses_is_not_asked_for(export: Export) -> None:
    assert shot.load(export(alpha=Alpha.REGION, effects=0.0)).sequences["effects"]
    folder = export(without=("cleanplate",), alpha=Alpha.REGION)
    animated = replace(Shot.loads((folder / SHOT_FILE).read_bytes()), mode=Mode.ANIMATE)
    write_shot(folder, animated)
    assert shot.load(folder).shot.mode is Mode.ANIMATE


# --- exactness ----------------------------------------------------------------------------------------

SIDES = st.integers(1, 40)


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, st.integers(0, 2**32 - 1), st.floats(0, 1), st.sampled_from([np.uint8, np.uint16, np.float16]))
def test_whatever_the_pictures_hold_only_the_matte_changes_light_and_within_limits(
    height: int, width: int, seed: int, strength: float, kind: type
) -> None:
    random = np.random.default_rng(seed)
    plate, clean = random.uniform(-1, 40, (2, height, width, 3)).astype(np.float32)
    plate.flat[:3] = np.nan, np.inf, -np.inf
    person, matte = random.choice(np.uint8([0, 9, 255]), (2, height, width))
    found = effects.ratio(plate, clean, person, matte, strength)
    assert found.dtype == np.float32 and np.isfinite(found).all()
    assert (found[matte == 0] == 1).all()
    assert found.min() >= effects.LEAST - 1e-6 and found.max() <= effects.MOST + 1e-6
    most = 1 if kind is np.float16 else np.iinfo(kind).max
    behind = (random.random((height, width, 3)) * most).astype(kind)
    cast = effects.cast(behind, found, Space.named(LIGHT))
    same = (found == 1).all(axis=-1)
    assert cast.dtype == kind
    np.testing.assert_array_equal(cast[same], behind[same])


def test_where_nothing_is_seen_but_the_actor_light_stays_as_it_is() -> None:
    plate, clean = np.full((2, 9, 9, 3), 0.5, np.float32)
    everywhere = np.full((9, 9), 255, np.uint8)
    np.testing.assert_array_equal(effects.ratio(plate * 0.2, clean, everywhere, everywhere, 1.0), 1)


def test_grain_is_no_light() -> None:
    noise = 1 + 0.05 * np.random.default_rng(3).standard_normal((2, HEIGHT, WIDTH, 3), np.float32)
    everywhere = np.full((HEIGHT, WIDTH), 255, np.uint8)
    found = effects.ratio(*(floor() * noise), np.zeros_like(everywhere), everywhere, 1.0)
    assert found.std() < 0.3 * 0.05 * 2**0.5
