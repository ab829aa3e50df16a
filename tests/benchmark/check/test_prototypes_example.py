"""The example with prototypes: each optional part of the contract does there what it is for, and tables show it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from mmbench.benchmark.check.conformance import check_method
from mmbench.benchmark.check.planted import planted_batch
from mmbench.benchmark.core.protocol import Protocol
from mmbench.benchmark.core.registry import find
from mmbench.benchmark.exchange.merge import merge
from mmbench.benchmark.train.lightning_module import fit
from mmbench.datasets.batch import Spec
from mmbench.datasets.dataset import SPLITS, Samples, Target
from mmbench.datasets.layout.write import write_open_layout
from mmbench.methods.method import Method

from ..conftest import Call

FILE = Path(__file__).parents[3] / "docs" / "examples" / "prototypes.py"
SPEC = Spec({"text": 6, "audio": 3}, "classification", classes=3)
OUTLIERS = 0.3


@pytest.fixture(scope="module")
def example() -> type[Method]:
    return find("method", "prototype_gate", (FILE,)).load()


def build(example: type[Method]) -> Any:
    torch.manual_seed(0)
    return example(example.Params(width=8), SPEC)


def test_it_keeps_its_contract(example: type[Method]):
    failed = [result for result in check_method(example) if not result.ok]
    assert not failed


def test_prototypes_are_the_means_of_classes_over_all_batches(example: type[Method]):
    method, batch = build(example), planted_batch(SPEC, count=60)
    audible = torch.arange(60) % 4 > 0  # some samples have no audio, and none in their prototype
    batch = batch.with_present({"text": batch.present["text"], "audio": audible})
    method.before_epoch(lambda: iter((batch.take(slice(0, 25)), batch.take(slice(25, 60)))), done=0.0)
    with torch.no_grad():
        for i, (name, known) in enumerate((("text", torch.ones(60, dtype=torch.bool)), ("audio", audible))):
            embedded = method.encode(name, batch).numpy()
            means = [embedded[(known & (batch.target == k)).numpy()].mean(axis=0) for k in range(3)]
            assert method.prototypes[i].numpy() == pytest.approx(np.stack(means), abs=1e-5)
            away = np.linalg.norm(embedded[:, None] - np.stack(means), axis=-1).min(axis=1)
            assert float(method.unit[i]) == pytest.approx(away[known.numpy()].mean(), rel=1e-4)


def test_each_step_moves_one_branch_and_the_last_the_gate(example: type[Method]):
    method, batch = build(example), planted_batch(SPEC, count=40)
    parts = {"encoders.0": 0, "heads.0": 0, "encoders.1": 1, "heads.1": 1, "bias": 2, "sharpness": 2}
    for place, backward in enumerate(method.optimizer_steps(batch)):
        method.zero_grad()
        (term,) = backward()
        assert term == (*method.names, "gate")[place]
        moved = {name for name, value in method.named_parameters() if value.grad is not None}
        assert moved == {
            name
            for name, _ in method.named_parameters()
            if parts[name.removesuffix(".weight").removesuffix(".bias")] == place
        }


def test_the_gate_is_trained_at_its_own_rate(example: type[Method]):
    """The first step of Adam is as long as its rate."""
    method, batch = build(example), planted_batch(SPEC, count=40)
    before = {name: value.detach().clone() for name, value in method.named_parameters()}
    rules = Protocol.model_validate({"epochs": 1, "batch_size": 64, "learning_rate": 1e-3})
    fit(method, rules, batch, planted_batch(SPEC, count=12, seed=1), 0, lambda *told: None)
    step = {
        name: float((value.detach() - before[name]).abs().max()) for name, value in method.named_parameters()
    }
    assert step["sharpness"] == pytest.approx(1e-2, rel=0.1)
    assert step["heads.0.weight"] == pytest.approx(1e-3, rel=0.1)


def planted(count: int, seed: int, outliers: float = 0.0) -> Samples:
    """Two classes that lie to both sides of the origin. Outliers lie far out on a side that says nothing of their class:
    a softmax is surest there, and a distance is not."""
    draw = np.random.default_rng(seed)
    target = draw.integers(0, 2, count)
    far = draw.random(count) < outliers
    side = np.where(far, draw.choice([-1.0, 1.0], count), 2.0 * target - 1)
    features = {
        name: (
            (np.where(far, 8.0, 1.0) * side)[:, None, None] + 0.8 * draw.normal(size=(count, 1, width))
        ).astype(np.float32)
        for name, width in (("text", 4), ("audio", 3))
    }
    return Samples(
        features=features,
        mask={name: np.ones((count, 1), bool) for name in features},
        present={name: np.ones(count, bool) for name in features},
        target=target.astype(np.int64),
        sample_id=np.array([f"{seed}-{row}" for row in range(count)]),
        domain=np.full(count, ""),
        previous=np.full(count, -1),
    )


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, of which the test has outliers."""
    folder = tmp_path_factory.mktemp("prototypes")
    sizes = {"train": (160, 0.0), "valid": (40, 0.0), "test": (160, OUTLIERS)}
    splits = {split: planted(sizes[split][0], place, sizes[split][1]) for place, split in enumerate(SPLITS)}
    target = Target("classification", classes=("left", "right"), metrics="classification")
    write_open_layout(folder / "data" / "sides", splits, target)
    return folder


def value(frame: pd.DataFrame, column: str, **at: str) -> float:
    rows = frame
    for name, wanted in at.items():
        rows = rows[rows[name] == wanted]
    assert len(rows) == 1, at
    return float(np.asarray(rows[column])[0])


def test_the_tables_judge_its_confidence_and_follow_its_gate(call: Call, tables: Path):
    run = (
        "run", "--methods", "prototype_gate,erm(layers=1)", "--datasets", "sides", "--epochs", "6", "--seeds", "0",
        "--launcher", "debug", "--device", "cpu", "--plugin", FILE,
        "--data-root", tables / "data", "--store", tables / "runs", "--learning-rate", "0.01",
    )  # fmt: skip
    code, said = call(*run, "--corruptions", "gaussian-noise")
    assert code == 0, said
    board = (
        "leaderboard",
        "--store",
        tables / "runs",
        "--out",
        tables,
        "--format",
        "csv,md,latex,html,terminal",
    )
    code, said = call(*board, "--what", "mechanism")
    assert code == 2
    assert "run again with --diagnostics" in said

    weights = {file: file.stat().st_mtime_ns for file in tables.glob("runs/jobs/*/weights.safetensors")}
    code, said = call(*run, "--corruptions", "gaussian-noise", "--diagnostics")
    assert code == 0, said
    assert {file: file.stat().st_mtime_ns for file in weights} == weights  # nothing is trained for them
    code, said = call(*board, "--what", "misd,mechanism,audit")
    assert code == 0, said

    assert "prototype_gate, own:nearness" in said  # a row beside that of the largest probability
    misd = pd.read_csv(tables / "misd.csv", keep_default_na=False)
    own = {"method": "prototype_gate", "metric": "misd_auroc"}
    nearness = value(misd, "mean", condition="own:nearness", **own)
    softmax = value(misd, "mean", condition="max_softmax", **own)
    assert nearness > 0.85  # half of the outliers are right by chance, so that 0.91 is the most
    assert softmax < 0.6
    assert "own:nearness" not in set(misd.loc[misd["method"] != "prototype_gate", "condition"])

    mechanism = pd.read_csv(tables / "mechanism.csv", keep_default_na=True)
    assert set(mechanism["method"]) == {"prototype_gate"}  # erm has no diagnostics
    gate = {"diagnostic": "gate/audio"}
    assert value(mechanism, "rho_severity_high", condition="mean:audio", **gate) < 0
    assert value(mechanism, "rho_severity_low", condition="mean:text", **gate) > 0
    assert value(mechanism, "own_minus_other_high", condition="mean:audio", **gate) < 0
    steps = [value(mechanism, f"severity_{level}", condition="mean:audio", **gate) for level in range(1, 6)]
    assert steps == sorted(steps, reverse=True)
    for file in ("mechanism.md", "mechanism.tex", "leaderboard.html"):
        assert "gate/audio" in (tables / file).read_text(), file

    report = merge(tables / "runs", tables / "taken")
    assert report.ok
    (folder,) = tables.glob("taken/jobs/*prototype-gate*")
    told = pd.read_parquet(folder / "evaluations" / "diagnostics-gaussian-noise.parquet")
    assert {"confidence_nearness", "diagnostic_gate/text", "diagnostic_gate/audio"} <= set(told)
