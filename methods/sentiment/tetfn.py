"""TETFN: transformers between modalities that ask the text, with labels of single modalities (Wang et al., Pattern Recognition 2023)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_packed_sequence

from ...datasets.batch import Batch, Spec
from ..method import Output, ParameterGroup, fixed
from ..shared.cross_modal import CrossTransformer
from ..shared.networks import SharedNetworkParams, known_modalities
from ..shared.own_labels import OwnLabels
from ..shared.step_sequences import StepConvolution, StepSequences, dominant_of
from ..shared.subnetworks import AUDIO, TEXT, packed

VISION = "vision"


@dataclass(frozen=True)
class TETFNParams(SharedNetworkParams):
    """Sizes, rates of single modalities, and what is left out for controls. ``step_width`` is that of a step of a sequence."""

    dominant: str = fixed("", source="paper: the text; ours: where there is none, the first modality")
    step_width: int = fixed(20, least=1, source="ours; MMSA: 50")
    heads: int = fixed(4, least=1, divides="step_width", source="ours; MMSA: 5")
    cross_layers: int = fixed(1, least=0, source="ours; MMSA: 2, of memories and of what is asked last, too")
    lstm_hidden: int = fixed(20, least=1, source="ours: of vision and any other but the text; MMSA, MOSI: 64")
    audio_lstm_hidden: int = fixed(20, least=1, source="ours; MMSA, MOSI: 16")
    text_kernel: int = fixed(
        1, least=1, step=2, source="ours: of the convolution over steps, odd; MMSA, SIMS: 3"
    )
    audio_kernel: int = fixed(1, least=1, step=2, source="ours; MMSA, SIMS: 5")
    vision_kernel: int = fixed(1, least=1, step=2, source="ours: of any other, too; MMSA, MOSI: 3")
    released_kernel: bool = fixed(False, source="paper; in MMSA vision is convolved with the kernel of audio")
    most_steps: int = fixed(
        50,
        least=0,
        source="ours: longer series are averaged over blocks, to so many steps; MMSA: never, here 0",
    )
    attention_dropout: float = fixed(
        0.05, least=0, below=1, source="ours; MMSA, MOSI: 0.1, 0 and 0.1, by modality"
    )
    embed_dropout: float = fixed(0.05, least=0, below=1, source="ours; MMSA, MOSI: 0")
    residual_dropout: float = fixed(0.05, least=0, below=1, source="ours; MMSA, MOSI: 0.1")
    hidden_dropout: float = fixed(0.05, least=0, below=1, source="ours; MMSA, MOSI: 0")
    fusion_head: int = fixed(32, least=1, source="ours: hidden width of a head; MMSA, MOSI: 64")
    text_head: int = fixed(24, least=1, source="ours; MMSA, MOSI: 32")
    audio_head: int = fixed(24, least=1, source="ours; MMSA, MOSI: 32")
    vision_head: int = fixed(24, least=1, source="ours: of any other, too; MMSA, MOSI: 16")
    fusion_dropout: float = fixed(0.05, least=0, below=1, source="ours: before the head; MMSA, MOSI: 0")
    text_dropout: float = fixed(0.05, least=0, below=1, source="ours: before its head; MMSA, MOSI: 0")
    vision_dropout: float = fixed(0.05, least=0, below=1, source="ours: before its head; MMSA, MOSI: 0")
    audio_rate: float = fixed(
        1.0, above=0, source="ours: of its network in that of the rest; MMSA, MOSI: 1.667"
    )
    vision_rate: float = fixed(
        1.0, above=0, source="ours: of its network in that of the rest; MMSA, SIMS: 0.1667"
    )
    labels: Literal["generated", "true", "none"] = fixed(
        "generated",
        source="paper; controls: y for every modality, with the weight 1; or no task of single modalities",
    )
    between: Literal["text", "plain"] = fixed(
        "text", source="paper; control: other modalities attend to each other without the text"
    )
    attention: Literal["cross", "own"] = fixed(
        "cross", source="paper; control: to a modality itself in the place of each other one"
    )


class TETFN(OwnLabels):
    """MulT's transformers; between two modalities that are not the text stands what the text says to one of them.

    x_m = conv(LSTM(m)), of the text conv alone. With l the dominant modality: T(l, m) and T(m, l) of every other m are as in MulT;
    T(m, n) of two others is U(x_m, V(x_n, x_l)): n asks the text, and m asks the answer, with positions. The memory of m is a
    transformer on [T(m, n) over n], of which the last valid step is read; the fusion's head reads those of all modalities, that of
    m the largest of each entry of x_m over its valid steps. Heads are trained as Self-MM's (``own_labels``). An absent modality
    is attended to by none, and is zeros for the heads. With one modality it attends to itself.
    """

    Params = TETFNParams
    version = 1
    uses_index = True
    needs_modalities = 2
    as_published: ClassVar[Mapping[str, Any]] = {
        "step_width": 50,
        "heads": 5,
        "cross_layers": 2,
        "lstm_hidden": 64,
        "audio_lstm_hidden": 16,
        "vision_kernel": 3,
        "released_kernel": True,
        "most_steps": 0,
        "attention_dropout": 0.1,
        "embed_dropout": 0.0,
        "residual_dropout": 0.1,
        "hidden_dropout": 0.0,
        "fusion_head": 64,
        "text_head": 32,
        "audio_head": 32,
        "vision_head": 16,
        "fusion_dropout": 0.0,
        "text_dropout": 0.0,
        "vision_dropout": 0.0,
        "audio_rate": 1.667,
    }
    as_published_in: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "mosei": {
            "lstm_hidden": 32,
            "audio_lstm_hidden": 32,
            "vision_kernel": 1,
            "embed_dropout": 0.1,
            "residual_dropout": 0.0,
            "hidden_dropout": 0.1,
            "text_head": 64,
            "text_dropout": 0.1,
            "vision_dropout": 0.1,
            "audio_rate": 10.0,
            "vision_rate": 50.0,
        },
        "sims": {
            "text_kernel": 3,
            "audio_kernel": 5,
            "vision_kernel": 1,
            "attention_dropout": 0.0,
            "residual_dropout": 0.0,
            "hidden_dropout": 0.1,
            "text_head": 64,
            "audio_head": 16,
            "vision_head": 32,
            "fusion_dropout": 0.1,
            "audio_rate": 1.0,
            "vision_rate": 0.1667,
        },
        "simsv2": {
            "lstm_hidden": 32,
            "text_kernel": 5,
            "audio_kernel": 3,
            "vision_kernel": 1,
            "fusion_head": 128,
            "text_head": 64,
            "audio_head": 16,
            "vision_head": 32,
            "fusion_dropout": 0.1,
            "text_dropout": 0.1,
            "vision_rate": 16.667,
        },
    }
    rules_as_published: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sentiment": {
            "epochs": 100,
            "patience": 8,
            "batch_size": 64,
            "accumulate": 4,
            "accumulate_by": "sum",
            "learning_rate": 0.0003,
            "weight_decay": 0.01,
            "clip_norm": 0.0,
        },
        "mosei": {"batch_size": 32, "learning_rate": 0.0001},
        "sims": {"learning_rate": 0.003, "weight_decay": 0.001},
        "simsv2": {"weight_decay": 0.001},
    }
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "after MMSA's code; text is features, in place of BERT that is trained along (--encoder-mode full trains it); sequences are "
            "read as they are, where MMSA aligns them to the words; padding is neither attended to nor the last step, and the LSTM stops "
            "before it; convolutions keep the number of steps; one rate of dropout in attention, and one weight decay, where MMSA's differ "
            "by modality; labels move within their range, where MMSA has 3 for all; an absent modality is attended to by none, and zeros "
            "for the heads; the settings of MOSI hold for any other data set, and at most 100 epochs, where MMSA knows no maximum; "
            "waveforms are one step, an embedding of mmbench's encoder. On planted data attention to another modality leaves less than "
            "half of the error that attention to its own does (0.23, and 0.56), and the text between two others, or tasks of modalities, "
            "gain nothing: docs/methods.md has the figures"
        ),
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "own attention": {"attention": "own"},
        "without the text between": {"between": "plain"},
        "without tasks of modalities": {"labels": "none"},
    }
    params: TETFNParams

    def __init__(self, params: TETFNParams, spec: Spec) -> None:
        super().__init__(params, spec)
        s, self.names, width = params, tuple(spec.modalities), params.step_width
        if width % s.heads:
            raise ValueError(f"step_width is {width}: it should be a multiple of heads, {s.heads}")
        self.dominant = dominant_of(spec, s.dominant)
        count = len(self.names)
        self.steps = StepSequences(spec, s, width, self._reader, s.most_steps)
        lead = self.names.index(self.dominant)
        #: (what attends, what it attends to), in the order of what attends
        self.pairs = list(permutations(range(count), 2)) if count > 1 else [(0, 0)]
        self.asked = [s.between == "text" and lead not in pair for pair in self.pairs]
        self.cross = nn.ModuleList(
            self._transformer(width, s.cross_layers, positions=asked) for asked in self.asked
        )
        self.ask = nn.ModuleList(self._transformer(width, 1, positions=True) for asked in self.asked if asked)
        size = max(count - 1, 1) * width
        self.memories = nn.ModuleList(self._transformer(size, s.cross_layers) for _ in self.names)
        hidden = {TEXT: s.text_head, AUDIO: s.audio_head}
        rates = {TEXT: s.text_dropout, AUDIO: 0.0}
        self.add_tasks(
            count * size,
            [width] * count,
            [s.fusion_head, *(hidden.get(name, s.vision_head) for name in self.names)],
            s.labels,
            [s.fusion_dropout, *(rates.get(name, s.vision_dropout) for name in self.names)],
        )

    def _reader(self, name: str, read: int) -> nn.Module:
        s = self.params
        if name == TEXT:
            return StepConvolution(read, s.step_width, s.text_kernel, bias=False)
        own = s.audio_kernel if name == AUDIO or s.released_kernel else s.vision_kernel
        return StepLSTM(read, s.audio_lstm_hidden if name == AUDIO else s.lstm_hidden, s.step_width, own)

    def _transformer(self, width: int, layers: int, positions: bool = False) -> CrossTransformer:
        s = self.params
        return CrossTransformer(
            width,
            s.heads,
            layers,
            attention_dropout=s.attention_dropout,
            embed_dropout=s.embed_dropout,
            dropout=s.residual_dropout,
            hidden_dropout=s.hidden_dropout,
            positions=positions,
        )

    def inputs(self, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        """What the heads read: the memories' last steps side by side, and the largest entries of each sequence."""
        found = [self.steps(name, batch) for name in self.names]
        text, words = found[self.names.index(self.dominant)]
        heard: list[list[Tensor]] = [[] for _ in self.names]
        ask = iter(self.ask)
        for (target, source), layers, asked in zip(self.pairs, self.cross, self.asked, strict=True):
            own, steps = found[target]
            other, valid = own, steps
            if self.params.attention == "cross":
                other, valid = found[source]
            if asked:
                said = next(ask)(other, valid, text, words)
                other = said.where(valid.unsqueeze(-1), 0)
            heard[target].append(layers(own, steps, other, valid))
        known, last, largest = known_modalities(batch, self.names), [], []
        for i, (memory, parts) in enumerate(zip(self.memories, heard, strict=True)):
            own, valid = found[i]
            read = memory(torch.cat(parts, dim=-1), valid, None, valid)
            place = (valid.sum(1) - 1).clamp(min=0)
            there = known[:, i : i + 1]
            last.append(read[torch.arange(len(read), device=read.device), place].where(there, 0))
            outside = own.masked_fill(~valid.unsqueeze(-1), torch.finfo(own.dtype).min)
            largest.append(outside.amax(dim=1).where(there, 0))
        return torch.cat(last, dim=-1), largest

    def forward(self, batch: Batch) -> Output:
        """Predicts by the fusion."""
        return self.output(*self.inputs(batch))

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """The networks of audio and of all others but the text at their own rates, where these differ from that of the rest."""
        groups = []
        for name, part in zip(self.names, self.steps.encoders.parts, strict=True):
            rate = self.params.audio_rate if name == AUDIO else self.params.vision_rate
            own = isinstance(part, StepLSTM)
            if own and rate != 1:
                groups.append(ParameterGroup(list(part.parameters()), rate=rate))
        return groups


class StepLSTM(nn.Module):
    """An LSTM, and a convolution without bias over what it says at each step."""

    def __init__(self, features: int, hidden: int, width: int, kernel: int) -> None:
        """Builds both.

        Args:
            features: of a step.
            hidden: width of the LSTM.
            width: of what is made of it.
            kernel: of the convolution, odd.
        """
        super().__init__()
        self.lstm = nn.LSTM(features, hidden, batch_first=True)
        self.conv = StepConvolution(hidden, width, kernel, bias=False)

    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        """[batch, time, feature] and [batch, time] -> [batch, time, width].

        Args:
            features: 0 at steps that are not valid.
            valid: the valid steps, which come first.
        """
        said, _ = pad_packed_sequence(
            self.lstm(packed(features, valid))[0], batch_first=True, total_length=features.shape[1]
        )
        return self.conv(said.where(valid.unsqueeze(-1), 0), valid)
