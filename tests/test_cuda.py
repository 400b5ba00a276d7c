"""The same render on a CUDA device. Skipped where there is none; run on demand where there is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from wan_animate_blender.wire import ExitCode, Precision, Settings, Take, TakeState, TryElsewhere
from wan_animate_server.loaded import MODEL
from wan_animate_server.render import render
from wan_animate_server.video import read_picture

from .conftest import HEIGHT, WIDTH, Make

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")

FRAMES = 29
SETTINGS = Settings(steps=4, segment=13, overlap=5, area=WIDTH * HEIGHT)

LEVELS = {Precision.FP32: 0.1, Precision.BF16: 0.5}
"""Mean difference of a comp from the CPU's that rounding may make, of 255. On an H200: 0.02 and 0.05."""


def rendered(folder: Path, device: str) -> tuple[Take, Path]:
    steps = render(folder, device=device, check=lambda: None)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return Take.loads((end.value / "take.json").read_bytes()), end.value


@pytest.fixture
def little_memory() -> Iterator[None]:
    """A share of the device that holds the small model and not a long segment; the forecast does not know of it."""
    share = 180e6 / torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(share)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.parametrize("precision", list(Precision))
def test_the_device_makes_the_frames_of_the_cpu_and_the_same_bits_twice(
    make_shot: Make, tmp_path: Path, precision: Precision
) -> None:
    settings = Settings(**vars(SETTINGS) | {"precision": precision})
    made = [
        rendered(make_shot(frames=FRAMES, settings=settings, root=tmp_path / name), device)
        for name, device in (("host", "cpu"), ("once", "cuda"), ("twice", "cuda"))
    ]
    (host, there), (once, here), (_, again) = made
    assert once.state is TakeState.COMPLETE
    assert once.device == torch.cuda.get_device_name()
    assert once.peak_memory
    pairs = [(read_picture(there / path), read_picture(here / path)) for path in host.sequence("comp")]
    assert np.mean([np.abs(a.astype(int) - b).mean() for a, b in pairs]) < LEVELS[precision]
    assert all((here / path).read_bytes() == (again / path).read_bytes() for path in once.sequence("character"))


@pytest.mark.usefixtures("little_memory")
def test_memory_that_runs_out_in_the_middle_is_one_sentence_and_leaves_no_half_file(
    make_shot: Make, tmp_path: Path
) -> None:
    folder = make_shot(frames=77, settings=Settings(**vars(SETTINGS) | {"segment": 77}))
    with pytest.raises(TryElsewhere, match="choose a smaller area") as problem:
        rendered(folder, "cuda")
    assert problem.value.exit_code == ExitCode.TRY_ELSEWHERE
    assert MODEL.words.endswith("streamed"), "every memory plan was tried"
    (file,) = tmp_path.rglob("take.json")
    take = Take.loads(file.read_bytes())
    assert (take.state, take.files) == (TakeState.PARTIAL, {})
    assert not list(tmp_path.rglob("*.part"))
    assert not list(tmp_path.glob("SH010/segments/*"))
