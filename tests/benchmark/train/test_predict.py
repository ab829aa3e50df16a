"""Predictions under conditions: each sees the whole split once, before the minibatches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
import pytest
import torch
from mmbench.benchmark.check.planted import planted_batch
from mmbench.benchmark.data.split import Split
from mmbench.benchmark.data.tensors import TaskData, TaskRequest, load_task
from mmbench.benchmark.train.diagnostics import diagnostics_table
from mmbench.benchmark.train.predict import (
    EVALUATION_BATCH,
    default_conditions,
    feature_table,
    outputs_under,
    prediction_table,
)
from mmbench.benchmark.train.seeds import seed_everything
from mmbench.corruptions.condition import Clean
from mmbench.corruptions.features import Drift
from mmbench.datasets.batch import Batch, Spec
from mmbench.datasets.locate import locate
from mmbench.methods.erm import ERM
from mmbench.methods.method import NoParams, Output
from torch import nn

from .test_lightning_module import Counting, data  # noqa: F401 (a fixture)

SPEC = Spec({"text": 6, "audio": 3}, "regression")


@dataclass(frozen=True)
class Fill(Drift):
    """Every step becomes the mean of the split."""

    mean: float | None = None

    def prepared(self, split: Batch) -> Self:
        assert self.mean is None, "prepared twice"
        assert bool(split.target.isnan().all()), "it sees targets"
        return replace(self, mean=float(split.features[self.modality].mean()))

    def corrupt(self, features: torch.Tensor, valid: torch.Tensor, draws: object) -> torch.Tensor:
        assert self.mean is not None
        return torch.full_like(features, self.mean)


class Plain:
    """A condition that knows nothing of splits."""

    name = "plain"
    alters = frozenset({"text"})

    def apply(self, batch: Batch) -> Batch:
        return replace(batch, features={**batch.features, "text": -batch.features["text"]})


def test_conditions_are_prepared_with_the_whole_split_and_need_not_know_of_it() -> None:
    count = EVALUATION_BATCH + 30
    split = planted_batch(SPEC, count=count, steps=4)
    torch.manual_seed(0)
    method = ERM(ERM.Params(), SPEC)
    found = outputs_under(method, split, [Clean(), Fill("audio", 2), Plain()])
    assert list(found) == ["clean", "drift:audio@2", "plain"]
    mean = split.features["audio"].mean()
    filled = replace(split, features={**split.features, "audio": mean.expand_as(split.features["audio"])})
    flipped = Plain().apply(split)
    with torch.inference_mode():
        for name, batch in (("clean", split), ("drift:audio@2", filled), ("plain", flipped)):
            expected = method.eval()(batch).prediction
            assert found[name].prediction == pytest.approx(expected, abs=1e-5)


class Telling(ERM):
    """Says of each sample how large its text is."""

    def fuse(self, embeddings: dict[str, torch.Tensor], batch: Batch) -> Output:
        size = batch.features["text"].square().mean(dim=(1, 2)).where(batch.present["text"], 0)
        output = super().fuse(embeddings, batch)
        return replace(output, confidence={"size": -size}, diagnostics={"size/text": size})


def split_of(count: int) -> Split:
    batch = planted_batch(SPEC, count=count, steps=4)
    names = np.array([f"s{row:03d}" for row in range(count)])
    before = torch.full((count,), -1)
    return Split(batch, names, np.full(count, ""), before, batch.target.numpy(), np.full(count, 2.0))


def test_confidences_are_in_every_table_and_diagnostics_where_they_are_asked_for() -> None:
    torch.manual_seed(0)
    method, split = Telling(ERM.Params(), SPEC), split_of(EVALUATION_BATCH + 5)
    size = split.batch.features["text"].square().mean(dim=(1, 2)).numpy()
    plain = prediction_table(method, {"test": split}).to_pandas()
    asked = diagnostics_table(method, split).to_pandas()
    clean, gone = (plain[plain.condition == name] for name in ("clean", "missing:text"))
    assert clean["confidence_size"].to_numpy() == pytest.approx(
        -size
    )  # of no unit: it is not rescaled with the labels
    assert (gone["confidence_size"] == 0).all()
    pd.testing.assert_frame_equal(asked.drop(columns="diagnostic_size/text"), plain)
    assert asked["diagnostic_size/text"].to_numpy() == pytest.approx(-plain["confidence_size"].to_numpy())
    features = feature_table(method, {"test": split}).to_pandas()
    assert features["confidence_size"].to_numpy() == pytest.approx(-size)
    quiet = ERM(ERM.Params(), SPEC)
    assert list(prediction_table(quiet, {"test": split}).to_pandas()) == [*list(plain)[:-1]]
    assert diagnostics_table(quiet, split).num_rows == 0


def test_what_is_not_one_number_a_sample_is_refused() -> None:
    split = split_of(EVALUATION_BATCH + 5)

    class Scalar(Telling):
        def fuse(self, embeddings: dict[str, torch.Tensor], batch: Batch) -> Output:
            output = super().fuse(embeddings, batch)
            return replace(output, confidence={"size": output.confidence["size"].mean()})

    class Sometimes(Telling):
        def fuse(self, embeddings: dict[str, torch.Tensor], batch: Batch) -> Output:
            output = super().fuse(embeddings, batch)
            return replace(output, confidence={} if len(batch) < EVALUATION_BATCH else output.confidence)

    with pytest.raises(ValueError, match=r"confidence size has shape \(\)"):
        prediction_table(Scalar(ERM.Params(), SPEC), {"test": split})
    with pytest.raises(ValueError, match="none for some samples, size for others"):
        prediction_table(Sometimes(ERM.Params(), SPEC), {"test": split})


def test_a_forward_of_its_own_is_what_is_tested(data: TaskData):  # noqa: F811
    class Shifted(Counting):
        def forward(self, batch: Batch) -> Output:
            return Output(super().forward(batch).prediction + 100)

    method = Shifted(NoParams(), data.spec("fair"))
    prediction = outputs_under(method, data.test.batch, default_conditions(["text"]))["clean"].prediction
    assert bool((prediction == 100).all())


def test_untouched_modalities_are_encoded_once(data: TaskData):  # noqa: F811
    method = Counting(NoParams(), data.spec("fair"))
    outputs = outputs_under(method, data.test.batch, default_conditions(["text", "audio"]))
    assert sorted(method.encoded) == ["audio", "text"]
    assert list(outputs) == ["clean", "missing:text", "missing:audio"]
    assert torch.all(outputs["missing:text"].prediction == 0)


def test_the_table_holds_every_sample_under_every_condition(data: TaskData):  # noqa: F811
    seed_everything(0)
    method = ERM(ERM.Params(), data.spec("fair"))
    table = prediction_table(method, {"valid": data.valid, "test": data.test}).to_pandas()
    counts = table.groupby(["split", "condition"], observed=True).size().to_dict()
    conditions = ("clean", "missing:text", "missing:audio")
    assert counts == {("valid", c): 12 for c in conditions} | {("test", c): 16 for c in conditions}
    rows = table[(table.split == "test") & (table.condition == "missing:audio")]
    absent = data.test.batch.with_present({"audio": torch.zeros(16, dtype=torch.bool)})
    with torch.no_grad():
        assert rows.score.tolist() == pytest.approx(method(absent).prediction.tolist(), abs=1e-5)
    assert rows.target.tolist() == data.test.batch.target.tolist()


def test_scores_are_on_the_dataset_s_own_scale(data_root: Path):
    request = TaskRequest("toy->toys", ("x",), ("text", "audio"), True, "strict", True, "cpu")
    shift = load_task(request, {name: locate(name, data_root) for name in ("toy", "toys")})
    method = Counting(NoParams(), shift.spec("fair"))
    nn.init.constant_(method.weight, 1.0)
    table = prediction_table(method, {"test": shift.test}).to_pandas()
    clean = table[table.condition == "clean"]
    assert clean.target.to_numpy() == pytest.approx(locate("toys", data_root).load()["test"].target, abs=1e-6)
    assert (
        clean.target.tolist() == locate("toys", data_root).load()["test"].target.tolist()
    )  # to the last bit
    expected = shift.test.batch.features["text"][:, 0, 0] / 3
    assert clean.score.to_numpy() == pytest.approx(expected.numpy(), abs=1e-5)
