"""The transformer is the released one: equal to diffusers' number for number, complete in names and shapes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from wan_animate_server.model.attention import rope_table
from wan_animate_server.model.face import FaceConfig
from wan_animate_server.model.motion import MotionConfig
from wan_animate_server.model.transformer import Transformer, TransformerConfig, sinusoid

Inputs = dict[str, Tensor]


def inputs(config: TransformerConfig, batch: int = 2, frames: int = 3, height: int = 4, width: int = 6) -> Inputs:
    size = config.motion.size
    return {
        "noise": torch.randn(batch, config.latent_channels, frames + 1, height, width),
        "timestep": torch.tensor([937.0, 208.0][:batch]),
        "text": torch.randn(batch, 11, config.text_dim),
        "image": torch.randn(batch, 257, config.image_dim),
        "face": torch.rand(batch, 4 * frames - 3, 3, size, size) * 2 - 1,
        "pose": torch.randn(batch, config.latent_channels, frames, height, width),
        "known": torch.randn(batch, config.known_channels, frames + 1, height, width),
    }


def ours(model: Transformer, given: Inputs) -> Tensor:
    told = {name: given[name] for name in ("text", "image", "face", "pose", "known")}
    out: Tensor = model(given["noise"], given["timestep"], model.constants(**told))
    return out


def theirs(model: Any, given: Inputs, text_len: int) -> Tensor:
    missing = text_len - given["text"].shape[1]
    out: Tensor = model(
        hidden_states=torch.cat((given["noise"], given["known"]), dim=1),
        timestep=given["timestep"],
        encoder_hidden_states=torch.nn.functional.pad(given["text"], (0, 0, 0, missing)),
        encoder_hidden_states_image=given["image"],
        pose_hidden_states=given["pose"],
        face_pixel_values=given["face"].transpose(1, 2),
    ).sample
    return out


def head_of_128(config: TransformerConfig) -> TransformerConfig:
    """The released head dimension, whose rotary channels are shared out unequally."""
    return dataclasses.replace(config, dim=256, layers=2)


def all_heads_at_once(config: TransformerConfig) -> TransformerConfig:
    return config


@pytest.mark.parametrize("sizes", [all_heads_at_once, head_of_128])
@torch.no_grad()
def test_the_velocity_equals_diffusers(
    sizes: Callable[[TransformerConfig], TransformerConfig],
    transformer_config: TransformerConfig,
    randomise: Callable[..., Transformer],
    to_diffusers: Callable[..., dict[str, Tensor]],
    transformer_peer: Callable[..., Any],
) -> None:
    config = sizes(transformer_config)
    model, peer = randomise(Transformer(config)), transformer_peer(config)
    peer.load_state_dict(to_diffusers(model.state_dict()))
    given = inputs(config)
    velocity = ours(model, given)
    assert velocity.std() > 0.1
    torch.testing.assert_close(velocity, theirs(peer, given, config.text_len), atol=1e-4, rtol=0)


@pytest.mark.parametrize("path", ["noise", "timestep", "text", "image", "face", "pose", "known"])
@torch.no_grad()
def test_every_input_matters_as_exchanging_it_between_two_shots_shows(
    path: str, transformer_config: TransformerConfig, randomise: Callable[..., Transformer]
) -> None:
    model, given = randomise(Transformer(transformer_config)), inputs(transformer_config)
    exchanged = ours(model, given | {path: given[path].flip(0)})
    assert (exchanged - ours(model, given)).abs().amax(dim=(1, 2, 3, 4)).min() > 1e-2


def test_every_parameter_matters(transformer_config: TransformerConfig, randomise: Callable[..., Transformer]) -> None:
    model = randomise(Transformer(transformer_config))
    ours(model, inputs(transformer_config)).square().sum().backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert idle == []


@torch.no_grad()
def test_an_item_of_a_batch_is_computed_as_if_it_were_alone(
    transformer_config: TransformerConfig, randomise: Callable[..., Transformer]
) -> None:
    model, given = randomise(Transformer(transformer_config)), inputs(transformer_config)
    alone = ours(model, {name: value[1:] for name, value in given.items()})
    torch.testing.assert_close(ours(model, given)[1:], alone, atol=1e-5, rtol=0)


@torch.no_grad()
def test_bfloat16_stays_within_two_percent_of_float32(
    transformer_config: TransformerConfig, randomise: Callable[..., Transformer]
) -> None:
    model, given = randomise(Transformer(transformer_config)).bfloat16(), inputs(transformer_config)
    low = ours(model, given)
    high = ours(model.float(), given)
    assert low.dtype == torch.float32
    assert ((low - high).norm() / high.norm()).item() <= 2e-2


@torch.no_grad()
def test_the_negative_branch_replaces_text_and_face_only(
    transformer_config: TransformerConfig, randomise: Callable[..., Transformer]
) -> None:
    model, given = randomise(Transformer(transformer_config)), inputs(transformer_config)
    told = {name: given[name] for name in ("text", "image", "face", "pose", "known")}
    black, empty = torch.full_like(given["face"], -1.0), given["text"][:, :1]
    replaced = dataclasses.replace(model.constants(**told), text=model.text_keys(empty), face=model.face_keys(black))
    expected = ours(model, given | {"text": empty, "face": black})
    assert torch.equal(model(given["noise"], given["timestep"], replaced), expected)


def test_the_full_network_has_the_official_names_shapes_and_count(
    to_diffusers: Callable[..., dict[str, Tensor]],
    transformer_peer: Callable[..., Any],
) -> None:
    config = TransformerConfig()
    with torch.device("meta"):
        model, peer = Transformer(config), transformer_peer(config)
    weights = model.state_dict()
    assert len(weights) == 1441
    assert sum(p.numel() for p in model.parameters()) == 17_274_816_884
    shapes = {name: weight.shape for name, weight in to_diffusers(weights).items()}
    assert shapes == {name: weight.shape for name, weight in peer.state_dict().items()}


def test_the_released_head_turns_22_pairs_by_time_and_21_by_height_and_by_width() -> None:
    angle = torch.atan2(*rope_table(2, 2, 2, 128, torch.device("cpu")).unbind(-1)[::-1]).squeeze(1)
    frame, row, column = angle[4], angle[2], angle[1]
    assert [int(axis.count_nonzero()) for axis in (frame, row, column)] == [22, 21, 21]
    assert frame[:22].all() and row[22:43].all() and column[43:].all()


def test_time_is_embedded_with_cosines_first() -> None:
    embedded = sinusoid(torch.tensor([500.0]), 256)[0]
    angle = torch.tensor(500.0, dtype=torch.float64) * 10000 ** (-torch.arange(128, dtype=torch.float64) / 128)
    torch.testing.assert_close(embedded.double(), torch.cat((angle.cos(), angle.sin())), atol=1e-7, rtol=0)


@pytest.mark.parametrize(
    ("path", "cut", "sentence"),
    [
        ("pose", (slice(None), slice(None), slice(1, None)), "pose is"),
        ("face", (slice(None), slice(4, None)), "face has 5 frames; 3 latent frames need 9"),
        ("face", (slice(None), slice(None), slice(None), slice(1, None)), "face pictures are"),
        ("known", (..., slice(1, None)), "multiples of 2"),
    ],
)
@torch.no_grad()
def test_inputs_that_do_not_belong_together_are_refused_with_a_sentence(
    path: str, cut: tuple[slice, ...], sentence: str, transformer_config: TransformerConfig
) -> None:
    given = inputs(transformer_config)
    with pytest.raises(ValueError, match=sentence):
        ours(Transformer(transformer_config), given | {path: given[path][cut]})


def test_a_prompt_longer_than_the_model_takes_is_refused(transformer_config: TransformerConfig) -> None:
    with pytest.raises(ValueError, match="513 tokens"):
        Transformer(transformer_config).text_keys(torch.zeros(1, 513, transformer_config.text_dim))


def test_layers_that_leave_a_face_block_over_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of face_every"):
        TransformerConfig(layers=41, motion=MotionConfig(), face=FaceConfig())
