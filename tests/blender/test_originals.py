"""The files that a strip reads are looked for before an export begins."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from footage import light, new_effect, noise, write_exr, write_png

from wan_animate_blender import originals, plate, timeline
from wan_animate_blender.originals import Header
from wan_animate_blender.wire import BadInput

Film = Callable[..., Any]


def test_a_missing_file_is_named(film: Film, tmp_path: Path) -> None:
    strip = film(frames=5)
    (tmp_path / "plate" / "0003.png").unlink()
    with pytest.raises(BadInput, match=r"'plate' needs .*0003\.png, which is not there; restore or relink"):
        plate.check(strip)


def test_of_many_missing_files_the_first_is_named_and_all_are_counted(film: Film, tmp_path: Path) -> None:
    strip = film(frames=8)
    for i in (2, 3, 7):
        (tmp_path / "plate" / f"{i:04d}.png").unlink()
    with pytest.raises(BadInput, match=r"lacks 3 of its 8 files, the first is .*0002\.png"):
        plate.check(strip)


def test_only_files_that_are_used_have_to_be_there(film: Film, tmp_path: Path) -> None:
    strip = film(frames=8)
    (tmp_path / "plate" / "0001.png").unlink()
    timeline.set_frame_range(strip, 12, 16)
    plate.check(strip)
    with pytest.raises(BadInput, match=r"0001\.png, which is not there"):
        plate.check(strip, sources=[1.0, 2.0])


def test_files_behind_an_effect_in_a_meta_have_to_be_there_too(edit: Any, film: Film, tmp_path: Path) -> None:
    below, above = film("below", frames=4), film("above", frames=4, channel=2)
    cross = new_effect(edit.sequence_editor, "CROSS", 3, 10, 14, below, above)
    meta = timeline.strips(edit.sequence_editor).new_meta(name="meta", channel=5, frame_start=10)
    cross.move_to_meta(meta)
    (tmp_path / "below" / "0000.png").unlink()
    for strip in (cross, meta):
        with pytest.raises(BadInput, match=r"the strip 'below' needs .*0000\.png"):
            plate.check(strip)


def test_a_file_that_cannot_be_opened_is_named(film: Film, tmp_path: Path) -> None:
    strip = film(frames=1)
    (tmp_path / "plate" / "0000.png").unlink()
    (tmp_path / "plate" / "0000.png").mkdir()
    with pytest.raises(BadInput, match=r"cannot read .*0000\.png \(.*\); make it readable"):
        plate.check(strip)


def test_a_header_says_what_is_in_the_file(tmp_path: Path) -> None:
    half, grey = np.zeros((48, 80, 4), np.float16), np.zeros((48, 80), np.uint16)
    assert originals.header(write_exr(tmp_path / "a.exr", half)) == Header("exr", 80, 48, 16, "RGBA")
    assert originals.header(write_exr(tmp_path / "b.exr", half[..., :3].astype(np.float32))).bits == 32
    assert originals.header(write_png(tmp_path / "a.png", grey)) == Header("png", 80, 48, 16, "L")
    assert originals.header(write_png(tmp_path / "b.png", noise(1))) == Header("png", 80, 48, 8, "RGB")


def test_transparent_colours_palettes_layers_and_broken_files_are_nothing_to_copy(tmp_path: Path) -> None:
    plain = write_png(tmp_path / "a.png", noise(1)).read_bytes()
    transparent = plain[:33] + b"\0\0\0\6tRNS" + bytes(10) + plain[33:]
    palette = plain[:25] + b"\3" + plain[26:]
    light_ = write_exr(tmp_path / "a.exr", light(1)).read_bytes()
    layer = light_.replace(b"chlist\0\x37\0\0\0B\0", b"chlist\0\x37\0\0\0Z\0")
    shifted = light_.replace(b"displayWindow\0box2i\0\x10\0\0\0\0", b"displayWindow\0box2i\0\x10\0\0\0\1")
    assert len({plain, transparent, palette}) == len({light_, layer, shifted}) == 3
    for i, data in enumerate((transparent, palette, layer, shifted)):
        (tmp_path / str(i)).write_bytes(data)
        assert originals.header(tmp_path / str(i)).channels == ""
    for i, data in enumerate((plain[:20], light_[:60], b"", b"GIF89a")):
        (tmp_path / f"broken{i}").write_bytes(data)
        assert originals.header(tmp_path / f"broken{i}") is None


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    file = write_png(tmp_path / "a.png", noise(1))
    assert originals.header(file).width == 80
    write_png(file, noise(1, 30, 20))
    os.utime(file, ns=(1, 1))
    assert originals.header(file).width == 30
