"""The commands of docs/exchange.md run as they stand: masks go out, a script breaks by them, its answers come back."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from mmbench.benchmark.report.results import results
from mmbench.leaderboards.tables.results import read_outputs

from ..conftest import Call, write_dataset

DOCS = Path(__file__).parents[3] / "docs"
SECTION = (DOCS / "exchange.md").read_text(encoding="utf-8").split("\n## ")[1]
COMMANDS = [
    shlex.split(line)
    for block in re.findall(r"^```bash\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


def test_the_page_can_be_followed_from_masks_to_the_leaderboard(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_dataset(tmp_path / "data" / "mosi")
    called = []
    said = ""
    for program, *words in COMMANDS:
        called.append(" ".join([program, *words[:2]]))
        if program == "python":
            script = [sys.executable, str(DOCS / "examples" / words[0]), *words[1:]]
            subprocess.run(script, check=True, timeout=120)
            continue
        code, said = call(*words)
        assert code == 0, (words, said)
    assert called == [
        "mmbench masks export", "python ridge.py masks", "mmbench masks check", "mmbench merge masks",
        "mmbench leaderboard --store",
    ]  # fmt: skip
    assert "ridge" in said
    assert "outside mmbench" in said
    (ridge,) = results(tmp_path / "runs")
    outputs = read_outputs(ridge)
    masks = pd.read_parquet(tmp_path / "masks" / "masks.parquet")
    conditions = set(masks.loc[masks["split"] == "test", "condition"])
    assert set(outputs) == {one for one in conditions if not one.startswith("frame-dropout")}
    assert ridge.damaged
    assert ridge.further is not None
    assert set(ridge.further()["condition"].astype(str)) >= conditions - set(outputs)
    answers = pd.read_parquet(tmp_path / "masks" / "ridge" / "predictions.parquet")
    for condition, one in outputs.items():
        theirs = answers[(answers["split"] == "test") & (answers["condition"] == condition)]
        assert sorted(one.prediction.tolist()) == pytest.approx(sorted(theirs["score"].tolist()), abs=1e-6)
    clean, alone = outputs["clean"], outputs["missing:text"]
    assert abs(clean.prediction - clean.target).mean() < abs(alone.prediction - alone.target).mean()
    theirs = answers.replace({"sample_id": {answers["sample_id"].iloc[0]: "a stranger"}})
    theirs.to_parquet(tmp_path / "masks" / "ridge" / "predictions.parquet", index=False)
    code, said = call("masks", "check", "masks", "--data-root", "data")
    assert code == 1
    assert said.count("refused") == 1
    assert "refused ridge: predictions.parquet: valid, clean: predictions of other samples: 1 of" in said
    assert "first a stranger" in said
    code, said = call("merge", "masks", "--data-root", "data", "--store", "others")
    assert code == 1
    assert "predictions of other samples" in said
    assert not list((tmp_path / "others").glob("jobs/*"))
