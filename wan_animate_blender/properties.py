"""What an artist sets on a strip, saved with it in the .blend. Knows nothing of exports or of the server."""

from __future__ import annotations

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from . import timeline, wire
from .finish import WanAnimateFinish
from .ledger import WanAnimateJob
from .person import HIDDEN, WanAnimatePerson, strip_names

STANDARD = wire.Settings()


def _is_camera(_: bpy.types.PropertyGroup, thing: bpy.types.Object) -> bool:
    return thing.type == "CAMERA"


class WanAnimateStrip(bpy.types.PropertyGroup):
    uid: StringProperty(options=HIDDEN)
    parent: StringProperty(options=HIDDEN)
    """The uid of the strip that this one was copied or split from, or that its take was made from."""
    home: StringProperty(options=HIDDEN)
    """Scene and name of the strip when it got its uid: what a copy does not share."""
    take: StringProperty(options=HIDDEN)
    """Which take an imported strip shows."""
    layer: StringProperty(options=HIDDEN)
    """Which layer of it."""
    frames: IntProperty(options=HIDDEN)
    """How many frames of it were there when it was last imported."""
    pinned: BoolProperty(name="Pin", description="Keep this take in sight when a newer one arrives", options=HIDDEN)
    compared: StringProperty(options=HIDDEN)
    """The take of this strip that was shown before the one that is."""

    jobs: CollectionProperty(type=WanAnimateJob, options=HIDDEN)
    """Those that were sent to a server for this strip (`ledger`)."""
    people: CollectionProperty(type=WanAnimatePerson)
    """Back to front. Empty until a strip is looked at for the first time."""
    active_person: IntProperty(options=HIDDEN)
    """Which one the panel shows."""
    finish: PointerProperty(type=WanAnimateFinish, options=HIDDEN)
    """What becomes of frames on their way into a take."""

    shot: StringProperty(
        name="Shot",
        description="Name of the shot's folder and of its takes, such as SH010. Empty: the next number that is free",
    )
    by: StringProperty(name="By", description="Who has this made, as the report of its takes says it", maxlen=200)
    consent: StringProperty(
        name="Consent",
        description="By whose leave the person and the character are shown, as the report of the takes says it",
        maxlen=4000,
    )
    mode: EnumProperty(
        name="Mode",
        description="What is made of the strip",
        items=(
            ("replace", "Replace", "Put the character into the plate, in the place of the person there"),
            ("animate", "Animate", "Move the character in front of its own background"),
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
    camera: PointerProperty(
        type=bpy.types.Object,
        poll=_is_camera,
        name="Camera",
        description="Camera that matches the plate. Empty: the active one of the 3D scene, with its markers",
    )
    lens: EnumProperty(
        name="Lens",
        description="How the plate is distorted, so that undistorted 3D lands on it",
        items=(
            ("NONE", "None", "The plate is not distorted, or was undistorted"),
            ("CLIP", "Clip", "As a movie clip was solved"),
            ("MAP", "ST-Map", "As a picture of coordinates says: red to the right, green upwards"),
        ),
    )
    lens_clip: PointerProperty(
        type=bpy.types.MovieClip, name="Clip", description="Movie clip of the strip's footage that was tracked"
    )
    lens_map: PointerProperty(
        type=bpy.types.Image, name="Map", description="ST-map of the plate's lens, a file of 32-bit float"
    )
    lens_map_use: EnumProperty(
        name="Map Made To",
        description="What the map makes of a picture that is read through it",
        items=(
            ("undistort", "Undistort", "Straight pictures of the plate"),
            ("distort", "Distort", "Bent pictures of straight renders"),
        ),
    )
    clean_plate: StringProperty(
        name="Clean Plate",
        description="Strip of the same scene that shows the plate without the people. Empty: there is none",
        search=strip_names,
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
    roi: BoolProperty(
        name="Region of Interest",
        description=(
            "Let the model work on a window that follows the person, where that shows the person larger than the whole "
            "frame does. Else it always sees the whole frame"
        ),
        default=STANDARD.roi,
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
    transform: EnumProperty(
        name="Transform",
        description="How scene-linear footage becomes what the model sees, and back. Other footage is seen as it is",
        items=(
            ("utility", "Utility", "sRGB's primaries and curve, whatever the scene's view does to the picture"),
            ("view", "View", "As the scene's view shows it. A view that cannot be undone is refused"),
        ),
        default=STANDARD.transform,
    )
    highlights: EnumProperty(
        name="Highlights",
        description="What becomes of light above 1 in scene-linear footage, inside the region; outside it is untouched",
        items=(
            ("clip", "Clip", "The model sees white, and makes nothing brighter"),
            (
                "shoulder",
                "Shoulder",
                "A soft curve brings light up to 15 times white below white before the model sees it, and is undone "
                "afterwards. All that is brighter than half of white looks duller to the model",
            ),
        ),
        default=STANDARD.highlights,
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

    @property
    def person(self) -> WanAnimatePerson | None:
        """The one that the panel shows; None until the first one was added, which drawing code must not do."""
        return self.people[min(self.active_person, len(self.people) - 1)] if len(self.people) else None

    def add_person(self) -> WanAnimatePerson:
        """Add one in front of all others, let the panel show it, and return it."""
        person = self.people.add()
        person.name = _free_name(self.people.keys())
        self.active_person = len(self.people) - 1
        return person

    def provenance(self) -> wire.Provenance:
        return wire.Provenance(by=self.by.strip(), consent=self.consent.strip())

    def settings(self) -> wire.Settings:
        """How to render. Raises `wire.BadInput` for numbers that no model can take."""
        transform = wire.Transform(self.transform)
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
            loras=wire.overridden(STANDARD, [f"loras={self.loras}"]).loras,
            area=self.area or None,
            roi=self.roi,
            transform=transform,
            highlights=wire.Highlights(self.highlights if transform is wire.Transform.UTILITY else STANDARD.highlights),
            prompt=self.prompt or None,
        )


def _free_name(taken: list[str]) -> str:
    number = 1
    while (name := f"Person {number}") in taken:
        number += 1
    return name


classes = (WanAnimateStrip,)
_register, _unregister = bpy.utils.register_classes_factory(classes)


def register() -> None:
    _register()
    timeline.Strip.wan_animate = PointerProperty(type=WanAnimateStrip)


def unregister() -> None:
    del timeline.Strip.wan_animate
    _unregister()
