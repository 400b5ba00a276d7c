"""A take that goes on: its strip was trimmed longer, and only the frames that it lacks are rendered. Thin."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import bpy

from . import commission, desk, identity, take
from .generation import generation
from .language import grey, refuse
from .preferences import chosen_server, preferences, shots_folder
from .request import prepare
from .session import BUSY
from .wire import TAKE_PREFIX, TAKES, BadInput, Problem, Take, TakeState, version_name, versions


class WAN_ANIMATE_OT_extend(bpy.types.Operator):
    bl_idname = "wan_animate.extend"
    bl_label = "Extend Take"
    bl_description = (
        "Have the frames rendered that the strip shows since it was trimmed longer, as the next take. Those of the "
        "chosen take stay as they are, bit for bit"
    )
    bl_options: ClassVar[set[str]] = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        row = context.window_manager.wan_animate_takes.row
        if row is None or not row.folder:
            return grey(cls, "Choose a take whose files are there")
        return grey(cls, BUSY if desk.is_busy(row.take.partition(" ")[0]) else "")

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            chosen = take.read(Path(context.window_manager.wan_animate_takes.row.folder))
            found = identity.find(chosen.strip)
            if found is None:
                raise BadInput(f"the strip of {take.title(chosen)} is not in this file; extend it where the strip is")
            requests = prepare(*found, shots_folder())
            work = generation(requests, chosen_server(), begun(requests, chosen))
            desk.start(chosen.strip, work, imports=preferences().imports)
        except Problem as problem:
            return refuse(self, problem)
        return {"FINISHED"}


def begun(requests: Sequence[commission.Request], chosen: Take | None = None) -> dict[str, str]:
    """For each person's shot the job of the take to go on from: `chosen`, or the newest of the others.

    Raises `BadInput` for a take that this strip cannot be an extension of, and where there is none.
    """
    found = {one.name: chosen if chosen and one.name == chosen.shot else newest(one) for one in requests}
    if chosen and chosen.shot not in found:
        raise BadInput(f"{take.title(chosen)} is of nobody on the strip any more; choose a take of one of its people")
    if not any(found.values()):
        raise BadInput(f"there is no complete take in {requests[0].root / requests[0].name}; generate the strip first")
    for request in requests:
        if old := found[request.name]:
            _check(request, old)
    return {name: old.job for name, old in found.items() if old}


def newest(request: commission.Request) -> Take | None:
    """The newest complete take of a person; None while there is none, who is then made whole."""
    takes = request.root / request.name / TAKES
    for number in reversed(versions(takes, TAKE_PREFIX)):
        with contextlib.suppress(BadInput):  # only begun, or another release's
            found = take.read(takes / version_name(TAKE_PREFIX, number))
            if found.state is TakeState.COMPLETE:
                return found
    return None


def _check(request: commission.Request, old: Take) -> None:
    title = take.title(old)
    if old.state is not TakeState.COMPLETE:
        raise BadInput(f"{title} is not complete; wait for its other frames, or choose another take")
    if not old.job:
        raise BadInput(
            f"{title} was not made by a server's job; use 'wan-animate render --extend' beside its folder"
        )  # fmt: skip
    if different := old.settings.unlike(request.settings):
        raise BadInput(
            f"the settings of the strip and of {title} differ in {', '.join(different)}; set them as they were, or "
            "generate the strip anew"
        )
    if len(commission.frame_table(request)[0]) <= old.last - old.first + 1:
        raise BadInput(f"the strip shows no frame that {title} lacks; trim it longer first")


register, unregister = bpy.utils.register_classes_factory((WAN_ANIMATE_OT_extend,))
