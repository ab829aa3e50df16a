from __future__ import annotations

from typing import Any

import torch
from mmbench.datasets.batch import Batch
from mmbench.methods.erm import ERM, ERMParams
from mmbench.methods.generalisation.sam import SAM, SAMParams, climb
from mmbench.methods.losses import task_loss
from mmbench.methods.method import Method
from torch import Tensor, nn

from .. import planted

SMALL: dict[str, Any] = {"layers": 1, "width": 16}


class Quadratic(SAM):
    """1/2 w^T A w."""

    def __init__(self, curvature: Tensor, start: Tensor, rho: float) -> None:
        nn.Module.__init__(self)
        self.params = SAMParams(rho=rho)
        self.curvature = curvature
        self.w = nn.Parameter(start.clone())
        self.unused = nn.Parameter(torch.ones(2))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        return {"task": 0.5 * self.w @ self.curvature @ self.w}


def test_the_gradient_on_a_quadratic_is_that_at_the_worst_point():
    a, w = torch.diag(torch.tensor([1.0, 4.0])), torch.tensor([2.0, -0.5])
    net = Quadratic(a, w, rho=0.3)
    terms = net.backward(planted.noise(planted.spec("text"), 2))
    slope = a @ w  # (2, -2)
    expected = a @ (w + 0.3 * slope / slope.norm())
    assert net.w.grad is not None
    assert torch.allclose(net.w.grad, expected)
    assert torch.equal(net.w.detach(), w)  # put back to the last bit
    assert float(terms["task"]) == 0.5 * float(w @ a @ w)
    assert net.unused.grad is None


def sharpness(method: Method, batch: Batch, rho: float) -> float:
    """Loss at the point ``rho`` up the gradient, less the loss."""

    def loss() -> Tensor:
        return task_loss(method(batch).prediction, batch.target, method.spec)

    own = [p.detach().clone() for p in method.parameters()]
    method.zero_grad()
    before = loss()
    before.backward()
    climb([p for p in method.parameters() if p.grad is not None], rho)
    with torch.no_grad():
        rise = float(loss() - before)
        for p, value in zip(method.parameters(), own, strict=True):
            p.copy_(value)
    return rise


def test_it_ends_where_the_loss_is_flatter_than_after_erm():
    spec = planted.spec("text", "audio", kind="classification")
    batch = planted.linked(spec, 256, 1)
    found = {}
    for name, make in {
        "erm": lambda: ERM(ERMParams(**SMALL), spec),
        "sam": lambda: SAM(SAMParams(rho=0.2, **SMALL), spec),
    }.items():
        torch.manual_seed(0)
        found[name] = sharpness(planted.train(make(), batch, epochs=20), batch, 0.2)
    assert found["sam"] < 0.9 * found["erm"]
