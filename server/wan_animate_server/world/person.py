"""Who is seen: proportions, clothes, colours, hair and face of a made-up person. Knows no pose and no scene."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .chance import Chance

# Metres, or shares of what is common in people.
_SHAPE = {
    "size": (1.25, 1.95), "leg": (0.86, 1.1), "arm": (0.9, 1.1), "torso": (0.9, 1.1), "shoulder": (0.85, 1.2),
    "hip": (0.85, 1.2), "girth": (0.8, 1.35), "limb": (0.85, 1.3), "belly": (0.85, 1.4), "head": (1.1, 1.65),
    "face_width": (0.88, 1.15), "chin": (0.62, 0.95), "nose": (0.7, 1.4), "ear": (0.8, 1.3), "eye": (0.85, 1.2),
    "eye_height": (-0.05, 0.12), "eye_apart": (0.36, 0.45), "mouth": (0.85, 1.2), "brow": (0.7, 1.5),
    "sleeve": (-0.2, 1.7), "trouser": (0.3, 1.9), "hairline": (0.55, 0.85), "fringe": (-0.5, 0.5),
    "stripes": (5.0, 14.0), "hair_length": (0.0, 1.0), "hair_volume": (1.04, 1.2),
}  # fmt: skip

COLOURED = ("skin", "hair", "top", "second", "bottom", "shoes", "hat", "iris")
STYLES = {
    "hair_style": (2, 3, 3, 2, 2, 1),  # bald, short, long, bun, tail, tufts
    "hat_style": (6, 2, 2, 1),  # none, cap, broad brim, bobble
    "pattern": (4, 2, 2, 2, 1),  # plain, rings, upright stripes, dots, checks
    "skirted": (4, 1),
    "bearded": (5, 1, 1),  # none, beard, moustache
    "glasses": (5, 1),
    "gloved": (8, 1),
}
"""How often each kind is met. Kinds are counted from 0."""

_SKINS = [(0.98, 0.85, 0.74), (0.93, 0.74, 0.58), (0.8, 0.57, 0.4), (0.6, 0.39, 0.25), (0.38, 0.24, 0.17)]
_HAIRS = [(0.09, 0.07, 0.07), (0.3, 0.17, 0.09), (0.56, 0.33, 0.14), (0.9, 0.74, 0.38), (0.72, 0.24, 0.1),
          (0.82, 0.82, 0.84)]  # fmt: skip
_IRISES = [(0.23, 0.13, 0.07), (0.2, 0.42, 0.75), (0.2, 0.5, 0.25), (0.35, 0.38, 0.42)]


@dataclass(frozen=True)
class Person:
    """`shape` and `style`: a number [B] for each name; `colours`: RGB [B, 3]; `identity` [B, I]: all of it, 0..1."""

    shape: dict[str, Tensor]
    style: dict[str, Tensor]
    colours: dict[str, Tensor]
    identity: Tensor


def draw(chance: Chance, difficulty: float) -> Person:
    """A person for each clip; the easier the world, the plainer the clothes and the more human the skin."""
    shape = chance.table("shape", _SHAPE)
    style = {name: chance.chosen(name, *weights) for name, weights in STYLES.items()}
    style["pattern"] = style["pattern"] * chance.happens("patterned", 0.3 + 0.7 * difficulty)
    colours = _colours(chance, difficulty)
    bounds = torch.tensor(list(_SHAPE.values()), device=shape["size"].device)
    numbers = torch.stack(list(shape.values()), -1)
    measures = (numbers - bounds[:, 0]) / (bounds[:, 1] - bounds[:, 0])
    kinds = torch.stack([style[name] / (len(weights) - 1) for name, weights in STYLES.items()], -1)
    paints = torch.cat([colours[name] for name in COLOURED], -1)
    return Person(shape, style, colours, torch.cat((measures, kinds, paints), -1))


def _colours(chance: Chance, difficulty: float) -> dict[str, Tensor]:
    cloth = dict(zip(COLOURED, _bright(chance, "cloth", len(COLOURED)).unbind(1), strict=True))
    strange = chance.happens("strange", 0.12 * difficulty)[:, None]
    dyed = chance.happens("dyed", 0.25 * difficulty)[:, None]
    skin = torch.where(strange, 0.4 + 0.55 * cloth["skin"], _between(chance, "skin", _SKINS))
    return {
        **cloth,
        "skin": skin,
        "hair": torch.where(dyed, cloth["hair"], _one(chance, "hair", _HAIRS)),
        "iris": _one(chance, "iris", _IRISES),
    }


def rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """RGB [..., 3] of hue, saturation and value [...], each 0..1."""
    thirds = torch.tensor([0.0, 2 / 3, 1 / 3], device=hue.device)
    wheel = (((hue[..., None] + thirds) % 1.0) * 6 - 3).abs() - 1
    return value[..., None] * (1 - saturation[..., None] * (1 - wheel.clamp(0, 1)))


def _bright(chance: Chance, name: str, count: int) -> Tensor:
    hue, saturation, value = chance.uniform(name, 3, count).unbind(1)
    # Squares and roots push towards clear colours; a quarter is grey.
    return rgb(hue, saturation.sqrt() * (saturation > 0.25), 0.2 + 0.75 * value)


def _between(chance: Chance, name: str, colours: list[tuple[float, float, float]]) -> Tensor:
    """A colour on the way through `colours`."""
    table = torch.tensor(colours, device=chance.uniform(name).device)
    place = chance.uniform(name) * (len(colours) - 1)
    left = place.long().clamp(max=len(colours) - 2)
    return torch.lerp(table[left], table[left + 1], (place - left)[:, None])


def _one(chance: Chance, name: str, colours: list[tuple[float, float, float]]) -> Tensor:
    table = torch.tensor(colours, device=chance.uniform(name).device)
    return table[chance.chosen(name, *[1.0] * len(colours))]
