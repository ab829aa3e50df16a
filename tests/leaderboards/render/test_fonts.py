"""Names of every script in pictures."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from mmbench.leaderboards.render import fonts
from mmbench.leaderboards.render.files import save_figure

#: Linear A, which hardly any machine has a font for, and Armenian, which the default font has.
NOWHERE = ("\U00010600", "\U00010601")
ARMENIAN = "Հայերեն"


def draw(names: tuple[str, ...]) -> Figure:
    figure = Figure()
    axes = figure.subplots()
    axes.set_xticks(range(len(names)), names)
    for name in names:
        axes.plot([0, 1], [0, 1], label=name)
    axes.set_title(" and ".join(names))
    axes.legend()
    return figure


def test_what_no_font_has_is_shown_as_code_points_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fonts, "_fonts", dict)
    figure = draw(NOWHERE)
    with caplog.at_level(logging.WARNING, "mmbench"), warnings.catch_warnings():
        warnings.simplefilter("error")  # such as that of a glyph that is missing
        save_figure(tmp_path / "a.png", figure)
        save_figure(tmp_path / "a.pdf", figure)
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["U+10600", "U+10601"]
    assert axes.get_title() == "U+10600 and U+10601"
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["U+10600", "U+10601"]
    assert "no font of this machine has" in caplog.text


def test_a_font_that_has_the_letters_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    known = {"STIXGeneral": frozenset("ⅷ"), "cmr10": frozenset("ab")}
    monkeypatch.setattr(fonts, "_fonts", lambda: known)
    monkeypatch.setattr(fonts, "_lacking", lambda words: {"ⅷ"})
    assert fonts.fonts_with("ⅷb") == (["STIXGeneral", "cmr10"], set())
    figure = draw(("ⅷ", "b"))
    save_figure(tmp_path / "a.png", figure)
    assert figure.axes[0].title.get_fontfamily() == ["DejaVu Sans", "STIXGeneral"]
    assert figure.axes[0].get_xticklabels()[0].get_fontfamily() == ["DejaVu Sans", "STIXGeneral"]
    assert figure.axes[0].get_title() == "ⅷ and b"


def test_what_the_default_font_has_is_left_as_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    figure = draw(("erm", "Übung", ARMENIAN))
    save_figure(tmp_path / "a.png", figure)
    assert figure.axes[0].title.get_fontfamily() == ["sans-serif"]
    assert caplog.text == ""


def test_a_dollar_in_a_name_is_no_formula(tmp_path: Path):
    figure = draw((r"a$\nosuch$", "$b$"))
    save_figure(tmp_path / "a.png", figure)
    assert figure.axes[0].get_title() == r"a$\nosuch$ and $b$"
