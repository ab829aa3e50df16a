"""The conformance tests of tables: mmbench's own pass, and each fault is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import pytest
from mmbench.benchmark.check.conformance import check_table
from mmbench.leaderboards.catalog import TABLES, Table
from mmbench.leaderboards.tables.accuracy import accuracy
from mmbench.leaderboards.tables.results import Result
from mmbench.leaderboards.tables.trust import ood

CALIBRATION = TABLES["calibration"]


def failures(table: Table) -> list[str]:
    return [result.reason for result in check_table(table) if not result.ok]


@pytest.mark.parametrize("name", TABLES)
def test_tables_of_mmbench_keep_the_contract(name: str) -> None:
    assert not failures(TABLES[name])


def by_order(results: Sequence[Result]) -> pd.DataFrame:
    frame = accuracy(results, draws=20)
    return frame.assign(mean=[float(len(results[0].job))] * len(frame))


def over_what_exists(results: Sequence[Result]) -> pd.DataFrame:
    planned = {(one.method, one.task): 0 for one in results}
    for one in results:
        planned[one.method, one.task] += 1
    frame = accuracy([one for one in results if one.state == "done"], draws=20)
    both = zip(frame["method"], frame["task"], strict=True)
    return frame.assign(n_planned=[planned[key] for key in both])


def of_nothing(results: Sequence[Result]) -> pd.DataFrame:
    return accuracy(results, draws=20) if results else pd.DataFrame()


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (
            Table("mine", "Mine", lambda results: accuracy(results, draws=20).filter(["task"])),
            "lacks the columns",
        ),
        (Table("mine", "Mine", by_order), "results in another order"),
        (Table("mine", "Mine", over_what_exists), "means are over fewer seeds"),
        (Table("mine", "Mine", of_nothing), "raise ValueError"),
        (Table("mine", "Mine", lambda results: ood(results, draws=20)), "no row has a value"),
        (
            Table("mine", "Mine", lambda results: CALIBRATION.make(results), reads=set()),
            "does not name in reads",
        ),
    ],
)
def test_a_fault_is_found(table: Table, reason: str) -> None:
    assert any(reason in failure for failure in failures(table)), failures(table)


def test_a_declaration_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="reads 'logits'"):
        replace(CALIBRATION, reads={"logits"})
    with pytest.raises(ValueError, match="a name has letters"):
        replace(CALIBRATION, name="my table")
