"""What of a plate the model could not be shown as it is. Knows no colours and no take."""

from __future__ import annotations

from dataclasses import dataclass

from .messages import Message


@dataclass(frozen=True, kw_only=True)
class Clipped(Message):
    """How many of the plate's samples the model could not be shown as they are. Sums up over frames."""

    samples: int = 0
    """All that were looked at; 0 where there is no scene-linear plate, for no other is clipped."""
    above: int = 0
    """Brighter than the most that the model sees."""
    below: int = 0
    """No number, or outside the colours that the model sees."""
    brightest: float = 0.0
    """The largest finite sample, in the plate's numbers."""

    def __add__(self, other: Clipped) -> Clipped:
        return Clipped(
            samples=self.samples + other.samples, above=self.above + other.above, below=self.below + other.below,
            brightest=max(self.brightest, other.brightest),
        )  # fmt: skip

    def notes(self) -> tuple[str, ...]:
        """A sentence for each kind of clipping that there was."""
        said = []
        if self.above:
            said.append(
                f"{self._share(self.above)} of the plate's samples inside the region are brighter than what the "
                f"model sees and makes (the brightest is {self.brightest:.4g})"
            )
        if self.below:
            said.append(
                f"{self._share(self.below)} of the plate's samples inside the region are no number or outside sRGB's "
                "colours, and 0 to the model"
            )
        return tuple(said)

    def _share(self, count: int) -> str:
        return f"{100 * count / self.samples:.2g} %"
