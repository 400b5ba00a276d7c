"""What a student has learned: pictures that it makes of clips it was never trained on, and whether it obeys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from wan_animate_blender.wire import Solver

from .. import world
from ..conditions import Picture
from ..model.vae import VAE
from . import examples as shown
from .autoencoder import decode
from .pool import Batch, Encoder
from .precision import autocast
from .record import psnr, sheet
from .student import Student

CLIPS = 8
STEPS = 8

SIGNALS = {"skeleton": ("pose",), "reference": ("reference", "picture"), "face": ("faces",)}
"""What belongs together of a batch, and is given to the wrong clip to see whether the answer changes."""


@dataclass(frozen=True, eq=False)
class Judge:
    """Held-out clips without known frames; the same ones at every look."""

    vae: VAE
    batch: Batch
    truth: Tensor
    """float [B, 3, T, H, W]."""
    body: Tensor
    """Where the character is, float [B, T, H, W]."""
    face: Tensor
    """Where its face is, float [B, T, H, W]."""
    plate: Tensor
    pose: Tensor
    noise: Tensor

    @classmethod
    def of(cls, vae: VAE, encoder: Encoder, spec: world.Spec, face_size: int, *, lit: bool) -> Judge:
        device = encoder.device
        seeds = torch.arange(CLIPS, device=device)
        generator = torch.Generator(device).manual_seed(0)
        choice = shown.choose(CLIPS, device, generator, (0,), lit=lit)
        clips = world.clips(replace(spec, split="held-out"), seeds)
        made = shown.examples(clips, seeds, choice, face_size, lit=lit)
        batch = encoder(made)
        count, channels, frames, height, width = batch.target.shape
        shape = (count, channels, frames + 1, height, width)
        noise = torch.randn(shape, generator=generator, device=device)
        truth, body, face = shown.video(made.target), made.alpha / 255, made.face.float()
        return cls(vae, batch, truth, body, face, made.known, shown.video(made.pose), noise)

    @torch.inference_mode()
    def look(self, student: Student) -> tuple[Mapping[str, float], Picture]:
        """PSNR in dB with the right signals and with each of them swapped, and a sheet: plate, skeleton, truth, result.

        `bound` is what the autoencoder alone loses. `face` figures look at the face's box only.
        """
        made = self.made(student)
        figures = {
            "psnr": psnr(made, self.truth, self.body),
            "bound": psnr(self.bound(), self.truth, self.body),
            "psnr_face": psnr(made, self.truth, self.face),
        }
        for name, fields in SIGNALS.items():
            swapped = replace(self, batch=_swapped(self.batch, fields)).made(student)
            figures[f"swapped_{name}"] = psnr(swapped, self.truth, self.face if name == "face" else self.body)
        middle = made.shape[2] // 2
        columns = (self.plate, self.pose, self.truth, made)
        return figures, sheet([clip[:, :, middle] for clip in columns])

    def made(self, student: Student, steps: int = STEPS) -> Tensor:
        """The pictures that the student makes in so many steps, float [B, 3, T, H, W]."""
        for step in student.walk(self.batch, self.noise, Solver.DPMPP, steps):
            latents = step.sample
        return self._decoded(latents[:, :, 1:])

    def bound(self) -> Tensor:
        """The pictures of a perfect student: what the autoencoder alone makes of the truth."""
        return self._decoded(self.batch.target.float())

    def _decoded(self, latents: Tensor) -> Tensor:
        with autocast(latents.device):
            return decode(self.vae, latents)


def _swapped(batch: Batch, fields: tuple[str, ...]) -> Batch:
    """Every clip with `fields` of its neighbour."""
    turned = {name: getattr(batch, name).roll(1, 0) for name in fields}
    return Batch(**{**batch.tensors(), **turned})
