"""The transformer and its picture encoder as they are trained: a batch and noise in, velocity and loss out.

Shows the transformer exactly what the pipeline shows it, for many clips at once and without waiting for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from wan_animate_blender.wire import Solver

from .. import conditions, sampling
from ..model.attention import Keys, rope_table
from ..model.clip import CLIPVision
from ..model.transformer import PATCH, Constants, Time, Transformer, sinusoid
from ..pipeline import NEGATIVE_PROMPT, PROMPT, encode_prompt
from ..sizes import Networks
from .pool import Batch
from .precision import autocast

LEVELS = 1000
"""The network is told the time as a whole number up to this."""

REFERENCE_WEIGHT = 0.1
"""Of an error in the reference's own slot, which is sampled with the rest and thrown away."""


@dataclass(frozen=True, eq=False)
class Question:
    """What is drawn at random for a batch."""

    noise: Tensor
    """[B, C, t + 1, h, w]."""
    level: Tensor
    """σ, [B]."""
    absent: Tensor
    """bool [B]: asked with the negative prompt and without a face, as guidance does."""


class Student(nn.Module):
    """Transformer and picture encoder; the text encoder's answers to both prompts are constants."""

    text: Tensor
    times: Tensor
    axes: Tensor

    def __init__(self, networks: Networks, prompts: Tensor) -> None:
        """`prompts` from `both_prompts`."""
        super().__init__()
        self.transformer: Transformer = networks.transformer
        self.clip: CLIPVision = networks.clip
        device = prompts.device
        self.register_buffer("text", prompts, persistent=False)
        table = sinusoid(torch.arange(LEVELS + 1, device=device), self.transformer.config.freq_dim)
        self.register_buffer("times", table, persistent=False)
        direction = self.transformer.motion_encoder.dec.direction
        axes = torch.eye(self.transformer.config.motion.motion_dim, device=device)
        # The directions stay as they are: the layer after them learns any others, and their QR is a constant.
        with torch.no_grad():
            self.register_buffer("axes", direction(axes), persistent=False)
        self._ropes: dict[tuple[int, int, int], Tensor] = {}

    def rope(self, frames: int, height: int, width: int) -> Tensor:
        """`rope_table` of a latent's size; made once, before anything is compiled."""
        size = frames, height // PATCH, width // PATCH
        if size not in self._ropes:
            config = self.transformer.config
            self._ropes[size] = rope_table(*size, config.dim // config.heads, self.times.device)
        return self._ropes[size]

    def time(self, step: Tensor) -> Time:
        """`Transformer.embed_time` of whole numbers [B], from a table: no way to the host and back."""
        time = self.transformer.time_embedding(self.times[step])
        return time, torch.unflatten(self.transformer.time_projection(time), 1, (6, -1))

    def constants(self, batch: Batch, absent: Tensor) -> Constants:
        """`Transformer.constants` of a batch."""
        known = known_channels(batch)
        return Constants(
            tokens=self.transformer.embed_known(batch.pose.float(), known),
            rope=self.rope(*known.shape[2:]),
            text=tuple(_chosen(keys, absent) for keys in self.transformer.text_keys(self.text)),
            image=self.transformer.image_keys(self.clip(clip_pixels(batch.picture, self.clip.config.size))),
            face=self.face_keys(batch.faces, absent),
        )

    def face_keys(self, faces: Tensor, absent: Tensor) -> tuple[Keys, ...]:
        """`Transformer.face_keys` of uint8 pictures [B, T, S, S, 3], all of them at once; black where absent."""
        pictures = faces.flatten(0, 1).permute(0, 3, 1, 2).float() / 127.5 - 1
        gone = absent.repeat_interleave(faces.shape[1]).view(-1, 1, 1, 1)
        coordinates = self.transformer.motion_encoder.enc(torch.where(gone, -1.0, pictures))
        motion = torch.unflatten(coordinates.float() @ self.axes, 0, faces.shape[:2])
        tokens = self.transformer.face_encoder(motion)
        return self.transformer.face_adapter.keys(pad(tokens, (0, 0, 0, 0, 1, 0)))

    def velocity(self, x: Tensor, step: Tensor, constants: Constants) -> Tensor:
        """At noisy latents x, for times [B] as whole numbers."""
        return self.transformer.denoise(x, self.time(step), constants)

    def walk(self, batch: Batch, noise: Tensor, solver: Solver, steps: int) -> Iterator[sampling.Step]:
        """Sample latents as the pipeline does, without guidance; frame 0 is the reference's slot."""
        present = torch.zeros(len(noise), dtype=torch.bool, device=noise.device)
        with autocast(noise.device):
            constants = self.constants(batch, present)

        def velocity(x: Tensor, sigma: float) -> Tensor:
            step = torch.full_like(present, sampling.timestep(sigma), dtype=torch.long)
            with autocast(x.device):
                return self.velocity(x, step, constants).float()

        return sampling.solve(solver, velocity, noise, sampling.noise_levels(solver, steps))

    def loss(self, batch: Batch, question: Question) -> Tensor:
        """Mean square of the velocity's error; the reference's own slot counts a little, for it is sampled too."""
        clean = torch.cat([batch.reference, batch.target], 2).float()
        level = question.level.view(-1, 1, 1, 1, 1)
        x = torch.lerp(clean, question.noise, level)
        with autocast(x.device):
            constants = self.constants(batch, question.absent)
            velocity = self.velocity(x, (LEVELS * question.level).long(), constants)
        error = (velocity.float() - (question.noise - clean)).square().mean(1)
        slot = torch.full_like(error[:, :1], REFERENCE_WEIGHT)
        weight = torch.cat([slot, batch.weight.float()], 1)
        return (error * weight).sum() / weight.sum()


def known_channels(batch: Batch) -> Tensor:
    """What the pipeline's `with_reference` makes, float32 [B, 4 + C, t + 1, h, w]."""
    parts = batch.reference[:, None].float(), batch.cells.float(), batch.known[:, None].float()
    return torch.vmap(conditions.with_reference)(*parts)[:, 0]


def clip_pixels(pictures: Tensor, size: int) -> Tensor:
    """`conditions.clip_pixels` of uint8 [B, H, W, 3]."""
    video = pictures.permute(0, 3, 1, 2)[:, :, None].float() / 127.5 - 1
    return conditions.clip_pixels(video, size)


def _chosen(keys: Keys, second: Tensor) -> Keys:
    """Of the keys of two texts [2, n, H, d], one for each clip."""
    where = second.view(-1, 1, 1, 1)
    return Keys(torch.where(where, keys.k[1:], keys.k[:1]), torch.where(where, keys.v[1:], keys.v[:1]))


@torch.no_grad()
def both_prompts(networks: Networks, tokenize: Callable[[str], list[int]], device: torch.device) -> Tensor:
    """Rows of the prompt and of the negative one, padded with zeros to the model's length [2, text_len, text_dim]."""
    rows = [encode_prompt(networks.text, tokenize(text), device)[0] for text in (PROMPT, NEGATIVE_PROMPT)]
    length = networks.transformer.config.text_len
    return torch.stack([pad(row, (0, 0, 0, length - len(row))) for row in rows])


def ask(batch: Batch, generator: torch.Generator, absent: float) -> Question:
    """Noise, and levels as the sampler visits them: even before the shift towards noise."""
    count, channels, frames, height, width = batch.target.shape
    device = batch.target.device
    even = torch.rand(count, device=device, generator=generator)
    return Question(
        noise=torch.randn(count, channels, frames + 1, height, width, device=device, generator=generator),
        level=sampling.shifted(even),
        absent=torch.rand(count, device=device, generator=generator) < absent,
    )


def initialise(transformer: Transformer) -> None:
    """Weights to begin with: every output and every face block starts at nothing, and grows from there."""
    for name, module in transformer.named_modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
            if name == "head.head" or name.endswith("linear2"):
                nn.init.zeros_(module.weight)
    for embedding in (transformer.patch_embedding, transformer.pose_patch_embedding):
        nn.init.xavier_uniform_(embedding.weight.flatten(1))
