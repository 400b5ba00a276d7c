"""The text encoder of Wan: the encoder half of umT5-xxl; token ids in, one row for each token out.

Knows no tokenizer. Differs from T5 by a relative position bias of its own in every layer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


@dataclass(frozen=True)
class T5Config:
    """Sizes of the text encoder; the defaults are umT5-xxl's."""

    vocabulary: int = 256384
    dim: int = 4096
    attention_dim: int = 4096
    ffn_dim: int = 10240
    heads: int = 64
    layers: int = 24
    buckets: int = 32
    max_distance: int = 128


class RMSNorm(nn.Module):
    """Scale to unit root mean square, taken in float32; the result has the weights' type."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        x = x * torch.rsqrt(x.float().square().mean(-1, keepdim=True) + 1e-6)
        return self.weight * x.to(self.weight.dtype)


class Attention(nn.Module):
    """Self-attention without scaling and with an additive bias."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.heads = config.heads
        self.q = nn.Linear(config.dim, config.attention_dim, bias=False)
        self.k = nn.Linear(config.dim, config.attention_dim, bias=False)
        self.v = nn.Linear(config.dim, config.attention_dim, bias=False)
        self.o = nn.Linear(config.attention_dim, config.dim, bias=False)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        q, k, v = (layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        y = scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)
        out: Tensor = self.o(y.transpose(1, 2).flatten(2))
        return out


class FeedForward(nn.Module):
    """Gated feed-forward layer."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.Linear(config.dim, config.ffn_dim, bias=False), nn.GELU(approximate="tanh"))
        self.fc1 = nn.Linear(config.dim, config.ffn_dim, bias=False)
        self.fc2 = nn.Linear(config.ffn_dim, config.dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(self.fc1(x) * self.gate(x))
        return out


class PositionBias(nn.Module):
    """One learned bias for each head and each bucket of distances."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.embedding = nn.Embedding(config.buckets, config.heads)

    def forward(self, buckets: Tensor) -> Tensor:
        """[n, n] -> [1, heads, n, n]."""
        bias: Tensor = self.embedding(buckets)
        return bias.permute(2, 0, 1).unsqueeze(0)


class T5Block(nn.Module):
    """One layer of the encoder."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.norm1 = RMSNorm(config.dim)
        self.attn = Attention(config)
        self.norm2 = RMSNorm(config.dim)
        self.ffn = FeedForward(config)
        self.pos_embedding = PositionBias(config)

    def forward(self, x: Tensor, buckets: Tensor, hidden: Tensor) -> Tensor:
        bias = self.pos_embedding(buckets).masked_fill(hidden, torch.finfo(x.dtype).min)
        x = x + self.attn(self.norm1(x), bias)
        out: Tensor = x + self.ffn(self.norm2(x))
        return out


def distance_buckets(length: int, config: T5Config, device: torch.device) -> Tensor:
    """Bucket of the distance from every token to every other [n, n]: exact when near, logarithmic when far.

    Half of the buckets are for what comes before, half for what comes after (Raffel et al., "T5", 2020, §2.1).
    """
    position = torch.arange(length, device=device)
    distance = position[None, :] - position[:, None]
    half = config.buckets // 2
    exact = half // 2
    ratio = (distance.abs().clamp_min(1).float() / exact).log() / math.log(config.max_distance / exact)
    far = (exact + (ratio * (half - exact)).long()).clamp_max(half - 1)
    near = distance.abs()
    return torch.where(near < exact, near, far) + (distance > 0) * half


class T5Encoder(nn.Module):
    """Token ids -> rows of text features."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocabulary, config.dim)
        self.blocks = nn.ModuleList(T5Block(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.dim)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids [B, n], mask [B, n] (0 = padding, not attended to) -> [B, n, dim] in the weights' type."""
        x = self.token_embedding(ids)
        buckets = distance_buckets(ids.shape[1], self.config, ids.device)
        hidden = (mask == 0)[:, None, None, :]
        for block in self.blocks:
            x = block(x, buckets, hidden)
        out: Tensor = self.norm(x)
        return out
