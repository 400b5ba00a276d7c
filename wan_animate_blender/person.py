"""One person of a shot: the rig that moves it, the character it becomes, where it is. Knows nothing of exports."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, PointerProperty, StringProperty

from . import armature, rigs, timeline
from .proportions import WanAnimateProportions
from .rigs import assignment

HIDDEN = {"HIDDEN"}


def _is_armature(_: bpy.types.PropertyGroup, thing: bpy.types.Object) -> bool:
    return thing.type == "ARMATURE"


def _strips(_: bpy.types.PropertyGroup, context: bpy.types.Context, text: str) -> list[str]:
    """Names for a search field."""
    editor = timeline.sequencer_scene(context).sequence_editor
    names = [strip.name for strip in timeline.strips_all(editor)] if editor else []
    return [name for name in names if text.lower() in name.lower()]


class WanAnimatePerson(bpy.types.PropertyGroup):
    # Pointers to objects, masks, images and scenes inside a strip's collection follow save, load, undo, rename and
    # removal, and count as users, in Blender 4.2, 4.5 and 5.2 alike (tests/blender/test_addon.py). Strips cannot be
    # pointed to, so the matte's is a name.

    shot: StringProperty(options=HIDDEN)
    """Folder of this person's exports and takes, given at the first export: the strip's shot, or that and the name."""

    rig: PointerProperty(
        type=bpy.types.Object,
        poll=_is_armature,
        name="Rig",
        description="Armature whose pose the character takes in every frame",
    )
    bones: StringProperty(options=HIDDEN)
    """What was assigned by hand, for every rig that was ever chosen here (rigs/assignment.py)."""
    proportions: PointerProperty(type=WanAnimateProportions, options=HIDDEN)
    """How the character is built, where not as the rig is."""
    rig_scene: PointerProperty(
        type=bpy.types.Scene,
        name="3D Scene",
        description="Scene of the rig and its camera. Empty: the first one that the rig is in",
    )
    rig_time: EnumProperty(
        name="Rig Follows",
        description="What the rig's animation belongs to",
        items=(
            ("source", "Footage", "The rig's frames are the footage's: moving or trimming the strip changes nothing"),
            ("timeline", "Timeline", "The rig's frames are those of the edit"),
        ),
    )
    use_rig_start: BoolProperty(
        name="Own First Frame",
        description="Set the rig's frame of the footage's first one. Off: the first frame of its scene",
    )
    rig_start: FloatProperty(
        name="First Frame", description="The rig's frame at which the footage's first one lies", default=1.0
    )
    character: PointerProperty(
        type=bpy.types.Image,
        name="Character",
        description="Picture of the character: whole figure, seen from the front, on a quiet background",
    )
    matte: EnumProperty(
        name="Matte",
        description="Where the person to be replaced is, in every frame",
        items=(
            ("RIG", "Rig", "Render the meshes that follow the rig"),
            ("COLLECTION", "Collection", "Render the meshes of a collection"),
            ("MASK", "Mask", "Use a mask that was drawn in the clip or image editor"),
            ("STRIP", "Strip", "Use the brightness of another strip: white is the person"),
        ),
    )
    matte_collection: PointerProperty(
        type=bpy.types.Collection, name="Collection", description="Its meshes cover the person to be replaced"
    )
    matte_mask: PointerProperty(
        type=bpy.types.Mask, name="Mask", description="Mask that covers the person to be replaced"
    )
    matte_strip: StringProperty(
        name="Strip", description="Strip of the same scene that is white where the person is", search=_strips
    )
    face: EnumProperty(
        name="Expression",
        description="Where the character's expression comes from",
        items=(
            ("rig", "Rig", "Render the rig's face in every frame"),
            ("plate", "Plate", "Take the face of the person in the plate"),
            ("driving", "Performance", "Take the middle of another strip, such as a helmet camera's"),
            ("still", "Still", "Keep the expression of one picture"),
            ("none", "None", "Leave the expression to the model"),
        ),
    )
    face_engine: EnumProperty(
        name="Engine",
        description="What renders the rig's face",
        items=(
            ("cycles", "Cycles", "On the processor with few rays: works on every machine"),
            ("scene", "Scene", "As the 3D scene is set up; EEVEE and Workbench want a graphics card"),
        ),
    )
    face_strip: StringProperty(
        name="Performance",
        description="Strip of the same scene that shows the face; its transform frames it in the middle of the canvas",
        search=_strips,
    )
    face_still: PointerProperty(
        type=bpy.types.Image, name="Expression", description="Picture of a face, whose middle square is used"
    )

    def assignment(self) -> dict[str, rigs.Spot]:
        """What was assigned by hand for the rig. Raises `wire.BadInput` where that is damaged."""
        return assignment.of(self.bones, armature.key(self.rig)) if self.rig else {}


register, unregister = bpy.utils.register_classes_factory((WanAnimatePerson,))
