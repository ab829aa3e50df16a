"""Encoders that are trained along: what gets gradients, what changes, what stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from mmbench.datasets.encoders.encoder import EncoderError, Media
from mmbench.datasets.encoders.spec import parse
from mmbench.datasets.encoders.table import make
from mmbench.datasets.encoders.tuning import Mode, Trained, find_blocks

from .small_models import save_ast, save_bert, save_whisper, wav2vec

CPU = torch.device("cpu")
SPECS = {
    "text": "text:FOLDER/text",
    "ast": "ast:FOLDER/ast",
    "whisper": "whisper:FOLDER/whisper,pool=time",
    "speech": "torchaudio:FOLDER/speech",
    "vit": "timm:test_vit,size=32",
    "convnext": "timm:test_convnext",
    "resnet": "timm-flow:test_resnet,pool=time",
    "spectrogram": "timm-spectrogram:test_resnet",
}
FITTING = [
    (name, mode)
    for name in SPECS
    for mode in ("last", "full", "lora")
    if mode != "lora" or name not in ("convnext", "resnet", "spectrogram")
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of small models; their weights are drawn at random."""
    place = tmp_path_factory.mktemp("models")
    for name, save in {"text": save_bert, "ast": save_ast, "whisper": save_whisper}.items():
        (place / name).mkdir()
        save(place / name)
    (place / "speech").mkdir()
    (place / "speech" / "config.json").write_text(json.dumps(wav2vec("layer_norm", dropout=0.0)))
    return place


def encoder_of(folder: Path, name: str) -> Any:
    return make(parse(SPECS[name].replace("FOLDER", str(folder)) + ",weights=random"), CPU)


def media_for(encoder: Any) -> Media:
    draw = torch.Generator().manual_seed(0)
    if encoder.medium == "text":
        return Media(texts=["good film", "bad bad film good", ""])
    if encoder.medium == "waveform":
        mask = torch.arange(4000)[None] < torch.tensor([[4000], [1500]])
        return Media(0.2 * torch.randn(2, 4000, 1, generator=draw), mask)
    channels = 2 if encoder.medium == "flow" else 3
    return Media(torch.rand(2, 2, channels, encoder.view.size, encoder.view.size, generator=draw))


def loss(trained: Trained, media: Media) -> torch.Tensor:
    features = trained(media).features
    weight = torch.randn(features.shape, generator=torch.Generator().manual_seed(3))
    return (features * weight).sum()


@pytest.mark.parametrize(("name", "mode"), FITTING)
def test_a_step_changes_what_is_trained_and_nothing_else(folder: Path, name: str, mode: Mode):
    encoder = encoder_of(folder, name)
    media = media_for(encoder)
    frozen = encoder.encode(media)
    trained = Trained(encoder, mode, rank=2)
    before = {key: value.clone() for key, value in trained.named_parameters()}
    buffers = {key: value.clone() for key, value in trained.named_buffers()}
    trained.eval()
    torch.testing.assert_close(trained(media).features, frozen.features)  # nothing is different yet
    assert trained(media).length.equal(frozen.length)

    trained.train()
    optimiser = torch.optim.SGD(trained.groups(rate=0.5))
    for _ in range(2):  # the first step moves only one of an adapter's two matrices
        optimiser.zero_grad()
        loss(trained, media).backward()
        for parameter in trained.parameters():
            assert (parameter.grad is None) <= (not parameter.requires_grad) or mode == "full"
        optimiser.step()
    changed = {key for key, value in trained.named_parameters() if not value.equal(before[key])}
    wanted = {key for key, value in trained.named_parameters() if value.requires_grad}
    assert changed <= wanted
    if mode == "full":
        assert wanted == set(before)
        assert len(changed) > len(wanted) / 2  # a pooler, or the bias of a key, changes nothing
    elif mode == "lora":
        assert wanted == {key for key in before if "lora_" in key}
        assert changed == wanted
    else:
        last = find_blocks(trained.module)[-1]
        assert {id(value) for key, value in trained.named_parameters() if key in wanted} == {
            id(value) for value in last.parameters()
        }
        assert changed
    assert all(value.equal(buffers[key]) for key, value in trained.named_buffers())
    assert not torch.allclose(trained.eval()(media).features, frozen.features, atol=1e-6)


@pytest.mark.parametrize(("name", "mode"), FITTING)
def test_recomputing_changes_no_gradient(folder: Path, name: str, mode: Mode):
    gradients = []
    for checkpointing in (False, True):
        encoder = encoder_of(folder, name)
        torch.manual_seed(0)
        trained = Trained(encoder, mode, rank=2, checkpointing=checkpointing)
        for parameter in trained.parameters():  # adapters begin at 0, where half of their gradients are 0
            if parameter.requires_grad:
                torch.nn.init.normal_(parameter, std=0.1)
        torch.manual_seed(1)
        loss(trained, media_for(encoder)).backward()
        gradients.append({key: value.grad for key, value in trained.named_parameters()})
    for key, value in gradients[0].items():
        if value is None:
            assert gradients[1][key] is None
        else:
            torch.testing.assert_close(gradients[1][key], value, atol=1e-4, rtol=1e-3)
    assert any(value is not None and value.any() for value in gradients[0].values())


def test_recomputing_keeps_less(folder: Path):
    kept = []
    for checkpointing in (False, True):
        encoder = encoder_of(folder, "vit")
        trained = Trained(encoder, "full", checkpointing=checkpointing)
        sizes = []

        def note(value: torch.Tensor, sizes: list[int] = sizes) -> torch.Tensor:
            sizes.append(value.numel())
            return value

        with torch.autograd.graph.saved_tensors_hooks(note, lambda value: value):
            loss(trained, media_for(encoder))
        kept.append(sum(sizes))
    assert kept[1] < kept[0] / 2


@pytest.mark.parametrize("mode", ["last", "full", "lora"])
def test_groups_hold_what_is_trained_once(folder: Path, mode: Mode):
    trained = Trained(encoder_of(folder, "text"), mode)
    groups = trained.groups(rate=1e-4, share=0.1, decay=0.02)
    assert all(group["lr"] == pytest.approx(1e-5) for group in groups)
    found = [parameter for group in groups for parameter in group["params"]]
    assert len(found) == len({id(parameter) for parameter in found})
    assert {id(parameter) for parameter in found} == {
        id(parameter) for parameter in trained.parameters() if parameter.requires_grad
    }
    for group in groups:
        assert group["weight_decay"] == (0.02 if group["params"][0].ndim > 1 else 0.0)
        assert len({parameter.ndim > 1 for parameter in group["params"]}) == 1


def test_what_stays_frozen_stays_in_evaluation_mode(folder: Path):
    text = Trained(encoder_of(folder, "text"), "last").train()
    training = {part for part in text.module.modules() if part.training}
    assert training == set(find_blocks(text.module)[-1].modules())
    assert not any(part.training for part in text.eval().modules())
    resnet = Trained(encoder_of(folder, "resnet"), "full").train()
    norms = [part for part in resnet.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    assert norms
    assert not any(part.training for part in norms)


def test_features_for_evaluation_come_without_gradients(folder: Path):
    encoder = encoder_of(folder, "speech")
    trained = Trained(encoder, "last").eval()
    with torch.no_grad():
        features = trained(media_for(encoder)).features
    assert not features.requires_grad
    assert trained(media_for(encoder)).features.requires_grad


def test_adapters_that_a_network_reads_past_are_said():
    encoder = make(parse("timm:eva02_tiny_patch14_224,frames=1,size=28,weights=random"), CPU)
    trained = Trained(encoder, "lora", rank=2)  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(EncoderError, match="Eva reads the weights of its attention past the layers"):
            trained(media_for(encoder))


def test_what_cannot_be_trained_is_said(folder: Path):
    with pytest.raises(EncoderError, match="LogMel is a fixed transform: there is nothing to train"):
        Trained(make(parse("log-mel"), CPU), "full")  # type: ignore[arg-type]
    with pytest.raises(EncoderError, match="has no attention to adapt: train it in mode last or full"):
        Trained(encoder_of(folder, "resnet"), "lora")
    with pytest.raises(EncoderError, match="mode last, full, lora, not 'half'"):
        Trained(encoder_of(folder, "vit"), "half")  # type: ignore[arg-type]
    with pytest.raises(EncoderError, match="rank of adapters is 0"):
        Trained(encoder_of(folder, "vit"), "lora", rank=0)
    with pytest.raises(EncoderError, match="no known last block: train it in mode full"):
        Trained(make(parse("timm:dla46_c,weights=random"), CPU), "last")  # type: ignore[arg-type]
