"""Token ids reach a method that asks for them, through the command: trained, tested, refused, predicted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from mmbench.benchmark.check import method_predictions
from mmbench.benchmark.check.method import parameters_are_literals
from mmbench.benchmark.check.method_predictions import (
    absent_is_not_read,
    padding_is_not_read,
    token_ids_are_read,
)
from mmbench.benchmark.check.planted_networks import specs_for
from mmbench.benchmark.core.registry import find
from mmbench.datasets.batch import Batch
from mmbench.datasets.layout.convert import convert
from mmbench.datasets.layout.open_layout import locate_open
from mmbench.methods.erm import ERM
from mmbench.methods.method import Output

from ..conftest import Call

PLUGIN = Path(__file__).parents[3] / "docs" / "examples" / "token_method.py"
METHOD = "token_bert(width=8,hidden=16,blocks=1,layers=1)"
FAST = ("--launcher", "debug", "--device", "cpu", "--seeds", "0")


def write_words(folder: Path, positions: int = 5, **entries: Any) -> Path:
    """Texts of which only the token ids tell the class: whether id 5 comes before id 6. Their features are noise."""
    draw = np.random.default_rng(0)
    count = 260
    label = draw.integers(0, 2, count)
    ids = np.zeros((count, positions), np.int64)
    ids[:, 0] = 2
    ids[:, 1:3] = np.where(label[:, None] > 0, (5, 6), (6, 5))
    ids[:, 3] = draw.integers(7, 10, count)
    tokens = np.stack([ids, ids > 0, np.zeros_like(ids)], axis=1)
    split = np.repeat([0, 1, 2], (180, 30, 50))
    arrays = {
        "text": draw.normal(size=(count, 5, 4)).astype(np.float32),
        "audio": draw.normal(size=(count, 2)).astype(np.float32),
        "tokens": tokens,
        "label": label,
        "split": split,
        "text_tokens": tokens[split == 2],
    }
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "all.npz", **arrays)  # pyright: ignore[reportArgumentType]
    new = {name: arrays[name][split == 2] for name in ("text", "audio")}
    np.savez(folder / "new.npz", text_tokens=arrays["text_tokens"], **new)
    np.savez(folder / "without.npz", **new)
    about = {
        "file": "all.npz",
        "modalities": {"text": {"array": "text", "tokens": "tokens"}, "audio": "audio"},
        "task": {"kind": "classification", "classes": ["no", "yes"]},
        "label": "label",
        "split": {"array": "split", "values": {0: "train", 1: "valid", 2: "test"}},
        **entries,
    }
    (folder / "dataset.yaml").write_text(yaml.safe_dump(about, sort_keys=False))
    return folder


def test_a_bert_learns_from_the_ids_what_features_do_not_say(call: Call, tmp_path: Path) -> None:
    folder = write_words(tmp_path / "data" / "words")
    place = ("--data-root", tmp_path / "data", "--store", tmp_path / "runs", "--plugin", PLUGIN)
    tests = ("--corruptions", "random-frames", "--epochs", "8", "--learning-rate", "0.01")
    code, said = call(
        "run", "--methods", f"{METHOD},erm(width=8)", "--datasets", "words", *FAST, *tests, *place
    )
    assert code == 0, said
    right: dict[str, dict[str, float]] = {}
    for file in (tmp_path / "runs" / "jobs").glob("*/predictions.parquet"):
        other = next((file.parent / "evaluations").glob("random-frames*.parquet"))
        table = pd.concat([pd.read_parquet(one) for one in (file, other)])
        table = table[table["split"] == "test"]
        logits = np.stack([np.asarray(table[name]) for name in ("logit_0", "logit_1")])
        hit = np.asarray(table["target"]) == logits.argmax(0)
        conditions = np.asarray(table["condition"].astype(str))
        name = "erm" if "-erm" in file.parent.name else "token_bert"
        right[name] = {one: float(hit[conditions == one].mean()) for one in set(conditions.tolist())}
    assert right["token_bert"]["clean"] > 0.95
    assert right["erm"]["clean"] < 0.75  # its text is noise
    assert right["token_bert"]["missing:text"] < 0.75
    # fewer tokens are left to read
    assert right["token_bert"]["random-frames@0.5"] < right["token_bert"]["clean"] - 0.1
    assert abs(right["token_bert"]["random-frames@1.0"] - 0.5) < 0.25

    (job,) = (one.name for one in (tmp_path / "runs" / "jobs").iterdir() if "erm" not in one.name)
    out = tmp_path / "out.csv"
    rest = ("--store", tmp_path / "runs", "--plugin", PLUGIN, "--out", out)
    code, said = call("predict", job, "--data", folder / "new.npz", *rest)
    assert code == 0, said
    label = np.load(folder / "all.npz")["label"][-50:]
    said_of_it = pd.read_csv(out)["class"].to_numpy()
    assert float(np.mean(said_of_it == np.where(label > 0, "yes", "no"))) > 0.95
    code, said = call("predict", job, "--data", folder / "without.npz", *rest)
    assert code == 2
    assert "modalities/text: no 'tokens', and token_bert reads token ids" in said.replace("\n", "")


REFUSED = {
    "noise": (
        ("--corruptions", "gaussian-noise"),
        "gaussian-noise:text@1 does not reach the token ids of text",
    ),
    "training noise": (("--train-noise", "spectrum"), "--train-noise does not reach the token ids of text"),
    "another set": (
        ("--ood", "toy"),
        "--ood toy: its features are fitted to a network, and not the token ids",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_damage_that_does_not_reach_them_is_refused_before_anything_is_trained(
    call: Call, tmp_path: Path, data_root: Path, name: str
) -> None:
    write_words(data_root / "words")
    flags, words = REFUSED[name]
    place = ("--data-root", data_root, "--store", tmp_path / "runs", "--plugin", PLUGIN)
    code, said = call("run", "--methods", METHOD, "--datasets", "words", *FAST, *flags, *place)
    assert code == 2
    (line,) = (one for one in said.splitlines() if one.startswith("mmbench: "))
    assert words in line
    assert "token_bert reads" in line
    assert not (tmp_path / "runs" / "jobs").exists()


def test_data_without_ids_and_ids_of_other_steps_are_refused(
    call: Call, tmp_path: Path, data_root: Path
) -> None:
    write_words(data_root / "apart", positions=8)
    place = ("--data-root", data_root, "--store", tmp_path / "runs", "--plugin", PLUGIN)
    code, said = call("run", "--methods", METHOD, "--datasets", "toy", *FAST, *place)
    assert code == 2
    assert "method token_bert reads token ids, and toy states none for text+audio" in said
    ways = ("--train-missing", "spectrum"), ("--corruptions", "frame-dropout")
    for flags in ways:
        code, said = call("run", "--methods", METHOD, "--datasets", "apart", *FAST, *flags, *place)
        assert code == 2
        assert "token ids of text are not those of the steps of its features" in said
    code, said = call("data", "info", "apart", "--data-root", data_root)
    assert "text: token ids at 8 positions" in said


def test_conversion_keeps_them(tmp_path: Path) -> None:
    located = locate_open(write_words(tmp_path / "words") / "dataset.yaml")
    convert(located, tmp_path / "again")
    again = locate_open(tmp_path / "again" / "dataset.yaml").load()
    for split, samples in located.load().items():
        np.testing.assert_array_equal(again[split].tokens["text"], samples.tokens["text"])
        assert again[split].tokens["text"].dtype == np.int32


class Stored(ERM):
    """Reads the ids as they are stored, whether they are to be read or not."""

    reads_tokens = True

    def fuse(self, embeddings: dict[str, Any], batch: Batch) -> Output:
        """ERM's output, shifted by the sum of all ids."""
        output = super().fuse(embeddings, batch)
        shift = batch.tokens["text"][:, 0].float().sum(1)
        shape = (len(batch), *[1] * (output.prediction.ndim - 1))
        return Output(output.prediction + shift.view(shape))


class Deaf(ERM):
    """Says that it reads token ids, and does not."""

    reads_tokens = True


def test_the_check_finds_what_reads_too_much_or_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    example = find("method", "token_bert", (PLUGIN,))
    parameters_are_literals(example)
    token_ids_are_read(example.load())
    few = list(specs_for(Stored))[:4]  # of one modality and of two
    monkeypatch.setattr(method_predictions, "specs_for", lambda _: iter(few))
    absent_is_not_read(example.load())
    for check in (token_ids_are_read, absent_is_not_read, padding_is_not_read):
        with pytest.raises(AssertionError, match="differ by"):
            check(Stored)
    with pytest.raises(AssertionError, match="other token ids change nothing"):
        token_ids_are_read(Deaf)
