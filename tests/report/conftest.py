"""Takes that are really rendered, and what a report said of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from wan_animate_blender.wire import Provenance, Retake, Take
from wan_animate_server.render import render
from wan_animate_server.report.facts import Report

from ..conftest import write_export

FRAMES = 13

BAD = "<script>fetch('http://evil.example')</script><img src=x onerror=alert(1)>"
"""What a person may write, and a page must only ever show."""

GIVEN = Provenance(by="Ada O'Hara & sons", consent=f"actor: release of 3 May; {BAD}")


@dataclass(frozen=True)
class Reported:
    """A take and its report."""

    folder: Path
    export: Path
    take: Take
    report: Report

    @property
    def page(self) -> Path:
        return self.folder / "report.html"


def rendered(export: Path, **how: Any) -> Reported:
    steps = render(export, check=lambda: None, **how)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            folder = Path(end.value)
            report = folder / "report.json"
            take = Take.loads((folder / "take.json").read_bytes())
            return Reported(folder, export, take, Report.loads(report.read_bytes()))


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """13 frames of 64 × 48 pixels in three segments, of a strip and a person with names that browsers would run."""
    return rendered(write_export(tmp_path_factory.mktemp("shot"), FRAMES, strip=BAD, provenance=GIVEN))


@pytest.fixture(scope="session")
def retaken(reported: Reported) -> Reported:
    """The next version of it with frames 1006 to 1009 anew."""
    return rendered(reported.export, retake=Retake(first=1006, last=1009, seed=3))
