"""Scores that are kept beside predictions are those made anew."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from mmbench.benchmark import Experiment, run
from mmbench.benchmark.report.chosen_tables import chosen_tables, frames
from mmbench.benchmark.report.results import results
from mmbench.leaderboards.metrics import registry as metrics
from mmbench.leaderboards.tables.results import Result

from ..conftest import write_dataset


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two datasets, two methods, two seeds, tested under a corruption; two of them against another dataset."""
    folder = tmp_path_factory.mktemp("trained")
    for number, (name, kind) in enumerate((("toyc", "classification"), ("toy", "regression"))):
        write_dataset(folder / "data" / name, number, kind)
    write_dataset(folder / "data" / "toyo", 3, "classification")
    asked = {"methods": ["erm(layers=1)", "erm(layers=2)"], "seeds": [0, 1], "protocol": {"epochs": 1}}
    asked |= {"launcher": "debug", "device": "cpu", "data_root": folder / "data", "store": folder / "runs"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        assert run(Experiment.read({**asked, "datasets": ["toy", "toyc"], "corruptions": ["drift"]})).ok
        assert run(Experiment.read({**asked, "datasets": ["toyc"], "ood": ["toyo"]})).ok
    return folder / "runs"


@pytest.fixture
def store(trained: Path, tmp_path: Path) -> Path:
    """A copy of it without the scores that the run has kept."""
    return Path(shutil.copytree(trained, tmp_path / "runs", ignore=shutil.ignore_patterns("scores")))


def all_frames(found: list[Result]) -> dict[str, pd.DataFrame]:
    return dict(frames(chosen_tables("all", found), found))


def assert_same(one: dict[str, pd.DataFrame], other: dict[str, pd.DataFrame]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        pd.testing.assert_frame_equal(one[name], other[name], check_exact=True, obj=name)


def sheets(store: Path) -> dict[str, int]:
    files = store.glob("jobs/*/scores/*.safetensors")
    return {str(file.relative_to(store)): file.stat().st_mtime_ns for file in files}


def test_kept_scores_give_the_tables_of_the_predictions(store: Path) -> None:
    anew = all_frames([replace(result, cache=None) for result in results(store)])
    assert not sheets(store)
    assert_same(all_frames(results(store)), anew)
    kept = sheets(store)
    assert len(kept) > 8 * 4
    assert_same(all_frames(results(store)), anew)
    assert sheets(store) == kept  # nothing was scored again


def test_a_sheet_that_is_gone_or_damaged_is_made_again(store: Path) -> None:
    before = all_frames(results(store))
    files = sorted(store.glob("jobs/*/scores/*.safetensors"))
    files[0].unlink()
    files[1].write_bytes(files[1].read_bytes()[:-9])
    files[2].write_bytes(b"")
    assert_same(all_frames(results(store)), before)
    assert len(sheets(store)) == len(files)


def test_a_new_metric_scores_only_what_it_judges(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    all_frames(results(store))
    before = sheets(store)
    new = replace(metrics.find("rmse"), name="rmse_again")
    monkeypatch.setitem(metrics.METRICS, "rmse_again", new)
    monkeypatch.setitem(metrics.FAMILIES, "regression", (*metrics.FAMILIES["regression"], "rmse_again"))
    made = all_frames(results(store))
    rows = made["accuracy"].set_index("metric")["mean"]
    assert list(rows["rmse_again"]) == list(rows["rmse"])
    fresh = {name.split("/")[-1].partition("-")[0] for name in sheets(store).keys() - before.keys()}
    assert fresh == {"clean", "missing"}  # robustness is judged by the main metric, the rest by judges


def test_predictions_that_changed_are_not_taken_for_those_that_were_scored(store: Path) -> None:
    before = all_frames(results(store))["accuracy"]
    one, other = sorted(store.glob("jobs/toyc-*-s0-*"))
    for name in ("predictions.parquet", "done.json"):  # another network's results, in order but for job.json
        shutil.copy(one / name, other / name)
    after = all_frames(results(store))["accuracy"]
    assert not before.equals(after)
    assert after["hole"].str.contains("has changed").any()


def test_an_evaluation_that_comes_while_tables_are_made_is_not_lost(store: Path) -> None:
    folder = next(store.glob("jobs/toy-*-s0-*"))
    aside = store / "aside"
    (folder / "evaluations").rename(aside)
    copied = folder / "evaluations"
    copied.mkdir()
    for file in aside.glob("drift.*"):
        shutil.copy(file, copied / file.name.replace("drift", "adrift"))
    found = results(store)  # lists what there is
    for file in aside.iterdir():
        shutil.copy(file, copied / file.name)
    for file in copied.glob("adrift.*"):
        file.unlink()
    all_frames(found)
    anew = all_frames([replace(result, cache=None) for result in results(store)])
    assert_same(all_frames(results(store)), anew)


def test_a_store_that_cannot_be_written_is_tabled_all_the_same(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anew = all_frames([replace(result, cache=None) for result in results(store)])
    for folder in store.glob("jobs/*"):
        (folder / "scores").write_text("no folder")
    assert_same(all_frames(results(store)), anew)


def test_a_job_is_scored_when_it_ends(trained: Path, tmp_path: Path) -> None:
    store = Path(shutil.copytree(trained, tmp_path / "scored"))
    before = sheets(store)
    kept = {name.split("/")[-1].partition("-")[0] for name in before}
    assert kept >= {"clean", "missing", "robustness", "ood"}
    made = all_frames(results(store))
    after = sheets(store)  # nothing was scored again, but for what needs all seeds of a method
    assert {name: time for name, time in after.items() if "/ensemble-" not in name} == before
    assert_same(made, all_frames([replace(result, cache=None) for result in results(store)]))
