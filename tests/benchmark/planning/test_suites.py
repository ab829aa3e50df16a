"""The tasks of MMDG-Bench."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.core.method_spec import describe
from mmbench.benchmark.core.registry import find
from mmbench.benchmark.core.task import Task
from mmbench.benchmark.planning.evaluations import evaluations_for, evaluations_of
from mmbench.benchmark.planning.experiment import Experiment
from mmbench.benchmark.planning.job_matrix import jobs_of
from mmbench.benchmark.planning.suites import SUITES, suite_tasks
from mmbench.benchmark.planning.variants import methods_of
from mmbench.datasets.epic import Epic
from mmbench.datasets.hac import Hac
from mmbench.datasets.hust import Hust
from mmbench.datasets.mosei import Mosei
from mmbench.datasets.mosi import Mosi
from mmbench.datasets.pickles.mmsa_layout import MODALITIES as SPOKEN
from mmbench.datasets.shared.hust_names import DOMAINS
from mmbench.datasets.shared.hust_names import MODALITIES as MOTOR
from mmbench.datasets.sims import Sims
from mmbench.methods import ESTIMATORS, NETWORKS

from ..conftest import Command


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("suite")
    for dataset in (Epic, Hac, Hust, Mosi, Mosei, Sims):
        dataset().synthesize(root / dataset.name)
    return root


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
    code = "import sys, mmbench.benchmark.planning.suites; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_suite_is_planned_with_the_modality_sets_of_each_task(stand_ins: Path):
    asked = {"methods": "erm", "suite": "mmdg", "seeds": "0", "data_root": stand_ins}
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


def test_quick_is_one_task_with_several_sources_and_most_modalities_of_each_family():
    taken = suite_tasks("mmdg", "quick")
    assert sorted(item.group for item in taken) == ["epic", "hac", "hust", "sentiment"]
    for item in taken:
        family = [other for other in SUITES["mmdg"]() if other.group == item.group]
        assert item in family
        assert len(item.task.sources) == max(len(other.task.sources) for other in family)
        assert len(item.modalities) == max(len(other.modalities) for other in family)
    assert suite_tasks("mmdg", "standard") == SUITES["mmdg"]()


def test_quick_tries_every_method_on_every_axis(stand_ins: Path):
    asked = Experiment.read({"suite": "mmdg", "preset": "quick", "data_root": stand_ins})
    jobs = jobs_of(asked)
    # its datasets state no conversations, and of some methods there is no loss of scores
    about = {name: describe(find("method", name)) for name in NETWORKS}
    fitting = {name for name in NETWORKS if not about[name].uses_conversation}
    assert {job.method for job in jobs} == fitting
    sentiment = {item.name for item in suite_tasks("mmdg", "quick") if item.group == "sentiment"}
    classes = {name for name in fitting if "regression" not in about[name].kinds}
    assert classes
    assert not any(job.method in classes and job.task in sentiment for job in jobs)
    taken = {(item.name, frozenset(item.modalities)) for item in suite_tasks("mmdg", "quick")}
    assert {(job.task, frozenset(job.modalities)) for job in jobs} == taken
    apart = len(classes) * len({pair for pair in taken if pair[0] in sentiment})
    assert len(jobs) == (len(fitting) * len(taken) - apart) * len(asked.seeds)
    assert len(asked.seeds) > 1  # else no table has an interval
    tests = evaluations_of(asked)
    for job in jobs:
        kinds = {item.kind for item in evaluations_for(tests, job)}
        assert {"corruption", "ood", "features"} <= kinds
    corruptions = [find("corruption", item.subject).load() for item in tests if item.kind == "corruption"]
    assert all(corruption.conditions(job.modalities) for corruption in corruptions for job in jobs[:1])


def test_what_is_asked_for_takes_the_place_of_what_quick_brings():
    quick = {"suite": "mmdg", "preset": "quick"}
    asked = Experiment.read(
        {**quick, "methods": "erm", "corruptions": "", "ood": "mosi", "seeds": "7", "protocol": {"epochs": 9}}
    )
    assert (asked.methods, asked.corruptions, asked.ood) == (["erm"], [], ["mosi"])
    assert (asked.seeds, asked.protocol.epochs) == ([7], 9)
    assert Experiment.read({**quick, "datasets": "mosi"}).ood == []  # the foreign data may not be there
    assert Experiment.read({"suite": "mmdg"}).corruptions == []


def test_a_saved_quick_suite_is_the_same_suite(tmp_path: Path):
    asked = Experiment.read({"suite": "mmdg", "preset": "quick"})
    asked.save(tmp_path / "asked.yaml")
    assert Experiment.load(tmp_path / "asked.yaml") == asked


def test_all_methods_are_those_registered_and_those_of_a_plugin_each_once(tmp_path: Path):
    plugin = tmp_path / "mine.py"
    plugin.write_text('from mmbench.methods.erm import ERM\n\nMETHODS = {"mine": "ERM"}\n')
    asked = Experiment.read(
        {"methods": "erm(layers=1),all,erm,estimators", "datasets": "mosi", "plugins": [plugin]}
    )
    assert Counter(methods_of(asked)) == Counter(["erm(layers=1)", "mine", *NETWORKS, *ESTIMATORS])


def test_plan_says_how_much_of_the_suite_is_taken(mmbench: Command, stand_ins: Path, tmp_path: Path):
    arguments = ("plan", "--suite", "mmdg", "--methods", "erm", "--store", str(tmp_path / "runs"))
    whole = mmbench(*arguments, "--data-root", str(stand_ins))
    assert "mmdg: 95 of 95 tasks\n" in whole.stdout
    quick = mmbench(*arguments, "--data-root", str(stand_ins), "--preset", "quick")
    assert "mmdg: 4 of 95 tasks; all: --preset standard\n" in quick.stdout, quick.stderr
    assert "gaussian-noise" in quick.stdout
    assert "epic, hac" in quick.stdout


def test_an_unknown_suite_is_one_line():
    with pytest.raises(UsageError, match="unknown suite 'mmgd': did you mean mmdg"):
        Experiment.read({"methods": "erm", "datasets": "mosi", "suite": "mmgd"})
