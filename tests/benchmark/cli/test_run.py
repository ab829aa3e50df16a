"""The command as users call it: real processes, real files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from ..conftest import MMBENCH, Command

CPU = ("--epochs", "2", "--device", "cpu", "--workers")
ONE, FAST = (*CPU, "1"), (*CPU, "2")
ASKED = ("--methods", "erm(layers=1)", "--datasets", "toy")
TOY = (*ASKED, *FAST)

#: A method that waits in its first step until a file is gone, and one that breaks in its own way; an estimator that computes for
#: minutes without returning to Python, as a large forest does.
PLUGIN = '''
import hashlib, os, time
from dataclasses import dataclass
from pathlib import Path

from mmbench.methods.erm import ERM
from mmbench.methods.estimator import Estimator
from mmbench.methods.method import fixed

METHODS = {"odd": "Odd", "stuck": "Stuck"}


@dataclass(frozen=True)
class OddParams:
    width: int = fixed(40)
    layers: int = fixed(1)
    way: str = fixed("wait")


class Odd(ERM):
    """Breaks."""

    Params = OddParams

    def loss(self, batch):
        here = Path(os.environ["ODD"])
        (here / f"started-{os.getpid()}").touch()
        while self.params.way == "wait" and (here / "wait").exists():
            time.sleep(0.02)
        if self.params.way == "raise":
            raise RuntimeError("on purpose\\nsecond line")
        if self.params.way == "die":
            os.kill(os.getpid(), 9)
        if self.params.way == "exit":
            os._exit(3)
        return super().loss(batch)


class Stuck(Estimator):
    """Is not done."""

    Params = OddParams

    def fit(self, train, candidate, seed):
        (Path(os.environ["ODD"]) / f"started-{os.getpid()}").touch()
        hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
        raise AssertionError("it took minutes")
'''


#: The work of a worker that writes down its GPU, and waits until three workers have.
SEEN = """
import os, time

from mmbench.benchmark.train.context import Outcome


def write_down(job, context):
    (context.store / f"started-{os.getpid()}").write_text(os.environ["CUDA_VISIBLE_DEVICES"])
    while len(list(context.store.glob("started-*"))) < 3:
        time.sleep(0.02)
    return Outcome(job.id, ok=True)
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    file = tmp_path / "odd.py"
    file.write_text(PLUGIN)
    return file


def until(condition: Callable[[], bool], seconds: float = 200) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def contents(store: Path) -> dict[str, bytes]:
    """What every finished job predicted."""
    return {file.parent.name: file.read_bytes() for file in store.glob("jobs/*/predictions.parquet")}


@pytest.mark.slow
def test_from_nothing_to_a_leaderboard(mmbench_process: Command, mmbench: Command, tmp_path: Path):
    first = mmbench_process("run", *ASKED, *ONE, "--seeds", "0,1", "--save-config", "asked.yaml")
    assert first.returncode == 0, first.stderr
    assert "all 2 jobs done" in first.stdout
    again = mmbench("run", "--config", "asked.yaml")
    assert "2 jobs, 2 done before, 0 to do" in again.stdout
    assert "2 jobs: 2 done, 0 to do" in mmbench("plan", "--config", "asked.yaml").stdout
    assert "2 jobs in runs: 2 done" in mmbench("status").stdout
    board = mmbench("leaderboard", "--out", "tables")
    assert board.returncode == 0, board.stderr
    assert "toy; text+audio; fair (epochs=2); real" in board.stdout
    assert len(board.stdout.splitlines()) < 20
    assert "n = 2 seeds" in mmbench("leaderboard", "--what", "accuracy").stdout
    frame = pd.read_csv(tmp_path / "tables" / "accuracy.csv")
    assert set(frame["n"]) == {2}
    assert frame.loc[frame.metric == "mae", "mean"].item() > 0
    missing = pd.read_csv(tmp_path / "tables" / "missing.csv")
    assert {"clean", "missing:text", "missing:audio"} <= set(missing["condition"])


@pytest.mark.slow
def test_python_and_command_give_the_same(mmbench: Command, tmp_path: Path, data_root: Path):
    from mmbench.benchmark import Experiment, leaderboard, run

    asked = {"methods": ["erm(layers=1)"], "datasets": ["toy"], "seeds": [0, 1], "protocol": {"epochs": 2}}
    own = tmp_path / "own"
    summary = run(Experiment(**asked, store=own, data_root=data_root, launcher="debug", device="cpu"))  # pyright: ignore
    assert summary.ok
    assert mmbench("run", *ASKED, *ONE, "--seeds", "0,1").returncode == 0
    assert contents(own) == contents(tmp_path / "runs")
    frame = leaderboard(own)
    assert frame.loc[frame.metric == "mae", "n"].item() == 2


@pytest.mark.slow
def test_neither_workers_nor_order_nor_the_place_of_the_data_change_predictions(
    mmbench: Command, tmp_path: Path, data_root: Path
):
    assert mmbench("run", *TOY, "--seeds", "0-2", "--modalities", "all,T").returncode == 0
    data_root.rename(tmp_path / "moved")
    other = ("--workers", "1", "--data-root", "moved", "--store", "other")
    assert (
        mmbench("run", *ASKED, *CPU[:2], "--seeds", "2,0,1", "--modalities", "T,all", *other).returncode == 0
    )
    assert contents(tmp_path / "runs") == contents(tmp_path / "other")
    assert len(contents(tmp_path / "runs")) == 6


@pytest.mark.slow
def test_a_run_killed_in_the_middle_goes_on(mmbench: Command, tmp_path: Path, data_root: Path, plugin: Path):
    (tmp_path / "wait").touch()
    environment = {**os.environ, "ODD": str(tmp_path), "MMBENCH_DATA": str(data_root), "OMP_NUM_THREADS": "1"}
    command = [str(MMBENCH), "run", "--methods", "erm(layers=1),odd", "--plugin", str(plugin)]
    command += ["--datasets", "toy", "--seeds", "0", *ONE]
    launcher = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)
    until(lambda: any(tmp_path.glob("started-*")) and len(contents(tmp_path / "runs")) == 1)
    worker = int(next(tmp_path.glob("started-*")).name.removeprefix("started-"))
    assert "1 running" in mmbench("status").stdout
    launcher.kill()
    os.kill(worker, signal.SIGKILL)
    launcher.wait()
    until(lambda: "1 interrupted" in mmbench("status").stdout)
    assert mmbench("status").returncode == 0  # nothing is broken: the next run goes on
    before = {file: file.stat().st_mtime_ns for file in tmp_path.glob("runs/jobs/*/predictions.parquet")}
    (tmp_path / "wait").unlink()
    again = mmbench(*command[1:], ODD=str(tmp_path))
    assert "2 jobs, 1 done before, 1 to do" in again.stdout
    assert again.returncode == 0, again.stdout + again.stderr
    assert all(file.stat().st_mtime_ns == written for file, written in before.items())


@pytest.mark.slow
def test_ctrl_c_ends_the_run_and_its_workers(mmbench: Command, tmp_path: Path, data_root: Path, plugin: Path):
    (tmp_path / "wait").touch()
    environment = {**os.environ, "ODD": str(tmp_path), "MMBENCH_DATA": str(data_root), "OMP_NUM_THREADS": "1"}
    command = [str(MMBENCH), "run", "--methods", "odd,stuck", "--plugin", str(plugin), "--datasets", "toy"]
    launcher = subprocess.Popen(
        [*command, "--seeds", "0", *FAST],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until(lambda: len(list(tmp_path.glob("started-*"))) == 2)
    os.killpg(launcher.pid, signal.SIGINT)  # as a terminal does: launcher and workers
    output, _ = launcher.communicate(timeout=60)
    assert launcher.returncode == 130
    assert "run the same command again to resume" in output
    for file in tmp_path.glob("started-*"):
        pid = int(file.name.removeprefix("started-"))
        until(lambda pid=pid: not Path(f"/proc/{pid}").exists(), 30)
    assert "2 jobs in runs: 2 interrupted" in mmbench("status").stdout


@pytest.mark.slow
@pytest.mark.parametrize("method", ["odd", "stuck"])
def test_ctrl_c_ends_the_debug_launcher_the_same_way(
    mmbench: Command, tmp_path: Path, data_root: Path, plugin: Path, method: str
):
    (tmp_path / "wait").touch()
    environment = {**os.environ, "ODD": str(tmp_path), "MMBENCH_DATA": str(data_root), "OMP_NUM_THREADS": "1"}
    command = [str(MMBENCH), "run", "--methods", method, "--plugin", str(plugin), "--datasets", "toy"]
    launcher = subprocess.Popen(
        [*command, "--seeds", "0", "--launcher", "debug", *FAST],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    until(lambda: any(tmp_path.glob("started-*")))
    launcher.send_signal(signal.SIGINT)
    output, _ = launcher.communicate(timeout=60)
    assert launcher.returncode == 130, output
    assert "run the same command again to resume" in output
    assert "1 job in runs: 1 interrupted" in mmbench("status").stdout


@pytest.mark.slow
def test_a_failing_job_costs_itself_alone(mmbench: Command, tmp_path: Path, plugin: Path):
    methods = "odd(way=raise),odd(way=die),odd(way=exit),erm(layers=1)"
    ended = mmbench(
        "run",
        "--methods",
        methods,
        "--plugin",
        str(plugin),
        "--datasets",
        "toy",
        "--seeds",
        "0",
        *FAST,
        ODD=str(tmp_path),
    )
    assert ended.returncode == 1
    assert "3 of 4 jobs failed" in ended.stdout
    for reason in ("RuntimeError: on purpose", "the worker died: SIGKILL", "the worker died: exit code 3"):
        assert reason in ended.stdout
    assert len(contents(tmp_path / "runs")) == 1
    status = mmbench("status")
    assert status.returncode == 1
    assert "1 done, 3 failed" in status.stdout
    board = mmbench("leaderboard")
    assert board.returncode == 1
    assert "—" in board.stdout
    assert "RuntimeError: on purpose" in board.stdout
    failed = next(f for f in tmp_path.glob("runs/jobs/*/failed.json") if "on purpose" in f.read_text())
    assert "Traceback" in json.loads(failed.read_text())["details"]


@pytest.mark.slow
def test_two_launchers_train_no_job_twice(tmp_path: Path, data_root: Path, plugin: Path):
    environment = {**os.environ, "ODD": str(tmp_path), "MMBENCH_DATA": str(data_root), "OMP_NUM_THREADS": "1"}
    command = [str(MMBENCH), "run", "--methods", "odd", "--plugin", str(plugin), "--datasets", "toy"]
    command += ["--seeds", "0-3", "--epochs", "1", "--workers", "1", "--device", "cpu"]
    both = [
        subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL) for _ in range(2)
    ]
    assert [launcher.wait(200) for launcher in both] == [0, 0]
    assert len(contents(tmp_path / "runs")) == 4
    # Every file was written once: a second training would have replaced it with a later one.
    for folder in tmp_path.glob("runs/jobs/*"):
        written = (folder / "done.json").stat().st_mtime_ns - (
            folder / "predictions.parquet"
        ).stat().st_mtime_ns
        assert 0 <= written < 60e9


def test_plan_as_json_names_every_job(mmbench: Command):
    listed = json.loads(mmbench("plan", *TOY, "--seeds", "0,1", "--format", "json").stdout)["jobs"]
    assert [(job["seed"], job["state"]) for job in listed] == [(0, "planned"), (1, "planned")]


@pytest.mark.parametrize(
    "arguments", [("--help",), ("list", "methods"), ("plan", *TOY), ("status", "--store", "x")]
)
def test_quick_commands_import_no_network_library(arguments: tuple, tmp_path: Path, data_root: Path):
    (tmp_path / "x" / "jobs").mkdir(parents=True)
    probe = (
        "import sys, atexit\n"
        "heavy = ('torch', 'lightning', 'pandas', 'scipy', 'pyarrow', 'sklearn', 'matplotlib')\n"
        "atexit.register(lambda: print('HEAVY', [name for name in heavy if name in sys.modules]))\n"
        "from mmbench.benchmark.cli.main import main\n"
        f"sys.argv = ['mmbench', *{arguments!r}]\n"
        "main()\n"
    )
    environment = {**os.environ, "MMBENCH_DATA": str(data_root)}
    ended = subprocess.run(
        [sys.executable, "-c", probe],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "HEAVY []" in ended.stdout, ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("kind", "name"),
    [("method", "majority"), ("dataset", "sims"), ("corruption", "missing")],
)
@pytest.mark.slow
def test_what_is_registered_keeps_its_contract(mmbench: Command, kind: str, name: str):
    ended = mmbench("check", kind, name)
    assert ended.returncode == 0, ended.stdout
    assert "keeps its contract" in ended.stdout


@pytest.mark.slow
def test_a_broken_method_does_not_pass(mmbench: Command, tmp_path: Path):
    fuse = (
        "\n    def fuse(self, embeddings, batch):\n"
        "        output = super().fuse(embeddings, batch)\n"
        "        from dataclasses import replace\n"
        "        return replace(output, prediction=output.prediction - output.prediction.mean())\n"
    )
    last = "        return super().loss(batch)\n"
    assert last in PLUGIN
    source = PLUGIN.replace(last, last + fuse)
    (tmp_path / "odd.py").write_text(source)
    ended = mmbench("check", "method", "odd", "--plugin", str(tmp_path / "odd.py"), ODD=str(tmp_path))
    assert ended.returncode == 1
    assert "failed A prediction does not depend on the other samples" in ended.stdout


@pytest.mark.slow
def test_every_gpu_gets_its_share_of_the_workers(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
):
    """The workers are told one GPU each, whether there is one or not; here a job runs on the CPU all the same."""
    from mmbench.benchmark.launch.local_pool import InProcess, LocalPool
    from mmbench.benchmark.planning.experiment import Experiment
    from mmbench.benchmark.planning.job_matrix import jobs_of
    from mmbench.benchmark.store.store import Store
    from mmbench.benchmark.train.context import Context

    (tmp_path / "seen.py").write_text(SEEN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # which a launcher in this process sets
    import seen  # pyright: ignore[reportMissingImports]

    asked = {"methods": "erm(layers=1)", "datasets": "toy", "seeds": "0-4", "data_root": data_root}
    jobs = jobs_of(Experiment.read({**asked, "protocol": {"epochs": 1}}))
    Store(tmp_path / "runs").add(jobs)
    context = Context(tmp_path / "runs", data_root)
    outcomes = list(LocalPool(workers=3, gpus=("4", "7"), work=seen.write_down).run(jobs, context))
    assert [outcome.reason for outcome in outcomes] == [""] * 5
    assert sorted(file.read_text() for file in tmp_path.glob("runs/started-*")) == ["4", "4", "7"]
    (outcome,) = InProcess(gpus=("4",)).run(jobs[:1], context)
    assert (outcome.ok, outcome.reason) == (True, "")


@pytest.mark.slow
def test_a_script_needs_no_guard(tmp_path: Path, data_root: Path):
    (tmp_path / "script.py").write_text(
        "from mmbench.benchmark import Experiment, leaderboard, run\n"
        "print('started')\n"
        "run(Experiment(methods=['erm(layers=1)'], datasets=['toy'], seeds=[0], protocol={'epochs': 1}))\n"
        "print(leaderboard('runs')['n'].tolist())\n"
    )
    environment = {**os.environ, "MMBENCH_DATA": str(data_root), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "script.py"]
    ended = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("started") == 1
    assert "[1, 1" in ended.stdout
