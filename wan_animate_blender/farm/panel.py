"""The panel *Farm* in the sidebar of the sequencer: what would be submitted, and to whom it goes. Thin.

Draws what the last look found. The file in the window only gets the names of its shots and what is expected of them; a
farm works with a copy.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import bpy
from bpy.props import StringProperty

from .. import daemon, desk
from ..language import grey, listed, refuse, tell, translated
from ..preferences import chosen_manager, chosen_server, preferences
from ..session import Cancelled, News, Work
from ..sidebar import InSidebar, sentence
from ..wire import Problem, Settings, Unavailable
from . import choice, deadline, estimates, flamenco, openjd, outlook, plan, receiving, sending, submit, watch
from .choice import WanAnimateFarm, WanAnimateFarmShot, chosen
from .submission import Engine, Sent, Submission, SubmittedShot

log = logging.getLogger(__name__)

TICKET = "farm"
"""Of everything that is done from this panel: one thing after the other."""

ROWS, FRESH_SECONDS = 5, 30.0
_estimate: dict[str, estimates.Estimate] = {"": estimates.unknown}
"""What the last check has asked (""): a submission is told the same, without asking again."""
BUSY = "Something is being done for the farm; wait until it is done, or cancel it"


def _why_not() -> str:
    return BUSY if desk.is_busy(TICKET) else ""


def _lacks(program: str) -> str:
    """Why a program of the farm's cannot be run here, as it was found out lately."""
    return _sought(program, preferences().executable, int(time.monotonic() / FRESH_SECONDS))


@functools.lru_cache(maxsize=4)
def _sought(program: str, beside: str, _: int) -> str:
    try:
        deadline.find(program, _beside(beside))
    except Unavailable as problem:
        return str(problem)
    return ""


def _beside(chosen: str) -> str:
    """The executable of the server, beside which other programs of its environment are; empty where there is none."""
    try:
        return daemon.find(bpy.path.abspath(chosen))
    except Unavailable:
        return ""


def _of_the_server() -> estimates.Estimate:
    try:
        return estimates.of(chosen_server())
    except Problem as problem:
        log.info("no server is asked what renders need: %s", problem)
        return estimates.unknown


def _consider(url: str, heard: Sequence[tuple[Submission, outlook.Farm | None]], _: News) -> None:
    """Show what server and Manager have said."""
    for submission, farm in heard:
        if farm:
            choice.farms[url] = farm
        choice.keep(submission)


# --- what can be done -----------------------------------------------------------------------------


class _OnFarm:
    """An operator of this panel."""

    @classmethod
    def poll(cls, _: bpy.types.Context) -> bool:
        return grey(cls, _why_not() or cls.why_not())

    @classmethod
    def why_not(cls) -> str:
        return ""

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            return tell(self, said) if (said := self.do()) else {"FINISHED"}
        except Problem as problem:
            return refuse(self, problem)


class WAN_ANIMATE_OT_farm_check(_OnFarm, bpy.types.Operator):
    bl_idname = "wan_animate.farm_check"
    bl_label = "Check"
    bl_description = "List what would be submitted, who would run it, all files that would travel and what is missing"

    def do(self) -> str:
        asked: list[tuple[Settings, SubmittedShot]] = []

        def remember(settings: Settings, shot: SubmittedShot) -> SubmittedShot:
            asked.append((settings, shot))
            return shot

        submission = choice.look(remember)
        url = chosen_manager() if choice.chosen().engine == "flamenco" else ""
        _estimate[""] = _of_the_server()
        heard: list[tuple[Submission, outlook.Farm | None]] = []
        work = partial(sending.consider, receiving.beside, submission, asked, _estimate[""], url)
        hear = partial(_consider, url, heard)
        desk.start(TICKET, lambda cancelled: work(lambda *answer: heard.append(answer), cancelled), hear=hear)
        return ""


class WAN_ANIMATE_OT_farm_export(_OnFarm, bpy.types.Operator):
    bl_idname = "wan_animate.farm_export"
    bl_label = "Export Bundle"
    bl_description = (
        "Write a job bundle into a new folder below that of all shots, with a copy of the file as it is now"
    )

    def do(self) -> str:
        folder, _ = _bundled(Engine.OPENJD)
        return f"The bundle is in {folder}"


class WAN_ANIMATE_OT_farm_deadline(_OnFarm, bpy.types.Operator):
    bl_idname = "wan_animate.farm_deadline"
    bl_label = "Submit to Deadline Cloud"
    bl_description = "Write a job bundle, upload what it needs and queue it on the farm that 'deadline' is set up for"

    @classmethod
    def why_not(cls) -> str:
        return _lacks(deadline.DEADLINE)

    def do(self) -> str:
        executable = deadline.find(deadline.DEADLINE, _beside(preferences().executable))
        folder, _ = _bundled(Engine.DEADLINE)
        desk.start(TICKET, partial(sending.to_deadline, executable, folder))
        return ""


class WAN_ANIMATE_OT_farm_run(_OnFarm, bpy.types.Operator):
    bl_idname = "wan_animate.farm_run"
    bl_label = "Run Here"
    bl_description = "Write a job bundle and run it on this machine, shot by shot, while you go on working"

    @classmethod
    def why_not(cls) -> str:
        return _lacks(deadline.OPENJD)

    def do(self) -> str:
        wan_animate = daemon.find(bpy.path.abspath(preferences().executable))
        executable = deadline.find(deadline.OPENJD, wan_animate)
        folder, _ = _bundled(Engine.HERE, blender=bpy.app.binary_path, wan_animate=wan_animate)
        desk.start(TICKET, partial(deadline.run_here, executable, folder))
        return ""


class WAN_ANIMATE_OT_farm_flamenco(_OnFarm, bpy.types.Operator):
    bl_idname = "wan_animate.farm_flamenco"
    bl_label = "Submit to Flamenco"
    bl_description = "Queue all shots at the Manager of the preferences, with a copy of the file as it is now"

    @classmethod
    def why_not(cls) -> str:
        if not choice.manager():
            return "Enter the address of the Flamenco Manager in the preferences of the add-on"
        return "" if choice.manager() in choice.farms else "Press Check first, which asks the Manager what it can take"

    def do(self) -> str:
        url = chosen_manager()
        folder, submission = _made(Engine.FLAMENCO)
        order = choice.order(submission, folder)
        take_back = partial(submit.take_back, order.root, folder, submission)
        _begin(partial(sending.to_flamenco, receiving.beside, url, order, take_back), folder, url)
        return ""


class WAN_ANIMATE_OT_farm_cancel(bpy.types.Operator):
    bl_idname = "wan_animate.farm_cancel"
    bl_label = "Cancel"
    bl_description = "Stop what is being done for the farm from here; what is finished is kept"

    @classmethod
    def poll(cls, _: bpy.types.Context) -> bool:
        return grey(cls, "" if desk.is_busy(TICKET) else "Nothing is being done for the farm from here")

    def execute(self, context: bpy.types.Context) -> set[str]:
        desk.cancel(TICKET)
        return {"FINISHED"}


class WAN_ANIMATE_OT_farm_job_type(_OnFarm, bpy.types.Operator):
    bl_idname = "wan_animate.farm_job_type"
    bl_label = "Save Job Type…"
    bl_description = "Save the script that Flamenco needs: it belongs into the folder 'scripts' beside flamenco-manager"

    directory: StringProperty(name="Folder", description="Where the script is saved", subtype="DIR_PATH")

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def do(self) -> str:
        return f"{flamenco.save_script(Path(bpy.path.abspath(self.directory)))} is saved; press Refresh in Flamenco"


class WAN_ANIMATE_OT_farm_open(_OnFarm, bpy.types.Operator):
    bl_idname = "wan_animate.farm_open"
    bl_label = "Open in Flamenco"
    bl_description = "Show the last job that was submitted from here on the Manager's own page"

    @classmethod
    def why_not(cls) -> str:
        return "" if chosen().sent else "Nothing was submitted to Flamenco since Blender was started"

    def do(self) -> str:
        bpy.ops.wm.url_open(url=chosen().sent)
        return ""


def _made(engine: Engine, send: submit.Send = lambda *_: None) -> tuple[Path, Submission]:
    """The folder of a new submission, and the submission. Raises what `submit.submit` raises."""
    folder = submit.submit(choice.wish(), choice.look(_estimate[""]), send)
    submission = watch.read(folder)
    if submission is None:
        raise Unavailable(f"{folder} was removed while it was made; submit it again")
    receiving.remember(folder.parents[1], sending.fresh(folder, submission, engine))
    return folder, submission


def _bundled(engine: Engine, **programs: str) -> tuple[Path, Submission]:
    """The same with a job bundle in it."""

    def send(submission: Submission, folder: Path) -> None:
        options = choice.options(folder, submission)
        openjd.write(submission, folder, openjd.Options(**{**vars(options), **programs}))
        sending.note(Sent(engine=engine if engine is Engine.HERE else Engine.OPENJD), folder)

    return _made(engine, send)


def _begin(work: Callable[[Cancelled], Work[str]], folder: Path, url: str) -> None:
    def hear(news: News) -> None:
        where = watch.sent(folder) if news.result else None
        if where:
            chosen().sent = flamenco.Manager(url).page(where.job)

    desk.start(TICKET, work, hear=hear)


# --- the panel ------------------------------------------------------------------------------------


class WAN_ANIMATE_UL_farm(bpy.types.UIList):
    def draw_item(
        self, context: bpy.types.Context, layout: bpy.types.UILayout, data: WanAnimateFarm, item: WanAnimateFarmShot,
        icon: int, active_data: WanAnimateFarm, active_property: str,
    ) -> None:  # fmt: skip
        row = layout.split(factor=0.3)
        row.label(text=item.name, translate=False, icon="SEQUENCE")
        row.label(text=item.words, translate=False)


class WAN_ANIMATE_PT_farm(InSidebar, bpy.types.Panel):
    bl_label = "Farm"
    bl_options: ClassVar[set[str]] = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        layout, ours = self.layout, chosen()
        layout.use_property_split, layout.use_property_decorate = True, False
        layout.row().prop(ours, "engine", expand=True)
        layout.row().prop(ours, "scope", expand=True)
        layout.prop(ours, "device")
        layout.prop(ours, "gpu_memory")
        layout.prop(ours, "edit")
        if ours.engine == "flamenco":
            layout.prop(preferences(), "manager")
            layout.prop(ours, "tag")
        layout.operator("wan_animate.farm_check", icon="VIEWZOOM")
        if found := choice.known.get(""):
            _draw_plan(layout, context, found)
        _draw_buttons(layout, ours)
        _draw_progress(layout, context)


def _draw_plan(layout: bpy.types.UILayout, context: bpy.types.Context, found: plan.Plan) -> None:
    ours = chosen()
    layout.template_list("WAN_ANIMATE_UL_farm", "", ours, "rows", ours, "active", rows=ROWS)
    for line in (*plan.summed_up(found.submission), *found.runs):
        sentence(layout, context, line, "DOT")
    for line in plan.lacking(found.submission):
        sentence(layout, context, line, "ERROR")
    if found.submission.missing:
        layout.prop(ours, "allow_missing")
    for line in found.advice:
        sentence(layout, context, line, "ERROR")


def _draw_buttons(layout: bpy.types.UILayout, ours: WanAnimateFarm) -> None:
    if ours.engine == "flamenco":
        layout.operator("wan_animate.farm_flamenco", icon="EXPORT")
        row = layout.row(align=True)
        row.operator("wan_animate.farm_open", icon="URL")
        row.operator("wan_animate.farm_job_type", icon="FILE_SCRIPT")
        return
    layout.operator("wan_animate.farm_deadline", icon="EXPORT")
    row = layout.row(align=True)
    row.operator("wan_animate.farm_export", icon="PACKAGE")
    row.operator("wan_animate.farm_run", icon="PLAY")


def _draw_progress(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    news = desk.latest.get(TICKET)
    if desk.is_busy(TICKET):
        step = news.step if news else None
        row = layout.row(align=True)
        text = listed(filter(None, (step.stage, step.message))) if step else translated("starting")
        row.progress(factor=step.progress if step else 0.0, text=text)
        row.operator("wan_animate.farm_cancel", icon="X", text="")
    elif news:
        sentence(layout, context, str(news.problem or news.result), "ERROR" if news.problem else "CHECKMARK")


register, unregister = bpy.utils.register_classes_factory((
    WAN_ANIMATE_UL_farm, WAN_ANIMATE_PT_farm, WAN_ANIMATE_OT_farm_check, WAN_ANIMATE_OT_farm_export,
    WAN_ANIMATE_OT_farm_deadline, WAN_ANIMATE_OT_farm_run, WAN_ANIMATE_OT_farm_flamenco, WAN_ANIMATE_OT_farm_cancel,
    WAN_ANIMATE_OT_farm_job_type, WAN_ANIMATE_OT_farm_open,
))  # fmt: skip
