"""Every registered method keeps the contract."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmbench.benchmark.check.conformance import check_entry
from mmbench.methods import LANGUAGE_MODELS, METHODS

from .language.tiny_models import save_thinker


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_a_registered_method_keeps_its_contract(name: str, tmp_path: Path) -> None:
    # a probe of a model that reads every medium; of its adapters their own tests tell
    asked = (
        f"{name}(model={save_thinker(tmp_path / 'model')},lora=false)" if name in LANGUAGE_MODELS else name
    )
    assert [(check.what, check.reason) for check in check_entry("method", asked) if not check.ok] == []
