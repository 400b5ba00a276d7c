"""A report as one HTML file: styles, script and pictures are in it, nothing else may run or load. Knows no folders."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from wan_animate_blender.wire import Message, plain

from ..page.words import memory, moment
from .belonging import rows
from .curve import Curve, curve
from .facts import Report
from .pictures import Pair, Thumbnail
from .pose import PoseError

TEMPLATES = Path(__file__).parent / "templates"

VISIBLE = 1.0
"""CIEDE2000 from which on a join may be seen."""

JUMPS = 2.0
"""How many times as much as around it motion may change at a join."""


def html(report: Report, thumbnails: Sequence[Thumbnail], pairs: Sequence[Pair]) -> str:
    """The whole file; everything that a person or another program has put into the take is escaped."""
    style, script = (_own(name) for name in ("report.css", "report.js"))
    return _environment().get_template("report.html").render(
        report=report, take=report.take, thumbnails=thumbnails, pairs=pairs, style=style, script=script,
        policy=policy(style, script), settings=_flat(report.take.settings), visible=VISIBLE, jumps=JUMPS,
        belonging=rows(report.take), curve=_curve(report.pose_error),
    )  # fmt: skip


def policy(style: str, script: str) -> str:
    """What a browser lets the file do: show its own pictures, and run the very `script` and `style` given here."""
    style, script = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script))
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{style}'; script-src 'sha256-{script}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _curve(found: PoseError | None) -> Curve | None:
    """With what the estimator is off by itself as a line across."""
    if found is None:
        return None
    own = found.estimator.error
    return curve(found.frames, None if own is None else own * found.height)


def _own(name: str) -> Markup:
    """A file of this package as it stands: the hash in the policy is of these very bytes."""
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("wan_animate_server.report"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(moment=moment, memory=memory, figure=_figure, bytes=_bytes, percent=_percent)
    return environment


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _percent(share: float) -> str:
    return f"{share:.2%}"


def _bytes(size: int) -> str:
    return f"{size:,}".replace(",", "\u202f")


def _flat(message: Message, before: str = "") -> dict[str, str]:
    """The fields of `message` by their dotted names, those of messages in it as well."""
    found: dict[str, str] = {}
    for name, value in vars(message).items():
        if isinstance(value, Message):
            found |= _flat(value, f"{before}{name}.")
        else:
            found[before + name] = _said(plain(value))
    return found


def _said(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return ", ".join(map(_said, value)) or "none"
    return "not set" if value in (None, "") else str(value)
