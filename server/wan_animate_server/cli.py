"""The command line: `wan-animate serve`, `render`, `demo`, `train` and more. Speaks to a person; others work.

Commands import what they need when they run: nobody should wait for torch to read a help text.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Generator
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from wan_animate_blender.wire import BadInput, Mode

from . import models, progress
from .version import version

app = typer.Typer(name="wan-animate", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(models.app)


class Device(StrEnum):
    CPU = "cpu"
    CUDA = "cuda"


OnDevice = Annotated[Device, typer.Option(help="What the model runs on; there is no silent fall-back.")]


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"wan-animate {version()}")
        raise typer.Exit


@app.callback()
def about(
    _: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """Put a character into a plate, moved by a rig."""


@app.command()
def serve(
    port: Annotated[int, typer.Option(help="Port on this machine; 0 takes a free one.")] = 8188,
    data: Annotated[Path | None, typer.Option(help="Folder for jobs and uploads.")] = None,
    token_file: Annotated[Path | None, typer.Option(help="File with the token; made when it is not there.")] = None,
    ready_file: Annotated[Path | None, typer.Option(help="JSON file to write when the server answers.")] = None,
    device: OnDevice = Device.CPU,
) -> None:
    """Render what Blender sends, until stopped. Listens on this machine only.

    WAN_ANIMATE_TOKEN in the environment goes before the token file.
    """
    from .serve import serve as serve_now

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    serve_now(port=port, data=data, token_file=token_file, ready_file=ready_file, device=device)


@app.command()
def render(
    shot: Annotated[Path, typer.Argument(help="Folder of an export, such as SH010/e001.")],
    takes: Annotated[Path | None, typer.Option(help="Where versions are made; by default beside the export.")] = None,
    device: OnDevice = Device.CPU,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line on standard output.")] = False,
) -> None:
    """Render one shot folder into the next take, or go on with an interrupted one."""
    from .render import render as render_now

    steps = render_now(shot, takes=takes, device=device, check=lambda: None)
    folder = _tell(steps) if as_json else _draw(steps)
    typer.echo(json.dumps({"take": str(folder)}) if as_json else folder)


@app.command()
def plan(
    shot: Annotated[Path, typer.Argument(help="Folder of an export, such as SH010/e001.")],
    device: OnDevice = Device.CPU,
    memory: Annotated[
        float | None, typer.Option(min=0.1, help="GB of device memory to plan for, instead of what is free here.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Say what a render would take: segments, memory, time. Loads no weights; ends with 75 where it does not fit."""
    from .plan import plan as plan_now

    planned = plan_now(shot, device, None if memory is None else round(memory * 1e9))
    typer.echo(json.dumps(planned.to_json()) if as_json else planned.told())
    planned.check()


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything that the demo makes.")] = Path("wan-animate-demo"),
    mode: Annotated[
        Mode, typer.Option(help="Put the character into the plate, or animate its own picture.")
    ] = Mode.REPLACE,
    plate: Annotated[Path | None, typer.Option(help="A movie of an actor instead of the demo's own.")] = None,
    character: Annotated[
        Path | None, typer.Option(help="A picture of the character instead of the demo's own.")
    ] = None,
    blender: Annotated[Path | None, typer.Option(help="A Blender 4.2 or newer to use.")] = None,
) -> None:
    """The whole way once: build a scene in Blender, export, render on a server, import, look at it."""
    from .demo.run import run

    run(out, mode, plate, character, blender)


class Stage(StrEnum):
    VAE = "vae"
    BODY = "body"
    FACE = "face"
    JOINT = "joint"
    RELIGHT = "relight"
    DISTILL = "distill"
    ALL = "all"
    """The stages of the small model, one after the other."""
    LORA = "lora"
    """Of any model, from a folder of clips."""


@app.command()
def train(
    stages: Annotated[list[Stage], typer.Argument(help="One or more, in the order in which they build on each other.")],
    out: Annotated[Path, typer.Option(help="Folder for the model and the record of its training.")],
    source: Annotated[Path | None, typer.Option("--from", help="Folder of a model to go on from.")] = None,
    minutes: Annotated[float, typer.Option(min=0.01, help="For all stages together.")] = 10.0,
    steps: Annotated[int | None, typer.Option(min=1, help="For each stage, instead of minutes.")] = None,
    size: Annotated[int, typer.Option(help="Pixels of a side of the clips, a multiple of 16.")] = 128,
    frames: Annotated[int, typer.Option(help="Frames of a clip, 4n+1.")] = 13,
    pool: Annotated[int, typer.Option(min=1, help="Clips that each process encodes for a stage.")] = 20000,
    difficulty: Annotated[float, typer.Option(min=0, max=1, help="0 calm, 1 everything that the world has.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, max=10_000_000, help="Of clips and noise.")] = 1,
    model: Annotated[str, typer.Option(help="The model that `lora` is for.")] = "puppet",
    clips: Annotated[Path | None, typer.Option(help="Folder with the shot folders that `lora` learns from.")] = None,
    device: OnDevice = Device.CPU,
) -> None:
    """Train a small model, stage by stage, or a LoRA for any model.

    Every line on standard output is a JSON object that says how it stands.
    A LoRA learns from exports with a folder `target` of what shall come out; without one it learns to put the person of
    the plate back. Several GPUs of one host: torchrun --standalone --nproc-per-node 4 -m wan_animate_server train …
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if Stage.LORA in stages:
        if stages != [Stage.LORA] or clips is None:
            raise BadInput("a LoRA is trained alone, from clips; give no other stage, and --clips with exports in it")
        _train_lora(model, clips, out, minutes, steps, seed, device)
        return
    from .train.run import Order
    from .train.run import train as train_now
    from .train.stages import Stage as Known

    wanted = [known for known in Known if known.value in stages or Stage.ALL in stages]
    order = Order(
        stages=wanted, out=out, source=source, minutes=minutes, steps=steps, size=size, frames=frames, pool=pool,
        difficulty=difficulty, seed=seed, device=device,
    )  # fmt: skip
    for report in train_now(order):
        typer.echo(json.dumps(report.to_json()))


def _train_lora(model: str, clips: Path, out: Path, minutes: float, steps: int | None, seed: int, device: str) -> None:
    from .train.finetune import Errand
    from .train.finetune import train as train_now

    errand = Errand(model=model, clips=clips, out=out, minutes=minutes, steps=steps, seed=seed, device=device)
    for report in train_now(errand):
        typer.echo(json.dumps(report.to_json()))


Steps = Generator[progress.Progress, None, Path]


def _tell(steps: Steps) -> Path:
    return _follow(steps, lambda now: typer.echo(json.dumps(asdict(now), default=str)))


def _draw(steps: Steps) -> Path:
    """A bar on standard error, for a person."""
    columns = (
        TextColumn("{task.description:<20}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(), TextColumn("{task.fields[left]}"),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=1.0, left="")

        def show(now: progress.Progress) -> None:
            where = f" {now.segment}/{now.segments}" if now.segments else ""
            left = "" if now.seconds_left is None else f"about {now.seconds_left:.0f} s left"
            bar.update(task, description=now.stage + where, completed=now.progress, left=left)

        return _follow(steps, show)


def _follow(steps: Steps, show: Callable[[progress.Progress], None]) -> Path:
    """Run `steps` to their end and return what they return."""
    while True:
        try:
            show(next(steps))
        except StopIteration as end:
            return Path(end.value)
