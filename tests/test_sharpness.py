"""The softness of edges is measured as it is known to be, grain or not, and matched without ever sharpening."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from wan_animate_blender.wire import Belonging
from wan_animate_server import sharpness
from wan_animate_server.sharpness import Floats

EVERYWHERE = np.ones((300, 300), bool)


def drawn(blur: float, seed: int = 1, grain: float = 0.0) -> Floats:
    """Panels of many greys, blurred as a lens does it, and then grain."""
    random = np.random.default_rng(seed)
    panels = cv2.resize(random.random((8, 8, 3), np.float32), (2400, 2400), interpolation=cv2.INTER_NEAREST)
    fine = cv2.GaussianBlur(panels, (0, 0), blur * 8) if blur else panels
    small = cv2.resize(fine, (300, 300), interpolation=cv2.INTER_AREA)
    return (small + grain * random.standard_normal(small.shape, np.float32)).astype(np.float32)


def found(picture: Floats) -> float:
    softness = sharpness.softness([(picture, EVERYWHERE)])
    assert softness is not None
    return softness


@pytest.mark.parametrize("blur", [0.8, 1.2, 2.0, 3.0])
@pytest.mark.parametrize("grain", [0.0, 0.01])
def test_a_blur_that_is_known_is_found_within_15_percent(blur: float, grain: float) -> None:
    assert found(drawn(blur, grain=grain)) == pytest.approx(blur, rel=0.15)


@pytest.mark.parametrize("blur", [1.2, 2.0, 3.0])
def test_a_character_is_made_as_soft_as_the_plate(blur: float) -> None:
    plate, character = drawn(blur), drawn(0.5, seed=2)
    belonging = Belonging(softness=found(plate), softness_made=found(character))
    matched = sharpness.softened(character, belonging.softening)
    assert found(matched) == pytest.approx(found(plate), rel=0.15)


def test_a_character_softer_than_the_plate_is_not_sharpened() -> None:
    assert Belonging(softness=0.8, softness_made=2.0).softening == 0
    assert Belonging(softness=1.0, softness_made=0.98).softening == 0, "nobody sees it"
    assert Belonging(softness=None, softness_made=1.0).softening == 0


def test_nothing_is_softened_by_more_than_four_pixels() -> None:
    assert Belonging(softness=12.0, softness_made=1.0).softening == 4


def test_a_picture_without_edges_says_nothing() -> None:
    assert sharpness.softness([(np.full((300, 300, 3), 0.5, np.float32), EVERYWHERE)]) is None
    assert sharpness.softness([(drawn(1.0), ~EVERYWHERE)]) is None
