"""What a person assigned to bones by hand, for several rigs, as one text: a strip can carry it, a linked rig cannot.

The text is JSON: {"library.blend|Armature": {"elbow.L": "forearm@0.5"}}.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from ..wire import BadInput
from .bonemap import Spot, spot
from .points import ASSIGNABLE


def of(text: str, rig: str) -> dict[str, Spot]:
    """What `text` has assigned for the rig of the key `rig`. Raises `BadInput` for a damaged text."""
    assigned = _loads(text).get(rig, {})
    if unknown := set(assigned) - set(ASSIGNABLE):
        raise BadInput(f"the stored bones assign {min(unknown)!r}, which is no keypoint; reset the bones")
    return {point: spot(place) for point, place in assigned.items()}


def changed(text: str, rig: str, assignment: Mapping[str, Spot]) -> str:
    """`text` with another assignment for `rig`; empty where nothing is left of any rig."""
    everything = _loads(text) | {rig: {point: str(place) for point, place in assignment.items()}}
    kept = {key: points for key, points in everything.items() if points}
    return json.dumps(kept, ensure_ascii=False) if kept else ""


def _loads(text: str) -> dict[str, dict[str, str]]:
    try:
        data = json.loads(text or "{}")
    except ValueError as error:
        raise BadInput(f"the stored bones are damaged ({error}); reset the bones") from error
    if not isinstance(data, dict) or not all(_is_assignment(points) for points in data.values()):
        raise BadInput("the stored bones are damaged; reset the bones")
    return data


def _is_assignment(points: object) -> bool:
    return isinstance(points, dict) and all(isinstance(place, str) for place in points.values())
