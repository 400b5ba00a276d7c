"""What people have changed and not keyed yet. A render evaluates the scene anew, which sets it back to its keys."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import bpy

from . import timeline

Place = tuple[bpy.types.ID, str, int]
"""A datablock, and the path and index of a property of it that has keyframes."""


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Bring everything that has keyframes back to the value that it has now."""
    before = {place: _value(*place) for place in _keyed()}
    try:
        yield
    finally:
        for place, value in before.items():
            if value is not None and _value(*place) != value:
                _set(*place, value)


def _keyed() -> Iterator[Place]:
    kinds = [name for name, kind in bpy.data.bl_rna.properties.items() if kind.type == "COLLECTION"]
    for block in (block for kind in kinds for block in getattr(bpy.data, kind)):
        if isinstance(block, bpy.types.ID) and getattr(block, "animation_data", None):
            yield from ((block, curve.data_path, curve.array_index) for curve in timeline.curves(block.animation_data))


def _value(block: bpy.types.ID, path: str, index: int) -> Any:
    """None where the path leads nowhere, as that of a bone that was renamed."""
    try:
        found = block.path_resolve(path)
    except ValueError:
        return None
    return found[index] if _is_array(found) else found


def _set(block: bpy.types.ID, path: str, index: int, value: Any) -> None:
    found = block.path_resolve(path)
    is_added = path.endswith("]")  # by people, such as ["speed"]
    end = path.rindex("[") if is_added else path.rfind(".")
    owner = block.path_resolve(path[:end]) if end > 0 else block
    if _is_array(found):
        found[index] = value
    elif is_added:
        owner[path[end + 2 : -2]] = value
    else:
        setattr(owner, path[end + 1 :], value)


def _is_array(value: Any) -> bool:
    return hasattr(value, "__getitem__") and not isinstance(value, str)
