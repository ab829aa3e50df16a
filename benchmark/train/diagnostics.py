"""The diagnostics of a network, kept beside its predictions where they were asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa

from ...corruptions.condition import Clean, Condition
from ...methods.method import Method
from ..data.split import Split
from .predict import DIAGNOSTIC, outputs_under, prediction_table


def diagnostics_table(
    method: Method, split: Split, conditions: Callable[[], Sequence[Condition]] | None = None
) -> pa.Table:
    """The outputs of a network for the test split, with its diagnostics.

    Args:
        method: a trained method.
        split: the test split.
        conditions: makes what is done to the samples, which a method without diagnostics is spared; by default clean and
            every pattern of missing modalities.

    Returns:
        A prediction table; without a row where the method gives no diagnostics.
    """
    sample = split.batch.take(slice(0, 1))
    given = outputs_under(method, sample, [Clean()], diagnostics=True)[Clean().name].diagnostics
    under = [Clean()] if not given else None if conditions is None else conditions()
    return kept(prediction_table(method, {"test": split}, under, diagnostics=True))


def kept(table: pa.Table) -> pa.Table:
    """A prediction table as it is kept for its diagnostics: without a row where it has none."""
    return table if _columns(table) else table.slice(0, 0)


def without_diagnostics(table: pa.Table) -> pa.Table:
    """A prediction table without the columns of diagnostics."""
    return table.drop_columns(_columns(table))


def _columns(table: pa.Table) -> list[str]:
    return [name for name in table.column_names if name.startswith(DIAGNOSTIC)]
