"""Drivers that Blender did not evaluate, and whether this Blender runs scripts. Knows no strips and no exports.

What was measured in 4.2, 4.5 and 5.2 alike: where scripts are blocked, a driver whose expression needs them gives 0,
its `is_valid` becomes false and `bpy.app.autoexec_fail` true, each when it is evaluated for the first time; when only
a render evaluates it, the latter alone. Simple expressions, and others of numbers alone such as `sum([frame, 1])`, are
evaluated all the same.
"""

from __future__ import annotations

import builtins
import fnmatch
import math
import sys
from collections.abc import Iterable, Iterator

import bpy

from .wire import BadInput

SWITCHES = {"-y": True, "--enable-autoexec": True, "-Y": False, "--disable-autoexec": False}
"""Blender's arguments that decide, whatever the preferences say."""

HARMLESS = {*dir(builtins), *dir(math), "lerp", "smoothstep", "clamp", "frame", "self", "depsgraph"}
"""Names that an expression may use where scripts are blocked, and some that it may not: no proof of a script."""

Owned = tuple[bpy.types.ID, bpy.types.FCurve]


def check(things: Iterable[bpy.types.Object]) -> None:
    """Raise `BadInput` naming the first driver of `things` that is not evaluated. They must have been, before."""
    for owner, curve in _drivers(things):
        if not curve.driver.is_valid or (bpy.app.autoexec_fail and _needs_scripts(curve.driver)):
            raise BadInput(_sentence(owner, curve))


def _sentence(owner: bpy.types.ID, curve: bpy.types.FCurve) -> str:
    what = f"the driver of {owner.name!r}, {curve.data_path}"
    if bpy.app.autoexec_fail:
        return (
            f"{what}, needs scripts and they are blocked, so that the pose would be wrong; open the file again with "
            "Trusted Source, allow scripts in the preferences, or start Blender with --enable-autoexec"
        )
    return f"{what}, cannot be evaluated, so that the pose would be wrong; mend its expression or remove it"


def scripts_run(things: Iterable[bpy.types.Object]) -> bool:
    """Whether this session runs the scripts of its file: what a background Blender may do for it, then, too.

    Blender does not tell when a file was opened as a trusted one. It shows when a driver of `things` was evaluated
    that only scripts can evaluate.
    """
    if bpy.app.autoexec_fail:
        return False
    told = [SWITCHES[word] for word in sys.argv if word in SWITCHES]
    if told[-1] if told else _is_trusted(bpy.data.filepath):
        return True
    return any(curve.driver.is_valid and _needs_scripts(curve.driver) for _, curve in _drivers(things))


def _is_trusted(file: str) -> bool:
    """What the preferences say about `file`: all are trusted or none, save those in folders that are left out."""
    preferences = bpy.context.preferences
    left_out = any(
        fnmatch.fnmatchcase(file, one.path) if one.use_glob else file.startswith(one.path)
        for one in preferences.autoexec_paths
        if one.path
    )
    return preferences.filepaths.use_scripts_auto_execute and not left_out


def _needs_scripts(driver: bpy.types.Driver) -> bool:
    if driver.type != "SCRIPTED" or driver.is_simple_expression:
        return False
    names = {*compile(driver.expression.strip(), "driver", "eval").co_names}
    return bool(names - HARMLESS - {variable.name for variable in driver.variables})


def _drivers(things: Iterable[bpy.types.Object]) -> Iterator[Owned]:
    """All drivers that are switched on of `things`, of their data and of its shape keys. Bones' are their rig's."""
    for thing in things:
        for owner in (thing, thing.data, getattr(thing.data, "shape_keys", None)):
            if owner and owner.animation_data:
                yield from ((owner, curve) for curve in owner.animation_data.drivers if not curve.mute)
