"""G-Blending: losses blended by how well each generalises and how much it overfits (Wang et al., CVPR 2020)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ...datasets.batch import Batch, Spec
from ..losses import masked_mean, plain_errors, task_errors
from ..method import fixed
from ..shared.balance_parts import UnimodalHeadParams
from ..shared.heads import WithHeads
from ..shared.networks import known_modalities


@dataclass(frozen=True)
class GBlendingParams(UnimodalHeadParams):
    """How often weights are estimated, and from how many samples."""

    weights: Literal["ratio", "equal"] = fixed("ratio", source="control: equal weights on the same samples")
    since: Literal["start", "last"] = fixed(
        "start",
        source="ours: from where gain and overfitting are measured; last estimate: as in the online form",
    )
    least: float = fixed(0.01, least=0, source="ours: of the overfitting, which a gain is divided by")
    every: float = fixed(0.1, least=0, source="ours: weights are estimated after each tenth of the training")
    held_out: int = fixed(
        10, least=2, source="ours: every tenth training sample, by its id, is not trained on"
    )


class GBlending(WithHeads):
    """ERM with a head for each modality: the losses are weighed by gain and overfitting.

    For the fused prediction and that of each head, L is the loss on training samples and V that on held-out samples.
    Since the start (or the last estimate, ``since``) G = V before - V now is what was gained, and O = (V - L) now -
    (V - L) before by how much it overfits; a loss has the weight max(G, 0) / O^2, divided by the sum of all. Where nothing gains, weights stay. They
    are multiplied by the number of losses, so that equal ones are 1.

    What is held out are training samples: a method does not see the validation split.
    """

    Params = GBlendingParams
    version = 1
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "weights are estimated in the course of the one training, not by training each branch alone from each estimate "
            "on, and by default since its start; from held-out training samples, as a method does not see the validation "
            "split; encoders and heads of mmbench; O has a floor; scores and absent modalities are ours"
        )
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "equal weights": {"weights": "equal"},
        "since the last estimate": {"since": "last"},
    }
    params: GBlendingParams
    blend: Tensor  # [modality + 1], the weights; the last is that of the fused loss
    before: Tensor  # [2, modality + 1], L and V where gain and overfitting are measured from
    estimates: Tensor  # int64

    def __init__(self, params: GBlendingParams, spec: Spec) -> None:
        super().__init__(params, spec)
        if params.held_out < 2:
            raise ValueError(f"held_out is {params.held_out}: one in 2 or more samples can be held out")
        self.register_buffer("blend", torch.ones(len(self.names) + 1))
        self.register_buffer("before", torch.zeros(2, len(self.names) + 1))
        self.register_buffer("estimates", torch.zeros((), dtype=torch.int64))

    def held(self, batch: Batch) -> Tensor:
        """Which samples are not trained on, [batch] bool; the same ones in every epoch."""
        return batch.sample_id % self.params.held_out == 0

    def errors(self, batch: Batch, plain: bool = False) -> tuple[Tensor, Tensor]:
        """The error of each head on each sample.

        Args:
            batch: with the targets.
            plain: whatever the weights of the classes.

        Returns:
            [batch, modality + 1], the fused prediction's last; and which count, bool of that shape.
        """
        output, known = self(batch), known_modalities(batch, self.names)
        error = plain_errors if plain else task_errors
        said = [*(output.unimodal[m] for m in self.names), output.prediction]
        found = torch.stack([error(one, batch.target, self.spec) for one in said], dim=1)
        return found, torch.cat([known, torch.ones_like(known[:, :1])], dim=1)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """``task``, of the fused prediction, and ``unimodal``, the sum over the heads; both weighed."""
        errors, counted = self.errors(batch)
        trained = ~self.held(batch)
        counted = counted & (trained if bool(trained.any()) else ~trained).unsqueeze(1)
        losses = self.blend * torch.stack(
            [masked_mean(errors[:, i], counted[:, i]) for i in range(errors.shape[1])]
        )
        return {"task": losses[-1], "unimodal": losses[:-1].sum()}

    @torch.no_grad()
    def before_epoch(self, batches: Callable[[], Iterator[Batch]], done: float) -> None:
        """Estimates the weights anew, where it is time."""
        if self.params.weights == "equal" or done + 1e-9 < int(self.estimates) * self.params.every:
            return
        was_training = self.training
        self.eval()
        sums, counts = torch.zeros_like(self.before), torch.zeros_like(self.before)
        for batch in batches():
            errors, counted = self.errors(batch, plain=True)
            held = self.held(batch)
            for row, chosen in enumerate((~held, held)):
                there = counted & chosen.unsqueeze(1)
                sums[row] += errors.where(there, 0).sum(dim=0)
                counts[row] += there.sum(dim=0)
        self.train(was_training)
        if not bool((counts > 0).all()):
            return  # too few samples to hold some out
        now = sums / counts
        if int(self.estimates):
            self.blend.copy_(blending(self.before, now, self.blend, self.params.least))
        if self.params.since == "last" or not int(self.estimates):
            self.before.copy_(now)
        self.estimates += 1


def blending(before: Tensor, now: Tensor, weights: Tensor, least: float) -> Tensor:
    """The weights max(G, 0) / O^2, times their number over their sum; the old ones where nothing gains.

    Args:
        before: [2, losses], on training samples and on held-out ones.
        now: the same, later.
        weights: the old ones, [losses].
        least: O is at least that.
    """
    gain = (before[1] - now[1]).clamp(min=0)
    overfitting = ((now[1] - now[0]) - (before[1] - before[0])).abs().clamp(min=least)
    found = gain / overfitting.square()
    return found * len(found) / found.sum() if float(found.sum()) > 0 else weights
