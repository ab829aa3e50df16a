"""Networks under ``as-published`` for MOSEI, SIMS and SIMSv2 have the sizes that were counted in MMSA's."""

from __future__ import annotations

import pytest
from mmbench.benchmark.core.registry import find

from . import rows

DATASETS = ("mosei", "sims", "simsv2")
#: Method -> parameters of MMSA's network for each of them, and how many of these ours leaves out.
COUNTS = {
    "tfn": ((5_042_541, 35_632_079, 18_178_895), (2, 2, 2)),  # the constants that bound its output
    "lmf": ((508_475, 272_381, 274_557), (0, 0, 0)),
    "lf_dnn": ((572_283, 635_821, 300_973), (0, 0, 0)),
    "ef_lstm": ((1_754_725, 215_695, 1_120_591), (0, 0, 0)),
    "mult": ((982_951, 1_870_701, 1_001_821), (0, 0, 0)),
    "self_mm": ((165_668, 381_380, 382_452), (0, 0, 0)),  # without BERT
    # a discriminator that has no loss, and a layer norm of text that BERT's network does not use
    "misa": ((1_435_105, 21_664_749, 20_804_909), (516 + 3_072, 516 + 3_072, 260 + 3_072)),
}


@pytest.mark.parametrize("method", COUNTS)
@pytest.mark.parametrize("dataset", DATASETS)
def test_a_network_has_the_released_size_for_each_data_set(method: str, dataset: str):
    place = DATASETS.index(dataset)
    released, without = (numbers[place] for numbers in COUNTS[method])
    kind = find("method", method).load()
    assert rows.size(rows.published(kind, dataset, aligned=method == "ef_lstm")) == released - without
