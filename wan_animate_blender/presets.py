"""Settings that belong together: the full number of steps, or four with the LoRA that was trained for them. Thin."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar

import bpy
from bpy.props import EnumProperty

from . import desk, identity, timeline
from .client import Server
from .language import grey, refuse
from .preferences import chosen_server
from .properties import STANDARD, WanAnimateStrip
from .session import Cancelled, News, Step, Work
from .sidebar import sentence
from .wire import BadInput, Problem

TICKET = "preset"
"""Of the question whether the server has the LoRA."""

FAST, FEW = "fast", 4
"""What the LoRA for few steps is called, beside whichever model, and the steps that it is for."""


class WAN_ANIMATE_OT_use_preset(bpy.types.Operator):
    bl_idname = "wan_animate.use_preset"
    bl_label = "Use Preset"
    bl_options: ClassVar[set[str]] = {"REGISTER", "UNDO"}

    preset: EnumProperty(
        items=(
            ("FINAL", "20 Steps", "As the model was released"),
            ("FAST", "4 Steps", "With the model's LoRA for few steps"),
        ),
        name="Preset",
        description="Which settings are set",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def description(cls, _: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        if properties.preset == "FAST":
            return (
                "Render in 4 steps with the LoRA 'fast' of the model, if the server has one: five times as fast, less "
                "fine. Without it 4 steps are no more than a sketch, so that nothing is set then, and it says so"
            )
        return "Render in as many steps as the model was released with, without the LoRA for few steps"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        _, strip = identity.active(context)
        if strip is None or strip.wan_animate.take:
            return grey(cls, "Click the strip of the plate")
        return grey(cls, "The server is being asked" if desk.is_busy(TICKET) else "")

    def execute(self, context: bpy.types.Context) -> set[str]:
        scene, strip = identity.active(context)
        if self.preset == "FINAL":
            _write(strip.wan_animate, STANDARD.steps, fast=False)
            return {"FINISHED"}
        try:
            work = _ask(chosen_server(), strip.wan_animate.model)
            desk.start(TICKET, work, hear=partial(_hear, scene.name, strip.name))
        except Problem as problem:
            return refuse(self, problem)
        return {"FINISHED"}


def _ask(server: Server, model: str) -> Callable[[Cancelled], Work[str]]:
    def work(_: Cancelled) -> Work[str]:
        yield Step(stage="asking", progress=0.0)
        if FAST not in [name for known in server.models() if known.name == model for name in known.loras]:
            raise BadInput(
                f"the server at {server.url} has no LoRA {FAST!r} for the model {model!r}, and {FEW} steps without one "
                "are no more than a sketch; put its file into the folder 'loras' of the server's models"
            )
        return f"{FEW} steps with the LoRA {FAST!r} of {model}"

    return work


def _hear(scene_name: str, strip_name: str, news: News) -> None:
    """The strip is looked up by its name: undo may have made it anew meanwhile."""
    scene = bpy.data.scenes.get(scene_name)
    way = timeline.path(scene.sequence_editor, strip_name) if scene and scene.sequence_editor else []
    if news.result and way:
        _write(way[-1].wan_animate, FEW, fast=True)
        bpy.ops.ed.undo_push(message="Use Preset")


def _write(ours: WanAnimateStrip, steps: int, *, fast: bool) -> None:
    """Set the steps, and take the LoRA for few of them into the list or out of it; other LoRAs stay."""
    others = [one.strip() for one in ours.loras.split(",") if one.split() and one.split()[0] != FAST]
    ours.steps, ours.solver, ours.guidance = steps, STANDARD.solver, STANDARD.guidance
    ours.loras = ", ".join([*([FAST] if fast else []), *others])


def draw(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    row = layout.row(align=True)
    for preset, text in (("FINAL", "20 Steps"), ("FAST", "4 Steps")):
        row.operator("wan_animate.use_preset", text=text).preset = preset
    if news := desk.latest.get(TICKET):
        text = str(news.problem or news.result or "The server is being asked")
        sentence(layout, context, text, "ERROR" if news.problem else "INFO")


register, unregister = bpy.utils.register_classes_factory((WAN_ANIMATE_OT_use_preset,))
