"""A colleague's results, looked at and changed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from mmbench.benchmark.exchange.merge import Report

Call = Callable[..., tuple[int, str]]


def jobs(store: Path) -> list[Path]:
    return sorted((store / "jobs").iterdir())


def kinds(report: Report, prefix: str = "") -> list[str]:
    return [kind for kind, name, _ in report.lines if name.startswith(prefix)]


def reason(report: Report, kind: str) -> str:
    (found,) = [why for what, _, why in report.lines if what == kind]
    return found


def content(folder: Path) -> dict[str, bytes]:
    """All files, but the locks, which are empty, and the scores, which are made anew."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != "lock"]
    files = [file for file in files if file.parent.name != "scores"]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def sign(job: Path) -> None:
    """Makes every hash in a job's folder true of what lies there."""
    marker = job / "done.json"
    values = json.loads(marker.read_text())
    for name, stated in values["files"].items():
        data = (job / name).read_bytes()
        stated |= {"sha256": hashlib.sha256(data).hexdigest()}
        if "size" in stated:
            stated["size"] = len(data)
    marker.write_text(json.dumps(values))
    for marker in job.glob("evaluations/*.json"):
        data = marker.with_suffix(".parquet").read_bytes()
        values = {"schema": 1, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        marker.write_text(json.dumps(values))


def without_tables(store: Path) -> Path:
    shutil.rmtree(store / "leaderboards")
    return store


def reencode(job: Path, change: Callable[[pa.Table], pa.Table], name: str = "predictions") -> None:
    file = job / f"{name}.parquet"
    pq.write_table(change(pq.read_table(file)), file)
    sign(job)


def replaced(table: pa.Table, column: str, values: np.ndarray | list | pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(column), column, pa.array(values))


def swapped(table: pa.Table) -> pa.Table:
    """Both logits change places: another network's answers, as well formed as the first."""
    other = table["logit_1"].to_numpy()
    return replaced(replaced(table, "logit_1", table["logit_0"].to_numpy()), "logit_0", other)
