"""GMP: gradient modulation and projection (GMP in MMDG-Bench, arXiv 2605.06643)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ...datasets.batch import Batch, Spec
from ..losses import masked_mean, task_loss
from ..method import fixed, searched
from ..shared.batch_norm import on_known
from ..shared.branches import mlp
from ..shared.heads import HeadParams, WithHeads, means_of_others
from ..shared.networks import PerModality, available, outputs
from ..shared.reversal import HIDDEN, discriminator, domain_errors, projector, reverse


@dataclass(frozen=True)
class GMPParams(HeadParams):
    """The strengths of reversal and damping, and the weights of the terms."""

    alpha_rev: float = searched(0.3, low=0.0, high=1.0, digits=1, source="MMDG-Bench")
    alpha_k: float = searched(
        0.5, low=0.0, high=1.0, digits=1, source="MMDG-Bench; damps the task's gradient"
    )
    alpha_p: float = searched(
        0.1,
        low=0.0,
        high=1.0,
        digits=1,
        source="MMDG-Bench 3.9: 0.5 at e98e837, 0.1 at 84bdb617; damps the domain's",
    )
    cls_loss: float = searched(
        3.0,
        low=0.0,
        high=5.0,
        digits=1,
        source="MMDG-Bench 3.9; 0.2 in sentiment at e98e837; uni-modal heads",
    )
    domain_loss: float = fixed(
        0.5, source="MMDG-Bench 3.9; 0.2 in sentiment at e98e837; domain adversary of each modality"
    )
    adversary_trained: bool = fixed(
        True, source="MMDG-Bench 3.9, action and motor faults: false", since="0.1"
    )
    mlp_head: int = fixed(
        0,
        least=0,
        source="MMDG-Bench 2.2, motor faults: 256, the hidden width of its head; 0: the shared head",
        since="0.1",
    )
    batch_norm: bool = fixed(False, source="MMDG-Bench 3.9: in the discriminator", since="0.2")
    reversal_behind: bool = fixed(
        False,
        source="MMDG-Bench 3.9, sentiment: reversal behind the projector, which it turns too",
        since="0.2",
    )
    mean_auxiliary: bool = fixed(
        False,
        source="MMDG-Bench 3.9, sentiment: heads and adversary learn from the modalities' mean, not damped",
        since="0.2",
    )


class GMP(WithHeads):
    """Balances modalities and objectives by changing gradients.

    The terms are the task's loss of the fused prediction, l_c task_m of each head, and l_d CE(D(P_m R e_m),
    d) of a domain adversary. On modality m's own parameters (encoder and head) the last two have the
    gradients g_c and g_d. Each is damped where the modality is ahead of the others (``damping``), and where
    the two conflict one is projected off the other (``reconcile``). The gradient of the task's loss is added.

    The released code gives projectors and discriminator no gradient in action recognition and HUST, so that its
    adversary stays what chance made it (section 3.9; ``adversary_trained`` false); here both learn. In sentiment its
    reversal stands behind the projector, which then helps the encoder and not the adversary (``reversal_behind``),
    and what is not the encoders' learns from the mean of the modalities' terms, not damped (``mean_auxiliary``).

    With a single source there is no g_d; with a single modality nothing is damped. A modality that no sample of a
    batch has is left out of the ratios.
    """

    Params = GMPParams
    version = 1
    departures: ClassVar[Mapping[str, str] | None] = {
        "action": (
            "mmbench's own network (40 wide, 8,448 parameters in a head of three modalities) in "
            "place of trunks that are trained along, embeddings of 2,304, 2,048 and 512, and a head "
            "of 2,494,984; projectors of 128 with dropout 0.3, not 512 with 0.5, and a "
            "discriminator of 128, not 256"
        ),
    }
    as_published: ClassVar[Mapping[str, Any]] = {"batch_norm": True, "alpha_p": 0.5}
    as_published_in: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sentiment": {
            "released_encoder": True,
            "whole_network": True,
            "unimodal_width": 128,
            "reversal_behind": True,
            "mean_auxiliary": True,
            "cls_loss": 0.2,
            "domain_loss": 0.2,
        },
        "hust": {"adversary_trained": False, "mlp_head": 256},
        "action": {"adversary_trained": False},
    }
    #: Section 1.4: 15 epochs without weight decay, the last one tested; a constant rate. Sentiment clips the backbone.
    rules_as_published: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sentiment": {"clip_part": "backbone"},
        "action": {"epochs": 15, "weight_decay": 0.0, "selection": "last"},
        "hust": {"schedule": "constant"},
    }
    params: GMPParams

    def __init__(self, params: GMPParams, spec: Spec) -> None:
        super().__init__(params, spec)
        if params.mlp_head:
            self.head = mlp(len(self.names) * self.width, params.mlp_head, outputs(spec))
        if spec.domains > 1:
            self.projectors = PerModality(spec, lambda _: projector(self.seen))
            self.discriminator = discriminator(HIDDEN, spec.domains, params.batch_norm)
            for part in (self.projectors, self.discriminator):
                part.requires_grad_(params.adversary_trained)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The task's loss, and the sums of the other terms over the modalities."""
        return self._terms(batch)[0]

    def backward(self, batch: Batch) -> dict[str, Tensor]:
        """The task's gradient, plus each modality's own ones, damped and reconciled."""
        terms, task, domain, ahead = self._terms(batch)
        terms["task"].backward(retain_graph=True)
        if self.params.mean_auxiliary:
            parts = [self.heads, *([] if domain is None else [self.projectors, self.discriminator])]
            auxiliary = [p for part in parts for p in part.parameters() if p.requires_grad]
            mean = task.mean() if domain is None else task.mean() + domain.mean()
            add(auxiliary, gradient(mean, auxiliary))
        for place, m in enumerate(self.names):
            own = self.own_parameters(m)
            by_task = gradient(task[place], own)
            if domain is None:
                add(own, damped(by_task, damping(ahead[0][place], self.params.alpha_k)))
                continue
            # One pass for both: the adversary's own parameters are trained as they are.
            adversary = [*self.projectors.parts[place].parameters(), *self.discriminator.parameters()]
            adversary = adversary if self.params.adversary_trained and not self.params.mean_auxiliary else []
            gradients = gradient(domain[place], [*own, *adversary])
            by_domain = gradients[: len(own)]
            add(adversary, gradients[len(own) :])
            semantic, domain_wise = ahead[0][place], ahead[1][place]
            by_task = damped(by_task, damping(semantic, self.params.alpha_k))
            by_domain = damped(by_domain, damping(domain_wise, self.params.alpha_p))
            for part in reconcile(by_task, by_domain, task_yields=semantic >= domain_wise):
                add(own, part)
        return {name: value.detach() for name, value in terms.items()}

    def own_parameters(self, modality: str) -> list[nn.Parameter]:
        """The parameters whose gradients are damped and reconciled, and that are trained: a modality's encoder (all,
        where its embedding is the whole network's), and but for ``mean_auxiliary`` its head."""
        place = self.names.index(modality)
        encoders = self.encoders if self.params.whole_network else self.encoders.parts[place]
        parts = [encoders] if self.params.mean_auxiliary else [encoders, self.heads.parts[place]]
        return [p for part in parts for p in part.parameters() if p.requires_grad]

    def domain_logits(self, modality: str, embedding: Tensor, known: Tensor) -> Tensor:
        """What the adversary says of a modality, [batch, domains].

        Args:
            modality: its name.
            embedding: [batch, seen].
            known: [batch], bool; batch norms see no other rows.
        """
        strength = self.params.alpha_rev
        if self.params.reversal_behind:
            hidden = reverse(self.projectors(modality, embedding), strength)
        else:
            hidden = self.projectors(modality, reverse(embedding, strength))
        if self.params.batch_norm:
            return on_known(self.discriminator, hidden, known)
        return self.discriminator(hidden)

    def _terms(
        self, batch: Batch
    ) -> tuple[dict[str, Tensor], Tensor, Tensor | None, tuple[list[float], list[float]]]:
        """The loss terms; those of each modality [modality]; the ratios rho_c and rho_d."""
        output = self(batch)
        task = self.params.cls_loss * self.unimodal_losses(output, batch)
        terms = {"task": task_loss(output.prediction, batch.target, self.spec), "unimodal": task.sum()}
        known = torch.stack([available(batch, m).any() for m in self.names])
        correct = self.correctness(output, batch)
        by_task = ratios(correct, means_of_others(correct, known), known)
        if self.spec.domains == 1:
            return terms, task, None, (by_task, [1.0] * len(self.names))
        errors, confident = [], []
        for m in self.names:
            has = available(batch, m)
            each = domain_errors(self.domain_logits(m, output.embeddings[m], has), batch.domain)
            errors.append(masked_mean(each, has))
            confident.append(masked_mean((-each.detach()).exp(), has))
        confidence = torch.stack(confident)
        domain = self.params.domain_loss * torch.stack(errors)
        terms["domain"] = domain.sum()
        return terms, task, domain, (by_task, ratios(means_of_others(confidence, known), confidence, known))


def ratios(above: Tensor, below: Tensor, known: Tensor) -> list[float]:
    """How far each modality is ahead of the others: ``above / below``.

    rho_c = c_m / mean_others c, c the mean probability of the true class, or exp(-mean absolute error);
    rho_d = mean_others q / q_m, q the mean probability of the true domain. Above 1 the modality is ahead.

    Args:
        above: [modality], at least 0.
        below: [modality], at least 0.
        known: [modality], bool.

    Returns:
        A number for each modality; 1 where it is not known or has no other beside it.
    """
    ratio = above / below.clamp(min=1e-12)
    return ratio.where(known & ratio.isfinite(), 1.0).tolist()


def damping(ratio: float, strength: float) -> float:
    """k = 1 - tanh(strength * ratio) where the ratio is above 1, else 1.

    Args:
        ratio: as of ``ratios``, at least 0.
        strength: alpha_k or alpha_p, at least 0.

    Returns:
        In (0, 1].
    """
    return 1 - math.tanh(strength * ratio) if ratio > 1 else 1.0


def gradient(value: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
    """The gradient of a scalar. The graph is kept.

    Args:
        value: the scalar.
        parameters: with respect to which.

    Returns:
        One for each parameter, of its shape; zeros where the value does not depend on it.
    """
    gradients = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, gradients, strict=True)]


def damped(gradients: Sequence[Tensor], factor: float) -> list[Tensor]:
    """The gradients times a factor.

    Args:
        gradients: one for each parameter.
        factor: as of ``damping``.
    """
    return [factor * g for g in gradients]


def add(parameters: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
    """Adds gradients to the ``grad`` of parameters, in place.

    Args:
        parameters: those that are trained; a ``grad`` of None counts as 0.
        gradients: one for each, of its shape.
    """
    for p, g in zip(parameters, gradients, strict=True):
        p.grad = g.clone() if p.grad is None else p.grad + g


def reconcile(
    by_task: list[Tensor], by_domain: list[Tensor], task_yields: bool
) -> tuple[list[Tensor], list[Tensor]]:
    """Takes two gradients out of conflict: where <g_c, g_d> < 0, one becomes x - <x, y> / (|y|^2 + 1e-12) y,
    y being the other.

    Args:
        by_task: g_c, one tensor for each parameter; the inner product is over all of them.
        by_domain: g_d, likewise.
        task_yields: whether g_c is the one that changes.

    Returns:
        g_c and g_d; both as they were where they do not conflict.
    """
    product = float(_inner(by_task, by_domain))
    if product >= 0:
        return by_task, by_domain
    moved, kept = (by_task, by_domain) if task_yields else (by_domain, by_task)
    share = product / (float(_inner(kept, kept)) + 1e-12)
    projected = [x - share * y for x, y in zip(moved, kept, strict=True)]
    return (projected, by_domain) if task_yields else (by_task, projected)


def _inner(left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
    return torch.stack([(x * y).sum() for x, y in zip(left, right, strict=True)]).sum()
