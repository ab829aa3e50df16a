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
#: Videos that begin as a picture does.
_MOVING = {".mjpg", ".mjpeg", ".apng"}
#: Of a picture of 16 bits that is darker than this, fewer than 16 levels would be left of 8 bits.
_DARKEST = 4096
#: What JPEG, PNG and TIFF begin with; and Matroska, FLV, MPEG.
_PICTURE_HEADS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*")
_VIDEO_HEADS = (b"\x1aE\xdf\xa3", b"FLV\x01", b"\0\0\x01\xba")


def has_picture(file: Path) -> bool:
    """Whether a file holds a picture: its first bytes decide, and its name where they do not."""
    suffix = file.suffix.lower()
    if suffix in _MOVING:
        return False
    with file.open("rb") as stream:
        head = stream.read(16)
    if head.startswith(_PICTURE_HEADS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return True
    is_video = head[4:8] in (b"ftyp", b"moov", b"mdat") or head.startswith(_VIDEO_HEADS)
    return suffix in PICTURES and not is_video


def read_picture(file: Path) -> np.ndarray:
    """A picture, upright as its EXIF data say, [height, width, 3] uint8; what is transparent shows white.

    Raises:
        MediaError: it cannot be read, is cut, moves, has several pages, is transparent everywhere, or holds numbers of
            which it is not known how bright they are.
    """
    with import_guard("PIL", "reading pictures"):
        from PIL import Image

    check_file(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file) as picture:
                _check_alone(picture)
                deep = any("16" in str(tile.args) for tile in picture.tile)
                picture.load()
                turn = _turn(picture)
                colours = _to_rgb(picture, deep)
                return np.asarray(colours if turn is None else colours.transpose(turn))
    except (
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:
        reason = str(error).replace(repr(str(file)), "the file")
        raise MediaError(f"cannot be read as a picture: {reason}") from None


def _check_alone(picture: Image.Image) -> None:
    """Raises MediaError for a picture that moves and for pages of one size, of which only the first would be read.

    A small copy beside the picture, as cameras write it, is none of these.
    """
    count = getattr(picture, "n_frames", 1)
    if count == 1 or picture.format not in ("PNG", "WEBP", "TIFF"):
        return
    size = picture.size
    picture.seek(1)
    second = picture.size
    picture.seek(0)
    if second == size:
        raise MediaError(f"holds {count} pictures: save the one that is meant, or a video")


def _turn(picture: Image.Image) -> Image.Transpose | None:
    """The turn that brings a picture upright. Its EXIF data are read for this one number, and never written back: a
    malformed entry beside it does no harm."""
    with import_guard("PIL", "reading pictures"):
        from PIL import ExifTags, Image

    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    orientation = picture.getexif().get(ExifTags.Base.Orientation)
    return turns.get(orientation) if isinstance(orientation, int) else None


def _to_rgb(picture: Image.Image, deep: bool) -> Image.Image:
    """A picture in colours of 8 bits.

    Args:
        picture: of any mode.
        deep: whether its file holds 16 bits for each colour, of which Pillow keeps the upper 8.

    Raises:
        MediaError: it is not known which of its numbers is white.
    """
    with import_guard("PIL", "reading pictures"):
        from PIL import Image

    if picture.mode == "F":
        raise MediaError("holds floating numbers, which do not say what is white: save it with 8 or 16 bits")
    transparent = picture.info.get("transparency")
    if picture.mode.startswith("I"):  # 16 bits of grey, which Pillow would cut off at 255
        grey = np.asarray(picture)
        if grey.min() < 0 or grey.max() > 65_535:
            raise MediaError("holds numbers beyond 16 bits without a sign: save it with 8 or 16 bits")
        if 0 < grey.max() < _DARKEST:
            raise MediaError(
                f"its brightest number is {grey.max()} of 65535, as where 8 or 12 bits are written as 16: multiply them"
            )
        shown = (grey >> 8).astype(np.uint8)
        if isinstance(transparent, int):
            shown = np.where(grey == transparent, np.uint8(255), shown)
        return Image.fromarray(shown).convert("RGB")
    if deep and isinstance(transparent, tuple):  # one colour of 16 bits, of which 8 are left
        picture.info["transparency"] = tuple(value >> 8 for value in transparent)
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layers = picture.convert("RGBA")
    if not np.asarray(layers.getchannel("A")).any():
        raise MediaError("is transparent everywhere")
    return Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers).convert("RGB")


def resize_picture(picture: np.ndarray, view: FrameView, aspect: float = 1.0) -> np.ndarray:
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
