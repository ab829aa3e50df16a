"""Texts and tokens for the tests of their corruptions."""

from __future__ import annotations

from typing import Any

import torch
from mmbench.corruptions.text import KeyboardTypos, SpeechErrors, TokenDrop, TokenReplacement
from mmbench.datasets.batch import Batch
from scipy import stats

TOKENS = (TokenDrop, TokenReplacement)
WORDS = (KeyboardTypos, SpeechErrors)
SPECIAL = [0, 100, 101, 102, 103]
#: No letter twice in a word, so that no two errors undo each other.
PLAIN = "quick brown fox jumps over lazy dog while my friends watch them play cards"


def batch_of(features: torch.Tensor, mask: torch.Tensor | None = None, first: int = 0) -> Batch:
    count = len(features)
    return Batch(
        features={"text": features},
        mask={"text": torch.ones(features.shape[:2], dtype=torch.bool) if mask is None else mask},
        present={"text": torch.ones(count, dtype=torch.bool)},
        target=torch.zeros(count),
        domain=torch.zeros(count, dtype=torch.int64),
        sample_id=(torch.arange(count) + first) * 7919 - 3,
    )


def broken(kind: Any, severity: int, features: torch.Tensor, first: int = 0) -> torch.Tensor:
    return kind("text", severity).apply(batch_of(features, first=first)).features["text"]


def within_chance(hits: int, trials: int, rate: float) -> bool:
    return bool(stats.binomtest(hits, trials, rate).pvalue > 1e-5)


def tokens(count: int = 400, steps: int = 30) -> torch.Tensor:
    """Sentences as BERT has them: [CLS], ordinary ids, some [UNK], [SEP], padding."""
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(999, 30522, (count, steps), generator=draw)
    ids[torch.rand(count, steps, generator=draw) < 0.05] = 100
    ids[:, 0], ids[:, -4], ids[:, -3:] = 101, 102, 0
    return ids
