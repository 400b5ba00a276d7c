"""What a render will take, computed before it from sizes alone: segments, memory, seconds, and what lies where.

Knows no files of weights: the networks are run once without numbers (`cost`), and their bytes are counted.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from wan_animate_blender.wire import Precision, Settings, TryElsewhere

from . import segments
from .cost import Cost, Kind, measure
from .model.transformer import PATCH, Constants
from .names import Part
from .placement import Residence, in_order, once_a_segment, waiting
from .sizes import Networks, Sizes, part_dtype

RESERVE = 2_000_000_000
"""Bytes left for the driver's context, workspaces of cuBLAS and cuDNN, and gaps between allocations."""

RATES: dict[tuple[str, Precision], dict[Kind, float]] = {
    # Measured with torch 2.11 and cuDNN 9.19: linears 75600×5120×13824, attention over 32 760 to 75 600 keys, the
    # autoencoder's 3×3×3 convolutions in TF32 between 198 (96 channels) and 306 (384).
    ("NVIDIA H200", Precision.BF16): {Kind.LINEAR: 808e12, Kind.ATTENTION: 565e12, Kind.CONVOLUTION: 250e12},
}
"""Floating-point operations a second of devices on which they were measured."""


@dataclass(frozen=True)
class Stage:
    """One kind of work of a render."""

    name: str
    times: int
    """How often it is done in the whole shot."""
    cost: Cost
    """Each time."""
    beside: int
    """Bytes on the device meanwhile that are neither in `cost` nor weights of the transformer or the autoencoder."""
    visitors: int = 0
    """Bytes of the transformer's weights that come for it one layer after another, unless all are resident."""

    def peak(self, residence: Residence) -> int:
        """Bytes that it needs beside the weights that always lie there."""
        return self.cost.peak + self.beside + (0 if residence is Residence.RESIDENT else self.visitors)


@dataclass(frozen=True)
class Forecast:
    """A shot's render on any device."""

    width: int
    height: int
    frames: int
    segments: int
    length: int
    """Frames of each segment."""
    tokens: int
    """Of a segment, the reference's included."""
    stages: tuple[Stage, ...]
    weights: dict[Residence, int]
    """Bytes that always lie on the device, by where the transformer's weights are."""

    def needed(self, residence: Residence) -> int:
        """Bytes of device memory at the worst moment."""
        return self.weights[residence] + max(stage.peak(residence) for stage in self.stages) + RESERVE

    def seconds(self, device: str, precision: Precision) -> float | None:
        """An estimate: counted operations over measured rates. None for devices of which no rates are known.

        Passes over memory between the layers are not in it, nor the reading of weights.
        """
        rates = RATES.get((device, precision))
        if rates is None:
            return None
        return sum(n / rates[kind] * stage.times for stage in self.stages for kind, n in stage.cost.flop.items())


@functools.lru_cache(maxsize=8)
def forecast(sizes: Sizes, settings: Settings, frames: int, width: int, height: int) -> Forecast:
    """The render of `frames` frames of `width`×`height` with a model of `sizes`."""
    spans = segments.plan(frames, settings.segment, settings.overlap, settings.plan)
    networks = sizes.build()
    for part, network in zip(Part, networks, strict=True):
        network.to(part_dtype(part, settings.precision))
    work = _Work(networks, spans[0].length, width, height)
    branches = 2 if settings.guidance > 1 else 1
    latent = (spans[0].length - 1) // networks.vae.config.frames + 2
    token = PATCH * networks.vae.config.stride
    return Forecast(
        width=width,
        height=height,
        frames=frames,
        segments=len(spans),
        length=spans[0].length,
        tokens=latent * (height // token) * (width // token),
        stages=tuple(work.stages(len(spans), settings.steps, branches)),
        weights={residence: work.always(residence) for residence in Residence},
    )


def choose(needs: Forecast, memory: int | None) -> Residence:
    """Where the transformer's weights will lie on a device with `memory` bytes; None is the CPU, where all is host.

    Raises `TryElsewhere` when it does not fit in any way.
    """
    if memory is None:
        return Residence.RESIDENT
    fitting = (residence for residence in Residence if needs.needed(residence) <= memory)
    if (found := next(fitting, None)) is None:
        least = min(needs.needed(residence) for residence in Residence)
        raise TryElsewhere(
            f"{needs.width}×{needs.height} with segments of {needs.length} frames needs {least / 1e9:.1f} GB of device "
            f"memory even with streamed weights, and {memory / 1e9:.1f} GB are free; choose a smaller area, shorter "
            "segments or a larger device"
        )
    return found


def memory_of(device: torch.device) -> int | None:
    """Bytes of `device` that this process may use, what torch holds already included; None for the CPU."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return int(free + torch.cuda.memory_reserved(device))


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


class _Work:
    """The computations of one segment, on the meta device."""

    def __init__(self, networks: Networks, length: int, width: int, height: int) -> None:
        self.networks = networks
        self.length = length
        self.width, self.height = width, height
        config, stride = networks.transformer.config, networks.vae.config.stride
        frames = (length - 1) // networks.vae.config.frames + 1
        cells = height // stride, width // stride
        side = config.motion.size
        self.noise = _empty(1, config.latent_channels, frames + 1, *cells)
        self.faces = _empty(1, length, 3, side, side)
        self.given = {
            "text": _empty(1, config.text_len, config.text_dim),
            "image": _empty(1, networks.clip.config.tokens, config.image_dim),
            "face": self.faces,
            "pose": _empty(1, config.latent_channels, frames, *cells),
            "known": _empty(1, config.known_channels, frames + 1, *cells),
        }

    def stages(self, segments: int, steps: int, branches: int) -> list[Stage]:
        transformer, vae, text, clip = self.networks
        visitors = max(map(_bytes, once_a_segment(transformer)))
        made: list[Constants] = []
        keys = measure(lambda: made.append(transformer.constants(**self.given)))
        beside = branches * _stored(made[0])
        ids = torch.empty(1, transformer.config.text_len, dtype=torch.long, device="meta")
        layers = (text.token_embedding, *text.blocks)
        size = clip.config.size
        video = _empty(1, 3, self.length, self.height, self.width)
        picture = _empty(1, 3, size, size)
        latents = self.noise[:, :, 1:]
        return [
            Stage("text", branches, measure(lambda: text(ids, ids)), max(map(_bytes, layers))),
            Stage("picture", 1, measure(lambda: clip(picture)), _bytes(clip)),
            Stage("encode", 2 * segments, measure(lambda: _drain(vae.encode_stream(video))), beside),
            Stage("keys", segments, keys, self.faces.nbytes, visitors),
            Stage("step", segments * steps * branches, self._step(made[0]), beside),
            Stage("decode", segments, measure(lambda: _drain(vae.decode_stream(latents))), beside),
        ]

    def _step(self, constants: Constants) -> Cost:
        width = self.networks.transformer.config.dim
        time = _empty(1, width), _empty(1, 6, width)
        return measure(lambda: self.networks.transformer.denoise(self.noise, time, constants))

    def always(self, residence: Residence) -> int:
        """Bytes of the transformer's and the autoencoder's weights that stay on the device."""
        transformer = self.networks.transformer
        away = waiting(transformer, residence)
        stays = sum(p.nbytes for name, p in transformer.named_parameters() if name not in away)
        if residence is Residence.STREAMED:
            elsewhere = {id(p) for module in once_a_segment(transformer) for p in module.parameters()}
            units = (sum(p.nbytes for p in u.parameters() if id(p) not in elsewhere) for u in in_order(transformer))
            stays += 2 * max(units)
        return stays + _bytes(self.networks.vae)


def _empty(*shape: int) -> Tensor:
    return torch.empty(shape, device="meta")


def _bytes(module: nn.Module) -> int:
    return sum(parameter.nbytes for parameter in module.parameters())


def _stored(constants: Constants) -> int:
    """Bytes behind all tensors, shared ones counted once."""
    keys = (item for layers in (constants.text, constants.image, constants.face) for item in layers)
    tensors: list[Any] = [constants.tokens, constants.rope, *(t for item in keys for t in (item.k, item.v))]
    return sum({t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in tree_leaves(tensors)}.values())


def _drain(chunks: Iterable[Tensor]) -> None:
    for _ in chunks:
        pass
