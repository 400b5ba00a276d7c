"""farm/deadline.py: bundles run here by the real `openjd run`, with small programs for Blender and wan-animate; and
handed to `deadline`.

A real submission needs an AWS account. For that a small program stands in that says what deadline 0.60 says word for
word in each case; what it is asked is checked, and its real counterpart's refusals were recorded without an account.
"""

from __future__ import annotations

import json
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wan_animate_blender import wire
from wan_animate_blender.farm import deadline, openjd
from wan_animate_blender.session import Cancelled, Step, Work

from .bundles import named, written

OPENJD = str(Path(sysconfig.get_path("scripts")) / "openjd")

WORKER = """#!{python}
import os, sys, time
from pathlib import Path
folder = Path(__file__).parent
words = sys.argv[1:]
with (folder / "lines").open("a") as file:
    file.write(" ".join(words) + "\\n")
shot = next((word.split("/")[-2] for word in words if word.endswith("/e001")), "")
verb = words[words.index("wan_animate") + 1] if "wan_animate" in words else words[0]
if (folder / f"{{verb}} {{shot}} fails").exists():
    print("openjd_fail: the picture of", shot, "cannot be read", flush=True)
    sys.exit(64)
if (folder / f"{{verb}} {{shot}} waits").exists():
    (folder / "waiting").touch()
    time.sleep(300)
print("openjd_progress: 50.0")
print("openjd_status: halfway")
"""


@pytest.fixture
def worker(tmp_path: Path) -> Path:
    """A program that writes down what it was told; it fails or waits where a file of that name lies beside it."""
    return program(tmp_path / "worker" / "program", WORKER)


def program(path: Path, text: str) -> Path:
    path.parent.mkdir()
    path.write_text(text.format(python=sys.executable))
    path.chmod(0o755)
    return path


def bundle(folder: Path, worker: Path, chunk: int = 10) -> Path:
    """Three strips, one with a person in front."""
    shots = [named("SH010"), named("SH020"), named("SH030"), named("SH020_bob", base="SH020/e001")]
    options = openjd.Options(
        shots=folder / "shots", result=folder / "takes.blend", blender=str(worker), wan_animate=str(worker),
        device="cpu", chunk=chunk,
    )  # fmt: skip
    return written(folder, shots, options)


def lines(worker: Path) -> list[str]:
    """What was run, in short: "render SH010"."""
    found = []
    for line in (worker.parent / "lines").read_text().splitlines():
        words = line.split()
        verb = words[words.index("wan_animate") + 1] if "wan_animate" in words else words[0]
        shot = next((word.split("/")[-2] for word in words if word.endswith("/e001")), "")
        found.append(f"{verb} {shot}".strip())
    return found


def end(work: Work[str], see: Callable[[Step], None] = lambda _: None) -> str:
    """What a work returns."""
    while True:
        try:
            if step := next(work):
                see(step)
        except StopIteration as stop:
            return str(stop.value)


# --- here -----------------------------------------------------------------------------------------


def test_a_bundle_runs_here_from_the_first_export_to_the_import(tmp_path: Path, worker: Path) -> None:
    steps: list[Step] = []
    said = end(deadline.run_here(OPENJD, bundle(tmp_path, worker), Cancelled()), steps.append)
    assert said == f"4 shots are rendered, and imported into {tmp_path / 'takes.blend'}"
    names = ["SH010", "SH020", "SH030"]
    assert lines(worker) == [
        *(f"export {name}" for name in names), "serve", *(f"render {name}" for name in names), "serve",
        "export SH020_bob", "serve", "render SH020_bob", "serve", "import",
    ]  # fmt: skip
    assert [step.progress for step in steps] == sorted(step.progress for step in steps)
    assert Step(stage="Render_001", progress=4.5 / 9, message="SH020/e001 halfway") in steps


def test_a_shot_that_fails_here_takes_nobody_with_it_but_those_in_front_of_it(tmp_path: Path, worker: Path) -> None:
    (worker.parent / "render SH020 fails").touch()
    with pytest.raises(wire.Unavailable) as refused:
        end(deadline.run_here(OPENJD, bundle(tmp_path, worker), Cancelled()))
    assert str(refused.value) == (
        "2 of 4 shots failed (SH020/e001: the picture of SH020 cannot be read; SH020_bob/e001: SH020/e001 behind it "
        "failed); the others are imported, and running it again makes only what is missing"
    )
    ran = lines(worker)
    assert [line for line in ran if line.startswith("render")] == ["render SH010", "render SH020", "render SH030"]
    assert "export SH020_bob" not in ran
    assert ran[-1] == "import"


def test_an_export_that_fails_here_is_not_rendered(tmp_path: Path, worker: Path) -> None:
    (worker.parent / "export SH030 fails").touch()
    with pytest.raises(wire.Unavailable, match=r"1 of 4 shots failed \(SH030/e001: the picture of SH030 cannot be"):
        end(deadline.run_here(OPENJD, bundle(tmp_path, worker, chunk=1), Cancelled()))
    assert "render SH030" not in lines(worker)
    assert "render SH020_bob" in lines(worker)


def test_an_import_that_fails_here_says_why(tmp_path: Path, worker: Path) -> None:
    (worker.parent / "import  fails").touch()
    with pytest.raises(wire.Unavailable, match=r"Import failed: the picture of  cannot be read; its log is .*\.log"):
        end(deadline.run_here(OPENJD, bundle(tmp_path, worker), Cancelled()))


def test_a_worker_without_blender_is_said_with_its_log(tmp_path: Path) -> None:
    folder = bundle(tmp_path, tmp_path / "nowhere")
    with pytest.raises(wire.Unavailable) as refused:
        end(deadline.run_here(OPENJD, folder, Cancelled()))
    assert "4 of 4 shots failed" in str(refused.value)
    assert "nowhere" in (folder / "openjd.log").read_text()


def test_a_run_that_is_cancelled_ends_its_task_and_the_warm_model(tmp_path: Path, worker: Path) -> None:
    (worker.parent / "render SH020 waits").touch()
    cancelled = Cancelled()
    work = deadline.run_here(OPENJD, bundle(tmp_path, worker), cancelled)
    with pytest.raises(wire.Interrupted, match="what was finished is kept"):
        while True:
            next(work)
            if (worker.parent / "waiting").exists():
                cancelled.set()
    assert lines(worker)[-2:] == ["render SH020", "serve"]


def test_a_bundle_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(wire.BadInput, match=r"cannot read .*parameter_values.json .*write the bundle again"):
        end(deadline.run_here(OPENJD, tmp_path, Cancelled()))


# --- on Deadline Cloud ----------------------------------------------------------------------------

JOB = "job-" + 32 * "a"

CLIENT = """#!{python}
import os, sys
from pathlib import Path
folder = Path(__file__).parent
with (folder / "lines").open("a") as file:
    file.write(os.environ.get("DEADLINE_CLOUD_TELEMETRY_OPT_OUT", "") + " " + " ".join(sys.argv[1:]) + "\\n")
said = folder / ("auth" if sys.argv[1] == "auth" else "submit")
print(said.read_text())
sys.exit(int((folder / "code").read_text()) if said.name == "submit" else 0)
"""
LOGGED_IN = '{"profile_name": "studio", "source": "DEADLINE_CLOUD_MONITOR_LOGIN", "status": "AUTHENTICATED"}'
NO_CREDENTIALS = '{"profile_name": "(default)", "source": "HOST_PROVIDED", "status": "CONFIGURATION_ERROR"}'
TAKEN = (
    f"Submitting to Queue: gpu\nWaiting for Job to be created...\nSubmitted job bundle:\nJob creation completed\n{JOB}"
)
NO_FARM = "Usage: deadline bundle submit [OPTIONS] JOB_BUNDLE_DIR\n\nError: Missing '--farm-id' or default Farm ID"
NO_QUEUE = NO_FARM.replace("farm", "queue").replace("Farm", "Queue")


@pytest.fixture
def client(tmp_path: Path) -> Callable[..., Path]:
    """`client(auth, submit, code)` is a `deadline` that says that."""

    def make(auth: str, submit: str = TAKEN, code: int = 0) -> Path:
        found = program(tmp_path / "client" / "deadline", CLIENT)
        for name, text in (("auth", auth), ("submit", submit), ("code", str(code))):
            (found.parent / name).write_text(text)
        return found

    return make


def test_a_bundle_is_submitted_without_a_question_and_its_job_is_known(
    tmp_path: Path, worker: Path, client: Callable[..., Path]
) -> None:
    program, folder = client(LOGGED_IN), bundle(tmp_path, worker)
    assert end(deadline.submit(str(program), folder, Cancelled())) == JOB
    assert (program.parent / "lines").read_text().splitlines() == [
        "true auth status",
        f"true bundle submit {folder} --yes --submitter-name Wan Animate for Blender",
    ]
    assert JOB in (folder / "deadline.log").read_text()


@pytest.mark.parametrize(("answers", "sentence"), [
    ((NO_CREDENTIALS,), r"nobody is logged in to Deadline Cloud \(configuration error\); .*'deadline auth login'"),
    (("",), r"nobody is logged in to Deadline Cloud \(no answer\)"),
    ((LOGGED_IN, NO_FARM, 2), "no farm is chosen .*'deadline config set defaults.farm_id ID'"),
    ((LOGGED_IN, NO_QUEUE, 2), "no queue is chosen .*'deadline config set defaults.queue_id ID'"),
    ((LOGGED_IN, "Failed to submit\nAccessDenied: not you", 1), "did not take the job: AccessDenied: not you; .*log"),
    ((LOGGED_IN, "Job submission canceled.", 0), "did not take the job: Job submission canceled."),
])  # fmt: skip
def test_what_keeps_deadline_cloud_from_taking_a_job_is_one_sentence(
    tmp_path: Path, worker: Path, client: Callable[..., Path], answers: tuple[Any, ...], sentence: str
) -> None:
    with pytest.raises(wire.Unavailable, match=sentence):
        end(deadline.submit(str(client(*answers)), bundle(tmp_path, worker), Cancelled()))


def test_a_template_that_is_too_long_for_deadline_cloud_is_said_before_anything_is_uploaded(
    tmp_path: Path, worker: Path, client: Callable[..., Path]
) -> None:
    program, folder = client(LOGGED_IN), bundle(tmp_path, worker)
    template = folder / "template.json"
    template.write_text(template.read_text() + 1_000_000 * " ")
    with pytest.raises(wire.BadInput, match=r"expected at most 1,000,000.*put more shots into a chunk"):
        end(deadline.submit(str(program), folder, Cancelled()))
    assert not (program.parent / "lines").exists()


# --- finding them ---------------------------------------------------------------------------------


def test_a_program_is_found_beside_another_one_or_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = program(tmp_path / "environment" / "openjd", "#!/bin/sh\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert deadline.find("openjd", beside=str(here.with_name("wan-animate"))) == str(here)
    monkeypatch.setenv("PATH", str(here.parent))
    assert deadline.find("openjd") == str(here)


@pytest.mark.parametrize(
    ("name", "install"), [("openjd", "pip install openjd-cli"), ("deadline", "pip install deadline")]
)
def test_a_program_that_is_not_there_is_said_with_how_to_install_it(
    name: str, install: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(deadline, "BESIDE_PATH", ())
    with pytest.raises(wire.Unavailable, match=f"'{name}' is not found on this machine; .*{install}"):
        deadline.find(name)


def test_the_real_deadline_reads_the_bundle_and_asks_for_a_login(tmp_path: Path, worker: Path) -> None:
    """Only where it is installed, which the tests do not ask for; nothing leaves this machine."""
    deadline_bundle = pytest.importorskip("deadline.client.job_bundle.parameters")
    folder = bundle(tmp_path, worker)
    found = deadline_bundle.read_job_bundle_parameters(str(folder))
    given = {one["name"]: one.get("value", one.get("default")) for one in found}
    values = json.loads((folder / "parameter_values.json").read_bytes())["parameterValues"]
    assert {one["name"]: one["value"] for one in values}.items() <= given.items()
