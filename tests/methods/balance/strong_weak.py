"""Two modalities that each tell the class, one by a linear cue and at once, the other by a product and slowly.

Joint training learns the first and then has little left to learn from the second. How much the second modality's
encoder has learned is read by a linear probe on its embedding. The encoders are small networks without dropout.
"""

from __future__ import annotations

import functools
from typing import Any, cast

import torch
from mmbench.benchmark.core.registry import find
from mmbench.datasets.batch import Batch, Spec
from mmbench.methods.method import Method
from mmbench.methods.shared.networks import Encoders

from ..small import MeanNetwork

SIZE = 24
SIZES = {"strong": SIZE, "weak": SIZE}
SPEC = Spec(
    SIZES, "classification", classes=2, steps=dict.fromkeys(SIZES, 1), train_size=400, class_counts=(200, 200)
)


def planted(samples: int, seed: int) -> Batch:
    """The class, as a sign s: strong holds 2 s along a direction, weak 1.5 a and 1.5 a s along two, a a random sign."""
    draw = torch.Generator().manual_seed(seed)
    label, other = torch.randint(0, 2, (2, samples), generator=draw)
    s, a = (2.0 * label - 1)[:, None], (2.0 * other - 1)[:, None]
    first, second = torch.eye(SIZE)[:2]
    signals = {"strong": 2.0 * s * first, "weak": 1.5 * (a * first + a * s * second)}
    flags = torch.ones(samples, dtype=torch.bool)
    return Batch(
        features={
            m: (x + torch.randn(samples, SIZE, generator=draw)).unsqueeze(1) for m, x in signals.items()
        },
        mask=dict.fromkeys(SIZES, flags.unsqueeze(1)),
        present=dict.fromkeys(SIZES, flags),
        target=label,
        domain=torch.zeros(samples, dtype=torch.int64),
        sample_id=torch.arange(samples),
    )


TRAIN, TEST = planted(400, 1), planted(1000, 2)


@functools.cache
def trained(name: str, seed: int = 0, rule: str = "SGD", epochs: int = 10, **params: Any) -> Method:
    """A network of a method and its parameters; data, first encoders, order and steps are the same for all methods."""
    torch.manual_seed(seed)
    kind = find("method", name).load()
    net = kind(kind.Params(width=16, **params), SPEC)
    torch.manual_seed(seed)
    for part in ("encoders", "teachers"):
        if hasattr(net, part):
            setattr(net, part, Encoders(SPEC, lambda features: MeanNetwork(features, 16)))
    optimiser = (
        torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
        if rule == "SGD"
        else torch.optim.Adam(net.parameters(), lr=2e-3)
    )
    order = torch.Generator().manual_seed(seed)
    starts = [round(sum(net.stages[:stage]) * epochs) for stage in range(len(net.stages))]
    net.begin_stage(0)
    for epoch in range(epochs):
        if epoch in starts[1:]:
            net.begin_stage(starts.index(epoch))
        net.train()
        net.before_epoch(lambda: iter((TRAIN,)), epoch / epochs)
        for rows in torch.randperm(len(TRAIN), generator=order).split(40):
            for step in net.optimizer_steps(TRAIN.take(rows)):
                optimiser.zero_grad()
                step()
                optimiser.step()
                net.after_step()
    return net.eval()


@torch.no_grad()
def probe(net: Method, modality: str) -> float:
    """The accuracy on unseen samples of a ridge regression from a modality's embedding to the class."""
    x, unseen = net.encode(modality, TRAIN), net.encode(modality, TEST)
    mean, scale = x.mean(0), x.std(0) + 1e-3
    x, unseen = ((torch.cat([(v - mean) / scale, torch.ones(len(v), 1)], 1)) for v in (x, unseen))
    goal = 2.0 * TRAIN.target - 1
    weights = torch.linalg.solve(x.T @ x + torch.eye(x.shape[1]), x.T @ goal)
    return float(((unseen @ weights > 0) == (TEST.target == 1)).float().mean())


@torch.no_grad()
def accuracy(net: Method) -> float:
    """That of the prediction on unseen samples."""
    return float((net(TEST).prediction.argmax(1) == TEST.target).float().mean())


def probes(name: str, modality: str = "weak", seeds: int = 3, **asked: Any) -> float:
    """The mean of ``probe`` over networks of several seeds.

    Args:
        name: of the method.
        modality: whose embedding is read.
        seeds: how many networks.
        asked: as of ``trained``.
    """
    return sum(probe(trained(name, seed, **asked), modality) for seed in range(seeds)) / seeds


def moved(name: str, modality: str, seed: int = 0, **asked: Any) -> float:
    """How far training has moved the weights of a modality's encoder from their start, a norm.

    Args:
        name: of the method.
        modality: whose encoder it is.
        seed: of the network.
        asked: as of ``trained``.
    """
    place = list(SIZES).index(modality)
    ends = [trained(name, seed, **asked), trained(name, seed, **asked | {"epochs": 0})]
    weights = [
        torch.cat([p.detach().flatten() for p in cast(Encoders, net.encoders).parts[place].parameters()])
        for net in ends
    ]
    return float((weights[0] - weights[1]).norm())
