"""The folder of a small model in the making: its sizes, its networks, and the card that says how it came about.

Weights are written in half precision by the released names, so that `weights.read_model` takes the folder as it is.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from wan_animate_blender.wire import BadInput, write_atomically

from ..checkpoint import load_into, open_checkpoint
from ..names import Part
from ..sizes import Networks, Sizes, read_sizes
from ..weights import PUPPET, TOKENIZER, randomise, read_tokenizer, same
from . import lowrank
from .student import initialise

NAME = "puppet"

LARGEST = 14_000_000
"""Bytes of one file of weights; a larger network is cut into several."""


@dataclass(frozen=True, eq=False)
class Workshop:
    """A model being trained, in float32 on one device."""

    folder: Path
    networks: Networks
    card: list[dict[str, Any]]
    """One entry for each stage that it went through."""

    @classmethod
    def open(cls, folder: Path, source: Path | None, device: torch.device, seed: int) -> Workshop:
        """Go on from the weights in `source`, as far as there are any, and write to `folder`, which is laid out.

        Without `source` everything begins anew, also what is shipped.
        """
        card = source / "card.json" if source else None
        said = json.loads(card.read_text(encoding="utf-8")) if card and card.is_file() else []
        return cls(folder, _networks(source, read_sizes(folder / f"{NAME}.json"), device, seed), said)

    def prompt(self, text: str) -> list[int]:
        """The ids of a prompt."""
        return read_tokenizer(self.folder / TOKENIZER, self.networks.transformer.config.text_len)(text)

    def write(self) -> None:
        """All networks, and the sizes with the statistics of the latents."""
        for part, network in zip(Part, self.networks, strict=True):
            write_part(self.folder, part, network)
        path = self.folder / f"{NAME}.json"
        sizes = json.loads(path.read_text(encoding="utf-8"))
        vae = self.networks.vae.config
        sizes["vae"] |= {"mean": list(vae.mean), "std": list(vae.std)}
        rows = (f" {json.dumps(key)}: {json.dumps(value)}" for key, value in sizes.items())
        write_atomically(path, ("{\n" + ",\n".join(rows) + "\n}\n").encode())

    def lora(self, name: str) -> Path:
        """The file of a LoRA of this model."""
        return self.folder / f"{name}.safetensors"

    def write_lora(self, name: str) -> None:
        """What is being trained beside the transformer."""
        write_atomically(self.lora(name), save(lowrank.tensors(self.networks.transformer)))

    def tell(self, stage: str, facts: Mapping[str, Any]) -> None:
        """Add a stage to the card."""
        self.card.append({"stage": stage, "date": datetime.now(UTC).date().isoformat(), **facts})
        write_atomically(self.folder / "card.json", (json.dumps(self.card, indent=1) + "\n").encode())


def trained(folder: Path) -> Path:
    """`folder`, if a training made it. Raises `BadInput` otherwise."""
    if not (folder / f"{NAME}.json").is_file():
        raise BadInput(f"{folder} has no {NAME}.json; give a folder that wan-animate train made")
    return folder


def lay_out(folder: Path, source: Path | None) -> None:
    """Make `folder`, with sizes and tokenizer, and the LoRAs of the model that is gone on from.

    Raises `BadInput` when `source` is no such model.
    """
    begin = trained(source) if source else PUPPET
    folder.mkdir(parents=True, exist_ok=True)
    if begin.resolve() == folder.resolve():
        return
    loras = [path for path in source.glob("*.safetensors") if path.stem not in set(Part)] if source else []
    for path in (begin / f"{NAME}.json", begin / TOKENIZER, *loras):
        shutil.copyfile(path, folder / path.name)


def _networks(folder: Path | None, sizes: Sizes, device: torch.device, seed: int) -> Networks:
    """With the weights in `folder`; networks that have none there begin anew, the text encoder for ever random."""
    torch.manual_seed(seed)
    networks = sizes.build("cpu")
    initialise(networks.transformer)
    randomise([networks.text])
    for part, network in zip(Part, networks, strict=True):
        if folder and ((folder / part).is_dir() or (folder / f"{part}.safetensors").is_file()):
            checkpoint = open_checkpoint(folder, part)
            load_into(network, checkpoint, device=torch.device("cpu"), dtype=same(torch.float32))
        network.to(device)
    return networks


def write_part(folder: Path, part: Part, network: nn.Module) -> None:
    """One file, or a folder of shards with their index where one would be too large."""
    tensors = {name: tensor.detach().half().cpu().contiguous() for name, tensor in network.state_dict().items()}
    shards = list(_shards(tensors))
    if len(shards) == 1:
        write_atomically(folder / f"{part}.safetensors", save(tensors))
        return
    inside = folder / part
    inside.mkdir(exist_ok=True)
    names = [f"{part}-{i:05}-of-{len(shards):05}.safetensors" for i in range(1, len(shards) + 1)]
    for name, shard in zip(names, shards, strict=True):
        write_atomically(inside / name, save(shard))
    placed = {tensor: name for name, shard in zip(names, shards, strict=True) for tensor in shard}
    index = {"metadata": {"total_size": sum(map(_bytes, tensors.values()))}, "weight_map": placed}
    write_atomically(inside / f"{part}.safetensors.index.json", (json.dumps(index, indent=1) + "\n").encode())


def _shards(tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """In the order of the names, as few as `LARGEST` allows, of about the same size."""
    total = sum(map(_bytes, tensors.values()))
    each = total / -(-total // LARGEST)
    shards: list[dict[str, Tensor]] = [{}]
    filled = 0
    for name, tensor in tensors.items():
        if filled >= each * len(shards):
            shards.append({})
        shards[-1][name] = tensor
        filled += _bytes(tensor)
    return shards


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
