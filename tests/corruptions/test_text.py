"""Damage to tokens and words: the stated rates, only what may be touched, the same wherever a sample appears."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.planning.corruption_groups import corruption_entries
from mmbench.benchmark.train.predict import corruption_conditions
from mmbench.corruptions.text import (
    BERT_UNCASED,
    KeyboardTypos,
    SpeechErrors,
    TokenDrop,
    TokenReplacement,
    Vocabulary,
)
from mmbench.corruptions.words import decode_words, encode_words
from mmbench.datasets.batch import Batch
from scipy import stats
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import pad

from .texts import PLAIN, SPECIAL, TOKENS, WORDS, batch_of, broken, tokens, within_chance


@pytest.mark.parametrize("kind", TOKENS)
def test_tokens_go_at_the_stated_rate_and_special_ones_never(kind: Any) -> None:
    clean = tokens()
    special = torch.isin(clean, torch.tensor(SPECIAL))
    for severity, rate in enumerate(kind.levels, start=1):
        changed = broken(kind, severity, clean) != clean
        assert not bool(changed[special].any())
        assert within_chance(int(changed.sum()), int((~special).sum()), rate)


def test_dropped_tokens_are_unknown_and_replaced_ones_any_other_word() -> None:
    clean = tokens(2000)
    dropped = broken(TokenDrop, 3, clean)
    assert set(dropped[dropped != clean].tolist()) == {100}
    found = broken(TokenReplacement, 5, clean)
    drawn = found[found != clean].numpy()
    assert stats.kstest(drawn, stats.uniform(999, 30522 - 999).cdf).pvalue > 1e-4
    assert 999 <= drawn.min() < drawn.max() <= 30521
    few = Vocabulary(1, frozenset({0, 1}), range(2, 4))  # two words: each can only become the other
    swapped = TokenReplacement("text", 5, vocabulary=few).apply(batch_of(torch.full((500, 9), 2)))
    assert set(swapped.features["text"].unique().tolist()) == {2, 3}


def test_a_vocabulary_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="none special"):
        Vocabulary(5, frozenset({5}), range(0, 10))
    with pytest.raises(ValueError, match="two or more"):
        Vocabulary(0, frozenset({0}), range(1, 2))


texts_of_words = st.lists(
    st.lists(st.text(st.sampled_from("abcdeghkmtzAT'9é"), min_size=1, max_size=9), max_size=8).map(" ".join),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize("kind", WORDS)
@settings(max_examples=40, deadline=None)
@given(texts=texts_of_words, severity=st.integers(1, 5), steps=st.integers(0, 4), letters=st.integers(0, 50))
def test_words_break_alike_alone_in_any_order_and_with_more_room(
    kind: Any, texts: list[str], severity: int, steps: int, letters: int
) -> None:
    clean = encode_words(texts)
    mask = (clean != 0).any(-1)
    corruption = kind("text", severity)
    whole = corruption.apply(batch_of(clean, mask))
    found = decode_words(whole.features["text"])
    turned = torch.arange(len(texts)).flip(0)
    assert decode_words(corruption.apply(batch_of(clean, mask).take(turned)).features["text"]) == found[::-1]
    wide = pad(clean.long(), (0, letters, 0, steps), value=0)
    wide[~pad(mask, (0, steps))] = -5  # what lies in padding is not read
    spread = corruption.apply(batch_of(wide, pad(mask, (0, steps)))).features["text"]
    spread[~pad(mask, (0, steps))] = 0
    assert decode_words(spread) == found
    for row, text in enumerate(texts):
        own = encode_words([text])
        alone = corruption.apply(batch_of(own, (own != 0).any(-1), first=row))
        assert decode_words(alone.features["text"]) == [found[row]]


@pytest.mark.parametrize("kind", TOKENS)
@settings(max_examples=40, deadline=None)
@given(severity=st.integers(1, 5), steps=st.integers(0, 9), seed=st.integers(0, 99))
def test_tokens_break_alike_in_any_order_and_with_more_padding(
    kind: Any, severity: int, steps: int, seed: int
) -> None:
    clean, corruption = tokens(6, 14), kind("text", severity, seed)
    found = corruption.apply(batch_of(clean)).features["text"]
    order = torch.randperm(6, generator=torch.Generator().manual_seed(seed))[:3]
    assert torch.equal(corruption.apply(batch_of(clean).take(order)).features["text"], found[order])
    wide = batch_of(pad(clean, (0, steps), value=7), torch.arange(14 + steps).expand(6, -1) < 14)
    assert torch.equal(corruption.apply(wide).features["text"], pad(found, (0, steps), value=7))


@pytest.mark.parametrize("kind", [*TOKENS, *WORDS])
def test_severity_0_is_the_identity_and_higher_ones_contain_lower_ones(kind: Any) -> None:
    clean = tokens() if kind in TOKENS else encode_words([PLAIN] * 400)
    hit = [
        (broken(kind, severity, clean) != clean).view(*clean.shape[:2], -1).any(-1) for severity in range(6)
    ]
    assert not bool(hit[0].any())
    for less, more in pairwise(hit):
        assert bool((more | ~less).all())
        assert int(more.sum()) > int(less.sum())
    assert not torch.equal(broken(kind, 3, clean), broken(replaced_seed(kind), 3, clean))


def replaced_seed(kind: Any) -> Any:
    return lambda modality, severity: replace(kind(modality, severity), seed=1)


GOOD = ["wonderful", "great", "brilliant", "lovely", "charming", "funny"]
BAD = ["terrible", "awful", "boring", "dreadful", "clumsy", "tedious"]
NEITHER = ["the", "movie", "with", "that", "plot", "about", "people", "who", "made", "it"]


def reviews() -> tuple[list[str], np.ndarray]:
    """Two words of opinion, some of the other opinion, among words of none."""
    draw = np.random.default_rng(0)
    label = draw.integers(2, size=900)
    texts = []
    for good in label:
        opinion = [GOOD, BAD] if good else [BAD, GOOD]
        chosen = [draw.choice(opinion[draw.random() < 0.1]) for _ in range(3)]
        texts.append(" ".join(draw.permutation([*chosen, *draw.choice(NEITHER, 8)])))
    return texts, label


@pytest.mark.parametrize("kind", [*TOKENS, *WORDS])
def test_a_probe_reads_less_with_every_severity(kind: Any) -> None:
    """Logistic regression on bags of words, fitted to clean texts, asked about damaged ones."""
    texts, label = reviews()
    vocabulary = sorted(set(" ".join(texts).split()))
    if kind in TOKENS:  # as if each word had an id of its own in BERT's vocabulary
        place = {word: 5000 + n for n, word in enumerate(vocabulary)}
        clean = torch.tensor([[place[word] for word in text.split()] for text in texts])
    else:
        clean = encode_words(texts)
    bags = CountVectorizer(vocabulary=vocabulary)

    def read(severity: int) -> Any:
        found = broken(kind, severity, clean)
        if kind in TOKENS:
            word = dict(enumerate(vocabulary, 5000))
            return bags.transform([" ".join(word.get(n, "?") for n in text) for text in found.tolist()])
        return bags.transform(decode_words(found))

    probe = LogisticRegression().fit(read(0)[:300], label[:300])
    accuracy = [probe.score(read(severity)[300:], label[300:]) for severity in range(6)]
    assert all(more <= less + 0.01 for less, more in pairwise(accuracy)), accuracy
    assert accuracy[5] < accuracy[1] - 0.05, accuracy


@pytest.mark.parametrize("kind", [*TOKENS, *WORDS])
def test_all_is_done_on_the_device_of_the_batch(kind: Any) -> None:
    """The device ``meta`` holds no numbers: looking at one, or mixing devices, would raise."""
    clean = tokens() if kind in TOKENS else encode_words([PLAIN] * 9)
    nowhere = batch_of(clean).to("meta")
    assert kind("text", 4).apply(nowhere).features["text"].device.type == "meta"
    if torch.cuda.is_available():
        there = kind("text", 4).apply(batch_of(clean).to("cuda")).features["text"]
        assert torch.equal(there.cpu(), broken(kind, 4, clean))


def test_the_group_is_four_kinds_of_text_and_refused_for_features() -> None:
    group = [entry.load() for entry in corruption_entries(["text"])]
    assert group == [*TOKENS, *WORDS]
    vectors = batch_of(torch.zeros(2, 3, 4))
    for kind in group:
        assert {condition.modality for condition in kind.conditions(("audio", "text"))} == {"text"}
        with pytest.raises(UsageError, match=f"{kind.kind} breaks {kind.medium}; .* hold features: text"):
            corruption_conditions(kind, vectors)


def test_the_default_ids_are_those_of_bert() -> None:
    assert BERT_UNCASED.is_special(torch.tensor([[*SPECIAL, 1, 998, 999, 30521]])).tolist() == [
        [True] * 5 + [False] * 4
    ]
    assert (BERT_UNCASED.ordinary[0], BERT_UNCASED.ordinary[-1]) == (999, 30521)


def test_texts_with_spaces_break_as_they_always_did() -> None:
    stored = json.loads((Path(__file__).parent / "spaced_texts.json").read_text(encoding="utf-8"))
    words = encode_words(stored["texts"])
    count = len(words)
    batch = Batch(
        features={"text": words},
        mask={"text": (words != 0).any(-1)},
        present={"text": torch.ones(count, dtype=torch.bool)},
        target=torch.zeros(count),
        domain=torch.zeros(count, dtype=torch.long),
        sample_id=torch.arange(count),
    )
    for kind in (KeyboardTypos, SpeechErrors):
        for severity in (1, 3, 5):
            found = decode_words(kind("text", severity).apply(batch).features["text"])
            assert found == stored["broken"][f"{kind.kind}-{severity}"]
