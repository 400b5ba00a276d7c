"""How fast the synthetic world is drawn: clips per second on the device that is found, and where the time goes.

    PYTHONPATH=.:server python tests/benchmarks/world.py [--batch 256] [--size 128] [--frames 13] [--sheet FOLDER]

Prints one JSON object. With a folder, a contact sheet of the first clips is written there.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from wan_animate_server import world


def main() -> None:
    given = _arguments()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    spec = world.Spec(given.size, given.size, given.frames)
    with torch.inference_mode():
        begun = time.perf_counter()
        clips = world.clips(spec, torch.arange(given.batch, device=device))
        first = time.perf_counter() - begun
        region = world.region(clips.matte, clips.keypoints, torch.arange(given.batch, device=device))
        seconds = {
            "clips": _measured(lambda i: world.clips(spec, torch.arange(given.batch, device=device) + i), given.rounds),
            "skeletons": _measured(lambda _: world.skeleton(clips.keypoints, given.size, given.size), given.rounds),
            "regions": _measured(
                lambda i: world.region(clips.matte, clips.keypoints, region.new_ones(given.batch).long() * i),
                given.rounds,
            ),
        }
        if given.sheet:
            world.sheet(clips, given.sheet / f"world_{given.size}.png", min(given.batch, 12))
    result = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "batch": given.batch, "size": given.size, "frames": given.frames, "first_seconds": round(first, 1),
        "per_second": {name: round(given.batch / each, 1) for name, each in seconds.items()},
        "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2) if device.type == "cuda" else None,
    }  # fmt: skip
    json.dump(result, sys.stdout)
    sys.stdout.write("\n")


def _measured(work: Callable[[int], object], rounds: int) -> float:
    """Seconds of one call, the fastest of `rounds`."""
    times = []
    for i in range(rounds + 1):
        begun = time.perf_counter()
        work(i)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begun)
    return min(times[1:])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--frames", type=int, default=13)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sheet", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
