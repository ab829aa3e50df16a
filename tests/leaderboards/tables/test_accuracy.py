import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from mmbench.leaderboards.labels import AVERAGE, WITHIN_MARGIN
from mmbench.leaderboards.metrics.registry import METRICS
from mmbench.leaderboards.render.notes import notes
from mmbench.leaderboards.render.text import wide
from mmbench.leaderboards.stats.bootstrap import resample
from mmbench.leaderboards.stats.intervals import holm, moderated_p
from mmbench.leaderboards.stats.seed_variance import seed_prior, variation_of
from mmbench.leaderboards.tables.accuracy import COLUMNS, accuracy, missing, task_label
from mmbench.leaderboards.tables.results import UnusableError, missing_patterns, read_outputs
from scipy import stats


def row(frame, **where):
    for name, value in where.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1, f"{len(frame)} rows"
    return frame.iloc[0]


def noisy(make_result, make_table, method, error, seeds=3, samples=120, **fields):
    target = np.random.default_rng(0).normal(size=samples)
    out = []
    for seed in range(seeds):
        rng = np.random.default_rng([seed, round(1000 * error)])
        score = target + error * rng.normal(size=samples)
        out.append(make_result(method, seed, make_table({"clean": score}, target), **fields))
    return out


def test_three_jobs_by_hand(three):
    frame = accuracy(three)
    assert list(frame["metric"]) == ["mae", "rmse", "corr"]
    found = row(frame, metric="mae")
    assert (found["mean"], found["sd"], found["n"], found["n_planned"]) == (2.0, 1.0, 3, 3)
    # Samples do not vary, and the weak prior, which is stated in how much they do, counts as one degree of freedom.
    low, high = stats.t.interval(0.95, 3, 2.0, math.sqrt(2 * 1.0 / 3) / math.sqrt(3))
    assert (found["low"], found["high"]) == (pytest.approx(low), pytest.approx(high))
    assert found["interval"] == "seeds+samples"
    assert (found["direction"], found["unit"], found["samples"]) == ("lower", "label", 4)
    assert (found["seeds"], found["jobs"], found["data"]) == ("0 1 2", "erm-0 erm-1 erm-2", "real")
    assert (found["hole"], found["mark"], found["audit_selection"]) == ("", "", "source validation")
    assert row(frame, metric="corr")["mean"] == pytest.approx(1.0)
    assert {name: str(frame[name].dtype) for name in ("n", "mean", "best")} == {
        "n": "int64",
        "mean": "float64",
        "best": "boolean",
    }


def test_missing_by_hand(three):
    frame = missing(three, ["mae"])
    assert list(frame["condition"]) == ["clean", "missing:text", "missing:audio", AVERAGE]
    assert list(frame["mean"]) == [2.0, 3.0, 5.0, 4.0]
    assert list(frame["drop"]) == [0.0, 1.0, 3.0, 2.0]
    # The drop is the same for every seed and sample: its interval has no width.
    assert row(frame, condition="missing:audio")[["drop_low", "drop_high"]].tolist() == [3.0, 3.0]
    assert list(frame["sd"]) == pytest.approx([1.0] * 4)


def test_drop_is_positive_where_a_score_falls(result, table):
    target = [-1.0, 1.0, 2.0, -2.0]
    frame = table({"clean": target, "missing:text": [1.0, 1.0, 2.0, -2.0], "missing:audio": target}, target)
    found = missing([result(frame=frame, family="mosi")], ["acc2_has0"])
    assert list(found["mean"]) == [1.0, 0.75, 1.0, 0.875]
    assert list(found["drop"]) == [0.0, 0.25, 0.0, 0.125]
    assert all(found["drop_low"] <= found["drop_high"])


def test_nothing_is_averaged_over_what_happens_to_exist(three, result):
    failed = result("erm", 3, reason="CUDA out\nof memory")
    planned = result("erm", 4, state="planned")
    running = result("erm", 5, state="running")
    found = row(accuracy([*three, failed, planned, running]), metric="mae")
    assert math.isnan(found["mean"])
    assert math.isnan(found["low"])
    assert (found["n"], found["n_planned"], found["interval"]) == (3, 6, "")
    assert found["hole"] == (
        "1 of 6 seeds failed (seed 3: CUDA out of memory), 1 of 6 seeds not started (seed 4), "
        "1 of 6 seeds running (seed 5)"
    )
    assert pd.isna(found["best"])


def test_a_missing_condition_is_a_hole_and_takes_the_average_with_it(three, table):
    lacking = dataclasses.replace(
        three[1], predictions=lambda: table({"clean": [1.0], "missing:text": [1.0]}, [0.0])
    )
    frame = missing([three[0], lacking, three[2]], ["mae"])
    # Other samples than the other seeds: a hole, even on clean data.
    assert "other samples" in row(frame, condition="clean")["hole"]
    full = three[1].predictions()
    lacking = dataclasses.replace(three[1], predictions=lambda: full[full["condition"] != "missing:audio"])
    frame = missing([three[0], lacking, three[2]], ["mae"])
    assert row(frame, condition="clean")["mean"] == 2.0
    hole = row(frame, condition="missing:audio")
    assert hole["hole"] == "1 of 3 seeds not evaluated (seed 1: no predictions under missing:audio)"
    assert math.isnan(row(frame, condition=AVERAGE)["mean"])
    assert row(frame, condition=AVERAGE)["hole"] == hole["hole"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: f.drop(columns="target"), "lack the column target"),
        (lambda f: f.drop(columns="score"), "neither a column score"),
        (lambda f: f.assign(score=math.nan), "not finite"),
        (lambda f: f.assign(sample_id="one"), "a sample twice"),
        (lambda f: f.assign(target=5.0), "other targets"),
        (lambda f: f[f["split"] != "test"], "no predictions under clean"),
    ],
)
def test_unusable_predictions_are_a_hole_with_a_reason(three, damage, message):
    broken = damage(three[1].predictions())
    results = [three[0], dataclasses.replace(three[1], predictions=lambda: broken), three[2]]
    found = row(accuracy(results, ["mae"]), metric="mae")
    assert math.isnan(found["mean"])
    assert message in found["hole"]
    assert "seed 1" in found["hole"]
    assert found["n"] == 2


def test_predictions_that_cannot_be_read_are_a_hole(three):
    def unreadable():
        raise OSError("predictions.parquet: truncated")

    results = [dataclasses.replace(three[0], predictions=unreadable), *three[1:]]
    assert "truncated" in row(accuracy(results, ["mae"]), metric="mae")["hole"]


def test_order_of_samples_does_not_matter(three):
    mixed = three[1].predictions().iloc[::-1]
    results = [three[0], dataclasses.replace(three[1], predictions=lambda: mixed), three[2]]
    pd.testing.assert_frame_equal(accuracy(results), accuracy(three))


def test_an_undefined_metric_is_a_hole(result, table):
    target = [0.0, 1.0, 2.0]
    results = [
        result(seed=0, frame=table({"clean": [1.0, 1.0, 1.0]}, target)),
        result(seed=1, frame=table({"clean": target}, target)),
    ]
    frame = accuracy(results)
    found = row(frame, metric="corr")
    assert math.isnan(found["mean"])
    assert found["hole"] == "1 of 2 seeds undefined (seed 0: target or prediction is constant)"
    assert row(frame, metric="mae")["hole"] == ""


def test_order_of_rows_is_that_of_the_results(three, result):
    other = [dataclasses.replace(r, method="a", job=f"a-{r.seed}") for r in three]
    sims = [dataclasses.replace(r, task="mosi->sims", job=f"s-{r.seed}") for r in three]
    frame = accuracy([three[2], *sims, *other, *three[:2]], ["rmse", "mae"])
    assert list(zip(frame["task"], frame["method"], frame["metric"], strict=True)) == [
        ("mosi", "erm", "rmse"),
        ("mosi", "erm", "mae"),
        ("mosi", "a", "rmse"),
        ("mosi", "a", "mae"),
        ("mosi->sims", "erm", "rmse"),
        ("mosi->sims", "erm", "mae"),
    ]


def test_a_clear_winner_is_marked(result, table):
    results = [*noisy(result, table, "good", 0.1), *noisy(result, table, "bad", 1.0)]
    frame = accuracy(results, ["mae"])
    good, bad = row(frame, method="good"), row(frame, method="bad")
    assert (good["best"], good["mark"], good["significantly_worse"]) == (True, "best", False)
    assert (bad["best"], bad["mark"], bad["significantly_worse"]) == (False, "", True)
    assert bad["p_vs_best"] < 0.05


@pytest.mark.parametrize(("samples", "mark"), [(2, "tied"), (12, "best")])
def test_two_samples_of_one_seed_mark_no_winner(result, table, samples, mark):
    groups = [noisy(result, table, name, error, 1, samples) for name, error in (("good", 0.01), ("bad", 3.0))]
    frame = accuracy([r for group in groups for r in group], ["mae"])
    good, bad = row(frame, method="good"), row(frame, method="bad")
    assert (good["mark"], bool(bad["significantly_worse"])) == (mark, samples > 5)


def test_methods_not_told_apart_are_tied(result, table):
    results = [
        *noisy(result, table, "one", 1.0),
        *noisy(result, table, "two", 1.001),
        *noisy(result, table, "bad", 5.0),
    ]
    frame = accuracy(results, ["mae"])
    assert {name: row(frame, method=name)["mark"] for name in ("one", "two", "bad")} == {
        "one": "tied",
        "two": "tied",
        "bad": "",
    }
    assert "best" not in set(frame["mark"])


@pytest.mark.parametrize(
    ("samples", "spread", "near"), [(3000, 0.2, True), (40, 1.0, False), (3000, 2.0, False)]
)
def test_only_what_is_shown_to_be_within_the_margin_is_marked_as_equal(result, table, samples, spread, near):
    """Two methods whose errors differ at random, by ``spread``, and not in the mean."""
    target = np.zeros(samples)
    rng = np.random.default_rng(1)
    results = []
    for name in ("one", "two"):
        for seed in range(3):
            error = 5 + rng.normal(scale=spread, size=samples)
            results.append(result(name, seed, table({"clean": error}, target)))
    frame = accuracy(results, ["mae"])
    assert list(frame["mark"]) == ["tied", "tied"]
    assert [bool(one) for one in frame[WITHIN_MARGIN]] == [near, near]
    shown = wide(frame, intervals=False)["mae ↓"]
    assert all(("≈" in cell) == near for cell in shown)
    said = [note for note in notes(frame) if "seeds would tell" in note]
    assert bool(said) == (not near)
    # two one-sided t-tests of the seeds alone are no stricter
    one, two = ([float(v) for v in text.split()] for text in frame["values"])
    difference, margin = np.subtract(one, two), 0.02 * frame["mean"].min()
    away = (margin - abs(difference.mean())) / (difference.std(ddof=1) / math.sqrt(3))
    assert not near or away > 0


def test_one_seed_marks_nothing_that_is_shown(result, table):
    groups = [noisy(result, table, name, error, 1) for name, error in (("good", 0.1), ("bad", 3.0))]
    frame = accuracy([one for group in groups for one in group], ["mae"])
    assert row(frame, method="good")["mark"] == "best"  # of these two networks
    assert not any("*" in cell or "≈" in cell for cell in wide(frame)["mae ↓"])


def test_other_seeds_are_not_compared(result, table):
    results = [*noisy(result, table, "good", 0.1), *noisy(result, table, "bad", 1.0, seeds=4)]
    frame = accuracy(results, ["mae"])
    assert pd.isna(row(frame, method="bad")["significantly_worse"])
    assert math.isnan(row(frame, method="bad")["p_vs_best"])
    assert row(frame, method="good")["mark"] == "tied"


def test_synthetic_and_real_never_meet(result, table):
    real = noisy(result, table, "erm", 0.1)
    synthetic = noisy(result, table, "erm", 1.0, synthetic=True)
    frame = accuracy([*real, *synthetic], ["mae"])
    assert list(frame["data"]) == ["real", "synthetic stand-in"]
    assert list(frame["n"]) == [3, 3]
    assert list(frame["mark"]) == ["", ""]


def test_draws_are_rows_of_their_own(three):
    other = [dataclasses.replace(r, draw=1, job=f"d1-{r.seed}") for r in three]
    frame = accuracy([*three, *other], ["mae"])
    assert list(frame["draw"]) == [0, 1]
    assert list(frame["mean"]) == [2.0, 2.0]


def test_classification_from_logits(result):
    frame = pd.DataFrame(
        {
            "split": "test",
            "condition": "clean",
            "sample_id": ["a", "b", "c"],
            "target": [0, 1, 1],
            "logit_0": [1.0, 0.0, 1.0],
            "logit_1": [0.0, 1.0, 0.0],
        }
    )
    found = accuracy([result(frame=frame, family="classification")])
    assert list(found["metric"]) == [
        "accuracy",
        "balanced_accuracy",
        "f1_macro",
        "f1_weighted",
        "auroc_ovr",
        "auprc_ovr",
    ]
    assert list(found["mean"][:2]) == pytest.approx([2 / 3, 0.75])
    assert list(found["interval"]) == ["samples"] * 6
    assert all(found["sd"].isna())


def test_a_metric_of_another_task_is_left_out(three, result):
    frame = pd.DataFrame({"split": "test", "condition": "clean", "sample_id": ["a", "b"], "target": [0, 1]})
    frame = frame.assign(logit_0=[1.0, 0.0], logit_1=[0.0, 1.0])
    images = result("erm", 0, frame, task="images", family="classification")
    found = accuracy([*three, images], ["mae", "accuracy"])
    assert list(zip(found["task"], found["metric"], strict=True)) == [("mosi", "mae"), ("images", "accuracy")]


def test_a_single_modality_has_no_missing_patterns(three):
    alone = [dataclasses.replace(r, modalities="text", method="text") for r in three]
    assert set(missing([*three, *alone])["method"]) == {"erm"}
    with pytest.raises(ValueError, match="more than one modality"):
        missing(alone)


def test_audit_values_that_differ_are_both_shown(three):
    results = [*three[:2], dataclasses.replace(three[2], audit={"selection": "oracle", "features": "bert"})]
    found = row(accuracy(results, ["mae"]), metric="mae")
    assert found["audit_selection"] == "source validation / oracle"
    assert found["audit_features"] == "not stated / bert"


def test_bad_input_is_refused(three, result):
    with pytest.raises(ValueError, match="no results"):
        accuracy([])
    with pytest.raises(ValueError, match="unknown metric 'mea'; known: mae"):
        accuracy(three, ["mea"])
    with pytest.raises(ValueError, match="applies to any"):
        accuracy(three, ["accuracy"])
    with pytest.raises(ValueError, match="both seed 1"):
        accuracy([*three, dataclasses.replace(three[1], job="again")])
    with pytest.raises(ValueError, match="different families"):
        accuracy([*three, dataclasses.replace(three[1], seed=7, family="mosi")])
    with pytest.raises(ValueError, match="unknown state"):
        result(state="lost")
    with pytest.raises(ValueError, match="without predictions"):
        result(state="done")
    with pytest.raises(ValueError, match="unknown family"):
        result(family="images")


def test_all_failed_is_a_table_of_holes(result):
    results = [result("erm", seed, reason="no GPU") for seed in range(2)]
    for frame in (accuracy(results), missing(results)):
        assert all(frame["mean"].isna())
        assert set(frame["hole"]) == {"2 of 2 seeds failed (seed 0, seed 1: no GPU)"}
        assert set(frame["n"]) == {0}
    assert set(missing(results).columns) == {*COLUMNS, "audit_selection"}


def test_missing_patterns():
    assert missing_patterns("text") == ()
    assert missing_patterns("t+a+v") == (
        "missing:t",
        "missing:a",
        "missing:v",
        "missing:t+a",
        "missing:t+v",
        "missing:a+v",
    )


def test_patterns_are_named_in_the_order_of_the_modalities(result, table):
    frame = table({"clean": [1.0], "missing:audio+text": [2.0]}, [0.0])
    found = read_outputs(result(frame=frame, modalities="text+audio+vision"))
    assert list(found) == ["clean", "missing:text+audio"]
    with pytest.raises(UnusableError, match="no predictions"):
        read_outputs(result())


def test_p_is_that_of_the_paired_difference_after_holm(result, table):
    errors = {"one": 1.0, "two": 1.15, "three": 1.3}
    groups = {name: noisy(result, table, name, error) for name, error in errors.items()}
    frame = accuracy([r for group in groups.values() for r in group], ["mae"])
    outputs = {name: [read_outputs(r)["clean"] for r in group] for name, group in groups.items()}
    scores = {name: [out.prediction for out in outs] for name, outs in outputs.items()}
    target = outputs["one"][0].target
    sampled = {name: resample([METRICS["mae"]], target, each) for name, each in scores.items()}
    p = []
    for name, third in (("two", "three"), ("three", "two")):
        own, other = (variation_of(one) for one in (sampled["one"].minus(sampled[name]), sampled[third]))
        # Two methods differ by the seeds of both: each of which the third tells something of.
        prior = seed_prior(own, 2 * 2 * other.between, 2 * 2 * other.together, np.array([2]))
        p.append(float(moderated_p(own, prior)[0]))
    assert row(frame, method="one")["best"]
    expected = holm(p)
    assert expected[0] != p[0] or expected[1] != p[1]
    found = [row(frame, method=name)["p_vs_best"] for name in ("two", "three")]
    assert found == pytest.approx(expected.tolist(), rel=1e-3)  # resamples are kept in half precision


def test_the_ends_of_a_drop_are_in_order(result, table):
    rng = np.random.default_rng(0)
    target = rng.normal(size=50)
    names = {"clean": 0.5, "missing:text": 1.0, "missing:audio": 2.0}
    results = [
        result(seed=s, frame=table({n: target + e * rng.normal(size=50) for n, e in names.items()}, target))
        for s in range(4)
    ]
    frame = missing(results, ["mae", "corr"])
    lost = frame[frame["condition"] != "clean"]
    assert all(lost["drop_low"] < lost["drop"])
    assert all(lost["drop"] < lost["drop_high"])
    assert all(lost["drop"] > 0)


def test_a_long_task_is_a_short_heading():
    assert task_label("mosei+mosi->sims") == "mosei+mosi->sims"
    places = "+".join(f"dsads/p{number}" for number in range(2, 9))
    assert task_label(f"{places}->dsads/p1") == "7 sources->dsads/p1"
    assert (
        task_label("a-dataset-with-a-very-long-name-but-without-a-shift")
        == "a-dataset-with-a-very-long-name-but-without-a-shift"
    )
