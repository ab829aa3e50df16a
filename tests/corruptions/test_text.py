"""Damage to tokens and words: the stated rates, only what may be touched, the same wherever a sample appears."""

from __future__ import annotations

import itertools
import json
import re
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
from mmbench.benchmark.planning.evaluations import corruption_entries
from mmbench.benchmark.train.predict import corruption_conditions
from mmbench.corruptions.text import (
    BERT_UNCASED,
    KeyboardTypos,
    SpeechErrors,
    TokenDrop,
    TokenReplacement,
    Vocabulary,
)
from mmbench.corruptions.words import (
    HOMOPHONES,
    SOUNDS,
    decode_words,
    encode_words,
    is_character,
    neighbouring_keys,
    split_words,
)
from mmbench.datasets.batch import Batch
from mmbench.datasets.word_joins import MARKS
from scipy import stats
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import pad
from torchmetrics.functional.text import char_error_rate, word_error_rate

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


def typos_of(word: str, severity: int = 1, count: int = 6000) -> list[str]:
    clean = encode_words([word])
    found = broken(KeyboardTypos, severity, clean.expand(count, -1, -1))
    return [text for text in decode_words(found) if text != word]


def test_one_typo_is_one_of_the_four_errors() -> None:
    """Every outcome of one error is listed by hand; at severity 1 few words of two letters have more."""
    near = neighbouring_keys()
    one = {
        *(other + "B" for other in near["a"]),
        *("a" + other.upper() for other in near["b"]),
        *("Ba", "a", "B", "aaB", "aBB"),
    }
    found = typos_of("aB")
    assert one <= set(found)
    assert np.mean([text in one for text in found]) > 0.95
    assert set(typos_of("ü", count=3000)) == {"", "üü"}  # on no key, and alone: lost or doubled
    assert all(set(text) <= {"7", ",", "."} for text in typos_of("7,.", 5))


def drawn(errors: str, kinds: str, shares: list[float]) -> dict[str, torch.Tensor]:
    """Which error befalls each place; the first choice of all else."""
    error = torch.tensor([[shares[kinds.index(kind)] if kind in kinds else 0.0 for kind in errors]])
    return {"chance": torch.tensor([[float(kind == ".") for kind in errors]]), "error": error}


@pytest.mark.parametrize(
    ("word", "errors", "expected"),
    [
        ("abcd", "x...", "bacd"),
        ("abcd", "..x.", "abdc"),
        ("abcd", "x.x.", "badc"),
        ("abcd", "xx..", "qcbd"),  # the second one goes with the third: the first is replaced
        ("abcd", "...x", "abce"),  # none to change places with
        ("aab", "x..", "qab"),  # the like would not show
        ("abcd", "xl..", "acd"),
        ("abcd", "xd..", "bbacd"),
        ("abcd", "xr..", "gacd"),
        ("AbCd", "r.r.", "QbDd"),
        ("a7bd", ".r..", "abd"),
        ("abcd", "d.ld", "aabdd"),
        ("abcd", "llll", ""),
    ],
)
def test_typing_errors_together_are_by_hand_what_they_should_be(
    word: str, errors: str, expected: str
) -> None:
    clean = encode_words([word])
    draws = drawn(errors, "rxld", [0.1, 0.3, 0.6, 0.9])
    room = clean.shape[2] - len(word)
    draws = {name: pad(values, (0, room), value=0)[:, None] for name, values in draws.items()}
    draws["key"] = torch.zeros(clean.shape)
    found = KeyboardTypos("text", 1).corrupt(clean, (clean != 0).any(-1), draws)
    assert decode_words(found) == [expected]


@pytest.mark.parametrize(
    ("text", "errors", "expected"),
    [
        ("go bee 3", "m..", ["gobee", "", "3"]),
        ("go bee 3", "mm.", ["ko", "bee3", ""]),  # the second goes with the third: the first is misheard
        ("go bee 3", "..m", ["go", "bee", ""]),  # none to run together with, and nothing sounds like 3
        ("go bee 3", "mlt", ["gobee", "", "3 3"]),  # the second of two takes no other error
        ("Go BEE 3", "sst", ["Ko", "BE", "3 3"]),
        ("go bee 3", "tl.", ["go go", "", "3"]),
    ],
)
def test_recognition_errors_together_are_by_hand_what_they_should_be(
    text: str, errors: str, expected: list[str]
) -> None:
    clean = encode_words([text])
    where = torch.arange(clean.shape[2]).expand(clean.shape) / 2 + 0.4  # only the first letter
    draws = drawn(errors, "sltm", [0.3, 0.7, 0.85, 0.95])
    draws |= {"word": torch.zeros(clean.shape[:2]), "where": where, "letter": torch.zeros(clean.shape)}
    found = SpeechErrors("text", 1).corrupt(clean, (clean != 0).any(-1), draws)
    assert decode_words(found[0][:, None]) == expected


def test_letters_go_at_the_stated_rate() -> None:
    """A single letter shows every error, so that errors are counted exactly."""
    clean = encode_words(["e"]).expand(20000, -1, -1)
    for severity, rate in enumerate(KeyboardTypos.levels, start=1):
        found = decode_words(broken(KeyboardTypos, severity, clean))
        count = {text: found.count(text) for text in set(found)}
        assert within_chance(20000 - count["e"], 20000, rate)
        assert within_chance(count[""], 20000, rate / 4)
        assert within_chance(count["ee"], 20000, rate / 4)
        assert set(count) == {"e", "", "ee", *neighbouring_keys()["e"]}


def test_character_error_rate_is_near_the_level_and_grows() -> None:
    """By the edit distance of torchmetrics, to which letters that change places count twice."""
    clean = encode_words([PLAIN] * 60)
    rates = []
    for severity in range(6):
        found = broken(KeyboardTypos, severity, clean)
        pairs = [decode_words(words.flatten(0, 1)[:, None]) for words in (found, clean)]
        rates.append(float(char_error_rate(*pairs)))
    assert rates[0] == 0
    assert all(more > less for less, more in pairwise(rates))
    for rate, level in zip(rates[1:], KeyboardTypos.levels, strict=True):
        assert 0.85 * level < rate < 1.25 * level + 0.01


def test_a_single_word_is_misheard_lost_or_said_twice() -> None:
    clean = encode_words(["bee"]).expand(20000, -1, -1)
    for severity, rate in enumerate(SpeechErrors.levels, start=1):
        found = decode_words(broken(SpeechErrors, severity, clean))
        count = {text: found.count(text) for text in set(found)}
        assert set(count) == {"bee", "be", "", "bee bee"}  # nothing to run together with: misheard
        assert within_chance(count["be"], 20000, 0.7 * rate)
        assert within_chance(count[""], 20000, 0.2 * rate)
        assert within_chance(count["bee bee"], 20000, 0.1 * rate)


def test_words_that_are_misheard_sound_alike() -> None:
    alike = {frozenset(pair) for pair in SOUNDS.split()}
    for spoken in decode_words(broken(SpeechErrors, 5, encode_words(["Stomp"]).expand(2000, -1, -1))):
        if spoken in ("", "Stomp Stomp"):
            continue
        assert len(spoken) == 5
        assert spoken[0].isupper()
        changed = [pair for pair in zip("stomp", spoken.lower(), strict=True) if len(set(pair)) == 2]
        assert all(frozenset(pair) in alike for pair in changed)
        assert changed or spoken == "Stomp"
    groups = [group.split() for group in HOMOPHONES.split(",")]
    for group in groups:
        for word in group:
            found = decode_words(broken(SpeechErrors, 5, encode_words([word]).expand(300, -1, -1)))
            assert set(found) == {*group, "", f"{word} {word}"}
    shouted = decode_words(broken(SpeechErrors, 5, encode_words(["THEIR"]).expand(300, -1, -1)))
    assert set(shouted) == {"THEIR", "THERE", "THEY'RE", "", "THEIR THEIR"}
    foreign = decode_words(broken(SpeechErrors, 5, encode_words(["фильм"]).expand(300, -1, -1)))
    assert set(foreign) == {"фильм", "", "фильм фильм"}


def test_words_run_together_leave_an_empty_step() -> None:
    """Numbers sound like nothing: what is left of the errors is lost, said twice, run together."""
    clean = encode_words(["1 2 3"])
    found = broken(SpeechErrors, 5, clean.expand(20000, -1, -1))
    steps = {tuple(decode_words(text[:, None])) for text in found.unique(dim=0)}
    assert ("12", "", "3") in steps
    assert ("1", "23", "") in steps
    assert all(step in ("1", "", "1 1", "12") for step, _, _ in steps)
    assert all(step in ("2", "", "2 2", "23") for _, step, _ in steps)
    assert all(step in ("3", "", "3 3") for _, _, step in steps)
    assert all(second == "" for first, second, _ in steps if first == "12")
    merged = sum(decode_words(text[:1, None]) == ["12"] for text in found)
    # Both words draw their errors apart: the second must not run on itself, which it does in one case of ten.
    assert within_chance(merged, 20000, 0.5 * 0.1 * 0.9)


def test_word_error_rate_is_near_the_level_and_grows() -> None:
    texts = [PLAIN] * 300
    rates = [
        float(word_error_rate(decode_words(broken(SpeechErrors, severity, encode_words(texts))), texts))
        for severity in range(6)
    ]
    assert rates[0] == 0
    assert all(more > less for less, more in pairwise(rates))
    for rate, level in zip(rates[1:], SpeechErrors.levels, strict=True):
        assert 0.9 * level < rate < 1.2 * level


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


CONTINUOUS = [
    "我觉得这部电影真的非常好看，但是结尾有点太长了。",
    "この映画は本当に面白かったけど最後が長すぎたと思います",
    "ฉันคิดว่าหนังเรื่องนี้สนุกมากแต่ตอนจบยาวเกินไปหน่อยนะคะ",
    "ຂ້ອຍຄິດວ່າຮູບເງົາເລື່ອງນີ້ມ່ວນຫຼາຍແຕ່ຕອນຈົບຍາວເກີນໄປ",
    "ខ្ញុំគិតថារឿងនេះល្អណាស់ប៉ុន្តែចុងបញ្ចប់វែងពេក",
    "我昨天看了一部movie真的很好看OK吗今天想再看一次",
]


@pytest.mark.parametrize("text", CONTINUOUS)
@pytest.mark.parametrize("kind", [KeyboardTypos, SpeechErrors])
def test_without_spaces_damage_is_spread_over_the_characters(kind: Any, text: str) -> None:
    units = split_words(text)
    known = {unit.lstrip(MARKS) for unit in units}
    for severity, level in enumerate(kind.levels, 1):
        clean = encode_words([text]).expand(200, -1, -1)
        found = broken(kind, severity, clean)
        assert "" not in decode_words(found)
        changed = (found != clean).any(-1).float()
        if kind is SpeechErrors:  # a typo strikes each letter of a word in Latin letters
            assert changed.mean() == pytest.approx(level, abs=0.03)
        else:
            assert 0.7 * level <= changed.mean() <= 2 * level
        # every place of the utterance is struck, none far more often than another
        assert changed.mean(0).max() < 4 * level + 0.05
        if all(is_character(clean[0])):
            whole = {
                "".join(map(chr, filter(None, unit))) for unit in found.flatten(0, 1).unique(dim=0).tolist()
            }
            pieces = {piece for unit in whole for piece in re.split(f"[{MARKS}]", unit) if piece}
            assert pieces <= known  # whatever combines with a character goes where it goes


@pytest.mark.parametrize("text", ["好", "好看", "กำ", "ดีมาก ครับ", "很 好"])
@pytest.mark.parametrize("kind", [KeyboardTypos, SpeechErrors])
def test_no_text_of_characters_is_emptied(kind: Any, text: str) -> None:
    for severity in (1, 5):
        found = decode_words(broken(kind, severity, encode_words([text]).expand(1000, -1, -1)))
        assert "" not in found
        assert len(set(found)) > 1


def test_a_character_is_lost_or_written_twice_and_takes_its_marks_along() -> None:
    clean = encode_words(["กำนี้"]).expand(20000, -1, -1)
    typed = decode_words(broken(KeyboardTypos, 5, clean))
    assert set(typed) == {
        "".join(pair) for pair in itertools.product(["", "กำ", "กำกำ"], ["", "นี้", "นี้นี้"])
    } - {""}
    for kind, share in ((KeyboardTypos, 0.3), (SpeechErrors, 0.5)):
        found = decode_words(broken(kind, 5, clean))
        assert sum(text == "กำนี้" for text in found) / 20000 == pytest.approx((1 - share) ** 2, abs=0.16)
