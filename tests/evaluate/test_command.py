"""`wan-animate eval` as a person types it: a random model is measured and honestly found wanting."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from wan_animate_blender.wire import BadInput, Mode
from wan_animate_server import world
from wan_animate_server.cli import app
from wan_animate_server.evaluate import estimators as networks
from wan_animate_server.evaluate import gates, reading, suite
from wan_animate_server.evaluate.cases import held_out
from wan_animate_server.evaluate.estimators import Kind, Width, begin, write
from wan_animate_server.evaluate.making import by_rendering
from wan_animate_server.render import render

from ..conftest import QUICK, Make, write_export
from ..trained import untrained


def run(*arguments: str | int | Path) -> Any:
    return CliRunner().invoke(app, ["eval", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture(scope="module")
def judges(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Estimators that have learned nothing."""
    folder = tmp_path_factory.mktemp("estimators")
    torch.manual_seed(0)
    for kind in Kind:
        write(folder, kind, begin(kind, Width(8, 32)), Width(8, 32))
    return folder


@pytest.fixture(scope="module")
def measured(judges: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole suite over two tiny clips."""
    out = tmp_path_factory.mktemp("suite")
    asked = ("--suite", "puppet", "--clips", 2, "--size", 32, "--frames", 5, "--steps", 1, "--estimators", judges)
    files = (
        "--model",
        untrained(out / "untrained"),
        "--out",
        out / "work",
        "--json",
        out / "r.json",
        "--html",
        out / "r.html",
        "--table",
        out / "q.md",
    )
    done = run(*asked, *files)
    assert done.exit_code == 0, done.output
    (out / "told.txt").write_text(done.output)
    return out


def test_the_random_model_is_told_to_miss_its_gates(measured: Path) -> None:
    said = json.loads((measured / "r.json").read_text())
    verdicts = {(v["asked"], v["mode"]): v for v in said["gates"]}
    assert not verdicts["psnr of the model", "replace"]["passed"]
    assert verdicts["psnr of the model", "replace"]["margin"] < -0.3
    assert verdicts["outside_count of the model", "replace"]["passed"]
    assert not verdicts["own expression error of the estimator", "replace"]["passed"]
    rows = {(row["name"], row["mode"]): row for row in said["rows"]}
    assert set(rows) == {(n, m) for n in (gates.TRUTH, gates.MODEL, gates.PASTED, gates.MEAN, *gates.CONTROLS)
                         for m in Mode}  # fmt: skip
    assert "weights are random" in rows[gates.MODEL, "replace"]["notes"][0]
    assert rows[gates.TRUTH, "animate"]["figures"]["psnr"] > 100
    assert (
        rows[gates.TRUTH, "replace"]["figures"]["frechet"] < 1e-3 < rows[gates.MODEL, "replace"]["figures"]["frechet"]
    )
    told = (measured / "told.txt").read_text()
    assert "missed: psnr of the model, replace" in told and re.search(r"\d+ of \d+ gates are passed", told)


def test_the_table_and_the_page_show_the_same_and_the_sheets_are_there(measured: Path) -> None:
    table, page = (measured / "q.md").read_text(), (measured / "r.html").read_text()
    said = json.loads((measured / "r.json").read_text())
    psnr = next(r for r in said["rows"] if r["name"] == gates.MODEL and r["mode"] == "replace")["figures"]["psnr"]
    assert f"| {psnr:.1f} |" in table and f"<td>{psnr:.1f}</td>" in page
    assert "weights are random" in table and "**missed**" in table
    sheets = re.findall(r"!\[.*?\]\((.*?)\)", table)
    assert len(sheets) == 4
    for path in sheets:
        assert cv2.imread(str(measured / path)).shape[0] == 4 * 160
    assert page.count("<svg") > 12 and page.count("data:image/jpeg") == 4 * len({r["name"] for r in said["rows"]})
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_overlaps_and_plans_are_rendered_as_four_segments(tmp_path: Path) -> None:
    """Of the ablations those that are about joins, by the render verb."""
    (_, short) = held_out(world.Spec(32, 32, 5, portraits=1.0), [0], torch.device("cpu"))
    there_and_back = np.concatenate([np.arange(5), np.arange(3, 0, -1)])
    (long,) = [short.part(np.resize(there_and_back, suite.LONG))]  # type: ignore[arg-type]
    make, found = by_rendering(tmp_path, "cpu"), {}
    for trial in suite.ablations([], [long], make, replace(QUICK, steps=1), ()):
        if trial.cases:
            (found[trial.name],) = suite.run(trial, None)
    assert list(found) == [*gates.OVERLAP.values(), "official plan"]
    assert all(np.isfinite(result.figures["seam"]) for result in found.values())
    assert all(len(made.joins) == 3 for result in found.values() for _, made in result.shown)
    assert found["official plan"].shown[0][1].joins != found[gates.OVERLAP[5]].shown[0][1].joins


def test_a_take_is_measured_as_it_lies_and_against_a_truth(make_shot: Make, tmp_path: Path, judges: Path) -> None:
    take = rendered(make_shot(frames=9))
    (alone,) = json.loads(run(take, "--estimators", judges).stdout).values()
    assert alone["outside_count"] == 0 and alone["seam"] > 0 and alone["flicker"] > 0
    assert "psnr" not in alone
    (itself,) = json.loads(run(take, "--truth", take / "comp", "--html", tmp_path / "t.html").stdout).values()
    assert (itself["psnr"] > 100, itself["ssim"], itself["delta_e"]) == (True, pytest.approx(1), 0)
    assert "<td>1.000</td>" in (tmp_path / "t.html").read_text()
    spoiled = cv2.imread(str(take / "comp/1003.png"))
    spoiled[0, 0] += 9
    cv2.imwrite(str(take / "comp/1003.png"), spoiled)
    (found,) = json.loads(run(take).stdout).values()
    assert (found["outside_count"], found["outside_most"]) == (1, 9)


def test_estimators_that_are_not_installed_are_missed_in_a_sentence_and_the_rest_is_measured(
    make_shot: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "HOME", tmp_path / "nowhere")
    told = run(rendered(make_shot(frames=5)))
    assert "no estimators are installed" in told.stderr and "pose" not in told.stdout
    assert json.loads(told.stdout)


def test_the_estimators_that_are_installed_read_takes_of_the_small_model_only(
    make_shot: Make, judges: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "HOME", judges)
    monkeypatch.setattr(reading, "UNSURE", np.inf)
    take = rendered(make_shot(frames=5))
    (found,) = json.loads(run(take).stdout).values()
    assert found["pose"] > 0
    told = json.loads((take / "take.json").read_text())
    told["settings"]["model"] = "wan-animate-14b"
    (take / "take.json").write_text(json.dumps(told))
    (found,) = json.loads(run(take).stdout).values()
    assert "pose" not in found and found["flicker"] > 0


def rendered(export: Path) -> Path:
    steps = render(export, check=lambda: None)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return Path(end.value)


@pytest.mark.parametrize(("arguments", "sentence"), [
    ((), "nothing to measure"),
    (("nowhere",), "is no take"),
    (("--suite", "puppet", "--model", "nowhere"), "has no puppet.json"),
    (("--suite", "puppet", "--estimators", "nowhere"), "no estimator of the pose"),
    (("a", "b", "--truth", "t"), "one at a time"),
    (("--blind", "a"), "two different takes"),
    (("--votes", "v.json"), "give --key"),
])  # fmt: skip
def test_what_cannot_be_measured_is_refused_in_a_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        run(*arguments)


def test_the_truth_must_be_whole_and_of_the_takes_size(tmp_path: Path) -> None:
    take = rendered(write_export(tmp_path, frames=5))
    (tmp_path / "truth").mkdir()
    with pytest.raises(BadInput, match=r"1001\.png is not there"):
        run(take, "--truth", tmp_path / "truth")
    for n in range(1001, 1006):
        cv2.imwrite(str(tmp_path / f"truth/{n}.png"), np.zeros((4, 6, 3), np.uint8))
    with pytest.raises(BadInput, match="are 6×4, the take's 64×48"):
        run(take, "--truth", tmp_path / "truth")


def test_no_stranger_is_forgotten_with_an_estimator(judges: Path) -> None:
    read = networks.read(judges, Kind.IDENTITY, torch.device("cpu"))
    assert read.others.shape == (networks.OTHERS, 64)  # type: ignore[union-attr]
