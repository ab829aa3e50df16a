from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.core.job import Job
from mmbench.benchmark.core.task import Task
from mmbench.benchmark.planning.experiment import Experiment
from mmbench.benchmark.planning.job_matrix import jobs_of, resolve_modalities
from mmbench.benchmark.report.results import results
from mmbench.benchmark.store.store import Store

from ..conftest import write_dataset

ASKED = {"methods": "erm,ebmc", "datasets": "toy", "seeds": "0,1", "modalities": "all,T,A"}


def jobs(root: Path, **change) -> list[Job]:
    return jobs_of(Experiment.read({**ASKED, "data_root": root, **change}))


def test_jobs_are_the_product(data_root: Path):
    found = jobs(data_root)
    assert len(found) == 2 * 3 * 2
    assert len({job.id for job in found}) == len(found)
    assert [job.modality_set for job in found[::4]] == ["text+audio", "text", "audio"]


def test_the_audit_says_where_a_term_between_domains_is_off(data_root: Path, tmp_path: Path):
    for number, name in enumerate(("toyx", "toyz"), start=6):
        write_dataset(data_root / name, number)
    asked = {"methods": "erm,irm", "datasets": "toy,toy+toyx->toyz", "seeds": "0", "modalities": "all"}
    store = Store(tmp_path / "runs")
    store.add(jobs(data_root, **asked))
    said = {(result.method, result.task): result.audit["domain_term"] for result in results(store.path)}
    assert said == {
        ("erm", "toy"): "none",
        ("erm", "toy+toyx->toyz"): "none",
        ("irm", "toy"): "off: 1 source domain",
        ("irm", "toy+toyx->toyz"): "on",
    }


def test_the_audit_says_where_a_method_lacks_the_modalities_it_needs(data_root: Path, tmp_path: Path):
    store = Store(tmp_path / "runs")
    store.add(jobs(data_root, methods="erm,cpsl", seeds="0", modalities="T,T+A"))
    said = {(one.method, one.modalities): one.audit.get("modality_term") for one in results(store.path)}
    assert said == {
        ("erm", "text"): None,
        ("erm", "text+audio"): None,
        ("cpsl", "text"): "off: 1 modality",
        ("cpsl", "text+audio"): None,
    }


def test_a_job_survives_json(data_root: Path):
    for job in jobs(data_root):
        assert Job.from_dict(job.to_dict()) == job
        assert Job.from_dict(job.to_dict()).id == job.id


@pytest.mark.parametrize(
    "change",
    [
        {"protocol": {"epochs": 7}},
        {"protocol": {"learning_rate": 1e-4}},
        {"protocol": "as-published"},
        {"seeds": "5,6"},
        {"methods": "ebmc(emc=false)"},
        {"datasets": "toyc"},
        {"datasets": "toy->toys"},
    ],
)
def test_what_changes_the_result_makes_another_job(data_root: Path, change: dict):
    before = {job.id for job in jobs(data_root)}
    assert not before & {job.id for job in jobs(data_root, **change)}


@pytest.mark.parametrize(
    "change",
    [
        {"workers": 7},
        {"threads": 2},
        {"device": "cpu"},
        {"launcher": "debug"},
        {"store": Path("elsewhere")},
        {"preset": "quick", "protocol": {"epochs": 20}},
        {"methods": "ebmc(emc=true),erm"},
        {"modalities": "text+audio,text,audio"},
    ],
)
def test_what_does_not_change_the_result_leaves_the_job(data_root: Path, change: dict):
    assert {job.id for job in jobs(data_root)} == {job.id for job in jobs(data_root, **change)}


def test_moving_the_data_leaves_the_job_and_changing_it_does_not(data_root: Path, tmp_path: Path):
    before = {job.id for job in jobs(data_root)}
    shutil.copytree(data_root, tmp_path / "moved")
    assert {job.id for job in jobs(tmp_path / "moved")} == before
    shutil.rmtree(tmp_path / "moved" / "toy")
    write_dataset(tmp_path / "moved" / "toy", seed=9)
    assert not {job.id for job in jobs(tmp_path / "moved")} & before


def test_adding_a_method_leaves_the_others_jobs(data_root: Path):
    assert {job.id for job in jobs(data_root, methods="erm")} < {job.id for job in jobs(data_root)}


def test_ids_are_safe_as_folder_names(data_root: Path):
    for job in jobs(data_root, methods="ebmc(emc=false)", datasets="toy->toys"):
        assert job.id == "".join(c for c in job.id if c.isalnum() or c in "-.")
        assert job.id.startswith("toy-to-toys-ebmc-")


def test_label_names_what_was_set(data_root: Path):
    labels = {job.label for job in jobs(data_root, methods="erm,ebmc(emc=false),ebmc(cce=true)")}
    assert labels == {"erm", "ebmc(emc=false)", "ebmc"}


def test_a_method_is_asked_for_with_its_controls(data_root: Path):
    once = {"seeds": "0", "modalities": "all"}
    plain = jobs(data_root, methods="ebmc", **once)
    several = jobs(data_root, methods="erm,ebmc+controls", **once)
    assert [job.label for job in several] == [
        "erm",
        "ebmc",
        "ebmc(msd=false)",
        "ebmc(cce=false)",
        "ebmc(emc=false)",
        "ebmc(imtd=false)",
        "ebmc(cce=false,emc=false,imtd=false,msd=false)",
    ]
    assert [job.id for job in plain] == [several[1].id]


def test_controls_have_the_other_parameters_of_their_method(data_root: Path):
    asked = jobs(data_root, methods="ebmc(temperature=0.3,emc=false)+controls", seeds="0", modalities="T")
    assert len(asked) == 5  # what is off already is the same row
    assert {job.params["temperature"] for job in asked} == {0.3}
    assert not any(job.params["emc"] for job in asked)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": "emr"}, "unknown method 'emr': did you mean .*erm"),
        ({"datasets": "toi"}, "unknown dataset 'toi': did you mean toy"),
        ({"modalities": "T+V"}, "toy has no modality 'V': .*it has text, audio"),
        ({"modalities": "text+text"}, "twice"),
        ({"methods": "ebmc(emc)"}, "parameter=value"),
        ({"methods": "ebmc(emc=false"}, "not closed"),
        ({"methods": "ebmc(ecm=false)"}, "no parameter 'ecm': did you mean"),
        ({"methods": "erm+controls"}, "erm names no controls: .*mmbench show erm"),
        ({"methods": "ebmk+controls"}, "unknown method 'ebmk': did you mean ebmc"),
        ({"methods": "ebmc+control"}, "what may follow a method is .controls"),
    ],
)
def test_wrong_name_is_one_line(data_root: Path, change: dict, message: str):
    with pytest.raises(UsageError, match=message) as error:
        jobs(data_root, **change)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", "text audio vision"),
        ("T+A+V", "text audio vision"),
        ("v+T", "text vision"),
        ("audio", "audio"),
    ],
)
def test_modality_sets(text: str, expected: str):
    assert resolve_modalities(text, ("text", "audio", "vision"), "toy") == tuple(expected.split())


def test_initials_that_two_modalities_share_are_not_guessed():
    with pytest.raises(UsageError, match="no modality 'v'"):
        resolve_modalities("v", ("video", "vibration"), "toy")


def test_tasks():
    assert Task.parse("mosi") == Task(("mosi",), "mosi")
    assert Task.parse("b + a -> c") == Task.parse("a+b->c")
    assert Task.parse("a->b").datasets == ("a", "b")
    for wrong in ("", "->a", "a->", "a++b->c", "a+a->b", "a+b->a"):
        with pytest.raises(ValueError, match="task"):
            Task.parse(wrong)


def test_published_values_give_way_to_what_is_asked_for(data_root: Path):
    published = {
        "protocol": "as-published",
        "methods": "ebmc,ebmc(temperature=0.3)",
        "seeds": "0",
        "modalities": "T",
    }
    plain, asked = jobs(data_root, **published)
    assert plain.params["temperature"] == 0.05
    assert (asked.params["temperature"], asked.label) == (0.3, "ebmc(temperature=0.3)")
    assert jobs(data_root, methods="ebmc", seeds="0", modalities="T")[0].params["temperature"] == 0.1
