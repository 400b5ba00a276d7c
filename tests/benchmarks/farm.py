"""A thousand shots on paper: what storage, network and farm have to bear. The tables of docs/farm.md.

    PYTHONPATH=.:server python tests/benchmarks/farm.py

Nothing is timed here but how long OpenJD takes to check the job, at the end. Measured figures are those of
docs/performance.md and docs/export.md, each with its place; the rest is arithmetic on them. `tests/farm/test_scale.py`
holds the page to these tables.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from tests.farm.bundles import many, submission, written
from wan_animate_blender.farm import openjd
from wan_animate_blender.wire import Settings
from wan_animate_server import segments

SHOTS, FRAMES = 1000, 200

SEGMENT_SECONDS = {"final, 20 steps": 74.9, "draft, 4 steps": 18.6}
"""One segment of 77 frames at 832×480 on one H200, conditions and decoding included (performance.md, "The full model on
one GPU": animate, 1 segment, 20 steps; replace without relighting, 1 segment, 4 steps)."""
STEP_SECONDS = 3.19
LOAD_SECONDS = 6.4
"""Transformer and autoencoder from files that the host has in its memory (the same table)."""
EXPORT_SECONDS = 1.15
"""A frame whose plate is copied, with matte from 3D, pose and rendered face, on two cores without a graphics card
(export.md, "How long", Blender 4.5: 0.8 + 150 + 0.5 + 995 ms)."""
WEIGHTS = 55e9
"""Bytes of the released files (README)."""
SILENCE_SECONDS = 75.0
"""For which an owner on another host is watched before it counts as dead (server, `pulse.WATCH_SECONDS`)."""

PLATES = {"1920×1080": (1920, 1080), "3840×2160": (3840, 2160)}
DEPTHS = {"8-bit PNG": 1, "16-bit PNG": 2, "half EXR": 2}
MODEL_PIXELS = 832 * 480
"""Of a frame as the model makes it; finished segments keep it in half."""
SHARE = 1 / 8
"""Of the frame that a character covers, as in tests/benchmarks/compositing.py; outside, its layers are 0 and pack to
nothing."""
LINKS = {"10 Gbit/s": 1.25e9, "100 Gbit/s": 12.5e9}
"""Bytes a second of the storage's network, all of it."""
GPUS = (1, 10, 50, 100, 200)
CHUNKS = (1, 2, 5, 10, 20, 50)

OPENJD = Path(sysconfig.get_path("scripts")) / "openjd"

Row = tuple[str, ...]


def table(head: Row, rows: list[Row]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# --- storage --------------------------------------------------------------------------------------


def layers(size: tuple[int, int], depth: int) -> dict[str, float]:
    """Bytes of one frame before packing, which film grain does not allow much of: by layer, export and take."""
    pixels = size[0] * size[1]
    return {
        "plate": 3 * depth * pixels,
        "export's matte": pixels * SHARE,
        "face": 512 * 512 * 3,
        "character": 4 * depth * pixels * SHARE,
        "take's matte": depth * pixels * SHARE,
        "comp": 3 * depth * pixels,
        "segments": 3 * 2 * MODEL_PIXELS,
    }


def storage() -> str:
    """MB of a frame by layer, GB of a shot, TB of all."""
    rows = []
    for name, size in PLATES.items():
        for depth, bytes_ in DEPTHS.items():
            found = layers(size, bytes_)
            whole = sum(found.values())
            parts = [f"{one / 1e6:.1f}" for one in found.values()]
            rows.append((name, depth, *parts, f"{whole * FRAMES / 1e9:.1f}", f"{whole * FRAMES * SHOTS / 1e12:.1f}"))
    head = ("plate", "depth", *(f"{name}, MB" for name in layers((1, 1), 1)), "shot, GB", "1,000 shots, TB")
    return table(head, rows)


# --- time -----------------------------------------------------------------------------------------


def spans() -> int:
    """Segments of a shot with the settings that a strip has by itself."""
    standard = Settings()
    return len(segments.plan(FRAMES, standard.segment, standard.overlap, standard.plan))


def shot_seconds(quality: str) -> float:
    return spans() * SEGMENT_SECONDS[quality]


def hours() -> str:
    """Hours of the whole job, its shots spread evenly, each GPU warm after its first load."""
    rows = []
    for gpus in GPUS:
        whole = [(shot_seconds(quality) * -(-SHOTS // gpus) + LOAD_SECONDS) / 3600 for quality in SEGMENT_SECONDS]
        rows.append((f"{gpus}", *(f"{one:.1f}" for one in whole)))
    rows.append(("GPU hours", *(f"{shot_seconds(quality) * SHOTS / 3600:.1f}" for quality in SEGMENT_SECONDS)))
    return table(("GPUs", *(f"{quality}, h" for quality in SEGMENT_SECONDS)), rows)


def warmth() -> str:
    """What loading costs: warm once a session, from the host's memory for each shot, or from the network for each."""
    rows = []
    for quality in SEGMENT_SECONDS:
        shot = shot_seconds(quality)
        for name, seconds in (
            ("warm, 10 shots a load", LOAD_SECONDS / 10),
            ("each shot loads, files in memory", LOAD_SECONDS),
            ("each shot loads, files over 10 Gbit/s of its own", WEIGHTS / LINKS["10 Gbit/s"]),
        ):
            rows.append((quality, name, f"{seconds:.1f}", f"{100 * seconds / (shot + seconds):.1f} %"))
    return table(("quality", "weights", "s a shot", "of the GPU's time"), rows)


def first_start() -> str:
    """Minutes until every GPU has its weights when all fetch them from one storage at once."""
    rows = [
        (f"{gpus}", f"{gpus * WEIGHTS / 1e12:.2f}", *(f"{gpus * WEIGHTS / rate / 60:.1f}" for rate in LINKS.values()))
        for gpus in GPUS
    ]
    return table(("GPUs", "TB", *(f"{name}, min" for name in LINKS)), rows)


# --- network --------------------------------------------------------------------------------------


def traffic(size: tuple[int, int], depth: int) -> float:
    """Bytes of one shot between storage and workers.

    The plate is read and written by the export, and with its matte and faces read by the render; the take is written,
    and nothing of it is read again: the import only refers to it.
    """
    found = layers(size, depth)
    export = found["plate"] + found["export's matte"] + found["face"]
    take = found["character"] + found["take's matte"] + found["comp"] + found["segments"]
    return FRAMES * (found["plate"] + 2 * export + take)


def network() -> str:
    """GPUs that one storage feeds before they wait for it."""
    rows = []
    for name, size in PLATES.items():
        for depth in ("8-bit PNG", "half EXR"):
            moved = traffic(size, DEPTHS[depth])
            for quality in SEGMENT_SECONDS:
                rate = moved / shot_seconds(quality)
                fed = [f"{int(link / rate)}" for link in LINKS.values()]
                rows.append((name, depth, quality, f"{moved / 1e9:.1f}", f"{rate / 1e6:.0f}", *fed))
    head = ("plate", "depth", "quality", "GB a shot", "MB/s a GPU", *(f"GPUs on {name}" for name in LINKS))
    return table(head, rows)


# --- what fails, and how the job is cut -----------------------------------------------------------


def lost_worker() -> str:
    """Seconds of GPU time that are gone with a worker, and how long its shot waits beyond the farm's own notice."""
    final = shot_seconds("final, 20 steps")
    rows = [
        ("shared storage: steps and segments are kept", f"{STEP_SECONDS:.1f}", f"{SILENCE_SECONDS + LOAD_SECONDS:.0f}"),
        ("job attachments: a task's files come back at its end", f"{final:.0f}", f"{LOAD_SECONDS:.0f}"),
    ]
    return table(("where shots lie", "GPU seconds lost at most", "s until it goes on"), rows)


def cut() -> str:
    """The job by the number of shots that share a pair of steps; half of a chunk waits for the exports of all of it."""
    rows = []
    for chunk in CHUNKS:
        found = openjd.template(submission(many(SHOTS).shots), replace(OPTIONS, chunk=chunk))
        length = len(json.dumps(found, indent=1, ensure_ascii=False))
        fits = "yes" if length <= 1_000_000 else "no"
        wait = (chunk - 1) * EXPORT_SECONDS * FRAMES / 60
        rows.append((f"{chunk}", f"{len(found['steps']):,}", f"{length:,}", fits, f"{wait:.0f}"))
    head = (
        "shots a chunk",
        "steps",
        "characters",
        "Deadline Cloud takes it",
        "one exporter: first render later by, min",
    )
    return table(head, rows)


OPTIONS = openjd.Options(shots=PurePosixPath("/jobs/shots"), result=PurePosixPath("/jobs/shots/farm/f001/takes.blend"))


def exports() -> str:
    """CPU work of all exports, and how many workers keep pace with renders."""
    shot = EXPORT_SECONDS * FRAMES
    rows = [
        (quality, f"{shot:.0f}", f"{shot * SHOTS / 3600:.0f}", f"{shot / shot_seconds(quality):.1f}")
        for quality in SEGMENT_SECONDS
    ]
    return table(("quality", "s a shot", "hours, all", "export workers for each GPU"), rows)


def tables() -> Iterator[tuple[str, str]]:
    """Headings and tables, in the order of the page."""
    yield "Storage", storage()
    yield "GPU hours", hours()
    yield "Exports", exports()
    yield "Warm and cold", warmth()
    yield "The first start", first_start()
    yield "Network", network()
    yield "A lost worker", lost_worker()
    yield "Chunks", cut()


def reading() -> Iterator[str]:
    """How long OpenJD's own check of a job of 1,001 shots takes on this machine now; wanted are at most 10 s."""
    for chunk in (10, 1):
        with tempfile.TemporaryDirectory() as folder:
            bundle = written(Path(folder), many(1001).shots, replace(OPTIONS, chunk=chunk))
            begun = time.perf_counter()
            subprocess.run([OPENJD, "check", bundle / "template.json"], check=True, stdout=subprocess.DEVNULL)
            yield f"openjd check, 1,001 shots, {chunk} a chunk: {time.perf_counter() - begun:.1f} s"


if __name__ == "__main__":
    for heading, text in tables():
        sys.stdout.write(f"### {heading}\n\n{text}\n\n")
    for line in reading():
        sys.stdout.write(f"{line}\n")
