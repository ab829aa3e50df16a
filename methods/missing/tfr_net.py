"""TFR-Net: attention between modalities, from which lost steps are rebuilt (Yuan et al., ACM MM 2021, by MMSA's code)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_packed_sequence

from ...datasets.batch import Batch, Spec
from ..losses import masked_mean, task_loss
from ..method import Method, Output, fixed, searched
from ..shared.batch_norm import BatchNorm
from ..shared.cross_modal import CrossTransformer
from ..shared.lost_steps import lost_in_place, two_views
from ..shared.networks import SharedNetworkParams, as_prediction, outputs
from ..shared.shared_private import central_moment_discrepancy
from ..shared.step_sequences import StepConvolution, StepSequences
from ..shared.subnetworks import TEXT, packed

#: Steps of a modality of which the number is not known.
STEPS = 50
#: Moments of rebuilt and real steps that are compared.
MOMENTS = 3
#: MMSA's sizes: steps that are read at once, and the width of the gated vector; ``""`` is any other modality.
KERNELS = {"text": 1, "audio": 5, "vision": 3, "": 3}
GATED = {"text": 36, "audio": 20, "vision": 48, "": 36}
#: MMSA's weights of what is rebuilt, by data set; ``""`` is any other modality.
WEIGHTS: Mapping[str, Mapping[str, float]] = {
    "one": {"": 1.0},
    "mosi": {"text": 5.0, "audio": 2.0, "vision": 20.0, "": 5.0},
    "mosei": {"text": 5e-6, "audio": 2e-6, "vision": 2e-5, "": 5e-6},
    "sims": {"text": 1.0, "audio": 0.01, "vision": 0.0001, "": 1.0},
}


@dataclass(frozen=True)
class TFRNetParams(SharedNetworkParams):
    """Sizes, and the weights of what is rebuilt. ``step_width`` is that of a step in the attention.

    Under the protocol ``as-published`` fields are as in ``TFRNet.as_published``.
    """

    step_width: int = fixed(8, least=1, source="ours; MMSA: 30")
    heads: int = fixed(2, least=1, divides="step_width", source="ours; MMSA: 6")
    levels: int = fixed(
        1, least=0, source="ours: layers between modalities; MMSA, MOSI and MOSEI: 3, SIMS: 2"
    )
    own_levels: int = fixed(1, least=0, source="ours: layers within one, and over its time; MMSA: 3")
    gated: Literal["shared", "released"] = fixed(
        "shared", source="ours: a gated vector of 16 for each; released: MMSA's widths, and its convolutions"
    )
    gru_layers: int = fixed(1, least=1, source="ours; MMSA: 3")
    output_width: int = fixed(32, least=1, source="ours; MMSA: 128")
    attention_dropout: float = fixed(
        0.0, least=0, below=1, source="ours; MMSA: 0.2 of text, 0.1 of audio, 0 of vision"
    )
    dropout: float = fixed(
        0.1, least=0, below=1, source="ours: of what goes in, what a layer adds, and gated vectors; MMSA: 0.2"
    )
    most_steps: int = fixed(
        50,
        least=0,
        source="ours: longer series are averaged over blocks, to so many steps; MMSA: never, here 0",
    )
    weights: Literal["one", "mosi", "mosei", "sims"] = fixed(
        "one", source="ours: all modalities alike; MMSA: by modality and data set"
    )
    weight_rebuilt: float = searched(
        1.0, low=0.0, high=5.0, digits=1, source="ours: of all of them; range: ours"
    )
    weight_moments: float = fixed(5.0, source="MMSA: of their moments")


class Gated(nn.Module):
    """The maximum over steps of tanh(W [x; s * tanh(c)]), c a bidirectional GRU's states and s a sigmoid of their convolution."""

    def __init__(self, width: int, hidden: int, layers: int, rate: float) -> None:
        """Builds the layers.

        Args:
            width: of x.
            hidden: of the GRU, and of what is said.
            layers: of the GRU.
            rate: of dropout of what is said.
        """
        super().__init__()
        self.rate = rate
        self.gru = nn.GRU(width, hidden, layers, bidirectional=True, batch_first=True)
        self.gate = nn.Conv1d(2 * hidden, 1, 3, padding=1)
        self.leave = nn.Linear(2 * hidden + width, hidden)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Reads a sequence.

        Args:
            x: [batch, time, width].
            valid: [batch, time], bool; valid steps come first.

        Returns:
            [batch, hidden], 0 without a valid step.
        """
        states = pad_packed_sequence(
            self.gru(packed(x, valid))[0], batch_first=True, total_length=x.shape[1]
        )[0]
        gate = self.gate(states.transpose(1, 2)).transpose(1, 2).sigmoid()
        said = torch.tanh(self.leave(torch.cat([x, states.tanh() * gate], dim=-1)))
        most = said.masked_fill(~valid.unsqueeze(-1), -1.0).amax(dim=1)
        return F.dropout(most.where(valid.any(dim=1, keepdim=True), 0), self.rate, self.training)


class TFRNet(Method):
    """Each modality attends to itself and to each other one; gated vectors of what is read predict, and lost steps are rebuilt.

    z_m are the steps of m after a convolution, H_m = [T_m(z_m); T_mn(z_m, z_n) over n], ``CrossTransformer``s. A GRU whose states
    a convolution gates makes a vector of H_m; batch norm and two layers predict from all of them. From the second epoch on

        sum over m of w_m (smooth L1 of R_m(T'_m(H_m)) at lost steps + 5 CMD of it and the real steps / their numbers)

    is added to the task's loss, R_m a linear layer and T'_m a transformer over the numbers of a step, each of which is its
    course in time; CMD compares three moments over all steps, zeros where none was lost.
    """

    Params = TFRNetParams
    version = 1
    needs_modalities = 2
    uses_clean = True
    train_missing = (
        "steps at a rate of 0 or uniform in [0, 1], of each sample and modality, or the protocol's"
    )
    as_published: ClassVar[Mapping[str, Any]] = {
        "step_width": 30, "heads": 6, "levels": 3, "own_levels": 3, "gated": "released", "gru_layers": 3,
        "output_width": 128, "attention_dropout": 0.2, "dropout": 0.2, "most_steps": 0, "weights": "mosi",
    }  # fmt: skip
    as_published_in: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "mosei": {"weights": "mosei"},
        "sims": {"weights": "sims", "levels": 2},
    }
    rules_as_published: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sentiment": {
            "epochs": 100, "patience": 6, "batch_size": 16, "learning_rate": 0.002, "weight_decay": 0.001,
            "clip_norm": 0.0, "clip_value": 0.8, "schedule": "plateau", "plateau_patience": 5,
        },
        "sims": {"plateau_patience": 10},
    }  # fmt: skip
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "after MMSA's code; text is features, in place of BERT that is trained along (--encoder-mode full trains it); padding is "
            "neither attended to nor pooled; one rate of dropout in attention, where MMSA's differs by modality, none behind the ReLU of a "
            "layer, nor in the head; heads over time are as many as divide the steps, at most 5; one network for all rates, not one for "
            "each; waveforms are one step, an embedding of mmbench's encoder; neither they nor media whose encoder is trained along are "
            "rebuilt; the weights of MOSI for any other data set, and at most 100 epochs. On planted data lost steps are rebuilt (R^2 of "
            "0.42 of text), and the same network without that is as good (errors of 0.39 with it and 0.40 without at a rate of 0.9 of "
            "text): docs/methods.md has the figures"
        ),
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "nothing rebuilt": {"weight_rebuilt": 0.0},
        "without moments": {"weight_moments": 0.0},
    }
    params: TFRNetParams

    def __init__(self, params: TFRNetParams, spec: Spec) -> None:
        super().__init__(params, spec)
        s, width = params, params.step_width
        if width % s.heads:
            raise ValueError(f"step_width is {width}: it should be a multiple of heads, {s.heads}")
        self.names = tuple(spec.modalities)
        released = s.gated == "released"

        def steps(name: str, features: int) -> nn.Module:
            kernel = KERNELS.get(name, KERNELS[""]) if released else 3
            rate = s.dropout if name == TEXT else 0.0
            return StepConvolution(features, width, kernel, bias=False, rate=rate)

        def transformer(of: int, heads: int, layers: int, over_time: bool = False) -> CrossTransformer:
            return CrossTransformer(
                of,
                heads,
                layers,
                attention_dropout=s.attention_dropout,
                embed_dropout=s.dropout,
                dropout=s.dropout,
                positions=not over_time,
            )

        self.steps = StepSequences(spec, s, width, steps, s.most_steps)
        count = len(self.names)
        self.own = nn.ModuleList(transformer(width, s.heads, s.own_levels) for _ in self.names)
        self.pairs = [(i, j) for i in range(count) for j in range(count) if i != j]
        self.cross = nn.ModuleList(transformer(width, s.heads, s.levels) for _ in self.pairs)
        hidden = [GATED.get(m, GATED[""]) if released else 16 for m in self.names]
        self.gates = nn.ModuleList(Gated(count * width, n, s.gru_layers, s.dropout) for n in hidden)
        self.head = nn.Sequential(
            BatchNorm(sum(hidden)),
            *(nn.Linear(sum(hidden), s.output_width), nn.LeakyReLU()),
            nn.Linear(s.output_width, outputs(spec)),
        )
        #: modality -> its place, and the steps over which it is rebuilt
        self.rebuilt = {
            m: (i, self.steps.planned[m] or STEPS)
            for i, m in enumerate(self.names)
            if m not in self.steps.raw
        }
        self.over_time = nn.ModuleList(
            transformer(length, next(n for n in (5, 4, 3, 2, 1) if length % n == 0), s.own_levels, True)
            for _, length in self.rebuilt.values()
        )
        self.rebuilders = nn.ModuleList(nn.Linear(count * width, spec.modalities[m]) for m in self.rebuilt)
        self.begun = True

    def before_epoch(self, batches: Callable[[], Iterator[Batch]], done: float) -> None:
        """Nothing is rebuilt in the first epoch."""
        self.begun = done > 0

    # --- the forward path -------------------------------------------------------------------------------

    def read(self, batch: Batch) -> tuple[list[Tensor], list[Tensor]]:
        """H of each modality, [batch, time, modalities * step_width], and its valid steps, [batch, time].

        Args:
            batch: the samples.
        """
        found = [self.steps(name, batch) for name in self.names]
        heard = [[own(x, valid, None, valid)] for own, (x, valid) in zip(self.own, found, strict=True)]
        for (target, source), layers in zip(self.pairs, self.cross, strict=True):
            heard[target].append(layers(*found[target], *found[source]))
        return [torch.cat(parts, dim=-1) for parts in heard], [valid for _, valid in found]

    def forward(self, batch: Batch) -> Output:
        """Predicts."""
        return self.answer(*self.read(batch))

    def answer(self, heard: list[Tensor], valid: list[Tensor]) -> Output:
        """Predicts from what ``read`` gives.

        Args:
            heard: H of each modality.
            valid: its valid steps.
        """
        fused = torch.cat([gate(x, v) for gate, x, v in zip(self.gates, heard, valid, strict=True)], dim=-1)
        return Output(as_prediction(self.head(fused), self.spec), fused=fused)

    # --- the loss ---------------------------------------------------------------------------------------

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss of what is left, and from the second epoch on what is rebuilt, ``rebuilt``."""
        left, complete = two_views(batch, self.steps.raw, self.training)
        heard, valid = self.read(left)
        terms = {"task": task_loss(self.answer(heard, valid).prediction, batch.target, self.spec)}
        if self.begun and self.params.weight_rebuilt and self.rebuilt:
            weights = WEIGHTS[self.params.weights]
            found = [
                weights.get(name, weights[""]) * self.error(made, left, complete, name)
                for name, made in self.rebuild(heard).items()
            ]
            terms["rebuilt"] = self.params.weight_rebuilt * torch.stack(found).sum()
        return terms

    def rebuild(self, heard: list[Tensor]) -> dict[str, Tensor]:
        """Modality -> its steps as they are rebuilt, [batch, steps of the training data, feature].

        Args:
            heard: H of each modality.
        """
        made = {}
        parts = zip(self.rebuilt.items(), self.over_time, self.rebuilders, strict=True)
        for (name, (place, length)), over_time, rebuilder in parts:
            courses = _of_length(heard[place], length).transpose(1, 2)
            all_of_them = torch.ones(courses.shape[:2], dtype=torch.bool, device=courses.device)
            made[name] = rebuilder(over_time(courses, all_of_them, None, all_of_them).transpose(1, 2))
        return made

    def error(self, made: Tensor, left: Batch, complete: Batch, modality: str) -> Tensor:
        """How far rebuilt steps are from the lost ones, a scalar; 0 where none is lost.

        Args:
            made: [batch, steps of the training data, feature].
            left: what is left of the samples.
            complete: all that they had.
            modality: its name.
        """
        goal, lost = lost_in_place(left, complete, modality, self.steps.blocks[modality])
        goal = _of_length(goal, made.shape[1]).to(made.dtype)
        wanted = _of_length(lost.unsqueeze(-1), made.shape[1]).bool().expand_as(made)
        apart = masked_mean(F.smooth_l1_loss(made, goal, reduction="none"), wanted)
        kept = [x.where(wanted, 0).flatten(0, 1) for x in (made, goal)]
        moments = central_moment_discrepancy(kept[0], kept[1], MOMENTS) / wanted.sum().clamp(min=1)
        return apart + self.params.weight_moments * moments * wanted.any()


def _of_length(x: Tensor, length: int) -> Tensor:
    """[batch, time, width] with so many steps: zeros behind them, or without what is behind these."""
    return F.pad(x, (0, 0, 0, length - x.shape[1]))
