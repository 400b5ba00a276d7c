"""The pose error is what lies between the skeleton that was exported and the person that the take's pictures show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser

from wan_animate_blender.wire import POSE_FILE, Interrupted, sha256_file
from wan_animate_server.evaluate import estimators
from wan_animate_server.evaluate.estimators import Kind
from wan_animate_server.evaluate.reading import Pose
from wan_animate_server.report import files, pose
from wan_animate_server.report.curve import curve
from wan_animate_server.report.facts import Report
from wan_animate_server.report.pose import Estimator, PoseError
from wan_animate_server.shot import load

from ..browsing import watching
from ..conftest import HEIGHT, WIDTH, Make, relist_files, write_export
from .conftest import Reported, rendered
from .seeing import OWN_ERROR, light_finder

LIGHTS = [(20, 15), (24, 21), (28, 24), (32, 21), (36, 15)]
"""The middle of the only light of each frame, where four of the estimator's cells meet."""

SHIFTS = [(0, 0), (3, 4), (0, 0), (-6, 8), (0, 2)]
"""How far from it the skeleton has the head."""

SOMEBODY = Estimator(name="pose", sha256="0" * 64, error=None)


def skeleton(places: list[tuple[float, float]]) -> np.ndarray:
    """A person 220 pixels tall of whom only the head is in the picture, all of it at one of `places` in each frame."""
    points = np.zeros((len(places), 133, 3), np.float32)
    for rows, down in (((5, 6), 50), ((11, 12), 100), ((13, 14), 150), ((15, 16), 200)):
        points[:, rows, 1] = down
    points[:, :, :2] += np.float32(places)[:, None]
    points[:, :5, 2] = 1
    return points


def moved(export: Path, shifts: list[tuple[int, int]]) -> None:
    places = [(x + a, y + b) for (x, y), (a, b) in zip(LIGHTS, shifts, strict=True)]
    np.savez(export / POSE_FILE, keypoints=skeleton(places), face_box=np.full((len(places), 4), np.nan, np.float32))
    relist_files(export)


def light(take: Path, layer: str = "comp") -> None:
    """Instead of what the model has made, one light in each frame."""
    for number, (x, y) in enumerate(LIGHTS, start=1001):
        picture = np.full((HEIGHT, WIDTH, 3), 20, np.uint8)
        picture[y - 3 : y + 3, x - 4 : x + 4] = 255
        assert cv2.imwrite(str(take / layer / f"{number}.png"), picture)


@pytest.fixture
def finder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The estimator that comes with the program, for this test."""
    monkeypatch.setattr(estimators, "HOME", light_finder(tmp_path / "estimators"))
    return estimators.HOME


@pytest.fixture(scope="module")
def lit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reported]:
    """A take in which the person is a light, that was asked for elsewhere, and the report of it."""
    root = tmp_path_factory.mktemp("lit")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(estimators, "HOME", light_finder(root / "estimators"))
        export = write_export(root, len(LIGHTS))
        moved(export, SHIFTS)
        made = rendered(export)
        light(made.folder)
        page, report = files.write_beside(made.folder)
        yield replace(made, folder=page.parent, report=report)


def test_a_skeleton_so_many_pixels_away_is_an_error_of_so_many_pixels(lit: Reported) -> None:
    found, wanted = lit.report.pose_error, np.hypot(*np.transpose(SHIFTS))
    assert found is not None
    assert np.asarray(found.frames, float) == pytest.approx(wanted, abs=0.05)
    assert found.pixels == pytest.approx(wanted.mean(), abs=0.05)
    assert found.height == pytest.approx(220, abs=0.01)
    assert found.height_share == pytest.approx(found.pixels / 220)
    assert found.worst == (1004, 1002, 1005)
    assert (found.judged, found.asked) == (25, 25)
    assert "pose_error" not in lit.report.unmeasured


def test_it_says_who_read_the_poses_and_how_well_he_does(lit: Reported) -> None:
    assert lit.report.pose_error is not None
    told = lit.report.pose_error.estimator
    assert told.sha256 == sha256_file(estimators.path_of(estimators.HOME, Kind.POSE))
    assert told.error == OWN_ERROR, "as the card says last"
    assert "pose" in told.name


def test_the_page_shows_the_curve_and_names_the_worst_frames(browser: Browser, lit: Reported) -> None:
    page_file = lit.folder / "v001_report.html"
    assert lit.report.pose_error is not None
    with watching(browser, page_file.as_uri()) as context:
        page = context.new_page()
        page.goto(page_file.as_uri())
        assert page.locator("#pose-error").inner_text().startswith(f"{lit.report.pose_error.pixels:.2f} pixels")
        assert "1.25%" in page.locator("#pose-error").inner_text()
        rows = [row.inner_text().split()[:2] for row in page.locator("#poses tbody tr").all()]
        frames = lit.report.pose_error.frames
        assert rows == [[str(n), f"{frames[n - 1001]:.2f}"] for n in (1004, 1002, 1005)]
        room, line = page.locator("#pose").bounding_box(), page.locator("#pose path.line").bounding_box()
        assert room and line
        assert line["width"] == pytest.approx(0.8 * room["width"], rel=0.05), (
            "from the first frame's middle to the last's"
        )
        assert room["y"] < line["y"] and line["y"] + line["height"] < room["y"] + room["height"]


def test_a_render_measures_it_itself(finder: Path, make_shot: Make) -> None:
    export = make_shot(frames=5)
    moved(export, SHIFTS)
    made = rendered(export)
    assert made.report.pose_error is not None or "sure of no keypoint" in made.report.unmeasured["pose_error"]
    light(made.folder)
    measured = pose.measure(made.folder, made.take, load(export), lambda: None)
    assert isinstance(measured, PoseError) and measured.worst[0] == 1004


def test_in_animate_mode_the_plate_lies_in_the_middle_of_the_take(finder: Path, make_shot: Make) -> None:
    shot = load(make_shot(frames=1))
    keypoints = pose.asked(shot, HEIGHT, WIDTH)
    assert keypoints[..., 0] == pytest.approx(shot.keypoints[..., 0] * 0.75)
    assert keypoints[..., 1] == pytest.approx(shot.keypoints[..., 1] * 0.75 + 14)
    assert np.array_equal(pose.asked(shot, WIDTH, HEIGHT), shot.keypoints)


def test_without_an_estimator_the_report_says_so(
    make_shot: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimators, "HOME", tmp_path)
    made = rendered(make_shot(frames=5))
    assert made.report.pose_error is None
    assert made.report.unmeasured["pose_error"] == "no estimator of poses is installed"
    assert "no estimator of poses is installed" in made.page.read_text(encoding="utf-8")


def test_an_estimator_that_is_damaged_costs_no_take(finder: Path, make_shot: Make) -> None:
    path = estimators.path_of(finder, Kind.POSE)
    path.write_bytes(path.read_bytes()[:1000])
    made = rendered(make_shot(frames=5))
    assert made.take.state == "complete"
    assert made.report.unmeasured["pose_error"].startswith("the estimator of poses cannot be used")


@pytest.mark.parametrize("said", ['{"pose": {"channels": 16, "size": 64}}', '{"pose": {"depth": 3}}', "{", "{}"])
def test_one_whose_size_is_not_told_rightly_costs_no_take_either(finder: Path, lit: Reported, said: str) -> None:
    (finder / estimators.SIZES).write_text(said, encoding="utf-8")
    told = pose.measure(lit.folder / "v001", lit.take, load(lit.export), lambda: None)
    assert isinstance(told, str) and told.startswith("the estimator of poses cannot be used")


def test_of_people_that_the_estimator_does_not_know_nothing_is_said(finder: Path, lit: Reported) -> None:
    real = replace(lit.take, settings=replace(lit.take.settings, model="wan-animate-14b"))
    said = pose.measure(lit.folder / "v001", real, load(lit.export), lambda: None)
    assert isinstance(said, str) and "wan-animate-14b" in said


def test_the_reading_can_be_stopped(finder: Path, lit: Reported) -> None:
    def enough() -> None:
        raise Interrupted("enough")

    with pytest.raises(Interrupted):
        pose.measure(lit.folder / "v001", lit.take, load(lit.export), enough)


def test_only_what_the_estimator_is_sure_of_is_judged() -> None:
    keypoints = skeleton([(10, 10)] * 3)
    found = Pose(keypoints[..., :2] + np.float32([3, 4]), np.zeros((3, 133), np.float32))
    found.points[0, 0] += 100
    found.spread[0, 0] = 7  # pixels; 3 % of the height are 6.6
    found.spread[2] = 7
    error = pose.compare(found, keypoints, 1001, SOMEBODY)
    assert isinstance(error, PoseError)
    assert error.frames == pytest.approx((5, 5, None))
    assert (error.pixels, error.judged, error.asked) == (pytest.approx(5), 9, 15)
    assert set(error.worst) == {1001, 1002}
    found.spread[:] = 7
    assert pose.compare(found, keypoints, 1001, SOMEBODY) == (
        "the estimator of poses is sure of no keypoint that was asked for"
    )


def test_somebody_behind_the_camera_for_a_while_is_judged_elsewhere() -> None:
    keypoints = skeleton([(10, 10)] * 2)
    keypoints[1] = np.nan, np.nan, 0
    found = Pose(np.full((2, 133, 2), 10, np.float32), np.zeros((2, 133), np.float32))
    error = pose.compare(found, keypoints, 1001, SOMEBODY)
    assert isinstance(error, PoseError)
    assert error.frames == (0.0, None) and error.height == pytest.approx(220)


def test_a_report_of_an_earlier_version_is_still_read(lit: Reported) -> None:
    assert Report.loads(replace(lit.report, pose_error=None).dumps().encode()).pose_error is None
    assert Report.loads(lit.report.dumps().encode()) == lit.report


def test_a_curve_has_gaps_where_nothing_is_known_and_a_dot_for_a_frame_alone() -> None:
    line = curve([2, None, 4, 1], across=3)
    assert line.path == "M125.0 50.0h0M625.0 0.0h0L875.0 75.0"
    assert (line.top, line.across) == (4, 25)
    assert curve([None, None], None).path == ""
    assert curve([0, 0], None).path == "M250.0 100.0h0L750.0 100.0"
