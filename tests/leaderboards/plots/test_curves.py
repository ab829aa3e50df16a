"""Pictures of robustness: they draw the figures of the table, and say what they cannot draw."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from mmbench.leaderboards.plots.curves import (
    CURVES,
    curve_pictures,
    degradation,
    missing_rates,
    reliability_surface,
    surface_pictures,
)
from mmbench.leaderboards.plots.figure import COLOURS, FILES, PictureForm, write_drawings
from mmbench.leaderboards.tables.robustness import reliability_point, robustness
from PIL import Image

from ..conftest import make_result, make_table

TARGET = [0.0, 1.0, 2.0, 3.0]
NOISE = {f"gaussian-noise:text@{s}": 1.0 * s for s in range(1, 6)}
FRAMES = {f"random-frames@{k / 10:.1f}": k / 10 for k in range(1, 11)}
SURFACE = {reliability_point(i / 10, j / 10): i + j / 10 for i in range(10) for j in range(10)}


def table(errors: dict[str, float], **fields):
    found = [
        make_result(
            method,
            seed,
            make_table({n: [y + e + more for y in TARGET] for n, e in errors.items()}, TARGET),
            **fields,
        )
        for method, more in (("erm", 0.0), ("other", 1.0))
        for seed in range(2)
    ]
    return robustness(found, draws=20)


def drawn(figure: Figure, panel: int) -> dict[str, np.ndarray]:
    return {str(line.get_label()): np.asarray(line.get_xydata()) for line in figure.axes[panel].get_lines()}


def test_lines_are_the_figures_of_the_table() -> None:
    figure = degradation(table({"clean": 0.5, **NOISE}))
    for panel in (0, 1):  # the mean over a single kind is that kind
        lines = drawn(figure, panel)
        assert np.allclose(lines["erm"], [(0, 0.5), *((s, s) for s in range(1, 6))])
        assert np.allclose(lines["other"], [(0, 1.5), *((s, s + 1) for s in range(1, 6))])
    assert figure.axes[1].get_title() == "gaussian-noise, text"
    rates = drawn(missing_rates(table({"clean": 0.0, **FRAMES})), 0)
    assert np.allclose(rates["erm"], [(k / 10, k / 10) for k in range(11)])


def test_the_surface_has_noise_along_x_and_its_volume_in_the_title() -> None:
    figure = reliability_surface(table(SURFACE))
    heights = np.asarray(figure.axes[0].images[0].get_array())
    assert heights[0, 9] == pytest.approx(9.0)  # row 0: nothing missing, column 9: noise 0.9
    assert heights[9, 0] == pytest.approx(0.9)
    assert "volume 4.95" in figure.axes[0].get_title()  # 4.5 + 0.45
    flat = table(dict.fromkeys(SURFACE, 8.0))
    flat["task"] = "another"
    both = reliability_surface(pd.concat([table(SURFACE), flat]))
    task, modalities, protocol = (
        str(table(SURFACE)[name].iloc[0]) for name in ("task", "modalities", "protocol")
    )
    assert both.get_suptitle().splitlines()[1:] == [f"{modalities}; {protocol}"]  # once
    titles = [axis.get_title().splitlines()[1:] for axis in both.axes if axis.get_title()]
    assert titles[0] == [task, "volume 4.95"]
    assert titles[-1] == ["another", "volume 9.00"]  # the other method is 1 above
    assert [axis.get_ylabel() for axis in both.axes[:2]] == ["missing rate of frames", ""]


def write_robustness_pictures(
    frame: pd.DataFrame, folder: Path, form: PictureForm = FILES
) -> tuple[list[Path], list[str]]:
    curves = (curve_pictures(frame, stem) for stem in CURVES)
    return write_drawings(chain(*curves, surface_pictures(frame)), folder, form)


def test_only_what_there_is_data_for_is_written(tmp_path: Path) -> None:
    files, reasons = write_robustness_pictures(table({"clean": 0.5, **NOISE}, synthetic=True), tmp_path)
    assert [file.name for file in files] == [
        "degradation-synthetic-stand-in.png",
        "degradation-synthetic-stand-in.pdf",
    ]
    assert files[0].read_bytes().startswith(b"\x89PNG")
    assert files[1].read_bytes().startswith(b"%PDF")
    assert len(reasons) == 2
    assert "--corruptions missing-rates" in reasons[0]
    assert "--corruptions reliability" in reasons[1]
    files, reasons = write_robustness_pictures(table({"clean": 0.5}), tmp_path)
    assert not files
    assert "--corruptions features" in reasons[0]


def test_a_block_is_a_picture_with_a_name_of_its_own(tmp_path: Path) -> None:
    tested = {"clean": 0.5, **NOISE}
    parts = [table(tested), table(tested, modalities="text"), table({"clean": 0.5}, modalities="audio")]
    files, reasons = write_robustness_pictures(pd.concat(parts), tmp_path)
    names = [file.name for file in files if file.suffix == ".png"]
    assert names == [f"degradation-{parts[0]['modalities'].iloc[0]}.png", "degradation-text.png"]
    assert "audio" in reasons[0]
    assert "--corruptions features" in reasons[0]
    with pytest.raises(ValueError, match="not of 2"):
        degradation(pd.concat(parts[:2]))


def test_what_has_no_value_gets_no_panel_and_all_panels_one_scale() -> None:
    frame = table({"clean": 0.5, **NOISE, **{name.replace("text", "audio"): 0.6 for name in NOISE}})
    assert len(degradation(frame).axes) == 3
    gone = frame["condition"].str.contains(":audio")
    axes = degradation(frame.assign(mean=frame["mean"].where(~gone))).axes
    assert [axis.get_title() for axis in axes] == ["mean of all", "gaussian-noise, text"]
    assert axes[0].get_ylim() == axes[1].get_ylim()


def test_a_hole_leaves_a_gap_and_not_a_zero() -> None:
    errors = {"clean": 0.5, **{name: value for name, value in NOISE.items() if not name.endswith("@3")}}
    lines = drawn(degradation(table(errors)), 1)
    assert lines["erm"][:, 0].tolist() == [0, 1, 2, 4, 5]


def test_of_many_methods_erm_and_the_best_are_drawn() -> None:
    parts = []
    for place, method in enumerate(["erm", *(f"m{number:02d}" for number in range(11))]):
        errors = {name: value + 0.1 * (12 - place) for name, value in {"clean": 0.5, **NOISE}.items()}
        parts.append(table(errors).assign(method=method))
    figure = degradation(pd.concat(parts, ignore_index=True))
    drawn = [text.get_text() for text in figure.legends[0].get_texts()]
    assert drawn == ["erm", *(f"m{number:02d}" for number in range(4, 11))]  # erm is the worst, m10 the best
    assert "8 of 12 methods" in figure.get_suptitle()
    assert "methods" not in degradation(pd.concat(parts[:8], ignore_index=True)).get_suptitle()


def test_a_band_is_the_interval_and_a_gap_ends_it() -> None:
    frame = table({"clean": 0.5, **NOISE})
    frame.loc[(frame["condition"] == "gaussian-noise:text@2") & (frame["method"] == "erm"), "low"] = np.nan
    (bands,) = [one for one in degradation(frame).axes[1].collections if isinstance(one, PolyCollection)]
    spans = [sorted({float(x) for x in np.asarray(path.vertices)[:, 0]}) for path in bands.get_paths()]
    assert spans == [[0, 1], [3, 4, 5], [0, 1, 2, 3, 4, 5]]
    row = frame.loc[(frame["condition"] == "clean") & (frame["method"] == "other")].iloc[0]
    ends = np.asarray(bands.get_paths()[2].vertices)[:, 1]
    assert ends.min() == pytest.approx(row["low"])


def test_the_same_curves_give_the_same_bytes_as_svg(tmp_path: Path) -> None:
    frame, form = table({"clean": 0.5, **NOISE}), PictureForm((".svg",))
    contents = [write_robustness_pictures(frame, tmp_path / name, form)[0][0].read_bytes() for name in "ab"]
    assert contents[0] == contents[1]
    assert b"</svg>" in contents[0]


def test_a_palette_keeps_the_colours_of_the_methods(tmp_path: Path) -> None:
    frame = table({"clean": 0.5, **NOISE})
    form = PictureForm((".png",), 110, 64)
    ((file,), _) = write_robustness_pictures(frame, tmp_path, form)
    with Image.open(file) as picture:
        assert picture.mode == "P"
        found = np.asarray(picture.convert("RGB")).reshape(-1, 3).astype(int)
    for colour in COLOURS[:2]:
        wanted = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
        assert np.abs(found - wanted).max(axis=1).min() <= 8


def test_no_text_of_a_picture_lies_over_another() -> None:
    kinds = {f"{kind}:{modality}@{s}": 0.5 + s for kind in ("frame-dropout", "drift") for modality in
             ("text", "audio", "vision") for s in range(1, 6)}  # fmt: skip
    figure = degradation(table({"clean": 0.5, **kinds}))
    FigureCanvasAgg(figure).draw()
    titles = [axis.title for axis in figure.axes]
    every = [*titles, *(text for axis in figure.axes for text in axis.texts), *figure.texts]
    every += figure.legends[0].get_texts()
    boxes = [(text.get_text(), text.get_window_extent()) for text in every if text.get_text()]
    over = [(a, b) for place, (a, x) in enumerate(boxes) for b, y in boxes[:place] if x.overlaps(y)]
    assert over == []
    assert all(figure.bbox.x0 <= x.x0 and x.x1 <= figure.bbox.x1 for _, x in boxes)
