"""What a training step of a conditional diffusion costs beside CSDI's own formula, and what imputing 1,000 stays takes.

    python tests/speed/diffusion.py [STAYS]

The formula, written with torch's modules as the paper states it: the codes of time, feature and what is given beside each
other as [batch, code, feature, time], a 1x1 convolution of them in every layer, and torch's transformer layers over time
and over features. Both train the same sizes on the same batch of 48 hours of 37 channels, one thread; they take turns,
and the figure is CPU seconds of the one over those of the other.

Imputing is counted in passes of the denoiser: steps of the chain x draws for each stay. Seconds of one core, ``STAYS`` (100 by
default) of them scaled to 1,000.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable

import torch
from measure import Row, estimate, print_machine, print_table
from mmbench.datasets.batch import Batch, Spec
from mmbench.methods.shared.completion import Completion
from mmbench.methods.shared.diffusion import DiffusionSizes, sinusoids
from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS, STEPS, BATCH, ROUNDS = 37, 48, 16, 5
SIZES = DiffusionSizes(dropout=0.1)
PROMISED = 1.0


class PlainLayer(nn.Module):
    """A residual layer of CSDI on [batch, channel, feature, time]."""

    def __init__(self, side: int) -> None:
        super().__init__()
        width = SIZES.channels

        def attention() -> nn.Module:
            return nn.TransformerEncoderLayer(
                width, SIZES.heads, width, activation="gelu", batch_first=True, dropout=SIZES.dropout
            )

        self.step = nn.Linear(SIZES.step_width, width)
        self.time, self.feature = attention(), attention()
        self.middle, self.side = nn.Conv1d(width, 2 * width, 1), nn.Conv1d(side, 2 * width, 1)
        self.leave = nn.Conv1d(width, 2 * width, 1)

    def forward(self, x: Tensor, side: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        count, width, features, steps = x.shape
        y = x + self.step(step)[:, :, None, None]
        y = self.time(y.permute(0, 2, 3, 1).reshape(count * features, steps, width))
        y = y.view(count, features, steps, width).transpose(1, 2).reshape(count * steps, features, width)
        y = self.feature(y).view(count, steps, features, width).permute(0, 3, 2, 1)
        y = self.middle(y.reshape(count, width, -1)) + self.side(side.flatten(2))
        gate, value = y.chunk(2, dim=1)
        residual, skip = self.leave(gate.sigmoid() * value.tanh()).chunk(2, dim=1)
        return (x + residual.view_as(x)) / math.sqrt(2), skip


class PlainDenoiser(nn.Module):
    """CSDI's denoiser and its loss."""

    def __init__(self) -> None:
        super().__init__()
        side = SIZES.time_width + SIZES.feature_width + 1
        self.codes = nn.Embedding(CHANNELS, SIZES.feature_width)
        self.enter = nn.Conv1d(2, SIZES.channels, 1)
        self.step = nn.Sequential(
            nn.Linear(SIZES.step_width, SIZES.step_width),
            nn.SiLU(),
            nn.Linear(SIZES.step_width, SIZES.step_width),
        )
        self.layers = nn.ModuleList(PlainLayer(side) for _ in range(SIZES.layers))
        self.skipped = nn.Conv1d(SIZES.channels, SIZES.channels, 1)
        self.leave = nn.Conv1d(SIZES.channels, 1, 1)
        self.kept = torch.linspace(0.999, 0.01, SIZES.steps)

    def forward(self, values: Tensor, observed: Tensor, times: Tensor) -> Tensor:
        """Values and what was observed [batch, feature, time], times [batch, time] -> the loss."""
        count = len(values)
        given = observed * (torch.rand_like(values) < torch.rand(count, 1, 1))
        number = torch.randint(SIZES.steps, (count,))
        noise, kept = torch.randn_like(values), self.kept[number].view(-1, 1, 1)
        noisy = kept.sqrt() * values + (1 - kept).sqrt() * noise
        time_code = sinusoids(times, SIZES.time_width).unsqueeze(2).expand(-1, -1, CHANNELS, -1)
        code = self.codes(torch.arange(CHANNELS)).expand(count, STEPS, -1, -1)
        side = torch.cat(
            [torch.cat([time_code, code], dim=-1).permute(0, 3, 2, 1), given.unsqueeze(1)], dim=1
        )
        x = torch.stack([given * values, (1 - given) * noisy], dim=1)
        x = F.relu(self.enter(x.flatten(2))).view(count, SIZES.channels, CHANNELS, STEPS)
        step = F.silu(self.step(sinusoids(number, SIZES.step_width)))
        skips = torch.zeros(())
        for layer in self.layers:
            x, skip = layer(x, side, step)
            skips = skips + skip
        said = self.leave(F.relu(self.skipped(skips / math.sqrt(SIZES.layers)))).view_as(values)
        wanted = observed - given
        return ((said - noise) * wanted).square().sum() / wanted.sum()


def stays(count: int, seed: int = 0) -> Batch:
    """Stays of 48 hours, a fifth of the entries observed."""
    draw = torch.Generator().manual_seed(seed)
    batch = Batch(
        features={"series": torch.randn(count, STEPS, CHANNELS, generator=draw)},
        mask={"series": torch.ones(count, STEPS, dtype=torch.bool)},
        present={"series": torch.ones(count, dtype=torch.bool)},
        target=torch.zeros(count),
        domain=torch.zeros(count, dtype=torch.int64),
        sample_id=torch.arange(count),
        time={"series": (3600.0 * torch.arange(STEPS)).expand(count, -1)},
    )
    return batch.with_observed({"series": torch.rand(count, STEPS, CHANNELS, generator=draw) < 0.2})


def seconds(step: Callable[[], Tensor], network: nn.Module, repeats: int = 2) -> float:
    """CPU seconds of a step with its gradients."""
    begun = time.process_time()
    for _ in range(repeats):
        network.zero_grad()
        step().backward()
    return (time.process_time() - begun) / repeats


def main() -> None:
    """Prints both figures."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print_machine()
    batch = stays(BATCH)
    spec = Spec({"series": CHANNELS}, "regression", steps={"series": STEPS}, partly_observed=("series",))
    ours, plain = Completion(spec, SIZES, "none"), PlainDenoiser()
    ours.measure(lambda: iter((batch,)))
    values = batch.features["series"].transpose(1, 2).contiguous()
    observed = batch.observed["series"].transpose(1, 2).float()
    times = torch.arange(float(STEPS)).expand(BATCH, -1)
    sides = (
        (lambda: ours.losses(batch)["diffusion/series"], ours),
        (lambda: plain(values, observed, times), plain),
    )
    for step, network in sides:
        seconds(step, network, 1)
    turns = [[seconds(*side) for side in sides] for _ in range(ROUNDS)]
    ratio = estimate({"turns": turns}, lambda found: float(found["turns"][0] / found["turns"][1]))
    absolute = estimate({"turns": turns}, lambda found: float(found["turns"][0]))
    rows = [
        Row("a training step, beside CSDI's formula", *ratio, "x", PROMISED),
        Row(f"a training step of {BATCH} stays", *absolute, "ms"),
    ]
    begun = time.process_time()
    ours.eval().complete(stays(count, 1))
    taken = (time.process_time() - begun) * 1000 / count
    passes = SIZES.steps * SIZES.draws
    rows.append(Row("imputing 1,000 stays", taken, taken, taken, "s", note=f"{passes} passes a stay"))
    print_table("Conditional diffusion: 48 hours, 37 channels, one core", rows)


if __name__ == "__main__":
    main()
