"""`wan-animate models`: list, pull, import, verify and remove the files of models."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Column, Table

from wan_animate_blender.wire import BadInput, Unavailable

from .library import HUB, ROOT_VARIABLE, Library, Manifest, default_root, manifest, manifests

app = typer.Typer(name="models", no_args_is_help=True, help="The files of models: what is here, under which licence.")

Store = Annotated[Path, typer.Option("--store", envvar=ROOT_VARIABLE, help="Folder in which models are kept.")]
Name = Annotated[str, typer.Argument(help="A model, as `list` names it.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line on standard output.")]
ROOT = default_root()
log = logging.getLogger(__name__)
RELEASED = "wan-animate-14b"


@app.command("list")
def show(store: Store = ROOT, as_json: AsJson = False) -> None:
    """Every file of every model: whether it is here, how its hash is known, and its licence."""
    library = Library(store)
    for model in manifests().values():
        held = library.held(model)
        if as_json:
            _tell({"model": model.name, "title": model.title, "terms": model.terms, "files": [asdict(h) for h in held]})
            continue
        typer.echo(f"\n{model.name}: {model.title}")
        table = Table(Column("file", overflow="fold"), "state", "hash", "size", "licence")
        for file in held:
            table.add_row(file.path, file.state, file.hash, _bytes(file.size), file.licence)
        Console().print(table)
        for licence, terms in model.terms.items():
            typer.echo(f"{licence}: {terms}")


@app.command()
def pull(
    name: Name,
    store: Store = ROOT,
    base_url: Annotated[str, typer.Option(envvar="WAN_ANIMATE_HUB", help="A server with the hub's file layout.")] = HUB,
    as_json: AsJson = False,
) -> None:
    """Fetch the files of a model that are not here; goes on where the last pull was stopped."""
    model, library = manifest(name), Library(store)
    if as_json:
        for news in library.pull(model, base_url):
            _tell(asdict(news))
    else:
        _draw(library, model, base_url)
    _tell({"folder": str(library.folder(model))}) if as_json else typer.echo(library.folder(model))


@app.command("import")
def take(
    path: Annotated[Path, typer.Argument(help="A released or diffusers folder, or a single file of weights.")],
    name: Annotated[str, typer.Option("--model", help="The model it belongs to.")] = RELEASED,
    store: Store = ROOT,
    as_json: AsJson = False,
) -> None:
    """Take files that are on this machine already; nothing is copied on the same disk."""
    from .intake import take_in  # with torch, which the other commands need not wait for

    model, library = manifest(name), Library(store)
    taken = take_in(library, model, path)
    if name == RELEASED:
        _keep_default_prompt(library, model)
    lacking = [file.path for file in library.lacking(model)]
    if as_json:
        _tell({"taken": taken, "lacking": lacking})
        return
    typer.echo("\n".join(taken))
    if lacking:
        typer.echo(f"still lacking {len(lacking)} files, first {lacking[0]}")


@app.command()
def verify(name: Name, store: Store = ROOT, as_json: AsJson = False) -> None:
    """Read every file of a model and compare its SHA-256; ends with 69 when one is absent or damaged."""
    wrong = 0
    for path, trouble in Library(store).verify(manifest(name)):
        wrong += bool(trouble)
        _tell({"path": path, "trouble": trouble}) if as_json else typer.echo(f"{path} {trouble or 'is as it was'}")
    if wrong:
        raise Unavailable(f"{wrong} files of {name} are absent or damaged; delete those and pull or import them again")


@app.command()
def remove(name: Name, store: Store = ROOT, as_json: AsJson = False) -> None:
    """Delete all files of a model from this machine."""
    freed = Library(store).remove(manifest(name))
    _tell({"freed": freed}) if as_json else typer.echo(f"{_bytes(freed)} freed")


def _keep_default_prompt(library: Library, model: Manifest) -> None:
    from .installed import keep_default_prompt

    try:
        keep_default_prompt(library, model)
    except BadInput as error:  # the files are in the library all the same; the next render will say so again
        log.warning("the default prompt was not encoded: %s", error)


def _draw(library: Library, model: Manifest, base_url: str) -> None:
    """A bar for each file, on standard error."""
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks = {file.path: bars.add_task(file.path, total=file.size) for file in library.lacking(model)}
        for news in library.pull(model, base_url):
            bars.update(tasks[news.path], completed=news.done, total=news.total)


def _tell(message: dict[str, Any]) -> None:
    typer.echo(json.dumps(message, ensure_ascii=False))


def _bytes(size: int | None) -> str:
    return "" if size is None else f"{size / 1e9:.2f} GB" if size >= 1e7 else f"{size / 1e3:.1f} kB"
