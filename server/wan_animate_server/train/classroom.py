"""What the lessons of one training share: the student, its compiled loss, pools of clips and judges.

Everything is made when it is first asked for, and once: drawing a pool and compiling a loss take a minute each.
"""

from __future__ import annotations

from torch import Tensor

from ..sizes import Networks
from .autoencoder import SEEDS
from .descent import compiled
from .judge import Judge
from .pace import timed
from .pool import Encoder, Pool
from .shape import Shape
from .student import Student
from .team import Team

PORTRAITS = 0.5
"""Share of the clips, one for all lessons, so that what was drawn for the first serves the others too."""

APART = 100_000_000
"""Clips between the seeds of one pool and of the next: no person of one is met again in another shape."""


class Classroom:
    """For networks whose autoencoder has been trained."""

    def __init__(
        self, networks: Networks, prompts: Tensor, *, frames: int, difficulty: float, seed: int, team: Team
    ) -> None:
        """`prompts` from `both_prompts`; `frames` are those of every pool."""
        self.student = Student(networks, prompts)
        self.loss = compiled(self.student.loss, team.device)
        self._vae = networks.vae
        self._encoder = Encoder(networks.vae)
        self._frames, self._difficulty, self._device = frames, difficulty, team.device
        self._first = team.seed(seed) * SEEDS
        self._pools: dict[tuple[Shape, bool], Pool] = {}
        self._judges: dict[tuple[Shape, bool], Judge] = {}

    def pool(self, shape: Shape, *, lit: bool) -> Pool:
        """Clips to learn from."""
        if (shape, lit) not in self._pools:
            spec, first = shape.spec(PORTRAITS, self._difficulty), self._first + len(self._pools) * APART
            with timed(f"the pool of {shape}", self._device):
                pool = Pool(self._encoder, spec, self._face_size, self._frames, first, lit=lit)
            self._pools[shape, lit] = pool
        return self._pools[shape, lit]

    def judge(self, shape: Shape, *, lit: bool) -> Judge:
        """Held-out clips."""
        if (shape, lit) not in self._judges:
            spec = shape.spec(PORTRAITS, self._difficulty)
            self._judges[shape, lit] = Judge.of(self._vae, self._encoder, spec, self._face_size, lit=lit)
        return self._judges[shape, lit]

    @property
    def _face_size(self) -> int:
        return self.student.transformer.config.motion.size
