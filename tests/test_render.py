"""The render: N frames in, N frames out, plate-exact where nothing is made, the same bits after any interruption."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import OpenEXR
import pytest

from wan_animate_blender.wire import (
    SHOT_FILE,
    BadInput,
    Interrupted,
    Mode,
    Shot,
    Take,
    TakeState,
    Unavailable,
    file_entry,
)
from wan_animate_server.colour import Space
from wan_animate_server.progress import Progress
from wan_animate_server.render import render
from wan_animate_server.segments import segment_seed
from wan_animate_server.shot import load
from wan_animate_server.video import movie_frames, read_picture, write_picture

from .conftest import HEIGHT, QUICK, WIDTH, Make, make_light, relist_files, write_export, write_shot

FRAMES, SEGMENTS = 13, 3


Rendered = tuple[Path, Take, list[Progress]]


def run(folder: Path, *, takes: Path | None = None, check: Callable[[], None] = lambda: None) -> Rendered:
    """Render to the end: the take's folder, the take, and everything that was told on the way."""
    told, steps = [], render(folder, takes=takes, check=check)
    while True:
        try:
            told.append(next(steps))
        except StopIteration as end:
            return end.value, Take.loads((end.value / "take.json").read_bytes()), told


def stop_after(calls: int) -> Callable[[], None]:
    """A check that interrupts at its `calls`-th call."""
    countdown = itertools.count(calls, -1)

    def check() -> None:
        if next(countdown) <= 0:
            raise Interrupted("enough")

    return check


def picture(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def pictures(take: Take) -> dict[str, str]:
    """SHA-256 of every frame of every layer."""
    return {path: take.files[path].sha256 for layer in take.layers for path in take.sequence(layer)}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """An undisturbed render in replace mode."""
    return run(write_export(tmp_path_factory.mktemp("undisturbed"), frames=FRAMES))


def test_every_frame_comes_back_in_every_layer(rendered: Rendered) -> None:
    folder, take, _ = rendered
    assert take.state is TakeState.COMPLETE
    assert (take.layers, take.width, take.height) == (("character", "matte", "comp"), WIDTH, HEIGHT)
    for layer, channels in (("character", 4), ("matte", 1), ("comp", 3)):
        assert take.sequence(layer) == [f"{layer}/{n}.png" for n in range(1001, 1001 + FRAMES)]
        for path in take.sequence(layer):
            image = picture(folder / path)
            assert image.shape[:2] == (HEIGHT, WIDTH)
            assert image.size == HEIGHT * WIDTH * channels


def test_the_plate_is_untouched_where_nothing_is_made_and_changed_where_something_is(rendered: Rendered) -> None:
    folder, take, _ = rendered
    changed = 0
    for n in range(take.first, take.last + 1):
        plate = picture(folder.parents[1] / f"e001/plate/{n}.png")
        comp, alpha = picture(folder / f"comp/{n}.png"), picture(folder / f"matte/{n}.png")
        assert np.array_equal(comp[alpha == 0], plate[alpha == 0])
        assert (alpha == 0).any()
        changed += int((comp != plate).any(axis=2).sum())
    assert changed > 0


def test_the_comp_is_the_character_over_the_plate(rendered: Rendered) -> None:
    folder, take, _ = rendered
    for n in range(take.first, take.last + 1):
        plate = picture(folder.parents[1] / f"e001/plate/{n}.png").astype(int)
        character, alpha = picture(folder / f"character/{n}.png"), picture(folder / f"matte/{n}.png").astype(int)
        assert np.array_equal(character[..., 3], alpha)
        over = plate * (255 - alpha[..., None]) + character[..., :3] * alpha[..., None]
        assert np.abs(picture(folder / f"comp/{n}.png") - over / 255).max() <= 0.5


def test_the_take_lists_exactly_the_files_that_are_there_with_their_pictures(rendered: Rendered) -> None:
    folder, take, _ = rendered
    there = {p.relative_to(folder).as_posix(): file_entry(p) for p in folder.rglob("*") if p.is_file()}
    del there["take.json"]
    assert there == take.files


def test_the_take_says_what_is_needed_to_render_it_again(rendered: Rendered) -> None:
    folder, take, _ = rendered
    shot = Shot.loads((folder.parents[1] / "e001" / SHOT_FILE).read_bytes())
    assert (take.export, take.settings, take.strip, take.fps) == (shot.hash, shot.settings, shot.strip, shot.fps)
    assert [s.seed for s in take.segments] == [segment_seed(QUICK.seed, i) for i in range(SEGMENTS)]
    assert take.models
    assert take.versions.keys() >= {"torch", "wan-animate"}
    assert take.device.startswith("cpu")
    assert take.seconds.keys() >= {"checking", "loading", "conditioning", "denoising", "decoding", "writing"}


def test_the_segments_deliver_every_frame_once(rendered: Rendered) -> None:
    _, take, _ = rendered
    delivered = [n for s in take.segments for n in range(s.first, s.last + 1)]
    assert delivered == list(range(take.first, take.last + 1))
    assert len({s.key for s in take.segments}) == SEGMENTS


def test_the_preview_shows_every_frame_at_the_shots_speed(rendered: Rendered) -> None:
    folder, take, _ = rendered
    with av.open(folder / "preview.mp4") as movie:
        stream = movie.streams.video[0]
        assert stream.average_rate == take.fps
        assert len(list(movie.decode(stream))) == FRAMES


def test_progress_only_grows_and_ends_at_one(rendered: Rendered) -> None:
    _, _, told = rendered
    amounts = [now.progress for now in told]
    assert amounts == sorted(amounts)
    assert (amounts[0], amounts[-1]) == (0.0, 1.0)
    assert [now.frames for now in told if now.stage == "done"] == [FRAMES]
    assert max(now.segment for now in told) == SEGMENTS


def test_the_time_that_is_left_is_told_from_the_first_step_on(rendered: Rendered) -> None:
    _, _, told = rendered
    first = next(i for i, now in enumerate(told) if now.step == 1)
    assert all(now.seconds_left is None for now in told[:first])
    assert all(now.seconds_left is not None and now.seconds_left >= 0 for now in told[first:-1])
    assert told[first].preview is not None


def test_animate_mode_makes_opaque_frames_and_nothing_else(make_shot: Make) -> None:
    folder, take, _ = run(make_shot(frames=5, mode=Mode.ANIMATE))
    assert (take.layers, take.state) == (("generated",), TakeState.COMPLETE)
    assert (take.width % 16, take.height % 16) == (0, 0)
    assert take.height > take.width, "the character picture is upright"
    for n in range(1001, 1006):
        assert picture(folder / f"generated/{n}.png").shape == (take.height, take.width, 3)
    assert {path.split("/")[0] for path in take.files} == {"generated", "preview.mp4", "report.html", "report.json"}


def test_a_second_render_is_the_next_version_and_computes_nothing_again(rendered: Rendered) -> None:
    folder, take, _ = rendered
    again, other, _ = run(folder.parents[1] / "e001")
    assert (again.name, other.version) == ("v002", 2)
    assert pictures(other) == pictures(take)
    assert "denoising" not in other.seconds


def test_an_interrupted_take_is_partial_and_the_next_one_has_the_same_bits(rendered: Rendered, make_shot: Make) -> None:
    folder = make_shot(frames=FRAMES)
    checks = itertools.count()
    with pytest.raises(Interrupted):
        run(folder, check=_stop_in_segment(folder, 1, checks))
    partial = Take.loads((folder.parent / "takes/v001/take.json").read_bytes())
    assert partial.state is TakeState.PARTIAL
    assert len(partial.segments) == 1
    for path, entry in partial.files.items():
        assert file_entry(folder.parent / "takes/v001" / path) == entry
    _, take, _ = run(folder)
    assert pictures(take) == pictures(rendered[1])


def _stop_in_segment(folder: Path, segment: int, checks: itertools.count[int]) -> Callable[[], None]:
    """Interrupts some checks after `segment` segments were stored."""

    def check() -> None:
        if len(list((folder.parent / "segments").glob("[0-9a-f]*"))) >= segment and next(checks) > 30:
            raise Interrupted("enough")

    return check


def test_an_interruption_before_the_first_frame_leaves_a_partial_take(make_shot: Make) -> None:
    folder = make_shot(frames=5)
    with pytest.raises(Interrupted):
        run(folder, check=stop_after(4))
    take = Take.loads((folder.parent / "takes/v001/take.json").read_bytes())
    assert (take.state, take.files) == (TakeState.PARTIAL, {})
    assert not list((folder.parent / "takes/v001").rglob("*.part"))


def test_bad_input_leaves_no_take_behind(make_shot: Make) -> None:
    folder = make_shot(frames=5)
    (folder / "plate/1003.png").unlink()
    with pytest.raises(BadInput, match="1003"):
        run(folder)
    assert not (folder.parent / "takes").exists()


def test_an_unknown_model_leaves_no_take_behind(make_shot: Make) -> None:
    folder = make_shot(frames=5, settings=replace(QUICK, model="nobody"))
    with pytest.raises(Unavailable, match="nobody"):
        run(folder)
    assert not (folder.parent / "takes").exists()


def test_takes_that_cannot_be_written_are_one_sentence(make_shot: Make, tmp_path: Path) -> None:
    folder = make_shot(frames=5)
    (tmp_path / "file").touch()
    for takes in (tmp_path / "file", tmp_path / "file" / "takes"):
        with pytest.raises(BadInput, match="choose a folder that you may write to"):
            run(folder, takes=takes)


# --- scene-linear plates --------------------------------------------------------------------------


def stored(path: Path) -> np.ndarray:
    """All channels of an EXR file, [H, W, channels]."""
    channels = OpenEXR.File(str(path), separate_channels=True).channels()
    return np.stack([channels[name].pixels for name in "RGBAY" if name in channels], 2)


@pytest.fixture(scope="module", params=[np.float16, np.float32], ids=["half", "float"])
def lit(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """A render over a scene-linear plate with a lamp, and with numbers that are no colours."""
    return run(make_light(write_export(tmp_path_factory.mktemp("lit")), "ACEScg", request.param))


def test_a_linear_plate_comes_back_as_exr_of_its_own_type_bit_for_bit_where_nothing_is_made(lit: Rendered) -> None:
    folder, take, _ = lit
    assert take.state is TakeState.COMPLETE
    for n in range(take.first, take.last + 1):
        plate = stored(folder.parents[1] / f"e001/plate/{n}.exr")
        comp, alpha = stored(folder / f"comp/{n}.exr"), stored(folder / f"matte/{n}.exr")[..., 0]
        assert comp.dtype == plate.dtype
        assert comp[alpha == 0].tobytes() == plate[alpha == 0].tobytes()
        assert (alpha == 0).any() and (alpha == 1).any()
        assert (comp[alpha == 1] != plate[alpha == 1]).all(axis=1).mean() > 0.9
        assert comp[alpha == 1].max() <= 1.01, "the character has no light above white"
    assert {Path(path).suffix for path in take.files} == {".exr", ".mp4", ".html", ".json"}


def test_the_layers_over_a_linear_plate_belong_together(lit: Rendered) -> None:
    folder, take, _ = lit
    for n in range(take.first, take.last + 1):
        character, matte = stored(folder / f"character/{n}.exr"), stored(folder / f"matte/{n}.exr")
        assert (character.dtype, character.shape[2], matte.shape[2]) == (np.float16, 4, 1)
        assert np.array_equal(character[..., 3:], matte)
        assert (character[..., :3] <= character[..., 3:] * 1.01).all(), "premultiplied"


def test_each_frame_over_a_linear_plate_says_what_it_is(lit: Rendered) -> None:
    folder, take, _ = lit
    for record in take.segments:
        for n in range(record.first, record.last + 1):
            said = OpenEXR.File(str(folder / f"comp/{n}.exr"), header_only=True).header()
            assert (said["framesPerSecond"], said["imageCounter"]) == (take.fps, n)
            assert (said["colorInteropID"], said["wanAnimate.colorSpace"]) == ("lin_ap1_scene", "ACEScg")
            assert (said["wanAnimate.shot"], said["wanAnimate.recipe"]) == ("SH010", take.recipe)
            assert said["wanAnimate.seed"] == str(record.seed)
            assert said["wanAnimate.models"].splitlines() == [
                f"{sha256}  {name}" for name, sha256 in take.models.items()
            ]
            assert said["software"] == f"wan-animate {take.versions['wan-animate']}"
    said = OpenEXR.File(str(folder / "matte/1001.exr"), header_only=True).header()
    assert (said["colorInteropID"], said["wanAnimate.layer"]) == ("data", "matte")


def test_the_take_says_what_of_a_linear_plate_was_clipped(lit: Rendered) -> None:
    said = " ".join(lit[1].notes)
    assert "% of the plate's samples inside the region are brighter than what the model sees" in said
    assert "the LoRA relight changes" in said, "what the model has to say stays"


def test_the_preview_of_a_linear_take_is_what_a_person_sees(lit: Rendered) -> None:
    folder, take, _ = lit
    frames = list(movie_frames(folder / "preview.mp4"))
    assert len(frames) == len(take.sequence("comp"))
    loaded = load(folder.parents[1] / "e001")
    comp = loaded.seen(read_picture(folder / "comp/1003.exr"))
    softly = [cv2.blur(frame, (9, 9)).astype(int) for frame in (frames[2], comp)]
    assert np.abs(softly[0] - softly[1]).mean() < 4, "H.264 of noise"
    assert (comp[1:8, :10] > 200).mean() > 0.9, "the lamp is white"


def test_a_linear_plate_gives_the_character_of_its_display_encoded_twin(tmp_path: Path) -> None:
    """The same plate, once as PNG and once as light, is the same to the model: and so is what it makes."""
    folder, twin = (write_export(tmp_path / name, frames=5) for name in ("png", "exr"))
    plain, _, _ = run(folder)
    make_light(twin)
    for file in sorted((twin / "plate").glob("*.exr")):
        light = Space.named("Linear Rec.709").light(read_picture(folder / f"plate/{file.stem}.png") / 255)
        write_picture(file, light.astype(np.float16))
    relist_files(twin)
    lit, take, _ = run(twin)
    for n in range(take.first, take.last + 1):
        straight, light = read_rgba(plain / f"character/{n}.png"), stored(lit / f"character/{n}.exr")
        whole = light[..., 3] == 1
        assert np.array_equal(whole, straight[..., 3] == 255)
        seen = Space.named("Linear Rec.709").seen(light[whole][:, :3])
        assert np.abs(seen.astype(int) - straight[whole][:, :3]).max() <= 1
    assert take.notes == run(folder)[1].notes, "nothing was clipped"


def read_rgba(path: Path) -> np.ndarray:
    return cv2.cvtColor(picture(path), cv2.COLOR_BGRA2RGBA)


def test_a_character_on_its_own_background_is_display_encoded_whatever_the_plate_is(tmp_path: Path) -> None:
    folder, take, _ = run(make_light(write_export(tmp_path, frames=5, mode=Mode.ANIMATE)))
    assert take.sequence("generated") == [f"generated/{n}.png" for n in range(1001, 1006)]
    assert picture(folder / "generated/1001.png").dtype == np.uint8
    assert not [note for note in take.notes if "plate" in note]


def test_another_space_of_the_same_numbers_is_another_segment(tmp_path: Path) -> None:
    folder = make_light(write_export(tmp_path, frames=5), "Linear Rec.709")
    first = run(folder)[1]
    shot = Shot.loads((folder / SHOT_FILE).read_bytes())
    write_shot(folder, replace(shot, colour=replace(shot.colour, working_space="ACEScg")))
    assert not {s.key for s in first.segments} & {s.key for s in run(folder)[1].segments}


def test_a_linear_take_that_was_interrupted_goes_on_to_the_same_bits_and_notes(lit: Rendered, tmp_path: Path) -> None:
    kind = stored(lit[0] / "comp/1001.exr").dtype.type
    folder = make_light(write_export(tmp_path), "ACEScg", kind)
    with pytest.raises(Interrupted):
        run(folder, check=stop_after(30))
    there, take, _ = run(folder)
    for path in (path for layer in take.layers for path in take.sequence(layer)):
        assert stored(there / path).tobytes() == stored(lit[0] / path).tobytes()
    assert take.sequence("comp") == lit[1].sequence("comp")
    assert take.notes == lit[1].notes
