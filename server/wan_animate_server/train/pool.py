"""Encoded clips on the device, ready to train the transformer from: drawn and encoded once, seen many times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from .. import world
from ..model.vae import VAE
from . import examples as shown
from .autoencoder import SEEDS, encode
from .examples import Examples
from .precision import autocast

CHUNK = 64
"""Clips that are drawn and encoded together."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Clips as the transformer is trained on them; latents are normalised."""

    target: Tensor
    """[B, C, t, h, w]."""
    pose: Tensor
    """[B, C, t, h, w]."""
    known: Tensor
    """The latent of the conditioning video [B, C, t, h, w]."""
    reference: Tensor
    """[B, C, 1, h, w]."""
    cells: Tensor
    """Packed mask uint8 [B, 4, t, h, w]; 1 = known."""
    weight: Tensor
    """[B, t, h, w]."""
    picture: Tensor
    """The reference as it is, uint8 [B, H, W, 3]: the picture encoder learns too."""
    faces: Tensor
    """uint8 [B, T, S, S, 3]."""

    def tensors(self) -> Mapping[str, Tensor]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def at(self, index: Tensor) -> Batch:
        """The clips of `index`, in its order."""
        return Batch(**{name: tensor.index_select(0, index) for name, tensor in self.tensors().items()})


class Encoder:
    """The autoencoder as the pool uses it: whole clips, compiled for one shape on a GPU."""

    def __init__(self, vae: VAE) -> None:
        self._vae = vae
        self.device = vae.conv1.weight.device
        self._encode = torch.compile(encode, dynamic=False) if self.device.type == "cuda" else encode

    @torch.no_grad()
    def __call__(self, made: Examples) -> Batch:
        """Latents in bfloat16, half the memory of what they came from."""
        with autocast(self.device):
            clips = [self._encode(self._vae, v) for v in (shown.video(made.target), shown.video(made.pose), made.known)]
            reference = encode(self._vae, shown.video(made.reference))  # one frame: not worth a compilation
        target, pose, known = (latents.bfloat16() for latents in clips)
        return Batch(
            target, pose, known, reference.bfloat16(), made.cells.byte(), made.weight.bfloat16(), made.reference,
            made.faces,
        )  # fmt: skip


class Pool:
    """Clips of one kind, in tensors that are never moved."""

    def __init__(
        self, encoder: Encoder, spec: world.Spec, face_size: int, size: int, seed: int, *, lit: bool = False
    ) -> None:
        """Draws and encodes `size` clips. `lit` wants the character in the scene's light, else in its own."""
        self._encoder = encoder
        self._spec = spec
        self._face_size = face_size
        self._lit = lit
        self._drawn = seed * SEEDS
        self._generator = torch.Generator(encoder.device).manual_seed(seed)
        chunk = min(CHUNK, size)
        first = self.fresh(chunk)
        self._clips = Batch(**{name: t.new_empty((size, *t.shape[1:])) for name, t in first.tensors().items()})
        self._put(first, 0)
        for start in range(chunk, size, chunk):
            self._put(self.fresh(chunk), start)
        self._oldest = 0

    def __len__(self) -> int:
        return len(self._clips.target)

    def renew(self) -> None:
        """Put new clips in the place of the oldest ones."""
        self._put(self.fresh(min(CHUNK, len(self))), self._oldest)
        self._oldest = (self._oldest + CHUNK) % len(self) // CHUNK * CHUNK

    def _put(self, made: Batch, start: int) -> None:
        room = len(self) - start
        for name, tensor in made.tensors().items():
            self._clips.tensors()[name][start : start + len(tensor)] = tensor[:room]

    def fresh(self, count: int) -> Batch:
        """Clips that were never seen before."""
        device = self._encoder.device
        seeds = torch.arange(count, device=device) + self._drawn
        self._drawn += count
        choice = shown.choose(count, device, self._generator, shown.OVERLAPS, lit=self._lit)
        clips = world.clips(self._spec, seeds)
        return self._encoder(shown.examples(clips, seeds, choice, self._face_size, lit=self._lit))

    def sample(self, count: int) -> Batch:
        """`count` clips at random, gathered on the device."""
        index = torch.randint(len(self), (count,), device=self._encoder.device, generator=self._generator)
        return self._clips.at(index)
