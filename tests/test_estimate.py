"""What a render would take, before there is a shot: as the plan of that shot says it, and only for what can be."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wan_animate_blender.client import Server
from wan_animate_blender.wire import BadInput, Finish, Forecast, Format, Mode, Precision, Settings, Wanted
from wan_animate_server import estimate
from wan_animate_server.estimate import Estimates, compute, disk_of
from wan_animate_server.plan import plan
from wan_animate_server.render import render

from .conftest import HEIGHT, QUICK, WIDTH, Make
from .serving import Running, serving

FILM = Wanted(settings=Settings(model="wan-animate-14b", precision=Precision.BF16), frames=200, width=1920, height=1080)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("estimate")) as running:
        yield running


@pytest.mark.parametrize("mode", list(Mode))
def test_a_forecast_is_what_the_plan_of_the_shot_says(make_shot: Make, mode: Mode) -> None:
    told = plan(make_shot(mode=mode, settings=replace(QUICK, roi=False)), "cpu").to_json()
    size = (WIDTH, HEIGHT) if mode is Mode.REPLACE else (60, 80)  # of the character's picture
    found = compute(Wanted(settings=QUICK, mode=mode, frames=9, width=size[0], height=size[1]))
    assert (found.segments, found.length) == (told["segments"], told["length"])
    assert (found.width, found.height) == (told["width"], told["height"])
    assert found.memory == {residence.value: needed for residence, needed in told["needed"].items()}
    assert found.least == min(found.memory.values())
    assert (found.device, found.seconds) == ("", None), "nobody measured 32 bit"


def test_the_released_model_is_forecast_for_a_device_that_is_named_without_its_files() -> None:
    found = compute(FILM)
    assert (found.segments, found.length, found.width, found.height) == (3, 73, 1280, 720)
    assert found.memory["resident"] > found.memory["hot"] > found.memory["streamed"] == found.least > 10e9
    assert found.device == "NVIDIA H200" and found.seconds and 100 < found.seconds < 10_000


@pytest.mark.parametrize("form", [Format.PNG8, Format.PNG16])
def test_no_render_has_more_bytes_on_disk_than_was_forecast(make_shot: Make, form: Format) -> None:
    settings = replace(QUICK, finish=Finish(format=form))
    export = make_shot(settings=settings)
    for _ in render(export, check=lambda: None):
        pass
    wanted = Wanted(settings=settings, frames=9, width=WIDTH, height=HEIGHT)
    pictures = (p for p in export.parent.rglob("*") if p.suffix in (".png", ".npy"))
    assert 0 < sum(p.stat().st_size for p in pictures) <= disk_of(wanted, WIDTH, HEIGHT) < 20e6


def test_what_was_asked_before_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    run = subprocess.run

    def counted(*given: Any, **more: Any) -> Any:
        started.append(given)
        return run(*given, **more)

    monkeypatch.setattr(estimate.subprocess, "run", counted)
    monkeypatch.setattr(estimate, "_KEPT", 1)
    asked = Estimates()
    one = Wanted(settings=QUICK, frames=9, width=WIDTH, height=HEIGHT)
    other = replace(one, frames=5)
    assert asked.ask(one) == asked.ask(one) == compute(one)
    assert len(started) == 1
    asked.ask(other)
    asked.ask(one)
    assert len(started) == 3, "it keeps no more than it may"


def test_a_server_answers_and_refuses_nonsense_with_a_sentence(server: Running) -> None:
    door = Server(server.url, server.token)
    wanted = Wanted(settings=QUICK, frames=9, width=WIDTH, height=HEIGHT)
    assert door.forecast(wanted) == compute(wanted)
    with pytest.raises(BadInput, match="there is no model 'nobody'"):
        door.forecast(replace(wanted, settings=replace(QUICK, model="nobody")))
    for nonsense, sentence in (
        (wanted.to_json() | {"frames": 0}, "frames is 0, expected 1 to 100000"),
        (wanted.to_json() | {"width": 1 << 20}, "width is 1048576, expected 16 to 16384 pixels"),
        ({"frames": "many"}, 'frames is "many", expected a whole number'),
    ):
        reply = server.call("POST", "/v1/forecast", json=nonsense)
        assert (reply.status_code, reply.json()["error"]) == (422, "bad-forecast")
        assert sentence in reply.json()["message"]
    described = server.call("GET", "/v1/openapi.json").json()
    assert described["paths"]["/v1/forecast"]["post"]["requestBody"]["required"]
    assert {"Wanted", "Forecast"} <= described["components"]["schemas"].keys()
    assert Forecast.from_json(door.forecast(wanted).to_json()).disk > 0 and Path(server.data).exists()
