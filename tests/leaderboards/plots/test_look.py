"""Pictures of a size and a style: as large as asked for, with letters and lines fit for a paper or a projector."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from mmbench.leaderboards.plots.curves import curve_pictures, degradation, surface_pictures
from mmbench.leaderboards.plots.figure import (
    Drawing,
    PictureForm,
    dressed,
    missing_modalities,
    write_drawings,
)
from mmbench.leaderboards.plots.look import NATURAL, STYLES, Look, dress
from PIL import Image

from .test_curves import NOISE, SURFACE, table

SINGLE = STYLES["paper"].sized(3.3, 2.8)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Two methods under noise in text, audio and vision."""
    audio, vision = ({name.replace("text", other): 0.6 for name in NOISE} for other in ("audio", "vision"))
    return table({"clean": 0.5, **NOISE, **audio, **vision, "missing:text": 1.0})


def sizes(figure: Figure) -> list[float]:
    """Points of the texts that are seen."""
    return [float(text.get_fontsize()) for text in figure.findobj(Text) if text.get_text()]  # type: ignore[attr-defined]


def widths(figure: Figure) -> list[float]:
    lines = [line for axes in figure.axes for line in axes.findobj(Line2D) if len(line.get_xdata()) > 2]  # type: ignore[attr-defined]
    return [line.get_linewidth() for line in lines]  # type: ignore[attr-defined]


def test_files_are_as_large_as_asked_for(frame: pd.DataFrame, tmp_path: Path) -> None:
    form = PictureForm((".png", ".pdf", ".svg"), look=Look(width=6.0, height=4.5))
    (png, pdf, svg), reasons = write_drawings(curve_pictures(frame, "degradation", form.look), tmp_path, form)
    assert not reasons
    with Image.open(png) as picture:
        assert picture.size == (6 * form.dots, 4.5 * form.dots)
    content = pdf.read_bytes()
    assert b"/MediaBox [ 0 0 432 324 ]" in content
    assert b"/Type3" not in content  # publishers refuse it
    head = svg.read_text(encoding="utf-8")[:2000]
    assert re.search(r'width="432pt" height="324pt"', head)


def test_a_style_has_its_letters_and_lines(frame: pd.DataFrame) -> None:
    drawn = {name: degradation(frame, look) for name, look in (("natural", NATURAL), *STYLES.items())}
    for name, figure in drawn.items():
        dress(figure, STYLES.get(name, NATURAL))
    assert max(sizes(drawn["paper"])) <= 8
    assert min(sizes(drawn["paper"])) >= 7
    assert min(sizes(drawn["slide"])) >= 12
    assert max(widths(drawn["paper"])) < min(widths(drawn["natural"])) < min(widths(drawn["slide"]))
    assert tuple(drawn["slide"].get_size_inches()) == (13.33, 7.5)
    assert drawn["paper"].get_size_inches()[0] == 7.0


def test_ticks_that_are_made_later_have_the_letters_of_the_style(frame: pd.DataFrame) -> None:
    figure = missing_modalities(frame, look=STYLES["slide"])
    dress(figure, STYLES["slide"])
    figure.axes[0].set_ylim(0, 50)  # other ticks
    figure.draw_without_rendering()
    assert min(sizes(figure)) >= 12


@pytest.mark.parametrize("look", [SINGLE, STYLES["slide"]])
def test_no_text_leaves_the_picture_or_lies_over_another(frame: pd.DataFrame, look: Look) -> None:
    surfaces = surface_pictures(table({**SURFACE, **NOISE}), look)
    frame = frame.loc[frame["condition"].isin(["clean", "missing:text"])]
    drawings = [Drawing("missing", missing_modalities(frame, look=look), frame), *surfaces]
    drawn = [one for one in dressed(iter(drawings), look) if isinstance(one, Drawing)]
    assert drawn
    for one in drawn:
        figure = one.figure
        figure.draw_without_rendering()
        whole = figure.bbox.padded(3)
        panels = [text for axes in figure.axes for text in (axes.title, axes.xaxis.label, axes.yaxis.label)]
        legends = [text for legend in figure.legends for text in legend.get_texts()]
        over = [text for text in figure.texts if text.get_text()]
        boxes = [text.get_window_extent() for text in [*panels, *legends, *over] if text.get_text()]
        for box in boxes:
            assert whole.x0 <= box.x0
            assert box.x1 <= whole.x1
            assert whole.y0 <= box.y0
            assert box.y1 <= whole.y1
        inner = [box.padded(-3) for box in boxes]
        assert not any(a.overlaps(b) for place, a in enumerate(inner) for b in inner[:place])


def test_what_a_size_does_not_hold_is_not_drawn(frame: pd.DataFrame, tmp_path: Path) -> None:
    small = Look(width=1.5, height=1.2)
    form = PictureForm((".png",), look=small)
    missing = Drawing("missing", missing_modalities(frame, look=small), frame)
    files, reasons = write_drawings(iter([missing]), tmp_path, form)
    assert not files
    assert reasons == [
        "missing: 1.5 x 1.2 inches do not hold it: ask for a larger --size, or for fewer tasks or methods"
    ]
    (reason,) = curve_pictures(frame, "degradation", small)
    assert "does not hold 4 panels" in str(reason)


def test_without_a_look_a_picture_is_what_it_was(frame: pd.DataFrame) -> None:
    figure = degradation(frame)
    before = (tuple(figure.get_size_inches()), sizes(figure), widths(figure))
    dress(figure, NATURAL)
    assert (tuple(figure.get_size_inches()), sizes(figure), widths(figure)) == before
