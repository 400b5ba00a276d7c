"""What an artist sets on a strip for the files of its takes, saved with it in the .blend. Knows no strip."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from . import wire

STANDARD = wire.Finish()


class WanAnimateFinish(bpy.types.PropertyGroup):
    seams: FloatProperty(
        name="Seam Guard",
        description=(
            "How much of the drift of colour between segments is taken back: towards the plate around the person, or "
            "where there is none to the first segment. 0: frames are delivered as they were made"
        ),
        default=STANDARD.seams,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )
    grain: FloatProperty(
        name="Grain",
        description=(
            "How much of the plate's grain the character is given, as it is measured beside the region. 0: none, for "
            "those who add grain last of all"
        ),
        default=STANDARD.grain,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )
    match_sharpness: BoolProperty(
        name="Match Sharpness",
        description="Make a character that is sharper than the plate as soft; none is ever sharpened",
        default=STANDARD.match_sharpness,
    )
    alpha: EnumProperty(
        name="Alpha",
        description="Which part of what the model makes inside the region is shown",
        items=(
            ("region", "Region", "All of it, softly to the region's edge"),
            (
                "difference",
                "Difference",
                "What differs from the clean plate, which shows between the character and the region's edge",
            ),
        ),
        default=STANDARD.alpha,
    )
    effects: FloatProperty(
        name="Shadow and Reflection",
        description=(
            "How much of the old person's shadow and reflection is kept on the clean plate, inside the effects matte. "
            "0: none"
        ),
        default=STANDARD.effects,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )
    format: EnumProperty(
        name="Format",
        description="Files of the take's layers; the whole picture always has the plate's own depth",
        items=(
            ("plate", "As Plate", "PNG with a character of 8 bits, or EXR where the plate is scene-linear"),
            ("png8", "PNG 8", "A character of 8 bits"),
            ("png16", "PNG 16", "A character of 16 bits, so that a grade of it does not show the steps of 8"),
            ("exr-zip", "EXR ZIP", "Half floats over a scene-linear plate, compressed without loss"),
            ("exr-piz", "EXR PIZ", "The same, smaller where there is grain"),
        ),
        default=STANDARD.format,
    )
    layers: EnumProperty(
        name="Extra Layers",
        description="What a take has beside character, matte and the whole picture",
        items=(
            ("pose", "Pose", "The skeleton at the size of the plate"),
            ("face", "Face", "The picture of the face that the model saw"),
            ("generated", "Generated", "The whole frame that the model made"),
            ("ungrained", "Ungrained", "The character without the plate's grain"),
            ("background", "Background", "What the character lies over"),
            ("effects", "Effects", "By how much the old person's shadow and reflection change the clean plate's light"),
        ),
        options={"ENUM_FLAG"},
    )
    convention: EnumProperty(
        name="Names",
        description="What files are called where 'wan-animate deliver' puts them; checked before anything is rendered",
        items=(
            ("plain", "Plain", "As the take's own folder"),
            ("1001", "1001", "A folder for each layer and version; the first frame is 1001"),
            ("blender-studio", "Blender Studio", "Lower case, six digits"),
            ("netflix", "Netflix", "Show, sequence and shot before the layer, four digits"),
        ),
        default=STANDARD.naming.convention,
    )
    template: StringProperty(
        name="Template",
        description="Instead of the convention's own, such as {shot}_{layer}_{version}.{frame}. Empty: its own",
    )
    show: StringProperty(name="Show", description="For names that have one")
    sequence: StringProperty(name="Sequence", description="For names that have one")
    shot_code: StringProperty(name="Shot Code", description="What the shot is called in names. Empty: as its folder")
    first: IntProperty(
        name="First Frame",
        description="Number of the first delivered frame, handles included. -1: the convention's",
        default=-1,
        min=-1,
        max=999999,
    )

    def read(self, feather: float | None) -> wire.Finish:
        """What is set; `feather` is the person's. Raises `wire.BadInput` for names that cannot be."""
        return wire.Finish(
            feather=feather,
            seams=self.seams,
            grain=self.grain,
            match_sharpness=self.match_sharpness,
            alpha=wire.Alpha(self.alpha),
            effects=self.effects,
            format=wire.Format(self.format),
            layers=tuple(extra for extra in wire.Extra if extra in self.layers),
            naming=wire.Naming(
                convention=wire.Convention(self.convention),
                template=self.template,
                show=self.show,
                sequence=self.sequence,
                shot=self.shot_code,
                first=None if self.first < 0 else self.first,
            ),
        )


register, unregister = bpy.utils.register_classes_factory((WanAnimateFinish,))
