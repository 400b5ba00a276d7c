"""The transformer of Wan2.2-Animate: noisy latents, a time and the signals of a segment -> velocity.

Knows no solver, no segments and no files. Reference: "Wan-Animate: Unified Character Animation and
Replacement with Holistic Replication" (2025), and the official wan/modules/animate/model_animate.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from .attention import CrossAttention, Keys, LayerNorm, SelfAttention, rope_table
from .face import FaceAdapter, FaceConfig, FaceEncoder
from .motion import MotionConfig, MotionEncoder

PATCH = 2
"""Latent pixels of a side of a token; a token spans one latent frame."""


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes of the transformer; the defaults are the released ones (17.3 B parameters)."""

    dim: int = 5120
    heads: int = 40
    layers: int = 40
    ffn_dim: int = 13824
    latent_channels: int = 16
    known_channels: int = 20
    """Four channels of mask and the latent of what is known."""
    text_dim: int = 4096
    text_len: int = 512
    image_dim: int = 1280
    freq_dim: int = 256
    face_every: int = 5
    """A face block follows layers 0, 5, 10 …"""
    eps: float = 1e-6
    motion: MotionConfig = field(default_factory=MotionConfig)
    face: FaceConfig = field(default_factory=FaceConfig)

    def __post_init__(self) -> None:
        if self.layers % self.face_every:
            raise ValueError(f"layers is {self.layers}; it must be a multiple of face_every, {self.face_every}")
        if self.dim % (2 * self.heads):
            raise ValueError(f"dim is {self.dim}; each of the {self.heads} heads needs an even share of it")


@dataclass(frozen=True)
class Constants:
    """What stays the same in all steps of a segment; `dataclasses.replace` makes the negative branch of guidance."""

    tokens: Tensor
    """Patch embedding of the known channels, with its bias and the pose: float32 [B, N, dim]."""
    rope: Tensor
    text: tuple[Keys, ...]
    image: tuple[Keys, ...]
    face: tuple[Keys, ...]


Time = tuple[Tensor, Tensor]
"""What the network knows of a time: the head's vector [B, dim] and the blocks' six [B, 6, dim], float32."""


def sinusoid(timestep: Tensor, channels: int) -> Tensor:
    """Time [B] in 0..1000 -> float32 [B, channels], cosines first, computed in float64 as released."""
    # On the CPU, because not every accelerator has float64.
    half = torch.arange(channels // 2, dtype=torch.float64, device="cpu") / (channels // 2)
    angle = torch.outer(timestep.to("cpu", torch.float64), 10000.0**-half)
    return torch.cat((angle.cos(), angle.sin()), dim=1).to(timestep.device, torch.float32)


class Linear32(nn.Linear):
    """A linear layer that works in float32 whatever the type of its weights."""

    def forward(self, input: Tensor) -> Tensor:
        return linear(input.float(), self.weight.float(), self.bias.float())


class PatchEmbedding(nn.Conv3d):
    """The convolution that makes tokens, taken apart into linear maps of `patches`, in float32."""

    def __init__(self, in_dim: int, dim: int) -> None:
        super().__init__(in_dim, dim, (1, PATCH, PATCH), stride=(1, PATCH, PATCH))

    def matrix(self, channels: slice) -> Tensor:
        """The part that reads these channels: [dim, channels·4]."""
        return self.weight[:, channels].float().flatten(1)

    def offset(self) -> Tensor:
        """[dim]."""
        return cast(Tensor, self.bias).float()


def patches(x: Tensor) -> Tensor:
    """[B, C, L, h, w] -> float32 [B, L·h/2·w/2, C·4], channels in the order of the patch convolution's weight."""
    b, c, frames, h, w = x.shape
    x = x.float().reshape(b, c, frames, h // PATCH, PATCH, w // PATCH, PATCH)
    return x.permute(0, 2, 3, 5, 1, 4, 6).reshape(b, -1, c * PATCH * PATCH)


def unpatched(x: Tensor, shape: torch.Size) -> Tensor:
    """Tokens [B, N, 4·C] with the channel as the fastest part -> [B, C, L, h, w] of the given shape."""
    b, c, frames, h, w = shape
    x = x.view(b, frames, h // PATCH, w // PATCH, PATCH, PATCH, c)
    return x.permute(0, 6, 1, 2, 4, 3, 5).reshape(shape)


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """x·(1 + scale) + shift, in one pass over x."""
    return torch.addcmul(shift, x, 1 + scale)


class ImageEmbedding(nn.Module):
    """CLIP's tokens of the character picture -> the transformer's width."""

    def __init__(self, in_dim: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(
            LayerNorm(in_dim), nn.Linear(in_dim, in_dim), nn.GELU(), nn.Linear(in_dim, dim), LayerNorm(dim)
        )

    def forward(self, image: Tensor) -> Tensor:
        """[B, n, in_dim] -> [B, n, dim] in the weights' type."""
        norm_in, widen, gelu, narrow, norm_out = self.proj
        dtype = self.proj[1].weight.dtype
        out: Tensor = norm_out(narrow(gelu(widen(norm_in(image).to(dtype))))).to(dtype)
        return out


class Block(nn.Module):
    """One transformer layer; x is a float32 stream, linear layers and attention work in the weights' type."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        dim, eps = config.dim, config.eps
        self.norm1 = LayerNorm(dim, eps, elementwise_affine=False)
        self.self_attn = SelfAttention(dim, config.heads, eps)
        self.norm3 = LayerNorm(dim, eps)
        self.cross_attn = CrossAttention(dim, config.heads, eps)
        self.norm2 = LayerNorm(dim, eps, elementwise_affine=False)
        self.ffn = nn.Sequential(
            nn.Linear(dim, config.ffn_dim), nn.GELU(approximate="tanh"), nn.Linear(config.ffn_dim, dim)
        )
        self.modulation = nn.Parameter(torch.randn(1, 6, dim) / dim**0.5)

    def forward(self, x: Tensor, time: Tensor, rope: Tensor, text: Keys, image: Keys) -> Tensor:
        """x float32 [B, N, dim], time float32 [B, 6, dim] -> float32 [B, N, dim]."""
        shift1, scale1, gate1, shift2, scale2, gate2 = (self.modulation.float() + time).chunk(6, dim=1)
        x = torch.addcmul(x, gate1, self.self_attn(modulated(self.norm1(x), shift1, scale1), rope))
        x = x + self.cross_attn(self.norm3(x), text, image)
        y = modulated(self.norm2(x), shift2, scale2).to(self.cross_attn.q.weight.dtype)
        return torch.addcmul(x, gate2, self.ffn(y))


class Head(nn.Module):
    """The last norm and projection, float32 throughout."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.norm = LayerNorm(config.dim, config.eps, elementwise_affine=False)
        self.head = Linear32(config.dim, config.latent_channels * PATCH * PATCH)
        self.modulation = nn.Parameter(torch.randn(1, 2, config.dim) / config.dim**0.5)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """x [B, N, dim], time [B, dim] -> float32 [B, N, 4·channels]."""
        shift, scale = (self.modulation.float() + time.unsqueeze(1)).chunk(2, dim=1)
        out: Tensor = self.head(modulated(self.norm(x), shift, scale))
        return out


class Transformer(nn.Module):
    """The released network. `constants` once for a segment, `forward` once for a step."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        self.patch_embedding = PatchEmbedding(config.latent_channels + config.known_channels, dim)
        self.pose_patch_embedding = PatchEmbedding(config.latent_channels, dim)
        self.text_embedding = nn.Sequential(
            nn.Linear(config.text_dim, dim), nn.GELU(approximate="tanh"), nn.Linear(dim, dim)
        )
        self.time_embedding = nn.Sequential(Linear32(config.freq_dim, dim), nn.SiLU(), Linear32(dim, dim))
        self.time_projection = nn.Sequential(nn.SiLU(), Linear32(dim, dim * 6))
        self.img_emb = ImageEmbedding(config.image_dim, dim)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.head = Head(config)
        self.motion_encoder = MotionEncoder(config.motion)
        self.face_encoder = FaceEncoder(config.face, dim)
        self.face_adapter = FaceAdapter(config.layers // config.face_every, dim, config.heads, config.eps)

    def forward(self, noise: Tensor, timestep: Tensor, constants: Constants) -> Tensor:
        """One step: noise [B, C, L, h, w], timestep [B] in 0..1000 -> velocity, float32 of noise's shape.

        Latent frame 0 is the reference; what is said of it there is thrown away by the decoder.
        """
        return self.denoise(noise, self.embed_time(timestep), constants)

    def denoise(self, noise: Tensor, time: Time, constants: Constants) -> Tensor:
        """`forward` for a time that is embedded already."""
        vector, modulation = time
        x = self.embed_noise(noise, constants.tokens)
        every, face_blocks = self.config.face_every, self.face_adapter.fuser_blocks
        for i, block in enumerate(self.blocks):
            x = block(x, modulation, constants.rope, constants.text[i], constants.image[i])
            if i % every == 0:
                x = x + face_blocks[i // every](x, constants.face[i // every])
        return unpatched(self.head(x, vector), noise.shape)

    def constants(self, text: Tensor, image: Tensor, face: Tensor, pose: Tensor, known: Tensor) -> Constants:
        """All that does not change from step to step.

        text [B, n ≤ text_len, text_dim] without padding, image [B, 257, image_dim], face [B, 4t-3, 3, S, S] in -1..1,
        pose [B, C, t, h, w], known [B, 20, t+1, h, w] with the mask first (1 = known) and the reference as frame 0.
        Raises ValueError when these do not belong together.
        """
        return self.constants_of(self.text_keys(text), self.image_keys(image), face, pose, known)

    def constants_of(
        self, text: tuple[Keys, ...], image: tuple[Keys, ...], face: Tensor, pose: Tensor, known: Tensor
    ) -> Constants:
        """`constants` for a text and a picture whose keys are made already: other segments have the same."""
        _, _, frames, height, width = known.shape
        head_dim = self.config.dim // self.config.heads
        keys = self.face_keys(face)
        if keys[0].k.shape[0] != frames * known.shape[0]:
            raise ValueError(f"face has {face.shape[1]} frames; {frames - 1} latent frames need {4 * frames - 7}")
        return Constants(
            tokens=self.embed_known(pose, known),
            rope=rope_table(frames, height // PATCH, width // PATCH, head_dim, known.device),
            text=text,
            image=image,
            face=keys,
        )

    def text_keys(self, text: Tensor) -> tuple[Keys, ...]:
        """Keys of each layer for T5's rows [B, n, text_dim]; padded with zeros, to which the model does attend."""
        missing = self.config.text_len - text.shape[1]
        if missing < 0:
            raise ValueError(f"text has {text.shape[1]} tokens; the model takes {self.config.text_len} at most")
        padded = pad(text, (0, 0, 0, missing))
        context = self.text_embedding(padded.to(self.head.modulation.dtype))
        return tuple(block.cross_attn.text_keys(context) for block in cast(Iterable[Block], self.blocks))

    def image_keys(self, image: Tensor) -> tuple[Keys, ...]:
        """Keys of each layer for CLIP's tokens of the character [B, 257, image_dim]."""
        context = self.img_emb(image)
        return tuple(block.cross_attn.image_keys(context) for block in cast(Iterable[Block], self.blocks))

    def face_keys(self, face: Tensor) -> tuple[Keys, ...]:
        """Keys of each face block for face pictures [B, T, 3, S, S]; the reference frame's face is zeros."""
        size = self.config.motion.size
        if face.shape[2:] != (3, size, size):
            raise ValueError(f"face pictures are {tuple(face.shape[2:])}; the model takes (3, {size}, {size})")
        motion = torch.unflatten(self.motion_encoder(face.flatten(0, 1)), 0, face.shape[:2])
        tokens = self.face_encoder(motion)
        return self.face_adapter.keys(pad(tokens, (0, 0, 0, 0, 1, 0)))

    def embed_known(self, pose: Tensor, known: Tensor) -> Tensor:
        """Tokens of all that is known of a segment's pictures: float32 [B, N, dim]."""
        batch, _, frames, height, width = known.shape
        if height % PATCH or width % PATCH:
            raise ValueError(f"latents are {width}×{height}; both sides must be multiples of {PATCH}")
        expected = (batch, self.config.latent_channels, frames - 1, height, width)
        if pose.shape != expected:
            raise ValueError(f"pose is {tuple(pose.shape)}; with these known channels it must be {expected}")
        here, body = self.patch_embedding, self.pose_patch_embedding
        tokens = linear(patches(known), here.matrix(slice(self.config.latent_channels, None)), here.offset())
        tokens[:, tokens.shape[1] // frames :] += linear(patches(pose), body.matrix(slice(None)), body.offset())
        return tokens

    def embed_noise(self, noise: Tensor, tokens: Tensor) -> Tensor:
        """The stream's start: `tokens` and the patch embedding of the noisy latents, float32 [B, N, dim]."""
        matrix = self.patch_embedding.matrix(slice(self.config.latent_channels))
        return torch.baddbmm(tokens, patches(noise), matrix.T.expand(noise.shape[0], -1, -1))

    def embed_time(self, timestep: Tensor) -> Time:
        """Time [B] in 0..1000 -> `Time`."""
        time = self.time_embedding(sinusoid(timestep, self.config.freq_dim))
        return time, torch.unflatten(self.time_projection(time), 1, (6, -1))
