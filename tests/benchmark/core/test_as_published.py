"""The protocol ``as-published``: which rules a job gets, and that each rule does what it says."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmbench.benchmark.core.as_published import BUDGETS, family_of
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.core.job import Data, Job
from mmbench.benchmark.core.method_spec import describe
from mmbench.benchmark.core.protocol import protocol_label
from mmbench.benchmark.core.registry import entries, find
from mmbench.benchmark.core.selection import select_epoch
from mmbench.benchmark.core.task import Task
from mmbench.benchmark.data.domains import check_domain, concatenate
from mmbench.benchmark.data.tensors import TaskRequest, load_task
from mmbench.benchmark.launch.run import run
from mmbench.benchmark.planning.experiment import Experiment
from mmbench.benchmark.planning.job_matrix import jobs_of
from mmbench.benchmark.report.results import results
from mmbench.benchmark.store.store import Store
from mmbench.benchmark.train.lightning_module import fit
from mmbench.benchmark.train.minibatches import Minibatches
from mmbench.benchmark.train.optimizer import SCHEDULES
from mmbench.benchmark.train.seeds import seed_everything
from mmbench.datasets.dataset import DataError, Target
from mmbench.datasets.epic import Epic
from mmbench.datasets.hac import Hac
from mmbench.datasets.hust import Hust
from mmbench.datasets.locate import locate
from mmbench.datasets.mosei import Mosei
from mmbench.methods import METHODS
from mmbench.methods.erm import ERM
from torch import Tensor

from ..conftest import make_samples, write_dataset
from ..train.test_lightning_module import Counting, data, protocol, train  # noqa: F401 (a fixture)
from .test_selection import record

FAIR_IDS = json.loads((Path(__file__).parents[1] / "stored" / "fair-ids.json").read_text())


@pytest.mark.parametrize("method", METHODS)
def test_what_came_later_leaves_the_ids_of_the_fair_protocol(method: str):
    """Recorded before there was any switch, at version 1 of every method; one that is not recorded came later."""
    asked = Experiment.read({"methods": method, "datasets": "toy"})
    about = describe(find("method", method))
    job = Job(
        task="toy",
        modalities=("text", "audio"),
        data=(Data("toy", "0" * 64, "open", False),),
        protocol=asked.protocol.model_dump(),
        seed=0,
        method=method,
        params=about.resolve({}),
        version="1",  # that of the record
    )
    known = FAIR_IDS.get(method, job.id)
    if about.version == 1:
        assert job.id == known
    else:  # its numbers changed, and so must its ids
        assert replace(job, version=str(about.version)).id != known


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_dataset(root / "toy")
    Hust().synthesize(root / "hust")
    Epic().synthesize(root / "epic")
    return root


def jobs(root: Path, datasets: str, methods: str, **protocol) -> dict[str, Job]:
    asked = {"methods": methods, "datasets": datasets, "seeds": "0", "data_root": root}
    found = jobs_of(Experiment.read({**asked, "protocol": {"name": "as-published", **protocol}}))
    return {job.label: job for job in found}


@pytest.mark.parametrize(
    ("dataset", "family"),
    [("toy", "sentiment"), ("hust/5hz->hust/10hz", "hust"), ("epic/d1->epic/d2", "action")],
)
def test_a_job_has_the_rules_of_its_family_as_plain_values(root: Path, dataset: str, family: str):
    job = jobs(root, dataset, "late_concat")["late_concat"]
    assert {key: job.protocol[key] for key in BUDGETS[family]} == BUDGETS[family]
    assert job.rules == "as-published"
    fair = Experiment.read({"methods": "erm", "datasets": "toy"}).protocol.model_dump()
    assert job.protocol.keys() == fair.keys()
    asked = jobs(root, dataset, "late_concat", epochs=20, batch_size=7)["late_concat"]
    assert (asked.protocol["epochs"], asked.protocol["batch_size"]) == (20, 7)
    assert "batch_size=7" in asked.rules
    assert ("epochs" in asked.rules) == (family != "action")


def test_settings_of_a_dataset_go_before_those_of_its_family(tmp_path: Path):
    Mosei().synthesize(tmp_path / "mosei")
    write_dataset(tmp_path / "toy")
    job = jobs(tmp_path, "mosei", "mfn,erm")
    own, other = job["mfn"], jobs(tmp_path, "toy", "mfn")["mfn"]
    assert (own.params["hidden"], other.params["hidden"]) == (128, 256)
    assert own.params["steps"] == other.params["steps"] == 50  # of the family
    rules = ("batch_size", "learning_rate", "weight_decay", "patience")
    assert [own.protocol[name] for name in rules] == [64, 5e-4, 1e-4, 8]
    assert [other.protocol[name] for name in rules] == [128, 2e-3, 0.0, 8]
    assert own.label == "mfn"
    assert job["erm"].protocol["batch_size"] == BUDGETS["sentiment"]["batch_size"]
    asked = jobs(tmp_path, "mosei", "mfn(hidden=32)", batch_size=7)["mfn(hidden=32)"]
    assert (asked.params["hidden"], asked.protocol["batch_size"]) == (32, 7)


@pytest.mark.parametrize(
    ("encoders", "kind", "family"),
    [
        ({"a": "cnn1d", "b": "cnn1d"}, "classification", "hust"),
        ({"a": "cnn1d"}, "classification", "action"),
        ({}, "regression", "sentiment"),
        ({}, "classification", "action"),
    ],
)
def test_a_dataset_that_names_no_family_has_the_default_of_its_kind(encoders: dict, kind: Any, family: str):
    located: Any = SimpleNamespace(name="own", modalities=("a", "b"), encoders=encoders, target=Target(kind))
    assert family_of(located, None) == family


def test_datasets_of_the_published_families_say_so():
    located: Any = SimpleNamespace(name="own", modalities=(), target=Target("regression"))
    # of no published family: as data of one's own
    others = ("physionet2012", "mimic4", "chipsal", "chipsal_sentiment")
    families = {
        name: family_of(located, entry) for name, entry in entries("dataset").items() if name not in others
    }
    sentiment = dict.fromkeys(["mosi", "mosei", "sims", "simsv2"], "sentiment")
    assert families == {**sentiment, "hust": "hust", "epic": "action", "hac": "action"}


FAMILIES = """
from mmbench.datasets.shared.sentiment import Sentiment

DATASETS = {"mine": "Mine", "faulty": "Faulty"}


class Mine(Sentiment):
    family_as_published = "action"


class Faulty(Sentiment):
    family_as_published = "acton"
"""


def test_a_dataset_of_a_plug_in_names_its_family(tmp_path: Path):
    (tmp_path / "own.py").write_text(FAMILIES)
    known = entries("dataset", (tmp_path / "own.py",))
    located: Any = SimpleNamespace(name="own", modalities=(), target=Target("regression"))
    assert family_of(located, known["mine"]) == "action"
    with pytest.raises(UsageError, match=r"unknown family 'acton': .*action"):
        family_of(located, known["faulty"])


def test_methods_with_rules_of_their_own_stand_in_one_table(root: Path, tmp_path: Path):
    found = jobs(root, "hust/5hz->hust/10hz", "erm,gmp")
    assert found["erm"].protocol != found["gmp"].protocol
    store = Store(tmp_path / "runs")
    store.add(list(found.values()))
    assert {result.protocol for result in results(store.path)} == {"as-published"}


def test_older_jobs_as_published_keep_their_label():
    older = {"name": "as-published", **BUDGETS["sentiment"]}
    del older["ties"]
    assert protocol_label({**older, "widths": "strict"}) == "as-published"


@pytest.mark.parametrize(("ties", "expected"), [("lower-loss", 2), ("earliest", 1), ("latest", 3)])
def test_of_equal_epochs_the_one_that_is_asked_for(ties: str, expected: int):
    found = record(3, 1, 1, 1, 2, losses=(0, 5, 1, 2, 0))
    assert select_epoch("source-validation", found, "lower", ties=ties) == expected
    staged = record(9, 1, 1, 1, 0, losses=(0, 5, 1, 2, 0), stages=(0, 1, 1, 1, 1))
    assert select_epoch("source-validation", staged, "higher", ties=ties) == expected


class Still(Counting):
    """One stage; with a learning rate of next to nothing, all its epochs are equal."""

    stages = (1.0,)


@pytest.mark.parametrize(("ties", "expected"), [("earliest", 0), ("latest", 2)])
def test_the_trainer_selects_by_it(data, ties: str, expected: int):  # noqa: F811
    method = Still(Still.Params(), data.spec("fair"))
    assert train(method, data, ties=ties, learning_rate=1e-30).selected_epoch == expected


def test_an_epoch_of_steps_goes_on_where_the_last_ended(data):  # noqa: F811
    batch = data.train.batch  # 40 samples
    plain, stepped = Minibatches(batch, 16, 5), Minibatches(batch, 16, 5, steps=2)
    passes = [part.sample_id for _ in range(2) for part in plain]
    epochs = [[part.sample_id for part in stepped] for _ in range(3)]
    assert [len(epoch) for epoch in epochs] == [2, 2, 2]
    assert all(torch.equal(a, b) for a, b in zip(passes, sum(epochs, []), strict=True))  # noqa: RUF017


def test_the_incomplete_batch_is_left_out_where_there_is_another(data):  # noqa: F811
    batch = data.train.batch
    found = Minibatches(batch, 16, 5, drop_last=True)
    assert [len(part) for part in found] == [16, 16]
    assert len(found) == 2
    small = Minibatches(batch.take(slice(0, 9)), 16, 5, drop_last=True)
    assert [len(part) for part in small] == [9]


def test_schedules_by_hand():
    assert SCHEDULES["inverse-power"](0, 100) == 1
    assert SCHEDULES["inverse-power"](50, 100) == pytest.approx(6**-0.75)
    assert SCHEDULES["cosine-to-1%"](0, 10) == 1
    assert SCHEDULES["cosine-to-1%"](10, 10) == pytest.approx(0.01)
    assert SCHEDULES["cosine"](5, 10) == pytest.approx(SCHEDULES["cosine-to-1%"](5, 10), abs=0.01)


def steps_of(data, **rules) -> list[dict[str, Tensor]]:  # noqa: F811
    """How far each step moved each parameter of ERM."""
    seed_everything(0)
    method = ERM(ERM.Params(layers=1), data.spec("fair"))
    weights = [{n: p.detach().clone() for n, p in method.named_parameters()}]

    def after_step() -> None:
        weights.append({n: p.detach().clone() for n, p in method.named_parameters()})

    method.after_step = after_step  # type: ignore[method-assign]
    plain = {"optimizer": "adam", "schedule": "constant", "weight_decay": 0.0, "clip_norm": 0.0}
    fit(
        method,
        protocol(**{**plain, "epochs": 2, **rules}),
        data.train.batch,
        data.valid.batch,
        0,
        lambda *_: None,
    )
    return [{n: new[n] - old[n] for n in old} for old, new in itertools.pairwise(weights)]


def test_a_new_adam_at_every_step_moves_every_weight_by_the_rate(data):  # noqa: F811
    """Without memory Adam's step is the rate times the sign of the gradient."""
    name = "head.reduce.weight"
    forgetful, ordinary = steps_of(data, restart_optimizer=True), steps_of(data)
    assert torch.equal(forgetful[0][name], ordinary[0][name])
    moved = forgetful[-1][name].abs()
    assert float(((moved - 1e-3).abs() < 1e-5).float().mean() + (moved == 0).float().mean()) > 0.97
    assert float(((ordinary[-1][name].abs() - 1e-3).abs() < 1e-5).float().mean()) < 0.5


def test_encoders_have_a_rate_of_their_own(data):  # noqa: F811
    slow, same = (steps_of(data, restart_optimizer=True, encoder_rate=rate)[0] for rate in (0.1, 1.0))
    for name, step in same.items():
        share = 0.1 if name.startswith("encoders.") else 1.0
        assert torch.allclose(slow[name], share * step, atol=3e-6), name  # of a weight's last digit


def test_the_inverse_power_falls_at_every_step(data):  # noqa: F811
    rules = {"restart_optimizer": True, "schedule": "inverse-power", "batch_size": 16, "drop_last": True}
    found = [float(step["head.reduce.weight"].abs().max()) for step in steps_of(data, **rules)]
    assert found == pytest.approx([1e-3 * (1 + 10 * i / 4) ** -0.75 for i in range(4)], rel=1e-3)


def clips(splits: dict, domain: str, *names: str) -> set[str]:
    """The sample ids of a domain in these splits."""
    return {i for n in names for i in splits[n].sample_id[splits[n].domain == domain].tolist()}


@pytest.mark.parametrize("dataset", [Epic, Hac])
def test_the_published_lists_of_action_recognition(dataset: type[Epic] | type[Hac], tmp_path: Path):
    found = dataset()
    found.synthesize(tmp_path / found.name)
    one, other = list(found.lists)[:2]
    located = {found.name: locate(found.name, tmp_path)}
    task = f"{found.name}/{one}->{found.name}/{other}"
    job = jobs(tmp_path, task, "erm")["erm"]
    request = TaskRequest(
        task, ("x",), ("audio",), False, "strict", False, "cpu", roles=job.protocol["roles"]
    )
    made = load_task(request, located)
    splits = located[found.name].load()
    assert set(made.train.sample_id) == clips(splits, one, "train", "valid")
    assert set(made.valid.sample_id) == clips(splits, one, "test")
    tested = ("train", "valid", "test") if found.name == "hac" else ("test",)
    assert set(made.test.sample_id) == clips(splits, other, *tested)
    rows = {i: row for s in splits.values() for i, row in zip(s.sample_id, s.features["audio"], strict=True)}
    for split in (made.train, made.test):
        kept = split.batch.features["audio"].numpy()
        assert all((kept[place] == rows[i]).all() for place, i in enumerate(split.sample_id))
    inside = load_task(replace(request, task=f"{found.name}/{one}"), located)  # nothing tested may validate
    assert not set(inside.valid.sample_id) & set(inside.test.sample_id)
    fair = load_task(replace(request, roles="splits"), located)
    assert set(fair.valid.sample_id) == clips(splits, one, "valid")


def test_a_source_without_test_samples_cannot_validate_with_them():
    task = Task.parse("own/a->own/b")
    check_domain(task, "own/a", {"train": 9})
    with pytest.raises(DataError, match="own/a has no test samples, which validate"):
        check_domain(task, "own/a", {"train": 9}, "test-validates")


def test_samples_put_together_keep_their_previous_and_are_padded():
    short, long = make_samples(5, 1, steps=2), make_samples(7, 2, steps=4)
    found = concatenate([short, long])
    assert found.features["text"].shape == (12, 4, 6)
    assert not found.mask["text"][:5, 2:].any()
    assert (found.features["text"][5:] == long.features["text"]).all()
    named = [None if row < 0 else found.sample_id[row] for row in found.previous]
    expected = [None if r < 0 else part.sample_id[r] for part in (short, long) for r in part.previous]
    assert named == expected


def test_a_job_has_its_method_s_switches_of_its_family(root: Path):
    motor, clips = (jobs(root, task, "gmp,cmrf") for task in ("hust/5hz->hust/10hz", "epic/d1->epic/d2"))
    scores = jobs(root, "toy", "gmp,cmrf")
    found = [[job["gmp"].params[key] for key in ("adversary_trained", "mlp_head", "whole_network")]
             for job in (motor, clips, scores)]  # fmt: skip
    assert found == [[False, 256, False], [False, 0, False], [True, 0, True]]
    assert [job["cmrf"].params["start"] for job in (motor, clips, scores)] == [100, 400, 100]
    (asked,) = jobs(root, "epic/d1->epic/d2", "cmrf(start=7)").values()
    assert (asked.params["start"], asked.label) == (7, "cmrf(start=7)")
    fair = jobs_of(Experiment.read({"methods": "gmp", "datasets": "toy", "seeds": "0", "data_root": root}))
    assert fair[0].params["adversary_trained"]


@pytest.mark.slow
@pytest.mark.parametrize("task", ["toy", "hust/5hz->hust/10hz", "epic/d1->epic/d2"])
def test_it_runs_and_lands_in_one_table(root: Path, task: str, tmp_path: Path):
    asked = {
        "methods": "erm,gmp",
        "datasets": task,
        "seeds": "0",
        "data_root": root,
        "store": tmp_path / "runs",
    }
    few = {"name": "as-published", "epochs": 2, "epoch_steps": 2, "batch_size": 8}
    assert run(Experiment.read({**asked, "launcher": "debug", "device": "cpu", "protocol": few})).ok
    found = results(tmp_path / "runs")
    assert {result.protocol for result in found} == {"as-published (batch_size=8, epoch_steps=2, epochs=2)"}
    assert {result.method for result in found} == {"erm", "gmp"}
