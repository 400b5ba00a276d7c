"""farm/transport.py: whatever answers at the address of a Manager, or does not, is one sentence."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wan_animate_blender.farm import transport
from wan_animate_blender.farm.flamenco import Manager
from wan_animate_blender.wire import BadInput, Unavailable

from .manager import UNKNOWN, FakeManager, Reply, serving


@pytest.mark.parametrize("url", [
    "", "manager", "manager:8080", "ftp://manager", "file:///etc/passwd", "http://", "http://:8080", "http://m:0",
    "http://m:port", "http://m:99999", "http://[::1", "http://a..b", "http://m?x=1", "http://m#x", "http://m/a b",
    "http://m\n.evil", "http://mänager", "//manager",
])  # fmt: skip
def test_what_is_no_address_of_a_manager_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match=r"the Manager's address is .* expected one such as http://manager:8080"):
        Manager(url)


def test_an_address_with_a_password_is_refused_without_repeating_it() -> None:
    with pytest.raises(BadInput, match="has a name or password in it") as caught:
        Manager("http://somebody:secret@manager:8080")
    assert "secret" not in str(caught.value)


def test_a_slash_at_the_end_of_an_address_means_nothing(fake: FakeManager) -> None:
    manager = Manager(f" {fake.url}/ ")
    assert manager.version() == "3.7" and manager.page("x/y") == f"{fake.url}/app/jobs/x%2Fy"


@pytest.mark.parametrize("version", ["3.7", "3.7.1", "3.9-dev", "3.10", "4.0-beta1"])
def test_flamenco_from_3_7_on_is_spoken_to(fake: FakeManager, version: str) -> None:
    fake.version = version
    assert Manager(fake.url).version() == version


@pytest.mark.parametrize("version", ["3.6", "3.6.2", "2.99", "0.1"])
def test_an_older_flamenco_is_refused(fake: FakeManager, version: str) -> None:
    fake.version = version
    with pytest.raises(Unavailable, match=rf"is Flamenco {version}, expected 3\.7 or later; update it"):
        Manager(fake.url).version()


def test_a_version_that_nobody_understands_is_refused(fake: FakeManager) -> None:
    fake.version = "banana"
    with pytest.raises(Unavailable, match="says its version is 'banana'; use Flamenco"):
        Manager(fake.url).version()


@pytest.mark.parametrize(("reply", "sentence"), [
    (Reply(200, b"<html>hello</html>"), "is no Flamenco Manager"),
    (Reply(200, b'{"version": '), "is no Flamenco Manager"),
    (Reply(200, b"\xff\xfe\x00"), "is no Flamenco Manager"),
    (Reply(200, b"[" * 100_000), "is no Flamenco Manager"),
    (Reply(200, []), "is no Flamenco Manager"),
    (Reply(200, {"alive": True}), "is no Flamenco Manager"),
    (Reply(204), "is no Flamenco Manager"),
    (Reply(404, b"nothing here\nat all"), "answers 404: nothing here at all; look into its log"),
    (Reply(500, {"code": 500, "message": "no job types available"}), "answers 500: no job types available"),
    (Reply(500), "answers 500: no reason given"),
    (Reply(503, {"code": 503, "message": "busy"}, {"Retry-After": "7"}), "is busy; try again in 7 s"),
    (Reply(503, b"", {"Retry-After": "Wed, 21 Oct"}), "is busy; try again$"),
])  # fmt: skip
def test_whatever_answers_instead_is_one_sentence(fake: FakeManager, reply: Reply, sentence: str) -> None:
    fake.instead["GET /version"] = reply
    with pytest.raises(Unavailable, match=sentence) as caught:
        Manager(fake.url).version()
    assert "\n" not in str(caught.value) and fake.url in str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(fake: FakeManager, status: int) -> None:
    with serving(FakeManager()) as other:
        fake.instead["GET /version"] = Reply(status, None, {"Location": f"{other.url}/api/v3/version"})
        with pytest.raises(Unavailable, match=f"sends on to {other.url}/api/v3/version; give that address"):
            Manager(fake.url).version()
    assert other.asked == []


def test_a_redirect_to_nonsense_is_one_sentence(fake: FakeManager) -> None:
    fake.instead["GET /version"] = Reply(302, None, {"Location": "http://[::1"})
    with pytest.raises(Unavailable, match="sends on to"):
        Manager(fake.url).version()


def test_an_answer_without_end_is_left(fake: FakeManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "LONGEST_ANSWER", 1 << 20)
    fake.instead["GET /version"] = Reply(200, b" " * (1 << 21))
    with pytest.raises(Unavailable, match="is longer than 1 MiB; check whether the address"):
        Manager(fake.url).version()


def test_a_manager_that_does_not_answer_is_given_up(fake: FakeManager) -> None:
    over = threading.Event()
    fake.instead["GET /version"] = lambda: Reply(200 if over.wait(60) else 500, b"late")
    try:
        with pytest.raises(Unavailable, match=r"gave no whole answer within 0\.3 s; look whether it works"):
            Manager(fake.url, seconds=0.3).version()
    finally:
        over.set()


@contextlib.contextmanager
def dripping(first: bytes, again: bytes) -> Iterator[str]:
    """Somebody who says `first` and then `again` now and then, until nobody listens."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as door:

        def drip() -> None:
            with contextlib.suppress(OSError):
                visitor, _ = door.accept()
                with visitor:
                    visitor.recv(65536)
                    visitor.sendall(first)
                    for _ in range(1200 if again else 0):  # a client that never tires fails, and does not hang
                        if not over.wait(0.05):
                            visitor.sendall(again)

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{door.getsockname()[1]}"
        over.set()
        thread.join(60)


def test_one_byte_now_and_then_is_no_answer() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{"
    with dripping(head, b" ") as url, pytest.raises(Unavailable, match=r"gave no whole answer within 0\.5 s"):
        Manager(url, seconds=0.5).version()


@pytest.mark.parametrize("said", [
    b"SSH-2.0-OpenSSH_9.2\r\n", b"", b"HTTP/1.1 banana\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
])  # fmt: skip
def test_what_speaks_no_http_is_one_sentence(said: bytes) -> None:
    with dripping(said, b"") as url, pytest.raises(Unavailable, match=r"nothing that speaks HTTP answers|is no Flam"):
        Manager(url).version()


def test_where_nothing_listens_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        url = f"http://127.0.0.1:{door.getsockname()[1]}"
    with pytest.raises(Unavailable, match=f"nothing that speaks HTTP answers at {url} "):
        Manager(url).version()


def test_no_proxy_sees_what_is_asked_of_a_manager(fake: FakeManager, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(FakeManager()) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("no_proxy", "")
        assert Manager(fake.url).version() == "3.7"
    assert proxy.asked == []


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["settings", "key", "default", "etag", "shortversion", "workers", "id", "supported_task_types",
                         "tags", "name", "tasks", "status", "message", "value"]), inner, max_size=6),
    max_leaves=12,
)  # fmt: skip
ASKING: dict[str, Callable[[Manager], object]] = {
    "GET /version": Manager.version,
    "GET /jobs/type/wan-animate-shots": Manager.job_type,
    "GET /worker-mgt/tags": Manager.tags,
    "GET /worker-mgt/workers": Manager.workers,
    "GET /configuration/variables/workers/linux": lambda manager: manager.variables("linux"),
    "POST /jobs/check": lambda manager: manager.submit({}),
    f"GET /jobs/{UNKNOWN}": lambda manager: manager.job(UNKNOWN),
    f"GET /jobs/{UNKNOWN}/tasks": lambda manager: manager.tasks(UNKNOWN),
    f"POST /jobs/{UNKNOWN}/setstatus": lambda manager: manager.cancel(UNKNOWN),
}


@pytest.mark.parametrize("path", ASKING)
def test_nothing_that_answers_breaks_more_than_a_sentence(path: str) -> None:
    with serving(FakeManager()) as fake:
        manager = Manager(fake.url)

        @settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
        @given(anything, st.sampled_from([200, 200, 200, 400, 404, 412, 422, 500]))
        def asked(said: Any, status: int) -> None:
            fake.instead[path] = Reply(status, json.dumps(said).encode())
            with contextlib.suppress(BadInput, Unavailable):
                ASKING[path](manager)

        asked()
