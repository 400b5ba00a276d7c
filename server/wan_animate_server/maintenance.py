"""`wan-animate clean` and `doctor`: what keeps a server's machine in order. Speaks to a person; others work.

Commands import what they need when they run: nobody should wait for torch to read a help text.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from wan_animate_blender.wire import Unavailable


def clean(
    data: Annotated[Path | None, typer.Option(help="The server's data folder, where it has another one.")] = None,
    older_than: Annotated[
        float | None, typer.Option(min=0, help="Days after which ended jobs, uploads and segments go.")
    ] = None,
    limit: Annotated[
        float | None, typer.Option(min=0.001, help="GB to which the folder is brought, if what may go suffices.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line on standard output.")] = False,
) -> None:
    """Remove what is old or too much from the data folder of a server that does not run.

    One that runs does it by itself, with --keep-days and --store-limit. Nothing goes that a job needs which has not
    ended. Without options only half uploads and the page's small pictures go.
    """
    from .retention import Policy
    from .upkeep import bytes_of
    from .upkeep import clean as clean_now

    count = size = 0
    for piece in clean_now(data, Policy(older_than, None if limit is None else round(limit * 1e9)), dry=dry_run):
        count, size = count + 1, size + bytes_of(piece)
        said = {"kind": piece.kind, "name": piece.name, "bytes": bytes_of(piece), "used": piece.used}
        typer.echo(json.dumps(said) if as_json else f"{piece.kind:<8} {bytes_of(piece) / 1e6:>10.1f} MB  {piece.name}")
    total = {"pieces": count, "bytes": size, "dry_run": dry_run}
    would = "would go" if dry_run else "removed"
    typer.echo(json.dumps(total) if as_json else f"{count} pieces with {size / 1e9:.3f} GB {would}")


def doctor(
    data: Annotated[Path | None, typer.Option(help="The server's data folder, where it has another one.")] = None,
    token_file: Annotated[Path | None, typer.Option(help="Its token file, where it has another one.")] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where it is to listen.")] = 8188,
    verify: Annotated[bool, typer.Option("--verify", help="Read every model's files and compare hashes.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line on standard output.")] = False,
) -> None:
    """Look at all that renders need on this machine, and say what to do; ends with 69 when something is missing."""
    from .doctor import checks, examine
    from .finding import State

    wrong = 0
    for found in examine(checks(data, token_file, port, verify)):
        wrong += found.state is State.PROBLEM
        advice = f" → {found.advice}" if found.advice else ""
        typer.echo(json.dumps(asdict(found)) if as_json else f"{found.state:<8}{found.about}: {found.said}{advice}")
    if wrong:
        raise Unavailable(
            f"{wrong} things are missing or broken; the lines above that begin with 'problem' say what to do"
        )
