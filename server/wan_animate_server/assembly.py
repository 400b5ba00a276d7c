"""Segments found or rendered, handed on and laid over each other: the raw frames of a take as one generator of events.

Knows no HTTP and no folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from wan_animate_blender.wire import BadInput, Finish, Settings

from .pipeline import Decoded, Event, Model, OutOfMemory, Restored, ShotRender, Signals, Stepped, Store, StoredSegment
from .retake import before, beneath, visible, whole
from .segments import Part

Samples = NDArray[Any]


@torch.inference_mode()
def generate(
    model: Model, signals: Signals, settings: Settings, store: Store, check: Callable[[], None],
    made: Sequence[Part] | None = None, base: Sequence[Part] = (), earlier: Sequence[str] = (),
) -> Iterator[Event]:  # fmt: skip
    """Render a shot, or of a shot whose `base` parts are there the parts `made`.

    The frames of all `Decoded` events together are those that were asked for, in order. Segments that `store` has are
    not computed again, also those that an attempt before made by the `earlier` ways of execution; those of `base` that
    are needed and that it has lost are. `check` is called between transformer blocks and between autoencoder chunks,
    and stops the render by raising. Raises `BadInput` for a size that the model cannot make and where a part of `base`
    would not become what it was, `OutOfMemory` when the device's memory is exhausted.
    """
    if signals.width % 16 or signals.height % 16:
        raise BadInput(f"the size {signals.width}×{signals.height} cannot be generated; give multiples of 16")
    parts = whole(signals.frames, settings) if made is None else made
    try:
        yield from Assembly(model, signals, settings, store, check, base, parts, earlier).events()
    except torch.OutOfMemoryError as error:
        longest = max(len(part.rendered) for part in parts)
        raise OutOfMemory(
            f"{signals.width}×{signals.height} with segments of {longest} frames does not fit into the memory "
            f"of {model.device}; choose a smaller area, shorter segments or a larger device"
        ) from error


def segment_key(model: Model, signals: Signals, settings: Settings, part: Part, predecessor: str) -> str:
    """SHA-256 over everything that a segment's numbers depend on, the segment before it included."""
    facts = {
        "signals": signals.digest(part.rendered),
        # The seed is the part's own: a re-take with the shot's finds what is there.
        "settings": replace(settings, finish=Finish(), seed=0).to_json(),
        "seed": part.seed,
        "keep": [len(part.handed), len(part.keep)],
        "model": {"name": model.name, "files": model.files},
        "software": {"torch": torch.__version__, "code": _code_digest()},
        "execution": part.execution,
        "predecessor": predecessor,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def execution_of(model: Model) -> str:
    """What the bits depend on beside numbers and software; memory plans change none."""
    return f"{model.dtype}, {_device_name(model.device)}, {torch.get_num_threads()} threads"


class Assembly:
    """The parts of one take: those of `base`, which have keys, and those that are made."""

    def __init__(
        self, model: Model, signals: Signals, settings: Settings, store: Store, check: Callable[[], None],
        base: Sequence[Part], made: Sequence[Part], earlier: Sequence[str],
    ) -> None:  # fmt: skip
        self._execution, self._earlier = execution_of(model), earlier
        self._key: Callable[[Part, str], str] = partial(segment_key, model, signals, settings)
        self._store, self._base = store, base
        self._parts = list(base)
        for part in made:
            self._parts.append(self._planned(part))
        self._made = self._parts[len(base) :]
        self._lost = self._find_lost()
        self._segments, self._place = len(made) + len(self._lost), 0
        self._render = ShotRender(model, signals, settings, check, self._segments)
        self._tail: tuple[str, NDArray[np.float32] | None] = "", None
        self._computed = False

    def events(self) -> Iterator[Event]:
        """Everything that happens until all parts that are made are there."""
        for part in self._made:
            self._computed = False
            segment = yield from self._segment(part)
            frames = yield from self._seen(part, segment)
            head = segment.head if part.shown.start == part.keep.start else segment.head[:0]
            yield Decoded(self._place, self._segments, part, part.shown.start, frames, head, reused=not self._computed)
            self._place += 1
            self._tail = part.key, segment.tail

    def _segment(self, part: Part) -> Generator[Event, None, StoredSegment]:
        """From the store; rendered where it is not there."""
        if found := self._store.get(part.key):
            return found
        tail = yield from self._handed(part)
        self._computed = True
        segment = yield from self._rendered(part, tail)
        self._store.put(part.key, segment)
        if part.key in self._lost:
            yield Restored(self._place, self._segments)
            self._place += 1
        return segment

    def _rendered(self, part: Part, tail: NDArray[np.float32] | None) -> Generator[Event, None, StoredSegment]:
        """Rendered on from where an attempt before was stopped; where this one is, its steps are kept."""
        making = self._render.segment(part, tail, self._place, self._store.begun(part.key))
        reached, made = None, False
        try:
            while True:
                event = next(making)
                reached = event.state if isinstance(event, Stepped) else reached
                yield event
        except StopIteration as end:
            made = True
            return cast(StoredSegment, end.value)
        finally:
            making.close()
            if reached and not made:
                self._store.keep(part.key, reached)

    def _seen(self, part: Part, segment: StoredSegment) -> Generator[Event, None, NDArray[np.float16]]:
        """What is seen of a part: the frames of its `segment`, mixed with those beneath."""
        frames, seen = part.shown, None
        for layer in visible([*beneath(self._parts, part), part], frames):
            made = segment if layer is part else (yield from self._segment(layer))
            own = made.frames[frames.start - layer.keep.start : frames.stop - layer.keep.start]
            seen = mixed(seen, own, layer, frames)
        assert seen is not None
        return seen

    def _handed(self, part: Part) -> Generator[Event, None, NDArray[np.float32] | None]:
        """What a part begins with: the last frames as they are seen before it, [3, n, H, W]."""
        frames, seen = part.handed, None
        for layer in visible(before(self._parts, part), frames):
            tail = yield from self._tail_of(layer)
            seen = mixed(seen, np.moveaxis(tail, 1, 0)[-len(frames) :], layer, frames)
        return None if seen is None else np.ascontiguousarray(np.moveaxis(seen, 0, 1))

    def _planned(self, part: Part) -> Part:
        """A part to make, with its key: under this execution, unless only an earlier one has left it finished."""
        ways = [self._under(part, execution) for execution in (self._execution, *self._earlier)]
        return next((way for way in ways if self._store.has(way.key)), ways[0])

    def _under(self, part: Part, execution: str) -> Part:
        part = replace(part, execution=execution)
        return replace(part, key=self._key_of(part))

    def _tail_of(self, part: Part) -> Generator[Event, None, NDArray[np.float32]]:
        key, tail = self._tail
        if tail is not None and key == part.key:
            return tail
        return (yield from self._segment(part)).tail

    def _key_of(self, part: Part) -> str:
        """The key of a part whose predecessors have theirs; mixed ones count with how much is seen of each."""
        layers = visible(before(self._parts, part), part.handed)
        if len(layers) < 2:
            return self._key(part, "".join(layer.key for layer in layers))
        mixture = [[layer.key, *map(layer.weight, part.handed)] for layer in layers]
        return self._key(part, hashlib.sha256(json.dumps(mixture).encode()).hexdigest())

    def _find_lost(self) -> dict[str, Part]:
        """By key the parts of the base that must be rendered again, before anything else is."""
        lost: dict[str, Part] = {}

        def need(part: Part) -> None:
            if part.key in lost or self._store.has(part.key):
                return
            if part in self._base:
                self._check_restorable(part)
                lost[part.key] = part
            for layer in visible(before(self._parts, part), part.handed):
                need(layer)

        for part in self._made:
            for layer in visible([*beneath(self._parts, part), part], part.shown):
                need(layer)
        return lost

    def _check_restorable(self, part: Part) -> None:
        if self._under(part, self._execution).key != part.key:
            raise BadInput(
                f"segment {part.index + 1} of the take is no longer stored, and this software, device, model or export "
                "would not make the same frames of it again; render the whole shot anew"
            )


def mixed(under: Samples | None, over: Samples, part: Part, frames: range) -> Samples:
    """The samples `over` [n, …] of `part` in `frames`, laid over `under` as much as is seen of it."""
    if under is None:
        return over
    seen = over.copy()
    for row, frame in enumerate(frames):
        weight = np.float32(part.weight(frame))
        if weight < 1:
            below = under[row].astype(np.float32)
            seen[row] = below + weight * (over[row] - below)  # so that equal samples stay what they are
    return seen


@cache
def _code_digest() -> str:
    """SHA-256 over the server's code: other arithmetic must never find the segments of this one."""
    folder = Path(__file__).parent
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.py"))
    return hashlib.sha256(b"\0".join(name.encode() + (folder / name).read_bytes() for name in files)).hexdigest()


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} {torch.backends.cpu.get_cpu_capability()}"
