"""A LoRA in the making: low-rank changes beside the frozen linear layers of a transformer, and their file.

What is changed is what the released relighting LoRA changes: attention and the feed-forward layers of every block.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import linear

from wan_animate_blender.wire import BadInput

from ..checkpoint import checkpoint_of
from ..lora import LoraSet
from ..model.transformer import Transformer
from ..names import Part

CHANGED = re.compile(r"blocks\.\d+\.(self_attn\.[qkvo]|cross_attn\.([qkvo]|[kv]_img)|ffn\.[02])")

PREFIX = "diffusion_model."
"""Before the names of layers in the files that most programs read."""


class Adapted(nn.Linear):
    """A linear layer with the very weights of another, frozen, and a change of rank `rank` that is nothing at first."""

    def __init__(self, plain: nn.Linear, rank: int) -> None:
        super().__init__(plain.in_features, plain.out_features, device="meta")
        self.weight, self.bias = plain.weight, plain.bias
        device, width = plain.weight.device, plain.in_features
        self.lora_down = nn.Parameter(torch.randn(rank, width, device=device) / math.sqrt(width))
        self.lora_up = nn.Parameter(torch.zeros(plain.out_features, rank, device=device))
        self.carried = True

    def forward(self, input: Tensor) -> Tensor:
        plain = super().forward(input)
        if not self.carried:
            return plain
        # In the weights' own type, as everything around it; only what is learned is float32.
        down, up = self.lora_down.to(input.dtype), self.lora_up.to(input.dtype)
        return plain + linear(linear(input, down), up)


def of_change(name: str) -> bool:
    """Whether a parameter is a LoRA's."""
    return name.endswith((".lora_down", ".lora_up"))


@contextmanager
def adapted(transformer: Transformer, rank: int) -> Iterator[None]:
    """While it lasts, every layer that `CHANGED` names is an `Adapted` one; afterwards all is as it was."""
    named = dict(transformer.named_modules())
    plain = {name: layer for name, layer in named.items() if isinstance(layer, nn.Linear) and CHANGED.fullmatch(name)}
    for name, layer in plain.items():
        transformer.set_submodule(name, Adapted(layer, rank))
    try:
        yield
    finally:
        for name, layer in plain.items():
            transformer.set_submodule(name, layer)


@contextmanager
def without(module: nn.Module) -> Iterator[None]:
    """While it lasts, `module` answers without its change."""
    layers = [layer for layer in module.modules() if isinstance(layer, Adapted)]
    for layer in layers:
        layer.carried = False
    try:
        yield
    finally:
        for layer in layers:
            layer.carried = True


def changes(transformer: Transformer) -> nn.ParameterList:
    """What is learned, without the rest of a network that may be large."""
    return nn.ParameterList([half for _, layer in _layers(transformer) for half in (layer.lora_down, layer.lora_up)])


def tensors(transformer: Transformer) -> dict[str, Tensor]:
    """The change in half precision by the names of its file; its alpha is its rank, so that strength 1 is all of it."""
    found = {}
    for name, layer in _layers(transformer):
        found[f"{PREFIX}{name}.lora_down.weight"] = layer.lora_down.detach().half().cpu()
        found[f"{PREFIX}{name}.lora_up.weight"] = layer.lora_up.detach().half().cpu()
        found[f"{PREFIX}{name}.alpha"] = torch.tensor(float(len(layer.lora_down)))
    return found


def go_on(transformer: Transformer, path: Path) -> None:
    """Begin with the change in the file that `tensors` made. Raises `BadInput` where it is another's."""
    stored = load_file(path)
    for name, layer in _layers(transformer):
        for half in ("lora_down", "lora_up"):
            given = stored.get(f"{PREFIX}{name}.{half}.weight")
            wanted: nn.Parameter = getattr(layer, half)
            if given is None or given.shape != wanted.shape:
                shape = None if given is None else tuple(given.shape)
                raise BadInput(
                    f"{path} cannot be gone on from: {name}.{half} is {shape}, expected {tuple(wanted.shape)}; "
                    "move it away to begin anew"
                )
            wanted.data.copy_(given)


def carrier(transformer: Transformer, path: Path) -> Callable[[bool], object]:
    """What makes the transformer, whose weights are frozen, carry the finished LoRA of a file or not.

    It never does where there is no such file.
    """
    if not path.is_file():
        return lambda _: None
    carried = LoraSet(transformer, checkpoint_of(transformer, Part.TRANSFORMER), dtype=lambda _: torch.float32)
    lora = carried.open(path)
    return lambda wanted: carried.apply([(lora, 1.0)] if wanted else [])


def _layers(transformer: Transformer) -> Iterator[tuple[str, Adapted]]:
    return ((name, layer) for name, layer in transformer.named_modules() if isinstance(layer, Adapted))
