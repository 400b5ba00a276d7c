"""What a report says is what is there: measured on the files, found again when they change, and in no way of a take."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from wan_animate_blender.wire import (
    REPORT_FILE,
    SHOT_FILE,
    BadInput,
    ExitCode,
    Grain,
    Interrupted,
    Mode,
    Provenance,
    Shot,
    file_entry,
)
from wan_animate_server.evaluate.contest import lent
from wan_animate_server.library import manifests
from wan_animate_server.report import belonging, files, paper, plate
from wan_animate_server.report.facts import Report
from wan_animate_server.report.pictures import _jpeg
from wan_animate_server.report.plate import PlateError, error

from ..conftest import HEIGHT, WIDTH, Make, command, make_light, relist_files, write_shot
from ..trained import untrained
from .conftest import FRAMES, GIVEN, Reported, rendered

EYE = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def stored(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def asked(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command("report", *words), capture_output=True, text=True, check=False)


@pytest.fixture
def copied(reported: Reported, tmp_path: Path) -> Path:
    """The folder of the same take, free to be damaged."""
    shutil.copytree(reported.export.parent, tmp_path / "SH010")
    return tmp_path / "SH010/takes" / reported.folder.name


def test_a_take_lists_its_report_so_that_it_is_fetched_with_it(reported: Reported) -> None:
    for name in (REPORT_FILE, files.JSON_FILE):
        assert reported.take.files[name] == file_entry(reported.folder / name)
    assert reported.page.stat().st_size < 3_000_000
    said = replace(reported.report.take, files=reported.take.files)
    assert said == reported.take, "the report has all that take.json says but the report's own files"


def test_the_plate_error_is_that_of_every_sample_of_every_frame_outside_the_character(reported: Reported) -> None:
    samples = 0
    for number in range(1001, 1001 + FRAMES):
        plate, comp = (stored(f / f"{number}.png") for f in (reported.export / "plate", reported.folder / "comp"))
        outside = stored(reported.folder / f"matte/{number}.png") == 0
        assert np.array_equal(plate[outside], comp[outside])
        samples += 3 * int(outside.sum())
    assert reported.report.plate_error == PlateError(frames=FRAMES, samples=samples)
    assert reported.report.wrongs() == ()


def test_frames_that_a_retake_kept_are_counted_too(retaken: Reported, reported: Reported) -> None:
    assert retaken.report.plate_error == reported.report.plate_error
    assert shlex.split(retaken.report.command)[2:] == [
        "EXPORT",
        "--retake",
        "1006-1009",
        "--seed",
        "3",
        "--base",
        "v001",
    ]
    assert "1006 to 1009 were made anew" in " ".join(retaken.page.read_text(encoding="utf-8").split())


def test_one_changed_pixel_outside_the_character_is_found(copied: Path) -> None:
    comp = stored(copied / "comp/1004.png")
    assert stored(copied / "matte/1004.png")[0, 63] == 0
    comp[0, 63, 1] += 7
    cv2.imwrite(str(copied / "comp/1004.png"), comp)
    before = {path: path.read_bytes() for path in copied.iterdir() if path.is_file()}
    done = asked(copied)
    assert done.returncode == ExitCode.BAD_INPUT
    assert "1 samples of comp are not the plate's" in done.stderr and "frame 1004 first, by up to 7;" in done.stderr
    said = Report.loads((copied.parent / "v001_report.json").read_bytes())
    assert said.plate_error is not None and (said.plate_error.different, said.plate_error.largest) == (1, 7.0)
    assert (said.plate_error.first, said.changed) == (1004, ("comp/1004.png",))
    assert {path: path.read_bytes() for path in copied.iterdir() if path.is_file()} == before, "takes are not rewritten"


def test_a_changed_or_lost_file_is_found_though_the_plate_is_untouched(copied: Path) -> None:
    character = stored(copied / "character/1002.png")
    cv2.imwrite(str(copied / "character/1002.png"), character, [cv2.IMWRITE_PNG_COMPRESSION, 0])
    (copied / "preview.mp4").unlink()
    _, report = files.write_beside(copied)
    assert report.changed == ("character/1002.png", "preview.mp4")
    assert "2 files are not as the take lists them" in report.wrongs()[0]


def test_an_export_is_asked_for_where_it_is_not_beside_the_take(copied: Path, tmp_path: Path) -> None:
    (copied.parents[1] / "e001").rename(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match="--shot"):
        files.write_beside(copied)
    done = asked(copied, "--shot", tmp_path / "elsewhere")
    assert (done.returncode, done.stderr) == (0, "")
    assert Path(done.stdout.strip()) == copied.parent / "v001_report.html"


def test_a_take_of_another_export_is_refused(copied: Path, make_shot: Make) -> None:
    other = make_shot(frames=5, root=copied.parents[2] / "other")
    with pytest.raises(BadInput, match="was not rendered from"):
        files.write_beside(copied, other)


def test_it_says_who_by_whose_leave_when_and_with_what(reported: Reported) -> None:
    report, take = reported.report, reported.take
    assert take.provenance == GIVEN
    assert 0 < take.finished <= report.written
    assert {model.name: model.sha256 for model in report.models} == take.models
    (licence,) = {file.licence for file in manifests()["puppet"].files}
    assert {model.licence for model in report.models} == {licence}
    assert report.inputs == Shot.loads((reported.export / SHOT_FILE).read_bytes()).files
    assert report.recipe == take.recipe


def test_what_is_not_measured_is_said_not_guessed(reported: Reported) -> None:
    assert reported.take.peak_memory is None and "peak_memory" in reported.report.unmeasured


def test_a_name_or_consent_changes_neither_hash_nor_recipe(reported: Reported) -> None:
    shot = Shot.loads((reported.export / SHOT_FILE).read_bytes())
    other = replace(shot, provenance=Provenance(by="somebody else"))
    assert other.hash == shot.hash == reported.take.export
    assert replace(reported.take, provenance=other.provenance).recipe == reported.take.recipe
    assert replace(shot, cut_in=1002).hash != shot.hash


def test_the_command_names_settings_that_the_export_does_not_have(make_shot: Make) -> None:
    made = rendered(make_shot(frames=5), overrides=("steps=1", "finish.seams=0.5"))
    words = shlex.split(made.report.command)
    assert words == ["wan-animate", "render", "EXPORT", "--set", "steps=1", "--set", "finish.seams=0.5"]
    again = rendered(made.export, overrides=words[4::2])
    assert again.take.recipe == made.take.recipe
    assert files.write_beside(made.folder)[1].wrongs() == (), "its export is found, though it has other settings"


def test_a_scene_linear_take_says_how_much_was_clipped_in_numbers(make_shot: Make) -> None:
    made = rendered(make_light(make_shot(frames=5)))
    clipped = made.report.take.clipped
    assert 0 < clipped.above < clipped.samples
    assert clipped.notes()[0] in made.take.notes
    assert made.report.plate_error is not None and made.report.plate_error.different == 0
    assert "clipped" not in made.report.unmeasured
    assert files.write_beside(made.folder)[1].wrongs() == ()


def test_animate_mode_has_no_plate_to_touch(make_shot: Make) -> None:
    made = rendered(make_shot(frames=5, mode=Mode.ANIMATE))
    assert made.report.plate_error is None and "plate_error" in made.report.unmeasured
    assert 'id="wipe"' not in made.page.read_text(encoding="utf-8")


def test_a_report_that_cannot_be_written_costs_no_take(make_shot: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    export = make_shot(frames=5)
    monkeypatch.setattr(files, "write_atomically", full)
    with pytest.raises(FileNotFoundError):  # this test's own look at the report
        rendered(export)
    take = json.loads((export.parent / "takes/v001/take.json").read_text(encoding="utf-8"))
    assert take["state"] == "complete" and "report.html" not in take["files"]
    assert any("there is no report" in note and "No space left" in note for note in take["notes"])


def test_a_render_can_be_stopped_in_its_report_and_goes_on(make_shot: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    export = make_shot(frames=5)
    with monkeypatch.context() as patch:
        patch.setattr(plate, "measure", lambda *_: (_ for _ in ()).throw(Interrupted("enough")))
        with pytest.raises(Interrupted):
            rendered(export)
    partial = json.loads((export.parent / "takes/v001/take.json").read_text(encoding="utf-8"))
    assert partial["state"] == "partial"
    assert rendered(export).folder.name == "v001"


@given(st.data())
def test_the_error_of_samples_is_that_of_their_bits(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from((np.uint8, np.uint16, np.float16, np.float32)))
    shape = (data.draw(st.integers(1, 6)), 3)
    one, two = (data.draw(arrays.arrays(kind, shape)) for _ in "ab")
    pairs = [(a, b) for a, b in zip(one.ravel(), two.ravel(), strict=True) if a.tobytes() != b.tobytes()]
    found = error(one, two, 1007)
    assert (found.samples, found.different) == (one.size, len(pairs))
    assert (found.first is None) == (not pairs)
    gaps = [abs(float(a) - float(b)) for a, b in pairs]
    if all(map(np.isfinite, gaps)):
        assert found.largest == max(gaps, default=0.0)
    else:
        assert found.largest == np.finfo(np.float64).max


def test_pictures_keep_to_their_bytes_as_well_as_they_can() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (540, 960, 3), np.uint8)
    assert len(_jpeg(noise, 240_000)) <= 240_000
    smooth = np.full((540, 960, 3), 90, np.uint8)
    assert _jpeg(smooth, 240_000) == cv2.imencode(".jpg", smooth, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def test_the_policy_allows_the_very_script_and_style_and_nothing_else() -> None:
    policy = paper.policy("a {}", "1;")
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy


def test_exports_of_other_versions_are_passed_over(copied: Path) -> None:
    (copied.parents[1] / "e002").mkdir()
    third = copied.parents[1] / "e003"
    shutil.copytree(copied.parents[1] / "e001", third)
    shot = Shot.loads((third / SHOT_FILE).read_bytes())
    write_shot(third, replace(shot, cut_in=1003))
    assert files.write_beside(copied)[1].wrongs() == ()


def test_what_makes_a_character_belong_is_a_table_of_the_report(make_shot: Make) -> None:
    export = make_shot(frames=5)
    for layer, picture in (("cleanplate", np.full((HEIGHT, WIDTH, 3), 90)), ("effects", np.full((HEIGHT, WIDTH), 255))):
        shutil.copytree(export / "plate", export / layer)
        for path in (export / layer).iterdir():
            cv2.imwrite(str(path), picture.astype(np.uint8))
    relist_files(export)
    made = rendered(export, overrides=["finish.alpha=difference", "finish.grain=0.5", "finish.effects=0.75"])
    found = made.take.belonging
    assert found is not None
    assert made.report.take.belonging == found, "report.json has the very same"
    table = {row.what: row for row in belonging.rows(made.take)}
    assert list(table) == ["Grain, σ of red, green, blue", "Softness of edges", "Key", "Shadow and reflection"]
    least, most = (f"{light:.2f}" for light in found.effects)
    assert table["Shadow and reflection"].plate == f"{least} to {most} times the clean plate's light"
    assert table["Shadow and reflection"].delivered == "75% kept"
    unknown = belonging.rows(replace(made.take, belonging=replace(found, grain=None)))[0]
    assert (unknown.plate, unknown.delivered) == ("not measured", "none")
    known = Grain(levels=((0.5,),) * 3, noise=((0.02,),) * 3, across=((0.0,),) * 3, down=((0.0,),) * 3, between=EYE)
    grained = replace(made.take, belonging=replace(found, grain=known))
    assert belonging.rows(grained)[0].delivered == "50% of what is lacking is added"
    assert belonging.rows(grained)[0].plate == "0.0200, 0.0200, 0.0200"
    page = made.page.read_text(encoding="utf-8")
    assert all(said in page for said in ('id="belonging"', "75% kept", f"{least} to {most} times"))
    assert belonging.rows(replace(made.take, belonging=None)) == []


def test_with_a_clean_plate_the_comp_is_held_to_what_it_lies_over(make_shot: Make, tmp_path: Path) -> None:
    export = make_shot(frames=5)
    shutil.copytree(export / "plate", export / "cleanplate")
    for path in (export / "cleanplate").iterdir():
        cv2.imwrite(str(path), np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    relist_files(export)
    with lent(untrained(tmp_path / "puppet")):  # its noise differs from the plate here and there
        made = rendered(export, overrides=["finish.alpha=difference"])
    assert made.report.plate_error is not None
    assert (made.report.plate_error.frames, made.report.plate_error.different) == (5, 0)
    alpha, comp = stored(made.folder / "matte/1003.png"), stored(made.folder / "comp/1003.png")
    shows_clean = (alpha == 0) & (comp == 90).all(axis=2)
    assert shows_clean.any(), "the clean plate shows inside the region"
