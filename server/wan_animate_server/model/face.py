"""The face signal: motion vectors over time -> tokens (encoder), and their attention in the transformer (adapter)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, silu

from .attention import Keys, LayerNorm, attend


@dataclass(frozen=True)
class FaceConfig:
    """Sizes of the face encoder; the defaults are the released ones."""

    in_dim: int = 512
    hidden_dim: int = 1024
    heads: int = 4


class CausalConv1d(nn.Module):
    """Convolution over time that repeats the first frame to its left."""

    def __init__(self, in_dim: int, out_dim: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(in_dim, out_dim, 3, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, C] -> [B, ceil(T/stride), C']."""
        out: Tensor = self.conv(pad(x.transpose(1, 2), (2, 0), mode="replicate"))
        return out.transpose(1, 2)


class FaceEncoder(nn.Module):
    """Motion vectors of 4n+1 frames -> n+1 groups of `heads` tokens and one learned token."""

    def __init__(self, config: FaceConfig, dim: int) -> None:
        super().__init__()
        hidden = config.hidden_dim
        self.heads = config.heads
        self.conv1_local = CausalConv1d(config.in_dim, hidden * config.heads, stride=1)
        self.conv2 = CausalConv1d(hidden, hidden, stride=2)
        self.conv3 = CausalConv1d(hidden, hidden, stride=2)
        self.norm = LayerNorm(hidden, eps=1e-6, elementwise_affine=False)
        self.out_proj = nn.Linear(hidden, dim)
        self.padding_tokens = nn.Parameter(torch.zeros(1, 1, 1, dim))

    def forward(self, motion: Tensor) -> Tensor:
        """motion [B, T, in_dim] -> [B, t, heads + 1, dim] in the weights' type, t = ceil(ceil(T/2)/2)."""
        dtype = self.out_proj.weight.dtype
        x = self.conv1_local(motion.to(dtype))
        x = torch.cat(x.chunk(self.heads, dim=-1))  # heads become a batch: they share the following layers
        x = self.conv2(silu(self.norm(x)).to(dtype))
        x = self.conv3(silu(self.norm(x)).to(dtype))
        x = self.out_proj(silu(self.norm(x)).to(dtype))
        tokens = torch.stack(x.chunk(self.heads), dim=2)
        return torch.cat((tokens, self.padding_tokens.expand(*tokens.shape[:2], -1, -1)), dim=2)


class FaceBlock(nn.Module):
    """Cross-attention in which the tokens of a latent frame see that frame's face tokens only."""

    def __init__(self, dim: int, heads: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.linear1_kv = nn.Linear(dim, dim * 2)
        self.linear1_q = nn.Linear(dim, dim)
        self.linear2 = nn.Linear(dim, dim)
        self.q_norm = nn.RMSNorm(dim // heads, eps=eps)
        self.k_norm = nn.RMSNorm(dim // heads, eps=eps)
        self.norm = LayerNorm(dim, eps=eps, elementwise_affine=False)

    def keys(self, face: Tensor) -> Keys:
        """Keys and values of the face tokens [B, L, n, dim], every latent frame apart: [B·L, n, heads, head_dim].

        A frame of zeros is not nothing: its keys and values are the learned biases.
        """
        kv = self.linear1_kv(self.norm(face).to(self.linear1_kv.weight.dtype)).flatten(0, 1)
        k, v = kv.unflatten(-1, (2, self.heads, -1)).unbind(2)
        return Keys(self.k_norm(k), v)

    def forward(self, x: Tensor, keys: Keys) -> Tensor:
        """x [B, N, dim], N = L · tokens of a frame -> [B, N, dim] in the weights' type."""
        q = self.linear1_q(self.norm(x).to(self.linear1_q.weight.dtype)).unflatten(-1, (self.heads, -1))
        frames = self.q_norm(q).reshape(keys.k.shape[0], -1, *q.shape[2:])
        out: Tensor = self.linear2(attend(frames, keys.k, keys.v).view(x.shape))
        return out


class FaceAdapter(nn.Module):
    """The face blocks of all layers that have one."""

    def __init__(self, blocks: int, dim: int, heads: int, eps: float) -> None:
        super().__init__()
        self.fuser_blocks = nn.ModuleList(FaceBlock(dim, heads, eps) for _ in range(blocks))

    def keys(self, face: Tensor) -> tuple[Keys, ...]:
        """Keys and values of each block for the face tokens [B, L, n, dim]."""
        return tuple(block.keys(face) for block in self.fuser_blocks if isinstance(block, FaceBlock))
