"""The list of a server's jobs in the sidebar, and what can be done with each. Draws what is known, asks nobody."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import bpy
import bpy.utils.previews
from bpy.props import CollectionProperty, EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty

from . import delivery, desk, diagnosis, ledger, resumption
from .board import Board, spoken
from .client import Server
from .farm import handling, receiving, watch
from .language import grey, listed, refuse, tell
from .preferences import chosen_server, shots_folder
from .session import Cancelled, News, Work
from .sidebar import InSidebar, sentence
from .wire import TAKES, BadInput, Job, JobState, Problem

TICKET = "jobs"
"""Of the work that keeps the board up to date."""

ICONS = {
    JobState.QUEUED: "TIME", JobState.RUNNING: "PLAY", JobState.CANCELLING: "X", JobState.CANCELLED: "X",
    JobState.DONE: "CHECKMARK", JobState.FAILED: "ERROR", JobState.PAUSING: "PAUSE", JobState.PAUSED: "PAUSE",
}  # fmt: skip
AGAIN = (JobState.FAILED, JobState.CANCELLED)
"""States of a job that can be tried again."""

ROWS, LINES = 5, 8.0
"""Of the list, and of the picture below it."""

board = Board()
_listed: dict[str, tuple[Job, ...]] = {"": ()}
"""What the rows were last filled with ("")."""
_previews: dict[str, Any] = {}
"""The picture of the selected job and the folder of its file, while the add-on is registered."""


# --- what is listed -------------------------------------------------------------------------------


def _fill() -> None:
    """Let the rows be the jobs that are to be listed, the newest first."""
    ours = bpy.context.window_manager.wan_animate_jobs
    wanted = board.everything[::-1] if ours.scope == "ALL" else _of_this_file()[::-1]
    before, _listed[""] = _listed[""], wanted
    if [job.id for job in before] != [job.id for job in wanted] or len(ours.rows) != len(wanted):
        ours.rows.clear()
        before = ()
        for _ in wanted:
            ours.rows.add()
    for row, job, was in zip(ours.rows, wanted, before or (None,) * len(wanted), strict=True):
        if job != was:
            row.name, row.title, row.state, row.progress, row.words = (
                job.id, job.shot, job.state, job.progress, listed(spoken(job)),
            )  # fmt: skip
    numbers = [number for number, job in enumerate(wanted) if job.id == board.selected]
    ours["active"] = numbers[0] if numbers else min(ours.active, max(len(wanted) - 1, 0))
    _select(ours)


def _of_this_file() -> tuple[Job, ...]:
    ours = ledger.uids()
    return tuple(job for job in board.everything if job.strip in ours)


def _select(ours: WanAnimateJobs) -> None:
    board.selected = ours.rows[ours.active].name if len(ours.rows) else ""


def _on_select(ours: WanAnimateJobs, context: bpy.types.Context) -> None:  # noqa: ARG001  Blender counts them
    _select(ours)


def _on_scope(ours: WanAnimateJobs, context: bpy.types.Context) -> None:  # noqa: ARG001
    _fill()


class WanAnimateJobRow(bpy.types.PropertyGroup):
    # Its name is the job's id.
    title: StringProperty()
    state: StringProperty()
    words: StringProperty()
    progress: FloatProperty()


class WanAnimateJobs(bpy.types.PropertyGroup):
    rows: CollectionProperty(type=WanAnimateJobRow)
    active: IntProperty(name="Job", update=_on_select)
    scope: EnumProperty(
        name="Jobs",
        description="Which jobs of the server are listed",
        items=(("FILE", "This File", "Those of strips in this file"), ("ALL", "All", "Everybody's")),
        update=_on_scope,
    )


def _hear(news: News) -> None:
    """Show what the board says now."""
    _fill()
    _show_picture()
    if news.problem:
        board.problem = str(news.problem)


def _show_picture() -> None:
    """A file, because Blender reads pictures in no other way than from one."""
    previews = _previews["job"]
    previews.clear()
    if board.picture.data:
        if "folder" not in _previews:  # not before it is needed: a background Blender shows no picture
            _previews["folder"] = tempfile.TemporaryDirectory(prefix="wan-animate-", ignore_cleanup_errors=True)
        file = Path(_previews["folder"].name) / "preview.png"
        file.write_bytes(board.picture.data)
        previews.load("job", str(file), "IMAGE")


def follow() -> None:
    """Have the board kept up to date. Called by Blender's timer."""
    try:
        server = chosen_server()
        desk.start(TICKET, lambda cancelled: board.follow(server, cancelled), hear=_hear)
    except Problem as problem:
        board.problem = str(problem)


def _look() -> None:
    """Somebody sees the list; whoever asks for it is called between two drawings."""
    board.look()
    stopped = desk.is_busy(TICKET) or (TICKET in desk.latest and desk.latest[TICKET].problem)
    if not stopped and not bpy.app.timers.is_registered(follow):
        bpy.app.timers.register(follow, first_interval=0.01)
    if not desk.is_busy(receiving.LISTING) and not bpy.app.timers.is_registered(follow_submitted):
        bpy.app.timers.register(follow_submitted, first_interval=0.01)


def follow_submitted() -> None:
    """The same for what was submitted to a farm."""
    receiving.follow(board, _hear)


# --- the panel ------------------------------------------------------------------------------------


class WAN_ANIMATE_UL_jobs(bpy.types.UIList):
    def draw_item(
        self, context: bpy.types.Context, layout: bpy.types.UILayout, data: WanAnimateJobs, item: WanAnimateJobRow,
        icon: int, active_data: WanAnimateJobs, active_property: str,
    ) -> None:  # fmt: skip
        row = layout.split(factor=0.4)
        row.label(text=item.title, translate=False, icon=ICONS[JobState(item.state)])
        if item.state == JobState.RUNNING:
            row.progress(factor=item.progress, text=item.words)
        else:
            row.label(text=item.words, translate=False)


class WAN_ANIMATE_PT_jobs(InSidebar, bpy.types.Panel):
    bl_label = "Jobs"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        layout, ours = self.layout, context.window_manager.wan_animate_jobs
        _look()
        layout.row().prop(ours, "scope", expand=True)
        layout.template_list("WAN_ANIMATE_UL_jobs", "", ours, "rows", ours, "active", rows=ROWS)
        for problem in filter(None, (board.problem, board.hindrance)):
            sentence(layout, context, problem, "ERROR")
        if job := selected():
            _draw_job(layout, context, job)


def _draw_job(layout: bpy.types.UILayout, context: bpy.types.Context, job: Job) -> None:
    sentence(layout, context, job.message or listed(spoken(job)), ICONS[job.state])  # a row has no room for all of it
    if "job" in _previews["job"] and board.picture.job == job.id:
        layout.template_icon(_previews["job"]["job"].icon_id, scale=LINES)
    row = layout.row(align=True)
    text = "Import" if job.state is JobState.DONE else "Import What Is There"
    row.operator("wan_animate.job_import", icon="IMPORT", text=text)
    row.operator("wan_animate.job_retry", icon="FILE_REFRESH", text="")
    row.operator("wan_animate.job_retake", icon="LOOP_BACK", text="")
    row.operator("wan_animate.job_cancel", icon="X", text="")
    row.operator("wan_animate.job_reveal", icon="FILE_FOLDER", text="")
    row.operator("wan_animate.job_report", icon="COPYDOWN", text="")
    row.operator("wan_animate.job_remove", icon="TRASH", text="")
    if (news := desk.latest.get(_ticket(job))) and (news.problem or news.result):
        sentence(layout, context, str(news.problem or news.result), "ERROR" if news.problem else "INFO")


def selected() -> Job | None:
    return board.find(board.selected)


def _ticket(job: Job) -> str:
    """Of what is done with a job from the list."""
    return f"job {job.id}"


# --- what can be done -----------------------------------------------------------------------------


class OnJob:
    """An operator on the job that is selected in the list."""

    why_not = "Select a job in the list"

    @classmethod
    def poll(cls, _: bpy.types.Context) -> bool:
        job = selected()
        if job is None or not cls.fits(job) or desk.is_busy(_ticket(job)):
            return grey(cls, cls.why_not)
        return grey(cls, cls.why_not_on_farm(job) if watch.place(job.id) else "")

    @classmethod
    def fits(cls, _: Job) -> bool:
        return True

    @classmethod
    def why_not_on_farm(cls, _: Job) -> str:
        """Of a shot that was submitted, which no server has."""
        return ""

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            self.do(selected())
        except Problem as problem:
            return refuse(self, problem)
        return {"FINISHED"}


class WAN_ANIMATE_OT_job_cancel(OnJob, bpy.types.Operator):
    bl_idname = "wan_animate.job_cancel"
    bl_label = "Cancel Job"
    bl_description = "Stop the selected job; segments that are finished are kept on the server"
    why_not = "Select a job that waits or runs"
    why_not_on_farm = staticmethod(handling.why_not)

    @classmethod
    def fits(cls, job: Job) -> bool:
        return not job.state.is_final

    def do(self, job: Job) -> None:
        if watch.place(job.id):
            return receiving.order(_ticket(job), job, handling.cancel)
        return ask(job, lambda server: server.cancel(job.id))


class WAN_ANIMATE_OT_job_retry(OnJob, bpy.types.Operator):
    bl_idname = "wan_animate.job_retry"
    bl_label = "Retry Job"
    bl_description = "Queue the selected job again; segments that were finished are not rendered again"
    why_not = "Select a job that failed or was cancelled"
    why_not_on_farm = staticmethod(handling.why_not)

    @classmethod
    def fits(cls, job: Job) -> bool:
        return job.state in AGAIN and not desk.is_busy(job.strip)

    def do(self, job: Job) -> None:
        if watch.place(job.id):
            return receiving.order(_ticket(job), job, handling.retry)
        server = chosen_server()
        takes = takes_of(job)

        def expect(again: Job | None) -> None:
            if again:
                ledger.note(job.strip, again, server.url, takes)
                resumption.resume()

        return ask(job, lambda server: server.retry(job.id), expect)


class WAN_ANIMATE_OT_job_import(OnJob, bpy.types.Operator):
    bl_idname = "wan_animate.job_import"
    bl_label = "Import What Is There"
    bl_description = "Fetch the frames of the selected job that are rendered, and put them above its strip; it grows"
    why_not = "Select a job of which frames are rendered"

    @classmethod
    def fits(cls, job: Job) -> bool:
        return job.frames > 0

    def do(self, job: Job) -> None:
        if watch.place(job.id):
            return receiving.bring(_ticket(job), job)
        server, takes = chosen_server(), takes_of(job)
        return desk.start(_ticket(job), lambda cancelled: delivery.fetch(server, job.id, takes, cancelled))


class WAN_ANIMATE_OT_job_reveal(OnJob, bpy.types.Operator):
    bl_idname = "wan_animate.job_reveal"
    bl_label = "Open Folder of Job"
    bl_description = "Show the takes of the selected job's shot in the file browser of the system"

    def do(self, job: Job) -> None:
        folder = takes_of(job).parent
        if not folder.is_dir():
            raise BadInput(f"there is no folder {folder} on this machine; the job was sent from another one")
        bpy.ops.wm.path_open(filepath=str(folder))


class WAN_ANIMATE_OT_job_report(OnJob, bpy.types.Operator):
    bl_idname = "wan_animate.job_report"
    bl_label = "Copy Error Report"
    bl_description = "Copy what is known of the selected job, and all versions, for whoever is to help; no secrets"

    def do(self, job: Job) -> None:
        bpy.context.window_manager.clipboard = report(job)
        tell(self, "The report is in the clipboard")


class WAN_ANIMATE_OT_job_remove(OnJob, bpy.types.Operator):
    bl_idname = "wan_animate.job_remove"
    bl_label = "Remove Job from List"
    bl_description = "Let the server forget the selected job and its frames; what was imported stays"
    why_not = "Select a job that has ended"
    why_not_on_farm = staticmethod(handling.only_a_server)

    @classmethod
    def fits(cls, job: Job) -> bool:
        return job.state.is_final

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_confirm(self, event)

    def do(self, job: Job) -> None:
        ask(job, lambda server: server.remove(job.id), lambda _: ledger.end(job.strip, job.id))


def ask(
    job: Job, what: Callable[[Server], Job | None], then: Callable[[Job | None], None] = lambda _: None
) -> None:  # fmt: skip
    """Have a question about `job` asked, and the list made anew; `then` is called with the answer."""
    server, answers = chosen_server(), list[Job | None]()

    def work(_: Cancelled) -> Work[str]:
        yield from ()
        answers.append(what(server))
        board.jobs = server.jobs()
        return ""

    def hear(_: News) -> None:
        for answer in answers:
            then(answer)
        _fill()

    desk.start(_ticket(job), work, hear=hear)


def takes_of(job: Job) -> Path:
    """Where the take of a job goes."""
    entry = ledger.entries(job.strip).get(job.id)
    return resumption.takes(entry) if entry else shots_folder() / job.shot / TAKES


def report(job: Job) -> str:
    """What somebody needs to know of a job who is to help."""
    news = desk.latest.get(_ticket(job)) or desk.latest.get(job.strip)
    return diagnosis.told(job, job.message or str((news and news.problem) or ""), board.version)


classes = (
    WanAnimateJobRow, WanAnimateJobs, WAN_ANIMATE_UL_jobs, WAN_ANIMATE_PT_jobs, WAN_ANIMATE_OT_job_cancel,
    WAN_ANIMATE_OT_job_retry, WAN_ANIMATE_OT_job_import, WAN_ANIMATE_OT_job_reveal, WAN_ANIMATE_OT_job_report,
    WAN_ANIMATE_OT_job_remove,
)  # fmt: skip
_register, _unregister = bpy.utils.register_classes_factory(classes)


def register() -> None:
    global board
    board = Board()
    _register()
    bpy.types.WindowManager.wan_animate_jobs = PointerProperty(type=WanAnimateJobs)
    _previews["job"] = bpy.utils.previews.new()


def unregister() -> None:
    if bpy.app.timers.is_registered(follow):
        bpy.app.timers.unregister(follow)
    bpy.utils.previews.remove(_previews.pop("job"))
    if folder := _previews.pop("folder", None):
        folder.cleanup()
    del bpy.types.WindowManager.wan_animate_jobs
    _unregister()
    _listed[""] = ()
