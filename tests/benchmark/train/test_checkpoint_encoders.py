"""Trainings of encoders that are trained along, interrupted: they end where an uninterrupted one ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from mmbench.benchmark.core.protocol import Protocol
from mmbench.benchmark.train import checkpoint
from mmbench.benchmark.train.checkpoint import Checkpointer
from mmbench.benchmark.train.lightning_module import fit
from mmbench.benchmark.train.seeds import seed_everything
from mmbench.corruptions.words import encode_words
from mmbench.datasets.batch import Batch, Spec, Tuned
from mmbench.datasets.encoders.spec import parse
from mmbench.datasets.encoders.table import make
from mmbench.methods.erm import ERM, ERMParams

from ...datasets.encoders.small_models import SAVE, WORDS

RULES = Protocol.model_validate({"epochs": 2, "batch_size": 8, "selection": "last"})
#: Family -> a small network of it; FOLDER holds saved ones.
SPECS = {
    "text": "text:FOLDER/bert",
    "ast": "ast:FOLDER/ast",
    "whisper": "whisper:FOLDER/whisper",
    "torchaudio": "torchaudio:FOLDER/base",
    "timm": "timm:test_vit,size=32,weights=random",
    "timm-flow": "timm-flow:test_resnet,size=32,weights=random",
    "timm-spectrogram": "timm-spectrogram:test_vit,weights=random",
}
Mode = Literal["last", "full", "lora"]
FITTING: list[tuple[str, Mode]] = [
    (family, mode)
    for family, text in SPECS.items()
    for mode in ("last", "full", "lora")
    if mode != "lora" or "resnet" not in text  # which has no attention to adapt
    if mode != "last" or family == "timm"  # what is trained of it is a part of what "full" trains
]


class InterruptionError(Exception):
    pass


@pytest.fixture(autouse=True)
def every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "INTERVAL", 0.0)
    monkeypatch.setattr(checkpoint, "PATIENCE", 0.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models")
    for name in ("bert", "ast", "whisper", "base"):
        (place / name).mkdir()
        SAVE[name](place / name)
    return place


def media_for(encoder: Any, count: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    """What a batch holds of a modality, and its mask."""
    draw = torch.Generator().manual_seed(0)
    if encoder.medium == "text":
        words = encode_words([f"{WORDS[row % 9]} {WORDS[row % 7]} film" for row in range(count)])
        return words, (words != 0).any(-1)
    if encoder.medium == "waveform":
        steps = torch.randint(2000, 4000, (count, 1), generator=draw)
        return 0.2 * torch.randn(count, 4000, 1, generator=draw), torch.arange(4000) < steps
    shape = (count, 2, 2 if encoder.medium == "flow" else 3, 32, 32)
    frames = torch.randint(0, 256, shape, generator=draw, dtype=torch.uint8)
    return frames, torch.ones(count, 2, dtype=torch.bool)


def batch_of(media: torch.Tensor, mask: torch.Tensor) -> Batch:
    count = len(media)
    return Batch(
        features={"media": media},
        mask={"media": mask},
        present={"media": torch.ones(count, dtype=torch.bool)},
        target=torch.arange(count) % 2,
        domain=torch.zeros(count, dtype=torch.int64),
        sample_id=torch.arange(count),
    )


def trained(
    spec: Spec, batch: Batch, checkpointer: Checkpointer | None = None, until: tuple[int, float] | None = None
) -> tuple[list[Any], dict[str, torch.Tensor], torch.Tensor]:
    """The record of a training, its weights and its predictions; interrupted in an epoch, at a share of it."""
    seed_everything(3, "initial weights")
    method = ERM(ERMParams(layers=1), spec)
    seed_everything(3, "training")

    def report(epoch: int, share: float, ended: object) -> None:
        if (epoch, share) == until:
            raise InterruptionError

    training = fit(method, RULES, batch, batch, 3, report, checkpointer=checkpointer)
    with torch.inference_mode():
        return training.record, method.state_dict(), method.eval()(batch).prediction


@pytest.mark.parametrize(("family", "mode"), FITTING)
def test_an_encoder_goes_on_as_if_nothing_had_been(
    family: str, mode: Mode, folder: Path, tmp_path: Path
) -> None:
    text = SPECS[family].replace("FOLDER", str(folder))
    encoder = make(parse(text), torch.device("cpu"))
    tuned = {"media": Tuned(text, mode, rank=2)}
    spec = Spec({"media": encoder.width}, "classification", classes=2, tuned=tuned)
    batch = batch_of(*media_for(encoder))
    record, weights, prediction = trained(spec, batch)
    with pytest.raises(InterruptionError):
        trained(spec, batch, Checkpointer(tmp_path / "last.ckpt", {"job": family}), (1, 1 / 2))
    seed_everything(99)
    checkpointer = Checkpointer(tmp_path / "last.ckpt", {"job": family})
    again, weights_again, prediction_again = trained(spec, batch, checkpointer)
    assert checkpointer.resumed == [1]
    assert again == record
    assert prediction_again.equal(prediction)
    assert all(value.equal(weights[name]) for name, value in weights_again.items())
    fresh = ERM(ERMParams(layers=1), spec).state_dict()
    assert any(".media." in name and not value.equal(fresh[name]) for name, value in weights.items())
