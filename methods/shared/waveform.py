"""The network for waveforms: a 1-D convolutional one over a window of fixed length."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

#: Of an embedding: 32 channels at 4 places.
WAVEFORM_WIDTH = 128
#: (channels, kernel) of each convolution; MMDG-Bench (arXiv 2605.06643), fault-diagnosis backbone.
_LAYERS = ((8, 32), (16, 8), (32, 3), (32, 3))
_SHORTEST = 64  # steps that the kernels need, and a few


class LargerOfTwo(nn.Module):
    """``nn.MaxPool1d(2, stride=1)``, with the same gradient, several times faster on a CPU."""

    def forward(self, steps: Tensor) -> Tensor:
        """[batch, channel, time] -> [batch, channel, time - 1]: the larger of each step and the next."""
        if not (steps.requires_grad and torch.is_grad_enabled()):
            return torch.maximum(steps[..., :-1], steps[..., 1:])
        larger: Tensor = _LargerOfTwo.apply(steps)  # pyright: ignore[reportAssignmentType]
        return larger


class _LargerOfTwo(torch.autograd.Function):
    # torch.maximum has no fast gradient on a CPU; which of the two was larger, as a number, is all that it takes.
    @staticmethod
    def forward(ctx: Any, steps: Tensor) -> Tensor:
        first, second = steps[..., :-1], steps[..., 1:]
        ctx.save_for_backward((first >= second).to(steps.dtype))
        return torch.maximum(first, second)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        (gradient,) = gradients
        (is_first,) = ctx.saved_tensors
        input_gradient = gradient.new_empty(*gradient.shape[:-1], gradient.shape[-1] + 1)
        input_gradient[..., -1] = 0
        to_first = torch.mul(gradient, is_first, out=input_gradient[..., :-1])
        input_gradient[..., 1:] += gradient - to_first
        return input_gradient


class WaveformEncoder(nn.Module):
    """Four convolutions, each with batch norm and ReLU, max-pooled by 2 at stride 1, the last to 4 places.

    The backbone that MMDG-Bench gives each modality of its motor data: 6,152 parameters for one feature. Steps
    that are not valid are read as zeros, so windows should be full, as those of a recording are.
    """

    def __init__(self, features: int, width: int = WAVEFORM_WIDTH) -> None:
        """``width`` other than 128 adds a linear layer."""
        super().__init__()
        self.width = width
        parts: list[nn.Module] = []
        for place, (channels, kernel) in enumerate(_LAYERS):
            last = place == len(_LAYERS) - 1
            pool = nn.AdaptiveMaxPool1d(4) if last else LargerOfTwo()
            parts += [
                nn.Conv1d(features, channels, kernel),
                nn.BatchNorm1d(channels),
                nn.ReLU(inplace=True),
                pool,
            ]
            features = channels
        self.layers = nn.Sequential(*parts, nn.Flatten())
        self.project = nn.Identity() if width == WAVEFORM_WIDTH else nn.Linear(WAVEFORM_WIDTH, width)

    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        """Encodes; what lies at invalid steps is never read.

        Args:
            features: [batch, time, feature] of any float type.
            valid: [batch, time], bool.

        Returns:
            [batch, width].
        """
        clean = torch.where(valid.unsqueeze(-1), features, 0).float().transpose(1, 2)
        return self.project(self.layers(F.pad(clean, (0, max(0, _SHORTEST - clean.shape[2])))))
