"""Predictions under conditions: each sees the whole split once, before the minibatches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import pytest
import torch
from mmbench.benchmark.check.planted import planted_batch
from mmbench.benchmark.train.predict import EVALUATION_BATCH, outputs_under
from mmbench.corruptions.condition import Clean
from mmbench.corruptions.features import Drift
from mmbench.datasets.batch import Batch, Spec
from mmbench.methods.erm import ERM

SPEC = Spec({"text": 6, "audio": 3}, "regression")


@dataclass(frozen=True)
class Fill(Drift):
    """Every step becomes the mean of the split."""

    mean: float | None = None

    def prepared(self, split: Batch) -> Self:
        assert self.mean is None, "prepared twice"
        assert bool(split.target.isnan().all()), "it sees targets"
        return replace(self, mean=float(split.features[self.modality].mean()))

    def corrupt(self, features: torch.Tensor, valid: torch.Tensor, draws: object) -> torch.Tensor:
        assert self.mean is not None
        return torch.full_like(features, self.mean)


class Plain:
    """A condition that knows nothing of splits."""

    name = "plain"
    alters = frozenset({"text"})

    def apply(self, batch: Batch) -> Batch:
        return replace(batch, features={**batch.features, "text": -batch.features["text"]})


def test_conditions_are_prepared_with_the_whole_split_and_need_not_know_of_it() -> None:
    count = EVALUATION_BATCH + 30
    split = planted_batch(SPEC, count=count, steps=4)
    torch.manual_seed(0)
    method = ERM(ERM.Params(), SPEC)
    found = outputs_under(method, split, [Clean(), Fill("audio", 2), Plain()])
    assert list(found) == ["clean", "drift:audio@2", "plain"]
    mean = split.features["audio"].mean()
    filled = replace(split, features={**split.features, "audio": mean.expand_as(split.features["audio"])})
    flipped = Plain().apply(split)
    with torch.inference_mode():
        for name, batch in (("clean", split), ("drift:audio@2", filled), ("plain", flipped)):
            expected = method.eval()(batch).prediction
            assert found[name][0] == pytest.approx(expected, abs=1e-5)
