"""Looks at what a render runs on: versions, driver, kernels, memory, libraries. Knows no folder of a server.

Each check imports what it looks at when it runs, so that what cannot be imported is a finding of its own.
"""

from __future__ import annotations

import math
import platform
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from wan_animate_blender.wire import WIRE_VERSION, Precision, Settings

from .finding import Finding, note, ok, problem
from .version import version

if TYPE_CHECKING:
    import torch

    from .forecast import Forecast

_PACKAGE = "wan-animate-blender"
_DRIVER = Path("/proc/driver/nvidia/version")
_SMI_SECONDS = 20.0


def versions() -> Iterator[Finding]:
    """Python, this program, and every package that it needs, within the ranges that it was made for."""
    python, needed = platform.python_version(), requirements()
    yield ok("wan-animate", f"{version()}, wire version {WIRE_VERSION}")
    if SpecifierSet(python_range()).contains(python):
        yield ok("Python", python)
    else:
        yield problem("Python", python, f"use a Python that is {python_range()}")
    wrong = [sentence for requirement in needed if (sentence := _lacking(requirement))]
    for requirement in needed:
        if requirement.name == "torch" and not _lacking(requirement):
            yield ok("PyTorch", f"{metadata.version('torch')}, within {requirement.specifier}")
    for sentence in wrong:
        yield problem("packages", sentence, f"pip install '{_PACKAGE}[server]' in this environment")
    if not wrong:
        yield ok("packages", f"all {len(needed)} that the server needs are here, in versions that it was made for")


def requirements() -> list[Requirement]:
    """What the server needs here: from this package's metadata, or from its sources' pyproject.toml."""
    try:
        lines = metadata.requires(_PACKAGE) or []
    except metadata.PackageNotFoundError:
        lines = [f"{line.split(';')[0]}; extra == 'server'" for line in _project()["optional-dependencies"]["server"]]
    found = map(Requirement, lines)
    return [
        r for r in found if r.marker and r.marker.evaluate({"extra": "server"}) and not r.marker.evaluate({"extra": ""})
    ]


def python_range() -> str:
    """Such as ">=3.11,<3.14"."""
    try:
        return str(metadata.metadata(_PACKAGE)["Requires-Python"])
    except metadata.PackageNotFoundError:
        return str(_project()["requires-python"])


def _project() -> dict[str, Any]:
    with (Path(__file__).parents[2] / "pyproject.toml").open("rb") as file:
        project: dict[str, Any] = tomllib.load(file)["project"]
    return project


def _lacking(requirement: Requirement) -> str:
    """What is wrong with an installed package; "" for nothing."""
    try:
        here = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement.name} is not installed"
    if requirement.specifier.contains(here, prereleases=True):
        return ""
    return f"{requirement.name} is {here}, expected {requirement.specifier}"


def driver() -> Iterator[Finding]:
    """Whether PyTorch sees the cards that the driver sees."""
    import torch

    cards, built = _cards(), torch.version.cuda
    seen = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if seen:
        yield ok(
            "CUDA", f"{', '.join(seen)}; PyTorch is made for CUDA {built}; driver: {'; '.join(cards) or 'unknown'}"
        )
    elif not cards:
        yield note("CUDA", "no driver of NVIDIA is here: renders run on the CPU", "for the full model use a CUDA card")
    elif built is None:
        advice = "install PyTorch for CUDA: see pytorch.org, 'Get Started'"
        yield problem("CUDA", f"the driver sees {'; '.join(cards)}, but this PyTorch is made for the CPU alone", advice)
    else:
        advice = f"update the driver to one for CUDA {built}, or install a PyTorch for what it has"
        yield problem(
            "CUDA", f"the driver sees {'; '.join(cards)}, but PyTorch for CUDA {built} cannot use them", advice
        )


def _cards() -> list[str]:
    """What the driver itself says of its cards; empty without one."""
    if smi := shutil.which("nvidia-smi"):
        asked = [smi, "--query-gpu=name,driver_version", "--format=csv,noheader"]
        try:
            done = subprocess.run(asked, capture_output=True, text=True, timeout=_SMI_SECONDS, check=True)
            return [" driver ".join(line.split(", ")) for line in done.stdout.splitlines() if line]
        except (OSError, subprocess.SubprocessError):  # it is there, but has no card or hangs: then ask the kernel
            pass
    return [_DRIVER.read_text().splitlines()[0]] if _DRIVER.exists() else []


def kernels() -> Iterator[Finding]:
    """Which ways to compute attention work, each tried with a few numbers."""
    import torch

    for device in _devices():
        works = list(_attention(torch.device(device)))
        if not works:
            yield problem("attention", f"no way to compute it works on {device}", "install PyTorch again")
        elif device == "cpu" or {"flash_attention", "cudnn_attention"} & set(works):
            yield ok("attention", f"on {device}: {', '.join(works)}")
        else:
            yield note("attention", f"on {device}: only {', '.join(works)}", "this card renders, but far slower")
    if torch.cuda.is_available():
        try:
            import triton

            yield ok("Triton", triton.__version__)
        except ImportError as error:
            yield note("Triton", f"not usable ({error})", "pip install triton, for kernels that are compiled")
    else:
        yield ok("Triton", "not asked for without a CUDA card")


def _attention(device: torch.device) -> Iterator[str]:
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    kind = torch.float32 if device.type == "cpu" else torch.bfloat16
    numbers = torch.ones(1, 2, 64, 64, device=device, dtype=kind)
    for name, backend in SDPBackend.__members__.items():
        if name in ("ERROR", "OVERRIDEABLE"):
            continue
        try:
            with sdpa_kernel(backend):
                seen = torch.nn.functional.scaled_dot_product_attention(numbers, numbers, numbers)
        except RuntimeError:  # how PyTorch says that there is none
            continue
        if bool(torch.isfinite(seen).all()):
            yield name.lower()


def memory() -> Iterator[Finding]:
    """What the host has, and whether and how each model would lie on each device."""
    import psutil

    from .forecast import forecast
    from .installed import MODELS, sizes_of

    host = psutil.virtual_memory()
    yield ok("memory", f"{host.available / 1e9:.1f} of {host.total / 1e9:.1f} GB of the host are free")
    for name in MODELS:
        settings, sizes = Settings(model=name, precision=Precision.BF16), sizes_of(name)
        needs = forecast(sizes, settings, settings.segment, *_shape(sizes.area))
        for device in _devices():
            yield _fit(name, needs, device, host.available)


def _fit(name: str, needs: Forecast, device: str, host: int) -> Finding:
    """How the model of `needs` lies on `device`; `host` is how many bytes are free there."""
    from .forecast import choose, device_name, memory_of
    from .placement import Residence
    from .plan import LIES
    from .weights import find_device

    place = find_device(device)
    about, shape = f"{name} on {device_name(place)}", f"{needs.width}×{needs.height} in BF16"
    if (free := memory_of(place)) is None:
        least, free, lies = needs.needed(Residence.RESIDENT), host, "all lies on the host"
    else:
        least = min(map(needs.needed, Residence))
        lies = LIES[choose(needs, free)] if least <= free else ""
    said = f"{shape} needs {least / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"
    if least > free:
        return note(about, said, "choose a smaller area, shorter segments or another device")
    return ok(about, f"{said}: {lies}")


def _shape(area: int) -> tuple[int, int]:
    """The 16:9 picture of about `area` pixels whose sides are multiples of 16."""
    width = round(math.sqrt(area * 16 / 9) / 16) * 16
    return width, area // width // 16 * 16


def _devices() -> list[str]:
    import torch

    return ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]


def libraries() -> Iterator[Finding]:
    """Whether pictures and movies can be written and read, by doing it once."""
    import av
    import numpy as np
    import PyOpenColorIO

    from . import video

    grey = np.full((16, 16, 3), 128, np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        for name, picture in (("PNG", grey), ("EXR", grey.astype(np.float16))):
            path = Path(folder) / f"a.{name.lower()}"
            video.write_picture(path, picture)
            if np.array_equal(video.read_picture(path), picture):
                yield ok(name, "written and read to the bit")
            else:
                yield problem(name, "what was written is read otherwise", f"pip install '{_PACKAGE}[server]' again")
    codecs = {"libx264", "h264"} - av.codecs_available
    if codecs:
        yield problem("FFmpeg", f"lacks {', '.join(sorted(codecs))}", "install PyAV from its wheel: pip install av")
    else:
        yield ok("FFmpeg", f"libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))}, with H.264")
    yield ok("OpenColorIO", PyOpenColorIO.GetVersion())
