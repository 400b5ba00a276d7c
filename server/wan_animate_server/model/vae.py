"""The video autoencoder of Wan 2.1: pictures <-> latents, causal in time and streamed chunk by chunk.

Knows nothing of segments, masks or colour. A latent depends on its own and on earlier frames only, so a clip
gives the same numbers in one call and in pieces. Reference: "Wan" (2025) §4.1, official wan/modules/vae2_1.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

ONEDNN = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]

Memory = dict[nn.Module, Tensor]
"""What each causal convolution has to remember of the previous chunk: its last input frames."""


@dataclass(frozen=True)
class VAEConfig:
    """Sizes of the autoencoder; the defaults are the released ones."""

    dim: int = 96
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    """Width of each resolution as a multiple of `dim`, from the picture's own to the latent's."""
    blocks: int = 2
    """Residual blocks of each resolution of the encoder; the decoder has one more."""
    temporal: tuple[bool, ...] = (False, True, True)
    """Which of the encoder's steps down halve the frame rate too."""
    mean: tuple[float, ...] = (
        *(-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508),
        *(0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921),
    )
    std: tuple[float, ...] = (
        *(2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743),
        *(3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160),
    )

    def __post_init__(self) -> None:
        if len(self.temporal) != len(self.multipliers) - 1:
            raise ValueError(
                f"{len(self.multipliers)} resolutions have one step less between them than that, "
                f"but temporal has {len(self.temporal)} entries"
            )
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean has {len(self.mean)} channels and std {len(self.std)}; give the same number")

    @property
    def latent_channels(self) -> int:
        return len(self.mean)

    @property
    def stride(self) -> int:
        """Pixels of a side of a latent pixel: 8 as released."""
        return 1 << len(self.temporal)

    @property
    def frames(self) -> int:
        """Frames of every latent frame but the first, which is one frame: 4 as released."""
        return 1 << sum(self.temporal)


class CausalConv3d(nn.Conv3d):
    """Convolution that sees the past only; before the first chunk the past is zeros."""

    def __init__(self, in_dim: int, out_dim: int, kernel: tuple[int, int, int], stride: int = 1) -> None:
        self.margin = (0, kernel[1] // 2, kernel[2] // 2)
        super().__init__(in_dim, out_dim, kernel, stride=(stride, 1, 1), padding=self.margin)
        self.past = kernel[0] - stride

    def forward(self, x: Tensor, memory: Memory) -> Tensor:  # type: ignore[override]  # streaming needs a memory
        """[B, C, T, H, W] -> [B, C', T/stride, H, W]; `memory` goes from one chunk to the next."""
        shape = (*x.shape[:2], self.past + x.shape[2], *x.shape[3:])
        # Channels last in memory: norms and convolutions are faster so, on CPUs and on GPUs.
        window = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last_3d)
        window[:, :, : self.past] = memory.get(self, 0.0)
        window[:, :, self.past :] = x
        # A copy, so that the memory does not hold the whole chunk.
        memory[self] = window[:, :, -self.past :].clone()
        if x.device.type == "cpu" and x.dtype is torch.float32 and ONEDNN:
            # For one clip of few channels torch by itself takes a loop that is ten times slower (ATen's use_mkldnn).
            return torch.mkldnn_convolution(window, self.weight, self.bias, self.margin, self.stride, self.dilation, 1)
        return super().forward(window)


class RMSNorm(nn.Module):
    """Every pixel's channels scaled to unit root mean square, then by `gamma`."""

    def __init__(self, dim: int, axes: int) -> None:
        super().__init__()
        self.scale = dim**0.5
        self.gamma = nn.Parameter(torch.ones(dim, *(1,) * axes))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, …] -> the same shape and type; the norm itself is taken in float32."""
        length = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=torch.float32).clamp_min(1e-12)
        out: Tensor = x * (self.scale / length).to(x.dtype)
        return out.mul_(self.gamma)


def per_frame(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """A layer for pictures on every frame of [B, C, T, H, W]."""
    y = layer(x.transpose(1, 2).flatten(0, 1))
    return torch.unflatten(y, 0, (x.shape[0], -1)).transpose(1, 2)


class Residual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            RMSNorm(in_dim, 3),
            nn.SiLU(inplace=True),
            CausalConv3d(in_dim, out_dim, (3, 3, 3)),
            RMSNorm(out_dim, 3),
            nn.SiLU(inplace=True),
            nn.Identity(),  # dropout in training; keeps the checkpoint's numbering
            CausalConv3d(out_dim, out_dim, (3, 3, 3)),
        )
        self.shortcut = nn.Identity() if in_dim == out_dim else nn.Conv3d(in_dim, out_dim, 1)

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        norm1, act1, conv1, norm2, act2, _, conv2 = self.residual
        y = conv1(act1(norm1(x)), memory)
        out: Tensor = conv2(act2(norm2(y)), memory)
        return out.add_(self.shortcut(x))


class FrameAttention(nn.Module):
    """Attention of one head among the pixels of each frame."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = RMSNorm(dim, 2)
        self.to_qkv = nn.Conv2d(dim, dim * 3, 1)
        self.proj = nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, T, H, W] -> the same shape."""
        return x + per_frame(self._attend, x)

    def _attend(self, x: Tensor) -> Tensor:
        q, k, v = self.to_qkv(self.norm(x)).flatten(2).transpose(1, 2).unsqueeze(1).chunk(3, dim=-1)
        y = scaled_dot_product_attention(q, k, v).squeeze(1).transpose(1, 2)
        out: Tensor = self.proj(y.reshape(x.shape))
        return out


class Downsample(nn.Module):
    """Half the width and height, and half the frame rate when `temporal`."""

    def __init__(self, dim: int, temporal: bool) -> None:
        super().__init__()
        self.resample = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(dim, dim, 3, stride=2))
        self.time_conv = CausalConv3d(dim, dim, (3, 1, 1), stride=2) if temporal else None

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        x = per_frame(self.resample, x)
        if self.time_conv is None:
            return x
        if self.time_conv in memory:
            later: Tensor = self.time_conv(x, memory)
            return later
        first = memory[self.time_conv] = x[:, :, :1]  # stays a frame of its own
        return first if x.shape[2] == 1 else torch.cat((first, self.time_conv(x[:, :, 1:], memory)), 2)


class Upsample(nn.Module):
    """Twice the width and height at half the channels, and twice the frame rate when `temporal`."""

    def __init__(self, dim: int, temporal: bool) -> None:
        super().__init__()
        self.resample = nn.Sequential(
            nn.Upsample(scale_factor=2.0, mode="nearest-exact"), nn.Conv2d(dim, dim // 2, 3, padding=1)
        )
        self.time_conv = CausalConv3d(dim, dim * 2, (3, 1, 1)) if temporal else None

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        if self.time_conv is not None:
            x = self._doubled(self.time_conv, x, memory)
        return per_frame(self.resample, x)

    def _doubled(self, time_conv: CausalConv3d, x: Tensor, memory: Memory) -> Tensor:
        if time_conv in memory:
            return self._pairs(time_conv(x, memory))
        first = x[:, :, :1]  # one frame, and the second latent does not see it here
        memory[time_conv] = torch.zeros_like(first).repeat(1, 1, time_conv.past, 1, 1)
        return first if x.shape[2] == 1 else torch.cat((first, self._pairs(time_conv(x[:, :, 1:], memory))), 2)

    def _pairs(self, x: Tensor) -> Tensor:
        pairs = torch.unflatten(x, 1, (2, -1))
        # By way of [B, T, 2, H, W, C], which keeps the channels last in memory.
        return pairs.permute(0, 3, 1, 4, 5, 2).contiguous().flatten(1, 2).permute(0, 4, 1, 2, 3)


class Middle(nn.Sequential):
    """The layers at the lowest resolution."""

    def __init__(self, dim: int) -> None:
        super().__init__(Residual(dim, dim), FrameAttention(dim), Residual(dim, dim))

    def forward(self, x: Tensor, memory: Memory) -> Tensor:  # type: ignore[override]  # streaming needs a memory
        first, attention, last = self
        out: Tensor = last(attention(first(x, memory)), memory)
        return out


class Head(nn.Sequential):
    """The last norm and convolution."""

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__(RMSNorm(dim, 3), nn.SiLU(inplace=True), CausalConv3d(dim, out_dim, (3, 3, 3)))

    def forward(self, x: Tensor, memory: Memory) -> Tensor:  # type: ignore[override]  # streaming needs a memory
        norm, act, conv = self
        out: Tensor = conv(act(norm(x)), memory)
        return out


class Encoder(nn.Module):
    """Frames -> mean and log-variance, before the last projection."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        dims = [config.dim, *(config.dim * m for m in config.multipliers)]
        layers: list[nn.Module] = []
        for (in_dim, out_dim), temporal in zip(pairwise(dims), (*config.temporal, None), strict=True):
            widths = (in_dim, *(out_dim,) * config.blocks)
            layers += [Residual(i, o) for i, o in pairwise(widths)]
            if temporal is not None:
                layers.append(Downsample(out_dim, temporal))
        self.conv1 = CausalConv3d(3, dims[0], (3, 3, 3))
        self.downsamples = nn.Sequential(*layers)
        self.middle = Middle(dims[-1])
        self.head = Head(dims[-1], config.latent_channels * 2)

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        """The next chunk [B, 3, 1 or 4, H, W] -> [B, 2·channels, 1, H/8, W/8]; or a whole clip at once."""
        x = self.conv1(x, memory)
        for layer in self.downsamples:
            x = layer(x, memory)
        out: Tensor = self.head(self.middle(x, memory), memory)
        return out


class Decoder(nn.Module):
    """Latents, after the first projection -> frames."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        dims = [config.dim * m for m in reversed(config.multipliers)]
        layers: list[nn.Module] = []
        in_dim = dims[0]
        for out_dim, temporal in zip(dims, (*reversed(config.temporal), None), strict=True):
            widths = (in_dim, *(out_dim,) * (config.blocks + 1))
            layers += [Residual(i, o) for i, o in pairwise(widths)]
            if temporal is not None:
                layers.append(Upsample(out_dim, temporal))
            in_dim = out_dim // 2
        self.conv1 = CausalConv3d(config.latent_channels, dims[0], (3, 3, 3))
        self.middle = Middle(dims[0])
        self.upsamples = nn.Sequential(*layers)
        self.head = Head(dims[-1], 3)

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        """The next latent frame [B, channels, 1, h, w] -> [B, 3, 1 or 4, h·8, w·8]; or those of a whole clip."""
        x = self.middle(self.conv1(x, memory), memory)
        for layer in self.upsamples:
            x = layer(x, memory)
        out: Tensor = self.head(x, memory)
        return out


class VAE(nn.Module):
    """The autoencoder with the released normalisation of its latents."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.latent_channels
        self.encoder = Encoder(config)
        self.conv1 = nn.Conv3d(channels * 2, channels * 2, 1)
        self.conv2 = nn.Conv3d(channels, channels, 1)
        self.decoder = Decoder(config)

    def encode(self, video: Tensor) -> Tensor:
        """video [B, 3, 4n+1, H, W] in -1..1 -> latents, the distribution's mode: float32 [B, C, n+1, H/8, W/8]."""
        return torch.cat(list(self.encode_stream(video)), dim=2)

    def decode(self, latents: Tensor) -> Tensor:
        """latents [B, C, n+1, h, w] -> video, float32 [B, 3, 4n+1, h·8, w·8], not clamped."""
        return torch.cat(list(self.decode_stream(latents)), dim=2)

    def encode_stream(self, video: Tensor) -> Iterator[Tensor]:
        """`encode`, one latent frame [B, C, 1, H/8, W/8] at a time.

        The clip may lie on the host: a chunk goes to the weights' device when its turn comes, and what is held
        there does not grow with the clip.
        """
        self._check(video)
        memory: Memory = {}
        sizes = [1] + [self.config.frames] * (video.shape[2] // self.config.frames)
        for chunk in torch.split(video, sizes, dim=2):
            mode = self.conv1(self.encoder(chunk.to(self.conv1.weight), memory)).chunk(2, dim=1)[0]
            mean, std = self._statistics(mode.device)
            yield (mode.float() - mean) / std

    def decode_stream(self, latents: Tensor) -> Iterator[Tensor]:
        """`decode`, the frames of one latent frame at a time: [B, 3, 1 (the first) or 4, h·8, w·8]."""
        memory: Memory = {}
        mean, std = self._statistics(latents.device)
        for latent in torch.split(latents, 1, dim=2):
            z = (latent.float() * std + mean).to(self.conv2.weight)
            frames: Tensor = self.decoder(self.conv2(z), memory)
            yield frames.float()

    def _check(self, video: Tensor) -> None:
        stride, step = self.config.stride, self.config.frames
        _, channels, frames, height, width = video.shape
        if channels != 3 or (frames - 1) % step or height % stride or width % stride:
            raise ValueError(
                f"the clip is {tuple(video.shape)}; expected [B, 3, {step}n+1, H, W], H and W multiples of {stride}"
            )

    def _statistics(self, device: torch.device) -> tuple[Tensor, Tensor]:
        # Not buffers: those would follow the weights into bfloat16.
        mean, std = torch.tensor((self.config.mean, self.config.std), device=device).view(2, 1, -1, 1, 1, 1)
        return mean, std
