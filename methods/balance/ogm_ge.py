"""OGM-GE: on-the-fly gradient modulation with generalisation enhancement (Peng et al., CVPR 2022).

Before an optimiser that divides a gradient by its size, as Adam does, a factor that stays the same changes nothing:
published is SGD. ``place=update`` shortens the optimiser's step instead. docs/methods.md has both in figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from ...datasets.batch import Batch, Spec
from ..erm import ERM
from ..losses import label_unit, plain_errors, task_loss
from ..method import Output, fixed, searched
from ..shared.balance_parts import StepLengths, encoder_parameters
from ..shared.networks import SharedNetworkParams, as_prediction, known_modalities, outputs


@dataclass(frozen=True)
class OGMGEParams(SharedNetworkParams):
    """The strength of the modulation, the noise, and where both act."""

    modulation: Literal["ratio", "constant", "inverse", "none"] = fixed(
        "ratio",
        source="controls: a constant factor for the modality that leads; the same factors, the modalities turned round",
    )
    alpha: float = searched(
        0.3, low=0.1, high=1.0, digits=1, source="Peng et al. 2022, code: 0.1 by default, 0.3 in the example"
    )
    noise: bool = fixed(True, source="Peng et al. 2022: GE; without it the method is OGM")
    until: float = fixed(0.5, least=0, source="Peng et al. 2022, code: the first 50 of 100 epochs")
    others: Literal["mean", "sum", "least"] = fixed(
        "mean",
        source="ours, for three modalities and more: what a score is divided by; with two all are the same",
    )
    place: Literal["gradient", "update"] = fixed(
        "gradient", source="ours: update shortens the optimiser's step, behind Adam, too"
    )
    k: float = fixed(0.5, source="ours: the factor of modulation=constant")


class OGMGE(ERM):
    """Late fusion by one linear layer; the encoder of the modality that predicts better has its gradient scaled down.

    The prediction is b + sum_m W_m h_m, a share o_m = W_m h_m + b / M of each modality. Over a batch s_m is the sum of
    the true class's softmax(o_m), rho_m = s_m / s of the others, and k_m = 1 - tanh(alpha rho_m) where rho_m > 1, else
    1. The gradient g of each weight matrix of encoder m becomes k_m g + e, e Gaussian with the standard deviation of g.
    Biases and the linear layer are trained as they are.

    Of scores (ours) s_m is the sum of exp(-|o_m - y| / u), u a sixth of the range of the labels. s_m is taken over the samples
    that have the modality, as a mean, so that a modality is not behind for being rare; one that no sample of a batch has
    takes no part.
    """

    Params = OGMGEParams
    version = 1
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "encoders of mmbench, without convolutions: all weight matrices of an encoder are modulated; optimiser and "
            "rates are the protocol's, not SGD at 1e-3, and before Adam a lasting factor is nearly a no-op; scores, "
            "three modalities and more, and absent modalities are ours"
        )
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "without both": {"modulation": "none", "noise": False},
        "OGM": {"noise": False},
        "noise alone": {"modulation": "none"},
        "constant factor": {"modulation": "constant"},
        "turned round": {"modulation": "inverse"},
        "after the optimiser": {"place": "update"},
        "constant rate": {"modulation": "constant", "place": "update"},
    }
    params: OGMGEParams
    factor: Tensor  # [modality], the mean factor so far
    modulated: Tensor  # int64, batches that were modulated

    def __init__(self, params: OGMGEParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.names = tuple(spec.modalities)
        self.head = nn.Linear(len(self.names) * self.width, outputs(spec))
        self.register_buffer("factor", torch.ones(len(self.names)))
        self.register_buffer("modulated", torch.zeros((), dtype=torch.int64))
        self.active = True
        self._lengths = StepLengths()

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """As ERM; ``unimodal`` has the share o_m of each modality."""
        output = super().fuse(embeddings, batch)
        shares = {
            m: as_prediction(raw, self.spec)
            for m, raw in zip(self.names, self.shares(output.embeddings), strict=True)
        }
        told = {f"ogm_factor/{m}": self.factor[i].expand(len(batch)) for i, m in enumerate(self.names)}
        return Output(
            output.prediction,
            embeddings=output.embeddings,
            fused=output.fused,
            unimodal=shares,
            diagnostics=told,
        )

    def shares(self, embeddings: Mapping[str, Tensor]) -> list[Tensor]:
        """o_m = W_m h_m + b / M of each modality, [batch, outputs]; their sum is the prediction.

        Args:
            embeddings: modality -> [batch, width].
        """
        assert isinstance(self.head, nn.Linear)
        slices = self.head.weight.split(self.width, dim=1)
        bias = self.head.bias / len(self.names)
        return [
            nn.functional.linear(embeddings[m], own, bias) for m, own in zip(self.names, slices, strict=True)
        ]

    def before_epoch(self, batches: Callable[[], Iterator[Batch]], done: float) -> None:
        """Modulates in the first part of the training alone."""
        self.active = done < self.params.until

    def backward(self, batch: Batch) -> dict[str, Tensor]:
        """The gradients k_m g + e of the encoders' weight matrices, and plain ones of all else.

        Returns:
            The loss term.
        """
        output = self(batch)
        task = task_loss(output.prediction, batch.target, self.spec)
        task.backward()
        if self.active and len(self.names) > 1:
            self.modulate(self.factors(output, batch))
        return {"task": task}

    @torch.no_grad()
    def factors(self, output: Output, batch: Batch) -> Tensor:
        """k, [modality], in [0, 1].

        Args:
            output: that of ``fuse``.
            batch: with the targets.
        """
        s = self.params
        known = known_modalities(batch, self.names)
        unit = 1.0 if self.spec.kind == "classification" else label_unit(self.spec)
        right = torch.stack(
            [(-plain_errors(output.unimodal[m], batch.target, self.spec) / unit).exp() for m in self.names],
            dim=1,
        )
        scores = right.where(known, 0).sum(dim=0) / known.sum(dim=0).clamp(min=1)
        if s.modulation == "none":
            return torch.ones_like(scores)
        ratios = score_ratios(scores, known.any(dim=0), s.others)
        if s.modulation == "constant":
            return torch.where((ratios == ratios.max()) & (ratios > 1), s.k, 1.0)
        factors = discrepancy_factors(ratios, s.alpha)
        return _turned_round(factors, ratios) if s.modulation == "inverse" else factors

    @torch.no_grad()
    def modulate(self, factors: Tensor) -> None:
        """Scales what the loss left in the encoders' gradients, and adds the noise.

        Args:
            factors: k, [modality].
        """
        parts = encoder_parameters(self.encoders)
        matrices = [[p for p in part if p.ndim > 1] for part in parts]
        if self.params.place == "update":
            self._lengths.note(matrices, factors)
        for part, factor in zip(matrices, factors, strict=True):
            for p in part:
                if p.grad is None:
                    continue
                spread = p.grad.std(correction=0) + 1e-8
                if self.params.place == "gradient":
                    p.grad.mul_(factor)
                if self.params.noise:
                    p.grad.add_(torch.randn_like(p.grad) * spread)
        self.modulated += 1
        self.factor += (factors - self.factor) / self.modulated

    def after_step(self) -> None:
        """With ``place=update`` takes back the share 1 - k_m of the step of an encoder's weight matrices."""
        self._lengths.shorten([[p for p in part if p.ndim > 1] for part in encoder_parameters(self.encoders)])


def score_ratios(scores: Tensor, there: Tensor, others: Literal["mean", "sum", "least"]) -> Tensor:
    """rho_m = s_m / s of the others, [modality]; 1 where there is nothing to compare.

    Args:
        scores: s, [modality], not negative.
        there: [modality], bool; others take no part.
        others: what s_m is divided by: the mean, the sum or the least of the other scores.
    """
    ratios = torch.ones_like(scores)
    places = there.nonzero().flatten().tolist()
    for i in places if len(places) > 1 else ():
        rest = scores[[j for j in places if j != i]]
        by = {"mean": rest.mean(), "sum": rest.sum(), "least": rest.min()}[others]
        ratios[i] = scores[i] / by.clamp(min=torch.finfo(scores.dtype).tiny)
    return ratios


def discrepancy_factors(ratios: Tensor, alpha: float) -> Tensor:
    """k_m = 1 - tanh(alpha rho_m) where rho_m > 1, else 1; [modality].

    Args:
        ratios: rho, [modality].
        alpha: the strength.
    """
    return torch.where(ratios > 1, 1 - (alpha * ratios).tanh(), 1.0)


def _turned_round(factors: Tensor, ratios: Tensor) -> Tensor:
    """The factors with those of the modality that leads and of the one that is last exchanged."""
    first, last = ratios.argmax(), ratios.argmin()
    turned = factors.clone()
    turned[first], turned[last] = factors[last], factors[first]
    return turned
