"""The reference results: the page shows what the tables hold, and the packed predictions give the tables again."""

from __future__ import annotations

import importlib.util
import io
import shutil
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from mmbench.benchmark.check.conformance import check_media
from mmbench.benchmark.planning.experiment import Experiment
from mmbench.benchmark.report.console import SafeConsole
from mmbench.benchmark.report.results import Filter, leaderboard, predictions
from mmbench.benchmark.report.write import write_leaderboards
from mmbench.datasets.media.find import find_media
from mmbench.leaderboards.render.notes import conventions

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
STORED = Path(__file__).parent / "benchmark" / "stored" / "store-0.1"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small store with two methods, two tasks and two seeds."""
    return shutil.copytree(STORED, tmp_path_factory.mktemp("results") / "runs")


def script(name: str) -> ModuleType:
    """A script of docs/results as a module."""
    spec = importlib.util.spec_from_file_location(f"results_{name}", RESULTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_every_figure_of_the_page_is_that_of_the_tables():
    page = script("page")
    assert page.PAGE.read_text(encoding="utf-8") == page.render(page.TEMPLATE.read_text(encoding="utf-8"))
    with pytest.raises(ValueError, match="nobody"):
        page.render("{{ value rosmap nobody }}")


def test_every_table_explains_its_marks_as_tables_do_now():
    accuracy = pd.read_csv(RESULTS / "rosmap" / "accuracy.csv").fillna({"mark": "", "interval": ""})
    now = next(line for line in conventions(accuracy) if "Marked best" in line)
    found = [
        line
        for file in RESULTS.glob("*/*.md")
        for line in file.read_text().splitlines()
        if "Marked best" in line
    ]
    assert len(found) > 10
    assert set(found) == {f"- {now}"}


def test_stored_predictions_give_the_table_again(tmp_path: Path):
    with tarfile.open(RESULTS / "rosmap" / "predictions.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    shown = ["method", "metric", "mean", "sd", "n", "low", "high", "samples", "mark"]
    whole = pd.read_csv(RESULTS / "rosmap" / "accuracy.csv", keep_default_na=True)
    again, stored = (frame.fillna({"mark": ""}).filter(shown) for frame in (leaderboard(tmp_path), whole))
    pd.testing.assert_frame_equal(again, stored, check_dtype=False, rtol=1e-6)
    # and by hand, from the logits
    one = next(path.name for path in sorted((tmp_path / "jobs").iterdir()) if "-erm-" in path.name)
    test = predictions(tmp_path, one).query("split == 'test' and condition == 'clean'")
    right = test.filter(["logit_0", "logit_1"]).to_numpy().argmax(axis=1) == np.asarray(test["target"])
    row = whole.query("method == 'erm' and metric == 'accuracy'").iloc[0]
    assert np.isclose(right.mean(), float(str(row["values"]).split()[0]))
    assert row["n"] == 3


@pytest.mark.parametrize("clean_only", [False, True])
def test_a_packed_store_gives_the_same_table(store: Path, tmp_path: Path, clean_only: bool):
    script("pack").pack(store, tmp_path / "packed.tar.xz", clean_only)
    with tarfile.open(tmp_path / "packed.tar.xz") as archive:
        archive.extractall(tmp_path / "again", filter="data")
    pd.testing.assert_frame_equal(leaderboard(tmp_path / "again"), leaderboard(store))
    conditions = set(predictions(tmp_path / "again", "mosi-erm-ta-s0-14a837b982b3")["condition"])
    assert conditions == ({"clean"} if clean_only else conditions | {"missing:text"})


def test_gains_are_paired_differences_of_the_table(store: Path):
    against = script("against")
    found = against.against(store, ["erm"])
    first = leaderboard(store).groupby(["task", "method"]).first().reset_index()
    ebmc, erm = (first.query(f"method == '{name}(width=8)'") for name in ("ebmc", "erm"))
    sign = 1 if ebmc["direction"].tolist()[0] == "higher" else -1
    gain = found.query("method == 'ebmc(width=8)' and condition == 'clean'").iloc[0]
    assert gain["gain"] == pytest.approx(sign * (np.mean(ebmc["mean"]) - np.mean(erm["mean"])))
    assert gain["tasks"] == 2
    assert gain["low"] < gain["gain"] < gain["high"]
    assert set(found["reference"]) == {"erm(width=8)"}
    compared = [
        ("qamoe(gate=none)", "qamoe"),
        ("qamoe", "qamoe(gate=none)"),
        ("cpsl", "qamoe"),
        ("erm", "erm"),
    ]
    assert [against._is_reference(*pair, ["erm"]) for pair in compared] == [True, False, False, False]


def test_a_method_that_lacks_a_seed_is_paired_over_the_others(store: Path, tmp_path: Path):
    against = script("against")
    part = shutil.copytree(store, tmp_path / "runs")
    for place in part.glob("jobs/*-erm-*-s0-*"):
        shutil.rmtree(place)
    found = against.against(part, ["erm"]).query("condition == 'clean'").iloc[0]
    for place in part.glob("jobs/*-s0-*"):
        shutil.rmtree(place)
    alone = against.against(part, ["erm"]).query("condition == 'clean'").iloc[0]
    assert found["n"] == alone["n"] == 1
    assert found["gain"] == pytest.approx(alone["gain"])


def test_gains_with_lost_steps_are_differences_of_means_over_rates():
    place = RESULTS / "sentiment"
    curve = pd.read_csv(place / "rates.csv").pivot(index="method", columns="condition", values="mean")
    clean = pd.read_csv(place / "accuracy.csv").pivot(index="method", columns="metric", values="mean")
    rates = [f"random-frames@0.{tenth}" for tenth in range(1, 10)]
    by_hand = (clean["acc2_has0"] + curve[rates].sum(axis=1)) / 10
    np.testing.assert_allclose(curve["mean:random-frames"], by_hand, atol=2e-5)
    gains = pd.read_csv(place / "against.csv").query("reference == 'erm' and n == n.max()")
    gains = gains.set_index(["condition", "metric", "method"])["gain"].unstack()
    assert len(gains.columns) > 20
    accuracy, errors = gains.loc[("mean:random-frames", "acc2_has0")], gains.loc[("clean", "mae")]
    np.testing.assert_allclose(accuracy, (by_hand - by_hand["erm"])[gains.columns], atol=2e-5)
    np.testing.assert_allclose(errors, (clean["mae"]["erm"] - clean["mae"])[gains.columns], atol=2e-5)


def test_a_correlation_of_the_page_is_that_of_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    page = script("page")
    (tmp_path / "one").mkdir()
    numbers = {
        f"rho_{beside}{end}": 0.25 for beside in ("severity", "error") for end in ("", "_low", "_high")
    }
    rows = [{"method": "qamoe", "diagnostic": "reliability/text", "condition": "clean", **numbers}]
    pd.DataFrame(rows).assign(rho_error_low=-0.125).to_csv(tmp_path / "one" / "mechanism.csv", index=False)
    monkeypatch.setattr(page, "HERE", tmp_path)
    assert page.render("{{ rho one qamoe reliability/text clean error }}") == "+0.25 [-0.12, +0.25]"


def test_fields_on_many_rows_and_lost_steps_are_those_of_the_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    page = script("page")
    monkeypatch.setattr(page, "HERE", tmp_path)
    kept = tmp_path / "rows"
    kept.mkdir()
    names = ["mult", "tfn", "misa", "erm"]
    clean = {"task": "mosi", "protocol": "fair", "unit": "fraction", "metric": "acc2_has0"}
    means = pd.DataFrame({"method": names, "mean": [0.9, 0.8, 0.7, 0.6]}).assign(**clean)
    errors = means.assign(metric="mae", unit="score", low=0.5)
    pd.concat([means, errors]).to_csv(kept / "accuracy.csv", index=False)
    lost = means.assign(condition="mean:random-frames", drop=0.25, drop_low=0.125, drop_high=0.5)
    lost.to_csv(kept / "rates.csv", index=False)
    summary = {"protocol": "fair", "n": [3, 3, 2, 3], "acc2_has0, clean % ↑": 100 * means["mean"]}
    pd.DataFrame({"method": names, **summary}).to_csv(kept / "summary.csv", index=False)
    gains = pd.DataFrame({"method": names[:3], "gain": [0.3, -0.2, 0.1], "p": [0.01, 0.02, 0.03]})
    gains = gains.assign(condition="clean", metric="acc2_has0", reference="erm", low=-0.5, high=0.5)
    pd.concat([gains, gains.assign(metric="mae", p=[0.01, 0.03, 0.03])]).to_csv(
        kept / "against.csv", index=False
    )
    answers = "**1 Is it so?** *yes*: Because.\n\n**5a Or so?** *not enough data*: Run more.\n"
    (kept / "findings.md").write_text(answers)
    # Holm multiplies the smallest p by 3, the next by 2, and none gets below one before it: here 0.03, 0.06 and 0.06.
    assert page.render("{{ told rows better }}") == "`mult` +30.0 [-50.0, +50.0], `misa` +10.0 [-50.0, +50.0]"
    assert page.render("{{ told rows worse }}") == "`tfn`"
    assert page.render("{{ told rows better clean mae holm }}") == "`mult` +0.300 [-0.500, +0.500]"
    assert page.render("{{ told rows worse clean mae holm }}") == "none"
    assert page.render("{{ told rows worse clean main holm }}") == "`tfn`"
    assert page.render("{{ lost rows tfn }} {{ lost rows tfn drop }}") == "80.0 +25.0 [+12.5, +50.0]"
    assert page.render("{{ rows rows }} {{ seeds rows }}") == "3 2 to 3"
    assert page.render("{{ verdicts rows }}") == "1 Is it so? *yes*. 5a Or so? *not enough data*."
    # Published on CMU-MOSI: mult 0.7971, tfn 0.7799, misa 0.8184, so that ranks 3, 2, 1 meet 2, 1, 3.
    assert page.render("{{ order rows acc2_has0 }}") == "-0.50 over 3 methods"


def test_the_page_takes_means_over_targets_and_each_target_from_their_table(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    page = script("page")
    (tmp_path / "one").mkdir()
    ends = {"low": 0.5, "high": 0.75, "unit": "fraction"}
    rows = [
        {"method": "erm", "condition": condition, "metric": metric, "mean": mean, **ends}
        for metric, values in (("auroc_ovr", (0.625, 0.6)), ("auprc_ovr", (0.375, 0.3)))
        for condition, mean in zip((page.OVER_TARGETS, "target:a/x"), values, strict=True)
    ]
    frame = pd.DataFrame(rows)
    for metric, file in (("auroc_ovr", "targets"), ("auprc_ovr", "targets-auprc_ovr")):
        frame[frame["metric"] == metric].to_csv(tmp_path / "one" / f"{file}.csv", index=False)
    monkeypatch.setattr(page, "HERE", tmp_path)
    fields = "{{ value one erm }}; {{ metric one erm auprc_ovr }}; {{ target one erm a/x }}; {{ target one erm a/x auprc_ovr }}"
    shown = "62.5 [50.0, 75.0]; 37.5 [50.0, 75.0]; 60.0 [50.0, 75.0]; 30.0 [50.0, 75.0]"
    assert page.render(fields) == shown


def test_gains_are_by_the_metric_that_leads(store: Path):
    against = script("against")
    leads = {
        lead: against.against(store, ["erm"], lead=lead)["metric"].unique().tolist() for lead in ("", "mae")
    }
    assert leads == {"": ["acc2_has0", "mae"], "mae": ["mae"]}


def test_csv_alone_has_the_summary_of_the_terminal(store: Path, tmp_path: Path):
    said = io.StringIO()
    write_leaderboards(
        store, tmp_path, Filter(tasks=frozenset({"mosi"})), None, ("csv",), SafeConsole(file=said)
    )
    summary = pd.read_csv(next(tmp_path.glob("summary*.csv")))
    assert sorted(summary["method"]) == ["ebmc(width=8)", "erm(width=8)"]
    assert "summary" in said.getvalue()
    assert "more methods" not in said.getvalue()


@pytest.mark.parametrize("name", sorted(path.stem for path in RESULTS.glob("*.yaml")))
def test_what_is_run_is_an_experiment(name: str):
    asked = Experiment.load(RESULTS / f"{name}.yaml")
    assert asked.methods
    assert asked.datasets
    assert set(asked.seeds) <= {0, 1, 2}


def test_transcripts_become_two_datasets(tmp_path: Path):
    rows = [
        {
            "corpus": corpus,
            "part": part,
            "id": f"{corpus}{part}{k}",
            "score": 0.5,
            "video": f"{part}{k // 2}",
            "clip": k,
        }
        for corpus in ("mosi", "sims", "meld")
        for part in ("train", "valid", "test")
        for k in range(3)
    ]
    pd.DataFrame(rows).assign(english="GOOD", chinese="好").to_parquet(tmp_path / "texts.parquet")
    places = script("texts").write_texts(tmp_path / "texts.parquet", tmp_path / "media")
    assert [place.name for place in places] == ["texts-mosi", "texts-sims"]
    for place in places:
        media = find_media(str(place), tmp_path)
        assert len(media.clips) == 9
        assert all(check.ok for check in check_media(media))


def test_a_dialogue_is_in_one_part_and_its_session_is_its_domain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    emotions = ("angry", "excited", "frustrated", "happy", "neutral", "sad")
    rows = [
        {
            "corpus": "iemocap",
            "id": f"{session}-{dialogue}-{k}",
            "emotion": emotion,
            "english": f"said {k}",
            "video": f"{session}-{dialogue}",
            "order": k,
            "speaker": "FM"[k % 2],
            "session": session,
        }
        for session in ("01", "02")
        for dialogue in range(8)
        for k, emotion in enumerate(emotions)
    ]
    other = rows[0] | {"corpus": "meld", "emotion": "joy"}
    pd.DataFrame([*rows, other]).to_parquet(tmp_path / "affect-texts.parquet")
    monkeypatch.setenv("RESULTS_DATA", str(tmp_path))
    media = find_media(str(RESULTS / "data" / "iemocap"), tmp_path)
    assert all(check.ok for check in check_media(media))
    parts = pd.DataFrame({"of": clip.sample_id[:4], "split": clip.split} for clip in media.clips)
    assert parts.groupby("of")["split"].nunique().tolist() == [1] * 16
    assert set(parts["split"]) == {"train", "valid", "test"}
    assert {clip.domain for clip in media.clips} == {"01", "02"}
