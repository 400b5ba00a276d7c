"""The text and picture encoders equal those of transformers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from wan_animate_server.model.clip import CLIPConfig, CLIPVision
from wan_animate_server.model.t5 import T5Config, T5Encoder

Convert = Callable[..., dict[str, Tensor]]
Build = Callable[..., Any]


def same_names(theirs: dict[str, Tensor], ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """`ours` without or with the prefix that older releases of transformers use."""
    prefix = "vision_model." if "vision_model.pre_layrnorm.weight" in theirs else ""
    return {prefix + name: weight for name, weight in ours.items()}


@torch.no_grad()
def test_text_features_equal_transformers_near_and_far_and_beside_padding(
    t5_config: T5Config, randomise: Callable[..., T5Encoder], t5_to_transformers: Convert, t5_peer: Build
) -> None:
    encoder, peer = randomise(T5Encoder(t5_config)), t5_peer(t5_config)
    peer.load_state_dict(t5_to_transformers(encoder.state_dict()), strict=False)
    ids = torch.randint(0, t5_config.vocabulary, (2, 300))
    mask = torch.ones(2, 300, dtype=torch.long)
    mask[1, 7:] = 0
    rows = encoder(ids, mask)
    expected = peer(input_ids=ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(rows, expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_padding_does_not_change_the_rows_of_the_text(t5_config: T5Config, randomise: Callable[..., T5Encoder]) -> None:
    encoder = randomise(T5Encoder(t5_config))
    ids = torch.randint(0, t5_config.vocabulary, (1, 9))
    padded = torch.nn.functional.pad(ids, (0, 20))
    rows = encoder(padded, (torch.arange(29) < 9).long()[None])[:, :9]
    torch.testing.assert_close(rows, encoder(ids, torch.ones_like(ids)), atol=1e-5, rtol=0)


@torch.no_grad()
def test_picture_tokens_equal_the_last_layer_but_one_of_transformers(
    clip_config: CLIPConfig, randomise: Callable[..., CLIPVision], clip_to_transformers: Convert, clip_peer: Build
) -> None:
    encoder, peer = randomise(CLIPVision(clip_config)), clip_peer(clip_config)
    peer.load_state_dict(same_names(peer.state_dict(), clip_to_transformers(encoder.state_dict())), strict=False)
    pixels = torch.randn(2, 3, clip_config.size, clip_config.size)
    tokens = encoder(pixels)
    assert tokens.shape == (2, clip_config.tokens, clip_config.dim)
    expected = peer(pixel_values=pixels, output_hidden_states=True).hidden_states[-2]
    torch.testing.assert_close(tokens, expected, atol=1e-5, rtol=0)


def test_the_full_text_encoder_has_the_official_names_shapes_and_count(
    t5_to_transformers: Convert, t5_peer: Build
) -> None:
    with torch.device("meta"):
        encoder, peer = T5Encoder(T5Config()), t5_peer(T5Config())
    assert sum(p.numel() for p in encoder.parameters()) == 5_680_910_336
    shapes = {name: weight.shape for name, weight in t5_to_transformers(encoder.state_dict()).items()}
    theirs = {name: weight.shape for name, weight in peer.state_dict().items()}
    theirs.pop("encoder.embed_tokens.weight", None)  # the same tensor as shared.weight
    assert shapes == theirs


def test_the_full_picture_encoder_has_the_official_names_shapes_and_count(
    clip_to_transformers: Convert, clip_peer: Build
) -> None:
    with torch.device("meta"):
        encoder, peer = CLIPVision(CLIPConfig()), clip_peer(CLIPConfig())
    assert sum(p.numel() for p in encoder.parameters()) == 632_076_800
    assert CLIPConfig().tokens == 257
    ours = same_names(peer.state_dict(), clip_to_transformers(encoder.state_dict()))
    shapes = {name: weight.shape for name, weight in ours.items()}
    theirs = {name: weight.shape for name, weight in peer.state_dict().items() if not name.endswith("position_ids")}
    assert shapes == theirs
