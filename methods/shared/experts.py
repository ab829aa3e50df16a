"""A sparse mixture of experts: each token is read by the few experts that a router chooses for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: The least standard deviation of the router's noise (Shazeer et al. 2017, as FuseMoE has it).
_LEAST_NOISE = 1e-2


@dataclass(frozen=True)
class Routed:
    """What a mixture says, and what its router did.

    Attributes:
        values: [..., width].
        gates: [..., expert], in [0, 1], their sum 1; 0 for experts that were not chosen.
        balance: a scalar: the squared coefficients of variation of the experts' importance and load, summed; 0 where all
            are used alike.
    """

    values: Tensor
    gates: Tensor
    balance: Tensor


class SparseExperts(nn.Module):
    """The gated sum of the ``top`` experts of each token, each expert a perceptron with one hidden layer.

    The router's logits are -||v - w_e|| (``laplace``, FuseMoE's, Han et al. 2024), -||v - w_e||^2 (``gaussian``), or v . w_e
    (``softmax``). In training noise of a learned scale is added before the choice, so that experts near the border are tried
    (Shazeer et al. 2017); in prediction there is none.
    """

    def __init__(
        self,
        width: int,
        count: int,
        hidden: int,
        top: int,
        router: Literal["laplace", "gaussian", "softmax"] = "laplace",
        rate: float = 0.0,
    ) -> None:
        """Builds the mixture.

        Args:
            width: of a token.
            count: of experts.
            hidden: width of an expert's hidden layer.
            top: how many read a token.
            router: how logits follow from a token and the experts' vectors.
            rate: of dropout within the experts.

        Raises:
            ValueError: no, or more than all, experts are to read a token.
        """
        super().__init__()
        if not 1 <= top <= count:
            raise ValueError(f"top is {top}: it should be between 1 and the number of experts, {count}")
        self.top, self.router, self.rate = top, router, rate
        self.centres = nn.Parameter(torch.randn(count, width) * width**-0.5)
        self.noise = nn.Parameter(torch.zeros(width, count))
        self.enter = nn.Parameter(_uniform((count, width, hidden), width))
        self.enter_bias = nn.Parameter(_uniform((count, hidden), width))
        self.leave = nn.Parameter(_uniform((count, hidden, width), hidden))
        self.leave_bias = nn.Parameter(_uniform((count, width), hidden))

    def forward(self, tokens: Tensor, known: Tensor | None = None) -> Routed:
        """Mixes.

        Args:
            tokens: [..., width].
            known: [...], bool: the tokens that ``balance`` counts; all by default. The others are mixed all the same.
        """
        flat = tokens.flatten(0, -2)
        counted = torch.ones_like(flat[:, 0], dtype=torch.bool) if known is None else known.flatten()
        clean = self.logits(flat)
        # in float32: under mixed precision a load of many tokens is counted in too few digits
        scale = F.softplus((flat @ self.noise).float()) + _LEAST_NOISE
        clean = clean.float()
        noisy = clean + torch.randn_like(clean) * scale if self.training else clean
        highest, chosen = noisy.topk(self.top, dim=-1)
        gates = torch.zeros_like(noisy).scatter(-1, chosen, highest.softmax(dim=-1))
        load = self._load(clean, noisy, scale) if self.training else (gates > 0).to(gates.dtype)
        there = counted.unsqueeze(-1)
        balance = variation(gates.where(there, 0).sum(0)) + variation(load.where(there, 0).sum(0))
        mixed = self._mix(flat, gates)
        shape = tokens.shape[:-1]
        return Routed(mixed.view(*shape, -1), gates.view(*shape, -1), balance)

    def logits(self, tokens: Tensor) -> Tensor:
        """[n, width] -> [n, expert], without noise."""
        if self.router == "softmax":
            return tokens @ self.centres.T
        distance = (tokens.unsqueeze(1) - self.centres).square().sum(-1)
        return -distance if self.router == "gaussian" else -(distance + 1e-12).sqrt()

    def _load(self, clean: Tensor, noisy: Tensor, scale: Tensor) -> Tensor:
        """[n, expert]: the chance that an expert were among the chosen, were its noise drawn anew (Shazeer et al. 2017,
        appendix A); a count of choices would have no gradient."""
        if self.top == noisy.shape[-1]:
            return torch.ones_like(noisy)
        highest = noisy.topk(self.top + 1, dim=-1).values
        inside, outside = (
            highest[:, -2:-1],
            highest[:, -1:],
        )  # what it has to exceed, where it is not or is chosen
        border = outside.where(noisy > outside, inside)
        return torch.special.ndtr((clean - border) / scale)

    def _mix(self, tokens: Tensor, gates: Tensor) -> Tensor:
        """[n, width]: every expert reads every token, which is faster than sorting for as few as there are here."""
        hidden = F.gelu(torch.einsum("nd,edh->neh", tokens, self.enter) + self.enter_bias)
        hidden = F.dropout(hidden, self.rate, self.training)
        gates = gates.to(hidden.dtype)
        weighted = hidden * gates.unsqueeze(-1)
        return torch.einsum("neh,ehd->nd", weighted, self.leave) + gates @ self.leave_bias


def variation(values: Tensor) -> Tensor:
    """The squared coefficient of variation of [expert], a scalar (variance with ddof = 1); 0 for a single one."""
    if len(values) == 1:
        return values.sum() * 0
    return values.var() / (values.mean().square() + 1e-10)


def _uniform(shape: tuple[int, ...], inputs: int) -> Tensor:
    return torch.empty(shape).uniform_(-(inputs**-0.5), inputs**-0.5)
