"""What a method says of itself is checked: each fault is found."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from mmbench.benchmark.check.planted import planted_batch
from mmbench.benchmark.check.told import check_told
from mmbench.datasets.batch import Batch, Spec
from mmbench.methods.erm import ERM, ERMParams
from mmbench.methods.method import Output
from torch import Tensor

SPEC = Spec({"text": 6, "audio": 3}, "regression")


def size(batch: Batch) -> Tensor:
    return batch.features["text"].square().mean(dim=(1, 2)).where(batch.present["text"], 0)


def told(where: str, name: str, say) -> None:
    class Telling(ERM):
        def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
            return replace(super().fuse(embeddings, batch), **{where: say(batch, name)})

    torch.manual_seed(0)
    check_told(Telling(ERMParams(width=8, layers=1), SPEC), planted_batch(SPEC))


def named(values):
    return lambda batch, name: {name: values(batch)}


@pytest.mark.parametrize(("where", "name"), [("confidence", "evidence"), ("diagnostics", "size/text")])
def test_one_number_a_sample_is_fine(where: str, name: str) -> None:
    told(where, name, named(size))


@pytest.mark.parametrize(
    ("where", "name", "say", "reason"),
    [
        ("confidence", "my evidence", named(size), "called as a variable"),
        ("diagnostics", "size|text", named(size), "letters, digits"),
        ("confidence", "evidence", named(lambda batch: size(batch)[:, None]), r"shape \(24, 1\)"),
        ("diagnostics", "size", named(lambda batch: size(batch).log()), "not finite"),  # of an absent text
        ("confidence", "rank", named(lambda batch: size(batch) - size(batch).mean()), "a sample alone"),
        ("diagnostics", "place", named(lambda batch: torch.arange(len(batch)).float()), "another order"),
        (
            "confidence",
            "evidence",
            lambda batch, name: {name: size(batch)} if batch.present["text"].all() else {},
            "gives none, and confidence evidence on clean data",
        ),
    ],
)
def test_a_fault_is_found(where: str, name: str, say, reason: str) -> None:
    with pytest.raises(AssertionError, match=reason):
        told(where, name, say)
