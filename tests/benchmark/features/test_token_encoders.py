"""Jobs whose encoder of a text is trained along from the token ids that MMSA's pickles hold."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from mmbench.benchmark.core.protocol import Protocol
from mmbench.benchmark.core.registry import find
from mmbench.benchmark.train import checkpoint
from mmbench.datasets.batch import Batch, Spec, Tuned
from mmbench.datasets.encoders.encoder import EncoderError, Media
from mmbench.datasets.encoders.spec import parse
from mmbench.datasets.encoders.table import make
from mmbench.datasets.encoders.token_model import digest_of, token_model
from mmbench.datasets.tokens import Tokens
from mmbench.methods import NETWORKS
from mmbench.methods.erm import ERM
from mmbench.methods.shared.networks import encoders
from safetensors.torch import load_file, save_file

from ...datasets.encoders.small_models import SAVE, WORDS
from ..conftest import Call

CPU = torch.device("cpu")
GOOD, BAD = 5 + WORDS.index("good"), 5 + WORDS.index("bad")
METHOD = "erm(width=8,layers=1)"
FAST = ("--launcher", "debug", "--device", "cpu", "--seeds", "0", "--datasets", "mosi", "--methods", METHOD)
RATES = ("--learning-rate", "0.005", "--media-rate", "1", "--batch-size", "16")


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    SAVE["bert"](folder)
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pickle of MMSA whose features are noise: of "good" and "bad" the one that is said first tells the score."""
    draw, splits = np.random.default_rng(0), {}
    for split, count in (("train", 128), ("valid", 24), ("test", 40)):
        first = draw.integers(0, 2, count)
        ids = np.zeros((count, 8), np.int64)
        ids[:, 0], ids[:, 4], ids[:, 5] = 2, draw.integers(5, 9, count), 3
        ids[:, 1:4] = np.where(first[:, None] > 0, (GOOD, 5, BAD), (BAD, 5, GOOD))
        splits[split] = {
            "raw_text": np.array(["words"] * count),
            "text": draw.normal(size=(count, 8, 6)).astype(np.float32),
            "text_bert": np.stack([ids, ids > 0, np.zeros_like(ids)], axis=1).astype(np.float32),
            "audio": draw.normal(size=(count, 4, 3)).astype(np.float32),
            "vision": draw.normal(size=(count, 4, 3)).astype(np.float32),
            "id": np.array([f"{split}{row}$_$0" for row in range(count)]),
            "regression_labels": (4 * first - 2).astype(np.float32),
        }
    folder = tmp_path_factory.mktemp("data")
    (folder / "mosi").mkdir()
    with (folder / "mosi" / "aligned_50.pkl").open("wb") as file:
        pickle.dump(splits, file)
    return folder


def scores(table: Path) -> pd.DataFrame:
    """Scores of test samples, a column for each condition."""
    rows = pd.read_parquet(table).query("split == 'test'")
    return rows.pivot(index="sample_id", columns="condition", values="score")


def test_a_bert_learns_from_ids_what_features_do_not_say(
    call: Call, root: Path, bert: Path, tmp_path: Path
) -> None:
    place = ("--data-root", root, "--modalities", "text+audio", "--epochs", "12")
    ways = {
        "full": ("--encoder-mode", "full", "--text-encoder", bert, "--corruptions", "random-frames"),
        "frozen": (),
    }
    for name, flags in ways.items():
        code, said = call("run", *FAST, *RATES, *place, *flags, "--store", tmp_path / name)
        assert code == 0, said
    jobs = {name: next((tmp_path / name / "jobs").iterdir()) for name in ways}
    found = {name: scores(job / "predictions.parquet") for name, job in jobs.items()}
    target = pd.read_parquet(jobs["full"] / "predictions.parquet").groupby("sample_id")["target"].first()

    def error(name: str, condition: str = "clean") -> float:
        return float(np.abs(found[name][condition] - target[found[name].index]).mean())

    assert error("full") < 1
    assert error("frozen") > 1.5  # all that features give is the mean of -2 and 2
    # what takes the text or its steps away takes the ids away
    assert error("full", "missing:text") > 1.5
    damaged = scores(jobs["full"] / "evaluations" / "random-frames.parquet")
    spread = {name: float(np.std(damaged[f"random-frames@{name}"])) for name in ("0.1", "1.0")}
    assert spread["0.1"] > 0.5
    assert spread["1.0"] < 1e-4  # nothing is left that could tell two samples apart

    fit = json.loads((jobs["full"] / "fit.json").read_text())
    assert fit["text_encoder"] == {str(bert): digest_of(f"text:{bert}")}
    code, said = call("leaderboard", "--store", tmp_path / "full", "--what", "audit", "--format", "csv")
    assert code == 0, said
    (audit,) = (tmp_path / "full").glob("leaderboards/audit*.csv")
    assert pd.read_csv(audit)["text_encoder"].tolist() == [f"{bert.name}: {digest_of(f'text:{bert}')[:16]}"]

    weights = load_file(jobs["full"] / "weights.safetensors")
    fresh = make(parse(f"text:{bert}"), CPU).network.module.state_dict()  # type: ignore[attr-defined]
    key = "embeddings.word_embeddings.weight"
    (mine,) = (value for name, value in weights.items() if name.endswith(f"media.module.{key}"))
    assert not torch.equal(mine, fresh[key])

    new = read_new(root, tmp_path / "new")
    out = tmp_path / "out.csv"
    code, said = call("predict", jobs["full"].name, "--data", new, "--store", tmp_path / "full", "--out", out)
    assert code == 0, said
    again = pd.read_csv(out).set_index("sample_id")["score"]
    np.testing.assert_allclose(again.to_numpy(), found["full"]["clean"].loc[again.index], atol=1e-4)
    code, said = call(
        "predict", jobs["full"].name, "--data", read_new(root, tmp_path / "far", 9000), "--store",
        tmp_path / "full", "--out", out,
    )  # fmt: skip
    assert code == 2
    assert "token id 9000 of text is not in the vocabulary" in " ".join(said.split())


def read_new(root: Path, folder: Path, largest: int = 0) -> Path:
    """The test samples as arrays without labels, perhaps with an id that is too large."""
    with (root / "mosi" / "aligned_50.pkl").open("rb") as file:
        test = pickle.load(file)["test"]
    tokens = test["text_bert"].astype(np.int64)
    tokens[0, 0, 4] = largest or tokens[0, 0, 4]
    folder.mkdir()
    arrays: dict[str, Any] = {"text": test["text"], "audio": test["audio"], "text_tokens": tokens}
    np.savez(folder / "new.npz", sample_id=test["id"], text_mask=tokens[:, 1] > 0, **arrays)
    return folder / "new.npz"


def test_an_interrupted_job_ends_with_the_bytes_of_an_undisturbed_one(
    call: Call, root: Path, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "INTERVAL", 0.0)
    monkeypatch.setattr(checkpoint, "PATIENCE", 0.0)
    begun = iter(range(2))

    def interrupt(method: ERM, validate: object) -> None:
        if next(begun) == 1:
            raise KeyboardInterrupt

    asked = (
        "run", *FAST, *RATES, "--data-root", root, "--modalities", "text", "--epochs", "2",
        "--train-missing", "spectrum", "--encoder-mode", "lora", "--text-encoder", f"text:{bert}",
    )  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(ERM, "after_epoch", interrupt)
        assert call(*asked, "--store", tmp_path / "disturbed")[0] != 0
    for name in ("disturbed", "undisturbed"):
        code, said = call(*asked, "--store", tmp_path / name)
        assert code == 0, said
    (ran,) = tmp_path.glob("disturbed/jobs/*/environment.json")
    assert json.loads(ran.read_text())["resumed_epochs"] == [1]
    for file in ("predictions.parquet", "fit.json", "weights.safetensors"):
        ends = [
            next(tmp_path.glob(f"{name}/jobs/*/{file}")).read_bytes() for name in ("disturbed", "undisturbed")
        ]
        assert ends[0] == ends[1]


def test_a_model_is_known_by_its_content_and_not_by_its_folder(bert: Path, tmp_path: Path) -> None:
    shutil.copytree(bert, tmp_path / "copy")
    shutil.copytree(bert, tmp_path / "other")
    weights = load_file(tmp_path / "other" / "model.safetensors")
    next(iter(weights.values())).view(-1)[0] += 1
    save_file(weights, tmp_path / "other" / "model.safetensors")
    assert digest_of(f"text:{bert}") == digest_of(f"text:{tmp_path / 'copy'}")
    assert digest_of(f"text:{bert}") != digest_of(f"text:{tmp_path / 'other'}")


def test_what_cannot_be_read_is_told_in_one_line(
    call: Call, root: Path, bert: Path, data_root: Path, tmp_path: Path
) -> None:
    shutil.copytree(root / "mosi", data_root / "mosi")
    small = tmp_path / "small"
    shutil.copytree(bert, small)
    config = json.loads((small / "config.json").read_text())
    (small / "config.json").write_text(json.dumps({**config, "vocab_size": 8}))
    full = ("--encoder-mode", "full", "--text-encoder")
    bad: dict[str, tuple[Any, ...]] = {
        "is trained along: set encoder_mode to full": ("--text-encoder", bert),
        "holds no config.json": (*full, tmp_path),
        f"token id {max(GOOD, BAD)} of text is not in the vocabulary of {small}, which has 8": (*full, small),
        "toy states none for text": (*full, bert, "--datasets", "toy"),
        "states none for audio": (*full, bert, "--modalities", "audio"),
        "has token ids of text: name the model": ("--encoder-mode", "full"),
        "does not reach the token ids of text, which --text-encoder": (
            *full,
            bert,
            "--corruptions",
            "gaussian-noise",
        ),
        "does not reach the token ids of text": (*full, bert, "--train-noise", "spectrum"),
        "reads features, and this job reads the raw media or token ids of text": (
            *full,
            bert,
            "--impute",
            "knn",
        ),
    }
    for words, flags in bad.items():
        kept = (
            FAST
            if "--datasets" not in flags
            else tuple(one for one in FAST if one not in ("--datasets", "mosi"))
        )
        modalities = () if "--modalities" in flags else ("--modalities", "text")
        code, said = call(
            "plan", *kept, *modalities, *flags, "--data-root", data_root, "--store", tmp_path / "runs"
        )
        assert code != 0, words
        assert words in " ".join(said.split()), (words, said)


def test_states_are_those_of_the_model_and_of_tokens_that_are_left(bert: Path) -> None:
    encoder = make(parse(f"text:{bert},max_length=20"), CPU)
    texts = ["good film", "the bad bad film was not good"]
    said = encoder.encode(Media(texts=texts))
    read = encoder.tokenizer(texts, padding="max_length", max_length=12, return_tensors="pt")  # type: ignore[attr-defined]
    ids, mask = read["input_ids"], read["attention_mask"].bool()
    found = encoder.encode(Media(tokens=Tokens(ids, mask, torch.zeros_like(ids))))
    assert torch.equal(found.length, said.length)
    torch.testing.assert_close(found.features, said.features, atol=1e-5, rtol=1e-4)

    lost = mask.clone()
    lost[:, 1] = False
    segment = mask.long() * (torch.arange(12) > 2)
    found = encoder.encode(Media(tokens=Tokens(ids.where(lost, 0), lost, segment)))
    model = encoder.network.module  # type: ignore[attr-defined]
    with torch.no_grad():
        states = model(input_ids=ids, attention_mask=lost.long(), token_type_ids=segment).last_hidden_state
    for row in range(2):
        torch.testing.assert_close(
            found.features[row, : found.length[row]], states[row][lost[row]], atol=1e-5, rtol=1e-4
        )


def spec_of(bert: Path, mode: Any = "full", **more: Any) -> Spec:
    known: dict[str, Any] = {"kind": "regression", "label_range": (-3.0, 3.0), "steps": {"audio": 4}}
    return Spec(
        {"text": 16, "audio": 5},
        tuned={"text": Tuned(f"text:{bert}", mode, steps=8, width=16)},
        **known | more,
    )


def batch_of(count: int = 6) -> Batch:
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 20, (count, 8), generator=draw, dtype=torch.int32)
    mask = (torch.arange(8) < 8 - torch.arange(count)[:, None] % 4).int()
    return Batch(
        features={
            "text": torch.randn(count, 8, 6, generator=draw),
            "audio": torch.randn(count, 4, 5, generator=draw),
        },
        mask={"text": mask.bool(), "audio": torch.ones(count, 4, dtype=torch.bool)},
        present={name: torch.ones(count, dtype=torch.bool) for name in ("text", "audio")},
        target=torch.linspace(-2, 2, count),
        domain=torch.zeros(count, dtype=torch.int64),
        sample_id=torch.arange(count),
        index=torch.arange(count),
        tokens={"text": torch.stack([ids, mask, torch.zeros_like(mask)], dim=1)},
    )


READ_STEPS = ("mag_bert", "mult", "cenet", "lnln", "tfr_net")


@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=[] if one in READ_STEPS else pytest.mark.slow) for one in NETWORKS]
)
def test_every_network_reads_the_ids_and_not_the_features(name: str, bert: Path) -> None:
    method_class = find("method", name).load()
    torch.manual_seed(0)
    spec = spec_of(bert, train_size=6, label_moments=(0.0, 1.0))
    if spec.kind not in method_class.kinds:
        spec = spec_of(bert, kind="classification", classes=3, label_range=None, domains=2, train_size=6)
    method, batch = method_class(method_class.Params(), spec), batch_of()
    if spec.kind == "classification":
        batch = Batch(**{**vars(batch), "target": torch.arange(6) % 3, "domain": torch.arange(6) % 2})
    reached = set()
    for stage in range(len(method.stages)):
        method.begin_stage(stage)
        method.train().zero_grad()
        method.backward(batch)
        reached |= {
            name for name, one in method.named_parameters() if one.grad is not None and one.grad.any()
        }
    assert any("media" in name and "word_embeddings" in name for name in reached)
    method.eval()
    other = Batch(**{**vars(batch), "features": {**batch.features, "text": batch.features["text"] + 9}})
    ids = batch.tokens["text"].clone()
    ids[:, 0] = ids[:, 0] % 13 + 5
    moved = Batch(**{**vars(batch), "tokens": {"text": ids}})
    with torch.no_grad():
        said, same, changed = (method(one).prediction for one in (batch, other, moved))
    torch.testing.assert_close(said, same)
    assert not torch.equal(said, changed)


def test_biases_and_norms_of_a_trained_encoder_do_not_decay(bert: Path) -> None:
    from mmbench.benchmark.train.optimizer import build_optimizer

    rules = {
        "encoder_mode": "full",
        "weight_decay": 0.1,
        "media_decay": 0.5,
        "media_rate": 0.05,
        "learning_rate": 0.01,
    }
    method = ERM(ERM.Params(width=8, layers=1), spec_of(bert))
    names = {parameter: name for name, parameter in method.named_parameters()}
    planned, stored = Protocol.model_validate(rules).resolve({}), Protocol.model_validate(rules)
    for said, spared in (
        (planned, 0.0),
        (stored, 0.05),
    ):  # a job that was stored when they did lacks the field
        for group in build_optimizer(method, said).param_groups:
            for parameter in group["params"]:
                media = ".media." in names[parameter]
                small = names[parameter].endswith("bias") or "LayerNorm" in names[parameter]
                decay = 0.1 if not media else spared if small else 0.05
                assert group["weight_decay"] == pytest.approx(decay), names[parameter]
                assert group["lr"] == pytest.approx(0.0005 if media else 0.01)
    same: tuple[dict[str, Any], ...] = (  # no number changes, so no id does
        {"encoder_mode": "frozen"},
        {"encoder_mode": "lora"},
        {"weight_decay": 0.0},
        {"media_bias_decay": "on"},
    )
    for other in same:
        assert Protocol.model_validate({**rules, **other}).resolve({}).media_bias_decay == "on"


def test_a_model_that_is_none_of_texts_is_refused(tmp_path: Path) -> None:
    transformers.ViTConfig(hidden_size=16).save_pretrained(tmp_path)
    with pytest.raises(EncoderError, match="of type vit, which reads no token ids"):
        token_model(f"text:{tmp_path}")


def test_an_encoder_of_ids_survives_that_nothing_is_left_to_read(bert: Path) -> None:
    part = encoders(spec_of(bert), width=8, layers=1).eval()
    batch = batch_of(2)
    empty = batch.without_tokens({"text": torch.ones(2, 8, dtype=torch.bool)})
    with torch.no_grad():
        assert bool(torch.isfinite(part.encode("text", empty)).all())
