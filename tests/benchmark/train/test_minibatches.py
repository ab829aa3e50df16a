"""Minibatches that hold every source domain in equal parts."""

from __future__ import annotations

import math
from itertools import islice

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmbench.benchmark.core.protocol import Protocol
from mmbench.benchmark.core.registry import find
from mmbench.benchmark.train.minibatches import BalancedMinibatches, Minibatches, training_batches
from mmbench.datasets.batch import Batch
from mmbench.methods import METHODS
from mmbench.methods.method import Method


def samples(*sizes: int) -> Batch:
    """Samples of domains of these sizes, in no order; the feature and the id of a sample is its row."""
    domain = torch.cat([torch.full((size,), index) for index, size in enumerate(sizes)])
    domain = domain[torch.randperm(len(domain), generator=torch.Generator().manual_seed(0))]
    rows = torch.arange(len(domain))
    flags = torch.ones(len(domain), 1, dtype=torch.bool)
    return Batch(
        features={"text": rows.float().view(-1, 1, 1)},
        mask={"text": flags},
        present={"text": flags[:, 0]},
        target=rows.float(),
        domain=domain,
        sample_id=rows,
    )


@given(
    sizes=st.lists(st.integers(1, 60), min_size=2, max_size=5),
    size=st.integers(1, 40),
    steps=st.integers(0, 7),
    drop_last=st.booleans(),
)
def test_every_batch_holds_every_domain_in_equal_parts(sizes, size, steps, drop_last):
    batch = samples(*sizes)
    balanced = BalancedMinibatches(batch, size, 3, steps, drop_last)
    share = max(size // len(sizes), 1)
    for _ in range(2):
        parts = list(balanced)
        # an epoch is as long as without balance
        assert len(parts) == len(balanced) == len(Minibatches(batch, size, 3, steps, drop_last))
        for part in parts:
            assert part.domain.bincount(minlength=len(sizes)).tolist() == [share] * len(sizes)
            assert torch.equal(part.target, part.features["text"].flatten())


def test_one_small_and_one_large_domain():
    """Sizes 1:20, as MOSI's beside MOSEI's: half of each batch is of the small domain."""
    batch = samples(80, 1600)
    plain = torch.stack([part.domain.bincount(minlength=2) for part in Minibatches(batch, 32, 1)])
    assert plain[:-1, 0].float().mean() < 2
    balanced = BalancedMinibatches(batch, 32, 1)
    assert len(balanced) == math.ceil(1680 / 32) == 53
    drawn = [part.sample_id for _ in range(2) for part in balanced]
    assert all((batch.domain[rows] == 0).sum() == 16 for rows in drawn)
    seen = torch.cat(drawn).bincount(minlength=1680)
    # Two epochs draw 106 * 16 samples of each domain: whole passes over it, and a part of one.
    for domain, size in ((0, 80), (1, 1600)):
        counts = seen[batch.domain == domain]
        passes, rest = divmod(106 * 16, size)
        assert counts.min() == passes
        assert (counts == passes + 1).sum() == rest
        assert counts.sum() == 106 * 16


def test_the_order_depends_on_the_seed_alone_and_every_pass_has_its_own():
    batch = samples(8, 24)
    first, again, other = (
        torch.stack([part.sample_id for part in BalancedMinibatches(batch, 16, seed, steps=6)])
        for seed in (3, 3, 4)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    small = first[:, :8]  # a pass over the small domain is a batch
    assert all(torch.equal(row.sort().values, small[0].sort().values) for row in small)
    assert len({tuple(row.tolist()) for row in small}) == 6


@pytest.mark.parametrize("ended", range(6))
def test_a_training_that_was_interrupted_sees_what_it_would_have_seen(ended: int):
    batch = samples(7, 40)
    whole = BalancedMinibatches(batch, 10, 5)
    found = [part.sample_id for _ in range(6) for part in whole]
    before = BalancedMinibatches(batch, 10, 5)
    for _ in range(ended):
        list(before)
    rest = BalancedMinibatches(batch, 10, 5)
    rest.go_on(before.passes, before.taken)
    after = [part.sample_id for _ in range(6 - ended) for part in rest]
    assert all(torch.equal(a, b) for a, b in zip(islice(found, 5 * ended, None), after, strict=True))


@pytest.mark.parametrize(
    ("rule", "compares", "sizes", "kind"),
    [
        ("auto", True, (4, 40), BalancedMinibatches),
        ("auto", False, (4, 40), Minibatches),
        ("on", False, (4, 40), BalancedMinibatches),
        ("off", True, (4, 40), Minibatches),
        ("on", True, (44,), Minibatches),
    ],
)
def test_the_protocol_decides_and_auto_asks_the_method(rule, compares, sizes, kind):
    rules = Protocol.model_validate({"balance_domains": rule, "batch_size": 8})
    assert isinstance(training_batches(samples(*sizes), rules, compares, 0), kind)


def test_methods_that_compare_domains_say_so():
    comparing = {name for name in METHODS if find("method", name).load().compares_domains}
    assert comparing == {"irm", "vrex", "groupdro", "mmd", "coral", "dann", "mixup"}
    assert not Method.compares_domains
