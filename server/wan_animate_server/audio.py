"""What is heard beside a take's frames: the audio of a shot, frame by frame. Knows WAV files; no pictures, no codec."""

from __future__ import annotations

import wave
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wan_animate_blender.wire import AUDIO_RATE, BadInput

from .shot import LoadedShot

Samples = npt.NDArray[np.int16]
"""[n, channels], one channel or two, `AUDIO_RATE` a second."""


@dataclass(frozen=True)
class Audio:
    """The audio of a shot of `frames` frames at `fps`; its first sample is the beginning of the first frame."""

    file: Path
    fps: Fraction
    frames: int
    channels: int
    samples: int
    """That are there."""

    @classmethod
    def open(cls, file: Path, fps: Fraction, frames: int) -> Audio:
        """Raises `BadInput` unless `file` is WAV of 16 bits, 48 kHz and one channel or two; it may end early."""
        try:
            with wave.open(str(file)) as sound:
                said, channels = sound.getparams(), sound.getnchannels()
        except (OSError, EOFError, RuntimeError, wave.Error) as error:  # RuntimeError: of a chunk that leaves the file
            raise BadInput(
                f"{file.name} is not a WAV file that can be read ({str(error) or 'damaged'}); export the shot again"
            ) from error
        if said.sampwidth != 2 or said.framerate != AUDIO_RATE or channels not in (1, 2):
            raise BadInput(
                f"{file.name} has {channels} channels of {8 * said.sampwidth} bits at {said.framerate} Hz, expected "
                f"one or two of 16 bits at {AUDIO_RATE} Hz; export the shot again"
            )
        there = file.stat().st_size // (2 * channels)  # a header can claim what does not follow it
        return cls(file, fps, frames, channels, min(said.nframes, there))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person has to know of its length: it may differ by what one frame takes."""
        seconds, wanted = (Fraction(count, AUDIO_RATE) for count in (self.samples, self._at(self.frames)))
        if abs(seconds - wanted) <= 1 / self.fps:
            return ()
        done = "what is missing is silence" if seconds < wanted else "the rest is left out"
        return (f"the audio is {float(seconds):.2f} s long and the shot {float(wanted):.2f} s: {done}",)

    def parts(self) -> Iterator[Samples]:
        """What is heard during each frame, together as long as all of them; silence after the file's end."""
        with wave.open(str(self.file)) as sound:
            for frame in range(self.frames):
                part = np.zeros((self._at(frame + 1) - self._at(frame), self.channels), np.int16)
                read = np.frombuffer(sound.readframes(len(part)), np.uint8)
                read = read[: read.size // (2 * self.channels) * 2 * self.channels]
                part.reshape(-1)[: read.size // 2] = read.view("<i2")
                yield part

    def _at(self, frame: int) -> int:
        """The sample at which a frame begins."""
        return round(frame * AUDIO_RATE / self.fps)


def beside(shot: LoadedShot) -> tuple[Audio | None, tuple[str, ...]]:
    """The audio of a shot, None where it has none that can be heard; and what its take says of that.

    Damage is no reason to refuse a render: pictures are what it is about.
    """
    said = shot.shot
    if not said.audio:
        return None, ()
    try:
        audio = Audio.open(shot.folder / said.audio, said.fps, len(said.frames))
    except BadInput as problem:
        return None, (f"the preview is silent: {problem}",)
    return audio, audio.notes
