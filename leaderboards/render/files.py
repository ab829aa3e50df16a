"""Files of tables and pictures: written whole or not at all, under names that say where data are synthetic."""

from __future__ import annotations

import io
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..labels import REAL
from ..tables.accuracy import data_label
from .fonts import show_every_script

if TYPE_CHECKING:
    from matplotlib.figure import Figure


#: Dots an inch of a picture.
DOTS = 150


def file_name(frame: pd.DataFrame, stem: str, suffix: str) -> str:
    """The name of a file that says so where data are synthetic.

    Args:
        frame: of which the column ``data`` is read.
        stem: what the name begins with.
        suffix: with its dot.

    Returns:
        ``"accuracy.csv"`` for real data, ``"accuracy-synthetic-stand-in.csv"`` where all of it is a stand-in,
        ``"accuracy-partly-synthetic-stand-in.csv"`` where some is.
    """
    label = data_label(frame)
    return f"{stem}{'' if label == REAL else '-' + label.replace(' ', '-')}{suffix}"


def write_text(path: Path, text: str) -> Path:
    """Writes a file whole or not at all; its folder is made where it does not exist.

    Args:
        path: of the file.
        text: its content, written as UTF-8.

    Returns:
        The path.

    Raises:
        OSError: it cannot be written; the error names the file.
    """
    return write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> Path:
    """As ``write_text``.

    Args:
        path: of the file.
        content: all of it.

    Returns:
        The path.

    Raises:
        OSError: as ``write_text``.
    """
    return write_parts(path, [content])


def write_parts(path: Path, parts: Iterable[bytes]) -> Path:
    """As ``write_text``, piece by piece.

    Args:
        path: of the file.
        parts: its content, in order.

    Returns:
        The path.

    Raises:
        OSError: as ``write_text``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with naming(path):
        try:
            with draft.open("wb") as file:
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    return path


def save_figure(path: Path, figure: Figure, dots: int = DOTS, colours: int | None = None) -> Path:
    """As ``write_text``, a figure in the format of the name.

    Args:
        path: where to; its suffix is the format.
        figure: what is drawn.
        dots: an inch.
        colours: of a PNG file: so many in a palette, which diagrams do not exceed by what can be seen, for a fifth of the
            size; None for all.

    Returns:
        The path.

    Raises:
        OSError: it cannot be written.
    """
    show_every_script(figure)
    content = io.BytesIO()
    if path.suffix == ".png":
        _save_png(content, figure, dots, colours)
    elif path.suffix == ".svg":
        _save_svg(content, figure)
    else:
        _save_pdf(content, figure, dots)
    return write_bytes(path, content.getvalue())


def _save_svg(file: io.BytesIO, figure: Figure) -> None:
    """The same figure gives the same bytes: without the date, and with the same names of its parts."""
    from matplotlib import rc_context

    with rc_context({"svg.hashsalt": "mmbench"}):
        figure.savefig(file, format="svg", metadata={"Date": None})


def _save_pdf(file: io.BytesIO, figure: Figure, dots: int) -> None:
    """With TrueType fonts: publishers refuse those of type 3, which matplotlib writes by itself."""
    from matplotlib import rc_context

    with rc_context({"pdf.fonttype": 42}):
        figure.savefig(file, dpi=dots, format="pdf")


def _save_png(file: io.BytesIO, figure: Figure, dots: int, colours: int | None) -> None:
    """Draws a figure once; ``savefig`` draws it a second time, to lay it out."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    figure.set_dpi(dots)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.frombuffer(
        "RGBA", canvas.get_width_height(), bytes(canvas.buffer_rgba()), "raw", "RGBA", 0, 1
    ).convert("RGB")
    if colours is not None:
        picture = picture.quantize(colours, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    picture.save(file, "PNG", dpi=(dots, dots))  # optimize takes six times as long for a tenth less


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Raises an OSError of what is done inside, such as that of a full disk, as one that names a file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
