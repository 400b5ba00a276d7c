"""A server's queue over its socket: order, pauses, re-takes; takes as one stream; folders that are handed over."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from wan_animate_blender.wire import (
    SHOT_FILE,
    TAKE_FILE,
    Device,
    ErrorReply,
    Job,
    JobState,
    KnownModel,
    Queue,
    Retake,
    Shot,
    Take,
    TakeState,
)

from .conftest import QUICK, Make, write_export
from .serving import LONG, PATIENCE, Running, serving

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder below which shots may be handed over."""
    return tmp_path_factory.mktemp("roots")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, roots: Path) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("server"), "--root", roots) as running:
        yield running


@pytest.fixture
def held(server: Running) -> Iterator[Running]:
    """The server with a queue of which nothing is begun, and nothing waits at the end."""
    assert Queue.from_json(server.call("POST", "/v1/queue/pause").json()).paused
    yield server
    for job in map(Job.from_json, server.call("GET", "/v1/jobs").json()):
        server.call("DELETE", f"/v1/jobs/{job.id}")
    assert not Queue.from_json(server.call("POST", "/v1/queue/resume").json()).paused


def ask(server: Running, method: str, path: str, status: int, message: dict[str, Any] | None = None) -> Job:
    reply = server.call(method, f"/v1/jobs/{path}", json=message)
    assert reply.status_code == status, reply.text
    return Job.from_json(reply.json())


def refused(reply: requests.Response, status: int, error: str) -> str:
    assert reply.status_code == status, reply.text
    said = ErrorReply.loads(reply.content)
    assert said.error == error
    return said.message


def waiting(server: Running) -> list[str]:
    """Ids of the jobs that wait, in the order in which they will be rendered."""
    jobs = [Job.from_json(item) for item in server.call("GET", "/v1/jobs").json()]
    return [job.id for job in sorted(jobs, key=lambda job: job.place) if job.place]


# --- order ----------------------------------------------------------------------------------------


def test_what_is_more_urgent_is_rendered_first_and_every_job_knows_its_place(held: Running, make_shot: Make) -> None:
    folder = make_shot()
    first, second, third = (held.submit(folder).id for _ in range(3))
    assert waiting(held) == [first, second, third]
    urgent = ask(held, "PUT", f"{third}/priority", 200, {"priority": 10})
    assert (urgent.priority, urgent.place) == (10, 1)
    ask(held, "PUT", f"{first}/priority", 200, {"priority": -10})
    assert waiting(held) == [third, second, first]


@pytest.mark.parametrize("message", [b"", b"{}", b"[]", b'{"priority": 101}', b'{"priority": 1.5}', b"\xff"])
def test_a_priority_that_makes_no_sense_is_refused(held: Running, make_shot: Make, message: bytes) -> None:
    job = held.submit(make_shot()).id
    refused(held.call("PUT", f"/v1/jobs/{job}/priority", data=message), 422, "bad-priority")
    assert held.job(job).priority == 0


def test_a_job_moves_before_another_one_or_to_the_front_with_a_priority_that_fits(
    held: Running, make_shot: Make
) -> None:
    folder = make_shot()
    urgent, second, third, fourth = (held.submit(folder).id for _ in range(4))
    ask(held, "PUT", f"{urgent}/priority", 200, {"priority": 5})
    assert ask(held, "POST", f"{fourth}/move", 200, {"before": second}).priority == 0
    assert waiting(held) == [urgent, fourth, second, third]
    assert ask(held, "POST", f"{third}/move", 200, {}).priority == 5
    assert waiting(held) == [third, urgent, fourth, second]
    refused(held.call("POST", f"/v1/jobs/{third}/move", json={"before": third}), 409, "not-queued")
    refused(held.call("POST", f"/v1/jobs/{third}/move", json={"before": "nobody"}), 409, "not-queued")
    refused(held.call("POST", f"/v1/jobs/{third}/move", json={"after": second}), 422, "bad-turn")


def test_a_paused_queue_begins_nothing_until_it_goes_on_also_after_a_restart(
    tmp_path: Path, make_shot: Make, undisturbed: dict[str, str]
) -> None:
    with serving(tmp_path / "server") as running:
        running.call("POST", "/v1/queue/pause")
        job = running.submit(make_shot())
    with serving(tmp_path / "server") as again:
        again.worker()
        assert Queue.from_json(again.call("GET", "/v1/queue").json()) == Queue(paused=True, waiting=1, running=0)
        assert again.job(job.id).state is JobState.QUEUED
        again.call("POST", "/v1/queue/resume")
        assert again.finished(job.id).state is JobState.DONE
        assert again.pictures(job.id) == undisturbed


def test_a_running_job_that_is_put_aside_lets_another_one_go_first_and_goes_on_where_it_stood(
    server: Running, make_shot: Make
) -> None:
    with server.holding(frames=1):
        long = server.submit(make_shot(frames=13, settings=replace(QUICK, seed=815)))
        server.wait(long.id, lambda now: now.frames > 0)
        assert ask(server, "POST", f"{long.id}/pause", 202).state in (JobState.PAUSING, JobState.PAUSED)
        aside = server.wait(long.id, lambda now: now.state is JobState.PAUSED)
    assert 0 < aside.frames < 13, "what was finished is kept"
    other = server.submit(write_export(server.data.parent / "other", frames=1))
    assert server.finished(other.id).state is JobState.DONE
    assert server.job(long.id).state is JobState.PAUSED
    assert ask(server, "POST", f"{long.id}/resume", 202).state in (JobState.QUEUED, JobState.RUNNING)
    assert server.finished(long.id).state is JobState.DONE
    take = server.take(long.id)
    assert (take.version, "resuming" in take.seconds) == (1, True), "the same take goes on after its last segment"


def test_a_job_that_waits_is_put_aside_at_once_and_one_that_has_ended_never(held: Running, make_shot: Make) -> None:
    job = held.submit(make_shot()).id
    assert ask(held, "POST", f"{job}/pause", 202).state is JobState.PAUSED
    assert waiting(held) == []
    assert ask(held, "POST", f"{job}/resume", 202).state is JobState.QUEUED
    ask(held, "POST", f"{job}/pause", 202)
    assert ask(held, "DELETE", job, 202).state is JobState.CANCELLED
    for verb, word in (("pause", "over"), ("resume", "not-paused")):
        refused(held.call("POST", f"/v1/jobs/{job}/{verb}"), 409, word)
    refused(held.call("PUT", f"/v1/jobs/{job}/priority", json={"priority": 1}), 409, "over")


def test_a_preview_says_by_its_number_when_there_is_another_picture(server: Running, make_shot: Make) -> None:
    with server.holding(step=1):
        job = server.submit(make_shot(settings=LONG))
        first = server.wait(job.id, lambda now: now.preview > 0)
        with server.holding(step=20):
            later = server.wait(job.id, lambda now: now.step >= 20)
            assert later.preview == later.step > first.preview > 0
            assert server.call("GET", f"/v1/jobs/{job.id}/preview").content.startswith(b"\x89PNG")
            server.call("DELETE", f"/v1/jobs/{job.id}")
            assert server.finished(job.id).state is JobState.CANCELLED


# --- takes ----------------------------------------------------------------------------------------


def test_a_take_comes_as_one_stream_with_exactly_the_files_that_it_lists(server: Running, make_shot: Make) -> None:
    job = server.submit(make_shot())
    server.finished(job.id)
    reply = server.call("GET", f"/v1/jobs/{job.id}/take.tar")
    assert reply.headers["Content-Type"] == "application/x-tar"
    assert int(reply.headers["Content-Length"]) == len(reply.content)
    with tarfile.open(fileobj=io.BytesIO(reply.content)) as archive:
        files = {member.name: (archive.extractfile(member) or io.BytesIO()).read() for member in archive}
    take = Take.loads(files.pop(TAKE_FILE))
    assert take == server.take(job.id)
    assert {path: len(data) for path, data in files.items()} == {path: e.size for path, e in take.files.items()}
    folder = next((server.data / "jobs" / job.id).rglob(TAKE_FILE)).parent
    assert all((folder / path).read_bytes() == data for path, data in files.items())


def test_a_take_that_is_not_complete_does_not_come_as_a_stream(server: Running, make_shot: Make) -> None:
    with server.holding(step=1):
        job = server.submit(make_shot(settings=LONG))
        server.wait(job.id, lambda now: now.step > 0)
        refused(server.call("GET", f"/v1/jobs/{job.id}/take.tar"), 409, "not-done")
        server.call("DELETE", f"/v1/jobs/{job.id}")
        server.finished(job.id)


def test_a_retake_needs_the_job_no_more_of_which_it_is_one(server: Running, make_shot: Make) -> None:
    job = server.submit(make_shot())
    server.finished(job.id)
    before = server.pictures(job.id)
    retake = Retake(first=1008, last=1009, seed=99)
    made = ask(server, "POST", f"{job.id}/retake", 201, retake.to_json())
    assert (made.shot, made.strip, made.retake) == (job.shot, job.strip, retake)
    assert server.call("POST", f"/v1/jobs/{job.id}/remove").status_code == 204
    assert server.finished(made.id).state is JobState.DONE, server.job(made.id).message
    after = server.pictures(made.id)
    changed = {path for path in before if after[path] != before[path]}
    assert {path.split("/")[1] for path in changed} == {"1008.png", "1009.png"}
    assert server.take(made.id).state is TakeState.COMPLETE


def test_a_retake_is_of_a_done_job_and_of_frames_that_it_has(held: Running, server: Running, make_shot: Make) -> None:
    job = held.submit(make_shot())
    said = refused(held.call("POST", f"/v1/jobs/{job.id}/retake", json={"first": 1001, "last": 1002}), 409, "not-done")
    assert "queued" in said
    held.call("POST", "/v1/queue/resume")
    held.finished(job.id)
    for message in ({"first": 1000, "last": 1002}, {"first": 1009, "last": 1010}, {"first": 3, "last": 2}, {}, []):
        refused(held.call("POST", f"/v1/jobs/{job.id}/retake", json=message), 422, "bad-retake")


# --- extensions -----------------------------------------------------------------------------------


def longer(root: Path, frames: int = 13) -> Path:
    """The export of the same strip after it was trimmed longer at its end."""
    return write_export(root, frames=frames)


def extend(server: Running, folder: Path, base: str) -> requests.Response:
    shot = Shot.loads((folder / SHOT_FILE).read_bytes())
    server.upload(folder, shot)
    return server.call("POST", f"/v1/jobs?base={base}", data=shot.dumps().encode())


def test_an_extension_keeps_every_frame_of_the_job_before_and_needs_it_no_more(
    server: Running, make_shot: Make, tmp_path: Path
) -> None:
    job = server.submit(make_shot())
    server.finished(job.id)
    before = server.pictures(job.id)
    reply = extend(server, longer(tmp_path / "longer"), job.id)
    assert reply.status_code == 201, reply.text
    assert server.call("POST", f"/v1/jobs/{job.id}/remove").status_code == 204
    made = server.finished(Job.loads(reply.content).id)
    assert made.state is JobState.DONE, made.message
    after = server.pictures(made.id)
    assert {path: after[path] for path in before} == before
    assert {path.split("/")[1] for path in after.keys() - before.keys()} == {f"{n}.png" for n in range(1010, 1014)}
    assert made.segments == 1, "one segment has all new frames"


def test_a_folder_that_is_handed_over_is_extended_too(server: Running, roots: Path) -> None:
    job = Job.loads(hand_over(server, write_export(roots / "short")).content)
    server.finished(job.id)
    before = server.pictures(job.id)
    folder = longer(roots / "long")
    reply = server.call("POST", f"/v1/jobs?base={job.id}", json={"folder": str(folder)})
    made = server.finished(Job.loads(reply.content).id)
    assert made.state is JobState.DONE, made.message
    after = server.pictures(made.id)
    assert {path: after[path] for path in before} == before


def test_an_extension_goes_on_from_a_job_that_is_there_and_done(
    held: Running, make_shot: Make, tmp_path: Path
) -> None:  # fmt: skip
    folder = longer(tmp_path / "longer")
    assert "there is no job" in refused(extend(held, folder, "0" * 32), 404, "not-found")
    waits = held.submit(make_shot())
    assert "only a done one" in refused(extend(held, folder, waits.id), 409, "not-done")
    assert held.call("POST", "/v1/jobs?base=../..", json={}).status_code == 422
    assert [job["id"] for job in held.call("GET", "/v1/jobs?newest=1").json()] == [waits.id]


def test_an_extension_that_has_no_new_frame_fails_with_the_sentence(server: Running, make_shot: Make) -> None:
    folder = make_shot()
    job = server.submit(folder)
    server.finished(job.id)
    made = server.finished(Job.loads(extend(server, folder, job.id).content).id)
    assert made.state is JobState.FAILED
    assert "trim the strip longer" in made.message


# --- folders that are handed over -----------------------------------------------------------------


def hand_over(server: Running, folder: Path | str) -> requests.Response:
    return server.call("POST", "/v1/jobs", json={"folder": str(folder)})


def test_a_folder_below_a_root_is_rendered_in_place_and_not_written_to(
    server: Running, roots: Path, undisturbed: dict[str, str]
) -> None:
    folder = write_export(roots / "show")
    before = sorted((roots / "show").rglob("*"))
    job = Job.loads(hand_over(server, folder).content)
    assert server.finished(job.id).state is JobState.DONE, server.job(job.id).message
    assert server.pictures(job.id) == undisturbed
    assert sorted((roots / "show").rglob("*")) == before
    assert not list((server.data / "jobs" / job.id).rglob(SHOT_FILE)), "nothing of the shot was copied"


def test_folders_elsewhere_are_refused_with_one_sentence_there_or_not(
    server: Running, roots: Path, tmp_path: Path
) -> None:
    outside = write_export(tmp_path / "outside")
    (roots / "link").symlink_to(outside)
    said = {
        refused(hand_over(server, place), 422, "bad-shot").replace(str(place), "X")
        for place in (outside, roots / "link", tmp_path / "absent", roots / ".." / "x", "/etc", roots / "absent")
    }
    assert len(said) == 1, said
    for place in ("show/SH010/e001", "", "a\0b", "x" * 5000):
        refused(hand_over(server, place), 422, "bad-shot")


def test_a_file_of_a_folder_that_leads_out_of_it_is_refused(server: Running, roots: Path, tmp_path: Path) -> None:
    folder = write_export(roots / "leading")
    (tmp_path / "secret.png").write_bytes((folder / "plate/1002.png").read_bytes())
    (folder / "plate/1002.png").unlink()
    (folder / "plate/1002.png").symlink_to(tmp_path / "secret.png")
    assert "plate/1002.png" in refused(hand_over(server, folder), 422, "bad-shot")
    (folder / "plate/1002.png").unlink()
    (folder / "plate/1002.png").write_bytes(b"short")
    assert "5 bytes" in refused(hand_over(server, folder), 422, "bad-shot")
    (folder / SHOT_FILE).unlink()
    (folder / SHOT_FILE).symlink_to("/etc/passwd")
    refused(hand_over(server, folder), 422, "bad-shot")


def test_a_retake_of_a_folder_that_was_handed_over_reads_it_again(server: Running, roots: Path) -> None:
    job = Job.loads(hand_over(server, write_export(roots / "again")).content)
    server.finished(job.id)
    made = ask(server, "POST", f"{job.id}/retake", 201, {"first": 1009, "last": 1009, "seed": 5})
    assert server.finished(made.id).state is JobState.DONE, server.job(made.id).message


# --- what there is to render with -----------------------------------------------------------------


def test_models_say_whether_their_files_are_here_and_which_lack(server: Running) -> None:
    models = {m.name: m for m in map(KnownModel.from_json, server.call("GET", "/v1/models").json())}
    assert models.keys() == {"puppet", "wan-animate-14b"}
    assert models["puppet"].installed
    released = models["wan-animate-14b"]
    assert released.installed == (not set(released.lacking) & {"transformer", "vae", "text", "clip", "tokenizer"})
    assert all(model.title for model in models.values())


def test_devices_say_what_is_loaded_and_show_their_heartbeat(server: Running, make_shot: Make) -> None:
    with server.holding(step=1):
        job = server.submit(make_shot(settings=LONG))
        device = until_loaded(server, job.id)
        assert (device.name, device.pid, device.job) == ("cpu", server.worker(), job.id)
        assert device.loaded == f"puppet {QUICK.precision} resident"
        assert device.memory and device.free and 0 < device.free < device.memory
        assert device.age < PATIENCE
        server.call("DELETE", f"/v1/jobs/{job.id}")
        server.finished(job.id)


def until_loaded(server: Running, job: str) -> Device:
    """The device that has `job`, once a heartbeat has told of the model that lies there."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for device in map(Device.from_json, server.call("GET", "/v1/devices").json()):
            if device.job == job and device.loaded:
                return device
        time.sleep(0.05)
    raise AssertionError(f"no device has {job}")


def test_every_job_of_several_workers_is_rendered_once(tmp_path: Path, undisturbed: dict[str, str]) -> None:
    with serving(tmp_path / "server", "--device", "cpu", "--device", "cpu") as running:
        jobs = [running.submit(write_export(tmp_path / str(n), frames=5, strip=str(n))) for n in range(4)]
        assert {running.finished(job.id).state for job in jobs} == {JobState.DONE}
        assert len(running.call("GET", "/v1/devices").json()) == 2
        assert len(list(running.data.glob("jobs/*/SH010/takes/v*"))) == 4
        assert not list(running.data.rglob("v002"))


def test_the_description_names_every_message_that_goes_in_or_out(server: Running) -> None:
    said = server.call("GET", "/v1/openapi.json").json()
    assert {"Shot", "Job", "Take", "Retake", "Priority", "Turn", "Device", "ErrorReply"} <= said["components"][
        "schemas"
    ].keys()
    text = json.dumps(said)
    named = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert named <= said["components"]["schemas"].keys()
    retake = said["paths"]["/v1/jobs/{job}/retake"]["post"]
    assert retake["responses"].keys() >= {"201", "404", "409", "413", "422", "507"}
