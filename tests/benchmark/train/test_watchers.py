"""Loggers and callbacks look on: they are told what is recorded, and change nothing."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.launch.plan import plan
from mmbench.benchmark.launch.run import run
from mmbench.benchmark.planning.experiment import Experiment
from mmbench.benchmark.planning.loggers import LOGGERS
from mmbench.datasets import libraries

from ..conftest import write_dataset

EPOCHS = 2
CALLBACK = '''
import random

import torch
from lightning.pytorch import Callback

CALLBACKS = {"watch": "Watch"}


class Watch(Callback):
    """Notes what it sees."""

    def on_validation_end(self, trainer, module):
        epoch = module.record[-1]
        with open("seen.txt", "a", encoding="utf-8") as file:
            print(epoch.epoch, epoch.metric, trainer.current_epoch, file=file)
'''


def asked(root: Path, store: str, **more) -> Experiment:
    values = {
        "methods": "erm,majority",
        "datasets": "toy",
        "seeds": "0",
        "data_root": root / "data",
        "store": root / store,
        "launcher": "debug",
        "device": "cpu",
        "protocol": {"epochs": EPOCHS},
    }
    return Experiment.read({**values, **more})


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stores of the same jobs, one with every logger and a callback."""
    root = tmp_path_factory.mktemp("watched")
    write_dataset(root / "data" / "toy")
    (root / "watch.py").write_text(CALLBACK)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("WANDB_MODE", "offline")
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert run(asked(root, "plain")).ok
        assert run(asked(root, "watched", logger=",".join(LOGGERS), plugins=[root / "watch.py"])).ok
    return root


def fits(root: Path, store: str) -> dict[str, dict]:
    """Job -> the record of its training."""
    return {
        file.parent.name: json.loads(file.read_text()) for file in (root / store / "jobs").glob("*/fit.json")
    }


def job_of(root: Path, method: str) -> str:
    return next(job for job in fits(root, "watched") if method in job)


def test_ids_networks_and_predictions_are_those_without_a_logger(root: Path):
    plain, watched = fits(root, "plain"), fits(root, "watched")
    assert plain == watched
    assert len(plain) == 2
    for job in plain:
        for name in ("predictions.parquet", "weights.safetensors"):
            files = [root / store / "jobs" / job / name for store in ("plain", "watched")]
            assert files[0].read_bytes() == files[1].read_bytes(), name


@pytest.mark.parametrize("method", ["erm", "majority"])
def test_a_csv_file_has_the_record_of_every_epoch(root: Path, method: str):
    job = job_of(root, method)
    frame = pd.read_csv(root / "watched" / "loggers" / "csv" / job / "metrics.csv").set_index("step")
    epochs = fits(root, "watched")[job]["epochs"]
    assert list(frame.index) == [epoch["epoch"] for epoch in epochs]
    assert list(frame["valid/mae"]) == pytest.approx([epoch["metric"] for epoch in epochs])
    assert list(frame["valid/loss"]) == pytest.approx([epoch["loss"] for epoch in epochs])
    if method == "erm":
        assert list(frame["train/task"]) == pytest.approx([epoch["train"]["task"] for epoch in epochs])


def test_tensorboard_reads_the_record(root: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    job = job_of(root, "erm")
    events = EventAccumulator(str(root / "watched" / "loggers" / "tensorboard" / job)).Reload()
    read = [(event.step, event.value) for event in events.Scalars("valid/mae")]
    epochs = fits(root, "watched")[job]["epochs"]
    assert [step for step, _ in read] == list(range(EPOCHS))
    assert [value for _, value in read] == pytest.approx([epoch["metric"] for epoch in epochs], rel=1e-6)


def test_mlflow_reads_the_record_and_what_the_job_is(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow import MlflowClient

    job = job_of(root, "erm")
    client = MlflowClient((root / "watched" / "loggers" / "mlflow").absolute().as_uri())
    experiment = client.get_experiment_by_name("mmbench")
    assert experiment is not None
    (found,) = [one for one in client.search_runs([experiment.experiment_id]) if one.info.run_name == job]
    assert found.info.status == "FINISHED"
    assert (found.data.params["method"], found.data.params["seed"]) == ("erm", "0")
    read = client.get_metric_history(found.info.run_id, "valid/mae")
    epochs = fits(root, "watched")[job]["epochs"]
    assert [one.value for one in sorted(read, key=lambda one: one.step)] == pytest.approx(
        [epoch["metric"] for epoch in epochs]
    )


def wandb_records(file: Path) -> Iterator[bytes]:
    """The records of a file of wandb of one block: a header of 7 bytes, then records of LevelDB's log format."""
    data, place = file.read_bytes(), 7
    assert data[:4] == b":W&B"
    assert len(data) < 32_768
    while place < len(data):
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        assert kind == 1  # a whole record
        yield data[place + 7 : place + 7 + length]
        place += 7 + length


def test_wandb_keeps_an_offline_run_for_each_job(root: Path):
    from wandb.proto.wandb_internal_pb2 import Record  # pyright: ignore[reportAttributeAccessIssue]

    job, read = job_of(root, "erm"), []
    (file,) = (root / "watched" / "loggers" / "wandb" / "wandb").glob(f"offline-run-*-{job}/run-{job}.wandb")
    for data in wandb_records(file):
        record = Record()
        record.ParseFromString(data)
        row = {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
        read += [json.loads(row["valid/mae"])] if "valid/mae" in row else []
    assert read == pytest.approx([epoch["metric"] for epoch in fits(root, "watched")[job]["epochs"]])


def test_a_callback_of_a_plug_in_sees_the_record_of_each_epoch(root: Path):
    epochs = fits(root, "watched")[job_of(root, "erm")]["epochs"]
    seen = [line.split() for line in (root / "seen.txt").read_text().splitlines()]
    assert [(int(epoch), float(metric)) for epoch, metric, _ in seen] == [
        (e["epoch"], e["metric"]) for e in epochs
    ]
    assert [int(current) for *_, current in seen] == list(range(EPOCHS))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("class Odd:\n    pass\n", "callback odd: .*is no lightning.pytorch.Callback"),
        ("class Odd:\n    def __init__(self, key):\n        pass\n", "callback odd: cannot be made: .*'key'"),
        ("import no_such_module\n", "cannot be imported: .*no_such_module"),
        ("Other = 1\n", "has no Odd"),
    ],
)
def test_what_is_no_callback_is_refused_before_anything_runs(
    root: Path, tmp_path: Path, body: str, message: str
):
    (tmp_path / "odd.py").write_text(f'CALLBACKS = {{"odd": "Odd"}}\n\n\n{body}')
    with pytest.raises(UsageError, match=message):
        run(asked(root, "none", methods="erm", plugins=[tmp_path / "odd.py"]))
    assert not (root / "none").exists()


def test_wandb_without_a_key_is_refused_unless_it_works_offline(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("WANDB_MODE", "WANDB_API_KEY", "NETRC", "WANDB_BASE_URL", "WANDB_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="the logger wandb has no key here"):
        plan(asked(root, "none", logger="wandb"))
    logins = {"WANDB_MODE": "offline", "WANDB_API_KEY": "x" * 40, "NETRC": str(tmp_path / "keys")}
    (tmp_path / "keys").write_text("machine api.wandb.ai login user password key\n")
    for name, value in logins.items():
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            plan(asked(root, "none", logger="wandb"))


def test_an_unknown_logger_and_one_that_is_not_installed_are_said_before_anything_runs(
    root: Path, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(UsageError, match="unknown logger 'tensorbord': did you mean tensorboard"):
        asked(root, "none", logger="tensorbord")
    monkeypatch.setattr(libraries, "find_spec", lambda name: None)
    with pytest.raises(
        libraries.LibraryError, match="the logger wandb needs wandb: it is not installed: pip install"
    ):
        plan(asked(root, "none", logger="csv,wandb"))
    assert not (root / "none").exists()
