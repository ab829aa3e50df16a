"""A method that reads the utterance before is given one by its checks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from mmbench.benchmark.check.conformance import check_method
from mmbench.datasets.batch import Batch
from mmbench.methods.erm import ERM, ERMParams
from mmbench.methods.method import Output, fixed


@dataclass(frozen=True)
class SmallParams(ERMParams):
    width: int = fixed(8)
    layers: int = fixed(1)


class Followed(ERM):
    """Adds a tenth of the prediction for the utterance before, where there is one."""

    Params = SmallParams
    uses_context = True

    def forward(self, batch: Batch) -> Output:
        own = super().forward(batch)
        assert batch.context is not None
        before = super().forward(batch.context).prediction
        known = torch.stack(list(batch.context.present.values())).any(0)
        known = known.view(-1, *[1] * (before.dim() - 1))
        return replace(own, prediction=own.prediction + 0.1 * torch.where(known, before, 0))


class Careless(Followed):
    """Reads the context whether it is there or not."""

    def forward(self, batch: Batch) -> Output:
        own = super().forward(batch)
        assert batch.context is not None
        read = sum(values.mean((1, 2)) for values in batch.context.features.values())
        read = torch.as_tensor(read).view(-1, *[1] * (own.prediction.dim() - 1))
        return replace(own, prediction=own.prediction + 0.1 * read)


@pytest.mark.parametrize(("method", "broken"), [(Followed, []), (Careless, ["What stands in an absent"])])
def test_the_context_is_given_and_what_is_absent_from_it_is_not_read(
    method: type[ERM], broken: list[str]
) -> None:
    failed = [one for one in check_method(method) if not one.ok]
    assert [one.what[:24] for one in failed] == broken, failed
