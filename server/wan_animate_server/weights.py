"""Names and files → models ready to run. Knows file layouts; the networks do not."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import is_dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from wan_animate_blender.wire import BadInput, Precision, Unavailable, sha256_file

from .checkpoint import load_into, open_checkpoint
from .model.clip import CLIPConfig, CLIPVision
from .model.t5 import T5Config, T5Encoder
from .model.transformer import Transformer, TransformerConfig
from .model.vae import VAE, VAEConfig
from .names import Part
from .pipeline import Model

MODELS = {"puppet": Path(__file__).parent / "puppet"}
"""Where each model lies: `<name>.json` with its sizes, tokenizer.json, and a safetensors file for each network."""

TOKENIZER = "tokenizer.json"

RANDOM_WEIGHTS = "weights are random: arithmetic is real, pictures are not"

DTYPES = {Precision.FP32: torch.float32, Precision.BF16: torch.bfloat16}

C = TypeVar("C")


def load_model(name: str, *, device: str = "cpu", precision: Precision = Precision.FP32) -> Model:
    """The model `name` on `device`.

    Raises `Unavailable` when the model or the device is not there, `BadInput` when the model's files do not fit.
    """
    if name not in MODELS:
        raise Unavailable(f"the model {name!r} is not installed; choose one of: {', '.join(sorted(MODELS))}")
    return read_model(name, MODELS[name], find_device(device), precision)


def read_model(name: str, folder: Path, device: torch.device, precision: Precision) -> Model:
    """The model that lies in `folder` as `MODELS` says; random where it has no weights. Raises `BadInput`."""
    sizes = json.loads((folder / f"{name}.json").read_text())
    weights = sorted(folder.glob("*.safetensors"))
    with torch.device("meta" if weights else "cpu"):
        transformer = Transformer(read_config(TransformerConfig, sizes["transformer"]))
        vae = VAE(read_config(VAEConfig, sizes["vae"]))
        text = T5Encoder(read_config(T5Config, sizes["text"]))
        clip = CLIPVision(read_config(CLIPConfig, sizes["clip"]))
    networks = dict(zip(Part, (transformer, vae, text, clip), strict=True))
    # The autoencoder stays in 32 bit, as released: its rounding would add up from segment to segment.
    dtypes = {part: torch.float32 if part is Part.VAE else DTYPES[precision] for part in Part}
    if weights:
        for part, network in networks.items():
            load_into(network, open_checkpoint(folder, part), device=device, dtype=partial(_same, dtypes[part]))
    else:
        randomise(networks.values())
    for part, network in networks.items():
        network.to(device, dtypes[part]).eval().requires_grad_(False)
    return Model(
        name=name,
        area=sizes["area"],
        transformer=transformer,
        vae=vae,
        text=text,
        clip=clip,
        tokenizer=read_tokenizer(folder / TOKENIZER, transformer.config.text_len),
        device=device,
        dtype=DTYPES[precision],
        files={path.name: sha256_file(path) for path in (folder / f"{name}.json", folder / TOKENIZER, *weights)},
        notes=() if weights else (RANDOM_WEIGHTS,),
    )


def _same(dtype: torch.dtype, _name: str) -> torch.dtype:
    return dtype


def find_device(name: str) -> torch.device:
    """The device called `name` ("cpu", "cuda", "cuda:1", "mps"). Raises `BadInput` or `Unavailable`."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BadInput(f"{name!r} is not the name of a device; give cpu, cuda, cuda:1 or mps") from error
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # each backend has its own way to be absent
        raise Unavailable(f"the device {name} is not there ({str(error).splitlines()[0]}); choose another") from error
    return device


def read_config(kind: type[C], data: Mapping[str, Any]) -> C:
    """A config dataclass from its JSON form; what `data` leaves out has the released size."""
    hints = get_type_hints(kind)
    return kind(**{name: _config_value(hints[name], value) for name, value in data.items()})


def _config_value(hint: Any, value: Any) -> Any:
    if isinstance(hint, type) and is_dataclass(hint):
        return read_config(hint, value)
    return tuple(value) if isinstance(value, list) else value


def read_tokenizer(path: Path, length: int) -> Callable[[str], list[int]]:
    """Ids of a prompt, at most `length`, the end mark included. Prompts are cleaned as umT5 was trained to see them."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.enable_truncation(length)

    def ids(prompt: str) -> list[int]:
        unescaped = html.unescape(html.unescape(prompt))
        found: list[int] = tokenizer.encode(re.sub(r"\s+", " ", unescaped).strip()).ids
        return found

    return ids


def randomise(networks: Iterable[nn.Module]) -> None:
    """The same random weights for everybody: every parameter, also those that are zeros before training, so that
    every path through the networks counts; outputs have a sane size."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for network in networks:
            for name, parameter in network.named_parameters():
                parameter.copy_(_drawn(name, parameter, generator))


def _drawn(name: str, parameter: Tensor, generator: torch.Generator) -> Tensor:
    noise = torch.randn(parameter.shape, generator=generator)
    if name.endswith("bias"):
        return 0.02 * noise
    if name.endswith("gamma") or parameter.ndim == 1:  # gains of norms
        return 1 + 0.02 * noise
    if name.startswith("motion_encoder."):  # these layers scale their weights when they run
        return noise
    # A table for all positions alike (modulation, learned tokens) has its width last; everything else its inputs.
    inputs = parameter.shape[-1] if parameter.shape[0] == 1 else parameter.numel() / parameter.shape[0]
    scaled: Tensor = noise / inputs**0.5
    return scaled
