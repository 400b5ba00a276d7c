"""The motion encoder and the face encoder equal diffusers', small and at their released sizes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from diffusers.models.transformers.transformer_wan_animate import WanAnimateFaceEncoder, WanAnimateMotionEncoder
from torch import Tensor

from wan_animate_server.model.face import FaceAdapter, FaceConfig, FaceEncoder
from wan_animate_server.model.motion import BATCH, MotionConfig, MotionEncoder, blur_kernel

SMALL = MotionConfig(channels=(6, 8, 10, 12), style_dim=14, motion_dim=4, out_dim=16)


def weights_below(name: str, module: torch.nn.Module, convert: Callable[..., dict[str, Tensor]]) -> dict[str, Tensor]:
    """A part's weights under diffusers' names."""
    whole = convert({f"{name}.{key}": weight for key, weight in module.state_dict().items()})
    return {key.removeprefix(f"{name}."): weight for key, weight in whole.items()}


def motion_reference(config: MotionConfig) -> WanAnimateMotionEncoder:
    channels = {str(config.size >> i): width for i, width in enumerate(config.channels)}
    return WanAnimateMotionEncoder(
        config.size, config.style_dim, config.motion_dim, config.out_dim, config.linears, channels
    )


@pytest.mark.parametrize(("config", "faces"), [(SMALL, BATCH + 3), (MotionConfig(), 1)], ids=["small", "released"])
@torch.no_grad()
def test_the_motion_encoder_equals_diffusers(
    config: MotionConfig,
    faces: int,
    randomise: Callable[..., MotionEncoder],
    to_diffusers: Callable[..., dict[str, Tensor]],
) -> None:
    encoder, peer = randomise(MotionEncoder(config)), motion_reference(config)
    peer.load_state_dict(weights_below("motion_encoder", encoder, to_diffusers))
    pictures = torch.rand(faces, 3, config.size, config.size) * 2 - 1
    motion = encoder(pictures)
    assert motion.std() > 0.1
    torch.testing.assert_close(motion, peer(pictures), atol=1e-5, rtol=0)


def test_the_released_motion_encoder_looks_at_512_pixels() -> None:
    assert MotionConfig().size == 512


def test_the_blur_keeps_brightness() -> None:
    assert blur_kernel().sum() == 1


@torch.no_grad()
def test_an_expression_is_a_sum_of_orthonormal_directions(randomise: Callable[..., MotionEncoder]) -> None:
    direction = randomise(MotionEncoder(SMALL)).dec.direction
    basis = direction(torch.eye(SMALL.motion_dim))
    torch.testing.assert_close(basis @ basis.T, torch.eye(SMALL.motion_dim), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("config", "dim"),
    [(FaceConfig(in_dim=16, hidden_dim=12, heads=3), 24), (FaceConfig(), 64)],
    ids=["small", "released"],
)
@pytest.mark.parametrize(("frames", "latent_frames"), [(1, 1), (13, 4), (77, 20)])
@torch.no_grad()
def test_the_face_encoder_equals_diffusers(
    config: FaceConfig,
    dim: int,
    frames: int,
    latent_frames: int,
    randomise: Callable[..., FaceEncoder],
    to_diffusers: Callable[..., dict[str, Tensor]],
) -> None:
    encoder = randomise(FaceEncoder(config, dim))
    peer = WanAnimateFaceEncoder(config.in_dim, dim, config.hidden_dim, config.heads)
    peer.load_state_dict(weights_below("face_encoder", encoder, to_diffusers))
    motion = torch.randn(2, frames, config.in_dim)
    tokens = encoder(motion)
    assert tokens.shape == (2, latent_frames, config.heads + 1, dim)
    torch.testing.assert_close(tokens, peer(motion), atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_latent_frame_sees_its_own_face_only(randomise: Callable[..., FaceAdapter]) -> None:
    adapter = randomise(FaceAdapter(blocks=1, dim=24, heads=2, eps=1e-6))
    x, face = torch.randn(1, 3 * 4, 24), torch.randn(1, 3, 5, 24)
    other = face.clone()
    other[:, 1] = torch.randn(5, 24)
    block = adapter.fuser_blocks[0]
    change = (block(x, *adapter.keys(other)) - block(x, *adapter.keys(face))).abs().amax(-1).view(3, 4)
    assert (change[1] > 1e-3).all()
    assert change[[0, 2]].max() == 0


@torch.no_grad()
def test_a_frame_without_a_face_adds_a_learned_constant(randomise: Callable[..., FaceAdapter]) -> None:
    adapter = randomise(FaceAdapter(blocks=1, dim=24, heads=2, eps=1e-6))
    block = adapter.fuser_blocks[0]
    (keys,) = adapter.keys(torch.zeros(1, 1, 5, 24))
    expected = block.linear2(block.linear1_kv.bias[24:])
    out = block(torch.randn(1, 4, 24), keys)
    torch.testing.assert_close(out, expected.expand(1, 4, -1), atol=1e-6, rtol=0)
