"""``lmm``: how a language model is read out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from mmbench.benchmark.core.protocol import Protocol
from mmbench.benchmark.train.optimizer import build_optimizer
from mmbench.benchmark.train.weights import load_weights, save_weights
from mmbench.corruptions.words import encode_words
from mmbench.datasets.batch import Batch, Spec
from mmbench.datasets.dataset import DataError
from mmbench.methods.language.lmm import LMM
from mmbench.methods.shared.language_parts import readout_head

from .tiny_models import save_llama


def planted(count: int, seed: int) -> Batch:
    """Eight words, whose score is the number of the good minus that of the bad ones, -2 to 2."""
    draw = torch.Generator().manual_seed(seed)
    scores = torch.randint(-2, 3, (count,), generator=draw)
    texts = []
    for score in scores.tolist():
        pairs = int(torch.randint(0, (8 - abs(score)) // 2 + 1, (1,), generator=draw))
        words = ["good"] * (pairs + max(score, 0)) + ["bad"] * (pairs + max(-score, 0))
        words += ["film"] * (8 - len(words))
        texts.append(" ".join(words[place] for place in torch.randperm(8, generator=draw).tolist()))
    return spoken(texts, scores.float())


def spoken(texts: list[str], target: torch.Tensor) -> Batch:
    """Samples of text alone.

    Args:
        texts: of each; empty where it has none.
        target: of each.
    """
    words = encode_words(texts)
    rows = torch.arange(len(texts))
    return Batch(
        {"text": words},
        {"text": words[..., 0] != 0},
        {"text": torch.ones(len(texts), dtype=torch.bool)},
        target,
        torch.zeros_like(rows),
        rows,
    )


def spec_of(batch: Batch, low: float = -3.0, high: float = 3.0) -> Spec:
    """What is said of a training split of scores.

    Args:
        batch: the split.
        low, high: the range of the scores.
    """
    moments = float(batch.target.mean()), float(batch.target.std(correction=0))
    return Spec(
        {"text": 4}, "regression", label_range=(low, high), train_size=len(batch), label_moments=moments,
        media={"text": "text"},
    )  # fmt: skip


TRAIN, TEST = planted(256, 1), planted(128, 2)
CLASSES = Spec({"text": 4}, "classification", classes=3, media={"text": "text"}, class_counts=(1, 1, 1))
TEXTS = ["good film", "bad", "", "great great fine good poor sad film bad good"]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_llama(tmp_path_factory.mktemp("llama")))


def network(model: str, spec: Spec, seed: int = 0, **params: Any) -> LMM:
    torch.manual_seed(seed)
    small = {"question": "sentiment ?", "rank": 8, "lora_dropout": 0.0, "dropout": 0.0}
    return LMM(LMM.Params(model=model, **{**small, **params}), spec)


def fit(method: LMM, batch: Batch, epochs: int) -> LMM:
    optimizer = torch.optim.Adam([one for one in method.parameters() if one.requires_grad], lr=5e-3)
    for epoch in range(epochs):
        optimizer.param_groups[0]["lr"] = 5e-3 * (1 - epoch / epochs)
        method.train()
        for first in range(0, len(batch), 32):
            optimizer.zero_grad()
            method.backward(batch.take(slice(first, first + 32)))
            optimizer.step()
    return method.eval()


@torch.no_grad()
def said(method: LMM, batch: Batch) -> torch.Tensor:
    method.eval()
    return method(batch).prediction


@pytest.fixture(scope="module")
def errors(llama: str) -> dict[str, Any]:
    """Readout -> mean absolute error on planted words after the same training, and what was predicted."""
    found = {}
    for name, params in {
        "discriminative": {},
        "generative": {"readout": "generative"},
        "zero_shot": {"readout": "zero_shot"},
    }.items():
        method = network(llama, spec_of(TRAIN), **params)
        if name != "zero_shot":
            fit(method, TRAIN, 15)
        if name == "generative":  # trained alike, read otherwise
            read = network(llama, spec_of(TRAIN), readout="expected")
            load_weights(read, save_weights(method))
            found["expected"] = said(read, TEST)
        found[name] = said(method, TEST)
    return {name: (float((score - TEST.target).abs().mean()), score) for name, score in found.items()}


def test_the_hidden_state_tells_the_planted_words(errors: dict[str, Any]):
    constant = float((TEST.target - TRAIN.target.median()).abs().mean())
    assert errors["discriminative"][0] < 0.4 < constant / 2
    assert errors["zero_shot"][0] > constant - 0.1  # nothing but training tells them


def test_the_written_answer_tells_them_too_on_its_grid_alone(errors: dict[str, Any]):
    error, score = errors["generative"]
    assert error < 0.8
    assert set(score.tolist()) <= {-2.0, -1.0, 0.0, 1.0, 2.0}
    assert len(set(errors["discriminative"][1].tolist())) > 30


def test_the_expected_answer_lies_between_those_that_are_written(errors: dict[str, Any]):
    error, score = errors["expected"]
    assert error < 0.8
    assert len(set(score.tolist())) > 30
    assert bool((score.abs() < 3).all())


@pytest.mark.parametrize("readout", ["discriminative", "expected"])
@pytest.mark.parametrize("padding", ["left", "right"])
def test_a_sample_is_read_alike_alone_and_padded(llama: str, readout: str, padding: str):
    batch = spoken(TEXTS, torch.zeros(4))
    method = network(llama, spec_of(TRAIN), readout=readout, padding=padding)
    whole = said(method, batch)
    alone = torch.cat([said(method, batch.take(slice(row, row + 1))) for row in range(4)])
    torch.testing.assert_close(whole, alone, atol=1e-4, rtol=0)
    assert len(set(whole.tolist())) == 4


@pytest.mark.parametrize("pool", ["last", "mean"])
@pytest.mark.parametrize("layer", [0, 1, -1])
def test_hidden_states_are_those_of_the_library(llama: str, pool: str, layer: int):
    method = network(llama, spec_of(TRAIN), lora=False, pool=pool, layer=layer, padding="right")
    batch = spoken(TEXTS[:1], torch.zeros(1))
    rows, _ = method._prompts(batch)
    read = method.base(input_ids=torch.tensor(rows), output_hidden_states=True).hidden_states[layer][0]
    expected = read[-1] if pool == "last" else read.mean(dim=0)
    with torch.no_grad():
        found = method(batch).fused
    assert found is not None
    torch.testing.assert_close(found[0], expected, atol=1e-5, rtol=1e-4)


def test_both_sides_of_padding_give_the_same(llama: str):
    batch = spoken(TEXTS, torch.zeros(4))
    left, right = (said(network(llama, spec_of(TRAIN), padding=side), batch) for side in ("left", "right"))
    torch.testing.assert_close(left, right, atol=1e-4, rtol=0)


@contextmanager
def grown(method: LMM) -> Iterator[None]:
    """Adapters that change something, as after training."""
    with torch.no_grad():
        for name, one in method.named_parameters():
            if "lora_B" in name:
                one.normal_(0, 0.3)
    yield


def test_only_tokens_of_the_answer_are_in_the_loss(llama: str):
    """The loss is what the library gives with prompt and padding ignored, and its gradient at the logits is 0 there."""
    method = network(llama, spec_of(TRAIN), readout="generative")
    with grown(method):
        batch = spoken(TEXTS, torch.tensor([1.26, -0.04, 3.0, -2.0]))
        found = method.loss(batch)["answer"]
        rows, _ = method._prompts(batch)
        losses = []
        for row, text in zip(rows, ("1.3", "0.0", "3.0", "-2.0"), strict=True):
            answer = method.reading.prompt.answer(text)
            logits = method.base(input_ids=torch.tensor([[*row, *answer]])).logits[0]
            logits.retain_grad()
            told = logits[len(row) - 1 : -1]
            losses.append(torch.nn.functional.cross_entropy(told, torch.tensor(answer)))
            losses[-1].backward(retain_graph=True)
            moved = logits.grad.abs().sum(dim=1) > 0  # type: ignore[union-attr]
            assert moved.nonzero().flatten().tolist() == list(range(len(row) - 1, len(row) + len(answer) - 1))
        torch.testing.assert_close(found, torch.stack(losses).mean(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("padding", ["left", "right"])
def test_all_answers_of_a_prompt_that_is_read_once_are_scored_as_whole_rows_are(llama: str, padding: str):
    method = network(llama, spec_of(TRAIN), readout="expected", padding=padding)
    batch = spoken(TEXTS, torch.zeros(4))
    with grown(method.eval()), torch.no_grad():
        rows, media = method._prompts(batch)
        answers = [method.reading.prompt.answer(text) for text in ("0.5", "-1.0", "good")]
        found = method.reading.backbone.scores_of_all(rows, answers, media)
        for place, answer in enumerate(answers):
            whole, _ = method.reading.backbone.answer_scores(rows, [answer] * 4, media)
            torch.testing.assert_close(found[:, place], whole, atol=1e-4, rtol=1e-4)


def test_labels_that_are_shifted_and_scaled_give_predictions_that_are(llama: str):
    moved = replace(TRAIN, target=TRAIN.target * 5 + 10).take(slice(0, 64))
    plain = TRAIN.take(slice(0, 64))
    one = said(fit(network(llama, spec_of(plain)), plain, 1), TEST)
    other = said(fit(network(llama, spec_of(moved, -5, 25)), moved, 1), TEST)
    torch.testing.assert_close(other, one * 5 + 10, atol=2e-3, rtol=0)


def test_constant_labels_and_labels_beyond_the_range_are_survived(llama: str):
    flat = replace(TRAIN, target=torch.full_like(TRAIN.target, 2.9))
    method = network(llama, spec_of(flat))
    assert bool(torch.isfinite(method.loss(flat.take(slice(0, 4)))["task"]))
    with torch.no_grad():
        method.head[-1].bias.fill_(9.0)  # type: ignore[index, union-attr]
        method.eval()
        output = method(flat.take(slice(0, 4)))
    assert output.prediction.tolist() == [3.0] * 4
    assert output.diagnostics["clipped"].tolist() == [1.0] * 4


def test_what_is_stored_is_small_and_restores_the_predictions(tmp_path: Path):
    folder = save_llama(tmp_path / "wide", hidden=128)
    method = network(str(folder), spec_of(TRAIN), rank=1, width=8)
    with grown(method):
        content = save_weights(method)
        state = sum(one.numel() * one.element_size() for one in method.state_dict().values())
        assert len(content) < 0.05 * state
        other = network(str(folder), spec_of(TRAIN), seed=5, rank=1, width=8)
        assert not torch.equal(said(other, TEST.take(slice(0, 4))), said(method, TEST.take(slice(0, 4))))
        load_weights(other, content)
        assert torch.equal(said(other, TEST.take(slice(0, 4))), said(method, TEST.take(slice(0, 4))))
        assert other.bases() == method.bases()
        (digest,) = method.bases().values()
        assert len(digest) == 64


def test_adapters_and_head_have_their_own_rates(llama: str):
    method = network(llama, spec_of(TRAIN))
    optimizer = build_optimizer(method, Protocol.model_validate({"learning_rate": 1e-3}))
    rates = {one: group["lr"] for group in optimizer.param_groups for one in group["params"]}
    named = dict(method.named_parameters())
    assert {rates[one] for name, one in named.items() if "lora_" in name} == {0.2 * 1e-3}
    assert {rates[one] for name, one in named.items() if name.startswith("head.")} == {1e-3}


def test_adapters_of_a_base_in_bfloat16_learn_by_steps_that_its_rounding_would_lose(llama: str):
    method = network(llama, spec_of(TRAIN), weights="bfloat16")
    assert next(method.base.parameters()).dtype == torch.bfloat16
    adapters = {name: one for name, one in method.named_parameters() if "lora_A" in name}
    before = {name: one.clone() for name, one in adapters.items()}
    method.train().backward(TRAIN.take(slice(0, 2)))
    with torch.no_grad():
        for one in adapters.values():
            one += 1e-3 * one
    assert all((one != before[name]).float().mean() > 0.9 for name, one in adapters.items())


@pytest.mark.parametrize("params", [{"readout": "zero_shot"}, {"readout": "expected", "lora": False}])
def test_without_training_nothing_is_trained_and_nothing_stored(llama: str, params: dict[str, Any]):
    method = network(llama, spec_of(TRAIN), **params)
    assert not any(one.requires_grad for one in method.parameters())
    assert not list(method.kept())
    optimizer = build_optimizer(method, Protocol.model_validate({}))
    before = {name: one.clone() for name, one in method.state_dict().items()}
    assert method.backward(TRAIN.take(slice(0, 4))) == {"answer": torch.zeros(())}
    optimizer.step()
    assert all(torch.equal(one, before[name]) for name, one in method.state_dict().items())


@pytest.mark.parametrize(("order", "count"), [("linear_first", 918_529), ("norm_first", 925_185)])
def test_the_head_has_the_published_size(order: Any, count: int):
    with torch.device("meta"):
        head = readout_head(3584, 256, 1, order, 0.2)
    assert sum(one.numel() for one in head.parameters()) == count


@pytest.mark.parametrize("readout", ["discriminative", "generative", "expected"])
def test_classes_have_logits(llama: str, readout: str):
    method = network(llama, CLASSES, readout=readout, classes="negative/neutral/positive")
    batch = spoken(TEXTS, torch.tensor([2, 0, 1, 2]))
    fitted = fit(method, batch, 15)
    assert said(fitted, batch).argmax(dim=1).tolist() == [2, 0, 1, 2]


@pytest.mark.parametrize(
    ("params", "spec", "reason"),
    [
        ({"readout": "zero_shot", "padding": "right"}, spec_of(TRAIN), "which padding=right fills"),
        ({"layer": 3}, spec_of(TRAIN), "layer=3: should be -1, or 0 to 2 of this model"),
        ({"classes": "bad/good"}, CLASSES, "should name each of the 3 classes once"),
        ({"grid": 1}, spec_of(TRAIN), "grid is at least 2"),
        ({}, replace(spec_of(TRAIN), media={"text": "text", "audio": "waveform"}), "and audio is waveform"),
    ],
)
def test_what_cannot_be_read_is_said(llama: str, params: dict[str, Any], spec: Spec, reason: str):
    with pytest.raises(DataError, match=reason):
        network(llama, spec, **params)
