"""From trained networks to the tables of robustness: domains, families in training, a reference run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mmbench.benchmark import Experiment, run
from mmbench.benchmark.exchange.merge import merge
from mmbench.benchmark.report.results import results
from mmbench.datasets.dataset import SPLITS, Target
from mmbench.datasets.layout.write import write_open_layout
from mmbench.leaderboards.catalog import TABLES

from ..conftest import Command, make_samples

PLUGIN = '''
from dataclasses import dataclass
from mmbench.corruptions.corruption import Corruption

CORRUPTIONS = {"loud": "Loud", "mute": "Mute"}


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


class Mute(Loud):
    """Makes everything smaller."""

    kind = "mute"
    family = "volume"

    def corrupt(self, features, valid, draws):
        return features / (1 + self.level)
'''


def write_two_domains(folder: Path) -> None:
    splits = {}
    for place, (split, count) in enumerate(zip(SPLITS, (60, 20, 30), strict=True)):
        domain = np.where(np.arange(count) % 3 == 0, "small", "large")
        splits[split] = replace(make_samples(count, 70 + place), domain=domain)
    write_open_layout(folder, splits, Target("regression", (-3.0, 3.0), metrics="regression"))


def row_of(frame: pd.DataFrame, **wanted: str) -> dict[str, Any]:
    rows = [
        row for row in frame.to_dict("records") if all(row[name] == value for name, value in wanted.items())
    ]
    assert len(rows) == 1, wanted
    return {str(name): value for name, value in rows[0].items()}


@pytest.fixture
def asked(tmp_path: Path, data_root: Path) -> Experiment:
    write_two_domains(data_root / "two")
    plugin = tmp_path / "my_own.py"
    plugin.write_text(PLUGIN)
    return Experiment.read(
        {
            "methods": ["erm(layers=1)", "erm(layers=1,width=24)"],
            "datasets": ["two"],
            "seeds": [0, 1],
            "corruptions": ["loud", "mute"],
            "launcher": "debug",
            "device": "cpu",
            "plugins": [plugin],
            "data_root": data_root,
            "store": tmp_path / "runs",
            "protocol": {"epochs": 2, "train_with_noise": "spectrum"},
        }
    )


@pytest.mark.slow
def test_tables_of_robustness_are_what_the_predictions_say(asked: Experiment, mmbench: Command) -> None:
    assert run(asked).ok
    frame = TABLES["robustness"].make(results(asked.store))
    again = TABLES["robustness"].make(results(asked.store))  # from what was kept
    pd.testing.assert_frame_equal(frame, again)
    label = "erm(layers=1)"
    jobs = row_of(frame, method=label, condition="clean")["jobs"].split()
    mae = []
    for job in jobs:
        files = [asked.store / "jobs" / job / "predictions.parquet"]
        files += (asked.store / "jobs" / job / "evaluations").glob("*.parquet")
        rows = pd.concat([pd.read_parquet(file) for file in files])
        rows = rows[(rows["split"] == "test") & ~rows["condition"].astype(str).str.startswith("missing:")]
        error = np.abs(np.asarray(rows["score"], np.float64) - np.asarray(rows["target"], np.float64))
        names = zip(rows["domain"].astype(str), rows["condition"].astype(str), error, strict=True)
        found: dict[tuple[str, str], list[float]] = {}
        for domain, condition, value in names:
            found.setdefault((domain, condition), []).append(value)
            found.setdefault(("", condition), []).append(value)
        mae.append({key: float(np.mean(values)) for key, values in found.items()})

    def kinds(kind: str) -> list[str]:
        return [f"{kind}:{m}@{s}" for m in ("text", "audio") for s in range(1, 6)]

    def mean(one: dict[tuple[str, str], float], domain: str, names: list[str]) -> float:
        return float(np.mean([one[domain, name] for name in names]))

    expected = {
        "mean_corruption_seen": [mean(one, "", kinds("loud")) for one in mae],
        "mean_corruption_held_out": [mean(one, "", kinds("mute")) for one in mae],
        "worst_domain": [max(one[d, "clean"] for d in ("small", "large")) for one in mae],
        "worst_domain:mean_corruption": [
            max(mean(one, d, kinds("loud") + kinds("mute")) for d in ("small", "large")) for one in mae
        ],
    }
    for condition, values in expected.items():
        row = row_of(frame, method=label, condition=condition)
        # scores and labels are float32
        assert [float(v) for v in row["values"].split()] == pytest.approx(values, rel=1e-6), condition
    assert row_of(frame, method=label, condition="mute:text@2")["held_out"] == "yes"
    assert row_of(frame, method=label, condition="loud:text@2")["held_out"] == "no"
    assert row_of(frame, method=label, condition="clean")["audit_train_families"] == "noise"

    # two rows are of the method erm: neither is the reference until it is named
    relative = TABLES["relative"]
    assert "--reference" in row_of(relative.make(results(asked.store)), method=label, metric="mce")["hole"]
    named = relative.make(results(asked.store), label)
    assert row_of(named, method=label, metric="mce")["mean"] == pytest.approx(1)
    shown = mmbench(
        "leaderboard", "--store", str(asked.store), "--what", "relative", "--reference", label,
        "--format", "csv",
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    written = pd.read_csv(next((asked.store / "leaderboards").glob("relative*.csv")))
    other = row_of(named, method="erm(layers=1,width=24)", metric="mce")["mean"]
    assert row_of(written, method="erm(layers=1,width=24)", metric="mce")["mean"] == other
    merge(asked.store, asked.store.with_name("taken"))  # families go with the outputs
    taken = TABLES["robustness"].make(results(asked.store.with_name("taken")))
    pd.testing.assert_frame_equal(taken, frame)
    unknown = mmbench(
        "leaderboard", "--store", str(asked.store), "--what", "relative", "--reference", "nobody"
    )
    assert unknown.returncode == 2
    assert "no row is called 'nobody'" in unknown.stderr
