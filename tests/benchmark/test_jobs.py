"""``status``, ``logs``, ``retry`` and ``cancel`` on runs of this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Command

BROKEN = '''
import os
from dataclasses import dataclass
from pathlib import Path

from mmbench.methods.erm import ERM
from mmbench.methods.method import fixed

METHODS = {"fragile": "Fragile"}


@dataclass(frozen=True)
class FragileParams:
    width: int = fixed(40)
    layers: int = fixed(1)


class Fragile(ERM):
    """Says something, and breaks while a file is there."""

    Params = FragileParams

    def loss(self, batch):
        print("looking for the file", flush=True)
        if (Path(os.environ["FRAGILE"]) / "broken").exists():
            os.abort()
        return super().loss(batch)
'''
ASKED = ("--plugin", "fragile.py", "--datasets", "toy", "--seeds", "0", "--epochs", "1", "--device", "cpu")


@pytest.mark.slow
def test_what_broke_is_shown_with_what_it_said_and_tried_again(mmbench: Command, tmp_path: Path):
    (tmp_path / "fragile.py").write_text(BROKEN)
    (tmp_path / "broken").touch()
    here = {"FRAGILE": str(tmp_path)}
    ran = mmbench("run", "--methods", "fragile,erm(layers=1)", *ASKED, "--workers", "1", **here)
    assert ran.returncode == 1
    assert "the worker died: SIGABRT" in ran.stdout
    for arguments in (("status",), ("status", "--watch")):
        status = mmbench(*arguments)
        assert status.returncode == 1
        assert "1 done, 1 failed" in status.stdout
        assert "fragile.py" in status.stdout  # the last lines of its log: where it was when it died
    logs = mmbench("logs", "toy-fragile")
    assert "looking for the file" in logs.stdout
    assert "Fatal Python error: Aborted" in logs.stdout
    assert "no job 'toy-fragil3'" in mmbench("logs", "toy-fragil3").stderr

    still = mmbench("retry", **here)
    assert still.returncode == 1
    (tmp_path / "broken").unlink()
    again = mmbench("retry", "toy-fragile", **here)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "1 jobs" in again.stdout
    assert "2 done" in mmbench("status").stdout
    assert "nothing to retry" in mmbench("retry", **here).stdout


@pytest.mark.slow
def test_a_queued_job_that_slurm_does_not_have_is_dead(mmbench: Command, tmp_path: Path):
    """A program in place of squeue answers here: which jobs SLURM has is all that is asked of it."""
    (tmp_path / "bin").mkdir()
    squeue = tmp_path / "bin" / "squeue"
    squeue.write_text("#!/bin/sh\necho 12_1 PENDING\n")
    squeue.chmod(0o755)
    assert mmbench("run", "--methods", "erm(layers=1)", *ASKED[2:], "--seeds", "0-1").returncode == 0
    for number, folder in enumerate(sorted(tmp_path.glob("runs/jobs/*"))):
        (folder / "done.json").unlink()
        (folder / "slurm.json").write_text(json.dumps({"id": f"12_{number}"}))
    status = mmbench("status", PATH=str(tmp_path / "bin"))
    assert status.returncode == 1
    assert "1 queued, 1 dead" in status.stdout
    assert "SLURM 12_0 is gone without a result" in status.stdout
