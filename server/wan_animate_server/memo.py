"""Tensors that are computed once: kept by what they were computed from. Knows no network."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from wan_animate_blender.wire import write_atomically

log = logging.getLogger(__name__)

KEPT = 16
"""Tensors in memory: a few prompts, characters and sizes."""

Key = tuple[str | int, ...]


@dataclass(frozen=True, eq=False)
class Memo:
    """The last few tensors in memory; those that are to last, in a folder too, where there is one."""

    folder: Path | None = None
    maker: str = ""
    """What all lasting tensors depend on beside their key: hashes of weights, precision."""
    _memory: OrderedDict[Key, Tensor] = field(default_factory=OrderedDict, init=False, repr=False)

    def get(self, key: Key, make: Callable[[], Tensor], *, lasting: bool = False) -> Tensor:
        """The tensor of `key`, by `make` when it is not here yet. Read back from disk it lies on the CPU."""
        if key not in self._memory:
            self._memory[key] = self._lasting(key, make) if lasting and self.folder else make()
        self._memory.move_to_end(key)
        while len(self._memory) > KEPT:
            self._memory.popitem(last=False)
        return self._memory[key]

    def path(self, key: Key) -> Path:
        """Where a lasting tensor lies."""
        name = hashlib.sha256(json.dumps([self.maker, key]).encode()).hexdigest()
        return (self.folder or Path()) / f"{name}.safetensors"

    def _lasting(self, key: Key, make: Callable[[], Tensor]) -> Tensor:
        path = self.path(key)
        try:
            return load(path.read_bytes())["tensor"]
        except FileNotFoundError:
            pass
        except (OSError, SafetensorError, KeyError) as error:
            log.warning("%s is damaged and will be made again (%s)", path, error)
        tensor = make()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, save({"tensor": tensor.cpu().contiguous()}))
        except OSError as error:  # a full disk must not stop a render that needs nothing of it
            log.warning("%s cannot be kept (%s)", path, error)
        return tensor
