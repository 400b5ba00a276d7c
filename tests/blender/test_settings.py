"""Every setting that a render has, from the panel to the shot: none is forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import pytest
from panel import draw

from wan_animate_blender import panels, preflight, request, wire
from wan_animate_blender.wire import SETTING_NAMES, overridden

pytestmark = pytest.mark.usefixtures("addon")

CHOSEN: dict[str, tuple[str, Any, str]] = {
    "model": ("model", "wan22", "wan22"),
    "precision": ("precision", "bf16", "bf16"),
    "steps": ("steps", 7, "7"),
    "solver": ("solver", "unipc", "unipc"),
    "guidance": ("guidance", 2.5, "2.5"),
    "seed": ("seed", 12, "12"),
    "segment": ("segment", 13, "13"),
    "overlap": ("overlap", "1", "1"),
    "plan": ("plan", "official", "official"),
    "area": ("area", 4096, "4096"),
    "prompt": ("prompt", "a hero", "a hero"),
    "relight": ("relight", 0.5, "0.5"),
    "loras": ("loras", "costume 0.5", "costume 0.5"),
    "roi": ("roi", False, "false"),
    "transform": ("transform", "view", "view"),
    "highlights": ("highlights", "shoulder", "shoulder"),
    "region_grow": ("person.region_grow", 3.0, "3"),
    "finish.feather": ("person.region_feather", 4.0, "4"),
    "finish.seams": ("finish.seams", 0.5, "0.5"),
    "finish.grain": ("finish.grain", 0.5, "0.5"),
    "finish.match_sharpness": ("finish.match_sharpness", True, "true"),
    "finish.alpha": ("finish.alpha", "difference", "difference"),
    "finish.effects": ("finish.effects", 0.5, "0.5"),
    "finish.format": ("finish.format", "png16", "png16"),
    "finish.layers": ("finish.layers", {"pose", "generated"}, "pose, generated"),
    "finish.naming.convention": ("finish.convention", "1001", "1001"),
    "finish.naming.template": ("finish.template", "{layer}/{version}_{frame}", "{layer}/{version}_{frame}"),
    "finish.naming.show": ("finish.show", "AGM", "AGM"),
    "finish.naming.sequence": ("finish.sequence", "104", "104"),
    "finish.naming.shot": ("finish.shot_code", "010", "010"),
    "finish.naming.first": ("finish.first", 101, "101"),
}
"""Setting → the property in which it is chosen, another value than the default, and the same for a command line."""

NOT_CHOSEN: dict[str, str] = {}
"""Setting → why an artist does not choose it in the panel."""


def asked(plate: Any) -> wire.Settings:
    return request.requests(bpy.context.scene, plate, Path())[0].settings


def put(ours: Any, place: str, value: Any) -> None:
    group, _, name = place.rpartition(".")
    setattr(getattr(ours, group) if group else ours, name, value)


def test_every_setting_is_chosen_somewhere_or_not_for_a_reason() -> None:
    assert sorted([*CHOSEN, *NOT_CHOSEN]) == sorted(SETTING_NAMES)


@pytest.mark.parametrize("setting", CHOSEN)
def test_what_is_chosen_in_the_panel_is_what_the_shot_asks_for(plate: Any, setting: str) -> None:
    place, value, written = CHOSEN[setting]
    before = asked(plate)
    put(plate.wan_animate, place, value)
    assert asked(plate) == overridden(before, [f"{setting}={written}"]) != before


def test_every_setting_is_drawn(plate: Any) -> None:
    panels = [kind for kind in bpy.types.Panel.__subclasses__() if kind.__name__.startswith("WAN_ANIMATE_PT_")]
    drawn = {name for panel in panels for name in draw(panel)}
    assert {place.rpartition(".")[2] for place, _, _ in CHOSEN.values()} <= drawn


def test_who_and_by_whose_leave_is_chosen_in_the_panel_and_no_setting(plate: Any) -> None:
    before = asked(plate)
    plate.wan_animate.by, plate.wan_animate.consent = " Ada ", "release of 3 May"
    wanted = request.requests(bpy.context.scene, plate, Path())[0].provenance
    assert wanted == wire.Provenance(by="Ada", consent="release of 3 May")
    assert asked(plate) == before
    assert {"by", "consent"} <= set(draw(panels.WAN_ANIMATE_PT_finish))


def test_names_that_cannot_be_are_said_before_anything_is_exported(plate: Any) -> None:
    plate.wan_animate.finish.convention = "netflix"
    assert "show is not given, expected one, for netflix names have it" in preflight.why_not(bpy.context)
