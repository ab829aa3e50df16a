"""Token ids of a text in a batch: what a language model of a method's own reads beside, or in the place of, features."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Tokens(NamedTuple):
    """The token ids of a text, as models of the BERT family read them.

    Attributes:
        ids: [batch, positions], int64, 0 where ``mask`` is false.
        mask: [batch, positions], bool, the tokens that are read: none of a sample that lacks the modality, or whose
            tokens damage has all taken away.
        segment: [batch, positions], int64, 0 where ``mask`` is false.
    """

    ids: Tensor
    mask: Tensor
    segment: Tensor


def read_tokens(stored: Tensor, present: Tensor) -> Tokens:
    """Tokens as a model reads them.

    Args:
        stored: [batch, 3, positions], integers: ids, attention mask, segments.
        present: [batch], bool, the samples that have the modality.
    """
    mask = (stored[:, 1] > 0) & present.unsqueeze(1)
    ids, segment = (stored[:, row].long().where(mask, 0) for row in (0, 2))
    return Tokens(ids, mask, segment)


def follow_steps(stored: Tensor, source: Tensor) -> Tensor:
    """Tokens that go where the steps of the features go.

    Args:
        stored: [batch, 3, time], one token a step.
        source: [batch, time], int64: the step that each is read from, counted from 1; 0 where it is lost.

    Returns:
        [batch, 3, time]; a lost token is 0 in all rows, so that no model attends to it.
    """
    rows = source.unsqueeze(1).expand_as(stored)
    return stored.gather(2, (rows - 1).clamp(min=0)).where(rows > 0, 0)
