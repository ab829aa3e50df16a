"""``status``, ``logs``, ``retry``, ``cancel`` and ``forget`` on runs of this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from mmbench.benchmark.cli.status import states_of
from mmbench.benchmark.launch.plan import plan
from mmbench.benchmark.launch.run import run
from mmbench.benchmark.planning.experiment import Experiment
from mmbench.benchmark.store.names import StoreError
from mmbench.benchmark.store.store import Store

from ..conftest import Command

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
    assert again.stdout.startswith("1 job, ")
    assert "2 done" in mmbench("status").stdout
    assert "nothing to retry" in mmbench("retry", **here).stdout


@pytest.mark.slow
def test_a_queued_job_that_slurm_does_not_have_is_dead(mmbench: Command, tmp_path: Path):
    """A program in place of squeue answers here: which jobs SLURM has is all that is asked of it."""
    (tmp_path / "bin").mkdir()
    squeue = tmp_path / "bin" / "squeue"
    squeue.write_text("#!/bin/sh\necho 12_1 PENDING\n")
    squeue.chmod(0o755)
    asked = ("--datasets", "toy", "--seeds", "0-1", "--epochs", "1", "--device", "cpu", "--launcher", "debug")
    assert mmbench("run", "--methods", "erm(layers=1)", *asked).returncode == 0
    for number, folder in enumerate(sorted(tmp_path.glob("runs/jobs/*"))):
        (folder / "done.json").unlink()
        note = {"launcher": "slurm", "id": f"12_{number}"}
        (folder / "submitted.json").write_text(json.dumps(note))
    status = mmbench("status", PATH=str(tmp_path / "bin"))
    assert status.returncode == 1
    assert "1 queued, 1 dead" in status.stdout
    assert "slurm 12_0 is gone without a result" in status.stdout


@pytest.fixture
def with_a_broken_one(mmbench: Command, tmp_path: Path) -> Path:
    """A store of two seeds, and a third whose job.json is no JSON."""
    asked = ("--methods", "erm(layers=1)", "--datasets", "toy", "--seeds", "0-2", "--epochs", "1")
    assert mmbench("run", *asked, "--launcher", "debug", "--device", "cpu").returncode == 0
    file = next(iter((tmp_path / "runs" / "jobs").glob("toy-erm-*-s2-*"))) / "job.json"
    file.write_text("{\n")
    return file


def test_one_broken_job_is_named_and_the_others_are_shown(mmbench: Command, with_a_broken_one: Path):
    name = with_a_broken_one.parent.name
    shown = {
        "status": "2 jobs in runs: 2 done",
        "retry": "nothing to retry",
        "plot": "wrote runs/leaderboards/",
        "findings": "do methods gain",
        "cancel": "nothing to cancel",
    }
    for command, words in shown.items():
        ended = mmbench(command)
        said = ended.stdout + ended.stderr
        assert words in " ".join(said.split()), said
        assert [name in line for line in said.splitlines()].count(True) == 1, said
        assert ended.returncode == (0 if command == "cancel" else 1)
        assert "Traceback" not in said


@pytest.mark.parametrize(
    "foreign",
    ["", "{", "[1]", "7", '{"schema": 1}', '{"schema": 1, "data": 3}', '{"schema": 99, "method": "x"}'],
)
def test_a_store_tells_what_is_no_job_from_what_is(tmp_path: Path, foreign: str):
    (tmp_path / "jobs" / "odd").mkdir(parents=True)
    (tmp_path / "jobs" / "odd" / "job.json").write_text(foreign)
    (tmp_path / "jobs" / "no-job").mkdir()
    found, (fault,) = states_of(Store(tmp_path))
    assert found == []
    assert fault.startswith(f"{tmp_path}/jobs/odd/job.json: ")
    assert "\n" not in fault
    with pytest.raises(StoreError):
        list(Store(tmp_path))


def test_a_failed_job_is_retried_beside_a_broken_one(
    mmbench: Command, tmp_path: Path, with_a_broken_one: Path
):
    failed = next(iter((tmp_path / "runs" / "jobs").glob("toy-erm-*-s1-*")))
    (failed / "done.json").unlink()
    (failed / "failed.json").write_text(json.dumps({"reason": "the disk was full"}))
    ended = mmbench("retry")
    assert "done toy erm" in ended.stdout
    assert with_a_broken_one.parent.name in ended.stderr
    assert (failed / "done.json").exists()


def test_without_slurm_nothing_is_to_cancel(mmbench: Command, tmp_path: Path):
    (tmp_path / "runs" / "jobs").mkdir(parents=True)
    asked = tmp_path / "asked"
    squeue = tmp_path / "bin" / "squeue"
    squeue.parent.mkdir()
    squeue.write_text(f"#!/bin/sh\ntouch {asked}\nexit 1\n")
    squeue.chmod(0o755)
    ended = mmbench("cancel", PATH=f"{squeue.parent}:{os.environ['PATH']}")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "nothing to cancel" in ended.stdout
    assert not asked.exists()


def test_jobs_that_nobody_wants_any_more_are_no_holes_once_they_are_forgotten(
    mmbench: Command, data_root: Path, tmp_path: Path
):
    asked = {
        "datasets": "toy",
        "protocol": {"epochs": 1},
        "device": "cpu",
        "launcher": "debug",
        "data_root": data_root,
    }
    store = Store(tmp_path / "runs")

    def wanted(methods: str, seeds: list[int]) -> Experiment:
        return Experiment.read({**asked, "methods": methods, "seeds": seeds, "store": store.path})

    assert run(wanted("erm(layers=1)", [0])).ok
    store.add(plan(wanted("majority,erm(layers=1)", [0, 1])).todo)  # as a run does that is stopped at once
    said = " ".join(mmbench("status").stdout.split())
    assert "3 planned jobs are holes in every table" in said
    assert "mmbench forget --store runs" in said
    holed = mmbench("leaderboard", "--what", "accuracy", "--json")
    assert {row["n_planned"] for row in json.loads(holed.stdout)["tables"]["accuracy"]["rows"]} == {2}

    done = next(record.job.id for record in store if record.state == "done")
    refused = mmbench("forget", done)
    assert (refused.returncode, "is done: results are not forgotten" in refused.stderr) == (2, True)
    planned = sorted(record.job.id for record in store if record.state == "planned")
    one = mmbench("forget", planned[0])
    assert (one.returncode, "1 job moved to runs/set-aside" in one.stdout) == (0, True)
    with store.job(planned[1]).hold():
        running = mmbench("forget")
        assert running.returncode == 2
        assert "1 job of runs run or wait in a queue" in running.stderr
        assert "end it first" in mmbench("forget", planned[1]).stderr
    assert "2 jobs moved" in mmbench("forget").stdout
    assert "nothing to forget" in mmbench("forget").stdout
    assert [record.job.id for record in store] == [done]
    whole = mmbench("leaderboard", "--what", "accuracy", "--json")
    assert whole.returncode == 0
    rows = json.loads(whole.stdout)["tables"]["accuracy"]["rows"]
    assert {(row["method"], row["n"], row["n_planned"]) for row in rows} == {("erm(layers=1)", 1, 1)}
    assert "planned" not in mmbench("status").stdout
    assert {folder.name for folder in (store.path / "set-aside").iterdir()} == set(planned)
    store.add(plan(wanted("erm(layers=1)", [0, 1])).todo)  # who asks again has them again
    assert "1 planned job is a hole" in " ".join(mmbench("status").stdout.split())
    mmbench("forget")
    assert len(list((store.path / "set-aside").iterdir())) == 4  # neither replaces the other


@pytest.mark.parametrize("command", ["status", "leaderboard"])
def test_a_store_without_a_job_says_what_to_do(mmbench: Command, tmp_path: Path, command: str):
    (tmp_path / "s44" / "jobs").mkdir(parents=True)
    told = "no job in s44: mmbench run fills it, --store names another folder"
    ended = mmbench(command, "--store", "s44")
    assert ended.returncode == (0 if command == "status" else 2)
    assert (ended.stdout + ended.stderr).strip().removeprefix("mmbench: ") == told
    (tmp_path / "s44" / "regimes").mkdir()
    ended = mmbench(command, "--store", "s44")
    assert (
        (ended.stdout + ended.stderr)
        .strip()
        .endswith(f"{told}; its segmenters are shown by mmbench regimes list --store s44")
    )
