"""bc-LSTM: an LSTM over the utterances of a conversation (Poria et al., ACL 2017)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ...datasets.batch import Batch, Conversations, Spec
from ..erm import ERM
from ..method import Output, fixed, searched
from ..shared.networks import FusionHead, SharedNetworkParams, as_prediction, available, outputs

#: Speakers of a conversation that are told apart; all further ones are one.
SPEAKERS = 8


@dataclass(frozen=True)
class BcLSTMParams(SharedNetworkParams):
    """The contextual LSTM, and the size of the shared encoders.

    ``hidden`` is the width of the LSTM's state in one direction; without ``bidirectional`` an utterance is predicted
    from those before it and itself; ``speaker`` adds an embedding of who speaks to the LSTM's input.
    """

    hidden: int = fixed(100, least=1, source="the authors' PyTorch release, train_IEMOCAP.py")
    dropout: float = searched(
        0.25,
        low=0.0,
        high=0.6,
        digits=2,
        least=0,
        below=1,
        source="the authors' PyTorch release, train_IEMOCAP.py; range: our choice",
    )
    bidirectional: bool = fixed(
        True, source="Poria et al. 2017, bc-LSTM; false is their uni-directional sc-LSTM"
    )
    speaker: bool = fixed(False, source="our choice: the paper's network is not told who speaks")


class BcLSTM(ERM):
    """ERM whose head reads, in place of an utterance's embeddings, the state of an LSTM over its conversation.

    h_1, ..., h_n = LSTM(z_1, ..., z_n), z_i being the concatenated embeddings of utterance i, in both directions; the
    head predicts from h_i. An absent modality is a zero embedding. Samples without a conversation are one each.
    """

    Params = BcLSTMParams
    version = 1
    uses_conversation = True
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "one LSTM over the concatenated embeddings (the paper's non-hierarchical variant), not one a modality and a "
            "second over these; encoders of mmbench trained along, not features of unimodal networks trained before; "
            "mmbench's fusion head in place of the dense layer; batches of as many conversations as fit the batch size "
            "in utterances; epochs chosen by validation, where the PyTorch release takes that of the lowest test loss"
        ),
    }
    params: BcLSTMParams

    def __init__(self, params: BcLSTMParams, spec: Spec) -> None:
        super().__init__(params, spec)
        features = len(spec.modalities) * self.width
        self.speakers = nn.Embedding(SPEAKERS, self.width) if params.speaker else None
        inputs = features + (self.width if params.speaker else 0)
        self.lstm = nn.LSTM(inputs, params.hidden, batch_first=True, bidirectional=params.bidirectional)
        self.dropout = nn.Dropout(params.dropout)
        states = params.hidden * (2 if params.bidirectional else 1)
        self.head = FusionHead(states, self.width, outputs(spec))

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """Reads the embeddings of each conversation in order, and predicts every utterance from the LSTM's state."""
        used = {m: embeddings[m].where(available(batch, m).unsqueeze(-1), 0) for m in self.spec.modalities}
        said = batch.conversation or _alone(batch)
        inputs = list(used.values())
        if self.speakers is not None:
            inputs.append(self.speakers(said.speaker.clamp(max=SPEAKERS - 1)))
        sequences = said.gather(self.dropout(torch.cat(inputs, dim=-1)))
        packed = pack_padded_sequence(
            sequences, said.mask.sum(1).cpu(), batch_first=True, enforce_sorted=False
        )
        states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        fused = said.scatter(states)
        prediction = as_prediction(self.head(self.dropout(fused)), self.spec)
        return Output(prediction, embeddings=used, fused=fused)


def _alone(batch: Batch) -> Conversations:
    """Every sample as a conversation of its own."""
    own = torch.arange(len(batch), device=batch.target.device)
    return Conversations(own, torch.zeros_like(own), torch.zeros_like(own))
