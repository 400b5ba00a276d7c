"""Wan Animate for Blender's sequencer. Imports without bpy: the server takes `wire` from here."""


def register() -> None:
    from . import commands, desk, operators, panels, preferences, properties

    for module in (preferences, properties, desk, operators, panels, commands):
        module.register()


def unregister() -> None:
    from . import commands, desk, operators, panels, preferences, properties

    for module in (commands, panels, operators, desk, properties, preferences):
        module.unregister()
