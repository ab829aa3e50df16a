"""A sparse mixture of experts: a gate chooses few of many small networks for each sample (Shazeer et al., ICLR 2017)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .dropout import dropout

Gate = Literal["laplace", "gaussian", "softmax", "constant"]
Combine = Literal["sum", "log"]
#: The least deviation of the noise on a gate's logits in training, as released with FuseMoE.
_LEAST_NOISE = 0.01


@dataclass(frozen=True)
class Routed:
    """What the experts say of some samples or tokens.

    Attributes:
        said: [..., outputs].
        gates: [..., expert], 0 for experts that were not chosen; each row sums to 1.
        importance: [expert], the sum of the gates of what counts.
        load: [expert], how much of what counts each expert has: in training the expected number under the noise.
        chances: [..., expert], how likely each expert is asked, the sum of which is the load; 0 or 1 without noise.
        logits: [..., expert], of the gate, with its noise.
    """

    said: Tensor
    gates: Tensor
    importance: Tensor
    load: Tensor
    chances: Tensor
    logits: Tensor

    @property
    def balance(self) -> Tensor:
        """CV^2 of the importance plus CV^2 of the load, a scalar: 0 where all experts are used alike."""
        return squared_variation(self.importance) + squared_variation(self.load)


def squared_variation(values: Tensor) -> Tensor:
    """The variance (ddof = 1) of values [n] divided by the square of their mean; 0 for one value."""
    if len(values) < 2:
        return values.new_zeros(())
    return values.var() / (values.mean().square() + 1e-10)


class SparseExperts(nn.Module):
    """Feed-forward experts, of which a gate chooses ``top`` for each sample.

    The logit of expert e for v is -||v - w_e|| (``laplace``), -||v - w_e||^2 (``gaussian``) or v . w_e (``softmax``); in
    training noise of deviation softplus(v . n_e) + 0.01 is added. The gates are the softmax over the ``top`` largest.
    ``constant`` asks all experts alike. The answer is sum_e g_e E_e(v), or (``log``) log sum_e g_e softmax(E_e(v)).
    """

    def __init__(
        self, inputs: int, hidden: int, experts: int, top: int, gate: Gate, combine: Combine, rate: float
    ) -> None:
        """Builds the experts; they write as many values as they read.

        Args:
            inputs: values that are read.
            hidden: width of an expert.
            experts: how many.
            top: how many of them are asked about a sample; all where there are fewer.
            gate: how they are chosen.
            combine: how their answers are joined.
            rate: of dropout within an expert.
        """
        super().__init__()
        self.top, self.gate, self.combine, self.rate = min(top, experts), gate, combine, rate

        def uniform(fan_in: int, *shape: int) -> nn.Parameter:
            bound = 1 / math.sqrt(fan_in)
            return nn.Parameter(torch.empty(experts, *shape).uniform_(-bound, bound))

        self.centres = uniform(inputs, inputs)
        self.noise = nn.Parameter(torch.zeros(experts, inputs))
        self.inner, self.inner_bias = uniform(inputs, inputs, hidden), uniform(inputs, hidden)
        self.outer, self.outer_bias = uniform(hidden, hidden, inputs), uniform(hidden, inputs)

    def forward(self, values: Tensor, known: Tensor | None = None) -> Routed:
        """Asks the experts.

        Args:
            values: [..., inputs].
            known: [...], bool: what counts for importance and load; all by default. The rest is answered all the same.
        """
        shape, read = values.shape[:-1], values.flatten(0, -2)
        gates, load, logits = self.route(read)
        counted = read.new_ones(len(read), 1) if known is None else known.reshape(-1, 1).to(gates.dtype)
        use = {
            "importance": (gates * counted).sum(dim=0),
            "load": (load * counted).sum(dim=0),
            "chances": load.view(*shape, -1),
            "logits": logits.view(*shape, -1),
        }
        # All experts at once: few and small, they cost less so than samples that are gathered for each.
        hidden = F.gelu(torch.einsum("bi,eih->beh", read, self.inner) + self.inner_bias)
        hidden = dropout(hidden, self.rate, self.training)
        if self.combine == "log":
            answers = torch.einsum("beh,eho->beo", hidden, self.outer) + self.outer_bias
            chances = (gates.unsqueeze(-1) * answers.softmax(dim=-1)).sum(dim=1)
            said = chances.clamp(min=torch.finfo(chances.dtype).tiny).log()
            return Routed(said.view(*shape, -1), gates.view(*shape, -1), **use)
        # The last map is linear: gates may weigh what it reads.
        weights = gates.to(hidden.dtype)
        said = torch.einsum("beh,eho->bo", hidden * weights.unsqueeze(-1), self.outer)
        said = said + weights @ self.outer_bias
        return Routed(said.view(*shape, -1), gates.view(*shape, -1), **use)

    def route(self, read: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gates, load and logits with noise, each [batch, expert], for [batch, inputs]."""
        count = len(self.centres)
        if self.gate == "constant":
            alike = read.new_full((len(read), count), 1 / count)
            return alike, torch.ones_like(alike), torch.zeros_like(alike)
        precise = read.to(torch.promote_types(read.dtype, torch.float32))  # half precision would tie experts
        clean = self.logits(precise).to(precise.dtype)
        deviation = (
            F.softplus(precise @ self.noise.t()).to(precise.dtype) + _LEAST_NOISE if self.training else None
        )
        logits = clean if deviation is None else clean + deviation * torch.randn_like(clean)
        largest, chosen = logits.topk(min(self.top + 1, count), dim=1)
        gates = torch.zeros_like(logits).scatter(
            1, chosen[:, : self.top], largest[:, : self.top].softmax(dim=1)
        )
        if deviation is None or self.top == count:
            return gates, (gates > 0).to(gates.dtype), logits
        return gates, chance_of_choice(clean, logits, deviation, largest, self.top), logits

    def logits(self, read: Tensor) -> Tensor:
        """[batch, expert] for [batch, inputs], without noise."""
        if self.gate == "softmax":
            return read @ self.centres.t()
        # Differences, not products: those would round a distance by what else is in the batch.
        distance = torch.linalg.vector_norm(read.unsqueeze(1) - self.centres, dim=-1)
        return -distance.square() if self.gate == "gaussian" else -distance


def chance_of_choice(clean: Tensor, noisy: Tensor, deviation: Tensor, largest: Tensor, top: int) -> Tensor:
    """How likely each expert would be chosen if its own noise were drawn again, [batch, expert] (Shazeer et al., appendix A).

    Args:
        clean: logits without noise, [batch, expert].
        noisy: with it.
        deviation: of the noise.
        largest: the ``top`` + 1 largest noisy logits, [batch, top + 1].
        top: how many are chosen.
    """
    inside, outside = largest[:, top : top + 1], largest[:, top - 1 : top]
    threshold = torch.where(noisy > inside, inside, outside)
    return torch.special.ndtr((clean - threshold) / deviation)
