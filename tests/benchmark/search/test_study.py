"""Which networks a search needs, and in which order they can be trained."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mmbench.benchmark.cli.flags import experiment_from
from mmbench.benchmark.core.atomic_files import read_json
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.core.method_fields import Field
from mmbench.benchmark.core.method_spec import describe
from mmbench.benchmark.core.registry import entries
from mmbench.benchmark.launch import estimate
from mmbench.benchmark.launch.estimate import Took
from mmbench.benchmark.launch.run import plan
from mmbench.benchmark.planning.experiment import Experiment
from mmbench.benchmark.search.optuna_study import ask, suggest, write_journals
from mmbench.benchmark.search.optuna_trial import optuna
from mmbench.benchmark.search.sampling import round_draw
from mmbench.benchmark.search.study import STARTUP, Study, next_wave, progress_of, studies_of
from mmbench.benchmark.search.trials import repeat_of, search_of
from mmbench.benchmark.store.store import Store
from mmbench.datasets.epic import Epic
from mmbench.datasets.hac import Hac
from mmbench.datasets.hust import Hust
from mmbench.datasets.mosei import Mosei
from mmbench.datasets.mosi import Mosi
from mmbench.datasets.sims import Sims

from ..conftest import Command, write_dataset
from .studies import asked, end, finish, fit_record, study_of

NINE = "erm,rna,simmmdg,moosa,cmrf,nel,jat,mbcd,gmp"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_dataset(tmp_path / "data" / "toy")
    write_dataset(tmp_path / "data" / "toyc", 1, "classification")
    return tmp_path


def wave_of(studies: list[Study], store: Store, tried: set[tuple[str, bool]] | None = None):
    """What can be trained now."""
    return next_wave(
        progress_of(studies, store), store, (), tried or set(), lambda *given: ask(store, *given)
    )


def test_the_published_search_of_nine_methods_on_95_tasks_is_11115_networks(tmp_path: Path):
    for dataset in (Epic, Hac, Hust, Mosi, Mosei, Sims):
        dataset().synthesize(tmp_path / "data" / dataset.name)
    values = {"methods": NINE, "suite": "mmdg", "preset": "paper"}
    planned = plan(Experiment.read({**values, "data_root": tmp_path / "data", "store": tmp_path / "runs"}))
    assert planned.networks == 13 * 9 * 95 == 11_115
    assert len(planned.searches) == 9 * 95
    assert len(planned.todo) == len({job.id for job in planned.todo}) == 11 * 9 * 95
    assert {progress.study.size for progress in planned.searches} == {13}  # the same budget for every method
    assert not (tmp_path / "runs").exists()


def test_paper_is_the_published_search_with_the_standard_epochs():
    values = {"methods": "erm", "datasets": "mosi"}
    paper = Experiment.read({**values, "preset": "paper"})
    assert paper.search is not None
    assert (paper.search.draws, paper.search.repeats) == (10, 2)
    assert (paper.search.sampler, paper.search.pruner) == ("random", "none")
    assert paper.protocol == Experiment.read(values).protocol
    assert Experiment.read(values).search is None


def test_each_number_is_an_option_of_its_own_on_the_command_line_and_in_yaml(tmp_path: Path):
    flags = {"methods": "erm", "datasets": "mosi", "preset": "paper"}
    changed = experiment_from(None, {**flags, "draws": "4", "sampler": "tpe"})
    assert changed.search is not None
    assert (changed.search.draws, changed.search.repeats, changed.search.sampler) == (4, 2, "tpe")
    changed.save(tmp_path / "asked.yaml")
    assert Experiment.load(tmp_path / "asked.yaml") == changed
    again = experiment_from(tmp_path / "asked.yaml", {"repeats": "7"})
    assert again.search is not None
    assert (again.search.draws, again.search.repeats, again.search.sampler) == (4, 7, "tpe")
    (tmp_path / "own.yaml").write_text(
        "methods: [erm]\ndatasets: [mosi]\nsearch: {draws: 3, pruner: median}\n"
    )
    own = Experiment.load(tmp_path / "own.yaml").search
    assert own is not None
    assert (own.draws, own.repeats, own.pruner) == (3, 2, "median")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"search": {"draws": -1}}, r"search.draws \(--draws\): -1 is not allowed, expected 0 or more"),
        ({"search": {"drawn": 3}}, "unknown option 'search.drawn': did you mean draws"),
        (
            {"search": {"sampler": "grid"}},
            r"search.sampler .*'grid' is not allowed, expected 'random' or 'tpe'",
        ),
        ({"preset": "paper", "seeds": "0-2"}, "a search draws its own seeds"),
    ],
)
def test_a_wrong_search_is_one_line(change: dict[str, Any], message: str):
    with pytest.raises(UsageError, match=message) as error:
        Experiment.read({"methods": "erm", "datasets": "mosi", **change})
    assert "\n" not in str(error.value)


def test_all_trials_of_all_methods_are_one_wave_and_all_repeats_the_next(root: Path):
    experiment = asked(root, methods="erm,nel", search={"draws": 10, "repeats": 2})
    studies, store = studies_of(experiment), Store(root / "runs")
    wave = wave_of(studies, store)
    assert (len(wave.jobs), wave.final) == (22, False)
    end(store, studies[0], dict.fromkeys(range(11), (0.5, 0.1)))
    end(store, studies[1], {index: (0.5 - 0.01 * index, 0.1) for index in range(10)})
    wave = wave_of(studies, store)
    assert [job.id for job in wave.jobs] == [studies[1].sampled_job(10).id]
    end(store, studies[1], {10: (0.9, 0.1)})
    wave = wave_of(studies, store)
    assert wave.final
    assert {job.id for job in wave.jobs} == {
        repeat_of(study.sampled_job(best), study.trial, index).id
        for study, best in zip(studies, (0, 9), strict=True)
        for index in range(2)
    }
    assert [job.params for job in wave.jobs[2:]] == [studies[1].sampled_job(9).params] * 2
    for job in wave.jobs:
        finish(store, job, fit_record(0.5, 0.5))
    assert wave_of(studies, store).jobs == ()
    planned = plan(experiment)
    assert (planned.networks, len(planned.done), planned.todo) == (26, 26, ())


def test_a_failed_trial_holds_its_own_study_back_and_no_other(root: Path):
    experiment = asked(root, methods="erm,nel", search={"draws": 2, "repeats": 1})
    studies, store = studies_of(experiment), Store(root / "runs")
    end(store, studies[0], {0: (0.5, 0.1), 1: "failed", 2: (0.4, 0.1)})
    end(store, studies[1], dict.fromkeys(range(3), (0.5, 0.1)))
    assert [job.id for job in wave_of(studies, store).jobs] == [
        studies[0].sampled_job(1).id
    ]  # the next run tries again
    wave = wave_of(studies, store, tried={(studies[0].sampled_job(1).id, False)})  # but not the same one
    assert [job.method for job in wave.jobs] == ["nel"]
    planned = plan(experiment)
    assert (planned.networks, len(planned.done), planned.failures) == (8, 5, 1)


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_fewer_draws_than_the_store_holds_are_refused_and_more_go_on(root: Path, sampler: str):
    def planned(draws: int):
        return plan(asked(root, search={"draws": draws, "repeats": 1, "sampler": sampler}))

    store = Store(root / "runs")
    for job in planned(6).todo:
        finish(store, job, fit_record(0.5, 0.1))
    with pytest.raises(
        UsageError, match="holds a search of nel on toy with more draws than 3: ask for as many"
    ):
        planned(3)
    more = planned(8)
    assert len(more.done) == (7 if sampler == "random" else STARTUP)
    assert more.networks == 10


def test_trials_of_a_search_that_learns_come_one_at_a_time_with_studies_side_by_side(root: Path):
    experiment = asked(root, methods="erm,nel,gmp", search={"draws": 7, "repeats": 1, "sampler": "tpe"})
    studies, store = studies_of(experiment), Store(root / "runs")
    wave = wave_of(studies, store)
    # ERM has nothing to search, so nothing to wait for; the others begin with our own draws.
    assert [(job.method, job.search.index) for job in wave.jobs if job.search] == [
        *(("erm", index) for index in range(8)),
        *(("nel", index) for index in range(STARTUP)),
        *(("gmp", index) for index in range(STARTUP)),
    ]
    asked_for = []
    for _ in range(3):
        for place, job in enumerate(wave.jobs):
            finish(store, job, fit_record(0.5 + 0.01 * place, 0.1))
        wave = wave_of(studies, store)
        assert [job.method for job in wave.jobs] == ["nel", "gmp"]
        # Asked again, as after a kill, it is the same draw; written down, it is taken from there.
        assert wave_of(studies, store).jobs == wave.jobs
        store.add(wave.jobs[:1])
        assert [job.id for job in wave_of(studies, store).jobs] == [job.id for job in wave.jobs]
        asked_for.append(wave.jobs[0])
    assert len({job.id for job in asked_for}) == 3
    assert [job.search.index for job in asked_for if job.search] == [5, 6, 7]
    for job in wave.jobs:
        finish(store, job, fit_record(0.1, 0.1))
    wave = wave_of(studies, store)
    assert wave.final
    assert [job.params for job in wave.jobs[1:2]] == [asked_for[-1].params]


WEIGHT = Field(
    "weight", 0.1, {"low": 0.0, "high": 1.0, "digits": None, "choices": (), "nonzero": False, "log": False}
)
SIZE = Field(
    "size",
    8,
    {"low": None, "high": None, "digits": None, "choices": (4, 8, 16), "nonzero": False, "log": False},
)


def planted(params: dict[str, Any]) -> float:
    """Best, 0, where the weight is 0.8 and the size 16."""
    return abs(params["weight"] - 0.8) + (0.0 if params["size"] == 16 else 0.5)


def test_tpe_uses_earlier_trials_its_later_draws_concentrate_on_a_planted_optimum():
    library = optuna()
    fields = [WEIGHT, SIZE]
    known = library.distributions
    ranges = {
        "weight": known.FloatDistribution(0.0, 1.0),
        "size": known.CategoricalDistribution((4, 8, 16)),
    }
    distances = {"lower": [], "higher": []}
    for direction, sign in (("lower", 1.0), ("higher", -1.0)):
        for seed in range(3):
            trials = []
            for index in range(30):
                params = suggest(fields, trials, direction, 1000 * seed + index)
                assert params == suggest(fields, trials, direction, 1000 * seed + index)
                distances[direction].append((index, planted(params)))
                value = sign * planted(params)
                trials.append(library.create_trial(value=value, params=params, distributions=ranges))
    for found in distances.values():
        early = statistics.mean(distance for index, distance in found if index < 10)
        late = statistics.mean(distance for index, distance in found if index >= 20)
        assert late < 0.5 * early
        # Of uniform draws the mean distance is 0.34 + 0.33, whatever came before.
        assert late < 0.3


OUTSIDE = """
from dataclasses import dataclass
from mmbench.methods.erm import ERM
from mmbench.methods.method import searched

METHODS = {"outside": "Outside"}


@dataclass(frozen=True)
class OutsideParams:
    weight: float = searched(7.0, low=0.0, high=1.0, digits=1)
    size: int = searched(3, choices=(4, 8))
    count: int = searched(9, low=1, high=4)
    temperature: float = searched(0.5, low=0.0, high=0.04, digits=1, nonzero=True)


class Outside(ERM):
    Params = OutsideParams
"""


def test_tpe_draws_within_the_ranges_of_every_method_also_where_a_default_lies_outside(root: Path):
    (root / "outside.py").write_text(OUTSIDE)
    described = {name: describe(entry) for name, entry in entries("method").items()}
    names = [
        name
        for name, about in described.items()
        if any(item.search for item in about.fields)
        and not about.uses_conversation
        and "regression" in about.kinds
        and not about.model_params  # which name no model by default
    ]
    search = {"draws": STARTUP, "repeats": 0, "sampler": "tpe"}
    more = {"plugins": [root / "outside.py"], "search": search}
    studies, store = studies_of(asked(root, methods=[*names, "outside"], **more)), Store(root / "runs")
    assert len(studies) > 15
    for place, study in enumerate(studies):
        end(store, study, {index: (0.5 + 0.1 * ((index + place) % 3), 0.1) for index in range(STARTUP)})
    wave = wave_of(studies, store)
    assert len(wave.jobs) == len(studies)
    for study, job in zip(studies, wave.jobs, strict=True):
        for item in study.row.searched:
            value, limits = job.params[item.name], item.search or {}
            assert type(value) is type(item.default)
            if limits["choices"]:
                assert value in {*limits["choices"], item.default}
            elif item.name == "temperature":
                assert value > 0  # rounded to 0 it would divide by it
            else:
                assert value == round_draw(item, value)


def test_a_parameter_that_is_searched_without_a_range_is_one_line(root: Path):
    (root / "odd.py").write_text(
        OUTSIDE.replace("searched(7.0, low=0.0, high=1.0, digits=1)", "searched(7.0)")
    )
    with pytest.raises(UsageError, match="method outside: weight is searched without choices"):
        studies_of(asked(root, methods="outside", plugins=[root / "odd.py"]))


def test_optuna_s_own_view_of_a_journal_agrees_with_ours(root: Path):
    experiment = asked(root, search={"draws": 5, "repeats": 0, "pruner": "median"})
    studies, store = studies_of(experiment), Store(root / "runs")
    (study,) = studies
    end(store, study, {0: (0.5, 0.1), 1: (0.4, 0.1), 2: (0.3, 0.1), 3: (0.6, 0.1), 4: (0.7, 0.1), 5: None})
    write_journals(store, progress_of(studies, store))
    end(store, study, {5: "pruned"})
    for _ in range(2):  # written twice, nothing is there twice
        write_journals(store, progress_of(studies, store))
    found = search_of(store, list(store))
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    def journal():
        file = store.path / "searches" / f"{found.name}.log"
        storage = JournalStorage(JournalFileBackend(str(file)))
        return optuna().load_study(study_name=found.name, storage=storage)

    def told(trials) -> list[tuple]:
        return [(trial.user_attrs["index"], trial.state.name, trial.value, trial.params) for trial in trials]

    best = journal().best_trial
    assert (best.user_attrs["index"], best.user_attrs["job"]) == (found.chosen, study.sampled_job(2).id)
    assert best.params == {name: study.sampled_job(2).params[name] for name in study.trial.searched}
    assert [trial.state.name for trial in journal().trials] == ["COMPLETE"] * 5 + ["PRUNED"]
    before = told(journal().trials)
    # Cut off in the middle of a line, or gone: it is written anew, with the record.
    file = store.path / "searches" / f"{found.name}.log"
    file.write_bytes(file.read_bytes()[:-20] + b"{\n{}\n")
    file.with_suffix(".json").unlink()
    write_journals(store, progress_of(studies, store))
    assert told(journal().trials) == before
    assert read_json(file.with_suffix(".json"))["chosen"] == 2


def test_with_a_pruner_the_first_trials_are_what_the_others_are_compared_with(root: Path):
    experiment = asked(root, search={"draws": 7, "repeats": 1, "pruner": "median"})
    studies, store = studies_of(experiment), Store(root / "runs")
    first = wave_of(studies, store)
    assert [job.search.index for job in first.jobs if job.search] == list(range(STARTUP))
    assert first.rivals == {}
    end(store, studies[0], dict.fromkeys(range(STARTUP), (0.5, 0.1)))
    second = wave_of(studies, store)
    assert [job.search.index for job in second.jobs if job.search] == [5, 6, 7]
    assert set(second.rivals.values()) == {tuple(job.id for job in first.jobs)}
    assert second.rivals.keys() == {job.id for job in second.jobs}


def test_time_and_disk_are_medians_of_the_nearest_finished_jobs(root: Path):
    studies = studies_of(asked(root, methods="erm,nel,gmp", datasets="toy,toyc"))
    rows = {(study.row.job.method, study.row.job.task): study.row.job for study in studies}
    took = [
        ("nel", "toy", Took(10, 100)),
        ("nel", "toy", Took(20, 300)),
        ("nel", "toy", Took(90, 200)),
        ("nel", "other", Took(1000, 0)),
        ("erm", "toy", Took(1, 7)),
    ]
    sizes = [(rows["nel", "toy"], 13), (rows["nel", "toyc"], 2), (rows["gmp", "toy"], 3)]
    found = estimate.estimate(sizes, took)
    assert found.seconds == 13 * 20 + 2 * statistics.median([10, 20, 90, 1000]) + 3 * 20
    assert found.size == 13 * 200 + 2 * statistics.median([100, 300, 200, 0]) + 3 * 100
    assert found.levels == {"method and task": 13, "method": 2, "all": 3}
    assert found.known == 5
    assert "nothing to estimate from" in estimate.estimate_words(estimate.estimate(sizes, []))


def test_a_plan_is_estimated_from_what_its_store_holds(root: Path):
    experiment = asked(root, search={"draws": 2, "repeats": 1})
    assert "nothing to estimate from" in estimate.estimate_words(plan(experiment).estimate())
    study, store = study_of(experiment), Store(root / "runs")
    finish(store, study.sampled_job(0), fit_record(0.5, 0.1), seconds=40.0)
    size = sum(file.stat().st_size for file in store.job(study.sampled_job(0).id).path.iterdir())
    found = plan(experiment).estimate()
    assert (found.seconds, found.size, found.known) == (3 * 40.0, 3 * size, 1)  # two trials and a repeat
    store.job(study.sampled_job(0).id).finish({"predictions.parquet": b"", "fit.json": b"{}"}, {})
    assert "nothing to estimate from" in estimate.estimate_words(
        plan(experiment).estimate()
    )  # no seconds were recorded


def test_planning_imports_neither_torch_nor_optuna(tmp_path: Path, data_root: Path, mmbench: Command):
    code = (
        "import sys; from mmbench.benchmark.cli.main import app; app(sys.argv[1:], standalone_mode=False); "
        "print([name for name in ('torch', 'optuna') if name in sys.modules])"
    )
    for arguments in (
        ["--help"],
        ["list", "methods"],
        ["plan", "--methods", "erm,nel", "--datasets", "toy", "--preset", "paper", "--sampler", "tpe"],
    ):
        where = (
            ["--data-root", str(data_root), "--store", str(tmp_path / "runs")]
            if arguments[0] == "plan"
            else []
        )
        ended = subprocess.run(
            [sys.executable, "-c", code, *arguments, *where], capture_output=True, text=True, check=True
        )
        assert ended.stdout.splitlines()[-1] == "[]", ended.stdout
    ended = mmbench(
        "plan", "--methods", "erm,nel", "--datasets", "toy", "--preset", "paper", "--format", "json"
    )
    jobs = json.loads(ended.stdout)["jobs"]
    assert len(jobs) == 22
    assert {job["search"]["role"] for job in jobs} == {"trial"}
