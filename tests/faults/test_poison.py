"""A pickle in any place where mmbench reads a file: it is refused with a reason, or not looked at, and never runs."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from ..benchmark.exchange.colleague import sign
from ..benchmark.report.test_faulty_results import Call
from .poison import POISONS, poison
from .runs import hashes
from .small import train

RUN = ("run", "--methods", "erm(layers=1)", "--device", "cpu", "--launcher", "debug", "--seeds", "0")
pytestmark = pytest.mark.parametrize("kind", POISONS)


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """What is touched if a poison runs; the test fails if it is there at its end."""
    yield tmp_path / "canary"
    assert not (tmp_path / "canary").exists()


@pytest.fixture
def bad(kind: str, canary: Path) -> bytes:
    return poison(kind, canary)


def refused(said: str, *words: object) -> None:
    """It ended with one line that says these words."""
    last = said.strip().splitlines()[-1]
    assert last.startswith("mmbench: "), said
    assert all(str(word) in last for word in words), said
    assert "Traceback" not in said


def job_of(folder: Path) -> Path:
    (job,) = folder.glob("runs/jobs/*")
    return job


def test_as_a_published_data_set(folder: Path, bad: bytes, call: Call, canary: Path):
    (folder / "data" / "mosi.pkl").write_bytes(bad)
    (folder / "elsewhere.pkl").write_bytes(bad)
    where = ("--data-root", folder / "data")
    for arguments in (
        (*RUN, "--datasets", "mosi", *where, "--store", folder / "new"),
        (
            *RUN,
            "--datasets",
            "sims",
            *where,
            "--data",
            f"sims={folder / 'elsewhere.pkl'}",
            "--store",
            folder / "new",
        ),
        ("data", "info", "mosi", *where),
    ):
        code, said = call(*arguments)
        assert code == 2, said
        refused(said, "which is refused", ".pkl")
    assert not (folder / "new").exists()


def test_as_an_array_of_objects(folder: Path, kind: str, call: Call, canary: Path):
    file = folder / "data" / "toy" / "train.npz"
    arrays = dict(np.load(file))
    poisoned = np.empty(arrays["label"].shape, dtype=object)
    poisoned[:] = [POISONS[kind](canary)] * len(poisoned)
    np.savez(file, **{**arrays, "label": poisoned}, allow_pickle=True)
    code, said = call(*RUN, "--datasets", "toy", "--data-root", folder / "data", "--store", folder / "new")
    assert code == 2
    refused(said, file, "an array of Python objects")


@pytest.mark.parametrize(
    "name", ["train.pkl", "train.npz", "train.npy", "train.parquet", "train.safetensors"]
)
def test_as_a_file_of_the_open_layout(folder: Path, bad: bytes, call: Call, canary: Path, name: str):
    own = folder / "data" / "toy"
    (own / name).write_bytes(bad)
    text = (own / "dataset.yaml").read_text()
    assert "train.npz" in text
    (own / "dataset.yaml").write_text(text.replace("train.npz", name))
    code, said = call(*RUN, "--datasets", "toy", "--data-root", folder / "data", "--store", folder / "new")
    assert code == 2
    refused(said, own)


@pytest.mark.parametrize("how", ["raw", "in torch's archive", "in an archive with weights"])
def test_as_a_checkpoint(folder: Path, trained: Path, bad: bytes, kind: str, canary: Path, how: str):
    job = job_of(folder)
    (job / "done.json").unlink()
    stream = io.BytesIO()
    if how == "raw":
        stream.write(bad)
    else:
        torch.save({"state": torch.ones(3), "identity": POISONS[kind](canary)}, stream)
    if how == "in an archive with weights":  # the pickle inside of it is another
        whole = zipfile.ZipFile(io.BytesIO(stream.getvalue()))
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as changed:
            for item in whole.infolist():
                changed.writestr(item, bad if item.filename.endswith("data.pkl") else whole.read(item))
    (job / "last.ckpt").write_bytes(stream.getvalue())
    assert train(folder).ok
    assert hashes(folder / "runs") == hashes(trained / "runs")


def test_as_weights(folder: Path, bad: bytes, canary: Path):
    job = job_of(folder)
    (job / "weights.safetensors").write_bytes(bad)
    sign(job)
    (outcome,) = train(folder, corruptions=["drift", "spikes"]).failed
    assert "the stored weights do not fit the method" in outcome.reason


@pytest.mark.parametrize(
    "name", ["predictions.parquet", "evaluations/drift.parquet", "fit.json", "environment.json", "job.json"]
)
def test_as_a_result(folder: Path, bad: bytes, kind: str, call: Call, canary: Path, name: str):
    job = job_of(folder)
    (job / name).write_bytes(bad)
    if name != "job.json":
        sign(job)
    for scores in job.glob("scores/*"):
        scores.unlink()
    for command in ("leaderboard", "status", *(("export", "plot", "findings") if kind == "system" else ())):
        _, said = call(command, "--store", folder / "runs")
        assert "Traceback" not in said
    code, said = call("leaderboard", "--store", folder / "runs", "--out", folder / "out")
    assert (code in (1, 2)) == (name not in ("fit.json", "environment.json")), said


def test_in_what_is_kept_of_tables(folder: Path, trained: Path, bad: bytes, call: Call, canary: Path):
    assert call("leaderboard", "--store", folder / "runs", "--format", "csv")[0] == 0
    table = (folder / "runs" / "leaderboards" / "accuracy.csv").read_bytes()
    kept = [*folder.glob("runs/made/**/*"), *folder.glob("runs/jobs/*/scores/*")]
    for file in kept:
        if file.is_file():
            file.write_bytes(bad)
    (folder / "runs" / "leaderboards" / "accuracy.csv").unlink()
    assert call("leaderboard", "--store", folder / "runs", "--format", "csv")[0] == 0
    assert (folder / "runs" / "leaderboards" / "accuracy.csv").read_bytes() == table


@pytest.mark.parametrize(
    "name", ["results.pkl", "predictions.parquet", "done.json", "evaluations/drift.parquet"]
)
def test_to_be_merged(folder: Path, bad: bytes, call: Call, canary: Path, name: str):
    job = job_of(folder)
    (job / name).write_bytes(bad)
    if name not in ("done.json", "results.pkl"):
        sign(job)
    code, said = call("merge", folder / "runs", "--store", folder / "ours")
    assert code == (0 if name == "results.pkl" else 1)
    assert ("ignored" if name == "results.pkl" else "refused") in said
    assert "Traceback" not in said
    assert not [file for file in folder.glob("ours/**/*") if file.is_file() and file.read_bytes() == bad]


@pytest.mark.parametrize("name", ["evil.pkl", "evil.py", "evil.so", "evil"])
def test_as_a_plug_in(folder: Path, bad: bytes, call: Call, canary: Path, name: str):
    (folder / name).write_bytes(bad)
    asked = ("--datasets", "toy", "--data-root", folder / "data", "--store", folder / "new")
    for command in (RUN, ("plan", "--methods", "erm(layers=1)"), ("check", "method", "erm")):
        more = asked if command[0] != "check" else ()
        code, said = call(*command, *more, "--plugin", folder / name)
        assert code == 2
        refused(said, f"plug-in {folder / name}")


def test_as_a_configuration(folder: Path, bad: bytes, kind: str, call: Call, canary: Path):
    tag = f"!!python/object/apply:os.system ['touch {canary}']"
    text = {"system": f"methods: {tag}", "objects": f"[1, {tag}]", "nested": f"data: {{mosi: {tag}}}"}[kind]
    for content in (bad, text.encode()):
        (folder / "asked.yaml").write_bytes(content)
        code, said = call("run", "--config", folder / "asked.yaml", "--store", folder / "new")
        assert code == 2
        refused(said, "asked.yaml")
        (folder / "data" / "toy" / "dataset.yaml").write_bytes(content)
        code, said = call(
            *RUN, "--datasets", "toy", "--data-root", folder / "data", "--store", folder / "new"
        )
        assert code == 2
        refused(said, "dataset.yaml")
        job = job_of(folder)
        (job / "done.json").unlink(missing_ok=True)
        (job / "failed.json").write_text(json.dumps({"reason": "as was"}))
        for asked in folder.glob("runs/asked/*.yaml"):
            asked.write_bytes(content)
        code, said = call("retry", "--store", folder / "runs")
        assert code == 2
        refused(said, ".yaml")
