"""Where weights lie and when: resident on the device, or waiting on the host for the moment they are used.

Works by hooks on the networks, which know nothing of it, and changes no number: the same kernels see the same weights.
Knows no file and no shot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from .model.face import FaceBlock
from .model.transformer import Block, Transformer

ALIGNMENT = 256
"""Bytes; what device allocations are aligned to, and vector loads of kernels rely on."""


class Residence(StrEnum):
    """Where the transformer's weights lie, from most device memory to least."""

    RESIDENT = "resident"
    """All on the device."""
    HOT = "hot"
    """Those of every step on the device. Those that a segment needs once, for its keys, visit when they are used."""
    STREAMED = "streamed"
    """Two blocks on the device: one computes while the next one arrives."""


def once_a_segment(transformer: Transformer) -> list[nn.Module]:
    """The layers that no step uses: they make the keys of text, picture and face, which stay the same."""
    found: list[nn.Module] = [
        transformer.text_embedding, transformer.img_emb, transformer.motion_encoder, transformer.face_encoder,
    ]  # fmt: skip
    for block in cast(Iterable[Block], transformer.blocks):
        cross = block.cross_attn
        found += [cross.k, cross.v, cross.norm_k, cross.k_img, cross.v_img, cross.norm_k_img]
    for fuser in cast(Iterable[FaceBlock], transformer.face_adapter.fuser_blocks):
        found += [fuser.linear1_kv, fuser.k_norm]
    return found


def in_order(transformer: Transformer) -> list[nn.Module]:
    """Blocks and face blocks as a step runs through them."""
    units: list[nn.Module] = []
    for i, block in enumerate(transformer.blocks):
        units.append(block)
        if i % transformer.config.face_every == 0:
            units.append(transformer.face_adapter.fuser_blocks[i // transformer.config.face_every])
    return units


def waiting(transformer: Transformer, residence: Residence) -> set[str]:
    """Names of the parameters that lie on the host between their uses."""
    modules: list[nn.Module] = []
    if residence is not Residence.RESIDENT:
        modules += once_a_segment(transformer)
    if residence is Residence.STREAMED:
        modules += in_order(transformer)
    names = {id(parameter): name for name, parameter in transformer.named_parameters()}
    return {names[id(parameter)] for module in modules for parameter in module.parameters()}


def place(transformer: Transformer, residence: Residence, device: torch.device) -> None:
    """Let the weights of `transformer` come to `device` as `residence` says.

    Those of `waiting` lie on the host already, all others on `device`.
    """
    if residence is Residence.RESIDENT:
        return
    visitors = once_a_segment(transformer)
    for module in visitors:
        visit(module, device)
    if residence is Residence.STREAMED:
        elsewhere = {id(parameter) for module in visitors for parameter in module.parameters()}
        units = in_order(transformer)
        weights = [[p for p in unit.parameters() if id(p) not in elsewhere] for unit in units]
        Conveyor(units, weights, device)


def visit(module: nn.Module, device: torch.device) -> None:
    """Let the weights of `module`, which lie on the host, be on `device` while it computes and not longer."""
    hosts: dict[nn.Parameter, Tensor] = {}

    def arrive(*_: object) -> None:
        for parameter in module.parameters():
            hosts[parameter] = parameter.data
            parameter.data = parameter.data.to(device, copy=True)

    def leave(*_: object) -> None:
        while hosts:
            parameter, host = hosts.popitem()
            parameter.data = host

    module.register_forward_pre_hook(arrive)
    module.register_forward_hook(leave, always_call=True)


def lend(network: nn.Module, fetch: Callable[[nn.Module], None]) -> None:
    """Let `network`, which is on the meta device, have weights only while it computes; `fetch` gives them to it."""

    def arrive(*_: object) -> None:
        with torch.inference_mode(False):
            fetch(network)

    def leave(*_: object) -> None:
        for module in network.modules():
            for name, parameter in module.named_parameters(recurse=False):
                setattr(module, name, nn.Parameter(torch.empty_like(parameter, device="meta"), requires_grad=False))

    network.register_forward_pre_hook(arrive)
    network.register_forward_hook(leave, always_call=True)


@dataclass(frozen=True, eq=False)
class Arrival:
    """Weights on their way to the device, or there."""

    unit: int
    place: int
    hosts: list[Tensor]
    tensors: list[Tensor]
    done: Any
    """Event on the device; None on the CPU, where nothing is asynchronous."""


class Conveyor:
    """Modules that run one after another, round and round, in two places of the device: while one computes, the next
    one's weights arrive in the other place, on a stream of their own."""

    def __init__(self, units: Sequence[nn.Module], weights: Sequence[list[nn.Parameter]], device: torch.device) -> None:
        self._weights = weights
        room = max(sum(map(_room, parameters)) for parameters in weights)
        self._places = [torch.empty(room, dtype=torch.uint8, device=device) for _ in range(2)]
        self._device = device
        self._stream: Any = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._free = [self._now(), self._now()]
        """For each place, when the unit that computed there was done."""
        self._coming: Arrival | None = None
        self._here: Arrival | None = None
        for i, unit in enumerate(units):
            unit.register_forward_pre_hook(partial(self._arrive, i))
            unit.register_forward_hook(self._leave, always_call=True)

    def _arrive(self, i: int, *_: object) -> None:
        here = self._coming
        if here is None or here.unit != i or not _same(here.hosts, self._weights[i]):
            here = self._send(i)  # the first of all, or a LoRA changed it, or the last round was broken off
        if here.done is not None:
            torch.cuda.current_stream(self._device).wait_event(here.done)
        for parameter, tensor in zip(self._weights[i], here.tensors, strict=True):
            parameter.data = tensor
        self._here = here
        self._coming = self._send((i + 1) % len(self._weights))

    def _leave(self, *_: object) -> None:
        if (here := self._here) is None:
            return
        for parameter, host in zip(self._weights[here.unit], here.hosts, strict=True):
            parameter.data = host
        self._free[here.place] = self._now()
        self._here = None

    def _send(self, i: int) -> Arrival:
        """Start the way of unit `i` to the place where nothing computes, as soon as that is free."""
        place = 0 if self._here is None else 1 - self._here.place
        with nullcontext() if self._stream is None else torch.cuda.stream(self._stream):
            if self._stream is not None:
                self._stream.wait_event(self._free[place])
            hosts = [self._pinned(parameter) for parameter in self._weights[i]]
            tensors = list(_copied(hosts, self._places[place]))
            return Arrival(i, place, hosts, tensors, self._now())

    def _pinned(self, parameter: nn.Parameter) -> Tensor:
        """The weight on the host, from now on in memory that the device reads by itself."""
        if self._stream is not None and not parameter.data.is_pinned():
            parameter.data = parameter.data.pin_memory()
        return parameter.data

    def _now(self) -> Any:
        return None if self._stream is None else torch.cuda.current_stream(self._device).record_event()


def _copied(hosts: Iterable[Tensor], place: Tensor) -> Iterator[Tensor]:
    start = 0
    for host in hosts:
        there = place[start : start + host.nbytes].view(host.dtype).view(host.shape)
        yield there.copy_(host, non_blocking=True)
        start += _room(host)


def _same(hosts: Iterable[Tensor], parameters: Iterable[nn.Parameter]) -> bool:
    return all(host.data_ptr() == parameter.data_ptr() for host, parameter in zip(hosts, parameters, strict=True))


def _room(tensor: Tensor) -> int:
    """Bytes of a tensor with the gap after it."""
    return -(-tensor.nbytes // ALIGNMENT) * ALIGNMENT
