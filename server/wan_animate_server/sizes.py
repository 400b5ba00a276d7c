"""How large the networks of a model are. Knows no files of weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_type_hints

import torch

from wan_animate_blender.wire import Precision

from .model.clip import CLIPConfig, CLIPVision
from .model.t5 import T5Config, T5Encoder
from .model.transformer import Transformer, TransformerConfig
from .model.vae import VAE, VAEConfig
from .names import Part

DTYPES = {Precision.FP32: torch.float32, Precision.BF16: torch.bfloat16}

C = TypeVar("C")


class Networks(NamedTuple):
    """The networks of a model, in the order of `Part`."""

    transformer: Transformer
    vae: VAE
    text: T5Encoder
    clip: CLIPVision


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The defaults are the released model's."""

    area: int = 1280 * 720
    """Pixels of a generated frame (width times height) when the settings leave it open."""
    transformer: TransformerConfig = field(default_factory=TransformerConfig)
    vae: VAEConfig = field(default_factory=VAEConfig)
    text: T5Config = field(default_factory=T5Config)
    clip: CLIPConfig = field(default_factory=CLIPConfig)

    def build(self, device: str = "meta") -> Networks:
        """The networks without their weights: on the meta device, or as torch initialises them."""
        with torch.device(device):
            encoders = T5Encoder(self.text), CLIPVision(self.clip)
            networks = Networks(Transformer(self.transformer), VAE(self.vae), *encoders)
        for network in networks:
            network.eval().requires_grad_(requires_grad=False)
        return networks


def part_dtype(part: Part, precision: Precision) -> torch.dtype:
    """The type of a network's weights. The autoencoder stays in 32 bit, as released: its rounding would add up from
    segment to segment."""
    return torch.float32 if part is Part.VAE else DTYPES[precision]


def read_sizes(path: Path) -> Sizes:
    """From JSON; what it leaves out has the released size."""
    return read_config(Sizes, json.loads(path.read_text()))


def read_config(kind: type[C], data: Mapping[str, Any]) -> C:
    """A config dataclass from its JSON form."""
    hints = get_type_hints(kind)
    return kind(**{name: _config_value(hints[name], value) for name, value in data.items()})


def _config_value(hint: Any, value: Any) -> Any:
    if isinstance(hint, type) and is_dataclass(hint):
        return read_config(hint, value)
    return tuple(value) if isinstance(value, list) else value
