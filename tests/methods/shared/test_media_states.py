"""Methods that read steps, on the states of an encoder of texts that is trained along."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from mmbench.benchmark.core.protocol import Protocol
from mmbench.benchmark.core.registry import find
from mmbench.benchmark.train.encoder_gradients import EncoderGradients
from mmbench.benchmark.train.optimizer import build_optimizer
from mmbench.corruptions.words import encode_words
from mmbench.datasets.batch import Batch, Spec, Tuned
from mmbench.datasets.encoders.encoder import Media
from mmbench.datasets.encoders.spec import parse
from mmbench.datasets.encoders.table import make
from mmbench.methods.method import Method
from mmbench.methods.sentiment.mag_bert import MAGBERT, MAGBERTParams
from mmbench.methods.shared.media_encoder import CLIPS, MediaEncoder
from torch import nn

from .. import planted

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film"]
TEXTS = ["good film", "bad bad film good film bad", "film", "bad film good"]
#: Methods that read steps of text under any protocol, with parameters that make them small.
READERS: dict[str, dict[str, Any]] = {
    "ef_lstm": {"steps": 4, "hidden": 8, "lstm_layers": 1},
    "mfn": {"steps": 4},
    "graph_mfn": {"steps": 4},
    "mag_bert": {"steps": 4, "text_width": 16, "heads": 2},
    "mult": {"step_width": 8, "heads": 2},
    "tetfn": {"step_width": 8, "heads": 2},
    "cenet": {"text_width": 16, "heads": 2},
    "almt": {},
    "dmd": {"steps": 5},
    "dlf": {"steps": 5},
    "emt_dlfr": {},
    "lnln": {},
    "tfr_net": {},
    "mplmm": {"backbone": "mult", "step_width": 8, "heads": 2, "steps": 4, "cross_layers": 1},
}
#: Those that do with the networks of their release.
RELEASED: dict[str, dict[str, Any]] = {
    name: {"subnets": "released"} for name in ("misa", "self_mm", "mmim", "tfn", "lmf")
}


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("bert")
    small: Any = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.BertConfig(vocab_size=len(WORDS), intermediate_size=24, **small)
    config.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    return f"text:{folder},weights=random"


def spec_of(encoder: str, steps: int, **more: Any) -> Spec:
    return Spec(
        {"text": 16, "audio": 2},
        "regression",
        label_range=(-3.0, 3.0),
        tuned={"text": Tuned(encoder, "full", steps=steps)},
        steps={"audio": 4},
        **more,
    )


def batch_of(texts: list[str], audio: torch.Tensor, target: torch.Tensor) -> Batch:
    words, there = encode_words(texts), torch.ones(len(texts), dtype=torch.bool)
    return Batch(
        features={"text": words, "audio": audio},
        mask={"text": words[..., 0] != 0, "audio": torch.ones(audio.shape[:2], dtype=torch.bool)},
        present={"text": there, "audio": there},
        target=target,
        domain=torch.zeros(len(texts), dtype=torch.int64),
        sample_id=torch.arange(len(texts)),
    )


def few() -> Batch:
    draw = torch.Generator().manual_seed(0)
    audio, target = torch.randn(len(TEXTS), 4, 2, generator=draw), torch.randn(len(TEXTS), generator=draw)
    return batch_of(TEXTS, audio, target)


def built(name: str, bert: str) -> Method:
    torch.manual_seed(0)
    method_class = find("method", name).load()
    params = method_class.Params(**({**READERS, **RELEASED}[name]))
    return method_class(params, spec_of(bert, 8))


def test_states_are_those_of_each_text_alone_and_only_its_tokens_are_real(bert: str) -> None:
    net = MediaEncoder(Tuned(bert, "full", steps=8), nn.Identity()).eval()
    texts = TEXTS * (CLIPS // len(TEXTS)) + ["bad " * 9, "", "film"]  # more than are encoded at once
    words = encode_words(texts)
    with torch.no_grad():
        states, mask = net.states(words, words[..., 0] != 0)
        frozen = make(parse(bert), torch.device("cpu"))
        for text, own, real in zip(texts, states, mask, strict=True):
            assert int(real.sum()) == (len(text.split()) + 2 if text else 0)  # [CLS] and [SEP]
            assert not own[~real].any()
            if text:
                alone = frozen.encode(Media(texts=[text])).features[0]
                expected = torch.nn.functional.layer_norm(alone, (16,))
                torch.testing.assert_close(own[real], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", [*READERS, *RELEASED])
def test_it_reads_the_tokens_and_learns_through_them(name: str, bert: str) -> None:
    method, batch = built(name, bert), few()
    method.eval()
    with torch.no_grad():
        together = method(batch).prediction
        alone = torch.cat([method(batch.take(slice(i, i + 1))).prediction for i in range(len(batch))])
        torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
        absent = method(batch.with_present({"text": batch.present["text"] & False})).prediction
        assert torch.isfinite(absent).all()
    torch.manual_seed(0)
    method.train().backward(batch)
    trained = {n: p for n, p in method.named_parameters() if ".media." in n and "word_embeddings" in n}
    assert len(trained) == 1
    assert all(p.grad is not None and bool(p.grad.any()) for p in trained.values())


def test_the_encoder_has_its_own_rate_and_decay_and_its_gradient_is_told(bert: str) -> None:
    method = built("mult", bert)
    rules = Protocol.model_validate(
        {"learning_rate": 1e-3, "media_rate": 0.05, "weight_decay": 0.01, "media_decay": 0.1}
    )
    found = {
        p: (group["lr"], group["weight_decay"])
        for group in build_optimizer(method, rules).param_groups
        for p in group["params"]
    }
    for name, parameter in method.named_parameters():
        assert found[parameter] == pytest.approx((5e-5, 1e-3) if ".media." in name else (1e-3, 1e-2))
    default = Protocol.model_validate({"weight_decay": 0.01})
    assert all(group["weight_decay"] == 0.01 for group in build_optimizer(method, default).param_groups)
    gradients = EncoderGradients(method)
    method.train().backward(few())
    gradients.add()
    with_encoder = gradients.of_epoch()["encoder_gradient/text"]
    for name, parameter in method.named_parameters():
        if ".media." in name:
            parameter.grad = None
    gradients.add()
    assert with_encoder > gradients.of_epoch()["encoder_gradient/text"] > 0


# --- what tokens are for ----------------------------------------------------------------------------------


def pointed_at(count: int, seed: int) -> Batch:
    """Two words, one of them "good": the score is what is heard, 1 or -1, while it is said."""
    draw = torch.Generator().manual_seed(seed)
    place = torch.randint(0, 2, (count,), generator=draw)
    heard = torch.randint(0, 2, (count, 2), generator=draw) * 2.0 - 1
    audio = torch.zeros(count, 4, 2)
    audio[:, 1:3, 0], audio[..., 1] = heard, 1  # [CLS], two words, [SEP]
    texts = ["film good" if second else "good film" for second in place.tolist()]
    return batch_of(texts, audio, heard[torch.arange(count), place])


def error(encoder: str, steps: int) -> float:
    """The mean absolute error on unseen samples of a network that is trained with the encoder."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"steps": 4, "text_width": 16, "heads": 2, "text_layers": 1}
    net = MAGBERT(MAGBERTParams(dropout=0.0, shift_dropout=0.0, **sizes), spec_of(encoder, steps))
    planted.train(net, pointed_at(192, 1), epochs=8, lr=5e-3, size=32, last=0.1)
    test = pointed_at(128, 5)
    with torch.no_grad():
        return (net(test).prediction - test.target).abs().mean().item()


def test_a_token_points_to_what_is_heard_with_it_and_one_embedding_of_the_text_does_not(bert: str) -> None:
    assert error(bert, 4) < 0.15
    assert error(f"{bert},pool=mean", 1) > 0.35  # the mean of what is heard leaves 0.5
