"""LoRAs in all their spellings → deltas by official names → weights derived anew from the mapped master.

W = master + Σ strength · (alpha / rank) · up @ down, summed in float32 and cast once. Nothing is ever subtracted: a
changed set or strength starts from the master again, so that no rounding adds up. Knows no sampling.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from wan_animate_blender.wire import BadInput, sha256_file

from . import names as official
from .checkpoint import Checkpoint, DtypeOf, counted, is_finite
from .names import Part
from .tensorfile import Stored, TensorFile, open_tensors

KEY = re.compile(
    r"(?P<stem>.+)\.(?:(?P<low>lora_A|lora_B|lora_down|lora_up)(?:\.default)?\.weight|(?P<other>alpha|diff|diff_b|diff_m))"
)
FOREIGN_METHOD = re.compile(r".*\.(dora_scale|lora_magnitude_vector|lora_mid|lokr_\w+|hada_\w+|oft_\w+|glora_\w+)\b.*")
"""Other ways to store a change of weights, which would be wrong if only their LoRA part were taken."""

PREFIX = re.compile(r"^(base_model\.model\.)?(transformer\.)?")
FLAT_PREFIX = "lora_unet_"
"""Before names in which kohya's programs put `_` for `.`."""

ROLES = {"lora_A": "down", "lora_down": "down", "lora_B": "up", "lora_up": "up"}
TARGETS = {"diff": "weight", "diff_b": "bias", "diff_m": "modulation"}

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_METADATA = "lora_adapter_metadata"
"""Where peft (a file beside) and diffusers (in the file) write alpha."""


@dataclass(frozen=True)
class LowRank:
    """scale · up @ down; down [rank, in …], up [out, rank …]."""

    down: Stored
    up: Stored
    scale: float

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.up.shape[0], *self.down.shape[1:])

    def full(self, device: torch.device) -> Tensor:
        """float32 [out, in · …]."""
        down = self.down.read().to(device=device, dtype=torch.float32).flatten(1)
        up = self.up.read().to(device=device, dtype=torch.float32).flatten(1)
        return (up @ down).mul_(self.scale)


@dataclass(frozen=True)
class Difference:
    """What is added as it is: to a bias, a norm or a modulation."""

    stored: Stored

    @property
    def shape(self) -> tuple[int, ...]:
        return self.stored.shape

    def full(self, device: torch.device) -> Tensor:
        """float32, in the file's shape."""
        return self.stored.read().to(device=device, dtype=torch.float32)


Delta = LowRank | Difference


@dataclass(frozen=True, eq=False)
class Lora:
    """A LoRA that fits a model."""

    name: str
    sha256: str
    deltas: Mapping[str, tuple[Delta, ...]]
    """By the official names of the tensors they are added to."""
    left_out: tuple[str, ...] = ()
    """Names in the file that have no place in the model."""

    @property
    def report(self) -> str:
        """How much of it is used, in a sentence for the take's notes."""
        some = (
            f"; {counted(self.left_out, 'delta')} have no place in this model and were left out"
            if self.left_out
            else ""
        )
        return f"the LoRA {self.name} changes {len(self.deltas)} tensors{some}"


class _Found(NamedTuple):
    name: str
    """Foreign name of the (first) tensor, for messages."""
    target: str
    """Foreign name of the weight, bias or modulation it changes."""
    delta: Delta


def open_lora(path: Path, master: Checkpoint) -> Lora:
    """Open a LoRA for the transformer `master`.

    A file that lacks tensors (one for text-to-video has no image keys) changes nothing there. Raises `BadInput` when
    it is no LoRA, none of it has a place in the model, or it was made for another width.
    """
    file = open_tensors(path)
    if strange := [name for name in file.tensors if FOREIGN_METHOD.fullmatch(name)]:
        raise BadInput(f"{path} is no plain LoRA ({strange[0]}), expected up and down matrices; convert it to those")
    found = list(_found(file))
    if not found:
        raise BadInput(f"{path} is {official.family(file.tensors).words}, expected a LoRA; choose another file")
    targets = _official_targets([item.target for item in found], master)
    deltas: dict[str, tuple[Delta, ...]] = {}
    left_out = []
    for item in found:
        target = targets.get(item.target, "")
        if _fits(item, target, master, path):
            deltas[target] = (*deltas.get(target, ()), item.delta)
        else:
            left_out.append(item.name)
    if not deltas:
        raise BadInput(
            f"none of the {counted(left_out, 'delta')} of {path} has a place in {master.source}, "
            "expected a LoRA for Wan-Animate or for a 14B model of Wan 2.1"
        )
    return Lora(path.stem, sha256_file(path), deltas, tuple(left_out))


def _found(file: TensorFile) -> Iterator[_Found]:
    """All deltas of a file, by foreign names."""
    matches = [(name, match) for name in file.tensors if (match := KEY.fullmatch(name))]
    stems: dict[str, dict[str, str]] = {}
    for name, match in matches:
        stems.setdefault(match["stem"], {})[ROLES.get(match["low"], match["other"])] = name
    declared = _declared_scale(file)
    for stem, roles in stems.items():
        if "down" in roles and "up" in roles:
            down, up = file.tensors[roles["down"]], file.tensors[roles["up"]]
            alpha = float(file.tensors[roles["alpha"]].read()) if "alpha" in roles else None
            scale = declared if alpha is None else alpha / down.shape[0]
            yield _Found(roles["down"], f"{stem}.weight", LowRank(down, up, scale))
        for role in TARGETS.keys() & roles.keys():
            yield _Found(roles[role], f"{stem}.{TARGETS[role]}", Difference(file.tensors[roles[role]]))


def _declared_scale(file: TensorFile) -> float:
    """alpha / rank as peft or diffusers declare it once for the whole file, else 1.

    Raises `BadInput` when it differs from layer to layer.
    """
    beside = file.path.with_name(ADAPTER_CONFIG)
    if file.path.name == "adapter_model.safetensors" and beside.is_file():
        said = json.loads(beside.read_text(encoding="utf-8"))
    else:
        said = json.loads(file.metadata.get(ADAPTER_METADATA, "{}"))
        said = {key.removeprefix("transformer."): value for key, value in said.items()}
    if said.get("alpha_pattern") or said.get("rank_pattern"):
        raise BadInput(
            f"{file.path} declares another alpha or rank for each layer, expected one; merge it with peft first"
        )
    if not said.get("lora_alpha"):
        return 1.0
    rank: float = said["r"] ** 0.5 if said.get("use_rslora") else said["r"]
    return float(said["lora_alpha"] / rank)


def _official_targets(targets: Sequence[str], master: Checkpoint) -> dict[str, str]:
    """Foreign → official names of the tensors to change, where there is one in `master`."""
    flat = {name.replace(".", "_"): name for name in master.names}
    dotted = {}
    for target in targets:
        if target.startswith(FLAT_PREFIX):
            stem, leaf = target.removeprefix(FLAT_PREFIX).rsplit(".", 1)
            dotted[target] = flat.get(f"{stem}_{leaf}", "")
        else:
            dotted[target] = PREFIX.sub("", target)
    places = official.places(Part.TRANSFORMER, [*dotted.values()])
    named = {target: places[name].name for target, name in dotted.items() if name in places and places[name].parts == 1}
    return {target: name for target, name in named.items() if name in master.names}


def _fits(item: _Found, target: str, master: Checkpoint, path: Path) -> bool:
    """Whether a delta has a place. Raises `BadInput` when a block's has, at another width."""
    if not target:
        return False
    given, expected = _without_ones(item.delta.shape), _without_ones(master.shape(target))
    if given != expected and target.startswith("blocks."):
        raise BadInput(
            f"{path} was made for a transformer of another width: {target} would change by {given}, "
            f"expected {expected}; take a LoRA for the 14B models"
        )
    return given == expected


def derive(
    master: Checkpoint, name: str, changes: Iterable[tuple[Delta, float]], dtype: torch.dtype, device: torch.device
) -> Tensor:
    """One tensor of `master` with `changes` (deltas with their strengths), merged in float32, then cast.

    Raises `BadInput` when the result is not finite.
    """
    changes = list(changes)
    if not changes:
        return master.get(name, dtype, device)
    weight = master.get(name, torch.float32, device)
    for delta, strength in changes:
        weight = torch.add(weight, delta.full(device).view(weight.shape), alpha=strength)
    if not is_finite(weight):
        raise BadInput(f"{name} is NaN or infinite with this LoRA; fetch its file again or lower its strength")
    return weight.to(dtype)


class LoraSet:
    """The LoRAs that a module carries now."""

    def __init__(self, module: nn.Module, master: Checkpoint, *, dtype: DtypeOf) -> None:
        """`module` holds the tensors of `master`, loaded with the same `dtype`."""
        self._parameters = dict(module.named_parameters())
        self._master = master
        self._dtype = dtype
        self._carried: dict[str, tuple[tuple[str, float], ...]] = {}
        self._opened: dict[tuple[Path, int], Lora] = {}

    def open(self, path: Path) -> Lora:
        """`open_lora` for this module; hashing a file takes seconds, so that it is not opened again for every job."""
        key = path, path.stat().st_mtime_ns
        if key not in self._opened:
            self._opened[key] = open_lora(path, self._master)
        return self._opened[key]

    def apply(self, loras: Sequence[tuple[Lora, float]]) -> int:
        """Carry exactly `loras` with their strengths; an empty list gives the master's own weights back.

        Only tensors whose LoRAs or strengths have changed are derived; returns how many. After an error the next call
        repairs what was left between the two sets.
        """
        wanted: dict[str, tuple[tuple[str, float], ...]] = {}
        changes: dict[str, list[tuple[Delta, float]]] = {}
        for lora, strength in loras:
            for name, deltas in lora.deltas.items() if strength else ():
                wanted[name] = (*wanted.get(name, ()), (lora.sha256, strength))
                changes.setdefault(name, []).extend((delta, strength) for delta in deltas)
        touched = [n for n in {**self._carried, **wanted} if self._carried.get(n, ()) != wanted.get(n, ())]
        for name in touched:
            parameter = self._parameters[name]
            # A new tensor, because the old one may be a view of the master's file.
            parameter.data = derive(self._master, name, changes.get(name, ()), self._dtype(name), parameter.device)
            self._carried[name] = wanted.get(name, ())
        return len(touched)


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)
