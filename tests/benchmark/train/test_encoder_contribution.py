"""Linear probes against scikit-learn, gradient norms against sums by hand, and both from the command to the table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from mmbench.benchmark import Experiment, run
from mmbench.benchmark.check.planted import planted_batch
from mmbench.benchmark.data.split import Split
from mmbench.benchmark.exchange.merge import merge
from mmbench.benchmark.report.results import results
from mmbench.benchmark.train import encoder_gradients, linear_probes
from mmbench.benchmark.train.encoder_gradients import EncoderGradients
from mmbench.benchmark.train.linear_probes import PENALTIES, fit_probe, probe_table
from mmbench.datasets.batch import Batch, Spec
from mmbench.leaderboards import labels
from mmbench.leaderboards.catalog import TABLES
from mmbench.methods.erm import ERM
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, mean_squared_error
from torch import Tensor, nn

from ..conftest import write_dataset

SPEC = Spec({"text": 3, "audio": 2}, "regression")


def planted(classes: int, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Embeddings of very unequal scales, of which two of five numbers tell the target; classes 1 for scores."""
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(count, 5))
    told = values[:, :2] @ np.array([1.0, -0.5]) + 0.5 * draw.normal(size=count)
    target = told if classes == 1 else np.digitize(told, [-0.5, 0.5])
    return torch.tensor(values * [1, 10, 0.1, 1, 5] + 3), torch.tensor(target)


@pytest.mark.parametrize("classes", [1, 3])
def test_a_probe_is_the_regularised_linear_model_that_validation_chooses(classes: int):
    spec = replace(SPEC, kind="regression" if classes == 1 else "classification", classes=classes)
    (x, y), (x_valid, y_valid), (x_test, _) = (planted(classes, n, n) for n in (60, 40, 30))
    mean, deviation = x.numpy().mean(0), x.numpy().std(0)
    found = []
    for penalty in PENALTIES:
        model = (
            Ridge(alpha=len(x) * penalty / 2)
            if classes == 1
            else LogisticRegression(C=1 / (len(x) * penalty), tol=1e-10, max_iter=5000)
        ).fit((x.numpy() - mean) / deviation, y.numpy())
        valid = (x_valid.numpy() - mean) / deviation
        error = (
            mean_squared_error(y_valid, model.predict(valid))
            if isinstance(model, Ridge)
            else log_loss(y_valid, model.predict_proba(valid))
        )
        found.append((error, len(found), model))
    best = min(found, key=lambda one: one[:2])[2]
    answer = fit_probe((x, y), (x_valid, y_valid), spec)(x_test).numpy()
    wanted = (x_test.numpy() - mean) / deviation
    if isinstance(best, Ridge):
        np.testing.assert_allclose(answer[:, 0], best.predict(wanted), atol=1e-4)
    else:
        np.testing.assert_allclose(
            torch.tensor(answer).softmax(1).numpy(), best.predict_proba(wanted), atol=1e-3
        )


def test_a_probe_of_a_number_that_never_changes_is_a_number():
    x, y = planted(1, 30, 0)
    x[:, 4] = 7.0
    probe = fit_probe((x, y), (x, y), SPEC)
    assert float(probe.weight[4, 0]) == 0
    assert bool(probe(x).isfinite().all())


def split_of(batch: Batch) -> Split:
    count = len(batch)
    return Split(
        batch,
        np.array([f"s{row}" for row in range(count)]),
        np.full(count, ""),
        torch.full((count,), -1),
        batch.target.numpy(),
        np.ones(count),
    )


def test_neither_the_target_of_the_test_nor_samples_without_the_modality_are_learned_from():
    torch.manual_seed(0)
    method = ERM(ERM.Params(width=8, layers=1), SPEC)
    batch = planted_batch(SPEC, count=24, steps=3)
    present = {**batch.present, "audio": torch.arange(24) % 3 != 0}
    batch = batch.with_present(present)
    wrong = replace(batch, target=torch.where(present["audio"], batch.target, 99.0))
    rest = split_of(planted_batch(SPEC, count=12, steps=3))
    untold = split_of(replace(rest.batch, target=torch.full_like(rest.batch.target, torch.nan)))
    one = probe_table(method, split_of(batch), rest, rest).to_pandas()
    other = probe_table(method, split_of(wrong), rest, untold).to_pandas()
    assert list(one["condition"].unique()) == ["probe:text", "probe:audio"]
    same = np.isclose(one["score"], other["score"], atol=1e-6)
    assert same[one["condition"] == "probe:audio"].all()
    assert not same[one["condition"] == "probe:text"].any()


def test_gradient_norms_are_means_over_steps():
    torch.manual_seed(0)
    method = ERM(ERM.Params(width=8, layers=1), SPEC)
    watched = EncoderGradients(method)
    expected: dict[str, list[float]] = {"text": [], "audio": []}
    for count in (6, 9):
        method.zero_grad()
        method.backward(planted_batch(SPEC, count=count, steps=3))
        if count == 9:
            for parameter in method.encoders.parts[1].parameters():
                parameter.grad = None
        watched.add()
        for name, part in zip(SPEC.modalities, method.encoders.parts, strict=True):
            own = [p.grad.square().sum().item() for p in part.parameters() if p.grad is not None]
            expected[name].append(sum(own) ** 0.5)
    assert expected["audio"][1] == 0
    assert watched.of_epoch() == pytest.approx(
        {f"encoder_gradient/{name}": np.mean(values) for name, values in expected.items()}, rel=1e-5
    )
    assert watched.of_epoch() == {}


def test_a_method_without_encoders_tells_nothing():
    class Plain(ERM):
        def __init__(self) -> None:
            super().__init__(ERM.Params(width=8, layers=1), SPEC)
            self.encoders = nn.ModuleDict()  # type: ignore[assignment]

    watched = EncoderGradients(Plain())
    watched.add()
    assert watched.of_epoch() == {}


def test_names_are_those_that_tables_look_for():
    assert linear_probes.PROBE == labels.PROBE
    assert encoder_gradients.ENCODER_GRADIENT == labels.ENCODER_GRADIENT


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same jobs with and without what the table can be told."""
    folder = tmp_path_factory.mktemp("contribution")
    write_dataset(folder / "data" / "toy", counts=(60, 20, 30))
    asked = {
        "methods": ["erm(layers=1,width=8)", "majority"],
        "datasets": ["toy"],
        "modalities": ["all"],
        "seeds": [0],
    }
    asked |= {"protocol": {"epochs": 2, "batch_size": 20}, "launcher": "debug", "device": "cpu"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        for name, contribution in (("without", False), ("with", True)):
            more = {"data_root": folder / "data", "store": folder / name, "contribution": contribution}
            assert run(Experiment.read({**asked, **more})).ok
        files = {file: file.read_bytes() for file in (folder / "without").rglob("jobs/*/*.parquet")}
        later = {"data_root": folder / "data", "store": folder / "without", "contribution": True}
        first = TABLES["contribution"].make(results(folder / "without"))
        first.to_pickle(folder / "before.pkl")
        assert run(Experiment.read({**asked, **later})).ok
        assert all(file.read_bytes() == content for file, content in files.items())
    return folder


def test_nothing_else_changes(stores: Path):
    jobs = {name: sorted((stores / name / "jobs").iterdir()) for name in ("with", "without")}
    assert [one.name for one in jobs["with"]] == [one.name for one in jobs["without"]]
    for one, other in zip(*jobs.values(), strict=True):
        tables = [pq.read_table(job / "predictions.parquet") for job in (one, other)]
        assert tables[0].equals(tables[1])
        told, plain = (json.loads((job / "fit.json").read_text())["epochs"] for job in (one, other))
        assert not any(name.startswith("encoder_gradient/") for e in plain for name in e["diagnostics"] or {})
        for epoch in told:
            own = epoch["diagnostics"] or {}
            epoch["diagnostics"] = {k: v for k, v in own.items() if not k.startswith("encoder_gradient/")}
        assert [{**e, "diagnostics": e["diagnostics"] or {}} for e in plain] == told
    before = pd.read_pickle(stores / "before.pkl")
    assert not {"linear_probe", "gradient_ratio"} & set(before["quantity"])


def test_the_table_has_them(stores: Path):
    found = results(stores / "with")
    frame = TABLES["contribution"].make(found)
    erm = frame.loc[frame["method"].str.startswith("erm")].set_index(["quantity", "modality"])
    assert set(erm.loc[["linear_probe", "gradient_ratio"], "note"]) == {""}
    probes = erm.loc["linear_probe"]
    (own,) = [one for one in found if one.method.startswith("erm")]
    table = pd.read_parquet(stores / "with" / "jobs" / own.job / "evaluations" / "probes.parquet")
    for name, metric in probes["metric"].items():
        rows = table.loc[table["condition"] == f"probe:{name}"]
        assert metric == "mae"
        assert probes.loc[name, "mean"] == pytest.approx(np.abs(rows["score"] - rows["target"]).mean())
        constant = np.abs(rows["target"] - rows["target"].median()).mean()
        # planted: text tells the target well, audio a little
        assert probes.loc[name, "mean"] < (0.6 if name == "text" else 0.9) * constant
    ratios = erm.loc["gradient_ratio", "mean"]
    assert ratios["text"] * ratios["audio"] == pytest.approx(1)
    assert {"linear_probe", "gradient_ratio"} <= {
        note.split(":")[0] for note in TABLES["contribution"].notes_of(frame)
    }
    silent = frame.loc[frame["method"].str.startswith("majority") & (frame["quantity"] == "linear_probe")]
    assert silent["note"].str.contains("gives no embeddings").all()
    assert len(silent) == 2


def probes_in(store: Path) -> dict[tuple[str, str], float]:
    """Method and modality -> the score of the probe in the table of a store."""
    frame = TABLES["contribution"].make(results(store))
    rows = frame.loc[(frame["quantity"] == "linear_probe") & frame["mean"].notna()].to_dict("records")
    return {(row["method"], row["modality"]): row["mean"] for row in rows}


def test_probes_are_added_later_and_merged_with_their_job(stores: Path):
    probes = probes_in(stores / "with")
    assert len(probes) == 2
    assert probes_in(stores / "without") == probes
    later = TABLES["contribution"].make(results(stores / "without"))
    assert "gradient_ratio" not in set(later["quantity"])
    report = merge(stores / "with", stores / "ours")
    assert ("taken", "results, probes") in {(kind, reason) for kind, _, reason in report.lines}
    assert probes_in(stores / "ours") == probes
