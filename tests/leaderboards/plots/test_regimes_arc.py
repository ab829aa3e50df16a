"""The arc of a conversation says what its colours mean."""

from __future__ import annotations

import numpy as np
import pandas as pd
from mmbench.leaderboards.plots.regimes import conversation_arc


def test_a_value_whose_cells_are_too_narrow_for_its_name_stands_in_the_legend():
    """Speakers alternate at every step; of the labels one has half of the conversation, two have a step each in turn."""
    steps = 60
    label = np.where(
        np.arange(steps) < steps // 2, "frustrated", np.where(np.arange(steps) % 2, "happy", "angry")
    )
    states = pd.DataFrame(
        {
            "regime": np.zeros(steps, int),
            "uncertainty": 0.0,
            "speaker": np.where(np.arange(steps) % 2, "Zoe the second", "Yann the first"),
            "label": label,
            "text.valence": np.linspace(-1, 1, steps),
        }
    )
    figure = conversation_arc(states, {0: "calm"}, "talk")
    written = {text.get_text() for axis in figure.axes for text in axis.texts}
    legend = {text.get_text() for text in figure.legends[0].get_texts()}
    assert written == {"frustrated"}
    assert legend == {
        "calm",
        "label happy",
        "label angry",
        "speaker Yann the first",
        "speaker Zoe the second",
    }
    of = {
        text.get_text(): patch
        for text, patch in zip(figure.legends[0].get_texts(), figure.legends[0].get_patches(), strict=True)
    }
    assert of["label happy"].get_facecolor() != of["label angry"].get_facecolor()
