"""A language model from the command line: trained, interrupted, named in the audit, timed and told apart."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from mmbench.benchmark.check.doctor import _method
from mmbench.benchmark.core.protocol import Protocol
from mmbench.benchmark.planning import base_models
from mmbench.benchmark.train import checkpoint
from mmbench.benchmark.train.checkpoint import Checkpointer
from mmbench.benchmark.train.lightning_module import fit
from mmbench.benchmark.train.seeds import seed_everything
from mmbench.benchmark.train.weights import trained_share
from mmbench.datasets.encoders.language_model import load_language_model
from safetensors.numpy import load_file

from ...methods.language.test_lmm import TEST, TRAIN, network, said, spec_of
from ...methods.language.tiny_models import save_llama
from ..conftest import Call
from .test_media_method import FAST, save_model, succeed


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("base") / "small")


@pytest.fixture(scope="module")
def trained(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sentences with scores, and two jobs on them: a trained hidden state, and answers without training."""
    folder = tmp_path_factory.mktemp("scores")
    own = folder / "data" / "own"
    own.mkdir(parents=True)
    draw = np.random.default_rng(0)
    rows = ["sample_id,text,split,label"]
    for clip in range(60):
        good = int(draw.integers(0, 5))
        words = " ".join(draw.permutation(["good"] * good + ["bad"] * (4 - good)))
        rows.append(f"c{clip},{words},{('train', 'train', 'train', 'valid', 'test')[clip // 12]},{good - 2}")
    (own / "clips.csv").write_text("\n".join(rows) + "\n")
    (own / "media.yaml").write_text(
        "table: clips.csv\nmodalities: {text: text}\ntask: {kind: regression, range: [-3, 3], metrics: mosi}\n"
    )
    data = ("--data-root", folder / "data")
    succeed("data", "encode", "own", *data, "--encoder", f"text=text:{save_model(folder / 'bert')}")
    common = f"model={llama},question=sentiment ?"
    methods = f"lmm({common},rank=4,lora_rate=1.0,width=32),lmm({common},readout=zero_shot)"
    succeed(
        "run", "--methods", methods, "--datasets", "own", "--epochs", "8", "--batch-size", "8", *FAST[:-1], "0.01",
        *data, "--store", folder / "runs", "--measure", "--diagnostics", "--corruptions", "words",
    )  # fmt: skip
    return folder


def jobs(folder: Path) -> dict[str, Path]:
    """Readout -> the folder of its job."""
    found = list((folder / "runs" / "jobs").iterdir())
    return {json.loads((job / "job.json").read_text())["params"]["readout"]: job for job in found}


def test_both_are_run_and_the_trained_one_tells_the_words(trained: Path):
    errors = {}
    for readout, job in jobs(trained).items():
        table = pd.read_parquet(job / "predictions.parquet")
        clean = table[(table.condition == "clean") & (table.split == "test")]
        errors[readout] = float((clean.score - clean.target).abs().mean())
    assert errors["discriminative"] < 0.75 * errors["zero_shot"]


def test_adapters_and_head_are_stored_and_the_base_is_named(trained: Path, llama: Path, call: Call):
    found = jobs(trained)
    state = load_file(found["discriminative"] / "weights.safetensors")
    assert state
    assert all("lora_" in name or name.startswith("head.") for name in state)
    assert not load_file(found["zero_shot"] / "weights.safetensors")
    record = json.loads((found["discriminative"] / "fit.json").read_text())
    (name,) = record["bases"]
    assert name == f"llm {llama.name}"
    assert 0 < record["trained_share"] < 0.5
    code, told = call("leaderboard", "--store", trained / "runs", "--what", "audit")
    assert code == 0, told
    assert f"{name}: {record['bases'][name][:16]}" in told


def test_what_it_costs_and_how_often_no_answer_was_understood_are_in_tables(trained: Path, call: Call):
    tables = trained / "runs" / "leaderboards"
    for what in ("cost", "mechanism"):
        code, told = call("leaderboard", "--store", trained / "runs", "--what", what, "--format", "csv")
        assert code == 0, told
    cost = pd.read_csv(tables / "cost.csv").set_index(["method", "metric"])["mean"].unstack()
    zero = cost.index.str.contains("zero_shot")
    assert cost.loc[zero, "trained_share"].tolist() == [0]
    assert min(cost.loc[~zero, "trained_share"].tolist()) > 0
    assert min(cost["latency_seconds"].tolist()) > 0
    assert min(cost["flops_per_sample"].tolist()) > 0
    told = (tables / "mechanism.csv").read_text()
    assert "unparsed" in told
    assert "clipped" in told


def test_an_interrupted_training_goes_on_as_if_nothing_had_been(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(checkpoint, "INTERVAL", 0.0)
    monkeypatch.setattr(checkpoint, "PATIENCE", 0.0)
    rules = Protocol.model_validate({"epochs": 3, "batch_size": 16})
    train, valid, test = TRAIN.take(slice(0, 32)), TEST.take(slice(0, 8)), TEST.take(slice(8, 16))

    class InterruptionError(Exception):
        pass

    def run(file: str, until: int | None = None) -> torch.Tensor:
        seed_everything(3, "initial weights")
        method = network(str(llama), spec_of(TRAIN), seed=3, dropout=0.2, lora_dropout=0.1)
        seed_everything(3, "training")

        def report(epoch: int, share: float, ended: object) -> None:
            if epoch == until and share > 0.5:
                raise InterruptionError

        fit(method, rules, train, valid, 3, report, checkpointer=Checkpointer(tmp_path / file, {}))
        return said(method, test)

    whole = run("one")
    with pytest.raises(InterruptionError):
        run("other", until=1)
    assert (tmp_path / "other").stat().st_size > 0
    assert torch.equal(run("other"), whole)


def test_the_trained_share_counts_the_numbers_that_four_bits_stand_for(tmp_path: Path):
    pytest.importorskip("bitsandbytes")
    folder = str(save_llama(tmp_path / "wide", hidden=64))
    exact, coarse = (trained_share(network(folder, spec_of(TRAIN), weights=w)) for w in ("float32", "nf4"))
    assert exact == pytest.approx(coarse)


@pytest.mark.parametrize(
    ("asked", "gone", "reason"),
    [
        ("lmm", "", "the parameter model names no model"),
        ("lmm(model=./gone)", "", "no such file or folder as"),
        (
            "lmm(model=FOLDER,weights=nf4)",
            "bitsandbytes",
            "needs bitsandbytes: it is not installed: pip install",
        ),
        ("lmm(model=FOLDER)", "peft", "needs peft"),
        ("lmm(model=FOLDER/small.gguf)", "gguf", "needs gguf"),
        ("lmm(model=FOLDER,readout=generated)", "", "generative"),
        ("lmm(model=FOLDER/bare)", "", "bare holds no tokenizer: put its tokenizer.json"),
        ("lmm(model=FOLDER/small.gguf)", "", "small.gguf: is no GGUF file, or is cut off"),
    ],
)
def test_what_is_missing_is_said_before_anything_runs(
    trained: Path, llama: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch,
    asked: str, gone: str, reason: str,
):  # fmt: skip
    import importlib.util
    import re

    (llama / "small.gguf").touch()
    (llama / "bare").mkdir(exist_ok=True)
    for name in ("config.json", "model.safetensors"):
        shutil.copy(llama / name, llama / "bare" / name)
    known = importlib.util.find_spec
    hidden = lambda name, *rest: None if gone and name.startswith(gone) else known(name, *rest)  # noqa: E731
    monkeypatch.setattr("mmbench.datasets.libraries.find_spec", hidden)
    code, told = call(
        "run", "--methods", asked.replace("FOLDER", str(llama)), "--datasets", "own", *FAST,
        "--data-root", trained / "data", "--store", tmp_path / "runs",
    )  # fmt: skip
    assert code == 2, told
    assert re.search(reason, told.replace("\n", " ")), told
    assert not list(tmp_path.glob("runs/jobs/*"))


def test_a_base_that_does_not_fit_is_refused_and_the_doctor_says_so(
    llama: Path, trained: Path, call: Call, monkeypatch: pytest.MonkeyPatch
):
    need = sum(one.numel() for one in load_language_model(str(llama)).module.parameters()) * 4
    asked = ("plan", "--methods", f"lmm(model={llama})", "--datasets", "own", "--data-root", trained / "data")
    monkeypatch.setattr(base_models, "machine_bytes", lambda: need)
    monkeypatch.setattr(base_models, "gpu_bytes", lambda: None)
    assert call(*asked)[0] == 0
    found = _method(f"lmm(model={llama})", ())
    assert (found.state, found.found) == ("ok", "0.0 GiB of weights as float32")
    monkeypatch.setattr(base_models, "machine_bytes", lambda: need - 1)
    code, told = call(*asked)
    assert code == 2, told
    reason = "as float32, and this machine has 0.0: take weights=nf4 or a smaller model"
    assert reason in " ".join(told.split())
    found = _method(f"lmm(model={llama})", ())
    assert found.state == "missing"
    assert reason in found.found
    assert call(*asked, "--launcher", "slurm")[0] == 0  # whose memory is not that of this machine


def test_data_without_raw_media_are_refused_before_anything_runs(llama: str, data_root: Path, call: Call):
    code, told = call(
        "plan", "--methods", f"lmm(model={llama})", "--datasets", "toy", "--data-root", data_root
    )
    assert code == 2, told
    assert "method lmm reads raw media, and no modality of" in told
    assert "mmbench data encode" in told.replace("\n", " ")
