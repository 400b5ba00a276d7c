"""Figures against other programs and against numbers that anybody can work out."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from wan_animate_server.evaluate import metrics

T, H, W = 12, 24, 32


@pytest.fixture
def clip() -> metrics.Frames:
    """A wall that does not move, with texture."""
    wall = np.random.default_rng(0).integers(60, 190, (H, W, 3), np.uint8)
    return np.stack([wall] * T)


EVERYWHERE = np.ones((T, H, W), bool)


def noisy(clip: metrics.Frames) -> metrics.Frames:
    return (clip + np.random.default_rng(1).normal(0, 9, clip.shape)).clip(0, 255).round().astype(np.uint8)


def test_psnr_is_what_another_program_says(clip: metrics.Frames) -> None:
    expected = peak_signal_noise_ratio(clip, noisy(clip))
    assert metrics.psnr(noisy(clip), clip, EVERYWHERE) == pytest.approx(expected, abs=1e-3)
    assert metrics.psnr(clip, clip, EVERYWHERE) > 100


def test_psnr_looks_only_where_it_is_asked_to(clip: metrics.Frames) -> None:
    half, made = EVERYWHERE.copy(), clip.copy()
    half[:, :, W // 2 :] = False
    made[:, :, W // 2 :] = 0
    made[:, :, : W // 2] += 10
    assert metrics.psnr(made, clip, half) == pytest.approx(20 * np.log10(25.5), abs=1e-3)


def test_ssim_is_what_another_program_says(clip: metrics.Frames) -> None:
    made = noisy(clip)
    maps = [structural_similarity(a, b, channel_axis=-1, data_range=255, full=True, gaussian_weights=True,
                                  use_sample_covariance=False)[1] for a, b in zip(made, clip, strict=True)]  # fmt: skip
    assert metrics.ssim(made, clip, EVERYWHERE) == pytest.approx(np.mean(maps), abs=1e-6)
    corner = ~EVERYWHERE
    corner[3, :5, :5] = True
    assert metrics.ssim(made, clip, corner) == pytest.approx(maps[3][:5, :5].mean(), abs=1e-6)
    assert metrics.ssim(clip, clip, EVERYWHERE) == pytest.approx(1)


def test_one_pixel_outside_the_region_is_found(clip: metrics.Frames) -> None:
    region, comp = ~EVERYWHERE, clip.copy()
    region[:, 4:20, 4:20] = True
    comp[region] = 0
    assert metrics.outside(comp, clip, region) == (0, 0)
    comp[5, 3, 4, 1] += 7
    assert metrics.outside(comp, clip, region) == (7, 1)


def test_colour_error_is_ciede2000_of_colours_and_not_of_texture(clip: metrics.Frames) -> None:
    flat = np.full_like(clip, (120, 90, 70))
    other = np.full_like(clip, (150, 90, 60))
    expected = deltaE_ciede2000(rgb2lab(flat[0, 0, 0] / 255), rgb2lab(other[0, 0, 0] / 255))
    assert metrics.colour_error(flat, other, EVERYWHERE) == pytest.approx(expected, abs=0.02)
    checks = (20 * (-1) ** np.arange(W))[:, None].repeat(3, 1)
    assert metrics.colour_error((flat + checks).astype(np.uint8), flat, EVERYWHERE) < 0.5


def test_flicker_is_seen_where_nothing_moves_alone(clip: metrics.Frames) -> None:
    still = metrics.stillness(clip)
    assert metrics.flicker(clip, still) == 0
    blinking = clip.copy()
    blinking[::2] += 5
    assert metrics.flicker(blinking, still) == pytest.approx(10)
    assert metrics.flicker(blinking, metrics.calm(blinking)) == pytest.approx(10)
    moving = clip.copy()
    moving[:, :, :8] = (np.arange(T) * 15)[:, None, None, None]
    assert not metrics.stillness(moving)[:, :, :8].any() and metrics.stillness(moving)[1:-1, :, 8:].all()


def test_a_jump_of_colour_or_of_motion_raises_the_seam_score(clip: metrics.Frames) -> None:
    drift = (np.arange(T)[:, None, None, None] * 2).astype(np.uint8)
    even = clip + drift
    assert metrics.seam(even, [6], EVERYWHERE) == pytest.approx(1, abs=0.1)
    jump = even.copy()
    jump[6:] += 20
    assert metrics.seam(jump, [6], EVERYWHERE) > 4
    assert metrics.seam(jump, [3], EVERYWHERE) < 1
    with pytest.raises(ValueError, match="joins"):
        metrics.seam(even, [], EVERYWHERE)


def test_frechets_distance_is_that_of_normal_distributions() -> None:
    random = np.random.default_rng(0)
    one = random.normal(0, 1, (20000, 3))
    assert metrics.frechet(one, one) == pytest.approx(0, abs=1e-6)
    other = random.normal(0, 1, (20000, 3)) * [1, 2, 3] + [3, 0, 0]
    assert metrics.frechet(one, other) == pytest.approx(9 + 1 + 4, rel=0.05)
