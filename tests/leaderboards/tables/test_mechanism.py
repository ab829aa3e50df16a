"""The table of diagnostics, from planted gates whose figures are computed anew by other means."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from mmbench.leaderboards.catalog import TABLES
from mmbench.leaderboards.plots.figure import PictureForm, write_drawings
from mmbench.leaderboards.plots.mechanism import (
    correlations,
    diagnostics_by_severity,
    mechanism_pictures,
    pictures_of_each,
)
from mmbench.leaderboards.render.plain import plain_markdown
from mmbench.leaderboards.tables.diagnostic_scores import damages
from mmbench.leaderboards.tables.mechanism import mechanism, notes_of_mechanism, scored_groups
from scipy.stats import spearmanr

from ..conftest import make_result

COUNT, DRAWS = 60, 40
SEVERE = [f"noise:{name}@{level}" for name in ("text", "audio") for level in range(1, 6)]
GRID = [f"reliability:noise={step / 10}+missing=0.0" for step in (1, 5, 9)]
CONDITIONS = [
    "clean",
    "missing:text",
    "missing:audio",
    *SEVERE,
    "random-frames@0.5",
    "random-frames@1.0",
    *GRID,
]


def told(seed: int = 0, falls: float = 0.1) -> pd.DataFrame:
    """Outputs whose gate for the audio falls with noise on the audio and rises with noise on the text, and which err the
    more the higher it is."""
    target = np.random.default_rng(9).normal(size=COUNT)
    parts = []
    for place, condition in enumerate(CONDITIONS):
        draw = np.random.default_rng([seed, place])
        level = int(condition[-1]) if condition in SEVERE else 0
        level = 5 * float(condition[18:21]) if condition in GRID else level
        side = -1 if ":audio" in condition else 1
        gate = np.clip(0.5 + side * falls * level / 2 + draw.normal(0, 0.05, COUNT), 0.01, 0.99)
        parts.append(
            pd.DataFrame(
                {
                    "split": "test",
                    "condition": condition,
                    "sample_id": [f"s{row:03d}" for row in range(COUNT)],
                    "target": target,
                    "score": target + gate + draw.normal(0, 0.02, COUNT),
                    "diagnostic_gate/text": 1 - gate,
                    "diagnostic_gate/audio": gate,
                    "diagnostic_depth": draw.normal(size=COUNT),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def network(method: str, seed: int, frame: pd.DataFrame | None, **fields):
    clean = told(seed).query("condition == 'clean'")
    return make_result(method, seed, clean, diagnostics=None if frame is None else (lambda: frame), **fields)


def row(frame: pd.DataFrame, diagnostic: str, condition: str, method: str = "gated") -> dict:
    rows = frame[(frame.method == method) & (frame.diagnostic == diagnostic) & (frame.condition == condition)]
    assert len(rows) == 1
    return pd.DataFrame(rows).to_dict("records")[0]


@pytest.fixture(scope="module")
def results():
    return [network("gated", seed, told(seed)) for seed in (0, 1)]


@pytest.fixture(scope="module")
def frame(results) -> pd.DataFrame:
    return mechanism(results, draws=DRAWS)


def test_numbers_are_those_of_pandas_and_scipy(frame: pd.DataFrame) -> None:
    tables = [told(seed) for seed in (0, 1)]
    found = row(frame, "gate/audio", "noise:audio")

    def mean(condition: str) -> float:
        return float(
            np.mean([t.loc[t.condition == condition, "diagnostic_gate/audio"].mean() for t in tables])
        )

    assert found["clean"] == pytest.approx(mean("clean"))
    for level in range(1, 6):
        assert found[f"severity_{level}"] == pytest.approx(mean(f"noise:audio@{level}"))
    ours = np.mean([mean(f"noise:audio@{level}") for level in range(1, 6)])
    theirs = np.mean([mean(f"noise:text@{level}") for level in range(1, 6)])
    assert found["damaged"] == pytest.approx(ours)
    assert found["own_minus_other"] == pytest.approx(ours - theirs)
    rhos, errors = [], []
    for table in tables:
        rows = table[table.condition.isin(["clean", *(f"noise:audio@{level}" for level in range(1, 6))])]
        level = rows.condition.map(lambda name: 0 if name == "clean" else int(name[-1]))
        rhos.append(spearmanr(rows["diagnostic_gate/audio"], level)[0])
        errors.append(spearmanr(rows["diagnostic_gate/audio"], (rows.score - rows.target).abs())[0])
    assert found["rho_severity"] == pytest.approx(np.mean(rhos))
    assert found["rho_error"] == pytest.approx(np.mean(errors))
    shares = np.concatenate([t.loc[t.condition == "clean", "diagnostic_gate/audio"] for t in tables])
    entropy = -(shares * np.log2(shares) + (1 - shares) * np.log2(1 - shares)).mean()
    assert row(frame, "entropy of gate", "clean")["clean"] == pytest.approx(entropy)


def test_intervals_hold_what_was_planted_and_leave_out_what_was_not(frame: pd.DataFrame) -> None:
    gate = row(frame, "gate/audio", "mean:audio")
    assert gate["rho_severity_high"] < -0.5
    assert gate["own_minus_other_high"] < 0
    assert row(frame, "gate/audio", "mean:text")["rho_severity_low"] > 0.5
    assert row(frame, "gate/audio", "clean")["rho_error_low"] > 0.5
    for condition in ("mean:audio", "mean:text"):
        depth = row(frame, "depth", condition)
        assert depth["rho_severity_low"] < 0 < depth["rho_severity_high"]
        assert np.isnan(depth["own_minus_other"])  # it belongs to no modality
    noise = row(frame, "gate/audio", "reliability:noise")
    assert noise["rho_severity_low"] > 0.5  # of all modalities at once: here as of the text
    assert np.isnan(noise["severity_1"])
    assert noise["damaged"] > noise["clean"]
    rates = row(frame, "depth", "random-frames")
    assert np.isnan(rates["severity_1"])
    assert np.isfinite(rates["rho_severity"])


def test_what_is_printed_has_summaries_with_their_intervals_and_the_file_every_kind(
    frame: pd.DataFrame,
) -> None:
    table = TABLES["mechanism"]
    shown = table.shown_rows(frame)
    assert set(frame.condition) - set(shown.condition) == {"noise:text", "noise:audio"}
    text = plain_markdown(shown, table.title, notes_of_mechanism(frame))
    gate = row(frame, "gate/audio", "mean:audio")
    assert (
        f"{gate['rho_severity']:.4g} [{gate['rho_severity_low']:.4g}, {gate['rho_severity_high']:.4g}]"
        in text
    )
    assert "rho_severity_low" not in text.splitlines()[2]
    assert "own_minus_other: the mean where" in text


def test_a_seed_that_lacks_is_a_hole_and_a_method_without_diagnostics_is_left_out() -> None:
    given = [
        network("gated", 0, told(0)),
        network("gated", 1, None),
        network("silent", 0, told(0).iloc[:0]),
        network("never", 0, None),
    ]
    found = mechanism(given, draws=DRAWS)
    assert set(found.method) == {"gated"}
    assert np.isnan(found["clean"].to_numpy()).all()
    assert all("run again with --diagnostics" in hole for hole in found["hole"])


def test_without_any_it_says_what_to_type() -> None:
    with pytest.raises(ValueError, match="run again with --diagnostics"):
        mechanism([network("never", 0, None)], draws=DRAWS)
    with pytest.raises(ValueError, match="none of the methods gives diagnostics"):
        mechanism([network("silent", 0, told(0).iloc[:0])], draws=DRAWS)


def test_values_that_are_not_finite_are_a_hole() -> None:
    broken = told(0)
    broken.loc[3, "diagnostic_depth"] = np.nan
    (hole,) = set(mechanism([network("gated", 0, broken), network("gated", 1, told(1))], draws=DRAWS)["hole"])
    assert "diagnostic depth has values that are not finite under clean" in hole


def test_damages_are_told_from_other_conditions() -> None:
    names = [
        "clean",
        "missing:a",
        "spikes:b@1",
        "spikes:b@5",
        "random-modality@0.3",
        "reliability:noise=0.1+missing=0.2",
        "reliability:noise=0.3+missing=0.0",
        "reliability:noise=0.0+missing=0.9",
    ]
    found = {one.name: (one.modalities, list(one.levels)) for one in damages(names, "a+b")}
    assert found == {
        "missing:a": (("a",), [1.0]),
        "spikes:b": (("b",), [1.0, 5.0]),
        "random-modality": ((), [0.3]),
        "reliability:noise": ((), [0.3]),
        "reliability:missing": ((), [0.9]),
    }


def test_the_picture_draws_the_means_of_the_table(results, frame: pd.DataFrame, tmp_path: Path) -> None:
    (scored,) = scored_groups(results, DRAWS)
    figure = diagnostics_by_severity(scored)
    assert isinstance(figure, Figure)
    panels = figure.axes
    assert len(panels) == 3 * 3  # gate, depth and entropy; text and audio damaged, and noise on both
    assert panels[2].get_title() == "noise on all modalities"
    audible = panels[1]
    assert audible.get_title() == "audio damaged: noise"
    line = next(line for line in audible.lines if line.get_label() == "audio")
    gate = row(frame, "gate/audio", "mean:audio")
    expected = [gate["clean"], *(gate[f"severity_{level}"] for level in range(1, 6))]
    assert np.asarray(line.get_xdata()).tolist() == [0, 1, 2, 3, 4, 5]
    assert np.asarray(line.get_ydata()).tolist() == pytest.approx(expected)

    picture = correlations(frame)
    drawn = {one.get_label(): one.lines[0] for one in picture.axes[1].containers}  # type: ignore[attr-defined]
    assert {"clean", "mean:audio", "reliability:noise"} <= drawn.keys()
    assert row(frame, "gate/audio", "clean")["rho_error"] in np.asarray(drawn["clean"].get_xdata()).tolist()
    assert [one.get_text() for one in picture.axes[0].get_yticklabels()][:2] == ["gate/text", "gate/audio"]

    silent = [network("gated", 0, told(0).query("not condition.str.contains('noise')"))]
    files, reasons = write_drawings(
        mechanism_pictures([scored, *scored_groups(silent, DRAWS)]), tmp_path, PictureForm((".png",), 40)
    )
    assert [file.name for file in files] == ["mechanism-gated.png"]
    assert "run with --corruptions features (or reliability) and --diagnostics" in reasons[0]
    files, reasons = write_drawings(
        pictures_of_each(frame, correlations, "agreement"), tmp_path, PictureForm((".png",), 40)
    )
    assert [file.name for file in files] == ["agreement-gated.png"]
    assert not reasons
