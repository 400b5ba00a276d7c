"""How different two colours look: sRGB → CIELAB (D65) → CIEDE2000. Knows tensors only.

Sharma, Wu, Dalal: The CIEDE2000 Color-Difference Formula, 2005; equation numbers are theirs.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool3d

XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
"""Of linear sRGB (IEC 61966-2-1)."""

WHITE = (0.95047, 1.0, 1.08883)
"""D65."""

BLOCK = 8
"""Pixels of a side whose mean colour is compared, so that light is judged and not sharpness."""


def lab(rgb: Tensor) -> Tensor:
    """Display-encoded sRGB [..., 3], 0..1 → L*, a*, b* [..., 3]."""
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    relative = linear @ rgb.new_tensor(XYZ).T / rgb.new_tensor(WHITE)
    low, high = relative * 841 / 108 + 4 / 29, relative.clamp_min(1e-9) ** (1 / 3)
    x, y, z = torch.where(relative > (6 / 29) ** 3, high, low).unbind(-1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def delta_e(one: Tensor, other: Tensor) -> Tensor:
    """CIEDE2000 of colours in CIELAB [..., 3] → [...]; about 1 can just be seen side by side."""
    l1, a1, b1 = one.unbind(-1)
    l2, a2, b2 = other.unbind(-1)
    grey = 1 + (1 - _saturation((torch.hypot(a1, b1) + torch.hypot(a2, b2)) / 2)) / 2  # (2)–(5)
    c1, c2 = torch.hypot(grey * a1, b1), torch.hypot(grey * a2, b2)
    h1, h2 = torch.atan2(b1, grey * a1), torch.atan2(b2, grey * a2)
    colourless = c1 * c2 == 0
    turn = torch.where(colourless, 0.0, torch.remainder(h2 - h1 + torch.pi, 2 * torch.pi) - torch.pi)  # (10)
    hue = 2 * (c1 * c2).sqrt() * torch.sin(turn / 2)
    between = torch.where(colourless, h1 + h2, h1 + turn / 2)  # (14)
    chroma, light = (c1 + c2) / 2, ((l1 + l2) / 2 - 50).square()
    for_light = 1 + 0.015 * light / (20 + light).sqrt()  # (17)
    for_hue = 1 + 0.015 * chroma * _evenness(between)
    for_chroma = 1 + 0.045 * chroma
    blue = torch.deg2rad(60 * torch.exp(-(((torch.rad2deg(between) % 360 - 275) / 25) ** 2)))  # (18): twice Δθ
    skew = -2 * _saturation(chroma) * torch.sin(blue)
    x, y, z = (l2 - l1) / for_light, (c2 - c1) / for_chroma, hue / for_hue
    return (x**2 + y**2 + z**2 + skew * y * z).clamp_min(0).sqrt()  # (22)


def _saturation(chroma: Tensor) -> Tensor:
    """(4), (19): 0 for greys, towards 1 for strong colours."""
    return (chroma**7 / (chroma**7 + 25.0**7)).sqrt()


def _evenness(hue: Tensor) -> Tensor:
    """(15): how finely hues are told apart there."""
    terms = ((-0.17, 1, -30), (0.24, 2, 0), (0.32, 3, 6), (-0.20, 4, -63))
    return 1 + torch.stack([a * torch.cos(n * hue + torch.deg2rad(hue.new_tensor(by))) for a, n, by in terms]).sum(0)


def colour_error(pictures: Tensor, truth: Tensor, weight: Tensor) -> float:
    """Mean ΔE 2000 of pictures [B, 3, T, H, W], −1..1, over blocks half of which `weight` [B, T, H, W] is in."""
    share = avg_pool3d(weight, (1, BLOCK, BLOCK))
    one, other = (lab(_block_means(clip, weight, share)) for clip in (pictures, truth))
    inside = share > 0.5
    return float(delta_e(one, other)[inside].mean())


def _block_means(clip: Tensor, weight: Tensor, share: Tensor) -> Tensor:
    """Mean colours inside `weight` [B, T, h, w, 3], 0..1."""
    total = avg_pool3d((clip.clamp(-1, 1) + 1) / 2 * weight[:, None], (1, BLOCK, BLOCK))
    return (total / share[:, None].clamp_min(1e-3)).movedim(1, -1)
