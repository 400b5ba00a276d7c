"""How the character is built, compared with the rig: the fields of it on a person. Knows no rig's numbers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import bpy
from bpy.props import FloatProperty, PointerProperty

from .retarget import Retarget

SMALLEST, LARGEST = 0.05, 20.0


def _factor(name: str, description: str) -> Any:
    return FloatProperty(
        name=name,
        description=f"{description}, compared with the rig",
        default=1.0,
        min=SMALLEST,
        max=LARGEST,
        soft_min=0.5,
        soft_max=2.0,
    )


def _shift(name: str, description: str) -> Any:
    return FloatProperty(
        name=name, description=f"{description}, in heights of the picture", soft_min=-1.0, soft_max=1.0
    )


def _is_armature(_: bpy.types.PropertyGroup, thing: bpy.types.Object) -> bool:
    return thing.type == "ARMATURE"


class WanAnimateProportions(bpy.types.PropertyGroup):
    rig: PointerProperty(
        type=bpy.types.Object,
        poll=_is_armature,
        name="Build Of",
        description="Rig that is built as the character is: its lengths at rest are taken over",
    )
    scale: _factor("Scale", "Size of the whole figure")
    x: _shift("Right", "How far the figure is moved to the right")
    y: _shift("Up", "How far the figure is moved up")
    trunk: _factor("Trunk", "Length from hips to shoulders")
    neck: _factor("Neck", "Length from shoulders to head")
    head: _factor("Head", "Size of the head")
    shoulders: _factor("Shoulders", "Width of the shoulders")
    hips: _factor("Hips", "Width of the hips")
    upper_arm: _factor("Upper Arms", "Length of the upper arms")
    forearm: _factor("Forearms", "Length of the forearms")
    hand: _factor("Hands", "Size of the hands")
    thigh: _factor("Thighs", "Length of the thighs")
    shank: _factor("Shanks", "Length of the shanks")
    foot: _factor("Feet", "Size of the feet")

    def read(self) -> Retarget | None:
        """None where the character is built as the rig is."""
        set_here = Retarget(**{name: getattr(self, name) for name in asdict(Retarget())})
        return None if set_here == Retarget() else set_here

    def write(self, to: Retarget) -> None:
        for name, value in asdict(to).items():
            setattr(self, name, value)


register, unregister = bpy.utils.register_classes_factory((WanAnimateProportions,))
