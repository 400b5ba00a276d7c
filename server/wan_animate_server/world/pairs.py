"""Paired clips of made-up people, made on the device that they are wanted on. Knows the world's parts, no network."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from wan_animate_blender.wire import BadInput

from . import face, motion, person, render, scene, shapes, visibility
from .chance import Chance, Split
from .figure import Figure, length, pose

FACE = 128
"""Pixels of a side of the face crops."""

_AT_ONCE = {"cuda": 1 << 27, "cpu": 1 << 16}
"""Samples that one pass draws at once: on a GPU what its memory takes, on a CPU what its caches do."""


@dataclass(frozen=True)
class Spec:
    """What kind of clips: `frames` = 4n + 1; `portraits`: their share; `difficulty` 0 (calm, still camera, few colours)
    to 1 (everything). The splits share no character, motion, background or light.
    """

    height: int
    width: int
    frames: int
    portraits: float = 0.5
    difficulty: float = 1.0
    split: Split = "train"
    samples: int = 2
    """Across a pixel: its colour is the mean of their square. Drawing takes as much longer as there are more."""

    def __post_init__(self) -> None:
        if self.frames % 4 != 1:
            raise BadInput(f"A clip of {self.frames} frames; expected 4n + 1 (1, 5, 9, …): choose the nearest one.")
        if self.height % 16 or self.width % 16:
            raise BadInput(f"Clips of {self.width}×{self.height} pixels; expected multiples of 16: round them.")


@dataclass(frozen=True)
class Clips:
    """B clips of T frames, all on one device; pictures uint8 RGB, masks uint8 0..255.

    One shadow lies on the floor, the actor's, in every lit picture: so `frames` and `plate` are equal wherever neither
    of both persons is, and the plate differs from `clean` outside the matte by that shadow alone.
    """

    frames: Tensor
    """[B, T, H, W, 3] the character in the scene, lit by it: what replacing is to make."""
    relit: Tensor
    """The same under another light, scene and all."""
    neutral: Tensor
    """The character in its reference's light before the lit scene: what replacing without relighting comes to."""
    plate: Tensor
    """The scene with the actor: the same motion and expression, another body, face and clothes."""
    clean: Tensor
    """The scene without any person."""
    matte: Tensor
    """[B, T, H, W] the actor's coverage."""
    alpha: Tensor
    """[B, T, H, W] the character's coverage."""
    keypoints: Tensor
    """float32 [B, T, 133, 3] the character's: pixels and confidence, 0 outside the frame; coordinates are kept."""
    actor_keypoints: Tensor
    """The actor's, whose face is cut out."""
    face: Tensor
    """[B, T, 128, 128, 3] the actor's face by `wire.face_box`, drawn at this size; black where there is none."""
    reference: Tensor
    """[B, H, W, 3] the character in another pose, in neutral light before a plain background."""
    own: Tensor
    """[B, T, H, W, 3] the character moving in the reference's background and light: what animating is to make."""
    expression: Tensor
    """float32 [B, T, E], see `motion.EXPRESSION`."""
    light: Tensor
    """float32 [B, 9] direction, colour, ambient of `frames`."""
    identity: Tensor
    """float32 [B, I] the character's numbers, 0..1."""
    portrait: Tensor
    """bool [B]."""


def clips(spec: Spec, seeds: Tensor) -> Clips:
    """The clips of `seeds` int64 [B], 0 ≤ seed < 2^62, on their device; each depends on its own seed alone."""
    chance = Chance.of_clips(seeds, spec.split)
    portrait = chance.happens("portrait", spec.portraits)
    character, actor = _cast(chance, spec.difficulty)
    moves = motion.draw(chance.named("motion"), spec.frames, spec.difficulty, portrait)
    played, acted = pose(character, moves), pose(actor, moves)
    target = _target(chance, character, played, portrait)
    camera = scene.camera(chance.named("camera"), target, spec.height, spec.width, spec.difficulty)
    stage = _Stage.build(chance, spec, camera, acted, actor)
    faces = face.features(character, moves.expression), face.features(actor, moves.expression)
    stand = _plain_backdrop(chance)
    spread = stage.spread(stand)
    lamps = (stage.lamp, stage.other, stage.neutral)
    character_view, actor_view = stage.view(character, played, faces[0]), stage.view(actor, acted, faces[1])
    frames, relit, neutral, own, alpha = _drawn(_with_character, spec, character_view, *lamps, spread)
    plate, matte = _drawn(_in_scene, spec, actor_view, stage.lamp)
    points = _keypoints(played, camera, spec), _keypoints(acted, camera, spec)
    return Clips(
        frames, relit, neutral, plate, stage.clean(actor_view), matte, alpha, *points,
        face=_faces(actor_view, camera, face_box(points[1], spec.height, spec.width), spec, stage.lamp),
        reference=_reference(chance, spec, character, portrait, stand), own=own,
        expression=moves.expression, light=stage.light.packed(), identity=character.identity, portrait=portrait,
    )  # fmt: skip


# --- parts ----------------------------------------------------------------------------------------


def _cast(chance: Chance, difficulty: float) -> tuple[person.Person, person.Person]:
    """The character, and an actor of about the same size."""
    character = person.draw(chance.named("character"), difficulty)
    actor = person.draw(chance.named("actor"), difficulty)
    size = character.shape["size"] * chance.between("actor's size", 0.93, 1.07)
    alike = {name: torch.lerp(actor.shape[name], character.shape[name], 0.5) for name in ("leg", "arm", "torso")}
    return character, person.Person({**actor.shape, "size": size, **alike}, actor.style, actor.colours, actor.identity)


def _target(chance: Chance, who: person.Person, figure: Figure, portrait: Tensor) -> scene.Target:
    """The head, filling half of the picture, or the whole body."""
    whole = torch.lerp(figure.joints["pelvis"], figure.joints["neck"], 0.3)
    centre = torch.where(portrait[:, None, None], figure.joints["head"], whole)
    metres = torch.where(portrait, 1.35 * face.height(who), who.shape["size"])
    close, far = chance.between("close", 0.56, 0.85), chance.between("far", 0.72, 1.08)
    return scene.Target(centre, metres, torch.where(portrait, close, far))


class _Stage(NamedTuple):
    """All but the persons: camera, things, backdrop and lamps."""

    spec: Spec
    camera: scene.Camera
    things: list[shapes.Solid]
    backdrop: scene.Backdrop
    light: scene.Light
    lamp: render.Lamp
    other: render.Lamp
    neutral: render.Lamp

    @classmethod
    def build(cls, chance: Chance, spec: Spec, camera: scene.Camera, actor: Figure, who: person.Person) -> _Stage:
        light, other = (scene.light(chance.named(name), spec.difficulty) for name in ("light", "other light"))
        feet = _shadowing(actor, who)
        lamps = [render.lamp(each, camera, feet) for each in (light, other, scene.neutral(light))]
        things = scene.things(chance.named("things"), spec.difficulty, spec.frames)
        return cls(spec, camera, things, scene.backdrop(chance.named("backdrop"), spec.difficulty), light, *lamps)

    def view(self, who: person.Person, figure: Figure, features: face.Features) -> render.View:
        return _view(self.camera, [*shapes.solids(who, figure), *self.things], features, self.backdrop, self.spec)

    def clean(self, view: render.View) -> Tensor:
        """The scene without any person, and so without a shadow."""
        solids = view.solids.clone()
        solids[:, : -scene.THINGS, visibility.RADIUS] = 0
        things = view._replace(solids=solids)
        bare = self.lamp._replace(shadows=0 * self.lamp.shadows + 1e-3)
        return _drawn(_in_scene, self.spec, things, bare)[0]

    def spread(self, parts: Tensor) -> Tensor:
        """[B, …] for every frame: [B·T, …]."""
        return parts.repeat_interleave(self.spec.frames, 0)


def _view(
    camera: scene.Camera,
    solids: list[shapes.Solid],
    features: face.Features,
    backdrop: scene.Backdrop,
    spec: Spec,
) -> render.View:
    frames = camera.place.shape[1]
    table, paints = render.packed(solids, camera)
    step = (1 / (spec.samples * camera.focal))[:, None].expand(-1, 2)
    half = torch.tensor([spec.width / 2, spec.height / 2], device=step.device)
    corner = -half / camera.focal[:, None]
    corner, step, paints = (part.repeat_interleave(frames, 0) for part in (corner, step, paints))
    return render.View(
        corner=corner, step=step, place=camera.place.flatten(0, 1), turn=camera.turn.flatten(0, 1),
        solids=table.flatten(0, 1), paints=paints,
        features=face.Features(*(part.flatten(0, 1) for part in features)),
        backdrop=scene.Backdrop(*(part.repeat_interleave(frames, 0) for part in backdrop)),
    )  # fmt: skip


def _shadowing(figure: Figure, who: person.Person) -> Tensor:
    """What casts the shadow [B, T, J, 4]: a ball at each of some joints."""
    sizes = {"ankle_left": 0.085, "ankle_right": 0.085, "knee_left": 0.07, "knee_right": 0.07, "pelvis": 0.11,
             "neck": 0.11, "head": 0.1}  # fmt: skip
    balls = [
        torch.cat((figure.joints[name], length(who, radius)[:, None].expand(-1, figure.joints[name].shape[1], -1)), -1)
        for name, radius in sizes.items()
    ]
    return torch.stack(balls, 2)


def _keypoints(figure: Figure, camera: scene.Camera, spec: Spec) -> Tensor:
    places = scene.project(camera, figure.keypoints, spec.height, spec.width)
    edge = torch.tensor([spec.width, spec.height], device=places.device)
    inside = ((places >= 0) & (places < edge)).all(-1, keepdim=True)
    return torch.cat((places, inside.float()), -1)


def face_box(keypoints: Tensor, height: int, width: int) -> Tensor:
    """`wire.face_box` of many frames: x0, y0, x1, y1 float32 [B, T, 4], all 0 where there is none."""
    points = keypoints[:, :, 23:91, :2]
    low, high = points.amin(2), points.amax(2)
    grow = 1.3**0.5 - 1
    aside, upright = (high - low)[..., 0] * grow / 2, (high - low)[..., 1] * grow / 4
    x0, x1 = (low[..., 0] - aside).clamp(min=0), (high[..., 0] + aside).clamp(max=width)
    y0, y1 = (low[..., 1] - 3 * upright).clamp(min=0), (high[..., 1] + upright).clamp(max=height)
    box = torch.stack((x0, y0, x1, y1), -1).trunc()
    there = (box[..., 0] < box[..., 2]) & (box[..., 1] < box[..., 3])
    return box * there[..., None]


def _faces(view: render.View, camera: scene.Camera, box: Tensor, spec: Spec, lamp: render.Lamp) -> Tensor:
    """The view through `box` [B, T, 4] alone; black without a box."""
    focal = camera.focal[:, None, None]
    middle = torch.tensor([spec.width / 2, spec.height / 2], device=box.device)
    corner, step = (box[..., :2] - middle) / focal, (box[..., 2:] - box[..., :2]) / (spec.samples * FACE * focal)
    close = view._replace(corner=corner.flatten(0, 1), step=step.flatten(0, 1).clamp(min=1e-6))
    picture, _ = _drawn(_in_scene, replace(spec, height=FACE, width=FACE), close, lamp)
    return picture * (box[..., 2] > 0)[..., None, None, None]


def _plain_backdrop(chance: Chance) -> Tensor:
    """Two greyish colours [B, 6] above one another, before which the reference stands."""
    hue, saturation, value = chance.uniform("plain", 3, 2).unbind(1)
    return person.rgb(hue, 0.35 * saturation, 0.45 + 0.5 * value).flatten(1)


def _reference(chance: Chance, spec: Spec, who: person.Person, portrait: Tensor, stand: Tensor) -> Tensor:
    """[B, H, W, 3]."""
    chance, single = chance.named("reference"), replace(spec, frames=1)
    moves = motion.still(chance, portrait)
    figure = pose(who, moves)
    centre = torch.where(portrait[:, None, None], figure.joints["head"], _middle(figure))
    metres = torch.where(portrait, 1.35 * face.height(who), 1.15 * who.shape["size"])
    target = scene.Target(centre, metres, torch.where(portrait, 0.7, 0.92))
    stage = _Stage.build(chance, single, scene.frontal(target, chance, spec.height), figure, who)
    view = stage.view(who, figure, face.features(who, moves.expression))
    return _drawn(_with_character, single, view, stage.lamp, stage.other, stage.neutral, stand)[3][:, 0]


def _middle(figure: Figure) -> Tensor:
    """Half-way between the crown and the floor."""
    high = figure.joints["head"]
    return torch.stack((high[..., 0], high[..., 1] * 0.56, high[..., 2]), -1)


# --- passes ---------------------------------------------------------------------------------------

_Pass = Callable[..., tuple[Tensor, ...]]


@torch.inference_mode(False)
@torch.no_grad()
def _drawn(what: _Pass, spec: Spec, view: render.View, *others: Any) -> list[Tensor]:
    """All pictures of a pass [B, T, H, W, …], a share of the frames at a time.

    Whatever mode the caller is in, the compiler sees one: it would build once more for each.
    """
    total, device = len(view.corner), view.corner.device
    rows, columns = spec.height * spec.samples, spec.width * spec.samples
    most = max(_AT_ONCE[device.type] // (rows * columns), 1)
    run = _compiled(what) if device.type == "cuda" else what
    parts = []
    for numbers in torch.split(torch.arange(total, device=device), most):
        count = len(numbers)
        if device.type == "cuda" and count == 1:
            numbers = numbers.repeat(2)  # the compiler would build once more for a single picture
        window, *rest = (_share(each, numbers) for each in (view, *others))
        found = visibility.first(window.solids, window.corner, window.step, rows, columns)
        torch._dynamo.maybe_mark_dynamic(found, (0, 1, 2))
        parts.append([pictures[:count] for pictures in run(spec.samples, found, window, *rest)])
    whole = (torch.cat(part) for part in zip(*parts, strict=True))
    return [pictures.reshape(-1, spec.frames, *pictures.shape[1:]) for pictures in whole]


@functools.cache
def _compiled(what: _Pass) -> _Pass:
    """Fused into a few kernels; built once for all numbers and sizes of pictures."""
    return torch.compile(what, fullgraph=True)


def _share(inputs: Any, numbers: Tensor) -> Any:
    """The rows `numbers` of every tensor of a nested tuple, each in memory of its own as a compiler likes it."""
    if not isinstance(inputs, Tensor):
        return type(inputs)(*(_share(part, numbers) for part in inputs))
    share = inputs.index_select(0, numbers)
    torch._dynamo.maybe_mark_dynamic(share, 0)
    return share


def _with_character(
    samples: int, found: Tensor, view: render.View, lamp: render.Lamp, other: render.Lamp, neutral: render.Lamp,
    stand: Tensor,
) -> tuple[Tensor, ...]:  # fmt: skip
    """frames, relit, neutral, own, alpha."""
    surface = render.surface(view, found, view.solids.shape[1] - scene.THINGS)
    behind = render.ground(view, *found.shape[1:])
    there, who = surface.there[..., None] > 0, surface.person[..., None] > 0
    lit, relit = (
        torch.where(there, render.lit(surface, each), render.lit_ground(behind, each)) for each in (lamp, other)
    )
    plain = render.lit(surface, neutral)
    alone = torch.where(who, plain, _stand(stand, *found.shape[1:]))
    pictures = (lit, relit, torch.where(who, plain, lit), alone, surface.person)
    return tuple(render.averaged(picture, found, samples) for picture in pictures)


def _in_scene(samples: int, found: Tensor, view: render.View, lamp: render.Lamp) -> tuple[Tensor, ...]:
    """The scene with whoever is in it, and where he is."""
    surface = render.surface(view, found, view.solids.shape[1] - scene.THINGS)
    behind = render.lit_ground(render.ground(view, *found.shape[1:]), lamp)
    picture = torch.where(surface.there[..., None] > 0, render.lit(surface, lamp), behind)
    return render.averaged(picture, found, samples), render.averaged(surface.person, found, samples)


def _stand(stand: Tensor, height: int, width: int) -> Tensor:
    """The plain background [N, P, 3], from one colour above to another below."""
    rows = torch.arange(height, device=stand.device) / height
    column = stand[:, None, :3] + (stand[:, None, 3:] - stand[:, None, :3]) * rows[:, None]
    return column[:, :, None].expand(-1, -1, width, -1).flatten(1, 2)
