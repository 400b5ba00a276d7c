"""The whole OpenAPI description, asked at random by schemathesis: whatever is sent, no bug answers.

Bounded and with fixed seeds; once for jobs that nobody knows, once for one that is done.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wan_animate_blender.wire import WIRE_HEADER, JobState

from .conftest import write_export
from .serving import PATIENCE, Running, serving

SEED, EXAMPLES = "20", "3"
"""The same questions every time, at most so many of a kind: how many fit into a time would be the machine's word."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("openapi")) as running:
        yield running


@pytest.fixture(scope="module")
def job(server: Running, tmp_path_factory: pytest.TempPathFactory) -> str:
    sent = server.submit(write_export(tmp_path_factory.mktemp("shot"), frames=1))
    assert server.finished(sent.id).state is JobState.DONE
    return sent.id


def asked(server: Running, folder: Path, parameters: str, *more: str) -> int:
    """Let schemathesis ask `server` all that it can think of, and see no 5xx; how many operations it asked."""
    file = folder / "schemathesis.toml"  # not the command line, where everybody could read the token
    file.write_text(
        f'[headers]\nAuthorization = "Bearer {server.token}"\n{WIRE_HEADER} = "1"\n[parameters]\n{parameters}\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "--config-file", str(file), "run", server.url + "/v1/openapi.json",
         "--checks", "not_a_server_error", "--seed", SEED, "--max-examples", EXAMPLES, "--continue-on-failure",
         "--suppress-health-check", "all", "--warnings", "off", "--request-timeout", str(PATIENCE), *more],
        capture_output=True, text=True, timeout=10 * PATIENCE, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    tested = re.search(r"Tested: (\d+)", done.stdout)
    assert tested, done.stdout
    return int(tested[1])


def test_nothing_that_is_asked_of_unknown_jobs_is_answered_with_a_bug(server: Running, tmp_path: Path) -> None:
    described = server.call("GET", "/v1/openapi.json").json()["paths"].values()
    assert asked(server, tmp_path, "") == sum(map(len, described)) >= 15
    assert "Traceback" not in server.log.read_text() and "ERROR" not in server.log.read_text()


def test_nothing_that_is_asked_of_a_job_is_answered_with_a_bug(server: Running, job: str, tmp_path: Path) -> None:
    assert asked(server, tmp_path, f'"path.job" = "{job}"', "--exclude-path-regex", "/remove$") >= 15
    assert server.job(job).id == job
    assert "Traceback" not in server.log.read_text() and "ERROR" not in server.log.read_text()
