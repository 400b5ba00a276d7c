"""`wan-animate eval`: speaks to a person; others measure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wan_animate_blender.wire import BadInput, write_atomically

if TYPE_CHECKING:
    from .contest import Order
    from .reading import Readers
    from .suite import Result


class Suite(StrEnum):
    PUPPET = "puppet"


NOT_INSTALLED = (
    "no estimators are installed, so that poses, identities and expressions are not measured; train them "
    "(wan-animate train estimators --out DIR) and give --estimators DIR"
)

Paths = list[Path] | None


def evaluate(
    takes: Annotated[Paths, typer.Argument(help="Takes to measure; with --blind those to compare.")] = None,
    truth: Annotated[Path | None, typer.Option(help="Folder with what should come out, 1001.png and on.")] = None,
    suite: Annotated[Suite | None, typer.Option(help="Measure a model on held-out clips of the made-up world.")] = None,
    model: Annotated[Path | None, typer.Option(help="Folder of the small model, else the shipped one.")] = None,
    beside: Annotated[Paths, typer.Option(help="Another one, as a row of the same table; repeatable.")] = None,
    estimators: Annotated[Path | None, typer.Option(help="Folder of others than the shipped ones.")] = None,
    clips: Annotated[int, typer.Option(min=2, help="Held-out clips, each in both modes.")] = 8,
    size: Annotated[int, typer.Option(help="Pixels of a side of them.")] = 256,
    frames: Annotated[int, typer.Option(help="Frames of each, 4n+1.")] = 29,
    steps: Annotated[int, typer.Option(min=1)] = 20,
    ablations: Annotated[bool, typer.Option("--ablations", help="Also what each part is for.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for shots and takes of the suite.")] = Path("wan-animate-eval"),
    json_out: Annotated[Path | None, typer.Option("--json", help="File for all figures.")] = None,
    html_out: Annotated[Path | None, typer.Option("--html", help="File for the page.")] = None,
    table: Annotated[Path | None, typer.Option(help="Markdown file, contact sheets beside it in images/.")] = None,
    blind: Annotated[bool, typer.Option("--blind", help="A page on which people choose; its key lies beside.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of order and sides of a blind page.")] = 0,
    votes: Annotated[Paths, typer.Option(help="File that such a page saved; repeatable.")] = None,
    key: Annotated[Path | None, typer.Option(help="Key of the page that the votes are from.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Say how good takes are, or a small model on clips whose truth is known, or what people prefer."""
    if votes:
        _tell_votes(votes, key)
    elif blind:
        _blind(takes or [], html_out, seed)
    elif suite:
        from .contest import Order

        order = Order(
            model=model, beside=tuple(beside or ()), clips=clips, size=size, frames=frames, steps=steps,
            ablations=ablations, out=out, device=device,
        )  # fmt: skip
        _suite(order, estimators, json_out, html_out, table)
    else:
        _takes(takes or [], truth, _readers(estimators, device), json_out, html_out)


def _suite(
    order: Order, estimators: Path | None, json_out: Path | None, html_out: Path | None, table: Path | None
) -> None:
    """Each row is told as soon as it is there; then the files are written, and what is missed is said."""
    from .contest import hold
    from .gates import missed
    from .page import html
    from .table import judged, markdown, to_json

    results, about = [], order.about()
    for result in hold(order, _readers(estimators, order.device)):
        results.append(result)
        typer.echo(json.dumps({"row": result.name, "mode": result.mode, **result.figures}))
    if json_out:
        _write(json_out, json.dumps(to_json(results, about), indent=1) + "\n")
    if html_out:
        _write(html_out, html(results, about))
    if table:
        _write(table, markdown(results, about, _sheets(results, table.parent / "images", table.parent)))
    found = judged(results)
    for verdict in missed(found):
        typer.echo(f"missed: {verdict.asked}, {verdict.mode}: {verdict.value:.4g}, limit {verdict.limit:.4g}", err=True)
    typer.echo(f"{len(found) - len(missed(found))} of {len(found)} gates are passed", err=True)


def _sheets(results: Sequence[Result], folder: Path, page: Path) -> list[str]:
    """Contact sheets of the model's own row, as paths from the page."""
    from ..video import write_picture
    from .gates import MODEL
    from .strips import strip

    paths = []
    for result in results:
        for case, made in result.shown if result.name == MODEL else ():
            path = folder / f"quality_{case.mode}_{case.name}.png"
            folder.mkdir(parents=True, exist_ok=True)
            write_picture(path, strip(case, made, result.relight))
            paths.append(path.relative_to(page).as_posix())
    return paths


def _takes(
    takes: Sequence[Path], truth: Path | None, readers: Readers | None, json_out: Path | None, html_out: Path | None
) -> None:
    from .takes import figures

    if not takes:
        raise BadInput("there is nothing to measure; give takes, such as SH010/takes/v001, or --suite puppet")
    if truth and len(takes) > 1:
        raise BadInput("--truth is of one take; give one at a time")
    found = {str(take): figures(take, truth, readers) for take in takes}
    text = json.dumps(found, indent=1) + "\n"
    if json_out:
        _write(json_out, text)
    if html_out:
        from .page import take_page

        _write(html_out, take_page(found))
    typer.echo(text, nl=False)


def _readers(folder: Path | None, device: str) -> Readers | None:
    """The estimators in `folder`, else those that are shipped; None where they are not."""
    from ..weights import find_device
    from .estimators import HOME, installed
    from .reading import Estimators

    if folder is None and not installed():
        typer.echo(NOT_INSTALLED, err=True)
        return None
    return Estimators.read(folder or HOME, find_device(device))


def _blind(takes: Sequence[Path], page: Path | None, seed: int) -> None:
    from .blind import study

    page = page or Path("blind.html")
    html, key = study(takes, seed)
    _write(page, html)
    _write(page.with_suffix(".key.json"), json.dumps(key, indent=1) + "\n")
    typer.echo(page)


def _tell_votes(votes: Sequence[Path], key: Path | None) -> None:
    from .blind import preferences, read

    if key is None:
        raise BadInput("votes tell nothing without the key of their page; give --key, the file beside the page")
    for found in preferences(read(key), [read(path) for path in votes]):
        typer.echo(json.dumps(asdict(found)))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.encode())
