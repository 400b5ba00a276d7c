"""Encoded clips on the device, ready to train the transformer from: drawn and encoded once, seen many times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from .. import world
from ..model.transformer import PATCH
from ..model.vae import VAE
from . import examples as shown
from .autoencoder import channels_last, encode
from .examples import Examples
from .pace import timed
from .precision import autocast

CHUNK = 2048
"""Frames that are drawn together: the world is as fast for many as for few."""

ENCODED = 8
"""Clips that are encoded together, always as many: other numbers would be compiled anew. Enough to fill a GPU."""


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
    """The autoencoder as the pool uses it: whole clips, compiled once for each shape on a GPU."""

    def __init__(self, vae: VAE) -> None:
        self._vae = vae
        channels_last(vae)
        self.device = vae.conv1.weight.device
        self._encode = torch.compile(encode, dynamic=False) if self.device.type == "cuda" else encode

    @torch.no_grad()
    def __call__(self, made: Examples) -> Batch:
        """Latents in bfloat16, half the memory of what they came from."""
        with autocast(self.device):
            clips = [self._encoded(v) for v in (shown.video(made.target), shown.video(made.pose), made.known)]
            reference = encode(self._vae, shown.video(made.reference))  # one frame: not worth a compilation
        target, pose, known = (latents.bfloat16() for latents in clips)
        return Batch(
            target, pose, known, reference.bfloat16(), made.cells.byte(), made.weight.bfloat16(), made.reference,
            made.faces,
        )  # fmt: skip

    def _encoded(self, video: Tensor) -> Tensor:
        return torch.cat([self._encode(self._vae, part) for part in torch.split(video, ENCODED)])


class Pool:
    """Clips of one kind, in tensors that are never moved."""

    def __init__(
        self, encoder: Encoder, spec: world.Spec, face_size: int, frames: int, first: int, *, lit: bool = False
    ) -> None:
        """Draws and encodes so many frames, in whole chunks; `first` is the first clip's seed.

        `lit` wants the character in the scene's light, else in its own.
        """
        self._encoder = encoder
        self._spec = spec
        self._face_size = face_size
        self._lit = lit
        self._drawn = first
        self._generator = torch.Generator(encoder.device).manual_seed(first)
        self._chunk = _whole(min(CHUNK, frames) // spec.frames, ENCODED)
        size = _whole(frames // spec.frames, self._chunk)
        with timed(f"drawing the first {self._chunk} of {size} clips", encoder.device):
            drawn = self._draw()
        with timed("encoding them", encoder.device):
            made = encoder(drawn)
        self._clips = Batch(**{name: t.new_empty((size, *t.shape[1:])) for name, t in made.tensors().items()})
        self._put(made, 0)
        for start in range(self._chunk, size, self._chunk):
            self._put(encoder(self._draw()), start)
        self._oldest = 0

    def __len__(self) -> int:
        return len(self._clips.target)

    @property
    def tokens(self) -> int:
        """Of a clip, with the reference's slot."""
        frames, height, width = self._clips.target.shape[2:]
        return (frames + 1) * (height // PATCH) * (width // PATCH)

    def holding(self, tokens: int) -> int:
        """How many clips have so many tokens, as far as there are as many."""
        return min(max(tokens // self.tokens, 1), len(self))

    def renew(self) -> None:
        """Put clips that were never seen before in the place of the oldest ones."""
        self._put(self._encoder(self._draw()), self._oldest)
        self._oldest = (self._oldest + self._chunk) % len(self)

    def sample(self, count: int) -> Batch:
        """`count` clips at random, gathered on the device."""
        index = torch.randint(len(self), (count,), device=self._encoder.device, generator=self._generator)
        return self._clips.at(index)

    def _draw(self) -> Examples:
        device = self._encoder.device
        seeds = torch.arange(self._chunk, device=device) + self._drawn
        self._drawn += self._chunk
        choice = shown.choose(self._chunk, device, self._generator, shown.OVERLAPS, lit=self._lit)
        clips = world.clips(self._spec, seeds)
        return shown.examples(clips, seeds, choice, self._face_size, lit=self._lit)

    def _put(self, made: Batch, start: int) -> None:
        for name, tensor in made.tensors().items():
            self._clips.tensors()[name][start : start + self._chunk] = tensor


def _whole(count: int, part: int) -> int:
    """`count` rounded down to a multiple of `part`, at least one."""
    return max(count // part, 1) * part
