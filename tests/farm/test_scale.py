"""docs/farm.md: what it says of a thousand shots is what tests/benchmarks/farm.py works out now."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..benchmarks import farm

PAGE = (Path(__file__).parents[2] / "docs" / "farm.md").read_text(encoding="utf-8")
DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(("heading", "table"), list(farm.tables()), ids=lambda text: text.partition("\n")[0][:20])
def test_the_page_has_the_tables_of_the_script(heading: str, table: str) -> None:
    assert table in PAGE.partition(f"### {heading}\n")[2], "run tests/benchmarks/farm.py and put its table there"


@pytest.mark.parametrize(("page", "row"), [
    ("performance.md", f"| animate, 1 segment, 20 steps | {farm.SEGMENT_SECONDS['final, 20 steps']} s;"),
    ("performance.md", f"all frames finite; {farm.STEP_SECONDS} s a step |"),
    ("performance.md", f"| replace without it, 1 segment, 4 steps | {farm.SEGMENT_SECONDS['draft, 4 steps']} s |"),
    ("performance.md", f"53 s / {farm.LOAD_SECONDS} s, peak"),
    ("export.md", "| face 512×512, Cycles with 4 rays a pixel | – | 995 (1234) |"),
])  # fmt: skip
def test_what_it_is_worked_out_from_is_what_was_measured(page: str, row: str) -> None:
    assert row in (DOCS / page).read_text(encoding="utf-8")
