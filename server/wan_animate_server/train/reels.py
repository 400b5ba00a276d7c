"""Pictures of clips as they were drawn, kept on the device; windows of them are what an autoencoder learns from.

Drawn once and seen through many windows: a window is a part of the picture and all of the time. Knows no network.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .. import world
from . import examples as shown

SIDE = 128
"""Pixels of a side of a window, where the clip has as many."""

DRAWN = 4096
"""Frames that are drawn together."""

KINDS = 5
"""Pictures of each clip: lit, in its own light, before its own background, conditioning video, skeleton."""

FULL = 6
"""The weight whose byte is 252."""


@dataclass(frozen=True, eq=False)
class Window:
    """What is encoded and decoded."""

    pictures: Tensor
    """float [B, 3, T, S, S], −1..1."""
    weight: Tensor
    """How much an error of each pixel counts: float [B, 1, T, S, S]."""


class Reels:
    """As many clips of `spec` as have about `frames` frames."""

    def __init__(self, spec: world.Spec, frames: int, seed: int, first: int, device: torch.device) -> None:
        """`first` is the first clip's seed."""
        count, each = max(frames // spec.frames, 1), max(DRAWN // spec.frames, 1)
        shape = (count, KINDS, spec.frames, spec.height, spec.width)
        self._pictures = torch.empty((*shape, 3), dtype=torch.uint8, device=device)
        self._weight = torch.empty(shape, dtype=torch.uint8, device=device)
        self._side = min(SIDE, spec.height, spec.width)
        self._chance = torch.Generator().manual_seed(seed)
        generator = torch.Generator(device).manual_seed(seed)
        for start in range(0, count, each):
            seeds = torch.arange(start, min(start + each, count), device=device) + first
            place = slice(start, start + len(seeds))
            self._pictures[place], self._weight[place] = _drawn(spec, seeds, generator)

    def window(self, count: int) -> Window:
        """`count` of them: any part of any picture of any clip, mirrored or not. Does not wait for the device."""
        cuts = [self._cut() for _ in range(count)]
        pictures = torch.stack([self._pictures[cut] for cut, _ in cuts])
        weight = torch.stack([self._weight[cut] for cut, _ in cuts])
        mirrored = torch.tensor([mirror for _, mirror in cuts]).to(weight.device, non_blocking=True).view(-1, 1, 1, 1)
        pictures = torch.where(mirrored[..., None], pictures.flip(3), pictures)
        weight = torch.where(mirrored, weight.flip(3), weight)
        return Window(shown.video(pictures), weight.unsqueeze(1).float() * (FULL / 252))

    def _cut(self) -> tuple[tuple[int | slice, ...], bool]:
        """Where a window is, and whether it is mirrored."""
        clips, kinds, _, height, width = self._weight.shape
        most = torch.tensor([clips, kinds, height - self._side + 1, width - self._side + 1, 2])
        clip, kind, top, left, mirror = (torch.rand(5, generator=self._chance) * most).long().tolist()
        rows, columns = slice(top, top + self._side), slice(left, left + self._side)
        return (clip, kind, slice(None), rows, columns), bool(mirror)


def _drawn(spec: world.Spec, seeds: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pictures uint8 [B, KINDS, T, H, W, 3] and their weights [B, KINDS, T, H, W], `FULL` as 252."""
    clips = world.clips(spec, seeds)
    choice = shown.choose(len(seeds), seeds.device, generator, shown.OVERLAPS, lit=False)
    made = shown.examples(clips, seeds, choice, face_size=clips.face.shape[2])
    known = ((made.known + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 4, 1)
    person = 1 + 3 * (clips.alpha / 255) + 2 * made.face
    plain, lines = torch.ones_like(person), 1 + 2 * made.pose.any(-1)
    weight = torch.stack([person, person, person, plain, lines], 1)
    pictures = torch.stack([clips.frames, clips.neutral, clips.own, known, made.pose], 1)
    return pictures, (weight * (252 / FULL)).round().byte()
