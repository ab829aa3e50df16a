"""The selective state-space scan of Mamba (Gu & Dao 2023, arXiv 2312.00752) in plain torch, and a mixer made of it.

The scan is a loop over the steps: exact for any length, meant for short sequences.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: The range in which the step sizes of a new mixer lie (Mamba's).
LEAST_STEP, LARGEST_STEP = 1e-3, 1e-1
#: The width of the convolution over steps.
KERNEL = 3


def selective_scan(
    inputs: Tensor, step: Tensor, decay: Tensor, write: Tensor, read: Tensor, skip: Tensor
) -> Tensor:
    """h_t = exp(Delta_t A) h_(t-1) + Delta_t u_t B_t and y_t = C_t h_t + D u_t, from h_0 = 0, for each channel.

    Args:
        inputs: u, [batch, length, channel].
        step: Delta, [batch, length, channel], positive.
        decay: A, [channel, state], negative.
        write: B, [batch, length, state].
        read: C, [batch, length, state].
        skip: D, [channel].

    Returns:
        y, [batch, length, channel].
    """
    kept = (step.unsqueeze(-1) * decay).exp()
    added = (step * inputs).unsqueeze(-1) * write.unsqueeze(2)
    state = torch.zeros_like(added[:, 0])
    outputs = []
    for kept_t, added_t, read_t in zip(kept.unbind(1), added.unbind(1), read.unbind(1), strict=True):
        state = kept_t * state + added_t
        outputs.append((state * read_t.unsqueeze(1)).sum(-1))
    return torch.stack(outputs, dim=1) + skip * inputs


class MambaMixer(nn.Module):
    """A Mamba block whose gate branch is put beside the scanned one and not multiplied with it, as in MambaVision.

    [u; z] = W_in x; u and z pass a depth-wise convolution over three steps (padded on both sides, so that a step also sees
    the next one) and SiLU; y is the scan of u, forwards alone; the output is W_out [y; z].
    """

    def __init__(self, width: int, state: int = 16) -> None:
        """Builds the mixer.

        Args:
            width: of its input and output.
            state: numbers that a channel remembers.
        """
        super().__init__()
        self.rank = math.ceil(width / 16)
        self.state = state
        self.enter = nn.Linear(width, 2 * width, bias=False)
        self.convolution = nn.Conv1d(2 * width, 2 * width, KERNEL, padding=KERNEL // 2, groups=2 * width)
        self.select = nn.Linear(width, self.rank + 2 * state, bias=False)
        self.step = nn.Linear(self.rank, width)
        self.log_decay = nn.Parameter(torch.arange(1.0, state + 1).log().repeat(width, 1))
        self.skip = nn.Parameter(torch.ones(width))
        self.leave = nn.Linear(2 * width, width, bias=False)
        nn.init.uniform_(self.step.weight, -(self.rank**-0.5), self.rank**-0.5)
        low, high = math.log(LEAST_STEP), math.log(LARGEST_STEP)
        steps = torch.empty(width).uniform_(low, high).exp()
        with torch.no_grad():
            self.step.bias.copy_(steps + (-torch.expm1(-steps)).log())  # the inverse of softplus

    def forward(self, sequence: Tensor) -> Tensor:
        """[batch, length, width] -> the same shape."""
        mixed = F.silu(self.convolution(self.enter(sequence).transpose(1, 2))).transpose(1, 2)
        scanned, beside = mixed.chunk(2, dim=-1)
        low, write, read = self.select(scanned).split([self.rank, self.state, self.state], dim=-1)
        step = F.softplus(self.step(low))
        found = selective_scan(scanned, step, -self.log_decay.exp(), write, read, self.skip)
        return self.leave(torch.cat([found, beside], dim=-1))
