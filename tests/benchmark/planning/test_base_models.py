"""What is remarked on language models that fit into memory, but not as often as there are workers."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmbench.benchmark.planning import notes
from mmbench.benchmark.planning.experiment import Experiment

from ...methods.language.tiny_models import save_llama


def test_more_workers_than_the_memory_holds_models_are_remarked_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """254,592 numbers: 1,018,368 bytes as float32, and about a sixth of that as NF4."""
    model = save_llama(tmp_path / "base", hidden=128)
    monkeypatch.setattr(notes, "machine_bytes", lambda: 2_500_000)

    def said(method: str, **others: object) -> list[str]:
        asked = {"methods": [method], "datasets": ["mosi"], "seeds": [0, 1], "workers": 4, **others}
        return notes.notes(Experiment(**asked))

    (line,) = said(f"lmm(model={model})")
    assert "each of 4 workers holds the weights of the model" in line
    assert line.endswith("--workers 2")
    assert not said(f"lmm(model={model})", workers=2)
    assert not said(f"lmm(model={model})", launcher="debug")  # one job at a time
    assert not said(f"lmm(model={model},weights=nf4)")
    assert not said("lmm(model=owner/elsewhere)")
    assert not said("erm")
