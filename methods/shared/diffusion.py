"""Conditional diffusion over the entries of a series: CSDI (Tashiro et al., NeurIPS 2021), with a context vector beside."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import attend
from .dropout import dropout

Schedule = Literal["quad", "published"]
#: The share of training samples of which nothing is given, as where a whole modality is missing; our choice: a share that is
#: drawn from [0, 1] hardly ever gets there.
NOTHING_GIVEN = 0.3

#: Clean values are taken to lie within so many deviations, as what the harness standardises does.
FARTHEST = 5.0


@dataclass(frozen=True)
class DiffusionSizes:
    """The chain and the network of a diffusion.

    Attributes:
        steps: of the chain.
        schedule: ``quad``: noise from 1e-4 to 0.5, linear in its root, as CSDI's; ``published``: from 1e-4 to 0.02, linear,
            as TRACE's code has it: after 50 steps 60 % of the signal's variance is left, although sampling starts from noise.
        draws: samples of which the median is taken.
        channels, layers, heads: of the denoiser.
        time_width, feature_width, step_width, context_width: of the codes of a time, of a feature, of a step of the chain,
            and of the context.
        context_hidden: width within the gate of the context.
        dropout: of the attention layers.
    """

    steps: int = 25
    schedule: Schedule = "quad"
    draws: int = 4
    channels: int = 24
    layers: int = 2
    heads: int = 4
    time_width: int = 32
    feature_width: int = 16
    step_width: int = 32
    context_width: int = 32
    context_hidden: int = 64
    dropout: float = 0.0


def noise_rates(steps: int, schedule: Schedule) -> Tensor:
    """beta_1 ... beta_N, float64 [steps]: the variance of the noise that each step of the chain adds.

    Args:
        steps: of the chain, N.
        schedule: see ``DiffusionSizes``.
    """
    if schedule == "published":
        return torch.linspace(1e-4, 2e-2, steps, dtype=torch.float64)
    return torch.linspace(1e-4**0.5, 0.5**0.5, steps, dtype=torch.float64).square()


@dataclass(frozen=True)
class Partial:
    """Series of which something is given and something is to be told.

    Attributes:
        values: [batch, time, feature], float, about 0 with variance 1; read where ``given`` alone, and in training where
            ``wanted``.
        given: [batch, time, feature], bool: what the network is shown.
        wanted: the same shape, bool: what it is to tell; nothing of ``given``. What is neither is never attended to.
        times: [batch, time], float: in steps of the training data.
        context: [batch, context_width], or None without context.
    """

    values: Tensor
    given: Tensor
    wanted: Tensor
    times: Tensor
    context: Tensor | None = None


class SeriesDiffusion(nn.Module):
    """A denoiser and its chain, for the series of one modality."""

    alpha_bar: Tensor

    def __init__(self, features: int, sizes: DiffusionSizes, with_context: bool) -> None:
        """Builds the network.

        Args:
            features: of a step.
            sizes: of chain and network.
            with_context: whether there is a context vector.
        """
        super().__init__()
        self.sizes = sizes
        self.denoiser = Denoiser(features, sizes, with_context)
        alpha_bar = (1 - noise_rates(sizes.steps, sizes.schedule)).cumprod(0).float()
        self.register_buffer("alpha_bar", alpha_bar, persistent=False)

    def loss(self, series: Partial) -> Tensor:
        """The mean squared error of the noise that is told, over the wanted entries of the batch; 0 where there are none.

        Steps and noise are drawn from torch's generator.
        """
        values = series.values.where(series.given | series.wanted, 0).float()
        step = torch.randint(self.sizes.steps, (len(values),), device=values.device)
        noise = torch.randn_like(values)
        kept = self.alpha_bar[step].view(-1, 1, 1)
        noisy = kept.sqrt() * values + (1 - kept).sqrt() * noise
        told = self.denoiser(noisy, step, self.denoiser.known(series))
        errors = (told.float() - noise).square().where(series.wanted, 0)
        return errors.sum() / series.wanted.sum().clamp(min=1)

    @torch.no_grad()
    def sample(self, series: Partial, noise: Callable[[str], Tensor]) -> Tensor:
        """Draws of the wanted entries.

        Args:
            series: what is given, and what is wanted.
            noise: tag -> standard normal numbers [batch, time, feature, draws]; called once a step of the chain. What it
                gives for a sample must depend on that sample alone.

        Returns:
            [draws, batch, time, feature], float32; given entries as they are, 0 where nothing is wanted.
        """
        given = series.values.where(series.given, 0).float()
        known = self.denoiser.known(series)
        rates = noise_rates(self.sizes.steps, self.sizes.schedule)
        kept = (1 - rates).cumprod(0)
        current = noise("start").permute(3, 0, 1, 2)
        for step in reversed(range(self.sizes.steps)):
            at = torch.full((1,), step, device=given.device)
            told = self.denoiser(current, at, known).float()
            noised, before = float(kept[step]), float(kept[step - 1]) if step else 1.0
            clean = (current - math.sqrt(1 - noised) * told) / math.sqrt(noised)
            # the mean of the step before, given the clean values (Ho et al. 2020, equation 7)
            of_clean = math.sqrt(before) * float(rates[step]) / (1 - noised)
            of_noisy = math.sqrt(noised / before) * (1 - before) / (1 - noised)
            current = of_clean * clean.clamp(-FARTHEST, FARTHEST) + of_noisy * current
            if step:
                scale = math.sqrt((1 - before) / (1 - noised) * float(rates[step]))
                current = current + scale * noise(str(step)).permute(3, 0, 1, 2)
        return torch.where(series.given, given, current.where(series.wanted, 0))


@dataclass(frozen=True)
class Known:
    """What a denoiser reads of series at every step of the chain.

    Attributes:
        shown: [batch, time, feature], the given values, 0 elsewhere.
        wanted: the same shape, bool.
        side: of each layer, [batch, time, feature, 2 * channels].
        ignored_times: [batch, feature, time], bool: what attention over time passes over; None where that is nothing.
        ignored_features: [batch, time, feature], the same of attention over features.
    """

    shown: Tensor
    wanted: Tensor
    side: Sequence[Tensor]
    ignored_times: Tensor | None
    ignored_features: Tensor | None


class Denoiser(nn.Module):
    """Tells the noise of the wanted entries: layers of attention over time and over features, with skip connections.

    What is known beside the noisy values (the codes of time and feature, whether an entry is given, the context) goes through
    one linear map for each layer, published as a 1x1 convolution over its concatenation. It does not change along the chain:
    each part is mapped alone, and the sum is computed once for all steps and draws (``known``).
    """

    def __init__(self, features: int, sizes: DiffusionSizes, with_context: bool) -> None:
        """Builds the network.

        Args:
            features: of a step.
            sizes: of the network.
            with_context: whether there is a context vector.
        """
        super().__init__()
        self.time_width, self.step_width = sizes.time_width, sizes.step_width
        self.feature_codes = nn.Parameter(torch.randn(features, sizes.feature_width))
        self.step_code = nn.Sequential(
            nn.Linear(sizes.step_width, sizes.step_width),
            nn.SiLU(),
            nn.Linear(sizes.step_width, sizes.step_width),
            nn.SiLU(),
        )
        self.enter = nn.Linear(2, sizes.channels)
        width = sizes.time_width + sizes.feature_width + 1 + (sizes.context_width if with_context else 0)
        self.layers = nn.ModuleList(_Layer(sizes, width) for _ in range(sizes.layers))
        self.skipped = nn.Linear(sizes.channels, sizes.channels)
        self.leave = nn.Linear(sizes.channels, 1)
        nn.init.zeros_(self.leave.weight)

    def known(self, series: Partial) -> Known:
        """What the network reads of a series at every step of the chain."""
        dtype = self.enter.weight.dtype
        widths = [self.time_width, self.feature_codes.shape[1], 1]
        parts = [
            sinusoids(series.times, self.time_width).to(dtype).unsqueeze(2),
            self.feature_codes,
            series.given.to(dtype).unsqueeze(-1),
        ]
        if series.context is not None:
            widths.append(series.context.shape[1])
            parts.append(series.context.to(dtype)[:, None, None])
        side = []
        for layer in self.layers:
            assert isinstance(layer, _Layer)
            maps = layer.side.weight.split(widths, dim=1)
            mapped = [F.linear(part, one) for part, one in zip(parts, maps, strict=True)]
            side.append(sum(mapped[1:], mapped[0]) + layer.side.bias)
        keys = series.given | series.wanted
        shown = series.values.where(series.given, 0).to(dtype)
        return Known(shown, series.wanted, side, _ignored(keys.transpose(1, 2)), _ignored(keys))

    def forward(self, noisy: Tensor, step: Tensor, known: Known) -> Tensor:
        """The noise.

        Args:
            noisy: [..., batch, time, feature]; leading dimensions are draws. Read where entries are wanted alone.
            step: [batch] or [1], int64, of the chain, from 0.
            known: of the same series.

        Returns:
            As ``noisy``.
        """
        asked = noisy.to(known.shown.dtype).where(known.wanted, 0)
        hidden = F.relu(self.enter(torch.stack([known.shown.expand_as(asked), asked], dim=-1)))
        told = self.step_code(sinusoids(step, self.step_width).to(hidden.dtype))
        skips: Tensor | float = 0.0
        for layer, beside in zip(self.layers, known.side, strict=True):
            hidden, skip = layer(hidden, told, beside, known)
            skips = skips + skip
        assert isinstance(skips, Tensor)
        hidden = F.relu(self.skipped(skips / math.sqrt(len(self.layers))))
        return self.leave(hidden).squeeze(-1)


class _Layer(nn.Module):
    """A residual layer: attention over time, then over features, then a gated unit that reads what is known beside."""

    def __init__(self, sizes: DiffusionSizes, side: int) -> None:
        super().__init__()
        self.step = nn.Linear(sizes.step_width, sizes.channels)
        self.over_time = _Attention(sizes)
        self.over_features = _Attention(sizes)
        self.middle = nn.Linear(sizes.channels, 2 * sizes.channels)
        self.side = nn.Linear(side, 2 * sizes.channels)
        self.leave = nn.Linear(sizes.channels, 2 * sizes.channels)

    def forward(self, hidden: Tensor, step: Tensor, side: Tensor, known: Known) -> tuple[Tensor, Tensor]:
        """[..., batch, time, feature, channels] -> the same for the next layer, and for the sum of all."""
        read = hidden + self.step(step)[:, None, None]
        if read.shape[-3] > 1:
            read = self.over_time(read.transpose(-3, -2), known.ignored_times).transpose(-3, -2)
        if read.shape[-2] > 1:
            read = self.over_features(read, known.ignored_features)
        opened, value = (self.middle(read) + side).chunk(2, dim=-1)
        residual, skip = self.leave(opened.sigmoid() * value.tanh()).chunk(2, dim=-1)
        return (hidden + residual) / math.sqrt(2), skip


class _Attention(nn.Module):
    """A transformer layer whose norms come last, over the last but one dimension."""

    def __init__(self, sizes: DiffusionSizes) -> None:
        super().__init__()
        width = sizes.channels
        self.heads, self.rate = sizes.heads, sizes.dropout
        self.read = nn.Linear(width, 3 * width)
        self.said = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)
        self.last_norm = nn.LayerNorm(width)

    def forward(self, values: Tensor, ignored: Tensor | None) -> Tensor:
        """[..., rows, keys, channels] -> the same; ``ignored`` [batch, rows, keys], bool."""
        flat = values.flatten(0, -3)
        if ignored is not None:
            times = len(flat) // (ignored.shape[0] * ignored.shape[1])
            ignored = ignored.flatten(0, 1).repeat(times, 1)
        said = attend(None, self.read(flat), ignored, self.heads, self.rate, self.training)
        flat = self.norm(flat + dropout(self.said(said), self.rate, self.training))
        hidden = dropout(F.gelu(self.inner(flat)), self.rate, self.training)
        flat = self.last_norm(flat + dropout(self.outer(hidden), self.rate, self.training))
        return flat.view(values.shape)


def sinusoids(places: Tensor, width: int) -> Tensor:
    """Sines and cosines of numbers at wavelengths from 2 pi to 20,000 pi: [...] -> [..., width], float32.

    Args:
        places: any numbers.
        width: even.
    """
    exponents = torch.arange(0, width, 2, dtype=torch.float32, device=places.device) / width
    angles = places.float().unsqueeze(-1) * (10000.0**-exponents)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def _ignored(keys: Tensor) -> Tensor | None:
    """Which keys nothing attends to, [batch, rows, keys]; None where all are attended to. Of a row without any key all are:
    what it says is read nowhere."""
    if bool(keys.all()):
        return None
    return ~(keys | ~keys.any(dim=-1, keepdim=True))


def hide(observed: Tensor) -> Tensor:
    """Which observed entries training shows the network: a share that is drawn from [0, 1] for each sample, and of
    ``NOTHING_GIVEN`` of the samples none. From torch's generator.

    Args:
        observed: [batch, time, feature], bool.

    Returns:
        [batch, time, feature], bool.
    """
    share = torch.rand(len(observed), 1, 1, device=observed.device)
    nothing = torch.rand(len(observed), 1, 1, device=observed.device) < NOTHING_GIVEN
    return observed & (torch.rand(observed.shape, device=observed.device) < share) & ~nothing
