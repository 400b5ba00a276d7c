"""What is chosen in the panel *Farm*, and what would be submitted by it now. Asks no engine."""

from __future__ import annotations

import functools
from pathlib import Path

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, FloatProperty, IntProperty, PointerProperty
from bpy.props import StringProperty as Text

from .. import timeline
from ..language import listed
from ..preferences import preferences, shots_folder
from ..wire import BadInput
from . import collecting, flamenco, openjd, outlook, plan, submit
from .estimates import Estimate
from .submission import FOLDER, Submission

GIB = 2**30

known: dict[str, plan.Plan] = {}
"""What the last look found (""); nothing before the first one."""
farms: dict[str, outlook.Farm] = {}
"""What Managers said of themselves, by their addresses."""


# --- what is chosen -------------------------------------------------------------------------------


def _tags(_: WanAnimateFarm, __: bpy.types.Context) -> list[tuple[str, str, str]]:
    farm = farms.get(manager())
    return _tag_items(farm.tags if farm else ())


@functools.lru_cache(maxsize=8)
def _tag_items(tags: tuple[flamenco.Tag, ...]) -> list[tuple[str, str, str]]:
    """Kept, because Blender does not keep the words of such a list."""
    named = [(tag.id, tag.name, "Only workers of this tag") for tag in tags]
    return [("ALL", "All Workers", "Workers of every tag"), *named]


class WanAnimateFarmShot(bpy.types.PropertyGroup):
    # Its name is the shot's.
    words: Text()


class WanAnimateFarm(bpy.types.PropertyGroup):
    engine: EnumProperty(
        name="Engine",
        description="Who runs what is submitted",
        items=(
            ("openjd", "OpenJD", "A job bundle: for AWS Deadline Cloud, for this machine, for whoever reads bundles"),
            ("flamenco", "Flamenco", "The Manager of the preferences"),
        ),
    )
    scope: EnumProperty(
        name="Strips",
        description="Which strips are submitted",
        items=(
            ("ALL", "All Marked", "All strips with a rig or a character, in all scenes of the file"),
            ("SELECTED", "Selected", "Those of them that are selected in the sequencer"),
        ),
    )
    edit: BoolProperty(name="Render the Edit", description="Render the whole edit, too, once all takes are in it")
    allow_missing: BoolProperty(
        name="Allow Missing Files",
        description="Submit although files are missing: what needs them fails on the farm, everything else is rendered",
    )
    gpu_memory: FloatProperty(
        name="GPU Memory",
        description="GiB that each render needs on one device. 0: any GPU is good enough",
        min=0.0, max=1024.0, precision=1,
    )  # fmt: skip
    device: EnumProperty(
        name="Device",
        description="What the farm renders on",
        items=(("cuda", "CUDA", "NVIDIA graphics cards"), ("cpu", "CPU", "Works everywhere, for small models")),
    )
    tag: EnumProperty(name="Worker Tag", description="Which of Flamenco's workers may take the job", items=_tags)
    rows: CollectionProperty(type=WanAnimateFarmShot)
    active: IntProperty(name="Shot")
    sent: Text(options={"HIDDEN"})
    """Address of the last job at a Manager."""


def chosen() -> WanAnimateFarm:
    return bpy.context.window_manager.wan_animate_farm


def manager() -> str:
    """Address of the preferences' Flamenco Manager as it is known by; empty where there is none."""
    return preferences().manager.strip().rstrip("/")


def wish() -> submit.Wish:
    """Raises `BadInput` where there is no folder of shots, or nothing that is selected is marked."""
    ours = chosen()
    is_all = ours.scope == "ALL"
    return submit.Wish(
        root=shots_folder(),
        strips=() if is_all else _selected(),
        scene="" if is_all else timeline.sequencer_scene(bpy.context).name,
        edit=ours.edit,
        gpu_memory=round(ours.gpu_memory * GIB) or None,
        allow_missing=ours.allow_missing,
    )


def _selected() -> tuple[str, ...]:
    scene = timeline.sequencer_scene(bpy.context)
    names = tuple(strip.name for where, strip in collecting.marked() if where == scene and strip.select)
    if not names:
        raise BadInput(
            "no selected strip is marked; select strips with a rig or a character, or submit all marked ones"
        )
    return names


def options(folder: Path, submission: Submission) -> openjd.Options:
    edit = folder / "edit" if chosen().edit else None
    return openjd.Options(
        shots=folder.parents[1], result=_result(folder, submission), edit=edit, device=chosen().device
    )


def _result(folder: Path, submission: Submission) -> Path:
    """The .blend that the farm saves with all takes in it."""
    return folder / f"{Path(submission.file).stem}_takes.blend"


def order(submission: Submission, folder: Path) -> flamenco.Order:
    ours = chosen()
    return flamenco.Order(
        submission=submission, folder=folder, device=ours.device, save_as=_result(folder, submission),
        render_edit=folder / "edit" if ours.edit else None, tag="" if ours.tag == "ALL" else ours.tag,
    )  # fmt: skip


# --- what is known --------------------------------------------------------------------------------


def look(estimate: Estimate) -> Submission:
    """Look at what would be submitted, and keep it for drawing. Raises what `submit.look` raises."""
    submission = submit.look(wish(), estimate)
    keep(submission)
    return submission


def keep(submission: Submission) -> None:
    ours = chosen()
    ours.rows.clear()
    for shot in submission.shots:
        row = ours.rows.add()
        row.name, row.words = shot.name, listed(plan.described(shot))
    farm = farms.get(manager())
    if ours.engine == "openjd":
        known[""] = plan.Plan(submission, plan.by_hosts(submission, openjd.Options.chunk))
    elif farm:
        known[""] = _at_flamenco(farm, submission)
    else:
        known[""] = plan.Plan(submission)


def _at_flamenco(farm: outlook.Farm, submission: Submission) -> plan.Plan:
    wanted = order(submission, shots_folder() / FOLDER / submission.name.rpartition(" ")[2])
    try:
        runs = plan.by_workers(submission, farm, wanted.tag)
        return plan.Plan(submission, runs, outlook.advice(farm, wanted))
    except BadInput as problem:
        return plan.Plan(submission, advice=(str(problem),))


_register, _unregister = bpy.utils.register_classes_factory((WanAnimateFarmShot, WanAnimateFarm))


def register() -> None:
    _register()
    bpy.types.WindowManager.wan_animate_farm = PointerProperty(type=WanAnimateFarm)


def unregister() -> None:
    del bpy.types.WindowManager.wan_animate_farm
    _unregister()
    for memory in (known, farms):
        memory.clear()
