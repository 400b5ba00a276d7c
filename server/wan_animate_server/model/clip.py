"""The picture encoder of Wan: the visual half of open-clip's ViT-H/14; knows no preprocessing.

Wan reads the tokens of the last layer but one. The last layer, `post_norm` and `head` are kept only because the
released file has them, so that loading can be strict.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


@dataclass(frozen=True)
class CLIPConfig:
    """Sizes of the picture encoder; the defaults are ViT-H/14's."""

    size: int = 224
    """Pixels of a side of the picture."""
    patch: int = 14
    dim: int = 1280
    heads: int = 16
    layers: int = 32
    mlp_ratio: int = 4
    out_dim: int = 1024

    @property
    def tokens(self) -> int:
        """Patches and one class token: 257 as released."""
        return (self.size // self.patch) ** 2 + 1


class SelfAttention(nn.Module):
    """Attention with one projection for queries, keys and values."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(dim, dim * 3)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.to_qkv(x).unflatten(-1, (3, self.heads, -1)).transpose(1, 3).unbind(2)
        out: Tensor = self.proj(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return out


class CLIPBlock(nn.Module):
    """One layer of the vision transformer."""

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__()
        dim, hidden = config.dim, config.dim * config.mlp_ratio
        self.norm1 = nn.LayerNorm(dim)
        self.attn = SelfAttention(dim, config.heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class VisionTransformer(nn.Module):
    """Patches of a picture through all layers but the last."""

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__()
        dim = config.dim
        self.patch_embedding = nn.Conv2d(3, dim, config.patch, stride=config.patch, bias=False)
        self.cls_embedding = nn.Parameter(torch.randn(1, 1, dim) / dim**0.5)
        self.pos_embedding = nn.Parameter(torch.randn(1, config.tokens, dim) / dim**0.5)
        self.pre_norm = nn.LayerNorm(dim)
        self.transformer = nn.Sequential(*(CLIPBlock(config) for _ in range(config.layers)))
        self.post_norm = nn.LayerNorm(dim)
        self.head = nn.Parameter(torch.randn(dim, config.out_dim) / dim**0.5)

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.patch_embedding(pixels.to(self.head.dtype)).flatten(2).transpose(1, 2)
        x = torch.cat((self.cls_embedding.expand(len(patches), -1, -1), patches), dim=1)
        out: Tensor = self.transformer[:-1](self.pre_norm(x + self.pos_embedding))
        return out


class CLIPVision(nn.Module):
    """A picture -> the tokens by which Wan knows the character."""

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__()
        self.config = config
        self.visual = VisionTransformer(config)

    def forward(self, pixels: Tensor) -> Tensor:
        """pixels [B, 3, size, size], normalised with CLIP's mean and deviation -> [B, tokens, dim]."""
        out: Tensor = self.visual(pixels)
        return out
