"""An interrupted training that goes on ends where an uninterrupted one ends."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from mmbench.benchmark.core.method_spec import describe
from mmbench.benchmark.core.protocol import Protocol
from mmbench.benchmark.core.registry import find
from mmbench.benchmark.data.tensors import TaskData, TaskRequest, load_task
from mmbench.benchmark.train import checkpoint
from mmbench.benchmark.train.checkpoint import Checkpointer
from mmbench.benchmark.train.lightning_module import fit
from mmbench.benchmark.train.optimizer import plateau_share
from mmbench.benchmark.train.predict import prediction_table
from mmbench.benchmark.train.seeds import seed_everything
from mmbench.datasets.locate import locate
from mmbench.methods import NETWORKS
from mmbench.methods.erm import ERM
from mmbench.methods.shared.networks import SharedNetworkParams

from ..cli.test_run import contents, until
from ..conftest import MMBENCH, write_dataset

PROTOCOL = Protocol.model_validate({"epochs": 4, "batch_size": 16, "train_with_missing": "patterns"})


@pytest.fixture(autouse=True)
def every_epoch(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checkpoint, "INTERVAL", 0.0)
    monkeypatch.setattr(checkpoint, "PATIENCE", 0.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TaskData:
    """Two source domains, so that terms between domains are at work."""
    return _of_new_domains(tmp_path_factory.mktemp("scores"), "regression")


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> TaskData:
    """The same with classes, for methods that have no loss of scores."""
    return _of_new_domains(tmp_path_factory.mktemp("classes"), "classification")


def _of_new_domains(root: Path, kind: str) -> TaskData:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(root / "cache"))
        for seed, name in enumerate(("one", "two", "three")):
            write_dataset(root / name, seed, kind)
        return of_two_domains(root, "one", "two", "three")


def of_two_domains(root: Path, *names: str) -> TaskData:
    task = f"{names[0]}+{names[1]}->{names[2]}"
    request = TaskRequest(task, names, ("text", "audio"), True, "strict", True, "cpu")
    return load_task(request, {name: locate(name, root) for name in names})


class InterruptionError(Exception):
    pass


def train(
    name: str,
    data: TaskData,
    checkpointer: Checkpointer | None = None,
    until: int | None = None,
    rules: Protocol = PROTOCOL,
) -> tuple:
    method_class = find("method", name, ()).load()
    seed_everything(3, "initial weights")
    params = method_class.Params()
    if isinstance(params, SharedNetworkParams):
        # Going on does not depend on the depth of the shared encoders, the steps of a diffusion and its samples.
        small = {"layers": 1, "chain": 4, "draws": 2}
        params = replace(params, **{name: size for name, size in small.items() if hasattr(params, name)})
    method = method_class(params, data.spec("fair"))
    given = data.with_context() if method_class.uses_context else data
    seed_everything(3, "training")

    def report(epoch: int, share: float, ended: object) -> None:
        if until is not None and epoch == until and share > 0.5:
            raise InterruptionError

    training = fit(method, rules, given.train.batch, given.valid.batch, 3, report, checkpointer=checkpointer)
    table = prediction_table(method, {"test": given.test})
    return table, training.record, training.selected_epoch


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_method_goes_on_as_if_nothing_had_been(
    name: str, data: TaskData, classes: TaskData, tmp_path: Path
):
    entry = find("method", name)
    data = data if "regression" in describe(entry).kinds else classes
    # in the middle of an epoch; once in each stage of those that have two
    interrupted = [1] if len(entry.load().stages) == 1 else [1, 2]
    rules = PROTOCOL.model_copy(update={"epochs": 1 + len(interrupted), "batch_size": 40})
    table, record, selected = train(name, data, rules=rules)
    for epoch in interrupted:
        with pytest.raises(InterruptionError):
            train(name, data, Checkpointer(tmp_path / "last.ckpt", {"job": name}), epoch, rules)
    seed_everything(99)
    checkpointer = Checkpointer(tmp_path / "last.ckpt", {"job": name})
    again, record_again, selected_again = train(name, data, checkpointer, rules=rules)
    assert checkpointer.resumed == interrupted
    assert record_again == record
    assert selected_again == selected
    assert again.equals(table)


def test_an_epoch_of_some_steps_goes_on_within_its_pass(data: TaskData, tmp_path: Path):
    steps = math.ceil(len(data.train.batch) / PROTOCOL.batch_size)
    further = {
        "epoch_steps": steps + 1,
        "schedule": "inverse-power",
        "restart_optimizer": True,
        "drop_last": True,
    }
    rules = PROTOCOL.model_copy(update=further)
    table, record, _ = train("erm", data, rules=rules)
    with pytest.raises(InterruptionError):
        train("erm", data, Checkpointer(tmp_path / "last.ckpt", {}), 2, rules)
    checkpointer = Checkpointer(tmp_path / "last.ckpt", {})
    again, course, _ = train("erm", data, checkpointer, rules=rules)
    assert checkpointer.resumed == [2]
    assert course == record
    assert again.equals(table)


def test_a_warm_up_and_a_plateau_go_on(data: TaskData, tmp_path: Path):
    further = {
        "schedule": "plateau",
        "plateau_patience": 0,
        "plateau_factor": 0.3,
        "warmup": 0.6,
        "learning_rate": 0.03,
        "clip_value": 0.01,
        "accumulate": 2,
        "accumulate_by": "sum",
    }
    rules = PROTOCOL.model_copy(update=further)
    table, record, _ = train("erm", data, rules=rules)
    assert plateau_share([epoch.metric for epoch in record[:3]], "lower", 0.3, 0) < 1  # what is to be kept
    with pytest.raises(InterruptionError):
        train("erm", data, Checkpointer(tmp_path / "last.ckpt", {}), 3, rules)
    checkpointer = Checkpointer(tmp_path / "last.ckpt", {})
    again, course, _ = train("erm", data, checkpointer, rules=rules)
    assert checkpointer.resumed == [3]
    assert course == record
    assert again.equals(table)


@pytest.mark.parametrize("fault", ["another job", "cut short", "no checkpoint"])
def test_what_is_of_no_use_is_not_gone_on_from(fault: str, data: TaskData, tmp_path: Path):
    file = tmp_path / "last.ckpt"
    table, *_ = train("erm", data)
    with pytest.raises(InterruptionError):
        train("erm", data, Checkpointer(file, {"job": "another" if fault == "another job" else "erm"}), 2)
    if fault == "cut short":
        file.write_bytes(file.read_bytes()[:1000])
    if fault == "no checkpoint":
        file.write_bytes(b"a pickle of something else")
    checkpointer = Checkpointer(file, {"job": "erm"})
    again, *_ = train("erm", data, checkpointer)
    assert checkpointer.resumed == []
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
    train("erm", data, Checkpointer(tmp_path / "last.ckpt", {"job": "erm"}))
    assert not touched.exists()


def test_a_state_that_cannot_be_written_is_not_written(data: TaskData, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(ERM, "__init__", _with_a_handle(ERM.__init__))
    train("erm", data, Checkpointer(tmp_path / "last.ckpt", {"job": "erm"}))
    assert not (tmp_path / "last.ckpt").exists()


def _with_a_handle(make):
    def made(self, *arguments):
        make(self, *arguments)
        self.words = iter("abc")

    return made


def test_the_state_is_written_seldom_where_writing_is_slow(data: TaskData, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(checkpoint, "PATIENCE", 1e6)
    checkpointer = Checkpointer(tmp_path / "last.ckpt", {"job": "erm"})
    written = []
    monkeypatch.setattr(checkpoint, "write_atomic", lambda *given: written.append(given))
    train("erm", data, checkpointer)
    assert len(written) == 1


WAITING = """
import os, time
from dataclasses import dataclass, replace
from pathlib import Path

from mmbench.methods.erm import ERM
from mmbench.methods.shared.networks import SharedNetworkParams
from mmbench.methods.method import fixed

METHODS = {"waiting": "Waiting"}


@dataclass(frozen=True)
class WaitingParams:
    width: int = fixed(40)
    layers: int = fixed(1)


class Waiting(ERM):
    \"\"\"Trains slowly while a file is there.\"\"\"

    Params = WaitingParams

    def loss(self, batch):
        if (Path(os.environ["WAITING"]) / "wait").exists():
            time.sleep(0.15)
        return super().loss(batch)
"""


@pytest.mark.slow
def test_killed_in_the_middle_a_local_run_goes_on_and_predicts_the_same(tmp_path: Path, data_root: Path):
    (tmp_path / "waiting.py").write_text(WAITING)
    (tmp_path / "wait").touch()
    environment = {
        **os.environ,
        "WAITING": str(tmp_path),
        "MMBENCH_DATA": str(data_root),
        "OMP_NUM_THREADS": "1",
    }
    command = [str(MMBENCH), "run", "--methods", "waiting", "--plugin", "waiting.py", "--datasets", "toy"]
    command += ["--seeds", "0", "--epochs", "30", "--device", "cpu", "--workers", "1"]
    launcher = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)
    until(lambda: any(tmp_path.glob("runs/jobs/*/last.ckpt")))
    (progress,) = tmp_path.glob("runs/jobs/*/progress.json")
    os.kill(json.loads(progress.read_text())["pid"], signal.SIGKILL)
    launcher.kill()
    launcher.wait()
    (tmp_path / "wait").unlink()
    for more in ((), ("--store", "undisturbed")):
        subprocess.run([*command, *more], cwd=tmp_path, env=environment, check=True, capture_output=True)
    (file,) = tmp_path.glob("runs/jobs/*/environment.json")
    assert json.loads(file.read_text())["resumed_epochs"]
    assert contents(tmp_path / "runs") == contents(tmp_path / "undisturbed")
    assert not [*tmp_path.glob("runs/jobs/*/last.ckpt"), *tmp_path.glob("runs/jobs/*/claim.*")]
