"""The audio of a shot lies beside its preview, each sound at its frame, and never keeps a render from ending."""

from __future__ import annotations

import wave
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wan_animate_blender.wire import (
    AUDIO_FILE,
    AUDIO_RATE,
    SHOT_FILE,
    BadInput,
    Shot,
    TakeState,
    WireError,
    list_files,
)
from wan_animate_server.audio import Audio
from wan_animate_server.video import Preview

from .conftest import Make, write_shot
from .test_render import run

NEAR = AUDIO_RATE // 100
"""A hundredth of a second: nobody hears picture and sound apart by that."""


def clicks(file: Path, samples: int, at: list[int], channels: int = 2, rate: int = AUDIO_RATE) -> Path:
    """A WAV file of `samples` samples, with clicks of 2 ms that begin at the samples `at`."""
    sound = np.zeros((samples, channels), np.int16)
    for start in at:
        sound[start : start + AUDIO_RATE // 500] = 20_000
    with wave.open(str(file), "wb") as written:
        written.setparams((channels, 2, rate, 0, "NONE", ""))
        written.writeframes(sound.tobytes())
    return file


def heard(movie: Path) -> np.ndarray:
    """float32 [n], of the first channel, each sample where a player has it: n is the end of the movie's sound."""
    with av.open(movie) as file:
        frames = list(file.decode(audio=0))
    ends = [round(frame.pts * frame.time_base * AUDIO_RATE) + frame.samples for frame in frames]
    sound = np.zeros(ends[-1], np.float32)
    for frame, end in zip(frames, ends, strict=True):
        begin = max(end - frame.samples, 0)
        sound[begin:end] = frame.to_ndarray()[0, frame.samples - (end - begin) :]
    return sound


def beginnings(sound: np.ndarray) -> np.ndarray:
    loud = np.nonzero(np.abs(sound) > 0.2)[0]
    return loud[np.diff(loud, prepend=-AUDIO_RATE) > AUDIO_RATE // 100]


def with_audio(folder: Path, write: Callable[[Path], object], fps: Fraction = Fraction(24)) -> Path:
    """Let the export in `folder` have audio from its start."""
    write(folder / AUDIO_FILE)
    shot = Shot.loads((folder / SHOT_FILE).read_bytes())
    write_shot(folder, replace(shot, audio=AUDIO_FILE, fps=fps, files=list_files(folder, {SHOT_FILE})))
    return folder


# --- in the movie -----------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("fps", [Fraction(24), Fraction(24000, 1001), Fraction(25), Fraction(60000, 1001)])
def test_each_click_is_heard_in_the_preview_while_its_frame_is_seen(
    tmp_path: Path, fps: Fraction, channels: int
) -> None:
    frames, at = 60, [0, 7, 31, 58]
    begin = [round(frame * AUDIO_RATE / fps) for frame in at]
    audio = Audio.open(
        clicks(tmp_path / "a.wav", round(frames * AUDIO_RATE / fps), begin, channels), fps, frames
    )  # fmt: skip
    with Preview(tmp_path / "p.mp4", fps, audio.parts()) as preview:
        for frame in range(frames):
            preview.add(np.full((48, 64, 3), 255 if frame in at else 0, np.uint8))
    with av.open(tmp_path / "p.mp4") as movie:
        pictures = list(movie.decode(video=0))
        assert movie.streams.audio[0].codec_context.name == "aac"
        assert movie.streams.audio[0].codec_context.channels == channels
    lit = [picture.pts * picture.time_base for picture in pictures if picture.to_ndarray(format="gray").mean() > 128]
    sound = heard(tmp_path / "p.mp4")
    assert audio.notes == ()
    assert len(pictures) == frames
    assert np.abs(beginnings(sound) - [float(time * AUDIO_RATE) for time in lit]).max() < NEAR
    assert abs(len(sound) - frames * AUDIO_RATE / fps) < 2 * 1024  # AAC has packets of 1024 samples


@settings(max_examples=60, deadline=None)
@given(
    frames=st.integers(1, 40), fps=st.fractions(1, 240), there=st.integers(0, 4000), channels=st.sampled_from([1, 2])
)
def test_the_parts_of_all_frames_are_the_file_cut_or_filled_with_silence(
    tmp_path_factory: pytest.TempPathFactory, frames: int, fps: Fraction, there: int, channels: int
) -> None:
    file = tmp_path_factory.mktemp("audio") / "a.wav"
    sound = np.random.default_rng(there).integers(-9, 9, (there, channels)).astype(np.int16)
    with wave.open(str(file), "wb") as written:
        written.setparams((channels, 2, AUDIO_RATE, 0, "NONE", ""))
        written.writeframes(sound.tobytes())
    parts = list(Audio.open(file, fps, frames).parts())
    whole = np.concatenate(parts)
    assert len(parts) == frames and len(whole) == round(frames * AUDIO_RATE / fps)
    shared = min(len(whole), there)
    np.testing.assert_array_equal(whole[:shared], sound[:shared])
    assert not whole[shared:].any()


# --- beside a take ----------------------------------------------------------------------------------


def test_a_takes_preview_sounds_as_the_edit_does_handles_included(make_shot: Make) -> None:
    at = 5 * AUDIO_RATE // 24
    folder = with_audio(make_shot(), lambda file: clicks(file, 9 * AUDIO_RATE // 24, [at]))
    where, take, _ = run(folder)
    assert take.state is TakeState.COMPLETE and not [note for note in take.notes if "audio" in note]
    sound = heard(where / "preview.mp4")
    assert np.abs(beginnings(sound) - at).max() < NEAR


@pytest.mark.parametrize(
    ("write", "note", "silent"),
    [
        (lambda file: file.write_bytes(b"RIFF\x10\0\0\0WAVEfmt "), "the preview is silent: audio.wav is not", True),
        (lambda file: file.write_bytes(b""), "the preview is silent: audio.wav is not a WAV file", True),
        (lambda file: clicks(file, 800, [], rate=8000), "expected one or two of 16 bits at 48000 Hz", True),
        (lambda file: clicks(file, 800, [], channels=6), "has 6 channels of 16 bits", True),
        (lambda file: clicks(file, 4800, [900]), "0.10 s long and the shot 0.38 s: what is missing is silence", False),
        (lambda file: clicks(file, 48000, [900]), "1.00 s long and the shot 0.38 s: the rest is left out", False),
        (lambda file: _cut(clicks(file, 18000, [900]), 9644), "what is missing is silence", False),
    ],
)  # fmt: skip
def test_audio_that_is_damaged_too_short_or_too_long_costs_no_frame_and_is_told(
    make_shot: Make, write: Callable[[Path], object], note: str, silent: bool
) -> None:
    where, take, _ = run(with_audio(make_shot(), write))
    assert take.state is TakeState.COMPLETE and len(take.sequence("comp")) == 9
    assert len([said for said in take.notes if note in said]) == 1
    with av.open(where / "preview.mp4") as movie:
        assert len(list(movie.decode(video=0))) == 9
        assert (not movie.streams.audio) == silent
    if not silent:
        assert len(heard(where / "preview.mp4")) == pytest.approx(18000, abs=2 * 1024)


def test_a_shot_without_audio_has_a_preview_without_any(make_shot: Make) -> None:
    where, take, _ = run(make_shot())
    with av.open(where / "preview.mp4") as movie:
        assert not movie.streams.audio
    assert not [note for note in take.notes if "audio" in note]


def test_audio_that_the_shot_does_not_list_is_refused(shot: Shot) -> None:
    with pytest.raises(WireError, match=r"audio.*one of the shot's files"):
        replace(shot, audio=AUDIO_FILE)
    with pytest.raises(WireError, match="audio"):
        replace(shot, audio="../outside.wav")


# --- from strangers ---------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 44), st.binary(max_size=12))
def test_no_bytes_do_more_than_be_refused_or_be_silence(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes, place: int, patch: bytes
) -> None:
    file = clicks(tmp_path_factory.mktemp("junk") / "a.wav", 40, [3])
    whole = file.read_bytes()
    for data in (junk, whole[:place] + patch + whole[place + len(patch) :], whole[:place] + patch + whole[place:]):
        file.write_bytes(data)
        try:
            parts = list(Audio.open(file, Fraction(24), 3).parts())
        except BadInput:
            continue
        assert [len(part) for part in parts] == [2000] * 3


def test_a_file_that_claims_to_be_endless_takes_no_more_memory_than_a_frame(tmp_path: Path) -> None:
    file = clicks(tmp_path / "a.wav", 4000, [0])
    data = bytearray(file.read_bytes())
    data[40:44] = data[4:8] = (0xFFFFFFF0).to_bytes(4, "little")
    file.write_bytes(data)
    audio = Audio.open(file, Fraction(24), 4)
    assert [part.nbytes for part in audio.parts()] == [2000 * 2 * 2] * 4
    assert "0.08 s long and the shot 0.17 s" in audio.notes[0]


def _cut(file: Path, size: int) -> None:
    file.write_bytes(file.read_bytes()[:size])
