"""New samples are predicted as the samples of the test part were."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mmbench.benchmark import Experiment, UsageError, predict, predictions, run
from mmbench.benchmark.store.job_folder import INPUTS
from mmbench.benchmark.store.names import StoreError
from mmbench.datasets.dataset import DataError

from ..conftest import write_dataset
from ..dialogues import write_dialogues

ERM = "erm(layers=1)"
METHODS = {"toy": [ERM, "majority"], "toyc": [ERM, "ebmc(layers=1)", "logistic"], "toy->toys": [ERM]}
Call = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data and a store: networks and estimators of a regression, a classification and a shift."""
    folder = tmp_path_factory.mktemp("predict")
    write_dataset(folder / "data" / "toy")
    write_dataset(folder / "data" / "toyc", 1, "classification")
    write_dataset(folder / "data" / "toys", 3, scale=1 / 3)
    asked: dict[str, Any] = {"seeds": [0], "protocol": {"epochs": 1}, "launcher": "debug", "device": "cpu"}
    asked |= {"data_root": folder / "data", "store": folder / "runs"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        for dataset, methods in METHODS.items():
            assert run(Experiment.read({**asked, "methods": methods, "datasets": [dataset]})).ok
    return folder


def jobs(trained: Path) -> list[Path]:
    return sorted((trained / "runs" / "jobs").iterdir())


def job_of(trained: Path, beginning: str) -> Path:
    (found,) = [job for job in jobs(trained) if job.name.startswith(beginning)]
    return found


def data_of(trained: Path, job: Path) -> Path:
    name = job.name.partition("-")[0] if "-to-" not in job.name else "toys"
    return trained / "data" / name


def stored(trained: Path, job: Path, condition: str) -> pd.DataFrame:
    table = predictions(trained / "runs", job.name)
    return table.loc[(table["split"] == "test") & (table["condition"] == condition)].reset_index(drop=True)


def check_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert found["sample_id"].tolist() == expected["sample_id"].tolist()
    if "score" in expected:
        np.testing.assert_allclose(found["score"], expected["score"], atol=1e-6)
        return
    logits = np.exp(expected[["logit_0", "logit_1"]].to_numpy(np.float64))
    shares = logits / logits.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found[["p_no", "p_yes"]], shares, atol=1e-6)
    assert found["class"].tolist() == [("no", "yes")[place] for place in shares.argmax(axis=1)]
    np.testing.assert_allclose(found["confidence"], shares.max(axis=1), atol=1e-6)


def test_the_test_part_is_predicted_as_it_was(trained: Path, tmp_path: Path) -> None:
    assert len(jobs(trained)) == 6
    for job in jobs(trained):
        alone = shutil.copytree(
            job, tmp_path / "elsewhere" / job.name
        )  # only the job's folder, no training data
        found = predict(alone, data_of(trained, job), part="test")
        check_same(found, stored(trained, job, "clean"))
        assert set(found["modalities"]) == {"text+audio"}


def without(source: Path, folder: Path, *keys: str) -> Path:
    """The description of a folder, in another folder, without some of its entries."""
    from mmbench.datasets.plain_yaml import plain_yaml_text, read_plain_yaml

    content = read_plain_yaml(source / "dataset.yaml")
    assert isinstance(content, dict)
    content["file"] = {"test": str((source / "test.npz").resolve())}
    for key in keys:
        owner = content["modalities"] if key in content["modalities"] else content
        del owner[key]
    folder.mkdir(parents=True)
    (folder / "dataset.yaml").write_bytes(plain_yaml_text(content).encode())
    return folder


def test_samples_need_no_labels_and_may_lack_a_modality(trained: Path, tmp_path: Path) -> None:
    for method in ("toy-erm", "toyc-ebmc", "toyc-logistic"):
        job = job_of(trained, f"{method}-")
        folder = without(data_of(trained, job), tmp_path / method, "label", "task", "audio", "domain")
        found = predict(job.name, folder, trained / "runs")
        check_same(found, stored(trained, job, "missing:audio"))
        assert set(found["modalities"]) == {"text"}


def test_a_file_of_arrays_is_read_and_single_samples_may_lack_a_modality(
    trained: Path, tmp_path: Path
) -> None:
    job = job_of(trained, "toy-erm-")
    with np.load(data_of(trained, job) / "test.npz") as arrays:
        text, audio = arrays["features.text"], arrays["features.audio"]
        lengths, names = arrays["mask.text"].sum(axis=1), arrays["sample_id"]
    odd = np.arange(len(names)) % 2 == 1
    table = pd.DataFrame(
        {
            "sample_id": names,
            "text": [sample[:length].tolist() for sample, length in zip(text, lengths, strict=True)],
            "audio": [
                None if gone else sample[:length].tolist()
                for sample, length, gone in zip(audio, lengths, odd, strict=True)
            ],
        }
    )
    table.to_parquet(tmp_path / "new.parquet")
    np.savez(
        tmp_path / "new.npz",
        sample_id=names, text=text, text_length=lengths, audio=audio, audio_length=np.where(odd, 0, lengths),
    )  # fmt: skip
    whole, lacking = stored(trained, job, "clean"), stored(trained, job, "missing:audio")
    expected = whole.assign(score=np.where(odd, lacking["score"], whole["score"]))
    for file in ("new.parquet", "new.npz"):
        found = predict(job, tmp_path / file)
        check_same(found, expected)
        assert found["modalities"].tolist() == ["text" if gone else "text+audio" for gone in odd]


def test_older_jobs_are_given_their_training_data(trained: Path, tmp_path: Path) -> None:
    job = job_of(trained, "toy-erm-")
    old = shutil.copytree(job, tmp_path / job.name)
    (old / INPUTS).unlink()
    data = data_of(trained, job)
    found = predict(old, data, part="test", data_root=trained / "data")
    check_same(found, stored(trained, job, "clean"))
    with pytest.raises(UsageError, match=r"training data are needed .* --data-root"):
        predict(old, data, data_root=tmp_path / "nothing")
    (old / INPUTS).write_bytes((job / INPUTS).read_bytes()[:-1] + b"\0")
    with pytest.raises(StoreError, match="has changed since"):
        predict(old, data)


def test_what_does_not_fit_is_one_line(trained: Path, tmp_path: Path) -> None:
    job = job_of(trained, "toyc-erm-")
    draw = np.random.default_rng(0)
    np.savez(tmp_path / "wide.npz", text=draw.normal(size=(3, 4, 7)))
    np.savez(tmp_path / "none.npz", text=np.zeros((0, 4, 6)))
    np.savez(tmp_path / "other.npz", smell=np.zeros((2, 4, 6)))
    (tmp_path / "dataset.yaml").write_text(
        "file: wide.npz\nmodalities: {text: text}\ntask: {kind: classification, classes: ['no', maybe]}\n"
    )
    faults = {
        "wide.npz": "7 features; expected 6, as in training",
        "none.npz": "no samples",
        "other.npz": "none of the arrays smell; expected arrays named as the modalities text, audio",
        "nowhere": "is not there",
        "dataset.yaml": "unknown class 'maybe'",
    }
    for name, words in faults.items():
        with pytest.raises(DataError, match=words) as fault:
            predict(job, tmp_path / name)
        assert "\n" not in str(fault.value)
    with pytest.raises(DataError, match="no part 'test'"):
        predict(job, tmp_path / "other.npz".replace("other", "wide"), part="test")
    with pytest.raises(UsageError, match="no job 'other'"):
        predict("other", tmp_path / "wide.npz", trained / "runs")


def test_the_command_writes_a_csv(trained: Path, tmp_path: Path, call: Call) -> None:
    job = job_of(trained, "toyc-erm-")
    out = tmp_path / "made" / "scores.csv"
    words = (
        "predict",
        "toyc-erm-",
        "--store",
        trained / "runs",
        "--data",
        trained / "data" / "toyc",
        "--out",
        out,
    )
    code, said = call(*words, "--split", "test")
    assert (code, said.strip()) == (0, f"wrote {out}: 16 samples (16 with text+audio)")
    found = pd.read_csv(out)
    assert list(found) == ["sample_id", "class", "p_no", "p_yes", "confidence", "modalities"]
    check_same(found, stored(trained, job, "clean"))
    code, said = call(*words)
    assert code == 0
    assert "68 samples" in said
    code, said = call("predict", "toy", "--store", trained / "runs", "--data", tmp_path, "--out", out)
    assert code == 2
    assert "begins the ids of 6 jobs" in said


def run_one(folder: Path, name: str, method: str, **rules: str) -> Path:
    """The folder of a job that was trained for an epoch on a dataset in ``folder / "data"``; the only one in the store."""
    protocol = {"epochs": 1, **rules}
    asked: dict[str, Any] = {"seeds": [0], "protocol": protocol, "launcher": "debug", "device": "cpu"}
    asked |= {"data_root": folder / "data", "store": folder / "runs", "methods": [method], "datasets": [name]}
    assert run(Experiment.read(asked)).ok
    (job,) = (folder / "runs" / "jobs").iterdir()
    return job


def test_holes_are_holes_in_new_samples_too(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    values = draw.normal(size=(60, 6, 3)).astype(np.float32)
    values[draw.random(values.shape) < 0.4] = np.nan
    arrays = {"labs": values, "label": (np.nan_to_num(values).sum((1, 2)) > 0).astype(int)}
    split = np.repeat([0, 1, 2], [40, 10, 10])
    folder = tmp_path / "data" / "holes"
    folder.mkdir(parents=True)
    np.savez(folder / "all.npz", **arrays, split=split)
    (folder / "dataset.yaml").write_text(
        "file: all.npz\nmodalities: {labs: {array: labs, missing: nan}}\nlabel: label\n"
        "task: {kind: classification, classes: ['no', 'yes']}\n"
        "split: {array: split, values: {0: train, 1: valid, 2: test}}\n"
    )
    job = run_one(tmp_path, "holes", ERM)
    check_same(predict(job, folder, part="test"), stored(tmp_path, job, "clean"))
    # Fewer steps than in training, and no holes stated: padded, and wholly observed.
    short = tmp_path / "short"
    short.mkdir()
    np.savez(short / "all.npz", labs=np.nan_to_num(values[50:, :4]))
    (short / "dataset.yaml").write_text("file: all.npz\nmodalities: {labs: labs}\n")
    assert np.isfinite(predict(job, short)["p_yes"]).all()
    # Imputed as in training, by what is stored with the network.
    again = tmp_path / "again"
    shutil.copytree(tmp_path / "data", again / "data")
    job = run_one(again, "holes", ERM, impute="linear")
    check_same(predict(job, folder, part="test"), stored(again, job, "clean"))


def test_whole_conversations_are_predicted(tmp_path: Path) -> None:
    write_dialogues(tmp_path / "data" / "talk")
    job = run_one(tmp_path, "talk", "bc_lstm(width=8,hidden=8)")
    found = predict(job, tmp_path / "data" / "talk", part="test").sort_values("sample_id", ignore_index=True)
    expected = stored(tmp_path, job, "clean").sort_values("sample_id", ignore_index=True)
    check_same(found, expected)
    write_dialogues(tmp_path / "alone", conversation=None)
    with pytest.raises(DataError, match="bc_lstm reads whole conversations"):
        predict(job, tmp_path / "alone", part="test")


def test_several_labels_are_predicted(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    values = draw.normal(size=(60, 4)).astype(np.float32)
    folder = tmp_path / "data" / "films"
    folder.mkdir(parents=True)
    split = np.repeat([0, 1, 2], [40, 10, 10])
    np.savez(folder / "all.npz", plot=values, label=(values[:, :2] > 0).astype(int), split=split)
    (folder / "dataset.yaml").write_text(
        "file: all.npz\nmodalities: {plot: plot}\nlabel: label\n"
        "task: {kind: multi-label, classes: [drama, war]}\n"
        "split: {array: split, values: {0: train, 1: valid, 2: test}}\n"
    )
    job = run_one(tmp_path, "films", ERM)
    found, expected = predict(job, folder, part="test"), stored(tmp_path, job, "clean")
    shares = 1 / (1 + np.exp(-expected[["logit_0", "logit_1"]].to_numpy(np.float64)))
    np.testing.assert_allclose(found[["p_drama", "p_war"]], shares, atol=1e-6)
    names = [
        [name for name, share in zip(("drama", "war"), row, strict=True) if share >= 0.5] for row in shares
    ]
    assert found["labels"].tolist() == ["+".join(one) for one in names]
