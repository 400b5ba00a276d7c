"""Server, worker or both are killed in every phase of jobs of four segments: nothing is lost, doubled, other or left.

`campaign` does the same many times and makes the table of docs/faults.md.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wan_animate_blender.wire import JobState

from .campaign import strikes
from .phases import AIMED

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")

SEED = int(os.environ.get("WAN_ANIMATE_FAULTS_SEED", "1"))
"""Set it to what a failure prints, to have its moments again."""


def test_whatever_is_killed_in_whichever_phase_every_job_ends_with_the_same_bits(
    tmp_path: Path, record_property: pytest.Session
) -> None:
    record_property("seed", SEED)
    struck = [(aim, hit) for aim, hit in strikes(tmp_path, len(AIMED), SEED)]
    hits = [hit for _, hit in struck if hit]
    # An upload is as slow as its line; on a fast machine everything else may be over before it was seen.
    assert hits and hits[0] is struck[0][1], f"seed {SEED}: jobs were faster than the eye in {struck}"
    assert all(hit.state is JobState.DONE for hit in hits)
