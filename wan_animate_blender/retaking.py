"""Frames of a take made anew: which, and with which seed; from the list of takes and from that of jobs. Thin.

The server renders them from the take that it still has of the job, and keeps all others bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import bpy
from bpy.props import IntProperty

from . import arrivals, desk, growth, jobs, take, timeline
from .chain import chain
from .client import Server
from .delivery import make_anew
from .farm import watch
from .language import grey, refuse
from .preferences import chosen_server, preferences
from .session import BUSY, Cancelled, Work
from .wire import BadInput, JobState, Problem, Retake, Take


class _Retake:
    """An operator that asks which frames are made anew."""

    first: IntProperty(
        name="First", description="Shot number of the first frame that is made anew, as its file is called", min=0
    )
    last: IntProperty(name="Last", description="Shot number of the last frame that is made anew", min=0)
    seed: IntProperty(name="Seed", description="Another number gives other pictures of these frames", min=0)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        try:
            old = take.read(self.folder(context))
        except Problem as problem:
            return refuse(self, problem)
        self.first, self.last = span(timeline.sequencer_scene(context), old)
        self.seed = (old.settings.seed + 1) % 2**31
        return context.window_manager.invoke_props_dialog(self)

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            folder = self.folder(context)
            old, wanted = take.read(folder), Retake(first=self.first, last=self.last, seed=self.seed)
            desk.start(old.strip, anew(chosen_server(), old, wanted, folder.parent), imports=preferences().imports)
        except Problem as problem:
            return refuse(self, problem)
        return {"FINISHED"}


class WAN_ANIMATE_OT_retake(_Retake, bpy.types.Operator):
    bl_idname = "wan_animate.retake"
    bl_label = "Re-Take Frames"
    bl_description = (
        "Have some frames of the chosen take rendered anew as the next take: those of the preview range, or around the "
        "playhead. The others stay as they are, bit for bit"
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        row = context.window_manager.wan_animate_takes.row
        if row is None or not row.folder:
            return grey(cls, "Choose a take whose files are there")
        return grey(cls, BUSY if desk.is_busy(row.take.partition(" ")[0]) else "")

    def folder(self, context: bpy.types.Context) -> Path:
        return Path(context.window_manager.wan_animate_takes.row.folder)


class WAN_ANIMATE_OT_job_retake(_Retake, bpy.types.Operator):
    bl_idname = "wan_animate.job_retake"
    bl_label = "Re-Take Frames of Job"
    bl_description = "Have some frames of what the selected job has made rendered anew, as the next take"

    @classmethod
    def poll(cls, _: bpy.types.Context) -> bool:
        job = jobs.selected()
        if job is None or job.state is not JobState.DONE:
            return grey(cls, "Select a job that is done")
        if watch.place(job.id):
            return grey(cls, "A farm made it; re-take frames of its take, in the list of takes")
        return grey(cls, BUSY if desk.is_busy(job.strip) else "")

    def folder(self, _: bpy.types.Context) -> Path:
        job = jobs.selected()
        found = arrivals.fetched(jobs.takes_of(job), job.id)
        if found is None:
            raise BadInput(f"the take of {job.shot} is not on this machine; import it first")
        return found


def span(scene: bpy.types.Scene, old: Take) -> tuple[int, int]:
    """Shot numbers of the first and last frame that are probably meant: those of the preview range, else a second
    around the playhead, as far as the take has them; all that the cut shows where it is not in the edit."""
    strips = growth.shown(scene, old)
    if not strips:
        return old.cut_in, old.cut_out
    if scene.use_preview_range:
        first, last = scene.frame_preview_start, scene.frame_preview_end
    else:
        half = round(old.fps / 2)
        first, last = scene.frame_current - half, scene.frame_current + half
    offset = old.first - timeline.content(strips[0]).first
    start, end = (min(max(frame + offset, old.first), old.last) for frame in (first, last))
    return start, end


def anew(server: Server, old: Take, wanted: Retake, takes: Path) -> Callable[[Cancelled], Work[str]]:
    """Frames of `old` made anew as the next take below `takes`. Raises `BadInput` for one that no server has made."""
    if not old.job:
        raise BadInput(
            f"{take.title(old)} was not made by a server's job; use 'wan-animate render --retake' beside its folder"
        )

    def work(cancelled: Cancelled) -> Work[str]:
        return (yield from chain([old.shot], lambda *_: make_anew(server, old.job, wanted, takes, cancelled)))

    return work


register, unregister = bpy.utils.register_classes_factory((WAN_ANIMATE_OT_retake, WAN_ANIMATE_OT_job_retake))
