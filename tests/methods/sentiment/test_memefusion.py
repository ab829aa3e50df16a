"""MEME-Fusion: its formulas by hand, absent modalities, the weights of its loss, and what its parts are worth."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import pytest
import torch
from mmbench.datasets.batch import Batch, Spec
from mmbench.datasets.class_labels import balanced_weights
from mmbench.methods.controls.late_concat import LateConcat, LateConcatParams
from mmbench.methods.method import Method
from mmbench.methods.sentiment.memefusion import MemeFusion, MemeFusionParams, products
from torch import Tensor
from torch.nn import functional as F

from .. import planted
from ..missing.stages import learns_from_any_pattern
from .memes import SPEC, memes


def build(*modalities: str, kind: str = "classification", **params) -> MemeFusion:
    sizes: dict[str, Any] = {"layers": 1, "width": 8} | params
    return MemeFusion(MemeFusionParams(**sizes), planted.spec(*modalities, kind=kind)).eval()


@pytest.mark.parametrize(("count", "kind"), [(1, "regression"), (2, "classification"), (4, "classification")])
@pytest.mark.parametrize("params", [{}, *MemeFusion.controls.values(), MemeFusion.as_published], ids=str)
def test_every_control_learns_from_any_pattern(count: int, kind: str, params: dict):
    learns_from_any_pattern(build(*list(planted.SIZES)[:count], kind=kind, **params))


def by_hand(net: MemeFusion, tokens: Tensor, seen: list[int]) -> Tensor:
    """What the head reads of one sample, [features], from v [modality, width] of the modalities that are there."""
    width, heads = tokens.shape[1], net.params.heads
    s = tokens[seen] + net.codes[seen]
    query, key, value = (part.unflatten(-1, (heads, -1)) for part in net.ask(s).chunk(3, dim=-1))
    heard = [
        ((query[:, h] @ key[:, h].T) / (width / heads) ** 0.5).softmax(-1) @ value[:, h] for h in range(heads)
    ]
    attended = net.last_norm(s + net.answer(torch.cat(heard, dim=-1)))
    read = torch.stack([tokens[m] if m in seen else net.absent[m] for m in range(len(tokens))])
    first, _, second = net.gate
    gates = second(F.gelu(first(read.flatten())))[seen].softmax(0)
    pairs = [tokens[i] * tokens[j] for i in seen for j in seen if i < j]
    product = sum(pairs) / len(pairs) if pairs else torch.zeros(width)
    return torch.cat([gates @ attended, torch.as_tensor(product)])


@pytest.mark.parametrize("seen", [[0, 1, 2, 3], [0, 2], [3]])
def test_the_prediction_is_its_formula(seen: list[int]):
    net = build(*planted.SIZES)
    torch.nn.init.normal_(net.codes)
    batch = planted.noise(net.spec, 1)
    absent = {name: torch.zeros(1, dtype=torch.bool) for i, name in enumerate(planted.SIZES) if i not in seen}
    batch = batch.with_present(absent)
    tokens = torch.stack(list(net.encode_all(batch).values()), dim=1)
    fused = by_hand(net, F.layer_norm(tokens[0], (8,)), seen)
    said = net(batch)
    assert said.fused is not None
    torch.testing.assert_close(said.fused[0], fused)
    torch.testing.assert_close(said.prediction[0], net.head(fused))


@pytest.mark.parametrize("gate", ["learned", "uniform"])
def test_weights_are_shares_of_what_is_there(gate: str):
    net = build(*planted.SIZES, gate=gate)
    batch = planted.all_patterns(planted.noise(net.spec, 16), net.spec)
    gates = torch.stack([net(batch).diagnostics[f"gate/{name}"] for name in net.names], dim=1)
    there = torch.stack([batch.present[name] for name in net.names], dim=1)
    assert (gates[~there] == 0).all()  # exactly
    assert (gates[there] > 0).all()
    assert (gates[there.sum(1) == 1][there[there.sum(1) == 1]] == 1).all()
    torch.testing.assert_close(gates.sum(1), there.any(1).float())


def test_tokens_change_places_with_their_codes():
    net = build("text", "audio", "vision")
    torch.nn.init.normal_(net.codes)
    tokens, known = torch.randn(5, 3, 8), torch.rand(5, 3) > 0.3
    found = net.attended(tokens, known)
    net.codes.data = net.codes.data.flip(0)
    torch.testing.assert_close(net.attended(tokens.flip(1), known.flip(1)).flip(1), found)


def test_the_product_is_the_mean_over_pairs_that_are_there():
    a, b, c = tokens = torch.randn(3, 8)
    known = torch.tensor([[True, True, True], [True, False, True], [False, True, False]])
    rows = tokens.expand(3, 3, 8).where(known.unsqueeze(-1), 0)
    expected = torch.stack([(a * b + a * c + b * c) / 3, a * c, torch.zeros(8)])
    torch.testing.assert_close(products(rows, known), expected)


def test_the_size_by_our_reading_of_the_paper():
    def size(hybrid: bool) -> int:
        spec = Spec({"image": 512, "text": 1024}, "classification", classes=2, protocol="as-published")
        net = MemeFusion(MemeFusionParams(width=512, projection="linear", hybrid=hybrid), spec)
        return sum(parameter.numel() for parameter in net.parameters())

    assert size(hybrid=False) == pytest.approx(2.1e6, rel=0.01)
    assert size(hybrid=True) - size(hybrid=False) == 512 * 256  # the head reads a product, too


@pytest.mark.parametrize(
    "params", [{"heads": 3}, {"heads": 16}, {"smoothing": 1.0}, {"focal": -1.0}], ids=str
)
def test_parameters_that_cannot_be_are_refused(params: dict):
    with pytest.raises(ValueError, match="should"):
        build(**params)


# --- the loss ---------------------------------------------------------------------------------------------


def losses(spec: Spec, **params) -> tuple[float, Tensor, Batch]:
    """The loss, the predicted probabilities [batch, classes] and the samples of a network without dropout."""
    torch.manual_seed(0)
    net = MemeFusion(MemeFusionParams(layers=1, width=8, **params), spec).eval()
    batch = planted.noise(spec, 12)
    with torch.no_grad():
        return float(net.loss(batch)["task"]), net(batch).prediction.softmax(-1), batch


@pytest.mark.parametrize("counts", [(10, 20, 30), (10, 50, 0)])
def test_the_loss_is_weighed_by_class_and_focus(counts: tuple[int, ...]):
    spec = replace(planted.spec("text", "audio", kind="classification"), class_counts=counts)
    weights = torch.tensor([60 / (sum(map(bool, counts)) * n) if n else 0.0 for n in counts])
    plain, p, batch = losses(spec, class_weights=False)
    true = p[torch.arange(12), batch.target]
    assert plain == pytest.approx(float(-true.log().mean()), rel=1e-5)
    assert losses(spec)[0] == pytest.approx(float((-true.log() * weights[batch.target]).mean()), rel=1e-5)
    focal = (-true.log() * (1 - true) ** 2 * weights[batch.target]).mean()
    assert losses(spec, focal=2.0)[0] == pytest.approx(float(focal), rel=1e-5)
    smooth = -(0.9 * true.log() + 0.1 * p.log().mean(1)) * weights[batch.target]
    assert losses(spec, smoothing=0.1)[0] == pytest.approx(float(smooth.mean()), rel=1e-5)


def test_the_weights_of_the_protocol_go_before_its_own():
    spec = replace(planted.spec("text", "audio", kind="classification"), class_counts=(10, 20, 30))
    given = replace(spec, class_weights=(0.0, 0.0, 3.0))
    _, p, batch = losses(given)
    true = p[torch.arange(12), batch.target]
    expected = float((-true.log() * torch.tensor((0.0, 0.0, 3.0))[batch.target]).mean())
    assert losses(given)[0] == losses(given, class_weights=False)[0] == pytest.approx(expected, rel=1e-5)
    own = replace(spec, class_weights=balanced_weights((10, 20, 30)))
    assert losses(own)[0] == losses(spec)[0]


# --- what it is for ---------------------------------------------------------------------------------------

TEST, STYLE = memes(2000, 1000)


def fitted(net: Method, readable: bool = True, seed: int = 0) -> Method:
    return planted.train(net, memes(400, seed, readable)[0], 15, last=0.05)


@functools.cache
def trained(**params) -> MemeFusion:
    torch.manual_seed(0)
    net = MemeFusion(MemeFusionParams(**params), SPEC)
    assert fitted(net) is net
    return net


def accuracy(net: Method, batch: Batch = TEST) -> float:
    with torch.no_grad():
        return float((net(batch).prediction.argmax(1) == batch.target).float().mean())


def test_it_reads_what_only_image_and_text_together_say():
    torch.manual_seed(0)
    control = fitted(LateConcat(LateConcatParams(), SPEC))
    assert accuracy(control) < 0.8
    assert accuracy(trained()) > 0.88


def test_the_gate_follows_the_modality_that_tells_but_is_not_needed():
    with torch.no_grad():
        text = trained()(TEST).diagnostics["gate/text"]
    assert text[STYLE == 1].mean() > text[STYLE == 2].mean() + 0.2
    # a hidden layer on the tokens side by side learns the same
    assert abs(accuracy(trained(gate="uniform")) - accuracy(trained())) < 0.03
    assert abs(accuracy(trained(**MemeFusion.controls["concatenation"])) - accuracy(trained())) < 0.03


def test_without_its_text_a_meme_is_judged_by_its_image_alone():
    hidden = TEST.with_present({"text": torch.zeros(len(TEST), dtype=torch.bool)})
    said = trained()(hidden)
    assert (said.diagnostics["gate/image"] == 1).all()
    assert (said.diagnostics["gate/text"] == 0).all()
    features = {**hidden.features, "text": torch.full_like(hidden.features["text"], torch.nan)}
    assert torch.equal(trained()(replace(hidden, features=features)).prediction, said.prediction)


def test_a_text_that_the_encoder_cannot_read_does_no_harm():
    unreadable = memes(2000, 1000, readable=False)[0]
    torch.manual_seed(0)
    both = fitted(MemeFusion(MemeFusionParams(), SPEC), readable=False)
    only = replace(SPEC, modalities={"image": SPEC.modalities["image"]})
    image = fitted(MemeFusion(MemeFusionParams(), only))
    assert accuracy(both, unreadable) > accuracy(image) - 0.03
