"""How a character was made to belong to its plate, as rows of a table. Knows a take; no HTML."""

from __future__ import annotations

from dataclasses import dataclass

from wan_animate_blender.wire import Alpha, Grain, Take

_NONE = "not measured"


@dataclass(frozen=True)
class Row:
    """One figure of the plate, of what was generated, and what was done about it."""

    what: str
    plate: str
    made: str
    delivered: str


def rows(take: Take) -> list[Row]:
    """What was measured for `take`; [] where nothing of that was asked for."""
    found, finish = take.belonging, take.settings.finish
    if found is None:
        return []
    made = [
        Row("Grain, σ of red, green, blue", _grain(found.grain), _grain(found.grain_made), _grained(take)),
        Row("Softness of edges", _pixels(found.softness), _pixels(found.softness_made), _softened(take)),
    ]
    if finish.alpha is Alpha.DIFFERENCE and found.key:
        low, high = found.key
        made.append(Row("Key", "the clean plate", f"character from {low:g} to {high:g} apart", "alpha by difference"))
    if found.effects:
        least, most = found.effects
        light = f"{least:.2f} to {most:.2f} times the clean plate's light"
        made.append(Row("Shadow and reflection", light, "none is looked for", _part(finish.effects, "kept")))
    return made


def _grain(found: Grain | None) -> str:
    """The mean over brightness, of each channel."""
    if found is None:
        return _NONE
    return ", ".join(f"{sum(noise) / len(noise):.4f}" for noise in found.noise)


def _pixels(found: float | None) -> str:
    return _NONE if found is None else f"{found:.2f} pixels"


def _grained(take: Take) -> str:
    if take.belonging is not None and take.belonging.grain is None:
        return "none"
    return _part(take.settings.finish.grain, "of what is lacking is added")


def _part(strength: float, done: str) -> str:
    return f"{strength:.0%} {done}" if strength else "off"


def _softened(take: Take) -> str:
    if not take.settings.finish.match_sharpness or take.belonging is None:
        return "off"
    pixels = take.belonging.softening
    return f"softened by {pixels:.2f} pixels" if pixels else "left as it is"
