"""An encoder of raw media as a part of a method."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from mmbench.benchmark.core.registry import find
from mmbench.corruptions.words import encode_words
from mmbench.datasets.batch import Batch, Spec, Tuned
from mmbench.datasets.encoders.encoder import Media
from mmbench.datasets.encoders.spec import parse
from mmbench.datasets.encoders.table import make
from mmbench.methods import NETWORKS
from mmbench.methods.generalisation import mbcd
from mmbench.methods.generalisation.mbcd import MBCD, MBCDParams
from mmbench.methods.shared.media_encoder import MediaEncoder
from mmbench.methods.shared.networks import SequenceEncoder, encoders

CPU = torch.device("cpu")
VIT = "timm:test_vit,size=32,weights=random"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film"]
#: The last block of that network.
LAST = f"blocks.{len(make(parse(VIT), CPU).network.module.blocks) - 1}."  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("bert")
    small: Any = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
    }
    transformers.BertConfig(vocab_size=len(WORDS), **small).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    return f"text:{folder},weights=random"


def sequence(features: int) -> SequenceEncoder:
    torch.manual_seed(0)
    return SequenceEncoder(features, layers=1).eval()


def frames(count: int = 3, steps: int = 2) -> torch.Tensor:
    draw = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, steps, 3, 32, 32), generator=draw, dtype=torch.uint8)


def test_bytes_become_what_the_frozen_encoder_makes_of_pictures() -> None:
    part = MediaEncoder(Tuned(VIT, "last"), sequence(64)).eval()
    mask = torch.tensor([[True, True], [True, False], [True, True]])
    with torch.no_grad():
        found = part(frames(), mask)
        encoded = make(parse(VIT), CPU).encode(Media(frames().float() / 255, mask))
        expected = part.sequence(torch.nn.functional.layer_norm(encoded.features, (64,)), mask)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_texts_become_what_the_frozen_encoder_makes_of_them(bert: str) -> None:
    texts = ["good film", "bad bad film good", "film"]
    words = encode_words(texts)
    part = MediaEncoder(Tuned(bert, "full"), sequence(16)).eval()
    with torch.no_grad():
        found = part(words, (words != 0).any(-1))
        encoded = make(parse(bert), CPU).encode(Media(texts=texts))
        mask = torch.arange(encoded.features.shape[1]) < encoded.length[:, None]
        expected = part.sequence(torch.nn.functional.layer_norm(encoded.features, (16,)), mask)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_what_is_absent_or_padded_is_not_read() -> None:
    part = MediaEncoder(Tuned(VIT, "last"), sequence(64)).eval()
    mask = torch.tensor([[True, True], [True, False], [False, False]])
    other = frames()
    other[1, 1] = 7
    other[2] = 9
    with torch.no_grad():
        torch.testing.assert_close(part(frames(), mask), part(other, mask))
        alone = part(frames()[2:], mask[2:])
    assert bool(torch.isfinite(alone).all())


@pytest.mark.parametrize("mode", ["last", "full", "lora"])
def test_gradients_reach_what_the_mode_trains_and_nothing_else(mode: Any) -> None:
    torch.manual_seed(0)
    part = MediaEncoder(Tuned(VIT, mode), sequence(64)).train()
    part(frames(), torch.ones(3, 2, dtype=torch.bool)).square().sum().backward()
    reached = {name for name, p in part.media.named_parameters() if p.grad is not None and bool(p.grad.any())}
    assert reached
    last = {name for name in reached if LAST in name}
    assert {
        "last": reached == last,
        "lora": all("lora" in name for name in reached),
        "full": last < reached and any("patch_embed" in name for name in reached),
    }[mode]


def test_a_clip_does_not_depend_on_its_batch_under_any_protocol(bert: str) -> None:
    spec = Spec({"text": 16}, "regression", tuned={"text": Tuned(bert, "full")}, protocol="as-published")
    part = encoders(spec, layers=1).eval()
    words = encode_words(["good film", "bad bad film good " * 8])
    mask = (words != 0).any(-1)
    with torch.no_grad():
        together = part("text", words, mask)[:1]
        torch.testing.assert_close(part("text", words[:1], mask[:1]), together, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_method_trains_an_encoder_along(name: str) -> None:
    method_class = find("method", name).load()
    train_along(method_class, method_class.Params())


def test_noise_of_features_leaves_raw_media_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mbcd, "DSU_PROBABILITY", 1.0)
    train_along(MBCD, MBCDParams(feature_noise=True))


def train_along(method_class: Any, params: Any) -> None:
    """A step of every stage changes the encoder, and the network still reads a clip without the modality."""
    spec = Spec(
        {"video": 64, "audio": 5},
        "classification",
        classes=3,
        domains=2,
        tuned={"video": Tuned(VIT, "last", steps=2)},
    )
    torch.manual_seed(0)
    method = method_class(params, spec)
    draw = torch.Generator().manual_seed(2)
    whole = torch.ones(6, dtype=torch.bool)
    batch = Batch(
        features={"video": frames(6), "audio": torch.randn(6, 4, 5, generator=draw)},
        mask={"video": torch.ones(6, 2, dtype=torch.bool), "audio": torch.ones(6, 4, dtype=torch.bool)},
        present={"video": whole, "audio": whole},
        target=torch.tensor([0, 1, 2, 0, 1, 2]),
        domain=torch.tensor([0, 0, 0, 1, 1, 1]),
        sample_id=torch.arange(6),
    )
    trained = {
        key: value.clone()
        for key, value in method.state_dict().items()
        if ".media." in key and LAST in key and value.is_floating_point()
    }
    optimizer = torch.optim.SGD(method.parameters(), lr=0.1)
    for stage in range(len(method.stages)):
        method.begin_stage(stage)
        method.train()
        optimizer.zero_grad()
        method.backward(batch)
        optimizer.step()
        method.after_step()
    after = method.state_dict()
    assert all(bool(torch.isfinite(value).all()) for value in after.values() if value.is_floating_point())
    assert trained
    assert any(not torch.equal(after[key], value) for key, value in trained.items())
    with torch.no_grad():
        prediction = method.eval()(batch.with_present({"video": ~whole})).prediction
    assert bool(torch.isfinite(prediction).all())
