"""A method that reads whole conversations, through the command: planned, trained, refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ..conftest import Call
from ..dialogues import dialogue_arrays, write_dialogues

QUICK = ("--launcher", "debug", "--device", "cpu", "--seeds", "0", "--epochs", "1")
LSTM = "bc_lstm(layers=1,width=8,hidden=8)"


def test_its_jobs_are_trained_and_predict_every_utterance(call: Call, tmp_path: Path) -> None:
    write_dialogues(tmp_path / "data" / "talk")
    place = ("--data-root", tmp_path / "data", "--store", tmp_path / "runs")
    code, said = call("run", "--methods", LSTM, "--datasets", "talk", *QUICK, *place)
    assert code == 0, said
    (file,) = (tmp_path / "runs").glob("jobs/*/predictions.parquet")
    table = pd.read_parquet(file)
    clean = table[(table["condition"] == "clean") & (table["split"] == "test")]
    assert sorted(clean["sample_id"].astype(int)) == np.flatnonzero(dialogue_arrays()["split"] == 2).tolist()
    # from the weights alone, conditions are added, also data without conversations
    write_dialogues(tmp_path / "data" / "apart", 1, conversation=None)
    more = ("--corruptions", "gaussian-noise", "--ood", "apart")
    code, said = call("run", "--methods", LSTM, "--datasets", "talk", *QUICK, *place, *more)
    assert code == 0, said
    assert len(list((tmp_path / "runs").glob("jobs/*/eval*/*.parquet"))) >= 3


def test_data_without_conversations_are_refused_in_one_line_and_left_out_of_all(
    call: Call, data_root: Path
) -> None:
    code, said = call("plan", "--methods", "bc_lstm", "--datasets", "toy", "--data-root", data_root)
    assert code == 2
    (line,) = said.strip().splitlines()
    assert "method bc_lstm reads whole conversations, and toy does not say" in line
    write_dialogues(data_root / "talk", unimodal_labels={"audio": "label"})
    code, said = call("data", "info", "talk", "--data-root", data_root)
    test = dialogue_arrays()["dialogue"][dialogue_arrays()["split"] == 2]
    longest = max(np.unique(test, return_counts=True)[1])
    assert f"test has {len(set(test))} conversations, the longest of {longest} utterances" in said
    assert "test has labels of their own for audio" in said
    for name, there in (("toy", False), ("talk", True)):
        code, said = call("plan", "--methods", "all", "--datasets", name, "--data-root", data_root)
        assert code == 0, said
        assert ("bc_lstm" in said) is there


def test_a_conversation_in_two_splits_and_equal_parts_are_refused_before_anything_is_written(
    call: Call, tmp_path: Path
) -> None:
    split = dialogue_arrays()["split"]
    split[np.flatnonzero(dialogue_arrays()["turn"] == 10)[:3]] = 2
    write_dialogues(tmp_path / "data" / "cut", arrays={"split": split})
    place = ("--datasets", "cut", "--data-root", tmp_path / "data", "--store", tmp_path / "runs", *QUICK)
    code, said = call("run", "--methods", LSTM, *place)
    assert code == 2
    assert "conversations of test are also in train, and bc_lstm reads whole conversations" in said
    assert not (tmp_path / "runs").exists()
    code, said = call("run", "--methods", "erm(layers=1,width=8)", *place)
    assert code == 0, said  # a warning, for a method that reads single utterances

    write_dialogues(tmp_path / "data" / "talk")
    write_dialogues(tmp_path / "data" / "more", 1)
    code, said = call(
        "plan", "--methods", LSTM, "--datasets", "talk+more->cut", "--balance-domains", "on", "--data-root",
        tmp_path / "data",
    )  # fmt: skip
    assert code == 2
    assert "batches of whole conversations cannot hold all domains in equal parts" in said
