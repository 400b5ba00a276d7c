"""What a computation costs, found by running the networks themselves on tensors without numbers (the meta device).

So there is no second description of the networks that could differ from them. Knows no shot and no file.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry


class Kind(StrEnum):
    """Work that a device does at different speeds."""

    LINEAR = "linear"
    ATTENTION = "attention"
    CONVOLUTION = "convolution"


@dataclass(frozen=True)
class Cost:
    """Of one computation."""

    flop: dict[Kind, int]
    """Floating-point operations; a multiplication and an addition are two."""
    peak: int
    """Bytes that were allocated inside at most at once, weights and what came in not counted."""

    @property
    def total(self) -> int:
        return sum(self.flop.values())


def measure(computation: Callable[[], object]) -> Cost:
    """Run `computation`, all of whose tensors are on the meta device."""
    meter = _Meter()
    with torch.no_grad(), meter, _Attention(meter):
        computation()
    return Cost({kind: meter.flop[kind] for kind in Kind}, meter.peak)


class _Meter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts every operation and follows the life of every storage."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flop: Counter[Kind] = Counter()
        self.peak = 0
        self._held = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if count := flop_registry.get(func.overloadpacket):
            kind = Kind.CONVOLUTION if "convolution" in str(func) else Kind.LINEAR
            self.flop[kind] += count(*args, **(kwargs or {}), out_val=out)
        known = {storage._cdata for storage in _storages((args, kwargs))}
        for storage in _storages(out):
            if storage._cdata not in known | self._seen:
                self._follow(storage)
        return out

    def _follow(self, storage: torch.UntypedStorage) -> None:
        identity, size = storage._cdata, storage.nbytes()
        self._seen.add(identity)
        self._held += size
        self.peak = max(self.peak, self._held)
        weakref.finalize(storage, self._forget, identity, size)

    def _forget(self, identity: int, size: int) -> None:
        self._seen.discard(identity)
        self._held -= size


def _storages(values: Any) -> list[torch.UntypedStorage]:
    return [value.untyped_storage() for value in tree_leaves(values) if isinstance(value, Tensor)]


class _Attention(TorchFunctionMode):
    """Attention as fused kernels do it: without the matrix of all queries and keys, which meta would make."""

    def __init__(self, meter: _Meter) -> None:
        super().__init__()
        self._meter = meter

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        q, k, v = args[:3]
        self._meter.flop[Kind.ATTENTION] += 2 * prod(q.shape[:-1]) * k.shape[-2] * (q.shape[-1] + v.shape[-1])
        return torch.empty_like(q)
