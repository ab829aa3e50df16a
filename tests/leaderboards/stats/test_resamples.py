"""A rank metric on a resample is the metric on the repeated samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbench.leaderboards.metrics import calibration, detection, selective
from mmbench.leaderboards.metrics.base import Metric, UndefinedError


def sample_arrays(family: str, draw: np.random.Generator, size: int) -> tuple[np.ndarray, ...]:
    """Samples with many ties, as each family of rank metrics takes them."""
    coarse = draw.integers(0, 5, size) / 4
    if family == "misclassification":
        return (draw.random(size) < 0.4).astype(float), coarse
    if family == "regression":
        return draw.integers(0, 4, size) / 2, coarse
    if family == "detection":
        return coarse + 0.25, draw.integers(0, 5, max(2, size // 2)) / 4
    if family == "calibration":
        return draw.integers(0, 3, size), draw.integers(-4, 5, (size, 3)) / 2
    return draw.normal(size=size), draw.normal(size=size), draw.uniform(0.2, 2, size)


FAMILIES: dict[str, dict[str, Metric]] = {
    "misclassification": selective.CLASSIFICATION,
    "regression": selective.REGRESSION,
    "detection": detection.OOD,
    "calibration": calibration.CLASSIFICATION,
    "variance": calibration.REGRESSION,
}
ALL = [(family, name) for family, metrics in FAMILIES.items() for name in metrics]


@pytest.mark.parametrize(("family", "name"), ALL)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.integers(3, 40))
def test_a_resample_is_its_repeated_samples(family: str, name: str, seed: int, size: int) -> None:
    draw = np.random.default_rng(seed)
    metric, arrays = FAMILIES[family][name], sample_arrays(family, draw, size)
    groups = [arrays[place] for place in range(metric.rank.groups)]
    counts = tuple(
        np.stack([np.bincount(draw.integers(0, len(a), len(a)), minlength=len(a)) for a in [group] * 6])
        for group in groups
    )
    try:
        found = metric.rank.compute(arrays, counts)
    except UndefinedError:
        with pytest.raises(UndefinedError):
            metric(*arrays)
        return
    for row in range(6):
        if metric.rank.groups == 2:
            repeated = tuple(np.repeat(a, c[row], axis=0) for a, c in zip(arrays, counts, strict=True))
        else:
            repeated = tuple(np.repeat(a, counts[0][row], axis=0) for a in arrays)
        try:
            expected = metric(*repeated)
        except UndefinedError:
            expected = np.nan
        assert found[row] == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True)
