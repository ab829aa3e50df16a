"""A worker that dies before it has begun with a job, as when memory runs out while it starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mmbench.benchmark.core.processes import ForkedContext, SafeContext, importing_once
from mmbench.benchmark.launch.local_pool import start_worker

from ..benchmark.conftest import write_dataset
from .runs import Run

#: Python runs this in every process of the session; a worker that starts dies at once while there are files to take,
#: whether it is a Python of its own or forked from the server of workers.
DYING = """
import os, sys
from pathlib import Path

def die():
    left = sorted(Path(os.environ["DYING"]).glob("die-*"))
    if left:
        left[0].unlink()
        os.kill(os.getpid(), 9)

if "--multiprocessing-fork" in sys.argv:
    die()
if "forkserver" in sys.orig_argv[-1]:
    os.register_at_fork(after_in_child=die)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_dataset(tmp_path / "data" / "toy")
    (tmp_path / "sitecustomize.py").write_text(DYING)
    return tmp_path


def run(folder: Path, deaths: int, threads: str) -> Run:
    for number in range(deaths):
        (folder / f"die-{number}").touch()
    path = f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    environment = {"DYING": str(folder), "PYTHONPATH": path, "XDG_CACHE_HOME": str(folder / "cache")}
    asked = "run --methods majority --datasets toy --seeds 0,1 --device cpu --workers 1 --threads"
    return Run([*asked.split(), threads, "--data-root", "data"], folder, environment)


@pytest.mark.slow
@pytest.mark.parametrize("threads", ["1", "2"])  # several threads need a Python of their own
def test_a_worker_that_dies_as_it_starts_costs_no_job(folder: Path, threads: str):
    going = run(folder, 2, threads)
    assert going.end() == 0, going.output()
    assert "all 2 jobs done" in going.output()
    assert not list(folder.glob("die-*"))


def test_workers_that_always_die_as_they_start_end_the_run_with_a_reason(folder: Path):
    going = run(folder, 1000, "1")
    assert going.end() == 1
    assert "2 of 2 jobs failed" in going.output()
    assert going.output().count("times a worker died as it started, often the sign that memory ran out") >= 2


@pytest.mark.parametrize("context", [SafeContext(), importing_once([], {})], ids=["own", "forked"])
def test_control_c_does_not_end_a_worker_that_is_just_starting(context: SafeContext | ForkedContext):
    for delay in (0.0, 0.02, 0.1):
        worker = context.Process(target=start_worker, args=["", 1, ()])
        worker.start()
        time.sleep(delay)
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGINT)
        worker.join(60)
        assert worker.exitcode == 0
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())


#: What takes long to import: it says when it is, and where it is called.
HEAVY = """
import os

def say(what):
    with open(os.environ["SAID"], "a") as file:
        print(what, os.environ["OMP_NUM_THREADS"], os.getcwd(), file=file)

say("imported")
"""
#: A caller that moves and changes its environment between two workers.
CALLER = """
import os
from mmbench.benchmark.core.processes import importing_once
import heavy

for number in ("2", "3"):
    os.mkdir(number)
    os.chdir(number)
    os.environ["OMP_NUM_THREADS"] = number
    worker = importing_once(["heavy"], {"OMP_NUM_THREADS": "1"}).Process(target=heavy.say, args=["called"])
    worker.start()
    worker.join()
    assert worker.exitcode == 0
    assert os.environ["OMP_NUM_THREADS"] == number
"""


def test_workers_import_once_and_stand_where_their_caller_does(tmp_path: Path):
    (tmp_path / "heavy.py").write_text(HEAVY)
    told = {"PYTHONPATH": str(tmp_path), "SAID": str(tmp_path / "said"), "OMP_NUM_THREADS": "0"}
    subprocess.run([sys.executable, "-c", CALLER], cwd=tmp_path, env={**os.environ, **told}, check=True)
    said = [line.split() for line in (tmp_path / "said").read_text().splitlines()]
    assert said == [
        ["imported", "0", str(tmp_path)],  # by the caller
        ["imported", "1", str(tmp_path / "2")],  # by the server
        ["called", "2", str(tmp_path / "2")],
        ["called", "3", str(tmp_path / "2" / "3")],
    ]


def test_where_no_server_can_be_had_each_worker_imports_for_itself(tmp_path: Path):
    (tmp_path / "heavy.py").write_text(HEAVY)
    deep = tmp_path / ("long" * 30)  # no address of a socket is so long
    deep.mkdir()
    told = {"PYTHONPATH": str(tmp_path), "SAID": str(tmp_path / "said"), "OMP_NUM_THREADS": "0"}
    environment = {**os.environ, **told, "TMPDIR": str(deep)}
    subprocess.run([sys.executable, "-c", CALLER], cwd=tmp_path, env=environment, check=True)
    assert [line.split()[0] for line in (tmp_path / "said").read_text().splitlines()] == [
        "imported", "imported", "called", "imported", "called",
    ]  # fmt: skip
