"""``mmbench merge``: jobs whose hashes are right and whose content no run of mmbench writes are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mmbench.benchmark.exchange.merge import merge
from mmbench.benchmark.store.job_schema import parse_job
from safetensors import safe_open
from safetensors.numpy import save

from .colleague import jobs, kinds, reason, reencode, replaced, sign, without_tables

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def job(theirs: Path) -> Path:
    """The folder of the only job of a colleague."""
    shutil.rmtree(jobs(without_tables(theirs))[1])
    return jobs(theirs)[0]


def refused(job: Path, ours: Path) -> str:
    report = merge(job.parents[1], ours)
    assert kinds(report) == ["refused"]
    assert not ours.exists()
    return reason(report, "refused")


def edit(file: Path, change: Change) -> None:
    values = json.loads(file.read_text())
    change(values)
    file.write_text(json.dumps(values))


def asked_anew(job: Path, change: Change) -> Path:
    """Changes what was asked, and gives the folder the name that follows from it."""
    edit(job / "job.json", change)
    values = json.loads((job / "job.json").read_text())
    named = job.with_name(parse_job(values).id)
    job.rename(named)
    sign(named)
    return named


RECORDS: dict[str, tuple[str, Change, str]] = {
    "a text for a number": ("fit.json", lambda v: v.update(parameters="12"), "parameters: Input should be"),
    "true for a number": (
        "fit.json",
        lambda v: v.update(selected_epoch=True),
        "selected_epoch: Input should",
    ),
    "a text for a score": ("fit.json", lambda v: v["epochs"][0].update(metric="0.5"), "epochs.0.metric"),
    "no epochs": ("fit.json", lambda v: v.update(epochs=[]), "epochs: List should"),
    "an epoch that is not there": ("fit.json", lambda v: v.update(selected_epoch=7), "selected epoch 7 of 1"),
    "a text for seconds": ("environment.json", lambda v: v["seconds"].update(fit="1"), "seconds.fit"),
    "a list for memory": (
        "environment.json",
        lambda v: v.update(peak_process_memory_bytes=[1]),
        "peak_process_memory_bytes",
    ),
    "an escape for a domain": ("fit.json", lambda v: v.update(test_domains=["\x1b[2J"]), "cannot be printed"),
}


@pytest.mark.parametrize("how", RECORDS)
def test_a_record_with_values_of_another_kind(job: Path, ours: Path, how: str) -> None:
    name, change, words = RECORDS[how]
    edit(job / name, change)
    sign(job)
    assert words in refused(job, ours)


@pytest.mark.parametrize("name", ["job.json", "done.json"])
@pytest.mark.parametrize("schema", [True, 1.0])
def test_a_schema_that_only_equals_ours(job: Path, ours: Path, name: str, schema: object) -> None:
    sign(job)
    edit(job / name, lambda values: values.update(schema=schema))
    if name == "job.json":
        sign(job)
    assert "schema" in refused(job, ours)


@pytest.mark.parametrize("name", ["job.json", "fit.json", "environment.json", "done.json"])
def test_json_that_readers_differ_about(job: Path, ours: Path, name: str) -> None:
    before = (job / name).read_text()
    (job / name).write_text(before.replace("{", '{"twice": 1, "twice": 2, ', 1))
    if name != "done.json":
        sign(job)
    assert refused(job, ours) == f"{name}: gives a key twice"
    (job / name).write_bytes(before.encode("utf-16"))
    if name != "done.json":
        sign(job)
    assert refused(job, ours) == f"{name}: not JSON"


def test_weights_of_another_network(job: Path, ours: Path) -> None:
    (job / "weights.safetensors").write_bytes(save({"weight": np.zeros(3, np.float32)}))
    sign(job)
    assert "weights.safetensors: holds 3 numbers, and the network has" in refused(job, ours)


def test_weights_of_another_job_of_the_same_size(job: Path, ours: Path) -> None:
    weights = job / "weights.safetensors"
    header = {"job": "toyc-erm-ta-s7-0123456789"}
    with safe_open(weights, "np") as stored:
        assert stored.metadata() == {"job": job.name}
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - no mapping
    weights.write_bytes(save(tensors, header))
    sign(job)
    assert "are those of another job, 'toyc-erm-ta-s7-0123456789'" in refused(job, ours)


def test_a_file_that_is_longer_than_its_marker_says_is_not_read(job: Path, ours: Path) -> None:
    stated = json.loads((job / "done.json").read_text())["files"]["weights.safetensors"]["size"]
    with (job / "weights.safetensors").open("ab") as stream:
        stream.truncate(2**31)
    assert (
        refused(job, ours) == f"weights.safetensors: has {2**31} bytes, more than the {stated} that are read"
    )


def test_an_evaluation_with_a_name_that_is_too_long_to_be_written(job: Path, ours: Path) -> None:
    (file,) = job.glob("evaluations/drift*.parquet")
    for suffix in (".parquet", ".json"):
        file.with_suffix(suffix).rename(file.with_name("d" * 247 + suffix))
    report = merge(job.parents[1], ours)
    assert sorted(kinds(report)) == ["refused", "taken"]
    assert reason(report, "refused") == "has a name of more than 200 bytes"


def test_targets_that_are_no_class(job: Path, ours: Path) -> None:
    def shifted(table: pa.Table) -> pa.Table:
        return replaced(table, "target", table["target"].to_numpy() + 2)

    reencode(job, shifted)
    assert "has a target that is none of its 2 classes" in refused(job, ours)


def test_forged_metadata_of_pandas_is_not_called_taken(job: Path, ours: Path) -> None:
    """What is taken can be scored."""
    file = job / "predictions.parquet"
    table = pq.read_table(file)
    about = json.loads((table.schema.metadata or {}).get(b"pandas", b'{"columns": [], "index_columns": []}'))
    about["index_columns"] = [{"kind": "range", "name": None, "start": 0, "stop": 3, "step": 0}]
    about["columns"] = [
        {
            "name": "target",
            "field_name": "target",
            "pandas_type": "datetimetz",
            "numpy_type": "M8[ns]",
            "metadata": {"timezone": "no/where"},
        }
    ]
    pq.write_table(table.replace_schema_metadata({b"pandas": json.dumps(about).encode()}), file)
    sign(job)
    report = merge(job.parents[1], ours)
    (kind,) = kinds(report, job.name)
    if kind == "refused":
        assert not ours.exists()
    else:  # read all the same, as the metadata is not believed
        from mmbench.benchmark.report.results import results

        (one,) = results(ours)
        assert one.predictions is not None
        assert len(one.predictions()) == len(table)


LABELS: dict[str, Change] = {
    "markup": lambda v: v.update(label="erm(layers=<b>1</b>)"),
    "another value": lambda v: v.update(label="erm(layers=5)"),
    "a parameter that it has not": lambda v: v.update(label="erm(best=1)"),
    "a formula": lambda v: v.update(rules="=cmd|' /C calc'!A0"),
    "a script for a format": lambda v: v["data"][0].update(format="<script>"),
}


@pytest.mark.parametrize("how", LABELS)
def test_a_label_is_that_of_method_and_parameters(job: Path, ours: Path, how: str) -> None:
    assert "job.json: " in refused(asked_anew(job, LABELS[how]), ours)


def test_more_modalities_than_can_be_missing_in_every_combination(job: Path, ours: Path) -> None:
    renamed = asked_anew(job, lambda values: values.update(modalities=[f"m{n}" for n in range(40)]))
    assert "has 40 modalities, more than 12" in refused(renamed, ours)
