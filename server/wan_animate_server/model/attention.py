"""Attention as all networks of the transformer use it: norms, rotary positions, self- and cross-attention.

Knows neither modulation nor what its tokens stand for.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import layer_norm, scaled_dot_product_attention

KERNELS = [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
"""For self-attention on CUDA, the first that can: cuDNN's is 1.6 times as fast as FlashAttention-2 on an H200."""


@dataclass(frozen=True)
class Keys:
    """Keys and values of one attention layer, head by head, normalised: each [B, n, heads, head_dim]."""

    k: Tensor
    v: Tensor


class LayerNorm(nn.LayerNorm):
    """Layer norm in float32 whatever the type of input and weights; the result stays float32."""

    def forward(self, input: Tensor) -> Tensor:
        weight = None if self.weight is None else self.weight.float()
        bias = None if self.bias is None else self.bias.float()
        return layer_norm(input.float(), self.normalized_shape, weight, bias, self.eps)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax attention without mask: q [B, N, H, d], k and v [B, n, H, d] -> [B, N, H·d]."""
    out = scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
    return out.transpose(1, 2).flatten(2)


def rope_table(frames: int, height: int, width: int, head_dim: int, device: torch.device) -> Tensor:
    """Cosine and sine of every token's rotation, frame-major: float32 [frames·height·width, 1, head_dim/2, 2].

    The head's channel pairs are shared out as time, height, width; height and width get a third each,
    rounded down to pairs, time the rest (22, 21, 21 of 64). Angles are taken in float64, as released.
    """
    share = 2 * (head_dim // 6)
    grid = (frames, height, width)
    angles = []
    for axis, channels in enumerate((head_dim - 2 * share, share, share)):
        frequency = 10000.0 ** -(torch.arange(0, channels, 2, dtype=torch.float64, device="cpu") / channels)
        angle = torch.outer(torch.arange(grid[axis], dtype=torch.float64, device="cpu"), frequency)
        shape = [1, 1, 1, channels // 2]
        shape[axis] = grid[axis]
        angles.append(angle.view(shape).expand(*grid, -1))
    angle = torch.cat(angles, dim=-1).flatten(0, 2).unsqueeze(1)
    return torch.stack((angle.cos(), angle.sin()), dim=-1).to(device, torch.float32)


def rotate(x: Tensor, rope: Tensor) -> Tensor:
    """Turn neighbouring channel pairs of x [B, N, H, d] by `rope_table`; float32 inside, x's type outside."""
    real, imaginary = torch.unflatten(x.float(), -1, (-1, 2)).unbind(-1)
    cos, sin = rope.unbind(-1)
    turned = torch.stack((real * cos - imaginary * sin, real * sin + imaginary * cos), dim=-1)
    return turned.flatten(-2).to(x.dtype)


class Attention(nn.Module):
    """The projections that self- and cross-attention share; q and k are RMS-normalised over all heads together."""

    def __init__(self, dim: int, heads: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(dim, dim)
        self.k = nn.Linear(dim, dim)
        self.v = nn.Linear(dim, dim)
        self.o = nn.Linear(dim, dim)
        self.norm_q = nn.RMSNorm(dim, eps=eps)
        self.norm_k = nn.RMSNorm(dim, eps=eps)

    def split(self, x: Tensor) -> Tensor:
        """[B, N, D] -> [B, N, heads, head_dim]."""
        return torch.unflatten(x, -1, (self.heads, -1))


class SelfAttention(Attention):
    """Full attention of all tokens of a segment among themselves, with rotary positions."""

    def forward(self, x: Tensor, rope: Tensor) -> Tensor:
        """x [B, N, D] in any type, `rope` from `rope_table` -> [B, N, D] in the weights' type."""
        x = x.to(self.q.weight.dtype)
        q = rotate(self.split(self.norm_q(self.q(x))), rope)
        k = rotate(self.split(self.norm_k(self.k(x))), rope)
        v = self.split(self.v(x))
        with sdpa_kernel(KERNELS, set_priority=True) if x.is_cuda else nullcontext():
            y = attend(q, k, v)
        out: Tensor = self.o(y)
        return out


class CrossAttention(Attention):
    """Two attentions that share their queries, to the text and to the character picture; their sum is projected."""

    def __init__(self, dim: int, heads: int, eps: float) -> None:
        super().__init__(dim, heads, eps)
        self.k_img = nn.Linear(dim, dim)
        self.v_img = nn.Linear(dim, dim)
        self.norm_k_img = nn.RMSNorm(dim, eps=eps)

    def text_keys(self, context: Tensor) -> Keys:
        """Keys and values of the embedded text [B, n, D]."""
        return Keys(self.split(self.norm_k(self.k(context))), self.split(self.v(context)))

    def image_keys(self, context: Tensor) -> Keys:
        """Keys and values of the embedded picture [B, n, D]."""
        return Keys(self.split(self.norm_k_img(self.k_img(context))), self.split(self.v_img(context)))

    def forward(self, x: Tensor, text: Keys, image: Keys) -> Tensor:
        """x [B, N, D] in any type -> [B, N, D] in the weights' type."""
        q = self.split(self.norm_q(self.q(x.to(self.q.weight.dtype))))
        out: Tensor = self.o(attend(q, text.k, text.v) + attend(q, image.k, image.v))
        return out
