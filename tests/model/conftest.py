"""Small networks with every parameter random, and the reference libraries' networks with the same weights."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKLWan, WanAnimateTransformer3DModel
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel, UMT5Config, UMT5EncoderModel

from wan_animate_server.model.clip import CLIPConfig
from wan_animate_server.model.face import FaceConfig
from wan_animate_server.model.motion import MotionConfig
from wan_animate_server.model.t5 import T5Config
from wan_animate_server.model.transformer import TransformerConfig
from wan_animate_server.model.vae import VAEConfig

Weights = Mapping[str, Tensor]


@pytest.fixture(autouse=True)
def repeatable() -> Iterator[None]:
    """A fixed seed, and one thread: these networks are small, and waiting threads slow each other on a busy machine."""
    threads = torch.get_num_threads()
    torch.manual_seed(7)
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def transformer_config() -> TransformerConfig:
    return TransformerConfig(
        dim=24,
        heads=2,
        layers=4,
        ffn_dim=32,
        text_dim=16,
        image_dim=8,
        face_every=2,
        motion=MotionConfig(channels=(8, 8, 8), style_dim=8, motion_dim=4, out_dim=16),
        face=FaceConfig(in_dim=16, hidden_dim=16, heads=2),
    )


@pytest.fixture
def vae_config() -> VAEConfig:
    return VAEConfig(dim=8)


@pytest.fixture
def t5_config() -> T5Config:
    return T5Config(vocabulary=64, dim=32, attention_dim=24, ffn_dim=48, heads=4, layers=3)


@pytest.fixture
def clip_config() -> CLIPConfig:
    return CLIPConfig(size=28, dim=32, heads=4, layers=3, out_dim=16)


@pytest.fixture
def randomise() -> Callable[[nn.Module], Any]:
    """Give all parameters random values, also those that start at zero or one: nothing may hide behind a zero."""

    def fill(module: nn.Module) -> nn.Module:
        for name, weight in module.named_parameters():
            with torch.no_grad():
                if weight.ndim == 1 or name.endswith("gamma"):
                    weight.normal_(1.0 if name.endswith(("weight", "gamma")) else 0.0, 0.2)
                elif "enc." in name:  # equalised learning rate: unit weights
                    weight.normal_()
                else:
                    weight.normal_(0.0, (weight.numel() / weight.shape[0]) ** -0.5)
        return module.eval()

    return fill


@pytest.fixture(scope="session")
def transformer_peer() -> Callable[[TransformerConfig], Any]:
    """diffusers' transformer of the same sizes."""

    def build(config: TransformerConfig) -> Any:
        sizes = (str(config.motion.size >> i) for i in range(len(config.motion.channels)))
        return WanAnimateTransformer3DModel(
            num_attention_heads=config.heads,
            attention_head_dim=config.dim // config.heads,
            in_channels=config.latent_channels + config.known_channels,
            latent_channels=config.latent_channels,
            out_channels=config.latent_channels,
            text_dim=config.text_dim,
            freq_dim=config.freq_dim,
            ffn_dim=config.ffn_dim,
            num_layers=config.layers,
            image_dim=config.image_dim,
            added_kv_proj_dim=config.dim,
            motion_encoder_channel_sizes=dict(zip(sizes, config.motion.channels, strict=True)),
            motion_encoder_size=config.motion.size,
            motion_style_dim=config.motion.style_dim,
            motion_dim=config.motion.motion_dim,
            motion_encoder_dim=config.motion.out_dim,
            face_encoder_hidden_dim=config.face.hidden_dim,
            face_encoder_num_heads=config.face.heads,
            inject_face_latents_blocks=config.face_every,
        ).eval()

    return build


@pytest.fixture(scope="session")
def vae_peer() -> Callable[[VAEConfig], Any]:
    """diffusers' autoencoder of the same sizes."""

    def build(config: VAEConfig) -> Any:
        return AutoencoderKLWan(
            base_dim=config.dim,
            dim_mult=list(config.multipliers),
            num_res_blocks=config.blocks,
            temperal_downsample=list(config.temporal),
        ).eval()

    return build


@pytest.fixture(scope="session")
def t5_peer() -> Callable[[T5Config], Any]:
    """transformers' text encoder of the same sizes."""

    def build(config: T5Config) -> Any:
        return UMT5EncoderModel(
            UMT5Config(
                vocab_size=config.vocabulary,
                d_model=config.dim,
                d_kv=config.attention_dim // config.heads,
                d_ff=config.ffn_dim,
                num_layers=config.layers,
                num_heads=config.heads,
                relative_attention_num_buckets=config.buckets,
                relative_attention_max_distance=config.max_distance,
            )
        ).eval()

    return build


@pytest.fixture(scope="session")
def clip_peer() -> Callable[[CLIPConfig], Any]:
    """transformers' picture encoder of the same sizes."""

    def build(config: CLIPConfig) -> Any:
        return CLIPVisionModel(
            CLIPVisionConfig(
                hidden_size=config.dim,
                intermediate_size=config.dim * config.mlp_ratio,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                image_size=config.size,
                patch_size=config.patch,
                hidden_act="gelu",
            )
        ).eval()

    return build


@pytest.fixture(scope="session")
def to_diffusers() -> Callable[[Weights], dict[str, Tensor]]:
    """Official transformer weights under diffusers' names; each official name must meet a rule."""
    table = json.loads((Path(__file__).parent / "keymap.json").read_text())["rules"]
    # A small motion encoder ends earlier than the released one's ninth convolution.
    rules = [(pattern.replace(r"convs\.8\.weight", r"convs\.\d\.weight"), target) for pattern, target in table]

    def renamed(name: str) -> str:
        for pattern, target in rules:
            if match := re.fullmatch(pattern, name):
                minus_one = target.replace("{\\1-1}", str(int(match[1]) - 1)) if "{\\1-1}" in target else target
                return match.expand(minus_one)
        raise KeyError(name)

    def convert(weights: Weights) -> dict[str, Tensor]:
        out = {}
        for name, weight in weights.items():
            target = renamed(name)
            if target.startswith("<SPLIT2_DIM0>"):
                parts = target.removeprefix("<SPLIT2_DIM0>").split("|")
                out.update(zip(parts, weight.chunk(2), strict=True))
            elif target != "<DROP>":
                out[target] = weight.flatten() if target.endswith("act_fn.bias") else weight
        return out

    return convert


@pytest.fixture(scope="session")
def t5_to_transformers() -> Callable[[Weights], dict[str, Tensor]]:
    """Official umT5 weights under transformers' names."""
    attention, feed = r"encoder.block.\1.layer.0.", r"encoder.block.\1.layer.1."
    rules = {
        r"token_embedding\.weight": "shared.weight",
        r"norm\.weight": "encoder.final_layer_norm.weight",
        r"blocks\.(\d+)\.norm1\.weight": attention + "layer_norm.weight",
        r"blocks\.(\d+)\.attn\.([qkvo])\.weight": attention + r"SelfAttention.\2.weight",
        r"blocks\.(\d+)\.pos_embedding\.embedding\.weight": attention + "SelfAttention.relative_attention_bias.weight",
        r"blocks\.(\d+)\.norm2\.weight": feed + "layer_norm.weight",
        r"blocks\.(\d+)\.ffn\.gate\.0\.weight": feed + "DenseReluDense.wi_0.weight",
        r"blocks\.(\d+)\.ffn\.fc1\.weight": feed + "DenseReluDense.wi_1.weight",
        r"blocks\.(\d+)\.ffn\.fc2\.weight": feed + "DenseReluDense.wo.weight",
    }
    return lambda weights: _matched(weights, rules)


@pytest.fixture(scope="session")
def clip_to_transformers() -> Callable[[Weights], dict[str, Tensor]]:
    """Official CLIP weights under transformers' names; the unused `visual.head` has no counterpart there."""
    layer = r"encoder.layers.\1."
    rules = {
        r"visual\.patch_embedding\.weight": "embeddings.patch_embedding.weight",
        r"visual\.cls_embedding": "embeddings.class_embedding",
        r"visual\.pos_embedding": "embeddings.position_embedding.weight",
        r"visual\.pre_norm\.(weight|bias)": r"pre_layrnorm.\1",
        r"visual\.post_norm\.(weight|bias)": r"post_layernorm.\1",
        r"visual\.transformer\.(\d+)\.norm([12])\.(weight|bias)": layer + r"layer_norm\2.\3",
        r"visual\.transformer\.(\d+)\.attn\.to_qkv\.(weight|bias)": layer + r"self_attn.qkv.\2",
        r"visual\.transformer\.(\d+)\.attn\.proj\.(weight|bias)": layer + r"self_attn.out_proj.\2",
        r"visual\.transformer\.(\d+)\.mlp\.0\.(weight|bias)": layer + r"mlp.fc1.\2",
        r"visual\.transformer\.(\d+)\.mlp\.2\.(weight|bias)": layer + r"mlp.fc2.\2",
    }

    def convert(weights: Weights) -> dict[str, Tensor]:
        out = {}
        for name, weight in _matched({k: v for k, v in weights.items() if k != "visual.head"}, rules).items():
            if ".qkv." in name:
                names = (name.replace("qkv", f"{part}_proj") for part in "qkv")
                out.update(zip(names, weight.chunk(3), strict=True))
            else:
                out[name] = weight.squeeze(0) if name.endswith("position_embedding.weight") else weight
        out["embeddings.class_embedding"] = out["embeddings.class_embedding"].flatten()
        return out

    return convert


def _matched(weights: Weights, rules: Mapping[str, str]) -> dict[str, Tensor]:
    out = {}
    for name, weight in weights.items():
        (match,) = [m for pattern in rules if (m := re.fullmatch(pattern, name))]
        out[match.expand(rules[match.re.pattern])] = weight
    return out
