"""What `leaderboard` prints by default fits a screen, whatever the store holds."""

from __future__ import annotations

import io
from dataclasses import replace

import pandas as pd
import pytest
from mmbench.benchmark.report.console import SafeConsole
from mmbench.benchmark.report.write import FEW_HOLES, print_summary
from mmbench.leaderboards.render import summary

from ...leaderboards.render.test_summary import accuracies


@pytest.mark.parametrize("width", [80, 120, 200])
@pytest.mark.parametrize(("methods", "sets"), [(22, 1), (50, 1), (22, 4), (22, 30), (1, 1)])
def test_it_fits_a_screen_and_says_what_it_leaves_out(width: int, methods: int, sets: int) -> None:
    values = {f"method{number}": (0.5 + number / 100, 0.6, 0.7) for number in range(methods)}
    parts = [accuracies(values).assign(modalities=f"set{number}") for number in range(sets)]
    panels = [panel for part in parts for panel in summary.panels({"accuracy": part})]
    printed = SafeConsole(file=io.StringIO(), width=width)
    print_summary(panels, printed)
    assert isinstance(printed.file, io.StringIO)
    lines = printed.file.getvalue().splitlines()
    assert len(lines) + FEW_HOLES <= 60
    assert max(map(len, lines)) <= width
    shown = sum(line.startswith("method") and line[6].isdigit() for line in lines)
    if shown < methods * sets:
        assert any("more methods: --what accuracy" in line for line in lines)


@pytest.mark.parametrize("width", [80, 120, 200])
def test_columns_that_need_several_parts_leave_place_for_fewer_methods(width: int) -> None:
    values = {f"method{number}": (0.5 + number / 100, 0.6, 0.7) for number in range(22)}
    base = summary.panels({"accuracy": accuracies(values)})[0]
    columns = {f"what is asked of it {place}": base.values.iloc[:, 0] for place in range(9)}
    wide = replace(base, values=pd.DataFrame(columns), lower=(False,) * 9, units=(base.units[0],) * 9)
    printed = SafeConsole(file=io.StringIO(), width=width)
    print_summary([wide, wide], printed)
    assert isinstance(printed.file, io.StringIO)
    lines = printed.file.getvalue().splitlines()
    assert len(lines) + FEW_HOLES <= 60
    assert max(map(len, lines)) <= width
    assert sum("more methods: --what accuracy" in line for line in lines) == 2
    assert sum(line.startswith("method21 ") for line in lines) >= 2
