"""The switches of ``as-published``: each moves the numbers in the way that it states."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from mmbench.benchmark.core.as_published import BUDGETS
from mmbench.benchmark.core.registry import find
from mmbench.datasets.batch import Batch, Spec
from mmbench.methods import NETWORKS
from mmbench.methods.generalisation.cmrf import CMRF
from mmbench.methods.generalisation.gmp import GMP
from mmbench.methods.generalisation.mbcd import MBCD
from mmbench.methods.generalisation.moosa import MOOSA
from mmbench.methods.generalisation.simmmdg import SimMMDG
from mmbench.methods.method import Method
from mmbench.methods.shared.branches import Branches, DeepBranches
from mmbench.methods.shared.networks import Encoders, embedding_width, valid_steps
from torch import Tensor

from . import planted, two_domains

KINDS: dict[str, type[Method]] = {name: find("method", name).load() for name in NETWORKS}
SIZE: dict[str, Any] = {"layers": 1, "width": 16}
THREE = two_domains.spec("text", "audio", "vision")
CLASSES = two_domains.spec("text", "audio", kind="classification")


def build(kind: type[Any], spec: Spec, **switches: Any) -> Any:
    torch.manual_seed(0)
    return kind(kind.Params(**SIZE | switches), spec)


def loss(net: Method, batch: Batch, seed: int = 3) -> dict[str, float]:
    """The terms, with dropout and draws by the seed."""
    torch.manual_seed(seed)
    return {name: float(value.detach()) for name, value in net.loss(batch).items()}


def gradients(net: Method, batch: Batch, seed: int = 3) -> dict[str, Tensor]:
    net.zero_grad()
    torch.manual_seed(seed)
    net.backward(batch)
    return {n: p.grad.clone() for n, p in net.named_parameters() if p.grad is not None}


def switches() -> Iterator[Any]:
    """(method, family, parameter, value) of all that differs as published."""
    for name, kind in KINDS.items():
        for family, values in {"any": kind.as_published, **vars(kind).get("as_published_in", {})}.items():
            for parameter, value in values.items():
                yield pytest.param(name, family, parameter, value, id=f"{name}-{family}-{parameter}")


@pytest.mark.parametrize(("name", "family", "parameter", "value"), list(switches()))
def test_a_switch_is_off_by_default_and_says_its_source(name: str, family: str, parameter: str, value: Any):
    kind = KINDS[name]
    field = {item.name: item for item in fields(kind.Params)}[parameter]
    others = field.default if family in {"any", *BUDGETS} else kind.as_published.get(parameter, field.default)
    assert others != value
    assert type(field.default) is type(value)
    assert field.metadata["source"]


@pytest.mark.parametrize("name", KINDS)
def test_rules_are_fields_of_the_protocol_and_differ_from_the_family_s(name: str):
    own = vars(KINDS[name]).get("rules_as_published", {})
    for family, rules in own.items():  # a dataset's differ from those of sentiment
        others = BUDGETS[family] if family in BUDGETS else {**BUDGETS["sentiment"], **own["sentiment"]}
        assert all(others.get(field) != value for field, value in rules.items())


# --- the whole network in place of the branch -----------------------------------------------------------------


def reached(value: Tensor, net: Any) -> set[str]:
    """The modalities whose encoders a value depends on."""
    encoders = next(part for part in net.modules() if isinstance(part, Encoders))
    names = list(encoders.names)
    found = set()
    # Not the plain sum: that of layer-normed values is the same for all.
    weights = torch.randn(value.shape, generator=torch.Generator().manual_seed(0))
    total = (weights * value).sum()
    for name, part in zip(names, encoders.parts, strict=True):
        got = torch.autograd.grad(total, list(part.parameters()), retain_graph=True, allow_unused=True)
        if any(g is not None and g.abs().sum() > 1e-4 for g in got):
            found.add(name)
    return found


@pytest.mark.parametrize("name", KINDS)
def test_in_fair_what_is_said_of_a_modality_is_its_own_branch_s(name: str):
    classes = "regression" not in KINDS[name].kinds
    spec = two_domains.spec("text", "audio", "vision", kind="classification") if classes else THREE
    net = build(KINDS[name], spec).eval()
    output = net(planted.linked(spec, 8, 1))
    for said in (output.embeddings, output.unimodal):
        for m, value in said.items():
            assert reached(value, net) == {m}


WHOLE = [name for name, kind in KINDS.items() if "whole_network" in {f.name for f in fields(kind.Params)}]


def test_every_published_method_but_erm_has_the_switch_and_has_it_on_in_sentiment_alone():
    assert WHOLE == ["rna", "simmmdg", "moosa", "cmrf", "nel", "jat", "mbcd", "gmp"]
    for name in WHOLE:
        values = vars(KINDS[name])["as_published_in"]
        assert [family for family, own in values.items() if own.get("whole_network")] == ["sentiment"]


@pytest.mark.parametrize("name", WHOLE)
def test_as_published_it_is_the_network_with_the_other_inputs_zeroed(name: str):
    spec = replace(THREE, protocol="as-published")  # padding is read: zeros are read as zeros
    net, batch = build(KINDS[name], spec, whole_network=True).eval(), planted.linked(spec, 8, 1)
    output = net(batch)
    encode = (
        net.branch
        if isinstance(net, Branches)
        else lambda m, b: net.encoders(m, b.features[m], valid_steps(b, m))
    )
    for m in spec.modalities:
        zeroed = {n: x if n == m else torch.zeros_like(x) for n, x in batch.features.items()}
        alone = replace(batch, features=zeroed)
        expected = torch.cat([encode(n, alone) for n in spec.modalities], dim=-1)
        assert torch.allclose(output.embeddings[m], expected, atol=1e-5)
        assert reached(output.embeddings[m], net) == set(spec.modalities)
    if isinstance(net, DeepBranches):  # no joint pass: the prediction is from the three
        assert torch.equal(output.fused, torch.cat(list(output.embeddings.values()), dim=-1))
    else:
        plain = build(KINDS[name], spec).eval()
        plain.load_state_dict(
            {
                k: v
                for k, v in net.state_dict().items()
                if k in plain.state_dict() and v.shape == plain.state_dict()[k].shape
            },
            strict=False,
        )
        assert torch.equal(output.prediction, plain(batch).prediction)


@pytest.mark.parametrize("name", WHOLE)
def test_another_modality_s_features_are_not_in_it(name: str):
    net, batch = build(KINDS[name], THREE, whole_network=True).eval(), planted.linked(THREE, 8, 1)
    other = planted.corrupted(batch, "audio", torch.ones(8, dtype=torch.bool))
    first, second = net(batch).embeddings, net(other).embeddings
    assert torch.equal(first["text"], second["text"])
    assert not torch.allclose(first["audio"], second["audio"])
    absent = net(batch.with_present({"audio": torch.zeros(8, dtype=torch.bool)})).embeddings
    assert torch.equal(absent["text"], first["text"])
    assert not absent["audio"].any()


def test_gmp_s_gradients_of_a_modality_are_then_over_the_whole_network():
    """Text's head alone is trained: as published its gradient goes into every encoder, else into text's."""
    spec = planted.spec("text", "audio", "vision")
    batch = planted.linked(spec, 32, 1)
    for whole in (False, True):
        net = build(GMP, spec, whole_network=whole, alpha_k=0.0).eval()
        with_heads = gradients(net, batch)
        net.params = replace(net.params, cls_loss=0.0)
        without = gradients(net, batch)
        others = [n for n in without if n.startswith("encoders.parts.1.")]
        text = torch.autograd.grad(
            3.0 * net.unimodal_losses(net(batch), batch)[0],
            list(net.encoders.parts[1].parameters()),
            allow_unused=True,
        )
        assert any(g is not None and bool(g.any()) for g in text) == whole
        own = torch.autograd.grad(
            3.0 * net.unimodal_losses(net(batch), batch).sum(), list(net.encoders.parts[1].parameters())
        )
        for n, g in zip(others, own, strict=True):
            assert torch.allclose(with_heads[n] - without[n], g, atol=1e-5), n


# --- encoders and heads ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [SimMMDG, MOOSA, CMRF])
def test_further_encoders_make_embeddings_of_their_width(kind: type[Method]):
    batch = planted.linked(CLASSES, 8, 1)
    net = build(kind, CLASSES, extra_width=24)
    output = net(batch)
    assert {x.shape for x in output.embeddings.values()} == {(8, 24)}
    own = [p.numel() for p in net.extra.parameters()]
    assert own == 2 * [16 * 24, 24, 24 * 24, 24]
    assert sum(p.numel() for p in net.head.parameters()) == 48 * 24 + 24 + 24 * 3 + 3
    assert all(gradients(net, batch)[f"extra.{n}"].any() for n, _ in net.extra.named_parameters())


@pytest.mark.parametrize("kind", [SimMMDG, MOOSA, CMRF])
def test_bounded_scores_stay_within_the_labels(kind: type[Method]):
    batch = planted.linked(THREE, 8, 1)
    for bounded in (False, True):
        net = (
            build(kind, THREE, bounded=bounded, evaluated="teacher")
            if kind is CMRF
            else build(kind, THREE, bounded=bounded)
        )
        with torch.no_grad():
            for head in [net.head, *([net.teacher["head"]] if kind is CMRF else [])]:
                last = list(head.parameters())[-2]
                last.mul_(1e4)
        largest = float(net.eval()(batch).prediction.abs().max().detach())
        assert (largest <= 3) == bounded


@pytest.mark.parametrize(("kind", "hidden"), [(GMP, 256), (MBCD, 128)])
def test_heads_of_motor_faults_are_mlps(kind: type[Method], hidden: int):
    motor = Spec(
        {"vibration": 1, "acoustic": 1},
        "classification",
        6,
        encoders=dict.fromkeys(("vibration", "acoustic"), "cnn1d"),
    )
    assert vars(kind)["as_published_in"]["hust"]["mlp_head"] == hidden
    net = kind(kind.Params(mlp_head=hidden), motor)
    assert sum(p.numel() for p in net.head.parameters()) == 256 * hidden + hidden + hidden * 6 + 6  # type: ignore[union-attr]
    plain = kind(kind.Params(), motor)
    assert sum(p.numel() for p in plain.head.parameters()) == 256 * 6 + 6  # type: ignore[union-attr]
    assert embedding_width(motor) == 128
    if kind is MBCD:
        own = sum(p.numel() for p in net.heads.parameters())  # type: ignore[union-attr]
        assert own == 2 * (128 * hidden + hidden + hidden * 6 + 6)


@pytest.mark.parametrize("kind", [SimMMDG, MOOSA])
def test_raw_halves_have_no_bound(kind: type[Method]):
    """L_dist is minus the squared distance of the halves: ten times the embeddings are a hundred times that."""
    batch = planted.linked(THREE, 16, 1)
    net = build(kind, THREE, raw_halves=True).eval()
    s = net.params
    output = net(batch)
    e = torch.stack(list(output.embeddings.values()), dim=1)
    known = torch.ones(16, 3, dtype=torch.bool)
    classes = torch.zeros(16, dtype=torch.long)
    apart = net.halves.terms(e, e, known, classes, 0.1)[2]
    by_hand = -(e[..., :8] - e[..., 8:]).square().mean()
    assert apart.item() == pytest.approx(by_hand.item(), rel=1e-5)
    assert loss(net, batch)["apart"] == pytest.approx(s.weight_apart * by_hand.item(), rel=1e-4)
    assert net.halves.terms(10 * e, 10 * e, known, classes, 0.1)[2].item() == pytest.approx(
        100 * apart.item(), rel=1e-4
    )
    fair = build(kind, THREE).eval().halves.terms(10 * e, 10 * e, known, classes, 0.1)[2]
    assert -4 / 8 <= fair.item() <= 0


# --- everything together --------------------------------------------------------------------------------------


def published(name: str, family: str) -> dict[str, Any]:
    kind = KINDS[name]
    return {**kind.as_published, **vars(kind).get("as_published_in", {}).get(family, {})}


SPECS = {
    "sentiment": replace(THREE, protocol="as-published"),
    "hust": replace(
        two_domains.spec("text", "audio", kind="classification"),
        modalities={"vibration": 1, "acoustic": 1},
        encoders={"vibration": "cnn1d", "acoustic": "cnn1d"},
        protocol="as-published",
    ),
    "action": replace(two_domains.spec("text", "audio", kind="classification"), protocol="as-published"),
}


def families(name: str) -> list[str]:
    """Those that a method has a loss for; of motor faults where it has settings of its own for them: that every method
    takes waveforms is seen in shared/test_waveform.py."""
    kind = KINDS[name]
    known = [family for family in SPECS if SPECS[family].kind in kind.kinds]
    return [family for family in known if family != "hust" or family in vars(kind).get("as_published_in", {})]


@pytest.mark.parametrize(("name", "family"), [(name, family) for name in KINDS for family in families(name)])
def test_a_method_as_published_trains_in_any_pattern_and_alone(name: str, family: str):
    spec, kind = SPECS[family], KINDS[name]
    small = {"layers": 1, "start": 0} if name == "cmrf" else {"layers": 1}
    torch.manual_seed(0)
    net = kind(kind.Params(**published(name, family) | small), spec)
    rows = 8  # as many as there are patterns, and all present
    batch = planted.all_patterns(planted.noise(spec, rows, 64 if family == "hust" else 3), spec)
    batch = replace(batch, domain=torch.arange(rows) % 2)
    optimiser = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=1e-3, foreach=True)
    for stage in range(len(kind.stages)):
        net.begin_stage(stage)
        for part in (batch.take(slice(5, 6)), batch):
            net.train()
            optimiser.zero_grad()
            net.backward(part)
            optimiser.step()
            net.after_step()
    net.after_epoch(lambda: 1.0)
    net.load_state_dict(net.evaluated() or net.state_dict())
    assert all(value.isfinite().all() for value in net.state_dict().values())
    net.eval()
    whole = net(batch).prediction
    alone = torch.cat([net(batch.take(slice(row, row + 1))).prediction for row in range(rows)])
    assert torch.allclose(whole, alone, atol=1e-4)
    if kind.separable():
        embeddings = {m: net.encode(m, batch) for m in spec.modalities}
        less = batch.with_present({next(iter(spec.modalities)): torch.zeros(rows, dtype=torch.bool)})
        assert torch.allclose(net.fuse(embeddings, less).prediction, net(less).prediction, atol=1e-4)
