"""farm/wan_animate_shots.js: what Flamenco makes of a submission, by the documented API of its job types alone."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import quickjs
from hypothesis import given, settings
from hypothesis import strategies as st

from wan_animate_blender import wire
from wan_animate_blender.farm import flamenco
from wan_animate_blender.farm.flamenco import JobType, job_of, script_version, task_type_of
from wan_animate_blender.farm.submission import SubmittedShot

from .script import job_type, tasks
from .submitted import GB, order, shot

SIZES = (16, 24, 32, 48, 80, 96, 141)
TYPE = JobType(etag="abc", gpu_sizes=SIZES, version=script_version())

PLAIN = {
    "submission": "/mnt/shots/farm/f001/submission.json", "shots_root": "/mnt/shots",
    "shots": '[{"folder": "SH010/e003"}]', "blendfile": "/mnt/shots/farm/f001/edit.blend",
    "gpu_sizes": "16 24 32 48 80 96 141",
}  # fmt: skip
BLENDER = {"exe": "{blender}", "exeArgs": "{blenderArgs}", "argsBefore": ["-b"]}
COMMAND = ["--python-exit-code", "3", "--command", "wan_animate"]


def of(*shots: SubmittedShot, **changes: Any) -> list[dict[str, Any]]:
    return tasks(job_of(order(*shots, **changes), TYPE)["settings"])


def refusal(**changes: Any) -> str:
    with pytest.raises(quickjs.JSException) as caught:
        tasks({key: value for key, value in (PLAIN | changes).items() if value is not None})
    return str(caught.value).splitlines()[0].removeprefix("Error: ")


def blender(*words: str) -> dict[str, Any]:
    file = "/mnt/shots/farm/f001/edit.blend"
    args = [*COMMAND, *words, "--progress", "percent"]
    return {"name": "blender-render", "parameters": {**BLENDER, "blendfile": file, "args": args}}


def render(folder: str, device: str = "cuda") -> dict[str, Any]:
    args = ["render", f"/mnt/shots/{folder}", "--resume", "--device", device, "--progress", "percent"]
    return {"name": "exec", "parameters": {"exe": "{wanAnimate}", "args": args}}


IMPORT = ("import", "--submission", "/mnt/shots/farm/f001/submission.json", "--out", "/mnt/shots")


def test_one_shot_is_exported_then_rendered_then_imported() -> None:
    assert of(shot("SH010/e003")) == [
        {"name": "export SH010/e003", "type": "blender", "after": [],
         "commands": [blender("export", "--shot", "SH010/e003", "--out", "/mnt/shots")]},
        {"name": "render SH010/e003", "type": "wan-gpu-24g", "after": ["export SH010/e003"],
         "commands": [render("SH010/e003")]},
        {"name": "import", "type": "blender", "after": ["render SH010/e003"], "commands": [blender(*IMPORT)]},
    ]  # fmt: skip


def test_a_person_in_front_is_exported_when_the_take_behind_is_rendered() -> None:
    front = shot("SH010_bob/e001", base="SH010/e003", gpu_memory=None)
    made = of(shot("SH010/e003"), front, shot("SH020/e001", gpu_memory=47 * GB))
    assert [(task["name"], task["type"], task["after"]) for task in made] == [
        ("export SH010/e003", "blender", []),
        ("render SH010/e003", "wan-gpu-24g", ["export SH010/e003"]),
        ("export SH010_bob/e001", "blender", ["render SH010/e003"]),
        ("render SH010_bob/e001", "wan-gpu", ["export SH010_bob/e001"]),
        ("export SH020/e001", "blender", []),
        ("render SH020/e001", "wan-gpu-48g", ["export SH020/e001"]),
        ("import", "blender", ["render SH010/e003", "render SH010_bob/e001", "render SH020/e001"]),
    ]
    words = ("export", "--shot", "SH010_bob/e001", "--out", "/mnt/shots", "--base", "SH010/e003")
    assert made[2]["commands"] == [blender(*words)]


def test_the_result_and_the_rendered_edit_go_where_somebody_wants_them() -> None:
    made = of(save_as=Path("/mnt/edit.blend"), render_edit=Path("/mnt/edit"), device="cpu")
    wanted = blender(*IMPORT, "--save-as", "/mnt/edit.blend", "--render-edit", "/mnt/edit")
    assert made[-1]["commands"] == [wanted]
    assert made[1]["commands"] == [render("SH010/e003", "cpu")]


def test_the_file_comes_before_the_command_which_takes_all_that_follows() -> None:
    """The worker runs `{exe} {exeArgs} {argsBefore} {blendfile} {args}`."""
    for task in of(shot("A/e001")):
        for command in task["commands"]:
            if command["name"] == "blender-render":
                words = command["parameters"]["args"]
                assert words.index("--python-exit-code") < words.index("--command")
                assert not any(word.endswith(".blend") for word in words)


@pytest.mark.parametrize(("root", "folder"), [
    ("{shared}/shots", "{shared}/shots/SH010/e003"),
    ("/mnt/shots/", "/mnt/shots/SH010/e003"),
    ("/", "/SH010/e003"),
    ("Z:/", "Z:/SH010/e003"),
    ("Z:\\shots\\", "Z:\\shots/SH010/e003"),
    ("\\\\server\\shots", "\\\\server\\shots/SH010/e003"),
])  # fmt: skip
def test_roots_of_every_system_and_of_variables_lead_to_the_shot(root: str, folder: str) -> None:
    assert tasks(PLAIN | {"shots_root": root})[1]["commands"][0]["parameters"]["args"][1] == folder


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"shots": None}, "the setting shots is \"\", expected a JSON list of shots"),
    ({"shots": "SH010"}, "the setting shots is \"SH010\", expected a JSON list of shots"),
    ({"shots": 7}, "the setting shots is 7, expected a text"),
    ({"shots": "[]"}, "the setting shots is [], expected a JSON list with at least one shot"),
    ({"shots": "{}"}, "the setting shots is {}, expected a JSON list with at least one shot"),
    ({"shots": "[7]"}, "shot 1 of the setting shots is 7, expected an object such as"),
    ({"shots": "[null]"}, "shot 1 of the setting shots is null, expected an object such as"),
    ({"shots": '[{"folder": "A/e001", "gpus": 1}]'}, 'shot 1 of the setting shots has "gpus", expected only folder'),
    ({"shots": "[{}]"}, "folder of shot 1 of the setting shots is missing, expected a shot and its export"),
    ({"shots": '[{"folder": "A/../B/e001"}]'}, 'folder of shot 1 of the setting shots is "A/../B/e001", expected'),
    ({"shots": '[{"folder": "A./e001"}]'}, 'folder of shot 1 of the setting shots is "A./e001", expected'),
    ({"shots": '[{"folder": "{x}/e001"}]'}, 'folder of shot 1 of the setting shots is "{x}/e001", expected'),
    ({"shots": '[{"folder": "-A/e001"}]'}, 'folder of shot 1 of the setting shots is "-A/e001", expected'),
    ({"shots": '[{"folder": "A/e001\\n"}]'}, 'folder of shot 1 of the setting shots is "A/e001\\n", expected'),
    ({"shots": '[{"folder": "A/e001"}, {"folder": "A/e002"}]'}, 'shot 2 of the setting shots is a second "A"'),
    ({"shots": '[{"folder": "A/e001", "base": "B/e001"}]'}, 'base of A/e001 is "B/e001", expected a folder earlier'),
    ({"shots": '[{"folder": "A/e001", "base": "A/e001"}]'}, 'base of A/e001 is "A/e001", expected a folder earlier'),
    ({"shots": '[{"folder": "A/e001", "gpu": -1}]'}, "gpu of A/e001 is -1, expected a number of bytes"),
    ({"shots": '[{"folder": "A/e001", "gpu": "24"}]'}, 'gpu of A/e001 is "24", expected a number of bytes'),
    ({"shots": '[{"folder": "A/e001", "gpu": 2e11}]'}, "A/e001 needs 200.0 GB on one GPU and the largest of this farm"),
    ({"shots_root": None}, 'the setting shots_root is "", expected an absolute path'),
    ({"shots_root": "shots"}, 'the setting shots_root is "shots", expected an absolute path'),
    ({"shots_root": "//shots", "blendfile": "edit.blend"}, 'the setting blendfile is "edit.blend", expected an absol'),
    ({"submission": "C:x.json"}, 'the setting submission is "C:x.json", expected an absolute path'),
    ({"save_as": "edit.blend"}, 'the setting save_as is "edit.blend", expected an absolute path'),
    ({"render_edit": True}, "the setting render_edit is true, expected a text"),
    ({"device": "gpu"}, 'the setting device is "gpu", expected cuda or cpu'),
    ({"gpu_sizes": "many"}, 'the setting gpu_sizes is "many", expected GB of GPUs'),
    ({"gpu_sizes": None}, "the setting gpu_sizes is missing, expected GB of GPUs"),
])  # fmt: skip
def test_what_cannot_be_a_job_is_refused_in_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    said = refusal(**changes)
    assert said.startswith(sentence)
    assert "\n" not in said and len(said) < 300


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,8}[A-Za-z0-9]", fullmatch=True)
memory = st.one_of(st.none(), st.integers(1, 141 * GB))


@st.composite
def scenes(draw: st.DrawFn) -> list[SubmittedShot]:
    made: list[SubmittedShot] = []
    for name in draw(st.lists(names, min_size=1, max_size=8, unique=True)):
        base = draw(st.sampled_from(["", *(one.folder for one in made)]))
        made.append(shot(f"{name}/e{draw(st.integers(1, 2000)):03d}", base=base, gpu_memory=draw(memory)))
    return made


@settings(deadline=None, max_examples=60)
@given(scenes())
def test_every_submission_becomes_tasks_that_can_be_done_in_their_order(shots: list[SubmittedShot]) -> None:
    made = of(*shots)
    assert len(made) == 2 * len(shots) + 1
    done: set[str] = set()
    for task in made:
        assert set(task["after"]) <= done, task
        done.add(task["name"])
    for one, (exporting, rendering) in zip(shots, zip(made[:-1:2], made[1::2], strict=True), strict=True):
        assert exporting["after"] == ([f"render {one.base}"] if one.base else [])
        assert rendering["after"] == [exporting["name"]]
        assert rendering["type"] == task_type_of(one.gpu_memory, SIZES)
    assert made[-1]["after"] == [f"render {one.folder}" for one in shots]


def test_1001_shots_are_2003_tasks() -> None:
    made = of(*(shot(f"SH{number:04d}/e001") for number in range(1001)))
    assert len(made) == 2003 and len(made[-1]["after"]) == 1001


@pytest.mark.parametrize(("need", "task_type"), [
    (None, "wan-gpu"), (0, "wan-gpu"), (1, "wan-gpu-16g"), (16 * GB, "wan-gpu-16g"), (16 * GB + 1, "wan-gpu-24g"),
    (33 * GB, "wan-gpu-48g"), (140 * GB, "wan-gpu-141g"),
])  # fmt: skip
def test_script_and_client_choose_the_smallest_gpu_that_is_enough(need: int | None, task_type: str) -> None:
    assert task_type_of(need, SIZES) == task_type
    assert of(shot("A/e001", gpu_memory=need))[1]["type"] == task_type


def test_sizes_of_gpus_may_stand_in_any_order() -> None:
    made = tasks(PLAIN | {"gpu_sizes": "80, 16 24", "shots": '[{"folder": "A/e001", "gpu": 20000000000}]'})
    assert made[1]["type"] == "wan-gpu-24g"


def test_spaces_around_a_path_and_slashes_at_its_end_mean_nothing() -> None:
    words = tasks(PLAIN | {"shots_root": " /mnt/shots// "})[0]["commands"][0]["parameters"]["args"]
    assert words[words.index("--out") + 1] == "/mnt/shots"


def test_the_client_too_refuses_a_shot_that_is_too_large_for_every_gpu() -> None:
    with pytest.raises(wire.BadInput, match=r"needs 200\.0 GB on one GPU and the largest of this farm has 141"):
        task_type_of(200 * GB, SIZES)


def test_the_settings_have_only_what_the_documentation_allows() -> None:
    described = job_type()
    known = {"key", "type", "subtype", "choices", "description", "default", "eval", "evalInfo", "visible", "required",
             "label"}  # fmt: skip
    assert described.keys() == {"label", "description", "settings"}
    for one in described["settings"]:
        assert one.keys() <= known and {"key", "type", "description"} <= one.keys()
        assert one["type"] in ("string", "int32", "float", "bool")
        assert one.get("subtype", "file_path") in ("file_path", "dir_path", "file_name", "hashed_file_path")
        assert one["visible"] in ("visible", "hidden", "submission", "web")
    assert {one["key"] for one in described["settings"]} == job_of(order(), TYPE)["settings"].keys()


def test_submitted_by_hand_every_setting_finds_its_value_beside_the_file(tmp_path: Path) -> None:
    """Flamenco's add-on evaluates each expression with these names, the file being open."""
    shots = (shot("SH010/e003"), shot("SH010_bob/e001", base="SH010/e003", gpu_memory=None))
    wanted = order(*shots, folder=tmp_path / "farm" / "f001")
    wanted.folder.mkdir(parents=True)
    (wanted.folder / "submission.json").write_text(wanted.submission.dumps(), encoding="utf-8")

    def abspath(path: str) -> Path:
        return (wanted.folder / path.removeprefix("//")).resolve()

    described = job_type()["settings"]
    found = {
        one["key"]: eval(one["eval"], {}, {"abspath": abspath, "Path": Path}) for one in described if "eval" in one
    }
    sent = job_of(wanted, TYPE)["settings"]
    assert json.loads(found.pop("shots")) == json.loads(sent["shots"])
    assert {key: Path(path) for key, path in found.items()} == {
        "submission": wanted.folder / "submission.json", "shots_root": tmp_path
    }  # fmt: skip


def test_the_scripts_version_changes_with_the_script() -> None:
    """A Manager's etag follows the settings alone; this tells two scripts apart that differ in what they do."""
    text = flamenco.SCRIPT.read_text("utf-8")
    blank = re.sub(r'(key: "version",[^}]*?default: )"\w+"', r'\1""', text)
    assert hashlib.sha256(blank.encode()).hexdigest()[:12] == script_version()
