"""An interrupted training that goes on ends where an uninterrupted one ends."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from mmbench.benchmark import checkpoint
from mmbench.benchmark.checkpoint import Keeper
from mmbench.benchmark.data import Request, TaskData, load_task
from mmbench.benchmark.experiment import Protocol
from mmbench.benchmark.predict import prediction_table
from mmbench.benchmark.registry import find
from mmbench.benchmark.seeds import seed_everything
from mmbench.benchmark.training import fit
from mmbench.datasets.locate import locate
from mmbench.methods import METHODS
from mmbench.methods.erm import ERM

from .conftest import write_dataset

PROTOCOL = Protocol.model_validate({"epochs": 4, "batch_size": 16, "train_with_missing": "patterns"})


@pytest.fixture(autouse=True)
def every_epoch(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checkpoint, "INTERVAL", 0.0)
    monkeypatch.setattr(checkpoint, "PATIENCE", 0.0)


@pytest.fixture
def data(data_root: Path) -> TaskData:
    """Two source domains, so that terms between domains are at work."""
    write_dataset(data_root / "toyz", 4)
    names = ("toy", "toyz", "toys")
    request = Request("toy+toyz->toys", names, ("text", "audio"), True, "strict", True, "cpu")
    return load_task(request, {name: locate(name, data_root) for name in names})


class InterruptionError(Exception):
    pass


def train(name: str, data: TaskData, keeper: Keeper | None = None, until: int | None = None) -> tuple:
    method_class = find("method", name, ()).load()
    seed_everything(3, "initial weights")
    method = method_class(method_class.Params(), data.spec("fair"))
    given = data.with_context() if method_class.uses_context else data
    seed_everything(3, "training")

    def report(epoch: int, share: float, ended: object) -> None:
        if until is not None and epoch == until and share > 0.5:
            raise InterruptionError

    training = fit(method, PROTOCOL, given.train.batch, given.valid.batch, 3, report, keeper)
    table = prediction_table(method, {"test": given.test})
    return table, training.record, training.selected_epoch


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_goes_on_as_if_nothing_had_been(name: str, data: TaskData, tmp_path: Path):
    table, record, selected = train(name, data)
    for until in (1, 3):  # in the middle of an epoch, twice; once in each stage of those that have two
        with pytest.raises(InterruptionError):
            train(name, data, Keeper(tmp_path / "last.ckpt", {"job": name}), until)
    seed_everything(99)
    keeper = Keeper(tmp_path / "last.ckpt", {"job": name})
    again, record_again, selected_again = train(name, data, keeper)
    assert keeper.resumed == [1, 3]
    assert record_again == record
    assert selected_again == selected
    assert again.equals(table)


@pytest.mark.parametrize("fault", ["another job", "cut short", "no checkpoint"])
def test_what_is_of_no_use_is_not_gone_on_from(fault: str, data: TaskData, tmp_path: Path):
    file = tmp_path / "last.ckpt"
    table, *_ = train("erm", data)
    with pytest.raises(InterruptionError):
        train("erm", data, Keeper(file, {"job": "another" if fault == "another job" else "erm"}), 2)
    if fault == "cut short":
        file.write_bytes(file.read_bytes()[:1000])
    if fault == "no checkpoint":
        file.write_bytes(b"a pickle of something else")
    keeper = Keeper(file, {"job": "erm"})
    again, *_ = train("erm", data, keeper)
    assert keeper.resumed == []
    assert again.equals(table)


def test_nothing_in_a_checkpoint_is_executed(tmp_path: Path, data: TaskData):
    touched = tmp_path / "touched"

    @dataclass
    class Bad:
        def __reduce__(self):
            return Path.touch, (touched,)

    torch.save(
        {"identity": {"job": "erm"}, "seconds": 0.0, "resumed": [], "state": Bad()}, tmp_path / "last.ckpt"
    )
    train("erm", data, Keeper(tmp_path / "last.ckpt", {"job": "erm"}))
    assert not touched.exists()


def test_a_state_that_cannot_be_written_is_not_written(data: TaskData, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(ERM, "__init__", _with_a_handle(ERM.__init__))
    train("erm", data, Keeper(tmp_path / "last.ckpt", {"job": "erm"}))
    assert not (tmp_path / "last.ckpt").exists()


def _with_a_handle(make):
    def made(self, *arguments):
        make(self, *arguments)
        self.words = iter("abc")

    return made


def test_the_state_is_written_seldom_where_writing_is_slow(data: TaskData, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(checkpoint, "PATIENCE", 1e6)
    keeper = Keeper(tmp_path / "last.ckpt", {"job": "erm"})
    written = []
    monkeypatch.setattr(checkpoint, "write_atomic", lambda *given: written.append(given))
    train("erm", data, keeper)
    assert len(written) == 1
