"""Real transcripts in English and Chinese as two modalities, whole conversations, one session left out at a time."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from mmbench.datasets.dataset import SPLITS
from mmbench.datasets.layout.affect import read_affect
from mmbench.datasets.layout.open_layout import locate_open

from ..conftest import Call

PLUGIN = Path(__file__).with_name("letters.py")
FAST = ("--launcher", "debug", "--device", "cpu", "--seeds", "0", "--epochs", "1")


def texts() -> pd.DataFrame:
    """The table of transcripts; the test is skipped where it is not there."""
    place = os.environ.get("MMBENCH_TEST_DATA")
    file = Path(place or "") / "affect-texts.parquet"
    if not place or not file.is_file():
        pytest.skip("MMBENCH_TEST_DATA names no folder with affect-texts.parquet")
    return pd.read_parquet(file)


def write_iemocap(folder: Path, table: pd.DataFrame) -> Path:
    """Utterances of IEMOCAP as raw media: two languages, conversations, sessions, and no parts."""
    table = table.assign(sample_id=table["id"], label=table["emotion"])
    columns = ["sample_id", "label", "video", "order", "speaker", "session", "english", "chinese"]
    folder.mkdir(parents=True)
    table[columns].astype(str).to_csv(folder / "clips.csv", index=False)
    about = {
        "table": "clips.csv",
        "modalities": {"english": "text", "chinese": "text"},
        "task": {"kind": "classification", "classes": sorted(set(table["emotion"]))},
        "conversation": {"id": "video", "order": "order", "speaker": "speaker"},
        "group": "session",
        "split": "none",
    }
    (folder / "media.yaml").write_text(yaml.safe_dump(about))
    return folder


def test_iemocap_in_two_languages_by_whole_conversations_and_sessions(call: Call, tmp_path: Path) -> None:
    table = texts()
    table = pd.DataFrame(table[table["corpus"] == "iemocap"]).sort_values(by=["video", "order"])
    first = table.groupby("session")["video"].unique().explode().groupby(level=0).head(2)
    table = pd.DataFrame(table[table["video"].isin(first)].groupby("video").head(8))
    folder = write_iemocap(tmp_path / "data" / "talks", table)
    place = ("--data-root", tmp_path / "data", "--plugin", PLUGIN)
    encoders = ("--encoder", "english=letters", "--encoder", "chinese=letters")
    code, said = call("data", "encode", "talks", *encoders, *place)
    assert code == 0, said

    located = locate_open(folder / "dataset.yaml")
    assert located.has_conversations
    splits = located.load()
    by_id = table.set_index("id")
    assert [len(splits[split]) for split in SPLITS] == [len(table), 0, 0]
    for samples in (splits["train"],):
        turns = samples.utterances
        assert turns is not None
        rows = by_id.loc[samples.sample_id.tolist()]
        assert turns.conversation.tolist() == rows["video"].tolist()
        assert turns.speaker.tolist() == rows["speaker"].astype(str).tolist()
        assert turns.order.tolist() == rows["order"].astype(float).tolist()
        for before, row in zip(samples.previous, range(len(samples)), strict=True):
            earlier = turns.order[
                (turns.conversation == turns.conversation[row]) & (turns.order < turns.order[row])
            ]
            assert (turns.order[before] if before >= 0 else None) == (max(earlier) if len(earlier) else None)
        assert samples.group is not None
        assert samples.group.tolist() == rows["session"].astype(str).tolist()
        assert not np.array_equal(samples.features["english"], samples.features["chinese"])

    said = read_affect(located.name, located.description).arrays  # regimes read the same words
    assert said["english"]["transcript"].tolist() == by_id.loc[splits["train"].sample_id, "english"].tolist()

    methods = "logistic,erm(width=8,layers=1),bc_lstm(width=8,layers=1,hidden=8)"
    left_out = ("--folds", "leave-one-out")
    code, said = call(
        "run",
        "--methods",
        methods,
        "--datasets",
        "talks",
        *left_out,
        *FAST,
        *place,
        "--store",
        tmp_path / "runs",
    )
    assert code == 0, said
    predicted: dict[str, list[str]] = {}
    conditions: set[str] = set()
    for file in (tmp_path / "runs" / "jobs").glob("*/predictions.parquet"):
        rows = pd.read_parquet(file)
        conditions |= set(rows["condition"].astype(str))
        clean = rows[(rows["split"] == "test") & (rows["condition"].astype(str) == "clean")]
        ids = clean["sample_id"].tolist()
        assert len(set(by_id.loc[ids, "session"])) == 1  # one session is tested, and it is whole
        predicted.setdefault(file.parent.name.split("-")[1], []).extend(ids)
    assert len(predicted) == 3
    assert all(sorted(ids) == sorted(table["id"]) for ids in predicted.values())
    assert {"missing:english", "missing:chinese"} <= conditions
