"""What tables show of searches."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mmbench.benchmark.cli.status import print_status
from mmbench.benchmark.exchange.merge import merge
from mmbench.benchmark.report import tables
from mmbench.benchmark.report.chosen_tables import frames
from mmbench.benchmark.report.results import Filter, filter_from, results
from mmbench.benchmark.report.tables import tables_of
from mmbench.benchmark.search.study import Study, studies_of
from mmbench.benchmark.search.trials import repeat_of, searches
from mmbench.benchmark.store.job_folder import Submission
from mmbench.benchmark.store.store import Store
from rich.console import Console

from ..conftest import write_dataset
from ..search.studies import asked, end, finish, fit_record, predictions, study_of

QUIET = Console(quiet=True)
#: Index of a trial -> its error on the test split. On validation the last is best, on the test the first.
ERRORS = (0.1, 0.2, 0.3, 0.4)
REPEATS = (0.5, 0.9)


def train(store: Store, study: Study, trials: int = len(ERRORS)) -> list[str]:
    """Ends a study, or its first trials, as if it had been trained; the jobs that it reports."""
    for index in range(trials):
        job = study.sampled_job(index)
        fit = fit_record(1.0 - 0.1 * index, 1.0)
        finish(store, job, fit, predicted=predictions(job, ERRORS[index]))
    best = study.sampled_job(len(ERRORS) - 1)
    repeats = [repeat_of(best, study.trial, index) for index in range(len(REPEATS))]
    for job, error in zip(repeats if trials == len(ERRORS) else [], REPEATS, strict=False):
        finish(store, job, fit_record(1.0, 1.0), predicted=predictions(job, error))
    return [job.id for job in (best, *repeats)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two methods on two tasks."""
    write_dataset(tmp_path / "data" / "toy")
    write_dataset(tmp_path / "data" / "toys", 3)
    store = Store(tmp_path / "runs")
    for study in studies_of(asked(tmp_path, methods="erm,nel", datasets="toy,toys")):
        train(store, study)
    return store


def test_a_search_is_one_row_of_the_chosen_trial_and_its_repeats(store: Store, tmp_path: Path):
    made = tables_of(store.path, Filter(), "accuracy,missing,audit,cost", QUIET)
    assert made.complete
    frame = made.frames["accuracy"]
    mae = frame.loc[frame["metric"] == "mae"]
    assert list(mae["method"]) == ["erm", "nel"] * 2
    assert set(mae["n"]) == set(mae["n_planned"]) == {3}
    three = pd.Series([ERRORS[-1], *REPEATS])
    assert list(mae["mean"]) == pytest.approx([three.mean()] * 4)
    assert list(mae["sd"]) == pytest.approx([three.std(ddof=1)] * 4)
    studies = studies_of(asked(tmp_path, methods="erm,nel", datasets="toy,toys"))
    reported = [" ".join(train(store, study)) for study in studies]
    assert list(mae["jobs"]) == reported
    assert set(made.frames["missing"]["n"]) == {3}
    audit = made.frames["audit"].set_index(["task", "method"])
    assert set(audit["protocol"]) == {"fair, search 1+3+2"}
    assert audit.loc[("toy", "erm"), "search"] == (
        "1+3+2, chosen by source validation, nothing to search: the draws are seeds"
    )
    assert audit.loc[("toy", "nel"), "search"] == "1+3+2, chosen by source validation"
    assert str(audit.loc[("toy", "nel"), "drawn"]).startswith("trial 3: alpha=")


def test_tables_made_block_by_block_are_the_same_and_follow_the_choice(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tables, "MANY", 1)

    def same() -> pd.DataFrame:
        made = tables_of(store.path, Filter(), "accuracy", QUIET).frames["accuracy"]
        made = made.drop(columns=["audit_verified"], errors="ignore")
        whole = dict(frames(["accuracy"], results(store.path)))["accuracy"]
        pd.testing.assert_frame_equal(made, whole.reindex(columns=list(made)), check_exact=True)
        return made

    before = same()
    # One trial more, which is the best: other jobs are the row, and its repeats are yet to be trained.
    study = studies_of(asked(tmp_path, methods="nel", search={"draws": 4, "repeats": 2}))[0]
    job = study.sampled_job(4)
    finish(store, job, fit_record(0.01, 1.0), predicted=predictions(job, 0.1))
    after = same()
    changed = after.loc[after["jobs"].str.contains(job.id)]
    assert set(changed["method"]) == {"nel"}
    assert set(changed["task"]) == {"toy"}
    assert changed["mean"].isna().all()
    assert changed["hole"].str.contains("2 of 3 seeds not started").all()
    assert len(after) == len(before)


def test_a_filter_by_seed_goes_by_the_place_in_the_row(store: Store):
    found = results(store.path, filter_from("nel", "toy", "1,2"))
    assert [result.seed for result in found] == [1, 2]
    whole = {result.job for result in results(store.path, filter_from("nel", "toy", None))}
    assert {result.job for result in found} < whole
    assert len(whole) == 3


def test_a_search_taken_from_another_store_is_the_same_row(store: Store, tmp_path: Path):
    here = Store(tmp_path / "here")
    here.jobs_folder.mkdir(parents=True)
    report = merge(store.path, here.path, None, False)
    assert report.ok, report
    ours, theirs = (
        tables_of(path, Filter(), "accuracy", QUIET).frames["accuracy"] for path in (store.path, here.path)
    )
    pd.testing.assert_frame_equal(ours, theirs)


def test_status_counts_trials_and_repeats(store: Store, tmp_path: Path):
    (study,) = studies_of(asked(tmp_path, methods="gmp"))
    train(store, study, trials=2)
    store.add([study.sampled_job(2), study.sampled_job(3)])
    store.job(study.sampled_job(3).id).fail("boom")
    store.submit({study.sampled_job(2).id: Submission("slurm", "7_1")})  # a trial that waits on a cluster
    text = io.StringIO()
    assert not print_status(store, Console(file=text, width=200))
    assert "of these 20 trials and 8 repeats of 5 searches: 4 chose, 1 have a failed trial" in text.getvalue()


def test_a_search_that_prunes_is_taken_with_what_it_pruned(tmp_path: Path):
    root = tmp_path / "pruning"
    write_dataset(root / "data" / "toy")
    there = Store(root / "runs")
    study = study_of(asked(root, search={"draws": 2, "repeats": 0, "pruner": "median"}))
    for index, error in ((0, 0.5), (2, 0.7)):
        job = study.sampled_job(index)
        finish(there, job, fit_record(error, error), predicted=predictions(job, error))
    end(there, study, {1: "pruned"})
    here = Store(tmp_path / "here")
    tried = merge(there.path, here.path, None, True)
    assert not here.jobs_folder.exists()
    report = merge(there.path, here.path, None, False)
    assert report.ok, report
    assert report.lines == tried.lines
    assert [record.state for record in here] == [record.state for record in there]
    assert here.job(study.sampled_job(1).id).pruning_record()["epochs"][0]["metric"] == 9  # pyright: ignore[reportOptionalSubscript]
    (ours,), (theirs,) = (searches(store, store) for store in (here, there))
    assert ours.chosen == theirs.chosen == 0
    assert merge(there.path, here.path, None, False).ok  # a second time it is there already
    assert sum(record.state == "pruned" for record in here) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values.update(epochs=[]),
        lambda values: values.update(reason="\x1b[2J"),
        lambda values: values["epochs"][0].update(metric=float("nan")),
        lambda values: values["epochs"][0].update(epoch=4),
        lambda values: values.update(other=1),
    ],
)
def test_a_pruned_trial_that_mmbench_did_not_write_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], None]
):
    write_dataset(tmp_path / "data" / "toy")
    there, here = Store(tmp_path / "runs"), Store(tmp_path / "here")
    study = study_of(asked(tmp_path, search={"draws": 2, "repeats": 0, "pruner": "median"}))
    end(there, study, {1: "pruned"})
    file = there.job(study.sampled_job(1).id).path / "pruned.json"
    values = json.loads(file.read_text())
    change(values)
    file.write_text(json.dumps(values))
    report = merge(there.path, here.path, None, False)
    assert not report.ok
    assert not here.jobs_folder.exists()
