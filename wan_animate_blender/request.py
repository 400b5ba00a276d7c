"""From what is set on a strip to the request for its export. Knows nothing of panels, files of a shot or servers."""

from __future__ import annotations

from pathlib import Path

import bpy

from . import export, identity, matte, timeline
from .wire import FaceSource, Mode, RasterKind


def prepare(scene: bpy.types.Scene, strip: timeline.Strip, root: Path) -> export.Request:
    """Give `strip` its identity and its shot's name, and return what to export. Raises `BadInput` for its settings."""
    identity.mark(scene, strip)
    strip.wan_animate.shot = strip.wan_animate.shot or _free_name(root)
    return request(scene, strip, root)


def request(scene: bpy.types.Scene, strip: timeline.Strip, root: Path) -> export.Request:
    """What to export below `root`, without changing anything. Raises `BadInput` for settings that no model takes."""
    ours = strip.wan_animate
    return export.Request(
        scene=scene,
        strip=strip,
        root=root,
        name=ours.shot or _free_name(root),
        uid=ours.uid,
        mode=Mode(ours.mode),
        raster=RasterKind(ours.raster),
        handles=ours.handles,
        rig=ours.rig,
        rig_scene=ours.rig_scene or _scene_of(ours.rig),
        rig_time=export.RigTime(ours.rig_time),
        rig_start=ours.rig_start if ours.use_rig_start else None,
        camera=ours.camera,
        character=_picture(ours.character),
        matte=_matte(scene, strip),
        face=FaceSource(ours.face),
        settings=ours.settings(),
    )


def _free_name(root: Path) -> str:
    """SH010, SH020 …: the first that neither a strip nor a folder has."""
    taken = {strip.wan_animate.shot for _, strip in identity.all_strips()}
    number = 10
    while (name := f"SH{number:03d}") in taken or (root / name).exists():
        number += 10
    return name


def _scene_of(rig: bpy.types.Object | None) -> bpy.types.Scene | None:
    return next((scene for scene in bpy.data.scenes if rig and scene.objects.get(rig.name) == rig), None)


def _picture(image: bpy.types.Image | None) -> Path | None:
    return Path(bpy.path.abspath(image.filepath, library=image.library)) if image else None


def _matte(scene: bpy.types.Scene, strip: timeline.Strip) -> matte.Matte | None:
    """None while the thing that the matte is to come from is not chosen."""
    ours = strip.wan_animate
    match ours.matte:
        case "RIG":
            return matte.FromRig()
        case "COLLECTION" if ours.matte_collection:
            return matte.FromCollection(ours.matte_collection)
        case "MASK" if ours.matte_mask:
            return matte.FromMask(ours.matte_mask)
        case "STRIP" if found := timeline.path(scene.sequence_editor, ours.matte_strip):
            return matte.FromStrip(found[-1])
    return None
