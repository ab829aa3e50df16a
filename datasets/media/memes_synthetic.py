"""Draws the stand-ins of memes: Devanagari words in real fonts on coloured backgrounds.

What they say is planned in :mod:`mmbench.datasets.shared.memes`. The bit of the image is the hue of the background: cold
(190 to 250 degrees) or warm (0 to 60); its style is the shape that is drawn, a disc, a square or a triangle. The text stands below
it in two lines, in a font and size of its own.
"""

from __future__ import annotations

import colorsys
import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..dataset import SYNTHETIC_FILE, SYNTHETIC_MARK, DataError, writing
from ..libraries import import_guard
from ..shared.memes import Memes
from .chipsal import IMAGES, LIST

if TYPE_CHECKING:
    from PIL import ImageDraw, ImageFont

#: Fonts with Devanagari, in Debian's package fonts-deva, of which those are used that are installed.
FONTS = ("Lohit-Devanagari.ttf", "kalimati.ttf", "nakula.ttf", "Samyak-Devanagari.ttf")
SIDE = 160
HUES = ((190, 250), (0, 60))
SMALLEST, LARGEST = 14, 18


def fonts() -> list[str]:
    """The fonts of ``FONTS`` that are installed.

    Raises:
        DataError: none is.
    """
    with import_guard("PIL", "drawing memes"):
        from PIL import ImageFont

    found = []
    for name in FONTS:
        try:
            ImageFont.truetype(name, LARGEST)
        except OSError:
            continue
        found.append(name)
    if not found:
        raise DataError(
            f"no font with Devanagari; expected one of {', '.join(FONTS)} (Debian: apt-get install fonts-deva)"
        )
    return found


def write_memes(folder: Path, memes: Memes, typefaces: list[str], name: str, seed: int = 0) -> list[Path]:
    """Draws memes and writes their list in the layout of the dataset.

    Args:
        folder: where to; it is made.
        memes: what they say.
        typefaces: as of ``fonts``.
        name: of the dataset.
        seed: of everything that is drawn.

    Returns:
        The file that says what this is, and the list.

    Raises:
        DataError: it cannot be written.
    """
    with import_guard("PIL", "drawing memes"):
        from PIL import ImageFont

    known = {
        (face, size): ImageFont.truetype(face, size)
        for face in typefaces
        for size in range(SMALLEST, LARGEST + 1)
    }
    mark, listed = folder / SYNTHETIC_FILE, folder / LIST
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["index", "text", "label"])
    with writing(folder):
        (folder / IMAGES).mkdir(parents=True, exist_ok=True)
        for row, (text, label) in enumerate(zip(memes.text, memes.label, strict=True)):
            draw = np.random.default_rng([seed, row])
            face = typefaces[draw.integers(len(typefaces))]
            font = known[face, int(draw.integers(SMALLEST, LARGEST + 1))]
            _draw(folder / IMAGES / f"{row:04d}.png", text, memes.bits[row, 1], memes.style[row], font, draw)
            rows.writerow([f"{row:04d}", text, label])
        listed.write_text(table.getvalue(), encoding="utf-8")
        words = f"{SYNTHETIC_MARK} for {name}, seed {seed}, fonts {', '.join(typefaces)}\n"
        mark.write_text(words, encoding="utf-8")
    return [mark, listed]


def _draw(
    file: Path, text: str, warm: int, style: int, font: ImageFont.FreeTypeFont, draw: np.random.Generator
) -> None:
    """Draws one meme.

    Args:
        file: where to.
        text: what stands on it.
        warm: the bit of the image.
        style: which shape.
        font: of the text.
        draw: all that is random.
    """
    with import_guard("PIL", "drawing memes"):
        from PIL import Image, ImageDraw

    hue = draw.uniform(*HUES[warm]) / 360
    ground = tuple(
        int(255 * part) for part in colorsys.hsv_to_rgb(hue, draw.uniform(0.5, 0.9), draw.uniform(0.6, 0.95))
    )
    picture = Image.new("RGB", (SIDE, SIDE), ground)
    pen = ImageDraw.Draw(picture)
    _shape(pen, style, draw)
    words = text.split()
    for line, top in ((" ".join(words[:-2]), 100.0), (" ".join(words[-2:]), 126.0)):
        left = draw.uniform(4, max(SIDE - pen.textlength(line, font=font) - 4, 5))
        pen.text((left, top), line, fill="white", font=font, stroke_width=1, stroke_fill="black")
    picture.save(file)


def _shape(pen: ImageDraw.ImageDraw, style: int, draw: np.random.Generator) -> None:
    radius = draw.uniform(22, 34)
    across, down = draw.uniform(40, SIDE - 40), draw.uniform(40, 60)
    grey = int(draw.uniform(200, 255))
    colour = (grey, grey, grey)
    box = (across - radius, down - radius, across + radius, down + radius)
    if style == 0:
        pen.ellipse(box, fill=colour)
    elif style == 1:
        pen.rectangle(box, fill=colour)
    else:
        corners = [(across, box[1]), (box[2], box[3]), (box[0], box[3])]
        pen.polygon(corners, fill=colour)
