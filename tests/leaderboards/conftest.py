"""Small results whose figures can be worked out by hand."""

import pandas as pd
import pytest
from mmbench.leaderboards.tables.results import Result


def make_table(conditions, target):
    """A prediction table: condition -> scores on the test split, and nonsense on the validation split."""
    parts = []
    for condition, scores in conditions.items():
        ids = [f"s{i:03d}" for i in range(len(target))]
        part = {"condition": condition, "sample_id": ids, "domain": "d", "target": target}
        parts.append(pd.DataFrame({"split": "test", **part, "score": scores}))
        parts.append(pd.DataFrame({"split": "valid", **part, "score": [99.0] * len(target)}))
    return pd.concat(parts, ignore_index=True)


def make_result(method="erm", seed=0, frame=None, **fields):
    """A result on MOSI; done where it has a frame, failed otherwise."""
    values = {
        "job": f"{method}-{seed}",
        "method": method,
        "task": "mosi",
        "modalities": "text+audio",
        "protocol": "fair",
        "seed": seed,
        "draw": 0,
        "state": "failed" if frame is None else "done",
        "reason": "",
        "family": "regression",
        "synthetic": False,
        "audit": {"selection": "source validation"},
        "predictions": None if frame is None else (lambda: frame),
    }
    return Result(**{**values, **fields})


@pytest.fixture
def table():
    return make_table


@pytest.fixture
def result():
    return make_result


@pytest.fixture
def three():
    """Three seeds of one method; MAE 1, 2, 3 on clean data, plus 1 without text, plus 3 without audio."""
    target = [0.0, 1.0, 2.0, 3.0]
    results = []
    for seed, error in enumerate((1.0, 2.0, 3.0)):
        names = {"clean": 0.0, "missing:text": 1.0, "missing:audio": 3.0}
        conditions = {name: [y + error + more for y in target] for name, more in names.items()}
        results.append(make_result("erm", seed, make_table(conditions, target)))
    return results
