from __future__ import annotations

import numpy as np
import pytest
import torch
from mmbench.methods.erm import ERM, ERMParams
from mmbench.methods.generalisation.rna import RNA, RNAParams, by_rank, norm_difference

from .. import planted


def test_term_is_the_mean_squared_relative_difference_of_mean_norms():
    embeddings = torch.randn(10, 3, 6, dtype=torch.float64)
    known = torch.rand(10, 3) < 0.7
    length = np.sqrt((embeddings.numpy() ** 2).sum(-1))
    n = [length[known[:, m].numpy(), m].mean() for m in range(3)]
    expected = np.mean([(n[0] / n[1] - 1) ** 2, (n[0] / n[2] - 1) ** 2, (n[1] / n[2] - 1) ** 2])
    assert norm_difference(embeddings, known).item() == pytest.approx(expected, abs=1e-6)
    known[:, 1] = False
    one_pair = (length[known[:, 0].numpy(), 0].mean() / length[known[:, 2].numpy(), 2].mean() - 1) ** 2
    assert norm_difference(embeddings, known).item() == pytest.approx(one_pair, abs=1e-6)


def test_ratios_have_the_benchmarks_direction():
    assert by_rank(["text", "audio", "vision"]) == ("vision", "text", "audio")
    assert by_rank(["video", "audio", "flow"]) == ("video", "flow", "audio")
    assert by_rank(["acoustic", "vibration"]) == ("vibration", "acoustic")
    assert by_rank(["b", "a"]) == ("b", "a")


def ratio(net: ERM) -> float:
    """Mean norm of text over audio after training; text starts twice as long."""
    with torch.no_grad():
        for name, parameter in net.encoders.parts[0].named_parameters():
            if name == "transformer.norm.weight":
                parameter.mul_(2)
    planted.train(net, planted.linked(net.spec, 256, seed=10), epochs=25, lr=1e-2)
    with torch.no_grad():
        text, audio = net(planted.linked(net.spec, 256, seed=60)).embeddings.values()
    return float(text.norm(dim=-1).mean() / audio.norm(dim=-1).mean())


def test_it_evens_out_norms_that_erm_leaves_apart():
    spec = planted.spec("text", "audio", kind="classification")
    assert abs(ratio(RNA(RNAParams(width=16, layers=1), spec)) - 1) < 0.05
    assert ratio(ERM(ERMParams(width=16, layers=1), spec)) > 1.5
