"""`wan-animate serve` as a process, over its socket: who may come in, uploads, jobs, and how it starts."""

from __future__ import annotations

import hashlib
import json
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from wan_animate_blender.wire import SHOT_FILE, WIRE_HEADER, ErrorReply, ExitCode, Job, JobState, Shot, TakeState
from wan_animate_server.listening import Place

from .conftest import QUICK, Make, command, relist_files, write_export
from .serving import LONG, PATIENCE, Running, serving

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running


def refusal(reply: requests.Response, status: int, error: str) -> ErrorReply:
    assert reply.status_code == status, reply.text
    said = ErrorReply.loads(reply.content)
    assert said.error == error
    assert "\n" not in said.message and said.message
    return said


# --- who may come in ------------------------------------------------------------------------------


def test_health_says_only_that_it_lives_to_those_without_a_token(server: Running) -> None:
    assert requests.get(server.url + "/v1/health", timeout=PATIENCE).json() == {"alive": True}


def test_health_says_more_to_those_with_a_token(server: Running) -> None:
    said = server.call("GET", "/v1/health").json()
    assert (said["alive"], said["wire"]) == (True, 1)
    assert said.keys() == {"alive", "version", "wire", "models", "pid"}
    assert said["pid"] == server.process.pid


def test_health_tells_a_wrong_token_from_none(server: Running) -> None:
    refusal(server.call("GET", "/v1/health", token="wrong"), 401, "unauthorised")


CALLS = [
    ("GET", "/v1/jobs"), ("POST", "/v1/jobs"), ("GET", "/v1/jobs/a"), ("DELETE", "/v1/jobs/a"),
    ("GET", "/v1/jobs/a/events"), ("GET", "/v1/jobs/a/take"), ("GET", "/v1/jobs/a/preview"),
    ("POST", "/v1/jobs/a/retry"), ("POST", "/v1/jobs/a/remove"),
    ("GET", "/v1/jobs/a/frames/comp/1001.png"), ("PUT", "/v1/blobs/" + "0" * 64),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_nothing_is_served_without_the_token(server: Running, method: str, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {server.token}"}):
        reply = requests.request(method, server.url + path, headers={WIRE_HEADER: "1"} | headers, timeout=PATIENCE)
        refusal(reply, 401, "unauthorised")
    reply = requests.request(
        method, f"{server.url}{path}?token={server.token}", headers={WIRE_HEADER: "1"}, timeout=PATIENCE
    )
    refusal(reply, 400, "token-in-address")


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_another_wire_version_is_refused_with_a_sentence_for_both_sides(
    server: Running, method: str, path: str
) -> None:
    said = refusal(server.call(method, path, headers={WIRE_HEADER: "2"}), 426, "wire-version")
    assert "wire version 2" in said.message and "speaks 1" in said.message
    assert server.call(method, path).headers[WIRE_HEADER] == "1"


def test_what_is_not_there_is_refused_as_everything_else(server: Running) -> None:
    refusal(server.call("GET", "/v2/anything"), 404, "not-found")
    refusal(server.call("GET", "/v1/jobs/nobody"), 404, "not-found")
    refusal(server.call("DELETE", "/v1/jobs/nobody"), 404, "not-found")
    refusal(server.call("PATCH", "/v1/jobs"), 405, "wrong-method")


def test_the_server_listens_on_this_machine_only(server: Running) -> None:
    port = int(server.url.rsplit(":", 1)[1])
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = [line[1] for line in lines if line[3] == "0A" and line[1].endswith(f":{port:04X}")]
    assert listening == [f"0100007F:{port:04X}"]


def test_the_token_file_is_its_owners_only_and_the_log_has_no_secret(server: Running) -> None:
    file = server.data.parent / "token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(server.token) >= 32
    assert server.token not in server.log.read_text()
    for pid in (server.process.pid, server.worker()):
        assert server.token.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()


# --- uploads --------------------------------------------------------------------------------------


def blob(size: int, seed: int) -> tuple[bytes, str]:
    data = hashlib.shake_128(str(seed).encode()).digest(size)
    return data, f"/v1/blobs/{hashlib.sha256(data).hexdigest()}"


def test_a_blob_is_known_after_its_upload_and_not_before(server: Running) -> None:
    data, path = blob(5000, 1)
    asked = server.call("HEAD", path)
    assert (asked.status_code, asked.headers["Upload-Offset"]) == (404, "0")
    assert server.call("PUT", path, data=data).status_code == 201
    assert server.call("HEAD", path).status_code == 200
    assert server.call("PUT", path, data=data).status_code == 201, "a second upload is no fault"


def test_an_empty_blob_is_a_blob(server: Running) -> None:
    assert server.call("PUT", f"/v1/blobs/{hashlib.sha256(b'').hexdigest()}", data=b"").status_code == 201


def test_an_upload_goes_on_piece_by_piece(server: Running) -> None:
    data, path = blob(3000, 2)
    for start, status in ((0, 202), (1000, 202), (2000, 201)):
        place = {"Content-Range": f"bytes {start}-{start + 999}/3000"}
        assert server.call("PUT", path, data=data[start : start + 1000], headers=place).status_code == status
        if status == 202:
            assert server.call("HEAD", path).headers["Upload-Offset"] == str(start + 1000)


def test_an_upload_that_broke_off_goes_on_where_it_ended(server: Running) -> None:
    data, path = blob(3_000_000, 3)
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as line:
        head = f"PUT {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {server.token}\r\n{WIRE_HEADER}: 1\r\n"
        line.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data[:1_500_000])
        end = time.monotonic() + PATIENCE
        while server.call("HEAD", path).headers["Upload-Offset"] == "0" and time.monotonic() < end:
            time.sleep(0.02)
    offset, end = 0, time.monotonic() + PATIENCE
    while offset < 1_500_000 and time.monotonic() < end:
        offset = int(server.call("HEAD", path).headers["Upload-Offset"])
    assert offset == 1_500_000, "not a byte that arrived is lost"
    place = {"Content-Range": f"bytes {offset}-{len(data) - 1}/{len(data)}"}
    assert server.call("PUT", path, data=data[offset:], headers=place).status_code == 201


def test_bytes_of_another_hash_are_refused_and_not_kept(server: Running) -> None:
    data, path = blob(1000, 4)
    refusal(server.call("PUT", path, data=data[::-1]), 400, "wrong-hash")
    assert server.call("HEAD", path).headers["Upload-Offset"] == "0"
    assert server.call("PUT", path, data=data).status_code == 201


def test_a_piece_at_the_wrong_place_is_refused_and_says_the_right_one(server: Running) -> None:
    data, path = blob(1000, 5)
    server.call("PUT", path, data=data[:400], headers={"Content-Range": "bytes 0-399/1000"})
    reply = server.call("PUT", path, data=data[500:], headers={"Content-Range": "bytes 500-999/1000"})
    refusal(reply, 416, "wrong-offset")
    assert reply.headers["Upload-Offset"] == "400"


@pytest.mark.parametrize("place", ["bytes 5-1/10", "bytes 0-10/10", "bytes */10", "pages 0-1/2", "bytes -1-1/2"])
def test_a_content_range_that_makes_no_sense_is_refused(server: Running, place: str) -> None:
    refusal(server.call("PUT", blob(10, 6)[1], data=b"x", headers={"Content-Range": place}), 400, "bad-range")


@pytest.mark.parametrize("name", ["abc", "A" * 64, "..%2f..%2fetc%2fpasswd", "0" * 63 + "%00"])
def test_a_name_that_is_no_hash_is_refused(server: Running, name: str) -> None:
    assert server.call("PUT", f"/v1/blobs/{name}", data=b"x").status_code in (400, 404)
    assert not list(server.data.parent.rglob("passwd"))


# --- jobs -----------------------------------------------------------------------------------------


def test_a_shot_waits_for_the_blobs_that_are_missing(server: Running, make_shot: Make) -> None:
    shot = Shot.loads((make_shot(frames=2, strip="another") / SHOT_FILE).read_bytes())
    said = refusal(server.call("POST", "/v1/jobs", data=shot.dumps().encode()), 409, "missing-blobs")
    assert set(said.missing) <= {entry.sha256 for entry in shot.files.values()}
    assert said.missing
    assert shot.name not in [job.shot for job in map(Job.from_json, server.call("GET", "/v1/jobs").json())]


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"\xff\xfe", b'{"schema": 2}', b'{"name": "../x"}'])
def test_a_body_that_is_no_shot_is_refused(server: Running, body: bytes) -> None:
    refusal(server.call("POST", "/v1/jobs", data=body), 422, "bad-shot")


def test_a_shot_without_a_matte_is_refused_before_anything_is_uploaded(server: Running, make_shot: Make) -> None:
    shot = Shot.loads((make_shot(frames=1) / SHOT_FILE).read_bytes())
    bare = replace(shot, files={path: entry for path, entry in shot.files.items() if not path.startswith("matte")})
    said = refusal(server.call("POST", "/v1/jobs", data=bare.dumps().encode()), 422, "bad-shot")
    assert "no matte frames" in said.message


def test_a_job_is_rendered_as_without_a_server(server: Running, make_shot: Make, undisturbed: dict[str, str]) -> None:
    job = server.submit(make_shot())
    assert (job.shot, job.strip, job.state) == ("SH010", "strip-1", JobState.QUEUED)
    with server.call("GET", f"/v1/jobs/{job.id}/events", stream=True) as events:
        lines = [line for line in events.iter_lines() if line.startswith(b"data: ")]
    told = [Job.loads(line.removeprefix(b"data: ")) for line in lines]
    assert told[-1].state is JobState.DONE, told[-1].message
    assert (told[-1].progress, told[-1].frames) == (1.0, 9)
    assert JobState.RUNNING in {now.state for now in told}
    assert server.pictures(job.id) == undisturbed
    assert server.take(job.id).state is TakeState.COMPLETE
    assert server.call("GET", f"/v1/jobs/{job.id}/frames/preview.mp4").content[4:8] == b"ftyp"
    assert "puppet" in server.call("GET", "/v1/health").json()["models"]
    for path in ("take.json", "owner.json", "../../e001/shot.json", "..%2f..%2fe001%2fshot.json", "comp/9.png", "comp"):
        assert server.call("GET", f"/v1/jobs/{job.id}/frames/{path}").status_code == 404


def test_a_shot_that_cannot_be_rendered_fails_with_the_sentence_and_stops_nobody(
    server: Running, make_shot: Make, tmp_path: Path
) -> None:
    broken = make_shot(frames=1)
    (broken / "pose.npz").write_bytes(b"no poses")
    relist_files(broken)
    unknown = write_export(tmp_path / "unknown", frames=1, settings=replace(QUICK, model="nobody"))
    first, second = server.submit(broken), server.submit(unknown)
    assert "pose.npz" in server.finished(first.id).message
    failed = server.finished(second.id)
    assert (failed.state, "nobody" in failed.message) == (JobState.FAILED, True)
    refusal(server.call("GET", f"/v1/jobs/{second.id}/take"), 404, "not-found")


def test_a_cancelled_job_stops_in_the_middle_and_one_that_waits_never_starts(server: Running, make_shot: Make) -> None:
    folder = make_shot(settings=LONG)
    with server.holding(step=1):
        running, waiting = server.submit(folder), server.submit(folder)
        server.wait(running.id, lambda now: now.step > 0)
        assert server.call("GET", f"/v1/jobs/{running.id}/preview").content.startswith(b"\x89PNG")
        assert Job.loads(server.call("DELETE", f"/v1/jobs/{waiting.id}").content).state is JobState.CANCELLED
        asked = server.call("DELETE", f"/v1/jobs/{running.id}")
        assert (asked.status_code, Job.loads(asked.content).state) == (202, JobState.CANCELLING)
        assert server.finished(running.id).state is JobState.CANCELLED
    assert server.take(running.id).state is TakeState.PARTIAL
    assert server.job(waiting.id).step == 0


def test_a_cancelled_job_that_is_tried_again_goes_on_after_its_last_segment(server: Running, make_shot: Make) -> None:
    with server.holding(frames=1):
        job = server.submit(make_shot(settings=replace(QUICK, seed=4711)))
        server.wait(job.id, lambda now: now.frames > 0)
        refusal(server.call("POST", f"/v1/jobs/{job.id}/retry"), 409, "not-over")
        refusal(server.call("POST", f"/v1/jobs/{job.id}/remove"), 409, "not-over")
        server.call("DELETE", f"/v1/jobs/{job.id}")
        assert server.finished(job.id).state is JobState.CANCELLED
    again = server.call("POST", f"/v1/jobs/{job.id}/retry")
    assert (again.status_code, Job.loads(again.content).state) == (202, JobState.QUEUED)
    assert server.finished(job.id).state is JobState.DONE
    take = server.take(job.id)
    assert take.state is TakeState.COMPLETE
    assert "resuming" in take.seconds, "what was finished is not computed again"


def test_a_job_that_is_removed_leaves_no_folder_and_its_segments(server: Running, make_shot: Make) -> None:
    job = server.submit(make_shot())
    assert server.finished(job.id).state is JobState.DONE
    segments = sorted((server.data / "segments").iterdir())
    assert server.call("POST", f"/v1/jobs/{job.id}/remove").status_code == 204
    refusal(server.call("GET", f"/v1/jobs/{job.id}"), 404, "not-found")
    assert not (server.data / "jobs" / job.id).exists()
    assert sorted((server.data / "segments").iterdir()) == segments


def test_the_list_of_jobs_can_be_asked_for_its_end(server: Running, make_shot: Make) -> None:
    folder = make_shot()
    jobs = [server.submit(folder) for _ in range(2)]
    told = server.call("GET", "/v1/jobs?newest=2").json()
    assert [job["id"] for job in told] == [job.id for job in jobs]
    refusal(server.call("GET", "/v1/jobs?newest=-1"), 422, "bad-request")


# --- starting -------------------------------------------------------------------------------------


def fails(*arguments: str | Path) -> tuple[int, str]:
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=PATIENCE)
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    return done.returncode, done.stderr


def test_two_servers_never_share_a_data_folder(server: Running, tmp_path: Path) -> None:
    code, sentence = fails("serve", "--port", "0", "--data", server.data, "--token-file", tmp_path / "token")
    assert (code, "used by another server" in sentence) == (ExitCode.BAD_INPUT, True)


def test_a_port_that_is_taken_is_one_sentence(server: Running, tmp_path: Path) -> None:
    port = server.url.rsplit(":", 1)[1]
    code, sentence = fails("serve", "--port", port, "--data", tmp_path, "--token-file", tmp_path / "token")
    assert (code, "choose another one with --port" in sentence) == (ExitCode.UNAVAILABLE, True)


def test_a_data_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, sentence = fails("serve", "--data", tmp_path / "file", "--token-file", tmp_path / "token")
    assert (code, "choose another one with --data" in sentence) == (ExitCode.BAD_INPUT, True)


def test_an_empty_token_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").touch()
    code, sentence = fails("serve", "--data", tmp_path / "data", "--token-file", tmp_path / "token")
    assert (code, "is empty" in sentence) == (ExitCode.BAD_INPUT, True)


def test_a_token_of_the_environment_goes_before_the_file_and_reaches_no_worker(tmp_path: Path) -> None:
    secret = "only-the-environment-knows-this-one"
    with serving(tmp_path / "server", WAN_ANIMATE_TOKEN=secret) as running:
        assert running.call("GET", "/v1/jobs").status_code == 200
        assert json.loads((tmp_path / "server/ready.json").read_text())["token_file"] is None
        assert not (tmp_path / "server/token").exists()
        assert secret.encode() not in Path(f"/proc/{running.worker()}/environ").read_bytes()
        assert secret not in running.log.read_text()
    assert not (tmp_path / "server/ready.json").exists()


def test_small_answers_do_not_wait_for_acknowledgements() -> None:
    """asyncio turns Nagle's algorithm off for sockets that say that they are TCP; an accepted one inherits it."""
    with Place().listening() as door:
        door.listen()
        with socket.create_connection(door.getsockname()), door.accept()[0] as accepted:
            assert accepted.proto == socket.IPPROTO_TCP
