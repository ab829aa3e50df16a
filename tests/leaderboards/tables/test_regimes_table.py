"""The table of segmenters: sums over conversations, intervals, and holes with their reasons."""

from __future__ import annotations

import math

import numpy as np
import pytest
from mmbench.leaderboards.render.regimes import regimes_markdown, regimes_notes, regimes_wide
from mmbench.leaderboards.tables.regimes import COLUMNS, RegimeResult, regimes_table

CONVERSATIONS, STEPS = 12, 10


def result(
    segmenter: str, seed: int = 0, wrong: int = 1, no_held_out: str = "", label: bool = True
) -> RegimeResult:
    """Regimes that follow the label but for some steps of each conversation."""
    rng = np.random.default_rng(seed)
    truth = np.tile(np.repeat([0, 1], STEPS // 2), CONVERSATIONS)
    regime = truth.reshape(CONVERSATIONS, STEPS).copy()
    for row in regime:
        row[rng.choice(STEPS, rng.integers(wrong, wrong + 3), replace=False)] ^= 1
    held_out = np.full(CONVERSATIONS, np.nan) if no_held_out else rng.normal(-STEPS, 1, CONVERSATIONS)
    return RegimeResult(
        "talks", "real", "text=given", segmenter, seed, np.repeat(np.arange(CONVERSATIONS).astype(str), STEPS), regime.ravel(),
        truth.astype(str) if label else None, truth[:, None] + rng.normal(0, 0.3, (len(truth), 1)), held_out,
        np.full(CONVERSATIONS, STEPS), no_held_out, np.full(CONVERSATIONS, 0.8), math.nan, math.nan, 0.5,
    )  # fmt: skip


def cells(frame, segmenter: str) -> dict[str, dict]:
    rows = frame.loc[frame["segmenter"] == segmenter].to_dict("records")
    return {row["metric"]: row for row in rows}


def test_values_are_those_of_the_metrics_on_all_conversations():
    from sklearn.metrics import adjusted_rand_score, v_measure_score

    one = result("one")
    row = cells(regimes_table([one], {}), "one")
    assert row["ari"]["mean"] == pytest.approx(adjusted_rand_score(one.label, one.regime))
    assert row["v_measure"]["mean"] == pytest.approx(v_measure_score(one.label, one.regime))
    assert row["held_out"]["mean"] == pytest.approx(one.held_out.sum() / one.observed_steps.sum())
    assert row["shifted_ari"]["mean"] == pytest.approx(0.8)
    for name in ("ari", "v_measure", "held_out", "boundary_f1", "switches", "mean_dwell"):
        assert row[name]["low"] < row[name]["mean"] < row[name]["high"], name
    assert row["held_out"]["high"] - row["held_out"]["low"] == pytest.approx(
        2 * 1.96 * one.held_out.std() / STEPS / math.sqrt(CONVERSATIONS), rel=0.25
    )


def test_seeds_are_averaged_and_agree_with_each_other():
    from sklearn.metrics import adjusted_rand_score

    seeds = [result("two", seed) for seed in (0, 1, 2)]
    row = cells(regimes_table(seeds, {}), "two")
    pairs = [(0, 1), (0, 2), (1, 2)]
    expected = np.mean([adjusted_rand_score(seeds[a].regime, seeds[b].regime) for a, b in pairs])
    assert row["seed_ari"]["mean"] == pytest.approx(expected)
    assert row["ari"]["sd"] > 0
    assert row["ari"]["seeds"] == 3


def test_holes_have_their_reasons():
    plain = result("plain", no_held_out="has no density", label=False)
    frame = regimes_table([plain], {("talks", "real", "x", "gone"): "seed 1: it broke"})
    row = cells(frame, "plain")
    assert row["held_out"]["hole"] == "has no density"
    assert row["ari"]["hole"] == row["boundary_f1"]["hole"] == "the labels of the dataset are no classes"
    assert row["seed_ari"]["hole"] == "one seed"
    assert row["rhat"]["hole"] == "is no sampler"
    assert {one["hole"] for one in cells(frame, "gone").values()} == {"seed 1: it broke"}
    notes = "\n".join(regimes_notes(frame))
    assert "plain: has no density (held_out)" in notes
    assert "gone: seed 1: it broke" in notes


def test_the_table_is_shown_with_a_dash_for_a_hole():
    frame = regimes_table([result("a"), result("b", no_held_out="has no density")], {})
    wide = regimes_wide(frame, ["held_out", "switches"])
    assert list(wide)[-2:] == ["held_out ↑", "switches"]
    assert wide["held_out ↑"].tolist()[1] == "—"
    assert "[" in wide["held_out ↑"].tolist()[0]
    text = regimes_markdown(frame)
    assert text.startswith("| dataset |")
    assert all(name in text for name in COLUMNS)
