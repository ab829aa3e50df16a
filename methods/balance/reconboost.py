"""ReconBoost: modalities take turns in boosting what the others leave (Hua et al., ICML 2024)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.batch import Batch, Spec
from ..losses import masked_mean, task_errors, task_loss, weighed
from ..method import Output, fixed, searched
from ..shared.embedded import EmbedsByEncoders
from ..shared.networks import (
    SharedNetworkParams,
    as_prediction,
    embedding_width,
    encoders,
    known_modalities,
    single_head,
)


@dataclass(frozen=True)
class ReconBoostParams(SharedNetworkParams):
    """The turns, and the weights of what a modality learns in its own.

    Under the protocol ``as-published`` fields are as in ``ReconBoost.as_published``.
    """

    own_epochs: int = fixed(1, least=1, source="ours, for short budgets; release: 4 epochs of one modality")
    joint_epochs: int = fixed(
        1, least=0, source="ours, for short budgets; release: 4 of all, behind it; 0: none, ablation"
    )
    weight_label: float = fixed(5.0, source="release")
    weight_others: float = searched(
        1.0, low=0.0, high=4.0, digits=1, source="release; range: ours; 0: each for itself"
    )
    weight_agreement: float = searched(0.5, low=0.0, high=2.0, digits=1, source="release; range: ours")
    agreement: Literal["taught", "constant"] = fixed(
        "taught", source="the paper's; constant: as its code runs, where the term has no gradient"
    )


class ReconBoost(EmbedsByEncoders):
    """One head for all modalities; the logits of those that are there are summed, times a learned factor.

    In the turn of modality m, with p = softmax of its logits, q of the sum of the others', and y the class as 0 and 1, it
    and the head minimise

        mean over classes of (-5 y log p + 1 y q log p) + 0.5 mean (p - p_before)^2,

    p_before being the modality's whose turn was before: a sample counts the less, the better the others know it. Then all
    modalities that had a turn are trained together by the task's loss of the sum. Others' answers are no goal that learns.

    Scores are ours: m fits what the others' sum leaves of y, without the agreement. What a sample lacks is left out of its
    sum; a modality before its first turn is, too.
    """

    Params = ReconBoostParams
    version = 1
    needs_modalities = 2
    as_published: ClassVar[Mapping[str, Any]] = {"own_epochs": 4, "joint_epochs": 4, "agreement": "constant"}
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "encoders of mmbench and its head, as wide as the embeddings, not 512 to 256; turns of one epoch by default, and as "
            "published as many stages as the budget has epochs for, not up to 1,001; one optimiser for the whole training, not a new "
            "SGD (rate 0.01, momentum 0.9, decay 5e-4, a tenth every 30 stages) in each; agreement has a gradient, which it lacks in "
            "the released code (`agreement=constant`); before any other modality had its turn, q is uniform; epochs chosen by "
            "validation, not by the test; scores and absent modalities are ours. On planted data the weak encoder gains what "
            "a loss of its own gives: neither hearing the others nor agreement nor the joint epochs add to it: docs/methods.md has "
            "the figures"
        ),
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "others not heard": {"weight_others": 0.0},
        "without agreement": {"weight_agreement": 0.0},
        "agreement without gradient": {"agreement": "constant"},
        "without joint epochs": {"joint_epochs": 0},
    }
    params: ReconBoostParams
    epoch: Tensor  # int64, epochs that have begun
    joined: Tensor  # [modality], bool: those that had a turn

    def __init__(self, params: ReconBoostParams, spec: Spec) -> None:
        super().__init__(params, spec)
        if params.own_epochs < 1 or params.joint_epochs < 0:
            raise ValueError(
                f"own_epochs is {params.own_epochs} and joint_epochs {params.joint_epochs}: at least 1 and 0 are needed"
            )
        self.names = tuple(spec.modalities)
        width = embedding_width(spec, params.width)
        self.encoders = encoders(spec, width, params.layers, params.released_encoder)
        self.head = single_head(spec, width, width)
        self.rate = nn.Parameter(torch.ones(()))
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))
        self.register_buffer("joined", torch.ones(len(self.names), dtype=torch.bool))
        self.turn: int | None = None

    def before_epoch(self, batches: Callable[[], Iterator[Batch]], done: float) -> None:
        """Says whose turn the epoch is, or that it is all modalities'."""
        if int(self.epoch) == 0:
            self.joined.zero_()
        length = self.params.own_epochs + self.params.joint_epochs
        number, place = divmod(int(self.epoch), length)
        modality = number % len(self.names)
        self.turn = modality if place < self.params.own_epochs else None
        self.joined[modality] = True
        self.epoch += 1

    # --- the forward path -------------------------------------------------------------------------------

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """The sum of the answers to the embeddings [batch, width] that are present, times the factor."""
        known = known_modalities(batch, self.names)
        used = {m: embeddings[m].where(known[:, i : i + 1], 0) for i, m in enumerate(self.names)}
        said = torch.stack([self.head(x) for x in used.values()], dim=1)
        return Output(
            as_prediction(self.total(said, known & self.joined), self.spec),
            embeddings=used,
            unimodal={m: as_prediction(said[:, i], self.spec) for i, m in enumerate(self.names)},
        )

    def total(self, said: Tensor, counted: Tensor) -> Tensor:
        """The sum times the factor, [batch, outputs].

        Args:
            said: [batch, modality, outputs].
            counted: [batch, modality], bool.
        """
        return self.rate * said.where(counted.unsqueeze(-1), 0).sum(dim=1)

    # --- the loss ---------------------------------------------------------------------------------------

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """In a turn ``boost`` and ``agreement`` of one modality; else ``task``, of the sum."""
        if self.turn is None or len(self.names) == 1:
            return {"task": task_loss(self(batch).prediction, batch.target, self.spec)}
        place, known = self.turn, known_modalities(batch, self.names)
        with torch.no_grad():
            embeddings = self.encode_all(batch, [m for i, m in enumerate(self.names) if i != place])
        embeddings[self.names[place]] = self.encode(self.names[place], batch)
        used = [embeddings[m].where(known[:, i : i + 1], 0) for i, m in enumerate(self.names)]
        said = torch.stack([self.head(x) for x in used], dim=1)
        others = known & self.joined
        others[:, place] = False
        left = self.total(said, others).detach()
        terms = {"boost": masked_mean(self.boost(said[:, place], left, batch.target), known[:, place])}
        if self.spec.kind == "classification" and self.params.weight_agreement:
            before = (place - 1) % len(self.names)
            own = said[:, place].detach() if self.params.agreement == "constant" else said[:, place]
            apart = (own.softmax(dim=-1) - said[:, before].detach().softmax(dim=-1)).square().mean(dim=-1)
            both = known[:, place] & others[:, before]
            terms["agreement"] = self.params.weight_agreement * masked_mean(apart, both)
        return terms

    def boost(self, own: Tensor, left: Tensor, target: Tensor) -> Tensor:
        """What a modality's answers miss of what the others leave, [batch].

        Args:
            own: its logits or score, [batch, outputs].
            left: the others', summed, alike.
            target: [batch].
        """
        if self.spec.kind == "regression":
            rest = target - left.squeeze(-1) if self.params.weight_others else target
            return task_errors(own.squeeze(-1), rest, self.spec)
        missed = F.cross_entropy(own, target, reduction="none")
        known = left.softmax(dim=-1).gather(1, target.unsqueeze(1)).squeeze(1)
        factor = self.params.weight_label - self.params.weight_others * known
        return weighed(factor * missed / own.shape[1], target, self.spec)
