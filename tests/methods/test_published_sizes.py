"""Heads and projections under ``as-published`` have the sizes that were counted in the released networks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from mmbench.benchmark.core.registry import find
from mmbench.datasets.batch import Spec
from torch import nn

#: The widths of MMDG-Bench's sentiment features; two sources.
SENTIMENT = Spec(
    {"text": 768, "audio": 25, "vision": 171},
    "regression",
    domains=2,
    label_range=(-3.0, 3.0),
    protocol="as-published",
)
HUST = Spec(
    {"vibration": 1, "acoustic": 1},
    "classification",
    6,
    domains=3,
    protocol="as-published",
    encoders=dict.fromkeys(("vibration", "acoustic"), "cnn1d"),
)


def published(name: str, family: str) -> Any:
    """The network of a method under ``as-published``, with one layer in each transformer."""
    kind: Any = find("method", name).load()
    values = {**kind.as_published, **vars(kind).get("as_published_in", {}).get(family, {})}
    spec = {"sentiment": SENTIMENT, "hust": HUST}[family]
    return kind(kind.Params(**values, layers=1), spec)


def size(part: nn.Module) -> int:
    return sum(p.numel() for p in part.parameters())


def dropouts(part: nn.Module) -> set[float]:
    return {m.p for m in part.modules() if isinstance(m, nn.Dropout)}


def sizes(parts: Iterable[nn.Module]) -> set[int]:
    return {size(part) for part in parts}


@pytest.mark.parametrize(
    ("method", "family", "part", "each"),
    [
        ("moosa", "sentiment", "heads", 66_049),
        ("cmrf", "sentiment", "heads", 66_049),
        ("moosa", "sentiment", "side_heads", 65_792 + 771),
        ("moosa", "hust", "heads", 67_334),
        ("cmrf", "hust", "heads", 67_334),
        ("cmrf", "sentiment", "projections", 131_584),
        ("cmrf", "hust", "projections", 149_056),
        ("nel", "hust", "projections", 116_288),
        ("jat", "sentiment", "heads", 15_617),
        ("gmp", "sentiment", "heads", 15_617),
        ("mbcd", "sentiment", "heads", 15_617),
        ("jat", "sentiment", "projectors", 120 * 128 + 128),
    ],
)
def test_a_modality_s_own_part_has_the_published_size(method: str, family: str, part: str, each: int):
    parts = getattr(published(method, family), part).parts
    assert len(parts) == {"sentiment": 3, "hust": 2}[family]
    assert sizes(parts) == {each}


@pytest.mark.parametrize("method", ["simmmdg", "moosa", "cmrf"])
def test_the_fused_head_is_an_mlp_with_dropout_in_hust_alone(method: str):
    for family, dropout, last in (("sentiment", 0.0, 257), ("hust", 0.5, 1_542)):
        net = published(method, family)
        inputs = 256 * len(net.names)
        assert size(net.head) == inputs * 256 + 256 + last
        assert dropouts(net.head) == {dropout}
    assert dropouts(published("moosa", "sentiment").heads) == {0.0}
    assert size(published("moosa", "sentiment").side_head) == 768 * 256 + 256 + 771


@pytest.mark.parametrize(("method", "family"), [("simmmdg", "hust"), ("moosa", "hust")])
def test_projections_for_the_contrast_are_64_wide_with_batch_norms(method: str, family: str):
    parts = published(method, family).halves.projections.parts
    assert sizes(parts) == {128 * 256 + 256 + 256 * 256 + 256 + 2 * 512 + 256 * 64 + 64}
    assert all(sum(isinstance(m, nn.BatchNorm1d) for m in part.modules()) == 2 for part in parts)


def test_adversaries_and_the_head_for_what_is_dropped_have_the_published_sizes():
    assert size(published("jat", "sentiment").modality_of_embedding) == 17_155
    assert size(published("jat", "hust").modality_of_embedding) == 17_155 - 129
    assert size(published("gmp", "sentiment").discriminator) == 17_155 - 129
    assert size(published("gmp", "hust").discriminator) == 17_155
    aside = published("mbcd", "sentiment").aside
    assert size(aside) == 46_337
    assert dropouts(aside) == {0.3}
    for method in ("jat", "gmp", "mbcd"):
        assert dropouts(published(method, "sentiment").heads) == {0.2}
