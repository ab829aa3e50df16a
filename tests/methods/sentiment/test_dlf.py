"""DLF: its sizes as released, what the language asks, and steps of audio that it finds on planted data."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from mmbench.methods.sentiment.dlf import DLF, DLFParams

from .. import planted
from . import rows

RATES = ("attention_dropout", "embed_dropout", "text_dropout", "output_dropout")
SMALL: dict[str, Any] = {"step_width": 8, "heads": 2, **dict.fromkeys(RATES, 0.0)}
#: Of the release, and no loss reads it: projections of specific parts, four transformers, and heads on common parts.
UNREAD = 345_150 + 4 * 61_400 + 703_953


def test_the_released_network_has_the_released_size():
    assert rows.size(rows.published(DLF, "mosi")) == 2_923_308 - UNREAD


@pytest.mark.parametrize(("count", "kind"), [(1, "classification"), (3, "regression"), (4, "regression")])
@pytest.mark.parametrize("params", [{}, {"attractor": "own"}], ids=str)
def test_it_predicts_and_learns_from_any_pattern(count: int, kind: str, params: dict):
    spec = planted.spec(*list(planted.SIZES)[:count], kind=kind)
    rows.any_pattern(DLF(DLFParams(steps=3, step_width=4, heads=2, **params), spec))


def test_the_languages_steps_ask_those_of_the_others():
    net = DLF(DLFParams(steps=3, **SMALL), rows.PAIR).eval()
    parts, known = net.parts(planted.linked(rows.PAIR, 4, 1))
    text, audio = parts.specific
    own, asked = net.memories_of(parts, known)
    torch.testing.assert_close(own, net.memories[0](text)[:, -1])
    torch.testing.assert_close(asked, net.memories[1](net.ask[0](text, audio, known[:, 1]))[:, -1])


def test_the_loss_counts_the_languages_own_head_three_times():
    batch = planted.linked(rows.PAIR, 4, 1)
    terms = []
    for weight in (3.0, 1.0, 0.0):
        torch.manual_seed(0)
        net = DLF(DLFParams(steps=3, weight_language=weight, **SMALL), rows.PAIR).eval()
        terms.append(net.loss(batch)["specific"])
    torch.testing.assert_close(terms[0] - terms[2], 3 * (terms[1] - terms[2]))


# --- what it is for ---------------------------------------------------------------------------------------


@functools.cache
def trained(**params: Any) -> DLF:
    torch.manual_seed(0)
    net = DLF(DLFParams(steps=2, weight_decoupling=0.0, weight_margin=0.0, **SMALL, **params), rows.PAIR)
    return planted.train(net, rows.pointed(512, 1, steps=2), epochs=10, lr=1.5e-2, last=0.1)  # type: ignore[return-value]


def test_the_language_finds_the_step_that_counts_and_without_asking_it_does_not():
    test = rows.pointed(512, 5, steps=2)
    assert rows.error(trained(), test) < 0.7 * rows.error(trained(attractor="own"), test)
