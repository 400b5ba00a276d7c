"""farm/openjd.py: a submission as a job bundle, read back by OpenJD's own model and run by its own sessions."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import sysconfig
import time
from dataclasses import replace
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openjd.model import (
    ParameterValue,
    ParameterValueType,
    StepDependencyGraph,
    StepParameterSpaceIterator,
    create_job,
)
from openjd.sessions import ActionState, PathFormat, PathMappingRule, Session, SessionState

from wan_animate_blender import wire
from wan_animate_blender.farm import openjd
from wan_animate_blender.farm.submission import Asset, Submission

from .bundles import FOLDER, OPTIONS, decoded, graph, many, named, parameter, step, submission, written

OPENJD = Path(sysconfig.get_path("scripts")) / "openjd"
GIB = 2**30
OTHER = next(one for one in wire.Precision if one is not wire.Precision.BF16)


def check(bundle: Path) -> subprocess.CompletedProcess[str]:
    line = [str(OPENJD), "check", str(bundle / "template.json")]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)


# --- the steps ------------------------------------------------------------------------------------


def test_each_chunk_is_exported_then_rendered_and_all_are_imported_once() -> None:
    shots = [named("SH010"), named("SH020"), named("SH030")]
    assert graph(openjd.template(submission(shots), replace(OPTIONS, chunk=2))) == {
        "Export_001": ([{"Shot": "SH010/e001"}, {"Shot": "SH020/e001"}], []),
        "Render_001": ([{"Shot": "SH010/e001"}, {"Shot": "SH020/e001"}], ["Export_001"]),
        "Export_002": ([{"Shot": "SH030/e001"}], []),
        "Render_002": ([{"Shot": "SH030/e001"}], ["Export_002"]),
        "Import": ([], ["Export_001", "Render_001", "Export_002", "Render_002"]),
    }


def test_whoever_stands_in_front_is_exported_over_the_rendered_take_of_the_one_behind() -> None:
    """Three people of one strip, two of another: the front ones wait for the chunk of their base, and for no other."""
    shots = [
        named("SH010"), named("SH010_bob", base="SH010/e001"), named("SH010_cid", base="SH010_bob/e001"),
        named("SH020"), named("SH020_dan", base="SH020/e001"),
    ]  # fmt: skip
    assert graph(openjd.template(submission(shots), replace(OPTIONS, chunk=1))) == {
        "Export_001": ([{"Shot": "SH010/e001"}], []),
        "Render_001": ([{"Shot": "SH010/e001"}], ["Export_001"]),
        "Export_002": ([{"Shot": "SH020/e001"}], []),
        "Render_002": ([{"Shot": "SH020/e001"}], ["Export_002"]),
        "Export_003": ([{"Shot": "SH010_bob/e001", "Base": "SH010/e001"}], ["Export_001", "Render_001"]),
        "Render_003": ([{"Shot": "SH010_bob/e001"}], ["Export_003"]),
        "Export_004": ([{"Shot": "SH020_dan/e001", "Base": "SH020/e001"}], ["Export_002", "Render_002"]),
        "Render_004": ([{"Shot": "SH020_dan/e001"}], ["Export_004"]),
        "Export_005": ([{"Shot": "SH010_cid/e001", "Base": "SH010_bob/e001"}], ["Export_003", "Render_003"]),
        "Render_005": ([{"Shot": "SH010_cid/e001"}], ["Export_005"]),
        "Import": ([], [f"{verb}_00{number}" for number in range(1, 6) for verb in ("Export", "Render")]),
    }


def test_whoever_reads_what_another_step_has_made_names_that_step() -> None:
    """Without shared storage Deadline Cloud brings the files of steps that are named, and of no others behind those."""
    shots = [named("SH010"), named("SH010_bob", base="SH010/e001")]
    found = graph(openjd.template(submission(shots), OPTIONS))
    assert found["Export_002"][1] == ["Export_001", "Render_001"]  # the take, and the export by whose hash it is found
    assert found["Render_002"][1] == ["Export_002"]
    assert set(found["Import"][1]) == {name for name in found if name != "Import"}


def test_a_front_shot_is_paired_with_its_own_base_and_no_other() -> None:
    """By OpenJD's own reading of the combination: two tasks, not four."""
    shots = [named("A"), named("B"), named("A_x", base="A/e001"), named("B_y", base="B/e001")]
    job = create_job(job_template=decoded(openjd.template(submission(shots), OPTIONS)), job_parameter_values=VALUES)
    front = next(one for one in job.steps if one.name == "Export_002")
    tasks = [
        {name: one.value for name, one in task.items()}
        for task in StepParameterSpaceIterator(space=front.parameterSpace)
    ]
    assert tasks == [{"Shot": "A_x/e001", "Base": "A/e001"}, {"Shot": "B_y/e001", "Base": "B/e001"}]


VALUES = {
    name: ParameterValue(type=ParameterValueType.PATH, value=f"/{name}")
    for name in ("SceneFile", "Submission", "Shots", "ResultFile")
} | {name: ParameterValue(type=ParameterValueType.STRING, value=name) for name in ("Blender", "WanAnimate", "Device")}


@pytest.mark.parametrize("changes", [
    {"gpu_memory": 48 * GIB}, {"model": "puppet"}, {"precision": OTHER}, {"gpu_memory": None},
])  # fmt: skip
def test_shots_of_another_need_of_memory_or_another_model_are_another_chunk(changes: dict[str, Any]) -> None:
    shots = [named("A", gpu_memory=24 * GIB), named("B", **({"gpu_memory": 24 * GIB} | changes)),
             named("C", gpu_memory=24 * GIB)]  # fmt: skip
    found = [[shot.name for shot in chunk.shots] for chunk in openjd.chunks(submission(shots), 10)]
    assert found == [["A", "C"], ["B"]]


def test_the_same_submission_gives_the_same_bytes(tmp_path: Path) -> None:
    texts = [openjd.template(many(57), OPTIONS) for _ in range(2)]
    assert json.dumps(texts[0]) == json.dumps(texts[1])


# --- what hosts must have -------------------------------------------------------------------------


def amounts(found: dict[str, Any]) -> dict[str, int]:
    return {one["name"]: one["min"] for one in found["hostRequirements"]["amounts"]}


def test_a_render_asks_for_one_gpu_with_the_memory_that_was_planned_rounded_up_to_mebibytes() -> None:
    found = openjd.template(submission([named("A", gpu_memory=24 * GIB + 1)]), OPTIONS)
    wanted = {"amount.worker.gpu": 1, "amount.worker.gpu.memory": 24 * 1024 + 1}
    assert wanted.items() <= amounts(step(found, "Render_001")).items()
    assert step(found, "Render_001")["hostRequirements"]["attributes"] == [
        {"name": "attr.worker.os.family", "anyOf": ["linux", "windows"]}
    ]
    assert not [name for name in amounts(step(found, "Export_001")) if "gpu" in name]


def test_memory_that_nobody_knows_is_not_asked_for() -> None:
    found = amounts(step(openjd.template(submission([named("A")]), OPTIONS), "Render_001"))
    assert found["amount.worker.gpu"] == 1
    assert "amount.worker.gpu.memory" not in found


def test_a_render_on_processors_asks_for_no_gpu() -> None:
    asked = submission([named("A", gpu_memory=GIB)])
    found = step(openjd.template(asked, replace(OPTIONS, device="cpu")), "Render_001")
    assert not [name for name in amounts(found) if "gpu" in name]
    assert "attributes" not in found["hostRequirements"]


def test_a_long_render_is_given_ten_times_what_was_expected_before_it_is_ended() -> None:
    asked = submission([named("A", seconds=30.0), named("B", seconds=9000.0)])
    run = step(openjd.template(asked, OPTIONS), "Render_001")["script"]["actions"]["onRun"]
    assert run["timeout"] == 90_000
    assert run["cancelation"] == {"mode": "NOTIFY_THEN_TERMINATE", "notifyPeriodInSeconds": 30}


# --- limits of the specification ------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [0, -1, 1025])
def test_a_chunk_that_the_specification_has_no_room_for_is_refused(chunk: int) -> None:
    with pytest.raises(wire.BadInput, match=f"the chunk is {chunk} shots, expected 1 to 1024"):
        replace(OPTIONS, chunk=chunk)


def test_a_chunk_of_1024_shots_is_one_pair_of_steps_that_openjd_accepts() -> None:
    shots = [named(f"S{number}") for number in range(1024)]
    template = openjd.template(submission(shots), replace(OPTIONS, chunk=1024))
    assert len(decoded(template).steps) == 3


def test_a_thousand_and_one_shots_pass_the_check_and_fit_into_what_deadline_cloud_takes(tmp_path: Path) -> None:
    bundle = written(tmp_path, many(1001).shots)
    done = check(bundle)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len((bundle / "template.json").read_text(encoding="utf-8")) < 1_000_000


def test_a_pair_of_steps_for_each_of_a_thousand_and_one_shots_is_a_job_too(tmp_path: Path) -> None:
    bundle = written(tmp_path, many(1001).shots, replace(OPTIONS, chunk=1))
    done = check(bundle)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(json.loads((bundle / "template.json").read_bytes())["steps"]) == 2 * 1001 + 1


@pytest.mark.parametrize(("path", "word"), [("/" + 1100 * "x", "at most 1024"), ("/jobs/a\nb", "printable")])
def test_a_path_that_no_parameter_can_hold_is_refused(path: str, word: str) -> None:
    with pytest.raises(wire.BadInput, match=word):
        openjd.values(submission([named("A")]), FOLDER, replace(OPTIONS, shots=PurePosixPath(path)))


NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=200)


@st.composite
def submissions(draw: st.DrawFn) -> Submission:
    """Any that there can be: odd names, people in front of each other, all kinds of needs."""
    shots = []
    for number in range(draw(st.integers(1, 12))):
        bases = ["", *(shot.folder for shot in shots)]
        shots.append(named(
            f"S{number}", base=draw(st.sampled_from(bases)), person=draw(NAMES), strip=draw(NAMES),
            gpu_memory=draw(st.none() | st.integers(0, 2**48)), seconds=draw(st.none() | st.floats(0, 1e7)),
            model=draw(st.sampled_from(["puppet", "wan-animate-14b"])), precision=draw(st.sampled_from(wire.Precision)),
        ))  # fmt: skip
    return submission(shots, name=draw(NAMES), file=draw(NAMES))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(submissions(), st.integers(1, 13), st.sampled_from(["cuda", "cpu"]), st.booleans())
def test_any_submission_is_a_template_that_openjd_accepts(
    asked: Submission, chunk: int, device: str, with_edit: bool
) -> None:
    options = replace(OPTIONS, chunk=chunk, device=device, edit=FOLDER / "edit" if with_edit else None)
    template = openjd.template(asked, options)
    values = VALUES | ({"EditFolder": ParameterValue(type=ParameterValueType.PATH, value="/e")} if with_edit else {})
    job = create_job(job_template=decoded(template), job_parameter_values=values)
    found = graph(template)
    order = [one.name for one in StepDependencyGraph(job=job).topo_sorted()]
    for verb in ("Export", "Render"):
        shots = [task["Shot"] for name, (tasks, _) in found.items() if name.startswith(verb) for task in tasks]
        assert sorted(shots) == sorted(shot.folder for shot in asked.shots)
    home = {task["Shot"]: name for name in order if name.startswith("Render") for task in found[name][0]}
    for name in (name for name in order if name.startswith("Export")):
        waits = {home[task["Base"]] for task in found[name][0] if "Base" in task}
        assert waits == {step for step in found[name][1] if step.startswith("Render")}
        assert all(order.index(other) < order.index(name) for other in waits)
    assert order[-1] == "Import"


# --- paths ----------------------------------------------------------------------------------------

SAY = """#!{python}
import json, sys
print("SAID", json.dumps(sys.argv[1:]))
"""


@pytest.fixture
def say(tmp_path: Path) -> str:
    """A program that says what it was given; it stands for Blender and wan-animate."""
    program = tmp_path / "say"
    program.write_text(SAY.format(python=sys.executable))
    program.chmod(0o755)
    return str(program)


def said_by_all(asked: Submission, folder: PurePath, options: openjd.Options, rules: list[PathMappingRule],
                capture: pytest.LogCaptureFixture) -> list[list[str]]:  # fmt: skip
    """Every line that a worker with these rules runs, in the order of the job, by OpenJD's sessions."""
    types = {one["name"]: one["type"] for one in openjd.template(asked, options)["parameterDefinitions"]}
    bundle = openjd.values(asked, folder, options)
    given = {
        name: ParameterValue(type=ParameterValueType(types[name]), value=parameter(bundle, name)) for name in types
    }
    job = create_job(job_template=decoded(openjd.template(asked, options)), job_parameter_values=given)
    capture.set_level("INFO", logger="openjd.sessions")
    with Session(session_id="test", job_parameter_values=given, path_mapping_rules=rules) as session:
        for one in StepDependencyGraph(job=job).topo_sorted():
            for environment in one.stepEnvironments or []:
                until_ready(session, session.enter_environment(environment=environment, identifier=one.name))
            for task in StepParameterSpaceIterator(space=one.parameterSpace):
                until_ready(session, session.run_task(step_script=one.script, task_parameter_values=task))
            if one.stepEnvironments:
                session.exit_environment(identifier=one.name, keep_session_running=True)
                until_ready(session)
    said = [line.getMessage() for line in capture.records]
    return [json.loads(line.removeprefix("SAID ")) for line in said if line.startswith("SAID ")]


def until_ready(session: Session, *_: object) -> None:
    while session.state is SessionState.RUNNING:
        time.sleep(0.01)
    assert session.action_status is not None
    assert session.action_status.state is ActionState.SUCCESS, session.action_status.fail_message


def test_the_lines_that_workers_run_are_those_of_the_verbs(say: str, caplog: pytest.LogCaptureFixture) -> None:
    options = replace(OPTIONS, blender=say, wan_animate=say, edit=FOLDER / "edit")
    asked = submission([named("SH010"), named("SH010_bob", base="SH010/e001")])
    export, enter, render, leave, front, *_, last = said_by_all(asked, FOLDER, options, [], caplog)
    blender = ["--enable-autoexec", "-b", f"{FOLDER}/edit.blend", "--python-exit-code", "3", "--command", "wan_animate"]
    shots, progress = str(OPTIONS.shots), ["--progress", "openjd"]
    assert export == [*blender, "export", "--shot", "SH010/e001", "--out", shots, *progress]
    assert front == [*blender, "export", "--shot", "SH010_bob/e001", "--out", shots, "--base", "SH010/e001", *progress]
    ready = enter[enter.index("--ready-file") + 1]
    assert enter == ["serve", "--private", "--ready-file", ready, "--device", "cuda", "--root", shots]
    assert render == ["render", f"{shots}/SH010/e001", "--resume", "--device", "cuda", *progress]
    assert leave == ["serve", "--stop", "--ready-file", ready]
    assert last == [*blender, "import", "--submission", f"{FOLDER}/submission.json", "--out", shots, "--save-as",
                    f"{FOLDER}/edit_takes.blend", "--render-edit", f"{FOLDER}/edit", *progress]  # fmt: skip


def test_paths_of_a_windows_workstation_are_those_of_a_linux_worker(say: str, caplog: pytest.LogCaptureFixture) -> None:
    root = PureWindowsPath("P:\\ridge\\shots")
    folder = root / "farm" / "f001"
    options = openjd.Options(shots=root, result=folder / "edit_takes.blend", blender=say, wan_animate=say)
    rule = PathMappingRule(
        source_path_format=PathFormat.WINDOWS, source_path=PureWindowsPath("P:\\ridge"),
        destination_path=PurePosixPath("/mnt/ridge"),
    )  # fmt: skip
    lines = said_by_all(submission([named("SH010")]), folder, options, [rule], caplog)
    assert not [word for line in lines for word in line if "\\" in word or "P:" in word]
    assert lines[0][2] == "/mnt/ridge/shots/farm/f001/edit.blend"
    assert lines[2][1] == "/mnt/ridge/shots/SH010/e001"
    assert lines[-1][lines[-1].index("--save-as") + 1] == "/mnt/ridge/shots/farm/f001/edit_takes.blend"


def test_paths_of_a_linux_workstation_are_those_of_a_windows_worker(
    say: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openjd.sessions._path_mapping.os_name", "nt")  # whose separators it writes
    rule = PathMappingRule(
        source_path_format=PathFormat.POSIX, source_path=PurePosixPath("/jobs"),
        destination_path=PureWindowsPath("P:\\jobs"),
    )  # fmt: skip
    options = replace(OPTIONS, blender=say, wan_animate=say)
    lines = said_by_all(submission([named("SH010")]), FOLDER, options, [rule], caplog)
    assert str(PureWindowsPath(lines[2][1])) == "P:\\jobs\\ridge\\shots\\SH010\\e001"
    assert lines[0][2] == "P:\\jobs\\ridge\\shots\\farm\\f001\\edit.blend"


def test_no_line_takes_a_path_that_is_not_mapped() -> None:
    text = json.dumps(openjd.template(many(7), replace(OPTIONS, edit=FOLDER / "edit")))
    assert "RawParam" not in text
    assert "/jobs" not in text
    assert {"bash", "sh", "cmd", "powershell"}.isdisjoint(re.findall(r'"command": "([^"]*)"', text))


# --- the files ------------------------------------------------------------------------------------


def test_a_bundle_travels_with_every_file_of_a_sequence_and_none_beside_it(tmp_path: Path) -> None:
    plates = tmp_path / "plates"
    plates.mkdir()
    for name in (
        "hall_0001.png",
        "hall_0002.png",
        "hall_0004.png",
        "hall.mov",
        "hall_0001.png.bak",
        "hallway_0001.png",
    ):
        (plates / name).write_bytes(b"x")
    assets = (
        Asset(path=str(plates / "hall_0001.png"), what="plate", files=3, size=3, missing=("hall_0003.png",)),
        Asset(path=str(plates / "hall.mov"), what="movie", files=1, size=1),
        Asset(path=str(plates), what="cache", files=6, size=6),
        Asset(path=str(tmp_path / "inside.png"), what="texture", files=1, size=1, packed=True),
        Asset(path=str(tmp_path / "gone.png"), what="texture", files=0, size=0, missing=("gone.png",)),
    )
    found = openjd.references(submission([named("A")], assets=assets), FOLDER, OPTIONS)["assetReferences"]
    sequence = [str(plates / f"hall_000{number}.png") for number in (1, 2, 4)]
    ours = [f"{FOLDER}/edit.blend", f"{FOLDER}/submission.json"]
    assert found["inputs"]["filenames"] == sorted([*sequence, str(plates / "hall.mov"), *ours])
    assert found["inputs"]["directories"] == [str(plates)]
    assert found["outputs"]["directories"] == [str(OPTIONS.shots), str(FOLDER)]


def test_every_parameter_without_a_default_has_a_value_and_every_value_a_parameter() -> None:
    definitions = openjd.template(many(3), OPTIONS)["parameterDefinitions"]
    given = {
        one["name"] for one in openjd.values(many(3), FOLDER, OPTIONS)["parameterValues"] if ":" not in one["name"]
    }
    assert given == {one["name"] for one in definitions}


def test_no_failing_shot_ends_a_job_on_deadline_cloud() -> None:
    """Its own limit is 20 failed tasks, and cancels the rest."""
    assert parameter(openjd.values(many(500), FOLDER, OPTIONS), "deadline:maxFailedTasksCount") >= 1001


def test_a_bundle_that_cannot_be_written_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "no folder"
    file.write_bytes(b"")
    with pytest.raises(wire.BadInput, match="cannot write the bundle to"):
        openjd.write(many(1), file, OPTIONS)
    assert list(tmp_path.iterdir()) == [file]
