"""farm/flamenco.py: a submission as a job of a small Manager that runs the real script, on a real socket."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from wan_animate_blender.farm.flamenco import SCRIPT, JobType, Manager, Tag, job_of, save_script, send
from wan_animate_blender.farm.standing import standing
from wan_animate_blender.farm.submission import Engine, Sent
from wan_animate_blender.wire import BadInput, Unavailable

from .manager import UNKNOWN, FakeManager, Reply, submitted, variable
from .submitted import GB, order, shot

FRONT = (shot("SH010/e003"), shot("SH010_bob/e001", base="SH010/e003"))


def test_the_managers_script_is_ours(fake: FakeManager) -> None:
    found = Manager(fake.url).job_type()
    assert found.etag == fake.about()["etag"] and found.gpu_sizes == (16, 24, 32, 48, 80, 96, 141)


def test_a_manager_without_our_script_is_told_how_to_get_it(fake: FakeManager) -> None:
    fake.instead["GET /jobs/type/wan-animate-shots"] = Reply(404, {"code": 404, "message": "no such job type known"})
    with pytest.raises(Unavailable, match=r"has no job type 'wan-animate-shots'; press Save Job Type…, put the file"):
        Manager(fake.url).job_type()


@pytest.mark.parametrize("changed", ["version", "gpu_sizes"])
def test_a_script_of_another_version_is_refused_before_anything_is_sent(fake: FakeManager, changed: str) -> None:
    about = fake.about()
    next(one for one in about["settings"] if one["key"] == changed)["default"] = "other"
    fake.instead["GET /jobs/type/wan-animate-shots"] = Reply(200, about)
    with pytest.raises(Unavailable, match="has another version of the job type 'wan-animate-shots'; press Save Job"):
        Manager(fake.url).job_type()


def test_sizes_of_gpus_that_a_farm_has_set_for_itself_are_used(fake: FakeManager) -> None:
    about = fake.about()
    next(one for one in about["settings"] if one["key"] == "gpu_sizes")["default"] = "40, 20"
    fake.instead["GET /jobs/type/wan-animate-shots"] = Reply(200, about)
    manager = Manager(fake.url)
    manager.submit(job_of(order(shot("A/e001", gpu_memory=21 * GB)), manager.job_type()))
    assert fake.task("render A/e001")["task_type"] == "wan-gpu-40g"


def test_a_job_is_checked_then_queued_with_a_task_for_each_step(fake: FakeManager) -> None:
    manager, job, _ = submitted(fake, *FRONT)
    posts = [path for path in fake.asked if path.startswith("POST")]
    assert posts == ["POST /jobs/check", "POST /jobs"]
    assert [task["name"] for task in fake.tasks[job]] == [
        "export SH010/e003", "render SH010/e003", "export SH010_bob/e001", "render SH010_bob/e001", "import"
    ]  # fmt: skip
    assert fake.jobs[job]["name"] == "edit f001" and fake.jobs[job]["priority"] == 50
    assert manager.page(job) == f"{fake.url}/app/jobs/{job}"


def test_a_job_is_limited_to_the_workers_of_a_tag(fake: FakeManager) -> None:
    fake.tags = [{"id": "t1", "name": "night"}, {"id": "t2", "name": "day"}]
    manager = Manager(fake.url)
    assert manager.tags() == (Tag(id="t2", name="day"), Tag(id="t1", name="night"))
    job = manager.submit(job_of(order(tag="t2", priority=70), manager.job_type()))
    assert fake.jobs[job]["worker_tag"] == "t2" and fake.jobs[job]["priority"] == 70


def test_a_script_that_changed_meanwhile_refuses_the_job(fake: FakeManager) -> None:
    manager, sizes = Manager(fake.url), (24,)
    stale = job_of(order(), JobType(etag="0" * 40, gpu_sizes=sizes, version="x"))
    with pytest.raises(Unavailable, match="has another version of the job type"):
        manager.submit(stale)
    assert fake.jobs == {}


def test_what_the_script_refuses_is_said_without_its_lines(fake: FakeManager) -> None:
    manager = Manager(fake.url)
    job = job_of(order(), manager.job_type())
    job["settings"]["shots"] = "[]"
    with pytest.raises(BadInput) as caught:
        manager.submit(job)
    assert str(caught.value) == (
        f"the Manager at {fake.url} refuses the job: the setting shots is [], "
        "expected a JSON list with at least one shot"
    )
    assert fake.jobs == {}


@pytest.mark.parametrize("where", [
    "compileJob (/srv/scripts/wan_animate_shots.js:197:3(12))", "wan_animate_shots.js:80:9(33)",
    "parsed (wan_animate_shots.js:108:11(20)) and more",
])  # fmt: skip
def test_where_in_the_script_it_was_refused_is_nobodys_business(fake: FakeManager, where: str) -> None:
    said = {"code": 400, "message": f"Error: the setting shots is wrong at {where}"}
    fake.instead["POST /jobs/check"] = Reply(400, said)
    with pytest.raises(BadInput, match=r"refuses the job: the setting shots is wrong$"):
        Manager(fake.url).submit({})


def test_a_submission_is_sent_and_where_it_went_is_known(fake: FakeManager) -> None:
    where = send(Manager(fake.url), order())
    assert where == Sent(engine=Engine.FLAMENCO, job=next(iter(fake.jobs)), url=fake.url)


def test_an_older_manager_is_sent_nothing(fake: FakeManager) -> None:
    fake.version = "3.6"
    with pytest.raises(Unavailable, match=r"expected 3\.7 or later"):
        send(Manager(fake.url), order())
    assert fake.asked == ["GET /version"]


def test_the_script_is_saved_for_the_manager(tmp_path: Path) -> None:
    saved = save_script(tmp_path)
    assert saved == tmp_path / "wan_animate_shots.js" and saved.read_bytes() == SCRIPT.read_bytes()
    with pytest.raises(BadInput, match=r"cannot write to .*; choose a folder that you may write to"):
        save_script(tmp_path / "gone")


def test_an_answer_that_is_lost_says_that_the_job_may_be_there(fake: FakeManager) -> None:
    manager = Manager(fake.url)
    job = job_of(order(), manager.job_type())
    fake.instead["POST /jobs"] = Reply(503, b"")
    with pytest.raises(Unavailable, match=f"the job may be there already, look at {fake.url}/app/jobs"):
        manager.submit(job)


def test_1001_shots_are_submitted_at_once(fake: FakeManager) -> None:
    shots = [shot(f"SH{number:04d}/e001") for number in range(1001)]
    manager, job, whole = submitted(fake, *shots)
    assert len(standing(manager, job, whole).shots) == 1001


def test_paths_below_a_two_way_variable_travel_as_that_variable(fake: FakeManager) -> None:
    fake.variables = {"windows": {"shared": variable("Z:\\", is_twoway=True)}}
    manager = Manager(fake.url)
    wanted = order(folder=Path("Z:/shots/farm/f001"), save_as=Path("z:/shots/edit.blend"))
    manager.submit(job_of(wanted, manager.job_type(), "windows"))
    rendering, importing = fake.task("render SH010/e003"), fake.task("import")
    assert rendering["commands"][0]["parameters"]["args"][1] == "{shared}shots/SH010/e003"
    assert importing["commands"][0]["parameters"]["blendfile"] == "{shared}shots/farm/f001/edit.blend"
    assert "{shared}shots/edit.blend" in importing["commands"][0]["parameters"]["args"]


@pytest.mark.parametrize("deed", [Manager.job, Manager.tasks, Manager.cancel, Manager.retry, Manager.remove])
def test_a_job_that_is_gone_is_said(fake: FakeManager, deed: Callable[[Manager, str], object]) -> None:
    with pytest.raises(BadInput, match=f"knows no job '{UNKNOWN}'; it was removed there, submit again"):
        deed(Manager(fake.url), UNKNOWN)


def test_a_job_that_has_ended_cannot_be_cancelled_and_can_be_removed(fake: FakeManager) -> None:
    manager, job, _ = submitted(fake)
    fake.jobs[job]["status"] = "completed"
    with pytest.raises(BadInput, match=f"cannot do that .* look at {fake.url}/app/jobs/{job}"):
        manager.cancel(job)
    manager.remove(job)
    assert fake.jobs == {}
