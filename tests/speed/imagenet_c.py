"""The maintained library that damage to pictures is compared with: ``imagecorruptions`` 1.1.2, as it is.

Two of its calls were renamed in the libraries below it, so that fog and glass blur fail with numpy 2 and
scikit-image 0.19 or later; here both names lead to what replaced them.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import skimage.data
import torch
from skimage.filters import gaussian
from torch import Tensor

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from imagecorruptions import corrupt as _corrupt
    from imagecorruptions import corruptions as _module

#: our kind -> theirs
NAMES = {
    "pixel-noise": "gaussian_noise",
    "shot-noise": "shot_noise",
    "impulse-noise": "impulse_noise",
    "defocus-blur": "defocus_blur",
    "glass-blur": "glass_blur",
    "motion-blur": "motion_blur",
    "zoom-blur": "zoom_blur",
    "snow": "snow",
    "frost": "frost",
    "fog": "fog",
    "brightness": "brightness",
    "contrast": "contrast",
    "elastic": "elastic_transform",
    "pixelate": "pixelate",
    "jpeg": "jpeg_compression",
}


def _gaussian(image: Any, sigma: Any, multichannel: bool = False, **options: Any) -> Any:
    return gaussian(image, sigma, channel_axis=-1 if multichannel else None, **options)


_module.gaussian = _gaussian
if not hasattr(np, "float_"):
    setattr(np, "float_", np.float64)  # noqa: B010


def corrupt(picture: np.ndarray, kind: str, severity: int) -> np.ndarray:
    """What the library makes of [height, width, 3] uint8, drawn from numpy's global generator."""
    return _corrupt(picture, severity, NAMES[kind])


def photographs() -> np.ndarray:
    """[3, 224, 224, 3] uint8: a portrait, a cat, a cup; they come with scikit-image."""
    found = []
    for name in ("astronaut", "cat", "coffee"):
        picture = getattr(skimage.data, name)()
        height, width = picture.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = torch.from_numpy(picture[top : top + side, left : left + side].copy()).permute(2, 0, 1)
        small = torch.nn.functional.interpolate(square[None].float(), (224, 224), mode="area")[0]
        found.append(small.round().byte().permute(1, 2, 0).contiguous().numpy())
    return np.stack(found)


def as_features(pictures: np.ndarray) -> Tensor:
    """[n, height, width, channel] uint8 -> [n, 1, channel, height, width] in 0 to 1."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).unsqueeze(1).float().div(255).contiguous()


def as_pictures(features: Tensor) -> np.ndarray:
    """The reverse of ``as_features``."""
    return features[:, 0].permute(0, 2, 3, 1).mul(255).round().byte().contiguous().numpy()
