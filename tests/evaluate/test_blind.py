"""Blind comparison: pages tell nothing, votes come back, shares have honest bounds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from typer.testing import CliRunner

from wan_animate_blender.wire import BadInput, Take
from wan_animate_server.cli import app
from wan_animate_server.evaluate.blind import preferences, study

from ..conftest import write_export
from .test_command import rendered


@pytest.fixture(scope="module")
def systems(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two folders with a take of each of two shots: the second system's are copies, told apart by a byte."""
    root = tmp_path_factory.mktemp("systems")
    take = rendered(write_export(root / "made", frames=5))
    for system in ("old", "new"):
        for shot in ("SH010", "SH020"):
            copy = shutil.copytree(take, root / system / shot / "takes" / "v001")
            said = Take.loads((copy / "take.json").read_bytes()).to_json() | {"shot": shot}
            (copy / "take.json").write_text(json.dumps(said))
            with (copy / "preview.mp4").open("ab") as movie:
                movie.write(b"\0\0\0\x0cfree" + system.encode() + b"\0")
    return [root / "old", root / "new"]


def votes(key: dict[str, Any], *picks: str) -> dict[str, Any]:
    return {"study": key["id"], "picks": list(picks)}


def test_the_page_tells_nothing_and_the_key_everything(systems: list[Path]) -> None:
    page, key = study(systems, seed=4)
    assert not any(str(path) in page for path in systems) and "SH010" not in page
    assert key["seed"] == 4 and sorted(pair["shot"] for pair in key["pairs"]) == ["SH010 replace", "SH020 replace"]
    assert all({pair["left"], pair["right"]} == {"old", "new"} for pair in key["pairs"])
    assert page.count("data:video/mp4;base64,") == 4


def test_order_and_sides_depend_on_the_seed_alone(systems: list[Path]) -> None:
    assert study(systems, 4) == study(systems, 4)
    orders = {json.dumps(study(systems, seed)[1]["pairs"]) for seed in range(12)}
    assert len(orders) > 4


def test_votes_come_to_a_share_with_wilsons_bounds() -> None:
    pairs = [{"shot": "s", "left": "a", "right": "b"}, {"shot": "t", "left": "b", "right": "a"}] * 5
    key = {"id": "x", "pairs": pairs}
    (found,) = preferences(key, [votes(key, *["left", "right"] * 4, "right", "same")])
    assert (found.one, found.other, found.votes, found.share) == ("a", "b", 10, pytest.approx(0.85))
    # Wilson's interval of 8.5 of 10, worked out by hand: (0.85 + 0.19207 ± 1.96·√(0.01275 + 0.0096)) / 1.38415
    assert (found.low, found.high) == (pytest.approx(0.541, abs=2e-3), pytest.approx(0.965, abs=2e-3))


def test_votes_of_another_study_are_refused() -> None:
    key = {"id": "x", "pairs": []}
    with pytest.raises(BadInput, match="of the study y"):
        preferences(key, [{"study": "y", "picks": []}])


def test_takes_of_different_shots_are_no_pair(systems: list[Path]) -> None:
    with pytest.raises(BadInput, match="no two of these"):
        study([systems[0] / "SH010", systems[1] / "SH020"], 0)


@pytest.fixture
def chooser(browser: Any, systems: list[Path], tmp_path: Path) -> Page:
    """The page as the command writes it, opened from disk."""
    path = tmp_path / "blind.html"
    done = CliRunner().invoke(app, ["eval", "--blind", *map(str, systems), "--html", str(path), "--seed", "4"])
    assert done.exit_code == 0, done.output
    page: Page = browser.new_context(accept_downloads=True).new_page()
    page.goto(path.as_uri())
    return page


def test_a_person_chooses_goes_back_and_saves(chooser: Page, tmp_path: Path) -> None:
    expect(chooser.locator("#count")).to_have_text("1 of 2")
    chooser.get_by_role("button", name="The left one").click()
    chooser.get_by_role("button", name="One back").click()
    chooser.get_by_role("button", name="The right one").click()
    chooser.reload()
    expect(chooser.locator("#count")).to_have_text("2 of 2")
    chooser.get_by_role("button", name="No difference").click()
    expect(chooser.locator("#count")).to_contain_text("all of them")
    with chooser.expect_download() as download:
        chooser.get_by_role("button", name="Save the votes").click()
    saved = tmp_path / "votes.json"
    download.value.save_as(saved)
    key = json.loads((tmp_path / "blind.key.json").read_text())
    assert json.loads(saved.read_text()) == votes(key, "right", "same")
    done = CliRunner().invoke(app, ["eval", "--votes", str(saved), "--key", str(tmp_path / "blind.key.json")])
    told = json.loads(done.stdout)
    assert told["votes"] == 2 and {told["one"], told["other"]} == {"old", "new"}
    chosen = key["pairs"][0]["right"]
    assert told["share"] == (0.75 if told["one"] == chosen else 0.25)
