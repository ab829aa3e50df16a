"""What the data and parameters of a user may be: five methods are run on the oddest data, and refuse what cannot be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from mmbench.benchmark.report.results import predictions
from mmbench.datasets.dataset import SPLITS, Target
from mmbench.datasets.layout.write import write_open_layout

from ..conftest import Command, make_samples

SMALL = "layers=1,width=8"
#: 9: not even, and no head of attention but one divides it.
RUN = (
    f"qamoe({SMALL})",
    f"cpsl({SMALL})",
    "cagmamba(layers=1,width=9)",
    f"promma({SMALL})",
    f"mplmm({SMALL})",
)
REFUSED = {
    "cpsl(aux=false,residual=strongest)": "residual=strongest needs the auxiliary heads",
    "mplmm(backbone=mult,prompts=0)": "step_width is 30 and prompts 0: a multiple of heads, 5, and at least 1 are needed",
}


def write_odd_data(folder: Path) -> None:
    """Audio is one number that never changes, in a single step; no training sample has vision, and rubbish lies there;
    every utterance is the only one of its video."""
    splits = {}
    for place, (split, count) in enumerate(zip(SPLITS, (24, 8, 8), strict=True)):
        plain = make_samples(count, place, widths=(6, 1, 3))
        missing = np.full(count, split != "test")
        vision = plain.features["vision"].copy()
        vision[missing] = 1e9
        splits[split] = replace(
            plain,
            features={**plain.features, "audio": np.ones((count, 1, 1), np.float32), "vision": vision},
            mask={**plain.mask, "audio": np.ones((count, 1), bool)},
            present={**plain.present, "vision": ~missing},
            previous=np.full(count, -1),
        )
    write_open_layout(folder, splits, Target("regression", (-3.0, 3.0), metrics="regression"))


def test_odd_data_are_learned_from_and_what_cannot_be_is_one_line(
    mmbench: Command, tmp_path: Path, data_root: Path
):
    write_odd_data(data_root / "odd")
    ended = mmbench(
        "run", "--methods", ",".join((*RUN, *REFUSED)), "--datasets", "odd", "--device", "cpu", "--workers", "1",
        "--epochs", "2", "--seeds", "0", COLUMNS="300",
    )  # fmt: skip
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1
    assert f"{len(REFUSED)} of {len(RUN) + len(REFUSED)} jobs failed" in said
    assert "Traceback" not in said
    for message in REFUSED.values():
        lines = [line for line in said.splitlines() if message in line]
        assert lines
        assert all("ValueError" in line for line in lines)
    done = [folder for folder in (tmp_path / "runs" / "jobs").iterdir() if (folder / "done.json").exists()]
    assert len(done) == len(RUN)
    for folder in done:
        table = predictions(tmp_path / "runs", folder.name)
        assert {"clean", "missing:text", "missing:audio+vision"} <= set(table["condition"])
        assert np.isfinite(table["score"]).all()
