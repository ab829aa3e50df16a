"""How encoders are named, listed and made."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmbench.datasets.encoders import ENCODERS
from mmbench.datasets.encoders.encoder import EncoderError, EncoderSpec, Media
from mmbench.datasets.encoders.spec import fill, parse, spec_text
from mmbench.datasets.encoders.table import list_encoders, make

CPU = torch.device("cpu")
WORD = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1)


@given(
    st.sampled_from(sorted(ENCODERS)), WORD.map(lambda word: f"folder/{word}:x"), st.dictionaries(WORD, WORD)
)
def test_a_written_spec_is_read_back(name: str, model: str, options: dict[str, str]):
    spec = EncoderSpec(name, model, options)
    assert parse(spec_text(spec)) == spec


def test_a_spec_is_read():
    spec = parse("log-mel, bins=40 ,seconds=none")
    assert spec == EncoderSpec("log-mel", "", {"bins": "40", "seconds": "none"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("logmel", "unknown encoder 'logmel' in 'logmel': did you mean log-mel"),
        ("", "unknown encoder '' in '': known: "),
        ("log-mel,bins", "'bins' should be OPTION=VALUE"),
        ("log-mel,bins=", "'bins=' should be OPTION=VALUE"),
        ("log-mel,bins=1,bins=2", "'bins' is given twice"),
    ],
)
def test_what_is_wrong_with_a_spec_is_said(text: str, words: str):
    with pytest.raises(EncoderError) as caught:
        parse(text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "log-mel,bin=40",
            "encoder log-mel has no option 'bin': did you mean bins? known: average, bins, hop",
        ),
        (
            "log-mel,zzz=40",
            "encoder log-mel has no option 'zzz': known: average, bins, hop, rate, seconds, window",
        ),
        ("log-mel,bins=many", "option bins=many: should be a whole number"),
        ("log-mel,seconds=long", "option seconds=long: should be a number, or none"),
        ("log-mel,bins=0", "option bins=0: should be above 0"),
        ("log-mel,bins=300", "a window of 400 samples has no more than 256 bands"),
        ("log-mel,seconds=nan", "option seconds=nan: should be above 0"),
        ("log-mel,window=1e5", "a window of 100000 ms at 16000 samples a second: should be 10000 ms"),
        ("timm:,weights=random", "encoder timm needs a model: timm:vit_tiny_patch16_224"),
        (
            "timm:test_vit,weights=random,frames=100000000",
            "100000000 frames of 160 x 160 take 38400.0 GB a clip",
        ),
        ("log-mel:base", "encoder log-mel has no models"),
        ("log-spectrogram,bins=3", "encoder log-spectrogram has no option 'bins': known: average"),
    ],
)
def test_what_is_wrong_with_an_option_is_said(text: str, words: str):
    with pytest.raises(EncoderError) as caught:
        make(parse(text), CPU)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pictures_that_a_network_cannot_read_are_one_line():
    encoder = make(parse("timm:test_vit,weights=random,frames=1,size=100"), CPU)
    with pytest.raises(
        EncoderError, match=r"VisionTransformer cannot read what it is given: .*100.*patch size"
    ):
        encoder.encode(Media(torch.zeros(1, 1, 3, 100, 100)))


def test_an_unknown_encoder_is_not_made():
    with pytest.raises(EncoderError, match="did you mean log-mel"):
        make(EncoderSpec("log-mal"), CPU)


@dataclass(frozen=True)
class Kinds:
    """Options of every type."""

    whole: int = 1
    share: float = 0.5
    pool: Literal["none", "mean"] = "none"
    lower: bool = False
    limit: int | None = 3
    place: str = ""


def test_options_are_read_by_their_types():
    texts = {"whole": "7", "share": "0.25", "pool": "mean", "lower": "true", "limit": "none", "place": "a/b"}
    filled = fill(Kinds, EncoderSpec("x", "", texts))
    assert filled == Kinds(7, 0.25, "mean", True, None, "a/b")
    assert type(filled.whole) is int
    assert fill(Kinds, EncoderSpec("x")) == Kinds()
    for key, text, words in [
        ("pool", "max", "should be one of none, mean"),
        ("lower", "perhaps", "should be true or false"),
        ("limit", "0.5", "should be a whole number, or none"),
    ]:
        with pytest.raises(EncoderError, match=words):
            fill(Kinds, EncoderSpec("x", "", {key: text}))


def test_every_encoder_is_listed_with_its_options():
    rows = {row.name: row for row in list_encoders()}
    assert list(rows) == list(ENCODERS)
    assert all(row.summary.endswith(".") for row in rows.values())
    assert "bins=80" in rows["log-mel"].options
    assert "seconds=none" in rows["log-mel"].options


def test_listing_and_reading_specs_import_no_torch():
    code = (
        "import sys\n"
        "from mmbench.benchmark.cli.main import main\n"
        "from mmbench.datasets.encoders.spec import parse\n"
        "parse('log-mel,bins=40')\n"
        "sys.argv = ['mmbench', 'list', 'encoders']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "assert not {'torch', 'timm', 'transformers'} & set(sys.modules)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    for name in ENCODERS:
        assert name in ended.stdout
