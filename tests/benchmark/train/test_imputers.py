"""Imputers that are fitted: on training samples alone, kept with the job, and judged on observed entries that are hidden."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from mmbench.benchmark import Experiment, predict, predictions, run
from mmbench.benchmark.core.protocol import Protocol
from mmbench.benchmark.report.results import results
from mmbench.benchmark.train.imputation_errors import errors_of
from mmbench.benchmark.train.imputers import NEIGHBOURS, with_imputer
from mmbench.benchmark.train.network import load_network
from mmbench.corruptions.missing_entries import MissingPoints
from mmbench.datasets.imputation import impute
from mmbench.leaderboards.catalog import TABLES

from ..conftest import write_open_layout
from ..data.test_observed import TARGET, splits
from .test_imputed import loaded

SMALL = "chain=3,draws=3,channels=8,denoiser_layers=1,heads=2,width=8,layers=1"
ERM = "erm(width=8,layers=1)"
#: Rule of the protocol -> what is trained with it.
JOBS = {"off": [f"csdi({SMALL})", ERM], "knn": [ERM], "trace": [ERM], "mean": [ERM]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imputers")
    write_open_layout(folder / "data" / "holes", splits(), TARGET)
    asked: dict[str, Any] = {"seeds": [0], "launcher": "debug", "device": "cpu", "datasets": ["holes"]}
    asked |= {"data_root": folder / "data", "store": folder / "runs"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        for rule, methods in JOBS.items():
            protocol = {"epochs": 1, "batch_size": 16, "impute": rule}
            more = {"methods": methods, "protocol": protocol, "imputation": rule != "trace"}
            assert run(Experiment.read({**asked, **more})).ok
    return folder


@pytest.fixture(scope="module")
def table(trained: Path) -> pd.DataFrame:
    return TABLES["imputation"].make(results(trained / "runs"))


def job_of(trained: Path, rule: str) -> str:
    (found,) = [
        one.job
        for one in results(trained / "runs")
        if one.audit.get("imputation", "off") == rule and one.method.startswith("erm")
    ]
    return found


def test_every_imputer_has_an_error_at_every_rate_and_draws_have_a_crps(table: pd.DataFrame) -> None:
    assert len(table) == 3 * 2 * 6  # three that fill, two modalities, five rates and the whole
    assert set(table["hole"]) == {""}
    assert sorted(set(table["rate"])) == [0.1, 0.3, 0.5, 0.7, 0.9, 1.0]
    drawn = table["method"].str.startswith("csdi")
    assert drawn.sum() == 12
    assert np.isfinite(table.loc[drawn, "crps_fair"].to_numpy()).all()
    assert np.isnan(table.loc[~drawn, "crps_fair"].to_numpy()).all()
    for name in ("rmse", "mae"):
        low, value, high = (table[f"{name}{end}"].to_numpy() for end in ("_low", "", "_high"))
        assert np.all((low < value) & (value < high))
    assert np.all(table["mae"].to_numpy() <= table["rmse"].to_numpy())
    notes = TABLES["imputation"].notes_of(table)
    assert len(notes) == 2


def test_the_error_of_the_mean_is_that_computed_by_hand(trained: Path, table: pd.DataFrame) -> None:
    data = load_network(trained / "runs", job_of(trained, "mean"), trained / "data").data
    batch = data.test.batch
    for modality in ("text", "audio"):
        train = data.train.batch
        seen = train.features[modality].where(train.observed_entries(modality), torch.nan).numpy()
        mean = np.nanmean(seen, axis=(0, 1))
        damaged = MissingPoints(modality, 3).prepared(batch).apply(batch)
        hidden = (batch.observed_entries(modality) & ~damaged.observed_entries(modality)).numpy()
        wrong = (batch.features[modality].numpy() - mean)[hidden]
        row = table.loc[
            table["protocol"].str.contains("mean") & (table["modality"] == modality) & (table["rate"] == 0.5)
        ]
        assert float(row["rmse"].iloc[0]) == pytest.approx(float(np.sqrt((wrong**2).mean())), rel=1e-4)
        assert float(row["mae"].iloc[0]) == pytest.approx(float(np.abs(wrong).mean()), rel=1e-4)


@pytest.mark.parametrize("rule", ["knn", "trace"])
def test_what_was_fitted_is_kept_with_the_job(trained: Path, rule: str) -> None:
    """Restored, it predicts as it did, in a network and for new samples."""
    job = job_of(trained, rule)
    own = predictions(trained / "runs", job)
    own = own.loc[(own["split"] == "test") & (own["condition"] == "clean")].sort_values("sample_id")
    network = load_network(trained / "runs", job, trained / "data")
    with torch.inference_mode():
        again = network.method(impute(network.data.test.batch, network.method.spec)).prediction
    order = np.argsort(network.data.test.sample_id.astype(str))
    np.testing.assert_allclose(again.numpy()[order], own["score"], atol=1e-5)
    new = predict(trained / "runs" / "jobs" / job, trained / "data" / "holes", part="test")
    np.testing.assert_allclose(new.sort_values("sample_id")["score"], own["score"], atol=1e-5)


@pytest.mark.parametrize("rule", ["knn", "csdi", "trace"])
def test_nothing_but_training_samples_is_learned_from_and_a_sample_is_filled_by_itself(rule: str) -> None:
    protocol = Protocol.model_validate({"epochs": 1, "batch_size": 16, "impute": rule})
    specs = []
    for factor in (1.0, 100.0):
        data = loaded(factor)
        spec = data.spec("fair", imputation=protocol.impute)
        specs.append(with_imputer(spec, data.train.batch, protocol, 0))
    one, other = (spec.imputer.tensors() for spec in specs if spec.imputer is not None)
    assert one.keys() == other.keys()
    for name, values in one.items():
        torch.testing.assert_close(values, other[name], rtol=0, atol=0, equal_nan=True)
    batch, spec = loaded().test.batch, specs[0]
    present = {"audio": torch.arange(len(batch)) % 3 > 0, "text": batch.present["text"]}
    batch = batch.with_present(present)
    whole = impute(batch, spec)
    assert impute(whole, spec).features["text"] is whole.features["text"] or rule != "knn"
    assert not whole.observed
    assert whole.present["audio"].all()
    known = batch.observed_entries("text")
    assert torch.equal(whole.features["text"][:, : known.shape[1]][known], batch.features["text"][known])
    order = torch.randperm(len(batch), generator=torch.Generator().manual_seed(0))
    for rows in (order, order[:1]):
        part = impute(batch.take(rows), spec)
        for name in ("text", "audio"):
            steps = min(part.features[name].shape[1], whole.features[name].shape[1])
            valid = whole.mask[name][rows][:, :steps].unsqueeze(-1)
            torch.testing.assert_close(
                part.features[name][:, :steps].where(valid, 0),
                whole.features[name][rows][:, :steps].where(valid, 0),
                atol=1e-4,
                rtol=1e-4,
            )


def test_the_nearest_training_samples_fill_an_entry() -> None:
    """By loops, for one sample: distances over common entries, the mean of the nearest that have the entry."""
    data = loaded()
    protocol = Protocol.model_validate({"impute": "knn"})
    spec = with_imputer(data.spec("fair", imputation="knn"), data.train.batch, protocol, 0)
    assert spec.imputer is not None
    batch = data.test.batch

    def row_of(part: Any, row: int) -> np.ndarray:
        return np.concatenate(
            [
                part.features[name][row].where(part.observed_entries(name)[row], torch.nan).flatten().numpy()
                for name in ("text", "audio")
            ]
        )

    own = row_of(batch, 4)
    others = np.stack([row_of(data.train.batch, row) for row in range(len(data.train.batch))])
    common = ~np.isnan(others) & ~np.isnan(own)
    squares = np.where(common, (others - own) ** 2, 0).sum(1)
    distance = np.sqrt(squares * len(own) / common.sum(1))
    found = impute(batch, spec).features["text"][4].flatten().numpy()
    wanted = ~(batch.observed_entries("text")[4]) & batch.mask["text"][4].unsqueeze(-1)
    checked = 0
    for entry in wanted.flatten().nonzero().flatten().tolist():
        donors = [row for row in np.argsort(distance) if not np.isnan(others[row, entry])][:NEIGHBOURS]
        if donors:
            assert found[entry] == pytest.approx(others[donors, entry].mean(), abs=1e-4)
            checked += 1
    assert checked > 5


def test_the_score_of_draws_is_that_over_all_pairs() -> None:
    draws, truth = torch.randn(4, 3, 2, 2), torch.randn(3, 2, 2)
    hidden = torch.rand(3, 2, 2) < 0.7
    found = errors_of(draws, truth, hidden)
    for row in range(3):
        total = 0.0
        for step, feature in hidden[row].nonzero().tolist():
            values = draws[:, row, step, feature].double()
            apart = sum(float((a - b).abs()) for a in values for b in values) / (2 * 4 * 3)
            total += float((values - truth[row, step, feature]).abs().mean()) - apart
        assert float(found["crps"][row]) == pytest.approx(total, abs=1e-6)
    middle = draws.sort(dim=0).values[1:3].mean(0)
    assert float(found["squared_error"].sum()) == pytest.approx(
        float((middle - truth)[hidden].square().sum()), rel=1e-4
    )
    assert found["hidden"].sum() == hidden.sum()


def test_a_table_without_errors_or_imputers_says_what_to_do(trained: Path) -> None:
    every = results(trained / "runs")
    plain = [one for one in every if one.job == job_of(trained, "off")]
    with pytest.raises(ValueError, match="nothing of these jobs fills what was not observed"):
        TABLES["imputation"].make(plain)
