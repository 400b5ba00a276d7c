"""Results as one HTML page that needs nothing beside itself: gates, tables, plots and strips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup

from .gates import GATES, LOWER, SEAM
from .strips import as_data, strip
from .suite import Result
from .table import MEANING, judged, told, written

BAR, LINE, NAMES, WIDE = 18, 26, 190, 720
"""Pixels of a plot: a bar's height, a row's, the names' width and the whole width."""

TEMPLATES = Environment(
    loader=PackageLoader(__package__ or "", "templates"), autoescape=select_autoescape(default=True), trim_blocks=True
)


def html(results: Sequence[Result], about: Mapping[str, Any]) -> str:
    """The page of a suite."""
    modes = list(dict.fromkeys(result.mode for result in results))
    tables = {mode: [result for result in results if result.mode is mode] for mode in modes}
    return TEMPLATES.get_template("results.html").render(
        about=about, gates=judged(results), tables=tables, names=_names(results), meaning=MEANING,
        written=written, told=told,
        plots=[(name, mode, plot(name, rows)) for mode, rows in tables.items() for name in LOWER
               if sum(name in r.figures for r in rows) > 1],
        strips=[(r, [as_data(strip(case, made, r.relight)) for case, made in r.shown]) for r in results],
    )  # fmt: skip


def _names(results: Sequence[Result]) -> list[str]:
    """Of the figures that any row has."""
    return [name for name in LOWER if any(name in result.figures for result in results)]


def take_page(figures: Mapping[str, Mapping[str, float]]) -> str:
    """The page of takes by their folders, without any suite."""
    names = [name for name in LOWER if any(name in found for found in figures.values())]
    return TEMPLATES.get_template("takes.html").render(figures=figures, names=names, meaning=MEANING, written=written)


def plot(name: str, results: Sequence[Result]) -> Markup:
    """One figure of all rows as bars in SVG, and its gate as a line."""
    rows = [(result.name, result.figures[name]) for result in results if name in result.figures]
    limits = [gate.limit for gate in GATES if gate.figure == name] or ([SEAM] if name == "seam" else [])
    most = max([value for _, value in rows] + limits + [1e-9])
    scale = (WIDE - NAMES - 80) / most
    height = LINE * len(rows) + 4
    parts = [Markup('<svg viewBox="0 0 {} {}" role="img">').format(WIDE, height)]
    for i, (row, value) in enumerate(rows):
        y = LINE * i + 4
        parts.append(Markup(
            '<text x="{}" y="{}" text-anchor="end">{}</text><rect x="{}" y="{}" width="{:.1f}" height="{}"/>'
            '<text x="{:.1f}" y="{}">{}</text>'
        ).format(NAMES - 8, y + 14, row, NAMES, y, max(value, 0) * scale, BAR, NAMES + max(value, 0) * scale + 6,
                 y + 14, written(name, value)))  # fmt: skip
    for limit in limits:
        x = NAMES + limit * scale
        parts.append(Markup('<line x1="{0:.1f}" x2="{0:.1f}" y1="0" y2="{1}"/>').format(x, height))
    return Markup("").join([*parts, Markup("</svg>")])
