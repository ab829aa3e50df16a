"""Operations of a prediction, against counts by hand; and that they are stored where they are asked for alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from mmbench.benchmark import Experiment, run
from mmbench.benchmark.check.planted import planted_batch
from mmbench.benchmark.report.results import results
from mmbench.benchmark.train.inference_cost import inference_cost
from mmbench.datasets.batch import Batch, Spec
from mmbench.leaderboards.tables.cost import cost
from mmbench.methods.erm import ERM, ERMParams
from mmbench.methods.method import Output
from torch import nn

from ..conftest import write_dataset

SPEC = Spec({"text": 3}, "regression")
STEPS = 7


class Recurrent(ERM):
    """An LSTM and a linear map: known numbers of products."""

    def __init__(self, params: ERMParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.lstm, self.out = nn.LSTM(3, 5, batch_first=True), nn.Linear(5, 1)
        self.targets: list[torch.Tensor] = []

    def forward(self, batch: Batch) -> Output:
        self.targets.append(batch.target)
        return Output(self.out(self.lstm(batch.features["text"])[0][:, -1]).squeeze(-1))


class Asked(ERM):
    """A linear map of a parameter, which is the only input that it has."""

    def __init__(self, params: ERMParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.query, self.out = nn.Parameter(torch.zeros(1, 5)), nn.Linear(5, 1)

    def forward(self, batch: Batch) -> Output:
        return Output(self.out(self.query).squeeze(-1))


def test_operations_are_those_of_one_sample_by_hand():
    network = Recurrent(ERM.Params(width=8, layers=1), SPEC)
    found = inference_cost(network, planted_batch(SPEC, count=6, steps=STEPS))
    gates = 4 * 5
    assert found["flops_per_sample"] == 2 * (STEPS * gates * (3 + 5) + 5)
    assert 0 < found["latency_seconds"] < 60
    assert {len(target) for target in network.targets} == {1}
    assert bool(torch.cat(network.targets).isnan().all())


def test_a_transformer_is_counted_without_its_fused_kernel():
    network = ERM(ERM.Params(width=8, layers=2), SPEC)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    batch = planted_batch(SPEC, count=4, steps=STEPS)
    fast = torch.backends.mha.get_fastpath_enabled()
    few = inference_cost(network, batch)["flops_per_sample"]
    deeper = inference_cost(ERM(ERM.Params(width=8, layers=3), SPEC), batch)["flops_per_sample"]
    steps = STEPS
    # Projections of queries, keys, values and output, and two maps of the feed-forward network, at least.
    assert deeper - few >= 2 * steps * (4 * 8 * 8 + 2 * 8 * 8)
    assert torch.backends.mha.get_fastpath_enabled() == fast
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_parameter_that_a_layer_is_given_as_its_input_is_counted():
    network = Asked(ERM.Params(width=8, layers=1), SPEC)
    found = inference_cost(network, planted_batch(SPEC, count=4, steps=STEPS))
    assert found["flops_per_sample"] == 2 * 5
    assert network.query.requires_grad


def test_a_job_stores_them_where_they_are_asked_for(tmp_path: Path):
    write_dataset(tmp_path / "data" / "toy")
    asked = {"datasets": ["toy"], "modalities": ["text"], "protocol": {"epochs": 1}, "launcher": "debug"}
    asked |= {"device": "cpu", "data_root": tmp_path / "data", "store": tmp_path / "runs"}
    assert run(Experiment.read({**asked, "methods": ["erm(layers=1)"], "seeds": [0], "measure": True})).ok
    assert run(Experiment.read({**asked, "methods": ["erm(layers=1)"], "seeds": [1]})).ok
    both = {one.seed: one for one in results(tmp_path / "runs")}
    assert both[0].cost["flops_per_sample"] > 0
    assert "flops_per_sample" not in both[1].cost
    environment = json.loads((tmp_path / "runs" / "jobs" / both[1].job / "environment.json").read_text())
    assert not {"flops_per_sample", "latency_seconds"} & environment.keys()
    table = cost([both[0]]).set_index("metric")
    assert table.loc["flops_per_sample", "mean"] == both[0].cost["flops_per_sample"]
    assert table.loc["latency_seconds", "mean"] == pytest.approx(both[0].cost["latency_seconds"])
    assert "latency_seconds" not in set(cost([both[1]])["metric"])
    hole = cost(both.values()).set_index("metric").loc["latency_seconds", "hole"]
    assert hole == "not recorded: it is measured when a network is trained with --measure"
