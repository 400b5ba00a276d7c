"""Random numbers that depend on nothing but a clip's seed and a name. Knows numbers only.

A counter-based generator (the finaliser of SplitMix64, Steele et al. 2014, over seed, name and index): any clip can be
made alone or in any batch, in any order, and is the same.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

Split = Literal["train", "held-out"]
Range = tuple[float, float]

_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_FIRST = 0xBF58476D1CE4E5B9 - (1 << 64)
_SECOND = 0x94D049BB133111EB - (1 << 64)
"""SplitMix64's constants as signed numbers, the only 64-bit ones that torch multiplies."""


class Chance:
    """The random numbers of the clips with `seeds` int64 [B]; those of the two splits never meet."""

    def __init__(self, keys: Tensor) -> None:
        self._keys = keys

    @classmethod
    def of_clips(cls, seeds: Tensor, split: Split) -> Chance:
        """Seeds below 2^62. Twice the seed plus the split is one-to-one, and so is the mixing of it."""
        return cls(_mixed(2 * seeds + (split == "held-out")))

    def named(self, name: str) -> Chance:
        """Another stream of the same clips: for the actor what "character" is for the character."""
        return Chance(_mixed(self._keys + zlib.crc32(name.encode()) * _GOLDEN % (1 << 62)))

    def uniform(self, name: str, *shape: int) -> Tensor:
        """float32 [B, *shape] in [0, 1)."""
        index = torch.arange(1, math.prod(shape) + 1, device=self._keys.device)
        bits = _mixed(self.named(name)._keys[:, None] + index * _GOLDEN)
        return (((bits >> 40) & 0xFFFFFF).float() / (1 << 24)).reshape(len(self._keys), *shape)

    def between(self, name: str, low: float, high: float, *shape: int) -> Tensor:
        """float32 [B, *shape], even over the range."""
        return low + (high - low) * self.uniform(name, *shape)

    def happens(self, name: str, share: float) -> Tensor:
        """bool [B], true in about `share` of the clips."""
        return self.uniform(name) < share

    def chosen(self, name: str, *weights: float) -> Tensor:
        """int64 [B]: a number below the number of `weights`, as often as its weight says."""
        edges = torch.tensor(weights, device=self._keys.device).cumsum(0) / sum(weights)
        return (self.uniform(name)[:, None] >= edges[:-1]).sum(-1)

    def table(self, name: str, ranges: Mapping[str, Range]) -> dict[str, Tensor]:
        """A number [B] for each name, even over its range: many for the price of one."""
        low, high = torch.tensor(list(ranges.values()), device=self._keys.device).unbind(-1)
        return dict(zip(ranges, (low + (high - low) * self.uniform(name, len(ranges))).unbind(-1), strict=True))


def _mixed(keys: Tensor) -> Tensor:
    """One-to-one on 64-bit numbers."""
    keys = (keys ^ _shifted(keys, 30)) * _FIRST
    keys = (keys ^ _shifted(keys, 27)) * _SECOND
    return keys ^ _shifted(keys, 31)


def _shifted(keys: Tensor, bits: int) -> Tensor:
    """A right shift that brings zeros in, which torch's own does not for signed numbers."""
    return (keys >> bits) & ((1 << (64 - bits)) - 1)
