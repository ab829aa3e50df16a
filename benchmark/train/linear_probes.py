"""Linear probes: how much of the target a linear map reads from the embedding of each encoder of a trained network."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import torch
from torch import Tensor

from ...corruptions.condition import Clean
from ...datasets.batch import Batch, Spec
from ...datasets.imputation import impute
from ...methods.losses import plain_errors
from ...methods.method import Method, Output
from ...methods.shared.networks import as_prediction
from ..data.split import Split
from .minibatches import minibatches
from .predict import EVALUATION_BATCH, prediction_table, rows_of, without_targets

#: How the condition of a probe's outputs begins; the modality follows.
PROBE = "probe:"
#: Weights of the squared norm of the map, of which source validation chooses; the strongest first.
PENALTIES = (1.0, 1e-1, 1e-2, 1e-3, 1e-4)
_STEPS = 200


@dataclass(frozen=True)
class LinearProbe:
    """A linear map from an embedding to the target.

    Attributes:
        mean, scale: [width], float64, of the embeddings that it was fitted on.
        weight: [width, outputs], float64.
        bias: [outputs], float64.
    """

    mean: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor

    def __call__(self, embedding: Tensor) -> Tensor:
        """The raw answer, [batch, outputs], float64, of embeddings [batch, width]."""
        return (embedding.double() - self.mean) / self.scale @ self.weight + self.bias


def probe_table(method: Method, train: Split, valid: Split, test: Split) -> pa.Table:
    """The answers of a linear probe of each encoder for the test split (Alain and Bengio 2016, arXiv 1610.01644).

    The network is frozen and in evaluation mode, and reads complete samples. A probe is fitted on the embeddings of the
    sources' training samples that have the modality, and its penalty is chosen on those of their validation split.

    Args:
        method: a trained network; it is put into evaluation mode.
        train: the sources' training split.
        valid: the sources' validation split.
        test: the test split, whose targets are not read.

    Returns:
        A prediction table; the condition is ``probe:MODALITY``. Without a row where the network gives no embeddings.
    """
    learned, chosen, tested = (embeddings_of(method, one.batch) for one in (train, valid, test))
    tables = []
    for name in learned:
        there, known = train.batch.present[name], valid.batch.present[name]
        if not (bool(there.any()) and bool(known.any())):
            continue
        probe = fit_probe(
            (learned[name][there], train.batch.target[there]),
            (chosen[name][known], valid.batch.target[known]),
            method.spec,
        )
        answer = as_prediction(probe(tested[name]), method.spec).float().cpu()
        tables.append(rows_of("test", f"{PROBE}{name}", test, Output(answer)))
    if not tables:
        return prediction_table(method, {"test": test}, [Clean()]).slice(0, 0)
    return pa.concat_tables(tables)


@torch.no_grad()
def embeddings_of(method: Method, batch: Batch) -> dict[str, Tensor]:
    """The embedding of each modality that a network gives, [samples, width], of complete samples.

    Args:
        method: the network; it is put into evaluation mode.
        batch: the samples.
    """
    method.eval()
    parts = [
        method(impute(part, method.spec)).embeddings
        for part in minibatches(without_targets(batch), EVALUATION_BATCH)
    ]
    names = [name for name in batch.modalities if all(name in part for part in parts)]
    return {name: torch.cat([part[name].flatten(1).float() for part in parts]) for name in names}


def fit_probe(train: tuple[Tensor, Tensor], valid: tuple[Tensor, Tensor], spec: Spec) -> LinearProbe:
    """The probe of the penalty with the smallest mean error on validation samples; of equal ones the strongest penalty.

    The error is the squared error of scores, cross-entropy of classes, and binary cross-entropy of labels.

    Args:
        train: embeddings [samples, width] and targets, which the probe is fitted on.
        valid: the same of the samples that the penalty is chosen by.
        spec: says which task it is.
    """
    errors: dict[float, float] = {}
    probes: dict[float, LinearProbe] = {}
    for penalty in PENALTIES:
        probes[penalty] = _fit(*train, spec, penalty)
        errors[penalty] = float(_error(probes[penalty](valid[0]), valid[1], spec))
    return probes[min(PENALTIES, key=lambda penalty: errors[penalty])]


def _fit(embedding: Tensor, target: Tensor, spec: Spec, penalty: float) -> LinearProbe:
    """The probe that minimises the mean error plus a penalty times half the squared norm of its weights: a convex problem,
    from zero weights, so that nothing is drawn.

    Args:
        embedding: [samples, width].
        target: [samples], or [samples, labels].
        spec: says which task it is.
        penalty: above 0.
    """
    values = embedding.double()
    mean, scale = values.mean(dim=0), values.std(dim=0, correction=0)
    scale = torch.where(scale > 1e-9, scale, 1.0)  # of a number that is always the same, nothing is left
    values = (values - mean) / scale
    weight = values.new_zeros(values.shape[1], spec.classes, requires_grad=True)
    bias = values.new_zeros(spec.classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=_STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        total = _error(values @ weight + bias, target, spec) + penalty / 2 * weight.square().sum()
        total.backward()
        return total

    with torch.enable_grad():
        optimizer.step(closure)  # pyright: ignore[reportArgumentType]  # torch says float for what may be a tensor
    return LinearProbe(mean, scale, weight.detach(), bias.detach())


def _error(raw: Tensor, target: Tensor, spec: Spec) -> Tensor:
    """The mean error of raw answers [samples, outputs], a scalar."""
    prediction = as_prediction(raw, spec)
    if spec.kind == "regression":
        return (prediction - target.to(prediction.dtype)).square().mean()
    target = target.to(prediction.dtype) if spec.kind == "multi-label" else target
    return plain_errors(prediction, target, spec).mean()
