"""A method that reads raw media with a model of its own, which is neither trained nor stored."""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from mmbench.benchmark.check.conformance import check_entry, check_method
from mmbench.benchmark.check.planted_media import media_specs, planted_media
from mmbench.benchmark.cli.main import main
from mmbench.benchmark.train.weights import kept_state, load_kept
from mmbench.methods.erm import ERM
from safetensors.numpy import load_file

from ..conftest import Call

PLUGIN = Path(__file__).parents[3] / "docs" / "examples" / "media_method.py"
WORDS = ("bad", "poor", "sad", "good", "great", "fine")
FAST = ("--seeds", "0", "--launcher", "debug", "--device", "cpu", "--learning-rate", "0.03")


def save_model(folder: Path, seed: int = 0) -> Path:
    """A text transformer of random weights, and its tokenizer."""
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    transformers.AutoTokenizer.from_pretrained(folder, tokenizer_type="bert").save_pretrained(folder)
    small: dict[str, Any] = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    torch.manual_seed(seed)
    transformers.BertModel(
        transformers.BertConfig(vocab_size=5 + len(WORDS), hidden_size=16, **small)
    ).save_pretrained(folder)
    return folder


def succeed(*words: object) -> None:
    """Calls the command in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONSAFEPATH", "1")
        patch.delenv("MMBENCH_CACHE", raising=False)
        patch.setattr(sys, "argv", ["mmbench", *map(str, words)])
        with suppress(SystemExit):  # what it was to write is looked at afterwards
            main()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture(scope="module")
def trained(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sentences whose words tell their class, their features, and a job of the method that reads the words."""
    folder = tmp_path_factory.mktemp("words")
    own = folder / "data" / "own"
    own.mkdir(parents=True)
    draw = np.random.default_rng(0)
    rows = ["sample_id,text,split,label"]
    for clip in range(60):
        label = clip % 2
        words = " ".join(draw.choice(WORDS[3:] if label else WORDS[:3], draw.integers(1, 5)))
        split = ("train", "train", "train", "valid", "test")[clip // 12]
        rows.append(f"c{clip},{words},{split},{('low', 'high')[label]}")
    (own / "clips.csv").write_text("\n".join(rows) + "\n")
    (own / "media.yaml").write_text(
        "table: clips.csv\nmodalities: {text: text}\ntask: {kind: classification, classes: [low, high]}\n"
    )
    data = ("--data-root", folder / "data")
    succeed("data", "encode", "own", *data, "--encoder", f"text=text:{model}")
    succeed(
        "run", "--methods", f"frozen_text(model={model})", "--datasets", "own", "--epochs", "20", *FAST, *data,
        "--store", folder / "runs", "--plugin", PLUGIN, "--corruptions", "keyboard-typos",
    )  # fmt: skip
    return folder


def the_job(folder: Path) -> Path:
    (job,) = (folder / "runs" / "jobs").iterdir()
    return job


def test_it_reads_the_words_and_typos_break_them(trained: Path):
    job = the_job(trained)
    table = pd.read_parquet(job / "predictions.parquet")
    clean = table[(table.condition == "clean") & (table.split == "test")]
    logits = clean.filter(like="logit").to_numpy()
    assert (logits.argmax(1) == clean.target.to_numpy()).mean() > 0.9
    broken = pd.read_parquet(next(job.glob("evaluations/keyboard-typos*.parquet")))
    worst = broken[broken.condition.str.endswith("@5")].set_index("sample_id").filter(like="logit")
    before = clean.set_index("sample_id").filter(like="logit").loc[worst.index]
    assert (np.abs(worst.to_numpy() - before.to_numpy()) > 1e-3).mean() > 0.3


def test_the_head_alone_is_stored_and_the_model_named_by_its_hash(trained: Path, call: Call):
    job = the_job(trained)
    assert all(name.startswith("head.") for name in load_file(job / "weights.safetensors"))
    (digest,) = json.loads((job / "fit.json").read_text())["bases"].values()
    code, said = call("leaderboard", "--store", trained / "runs", "--what", "audit")
    assert code == 0, said
    assert f"model: {digest[:16]}" in said


def test_new_sentences_are_predicted_as_those_of_the_test(trained: Path, tmp_path: Path, call: Call):
    job = the_job(trained)
    table = pd.read_parquet(job / "predictions.parquet")
    test = table[(table.condition == "clean") & (table.split == "test")].set_index("sample_id")
    texts = pd.read_csv(trained / "data" / "own" / "clips.csv").set_index("sample_id")["text"]
    new = tmp_path / "new"
    new.mkdir()
    rows = [f"{name},{texts[name]}" for name in test.index] + ["silent,"]
    (new / "new.csv").write_text("\n".join(["sample_id,words", *rows]) + "\n")
    (new / "media.yaml").write_text("table: new.csv\nmodalities: {text: {medium: text, column: words}}\n")
    words = ("predict", job, "--out", tmp_path / "out.csv", "--plugin", PLUGIN, "--data")
    code, said = call(*words, trained / "data" / "own" / "train.npz", "--data-root", trained / "data")
    assert code == 2
    assert (
        "reads raw media (text), and" in said.splitlines()[-1]
    )  # before it transformers shows what it loads
    code, said = call(*words, new, "--data-root", trained / "data")
    assert code == 2
    assert "silent: new.csv: no media" in said.splitlines()[-1]
    (new / "new.csv").write_text("\n".join(["sample_id,words", *rows[:-1]]) + "\n")
    code, said = call(*words, new, "--data-root", trained / "data")
    assert code == 0, said
    found = pd.read_csv(tmp_path / "out.csv").set_index("sample_id").loc[test.index]
    logits = test.filter(like="logit_").to_numpy()
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found[["p_low", "p_high"]], shares, atol=1e-5)


def test_another_model_in_its_place_is_refused(trained: Path, model: Path, tmp_path: Path, call: Call):
    runs = shutil.copytree(trained / "runs", tmp_path / "runs")
    kept = shutil.copytree(model, tmp_path / "kept")
    save_model(model, seed=1)
    try:
        code, said = call(
            "run", "--methods", f"frozen_text(model={model})", "--datasets", "own", "--epochs", "20", *FAST,
            "--data-root", trained / "data", "--store", runs, "--plugin", PLUGIN,
            "--corruptions", "random-frames",
        )  # fmt: skip
    finally:
        shutil.copytree(kept, model, dirs_exist_ok=True)
    assert code != 0
    assert "its network was trained on model of SHA-256" in said.replace("\n", " ")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--methods", "frozen_text(model=./gone)"), "no such file or folder as"),
        (("--methods", "frozen_text"), "the parameter model names no model"),
        (
            ("--methods", "frozen_text(model=MODEL)", "--corruptions", "gaussian-noise"),
            "leave out the method frozen_text; raw media (text of text) can be tested under missing-rates,imbalanced-rates,"
            "conflict,words",
        ),
        (
            ("--methods", "frozen_text(model=MODEL)", "--corruptions", "word-replacement"),
            "--corruptions word-replacement works on frozen features: leave it out",
        ),
    ],
)
def test_what_cannot_be_run_is_said_before_anything_runs(
    trained: Path, model: Path, tmp_path: Path, call: Call, words: tuple[str, ...], reason: str
):
    asked = [word.replace("MODEL", str(model)) for word in words]
    code, said = call(
        "run", *asked, "--datasets", "own", *FAST, "--data-root", trained / "data",
        "--store", tmp_path / "runs", "--plugin", PLUGIN,
    )  # fmt: skip
    assert code == 2, said
    assert reason in said.replace("\n", " ")
    assert not list(tmp_path.glob("runs/jobs/*"))


def test_features_that_no_media_stand_behind_are_refused(
    model: Path, data_root: Path, tmp_path: Path, call: Call
):
    code, said = call(
        "run", "--methods", f"frozen_text(model={model})", "--datasets", "toyc", *FAST,
        "--data-root", data_root, "--store", tmp_path / "runs", "--plugin", PLUGIN,
    )  # fmt: skip
    assert code != 0
    assert "reads raw media, and no modality of text+audio of toyc was encoded from any" in said.replace(
        "\n", " "
    )


def test_it_keeps_the_contract(model: Path):
    checks = list(check_entry("method", f"frozen_text(model={model})", (PLUGIN,)))
    assert not [check for check in checks if not check.ok]


class Forgets(ERM):
    """Leaves out of its state what it trains."""

    def kept(self) -> list[str]:
        return [name for name in self.state_dict() if not name.startswith("head.")]

    def bases(self) -> dict[str, str]:
        return {"head": "0"}


def test_the_check_finds_what_is_trained_and_not_kept():
    failed = [check for check in check_method(Forgets) if not check.ok]
    assert any("is not kept, and is not the same everywhere" in check.reason for check in failed)


def test_a_state_is_loaded_whole_or_not_at_all():
    method = ERM(ERM.Params(), next(media_specs()))
    state = kept_state(method)
    assert state.keys() == method.state_dict().keys()
    load_kept(method, state)
    with pytest.raises(RuntimeError):
        load_kept(method, dict(list(state.items())[1:]))


def test_planted_media_are_what_a_batch_holds():
    *_, spec = media_specs()
    batch = planted_media(spec, 12)
    assert {name: (x.dtype, x.ndim) for name, x in batch.features.items()} == {
        "text": (torch.int32, 3),
        "audio": (torch.float32, 3),
        "video": (torch.uint8, 5),
    }
    assert all(bool((batch.mask[name].sum(1) > 0).all()) for name in batch.modalities)
    assert float(batch.features["audio"].abs().max()) <= 1
