"""The worst domain, against the metric of each domain alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from mmbench.leaderboards.tables.robustness import is_summary, robustness

from ..conftest import make_result

DOMAINS = {"east": 20, "north": 30, "west": 10}
CONDITIONS = ["clean", *(f"drift:text@{s}" for s in range(1, 6))]


def table(seed: int) -> pd.DataFrame:
    draw = np.random.default_rng([seed, 3])
    domain = np.repeat(list(DOMAINS), list(DOMAINS.values()))
    hard = np.repeat([0.1, 1.5, 0.4], list(DOMAINS.values()))
    target = np.random.default_rng(8).normal(size=len(domain))
    parts = []
    for place, condition in enumerate(CONDITIONS):
        # west is easy on clean data and suffers most
        spread = hard + place * (domain == "west")
        score = target + spread * draw.normal(size=len(domain))
        ids = [f"s{row:02d}" for row in range(len(domain))]
        columns = {"sample_id": ids, "domain": domain, "target": target, "score": score}
        parts.append(pd.DataFrame({"split": "test", "condition": condition, **columns}))
    return pd.concat(parts, ignore_index=True)


def row_of(frame: pd.DataFrame, condition: str) -> dict[str, Any]:
    rows = [row for row in frame.to_dict("records") if row["condition"] == condition]
    assert len(rows) == 1, condition
    return {str(name): value for name, value in rows[0].items()}


def values(frame: pd.DataFrame, condition: str) -> list[float]:
    return [float(value) for value in row_of(frame, condition)["values"].split()]


def test_the_worst_domain_is_found_for_every_seed() -> None:
    found = [make_result("erm", s, table(s), domains=tuple(DOMAINS)) for s in range(3)]
    frame = robustness(found, draws=40)
    clean, damaged, one = [], [], {name: [] for name in DOMAINS}
    for s in range(3):
        rows = table(s)
        rows = rows.assign(error=(rows["score"] - rows["target"]).abs())
        mae = {
            (name, c): float(
                np.mean(
                    rows["error"].to_numpy()[((rows["domain"] == name) & (rows["condition"] == c)).to_numpy()]
                )
            )
            for name in DOMAINS
            for c in CONDITIONS
        }
        clean.append(max(mae[name, "clean"] for name in DOMAINS))
        means = {name: np.mean([mae[name, c] for c in CONDITIONS[1:]]) for name in DOMAINS}
        damaged.append(max(means.values()))
        assert max(means, key=lambda name: means[name]) == "west"
        assert clean[-1] == mae["north", "clean"]
        for name in DOMAINS:
            one[name].append(means[name])
    assert values(frame, "worst_domain") == pytest.approx(clean, abs=1e-9)
    assert values(frame, "worst_domain:mean_corruption") == pytest.approx(damaged, abs=1e-9)
    for name in DOMAINS:
        assert values(frame, f"domain:{name}:mean_corruption") == pytest.approx(one[name], abs=1e-9)
    assert is_summary("worst_domain")
    assert is_summary("worst_domain:mean_corruption")
    assert not is_summary("domain:west")
    row = row_of(frame, "worst_domain")
    assert row["low"] < row["mean"] < row["high"]
    assert row["samples"] == sum(DOMAINS.values())


def test_one_domain_has_no_worst() -> None:
    frame = robustness([make_result("erm", 0, table(0), domains=("east",))], draws=20)
    assert not any("domain" in name for name in frame["condition"])


def test_a_failed_seed_is_a_hole_here_too() -> None:
    made = make_result("erm", 0, table(0), domains=tuple(DOMAINS))
    frame = robustness([made, make_result("erm", 1, reason="out of memory")], draws=20)
    row = row_of(frame, "worst_domain")
    assert np.isnan(row["mean"])
    assert "out of memory" in row["hole"]
