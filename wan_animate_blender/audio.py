"""What an edit sounds like over a shot, as one file beside its pictures. Knows frames of the timeline; no strips."""

from __future__ import annotations

import io
import logging
import tempfile
import wave
from pathlib import Path

import bpy

from . import stills
from .wire import AUDIO_FILE, AUDIO_RATE, write_atomically

log = logging.getLogger(__name__)


def write(scene: bpy.types.Scene, first: int, frames: int, folder: Path) -> str:
    """Mix what `scene` plays over `frames` frames from `first` on; the file's name, or "" where nothing is heard.

    All that an editor hears there: every strip of sound with its volume and its retiming unless it is muted, in metas
    and scenes too. WAV of 16 bits, for every build of Blender and Python can make it and a server reads it without a
    decoder; its first sample is the beginning of frame `first`. A Blender that was built without audio hears nothing,
    and audio that cannot be mixed is no reason to have no pictures: it is logged.
    """
    start, end = max(first, 0), first + frames  # Blender mixes nothing before frame 0
    if not bpy.app.build_options.audaspace or not bpy.data.sounds or end <= start:
        return ""
    try:
        mixed = _mixed(scene, range(start, end))
    except RuntimeError as error:  # as operators fail
        log.warning("the audio of the shot is not exported: %s", error)
        return ""
    pace = AUDIO_RATE * scene.render.fps_base / scene.render.fps
    with wave.open(io.BytesIO(mixed)) as sound:
        channels, samples = sound.getnchannels(), sound.readframes(round((end - start) * pace))  # it is mixed in blocks
    if not samples.strip(b"\0"):
        return ""
    silence = round((start - first) * pace)
    write_atomically(folder / AUDIO_FILE, _file(channels, bytes(2 * channels * silence) + samples))
    return AUDIO_FILE


def _mixed(scene: bpy.types.Scene, frames: range) -> bytes:
    with tempfile.TemporaryDirectory() as folder, stills.copy_of(scene) as copy:
        file = Path(folder) / AUDIO_FILE
        copy.frame_start, copy.frame_end = frames[0], frames[-1]
        with stills.as_context(copy):
            bpy.ops.sound.mixdown(
                filepath=str(file), check_existing=False, container="WAV", codec="PCM", format="S16",
                mixrate=AUDIO_RATE,
            )  # fmt: skip
        return file.read_bytes()


def _file(channels: int, samples: bytes) -> bytes:
    """`samples` and nothing else: what the mixing program says of itself would tell two exports apart."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((channels, 2, AUDIO_RATE, 0, "NONE", ""))
        sound.writeframes(samples)
    return file.getvalue()
