"""What a GPU compiles, which takes a minute each, is compiled once for each shape of clips and not for each lesson."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from torch import Tensor

from wan_animate_server.train import classroom
from wan_animate_server.train.run import Order, train
from wan_animate_server.train.stages import Stage

from .conftest import SHAPE, SHORT


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[torch.fx.GraphModule]]:
    """What has been traced of the loss; it runs as it is, for a compiler's code would take too long here."""
    found: list[torch.fx.GraphModule] = []

    def kept(graph: torch.fx.GraphModule, _: Sequence[Tensor]) -> Callable[..., object]:
        found.append(graph)
        return graph.forward

    monkeypatch.setattr(classroom, "compiled", lambda of, _: torch.compile(of, dynamic=False, backend=kept))
    torch._dynamo.reset()
    yield found
    torch._dynamo.reset()


def test_all_lessons_share_one_compiled_loss_of_each_shape(
    order: Callable[..., Order], graphs: list[torch.fx.GraphModule]
) -> None:
    stages = (Stage.BODY, Stage.FACE, Stage.JOINT, Stage.RELIGHT)
    reports = train(order(*stages, steps=4, shapes=(SHORT, SHAPE)))
    seen = {report.stage: len(graphs) for report in reports}
    once = seen["body"] // 2
    assert seen == {"body": 2 * once, "face": 2 * once, "joint": 2 * once, "relight": 3 * once}
    assert once > 0
