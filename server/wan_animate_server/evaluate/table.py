"""Results as JSON and as a page of Markdown. Knows figures, makes no pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .gates import LOWER, Verdict, missed, verdicts
from .suite import Result

DIGITS = {
    "psnr": 1, "psnr_character": 1, "ssim": 3, "outside_most": 0, "outside_count": 0, "delta_e": 2, "flicker": 2,
    "pose_px": 2, "frechet": 2, "seam": 2,
}  # fmt: skip
SHARES = ("pose", "expression", "identity")
"""Figures that are read as per cent."""

MEANING = {
    "psnr": "dB against the truth where new pixels may appear",
    "psnr_character": "dB where the character is",
    "ssim": "structural similarity there, 1 is the same",
    "outside_most": "largest difference from the plate outside the region, grey levels",
    "outside_count": "pixels outside the region that are not the plate's",
    "delta_e": "CIEDE2000 to the character in the scene's light, blocks of 8×8 pixels",
    "flicker": "second difference in time where nothing moves, grey levels",
    "pose_px": "distance of body and feet from the skeleton asked for, pixels",
    "pose": "the same as a share of the person's height, also where it reaches out of the picture",
    "expression": "distance of nine numbers of the face, as a share of their ranges",
    "identity": "share of 256 strangers who look more like the person than its own reference does; chance is 50 %",
    "identity_distance": "1 − cosine to the reference, on features of our own estimator",
    "seam": "change of colour and motion over joins by that around them; 1 is none to be seen",
    "frechet": "Fréchet's distance to the truth on features of our own pose estimator, of pictures and their changes; "
    "no published feature network is used, so it compares with nothing but this table",
}


def to_json(results: Sequence[Result], about: Mapping[str, Any]) -> dict[str, Any]:
    """Everything, with the figures of each clip."""
    rows = [
        {"name": r.name, "mode": r.mode.value, "about": r.about, "figures": _rounded(r.figures), "notes": list(r.notes),
         "clips": [_rounded(clip) for clip in r.clips]}
        for r in results
    ]  # fmt: skip
    return {"about": dict(about), "rows": rows, "gates": [_verdict(v) for v in judged(results)]}


def judged(results: Sequence[Result]) -> list[Verdict]:
    return verdicts({(result.name, result.mode.value): result.figures for result in results})


def markdown(results: Sequence[Result], about: Mapping[str, Any], pictures: Sequence[str]) -> str:
    """The page `docs/quality.md`; `pictures` are paths of contact sheets."""
    found = judged(results)
    said = "; ".join(f"{name} {value}" for name, value in about.items())
    parts = [
        "# Quality of the small model", "",
        "Made by `wan-animate eval --suite puppet --ablations --table docs/quality.md`; do not edit.", "",
        f"{said[:1].upper()}{said[1:]}.", "",
        *_notes(results),
        f"**{len(found) - len(missed(found))} of {len(found)} gates are passed.**", "",
        "| asked | mode | value | limit | | by |", "|---|---|--:|--:|---|--:|", *map(_gate_row, found), "",
    ]  # fmt: skip
    for mode in dict.fromkeys(result.mode for result in results):
        parts += [f"## {mode.value.capitalize()}", "", *_rows([r for r in results if r.mode is mode]), ""]
    parts += ["## What the figures are", "", *(f"* **{name}**: {text}." for name, text in MEANING.items()), ""]
    parts += [f"![plate, skeleton, truth and result]({path})" for path in pictures]
    return "\n".join(parts).rstrip() + "\n"


def written(name: str, value: float) -> str:
    """A figure for a person."""
    if name in SHARES:
        return f"{100 * value:.1f} %"
    return f"{value:.{DIGITS.get(name, 3)}f}"


def told(value: float, form: str) -> str:
    """A number; a dash for one that could not be taken."""
    return form.format(value) if math.isfinite(value) else "–"


def _notes(results: Sequence[Result]) -> list[str]:
    """What takes say of themselves, each once."""
    notes = dict.fromkeys(note for result in results for note in result.notes)
    return [*(f"* The takes say: {note}." for note in notes), *([""] if notes else [])]


def _gate_row(verdict: Verdict) -> str:
    mark = "passed" if verdict.passed else "**missed**"
    value, margin = told(verdict.value, "{:.4g}"), told(100 * verdict.margin, "{:+.0f} %")
    return f"| {verdict.asked} | {verdict.mode} | {value} | {verdict.limit:.4g} | {mark} | {margin} |"


def _rows(results: Sequence[Result]) -> list[str]:
    names = [name for name in LOWER if any(name in result.figures for result in results)]
    head = [f"| | {' | '.join(names)} |", f"|---|{'--:|' * len(names)}"]
    return head + [
        f"| **{r.name}** {r.about} | "
        + " | ".join(written(n, r.figures[n]) if n in r.figures else "" for n in names)
        + " |"
        for r in results
    ]


def _rounded(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 5) for name, value in figures.items()}


def _verdict(verdict: Verdict) -> dict[str, Any]:
    numbers = {"value": verdict.value, "limit": verdict.limit, "margin": verdict.margin}
    # JSON knows no NaN: a figure that could not be taken misses its gate without a value.
    known = {name: round(value, 5) if math.isfinite(value) else None for name, value in numbers.items()}
    return {"asked": verdict.asked, "mode": verdict.mode, "passed": verdict.passed, **known}
