"""CAGMamba's gated cross-modal mixing (arXiv 2604.03650): an utterance of several modalities after the one before it.

Stacked means [batch, modality, width].
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from .networks import Stacked
from .selective_scan import MambaMixer

Mixer = Literal["mamba", "transformer", "linear"]
Gate = Literal["gating", "fixed", "cross_only", "none"]


class TransformerMixer(nn.Module):
    """One pre-norm transformer layer over a pair, with learned positions; four heads where the width allows it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        heads = next(count for count in (4, 2, 1) if width % count == 0)
        self.position = nn.Parameter(0.02 * torch.randn(2, width))
        self.layer = nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout=0.1, batch_first=True, norm_first=True
        )

    def forward(self, pair: Tensor) -> Tensor:
        """[batch, 2, width] -> the same shape."""
        return self.layer(pair + self.position)


class LinearMixer(nn.Module):
    """One linear map of both positions of a pair."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.map = nn.Linear(2 * width, width)

    def forward(self, pair: Tensor) -> Tensor:
        """[batch, 2, width] -> [batch, 1, width]."""
        return self.map(pair.flatten(1)).unsqueeze(1)


def mixer_of(kind: Mixer, width: int, state: int) -> nn.Module:
    """What reads a pair; its output at the last position is used.

    Args:
        kind: which.
        width: of a position.
        state: of a ``MambaMixer``.
    """
    if kind == "mamba":
        return MambaMixer(width, state)
    return TransformerMixer(width) if kind == "transformer" else LinearMixer(width)


class GatedMixing(nn.Module):
    """A layer: each modality's pair is mixed by itself, all modalities' pairs together, and gates put the two together.

    With the pair s_m = [before_m, current_m] over two positions, and M modalities of width d,

        X = Mixer_Md(LN [s_1; ...; s_M]), x'_m = W_m X, T_m = Mixer_d(LN s_m), each at the last position,
        g_m = sigmoid(V_m [x'_m; mean of the other x']), out_m = T_m + g_m x'_m.

    For two modalities this is the release's layer. For one, the mean of the others is x' itself. Without residual
    connections, as released.
    """

    def __init__(self, modalities: int, width: int, mixer: Mixer, state: int, gate: Gate) -> None:
        """Builds the layer; what a kind of gate does not use is not there.

        Args:
            modalities: M.
            width: d.
            mixer: what reads a pair.
            state: of a ``MambaMixer``.
            gate: ``gating`` as above; ``fixed``: g = 1/2; ``cross_only``: out = x'; ``none``: out = T.
        """
        super().__init__()
        self.gate = gate
        if gate != "none":
            self.cross_norm = nn.LayerNorm(modalities * width)
            self.cross = mixer_of(mixer, modalities * width, state)
            self.split = nn.ModuleList(nn.Linear(modalities * width, width) for _ in range(modalities))
        if gate != "cross_only":
            self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(modalities))
            self.mixers = nn.ModuleList(mixer_of(mixer, width, state) for _ in range(modalities))
        if gate == "gating":
            self.gates = Stacked(modalities, lambda: nn.Linear(2 * width, width))

    def forward(self, before: Tensor, current: Tensor) -> tuple[Tensor, Tensor]:
        """Mixes.

        Args:
            before: stacked embeddings of the utterance before.
            current: those of the utterance.

        Returns:
            Stacked outputs, and the mean of each gate over its width, [batch, modality].
        """
        pair = torch.stack([before, current], dim=1)  # [batch, 2, modality, width]
        ones = torch.ones_like(current[..., 0])
        if self.gate == "none":
            return self.alone(pair), 0 * ones
        mixed = self.cross(self.cross_norm(pair.flatten(2)))[:, -1]
        crossed = torch.stack([part(mixed) for part in self.split], dim=1)
        if self.gate == "cross_only":
            return crossed, ones
        if self.gate == "fixed":
            return self.alone(pair) + 0.5 * crossed, 0.5 * ones
        gates = self.gates(torch.cat([crossed, _mean_of_others(crossed)], dim=-1)).sigmoid()
        return self.alone(pair) + gates * crossed, gates.mean(-1)

    def alone(self, pair: Tensor) -> Tensor:
        """T: each modality's own pair mixed, [batch, 2, modality, width] -> stacked."""
        columns = zip(self.norms, self.mixers, pair.unbind(2), strict=True)
        return torch.stack([mixer(norm(column))[:, -1] for norm, mixer, column in columns], dim=1)


def _mean_of_others(stacked: Tensor) -> Tensor:
    """For each modality the mean of the others; of a single one itself."""
    count = stacked.shape[1]
    return stacked if count == 1 else (stacked.sum(1, keepdim=True) - stacked) / (count - 1)
