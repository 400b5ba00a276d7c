"""`wan-animate tokens` beside a running server: who comes in, who no longer does, and where no secret is."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from wan_animate_blender.wire import ExitCode
from wan_animate_server.keyring import Keyring, NamedTokens

from .conftest import Make, command
from .serving import LONG, PATIENCE, Running, serving
from .test_server import refusal

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running


def tokens(server: Running, *arguments: str) -> subprocess.CompletedProcess[str]:
    file = server.data.parent / "token"
    return subprocess.run(
        command("tokens", *arguments, "--token-file", file), capture_output=True, text=True, timeout=PATIENCE
    )


def added(server: Running, name: str, *more: str) -> str:
    done = tokens(server, "add", name, "--json", *more)
    assert done.returncode == ExitCode.DONE, done.stderr
    return str(json.loads(done.stdout)["token"])


def status(server: Running, secret: str) -> int:
    return server.call("GET", "/v1/jobs", token=secret).status_code


def until_out(server: Running, secret: str) -> None:
    end = time.monotonic() + PATIENCE
    while status(server, secret) == 200 and time.monotonic() < end:
        time.sleep(0.05)
    refusal(server.call("GET", "/v1/jobs", token=secret), 401, "unauthorised")


def test_a_token_that_is_added_is_known_at_once_and_one_that_is_revoked_no_more(server: Running) -> None:
    anna, bert = added(server, "anna"), added(server, "bert")
    assert len({anna, bert, server.token}) == 3 and min(map(len, (anna, bert))) >= 43
    assert [status(server, secret) for secret in (anna, bert, server.token)] == [200] * 3
    assert tokens(server, "revoke", "anna").returncode == ExitCode.DONE
    until_out(server, anna)
    assert [status(server, secret) for secret in (bert, server.token)] == [200] * 2


def test_what_a_revoked_token_watches_ends(server: Running, make_shot: Make) -> None:
    secret = added(server, "mona")
    with server.holding():
        job = server.submit(make_shot(settings=LONG))
        with server.call("GET", f"/v1/jobs/{job.id}/events", token=secret, stream=True) as events:
            lines = events.iter_lines()
            assert next(lines).startswith(b"data: ")
            tokens(server, "revoke", "mona")
            assert not [line for line in lines if b'"done"' in line]
        assert not server.job(job.id).state.is_final, "it was not the job that ended"
        server.call("DELETE", f"/v1/jobs/{job.id}")


def test_a_revoked_name_can_be_given_again_with_another_secret(server: Running) -> None:
    first = added(server, "clara")
    tokens(server, "revoke", "clara")
    second = added(server, "clara")
    assert status(server, second) == 200
    until_out(server, first)


def test_an_expired_token_is_told_so(server: Running) -> None:
    gone, good = added(server, "dora", "--days", "0"), added(server, "emil", "--days", "1")
    assert "dora" in refusal(server.call("GET", "/v1/jobs", token=gone), 401, "expired").message
    assert status(server, good) == 200


def test_the_list_names_tokens_and_no_secret(server: Running) -> None:
    secret = added(server, "fritz", "--days", "2")
    listed = tokens(server, "list", "--json").stdout
    by_name = {entry["name"]: entry for entry in map(json.loads, listed.splitlines())}
    assert by_name["fritz"]["expires"] - by_name["fritz"]["created"] == pytest.approx(2 * 86400)
    shown = tokens(server, "list").stdout
    assert "fritz" in shown and "good until" in shown
    assert secret not in listed + shown


@pytest.mark.parametrize(("arguments", "sentence"), [
    (("add", "owner"), "is taken"), (("revoke", "nobody"), "no token"),
    (("add", "../anna"), "expected 1 to 64 letters"), (("revoke", "../token"), "expected 1 to 64 letters"),
])  # fmt: skip
def test_a_name_that_cannot_be_is_one_sentence(server: Running, arguments: tuple[str, ...], sentence: str) -> None:
    done = tokens(server, *arguments)
    assert done.returncode == ExitCode.BAD_INPUT
    assert sentence in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_name_is_given_once(server: Running) -> None:
    secret = added(server, "gerd")
    assert "already" in tokens(server, "add", "gerd").stderr
    assert status(server, secret) == 200


def test_files_of_tokens_are_their_owners_only_and_hold_no_secret(server: Running) -> None:
    secret = added(server, "hans")
    folder = server.data.parent / "tokens"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for file in folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert secret not in file.read_text()


def test_the_owner_gets_another_token_and_the_old_one_is_out(tmp_path: Path) -> None:
    with serving(tmp_path / "server") as server:
        assert tokens(server, "revoke", "owner").returncode == ExitCode.DONE
        file = tmp_path / "server/token"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        until_out(server, server.token)
        assert status(server, file.read_text()) == 200


def test_a_damaged_file_lets_nobody_in_and_keeps_nobody_out(server: Running) -> None:
    good, bad = added(server, "ida"), added(server, "jan")
    (server.data.parent / "tokens/jan.json").write_text("{")
    until_out(server, bad)
    assert status(server, good) == 200
    assert "jan.json lets nobody in" in server.log.read_text()


def test_a_token_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("a-secret-that-somebody-wrote-by-hand")
    file.chmod(0o644)
    assert Keyring(file).holder("a-secret-that-somebody-wrote-by-hand") is not None
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_who_is_kept_out_is_logged_now_and_then(server: Running) -> None:
    for _ in range(50):
        assert status(server, "wrong") == 401
    lines = [line for line in server.log.read_text().splitlines() if "kept out" in line]
    assert 1 <= len(lines) < 20
    assert "127.0.0.1" in lines[0]


def test_what_the_server_can_be_asked_is_for_those_with_a_token(server: Running) -> None:
    assert "/v1/jobs" in server.call("GET", "/v1/openapi.json").json()["paths"]
    refusal(server.call("GET", "/v1/openapi.json", token="wrong"), 401, "unauthorised")


def test_the_empty_secret_is_nobodys(tmp_path: Path) -> None:
    keys = Keyring(tmp_path / "token")
    NamedTokens(tmp_path / "token").add("anna")
    (tmp_path / "token").unlink()
    assert keys.holder("") is None


def test_a_token_in_the_address_is_refused_even_if_it_is_right(server: Running) -> None:
    named = added(server, "kurt")
    assert status(server, named) == 200
    for secret in (server.token, named):
        for path in (
            f"/v1/jobs?token={secret}", f"/v1/jobs?newest={secret}", f"/v1/health?access_token={secret}",
            f"/v1/jobs?{secret}", f"/v1/jobs/{secret}", f"/v1/jobs?a=%{ord(secret[0]):02x}{secret[1:]}",
        ):  # fmt: skip
            said = refusal(server.call("GET", path), 400, "token-in-address")
            assert secret not in said.message


def test_no_secret_is_left_anywhere(server: Running, make_shot: Make) -> None:
    """Server log, command lines, environment of the worker, database, job folders, take: all of it is searched."""
    named = added(server, "lena")
    job = server.submit(make_shot())
    assert server.finished(job.id).message == ""
    for path in ("/v1/jobs/a", "/v1/nothing", "/v1/jobs?newest=x", f"/v1/jobs?token={named}", f"/v1/jobs/{named}"):
        assert named not in server.call("GET", path, token=named).text
    for secret in map(str.encode, (server.token, named)):
        assert secret not in server.log.read_bytes()
        for file in (file for file in server.data.rglob("*") if file.is_file()):
            assert secret not in file.read_bytes(), file
        for process in Path("/proc").glob("[0-9]*"):
            assert secret not in _words(process / "cmdline"), process
        assert secret not in _words(Path(f"/proc/{server.worker()}/environ"))


def _words(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:  # it has ended, or is somebody else's
        return b""


def test_the_help_tells_of_tokens() -> None:
    done = subprocess.run(
        command("tokens", "--help"),
        capture_output=True,
        text=True,
        env=os.environ | {"NO_COLOR": "1"},
        timeout=PATIENCE,
    )
    assert all(re.search(rf"\b{verb}\b", done.stdout) for verb in ("add", "list", "revoke"))
