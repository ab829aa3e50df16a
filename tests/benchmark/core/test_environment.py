"""What is said of the machine."""

from __future__ import annotations

import pytest
from mmbench.benchmark.core.environment import no_such_gpu


def test_a_gpu_that_is_not_there_is_said_with_those_that_are_and_a_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = no_such_gpu("cuda:2", 2)
    assert (
        told == "--device cuda:2: only cuda:0, cuda:1 can be used here: name what is there, or --device cpu"
    )
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert no_such_gpu("cuda", 0).startswith("--device cuda: no GPU can be used here: use --device cpu")
