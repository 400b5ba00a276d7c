"""Networks that read poses, identities and expressions off pictures of the made-up world. Knows no take.

Each says how sure it is. They judge a model, so they are no part of it: trained by `train.estimators`, kept elsewhere.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, grid_sample, interpolate, normalize, silu

from wan_animate_blender.wire import KEYPOINTS, BadInput, write_atomically

from ..world import EXPRESSION

HOME = Path(__file__).parents[1] / "estimators"
"""Where those lie that come with this program."""
SIZES, CARD = "estimators.json", "card.json"
OTHERS = 256
"""References of held-out characters among whom an identity is to be recognised."""

LEAST = 1e-3
"""Of the picture's side: nobody is surer than that."""

SHARP = 16.0
"""By how much a map's numbers are raised: weights alone take thousands of steps until it has a peak."""


class Kind(StrEnum):
    """What is read."""

    POSE = "pose"
    IDENTITY = "identity"
    EXPRESSION = "expression"


@dataclass(frozen=True)
class Width:
    """How large an estimator is, and how much it sees."""

    channels: int
    """Of its finest level; each coarser one has twice as many, up to `WIDEST` times as many."""
    size: int
    """Pixels of a side of what it looks at, a multiple of 32."""


WIDEST = 6
WIDTHS = {Kind.POSE: Width(32, 128), Kind.IDENTITY: Width(24, 96), Kind.EXPRESSION: Width(32, 96)}
"""10, 4 and 7 MB of files: they travel with the server."""


class Block(nn.Module):
    """A residual block; `step` 2 halves the picture."""

    def __init__(self, inputs: int, outputs: int, step: int = 1) -> None:
        super().__init__()
        self.first = nn.Sequential(_norm(inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, step, 1))
        self.second = nn.Sequential(_norm(outputs), nn.SiLU(), nn.Conv2d(outputs, outputs, 3, 1, 1))
        self.beside = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        beside = avg_pool2d(x, 2) if self.step == 2 else x
        made: Tensor = self.beside(beside) + self.second(self.first(x))
        return made


class Trunk(nn.Module):
    """Pictures [N, 3, S, S], −1..1 → features at S/2, S/4, S/8, S/16 and S/32."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.widths = [channels * min(2**i, WIDEST) for i in range(5)]
        self.stem = nn.Conv2d(3, channels, 3, 2, 1)
        steps = [Block(channels, channels), *(Block(a, b, 2) for a, b in pairwise(self.widths))]
        self.levels = nn.ModuleList(
            nn.Sequential(step, Block(w, w)) for step, w in zip(steps, self.widths, strict=True)
        )

    def forward(self, pictures: Tensor) -> list[Tensor]:
        x, found = self.stem(pictures), []
        for level in self.levels:
            x = level(x)
            found.append(x)
        return found


class PoseNet(nn.Module):
    """Whole pictures → the 133 keypoints, each the mean of a map of where it may be."""

    def __init__(self, width: Width) -> None:
        super().__init__()
        self.size = width.size
        self.trunk = Trunk(width.channels)
        wide = self.trunk.widths
        self.up = nn.ModuleList(Block(b + a, a) for a, b in pairwise(wide))
        maps = nn.Conv2d(wide[0], KEYPOINTS, 1)
        # At first everybody may be anywhere, not at a random place for sure.
        nn.init.zeros_(maps.weight)
        nn.init.zeros_(cast(Tensor, maps.bias))
        self.head = nn.Sequential(_norm(wide[0]), nn.SiLU(), maps)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """[N, 3, S, S] → places [N, 133, 2], 0..1 of the picture's sides, and how far off they may be [N, 133]."""
        *finer, x = self.trunk(pictures)
        for level, block in zip(reversed(finer), reversed(self.up), strict=True):
            x = block(torch.cat([interpolate(x, scale_factor=2.0), level], 1))
        return _places(SHARP * self.head(x).float())

    def features(self, pictures: Tensor) -> Tensor:
        """What the coarsest level sees [N, D]: of what kind a picture is."""
        coarsest: Tensor = self.trunk(pictures)[-1]
        return coarsest.float().mean((2, 3))


class IdentityNet(nn.Module):
    """Pictures of a person's box → who it is, as a direction [N, D]: near for one person in any pose and light."""

    others: Tensor

    def __init__(self, width: Width, dim: int = 64) -> None:
        super().__init__()
        self.size = width.size
        self.trunk = Trunk(width.channels)
        self.head = nn.Linear(self.trunk.widths[-1], dim)
        self.register_buffer("others", torch.zeros(OTHERS, dim))

    def forward(self, pictures: Tensor) -> Tensor:
        return normalize(self.head(self.trunk(pictures)[-1].float().mean((2, 3))), dim=-1)


class ExpressionNet(nn.Module):
    """Pictures of a face's box → `world.EXPRESSION` [N, E], and how far off each may be [N, E]."""

    def __init__(self, width: Width) -> None:
        super().__init__()
        self.size = width.size
        self.trunk = Trunk(width.channels)
        wide = self.trunk.widths[-1]
        self.head = nn.Sequential(
            nn.Linear(wide * (width.size // 32) ** 2, 256), nn.SiLU(), nn.Linear(256, 2 * len(EXPRESSION))
        )

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        values, spread = self.head(silu(self.trunk(pictures)[-1].float()).flatten(1)).chunk(2, -1)
        return values, spread.clamp(-6, 3).exp()


NETWORKS: dict[Kind, type[nn.Module]] = {
    Kind.POSE: PoseNet, Kind.IDENTITY: IdentityNet, Kind.EXPRESSION: ExpressionNet,
}  # fmt: skip


def cut(pictures: Tensor, boxes: Tensor, size: int) -> Tensor:
    """The parts of pictures [N, 3, H, W] inside `boxes` [N, 4], x0 y0 x1 y1 in pixels, as [N, 3, size, size].

    Two samples across each pixel; black outside the picture.
    """
    height, width = pictures.shape[-2:]
    share = (torch.arange(2 * size, device=pictures.device) + 0.5) / (2 * size)
    x = torch.lerp(boxes[:, :1], boxes[:, 2:3], share) * 2 / width - 1
    y = torch.lerp(boxes[:, 1:2], boxes[:, 3:], share) * 2 / height - 1
    grid = torch.stack((x[:, None].expand(-1, 2 * size, -1), y[:, :, None].expand(-1, -1, 2 * size)), -1)
    return avg_pool2d(grid_sample(pictures + 1, grid, align_corners=False), 2) - 1


def whole(pictures: Tensor, size: int) -> Tensor:
    """Square or not, all of pictures [N, 3, H, W] at [N, 3, size, size]."""
    return interpolate(pictures, (size, size), mode="bilinear", antialias=True)


def body_boxes(keypoints: Tensor) -> Tensor:
    """Boxes [N, 4] around the seen ones of keypoints [N, 133, 3], an eighth larger on every side; 0 where there are
    none."""
    seen = keypoints[..., 2:] > 0
    low = torch.where(seen, keypoints[..., :2], torch.inf).amin(1)
    high = torch.where(seen, keypoints[..., :2], -torch.inf).amax(1)
    margin = (high - low) / 8
    return torch.where(seen.any(1), torch.cat((low - margin, high + margin), -1), 0.0)


def picture_boxes(count: int, height: int, width: int, device: torch.device) -> Tensor:
    """Boxes [count, 4] of whole pictures. Filled in on the device: numbers that come from the host are waited for."""
    boxes = torch.zeros(count, 4, device=device)
    boxes[:, 2], boxes[:, 3] = width, height
    return boxes


def begin(kind: Kind, width: Width) -> nn.Module:
    """A network that knows nothing yet."""
    return NETWORKS[kind](width)


def write(folder: Path, kind: Kind, network: nn.Module, width: Width) -> None:
    """Weights in half precision, and beside them how large the network is."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().half().cpu().contiguous() for name, tensor in network.state_dict().items()}
    write_atomically(path_of(folder, kind), save(tensors))
    said = _said(folder) | {kind.value: {"channels": width.channels, "size": width.size}}
    write_atomically(folder / SIZES, (json.dumps(said, indent=1) + "\n").encode())


def read(folder: Path, kind: Kind, device: torch.device) -> nn.Module:
    """The trained network in `folder`. Raises `BadInput` when it is not there."""
    path, said = path_of(folder, kind), _said(folder)
    if kind not in said or not path.is_file():
        raise BadInput(
            f"{folder} has no estimator of the {kind}; train it: wan-animate train estimators --out {folder}"
        )
    network = begin(kind, Width(**said[kind]))
    network.load_state_dict({name: tensor.float() for name, tensor in load(path.read_bytes()).items()})
    return network.to(device).eval().requires_grad_(requires_grad=False)


def installed() -> bool:
    """Whether all of those that come with this program are there."""
    return all(path_of(HOME, kind).is_file() for kind in Kind)


def path_of(folder: Path, kind: Kind) -> Path:
    """The file of weights."""
    return folder / f"{kind}.safetensors"


def own_error(folder: Path, kind: Kind) -> float | None:
    """What the one in `folder` is off where the truth is known, as its card says last; None where none says it."""
    path = folder / CARD
    told: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return next((entry.get("error") for entry in reversed(told) if entry["stage"] == kind), None)


def _said(folder: Path) -> dict[str, Any]:
    path = folder / SIZES
    said: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return said


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(min(8, channels), channels)


def _places(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Maps [N, K, h, w] of logarithms of probabilities → their means [N, K, 2], 0..1, and deviations [N, K]."""
    height, width = maps.shape[-2:]
    share = maps.flatten(2).softmax(-1).reshape(maps.shape)
    across, down = share.sum(-2), share.sum(-1)
    places, spread = [], torch.zeros_like(across[..., 0])
    for line, count in ((across, width), (down, height)):
        at = (torch.arange(count, device=maps.device) + 0.5) / count
        mean = (line * at).sum(-1)
        spread = spread + (line * (at - mean[..., None]).square()).sum(-1)
        places.append(mean)
    return torch.stack(places, -1), (spread + LEAST**2).sqrt()
