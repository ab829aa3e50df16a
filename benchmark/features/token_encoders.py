"""Encoders of texts that are trained along from the token ids that the data hold, as the pickles of MMSA do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch

from ...datasets.batch import Tuned
from ...datasets.encoders.token_model import TokenModel, digest_of, token_model
from ..core.errors import UsageError
from ..core.protocol import Protocol
from ..data.split import Split
from ..data.tensors import TaskData


def model_of(protocol: Protocol) -> TokenModel:
    """The model that ``--text-encoder`` names, by its configuration.

    Raises:
        EncoderError: there is no such model.
    """
    return token_model(_spec(protocol))


def model_digest(protocol: Protocol) -> str:
    """The SHA-256 of the model that ``--text-encoder`` names, before it is trained. Raises EncoderError where there is none."""
    return digest_of(_spec(protocol))


def check_token_ids(data: Iterable[tuple[str, np.ndarray]], protocol: Protocol, task: str) -> None:
    """Checks that the model that ``--text-encoder`` names can read token ids.

    Args:
        data: modality, and ids, attention mask and segments, [samples, 3, positions].
        protocol: names the model.
        task: what is said to have the ids, for the message.

    Raises:
        UsageError: it cannot.
        EncoderError: there is no such model.
    """
    model = model_of(protocol)
    for name, stored in data:
        if fault := model.fault(torch.from_numpy(stored), name):
            raise UsageError(f"--text-encoder {protocol.text_encoder}: {task}: {fault}")


def with_token_encoders(data: TaskData, protocol: Protocol, task: str) -> TaskData:
    """The task with an encoder for each text that has token ids, which its batches then hold.

    Args:
        data: the task, with the modalities of the job.
        protocol: names the model, and says how it is trained.
        task: its name, for messages.

    Returns:
        The same samples and features; nothing is copied.

    Raises:
        UsageError: no modality has token ids, or the model cannot read them.
        EncoderError: there is no such model.
    """
    if not data.train.tokens:
        raise UsageError(f"--text-encoder {protocol.text_encoder}: {task} has no token ids of a text here")
    model, mode = model_of(protocol), protocol.encoder_mode
    assert mode != "frozen"

    def checked(split: Split) -> Split:
        for name, stored in split.tokens.items():
            if fault := model.fault(stored, name):
                raise UsageError(f"--text-encoder {protocol.text_encoder}: {task}: {fault}")
        return split.with_tokens()

    tuned = {
        name: Tuned(
            _spec(protocol),
            mode,
            protocol.adapter_rank,
            protocol.checkpointing,
            steps=1 if model.pooled else stored.shape[2],
            width=model.width,
        )
        for name, stored in data.train.tokens.items()
    }
    return replace(data.each(checked), finetuned=tuned)


def _spec(protocol: Protocol) -> str:
    return f"text:{protocol.text_encoder}"
