"""Pictures through a network of the transformers library: CLIP, SigLIP, ViT, DINOv2 and their kin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from .encoder import EncoderError
from .frames import Timm
from .transformer import load

_SETTINGS = "preprocessor_config.json"
#: Types of models that read text beside pictures, of which the part that reads pictures is taken.
_TWO_TOWERS = ("clip", "siglip")


class Image(Timm):
    """Pictures and frames through a transformer of the transformers library: one vector for every frame.

    The model is a folder (``config.json``, ``preprocessor_config.json``, weights) or a repository of the hub, such as
    openai/clip-vit-base-patch32. Of CLIP it is the projected embedding, of SigLIP the pooled output, of any other the first
    token of the last hidden states. Options are those of ``timm``; size, crop, mean and deviation are the folder's.
    """

    def load_network(self, size: int | None) -> tuple[nn.Module, str]:
        """The network that reads pictures, and a description of its weights and settings.

        Args:
            size: not used: a network reads pictures of its own size, or refuses others.

        Returns:
            As ``timm_networks.load``.

        Raises:
            EncoderError: no model, weights that do not fit, or a folder that does not say how pictures are read.
        """
        loaded = load(self.spec, self.options, may_lack=("pooler.",))
        data = _data(self.spec.encoder, loaded.folder)
        return _Pictures(loaded.module, data), f"{loaded.weights}, settings {loaded.settings}"


class _Pictures(nn.Module):
    """[batch, 3, height, width] -> [batch, feature].

    Attributes:
        pretrained_cfg: how pictures are read, in timm's words.
        num_features: of the result.
    """

    def __init__(self, model: Any, data: dict[str, Any]) -> None:
        super().__init__()
        config = model.config
        self.kind, self.pretrained_cfg = config.model_type, data
        self.project: nn.Module = nn.Identity()
        if self.kind == "clip":
            self.project, self.num_features = model.visual_projection, int(config.projection_dim)
        else:
            self.num_features = int(getattr(config, "vision_config", config).hidden_size)
        self.model = model.vision_model if self.kind in _TWO_TOWERS else model

    def forward(self, pictures: Tensor) -> Tensor:
        found = self.model(pixel_values=pictures)
        return self.project(
            found.pooler_output if self.kind in _TWO_TOWERS else found.last_hidden_state[:, 0]
        )


def _data(encoder: str, folder: Path) -> dict[str, Any]:
    """How pictures are read, in timm's words.

    Args:
        encoder: its name, for messages.
        folder: of the model.

    Raises:
        EncoderError: the folder does not say so.
    """
    file = folder / _SETTINGS
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        size = said["size"] if isinstance(said["size"], dict) else {"shortest_edge": said["size"]}
        shortest = int(size.get("shortest_edge") or size["height"])
        cut = said.get("crop_size", shortest)
        crops = bool(said.get("do_center_crop")) and "shortest_edge" in size
        side = int(cut["height"] if isinstance(cut, dict) else cut) if crops else shortest
        return {
            "input_size": (3, side, side),
            "mean": tuple(map(float, said["image_mean"])),
            "std": tuple(map(float, said["image_std"])),
            "crop_pct": side / shortest,
            "crop_mode": "center" if crops else "squash",
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EncoderError(
            f"encoder {encoder}: {file} should say size, image_mean and image_std ({type(error).__name__})"
        ) from None
