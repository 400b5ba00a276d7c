"""From what is set on a strip to the request for its export. Knows nothing of panels, files of a shot or servers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import bpy

from . import clip, commission, face, identity, matte, timeline
from .edges import Edges
from .person import WanAnimatePerson
from .properties import WanAnimateStrip
from .wire import BadInput, FaceSource, MapUse, Mode, RasterKind, Settings


def prepare(scene: bpy.types.Scene, strip: timeline.Strip, root: Path) -> list[commission.Request]:
    """Give `strip` its identity, and it and its people the names of their shots; what to export, back to front.

    Raises `BadInput` for its settings.
    """
    identity.mark(scene, strip)
    ours = strip.wan_animate
    if not len(ours.people):
        ours.add_person()
    ours.shot = ours.shot or _free_name(root)
    for person, name in zip(ours.people, _names(ours.people, ours.shot), strict=True):
        person.shot = name
    return requests(scene, strip, root)


def requests(scene: bpy.types.Scene, strip: timeline.Strip, root: Path) -> list[commission.Request]:
    """What to export below `root` for each person, back to front, without changing anything.

    Raises `BadInput` for settings that no model takes.
    """
    ours = strip.wan_animate
    _check_people(ours)
    names = _names(ours.people, ours.shot or _free_name(root))
    rigs = [person.rig for person in ours.people]
    return [
        replace(_request(scene, strip, root, person, name), front=tuple(filter(None, rigs[index + 1 :])))
        for index, (person, name) in enumerate(zip(ours.people, names, strict=True))
    ]


def _check_people(ours: WanAnimateStrip) -> None:
    names = ours.people.keys()
    if twice := [name for name in names if names.count(name) > 1]:
        raise BadInput(f"two people are called {twice[0]!r}; rename one of them")
    if len(names) > 1 and ours.mode == Mode.ANIMATE:
        raise BadInput(
            f"the mode 'animate' gives every character a background of its own, and here are {len(names)} people; "
            "keep one of them, or choose the mode 'replace'"
        )


def request(scene: bpy.types.Scene, strip: timeline.Strip, root: Path) -> commission.Request:
    """What to export for the active person. Raises `BadInput` like `requests`, and while there is nobody."""
    found = requests(scene, strip, root)
    if not found:
        raise BadInput(f"the strip {strip.name!r} has no person yet; open the panel Wan Animate on it")
    return found[min(strip.wan_animate.active_person, len(found) - 1)]


def _request(
    scene: bpy.types.Scene, strip: timeline.Strip, root: Path, person: WanAnimatePerson, name: str
) -> commission.Request:  # fmt: skip
    ours = strip.wan_animate
    return commission.Request(
        scene=scene,
        strip=strip,
        root=root,
        name=name,
        uid=ours.uid,
        person=person.name,
        mode=Mode(ours.mode),
        raster=RasterKind(ours.raster),
        handles=ours.handles,
        rig=person.rig,
        assignment=person.assignment(),
        retarget=person.proportions.read(),
        rig_scene=scene_of(person),
        rig_time=commission.RigTime(person.rig_time),
        rig_start=person.rig_start if person.use_rig_start else None,
        camera=ours.camera,
        lens=lens_of(ours),
        character=person.character,
        matte=_matte(scene, strip, person),
        edges=Edges(person.matte_grow, person.matte_feather),
        region=_region(scene, person),
        effects=_effects(scene, person),
        clean_plate=_clean_plate(scene, ours.clean_plate),
        face=FaceSource(person.face),
        face_engine=face.Engine(person.face_engine),
        face_strip=_strip(scene, person.face_strip),
        face_still=person.face_still,
        settings=_settings(ours, person),
        provenance=ours.provenance(),
    )


def _names(people: Iterable[WanAnimatePerson], shot: str) -> list[str]:
    """Names of the people's shots: the one that a person has already, else `shot`, else `shot` with the person's name.

    They stay with the person whatever becomes of the order, so that everybody's takes are found again.
    """
    people = list(people)
    kept = [person.shot if person.shot == shot or person.shot.startswith(f"{shot}_") else "" for person in people]
    names: list[str] = []
    for person, old in zip(people, kept, strict=True):
        wanted = (shot, *(f"{shot}_{_plain(person.name)}{end}" for end in ("", *range(2, len(people) + 2))))
        names.append(old if old and old not in names else next(name for name in wanted if name not in (*kept, *names)))
    return names


def _plain(name: str) -> str:
    """What of a person's name may be in a folder's."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:32] or "person"


def _free_name(root: Path) -> str:
    """SH010, SH020 …: the first that neither a strip nor a folder has."""
    taken = {strip.wan_animate.shot for _, strip in identity.all_strips()}
    number = 10
    while (name := f"SH{number:03d}") in taken or (root / name).exists():
        number += 10
    return name


def scene_of(person: WanAnimatePerson) -> bpy.types.Scene | None:
    """The 3D scene of a person: the chosen one, or the first that the rig is in."""
    rig = person.rig
    found = (scene for scene in bpy.data.scenes if rig and scene.objects.get(rig.name) == rig)
    return person.rig_scene or next(found, None)


def lens_of(ours: WanAnimateStrip) -> clip.Source | None:
    """None while the clip or map that the lens is to come from is not chosen."""
    match ours.lens:
        case "CLIP" if ours.lens_clip:
            return clip.FromClip(ours.lens_clip)
        case "MAP" if ours.lens_map:
            return clip.FromMap(ours.lens_map, MapUse(ours.lens_map_use))
    return None


def _strip(scene: bpy.types.Scene, name: str) -> timeline.Strip | None:
    return next(iter(timeline.path(scene.sequence_editor, name)[-1:]), None)


def _matte(scene: bpy.types.Scene, strip: timeline.Strip, person: WanAnimatePerson) -> matte.Matte | None:
    """None while the thing that the matte is to come from is not chosen."""
    match person.matte:
        case "RIG":
            return matte.FromRig(person.motion_blur)
        case "COLLECTION" if person.matte_collection:
            return matte.FromCollection(person.matte_collection, person.motion_blur)
        case "MASK" if person.matte_mask:
            return matte.FromMask(person.matte_mask)
        case "STRIP" if found := _strip(scene, person.matte_strip):
            return matte.FromStrip(found, matte.Channel(person.matte_channel))
        case "ALPHA":
            return matte.FromStrip(strip, matte.Channel.ALPHA)
    return None


def _region(scene: bpy.types.Scene, person: WanAnimatePerson) -> matte.Matte | None:
    """None is automatic. Raises `BadInput` while the thing that the region is to come from is not chosen."""
    match person.region:
        case "AUTO":
            return None
        case "MASK" if person.region_mask:
            return matte.FromMask(person.region_mask)
        case "STRIP" if found := _strip(scene, person.region_strip):
            return matte.FromStrip(found)
    raise BadInput(f"no {person.region.lower()} is chosen as region; choose one, or the region 'Automatic'")


def _effects(scene: bpy.types.Scene, person: WanAnimatePerson) -> matte.Matte | None:
    """None where nothing is kept. Raises `BadInput` while the thing that it is to come from is not chosen."""
    match person.effects:
        case "NONE":
            return None
        case "MASK" if person.effects_mask:
            return matte.FromMask(person.effects_mask)
        case "STRIP" if found := _strip(scene, person.effects_strip):
            return matte.FromStrip(found)
    raise BadInput(f"no {person.effects.lower()} is chosen for shadow and reflection; choose one, or 'None'")


def _clean_plate(scene: bpy.types.Scene, name: str) -> timeline.Strip | None:
    """Raises `BadInput` when there is no strip of this name any more."""
    found = _strip(scene, name)
    if name and not found:
        raise BadInput(f"the clean plate {name!r} is no strip of the scene {scene.name!r}; choose another, or none")
    return found


def _settings(ours: WanAnimateStrip, person: WanAnimatePerson) -> Settings:
    grow, feather = (None if pixels < 0 else pixels for pixels in (person.region_grow, person.region_feather))
    return replace(ours.settings(), region_grow=grow, finish=ours.finish.read(feather))
