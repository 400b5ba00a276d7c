"""The command line: `wan-animate serve`, `render`, `demo`, `train` and more. Speaks to a person; others work.

Commands import what they need when they run: nobody should wait for torch to read a help text.
"""

from __future__ import annotations

import json
import logging
import os
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from wan_animate_blender.wire import TAKES, BadInput, Convention, Dialect, Mode, Retake

from . import maintenance, models, telling, tokens
from .evaluate import command
from .version import version

app = typer.Typer(name="wan-animate", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(models.app)
app.add_typer(tokens.app)
app.command("eval")(command.evaluate)
app.command()(maintenance.clean)
app.command()(maintenance.doctor)


class Device(StrEnum):
    CPU = "cpu"
    CUDA = "cuda"


Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE",
        help="Another setting than the shot's, such as steps=4 or finish.seams=0.5; may be given again.",
    ),
]  # fmt: skip
OnDevice = Annotated[Device, typer.Option(help="What the model runs on; there is no silent fall-back.")]


def _known_devices(given: list[str] | None) -> list[str] | None:
    for name in given or ():
        if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", name):
            raise typer.BadParameter(f"{name!r} is no device; give cpu, cuda or cuda:1")
    return given


OnDevices = Annotated[
    list[str] | None,
    typer.Option(callback=_known_devices, help="cpu, cuda or cuda:N; several times for a worker on each."),
]


def _bytes(gigabytes: float | None) -> int | None:
    return None if gigabytes is None else round(gigabytes * 1e9)


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
    host: Annotated[
        str, typer.Option(help="Address of this machine to listen at, or 0.0.0.0; all but loopback demand TLS.")
    ] = "127.0.0.1",
    tls_cert: Annotated[Path | None, typer.Option(help="PEM file with the certificate and its chain.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file with its key.")] = None,
    behind_proxy: Annotated[
        str | None, typer.Option(help="Name or address of the proxy that speaks TLS instead; only it is served.")
    ] = None,
    name: Annotated[
        list[str] | None, typer.Option(help="A name under which clients ask, besides the machine's own; repeatable.")
    ] = None,
    store_limit: Annotated[
        float | None,
        typer.Option(min=0.001, help="GB of the data folder: what is of no use goes, else uploads end there."),
    ] = None,
    keep_days: Annotated[
        float | None, typer.Option(min=1, help="Days after which ended jobs, uploads and segments go.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder for jobs and uploads.")] = None,
    token_file: Annotated[Path | None, typer.Option(help="File with the token; made when it is not there.")] = None,
    ready_file: Annotated[Path | None, typer.Option(help="JSON file to write when the server answers.")] = None,
    device: OnDevices = None,
    root: Annotated[
        list[Path] | None, typer.Option(help="Folder below which programs on this machine may hand over shot folders.")
    ] = None,
    silence: Annotated[
        float, typer.Option(min=1, help="Seconds without a sign of life after which a worker is started again.")
    ] = 900.0,
    memory_limit: Annotated[
        float | None, typer.Option(min=0.5, help="GB of memory at which a worker is started again.")
    ] = None,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log one JSON object a line.")] = False,
    log_file: Annotated[
        Path | None, typer.Option(help="File to log to, turned over at 20 MB; by default standard error.")
    ] = None,
    log_requests: Annotated[
        bool, typer.Option("--log-requests", help="A line for each request, too: its kind, never what it says.")
    ] = False,
    with_parent: Annotated[
        bool, typer.Option("--with-parent", help="Stop when standard input ends, as when its starter is gone.")
    ] = False,
    private: Annotated[
        bool, typer.Option("--private", help="Of a farm's session: go on in the background when this returns.")
    ] = False,
    stop: Annotated[bool, typer.Option("--stop", help="End the private server of the ready file.")] = False,
) -> None:
    """Render what Blender sends, until stopped. Listens on this machine only, unless told otherwise.

    WAN_ANIMATE_TOKEN in the environment goes before the token file.
    """
    from . import journal
    from .listening import Place
    from .retention import Policy
    from .serve import parent_ends
    from .serve import serve as serve_now
    from .supervisor import Limits

    if private or stop:
        from .private import start_or_stop

        start_or_stop(stop, ready_file, device or ["cpu"], root or [])
        return
    journal.keep(as_json=log_json, file=log_file)
    place = Place(host, port, tls_cert, tls_key, behind_proxy, tuple(name or ()))
    serve_now(
        place=place, data=data, token_file=token_file, ready_file=ready_file, devices=device or ["cpu"],
        roots=root or [], until=parent_ends if with_parent else None,
        limits=Limits(silence=silence, memory=_bytes(memory_limit)),
        log_requests=log_requests, policy=Policy(keep_days, _bytes(store_limit)),
    )  # fmt: skip


@app.command()
def render(
    shot: Annotated[Path, typer.Argument(help="Folder of an export, such as SH010/e001.")],
    takes: Annotated[Path | None, typer.Option(help="Where versions are made; by default beside the export.")] = None,
    retake: Annotated[
        str | None, typer.Option(help="Make only these frames anew, such as 1040-1060; all others stay as they are.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the frames that --retake makes.")] = None,
    extend: Annotated[
        bool, typer.Option("--extend", help="Make only the frames that the base lacks: the strip was trimmed longer.")
    ] = False,
    base: Annotated[
        Path | None, typer.Option(help="The take to keep frames of, such as v003; by default the newest complete one.")
    ] = None,
    overrides: Overrides = None,
    device: OnDevice = Device.CPU,
    resume: Annotated[
        bool, typer.Option("--resume", help="Done already is done; 75 where somebody else is at it; for farms.")
    ] = False,
    told: Annotated[
        Dialect | None, typer.Option("--progress", help="Lines on standard output as farms read them.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line on standard output.")] = False,
) -> None:
    """Render one shot folder into the next take, or go on with an interrupted one."""
    from . import starter
    from .basis import newest_complete
    from .following import handed_over

    asked = _retake_of(retake, seed, extend, base)
    if resume and (asked or extend):
        raise BadInput("--resume goes on with a whole shot; leave it out where a take is made anew or extended")
    takes, elsewhere = takes or shot.resolve().parent / TAKES, takes is not None
    if base or extend:
        base = takes / base if base else newest_complete(takes)

    def here() -> telling.Steps:
        from .render import render as render_now

        return render_now(
            shot, takes=takes, device=device, check=lambda: None, retake=asked, base=base, overrides=overrides or (),
            resume=resume,
        )  # fmt: skip

    starter.end_in_time()
    if told:
        starter.end_with([starter.Starter.of(os.getppid()), starter.of_session()])
    steps = handed_over(shot, device, here) if resume and not (overrides or elsewhere) else here()
    if told:
        telling.as_lines(steps, told)
    elif as_json:
        telling.as_json(steps)
    else:
        telling.as_bar(steps)


@app.command()
def plan(
    shot: Annotated[Path, typer.Argument(help="Folder of an export, such as SH010/e001.")],
    device: OnDevice = Device.CPU,
    memory: Annotated[
        float | None, typer.Option(min=0.1, help="GB of device memory to plan for, instead of what is free here.")
    ] = None,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> None:
    """Say what a render would take: segments, memory, time. Loads no weights; ends with 75 where it does not fit."""
    from .plan import plan as plan_now

    planned = plan_now(shot, device, _bytes(memory), overrides or ())
    typer.echo(json.dumps(planned.to_json()) if as_json else planned.told())
    planned.check()


@app.command()
def deliver(
    take: Annotated[Path, typer.Argument(help="Folder of a complete take, such as SH010/takes/v001.")],
    to: Annotated[Path, typer.Option(help="Folder that the names begin in; nothing in it is written over.")],
    naming: Annotated[Convention | None, typer.Option(help="Whose names; by default what the shot says.")] = None,
    template: Annotated[str | None, typer.Option(help="Such as '{shot}_{layer}_{version}.{frame}'.")] = None,
    show: Annotated[str | None, typer.Option(help="For names that have one.")] = None,
    sequence: Annotated[str | None, typer.Option(help="For names that have one.")] = None,
    shot_code: Annotated[str | None, typer.Option(help="Instead of the shot's name.")] = None,
    first: Annotated[int | None, typer.Option(help="Number of the first frame, handles included.")] = None,
    layer: Annotated[list[str] | None, typer.Option(help="Only this one; may be given again.")] = None,
) -> None:
    """Copy the frames of a take to where a client wants them, under the client's names."""
    from .shipment import deliver as deliver_now
    from .shipment import naming_of

    names = naming_of(
        take, convention=naming, template=template, show=show, sequence=sequence, shot=shot_code, first=first
    )
    typer.echo(deliver_now(take, to, names, layer or ()))


@app.command()
def report(
    take: Annotated[Path, typer.Argument(help="Folder of a complete take, such as SH010/takes/v001.")],
    shot: Annotated[
        Path | None, typer.Option(help="Folder of the export that it was rendered from; by default looked for.")
    ] = None,
) -> None:
    """Look at a take as it is now: write its report beside it. Ends with 64 where something is not as it must be."""
    from .report.files import write_beside

    page, found = write_beside(take, shot)
    typer.echo(page)
    if wrongs := found.wrongs():
        raise BadInput("; ".join(wrongs))


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
    MOTION = "motion"
    BODY = "body"
    FACE = "face"
    JOINT = "joint"
    RELIGHT = "relight"
    DISTILL = "distill"
    ALL = "all"
    """The stages of the small model, one after the other."""
    LORA = "lora"
    """Of any model, from a folder of clips."""
    ESTIMATORS = "estimators"
    """That judge the small model: pose, identity, expression."""


@app.command()
def train(
    stages: Annotated[list[Stage], typer.Argument(help="One or more, in the order in which they build on each other.")],
    out: Annotated[Path, typer.Option(help="Folder for the model and the record of its training.")],
    source: Annotated[Path | None, typer.Option("--from", help="Folder of a model to go on from; else anew.")] = None,
    minutes: Annotated[
        float, typer.Option(min=0.01, help="For all stages together, with what is drawn for them.")
    ] = 10.0,
    steps: Annotated[int | None, typer.Option(min=1, help="For each stage, instead of minutes.")] = None,
    shape: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WIDTHxHEIGHTxFRAMES",
            help="Of the clips, 128x128x13 if not given: pixels, multiples of 16, and frames, 4n+1; give several for "
            "turns, the longest last.",
        ),
    ] = None,
    pool: Annotated[int, typer.Option(min=1, help="Frames that each process draws for every shape.")] = 100_000,
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
    from .train.shape import DEFAULT, Shape

    shapes = [Shape.read(text) for text in shape or (DEFAULT,)]
    if Stage.ESTIMATORS in stages:
        if stages != [Stage.ESTIMATORS]:
            raise BadInput("estimators judge what other stages make, and are trained alone; give no other stage")
        _train_estimators(out, source, minutes, steps, shapes[-1].width, difficulty, seed, device)
        return
    from .train.run import Order
    from .train.run import train as train_now
    from .train.stages import Stage as Known

    wanted = [known for known in Known if known.value in stages or Stage.ALL in stages]
    order = Order(
        stages=wanted, out=out, source=source, minutes=minutes, steps=steps, shapes=shapes, pool=pool,
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


def _train_estimators(
    out: Path,
    source: Path | None,
    minutes: float,
    steps: int | None,
    size: int,
    difficulty: float,
    seed: int,
    device: str,
) -> None:
    from .train.estimators import Errand
    from .train.estimators import train as train_now

    errand = Errand(
        out=out, source=source, minutes=minutes, steps=steps, size=size, difficulty=difficulty, seed=seed, device=device
    )
    for report in train_now(errand):
        typer.echo(json.dumps(report.to_json()))


def _retake_of(frames: str | None, seed: int | None, extend: bool, base: Path | None) -> Retake | None:
    """What `--retake` asks for. Raises `BadInput` for options that do not belong together."""
    if frames and extend:
        raise BadInput("--retake and --extend are two takes; extend first, then take again what you want")
    if not frames and (seed is not None or (base and not extend)):
        raise BadInput("--seed and --base are of a re-take; give its frames, as --retake 1040-1060, or --extend a take")
    return Retake.read(frames, seed) if frames else None
