"""The groups of corruptions: which there are, and which of them fits what."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from mmbench.benchmark.core.registry import entries
from mmbench.benchmark.planning.corruption_groups import (
    ON_FEATURES,
    breaks_media,
    corruption_entries,
    corruption_groups,
    group_of,
)

from ...datasets.encoders.small_models import WORDS, save_bert
from ..conftest import Command


def test_words_are_the_kinds_that_break_raw_text() -> None:
    known = {name: entry.load() for name, entry in entries("corruption").items()}
    breaking = {name for name, kind in known.items() if getattr(kind, "medium", "") == "words"}
    assert {entry.name for entry in corruption_entries(["words"])} == breaking != set()


def test_a_group_has_the_kinds_that_it_had_in_0_1() -> None:
    members = {name: [entry.name for entry in kinds] for name, kinds in corruption_groups().items()}
    counts = {"imbalanced-rates": 1, "missing-entries": 3, "conflict": 1, "missing-not-at-random": 2}
    later = {name: len(members.pop(name)) for name in counts}
    assert later == counts
    assert {name: len(kinds) for name, kinds in members.items()} == {
        "features": 12, "text": 4, "audio": 10, "missing-rates": 2, "reliability": 1, "frames": 18,
        "image": 15, "audio-wave": 10, "words": 2,
    }  # fmt: skip
    assert members["missing-rates"] == ["random-modality", "random-frames"]
    assert set(members["frames"]) - set(members["image"]) == {"frame-drop", "frame-freeze", "frame-reorder"}
    assert "word-replacement" in members["features"]


def test_the_groups_on_features_are_those_without_a_kind_that_breaks_media() -> None:
    groups: dict[str, list[bool]] = {}
    for entry in entries("corruption").values():
        groups.setdefault(group_of(entry), []).append(breaks_media(entry.load()))
    assert set(ON_FEATURES) == {name for name, breaking in groups.items() if not any(breaking)}


def test_a_file_that_moves_renames_no_group() -> None:
    for entry in entries("corruption").values():
        assert group_of(replace(entry, module="mmbench.corruptions.elsewhere.moved")) == group_of(entry)
    own = replace(entries("corruption")["spikes"], module="/any/my_damage.py", origin="my_damage.py 0123")
    assert group_of(own) == "my-damage"
    assert group_of(replace(own, module="their.damage", origin="their 1.0")) == "damage"


def test_every_group_is_listed_with_its_kinds(mmbench: Command) -> None:
    ended = mmbench("list", "corruptions")
    assert ended.returncode == 0, ended.stderr
    lines = [line.strip() for line in ended.stdout.splitlines()]
    for name, members in corruption_groups().items():
        assert f"{name}: {', '.join(entry.name for entry in members)}" in lines
    assert {"features", "text", "words", "image", "audio-wave"} <= set(corruption_groups())


@pytest.fixture
def texts(tmp_path: Path, mmbench: Command) -> Path:
    """The root of a dataset whose features were encoded from sentences."""
    own, root = tmp_path / "media" / "own", tmp_path / "data"
    own.mkdir(parents=True)
    (tmp_path / "bert").mkdir()
    save_bert(tmp_path / "bert")
    splits = ["train"] * 8 + ["valid"] * 4 + ["test"] * 4
    rows = [f"c{i},{WORDS[i]} {WORDS[(i * 3) % 16]},{split},{i % 2}" for i, split in enumerate(splits)]
    (own / "clips.csv").write_text("\n".join(["sample_id,text,split,label", *rows]) + "\n")
    (own / "media.yaml").write_text(
        "table: clips.csv\nmodalities: {text: text}\ntask: {kind: regression, range: [-1, 1]}\n"
    )
    encoder = f"text=text:{tmp_path / 'bert'}"
    ended = mmbench("data", "encode", "own", "--from", own, "--data-root", root, "--encoder", encoder)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return root


def test_encoded_text_is_broken_by_words_and_text_names_that_group(texts: Path, mmbench: Command) -> None:
    asked = [
        "run",
        "--methods",
        "erm",
        "--datasets",
        "own",
        "--modalities",
        "T",
        "--seeds",
        "0",
        "--epochs",
        "1",
    ]
    asked += ["--data-root", texts, "--store", texts / "runs", "--launcher", "debug", "--device", "cpu"]
    refused = mmbench(*asked, "--corruptions", "text")
    assert refused.returncode == 2
    assert "corruption token-drop breaks tokens" in refused.stderr
    assert refused.stderr.strip().endswith("of --corruptions text, the group words fits")
    ended = mmbench(*asked, "--corruptions", "words")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    files = {file.stem for file in (texts / "runs").glob("jobs/*/evaluations/*.parquet")}
    assert files == {"keyboard-typos", "speech-errors"}
