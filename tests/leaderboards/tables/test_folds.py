"""Folds of cross-validation in tables, against formulas written down here once more."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from mmbench.leaderboards.render.notes import notes, title
from mmbench.leaderboards.render.text import wide
from mmbench.leaderboards.tables.accuracy import accuracy
from mmbench.leaderboards.tables.comparisons import seeds as seeds_needed
from mmbench.leaderboards.tables.folds import folds, notes_of_folds
from scipy import stats

SIZES = (12, 9, 15, 10, 14)
LABELS = np.random.default_rng(0).integers(-3, 4, sum(SIZES)).astype(float)


@pytest.fixture
def method(table, result):
    """The results of a method: one a seed and fold, wrong by noise that the seed draws."""

    def make(name: str, noise: float, seeds=(0,), without=(), **fields):
        made = []
        for seed in seeds:
            rng = np.random.default_rng(seed)
            answers = LABELS + noise * rng.normal(size=len(LABELS))
            for fold, rows in enumerate(np.split(np.arange(len(LABELS)), np.cumsum(SIZES)[:-1]), start=1):
                if fold in without:
                    continue
                frame = table({"clean": answers[rows]}, LABELS[rows])
                frame["sample_id"] = [f"x{fold}-{sample}" for sample in frame["sample_id"]]
                job = f"{name}-{seed}-{fold}"
                more = {"fold": fold, "folds": 5, "protocol": "fair [5 folds]", **fields}
                made.append(result(name, seed, frame, job=job, **more))
        return made

    return make


def error(answers: np.ndarray, rows: slice) -> float:
    return float(np.abs(answers[rows] - LABELS[rows]).mean())


def by_fold(noise: float, seeds) -> np.ndarray:
    """[folds]: the mean absolute error of each fold, mean over seeds."""
    values = []
    for seed in seeds:
        answers = LABELS + noise * np.random.default_rng(seed).normal(size=len(LABELS))
        starts = np.cumsum([0, *SIZES])
        values.append([error(answers, slice(*ends)) for ends in itertools.pairwise(starts)])
    return np.mean(values, axis=0)


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_the_interval_is_that_of_nadeau_and_bengio(method, seeds):
    row = accuracy(method("erm", 1.0, seeds), ["mae"]).iloc[0]
    own = by_fold(1.0, seeds)
    assert row["mean"] == pytest.approx(own.mean())
    assert row["sd"] == pytest.approx(own.std(ddof=1))
    half = stats.t.ppf(0.975, 4) * math.sqrt((1 / 5 + 1 / 4) * own.var(ddof=1))
    assert (row["low"], row["high"]) == pytest.approx((own.mean() - half, own.mean() + half))
    assert (row["interval"], row["n"], row["samples"]) == ("folds", 5 * len(seeds), sum(SIZES))
    assert row["folds"].split() == ["1", "2", "3", "4", "5"] * len(seeds)


def test_methods_are_paired_fold_by_fold(method):
    frame = accuracy([*method("erm", 1.0), *method("ebmc", 1.3)], ["mae"]).set_index("method")
    difference = by_fold(1.3, (0,)) - by_fold(1.0, (0,))
    t = difference.mean() / math.sqrt((1 / 5 + 1 / 4) * difference.var(ddof=1))
    p = 2 * stats.t.sf(abs(t), 4)
    assert 0.0001 < p < 0.9
    assert frame.loc["ebmc", "p_vs_best"] == pytest.approx(p)
    assert bool(frame.loc["erm", "best"])


def test_other_methods_have_no_say_in_the_variance_over_folds(method):
    alone = accuracy(method("erm", 1.0), ["mae"]).iloc[0]
    beside = accuracy([*method("erm", 1.0), *method("ebmc", 5.0)], ["mae"]).set_index("method").loc["erm"]
    assert (alone["low"], alone["high"]) == (beside["low"], beside["high"])


@pytest.mark.parametrize("lacking", ["absent", "failed"])
def test_a_fold_that_lacks_is_a_hole(method, result, lacking):
    jobs = method("erm", 1.0, without=(3,))
    if lacking == "failed":
        jobs.append(
            result("erm", fold=3, folds=5, job="erm-3", protocol="fair [5 folds]", reason="no memory")
        )
    row = accuracy(jobs, ["mae"]).iloc[0]
    assert math.isnan(row["mean"])
    assert (row["n"], row["n_planned"]) == (4, 5)
    word = "failed" if lacking == "failed" else "not in the store"
    assert row["hole"].startswith(f"1 of 5 folds {word} (fold 3/5 of seed 0")
    only = folds(jobs).set_index("metric").loc["mae"]
    assert math.isnan(only["out_of_fold"])
    assert word in only["note"]


def test_tables_say_folds(method):
    frame = accuracy([*method("erm", 1.0, (0, 1)), *method("ebmc", 2.0, (0, 1))], ["mae"])
    assert set(wide(frame)["n"]) == {"5 folds x 2 seeds"}
    assert "n = 5 folds x 2 seeds, 95 % interval over folds" in title(frame, "Accuracy")
    assert "over n seeds" not in " ".join(notes(frame))
    assert "Nadeau" in " ".join(notes(frame))


def test_folds_are_not_counted_as_seeds(method):
    frame = accuracy([*method("erm", 1.0), *method("ebmc", 2.0)], ["mae"])
    assert "one seed has no spread" in seeds_needed(frame).iloc[0]["verdict"]


def test_the_out_of_fold_score_is_that_of_all_samples_together(method):
    row = folds(method("erm", 1.0)).set_index("metric")
    answers = LABELS + np.random.default_rng(0).normal(size=len(LABELS))
    assert row.loc["mae", "out_of_fold"] == pytest.approx(error(answers, slice(None)))
    assert row.loc["corr", "out_of_fold"] == pytest.approx(np.corrcoef(answers, LABELS)[0, 1])
    own = by_fold(1.0, (0,))
    assert row.loc["mae", "mean"] == pytest.approx(own.mean()) != row.loc["mae", "out_of_fold"]
    assert (row.loc["mae", "worst"], row.loc["mae", "worst_fold"]) == (
        pytest.approx(own.max()),
        own.argmax() + 1,
    )
    assert (
        row.loc["mae", "out_of_fold_low"] < row.loc["mae", "out_of_fold"] < row.loc["mae", "out_of_fold_high"]
    )


def test_the_worst_fold_is_named_where_it_is_a_group(method):
    jobs = method("erm", 1.0, (0, 1))
    assert folds(jobs)["worst_left_out"].tolist() == [""] * len(folds(jobs))
    named = folds([replace(job, left_out=f"p{job.fold}") for job in jobs])
    assert named["worst_left_out"].tolist() == [f"p{fold}" for fold in named["worst_fold"]]


def test_a_metric_that_one_fold_lacks_still_has_its_out_of_fold_score(method):
    jobs = method("erm", 1.0)
    first = jobs[0].predictions()
    first["target"] = first["score"] = 1.0
    row = folds(jobs).set_index("metric").loc["corr"]
    assert math.isnan(row["mean"])
    assert "fold 1" in row["note"]
    assert row["out_of_fold"] > 0.5
    assert "fold 1" in " ".join(notes_of_folds(folds(jobs)))


def test_no_folds_are_an_error(three):
    with pytest.raises(ValueError, match="run with --folds 5"):
        folds(three)
