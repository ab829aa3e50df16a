"""A method that reads whole conversations may look at its own conversation, and at no other."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from mmbench.benchmark.check.method_predictions import samples_are_independent
from mmbench.datasets.batch import Batch, Conversations
from mmbench.methods.erm import ERM, ERMParams
from mmbench.methods.method import Output, fixed
from torch import Tensor


@dataclass(frozen=True)
class SmallParams(ERMParams):
    width: int = fixed(8)
    layers: int = fixed(1)


class OfItsConversation(ERM):
    """Adds the mean prediction for its conversation."""

    Params = SmallParams
    uses_conversation = True

    def forward(self, batch: Batch) -> Output:
        own = super().forward(batch)
        assert batch.conversation is not None
        said, column = batch.conversation, own.prediction.reshape(len(batch), -1)
        added = said.scatter(self.heard(said, column)).view(own.prediction.shape)
        return replace(own, prediction=own.prediction + added)

    def heard(self, said: Conversations, column: Tensor) -> Tensor:
        gathered = said.gather(column)
        mean = gathered.sum(1, keepdim=True) / said.mask.sum(1).view(-1, 1, 1)
        return mean.expand(gathered.shape)


class OfAllConversations(OfItsConversation):
    """Adds the mean over all conversations of the batch."""

    def heard(self, said: Conversations, column: Tensor) -> Tensor:
        return column.mean(0).expand(*said.mask.shape, column.shape[1])


class ByItsPlace(OfItsConversation):
    """Adds the place of its conversation among those of the batch."""

    def heard(self, said: Conversations, column: Tensor) -> Tensor:
        return torch.arange(len(said.mask)).view(-1, 1, 1).expand(*said.mask.shape, column.shape[1]).float()


def test_the_others_of_its_conversation_may_be_read() -> None:
    samples_are_independent(OfItsConversation)


@pytest.mark.parametrize(
    ("method", "why"),
    [
        (OfAllConversations, "a conversation alone and among"),
        (ByItsPlace, "another order of the conversations"),
    ],
)
def test_other_conversations_may_not(method: type[ERM], why: str) -> None:
    with pytest.raises(AssertionError, match=why):
        samples_are_independent(method)
