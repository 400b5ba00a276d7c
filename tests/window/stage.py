"""What runs inside a Blender with a window: steps with pauses in which Blender draws, and somebody outside looks.

Writes NAME.ready beside the scene when there is something to be seen and waits for NAME.done; FOLDER/failed says what
went wrong. Leaves by itself.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import bpy

FOLDER = Path(sys.argv[sys.argv.index("--") + 1])
PATIENCE = 60.0


def region_of(area: bpy.types.Area, kind: str) -> bpy.types.Region:
    return next(region for region in area.regions if region.type == kind)


def pin(window: bpy.types.Window, edit: bpy.types.Scene, stage: bpy.types.Scene) -> None:
    """Edit one scene while the window shows another. Since 5.0 the sequencer's is chosen apart from the window's."""
    if hasattr(window.workspace, "sequencer_scene"):
        window.scene, window.workspace.sequencer_scene = stage, edit
    else:
        window.scene = edit


def until(there: Callable[[], object], instead: Callable[[], object] = lambda: "") -> Iterator[float]:
    """Wait until something is there; `instead` says what was."""
    end = time.monotonic() + PATIENCE
    while not there():
        if time.monotonic() > end:
            raise TimeoutError(f"what was waited for never came: {instead()}")
        yield 0.1


def shown(name: str) -> Iterator[float]:
    """Give Blender the time to draw, also what it moves slowly, and somebody outside to look at it."""
    yield 1.0
    for area in bpy.context.window_manager.windows[0].screen.areas:
        area.tag_redraw()
    yield 1.0
    (FOLDER / f"{name}.ready").touch()
    yield from until((FOLDER / f"{name}.done").exists)


def play(steps: Iterator[float]) -> None:
    bpy.context.preferences.view.show_splash = False
    bpy.app.timers.register(lambda: _next(steps), first_interval=2.0, persistent=True)


def _next(steps: Iterator[float]) -> float | None:
    try:
        return next(steps)
    except StopIteration:
        pass
    except Exception:  # noqa: BLE001 – told to the test, which waits outside
        (FOLDER / "failed").write_text(traceback.format_exc())
    bpy.ops.wm.quit_blender()
    return None
