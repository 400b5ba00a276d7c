"""`blender -b FILE --command wan_animate export|import|generate …`: the panel's verbs, without a window."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import bpy

from . import background, preferences, take, timeline
from .request import prepare
from .session import Session, Step, deliver
from .wire import BadInput, ExitCode, Interrupted, Problem

NAME = "wan_animate"

Tell = Callable[..., None]
"""Says one thing about how far the command is: a stage and what belongs to it."""


def main(argv: list[str]) -> int:
    """Run the words after `--command wan_animate`; the process ends with what this returns."""
    tell = _tell_nothing
    before = signal.signal(signal.SIGTERM, _end)  # else Blender dies at once and leaves half an export behind
    try:
        arguments = _parser().parse_args(argv)
        tell = _tell_json if arguments.json else _tell_nothing
        arguments.verb(arguments, tell)
    except Problem as problem:
        return _failed(problem, tell)
    except KeyboardInterrupt:
        return _failed(Interrupted("interrupted; what was begun is removed, what was finished is kept"), tell)
    except SystemExit as end:  # --help, or SIGTERM
        return int(end.code or ExitCode.DONE)
    finally:
        signal.signal(signal.SIGTERM, before)
    return int(ExitCode.DONE)


def _failed(problem: Problem, tell: Tell) -> int:
    tell("failed", message=str(problem))
    sys.stderr.write(f"{problem}\n")
    return int(problem.exit_code)


def _end(*_: object) -> NoReturn:
    raise SystemExit(int(ExitCode.TERMINATED))


def _export(arguments: argparse.Namespace, tell: Tell) -> None:
    scene, strip = _chosen(arguments)
    was_marked = bool(strip.wan_animate.uid)
    folder = _exported(scene, strip, _root(arguments), tell)
    if not was_marked:  # else its takes would not find it in the file
        _save()
    tell("done", export=str(folder))


def _import(arguments: argparse.Namespace, tell: Tell) -> None:
    scene = _scene(arguments)
    strip = _strip(scene, arguments.strip) if arguments.strip else None
    new = take.import_take(scene, arguments.take.resolve(), strip=strip)
    _save()
    tell("done", strips=[one.name for one in new], message=take.summary(new[0]))


def _generate(arguments: argparse.Namespace, tell: Tell) -> None:
    server = preferences.server(arguments.server, _token(arguments))
    server.health()  # what is wrong with it is said before the export, not after
    scene, strip = _chosen(arguments)
    folder = _exported(scene, strip, _root(arguments), tell)
    _save()
    session = Session()
    session.start(strip.name, lambda cancelled: deliver(server, folder, cancelled))
    result = _awaited(session, strip.name, tell)
    new = take.import_take(scene, Path(result), strip=strip)
    _save()
    tell("done", export=str(folder), take=result, strips=[one.name for one in new], message=take.summary(new[0]))


def _exported(scene: bpy.types.Scene, strip: timeline.Strip, root: Path, tell: Tell) -> Path:
    return background.in_place(prepare(scene, strip, root)[0], lambda step: _tell_step(step, tell))


def _awaited(session: Session, ticket: str, tell: Tell) -> str:
    """The result of a work. Ctrl-C asks it to stop and waits until it has."""
    while True:
        try:
            for news in session.wait(ticket):
                if news.problem:
                    raise news.problem
                if news.result:
                    return news.result
                if news.step:
                    _tell_step(news.step, tell)
        except KeyboardInterrupt:
            session.cancel(ticket)


def _chosen(arguments: argparse.Namespace) -> tuple[bpy.types.Scene, timeline.Strip]:
    scene = _scene(arguments)
    return scene, _strip(scene, arguments.strip)


def _scene(arguments: argparse.Namespace) -> bpy.types.Scene:
    if arguments.scene is None:
        return timeline.sequencer_scene(bpy.context)
    if arguments.scene not in bpy.data.scenes:
        known = ", ".join(sorted(bpy.data.scenes.keys()))
        raise BadInput(f"the file has no scene {arguments.scene!r}; choose one of {known}")
    return bpy.data.scenes[arguments.scene]


def _strip(scene: bpy.types.Scene, name: str) -> timeline.Strip:
    strips = timeline.strips_all(scene.sequence_editor) if scene.sequence_editor else {}
    if name not in strips.keys():  # noqa: SIM118  a Blender collection tests its items, not its names
        known = ", ".join(sorted(strips.keys())[:20]) or "none"
        raise BadInput(f"the scene {scene.name!r} has no strip {name!r}; its strips are: {known}")
    return strips[name]


def _root(arguments: argparse.Namespace) -> Path:
    return arguments.out.resolve() if arguments.out else preferences.shots_folder()


def _token(arguments: argparse.Namespace) -> str:
    if not arguments.token_file:
        return preferences.token()
    try:
        return arguments.token_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise BadInput(f"cannot read the token from {arguments.token_file} ({error.strerror or error})") from error


def _save() -> None:
    if not bpy.data.filepath:
        raise BadInput("the file was never saved, so that nothing can be kept in it; save it first")
    try:
        bpy.ops.wm.save_mainfile()
    except RuntimeError as error:
        raise BadInput(f"cannot save {bpy.data.filepath} ({error}); make it writable") from error


def _tell_step(step: Step, tell: Tell) -> None:
    job = step.job.to_json() if step.job else None
    tell(step.stage, progress=step.progress, message=step.message, job=job)


def _tell_json(stage: str, **what: object) -> None:
    sys.stdout.write(json.dumps({"stage": stage, **what}) + "\n")
    sys.stdout.flush()


def _tell_nothing(stage: str, **what: object) -> None:
    """Without `--json` only a problem is said."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}; see 'blender --command {NAME} --help'")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=f"blender -b FILE --command {NAME}", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    one = verbs.add_parser("export", help="write the shot folder of a strip")
    one.set_defaults(verb=_export)
    two = verbs.add_parser("import", help="put a take above the strip that it was made from, and save the file")
    two.set_defaults(verb=_import)
    two.add_argument("--take", type=Path, required=True, help="folder of the take, such as SH010/takes/v001")
    three = verbs.add_parser("generate", help="export, have it rendered, import, and save the file")
    three.set_defaults(verb=_generate)
    three.add_argument("--server", required=True, metavar="URL", help="address, such as http://127.0.0.1:8188")
    three.add_argument("--token-file", type=Path, help="file with the server's token")
    for verb in (one, two, three):
        verb.add_argument("--scene", help="scene of the sequencer; else the one that is open")
        verb.add_argument("--strip", required=verb is not two, help="name of the strip")
        verb.add_argument("--json", action="store_true", help="say how far it is, one JSON object a line")
    for verb in (one, three):
        verb.add_argument("--out", type=Path, help="folder of all shots; else the one of the preferences")
    return parser


def register() -> None:
    global _command
    _command = bpy.utils.register_cli_command(NAME, main)


def unregister() -> None:
    bpy.utils.unregister_cli_command(_command)
