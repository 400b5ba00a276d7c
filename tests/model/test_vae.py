"""The autoencoder is Wan 2.1's: equal to diffusers', and the same in pieces as in one go."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers
from torch import Tensor

from wan_animate_server.model.vae import VAE, VAEConfig


@pytest.fixture
def vae(vae_config: VAEConfig, randomise: Callable[..., VAE]) -> VAE:
    return randomise(VAE(vae_config))


@pytest.fixture
def peer(vae: VAE, vae_peer: Callable[..., Any]) -> Any:
    peer = vae_peer(vae.config)
    peer.load_state_dict(convert_wan_vae_to_diffusers(vae.state_dict()))
    return peer


def clip(frames: int, batch: int = 2) -> Tensor:
    return torch.rand(batch, 3, frames, 32, 48) * 2 - 1


def statistics(config: VAEConfig) -> tuple[Tensor, Tensor]:
    mean, std = torch.tensor((config.mean, config.std)).view(2, 1, -1, 1, 1, 1)
    return mean, std


@pytest.mark.parametrize("frames", [1, 5, 17])
@torch.no_grad()
def test_encoding_equals_diffusers(frames: int, vae: VAE, peer: Any) -> None:
    video, (mean, std) = clip(frames), statistics(vae.config)
    expected = (peer.encode(video).latent_dist.mode() - mean) / std
    latents = vae.encode(video)
    assert latents.std() > 0.1
    torch.testing.assert_close(latents, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("latent_frames", [1, 2, 5])
@torch.no_grad()
def test_decoding_equals_diffusers_before_its_clamp(latent_frames: int, vae: VAE, peer: Any) -> None:
    mean, std = statistics(vae.config)
    latents = torch.randn(2, 16, latent_frames, 4, 6)
    video = vae.decode(latents)
    assert (video.abs() < 1).float().mean() > 0.5  # the clamp hides nothing
    expected = peer.decode(latents * std + mean).sample
    torch.testing.assert_close(video.clamp(-1, 1), expected, atol=1e-4, rtol=0)
    assert video.shape == (2, 3, 4 * latent_frames - 3, 32, 48)


@pytest.mark.parametrize("frames", [1, 5, 17])
@torch.no_grad()
def test_a_whole_clip_in_one_pass_has_the_numbers_of_the_stream(frames: int, vae: VAE) -> None:
    video, (mean, std) = clip(frames), statistics(vae.config)
    mode = vae.conv1(vae.encoder(video, {})).chunk(2, dim=1)[0]
    latents = vae.encode(video)
    torch.testing.assert_close((mode - mean) / std, latents, atol=1e-5, rtol=0)
    whole = vae.decoder(vae.conv2(mode), {})
    torch.testing.assert_close(whole, vae.decode(latents), atol=1e-4, rtol=0)


def test_a_whole_clip_teaches_every_parameter(vae: VAE) -> None:
    vae.requires_grad_(requires_grad=True)
    mode = vae.conv1(vae.encoder(clip(5), {})).chunk(2, dim=1)[0]
    vae.decoder(vae.conv2(mode), {}).square().mean().backward()
    lost = [name for name, p in vae.named_parameters() if p.grad is None or not p.grad.any()]
    assert not lost


def test_every_parameter_matters(vae: VAE) -> None:
    vae.decode(vae.encode(clip(9))).square().sum().backward()
    idle = {name for name, p in vae.named_parameters() if p.grad is None or not p.grad.abs().max() > 0}
    assert idle == set()


@torch.no_grad()
def test_a_clip_cut_short_has_the_same_first_latents_bit_for_bit(vae: VAE) -> None:
    video = clip(17)
    assert torch.equal(vae.encode(video[:, :, :9]), vae.encode(video)[:, :, :3])


@torch.no_grad()
def test_the_streams_give_the_whole_clip_piece_by_piece(vae: VAE) -> None:
    video = clip(9)
    latents = list(vae.encode_stream(video))
    assert [latent.shape[2] for latent in latents] == [1, 1, 1]
    assert torch.equal(torch.cat(latents, dim=2), vae.encode(video))
    frames = list(vae.decode_stream(torch.cat(latents, dim=2)))
    assert [piece.shape[2] for piece in frames] == [1, 4, 4]
    assert torch.equal(torch.cat(frames, dim=2), vae.decode(torch.cat(latents, dim=2)))


@torch.no_grad()
def test_what_a_stream_remembers_does_not_grow(vae: VAE) -> None:
    for stream in (vae.encode_stream(clip(21)), vae.decode_stream(torch.randn(2, 16, 6, 4, 6))):
        held = []
        for _ in stream:
            memory = stream.gi_frame.f_locals["memory"]  # type: ignore[attr-defined]
            held.append(sum(past.untyped_storage().nbytes() for past in memory.values()))
        assert held[1] > 0
        assert held[2:] == [held[1]] * (len(held) - 2)


@torch.no_grad()
def test_channels_last_gives_the_same_numbers(vae: VAE) -> None:
    video = clip(9)
    latents = vae.encode(video)
    frames = vae.decode(latents)
    for layer in vae.modules():
        if isinstance(layer, torch.nn.Conv3d):
            layer.to(memory_format=torch.channels_last_3d)
    video = video.to(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(vae.encode(video), latents, atol=1e-5, rtol=0)
    latents = latents.to(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(vae.decode(latents), frames, atol=1e-4, rtol=0)


@torch.no_grad()
def test_bfloat16_stays_within_two_percent_of_float32(vae: VAE) -> None:
    video = clip(9)
    vae.bfloat16()
    low = vae.encode(video)
    low_frames = vae.decode(low)
    vae.float()
    high, high_frames = vae.encode(video), vae.decode(low)
    assert ((low - high).norm() / high.norm()).item() <= 2e-2
    assert ((low_frames - high_frames).norm() / high_frames.norm()).item() <= 2e-2


def test_the_full_network_has_the_official_names_shapes_and_count(vae_peer: Callable[..., Any]) -> None:
    with torch.device("meta"):
        vae, peer = VAE(VAEConfig()), vae_peer(VAEConfig())
    assert sum(p.numel() for p in vae.parameters()) == 126_892_531
    shapes = {name: weight.shape for name, weight in convert_wan_vae_to_diffusers(vae.state_dict()).items()}
    assert shapes == {name: weight.shape for name, weight in peer.state_dict().items()}


@torch.no_grad()
def test_a_smaller_network_keeps_the_strides(vae_config: VAEConfig) -> None:
    small = dataclasses.replace(vae_config, multipliers=(1, 2, 2, 2), blocks=1)
    vae = VAE(small)
    assert (small.latent_channels, small.frames, small.stride) == (16, 4, 8)
    assert vae.encode(clip(5)).shape == (2, 16, 2, 4, 6)
    assert vae.decode(torch.zeros(1, 16, 2, 4, 6)).shape == (1, 3, 5, 32, 48)


@pytest.mark.parametrize("shape", [(1, 3, 4, 32, 48), (1, 3, 5, 30, 48), (1, 1, 5, 32, 48)])
def test_a_clip_that_cannot_be_encoded_is_refused_with_a_sentence(shape: tuple[int, ...], vae: VAE) -> None:
    with pytest.raises(ValueError, match=r"expected \[B, 3, 4n\+1, H, W\], H and W multiples of 8"):
        vae.encode(torch.zeros(shape))


def test_a_configuration_whose_parts_do_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="temporal has 1"):
        VAEConfig(temporal=(True,))
    with pytest.raises(ValueError, match="the same number"):
        VAEConfig(mean=(0.0,))
