"""New clips, which nobody has labelled, are predicted as clips of the test part were."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mmbench.benchmark import predict

from ..cli.clips import ENCODERS, write_clips
from ..conftest import Call
from .test_media_method import succeed


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings by two microphones, their features, and a network and an estimator on these."""
    folder = tmp_path_factory.mktemp("clips")
    write_clips(folder / "data" / "own", seconds=0.1)
    data = ("--data-root", folder / "data")
    succeed("data", "encode", "own", *data, *ENCODERS)
    succeed(
        "run", "--methods", "erm(layers=1,width=8),logistic", "--datasets", "own", "--seeds", "0", "--epochs", "2",
        "--launcher", "debug", "--device", "cpu", *data, "--store", folder / "runs",
    )  # fmt: skip
    return folder


def job_of(folder: Path, method: str) -> Path:
    (found,) = (folder / "runs" / "jobs").glob(f"own-{method}-*")
    return found


def write_new(trained: Path, folder: Path, rows: Sequence[tuple[str, str, str]], about: str = "") -> Path:
    """The test clips, without labels and splits, in a folder of their own."""
    folder.mkdir()
    for file in (trained / "data" / "own").glob("*.wav"):
        if file.name in {name for row in rows for name in row}:
            os.link(file, folder / file.name)
    with (folder / "new.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("sample_id", "near", "far"), *rows])
    text = about or "modalities: {near: waveform, far: waveform}"
    (folder / "media.yaml").write_text(f"table: new.csv\n{text}\n")
    return folder


def outputs_under(job: Path, condition: str) -> pd.DataFrame:
    table = pd.read_parquet(job / "predictions.parquet")
    return table[(table["split"] == "test") & (table["condition"] == condition)].set_index("sample_id")


def softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("method", ["erm", "logistic"])
def test_clips_are_predicted_as_in_the_test_also_where_a_modality_is_missing(
    trained: Path, tmp_path: Path, call: Call, method: str
) -> None:
    job = job_of(trained, method)
    clean = outputs_under(job, "clean")
    ids = clean.index.tolist()
    half = set(ids[::2])
    rows = [(name, f"{name[1:]}.wav", "" if name in half else f"{name[1:]}-far.wav") for name in ids]
    new = write_new(trained, tmp_path / "new", rows)
    words = ("predict", job, "--data", new, "--data-root", trained / "data", "--out", tmp_path / "out.csv")
    code, said = call(*words)
    assert code == 0, said
    found = pd.read_csv(tmp_path / "out.csv").set_index("sample_id")
    assert found.index.tolist() == ids
    assert found["modalities"].tolist() == ["near" if name in half else "near+far" for name in ids]
    lacking = outputs_under(job, "missing:far")
    expected = pd.concat([(lacking if name in half else clean).loc[[name]] for name in ids])
    logits = expected[["logit_0", "logit_1"]].to_numpy()
    np.testing.assert_allclose(found[["p_low", "p_high"]], softmax(logits), atol=1e-5)
    alone = write_new(
        trained, tmp_path / "alone", [(*row[:2], "") for row in rows], "modalities: {near: waveform}"
    )
    without = predict(job, alone, data_root=trained / "data")
    np.testing.assert_allclose(
        without[["p_low", "p_high"]], softmax(lacking.loc[ids, ["logit_0", "logit_1"]].to_numpy()), atol=1e-5
    )


@pytest.mark.parametrize(
    ("about", "more", "said"),
    [
        ("modalities: {far: frames}", (), "modalities/far: frames; expected waveform, as in training"),
        ("modalities: {middle: {medium: waveform, column: near}}", (), "modalities: middle; expected any of near, far"),
        ("", ("--split", "test"), "clips have no parts here; choose some by 'rows'"),
        ("", ("--data-root", "nowhere"), "say by which encoders clips become features: name them with --data-root"),
        ("broken", (), "clips that can be read"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_line(
    trained: Path, tmp_path: Path, call: Call, about: str, more: tuple[str, ...], said: str
) -> None:
    new = write_new(trained, tmp_path / "new", [("a", "6.wav", "6-far.wav")], about.replace("broken", ""))
    if about == "broken":
        (new / "6.wav").unlink()
        (new / "6.wav").write_bytes(b"no sound")
    place = () if "--data-root" in more else ("--data-root", trained / "data")
    job = job_of(trained, "erm")
    code, out = call("predict", job, "--data", new, "--out", tmp_path / "out.csv", *place, *more)
    assert (code, out.count("\n")) == (2, 1), out
    assert said in out
    assert not (tmp_path / "out.csv").exists()


def test_masks_of_clips_go_out_and_those_of_others_come_in(trained: Path, tmp_path: Path, call: Call) -> None:
    data, runs = ("--data-root", trained / "data"), shutil.copytree(trained / "runs", tmp_path / "runs")
    export = ("masks", "export", "--datasets", "own", *data, "--out", tmp_path / "masks")
    code, said = call(*export, "--corruptions", "audio-wave")
    assert (code, said.count("\n")) == (2, 1)
    assert "before they are encoded, which is no mask: leave it out" in said
    code, said = call(*export)
    assert code == 0, said
    rows = pd.read_parquet(tmp_path / "masks" / "masks.parquet")
    lacking = rows[(rows["split"] == "test") & (rows["condition"] == "missing:far")]
    assert set(lacking["near"]) == {True}
    assert set(lacking["far"]) == {False}
    theirs = lacking.filter(["sample_id", "near", "far"]).replace({True: 1, False: 0})
    theirs.loc[theirs.index[::2], "far"] = 1
    theirs.to_csv(tmp_path / "theirs.csv", index=False)
    code, said = call(
        "masks", "import", tmp_path / "theirs.csv", "--datasets", "own", "--name", "half", *data, "--store", runs
    )  # fmt: skip
    assert code == 0, said
    code, said = call(
        "run", "--methods", "erm(layers=1,width=8)", "--datasets", "own", "--seeds", "0", "--epochs", "2",
        "--launcher", "debug", "--device", "cpu", *data, "--store", runs, "--corruptions", "mask:half",
    )  # fmt: skip
    assert code == 0, said
    job = job_of(tmp_path, "erm")
    found = pd.read_parquet(next(job.glob("evaluations/mask*.parquet"))).set_index("sample_id")
    whole = set(theirs.loc[theirs["far"] == 1, "sample_id"])
    conditions = {name: "clean" if name in whole else "missing:far" for name in theirs["sample_id"]}
    logits = ["logit_0", "logit_1"]
    for name, condition in conditions.items():
        expected = outputs_under(job, condition).loc[name, logits].to_numpy(float)
        np.testing.assert_allclose(found.loc[name, logits].to_numpy(float), expected, atol=1e-5)
