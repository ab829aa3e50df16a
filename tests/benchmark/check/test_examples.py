"""The examples of docs/extending.md keep their contracts and take part in a run, through the command."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from mmbench.benchmark.check.method import loss_is_finite, parameters_are_literals
from mmbench.benchmark.check.method_predictions import absent_is_not_read, output_has_the_right_shape
from mmbench.benchmark.core.registry import find
from mmbench.datasets.pickles.mmsa_layout import Layout
from mmbench.datasets.shared.sentiment_synthetic import generate
from mmbench.datasets.sims import Sims

from ..conftest import Call

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
#: Kind -> the name that its example brings.
NAMES = {
    "method": "modality_dropout",
    "dataset": "gestures",
    "corruption": "miscalibration",
    "encoder": "loudness",
    "metric": "cohen_kappa",
    "table": "worst_class",
    "launcher": "background",
    "segmenter": "hysteresis",
}
FAST = ("--epochs", "1", "--launcher", "debug", "--device", "cpu", "--seeds", "0")


@pytest.mark.parametrize(
    "kind", [kind for kind in NAMES if kind != "launcher"]
)  # which has a test of its own
def test_an_example_keeps_its_contract(call: Call, kind: str):
    code, said = call("check", kind, NAMES[kind], "--plugin", EXAMPLES / f"{kind}.py")
    assert code == 0, said
    assert f"{kind} {NAMES[kind]} keeps its contract" in said


@pytest.mark.parametrize("kind", NAMES)
def test_an_example_is_listed_and_shown(call: Call, kind: str):
    plugin = EXAMPLES / f"{kind}.py"
    code, said = call("list", f"{kind}s", "--plugin", plugin)
    assert code == 0, said
    (line,) = (line for line in said.splitlines() if line.split()[:1] == [NAMES[kind]])
    assert f"{kind}.py " in line  # where it is from
    code, said = call("show", NAMES[kind], "--plugin", plugin)
    assert code == 0, said
    assert f"{NAMES[kind]}, a" in said
    assert str(plugin) in said.replace("\n", "")


def test_the_method_is_trained(call: Call, data_root: Path, tmp_path: Path):
    code, said = call(
        "run", "--methods", "modality_dropout(layers=1)", "--datasets", "toy", *FAST,
        "--plugin", EXAMPLES / "method.py", "--data-root", data_root, "--store", tmp_path / "runs",
    )  # fmt: skip
    assert code == 0, said
    code, said = call("leaderboard", "--store", tmp_path / "runs", "--what", "accuracy,audit")
    assert code == 0, said
    assert "modality_dropout" in said
    assert "each modality, with one probability" in said


def test_labels_of_single_modalities_are_trained_with(call: Call, tmp_path: Path):
    """On a small stand-in of CH-SIMS in MMSA's layout, to which such labels are added as its files have them."""
    plugin = EXAMPLES / "unimodal_labels.py"
    entry = find("method", "multi_task", (plugin,))
    parameters_are_literals(entry)
    for check in (output_has_the_right_shape, loss_is_finite, absent_is_not_read):
        check(entry.load())

    layout = Layout("unaligned_39.pkl", {"train": 24, "valid": 8, "test": 8}, (7, 8, 9), (4, 6, 3))
    content = generate("sims", Sims.target, layout, size="full", mmsa=True)
    file = tmp_path / "data" / "sims" / layout.file_name
    file.parent.mkdir(parents=True)
    for store, labelled in (("without", False), ("with", True)):
        for split in ("train", "valid", "test") if labelled else ():
            labels = content[split]["regression_labels"]
            content[split] |= {"regression_labels_T": -labels, "regression_labels_A": labels / 2}
        file.write_bytes(pickle.dumps(content, protocol=4))
        code, said = call(
            "run", "--methods", "multi_task(layers=1,width=8)", "--datasets", "sims", *FAST, "--plugin", plugin,
            "--data-root", tmp_path / "data", "--store", tmp_path / store,
        )  # fmt: skip
        assert code == 0, said
        (record,) = (tmp_path / store).glob("jobs/*/fit.json")
        terms = json.loads(record.read_text())["epochs"][0]["train"]
        assert set(terms) == ({"task", "modalities"} if labelled else {"task"})


def test_the_corruption_breaks_what_is_tested(call: Call, data_root: Path, tmp_path: Path):
    code, said = call(
        "run", "--methods", "erm(layers=1)", "--datasets", "toy", *FAST, "--corruptions", "miscalibration",
        "--plugin", EXAMPLES / "corruption.py", "--data-root", data_root, "--store", tmp_path / "runs",
    )  # fmt: skip
    assert code == 0, said
    (file,) = (tmp_path / "runs").glob("jobs/*/eval*/miscalibration*.parquet")
    conditions = set(pd.read_parquet(file)["condition"])
    assert conditions == {
        f"miscalibration:{name}@{level}" for name in ("text", "audio") for level in range(1, 6)
    }


def test_the_dataset_is_made_verified_and_trained_on(call: Call, tmp_path: Path):
    plugin = ("--plugin", EXAMPLES / "dataset.py", "--data-root", tmp_path)
    code, said = call("data", "synth", "gestures", *plugin)
    assert code == 0, said
    code, said = call("list", "domains", *plugin)
    assert "gestures/p3" in said
    code, said = call(
        "run", "--methods", "erm(layers=1)", "--datasets", "gestures/p1+gestures/p2->gestures/p3", *FAST,
        *plugin, "--store", tmp_path / "runs",
    )  # fmt: skip
    assert code == 0, said
    code, said = call("leaderboard", "--store", tmp_path / "runs", "--what", "accuracy")
    assert code == 0, said
    assert "gestures" in said


RATE = 16_000


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Sounds of two pitches, 24 clips, of which the label is the pitch."""
    folder = tmp_path / "data" / "own"
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    rows = ["sample_id,near,split,label"]
    for clip in range(24):
        label, split = clip % 2, ("train", "train", "valid", "test")[clip // 2 % 4]
        time = np.arange(RATE // 4) / RATE
        sound = 0.3 * np.sin(2 * np.pi * (300 + 900 * label) * time) + draw.normal(0, 0.05, len(time))
        soundfile.write(folder / f"{clip}.wav", sound.astype(np.float32), RATE, subtype="FLOAT")
        rows.append(f"c{clip},{clip}.wav,{split},{label}")
    (folder / "clips.csv").write_text("\n".join(rows) + "\n")
    (folder / "media.yaml").write_text(
        "table: clips.csv\nmodalities: {near: waveform}\ntask: {kind: classification, classes: [low, high]}\n"
    )
    return folder


def test_features_of_the_encoder_are_made_once_broken_and_made_anew_with_its_code(
    call: Call, clips: Path, tmp_path: Path
):
    root, file = tmp_path / "data", tmp_path / "encoder.py"
    shutil.copy(EXAMPLES / "encoder.py", file)
    encode = ("data", "encode", "own", "--encoder", "near=loudness,hop=20", "--data-root", root)
    assert call(*encode)[0] == 2
    code, said = call(*encode, "--plugin", file)
    assert (code, "encoded 24 of 24" in said) == (0, True), said
    code, said = call(*encode, "--plugin", file)
    assert (code, "nothing to do" in said) == (0, True), said

    run = (
        "run", "--methods", "erm(layers=1)", "--datasets", "own", *FAST,
        "--data-root", root, "--store", tmp_path / "runs",
    )  # fmt: skip
    code, said = call(*run)  # frozen features need no encoder
    assert code == 0, said
    code, said = call(*run, "--corruptions", "white-noise")
    assert code == 2, said
    (fault,) = (line for line in said.splitlines() if line.startswith("mmbench: "))
    assert "made by encoder loudness of encoder.py " in fault
    assert "name its file with --plugin" in fault
    code, said = call(*run, "--corruptions", "white-noise", "--plugin", file)
    assert code == 0, said
    (broken,) = (tmp_path / "runs").glob("jobs/*/eval*/white-noise*.parquet")
    assert len(pd.read_parquet(broken)["condition"].unique()) == 5

    file.write_text(file.read_text().replace("(dim=2) + 1e-6).log()", "(dim=2) + 1e-6).log10()"))
    code, said = call(*run, "--corruptions", "pink-noise", "--plugin", file)
    assert code == 2, said
    assert "bring back the earlier one, or encode again" in said
    before = np.load(root / "own" / "train.npz")["features.near"][..., 0]
    code, said = call(*encode, "--plugin", file)
    assert (code, "encoded 24 of 24" in said) == (0, True), said
    after = np.load(root / "own" / "train.npz")["features.near"][..., 0]
    np.testing.assert_allclose(after, before / np.log(10), atol=2e-2)


def test_the_estimator_is_fitted_and_stands_beside_a_network(call: Call, data_root: Path, tmp_path: Path):
    plugin = ("--plugin", EXAMPLES / "estimator.py")
    code, said = call("check", "method", "nearest_centroid", *plugin)
    assert code == 0, said
    code, said = call(
        "run", "--methods", "nearest_centroid,erm(layers=1)", "--datasets", "toyc", *FAST, *plugin,
        "--data-root", data_root, "--store", tmp_path / "runs", "--corruptions", "gaussian-noise",
    )  # fmt: skip
    assert code == 0, said
    assert "candidate 2/2" in said or "candidate 1/2" in said  # in the place of the epochs of networks
    code, said = call("leaderboard", "--store", tmp_path / "runs", "--what", "accuracy,robustness")
    assert code == 0, said
    assert said.count("nearest_centroid") >= 2
