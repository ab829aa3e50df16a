"""What the code of a training loads: a worker starts once for many jobs, and on a cluster once for each."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

#: Parts of the package that no training needs.
ABOVE = (
    "mmbench.leaderboards",
    "mmbench.slurm",
    "mmbench.benchmark.report",
    "mmbench.benchmark.launch",
    "mmbench.benchmark.exchange",
    "mmbench.benchmark.check",
    "mmbench.benchmark.cli",
)
#: What a worker does not need until its job has ended.
LATER = (
    "mmbench.leaderboards.tables",
    "mmbench.benchmark.report",
    "mmbench.slurm",
    "mmbench.benchmark.launch.local_pool",
    "mmbench.benchmark.launch.launcher",
    "mmbench.benchmark.launch.detached",
    "mmbench.benchmark.launch.plan",
    "mmbench.benchmark.launch.run",
)
#: Libraries that take seconds to import.
SLOW = (
    "matplotlib",
    "transformers",
    "torchvision",
    "torchaudio",
    "timm",
    "sklearn",
    "scipy.signal",
    "torchmetrics.functional",
)
CODE = """
import json, sys
import mmbench.benchmark.train.job_runner
trains = list(sys.modules)
import mmbench.benchmark.launch.worker
works = list(sys.modules)
import mmbench.benchmark.train.lightning_module
networks = list(sys.modules)
import torch
from lightning.pytorch.utilities import compile as compiled
layer = torch.nn.Linear(3, 2)
optimiser = torch.optim.AdamW(layer.parameters())
def step(inputs):
    optimiser.zero_grad()
    layer(inputs).sum().backward()
    optimiser.step()
    return layer.weight.detach().clone()
step(torch.ones(4, 3))
class Doubled(torch.nn.Module):
    @torch.compiler.disable
    def forward(self, inputs):
        return 2 * inputs
trained = list(sys.modules)
before = isinstance(layer, compiled.OptimizedModule)
import torch._dynamo.config as config
once = config is sys.modules["torch._dynamo.config"] is torch._dynamo.config and config.__spec__.origin == config.__file__
fast = torch.compile(layer, backend="eager")
alike = torch.equal(fast(torch.ones(1, 3)), layer(torch.ones(1, 3))) and torch.compile(Doubled(), backend="eager")(3) == 6
alike = alike and torch.compile(step, backend="eager")(torch.ones(4, 3)).shape == (2, 3)
after = isinstance(fast, compiled.OptimizedModule) and not isinstance(layer, compiled.OptimizedModule)
from lightning.pytorch.core import module
import torchmetrics
same = torchmetrics.Metric is module.Metric and torchmetrics.MetricCollection is module.MetricCollection
from torchmetrics import MeanMetric, functional
whole = hasattr(functional, "accuracy") and issubclass(MeanMetric, module.Metric)
mean = MeanMetric()
mean.update(1.0)
figure, _ = mean.plot()
whole = whole and len(figure.axes) == 1

print(json.dumps({
    "trains": trains, "works": works, "networks": networks, "same": same, "whole": whole,
    "trained": trained, "compiles": [not before, once, alike, after],
}))
"""


@pytest.fixture(scope="module")
def new_process() -> dict:
    """The modules of a process after it imported the job runner, and then the worker; how it found torchmetrics."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_the_job_runner_loads_no_tables_and_no_launcher(new_process: dict):
    assert "mmbench.benchmark.train.job_runner" in new_process["trains"]
    assert [name for name in new_process["trains"] if name.startswith(ABOVE)] == []


def test_the_worker_loads_no_table_and_no_launcher(new_process: dict):
    assert "mmbench.benchmark.launch.worker" in new_process["works"]
    assert [name for name in new_process["works"] if name.startswith(LATER)] == []


def test_a_worker_loads_no_library_that_its_job_may_not_need(new_process: dict):
    assert [name for name in new_process["networks"] if name in SLOW] == []


def test_lightning_is_loaded_for_networks_alone(new_process: dict):
    assert not {"lightning", "torch._dynamo"} & {*new_process["works"]}
    assert "lightning" in new_process["networks"]


def test_torchmetrics_is_whole_when_it_is_asked_for(new_process: dict):
    assert new_process["same"]
    assert new_process["whole"]


def test_a_step_of_training_loads_no_compiler_and_what_is_compiled_does(new_process: dict):
    assert "torch._dynamo" in new_process["trained"]
    assert [name for name in new_process["trained"] if name.startswith("torch._dynamo.")] == []
    assert new_process["compiles"] == [True] * 4


def test_reading_a_store_loads_no_tables():
    code = "import sys, mmbench.benchmark.store.reader; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "mmbench.leaderboards.tables" not in done.stdout.split()
