"""The real client against the real application over a socket, and the sentences for all that can go wrong."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import uvicorn

from wan_animate_blender import arrivals, client, delivery
from wan_animate_blender.client import Server, is_loopback
from wan_animate_blender.delivery import AWAY, Waiting, deliver, resume
from wan_animate_blender.session import News, Session
from wan_animate_blender.wire import (
    SHOT_FILE,
    TAKE_FILE,
    BadInput,
    FileEntry,
    Interrupted,
    Job,
    JobState,
    Retake,
    Shot,
    Take,
    TakeState,
    Unavailable,
    file_entry,
)
from wan_animate_server import app as app_module
from wan_animate_server import door
from wan_animate_server.datafolder import DataFolder
from wan_animate_server.jobs import Jobs
from wan_animate_server.keyring import Keyring

from .conftest import QUICK
from .serving import PATIENCE, Running
from .serving import serving as serving_process

TOKEN = "a-token-of-the-test"


@contextlib.contextmanager
def serving(data: Path, port: int = 0) -> Iterator[str]:
    """The application without a worker, on `port` or a free one; yields its address."""
    folder = DataFolder(data)
    config = uvicorn.Config(
        app_module.create_app(folder, Jobs(folder.queue), Keyring(data / "token", TOKEN)), log_config=None
    )
    server = uvicorn.Server(config)
    with socket.socket() as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind(("127.0.0.1", port))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{door.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with serving(tmp_path / "data") as url:
        yield url


@pytest.fixture
def server(url: str) -> Server:
    return Server(url, TOKEN)


@pytest.fixture
def export(make_shot: Callable[..., Path]) -> Path:
    return make_shot(frames=5)


def read(export: Path) -> Shot:
    return Shot.loads((export / SHOT_FILE).read_bytes())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def drain(parts: Iterator[float]) -> list[float]:
    return list(parts)


# --- the server as it should be -------------------------------------------------------------------


def test_a_healthy_server_tells_its_version(server: Server) -> None:
    assert server.health().version


def test_a_shot_is_uploaded_and_queued_once_everything_is_there(server: Server, export: Path) -> None:
    uploads = server.submit(read(export), export)
    shares = drain(uploads)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    (job,) = server.jobs()
    assert (job.state, job.shot, job.strip) == (JobState.QUEUED, "SH010", "strip-1")
    assert server.job(job.id) == job


def test_what_the_server_knows_is_not_uploaded_again(server: Server, export: Path) -> None:
    drain(server.submit(read(export), export))
    assert drain(server.submit(read(export), export)) == []
    assert len(server.jobs()) == 2


def test_an_upload_that_broke_goes_on_where_it_ended(url: str, export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing the generator after one piece is what a cancel or a lost connection leaves behind."""
    (export / "plate" / "large.bin").write_bytes(os.urandom(10_000))
    entry = file_entry(export / "plate" / "large.bin")
    shot = replace(read(export), files={**read(export).files, "plate/large.bin": entry})
    monkeypatch.setattr(client, "CHUNK", 4_000)
    first = Server(url, TOKEN)
    pieces = first._put(export / "plate" / "large.bin", entry)
    assert next(pieces) == 4_000
    pieces.close()
    again = Server(url, TOKEN)
    assert list(again._put(export / "plate" / "large.bin", entry)) == [8_000, 10_000]
    assert list(again._put(export / "plate" / "large.bin", entry)) == []
    drain(again.submit(shot, export))
    assert len(again.jobs()) == 1


def test_an_empty_file_can_be_uploaded(server: Server, export: Path) -> None:
    (export / "notes.txt").write_bytes(b"")
    shot = replace(read(export), files={**read(export).files, "notes.txt": file_entry(export / "notes.txt")})
    drain(server.submit(shot, export))
    assert len(server.jobs()) == 1


def test_a_queued_job_can_be_cancelled(server: Server, export: Path) -> None:
    drain(server.submit(read(export), export))
    (job,) = server.jobs()
    assert server.cancel(job.id).state in (JobState.CANCELLING, JobState.CANCELLED)


def test_a_delivery_that_is_cancelled_while_queued_says_so(server: Server, export: Path) -> None:
    session = Session(poll=0.01)
    session.start("strip-1", lambda cancelled: deliver(server, export, cancelled))
    for news in session.wait("strip-1"):
        if news.step and news.step.job:
            session.cancel("strip-1")
    session.close()
    assert isinstance(news.problem, Interrupted)
    assert server.jobs()[0].state is JobState.CANCELLED
    assert not (export.parent / "takes").exists()


def queue_and_stop(data: Path, export: Path, patience: float = math.inf) -> tuple[Session, Iterator[News], Server]:
    """A delivery that has its job in the queue of a server that is gone by now."""
    session = Session(poll=0.01)
    with serving(data) as url:
        server = Server(url, TOKEN)
        session.start("strip-1", lambda cancelled: deliver(server, export, cancelled, patience))
        news = session.wait("strip-1")
        while not ((letter := next(news)).step and letter.step.job):
            pass
    return session, news, server


def test_where_nobody_watches_a_server_that_stays_away_is_given_up(export: Path, tmp_path: Path) -> None:
    session, news, _ = queue_and_stop(tmp_path / "data", export, patience=0.2)
    assert isinstance(list(news)[-1].problem, Unavailable)
    session.close()


def test_a_server_that_comes_back_is_asked_again(export: Path, tmp_path: Path) -> None:
    session, news, server = queue_and_stop(tmp_path / "data", export)
    assert any(letter.step and letter.step.stage == AWAY for letter in news)
    with serving(tmp_path / "data", int(server.url.rsplit(":")[-1])):
        server.cancel(server.jobs()[0].id)
        last = list(news)[-1]
    session.close()
    assert str(last.problem) == "SH010 was cancelled; finished segments are kept on the server"


def test_a_server_that_is_away_is_asked_ever_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(delivery, "time", SimpleNamespace(monotonic=lambda: now))
    asked = []

    class Away:
        url = "http://127.0.0.1:9"

        def job(self, _: str) -> Job:
            asked.append(now)
            raise client.NoAnswer("no server answers")

    job = Job(id="a", shot="SH010", state=JobState.QUEUED)
    for _ in delivery.watch(cast(Server, Away()), job, threading.Event()):
        now += 0.5
        if now > 120:
            break
    pauses = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert pauses[0] < 2 and pauses == sorted(pauses)
    assert 29 < pauses[-1] < 32


def test_cancelling_does_not_wait_for_a_server_that_is_gone(export: Path, tmp_path: Path) -> None:
    session, news, _ = queue_and_stop(tmp_path / "data", export)
    session.cancel("strip-1")
    assert isinstance(list(news)[-1].problem, Interrupted), "although the server never comes back"
    session.close()


# --- bad input ------------------------------------------------------------------------------------


def test_a_server_that_is_not_running_is_said_to_be_so() -> None:
    with pytest.raises(
        Unavailable, match=r"no server answers at http://127.0.0.1:\d+; start one with 'wan-animate serve'"
    ):
        Server(f"http://127.0.0.1:{free_port()}", TOKEN).health()


def test_a_wrong_token_is_said_to_be_so(url: str, export: Path) -> None:
    server = Server(url, "another-token")
    for ask in (server.health, server.jobs, lambda: drain(server.submit(read(export), export))):
        with pytest.raises(BadInput, match="does not accept this token"):
            ask()


def test_no_token_is_said_before_anything_is_sent() -> None:
    with pytest.raises(BadInput, match="no token is given"):
        Server("http://127.0.0.1:1", "  ")


def test_the_token_is_in_no_message(url: str) -> None:
    with pytest.raises(BadInput) as problem:
        Server(url, "secret-but-wrong").health()
    assert "secret-but-wrong" not in str(problem.value)


def test_a_server_of_another_wire_version_is_said_to_be_so(
    url: str, export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for room in (app_module, door):
        monkeypatch.setattr(room, "WIRE_VERSION", 2)
    server = Server(url, TOKEN)
    with pytest.raises(Unavailable, match="speaks wire version 2, this add-on speaks 1; update the older"):
        server.health()
    with pytest.raises(Unavailable, match="you speak wire version 1, this server speaks 2"):
        drain(server.submit(read(export), export))


def test_something_else_at_the_address_is_said_to_be_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:

        def answer() -> None:
            line, _ = door.accept()
            with line:
                line.recv(4096)
                line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(Unavailable, match="is not a Wan Animate server"):
            Server(f"http://127.0.0.1:{door.getsockname()[1]}", TOKEN).health()


def test_a_server_that_hangs_up_is_said_to_be_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        threading.Thread(target=lambda: door.accept()[0].close(), daemon=True).start()
        with pytest.raises(Unavailable, match=r"http://127.0.0.1:\d+"):
            Server(f"http://127.0.0.1:{door.getsockname()[1]}", TOKEN).health()


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "READ_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as door, pytest.raises(Unavailable, match="did not answer in time"):
        Server(f"http://127.0.0.1:{door.getsockname()[1]}", TOKEN).health()


@pytest.mark.parametrize("url", ["", "127.0.0.1:8188", "ftp://host/", "http://", "http://host:port", "http://[::1"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="expected one such as http"):
        Server(url, TOKEN)


def test_a_shot_that_the_server_refuses_says_why(server: Server, export: Path) -> None:
    shot = read(export)
    without = {path: entry for path, entry in shot.files.items() if not path.startswith("matte/1003")}
    with pytest.raises(BadInput, match="1003"):
        drain(server.submit(replace(shot, files=without), export))


@pytest.mark.parametrize("damage", ["gone", "truncated"])
def test_a_file_that_changed_since_the_export_is_named(server: Server, export: Path, damage: str) -> None:
    file = export / "plate" / "1002.png"
    file.unlink() if damage == "gone" else file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(BadInput, match=r"1002\.png.*export the shot again"):
        drain(server.submit(read(export), export))
    assert server.jobs() == ()


def test_an_unknown_job_has_a_sentence(server: Server, tmp_path: Path) -> None:
    for ask in (server.job, server.cancel, server.take, lambda job: drain(server.collect(job, tmp_path))):
        with pytest.raises(BadInput, match="there is no job"):
            ask("0" * 32)


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert Server(url, TOKEN).health().version


def test_a_netrc_file_does_not_replace_the_token(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server = Server(url, TOKEN)
    server._http.trust_env = True  # as for a server on another machine
    assert server.health().version


@pytest.mark.parametrize(("url", "local"), [
    ("http://127.0.0.1:8188", True),
    ("http://127.8.0.1", True),
    ("http://localhost:1", True),
    ("http://[::1]:8188", True),
    ("http://192.168.0.7:8188", False),
    ("http://localhost.example.org", False),
    ("http://127.0.0.1.example.org", False),
])  # fmt: skip
def test_loopback_is_known_from_other_machines(url: str, local: bool) -> None:
    assert is_loopback(url) is local


# --- the whole way, with the server as its own process --------------------------------------------


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """`wan-animate serve` with its worker."""
    with serving_process(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def whole(process: Running) -> Server:
    return Server(process.url, process.token)


def ended(server: Server, job: str) -> Job:
    """The job when it is over."""
    end = time.monotonic() + PATIENCE
    while not (now := server.job(job)).state.is_final:
        assert time.monotonic() < end, now
        time.sleep(0.05)
    return now


def test_an_export_becomes_a_complete_take_beside_it(whole: Server, export: Path) -> None:
    session = Session(poll=0.05)
    session.start("strip-1", lambda cancelled: deliver(whole, export, cancelled))
    *steps, last = session.wait("strip-1")
    session.close()
    assert last.problem is None
    folder = Path(last.result or "")
    assert folder == export.parent / "takes" / "v001"
    take = Take.loads((folder / TAKE_FILE).read_bytes())
    assert (take.state, take.export, take.version) == (TakeState.COMPLETE, read(export).hash, 1)
    assert len(take.sequence("character")) == 5
    assert {path: file_entry(folder / path) for path in take.files} == take.files
    assert {news.step.stage for news in steps if news.step} > {"uploading", "fetching"}


@pytest.fixture
def done(whole: Server, export: Path) -> Job:
    """A job of the server whose take is complete."""
    known = {job.id for job in whole.jobs()}
    drain(whole.submit(read(export), export))
    (job,) = (job for job in whole.jobs() if job.id not in known)
    now = ended(whole, job.id)
    assert now.state is JobState.DONE
    return now


def test_the_same_job_fetched_again_is_what_is_there_already(whole: Server, done: Job, tmp_path: Path) -> None:
    takes = tmp_path / "takes"
    drain(whole.collect(done.id, takes))
    before = {path: path.stat().st_mtime_ns for path in takes.rglob("*.png")}
    (takes / "v001" / "comp" / "1002.png").write_bytes(b"damaged")
    drain(whole.collect(done.id, takes))
    assert [folder.name for folder in takes.iterdir()] == ["v001"]
    after = {path: path.stat().st_mtime_ns for path in takes.rglob("*.png")}
    assert [path.name for path in before if before[path] != after[path]] == ["1002.png"]
    take = Take.loads((takes / "v001" / TAKE_FILE).read_bytes())
    assert (take.version, take.job, take.state) == (1, done.id, TakeState.COMPLETE)
    assert {path: file_entry(takes / "v001" / path) for path in take.files} == take.files


def test_a_job_that_another_blender_has_begun_to_fetch_meanwhile_shares_its_folder(
    whole: Server, done: Job, tmp_path: Path
) -> None:
    take = replace(whole.take(done.id), job=done.id)
    takes = tmp_path / "takes"
    assert [arrivals.begin(takes, take) for _ in range(2)] == [takes / "v001"] * 2, "both had looked and found nothing"
    assert [folder.name for folder in takes.iterdir()] == ["v001"]


def test_another_job_of_the_shot_is_the_next_version(whole: Server, done: Job, export: Path, tmp_path: Path) -> None:
    drain(whole.collect(done.id, export.parent / "takes"))
    session = Session(poll=0.05)
    session.start("strip-1", lambda cancelled: deliver(whole, export, cancelled))
    *_, last = session.wait("strip-1")
    session.close()
    assert last.result == str(export.parent / "takes" / "v002")


def test_a_download_that_is_broken_off_goes_on_where_it_ended(whole: Server, done: Job, tmp_path: Path) -> None:
    parts = whole.collect(done.id, tmp_path)
    for _ in range(3):
        next(parts)
    parts.close()
    folder = tmp_path / "v001"
    assert Take.loads((folder / TAKE_FILE).read_bytes()).state is TakeState.PARTIAL
    first = {path: path.stat().st_mtime_ns for path in folder.rglob("*.png")}
    assert len(first) == 3
    drain(whole.collect(done.id, tmp_path))
    assert Take.loads((folder / TAKE_FILE).read_bytes()).state is TakeState.COMPLETE
    assert {path: path.stat().st_mtime_ns for path in first} == first


def test_a_file_arrives_in_parts_between_which_it_can_be_broken_off(
    whole: Server, done: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PART", 64)
    path, entry = min(whole.take(done.id).files.items())
    target = tmp_path / "v001" / path
    broken_off = whole.fetch(done.id, path, entry, target)
    assert 0 < next(broken_off) < 1
    broken_off.close()
    assert not target.exists()
    said = list(whole.fetch(done.id, path, entry, target))
    assert said == sorted(set(said))
    assert len(said) == math.ceil(entry.size / 64) - 1
    assert file_entry(target) == entry


def test_frames_are_fetched_while_the_rest_is_rendered(
    whole: Server, process: Running, make_shot: Callable[..., Path]
) -> None:
    export = make_shot(frames=13, settings=replace(QUICK, seed=31))
    takes = export.parent / "takes"
    with process.holding(frames=1):
        drain(whole.submit(read(export), export))
        job = whole.jobs()[-1]
        process.wait(job.id, lambda now: now.frames > 0)
        drain(whole.collect(job.id, takes))
        early = Take.loads((takes / "v001" / TAKE_FILE).read_bytes())
        assert early.state is TakeState.PARTIAL
        assert 0 < len(early.sequence("comp")) < 13
    session = Session(poll=0.05)
    session.start("strip-1", lambda cancelled: resume(whole, [Waiting(job.id, takes)], cancelled, fetch=True))
    *_, arrived, last = session.wait("strip-1")
    session.close()
    assert last.problem is None
    assert arrived.step and arrived.step.take == takes / "v001"
    assert len(Take.loads((takes / "v001" / TAKE_FILE).read_bytes()).sequence("comp")) == 13


def test_jobs_of_an_earlier_session_are_fetched_whatever_becomes_of_one(
    whole: Server, done: Job, tmp_path: Path
) -> None:
    waiting = [Waiting("0" * 32, tmp_path), Waiting(done.id, tmp_path)]
    session = Session(poll=0.05)
    session.start("strip-1", lambda cancelled: resume(whole, waiting, cancelled, fetch=True))
    *steps, last = session.wait("strip-1")
    assert "there is no job" in str(last.problem)
    assert [news.step.take for news in steps if news.step and news.step.take] == [tmp_path / "v001"]
    session.start("strip-1", lambda cancelled: resume(whole, waiting[1:], cancelled, fetch=False))
    *steps, last = session.wait("strip-1")
    session.close()
    assert last.result == "SH010 is rendered; import it from the list of jobs"
    assert not [news.step.take for news in steps if news.step and news.step.take]


def test_a_job_is_preferred_put_aside_and_goes_on(server: Server, export: Path) -> None:
    drain(server.submit(read(export), export))
    (job,) = server.jobs()
    assert server.prioritise(job.id, 7).priority == 7
    assert server.pause(job.id).state is JobState.PAUSED
    assert server.resume(job.id).state is JobState.QUEUED
    with pytest.raises(BadInput, match="priority is 101, expected a whole number from -100 to 100"):
        server.prioritise(job.id, 101)
    server.cancel(job.id)
    for verb in (server.pause, server.resume):
        with pytest.raises(BadInput, match=f"{job.id} is cancelled"):
            verb(job.id)


def test_frames_of_a_done_job_are_made_anew_by_a_job_of_their_own(
    whole: Server, process: Running, export: Path
) -> None:
    with process.holding():
        drain(whole.submit(read(export), export))
        job = whole.jobs(newest=1)[0]
        with pytest.raises(BadInput, match="only a done one has a take to begin from"):
            whole.retake(job.id, Retake(first=1001, last=1001))
    ended(whole, job.id)
    made = whole.retake(job.id, Retake(first=1001, last=1001, seed=1))
    assert made.retake == Retake(first=1001, last=1001, seed=1)
    now = ended(whole, made.id)
    assert (now.state, now.message) == (JobState.DONE, "")


def test_an_extension_needs_a_job_that_is_done_and_one_that_is_there(
    whole: Server, process: Running, export: Path, make_shot: Callable[..., Path], tmp_path: Path
) -> None:
    drain(whole.submit(read(export), export))
    job = whole.jobs(newest=1)[0]
    ended(whole, job.id)
    longer = make_shot(frames=7, root=tmp_path / "longer")
    drain(whole.submit(read(longer), longer, base=job.id))
    made = whole.jobs(newest=1)[0]
    now = ended(whole, made.id)
    assert (made.id != job.id, now.state, now.message) == (True, JobState.DONE, "")
    take, before = whole.take(made.id), whole.take(job.id)
    kept = [path for path in before.files if path.startswith("comp/")]
    assert kept and [take.files[path] for path in kept] == [before.files[path] for path in kept]
    with pytest.raises(BadInput, match="there is no job"):
        drain(whole.submit(read(longer), longer, base="0" * 32))
    waits = make_shot(settings=replace(QUICK, seed=33), root=tmp_path / "waits")
    with process.holding():
        drain(whole.submit(read(waits), waits))
        with pytest.raises(BadInput, match="only a done one has a take to begin from"):
            drain(whole.submit(read(longer), longer, base=whole.jobs(newest=1)[0].id))
        whole.cancel(whole.jobs(newest=1)[0].id)


def test_a_cancelled_job_is_tried_again_and_forgotten(
    whole: Server, process: Running, make_shot: Callable[..., Path]
) -> None:
    export = make_shot(settings=replace(QUICK, seed=32))
    with process.holding(step=1):
        drain(whole.submit(read(export), export))
        job = whole.jobs(newest=1)[0]
        process.wait(job.id, lambda now: now.preview > 0)
        assert (whole.preview(job.id) or b"").startswith(b"\x89PNG")
        with pytest.raises(BadInput, match="only a failed or cancelled one is tried again"):
            whole.retry(job.id)
        whole.cancel(job.id)
        ended(whole, job.id)
        assert whole.retry(job.id).state is JobState.QUEUED
        whole.cancel(job.id)
        ended(whole, job.id)
    whole.remove(job.id)
    assert job.id not in [one.id for one in whole.jobs()]


def test_a_file_that_arrives_damaged_leaves_nothing_behind(
    whole: Server, done: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    takes = tmp_path / "takes"
    take = whole.take(done.id)
    wrong = {path: FileEntry(sha256="0" * 64, size=entry.size) for path, entry in take.files.items()}
    monkeypatch.setattr(whole, "take", lambda _: replace(take, files=wrong))
    with pytest.raises(Unavailable, match="arrived damaged"):
        drain(whole.collect(done.id, takes))
    assert list(takes.iterdir()) == []
