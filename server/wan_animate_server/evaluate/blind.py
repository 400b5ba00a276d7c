"""Human preference: a page of pairs whose sides nobody knows, the key to it, and what votes come to.

Each argument is a *system*: a take, or a folder with takes of several shots. Where two systems have a take of one shot,
the two are a pair. The page holds movies and numbers; which is whose is in the key alone.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from markupsafe import Markup

from wan_animate_blender.wire import TAKE_FILE, BadInput, TakeState

from ..render import MOVIE_FILE
from ..take import read_take
from .page import TEMPLATES

_NORMAL = 1.959964
"""Deviations within which 95 % of a normal distribution lie."""

PICKS = ("left", "right", "same")


@dataclass(frozen=True)
class Pair:
    """One question: names of systems, and the shot that both have made."""

    shot: str
    left: str
    right: str


@dataclass(frozen=True)
class Preference:
    """How often one system is preferred to another; a vote for no difference is half a vote for each."""

    one: str
    other: str
    votes: int
    share: float
    """Of the votes for `one`, 0..1."""
    low: float
    high: float
    """Between which the true share lies in 95 of 100 studies (Wilson 1927)."""


def study(systems: Sequence[Path], seed: int) -> tuple[str, dict[str, Any]]:
    """The page and its key. `seed` decides the order of the pairs and the sides. Raises `BadInput`."""
    names = _names(systems)
    movies = {name: _movies(folder) for name, folder in names.items()}
    pairs = _pairs(movies, random.Random(seed))
    if not pairs:
        raise BadInput("no two of these have a take of the same shot; give folders of takes that can be compared")
    key = {"id": _id(seed, pairs), "seed": seed, "pairs": [asdict(pair) for pair in pairs]}
    return _page(str(key["id"]), pairs, movies), key


def preferences(key: Mapping[str, Any], votes: Sequence[Mapping[str, Any]]) -> list[Preference]:
    """What files of votes of the study with this `key` come to. Raises `BadInput` for votes of another one."""
    pairs = [Pair(**pair) for pair in key["pairs"]]
    won: dict[tuple[str, str], list[float]] = {}
    for file in votes:
        if file.get("study") != key["id"]:
            raise BadInput(f"these votes are of the study {file.get('study')}, the key is of {key['id']}; give its own")
        for pair, pick in zip(pairs, file["picks"], strict=False):
            if pick not in PICKS:
                raise BadInput(f"a vote says {pick!r}; expected left, right or same, as the page saves them")
            one, other = sorted((pair.left, pair.right))
            first = pair.left == one
            won.setdefault((one, other), []).append(0.5 if pick == "same" else float((pick == "left") == first))
    return [_preference(one, other, given) for (one, other), given in sorted(won.items())]


def read(path: Path) -> dict[str, Any]:
    """A key or votes. Raises `BadInput`."""
    try:
        said = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read as JSON ({error}); give the file as it was saved") from error
    if not isinstance(said, dict) or not {"picks", "pairs"} & set(said):
        raise BadInput(f"{path} holds neither votes nor the key of a study; give the file as it was saved")
    return said


def _preference(one: str, other: str, given: Sequence[float]) -> Preference:
    count, share = len(given), sum(given) / len(given)
    spread = _NORMAL**2 / count
    middle = (share + spread / 2) / (1 + spread)
    half = _NORMAL / (1 + spread) * math.sqrt(share * (1 - share) / count + spread / (4 * count))
    return Preference(one, other, count, share, max(middle - half, 0.0), min(middle + half, 1.0))


def _names(systems: Sequence[Path]) -> dict[str, Path]:
    """Short names, longer ones where these are the same. Raises `BadInput` for the same folder twice."""
    whole = [folder.resolve() for folder in systems]
    if len(set(whole)) < len(whole) or len(whole) < 2:
        raise BadInput("a comparison needs two different takes or folders of takes at least; give them all")
    for parts in range(1, max(len(folder.parts) for folder in whole) + 1):
        names = {"/".join(folder.parts[-parts:]): folder for folder in whole}
        if len(names) == len(whole):
            break
    return names


def _movies(folder: Path) -> dict[str, Path]:
    """The movie of the newest complete take of each shot and mode at or below `folder`."""
    found: dict[str, tuple[int, Path]] = {}
    for path in sorted(folder.rglob(TAKE_FILE)):
        take = read_take(path.parent)
        if take and take.state is TakeState.COMPLETE:
            name = f"{take.shot} {take.mode}"
            found[name] = max(found.get(name, (0, path)), (take.version, path.parent / MOVIE_FILE))
    return {name: movie for name, (_, movie) in found.items()}


def _pairs(movies: Mapping[str, Mapping[str, Path]], chance: random.Random) -> list[Pair]:
    pairs = []
    for one, other in combinations(movies, 2):
        for shot in sorted(movies[one].keys() & movies[other].keys()):
            left, right = chance.sample((one, other), 2)
            pairs.append(Pair(shot, left, right))
    chance.shuffle(pairs)
    return pairs


def _id(seed: int, pairs: Sequence[Pair]) -> str:
    said = json.dumps([seed, [asdict(pair) for pair in pairs]])
    return hashlib.sha256(said.encode()).hexdigest()[:12]


def _page(name: str, pairs: Sequence[Pair], movies: Mapping[str, Mapping[str, Path]]) -> str:
    sides = [(movies[pair.left][pair.shot], movies[pair.right][pair.shot]) for pair in pairs]
    # In the order of their bytes' hashes, so that numbers tell nothing.
    data = {path: base64.b64encode(path.read_bytes()).decode() for pair in sides for path in pair}
    order = sorted(data, key=lambda path: hashlib.sha256((name + data[path]).encode()).hexdigest())
    number = {path: i for i, path in enumerate(order)}
    said = {
        "id": name,
        "trials": [{"left": number[left], "right": number[right]} for left, right in sides],
        "movies": [f"data:video/mp4;base64,{data[path]}" for path in order],
    }
    # Base64, numbers and a hash: nothing in it can end the script.
    return TEMPLATES.get_template("blind.html").render(study=Markup(json.dumps(said)))
