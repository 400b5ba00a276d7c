"""The benchmark of the whole model runs from end to end; here with small networks and on the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent / "benchmarks" / "full_size.py"


def test_the_benchmark_runs_every_component_and_leaves_its_table(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--tiny", "--folder", str(tmp_path)],
        capture_output=True, text=True, timeout=900, env=os.environ | {"OUT": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    table = (tmp_path / "full_size.md").read_text(encoding="utf-8")
    assert table in done.stdout
    for row in ("umT5", "CLIP", "motion encoder", "VAE encode", "VAE decode", "diffusers", "relight on", "relight off"):
        assert row in table
    assert "left out" not in table
    assert [path.name for path in tmp_path.iterdir()] == ["full_size.md"]
