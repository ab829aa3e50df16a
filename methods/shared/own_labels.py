"""Self-MM's tasks: the fusion learns the label, and each modality one of its own that its features move (Yu et al. 2021)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from ...datasets.batch import Batch
from ..losses import masked_mean, task_loss
from ..method import Method, Output
from .label_memory import LabelMemory
from .networks import as_prediction, known_modalities, outputs

#: What the modalities learn: labels that move, the task's own, or nothing.
Labels = Literal["generated", "true", "none"]


class Head(nn.Module):
    """f = ReLU(W_1 drop(x)); W_3 ReLU(W_2 f)."""

    def __init__(self, features: int, width: int, outputs: int, rate: float = 0.0) -> None:
        """Builds the layers.

        Args:
            features: of x.
            width: of f.
            outputs: how many.
            rate: of dropout.
        """
        super().__init__()
        self.dropout = nn.Dropout(rate)
        self.first = nn.Linear(features, width)
        self.last = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, outputs))

    def forward(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """[batch, features] -> f [batch, width], and the outputs [batch, outputs]."""
        feature = self.first(self.dropout(vector)).relu()
        return feature, self.last(feature)


class OwnLabels(Method):
    """A method that is trained by these tasks; a subclass calls ``add_tasks`` when it is built, and says what heads read.

    Loss: |y_f - y| + sum_m tanh|y_m - y| |yhat_m - y_m|. Of two classes the labels are -1 and 1; of more, no modality has a
    task, as there is nothing that could be moved.

    Attributes:
        names: of the modalities, in order; a subclass sets them.
        has_tasks: whether the modalities have tasks.
        middle: of the scores, from which labels count.
    """

    names: tuple[str, ...]
    epoch: Tensor  # int64, counted from 1

    def add_tasks(
        self,
        fused: int,
        own: Sequence[int],
        hidden: Sequence[int],
        labels: Labels,
        rates: Sequence[float] = (),
    ) -> None:
        """Builds the heads and the memory.

        Args:
            fused: width of what the fusion's head reads.
            own: of what the head of each modality reads.
            hidden: widths of the heads, the fusion's first.
            labels: what the modalities learn.
            rates: of dropout before the heads, the fusion's first; by default none.
        """
        spec, rates = self.spec, rates or [0.0] * len(hidden)
        low, high = spec.label_range or (-3.0, 3.0)
        scores = spec.kind == "regression"
        self.middle, most = ((low + high) / 2, (high - low) / 2) if scores else (0.0, 1.0)
        self.labels: Labels = labels
        self.has_tasks = labels != "none" and (scores or spec.classes == 2)
        self.fusion = Head(fused, hidden[0], outputs(spec), rates[0])
        self.heads = nn.ModuleList(
            Head(w, h, 1, rate) for w, h, rate in zip(own, hidden[1:], rates[1:], strict=True)
        )
        self.memory = LabelMemory(max(spec.train_size, 1), list(hidden), most)
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))

    def inputs(self, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        """What the fusion's head reads, [batch, width], and what the head of each modality does.

        Args:
            batch: the samples.
        """
        raise NotImplementedError

    def before_epoch(self, batches: Callable[[], Iterator[Batch]], done: float) -> None:
        """Counts the epochs."""
        self.epoch += 1

    def said(self, fused: Tensor, own: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Features f_s and raw outputs of the fusion and of each modality, in this order.

        Args:
            fused: as of ``inputs``.
            own: as of ``inputs``.
        """
        found = [self.fusion(fused)]
        found += [head(vector) for head, vector in zip(self.heads, own, strict=True)]
        return [feature for feature, _ in found], [raw for _, raw in found]

    def output(self, fused: Tensor, own: Sequence[Tensor]) -> Output:
        """Predicts by the fusion.

        Args:
            fused: as of ``inputs``.
            own: as of ``inputs``.
        """
        features, raw = self.said(fused, own)
        alone = {}
        if self.spec.kind == "regression" and self.has_tasks:
            alone = {name: x[:, 0] + self.middle for name, x in zip(self.names, raw[1:], strict=True)}
        return Output(self.prediction(raw[0]), fused=features[0], unimodal=alone)

    def prediction(self, raw: Tensor) -> Tensor:
        """Of the fusion's raw output: scores count from the middle of their range."""
        said = as_prediction(raw, self.spec)
        return said + self.middle if self.spec.kind == "regression" else said

    def signed(self, batch: Batch) -> Tensor:
        """y [batch] from the middle of the range; -1 and 1 of two classes."""
        if self.spec.kind == "regression":
            return batch.target - self.middle
        return 2.0 * batch.target - 1

    def rows(self, batch: Batch) -> Tensor | None:
        """The rows of the batch in the memory; None where there is none, as the size of the training split is not known."""
        return batch.index if self.spec.train_size else None

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """The fusion's, and that of each modality over the samples that have it, by the labels as they are now."""
        return self._terms(batch)[0]

    def _terms(self, batch: Batch) -> tuple[dict[str, Tensor], list[Tensor]]:
        features, raw = self.said(*self.inputs(batch))
        terms = {"task": task_loss(self.prediction(raw[0]), batch.target, self.spec)}
        if not self.has_tasks:
            return terms, features
        label, known = self.signed(batch), known_modalities(batch, self.names)
        rows = self.rows(batch)
        for i, name in enumerate(self.names):
            own, weight = label, torch.ones_like(label)
            if self.labels == "generated":
                own = label if rows is None else self.memory.read(i + 1, rows, label)
                weight = (own - label).abs().tanh()
            errors = weight * (raw[i + 1][:, 0] - own).abs()
            terms[f"unimodal/{name}"] = masked_mean(errors, known[:, i]) * known[:, i].float().mean()
        return terms, features

    def backward(self, batch: Batch) -> dict[str, Tensor]:
        """The gradients of the loss; then the labels of the batch move, and its features are kept."""
        terms, features = self._terms(batch)
        torch.stack(list(terms.values())).sum().backward()
        rows = self.rows(batch)
        if self.has_tasks and self.labels == "generated" and rows is not None:
            known = known_modalities(batch, self.names)
            known = torch.cat([torch.ones_like(known[:, :1]), known], dim=1)
            label, epoch = self.signed(batch), int(self.epoch)
            self.memory.update(rows, [f.detach() for f in features], label, known, epoch)
        return terms
