"""Many kills of server, worker or both in every phase of a job, and a table of them.

    PYTHONPATH=.:server python -m tests.faults.campaign [--runs 60] [--seed 1]

Every job has four segments, is sent by the add-on's own client, and is compared with a take that nothing disturbed. The
moment of a kill is a random one inside a phase that was seen; its phase is the one that is found when all processes
stand still, right before the kill. Fails at the first job that is lost, doubled, other by a bit or leaves anything.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from wan_animate_blender.wire import Take

from ..conftest import command
from .killing import Aim, Hit, House, Victim, write_long_export
from .phases import AIMED, Phase

SHOTS = 3
"""Different exports at most, which take turns."""

ENOUGH = 8
"""Hits that each phase must have in a campaign of 60 runs."""


def undisturbed(export: Path) -> dict[str, str]:
    """SHA-256 of every frame of the take of `export`, rendered without a server and in one go."""
    done = subprocess.run(command("render", export, "--json"), capture_output=True, check=True)
    folder = Path(json.loads(done.stdout.splitlines()[-1])["take"])
    take = Take.loads((folder / "take.json").read_bytes())
    return {path: take.files[path].sha256 for layer in take.layers for path in take.sequence(layer)}


def strikes(folder: Path, runs: int, seed: int) -> Iterator[tuple[Aim, Hit | None]]:
    """Run after run, the phase that was hit least and every victim in turn, moments by `seed`."""
    drawn = random.Random(seed)
    exports = [write_long_export(folder / f"shot{i}", i + 1) for i in range(max(1, min(SHOTS, runs // 20)))]
    truths = [undisturbed(export) for export in exports]
    hits = {phase: list(Victim) for phase in AIMED}
    with House(folder / "server") as house:
        for run in range(runs):
            phase = min(AIMED, key=lambda phase: len(hits[phase]))
            aim = Aim.drawn(drawn, phase, Victim(hits[phase][-len(Victim)]))
            which = run % len(exports)
            hit = house.run(exports[which], aim, truths[which])
            if hit and hit.phase in hits:
                hits[hit.phase].append(aim.victim)
            yield aim, hit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    hits: Counter[tuple[Phase, Victim]] = Counter()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        for run, (aim, hit) in enumerate(strikes(Path(folder), arguments.runs, arguments.seed), start=1):
            phase = hit.phase if hit else Phase.OTHER
            hits[phase, aim.victim] += 1
            where = f"segment {hit.segment}" if hit else "the job was faster"
            say(f"{run:3d} {aim.victim:6} aimed at {aim.phase:8} hit {phase:8} {where}, ended {hit and hit.state}")
    say(table(hits, arguments.seed))
    few = [phase for phase in AIMED if sum(hits[phase, victim] for victim in Victim) < ENOUGH]
    if arguments.runs >= 60 and few:
        sys.exit(f"fewer than {ENOUGH} hits in {', '.join(few)}")


def table(hits: Counter[tuple[Phase, Victim]], seed: int) -> str:
    rows = [f"| seed {seed} | {' | '.join(Victim)} | all |", "|---|---|---|---|---|"]
    for phase in Phase:
        counts = [hits[phase, victim] for victim in Victim]
        rows.append(f"| {phase} | {' | '.join(map(str, counts))} | {sum(counts)} |")
    return "\n".join(rows)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
