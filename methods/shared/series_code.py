"""A modality as a diffusion reads it: standardised by its training data, and wide features as few components."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from .timed_series import Series

#: Modalities with more features are reduced to ``COMPONENTS``: attention is over every entry of a series. Our choice.
WIDEST = 32
COMPONENTS = 16


class SeriesCode(nn.Module):
    """A fixed linear code of the features of a step, measured on training data: z-scores, or whitened principal components.

    Until it is measured it is the identity on the first features.
    """

    mean: Tensor
    encoding: Tensor
    decoding: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.wide = features > WIDEST
        self.width = COMPONENTS if self.wide else features
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("encoding", torch.eye(features)[:, : self.width].contiguous())
        self.register_buffer("decoding", torch.eye(features)[: self.width].contiguous())

    def encode(self, values: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        """The code of a series, and which of it is known.

        Args:
            values: [batch, time, feature], read where observed.
            observed: [batch, time, feature], bool. Of wide features a step is known where any of them was observed, and the
                others are their means.

        Returns:
            [batch, time, width], float32, 0 where not known, and [batch, time, width], bool.
        """
        centred = (values.float() - self.mean).where(observed, 0)
        known = observed.any(dim=-1, keepdim=True).expand(*observed.shape[:-1], self.width)
        return centred @ self.encoding, known if self.wide else observed

    def decode(self, code: Tensor) -> Tensor:
        """[..., time, width] -> [..., time, feature]."""
        return code @ self.decoding + self.mean

    @torch.no_grad()
    def measure(self, batches: Iterable[Series]) -> None:
        """Sets the code by training data; data without an observed entry leave it as it is."""
        features = len(self.mean)
        device = self.mean.device
        count, total = (torch.zeros(features, dtype=torch.float64, device=device) for _ in range(2))
        squares = torch.zeros(features, features, dtype=torch.float64, device=device)
        pairs = squares.clone()
        for series in batches:
            rows = series.observed.any(dim=-1)
            there = series.observed[rows].double()
            values = series.values[rows].double() * there
            count += there.sum(0)
            total += values.sum(0)
            if self.wide:
                squares += values.T @ values
                pairs += there.T @ there
            else:
                squares.diagonal().add_(values.square().sum(0))
                pairs.diagonal().add_(there.sum(0))
        if not bool(count.any()):
            return
        mean = total / count.clamp(min=1)
        self.mean.copy_(mean)
        # unobserved entries count as their means: the covariance over all steps that hold anything
        covariance = squares - pairs * torch.outer(mean, mean)
        if not self.wide:
            deviation = (covariance.diagonal() / count.clamp(min=1)).clamp(min=0).sqrt()
            deviation = deviation.where(deviation > 1e-6 * mean.abs() + 1e-12, 1)  # a constant feature
            self.encoding.copy_(torch.diag(1 / deviation))
            self.decoding.copy_(torch.diag(deviation))
            return
        power, vectors = torch.linalg.eigh(covariance / count.max())
        power, vectors = power[-self.width :].clamp(min=0), vectors[:, -self.width :]
        largest = vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True))
        vectors = vectors * largest.sign()
        scale = power.sqrt().where(power > 1e-10, 1)
        self.encoding.copy_(vectors / scale)
        self.decoding.copy_((vectors * scale).T)
