"""What an artist sets on a strip, saved with it in the .blend. Knows nothing of exports or of the server."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty

from . import timeline, wire

STANDARD = wire.Settings()
HIDDEN = {"HIDDEN"}


def _is_armature(_: bpy.types.PropertyGroup, thing: bpy.types.Object) -> bool:
    return thing.type == "ARMATURE"


def _is_camera(_: bpy.types.PropertyGroup, thing: bpy.types.Object) -> bool:
    return thing.type == "CAMERA"


def _strips(_: bpy.types.PropertyGroup, context: bpy.types.Context, text: str) -> list[str]:
    """Names for the matte's search field."""
    editor = timeline.sequencer_scene(context).sequence_editor
    names = [strip.name for strip in timeline.strips_all(editor)] if editor else []
    return [name for name in names if text.lower() in name.lower()]


class WanAnimateStrip(bpy.types.PropertyGroup):
    # Pointers to objects, masks, images and scenes inside a strip follow save, load, rename and removal, and count as
    # users, in Blender 4.2, 4.5 and 5.2 alike (tests/blender/test_addon.py). Strips cannot be pointed to, so the
    # matte's is a name.

    uid: StringProperty(options=HIDDEN)
    parent: StringProperty(options=HIDDEN)
    """The uid of the strip that this one was copied or split from, or that its take was made from."""
    home: StringProperty(options=HIDDEN)
    """Scene and name of the strip when it got its uid: what a copy does not share."""
    take: StringProperty(options=HIDDEN)
    """Which take an imported strip shows."""

    shot: StringProperty(
        name="Shot",
        description="Name of the shot's folder and of its takes, such as SH010. Empty: the next number that is free",
    )
    mode: EnumProperty(
        name="Mode",
        description="What is made of the strip",
        items=(
            ("replace", "Replace", "Put the character into the plate, in the place of the person there"),
            ("animate", "Animate", "Move the character in front of its own background"),
        ),
    )
    rig: PointerProperty(
        type=bpy.types.Object,
        poll=_is_armature,
        name="Rig",
        description="Armature whose pose the character takes in every frame",
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
            ("none", "None", "Leave the expression to the model"),
        ),
    )

    raster: EnumProperty(
        name="Pixels",
        description="Which pixels are rendered",
        items=(
            ("source", "Source", "The strip's own; its transform goes to the new strip"),
            ("canvas", "Canvas", "What the sequencer shows of the strip"),
        ),
    )
    handles: IntProperty(
        name="Handles",
        description="Frames rendered before and after the cut, as far as there is footage, so that it can be moved",
        default=8,
        min=0,
        soft_max=48,
    )
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
    camera: PointerProperty(
        type=bpy.types.Object,
        poll=_is_camera,
        name="Camera",
        description="Camera that matches the plate. Empty: the active one of the 3D scene, with its markers",
    )

    model: StringProperty(name="Model", description="Model that the server renders with", default=STANDARD.model)
    precision: EnumProperty(
        name="Precision",
        description="Numbers that the model calculates with",
        items=(("fp32", "FP32", "Exact, slow"), ("bf16", "BF16", "As the model was trained, for graphics cards")),
        default=STANDARD.precision,
    )
    steps: IntProperty(
        name="Steps",
        description="Steps of the sampler; more are slower and finer",
        default=STANDARD.steps,
        min=1,
        max=1000,
        soft_max=50,
    )
    solver: EnumProperty(
        name="Solver",
        description="Rule of the sampler's steps",
        items=(("dpm++", "DPM++", "The released model's"), ("unipc", "UniPC", "Good with few steps")),
        default=STANDARD.solver,
    )
    guidance: FloatProperty(
        name="Guidance",
        description="How much the prompt counts; above 1 every step takes twice as long",
        default=STANDARD.guidance,
        min=1.0,
        max=20.0,
    )
    seed: IntProperty(
        name="Seed", description="Another number gives another take of the same shot", default=STANDARD.seed, min=0
    )
    segment: IntProperty(
        name="Segment",
        description="Longest piece rendered at once, 4n+1 frames; longer needs more memory and has fewer joins",
        default=STANDARD.segment,
        min=5,
        max=401,
        step=4,
    )
    overlap: EnumProperty(
        name="Overlap",
        description="Frames that lead from each segment into the next",
        items=(("1", "1 Frame", "As the released code does"), ("5", "5 Frames", "Motion goes on through the joins")),
        default=str(STANDARD.overlap),
    )
    area: IntProperty(
        name="Pixels a Frame",
        description="Width times height that the model renders before it is scaled to the plate. 0: the model's own",
        default=0,
        min=0,
        max=2**24,
    )
    plan: EnumProperty(
        name="Plan",
        description="How a shot that is longer than a segment is divided",
        items=(
            ("even", "Even", "Into pieces of one length, as short as covers the shot"),
            (
                "official",
                "Official",
                "Into full segments, the end padded by mirrored frames, as the released code does",
            ),
        ),
        default=STANDARD.plan,
    )
    relight: FloatProperty(
        name="Relight",
        description="How far the character takes on the light of the plate. 0: it keeps its own",
        default=STANDARD.relight,
        min=0.0,
        max=2.0,
        soft_max=1.0,
    )
    loras: StringProperty(
        name="LoRAs",
        description="LoRAs of the server's model library with their strengths, such as: lightx2v 1.0, costume 0.6",
    )
    prompt: StringProperty(name="Prompt", description="What is seen, in words. Empty: what the model was trained with")

    def settings(self) -> wire.Settings:
        """How to render. Raises `wire.BadInput` for numbers that no model can take."""
        return wire.Settings(
            model=self.model,
            precision=wire.Precision(self.precision),
            steps=self.steps,
            solver=wire.Solver(self.solver),
            guidance=self.guidance,
            seed=self.seed,
            segment=self.segment,
            overlap=int(self.overlap),
            plan=wire.Plan(self.plan),
            relight=self.relight,
            loras=_loras(self.loras),
            area=self.area or None,
            prompt=self.prompt or None,
        )


def _loras(text: str) -> tuple[wire.LoraUse, ...]:
    """What "lightx2v 1.0, costume" asks for. Raises `wire.BadInput`."""
    return tuple(_lora(words.split()) for words in text.split(",") if words.strip())


def _lora(words: list[str]) -> wire.LoraUse:
    name, *strength = words
    try:
        return wire.LoraUse(name=name, strength=float(*strength) if strength else 1.0)
    except (TypeError, ValueError) as error:
        given = " ".join(words)
        raise wire.BadInput(
            f"the LoRA {given!r} is not understood; write a name and a number, such as: costume 0.6"
        ) from error


classes = (WanAnimateStrip,)
_register, _unregister = bpy.utils.register_classes_factory(classes)


def register() -> None:
    _register()
    timeline.Strip.wan_animate = PointerProperty(type=WanAnimateStrip)


def unregister() -> None:
    del timeline.Strip.wan_animate
    _unregister()
