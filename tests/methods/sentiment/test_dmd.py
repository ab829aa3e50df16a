"""DMD: its sizes as released, who attends to whom, and what is rebuilt of both parts on planted data."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from mmbench.methods.sentiment.dmd import DMD, DMDParams
from mmbench.methods.shared.decoupled import rebuilding

from .. import planted
from . import rows

RATES = ("attention_dropout", "embed_dropout", "text_dropout", "output_dropout")
SMALL: dict[str, Any] = {"step_width": 8, "heads": 2, **dict.fromkeys(RATES, 0.0)}


@pytest.mark.parametrize(
    # counted of the release: without a projection of the specific parts that no loss reads, and without the graphs
    ("dataset", "count"),
    [("mosi", 4_743_658 - 345_150), ("mosei", 1_792_778 - 129_690)],
)
def test_the_released_network_has_the_released_size(dataset: str, count: int):
    net = rows.published(DMD, dataset)
    assert isinstance(net, DMD)
    graphs = rows.size(net.homogeneous) + rows.size(net.heterogeneous)
    assert rows.size(net) - graphs == count


@pytest.mark.parametrize(("count", "kind"), [(1, "classification"), (3, "regression"), (4, "regression")])
@pytest.mark.parametrize("params", [{}, {"edges": "uniform", "released_repulsion": True}], ids=str)
def test_it_predicts_and_learns_from_any_pattern(count: int, kind: str, params: dict):
    spec = planted.spec(*list(planted.SIZES)[:count], kind=kind)
    rows.any_pattern(DMD(DMDParams(steps=3, step_width=4, heads=2, **params), spec))


def test_a_modality_that_is_absent_is_attended_to_by_none_and_has_no_loss():
    net = DMD(DMDParams(steps=3, **SMALL), rows.PAIR).eval()
    batch = planted.linked(rows.PAIR, 4, 1)
    alone = batch.with_present({"audio": torch.zeros(4, dtype=torch.bool)})
    terms = net.loss(alone)
    assert terms["distillation"] == 0
    parts, known = net.parts(alone)
    assert not parts.common[1].any()
    memory = net.memories_of(parts, known)
    parts.specific[1] = torch.randn_like(parts.specific[1])
    torch.testing.assert_close(net.memories_of(parts, known)[0], memory[0])


# --- what it is for ---------------------------------------------------------------------------------------


@functools.cache
def trained(**params: Any) -> DMD:
    torch.manual_seed(0)
    net = DMD(DMDParams(steps=3, **SMALL, **params), rows.PAIR)
    return planted.train(net, planted.linked(rows.PAIR, 256, 1), epochs=8, lr=6e-3, last=0.1)  # type: ignore[return-value]


@torch.no_grad()
def rebuilt(net: DMD) -> float:
    """The squared error of what both parts rebuild, in the variance of the sequences."""
    parts, known = net.parts(planted.linked(rows.PAIR, 512, 5))
    whole = sum(float(x.flatten(0, 1).var(dim=0).mean()) for x in parts.whole)
    return rebuilding(parts, known)[0].item() / whole


def test_both_parts_rebuild_the_sequence_and_without_the_terms_they_do_not():
    bare = trained(weight_decoupling=0.0, weight_margin=0.0)
    assert rebuilt(trained()) < 0.75 * rebuilt(bare)


def test_the_task_is_learned_as_well_without_the_terms():
    """As docs/methods.md says, for which this is the check."""
    test = planted.linked(rows.PAIR, 512, 5)
    bare = trained(weight_decoupling=0.0, weight_margin=0.0, weight_distillation=0.0)
    assert rows.error(bare, test) < 1.25 * rows.error(trained(), test)
