"""farm/outlook.py: what somebody should know of a farm before a job is sent to it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from wan_animate_blender.farm.flamenco import Manager, here
from wan_animate_blender.farm.outlook import REMEDY, VARIABLES, Farm, advice, look
from wan_animate_blender.wire import BadInput

from .manager import FakeManager, variable, worker
from .submitted import GB, order, shot

ALL = {name: variable(name) for name in ("blender", "blenderArgs", "wanAnimate")}


def farm(fake: FakeManager, *workers: dict[str, Any], variables: Any = None) -> Farm:
    fake.workers = list(workers)
    fake.variables = variables if variables is not None else {here(): ALL, "linux": ALL, "windows": ALL}
    return look(Manager(fake.url))


CPU = ("blender", "ffmpeg", "misc")
GPU = ("wan-gpu", "wan-gpu-16g", "wan-gpu-24g")


def test_a_farm_that_can_do_everything_gets_no_advice(fake: FakeManager) -> None:
    able = farm(fake, worker("a", *CPU), worker("b", *GPU), worker("c", *GPU), worker("d", *CPU))
    assert advice(able, order(), "linux") == ()
    assert able.version == "3.7" and [one.name for one in able.takers("wan-gpu-24g")] == ["b", "c"]


def test_a_type_of_task_that_nobody_takes_is_said(fake: FakeManager) -> None:
    weak = farm(fake, worker("a", *CPU), worker("b", *GPU), worker("c", *GPU), worker("d", *CPU))
    said = advice(weak, order(shot("A/e001", gpu_memory=40 * GB)), "linux")
    assert said == (
        "no worker takes tasks of type 'wan-gpu-48g'; add it to task_types in the flamenco-worker.yaml of some",
    )


def test_the_only_worker_with_a_gpu_is_the_trap_of_a_task_that_waits_for_ever(fake: FakeManager) -> None:
    said = advice(farm(fake, worker("a", *CPU), worker("b", *CPU), worker("c", *GPU)), order(), "linux")
    assert said == (
        "only one worker takes tasks of type 'wan-gpu-24g': where one fails there, it waits for ever for another; "
        "set task_fail_after_softfail_count: 1 in flamenco-manager.yaml",
    )


@pytest.mark.parametrize(("staff", "number"), [
    ([worker("a", *CPU, *GPU)], "1 worker:"), ([worker("a", *CPU), worker("b", *GPU)], "2 workers:"),
])  # fmt: skip
def test_a_small_farm_is_the_trap_of_a_job_that_fails_at_once(
    fake: FakeManager, staff: list[dict[str, Any]], number: str
) -> None:
    said = advice(farm(fake, *staff), order(), "linux")
    assert said == (
        f"the farm has {number} Flamenco fails a whole job there when one task fails once; "
        "set task_fail_after_softfail_count: 1 in flamenco-manager.yaml",
    )


def test_workers_that_are_switched_off_or_in_another_group_do_not_count(fake: FakeManager) -> None:
    staff = [worker("a", *CPU, tags=("x",)), worker("b", *GPU, tags=("x",), status="asleep"), worker("c", *CPU),
             worker("d", *GPU, status="offline", tags=("x",)), worker("e", *GPU)]  # fmt: skip
    able = farm(fake, *staff)
    assert [one.name for one in able.staff("x")] == ["a", "b"]
    assert [one.name for one in able.takers("wan-gpu-24g")] == ["b", "e"]
    assert [sentence[:24] for sentence in advice(able, order(tag="x"), "linux")] == ["the farm has 2 workers: "]


def test_a_farm_without_workers_says_so_for_each_type(fake: FakeManager) -> None:
    said = advice(farm(fake), order(), "linux")
    assert [sentence.split(";")[0] for sentence in said] == [
        "no worker takes tasks of type 'blender'", "no worker takes tasks of type 'wan-gpu-24g'"
    ]  # fmt: skip


def test_variables_that_the_commands_name_and_the_manager_has_not_are_said(fake: FakeManager) -> None:
    some = {"blender": variable("blender"), "wanAnimate": variable("")}
    staff = [worker(name, *CPU, *GPU, system="windows") for name in "abc"]
    said = advice(farm(fake, *staff, variables={"windows": some}), order(), "windows")
    assert said == (
        "the Manager has no blenderArgs and no wanAnimate for workers on windows; "
        "add what is missing to the variables in flamenco-manager.yaml",
    )


@pytest.mark.parametrize(("ours", "theirs", "is_known"), [
    ("/mnt/shots", "Z:\\shots", True), ("/MNT/", "Z:\\", True), ("/mnt/shots", None, False), ("/srv", "S:\\", False),
])  # fmt: skip
def test_a_folder_that_workers_of_another_system_do_not_know_is_said(
    fake: FakeManager, ours: str, theirs: str | None, is_known: bool
) -> None:
    shared = {} if theirs is None else {"shared": variable(theirs, is_twoway=True)}
    names = {"linux": {**ALL, "shared": variable(ours, is_twoway=True)}, "windows": {**ALL, **shared}}
    staff = [worker(name, *CPU, *GPU, system="windows") for name in "abc"]
    made = farm(fake, *staff, worker("d", *CPU, system="linux"), variables={here(): ALL} | names)
    said = advice(made, order(), "linux")
    known = ("workers on windows do not know /mnt/shots: add a variable with is_twoway: true and both forms of that "
             "folder to flamenco-manager.yaml")  # fmt: skip
    assert said == (() if is_known else (known,))


def test_a_variable_that_goes_one_way_says_nothing_of_a_folder(fake: FakeManager) -> None:
    staff = [worker(name, *CPU, *GPU, system="windows") for name in "abc"]
    names = {"linux": {**ALL, "shared": variable("/mnt")}, "windows": {**ALL, "shared": variable("Z:")}}
    (said,) = advice(farm(fake, *staff, variables=names), order(), "linux")
    assert said.startswith("workers on windows do not know /mnt/shots: add a variable with is_twoway: true")


def test_folders_of_windows_are_known_with_slashes_of_either_kind(fake: FakeManager) -> None:
    names = {"windows": {**ALL, "shared": variable("z:\\", True)}, "linux": {**ALL, "shared": variable("/mnt", True)}}
    made = farm(fake, *(worker(name, *CPU, *GPU) for name in "abc"), worker("d", system="windows"), variables=names)
    assert advice(made, order(folder=Path("Z:/shots/farm/f001")), "windows") == ()


def test_variables_of_the_submitters_own_system_are_asked_for_too(fake: FakeManager) -> None:
    made = farm(fake, worker("a", system="plan9"), variables={"plan9": ALL, here(): ALL})
    assert made.variables.keys() == {"plan9", here()}


def test_a_shot_that_is_too_large_for_the_farm_is_refused_before_anything_is_sent(fake: FakeManager) -> None:
    with pytest.raises(BadInput, match="the largest of this farm has 141"):
        advice(farm(fake), order(shot("A/e001", gpu_memory=200 * GB)))


def test_the_sample_in_the_documentation_lacks_no_variable() -> None:
    sample = (Path(__file__).parents[2] / "docs" / "flamenco.md").read_text("utf-8")
    block = sample.split("\nvariables:\n")[1].split("```")[0]
    assert set(re.findall(r"^  (\w+):$", block, re.MULTILINE)) == {*VARIABLES, "shared"}
    assert REMEDY.split()[1] in sample
