"""Critical-difference diagrams and risk-coverage curves draw the figures of the tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from mmbench.leaderboards.plots.diagrams import critical_differences, risk_coverages
from mmbench.leaderboards.plots.figure import Drawing, write_drawings
from mmbench.leaderboards.stats.ranks import rank
from mmbench.leaderboards.tables.accuracy import accuracy
from mmbench.leaderboards.tables.risk_coverage import curves, risks
from mmbench.leaderboards.tables.trust import misclassification

from ..conftest import make_result, make_table

TARGET = [0.0, 1.0, 2.0, 3.0]


def ranked_frame(tasks: int, values: np.ndarray, **more) -> pd.DataFrame:
    results = [
        make_result(
            f"m{m}",
            0,
            make_table({"clean": [y + values[t, m] for y in TARGET]}, TARGET),
            task=f"t{t}",
            **more,
        )
        for t in range(tasks)
        for m in range(values.shape[1])
    ]
    return accuracy(results, draws=20)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axis in figure.axes for text in axis.texts]


def test_methods_stand_at_their_average_rank_and_bars_join_cliques():
    values = 1.0 + 0.15 * np.arange(4) + np.random.default_rng(0).normal(0, 0.25, size=(12, 4))
    figure, reasons = critical_differences(ranked_frame(12, values))
    found = rank(-values)
    assert reasons == []
    lines = [(line.get_marker(), np.asarray(line.get_xydata())) for line in figure.axes[0].lines]
    stems = {round(float(points[0, 0]), 9) for _, points in lines if len(points) == 3}
    assert stems == {round(float(x), 9) for x in found.ranks}
    dots = [points[:, 0].tolist() for marker, points in lines if marker == "o"]
    assert dots == [found.ranks[list(clique)].tolist() for clique in found.cliques]
    assert len(dots) > 0
    assert f"m0  {found.ranks[0]:.2f}" in texts(figure)
    assert f"Nemenyi's critical difference {found.critical_difference:.2f}" in " ".join(texts(figure))
    assert "12 tasks" in figure.axes[0].get_title()


def test_too_few_tasks_are_not_drawn_and_the_number_needed_is_said(tmp_path: Path):
    values = np.ones((6, 3)) + np.arange(3)
    with pytest.raises(ValueError, match="6, 7 needed"):
        critical_differences(ranked_frame(6, values))
    both = pd.concat(
        [ranked_frame(6, values), ranked_frame(7, np.ones((7, 3)) + np.arange(3), synthetic=True)]
    )
    figure, reasons = critical_differences(both)
    assert len(figure.axes) == 1
    assert "synthetic stand-in" in figure.axes[0].get_title()
    assert len(reasons) == 1
    assert "real" in reasons[0]
    files, _ = write_drawings(iter([Drawing("critical-difference", figure, both)]), tmp_path)
    assert [file.name for file in files] == [
        "critical-difference-partly-synthetic-stand-in.png",
        "critical-difference-partly-synthetic-stand-in.pdf",
    ]
    assert files[0].read_bytes().startswith(b"\x89PNG")
    assert files[1].read_bytes().startswith(b"%PDF")


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of texts of a panel that lie over each other, and texts that leave the figure."""
    figure.canvas.draw()
    found = [(text, text.get_window_extent()) for axis in figure.axes for text in [*axis.texts, axis.title]]
    bad = [
        (a.get_text(), b.get_text()) for i, (a, x) in enumerate(found) for b, y in found[:i] if x.overlaps(y)
    ]
    box = figure.bbox
    out = [(t.get_text(), "edge") for t, x in found if x.x0 < 0 or x.y0 < 0 or x.x1 > box.x1 or x.y1 > box.y1]
    return bad + out


@pytest.mark.parametrize("methods", [2, 3, 6, 13])
def test_no_text_lies_over_another(methods: int):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    values = 1.0 + 0.02 * np.arange(methods) + np.random.default_rng(1).normal(0, 0.1, size=(14, methods))
    figure, _ = critical_differences(ranked_frame(14, values))
    FigureCanvasAgg(figure)
    assert overlaps(figure) == []


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=7))
def test_risk_is_the_mean_loss_over_all_orders_that_confidence_allows(pairs: list[tuple[int, int]]):
    from itertools import permutations

    loss, confidence = np.array(pairs, dtype=float).T
    orders = [o for o in permutations(range(len(pairs))) if (np.diff(confidence[list(o)]) <= 0).all()]
    expected = np.mean([np.cumsum(loss[list(o)]) / np.arange(1, len(pairs) + 1) for o in orders], axis=0)
    coverage, risk = risks(loss[None], confidence[None])
    assert risk[0] == pytest.approx(expected, abs=1e-9)
    assert coverage == pytest.approx(np.arange(1, len(pairs) + 1) / len(pairs))


def classified(method: str, seed: int, noise: float):
    draw = np.random.default_rng([seed, int(10 * noise)])
    target = np.arange(60) % 2
    logit = (2 * target - 1) + noise * draw.normal(size=60)
    ids = [f"s{i:02d}" for i in range(60)]
    columns = {"split": "test", "condition": "clean", "sample_id": ids, "domain": "d", "target": target}
    return make_result(
        method, seed, pd.DataFrame({**columns, "logit_0": -logit, "logit_1": logit}), family="classification"
    )


def regressed(method: str, seed: int, shuffled: bool = False):
    draw = np.random.default_rng(seed)
    target = np.linspace(0, 3, 30)
    table = make_table({"clean": target + draw.normal(size=30)}, target)
    return make_result(method, seed, table.iloc[::-1] if shuffled else table)


def test_the_area_is_that_of_the_table():
    results = [classified(name, seed, noise) for name, noise in (("a", 1.0), ("b", 3.0)) for seed in range(3)]
    found, reasons = curves(results)
    frame = misclassification(results, draws=20)
    frame = frame.loc[(frame["metric"] == "aurc") & (frame["condition"] == "max_softmax")]
    assert [one.aurc for one in found] == pytest.approx(frame["mean"].tolist(), abs=1e-12)
    assert reasons == []
    figure = risk_coverages(found)
    line = figure.axes[0].lines[0]
    assert np.asarray(line.get_ydata()) == pytest.approx(100 * found[0].risk.mean(axis=0))
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert legend.get_texts()[1].get_text() == f"b: {found[1].aurc:.4f} (n = 3)"


def test_regression_takes_the_ensemble_whatever_the_order_of_samples():
    results = [regressed("a", seed) for seed in range(3)]
    found, _ = curves(results)
    frame = misclassification(results, draws=20)
    row = frame.loc[(frame["metric"] == "aurc") & (frame["condition"] == "ensemble")]
    assert found[0].aurc == pytest.approx(row["mean"].item(), abs=1e-12)
    assert found[0].confidence == "ensemble"
    mixed, _ = curves([regressed("a", seed, shuffled=seed == 1) for seed in range(3)])
    assert np.array_equal(mixed[0].risk, found[0].risk)


def test_a_predicted_variance_comes_before_the_ensemble():
    target = np.array(TARGET)
    table = make_table({"clean": target + np.arange(4) / 10}, target)
    table["log_variance"] = np.tile([0.0, 1.0, 2.0, 3.0], 2)
    (found,), _ = curves([make_result("a", 0, table)])
    assert found.confidence == "variance"
    assert found.risk[0] == pytest.approx([0.0, 0.05, 0.1, 0.15])


def test_what_has_no_curve_is_said():
    odd = make_result("three", 1, make_table({"clean": [0.0] * 30}, [1.0] * 30))
    rows = [regressed("one", 0), regressed("two", 0), make_result("two", 1), regressed("three", 0), odd]
    found, reasons = curves(rows)
    assert found == []
    assert "risk-coverage curve of one on mosi, text+audio: no variance is predicted" in reasons[0]
    assert "seed 1 of 2 is not done" in reasons[1]
    assert "different samples or targets" in reasons[2]
    with pytest.raises(ValueError, match="no method has a confidence"):
        risk_coverages(found)
    with pytest.raises(ValueError, match="expected"):
        risks(np.zeros((2, 3)), np.zeros((2, 4)))


def test_pictures_of_one_stem_do_not_replace_each_other(tmp_path: Path):
    """Datasets ``a/b`` and ``a-b`` have one stem, as a name of a file has no slash."""
    from matplotlib.figure import Figure

    data = pd.DataFrame({"data": ["real"]})
    files, _ = write_drawings(iter([Drawing("missing-a-b", Figure(), data)] * 2), tmp_path)
    assert len({*files}) == len(files) == len([*tmp_path.iterdir()]) == 4
