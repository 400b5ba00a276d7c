"""Wan Animate for Blender's sequencer. Imports without bpy: the server takes `wire` from here."""

from importlib import import_module

ROOMS = (
    "preferences", "proportions", "person", "ledger", "finish", "properties", "desk", "operators", "people",
    "casting", "presets", "panels", "proofing", "listing", "stacking", "masking", "bones", "fitting", "overlay",
    "resumption", "farm.receiving", "jobs", "turns", "retaking", "extending", "farm.choice", "farm.panel", "hosting",
    "commands",
)  # fmt: skip
"""What Blender has to know of, in the order in which it may."""


def register() -> None:
    for room in ROOMS:
        import_module(f".{room}", __package__).register()


def unregister() -> None:
    for room in reversed(ROOMS):
        import_module(f".{room}", __package__).unregister()
