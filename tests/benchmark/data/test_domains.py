"""Domains of one dataset as the places of a task."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.core.job import Data, Job
from mmbench.benchmark.core.task import Task, dataset_of, domain_of
from mmbench.benchmark.data.tensors import TaskData, TaskRequest, load_task
from mmbench.benchmark.launch.run import check_data, plan
from mmbench.benchmark.planning.experiment import Experiment
from mmbench.benchmark.planning.job_matrix import jobs_of
from mmbench.datasets.dataset import SPLITS, DataError, Samples, Target
from mmbench.datasets.layout.write import write_open_layout
from mmbench.datasets.locate import locate

from ..conftest import Command, make_samples

COUNTS = (60, 30, 30)
TARGET = Target("classification", classes=("no", "yes"), metrics="classification")


def domains_of(count: int) -> np.ndarray:
    return np.array(["a", "b", "c"])[np.arange(count) % 3]


def made(**lost: str) -> dict[str, Samples]:
    """Three domains, a third of each split each; ``lost`` maps a split to a domain that has no sample there."""
    splits = {}
    for place, (split, count) in enumerate(zip(SPLITS, COUNTS, strict=True)):
        samples = make_samples(count, 70 + place, "classification")
        samples = replace(samples, domain=domains_of(count), previous=np.full(count, -1))
        rows = np.flatnonzero(samples.domain != lost.get(split, ""))
        splits[split] = replace(
            samples,
            features={name: array[rows] for name, array in samples.features.items()},
            mask={name: array[rows] for name, array in samples.mask.items()},
            present={name: array[rows] for name, array in samples.present.items()},
            **{key: getattr(samples, key)[rows] for key in ("target", "sample_id", "domain", "previous")},
        )
    return splits


@pytest.fixture
def root(data_root: Path) -> Path:
    """The data root with ``multi`` beside the others."""
    write_open_layout(data_root / "multi", made(), TARGET)
    return data_root


def loaded(root: Path, task: str, *names: str) -> TaskData:
    request = TaskRequest(task, ("x",), ("text", "audio"), True, "strict", True, "cpu")
    return load_task(request, {name: locate(name, root) for name in names or ("multi",)})


def jobs(root: Path, datasets: str, **more: Any) -> list[Job]:
    asked = {"methods": "erm", "datasets": datasets, "seeds": "0", "data_root": root, **more}
    return jobs_of(Experiment.read(asked))


# --- the notation -----------------------------------------------------------------------------------------

NAME = st.text("abcXYZ0189._-", min_size=1, max_size=6).filter(lambda name: ">" not in name)
PLACE = st.one_of(NAME, st.tuples(NAME, NAME).map("/".join))


@given(st.lists(PLACE, min_size=2, max_size=5, unique=True))
def test_a_task_reads_back_what_it_writes_or_refuses_it(places: list[str]):
    text = f"{'+'.join(places[:-1])}->{places[-1]}"
    whole = {place for place in places if not domain_of(place)}
    if any(domain_of(place) and dataset_of(place) in whole for place in places):
        with pytest.raises(ValueError, match="whole and by its domain"):
            Task.parse(text)
        return
    task = Task.parse(text)
    assert Task.parse(task.name) == task
    assert set(task.places) == set(places)
    assert task.places[-1] == places[-1]
    assert task.datasets[-1] == dataset_of(places[-1])
    assert sorted(task.datasets) == sorted({dataset_of(place) for place in places})


@pytest.mark.parametrize(
    "text", ["multi->multi/a", "multi/a->multi", "a/b/c", "/a", "a/", "a/*->b", "a/b->a/*"]
)
def test_what_is_no_task_is_refused(text: str):
    with pytest.raises(ValueError, match=r"task|domain"):
        Task.parse(text)


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("mosi", "mosi-erm-ta-s0-f24cc0b719f1"),
        ("mosi->sims", "mosi-to-sims-erm-ta-s0-69e1dc4ceb0a"),
        ("mosi+mosei->sims", "mosei-mosi-to-sims-erm-ta-s0-3bf17b9a2150"),
    ],
)
def test_jobs_without_domains_keep_the_ids_they_had_before_there_were_any(task: str, name: str):
    parsed = Task.parse(task)
    job = Job(
        task=parsed.name,
        method="erm",
        params={"width": 40},
        version="1",
        modalities=("text", "audio"),
        data=tuple(Data(one, "f" * 64, "open", False) for one in parsed.datasets),
        protocol={"name": "fair"},
        seed=0,
    )
    assert job.id == name


# --- which samples are whose ------------------------------------------------------------------------------


def test_train_and_validation_are_the_sources_and_the_test_is_the_target_s(root: Path):
    data = loaded(root, "multi/a+multi/b->multi/c")
    stored = locate("multi", root).load()
    for split, part, domains in (
        ("train", data.train, "ab"),
        ("valid", data.valid, "ab"),
        ("test", data.test, "c"),
    ):
        expected = np.isin(stored[split].domain, list(domains))
        assert set(part.sample_id) == set(stored[split].sample_id[expected])
        assert set(part.domain) == set(domains)
    assert data.domains == 2
    assert data.train.batch.domain.tolist() == [0] * 20 + [1] * 20


def test_the_target_s_data_reach_neither_training_nor_selection(root: Path):
    clean = loaded(root, "multi/a+multi/b->multi/c")
    splits = locate("multi", root).load()
    for samples in splits.values():
        theirs = samples.domain == "c"
        for array in samples.features.values():
            array[theirs] = 1e4
        samples.target[theirs] = 1 - samples.target[theirs]
    write_open_layout(root / "multi", splits, TARGET, overwrite=True)
    spoilt = loaded(root, "multi/a+multi/b->multi/c")
    for one, other in ((clean.train.batch, spoilt.train.batch), (clean.valid.batch, spoilt.valid.batch)):
        for name in ("text", "audio"):
            assert torch.equal(one.features[name], other.features[name])
        assert torch.equal(one.target, other.target)
        assert torch.equal(one.sample_id, other.sample_id)
    assert not torch.equal(clean.test.batch.features["text"], spoilt.test.batch.features["text"])


def test_a_sample_is_damaged_alike_whether_its_domain_is_named_or_not(root: Path):
    whole = loaded(root, "multi").test.batch.sample_id
    theirs = loaded(root, "multi/a->multi/c").test.batch.sample_id
    assert set(theirs.tolist()) < set(whole.tolist())


def test_a_domain_can_be_trained_and_tested_on_itself(root: Path):
    data = loaded(root, "multi/b")
    assert {*data.train.domain, *data.valid.domain, *data.test.domain} == {"b"}


def test_domains_of_two_datasets_meet_in_a_task(root: Path):
    write_open_layout(root / "second", made(), TARGET)
    data = loaded(root, "multi/a+second->multi/c", "multi", "second")
    assert len(data.train.sample_id) == 20 + 60
    assert data.domains == 2


def test_a_source_domain_without_validation_gives_a_share_of_its_training_samples(root: Path):
    write_open_layout(root / "multi", made(valid="a"), TARGET, overwrite=True)
    data, again = (loaded(root, "multi/a+multi/b->multi/c") for _ in range(2))
    drawn, trained = (set(part.sample_id[part.domain == "a"]) for part in (data.valid, data.train))
    stored = locate("multi", root).load()["train"]
    assert (len(drawn), len(trained)) == (4, 16)
    assert drawn | trained == set(stored.sample_id[stored.domain == "a"])
    assert (data.valid.domain == "b").sum() == 10
    assert data.valid.sample_id.tolist() == again.valid.sample_id.tolist()


@pytest.mark.parametrize(("lost", "message"), [("train", "0 training samples"), ("test", "no test samples")])
def test_a_domain_without_samples_ends_a_run_before_it_begins(root: Path, lost: str, message: str):
    write_open_layout(root / "multi", made(**{lost: "a"}), TARGET, overwrite=True)
    task = "multi/a->multi/b" if lost == "train" else "multi/b->multi/a"
    with pytest.raises(DataError, match=f"multi/a has {message}"):
        check_data(plan(Experiment.read({"methods": "erm", "datasets": task, "data_root": root})), "cpu")
    with pytest.raises(DataError, match=f"multi/a has {message}"):
        loaded(root, task)


def test_a_dataset_is_read_once_for_all_its_domains(root: Path):
    found = locate("multi", root)
    reads = []

    class Counted:
        name, target, modalities = found.name, found.target, found.modalities

        def load(self) -> dict[str, Samples]:
            reads.append(1)
            return found.load()

    request = TaskRequest("multi/a+multi/b->multi/c", ("x",), ("text", "audio"), True, "strict", True, "cpu")
    load_task(request, {"multi": Counted()})  # pyright: ignore[reportArgumentType]
    assert len(reads) == 1


# --- planning and running ---------------------------------------------------------------------------------


def test_a_star_is_every_domain_with_the_others_as_sources(root: Path):
    found = jobs(root, "multi/*")
    assert [job.task for job in found] == [
        "multi/b+multi/c->multi/a",
        "multi/a+multi/c->multi/b",
        "multi/a+multi/b->multi/c",
    ]
    assert {len(job.data) for job in found} == {1}
    assert {job.id for job in jobs(root, "multi/a+multi/b->multi/c")} < {job.id for job in found}
    for job in found:
        assert job.id == "".join(c for c in job.id if c.isalnum() or c in "-.")


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        ("multi/a->multi/d", "multi has no domain 'd': "),
        ("toy/*", "toy/.: toy has . domains; a shift needs two"),
        ("multy/*", "unknown dataset 'multy': did you mean multi"),
    ],
)
def test_a_wrong_domain_is_one_line(root: Path, datasets: str, message: str):
    with pytest.raises(UsageError, match=message):
        jobs(root, datasets)


def test_a_domain_that_would_be_misread_in_a_task_is_refused(root: Path):
    splits = {
        name: replace(one, domain=np.where(one.domain == "c", "c+d", one.domain))
        for name, one in made().items()
    }
    write_open_layout(root / "multi", splits, TARGET, overwrite=True)
    with pytest.raises(UsageError, match=r"'c\+d' cannot stand in a task, where \+ .*values: \.\.\."):
        jobs(root, "multi/*")


@pytest.mark.slow
def test_leave_one_domain_out_runs_from_a_description_alone(root: Path, mmbench: Command):
    whole = list(made().values())
    own = root / "own"
    own.mkdir()
    np.savez(
        own / "all.npz",
        sound=np.concatenate([one.features["audio"] for one in whole]),
        label=np.concatenate([one.target for one in whole]),
        who=np.concatenate([one.domain for one in whole]),
        minute=np.concatenate([np.arange(count) % 10 + 10 * place for place, count in enumerate(COUNTS)]),
    )
    (own / "dataset.yaml").write_text(
        "file: all.npz\nmodalities: {sound: sound}\ntask: {kind: classification, classes: 2}\nlabel: label\n"
        "domain: {array: who, values: {a: p1, b: p2, c: p3}}\n"
        "split: {array: minute, values: {0-9: train, 10-19: valid, 20-29: test}}\n"
    )
    asked = "--datasets own/* --methods erm(layers=1) --seeds 0 --epochs 1 --device cpu --launcher debug"
    ended = mmbench("run", *asked.split())
    assert ended.returncode == 0, ended.stdout + ended.stderr
    ended = mmbench("leaderboard", "--datasets", "own/*", "--format", "csv", "--out", "tables")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    written = "".join(file.read_text() for file in (root.parent / "tables").glob("*.csv"))
    for target in ("own/p2+own/p3->own/p1", "own/p1+own/p3->own/p2", "own/p1+own/p2->own/p3"):
        assert target in written
