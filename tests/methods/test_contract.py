"""Every registered method keeps the contract."""

from __future__ import annotations

import pytest
from mmbench.benchmark.check.conformance import check_entry
from mmbench.methods import METHODS


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_a_registered_method_keeps_its_contract(name: str) -> None:
    assert [(check.what, check.reason) for check in check_entry("method", name) if not check.ok] == []
