"""Training of the video autoencoder on everything that the pipeline encodes, clips of full length at once.

An autoencoder that is causal in time has to see clips as long as those that it is for: one that learned from nine
frames loses 8 dB by the twentieth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool3d

from .. import world
from ..model.vae import VAE, VAEConfig
from . import examples as shown
from .budget import Budget
from .descent import Descent, compiled, descend
from .pace import Pace, flops, timed
from .precision import autocast
from .record import Report, psnr, sheet
from .reels import Reels, Window
from .team import Team

VIDEOS = 8
"""Windows of clips in a step."""

FRAMES = 40_000
"""Frames of clips that are kept at most: 52 GB of 256×256 pixels."""

DESCENT = Descent(rate=1.5e-3, betas=(0.9, 0.99), decay=1e-3)
KL = 2e-4
"""Of the mean over latents: enough to keep them small and smooth, too little to blur."""

HALF, SCALED = (1, 2, 2), 0.5
"""A picture made smaller, and how much it counts that its latents made smaller in the same way become it: such latents
are smooth, and so learned sooner by whoever is to make them (Kouzelis et al., "EQ-VAE", 2025)."""

HELD_OUT = 8
MEASURED = 8
"""Batches of clips from which the statistics of the latents are taken."""

SEEDS = 1_000_000_007
"""Clips between the seeds of one training and of the next."""


def encode(vae: VAE, video: Tensor) -> Tensor:
    """`VAE.encode` in one pass over the whole clip: the same numbers, few large kernels; float32."""
    mode = vae.conv1(vae.encoder(video, {})).chunk(2, dim=1)[0]
    mean, std = statistics(vae, video.device)
    latents: Tensor = (mode.float() - mean) / std
    return latents


def decode(vae: VAE, latents: Tensor) -> Tensor:
    """`VAE.decode` in one pass over the whole clip."""
    mean, std = statistics(vae, latents.device)
    pictures: Tensor = vae.decoder(vae.conv2(latents.float() * std + mean), {})
    return pictures.float()


def statistics(vae: VAE, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and deviation of the latents by which they are normalised, each [C, 1, 1, 1]."""
    mean, std = torch.tensor((vae.config.mean, vae.config.std), device=device).view(2, -1, 1, 1, 1).unbind()
    return mean, std


def loss(vae: VAE, pictures: Tensor, weight: Tensor) -> Tensor:
    """Weighted distance of pixels and of their differences, at half the size too, and a touch of the latents'
    divergence from normal."""
    with autocast(pictures.device):
        mode, log_variance = vae.conv1(vae.encoder(pictures, {})).chunk(2, dim=1)
        mode, log_variance = mode.float(), log_variance.float().clamp(-20, 10)
        latents = mode + torch.randn_like(mode) * (log_variance / 2).exp()
        restored = vae.decoder(vae.conv2(latents), {}).float()
        small = vae.decoder(vae.conv2(avg_pool3d(latents, HALF)), {}).float()
    error = restored - pictures
    wide, tall = error.diff(dim=-1), error.diff(dim=-2)
    pixels = (_distance(error) * weight).mean()
    edges = (_distance(wide) * weight[..., 1:]).mean() + (_distance(tall) * weight[..., 1:, :]).mean()
    # Blocks of four pixels too, so that flat colours do not drift while edges are sharpened.
    colours = _distance(avg_pool3d(error, (1, 4, 4))).mean()
    scaled = _distance(small - avg_pool3d(pictures, HALF)).mean()
    divergence = (mode.square() + log_variance.exp() - 1 - log_variance).mean() / 2
    total: Tensor = pixels + 0.5 * edges + colours + SCALED * scaled + KL * divergence
    return total


def _distance(error: Tensor) -> Tensor:
    """Charbonnier's: squares near zero, where PSNR looks, and absolute values beyond."""
    return (error.square() + 0.05**2).sqrt() - 0.05


def train(vae: VAE, spec: world.Spec, budget: Budget, seed: int, team: Team, frames: int) -> Iterator[Report]:
    """Train `vae` in place; afterwards it holds the averaged weights and the statistics of its latents.

    Each process draws clips of `frames` frames in all. Reports are the leader's.
    """
    device = vae.conv1.weight.device
    team.share(vae)
    channels_last(vae)
    vae.train().requires_grad_(requires_grad=True)
    kept, own = min(frames, FRAMES), team.seed(seed)
    with timed(f"drawing {kept} frames", device):
        reels = Reels(spec, kept, own, own * SEEDS, device)
    of = compiled(loss, device)
    pace = Pace("vae", device, _cost(vae, reels.window(1)) * VIDEOS * team.size)

    def step_loss(_: int) -> Tensor:
        seen = reels.window(VIDEOS)
        return of(vae, seen.pictures, seen.weight)

    last = yield from descend(vae, step_loss, DESCENT, pace, budget, team, partial(judged, spec))
    vae.eval()
    vae.config = measured(vae, spec, seed)
    if team.leads:
        yield judged(spec, vae, last)


def channels_last(network: nn.Module) -> None:
    """Weights in the layout in which convolutions are fast."""
    for parameter in network.parameters():
        if parameter.dim() >= 4:
            layout = torch.channels_last if parameter.dim() == 4 else torch.channels_last_3d
            parameter.data = parameter.data.contiguous(memory_format=layout)


def _cost(vae: VAE, one: Window) -> float:
    """Of one window forwards and backwards."""
    return flops(lambda: loss(vae, one.pictures, one.weight))


@torch.inference_mode()
def judged(spec: world.Spec, vae: VAE, report: Report) -> Report:
    """`report` with PSNR on clips that are never trained on, and a sheet of pictures beside what became of them."""
    device = vae.conv1.weight.device
    clips = world.clips(replace(spec, split="held-out"), torch.arange(HELD_OUT, device=device))
    frames = shown.video(clips.frames)
    pose = shown.video(world.skeleton(clips.keypoints, spec.height, spec.width))
    with autocast(device):
        frames_again, pose_again = decode(vae, encode(vae, frames)), decode(vae, encode(vae, pose))
    everywhere = torch.ones(clips.alpha.shape, device=device)
    face = shown.face_boxes(clips.keypoints, spec.height, spec.width).float()
    figures = {
        "psnr": psnr(frames_again, frames, clips.alpha / 255),
        "psnr_face": psnr(frames_again, frames, face),
        "psnr_frame": psnr(frames_again, frames, everywhere),
        "psnr_skeleton": psnr(pose_again, pose, everywhere),
    }
    middle = spec.frames // 2
    columns = [clip[:, :, middle] for clip in (frames, frames_again, pose, pose_again)]
    return replace(report, figures=figures, sheet=sheet(columns))


@torch.inference_mode()
def measured(vae: VAE, spec: world.Spec, seed: int) -> VAEConfig:
    """The sizes of `vae` with mean and deviation of each channel of its latents, over training clips."""
    device = vae.conv1.weight.device
    raw = replace(vae.config, mean=(0.0,) * len(vae.config.mean), std=(1.0,) * len(vae.config.std))
    plain, vae.config = vae.config, raw
    found = []
    for i in range(MEASURED):
        clips = world.clips(spec, torch.arange(VIDEOS, device=device) + seed * SEEDS + i * VIDEOS)
        pictures = torch.cat([clips.neutral, clips.own])
        with autocast(device):
            found.append(encode(vae, shown.video(pictures)).transpose(0, 1).flatten(1))
    vae.config = plain
    values = torch.cat(found, 1).double()
    mean, std = values.mean(1).tolist(), values.std(1).tolist()
    return replace(plain, mean=tuple(round(v, 4) for v in mean), std=tuple(round(v, 4) for v in std))
