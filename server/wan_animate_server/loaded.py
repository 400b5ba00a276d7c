"""The model that stays in memory from one render of a process to the next, and how it makes room. Knows no shot."""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator
from pathlib import Path

import torch

from wan_animate_blender.wire import Precision

from .installed import load_model
from .pipeline import Model, OutOfMemory
from .placement import Residence
from .progress import Progress

Attempt = Callable[[Residence], Generator[Progress, None, Path]]
"""A render whose weights lie no roomier than given."""

_SAID = {
    Residence.HOT: "the weights that only a segment's beginning needs now wait on the host",
    Residence.STREAMED: "the weights are now streamed block by block, which is slower",
}


class LastModel:
    """The model of the last render of this process, which the next one most often wants again.

    Another set of LoRAs is no other model: `installed.adapt` derives only the tensors that differ.
    """

    def __init__(self) -> None:
        self._key: tuple[str, str, Precision, Residence] | None = None
        self._model: Model | None = None

    def get(self, name: str, device: str, precision: Precision, residence: Residence) -> Model:
        """Raises what `load_model` raises, and `OutOfMemory`."""
        key = name, device, precision, residence
        if self._model is None or self._key != key:
            self.drop()  # first: two do not fit
            self._key = key
            try:
                self._model = load_model(name, device=device, precision=precision, residence=residence)
            except torch.OutOfMemoryError as error:
                raise OutOfMemory(
                    f"the model {name} does not fit into the memory of {device}; choose a larger device"
                ) from error
        return self._model

    def drop(self) -> None:
        """Give its memory back."""
        self._model = None
        gc.collect()  # networks and their hooks hold each other
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.empty_cache()

    @property
    def words(self) -> str:
        """What is loaded and how, "" for nothing."""
        if self._model is None or self._key is None:
            return ""
        name, _, precision, residence = self._key
        return f"{name} {precision} {residence}"

    @property
    def tighter(self) -> Residence | None:
        """The memory plan after the one that was last asked for; None after the last."""
        plans = list(Residence)
        following = plans[plans.index(self._key[3]) + 1 :] if self._key else []
        return following[0] if following else None


MODEL = LastModel()


def tightening(attempt: Attempt) -> Generator[Progress, None, Path]:
    """A render that begins again with a tighter memory plan when the device's memory runs out, and says so.

    Plans change no number, so that it goes on after its last finished segment. Raises `OutOfMemory` after the last.
    """
    plan = Residence.RESIDENT
    while True:
        try:
            return (yield from attempt(plan))
        except OutOfMemory:
            if (following := MODEL.tighter) is None:
                raise
            plan = following
        # Outside of the handler, whose traceback holds on to everything that the failed attempt had allocated.
        MODEL.drop()
        yield Progress(stage="making room", message=f"the device's memory ran out: {_SAID[plan]}")
