"""The memes of CHiPSAL: the list, the images beside it, what is wrong with them, and stand-ins that are really drawn."""

from __future__ import annotations

import colorsys
import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from mmbench.benchmark.features.dataset import samples_of_clips
from mmbench.datasets.chipsal import Chipsal, ChipsalSentiment
from mmbench.datasets.dataset import DataError
from mmbench.datasets.folds import draw_folds
from mmbench.datasets.media.clip import FrameView, Piece
from mmbench.datasets.media.decode import decode
from mmbench.datasets.media.memes_synthetic import fonts, write_memes
from mmbench.datasets.shared.memes import LABEL_NOISE, features_of, plan_memes
from PIL import Image

MEMES = plan_memes(24, 2, seed=3)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two dozen drawn memes."""
    try:
        found = fonts()
    except DataError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("memes") / "chipsal"
    write_memes(folder, MEMES, found, "chipsal", seed=3)
    return folder


def write_own(folder: Path, rows: list[tuple[str, str, str]], header: str = "index,text,label") -> Path:
    """A list, and an image for each of its rows, all unlike."""
    (folder / "images").mkdir(parents=True)
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as stream:
        stream.write(header + "\n")
        csv.writer(stream).writerows(rows)
    for number, (index, *_) in enumerate(rows):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / "images" / f"{Path(index).stem or 'none'}.png")
    return folder


ROWS = [("m1", "नमस्ते, संसार", "0"), ("m2", "घृणा", "1"), ("m3", "", "1"), ("m4", "hello", "0")]


def test_drawn_memes_are_listed_as_they_were_planned(drawn: Path):
    found = Chipsal().raw(drawn)
    assert found.synthetic
    assert not found.problems
    assert dict(found.modalities) == {"image": "frames", "text": "text"}
    assert [clip.media["text"] for clip in found.clips] == MEMES.text
    assert [clip.label for clip in found.clips] == MEMES.label.tolist()
    assert {clip.split for clip in found.clips} == {"train"}


def test_pictures_show_the_bit_the_style_and_the_text(drawn: Path):
    for clip, (_, warm), style in zip(Chipsal().raw(drawn).clips, MEMES.bits, MEMES.style, strict=True):
        piece = clip.media["image"]
        assert isinstance(piece, Piece)
        picture = np.asarray(decode(piece, "frames", FrameView(160, 1, crop="squash")))[0].transpose(1, 2, 0)
        ground = picture[0, 0] / 255
        hue = 360 * colorsys.rgb_to_hsv(*ground)[0]
        assert (hue < 70) == bool(warm)
        wide = [
            row.sum() for row in (picture[:95].min(axis=2) > 195) if row.any()
        ]  # of the shape, row by row
        assert len(wide) > 40
        assert (picture[98:].max(axis=2) < 40).sum() > 150  # the outlines of the letters
        edges = wide[0] / max(wide), wide[-1] / max(wide)
        expected = {0: (False, False), 1: (True, True), 2: (False, True)}[int(style)]
        assert tuple(edge > 0.6 for edge in edges) == expected


def test_half_of_the_hate_is_said_by_neither_modality_alone():
    memes = plan_memes(6000, 2)
    text, image = memes.bits.T
    for style, expected in enumerate((text ^ image, text, image)):
        rows = memes.style == style
        agreed = (memes.label == expected)[rows].mean()
        assert agreed == pytest.approx(1 - LABEL_NOISE, abs=0.01)
    both = memes.style == 0
    for bit in (text, image):
        assert memes.label[both & (bit == 1)].mean() == pytest.approx(0.5, abs=0.05)
    sentiment = plan_memes(6000, 3)
    right = sentiment.label == sentiment.bits.sum(axis=1)
    assert right.mean() == pytest.approx(1 - LABEL_NOISE, abs=0.01)
    assert set(sentiment.label) == {0, 1, 2}


@pytest.mark.parametrize("dataset", [Chipsal(), ChipsalSentiment()], ids=lambda one: one.name)
def test_the_features_of_a_stand_in_are_those_that_were_planned(dataset: Chipsal, tmp_path: Path):
    dataset.synthesize(tmp_path / dataset.name)
    located = dataset.locate(tmp_path)
    found, planned = located.load(), plan_memes(240, len(dataset.target.classes))
    assert located.synthetic
    assert [len(found[split]) for split in ("train", "valid", "test")] == [240, 0, 0]
    np.testing.assert_array_equal(found["train"].target, planned.label)
    image = found["train"].features["image"][:, 0]
    np.testing.assert_array_equal(image, features_of(planned).features["image"][:, 0])
    # a linear readout of 512 numbers finds the bit
    weights = np.linalg.lstsq(image[:200], 2.0 * planned.bits[:200, 1] - 1, rcond=None)[0]
    assert ((image[200:] @ weights > 0) == planned.bits[200:, 1]).mean() > 0.9


def test_a_released_list_is_read_as_it_is(tmp_path: Path):
    folder = write_own(tmp_path / "own", ROWS)
    (folder / "test.csv").write_text("index,text\nt1,unlabelled\n")
    found = Chipsal().raw(folder)
    assert [str(one) for one in found.problems] == []
    assert [clip.sample_id for clip in found.clips] == ["m1", "m2", "m3", "m4"]
    assert found.clips[0].media["text"] == "नमस्ते, संसार"
    assert set(found.clips[2].media) == {"image"}  # nothing was read on it
    assert [clip.label for clip in found.clips] == [0, 1, 1, 0]
    whole = [(f"{index}.png", text, label) for index, text, label in ROWS]
    assert not Chipsal().raw(write_own(tmp_path / "whole", whole)).problems


def test_images_that_lack_and_images_that_nobody_names_are_told(tmp_path: Path):
    folder = write_own(tmp_path / "own", ROWS)
    (folder / "images" / "m2.png").rename(folder / "images" / "m9.png")
    found = Chipsal().raw(folder)
    assert sorted(map(str, found.problems)) == [
        "m2 image: images/m2.png: no such file",
        "no clip: images/m9.png: no clip names this file",
    ]
    assert set(found.clips[1].media) == {"text"}


def test_the_same_picture_twice_is_told_and_stays_in_one_fold(tmp_path: Path):
    rows = [(f"m{number}", "text", str(number % 2)) for number in range(40)]
    folder = write_own(tmp_path / "own", rows)
    for number in range(0, 20, 2):
        shutil.copy(folder / "images" / f"m{number}.png", folder / "images" / f"m{number + 21}.png")
    found = Chipsal().raw(folder)
    assert len(found.problems) == 10
    assert all(one.published for one in found.problems)
    assert found.faults == ()  # nothing is to be mended
    said = str(found.problems[0])
    assert said.startswith("m21 image: labels.csv: the same picture as m0, under another label (sha256 ")
    samples = samples_of_clips(found.target, found.clips, {})
    assert samples.group is not None
    folds = draw_folds(5, samples.sample_id.tolist(), classes=samples.target, groups=samples.group.tolist())
    for number in range(0, 20, 2):
        assert folds[number] == folds[number + 21]
    assert np.bincount(folds).tolist() == [8] * 5


@pytest.mark.parametrize(
    ("rows", "header", "said"),
    [
        ([("m1", "a", "1"), ("m2", "b", "2")], "index,text,label", r"row 3, column label: '2'; expected 0 \(non-hate\) or 1 \(hate\)"),
        ([("m1", "a", "1"), ("m2", "b", "")], "index,text,label", r"row 3, column label: no label; expected 0"),
        ([("m1", "a", "1"), ("m2", "b", "1")], "index,text,label", r"column label: all are '1'; expected memes of two classes"),
        ([("m1", "a", "1"), ("../m2", "b", "0")], "index,text,label", r"row 3, column index: '\.\./m2'; expected the name of an image"),
        ([("", "a", "1"), ("m2", "b", "0")], "index,text,label", r"row 2, column index: empty; expected the name of an image"),
        ([("m1", "a", "1"), ("m2", "b", "0")], "index,text,labels", r"0 lists with labels \(found: labels\.csv\); expected one list"),
    ],
)  # fmt: skip
def test_wrong_lists_are_refused(rows: list[tuple[str, str, str]], header: str, said: str, tmp_path: Path):
    with pytest.raises(DataError, match=said) as caught:
        Chipsal().raw(write_own(tmp_path / "own", rows, header))
    assert "\n" not in str(caught.value)


def test_folders_that_are_no_release_are_refused(tmp_path: Path):
    folder = write_own(tmp_path / "own", ROWS)
    shutil.copy(folder / "labels.csv", folder / "more.csv")
    with pytest.raises(DataError, match=r"2 lists with labels \(found: labels\.csv, more\.csv\)"):
        Chipsal().raw(folder)
    (folder / "more.csv").unlink()
    shutil.rmtree(folder / "images")
    with pytest.raises(
        DataError, match=r"images: is not there; expected a folder of images beside labels\.csv"
    ):
        Chipsal().raw(folder)
    with pytest.raises(DataError, match="is there and is no stand-in"):
        Chipsal().synthesize(folder, format="raw")
