"""Pictures, and bringing pictures to the size that an encoder reads.

Everything is resized by Pillow's bicubic filter, whose support grows with the reduction (antialias): it is what
the published weights of most encoders were trained and judged with, it needs no torch, and it lets other threads
run meanwhile. Cutting and scaling are one step, with a box of fractions of pixels, so that nothing is rounded twice.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..libraries import import_guard
from .clip import FrameView, MediaError
from .files import check_file

if TYPE_CHECKING:
    from PIL import Image

#: What is a picture by its name; anything else that is asked for as frames is a video.
PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
#: Pictures by their name that are none here; those that move are read as videos.
OTHER_PICTURES = {".gif", ".avif", ".heic", ".heif", ".jp2", ".jxl", ".svg"}


def read_picture(file: Path) -> np.ndarray:
    """A picture, upright as its EXIF data say, [height, width, 3] uint8; what is transparent shows white.

    Raises:
        MediaError: it cannot be read, or is cut.
    """
    with import_guard("PIL", "reading pictures"):
        from PIL import Image, ImageOps

    check_file(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file) as opened:
                upright = ImageOps.exif_transpose(opened)
                return np.asarray(_to_rgb(upright))
    except (
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:
        reason = str(error).replace(repr(str(file)), "the file")
        raise MediaError(f"cannot be read as a picture: {reason}") from None


def _to_rgb(picture: Image.Image) -> Image.Image:
    with import_guard("PIL", "reading pictures"):
        from PIL import Image

    if picture.mode.startswith("I"):  # 16 bits of grey, which Pillow would cut off at 255
        return Image.fromarray((np.asarray(picture) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layers = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers).convert("RGB")


def fitted(picture: np.ndarray, view: FrameView, aspect: float = 1.0) -> np.ndarray:
    """A picture at the view's size.

    Args:
        picture: [height, width, 3] or [height, width], uint8.
        view: the size and the cut.
        aspect: width of a pixel over its height.

    Returns: [3, size, size] or [size, size], uint8.
    """
    with import_guard("PIL", "resizing pictures"):
        from PIL import Image

    height, width = picture.shape[:2]
    box = (0.0, 0.0, float(width), float(height))
    if view.crop == "center":
        side = min(height, width * aspect) * view.crop_share
        across = side / aspect
        box = ((width - across) / 2, (height - side) / 2, (width + across) / 2, (height + side) / 2)
    image = Image.fromarray(picture).resize((view.size, view.size), Image.Resampling.BICUBIC, box=box)
    array = np.asarray(image)
    return array if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))
