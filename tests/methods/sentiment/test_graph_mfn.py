"""Graph-MFN: its graph against numpy, its sizes as released, and what is said at one time on planted data."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from mmbench.methods.sentiment.graph_mfn import FusionGraph, GraphMFN, GraphMFNParams
from torch import nn

from .. import planted
from . import rows


def layers(parts: nn.Module, x: np.ndarray) -> np.ndarray:
    weights = [p.detach().numpy() for p in parts.parameters()]
    for w, b in zip(weights[::2], weights[1::2], strict=True):
        x = x @ w.T + b
    return x


def test_a_vertex_reads_its_subsets_times_their_efficacies_and_the_summary_reads_all():
    graph = FusionGraph([2, 3, 2], core=5, width=4, predicted=True)
    own = [torch.randn(6, width) for width in (2, 3, 2)]
    vertices: dict[tuple[int, ...], np.ndarray] = {(i,): x.numpy() for i, x in enumerate(own)}
    share = layers(graph.efficacies, np.concatenate(list(vertices.values()), axis=1))  # type: ignore[arg-type]
    assert share.shape == (6, 19)
    at = 0
    for subset, network in zip([(0, 1), (0, 2), (1, 2), (0, 1, 2)], graph.vertices, strict=True):
        below = [other for other in vertices if set(other) < set(subset)]
        read = [vertices[other] * share[:, at + i : at + i + 1] for i, other in enumerate(below)]
        vertices[subset] = layers(network, np.concatenate(read, axis=1))
        at += len(below)
    read = [x * share[:, at + i : at + i + 1] for i, x in enumerate(vertices.values())]
    by_hand = layers(graph.summary, np.concatenate(read, axis=1))
    np.testing.assert_allclose(graph(own).detach().numpy(), by_hand, atol=1e-5)


@pytest.mark.parametrize(("dataset", "count"), [("mosi", 2_319_280), ("mosei", 809_504), ("sims", 2_978_572)])
def test_the_released_network_has_the_released_size(dataset: str, count: int):
    net = rows.published(GraphMFN, dataset)
    assert rows.size(net) == count
    kept = [name for name, p in net.named_parameters() if not p.requires_grad]
    assert kept
    assert all(name.startswith("graph.vertices.") for name in kept)


@pytest.mark.parametrize(("count", "kind"), [(1, "classification"), (3, "regression"), (4, "regression")])
@pytest.mark.parametrize("params", [{}, {"efficacies": "constant"}], ids=str)
def test_it_predicts_and_learns_from_any_pattern(count: int, kind: str, params: dict):
    spec = planted.spec(*list(planted.SIZES)[:count], kind=kind)
    rows.any_pattern(GraphMFN(GraphMFNParams(steps=3, hidden=6, core=6, vertex_width=6, **params), spec))


# --- what it is for ---------------------------------------------------------------------------------------

RATES = ("proposal_dropout", "keep_dropout", "write_dropout", "out_dropout")
SIZES = ("hidden", "audio_hidden", "memory_width", "core", "vertex_width")
SMALL: dict[str, Any] = {**dict.fromkeys(RATES, 0.0), **dict.fromkeys(SIZES, 8)}


@functools.cache
def trained(**params: Any) -> GraphMFN:
    torch.manual_seed(0)
    net = GraphMFN(GraphMFNParams(steps=3, **SMALL, **params), rows.PAIR)
    return planted.train(net, rows.at_one_time(1024, 1, 3), epochs=20, lr=1e-2, last=0.1)  # type: ignore[return-value]


def test_products_of_what_is_said_at_one_time_are_learned_and_without_the_memory_they_are_not():
    test = rows.at_one_time(512, 5, 3)
    assert rows.error(trained(), test) < 0.6 * rows.error(trained(memory="none"), test)
