"""A table that has nothing to say of a store does not end the others."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmbench.benchmark import Experiment, run
from mmbench.benchmark.report import tables

from ..conftest import Call

WORDS = "no table relative: no corruption was tested: run with --corruptions features"


@pytest.fixture
def store(tmp_path: Path, data_root: Path) -> Path:
    """Two blocks that were tested under rates: that is damage, but ``relative`` is of kinds with severities alone."""
    asked = {"methods": "erm(layers=1)", "datasets": "toy", "modalities": ["T+A", "T"], "seeds": [0]}
    rules = {"launcher": "debug", "device": "cpu", "protocol": {"epochs": 1}, "corruptions": "missing-rates"}
    store = tmp_path / "runs"
    assert run(Experiment.read({**asked, **rules, "data_root": data_root, "store": store})).ok
    return store


def test_after_rates_alone_the_other_tables_are_printed(store: Path, call: Call) -> None:
    status, printed = call("leaderboard", "--store", store)
    assert status == 0
    assert WORDS in printed
    assert (store / "leaderboards" / "accuracy.csv").is_file()
    assert (store / "leaderboards" / "robustness.csv").is_file()
    status, printed = call("leaderboard", "--store", store, "--what", "relative")
    assert status == 2
    assert "leaderboard relative: no corruption was tested" in printed


@pytest.mark.slow
def test_a_page_and_large_stores_do_without_it_too(
    store: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, printed = call("export", "--store", store)
    assert status == 0, printed
    monkeypatch.setattr(
        tables, "MANY", 1
    )  # as of a store with many jobs: by blocks, then from what was stored
    for _ in range(2):
        status, printed = call("leaderboard", "--store", store)
        assert status == 0
        assert WORDS in printed
