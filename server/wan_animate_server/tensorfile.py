"""Files of tensors by the names that are in them: safetensors, whole or in shards, and torch's own .pth.

Memory-mapped: nothing is read before it is asked for. Knows no model and renames nothing.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from wan_animate_blender.wire import BadInput

ZIP_MAGIC = b"PK\x03\x04"
PICKLE_MAGIC = b"\x80"
WRAPPERS = ("state_dict", "model")
"""Keys under which training programs put the tensors of a .pth or .ckpt."""


@dataclass(frozen=True)
class Stored:
    """A tensor that has not been read yet."""

    shape: tuple[int, ...]
    read: Callable[[], Tensor]
    """The tensor in its own type on the CPU. It may be a view of the mapped file: never write into it."""


@dataclass(frozen=True)
class TensorFile:
    """A file, or a folder of shards, of named tensors."""

    path: Path
    tensors: Mapping[str, Stored]
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What the writer said about the file, in safetensors only."""


def open_tensors(path: Path) -> TensorFile:
    """Open a .safetensors, .pth, .pt, .ckpt or .bin file, or a shard index (`….safetensors.index.json`).

    Raises `BadInput` for what is not there, is damaged, of another format, or could be read only by running code.
    """
    if not path.is_file():
        raise BadInput(f"there is no file {path}, expected model weights; check the path")
    if path.name.endswith(".safetensors.index.json"):
        return _open_shards(path)
    with path.open("rb") as file:
        magic = file.read(4)
    if path.suffix == ".safetensors":
        return _open_safetensors(path)
    if magic == ZIP_MAGIC or magic[:1] == PICKLE_MAGIC:
        return TensorFile(path, stored(_unpickle(path, is_zip=magic == ZIP_MAGIC)))
    raise BadInput(f"{path} is no file of tensors that is known here, expected .safetensors or .pth; take such a file")


def stored(tensors: Mapping[str, Tensor]) -> dict[str, Stored]:
    """Tensors that are in memory already, in the form of those that are not."""
    return {name: Stored(tuple(tensor.shape), partial(_same, tensor)) for name, tensor in tensors.items()}


def _same(tensor: Tensor) -> Tensor:
    return tensor


def _open_safetensors(path: Path) -> TensorFile:
    try:
        file: Any = safe_open(path, framework="pt", device="cpu")
        names = file.keys()
    except SafetensorError as error:
        raise BadInput(f"{path} is damaged or was not copied to its end ({error}); fetch it again") from error
    tensors = {n: Stored(tuple(file.get_slice(n).get_shape()), partial(file.get_tensor, n)) for n in names}
    return TensorFile(path, tensors, file.metadata() or {})


def _open_shards(index: Path) -> TensorFile:
    try:
        placed: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        shards = sorted(set(placed.values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"{index} is no index of safetensors shards, expected a weight_map; fetch it again") from error
    if missing := [shard for shard in shards if not (index.parent / shard).is_file()]:
        raise BadInput(f"{index.parent} lacks {len(missing)} of {len(shards)} shards, first {missing[0]}; fetch them")
    opened = {shard: _open_safetensors(index.parent / shard).tensors for shard in shards}
    if lost := [name for name, shard in placed.items() if name not in opened[shard]]:
        raise BadInput(
            f"{index} names {len(lost)} tensors that its shards lack, first {lost[0]}; fetch all of it again"
        )
    return TensorFile(index, {name: opened[shard][name] for name, shard in placed.items()})


def _unpickle(path: Path, *, is_zip: bool) -> dict[str, Tensor]:
    """Tensors of a torch file, read without ever running what a pickle may contain.

    Files from before torch 1.6 are no zip archives and cannot be mapped.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        raise BadInput(
            f"{path} holds more than tensors and could be read only by running code from it, which is never done; "
            "take the .safetensors of the same model"
        ) from error
    except (RuntimeError, EOFError) as error:
        raise BadInput(f"{path} is damaged or was not copied to its end; fetch it again") from error
    tensors = {name: value for name, value in _unwrap(content).items() if isinstance(value, Tensor)}
    if not tensors:
        raise BadInput(f"{path} has no named tensors in it, expected model weights; take another file")
    return tensors


def _unwrap(content: Any) -> Mapping[str, Any]:
    if not isinstance(content, Mapping):
        return {}
    inner = (content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping))
    return next(inner, content)
