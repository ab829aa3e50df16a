"""How often a job asks the store, from ``run`` to its last outcome: every answer is a read of a shared disk."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

#: What every Python process of the run does as it starts: calls of the store from elsewhere are written down, but for
#: ``Store.job``, which looks at nothing.
COUNTER = """
import os, sys
from mmbench.benchmark.store.job_folder import JobFolder
from mmbench.benchmark.store.store import Store

INSIDE = os.sep + os.path.join("benchmark", "store") + os.sep


def counted(kind, name, function):
    def call(*arguments, **more):
        caller = sys._getframe(1)
        if INSIDE not in caller.f_code.co_filename and os.environ.get("COUNTED"):
            line = f"{kind}.{name} {caller.f_code.co_filename}:{caller.f_lineno}\\n"
            with open(os.environ["COUNTED"], "a") as file:
                file.write(line)
        return function(*arguments, **more)

    return call


for kind in (Store, JobFolder):
    for name, function in list(vars(kind).items()):
        if callable(function) and name != "job" and (name == "__iter__" or not name.startswith("_")):
            setattr(kind, name, counted(kind.__name__, name, function))
"""
RUN = """
import os, sys
from pathlib import Path
from mmbench.benchmark import Experiment, plan, run

planned = plan(Experiment.read({
    "methods": "erm(layers=1)", "datasets": "toy", "seeds": [int(sys.argv[2])], "device": "cpu", "workers": 1,
    "protocol": {"epochs": 1}, "data_root": sys.argv[1], "store": "runs", "corruptions": sys.argv[3:],
}))
os.environ["COUNTED"] = os.path.abspath("counted")
assert run(planned).ok
"""


@pytest.mark.slow
@pytest.mark.parametrize("corruptions", [(), ("drift",)], ids=["clean", "corrupted"])
def test_a_job_asks_the_store_at_most_10_times_and_15_with_its_scores(
    tmp_path: Path, data_root: Path, corruptions: tuple[str, ...]
):
    (tmp_path / "sitecustomize.py").write_text(COUNTER)
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", RUN, str(data_root), "0", *corruptions]
    ended = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240
    )
    assert ended.returncode == 0, ended.stderr
    calls = (tmp_path / "counted").read_text().splitlines()
    names = Counter(call.split()[0] for call in calls)
    assert names["JobFolder.hold"] == names["JobFolder.finish"] == 1  # the worker is counted, too
    assert names["Store.add"] >= 1  # and the launcher
    scoring = os.path.join("benchmark", "report")
    assert sum(scoring not in call for call in calls) <= 10, "\n".join(calls)
    assert len(calls) <= 15, "\n".join(calls)
