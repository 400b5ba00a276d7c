"""Whether a Blender without a window can draw with OpenGL on this machine. Knows nothing of strips or shots."""

from __future__ import annotations

import functools
import subprocess
import sys

import bpy

PROBE = """
import ctypes
egl = ctypes.CDLL("libEGL.so.1")
egl.eglGetPlatformDisplay.restype = ctypes.c_void_p
egl.eglGetPlatformDisplay.argtypes = ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p
egl.eglInitialize.argtypes = ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p
display = egl.eglGetPlatformDisplay(0x31DD, None, None)  # EGL_PLATFORM_SURFACELESS_MESA
raise SystemExit(not (display and egl.eglInitialize(display, None, None)))
"""
"""What Blender's headless GHOST asks for. In a process of its own, because drivers may end the one that asks."""
SECONDS = 20
DRAWN = ("BLENDER_", "HYDRA_STORM")
"""Beginnings of the names of engines that draw with OpenGL."""


def is_missing(scene: bpy.types.Scene) -> bool:
    """Whether rendering `scene` without a window would end the whole process, which no code can catch."""
    return scene.render.engine.startswith(DRAWN) and not works()


@functools.cache
def works() -> bool:
    """Whether a Blender without a window finds a graphics driver. Asked once."""
    if sys.platform != "linux":
        return True  # Windows and macOS always have a driver, be it the system's own
    try:
        probe = subprocess.run(
            [sys.executable, "-I", "-S", "-c", PROBE], timeout=SECONDS, capture_output=True, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return probe.returncode == 0
