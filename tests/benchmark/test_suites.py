"""The tasks of MMDG-Bench."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from mmbench.benchmark.errors import UsageError
from mmbench.benchmark.experiment import Experiment
from mmbench.benchmark.job import Task
from mmbench.benchmark.matrix import jobs_of
from mmbench.benchmark.suites import SUITES
from mmbench.datasets.epic import Epic
from mmbench.datasets.hac import Hac
from mmbench.datasets.hust import DOMAINS, Hust
from mmbench.datasets.hust import MODALITIES as MOTOR
from mmbench.datasets.mmsa import MODALITIES as SPOKEN
from mmbench.datasets.mosei import Mosei
from mmbench.datasets.mosi import Mosi
from mmbench.datasets.sims import Sims

from .conftest import Command


def test_mmdg_has_36_and_36_and_16_and_7_tasks():
    tasks = SUITES["mmdg"]()
    assert Counter(item.group for item in tasks) == {"epic": 36, "hac": 36, "hust": 16, "sentiment": 7}
    assert len({(item.name, item.modalities) for item in tasks}) == len(tasks) == 95
    assert len({frozenset(item.modalities) for item in tasks}) == 6


def test_no_target_is_a_source_and_every_name_is_a_task():
    for item in SUITES["mmdg"]():
        assert Task.parse(item.name) == item.task
        assert item.task.target not in item.task.sources


@pytest.mark.parametrize(("group", "domains"), [("epic", 3), ("hac", 3), ("hust", 4)])
def test_each_domain_is_left_out_once_and_meets_every_other_alone(group: str, domains: int):
    tasks = {item.task for item in SUITES["mmdg"]() if item.group == group}
    several = [task for task in tasks if len(task.sources) > 1]
    assert len({task.target for task in several}) == len(several) == domains
    assert all(len(task.sources) == domains - 1 for task in several)
    assert len(tasks) - len(several) == domains * (domains - 1)


def test_sentiment_never_shifts_to_mosi_from_what_holds_mosei():
    tasks = [item.task for item in SUITES["mmdg"]() if item.group == "sentiment"]
    assert not [task for task in tasks if task.target == "mosi" and "mosei" in task.sources]


def test_names_are_those_of_the_datasets():
    places = {(item.group, place) for item in SUITES["mmdg"]() for place in item.task.places}
    assert {place for group, place in places if group == "hust"} == {
        f"{Hust.name}/{domain}" for domain in DOMAINS
    }
    used = {(item.group, item.modalities) for item in SUITES["mmdg"]()}
    assert {("hust", MOTOR), ("sentiment", SPOKEN)} <= used


def test_the_command_lists_them_all_without_torch(mmbench: Command):
    ended = mmbench("list", "tasks", "--suite", "mmdg", COLUMNS="200")
    assert ended.returncode == 0, ended.stderr
    listed = {(line.split()[0], line.split()[-1]) for line in ended.stdout.splitlines() if "->" in line}
    assert listed == {(item.name, item.modality_set) for item in SUITES["mmdg"]()}
    assert "= 95 tasks" in ended.stdout
    ended = mmbench("list", "tasks", "--suite", "mmgd")
    assert ended.returncode == 2
    assert "did you mean mmdg" in ended.stderr
    code = "import sys, mmbench.benchmark.suites; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_suite_is_planned_with_the_modality_sets_of_each_task(tmp_path: Path):
    for dataset in (Epic, Hac, Hust, Mosi, Mosei, Sims):
        dataset().synthesize(tmp_path / dataset.name)
    asked = {"methods": "erm", "suite": "mmdg", "seeds": "0", "data_root": tmp_path}
    jobs = jobs_of(Experiment.read(asked))
    assert {(job.task, frozenset(job.modalities)) for job in jobs} == {
        (item.name, frozenset(item.modalities)) for item in SUITES["mmdg"]()
    }
    assert len(jobs) == 95
    some = jobs_of(Experiment.read({**asked, "datasets": "epic/d1->epic/d2,mosi", "modalities": "T"}))
    assert [job.modality_set for job in some] == [
        "video+audio",
        "video+flow",
        "audio+flow",
        "video+audio+flow",
        "text",
    ]


def test_an_unknown_suite_is_one_line():
    with pytest.raises(UsageError, match="unknown suite 'mmgd': did you mean mmdg"):
        Experiment.read({"methods": "erm", "datasets": "mosi", "suite": "mmgd"})
