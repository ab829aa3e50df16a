"""How far off is what fills series: its errors on observed entries of the test data that are hidden from it."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import torch
from torch import Tensor
from torch.nn.functional import pad

from ...corruptions.condition import Clean, Condition
from ...corruptions.corruption import apply_all, prepare
from ...corruptions.missing import Missing
from ...corruptions.missing_entries import MissingPoints
from ...datasets.batch import Batch
from ...datasets.imputation import estimate
from ...methods.method import Method
from ...methods.shared.placed import completable
from ..data.split import Split
from .minibatches import minibatches
from .predict import EVALUATION_BATCH, outputs_under, prediction_table, rows_of, without_targets


def imputation_table(method: Method, split: Split) -> pa.Table:
    """The outputs of a network where entries of one modality are hidden, and the errors of what fills them.

    Of each modality whose steps are features, entries are hidden at the rates of ``missing-points``, with its draws, and all of
    them at once. What fills is the imputation of the protocol, or else the method's own.

    Args:
        method: a trained network; it is put into evaluation mode.
        split: the test split.

    Returns:
        A prediction table with the columns ``diagnostic_rate``, and sums over the hidden entries of each sample, in the units
        that the network is given (deviations of the source training data where features are standardised):
        ``diagnostic_hidden``, their number, ``diagnostic_squared_error`` and ``diagnostic_absolute_error``, of the median where
        there are several draws, and then ``diagnostic_crps``. Without a row where nothing fills.
    """
    method.eval()
    names = completable(method.spec)
    conditions: list[tuple[str, float, Condition]] = []
    for name in names:
        levels = range(1, len(MissingPoints.levels) + 1)
        conditions += [(name, one.level, one) for one in (MissingPoints(name, level) for level in levels)]
        conditions.append((name, 1.0, Missing((name,))))
    found: list[pa.Table] = []
    for name, rate, condition in conditions:
        errors = hidden_errors(method, split.batch, name, condition)
        if errors is not None:
            output = outputs_under(method, split.batch, [condition])[condition.name]
            rates = torch.full_like(errors["hidden"], rate)
            told = replace(output, diagnostics={"rate": rates, **errors})
            found.append(rows_of("test", condition.name, split, told))
    if not found:
        return prediction_table(method, {"test": split}, [Clean()]).slice(0, 0)
    return pa.concat_tables(found)


@torch.inference_mode()
def hidden_errors(
    method: Method, batch: Batch, modality: str, condition: Condition
) -> dict[str, Tensor] | None:
    """The errors of what fills the entries of a modality that a condition hides.

    Args:
        method: the network.
        batch: the samples.
        modality: the one whose entries are hidden.
        condition: what hides them.

    Returns:
        Name -> [batch], float32, on the CPU, as in ``imputation_table``; None where nothing fills the modality.
    """
    (prepared,) = [prepare(condition, batch)]
    parts: list[dict[str, Tensor]] = []
    for part in minibatches(without_targets(batch), EVALUATION_BATCH):
        ((_, damaged),) = apply_all([prepared], part)
        draws = fills(method, damaged, modality)
        if draws is None:
            return None
        hidden = part.observed_entries(modality) & ~damaged.observed_entries(modality)
        parts.append(errors_of(draws, part.features[modality], hidden))
    return {name: torch.cat([one[name] for one in parts]).float().cpu() for name in parts[0]}


def fills(method: Method, batch: Batch, modality: str) -> Tensor | None:
    """What is put where a modality was not observed, [draw, batch, time, feature]; None where nothing is.

    Args:
        method: the network; its own imputation counts where the protocol has none.
        batch: the samples.
        modality: its name.
    """
    spec = method.spec
    rule = spec.imputation
    if rule == "off":
        return method.imputations(batch, modality)
    if rule == "knn" or rule == "csdi" or rule == "trace":
        return None if spec.imputer is None else spec.imputer.draws(batch, modality)
    return estimate(batch, spec, modality, rule).unsqueeze(0)


def errors_of(draws: Tensor, values: Tensor, hidden: Tensor) -> dict[str, Tensor]:
    """Sums of errors over hidden entries.

    Args:
        draws: [draw, batch, time, feature]; steps that are lacking count as 0, further ones are not read.
        values: [batch, time, feature], the truth.
        hidden: the same shape, bool.

    Returns:
        ``hidden``, ``squared_error``, ``absolute_error`` and, of several draws, ``crps``, [batch] each: for each entry the
        fair score of an ensemble (Ferro 2014), mean |x_i - y| - sum_ij |x_i - x_j| / (2 S (S - 1)).
    """
    steps, count = values.shape[1], len(draws)
    draws = pad(draws[:, :, :steps], (0, 0, 0, max(steps - draws.shape[2], 0))).double()
    ordered, truth = draws.sort(dim=0).values, values.double()
    middle = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2

    def total(errors: Tensor) -> Tensor:
        return errors.where(hidden, 0).flatten(1).sum(dim=1)

    found = {
        "hidden": hidden.flatten(1).sum(dim=1).double(),
        "squared_error": total((middle - truth).square()),
        "absolute_error": total((middle - truth).abs()),
    }
    if count > 1:
        # sum over pairs of |x_i - x_j| from the ordered draws: the i-th (from 0) counts 2 i - S + 1 times
        places = torch.arange(count, dtype=torch.float64, device=draws.device).view(-1, 1, 1, 1)
        apart = (ordered * (2 * places - count + 1)).sum(dim=0) / (count * (count - 1))
        found["crps"] = total((draws - truth).abs().mean(dim=0) - apart)
    return found
