"""Files in the folder where the command is typed are data, and never run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mmbench.benchmark.report import parallel

from ..conftest import MMBENCH

#: Modules of the standard library and of the dependencies that a Python process may still have to import.
NAMES = [
    "socket",
    "signal",
    "selectors",
    "json",
    "torch",
    "numpy",
    "pandas",
    "pickle",
    "random",
    "queue",
    "multiprocessing",
    "concurrent",
    "yaml",
    "pebble",
    "rich",
    "typer",
    "pydantic",
    "tempfile",
    "sitecustomize",
    "usercustomize",
    "threading",
    "_posixshmem",
    "secrets",
    "hashlib",
]
MARK = "import os\nopen(os.path.join({folder!r}, {name!r} + '.ran'), 'w').close()\nraise SystemExit(3)\n"


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A folder of files that leave a marker where they are imported, and end the process."""
    folder = tmp_path / "downloaded"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text(MARK.format(folder=str(folder), name=name))
    return folder


def run(trap: Path, data_root: Path, command: list[str], *words: str) -> str:
    """Types a command in the folder; what it printed. It must succeed, and nothing of the folder may run."""
    environment = {**os.environ, "MMBENCH_DATA": str(data_root)}
    environment.pop("PYTHONSAFEPATH", None)
    ended = subprocess.run(
        [*command, *words], cwd=trap, env=environment, capture_output=True, text=True, timeout=240
    )
    assert not sorted(file.stem for file in trap.glob("*.ran"))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


QUICK = ("run", "--methods", "erm", "--datasets", "toy", "--seeds", "0", "--epochs", "1", "--device", "cpu")


def test_workers_and_tables_run_nothing_of_the_working_folder(trap: Path, data_root: Path) -> None:
    said = run(trap, data_root, [str(MMBENCH)], *QUICK, "--workers", "2", "--store", "runs")
    assert "1 done" in said or list(trap.glob("runs/jobs/*/done.json"))
    for words in (["status"], ["leaderboard", "--what", "accuracy"]):
        run(trap, data_root, [str(MMBENCH)], *words, "--store", "runs")


def test_the_module_drops_the_working_folder(trap: Path, data_root: Path) -> None:
    run(
        trap,
        data_root,
        [sys.executable, "-m", "mmbench.benchmark"],
        *QUICK,
        "--workers",
        "1",
        "--store",
        "runs",
    )


def test_tables_in_parallel_run_nothing_of_the_working_folder(trap: Path, data_root: Path) -> None:
    run(trap, data_root, [str(MMBENCH)], *QUICK, "--workers", "1", "--store", "runs")
    code = (
        "import sys; from mmbench.benchmark.report import parallel; parallel.MANY = 1; "
        "from mmbench.benchmark.cli.main import main; sys.argv = ['mmbench', 'leaderboard', '--store', 'runs']; main()"
    )
    said = run(trap, data_root, [sys.executable, "-P", "-c", code])
    assert "accuracy" in said
    assert parallel.MANY > 1


def test_a_session_that_calls_the_library_starts_safe_workers(trap: Path, data_root: Path) -> None:
    """As in an interactive session: the path of the caller begins with the working folder by the name ''."""
    code = (
        "import sys; sys.path = [p for p in sys.path if p]; import torch, socket, yaml, pebble, multiprocessing.spawn; "
        "from mmbench.benchmark.core.processes import SafeContext; sys.path.insert(0, ''); "
        "c = SafeContext(); q = c.SimpleQueue(); p = c.Process(target=print, args=('child ran',)); p.start(); p.join(); "
        "assert p.exitcode == 0, p.exitcode; assert sys.path[0] == ''"
    )
    assert "child ran" in run(trap, data_root, [sys.executable, "-P", "-c", code])


def test_a_worker_whose_command_has_ended_as_it_starts_says_nothing() -> None:
    code = (
        "import pickle; from mmbench.benchmark.core.processes import _rebuilt_or_ended\n"
        "class Gone:\n    def __reduce__(self): return open, ('/nowhere/lock',)\n"
        "_rebuilt_or_ended(pickle.dumps((Gone(), (), [{}])))"
    )
    ended = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (1, "")


def test_array_tasks_start_python_with_a_safe_path(tmp_path: Path) -> None:
    from mmbench.benchmark.store.store import Store
    from mmbench.slurm.launcher import Slurm
    from mmbench.slurm.resources import Resources

    script = Slurm(Resources()).script(2, Store(tmp_path))
    (line,) = [line for line in script.splitlines() if "submitit.core._submit" in line]
    assert f"{sys.executable} -P " in line
