"""A process that is killed while it writes a journal leaves nothing that another waits for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mmbench.benchmark.search.optuna_study import write_journals
from mmbench.benchmark.search.study import progress_of, studies_of
from mmbench.benchmark.search.trials import search_of
from mmbench.benchmark.store.store import Store

from ..conftest import write_dataset
from .studies import asked, end

KILLED = """
import os, signal, sys
from pathlib import Path
from mmbench.benchmark.planning.experiment import Experiment
from mmbench.benchmark.search.optuna_study import write_journals
from mmbench.benchmark.search.study import progress_of, studies_of
from mmbench.benchmark.store.store import Store

write, cut = os.fsync, int(sys.argv[1])

def fsync(handle):
    name = os.readlink(f"/proc/self/fd/{handle}")
    if name.endswith(".log"):
        if cut:
            os.truncate(name, os.path.getsize(name) - cut)
        os.kill(os.getpid(), signal.SIGKILL)
    return write(handle)

os.fsync = fsync
experiment = Experiment.load(Path("asked.yaml"))
store = Store(Path("runs"))
write_journals(store, progress_of(studies_of(experiment), store))
"""


@pytest.mark.parametrize("cut", [0, 20])
def test_after_a_kill_in_the_middle_of_a_write_the_next_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int
):
    monkeypatch.chdir(tmp_path)  # the store is a relative path, as it is by default
    write_dataset(tmp_path / "data" / "toy")
    experiment = asked(Path(), search={"draws": 2, "repeats": 0})
    experiment.save(Path("asked.yaml"))
    studies, store = studies_of(experiment), Store(Path("runs"))
    end(store, studies[0], {0: (0.5, 0.1), 1: (0.4, 0.1), 2: (0.3, 0.1)})
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(cut)], env=dict(os.environ), timeout=120, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    name = search_of(store, list(store)).name
    journal = store.path / "searches" / f"{name}.log"
    assert journal.stat().st_size > 0
    # What Optuna's own lock would have left: a link that leads nowhere.
    journal.with_name(f"{name}.log.lock").symlink_to("runs/nowhere")

    began = time.monotonic()
    write_journals(store, progress_of(studies, store))
    assert time.monotonic() - began < 10
    jobs = {studies[0].sampled_job(index).id for index in range(3)}
    assert all(sum(job in line for line in journal.read_text().splitlines()) == 1 for job in jobs)
    assert [file.name for file in journal.parent.iterdir() if file.name.endswith(".lock")] == []
