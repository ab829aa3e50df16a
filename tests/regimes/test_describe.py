"""Regimes in words."""

from __future__ import annotations

import numpy as np
import pytest
from mmbench.regimes.describe import describe, regime_names


def test_regimes_are_named_by_their_quadrant():
    regime = np.repeat(np.arange(6), 2)
    centres = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1], [0.1, 0], [2, 1.0]])
    names = regime_names(regime, np.repeat(centres, 2, axis=0))
    assert list(names.values()) == ["excited", "tense", "low", "calm", "neutral", "excited 2"]
    valence_alone = np.column_stack([np.repeat(centres[:, 0], 2), np.full(12, np.nan)])
    assert list(regime_names(regime, valence_alone).values())[:2] == ["positive", "negative"]
    assert regime_names(np.zeros(2, int), np.full((2, 2), np.nan)) == {0: "unknown"}


def test_a_step_is_described_and_unstable_after_a_switch_or_in_doubt():
    regime = np.repeat([0, 1], [6, 8])
    values = np.column_stack([np.linspace(-2, 2, 14), np.zeros(14)])
    certain, names = np.zeros(14), {0: "low", 1: "calm"}
    just = describe(regime, certain, values, 7, names)
    later = describe(regime, certain, values, 12, names)
    assert just.unstable
    assert not later.unstable
    assert "'calm', for 7 utterances" in later.text
    assert "it was 'low'" in later.text
    assert "Valence is rising" in later.text
    assert "Arousal is steady" in later.text
    assert describe(regime, np.full(14, 0.6), values, 12, names).unstable
    changed = values.copy()
    changed[13:] = 99  # what follows is not read
    assert describe(regime, certain, changed, 12, names) == later
    with pytest.raises(IndexError):
        describe(regime, certain, values, 14, names)
