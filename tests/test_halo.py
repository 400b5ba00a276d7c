"""The black hole in what the model is shown, and how far the autoencoder carries it: not into the composite."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from wan_animate_server.conditions import pixels, plate_video
from wan_animate_server.installed import load_model
from wan_animate_server.model.vae import VAE
from wan_animate_server.region import CELL, Fit, Floats, alpha, model_mask, region

SIDE = 160


@pytest.fixture(scope="module")
def vae() -> VAE:
    return load_model("puppet", device="cpu").vae


@pytest.fixture(scope="module")
def plate() -> np.ndarray:
    """A wall of blotches, uint8 [H, W, 3]."""
    blotches = np.random.default_rng(0).integers(20, 235, (20, 20, 3), np.uint8)
    return cv2.resize(blotches, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def matte() -> np.ndarray:
    person = np.zeros((SIDE, SIDE), np.uint8)
    cv2.ellipse(person, (SIDE // 2, SIDE // 2), (20, 40), 0, 0, 360, (255,), -1)
    return person


@torch.inference_mode()
def bleeding(vae: VAE, plate: np.ndarray, mask: Floats) -> Floats:
    """How far off each pixel is made, in grey levels [H, W], by a model that is perfect where it makes new pixels.

    And that believes what it is shown everywhere else: the latents of the plate with a black hole. What it makes is
    decoded together, so black comes back into the hole from around it.
    """
    whole = pixels([plate], torch.device("cpu"))
    holed = plate_video([plate], torch.from_numpy(mask)[None])
    perfect, believed = (torch.cat(list(vae.encode_stream(video)), 2) for video in (whole, holed))
    is_new = torch.from_numpy(mask[::CELL, ::CELL] > 0)
    wanted, made = (
        torch.cat(list(vae.decode_stream(latents)), 2) for latents in (perfect, torch.where(is_new, perfect, believed))
    )
    return np.asarray((made - wanted).abs().mean(1)[0, 0] * 127.5)


def shown(error: Floats, opacity: np.ndarray) -> float:
    """The largest error that a comp shows, in grey levels."""
    return float((error * (opacity / 255)).max())


def test_of_the_black_that_runs_into_its_surroundings_the_comp_shows_little(
    vae: VAE, plate: np.ndarray, matte: np.ndarray
) -> None:
    found = region(matte, np.zeros_like(matte))
    opacity, mask = alpha(found, matte), model_mask(found, Fit(SIDE, SIDE, 16))
    error = bleeding(vae, plate, mask)
    assert error[mask == 0].max() > 20  # it does run: nothing less would be an edge to look at
    assert not opacity[mask == 0].any()
    assert shown(error, opacity) < 0.4 * error.max()


def test_a_mask_no_larger_than_the_region_would_show_twice_as_much(
    vae: VAE, plate: np.ndarray, matte: np.ndarray
) -> None:
    found = region(matte, np.zeros_like(matte))
    opacity, mask = alpha(found, matte), model_mask(found, Fit(SIDE, SIDE, 16))
    cells = found.reshape(SIDE // CELL, CELL, SIDE // CELL, CELL).max(axis=(1, 3)) > 0
    tight = cells.astype(np.float32).repeat(CELL, axis=0).repeat(CELL, axis=1)
    assert shown(bleeding(vae, plate, tight), opacity) > 2 * shown(bleeding(vae, plate, mask), opacity)
