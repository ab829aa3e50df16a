"""Results that earlier versions wrote are read for as long as their schema is; see ``stored/make_store.py``."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest
from mmbench.benchmark import leaderboard, missing_modalities, results
from mmbench.benchmark.store.reader import store_at
from mmbench.leaderboards.tables.robustness import robustness
from mmbench.leaderboards.tables.trust import ood

from ..conftest import Call

GOLDEN = Path(__file__).parents[1] / "stored" / "store-schema-1"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN, tmp_path / "runs"))


def test_the_earlier_schema_still_loads(store: Path):
    records = list(store_at(store))
    assert [(record.job.seed, record.state) for record in records] == [(0, "done"), (1, "done")]
    written = [json.loads(file.read_text()) for file in sorted(store.glob("jobs/*/job.json"))]
    assert "train_missing" not in written[0]  # fields that came later
    assert "train_with_missing" not in written[0]["protocol"]
    assert written[1]["protocol"]["train_with_missing"] == "off"
    assert records[0].job.train_missing == "none"


def test_the_figures_of_the_earlier_schema_stay(store: Path):
    """Every score misses its target by 0.5 and 1.5 (clean), one more without text, half more without audio."""
    accuracy = {row["metric"]: row for row in leaderboard(store).to_dict("records")}
    assert len({row["jobs"] for row in accuracy.values()}) == 1  # both seeds are one row
    assert accuracy["mae"]["mean"] == pytest.approx(1.0, rel=1e-6)
    assert accuracy["corr"]["mean"] == pytest.approx(1.0, rel=1e-6)
    assert accuracy["mae"]["n"] == 2
    rows = missing_modalities(store).to_dict("records")
    missing = {row["condition"]: row["mean"] for row in rows if row["metric"] == "mae"}
    assert missing["missing:text"] == pytest.approx(2.0, rel=1e-6)
    assert missing["average_missing"] == pytest.approx(1.75, rel=1e-6)


def test_further_outputs_of_the_earlier_schema_stay(store: Path):
    found = results(store)
    mean = {row["condition"]: row["mean"] for row in robustness(found, draws=10).to_dict("records")}
    assert mean["mean_corruption"] == pytest.approx(3.0, rel=1e-6)  # severities 1 to 5 miss by 1 to 5
    scores = ood(found, draws=10).to_dict("records")
    assert {row["hole"] for row in scores if row["condition"] == "ood-other/knn"} == {""}


def test_jobs_of_another_schema_are_set_aside_by_the_command_that_is_said(
    store: Path, call: Call, tmp_path: Path
) -> None:
    store = store.rename(tmp_path / "of two words")
    file, other = sorted(store.glob("jobs/*/job.json"))[:2]
    values = json.loads(file.read_text())
    file.write_text(json.dumps({**values, "schema": 99, "later": 1}))
    for name in ("status", "leaderboard"):
        code, said = call(name, "--store", store)
        assert code == 1
        assert f"mmbench forget --other-versions --store '{store}'" in " ".join(said.split())
        assert "erm" in said  # the other job is there
    other.write_text(other.read_text().replace('"schema": 1', '"schema": 99'))
    code, said = call("status", "--store", store)
    assert (code, said.count("another version"), "2 jobs were written by" in said) == (1, 1, True)
    command = shlex.split(said.partition("out of the way: ")[2].splitlines()[0])
    assert call(*command[1:]) == (0, f"2 jobs moved to {store / 'set-aside'}\n")
    assert (store / "set-aside" / file.parent.name / "job.json").exists()
    code, said = call("status", "--store", store)
    assert (code, "another version" in said) == (0, False)
    assert "nothing to forget" in call(*command[1:])[1]
