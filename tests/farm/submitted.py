"""Submissions as the add-on writes them, for tests of what becomes of them on a farm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wan_animate_blender import wire
from wan_animate_blender.farm.flamenco import Order
from wan_animate_blender.farm.submission import Submission, SubmittedShot

GB = 10**9


def shot(folder: str, **changes: Any) -> SubmittedShot:
    given: dict[str, Any] = {
        "scene": "Edit", "strip": folder.split("/")[0].lower(), "uid": f"uid of {folder}", "person": "Hero",
        "mode": wire.Mode.REPLACE, "model": "puppet", "precision": next(iter(wire.Precision)), "frames": 40,
        "width": 1280, "height": 720, "gpu_memory": 20 * GB,
    }  # fmt: skip
    return SubmittedShot(folder=folder, **(given | changes))


def submission(*shots: SubmittedShot) -> Submission:
    return Submission(name="edit f001", file="edit.blend", blender="4.5.3", shots=shots or (shot("SH010/e003"),))


def order(*shots: SubmittedShot, **changes: Any) -> Order:
    return Order(**{"submission": submission(*shots), "folder": Path("/mnt/shots/farm/f001")} | changes)
