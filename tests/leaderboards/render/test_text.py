import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmbench.leaderboards.plots.figure import Drawing, missing_modalities, write_drawings
from mmbench.leaderboards.render.csv_files import read_csv, write_csv
from mmbench.leaderboards.render.files import file_name
from mmbench.leaderboards.render.markdown import escape_markdown, markdown, write_markdown
from mmbench.leaderboards.render.notes import holes, notes, title
from mmbench.leaderboards.render.text import wide
from mmbench.leaderboards.tables.accuracy import accuracy, missing


@pytest.fixture
def synthetic(three):
    return [dataclasses.replace(r, synthetic=True) for r in three]


def test_wide_shows_mean_sd_and_n(three):
    table = wide(accuracy(three), intervals=False)
    assert list(table.columns) == [
        "task",
        "modalities",
        "protocol",
        "data",
        "method",
        "n",
        "mae ↓",
        "rmse ↓",
        "corr ↑",
    ]
    expected = [
        "mosi",
        "text+audio",
        "fair",
        "real",
        "erm",
        "3",
        "2.000 ± 1.000",
        "2.000 ± 1.000",
        "1.000 ± 0.000",
    ]
    assert table.iloc[0].tolist() == expected
    assert wide(accuracy(three)).iloc[0]["mae ↓"] == "2.000 ± 1.000 [0.500, 3.500]"


def test_wide_across_conditions(three):
    table = wide(missing(three), "condition", intervals=False)
    assert list(table.columns[6:]) == ["metric", "clean", "no text", "no audio", "average of missing"]
    assert table.iloc[0].tolist()[6:] == ["mae ↓", *(f"{mean}.000 ± 1.000" for mean in (2, 3, 5, 4))]
    assert wide(missing(three), "condition", "rmse").iloc[0]["metric"] == "rmse ↓"


def test_fractions_are_percent_and_one_seed_has_no_sd(result, table):
    frame = table({"clean": [1.0, 1.0, -1.0, 2.0]}, [1.0, 1.0, -1.0, -2.0])
    shown = wide(accuracy([result(frame=frame, family="mosi")], ["acc2_has0"]), intervals=False)
    assert shown.iloc[0]["acc2_has0 % ↑"] == "75.0"
    assert shown.iloc[0]["n"] == "1"


def test_rows_are_sorted_and_holes_are_last(three, result):
    better = [
        dataclasses.replace(r, method="better", predictions=lambda f=r.predictions: f().assign(score=0.0))
        for r in three
    ]
    broken = [result("broken", seed, reason="a|b") for seed in range(2)]
    table = wide(accuracy([*broken, *three, *better], ["mae"]))
    assert list(table["method"]) == ["better", "erm", "broken"]
    assert table.iloc[2][["n", "mae ↓"]].tolist() == ["0 of 2", "—"]


def test_marks(result, table):
    rng = np.random.default_rng(0)
    target = rng.normal(size=80)
    results = []
    for method, error in (("good", 0.1), ("bad", 3.0)):
        for seed in range(3):
            frame = table({"clean": target + error * rng.normal(size=80)}, target)
            results.append(result(method, seed, frame))
    text = markdown(accuracy(results, ["mae"]), "Accuracy")
    good = next(line for line in text.splitlines() if "| good |" in line)
    bad = next(line for line in text.splitlines() if "| bad |" in line)
    assert "**" in good
    assert "**" not in bad
    assert "Marked best" in text
    alone = markdown(accuracy(results[:3], ["mae"]), "Accuracy")
    assert "**" not in alone
    assert "≈" not in alone


def test_draws_are_told_apart(three):
    other = [dataclasses.replace(r, draw=1, job=f"d1-{r.seed}") for r in three]
    table = wide(accuracy([*three, *other], ["mae"]))
    assert sorted(table["method"]) == ["erm (draw 0)", "erm (draw 1)"]


def test_markdown_names_data_n_interval_and_holes(synthetic, result):
    failed = [result("br|oken", seed, reason="x | y", synthetic=True) for seed in range(2)]
    text = markdown(accuracy([*synthetic, *failed]), "Accuracy")
    lines = text.splitlines()
    assert lines[0] == "## Accuracy (synthetic stand-in), n = 3 seeds, 95 % interval over seeds+samples"
    rows = [line for line in lines if line.startswith("| mosi")]
    assert len(rows) == 2
    assert all("synthetic stand-in" in line for line in rows)
    widths = {len(line.replace("\\|", "").split("|")) for line in lines if line.startswith("|")}
    assert len(widths) == 1
    assert "- — br\\|oken on mosi (text+audio, fair; synthetic stand-in): 2 of 2 seeds failed" in text
    assert "say nothing about the real dataset" in text


def test_title_of_real_data_and_of_nothing(three, result):
    assert title(accuracy(three), "Accuracy").startswith("Accuracy (real data), n = 3 seeds")
    assert title(accuracy([result()]), "Accuracy") == "Accuracy (real data), no seed complete"
    one = accuracy(three[:1])
    assert title(one, "A") == "A (real data), n = 1 seed, 95 % interval over samples"
    assert any("one seed" in note for note in notes(one))


def test_a_hole_in_one_place_names_the_place(three):
    full = three[1].predictions()
    lacking = dataclasses.replace(three[1], predictions=lambda: full[full["condition"] != "missing:audio"])
    lines = holes(missing([three[0], lacking, three[2]], ["mae"]))
    assert len(lines) == 1
    assert "[mae, no audio; mae, average of missing]" in lines[0]


def test_what_lacks_under_many_conditions_is_said_once(three):
    full = three[1].predictions()
    kept = full[~full["condition"].str.startswith("missing:")]
    lacking = [dataclasses.replace(one, predictions=lambda: kept) for one in three[1:]]
    lines = [line for line in holes(missing([three[0], *lacking], ["mae"])) if "these" in line]
    assert len(lines) == 1
    assert "mae, no text; mae, no audio" in lines[0]
    assert "seed 1, seed 2: no predictions under these" in lines[0]
    assert "missing:" not in lines[0]


def test_file_names_say_synthetic(three, synthetic, tmp_path):
    real, stand_in = accuracy(three), accuracy(synthetic)
    both = accuracy([*three, *synthetic])
    assert file_name(real, "accuracy", ".csv") == "accuracy.csv"
    assert file_name(both, "accuracy", ".csv") == "accuracy-partly-synthetic-stand-in.csv"
    assert write_csv(stand_in, tmp_path, "accuracy").name == "accuracy-synthetic-stand-in.csv"
    assert write_markdown(stand_in, tmp_path, "accuracy", "Accuracy").name == "accuracy-synthetic-stand-in.md"
    assert len(list(tmp_path.iterdir())) == 2


def test_csv_round_trip_is_exact(three, result, tmp_path):
    third = [
        dataclasses.replace(r, method="=third", predictions=lambda f=r.predictions: f().assign(score=1 / 3))
        for r in three
    ]
    broken = result('@"bro,ken"', 0, reason="-1\n=cmd()")
    for frame in (accuracy([*three, *third, broken]), missing([*three, *third, broken])):
        path = write_csv(frame, tmp_path / "new", "table")
        pd.testing.assert_frame_equal(read_csv(path), frame, check_exact=True)
        assert "\n'=third" not in path.read_text()
        assert ',"\'=third",' in path.read_text()
        assert write_csv(read_csv(path), tmp_path, "again").read_bytes() == path.read_bytes()


@given(st.text(alphabet="'=+-@\ta1,\"| ", max_size=6))
def test_no_text_begins_like_a_formula(tmp_path_factory, text):
    frame = pd.DataFrame({"data": pd.Series(["real"], dtype="str"), "method": pd.Series([text], dtype="str")})
    path = write_csv(frame, tmp_path_factory.mktemp("csv"), "table")
    assert read_csv(path)["method"].tolist() == [text]
    raw = pd.read_csv(path, dtype="str", keep_default_na=False)["method"][0]
    assert raw[:1] not in tuple("=+-@\t")


def test_escape_markdown():
    assert escape_markdown("a|b*c\n`d`<e>\\") == "a\\|b\\*c \\`d\\`\\<e>\\\\"
    assert escape_markdown("[x](y)") == "[x]\\(y)"


def test_bad_input_is_refused(three):
    with pytest.raises(ValueError, match="across is"):
        wide(accuracy(three), "methods")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="metric acc7"):
        wide(missing(three), "condition", "acc7")
    with pytest.raises(ValueError, match="for metric acc7"):
        missing_modalities(missing(three), "acc7")


def test_picture_names_its_data_and_shows_holes(synthetic, result, tmp_path):
    frame = missing([*synthetic, result("broken", 0, synthetic=True)])
    figure = missing_modalities(frame)
    assert "synthetic stand-in" in figure.get_suptitle()
    assert "no value" in figure.get_suptitle()
    axis = figure.axes[0]
    assert [label.get_text() for label in axis.get_xticklabels()] == [
        "clean",
        "no text",
        "no audio",
        "average\nof missing",
    ]
    assert axis.get_legend_handles_labels()[1] == ["erm", "broken"]
    path, _ = write_drawings(iter([Drawing("missing", figure, frame)]), tmp_path)[0]
    assert path.name == "missing-synthetic-stand-in.png"
    assert path.stat().st_size > 10_000
