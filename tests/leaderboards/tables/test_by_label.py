"""The scores of each label, against scikit-learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from mmbench.leaderboards.tables.by_label import by_label, notes_of_by_label
from mmbench.leaderboards.tables.results import Result
from sklearn.metrics import average_precision_score, precision_recall_fscore_support, roc_auc_score

from ..conftest import make_result

NAMES = ("drama", "comedy", "never")


def outputs(target: np.ndarray, logits: np.ndarray) -> pd.DataFrame:
    """A prediction table of classes [N] or of several labels [N, C]."""
    ids = [f"s{row:03d}" for row in range(len(target))]
    targets = {f"target_{place}": column for place, column in enumerate(target.T)} if target.ndim == 2 else {}
    return pd.DataFrame(
        {"split": "test", "condition": "clean", "sample_id": ids, "domain": "d", "target": 0}
        | ({} if targets else {"target": target})
        | targets
        | {f"logit_{place}": column for place, column in enumerate(logits.T)}
    )


def row(target: np.ndarray, seeds: list[np.ndarray], family: str) -> list[Result]:
    tables = [outputs(target, logits) for logits in seeds]
    made = [make_result(seed=seed, frame=table, family=family) for seed, table in enumerate(tables)]
    return [replace(one, classes=lambda: NAMES) for one in made]


@pytest.mark.parametrize("family", ["multi-label", "classification"])
def test_every_measure_is_that_of_scikit_learn(family: str) -> None:
    draw = np.random.default_rng(0)
    several = family == "multi-label"
    shape = (80, 3)
    truth = (draw.random(shape) < [0.5, 0.2, 0.3]).astype(np.int64) if several else draw.integers(0, 3, 80)
    seeds = [draw.normal(size=shape) - [0, 0.5, 50] for _ in range(2)]  # the last label is never said
    frame = by_label(row(truth, seeds, family), draws=20)
    assert frame["label"].tolist() == list(NAMES)
    for place, found in enumerate(frame.to_dict("records")):
        has = truth[:, place] if several else (truth == place).astype(np.int64)
        expected = []
        for logits in seeds:
            said = logits[:, place] > 0 if several else logits.argmax(axis=1) == place
            score = logits[:, place]
            if not several:
                score = score - np.log(np.exp(np.delete(logits, place, axis=1)).sum(axis=1))
            own = precision_recall_fscore_support(has, said, average="binary", zero_division=np.nan)[:3]  # pyright: ignore[reportArgumentType]
            expected.append([*own, average_precision_score(has, score), roc_auc_score(has, score)])
        columns = ["precision", "recall", "f1", "average_precision", "auroc"]
        wanted = dict(zip(columns, np.mean(expected, axis=0), strict=True))
        if place == 2:
            wanted["f1"] = 0.0
        assert {name: found[name] for name in columns} == pytest.approx(wanted, nan_ok=True)
        assert found["share"] == pytest.approx(has.mean())
        assert found["f1_low"] <= found["f1"] <= found["f1_high"]
        assert found["n"] == 2
    assert np.isnan(frame["precision"].iloc[2])


def test_a_failed_seed_is_a_note_and_scores_have_no_labels() -> None:
    truth = np.array([[0, 1, 0], [1, 0, 1]] * 4)
    good = row(truth, [truth * 4.0 - 2], "multi-label")
    failed = make_result(seed=1, family="multi-label", reason="out of memory")
    frame = by_label([*good, failed], draws=5)
    assert np.isnan(frame["f1"].to_numpy()).all()
    assert "out of memory" in frame["note"].iloc[0]
    assert any("erm: 1 of 2 seeds failed" in note for note in notes_of_by_label(frame))
    with pytest.raises(ValueError, match="nothing label by label"):
        by_label([make_result(family="regression")])
