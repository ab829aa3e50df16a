"""Pictures through CLIP and ViT of the transformers library, beside what that library itself makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from mmbench.datasets.encoders.encoder import EncoderError, Media
from mmbench.datasets.encoders.spec import parse
from mmbench.datasets.encoders.table import make
from mmbench.datasets.media.clip import FrameView
from mmbench.datasets.media.pictures import resize_picture
from PIL.Image import Resampling

CPU = torch.device("cpu")
VISION: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "image_size": 32,
    "patch_size": 8,
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CLIP and ViT, small and random, with the settings of their pictures."""
    place = tmp_path_factory.mktemp("pictures")
    torch.manual_seed(0)
    words: dict[str, Any] = {"vocab_size": 20, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
             "intermediate_size": 24, "bos_token_id": 0, "eos_token_id": 1}  # fmt: skip
    clip = transformers.CLIPConfig(text_config=words, vision_config=VISION, projection_dim=12)
    transformers.CLIPModel(clip).save_pretrained(place / "clip")
    transformers.CLIPImageProcessor(size={"shortest_edge": 40}, crop_size=32).save_pretrained(place / "clip")
    transformers.ViTModel(transformers.ViTConfig(**VISION), add_pooling_layer=False).save_pretrained(
        place / "vit"
    )
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(place / "vit")
    return place


@pytest.mark.parametrize(("kind", "width"), [("clip", 12), ("vit", 16)])
def test_features_are_those_of_the_library_itself(models: Path, kind: str, width: int):
    encoder = make(parse(f"image:{models / kind},frames=1"), CPU)
    assert encoder.width == width
    coarse = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    picture = coarse.repeat(10, 0).repeat(10, 1)
    processor = transformers.AutoImageProcessor.from_pretrained(models / kind)
    model = transformers.AutoModel.from_pretrained(models / kind).eval()
    pixels = processor(picture, resample=Resampling.BICUBIC, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        if kind == "clip":
            expected = model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)
        else:
            expected = model(pixel_values=pixels).last_hidden_state[:, 0]
    assert isinstance(encoder.view, FrameView)
    frames = torch.from_numpy(resize_picture(picture, encoder.view)).float()[None, None] / 255
    found = encoder.encode(Media(frames)).features
    other = encoder.encode(Media(1 - frames)).features
    # cutting and scaling are one step here and two there, each rounded
    assert (found[0] - expected).norm() < 0.1 * (found - other).norm()


def test_a_folder_that_does_not_say_how_pictures_are_read_is_refused(models: Path, tmp_path: Path):
    said = json.loads((models / "vit" / "preprocessor_config.json").read_text())
    own = tmp_path / "own"
    own.mkdir()
    for file in (models / "vit").iterdir():
        (own / file.name).write_bytes(file.read_bytes())
    del said["image_mean"]
    (own / "preprocessor_config.json").write_text(json.dumps(said))
    with pytest.raises(EncoderError, match="should say size, image_mean and image_std"):
        make(parse(f"image:{own}"), CPU)
    with pytest.raises(EncoderError, match="needs a model"):
        make(parse("image"), CPU)
