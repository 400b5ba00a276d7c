"""Linked things whose library is gone: Blender puts an empty in their place. Knows no strips and no exports."""

from __future__ import annotations

from collections.abc import Iterable

import bpy

from .wire import BadInput


def check(things: Iterable[bpy.types.Object]) -> None:
    """Raise `BadInput` naming the first of `things` that is not what it was when its library was there."""
    for thing in things:
        for owner in filter(None, (thing, thing.data)):
            if owner.is_missing:
                raise BadInput(
                    f"{owner.name!r} is linked from {_library(owner).filepath}, where it is not found; "
                    "restore the file, or relocate the library in the Outliner"
                )


def _library(owner: bpy.types.ID) -> bpy.types.Library:
    return owner.library or owner.override_library.reference.library
