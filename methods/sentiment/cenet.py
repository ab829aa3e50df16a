"""CENET: what the words find in audio and vision is put into the text's encoder (Wang et al., IEEE TMM 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from ...datasets.batch import Batch, Spec
from ..losses import task_loss
from ..method import Method, Output, fixed, searched
from ..shared.led_transformer import LedTransformer
from ..shared.networks import SharedNetworkParams, as_prediction, outputs
from ..shared.step_sequences import StepSequences, dominant_of

#: The release: what scores of attention are multiplied by, in the place of dividing them by the root of the width.
SHARPNESS = 8.0


@dataclass(frozen=True)
class CENETParams(SharedNetworkParams):
    """Sizes, and how the words read. ``text_width`` is that of a step of all sequences."""

    dominant: str = fixed("", source="paper: the text; ours: where there is none, the first modality")
    text_width: int = fixed(32, least=1, source="ours; MMSA: BERT's 768")
    heads: int = fixed(4, least=1, divides="text_width", source="ours: of the text's layers; MMSA: BERT's 12")
    text_layers: int = fixed(2, least=0, source="ours, in the place of BERT's 12 of MMSA")
    most_steps: int = fixed(
        50,
        least=0,
        source="ours: longer series are averaged over blocks, to so many steps; MMSA: never, here 0",
    )
    dropout: float = searched(
        0.1, low=0.0, high=0.5, digits=1, least=0, below=1, source="BERT; range: our choice"
    )
    sharpness: Literal["released", "scaled"] = fixed(
        "scaled", source="ours: scores are divided by the root of the width; MMSA multiplies them by 8"
    )
    reading: Literal["attention", "mean", "none"] = fixed(
        "attention", source="paper; controls: the mean over steps, or the text alone"
    )


class CENET(Method):
    """Between the first and the second layer of the text's encoder every word is shifted by what it finds in the other modalities.

    x <- x + W [att_m over m]; att_m = softmax(8 Q_m x (K_m y_m)^T) V_m y_m, y_m = W_2 ReLU(W_1 m) the steps of m. The first
    step behind the last layer goes through a linear layer and tanh, and predicts. An absent modality adds zeros to what W reads;
    where the text is absent, one learned step stands for it.
    """

    Params = CENETParams
    version = 1
    kinds: ClassVar[tuple[str, ...]] = ("regression", "classification", "multi-label")
    needs_modalities = 2
    as_published: ClassVar[Mapping[str, Any]] = {
        "text_width": 768,
        "heads": 12,
        "most_steps": 0,
        "sharpness": "released",
    }
    rules_as_published: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sentiment": {
            "epochs": 100,
            "patience": 8,
            "batch_size": 64,
            "weight_decay": 0.0001,
            "clip_norm": 2.0,
        },
        "sims": {"batch_size": 32, "weight_decay": 0.0},
        "simsv2": {"weight_decay": 0.0},
    }
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "after MMSA's code; text is features of a frozen model, read by two pre-norm layers of mmbench's, in place of BERT that is "
            "trained along with the shift before its second layer (--encoder-mode full trains it along, and these layers stand behind its "
            "last); the learning rate is the family's, as that of MMSA (1e-5) is BERT's; padding is not attended to; an absent modality "
            "adds zeros to what the shift is made of; the settings of MOSI hold for any other data set, and at most 100 epochs, where MMSA "
            "knows no maximum; waveforms are one step, an embedding of mmbench's encoder. On planted data words that find a step of audio "
            "by its name leave less than half of the error of the mean over steps (0.22, and 0.58): docs/methods.md has the figures"
        ),
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "mean over steps": {"reading": "mean"},
        "text alone": {"reading": "none"},
    }
    params: CENETParams

    def __init__(self, params: CENETParams, spec: Spec) -> None:
        super().__init__(params, spec)
        s, width = params, params.text_width
        if width % s.heads:
            raise ValueError(f"text_width is {width}: it should be a multiple of heads, {s.heads}")
        self.names, self.dominant = tuple(spec.modalities), dominant_of(spec, s.dominant)
        self.others = tuple(name for name in self.names if name != self.dominant)
        self.steps = StepSequences(spec, s, width, self._reader, s.most_steps)
        self.text = LedTransformer(width, s.heads, s.text_layers, before=1, rate=s.dropout)
        self.readers = nn.ModuleList(WordAttention(width, s.sharpness == "released") for _ in self.others)
        self.shift = nn.Linear(len(self.others) * width, width) if self.others else None
        self.pool = nn.Linear(width, width)
        self.dropout = nn.Dropout(s.dropout)
        self.out = nn.Linear(width, outputs(spec))

    def _reader(self, name: str, read: int) -> nn.Module:
        width = self.params.text_width
        return StepMLP(read, width) if name != self.dominant else StepLinear(read, width)

    def shifted(self, x: Tensor, others: list[tuple[Tensor, Tensor]]) -> Tensor:
        """The words with what they find.

        Args:
            x: [batch, words, width].
            others: steps of each other modality, [batch, time, width], and which of them are valid, [batch, time].
        """
        if self.shift is None or self.params.reading == "none":
            return x
        found = []
        for reader, (y, valid) in zip(self.readers, others, strict=True):
            read = cast(WordAttention, reader)
            found.append(read(x, y, valid, mean=self.params.reading == "mean"))
        return x + self.shift(torch.cat(found, dim=-1))

    def forward(self, batch: Batch) -> Output:
        """Predicts."""
        others = [self.steps(name, batch) for name in self.others]
        words = self.text(*self.steps(self.dominant, batch), lambda x: self.shifted(x, others))
        fused = self.pool(words).tanh()
        return Output(as_prediction(self.out(self.dropout(fused)), self.spec), fused=fused)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss."""
        return {"task": task_loss(self(batch).prediction, batch.target, self.spec)}


class WordAttention(nn.Module):
    """softmax(8 Q x (K y)^T) V y, one head, with biases."""

    def __init__(self, width: int, released: bool) -> None:
        """Builds the maps.

        Args:
            width: of both sequences.
            released: 8 times the scores; else these are divided by the root of the width.
        """
        super().__init__()
        self.scale = SHARPNESS if released else width**-0.5
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))

    def forward(self, x: Tensor, y: Tensor, valid: Tensor, mean: bool = False) -> Tensor:
        """What each word finds, [batch, words, width]; 0 where no step is valid.

        Args:
            x: [batch, words, width].
            y: [batch, time, width].
            valid: the steps that are read, [batch, time], bool.
            mean: whether all steps count as much.
        """
        scores = self.scale * self.query(x) @ self.key(y).transpose(1, 2)
        scores = (scores * 0 if mean else scores).masked_fill(~valid.unsqueeze(1), torch.finfo(x.dtype).min)
        said = scores.softmax(dim=-1) @ self.value(y)
        return said.where(valid.any(dim=1)[:, None, None], 0)


class StepMLP(nn.Module):
    """W_2 ReLU(W_1 x) of each step."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        """[batch, time, feature] and [batch, time] -> [batch, time, width].

        Args:
            features: 0 at steps that are not valid.
            valid: the valid steps.
        """
        return self.layers(features)


class StepLinear(nn.Module):
    """Steps of the width that is wanted as they are; others through a linear layer."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.map = nn.Identity() if features == width else nn.Linear(features, width)

    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        """[batch, time, feature] and [batch, time] -> [batch, time, width].

        Args:
            features: 0 at steps that are not valid.
            valid: the valid steps.
        """
        return self.map(features)
