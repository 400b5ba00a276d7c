"""The add-on as Blender has installed it, for what runs inside Blender: only what the demo uses of it."""

from importlib import import_module

timeline = import_module("bl_ext.user_default.wan_animate.timeline")
