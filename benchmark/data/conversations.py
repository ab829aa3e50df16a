"""The conversations of a joined split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from ...datasets.batch import Conversations
from ...datasets.conversations import joined, numbered
from ...datasets.dataset import Samples
from ..core.task import dataset_of


def conversations_of(parts: Sequence[tuple[str, Samples]], device: str) -> Conversations | None:
    """The conversations of samples that are joined one part after the other.

    Args:
        parts: dataset (or its domain) and samples. A conversation whose utterances are of several domains of a dataset
            is one.
        device: where the tensors are to lie.

    Returns:
        None where a part does not say which samples are utterances of one conversation.
    """
    said = joined(
        [
            part.utterances
            and replace(
                part.utterances,
                conversation=np.array([f"{dataset_of(name)}/{one}" for one in part.utterances.conversation]),
            )
            for name, part in parts
        ]
    )
    if said is None:
        return None
    number, order, speaker = (torch.from_numpy(one).to(device) for one in numbered(said))
    return Conversations(number, order, speaker)
