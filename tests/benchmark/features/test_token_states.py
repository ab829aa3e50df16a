"""Jobs of a method that reads steps, whose encoder of texts is trained along: from raw texts to predictions of new ones."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from mmbench.benchmark.features.dataset import encode_dataset
from mmbench.benchmark.features.provenance import MediaSource
from mmbench.benchmark.launch.run import run
from mmbench.benchmark.planning.experiment import Experiment
from mmbench.benchmark.train import checkpoint
from mmbench.benchmark.train.new_samples import predict
from mmbench.datasets.cache.cache import FeatureCache
from mmbench.datasets.encoders.spec import parse
from mmbench.datasets.encoders.table import make
from mmbench.datasets.media.own import read_own
from mmbench.methods.sentiment.mag_bert import MAGBERT
from safetensors.torch import load_file

from ...datasets.encoders.small_models import SAVE, WORDS

METHOD = "mag_bert(steps=5,text_width=16,heads=2,text_layers=1)"


def rows(count: int, split: str, seed: int) -> list[dict[str, Any]]:
    """Utterances whose score counts a word, with a title of one word."""
    draw, words = np.random.default_rng(seed), WORDS[:-2]
    made = []
    for row in range(count):
        said = draw.choice(words, draw.integers(2, 7)).tolist()
        score = said.count("good") - said.count("bad")
        made.append(
            {
                "sample_id": f"{split}{row}",
                "split": split,
                "label": score,
                "text": " ".join(said),
                "title": draw.choice(words),
            }
        )
    return made


def write(file: Path, table: list[dict[str, Any]]) -> None:
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, list(table[0]))
        writer.writeheader()
        writer.writerows(table)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts as tokens, and titles as one vector each, by a small BERT."""
    made = tmp_path_factory.mktemp("tokens")
    for name in ("bert", "raw"):
        (made / name).mkdir()
    SAVE["bert"](made / "bert")
    write(
        made / "raw" / "clips.csv",
        [one for n, split in ((24, "train"), (8, "valid"), (8, "test")) for one in rows(n, split, n)],
    )
    about = {
        "table": "clips.csv",
        "modalities": {"text": "text", "title": "text"},
        "task": {"kind": "regression", "range": [-6, 6]},
        "split": "split",
    }
    (made / "raw" / "media.yaml").write_text(yaml.safe_dump(about))
    texts = {"text": f"text:{made / 'bert'}", "title": f"text:{made / 'bert'},pool=mean"}
    encoders = {name: (text, make(parse(text), torch.device("cpu"))) for name, text in texts.items()}
    source = MediaSource("talk", str(made / "data"), str(made / "raw"))
    media_set = read_own(made / "raw" / "media.yaml", "talk")
    cache = FeatureCache(made / "data" / "cache" / "features")
    assert encode_dataset(media_set, encoders, cache, made / "data" / "talk", source, dtype="float32").files
    return made


def asked(folder: Path, store: Path) -> Experiment:
    rules = {
        "epochs": 3,
        "batch_size": 8,
        "encoder_mode": "full",
        "media_rate": 1.0,
        "precision": "bfloat16",
        "train_with_missing": "patterns",
    }
    return Experiment.read(
        {
            "methods": [METHOD],
            "datasets": ["talk"],
            "seeds": [0],
            "launcher": "debug",
            "data_root": folder / "data",
            "store": store,
            "device": "cpu",
            "protocol": rules,
            "corruptions": ["keyboard-typos"],
        }
    )


@pytest.fixture(scope="module")
def job(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("runs")
    assert run(asked(folder, store)).ok
    return next(store.glob("jobs/*"))


def test_the_encoder_learns_and_damage_of_the_text_reaches_its_tokens(folder: Path, job: Path) -> None:
    weights, prefix = load_file(job / "weights.safetensors"), "encoders.trained.0.media.module."
    fresh = make(parse(f"text:{folder / 'bert'}"), torch.device("cpu")).network.module.state_dict()  # type: ignore[attr-defined]
    key = "embeddings.word_embeddings.weight"
    assert not torch.equal(weights[f"{prefix}{key}"], fresh[key])
    clean = pd.read_parquet(job / "predictions.parquet").query("split == 'test'")
    score = {name: part.set_index("sample_id")["score"] for name, part in clean.groupby("condition")}
    assert float(np.abs(score["missing:text"] - score["clean"]).min()) > 0
    broken = pd.read_parquet(job / "evaluations" / "keyboard-typos.parquet")
    worst = broken[broken["condition"] == "keyboard-typos:text@5"].set_index("sample_id")["score"]
    assert float(np.abs(worst - score["clean"]).max()) > 0


def test_an_interrupted_job_ends_with_the_bytes_of_an_undisturbed_one(
    folder: Path, job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "INTERVAL", 0.0)
    monkeypatch.setattr(checkpoint, "PATIENCE", 0.0)
    begun = iter(range(3))

    def interrupt(method: MAGBERT, validate: object) -> None:
        if next(begun) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MAGBERT, "after_epoch", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(asked(folder, tmp_path))
    assert run(asked(folder, tmp_path)).ok
    again = next(tmp_path.glob("jobs/*"))
    assert json.loads((again / "environment.json").read_text())["resumed_epochs"] == [2]
    for file in ("predictions.parquet", "fit.json", "weights.safetensors"):
        assert (again / file).read_bytes() == (job / file).read_bytes()


def test_new_texts_are_predicted_as_in_the_test(folder: Path, job: Path, tmp_path: Path) -> None:
    table = rows(8, "test", 8)
    for one in table[::2]:
        one["text"] = ""
    write(tmp_path / "clips.csv", table)
    (tmp_path / "media.yaml").write_text("table: clips.csv\nmodalities: {text: text, title: text}\n")
    found = predict(job, tmp_path, data_root=folder / "data").set_index("sample_id")["score"]
    tested = pd.read_parquet(job / "predictions.parquet").query("split == 'test'")
    for condition, asked_for in (("clean", table[1::2]), ("missing:text", table[::2])):
        names = [one["sample_id"] for one in asked_for]
        wanted = tested[tested["condition"] == condition].set_index("sample_id")["score"]
        np.testing.assert_allclose(found[names], wanted[names], atol=1e-4)
