"""Files of a take as the server writes them, in every format: Blender reads them, and its Alpha Over is the comp."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from footage import light, noise, read_numbers, read_png
from takes import Paint, enable_addon, finished, soft

from wan_animate_blender import comp, identity, nuke, timeline
from wan_animate_blender.take import Options, import_take
from wan_animate_blender.wire import (
    TAKE_FILE,
    Colour,
    Encoding,
    Extra,
    Format,
    Take,
)  # fmt: skip

FIRST, END = 12, 16
EXTRAS = tuple(extra for extra in Extra if extra is not Extra.EFFECTS)  # which needs a matte


@pytest.fixture(autouse=True)
def addon(fresh: None) -> None:
    enable_addon()


def deep(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 65536, (48, 80, 3), dtype=np.uint16)


def marked(film: Callable[..., Any], paint: Paint) -> Any:
    """A plate of 12 frames from frame 10, of which the edit shows 12 to 15."""
    strip = film("plate", paint)
    timeline.set_frame_range(strip, FIRST, END)
    identity.mark(bpy.context.scene, strip)
    return strip


def shown(scene: Any, frame: int, folder: Path, depth: str) -> np.ndarray:
    """What the sequencer shows at `frame`, without a view on it."""
    scene.view_settings.view_transform, scene.render.dither_intensity = "Standard", 0.0
    timeline.write_stills(scene.render.image_settings, "PNG", "RGB", depth)
    scene.render.filepath, scene.frame_start, scene.frame_end = f"{folder}/seen_####", frame, frame
    bpy.ops.render.render(animation=True, scene=scene.name)
    return read_png(folder / f"seen_{frame:04d}.png", 2 ** int(depth) - 1).astype(int)


@pytest.mark.parametrize("chosen", [Format.PNG8, Format.PNG16])
def test_the_edit_of_an_8_bit_plate_shows_the_comp_exactly(
    edit: Any, film: Callable[..., Any], tmp_path: Path, chosen: Format
) -> None:
    folder = finished(marked(film, noise), tmp_path, noise, format=chosen)
    import_take(edit, folder)
    for frame in range(FIRST, END):
        wanted = read_png(folder / f"comp/{1001 + frame - FIRST}.png").astype(int)
        difference = np.abs(shown(edit, frame, tmp_path, "8") - wanted)
        assert difference.max() <= (0 if chosen is Format.PNG8 else 1)
        assert (difference > 0).mean() < 0.002


@pytest.mark.parametrize("chosen", [Format.PNG8, Format.PNG16])
def test_the_edit_of_a_16_bit_plate_shows_the_comp(
    edit: Any, film: Callable[..., Any], tmp_path: Path, chosen: Format
) -> None:
    folder = finished(marked(film, deep), tmp_path, deep, format=chosen)
    import_take(edit, folder)
    wanted = read_png(folder / "comp/1002.png", 65535).astype(int)
    difference = np.abs(shown(edit, FIRST + 1, tmp_path, "16") - wanted)
    assert difference.max() <= 2, "of 65535: Blender mixes in single precision"


@pytest.mark.parametrize("chosen", [Format.EXR_ZIP, Format.EXR_PIZ])
def test_blender_reads_every_sample_of_an_exr_layer(
    edit: Any, film: Callable[..., Any], tmp_path: Path, chosen: Format
) -> None:
    said = Colour(encoding=Encoding.LINEAR, working_space="Linear Rec.709", view="Standard")
    folder = finished(marked(film, noise), tmp_path, lambda i: light(i, np.float16), said, format=chosen)
    for number in range(1001, 1001 + END - FIRST):
        plate = light(number - 1001 + FIRST - 10, np.float16)
        alpha = soft(0) / np.float32(255)
        seen = read_numbers(folder / f"comp/{number}.exr")
        np.testing.assert_array_equal(seen[alpha == 0], plate[alpha == 0].astype(np.float32))
        assert (seen[alpha == 1] != plate[alpha == 1].astype(np.float32)).mean() > 0.9
        matte = read_numbers(folder / f"matte/{number}.exr")[..., 0]
        np.testing.assert_array_equal(matte, alpha.astype(np.float16).astype(np.float32))


@pytest.mark.parametrize("is_light", [False, True], ids=["display", "light"])
def test_extra_layers_do_not_stand_in_the_way(
    edit: Any, film: Callable[..., Any], tmp_path: Path, is_light: bool
) -> None:
    colour = Colour(encoding=Encoding.LINEAR, working_space="Linear Rec.709", view="Standard") if is_light else None
    paint = (lambda i: light(i, np.float16)) if is_light else noise
    folder = finished(marked(film, noise), tmp_path, paint, colour, layers=EXTRAS)
    take = Take.loads((folder / TAKE_FILE).read_bytes())
    assert take.layers == (*(extra.value for extra in EXTRAS), "character", "matte", "comp")
    first, *others = import_take(edit, folder, options=Options(beside=("generated", "pose", "face")))
    assert (first.wan_animate.layer, first.mute) == ("character", False)
    assert [(one.wan_animate.layer, one.mute) for one in others] == [
        ("generated", True), ("pose", True), ("face", True)
    ]  # fmt: skip
    assert [one.alpha_mode for one in (first, *others)] == [
        *["PREMUL" if is_light else "STRAIGHT"] * 2, "STRAIGHT", "STRAIGHT"
    ]  # fmt: skip
    assert len(comp.build(edit, folder).name) > 0
    assert nuke.write(folder).is_file()
