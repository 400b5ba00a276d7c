"""Footage whose frames carry their own number as black and white columns, and what a sequencer makes of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from footage import read_png, write_png

from wan_animate_blender import footage, timeline

Change = Callable[[bpy.types.Scene, Any], None]

BITS = 8
WIDTH, HEIGHT = 80, 48


def picture(number: int) -> np.ndarray:
    """uint8 [48, 80, 3]: the number's bits from left to right, the lowest first, white for 1."""
    bits = (number >> np.arange(BITS)) & 1
    columns = np.repeat(bits, WIDTH // BITS) * 255
    return np.broadcast_to(columns[None, :, None], (HEIGHT, WIDTH, 3)).astype(np.uint8)


def number(pixels: np.ndarray) -> int:
    """What `picture` was given, read from the middle of each column."""
    middle = pixels[HEIGHT // 2, WIDTH // BITS // 2 :: WIDTH // BITS, 0]
    assert set(np.unique(middle)) <= set(range(50)) | set(range(206, 256)), "no picture of one frame alone"
    return int(((middle > 127) << np.arange(BITS)).sum())


def rendered(scene: bpy.types.Scene, frames: Iterable[int], folder: Path) -> list[np.ndarray]:
    """What the sequencer of `scene` shows at consecutive `frames`, uint8 [H, W, 3] each."""
    frames = list(frames)
    folder.mkdir(exist_ok=True)
    scene.view_settings.view_transform, scene.render.dither_intensity = "Standard", 0.0
    timeline.write_stills(scene.render.image_settings, "PNG", "RGB", "8")
    scene.render.filepath = f"{folder}/######"
    scene.sequence_editor.use_cache_raw = False
    for frame in frames:
        timeline.forget(scene)
        scene.frame_start = scene.frame_end = frame
        bpy.ops.render.render(animation=True, scene=scene.name)
    return [read_png(folder / f"{frame:06d}.png") for frame in frames]


def shown(scene: bpy.types.Scene, frames: Iterable[int], folder: Path) -> list[int]:
    """The number that the sequencer of `scene` shows at each of consecutive `frames`."""
    return [number(pixels) for pixels in rendered(scene, frames, folder)]


def encode(scene: bpy.types.Scene, file: Path, fps: int, frames: int) -> Path:
    """A lossless movie of what the sequencer of `scene` shows from frame 1, encoded by Blender itself."""
    render = scene.render
    if hasattr(render.image_settings, "media_type"):
        render.image_settings.media_type = "VIDEO"
    render.image_settings.file_format = "FFMPEG"
    render.ffmpeg.format, render.ffmpeg.codec = "AVI", "PNG"
    scene.view_settings.view_transform, render.dither_intensity, render.fps = "Standard", 0.0, fps
    render.filepath, render.use_file_extension = str(file), False
    scene.frame_start, scene.frame_end = 1, frames
    bpy.ops.render.render(animation=True, scene=scene.name)
    return file


def movie(folder: Path) -> Path:
    """Forty numbered frames at 25 a second. Leaves Blender with an empty scene."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    files = [write_png(folder / f"{i:04d}.png", picture(i)) for i in range(40)]
    timeline.new_image_sequence(scene.sequence_editor_create(), "numbers", files, 1, 1)
    return encode(scene, folder / "numbers.avi", fps=25, frames=40)


def operate(scene: bpy.types.Scene, strip: timeline.Strip, name: str, **settings: Any) -> None:
    """Run one of the sequencer's operators on `strip`, at the frame `scene` stands at."""
    for other in timeline.strips_all(scene.sequence_editor):
        other.select = other == strip
    scene.sequence_editor.active_strip = strip
    with edited(scene), bpy.context.temp_override(scene=scene):
        assert getattr(bpy.ops.sequencer, name)(**settings) == {"FINISHED"}


@contextlib.contextmanager
def edited(scene: bpy.types.Scene) -> Iterator[None]:
    """Let `scene` be the one that is edited, which since 5.0 need not be the window's."""
    workspace = bpy.context.workspace
    if not hasattr(workspace, "sequencer_scene"):
        yield
        return
    workspace.sequencer_scene = scene
    yield
    workspace.sequencer_scene = None  # a scene that is gone would end the process later


# --- the table, and what changes it --------------------------------------------------------------


def table(strip: Any, first: int | None = None, end: int | None = None) -> list[float]:
    start, stop = timeline.frame_range(strip)
    way = timeline.path(strip.id_data.sequence_editor, strip.name)
    frames = range(start if first is None else first, stop if end is None else end)
    return footage.sources(way[:-1], strip, frames)


def shown_of(strip: Any, folder: Path) -> list[int]:
    return shown(strip.id_data, range(*timeline.frame_range(strip)), folder)


def trim_hard(strip: Any, frames: int) -> None:
    """Cut frames off the footage's start for good."""
    setattr(
        strip, "content_trim_start" if hasattr(strip, "content_trim_start") else "animation_offset_start", frames
    )  # fmt: skip


def plain(scene: bpy.types.Scene, strip: Any) -> None:
    pass


def trim(scene: bpy.types.Scene, strip: Any) -> None:
    timeline.set_frame_range(strip, 27, 52)


def hold(scene: bpy.types.Scene, strip: Any) -> None:
    timeline.set_frame_range(strip, 15, 64)


def reverse(scene: bpy.types.Scene, strip: Any) -> None:
    strip.use_reverse_frames = True


def strobe(scene: bpy.types.Scene, strip: Any) -> None:
    strip.strobe = 3


def strobe_between_frames(scene: bpy.types.Scene, strip: Any) -> None:
    strip.strobe = 2.5


def strobe_by_keyframes(scene: bpy.types.Scene, strip: Any) -> None:
    for frame, length in ((20, 1.0), (40, 1.0), (59, 6.0)):
        strip.strobe = length
        strip.keyframe_insert("strobe", frame=frame)


def cut_hard(scene: bpy.types.Scene, strip: Any) -> None:
    trim_hard(strip, 5)


def play_twice_as_fast(scene: bpy.types.Scene, strip: Any) -> None:
    operate(scene, strip, "retiming_key_add", timeline_frame=30)
    strip.retiming_keys[2].timeline_frame = 45


def play_half_as_fast(scene: bpy.types.Scene, strip: Any) -> None:
    operate(scene, strip, "retiming_key_add", timeline_frame=30)
    strip.retiming_keys[2].timeline_frame = 90


def play_fast_then_slow(scene: bpy.types.Scene, strip: Any) -> None:
    operate(scene, strip, "retiming_key_add", timeline_frame=40)
    strip.retiming_keys[1].timeline_frame = 31
    strip.retiming_keys[2].timeline_frame = 77


def freeze(scene: bpy.types.Scene, strip: Any) -> None:
    scene.frame_current = 33
    operate(scene, strip, "retiming_freeze_frame_add", duration=9)


def all_at_once(scene: bpy.types.Scene, strip: Any) -> None:
    play_half_as_fast(scene, strip)
    reverse(scene, strip)
    strobe(scene, strip)
    timeline.set_frame_range(strip, 41, 83)


def in_order(*changes: Change) -> Change:
    def change(scene: bpy.types.Scene, strip: Any) -> None:
        for one in changes:
            one(scene, strip)

    change.__name__ = "_and_".join(one.__name__ for one in changes)
    return change


CHANGES = [
    plain, trim, hold, reverse, strobe, strobe_between_frames, strobe_by_keyframes, cut_hard,
    play_twice_as_fast, play_half_as_fast, play_fast_then_slow, freeze, all_at_once,
    in_order(reverse, trim), in_order(cut_hard, reverse, trim), in_order(freeze, reverse), in_order(strobe, trim),
]  # fmt: skip
