"""A shot carries what the edit sounds like over its frames, and nothing where the edit is silent."""

from __future__ import annotations

import json
import os
import subprocess
import wave
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from serving import PYTHON, Served

from wan_animate_blender import audio, timeline, wire
from wan_animate_blender.commands import main
from wan_animate_blender.commission import Request
from wan_animate_blender.export import export
from wan_animate_blender.wire import ExitCode, FaceSource, Mode

RATE = 48_000
TICK = 48
"""Samples of a click: a thousandth of a second."""

hearing = pytest.mark.skipif(not bpy.app.build_options.audaspace, reason="this Blender is built without audio")
"""The wheel of 4.2 is; Blender 4.2 itself is not."""


def clicks(file: Path, times: list[Fraction], seconds: int = 4) -> Path:
    """A mono WAV file with a click at each of `times`, in seconds."""
    silence = np.zeros(seconds * RATE, np.int16)
    for time in times:
        silence[round(time * RATE) :][:TICK] = 20_000
    with wave.open(str(file), "wb") as sound:
        sound.setparams((1, 2, RATE, 0, "NONE", ""))
        sound.writeframes(silence.tobytes())
    return file


def add(editor: bpy.types.SequenceEditor, file: Path, start: int, channel: int = 5) -> Any:
    return timeline.strips(editor).new_sound(
        name=file.stem, filepath=str(file), channel=channel, frame_start=start
    )  # fmt: skip


def heard(file: Path) -> list[int]:
    """The samples at which clicks begin."""
    loud = np.nonzero(np.abs(samples(file)).max(axis=1) > 3000)[0]
    return [int(n) for n in loud[np.diff(loud, prepend=-RATE) > TICK]]


def samples(file: Path) -> np.ndarray:
    """int16 [n, channels] of a WAV file."""
    with wave.open(str(file)) as sound:
        assert (sound.getframerate(), sound.getsampwidth()) == (RATE, 2)
        return np.frombuffer(sound.readframes(sound.getnframes()), "<i2").reshape(-1, sound.getnchannels())


def exported(request: Request) -> tuple[Path, wire.Shot]:
    generator = export(request)
    while True:
        try:
            next(generator)
        except StopIteration as end:
            return end.value, wire.Shot.loads((end.value / wire.SHOT_FILE).read_bytes())


@pytest.fixture
def request_(
    edit: bpy.types.Scene, film: Callable[..., Any], metarig: bpy.types.Object, camera: bpy.types.Object, tmp_path: Path
) -> Request:
    """A strip over frames 14 to 19, of footage over 10 to 25."""
    strip = film("plate", frames=16, first=10)
    timeline.set_frame_range(strip, 14, 20)
    still = bpy.data.images.load(str(tmp_path / "plate" / "0000.png"))
    return Request(
        scene=edit, strip=strip, root=tmp_path / "shots", name="SH010", handles=2, rig=metarig, character=still,
        mode=Mode.ANIMATE, face=FaceSource.PLATE,
    )  # fmt: skip


@hearing
@pytest.mark.parametrize("fps", [Fraction(24), Fraction(24000, 1001), Fraction(30), Fraction(50)])
def test_each_click_of_the_edit_lies_at_its_frame_handles_included(
    request_: Request, tmp_path: Path, fps: Fraction
) -> None:
    render = request_.scene.render
    render.fps, render.fps_base = (24, 1.001) if fps.denominator > 1 else (int(fps), 1.0)
    at = [12, 15, 21]  # the first and the last frame of the shot, and one between
    add(request_.scene.sequence_editor, clicks(tmp_path / "beat.wav", [(frame - 8) / fps for frame in at]), start=8)
    folder, shot = exported(request_)
    file = folder / shot.audio
    assert [row.timeline for row in shot.frames] == list(range(12, 22))
    assert shot.audio in shot.files and shot.fps == fps
    assert abs(len(samples(file)) - 10 * RATE / fps) <= 1
    expected = [(frame - 12) * RATE / fps for frame in at]
    assert np.abs(np.array(heard(file)) - np.array(expected, float)).max() <= 2


@hearing
def test_what_is_muted_turned_down_or_elsewhere_is_not_heard(request_: Request, tmp_path: Path) -> None:
    editor = request_.scene.sequence_editor
    muted = add(editor, clicks(tmp_path / "muted.wav", [Fraction(0)]), start=14)
    add(editor, clicks(tmp_path / "later.wav", [Fraction(0)]), start=40, channel=6)
    muted.mute = True
    folder, shot = exported(request_)
    assert shot.audio == "" and not (folder / wire.AUDIO_FILE).exists()
    muted.mute, muted.volume = False, 0.0
    assert exported(request_)[1].audio == ""
    muted.volume = 1.0
    assert exported(request_)[1].audio == wire.AUDIO_FILE


@hearing
def test_sound_inside_a_meta_strip_is_heard_at_the_frames_of_the_edit(request_: Request, tmp_path: Path) -> None:
    meta = timeline.strips(request_.scene.sequence_editor).new_meta(name="meta", channel=6, frame_start=1)
    timeline.strips(meta).new_sound(
        name="in", filepath=str(clicks(tmp_path / "in.wav", [Fraction(0)])), channel=1, frame_start=16
    )  # fmt: skip
    timeline.set_frame_range(meta, 16, 30)
    folder, shot = exported(request_)
    assert heard(folder / shot.audio) == pytest.approx([4 * 2000], abs=2)


@hearing
def test_frames_before_the_edits_first_are_silent_and_move_nothing(edit: bpy.types.Scene, tmp_path: Path) -> None:
    add(edit.sequence_editor, clicks(tmp_path / "beat.wav", [Fraction(1, 4)]), start=0)
    assert audio.write(edit, -5, 20, tmp_path) == wire.AUDIO_FILE
    file = tmp_path / wire.AUDIO_FILE
    assert heard(file) == pytest.approx([11 * 2000], abs=2)
    assert len(samples(file)) == 20 * 2000
    assert audio.write(edit, -30, 20, tmp_path) == ""


@hearing
def test_what_a_movie_sounds_like_is_heard_where_the_edit_has_its_sound(request_: Request, tmp_path: Path) -> None:
    """Blender puts the sound of a movie into a strip of its own; the movie's picture strip is silent."""
    import aud

    click = aud.Sound(str(clicks(tmp_path / "in.wav", [Fraction(1, 4)])))
    movie = tmp_path / "take.mkv"
    click.write(str(movie), RATE, aud.CHANNELS_STEREO, aud.FORMAT_S16, aud.CONTAINER_MATROSKA, aud.CODEC_PCM)
    add(request_.scene.sequence_editor, movie, start=10)
    folder, shot = exported(request_)
    assert heard(folder / shot.audio) == pytest.approx([4 * 2000], abs=RATE // 100)  # Matroska's clock is a millisecond


@hearing
def test_footage_that_is_missing_is_silence_and_no_error(request_: Request, tmp_path: Path) -> None:
    gone = clicks(tmp_path / "gone.wav", [Fraction(0)])
    add(request_.scene.sequence_editor, gone, start=14)
    strip = timeline.strips(request_.scene.sequence_editor)["gone"]
    gone.unlink()
    strip.sound.filepath = str(gone)
    assert exported(request_)[1].audio == ""


def test_an_edit_without_any_sound_is_exported_without_audio(request_: Request) -> None:
    folder, shot = exported(replace(request_, handles=0))
    assert shot.audio == "" and not (folder / wire.AUDIO_FILE).exists()
    assert wire.AUDIO_FILE not in shot.files


HEARD = """
import json, sys, av
with av.open(sys.argv[1]) as movie:
    frames = list(movie.decode(audio=0))
loud = [f.pts * f.time_base + i / 48000 for f in frames for i in abs(f.to_ndarray()[0] > 0.1).nonzero()[0]]
print(json.dumps([float(t) for t, before in zip(loud, [-1, *loud]) if t - before > 0.01]))
"""
"""Says at which seconds of a movie clicks begin, as its player hears them; runs beside the server, where PyAV is."""


@hearing
@pytest.mark.usefixtures("addon")
def test_the_preview_that_comes_back_from_a_server_sounds_as_the_edit_does(
    plate: Any, served: Served, tmp_path: Path
) -> None:
    scene = bpy.context.scene
    fps = Fraction(scene.render.fps)
    first, end = timeline.frame_range(plate)
    at = [first, first + 2, end - 1]
    times = [(frame - first) / fps for frame in at]
    add(scene.sequence_editor, clicks(tmp_path / "beat.wav", times), start=first)
    bpy.ops.wm.save_mainfile()
    where = ["--server", served.url, "--token-file", str(served.token_file)]
    assert main(["generate", "--strip", "plate", *where]) == ExitCode.DONE
    take = next((tmp_path / "wan_animate" / "SH010" / "takes").iterdir())
    shot = wire.Shot.loads(next((tmp_path / "wan_animate" / "SH010").glob("e*/shot.json")).read_bytes())
    (handle,) = [i for i, row in enumerate(shot.frames) if row.timeline == first]
    python = [os.environ[PYTHON], "-c", HEARD, str(take / "preview.mp4")]
    told = json.loads(subprocess.run(python, check=True, capture_output=True).stdout)
    assert told == pytest.approx([float(time + handle / fps) for time in times], abs=0.01)


@hearing
def test_listening_leaves_nothing_behind(request_: Request, tmp_path: Path) -> None:
    add(request_.scene.sequence_editor, clicks(tmp_path / "beat.wav", [Fraction(0)]), start=14)
    scene = request_.scene
    before = [scene.frame_start, scene.frame_end, *bpy.data.scenes.keys(), *bpy.data.sounds.keys()]
    folder, shot = exported(request_)
    assert [scene.frame_start, scene.frame_end, *bpy.data.scenes.keys(), *bpy.data.sounds.keys()] == before
    assert {path.name for path in folder.iterdir() if path.is_file()} == {
        wire.SHOT_FILE, wire.POSE_FILE, wire.AUDIO_FILE, wire.OWNER_FILE, shot.character,
    }  # fmt: skip
