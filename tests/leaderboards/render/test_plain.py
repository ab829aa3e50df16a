"""Plain tables as text."""

from __future__ import annotations

import pandas as pd
import pytest
from mmbench.leaderboards.render.plain import texts


@pytest.mark.parametrize(
    ("value", "text"), [(-1.1e-16, "0"), (0.0, "0"), (2e-9, "2e-09"), (-0.0283, "-0.0283"), (0.75, "0.75")]
)
def test_a_difference_that_is_only_rounding_is_none(value: float, text: str):
    shown = texts(pd.DataFrame({"data": ["real"], "gain": [value]}))
    assert shown["gain"].tolist() == [text]


def test_a_small_p_value_is_no_rounding():
    shown = texts(pd.DataFrame({"data": ["real"], "p_holm": [1e-14]}))
    assert shown["p_holm"].tolist() == ["< 0.001"]
