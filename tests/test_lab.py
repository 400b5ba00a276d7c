"""Colours and their differences are those that are published."""

from __future__ import annotations

import pytest
import torch

from wan_animate_server.lab import delta_e, lab

PAIRS = (
    ((50.0000, 2.6772, -79.7751), (50.0000, 0.0000, -82.7485), 2.0425),
    ((50.0000, 2.8361, -74.0200), (50.0000, 0.0000, -82.7485), 3.4412),
    ((50.0000, -1.3802, -84.2814), (50.0000, 0.0000, -82.7485), 1.0000),
    ((50.0000, 0.0000, 0.0000), (50.0000, -1.0000, 2.0000), 2.3669),
    ((50.0000, 2.4900, -0.0010), (50.0000, -2.4900, 0.0009), 7.1792),
    ((50.0000, 2.4900, -0.0010), (50.0000, -2.4900, 0.0011), 7.2195),
    ((50.0000, -0.0010, 2.4900), (50.0000, 0.0009, -2.4900), 4.8045),
    ((50.0000, -0.0010, 2.4900), (50.0000, 0.0011, -2.4900), 4.7461),
    ((50.0000, 2.5000, 0.0000), (73.0000, 25.0000, -18.0000), 27.1492),
    ((50.0000, 2.5000, 0.0000), (61.0000, -5.0000, 29.0000), 22.8977),
    ((50.0000, 2.5000, 0.0000), (56.0000, -27.0000, -3.0000), 31.9030),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((63.0109, -31.0961, -5.8663), (62.8187, -29.7946, -4.0864), 1.2630),
    ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
    ((90.8027, -2.0831, 1.4410), (91.1528, -1.6435, 0.0447), 1.4441),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
)
"""From table 1 of Sharma, Wu, Dalal 2005, which was made to find mistakes."""


@pytest.mark.parametrize(("one", "other", "expected"), PAIRS)
def test_differences_are_those_of_the_papers_table(
    one: tuple[float, ...], other: tuple[float, ...], expected: float
) -> None:
    a, b = torch.tensor((one, other), dtype=torch.float64)
    assert float(delta_e(a, b)) == pytest.approx(expected, abs=1e-4)
    assert float(delta_e(b, a)) == pytest.approx(expected, abs=1e-4)
    assert float(delta_e(a, a)) == 0


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [((1, 1, 1), (100, 0, 0)), ((0, 0, 0), (0, 0, 0)), ((1, 0, 0), (53.24, 80.09, 67.20)),
     ((0, 1, 0), (87.73, -86.18, 83.18)), ((0, 0, 1), (32.30, 79.19, -107.86)), ((0.5, 0.5, 0.5), (53.39, 0, 0))],
)  # fmt: skip
def test_colours_of_srgb_have_their_known_places(rgb: tuple[float, ...], expected: tuple[float, ...]) -> None:
    assert lab(torch.tensor(rgb, dtype=torch.float64)).tolist() == pytest.approx(expected, abs=0.02)
