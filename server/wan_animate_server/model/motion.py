"""The motion encoder: one face picture -> one vector of expression; knows nothing of time or of the transformer.

After LIA (Wang et al., "Latent Image Animator", ICLR 2022) with StyleGAN2's equalised learning rate:
stored weights are multiplied by 1/sqrt(fan in) when they are used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, leaky_relu, linear

BATCH = 8
"""Faces that are encoded together: activations of one 512² face are some 100 MB in float32."""


@dataclass(frozen=True)
class MotionConfig:
    """Sizes of the motion encoder; the defaults are the released ones."""

    channels: tuple[int, ...] = (32, 64, 128, 256, 512, 512, 512, 512)
    """Channels at each resolution, from the picture's own down to 4 pixels."""
    style_dim: int = 512
    linears: int = 5
    motion_dim: int = 20
    """Directions of motion, the coordinates of an expression."""
    out_dim: int = 512

    @property
    def size(self) -> int:
        """Pixels of a side of a face picture: 512 as released."""
        return 4 << (len(self.channels) - 1)


def blur_kernel() -> Tensor:
    """The binomial filter before every down-sampling, float32 [4, 4] with sum 1."""
    row = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(row, row) / 64


class Blur(nn.Module):
    """Depthwise filter with `blur_kernel`, kept as a buffer because the released checkpoint stores it."""

    kernel: Tensor

    def __init__(self, pad: int, stride: int) -> None:
        super().__init__()
        self.pad = pad
        self.stride = stride
        self.register_buffer("kernel", blur_kernel())

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        kernel = self.kernel.to(x.dtype).expand(channels, 1, -1, -1)
        return conv2d(x, kernel, stride=self.stride, padding=self.pad, groups=channels)


class EqualConv2d(nn.Module):
    """Convolution with equalised learning rate, without bias."""

    def __init__(self, in_dim: int, out_dim: int, kernel: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_dim, in_dim, kernel, kernel))
        self.scale = 1 / math.sqrt(in_dim * kernel * kernel)
        self.stride = stride
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.weight * self.scale, stride=self.stride, padding=self.padding)


class EqualLinear(nn.Module):
    """Linear layer with equalised learning rate of its weight."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_dim, in_dim))
        self.bias = nn.Parameter(torch.zeros(out_dim))
        self.scale = 1 / math.sqrt(in_dim)

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight * self.scale, self.bias)


class FusedLeakyReLU(nn.Module):
    """Bias, leaky ReLU of slope 0.2, and the gain √2 that keeps the variance."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, dim, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return leaky_relu(x + self.bias, 0.2) * math.sqrt(2)


class MotionBlock(nn.Module):
    """Residual block that halves the resolution."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(EqualConv2d(in_dim, in_dim, 3, padding=1), FusedLeakyReLU(in_dim))
        self.conv2 = nn.Sequential(
            Blur(pad=2, stride=1), EqualConv2d(in_dim, out_dim, 3, stride=2), FusedLeakyReLU(out_dim)
        )
        # The released skip blurs every pixel and then takes every second one; here the blur takes them.
        self.skip = nn.Sequential(Blur(pad=1, stride=2), EqualConv2d(in_dim, out_dim, 1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = (self.conv2(self.conv1(x)) + self.skip(x)) / math.sqrt(2)
        return out


class AppearanceNet(nn.Module):
    """Convolutions from a face picture [n, 3, S, S] to one vector [n, style_dim]."""

    def __init__(self, config: MotionConfig) -> None:
        super().__init__()
        first, *_, last = config.channels
        pairs = pairwise(config.channels)
        self.convs = nn.ModuleList(
            [
                nn.Sequential(EqualConv2d(3, first, 1), FusedLeakyReLU(first)),
                *(MotionBlock(in_dim, out_dim) for in_dim, out_dim in pairs),
                EqualConv2d(last, config.style_dim, 4),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = conv(x)
        return x.flatten(1)


class CoordinateNet(nn.Module):
    """From a face picture to its coordinates along the directions of motion [n, motion_dim]."""

    def __init__(self, config: MotionConfig) -> None:
        super().__init__()
        dims = [config.style_dim] * config.linears + [config.motion_dim]
        self.net_app = AppearanceNet(config)
        # No activation in between: so it was released.
        self.fc = nn.Sequential(*(EqualLinear(i, o) for i, o in pairwise(dims)))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(self.net_app(x))
        return out


class Direction(nn.Module):
    """The directions of motion, made orthonormal."""

    def __init__(self, config: MotionConfig) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(config.out_dim, config.motion_dim))

    def forward(self, coordinates: Tensor) -> Tensor:
        """[n, motion_dim] -> float32 [n, out_dim]; the signs of Q are those of LAPACK's Householder QR."""
        basis: Tensor = torch.linalg.qr((self.weight + 1e-8).float()).Q
        return coordinates.float() @ basis.T


class Synthesis(nn.Module):
    """Holds the directions under the name that the checkpoint gives them."""

    def __init__(self, config: MotionConfig) -> None:
        super().__init__()
        self.direction = Direction(config)


class MotionEncoder(nn.Module):
    """Face pictures -> vectors of expression."""

    def __init__(self, config: MotionConfig) -> None:
        super().__init__()
        self.enc = CoordinateNet(config)
        self.dec = Synthesis(config)

    def forward(self, faces: Tensor) -> Tensor:
        """faces [n, 3, S, S] in -1..1, any n -> float32 [n, out_dim]; works on `BATCH` faces at a time."""
        dtype = self.dec.direction.weight.dtype
        coordinates = torch.cat([self.enc(batch.to(dtype)) for batch in torch.split(faces, BATCH)])
        motion: Tensor = self.dec.direction(coordinates)
        return motion
