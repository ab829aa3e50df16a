"""Conditions beyond clean and missing modalities: added to finished jobs without training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mmbench.benchmark import Experiment, leaderboard, run
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.launch.run import plan
from mmbench.benchmark.planning.corruption_groups import corruption_entries
from mmbench.benchmark.planning.evaluations import evaluations_of
from mmbench.benchmark.report.results import results
from mmbench.benchmark.store.names import StoreError
from mmbench.benchmark.store.store import Store
from mmbench.benchmark.train import job_runner
from mmbench.leaderboards.tables.robustness import robustness

PLUGIN = '''
from dataclasses import dataclass
from mmbench.corruptions.corruption import Corruption

CORRUPTIONS = {"loud": "Loud", "upside-down": "Frames"}


@dataclass(frozen=True)
class Loud(Corruption):
    """Adds noise."""

    kind = "loud"
    family = "noise"
    levels = (0.1, 0.5, 1.0, 2.0, 9.0)

    def draw(self, stream, features, valid):
        return {"noise": stream.normal("noise", *features.shape[1:])}

    def corrupt(self, features, valid, draws):
        return features + self.level * draws["noise"]


class Frames(Loud):
    """Breaks pictures."""

    kind = "upside-down"
    medium = "frames"
'''


@pytest.fixture
def asked(tmp_path: Path, data_root: Path) -> dict[str, Any]:
    plugin = tmp_path / "my_own.py"
    plugin.write_text(PLUGIN)
    return {
        "methods": ["erm(layers=1)"],
        "datasets": ["toy"],
        "seeds": [0],
        "launcher": "debug",
        "device": "cpu",
        "plugins": [plugin],
        "data_root": data_root,
        "protocol": {"epochs": 2},
    }


def tables(store: Path) -> dict[str, bytes]:
    return {str(file.relative_to(store)): file.read_bytes() for file in store.rglob("*.parquet")}


def test_conditions_added_later_are_those_of_a_run_that_had_them_at_once(
    tmp_path: Path, asked: dict[str, Any]
) -> None:
    more: dict[str, Any] = {"corruptions": ["loud"], "ood": ["toyw"]}
    assert run(Experiment(**asked, **more, store=tmp_path / "once")).ok
    assert run(Experiment(**asked, store=tmp_path / "later")).ok
    before = {file: file.stat().st_mtime_ns for file in tmp_path.glob("later/jobs/*/weights.safetensors")}
    assert len(before) == 1
    assert run(Experiment(**asked, **more, store=tmp_path / "later")).ok
    assert {file: file.stat().st_mtime_ns for file in before} == before  # nothing was trained
    assert tables(tmp_path / "once") == tables(tmp_path / "later")
    assert len(tables(tmp_path / "once")) == 4


def test_diagnostics_lie_beside_predictions_that_they_leave_as_they_are(
    tmp_path: Path, asked: dict[str, Any]
) -> None:
    """Whether they are asked for with the job, with its corruption or after both, and whoever gives none."""
    asked |= {"methods": ["ebmc(layers=1,width=8)", "erm(layers=1)"], "protocol": {"epochs": 1}}
    loud: dict[str, Any] = {"corruptions": ["loud"]}
    once, later = tmp_path / "once", tmp_path / "later"
    with (
        pytest.MonkeyPatch.context() as patch
    ):  # the passes that are made anyway give them, and no other is made
        patch.delattr(job_runner, "diagnostics_table")
        assert run(Experiment(**asked, **loud, diagnostics=True, store=once)).ok
    assert run(Experiment(**asked, **loud, store=later)).ok
    without = tables(later)
    assert run(Experiment(**asked, **loud, diagnostics=True, store=later)).ok
    assert tables(once) == tables(later)
    assert {name: tables(later)[name] for name in without} == without
    assert not plan(Experiment(**asked, **loud, diagnostics=True, store=later)).todo

    for file in later.glob("jobs/*ebmc*/evaluations/diagnostics*.parquet"):
        whole, own = pd.read_parquet(file), file.stem.removeprefix("diagnostics-")
        plain = file.parents[1] / "predictions.parquet" if own == "diagnostics" else file.with_stem(own)
        same = pd.read_parquet(plain).query("split == 'test'").reset_index(drop=True)
        pd.testing.assert_frame_equal(whole.filter(list(same)), same, check_categorical=False)
        trust = whole[["diagnostic_trust/text", "diagnostic_trust/audio"]]
        assert trust.to_numpy().dtype == np.float32
        assert trust.sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-5)
    assert all(
        pd.read_parquet(file).empty for file in later.glob("jobs/*erm*/evaluations/diagnostics*.parquet")
    )
    assert len(list(later.glob("jobs/*/evaluations/diagnostics*.parquet"))) == 4
    assert not any(
        column.startswith("diagnostic_") for column in pd.read_parquet(next(later.glob("jobs/*ebmc*/pred*")))
    )


def test_damage_shows_in_the_predictions(tmp_path: Path, asked: dict[str, Any]) -> None:
    assert run(Experiment(**asked, corruptions=["loud"], store=tmp_path / "runs")).ok
    file = next(tmp_path.glob("runs/jobs/*/evaluations/loud~*.parquet"))
    clean = pd.read_parquet(next(tmp_path.glob("runs/jobs/*/predictions.parquet")))
    clean = clean[(clean.split == "test") & (clean.condition == "clean")].set_index("sample_id")["score"]
    broken = pd.read_parquet(file)
    assert set(broken.condition) == {f"loud:{m}@{s}" for m in ("text", "audio") for s in range(1, 6)}
    moved = [
        float(np.abs(rows.set_index("sample_id")["score"].sub(clean).to_numpy()).mean())
        for _, rows in broken[broken.condition.str.startswith("loud:text")].groupby(
            "condition", observed=True
        )
    ]
    assert moved == sorted(moved)
    assert moved[0] > 0


def test_a_finished_job_without_asked_conditions_is_to_do(tmp_path: Path, asked: dict[str, Any]) -> None:
    store = tmp_path / "runs"
    assert run(Experiment(**asked, store=store)).ok
    assert not plan(Experiment(**asked, store=store)).todo
    assert len(plan(Experiment(**asked, corruptions=["loud"], store=store)).todo) == 1


def test_a_corruption_of_another_medium_ends_a_run_before_it_begins(
    tmp_path: Path, asked: dict[str, Any]
) -> None:
    with pytest.raises(
        UsageError, match="upside-down breaks frames; the modalities here hold features: text"
    ):
        run(Experiment(**asked, corruptions=["upside-down"], store=tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


def test_a_job_without_weights_says_what_to_do(tmp_path: Path, asked: dict[str, Any]) -> None:
    store = tmp_path / "runs"
    assert run(Experiment(**asked, store=store)).ok
    next(store.glob("jobs/*/weights.safetensors")).unlink()
    summary = run(Experiment(**asked, corruptions=["loud"], store=store))
    assert "before weights were kept" in summary.failed[0].reason
    assert str(store) in summary.failed[0].reason


def test_a_changed_evaluation_is_refused(tmp_path: Path, asked: dict[str, Any]) -> None:
    assert run(Experiment(**asked, corruptions=["loud"], store=tmp_path / "runs")).ok
    file = next(tmp_path.glob("runs/jobs/*/evaluations/*.parquet"))
    store = Store(tmp_path / "runs")
    job_id = file.parent.parent.name
    assert store.job(job_id).read_evaluation(file.stem)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(StoreError, match="has changed"):
        store.job(job_id).read_evaluation(file.stem)
    file.write_bytes(content[:-1])
    assert store.job(job_id).evaluations() == []
    assert set(leaderboard(tmp_path / "runs")["hole"]) == {""}  # what it does not concern stays
    for row in robustness(results(tmp_path / "runs")).to_dict("records"):
        assert "has changed" in row["hole"]  # not a table of what happens to be left
    assert run(Experiment(**asked, corruptions=["loud"], store=tmp_path / "runs")).ok  # is made again
    assert not leaderboard(tmp_path / "runs").to_dict("records")[0]["hole"]


def test_groups_and_unknown_names(asked: dict[str, Any]) -> None:
    plugins = tuple(asked["plugins"])
    assert [entry.name for entry in corruption_entries(["my-own"], plugins)] == [
        "loud",
        "upside-down",
    ]  # the file's name
    with pytest.raises(UsageError, match="loud"):
        corruption_entries(["lowd"], plugins)
    with pytest.raises(UsageError, match="unknown dataset"):
        evaluations_of(Experiment(**asked, ood=["nothing"]))


def test_training_damage_is_another_job_and_none_keeps_its_id(asked: dict[str, Any]) -> None:
    def job(**protocol: str):
        return plan(Experiment(**{**asked, "protocol": {"epochs": 2, **protocol}})).jobs[0]

    plain = job()
    assert job(train_with_missing="off").id == plain.id
    assert job(train_with_missing="patterns").id != plain.id
    assert job(train_with_noise="spectrum").id != plain.id
    older = {**plain.to_dict(), "protocol": {k: v for k, v in plain.protocol.items() if "train_" not in k}}
    assert type(plain).from_dict(older).id == plain.id  # results of before these rules keep their names
