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


def strip_names(_: bpy.types.PropertyGroup, context: bpy.types.Context, text: str) -> list[str]:
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
            ("STRIP", "Strip", "Use the brightness or opacity of another strip, mask strips included"),
            ("ALPHA", "Own Alpha", "The person is where the plate itself is opaque"),
        ),
    )
    matte_collection: PointerProperty(
        type=bpy.types.Collection, name="Collection", description="Its meshes cover the person to be replaced"
    )
    matte_mask: PointerProperty(
        type=bpy.types.Mask, name="Mask", description="Mask that covers the person to be replaced"
    )
    matte_strip: StringProperty(
        name="Strip",
        description="Strip of the same scene that is white or opaque where the person is",
        search=strip_names,
    )
    matte_channel: EnumProperty(
        name="Channel",
        description="What of the strip is the matte",
        items=(("luma", "Brightness", "White is the person"), ("alpha", "Alpha", "The person is opaque")),
    )
    matte_grow: FloatProperty(
        name="Grow",
        description="Pixels of the plate by which the matte's edge moves outwards. Below 0: inwards",
        soft_min=-32.0,
        soft_max=32.0,
        min=-512.0,
        max=512.0,
    )
    matte_feather: FloatProperty(
        name="Feather",
        description="Pixels of the plate over which a hard edge of the matte then falls, half on either side of it",
        min=0.0,
        soft_max=32.0,
        max=512.0,
    )
    motion_blur: BoolProperty(
        name="Motion Blur",
        description="Soften the rendered matte by what moves while the shutter of the 3D scene is open",
    )
    region: EnumProperty(
        name="Region",
        description="Where new pixels may appear: it has to hold the person to be replaced and the whole character",
        items=(
            ("AUTO", "Automatic", "Around the matte and the body that the rig's pose tells of"),
            ("MASK", "Mask", "A mask that was drawn"),
            ("STRIP", "Strip", "The brightness of another strip"),
        ),
    )
    region_mask: PointerProperty(
        type=bpy.types.Mask, name="Mask", description="Mask that covers all that may become new"
    )
    region_strip: StringProperty(
        name="Strip",
        description="Strip of the same scene that is white where pixels may become new",
        search=strip_names,
    )
    region_grow: FloatProperty(
        name="Grow",
        description=(
            "Pixels of the plate by which the region reaches beyond matte and body: more for tall hats and wide coats. "
            "-1: a fortieth of the plate's short side"
        ),
        default=-1.0,
        min=-1.0,
        soft_max=128.0,
        max=4096.0,
    )
    region_feather: FloatProperty(
        name="Feather",
        description=(
            "Pixels of the plate over which the character fades into it at the region's edge. "
            "-1: a fortieth of the plate's short side"
        ),
        default=-1.0,
        min=-1.0,
        soft_max=128.0,
        max=4096.0,
    )
    effects: EnumProperty(
        name="Shadow and Reflection",
        description=(
            "Where the old person's shadow or reflection falls on the clean plate, to be kept when he is gone; it "
            "needs the alpha 'Difference'"
        ),
        items=(
            ("NONE", "None", "They go with the person"),
            ("MASK", "Mask", "A mask that was drawn, generously"),
            ("STRIP", "Strip", "The brightness of another strip"),
        ),
    )
    effects_mask: PointerProperty(
        type=bpy.types.Mask, name="Mask", description="Mask that covers the shadow or the reflection"
    )
    effects_strip: StringProperty(
        name="Strip",
        description="Strip of the same scene that is white where a shadow or a reflection lies",
        search=strip_names,
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
        search=strip_names,
    )
    face_still: PointerProperty(
        type=bpy.types.Image, name="Expression", description="Picture of a face, whose middle square is used"
    )

    def assignment(self) -> dict[str, rigs.Spot]:
        """What was assigned by hand for the rig. Raises `wire.BadInput` where that is damaged."""
        return assignment.of(self.bones, armature.key(self.rig)) if self.rig else {}


register, unregister = bpy.utils.register_classes_factory((WanAnimatePerson,))
