"""`blender -b FILE --command wan_animate export|import|generate|submit …`: the panel's verbs, without a window."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NoReturn

import bpy

from . import checks, export, extending, ledger, nuke, preferences, retaking, take, timeline
from .chain import chain
from .client import Server
from .commission import Request
from .delivery import PATIENCE_SECONDS, deliver, expect_job
from .ending import Ended, Ending, interruptible, while_wanted
from .farm import submitting, verbs
from .headless import Tell, exporting, run, save, save_copy, tell_nothing, teller
from .request import prepare
from .session import Cancelled, Step, Work
from .wire import TAKES, BadInput, Dialect, ExitCode, Interrupted, Problem, Retake, overridden

NAME = "wan_animate"


def main(argv: list[str]) -> int:
    """Run the words after `--command wan_animate`; the process ends with what this returns."""
    say = tell_nothing
    try:
        arguments = _parser().parse_args(argv)
        say = teller(as_json=arguments.json, dialect=arguments.progress and Dialect(arguments.progress))
        with Ending() as ending:
            arguments.verb(arguments, partial(_tell_unless_ended, ending, say))
    except Problem as problem:
        return _failed(problem, say)
    except Ended as end:
        _failed(Interrupted("interrupted; what was begun is removed, what was finished is kept"), say)
        return int(end.exit_code)
    except SystemExit as end:  # --help
        return int(end.code or ExitCode.DONE)
    return int(ExitCode.DONE)


def _failed(problem: Problem, tell: Tell) -> int:
    tell("failed", message=str(problem))
    sys.stderr.write(f"{problem}\n")
    return int(problem.exit_code)


def _export(arguments: argparse.Namespace, tell: Tell) -> None:
    if arguments.shot:
        _expect_alone(arguments)
        verbs.export_shot(arguments, _root(arguments), tell)
        return
    scene, strip = _chosen(arguments)
    was_marked = bool(strip.wan_animate.uid)
    asked = _person(_requests(arguments, scene, strip), arguments.person)
    only = range(*arguments.only) if arguments.only else None
    asked = replace(asked, base=arguments.base and arguments.base.resolve(), only=only)
    with while_wanted() if arguments.temporary else contextlib.nullcontext():
        folder = run(exporting(export.export(asked), Cancelled()), tell)
    if not was_marked:  # else its takes would not find it in the file
        save()
    tell("done", export=str(folder))


def _expect_alone(arguments: argparse.Namespace) -> None:
    if arguments.scene or arguments.person or arguments.only or arguments.temporary:
        raise BadInput("--scene, --person and --only go with --strip; --shot says all of that")


def _import(arguments: argparse.Namespace, tell: Tell) -> None:
    if arguments.submission:
        verbs.import_submission(arguments, tell)
        return
    if arguments.render_edit or arguments.out:
        raise BadInput("--render-edit and --out go with --submission; a take is imported from where it lies")
    scene = _scene(arguments)
    strip = _strip(scene, arguments.strip) if arguments.strip else None
    folder = arguments.take.resolve()
    options = take.Options(make_room=arguments.make_room, use_in_effects=arguments.use_in_effects)
    new = take.import_take(scene, folder, strip=strip, options=options)
    script = {"script": str(nuke.write(folder))} if arguments.nuke else {}
    save_copy(arguments.save_as.resolve()) if arguments.save_as else save()
    tell("done", strips=[one.name for one in new], **script, message=take.summary(new[0]))


def _submit(arguments: argparse.Namespace, tell: Tell) -> None:
    submitting.submit_marked(arguments, _root(arguments), tell)


def _generate(arguments: argparse.Namespace, tell: Tell) -> None:
    _expect_of_one_kind(arguments)
    server = preferences.server(arguments.server, _token(arguments))
    server.health()  # what is wrong with it is said before the export, not after
    scene, strip = _chosen(arguments)
    requests = _requests(arguments, scene, strip)
    cancelled = Cancelled()
    exports: list[str] = []
    takes: list[str] = []
    new: list[timeline.Strip] = []
    if arguments.retake:
        work = _anew(arguments, server, _person(requests, arguments.person), cancelled)
    else:
        jobs = extending.begun(requests) if arguments.extend else {}
        work = _exported(server, requests, jobs, cancelled, exports)
    save()

    def receive(step: Step) -> None:
        if step.job and step.takes:
            ledger.note(requests[0].uid, step.job, step.server, step.takes)
        if step.take:
            takes.append(str(step.take))
            new.extend(take.import_take(scene, step.take, strip=strip))
            ledger.end(requests[0].uid, take.read(step.take).job)  # else a window would import it once more
            save()

    with interruptible(cancelled):
        run(work, tell, receive)
    what = {"exports": exports, "takes": takes, "strips": [one.name for one in new]}
    tell("done", **what, message="; ".join(map(take.summary, new)))


def _expect_of_one_kind(arguments: argparse.Namespace) -> None:
    if arguments.retake and arguments.extend:
        raise BadInput("--retake and --extend are two takes; extend first, then take again what you want")
    if not arguments.retake and (arguments.person or arguments.seed is not None):
        raise BadInput("--person and --seed are of a re-take; give its frames, as --retake 1040-1060")
    if arguments.retake and arguments.set:
        raise BadInput("a re-take has the settings of its take, but for --seed; leave out --set")


def _exported(
    server: Server, requests: Sequence[Request], begun: Mapping[str, str], cancelled: Cancelled,
    exports: list[str],
) -> Work[str]:  # fmt: skip
    """Export everybody, and have all made, or what the takes of the jobs `begun` lack; `exports` gets the folders."""
    checks.check_all(requests)
    for job in begun.values():  # said before anything is exported
        expect_job(server, job)

    def make(index: int, base: Path | None) -> Work[Path]:
        request = replace(requests[index], base=base)
        folder = yield from exporting(export.export(request), cancelled)
        exports.append(str(folder))
        return Path((yield from deliver(server, folder, cancelled, PATIENCE_SECONDS, begun.get(request.name, ""))))

    return chain([request.person for request in requests], make)


def _anew(arguments: argparse.Namespace, server: Server, request: Request, cancelled: Cancelled) -> Work[str]:
    """Have frames of the newest take of one person made anew."""
    wanted = Retake.read(arguments.retake, arguments.seed)
    old = extending.newest(request)
    if old is None:
        raise BadInput(f"there is no complete take in {request.root / request.name}; generate the strip first")
    return retaking.anew(server, old, wanted, request.root / request.name / TAKES)(cancelled)


def _requests(arguments: argparse.Namespace, scene: bpy.types.Scene, strip: timeline.Strip) -> list[Request]:
    """What the strip asks for, each with what the command line sets otherwise; the strip keeps its own."""
    return [
        replace(request, settings=overridden(request.settings, arguments.set))
        for request in prepare(scene, strip, _root(arguments))
    ]


def _person(requests: list[Request], name: str | None) -> Request:
    """The request for the person called `name`; needs none where there is only one."""
    found = [request for request in requests if name in (None, request.person)]
    if len(found) != 1:
        given = f"{len(found)} people called {name!r}" if name else "several people"
        known = ", ".join(request.person for request in requests)
        raise BadInput(f"the strip {requests[0].strip.name!r} has {given}; choose one of {known} by --person")
    return found[0]


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


def _tell_unless_ended(ending: Ending, say: Tell, stage: str, **what: object) -> None:
    ending.check()
    say(stage, **what)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}; see 'blender --command {NAME} --help'")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=f"blender -b FILE --command {NAME}", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _add_export(verbs.add_parser("export", help="write the shot folder of a strip"))
    _add_import(verbs.add_parser("import", help="put takes above the strips that they were made from, and save"))
    _add_generate(verbs.add_parser("generate", help="export, have it rendered, import, and save the file"))
    _add_submit(verbs.add_parser("submit", help="hand all marked strips to a render farm"))
    return parser


def _add_export(one: argparse.ArgumentParser) -> None:
    one.set_defaults(verb=_export)
    which = one.add_mutually_exclusive_group(required=True)
    which.add_argument("--strip", help="name of the strip")
    which.add_argument(
        "--shot", metavar="SHOT/EXPORT", help="of whatever scene: exactly this export, unless it is there"
    )
    one.add_argument("--person", metavar="NAME", help="whom of the strip's people; needed where there are several")
    one.add_argument(
        "--base", type=Path, metavar="TAKE", help="take, or export with one, that is the plate: people behind are in it"
    )
    one.add_argument(
        "--only", type=int, nargs=2, metavar=("FIRST", "END"), help="frames of the timeline, the last one left out"
    )
    one.add_argument("--temporary", action="store_true", help=argparse.SUPPRESS)
    _add_out(one)
    _add_settings(one)
    _add_shared(one)


def _add_import(two: argparse.ArgumentParser) -> None:
    two.set_defaults(verb=_import)
    which = two.add_mutually_exclusive_group(required=True)
    which.add_argument("--take", type=Path, help="folder of the take, such as SH010/takes/v001")
    which.add_argument("--submission", type=Path, help="submission.json: the newest take of each of its shots")
    two.add_argument("--strip", help="name of the strip")
    two.add_argument("--make-room", action="store_true", help="move what is above the strip up, where it must")
    two.add_argument("--use-in-effects", action="store_true", help="let effects on the strip show the take")
    two.add_argument("--nuke", action="store_true", help="write a script for Nuke beside the take")
    two.add_argument("--save-as", type=Path, metavar="FILE", help="save a copy there and leave the file as it is")
    two.add_argument("--render-edit", type=Path, metavar="FOLDER", help="then render the edits of the submission there")
    _add_out(two)
    _add_shared(two)


def _add_generate(three: argparse.ArgumentParser) -> None:
    three.set_defaults(verb=_generate)
    three.add_argument("--strip", required=True, help="name of the strip")
    three.add_argument("--server", required=True, metavar="URL", help="address, such as http://127.0.0.1:8188")
    three.add_argument("--token-file", type=Path, help="file with the server's token")
    three.add_argument("--extend", action="store_true", help="only the frames that the newest take lacks")
    three.add_argument("--retake", metavar="FIRST-LAST", help="only these frames of the newest take anew, as 1040-1060")
    three.add_argument("--seed", type=int, help="of the frames that --retake makes")
    three.add_argument("--person", metavar="NAME", help="of whom --retake is, where there are several people")
    _add_out(three)
    _add_settings(three)
    _add_shared(three)


def _add_submit(four: argparse.ArgumentParser) -> None:
    four.set_defaults(verb=_submit)
    four.add_argument("--engine", required=True, choices=submitting.ENGINES)
    four.add_argument(
        "--to", metavar="PLACE", help="folder for another copy of the bundle, or Flamenco Manager's address"
    )
    four.add_argument("--strip", action="append", metavar="NAME", help="only this strip; may be given again")
    four.add_argument("--dry-run", action="store_true", help="say as JSON what would be submitted, and write nothing")
    four.add_argument("--allow-missing", action="store_true", help="also while files are missing")
    four.add_argument(
        "--gpu-memory", type=float, metavar="GIB", help="that each render needs; else the server is asked"
    )
    four.add_argument("--device", default="cuda", choices=("cuda", "cpu"), help="what renders there")
    four.add_argument("--chunk", type=int, metavar="N", help="shots that share one warm model at most (openjd)")
    four.add_argument("--save-as", type=Path, metavar="FILE", help="what the farm saves with all takes in it")
    four.add_argument("--render-edit", type=Path, metavar="FOLDER", help="let the farm render the edits there, too")
    _add_out(four)
    _add_told(four)


def _add_out(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--out", type=Path, help="folder of all shots; else the one of the preferences")


def _add_settings(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE",
        help="another setting than the strip's, such as steps=4 or finish.seams=0.5; may be given again",
    )  # fmt: skip


def _add_shared(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--scene", help="scene of the sequencer; else the one that is open")
    _add_told(verb)


def _add_told(verb: argparse.ArgumentParser) -> None:
    how = verb.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="say how far it is, one JSON object a line")
    how.add_argument(
        "--progress", choices=[dialect.value for dialect in Dialect], help="say it in lines that this engine reads"
    )


def register() -> None:
    global _command
    _command = bpy.utils.register_cli_command(NAME, main)


def unregister() -> None:
    bpy.utils.unregister_cli_command(_command)
