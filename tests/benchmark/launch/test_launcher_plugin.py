"""The launcher of docs/examples: one file from outside, with everything that the command does with launchers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ..cli.test_run import contents, until
from ..conftest import MMBENCH, Command

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "launcher.py"
SLOW = '''
import os, time
from dataclasses import dataclass
from pathlib import Path

from mmbench.methods.erm import ERM
from mmbench.methods.method import fixed

METHODS = {"slow": "Slow"}


@dataclass(frozen=True)
class SlowParams:
    width: int = fixed(40)
    layers: int = fixed(1)


class Slow(ERM):
    """Waits while a file is there."""

    Params = SlowParams

    def after_epoch(self, validation_loss):
        while Path(os.environ["WAIT"]).exists():
            time.sleep(0.1)
'''
Start = Callable[[], tuple["subprocess.Popen[str]", str]]
TOY = ("--datasets", "toy", "--epochs", "1", "--device", "cpu")
OUTSIDE = ("--launcher", "background", "--plugin", str(EXAMPLE))


@pytest.mark.slow
def test_it_predicts_what_the_local_pool_predicts(mmbench_process: Command, tmp_path: Path):
    asked = ("--methods", "erm(layers=1)", "--seeds", "0-2", *TOY, "--workers", "2")
    preview = mmbench_process("run", *asked, *OUTSIDE, "--dry-run")
    assert preview.returncode == 0, preview.stderr
    assert "3 jobs on cpu" in preview.stdout
    assert not (tmp_path / "runs").exists()
    ran = mmbench_process("run", *asked, *OUTSIDE)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "all 3 jobs done" in ran.stdout
    assert mmbench_process("run", *asked, "--store", "here").returncode == 0
    assert contents(tmp_path / "runs") == contents(tmp_path / "here")
    notes = [json.loads(file.read_text()) for file in tmp_path.glob("runs/jobs/*/submitted.json")]
    assert len(notes) == 3
    assert {note["launcher"] for note in notes} == {"background"}
    assert len({note["id"] for note in notes}) == 2
    files = tmp_path.glob("runs/jobs/*/environment.json")
    origins = [json.loads(file.read_text())["origin"] for file in files]
    assert {origin["id"] for origin in origins} == {note["id"] for note in notes}


@pytest.fixture
def start(tmp_path: Path, data_root: Path) -> Start:
    """Starts the command with a method that waits, and waits until its first job is under way."""
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "wait").touch()
    environment = {**os.environ, "MMBENCH_DATA": str(data_root), "OMP_NUM_THREADS": "1"}
    environment["WAIT"] = str(tmp_path / "wait")

    def call() -> tuple[subprocess.Popen[str], str]:
        asked = ("--methods", "slow", "--plugin", f"slow.py,{EXAMPLE}", "--seeds", "0,1", *TOY)
        run = subprocess.Popen(
            [str(MMBENCH), "run", *asked, "--launcher", "background"],
            cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        until(lambda: any(tmp_path.glob("runs/jobs/*-s0-*/progress.json")))
        files = list(tmp_path.glob("runs/jobs/*/submitted.json"))
        (number,) = {json.loads(file.read_text())["id"] for file in files}
        return run, number

    return call


def lives(process: str) -> bool:
    """Whether a process has not ended; of one that nobody waited for, nothing but its number is left."""
    file = Path("/proc", process, "cmdline")
    return file.exists() and bool(file.read_bytes())


@pytest.mark.slow
def test_its_jobs_go_on_without_the_command_and_are_watched_cancelled_and_retried(
    mmbench_process: Command, tmp_path: Path, start: Start
):
    run, number = start()
    run.send_signal(signal.SIGINT)
    output, _ = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "the jobs go on without it" in output

    here = ("--plugin", str(EXAMPLE))
    status = mmbench_process("status", *here)
    assert status.returncode == 0, status.stdout
    assert "1 running, 1 queued" in status.stdout
    assert f"background {number}" in status.stdout
    unknown = mmbench_process("cancel")
    assert unknown.returncode == 2
    assert "unknown launcher 'background'" in unknown.stderr
    cancelled = mmbench_process("cancel", "toy-slow-ta-s1", *here)
    assert cancelled.returncode == 0, cancelled.stdout + cancelled.stderr
    assert "1 submission cancelled, 2 jobs with them" in cancelled.stdout
    assert "submitted together with one of these: toy-slow-ta-s0" in cancelled.stdout
    assert not lives(number)
    status = mmbench_process("status", *here)
    assert status.returncode == 1
    assert "2 cancelled" in status.stdout
    assert "nothing to cancel" in mmbench_process("cancel", *here).stdout
    logs = mmbench_process("logs", "toy-slow-ta-s0")
    assert f"background {number}: " in logs.stderr
    assert Path(logs.stderr.rpartition(": ")[2].strip()).is_file()

    (tmp_path / "wait").unlink()
    again = mmbench_process("retry", WAIT=str(tmp_path / "wait"))
    assert again.returncode == 0, again.stdout + again.stderr
    assert "2 done" in mmbench_process("status").stdout


@pytest.mark.slow
def test_the_jobs_of_a_process_that_was_killed_fail_and_say_so(start: Start):
    run, number = start()
    os.kill(int(number), signal.SIGKILL)
    output, _ = run.communicate(timeout=60)
    assert run.returncode == 1
    assert f"background {number} ended while it was trained" in output
    assert f"background {number} ended before it was started" in output
