"""Whose turn it is: jobs that are put aside, let go on and preferred, below the list of jobs. Thin."""

from __future__ import annotations

from typing import ClassVar

import bpy
from bpy.props import IntProperty

from . import jobs
from .farm import handling, watch
from .jobs import OnJob
from .language import listed, translated
from .sidebar import InSidebar, sentence
from .wire import HIGHEST, Job, JobState

STEP = 10
"""Of priority, for each press."""

GOES_ON = (JobState.QUEUED, JobState.RUNNING)
IS_ASIDE = (JobState.PAUSED, JobState.PAUSING)


class WAN_ANIMATE_OT_job_pause(OnJob, bpy.types.Operator):
    bl_idname = "wan_animate.job_pause"
    bl_label = "Pause Job"
    bl_description = "Put the selected job aside until it is let go on; segments that are finished are kept"
    why_not = "Select a job that waits or runs"
    why_not_on_farm = staticmethod(handling.only_a_server)

    @classmethod
    def fits(cls, job: Job) -> bool:
        return job.state in GOES_ON

    def do(self, job: Job) -> None:
        jobs.ask(job, lambda server: server.pause(job.id))


class WAN_ANIMATE_OT_job_resume(OnJob, bpy.types.Operator):
    bl_idname = "wan_animate.job_resume"
    bl_label = "Resume Job"
    bl_description = "Let the selected job go on at the segment where it stood, in the place where it waited"
    why_not = "Select a job that was put aside"
    why_not_on_farm = staticmethod(handling.only_a_server)

    @classmethod
    def fits(cls, job: Job) -> bool:
        return job.state in IS_ASIDE

    def do(self, job: Job) -> None:
        jobs.ask(job, lambda server: server.resume(job.id))


class WAN_ANIMATE_OT_job_prefer(OnJob, bpy.types.Operator):
    bl_idname = "wan_animate.job_prefer"
    bl_label = "Prefer Job"
    why_not = "Select a job that has not ended"
    why_not_on_farm = staticmethod(handling.only_a_server)

    by: IntProperty(default=STEP, options={"HIDDEN", "SKIP_SAVE"})
    """What is added to its priority."""

    @classmethod
    def description(cls, _: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        when = "after" if properties.by < 0 else "before"
        return translated(f"Let the selected job be rendered {when} those of the same priority, whoever sent them")

    @classmethod
    def fits(cls, job: Job) -> bool:
        return not job.state.is_final

    def do(self, job: Job) -> None:
        priority = min(max(job.priority + self.by, -HIGHEST), HIGHEST)
        jobs.ask(job, lambda server: server.prioritise(job.id, priority))


class WAN_ANIMATE_PT_turn(InSidebar, bpy.types.Panel):
    bl_label = "Turn"
    bl_parent_id = "WAN_ANIMATE_PT_jobs"
    bl_options: ClassVar[set[str]] = {"HIDE_HEADER"}

    def draw(self, context: bpy.types.Context) -> None:
        job = jobs.selected()
        if job and (said := standing(job)):
            sentence(self.layout, context, listed(said), "SORTTIME")
        if job and not job.state.is_final and not watch.place(job.id):
            _draw_buttons(self.layout.row(align=True), job)


def _draw_buttons(row: bpy.types.UILayout, job: Job) -> None:
    row.operator("wan_animate.job_prefer", text="Sooner", icon="TRIA_UP").by = STEP
    row.operator("wan_animate.job_prefer", text="Later", icon="TRIA_DOWN").by = -STEP
    if job.state in IS_ASIDE:
        row.operator("wan_animate.job_resume", text="Resume", icon="PLAY")
    else:
        row.operator("wan_animate.job_pause", text="Pause", icon="PAUSE")


def standing(job: Job) -> list[str]:
    """Where a job stands among all others, such as "number 2 in the queue", "priority 10", "sent by Ada"."""
    if where := watch.place(job.id):
        return [f"submitted as {where.submission} to {job.by or 'no farm yet'}"]
    parts = [f"number {job.place} in the queue"] if job.place else []
    if job.priority:
        parts.append(f"priority {job.priority}")
    if job.by:
        parts.append(f"sent by {job.by}")
    return parts


register, unregister = bpy.utils.register_classes_factory((
    WAN_ANIMATE_OT_job_pause,
    WAN_ANIMATE_OT_job_resume,
    WAN_ANIMATE_OT_job_prefer,
    WAN_ANIMATE_PT_turn,
))  # fmt: skip
