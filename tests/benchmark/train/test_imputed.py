"""--impute reaches every batch that a method is given, after all damage, with numbers of the training data alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mmbench.benchmark.core.protocol import Protocol
from mmbench.benchmark.core.registry import find
from mmbench.benchmark.data.tensors import TaskData, load_task
from mmbench.benchmark.planning.experiment import Experiment
from mmbench.benchmark.planning.job_matrix import jobs_of
from mmbench.benchmark.train.estimation import fit_estimator
from mmbench.benchmark.train.lightning_module import SelectionData, fit
from mmbench.benchmark.train.predict import feature_table, outputs_under
from mmbench.corruptions.condition import Clean
from mmbench.corruptions.missing_entries import MissingPoints
from mmbench.datasets.batch import Batch
from mmbench.datasets.imputation import impute
from mmbench.methods.erm import ERM, ERMParams
from mmbench.methods.estimator import Estimator
from mmbench.methods.method import Output
from torch import Tensor

from ..conftest import write_open_layout
from ..data.test_observed import REQUEST, TARGET, Held, splits


def loaded(test_factor: float = 1.0, standardize: bool = True) -> TaskData:
    held = splits()
    for split in ("valid", "test"):
        text = held[split].features["text"] * np.float32(test_factor)
        held[split] = replace(held[split], features={**held[split].features, "text": text})
    request = replace(REQUEST, standardize=standardize)
    return load_task(request, {"holes": Held(held)})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("standardize", [True, False])
def test_the_mean_is_that_of_the_training_data_whatever_the_test_data_are(standardize: bool) -> None:
    data, other = loaded(standardize=standardize), loaded(100.0, standardize)
    spec = data.spec("fair", imputation="mean")
    assert spec.imputed == other.spec("fair", imputation="mean").imputed
    batch = data.train.batch
    seen = np.where(batch.observed["text"], batch.features["text"], np.nan)
    np.testing.assert_allclose(spec.imputed["text"], np.nanmean(seen, axis=(0, 1)), atol=1e-5)
    assert set(spec.imputed) == {"text", "audio"}  # a condition may hide entries of audio
    assert spec.partly_observed == ()
    plain = data.spec("fair")
    assert (plain.imputation, plain.imputed, plain.partly_observed) == ("off", {}, ("text",))


def test_zero_is_zero_in_the_unit_of_the_data() -> None:
    held = splits()
    text = held["train"].features["text"]
    spec = loaded().spec("fair", imputation="zero")
    with_nan = np.where(held["train"].observed["text"], text.astype(np.float64), np.nan)
    expected = -np.nanmean(with_nan, axis=(0, 1)) / np.nanstd(with_nan, axis=(0, 1))
    np.testing.assert_allclose(spec.imputed["text"], expected, atol=1e-4)
    assert set(loaded(standardize=False).spec("fair", imputation="zero").imputed["text"]) == {0.0}


class Witness(ERM):
    """ERM that keeps what it is given."""

    def __init__(self, params: ERMParams, spec) -> None:
        super().__init__(params, spec)
        self.given: dict[str, list[Batch]] = {"forward": [], "loss": [], "before": []}

    def encode_all(self, batch: Batch, modalities=()) -> dict[str, Tensor]:
        self.given["forward"].append(batch)
        return super().encode_all(batch, modalities)

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        self.given["forward"].append(batch)
        return super().fuse(embeddings, batch)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        self.given["loss"].append(batch)
        return super().loss(batch)

    def before_epoch(self, batches, done: float) -> None:
        self.given["before"].extend(batches())


def batches_of(witness: Witness) -> Iterator[Batch]:
    for given in witness.given.values():
        assert given
        yield from given


def test_training_validation_and_conditions_give_filled_batches() -> None:
    data = loaded()
    rule = Protocol.model_validate({"epochs": 1, "impute": "forward", "train_with_missing": "spectrum"})
    torch.manual_seed(0)
    witness = Witness(ERMParams(width=8, layers=1), data.spec("fair", imputation=rule.impute))
    fit(witness, rule, data.train.batch, data.valid.batch, 0, lambda *_: None)
    outputs_under(witness, data.test.batch, [Clean(), MissingPoints("text", 3), MissingPoints("audio", 3)])
    assert feature_table(witness, {"valid": data.valid, "test": data.test}).num_rows == 60
    for batch in batches_of(witness):
        assert not batch.observed
        entries = batch.features["text"][batch.observed_entries("text")]
        assert float((entries == 0).float().mean()) < 0.02  # of data that are 40 % holes


def test_a_condition_hides_before_entries_are_filled() -> None:
    """Entries that are hidden are filled from those that are left, and not kept from before."""
    data = loaded()
    torch.manual_seed(0)
    witness = Witness(ERMParams(width=8, layers=1), data.spec("fair", imputation="forward"))
    condition = MissingPoints("text", 5)
    found = outputs_under(witness, data.test.batch, [condition])[condition.name].prediction
    with torch.inference_mode():
        by_hand = witness(impute(condition.prepared(data.test.batch).apply(data.test.batch), witness.spec))
    torch.testing.assert_close(found, by_hand.prediction)


def test_an_id_changes_where_it_is_used_alone(tmp_path: Path) -> None:
    write_open_layout(tmp_path / "holes", splits(), TARGET)
    asked = {"methods": ["erm"], "datasets": ["holes"], "seeds": [0], "data_root": str(tmp_path)}
    ids = {
        str(rule): [job.id for job in jobs_of(Experiment.read({**asked, "protocol": rule}))]
        for rule in ({}, {"impute": "off"}, {"impute": "mean"}, {"impute": "linear"})
    }
    plain, off, mean, linear = ids.values()
    assert plain == off
    assert len({*plain, *mean, *linear}) == 3


@pytest.mark.parametrize("name", ["grud", "mtand", "logistic"])
def test_methods_that_read_holes_and_estimators_read_filled_series(name: str) -> None:
    """An estimator is fitted and validated on filled samples; what stood in a hole tells it nothing."""
    data = loaded()
    method_class = find("method", name).load()
    rule = Protocol.model_validate({"epochs": 1, "impute": "linear"})
    spec = data.spec("fair", imputation=rule.impute)
    torch.manual_seed(0)
    method = method_class(method_class.Params(), spec)
    arguments = (method, rule, data.train.batch, data.valid.batch, 0, lambda *_: None)
    if isinstance(method, Estimator):
        fit_estimator(*arguments, SelectionData())
    else:
        fit(*arguments)
    found = outputs_under(method, data.test.batch, [Clean()])["clean"].prediction
    assert found.isfinite().all()
    with torch.inference_mode():
        by_hand = method(impute(data.test.batch, spec)).prediction
        unfilled = method(data.test.batch).prediction
    torch.testing.assert_close(found, by_hand)
    assert not torch.allclose(found, unfilled)
