"""`wan-animate tokens`: who may use this machine's server. Speaks to a person; `keyring` works."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from .keyring import OWNER, NamedTokens, Token, renew_own, token_path

app = typer.Typer(name="tokens", no_args_is_help=True, help="Who may use this machine's server, besides its owner.")

Name = Annotated[str, typer.Argument(help="Of a person or a machine; jobs are listed under it.")]
TokenFile = Annotated[
    Path | None, typer.Option(help="The token file of the server, where it is started with one; names lie beside it.")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]


@app.command()
def add(
    name: Name,
    days: Annotated[float | None, typer.Option(min=0.0, max=36500.0, help="For how long; for ever without.")] = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Make a token and say it, this once: only its hash is kept. A running server knows it at once."""
    secret = NamedTokens(token_path(token_file)).add(name, days)
    typer.echo(json.dumps({"name": name, "token": secret}) if as_json else secret)


@app.command("list")
def show(token_file: TokenFile = None, as_json: AsJson = False) -> None:
    """The names, and until when each is good."""
    tokens = NamedTokens(token_path(token_file)).all()
    if as_json:
        for token in tokens:
            typer.echo(json.dumps({**asdict(token), "expired": token.is_expired}))
        return
    table = Table("name", "made", "good until")
    for token in tokens:
        table.add_row(token.name, _day(token.created), _end(token))
    Console().print(table)


@app.command()
def revoke(name: Name, token_file: TokenFile = None) -> None:
    """Let nobody in with this token any more; a running server hears of it within a second.

    'owner' gives the owner's own token file another secret.
    """
    path = token_path(token_file)
    if name == OWNER:
        renew_own(path)
        typer.echo(f"{path} has another token now")
        return
    NamedTokens(path).revoke(name)
    typer.echo(f"{name} is out")


def _end(token: Token) -> str:
    if token.expires is None:
        return "for ever"
    return f"{_day(token.expires)}{', expired' if token.is_expired else ''}"


def _day(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))
