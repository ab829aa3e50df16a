"""Self-MM's memory: a label and a feature of every training sample, for the fusion and for each modality (Yu et al. 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: Added to what is divided by, as released.
TINY = 1e-8


def new_labels(
    feature: Tensor, fused: Tensor, centres: Tensor, fused_centres: Tensor, label: Tensor, most: float
) -> Tensor:
    """What a sample's label would be by one modality alone, from where it lies between negative and positive samples.

    delta = (|f - mu-| - |f - mu+|) / (|f - mu+| + 1e-8) of the modality (delta_s) and of the fusion (delta_f);
    alpha = delta_s / (delta_f + 1e-8); y' = (alpha y + y + delta_s - delta_f) / 2, within [-most, most].

    Args:
        feature: f_s, [batch, width].
        fused: f_f, [batch, width of the fusion].
        centres: mu- and mu+ of the modality, [2, width].
        fused_centres: of the fusion, [2, width of the fusion].
        label: y, [batch], 0 between negative and positive.
        most: the largest label.

    Returns:
        y', [batch].
    """
    own, whole = _lean(feature, centres), _lean(fused, fused_centres)
    share = own / (whole + TINY)
    return (0.5 * share * label + 0.5 * (label + own - whole)).clamp(-most, most)


def _lean(feature: Tensor, centres: Tensor) -> Tensor:
    below, above = ((feature - centre).norm(dim=-1) for centre in centres)
    return (below - above) / (above + TINY)


class LabelMemory(nn.Module):
    """Labels and features of the training samples, by their row in the training split.

    Stream 0 is the fusion, whose label never changes; the others are the modalities. A label is y until the sample is first
    met.
    """

    labels: Tensor  # [stream, sample]
    met: Tensor  # [stream, sample], bool: the memory has a feature of it

    def __init__(self, samples: int, widths: list[int], most: float) -> None:
        """Builds an empty memory.

        Args:
            samples: of the training split.
            widths: of the features of each stream, the fusion's first.
            most: the largest label.
        """
        super().__init__()
        self.most, self.streams = most, len(widths)
        self.register_buffer("labels", torch.zeros(len(widths), samples))
        self.register_buffer("met", torch.zeros(len(widths), samples, dtype=torch.bool))
        for i, width in enumerate(widths):
            self.register_buffer(f"features_{i}", torch.zeros(samples, width))

    def features(self, stream: int) -> Tensor:
        """The stored features of a stream, [sample, width]."""
        return self.get_buffer(f"features_{stream}")

    def read(self, stream: int, rows: Tensor, label: Tensor) -> Tensor:
        """The present labels of samples, [batch].

        Args:
            stream: 0 for the fusion, or a modality, counted from 1.
            rows: [batch], int64.
            label: y, [batch]: of those that have not been met.
        """
        return self.labels[stream, rows].to(label.dtype).where(self.met[stream, rows], label)

    def centres(self, stream: int) -> Tensor | None:
        """Mean stored features of samples whose present label is below 0 and above it, [2, width]; None where one has none."""
        found = []
        for side in (self.labels[stream] < 0, self.labels[stream] > 0):
            rows = side & self.met[stream]
            if not bool(rows.any()):
                return None
            found.append(self.features(stream)[rows].mean(dim=0))
        return torch.stack(found)

    @torch.no_grad()
    def update(self, rows: Tensor, features: list[Tensor], label: Tensor, known: Tensor, epoch: int) -> None:
        """Moves the labels of a batch, by centres of what was stored before it, and then stores its features.

        From the second epoch on: y_s <- (n - 1) / (n + 1) y_s + 2 / (n + 1) y', n the epoch, counted from 1.

        Args:
            rows: of the batch's samples, [batch], int64.
            features: of each stream, [batch, width].
            label: y, [batch].
            known: [batch, stream], bool: what each sample has; the rest of it stays as it was.
            epoch: n.
        """
        fused_centres = self.centres(0) if epoch >= 2 else None
        for i in range(self.streams):
            there = known[:, i]
            kept = self.read(i, rows, label)
            centres = self.centres(i) if i and fused_centres is not None else None
            if centres is not None and fused_centres is not None:
                made = new_labels(features[i], features[0], centres, fused_centres, label, self.most)
                kept = (epoch - 1) / (epoch + 1) * kept + 2 / (epoch + 1) * made
            self.labels[i, rows[there]] = kept[there].to(self.labels.dtype)
        for i in range(self.streams):  # what is stored now is for the next batch
            there = known[:, i]
            self.features(i)[rows[there]] = features[i][there].to(self.labels.dtype)
            self.met[i, rows[there]] = True
