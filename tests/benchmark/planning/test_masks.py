"""Masks of somebody else are conditions that finished networks are tested under."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmbench.benchmark import Experiment, UsageError, run
from mmbench.benchmark.planning.evaluations import evaluations_of
from mmbench.benchmark.store.store import Store
from mmbench.corruptions.mask_table import MaskTable
from mmbench.datasets.batch import Batch

from ..conftest import write_dataset

Call = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """An experiment whose networks are trained and tested under random missing modalities."""
    folder = tmp_path_factory.mktemp("masks")
    write_dataset(folder / "data" / "toy")
    asked: dict[str, Any] = {"methods": ["erm(layers=1)"], "datasets": ["toy"], "seeds": [0]}
    asked |= {"protocol": {"epochs": 1}, "launcher": "debug", "device": "cpu", "data_root": folder / "data"}
    asked |= {"store": folder / "runs", "modalities": ["all", "T"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        assert run(Experiment.read({**asked, "corruptions": ["random-modality"]})).ok
    return asked


def outputs(made: dict[str, Any], beginning: str) -> tuple[str, pd.DataFrame]:
    """The evaluation of the network of both modalities whose name begins so; that of text alone must have none."""
    (both,) = [record.job.id for record in Store(made["store"]) if record.job.modalities == ("text", "audio")]
    (text,) = [record.job.id for record in Store(made["store"]) if record.job.modalities == ("text",)]
    found = {
        job: [n for n in Store(made["store"]).job(job).evaluations() if n.startswith(beginning)]
        for job in (both, text)
    }
    (name,) = found[both]
    assert beginning == "random-modality" or not found[text]
    return name, pq.read_table(
        pa.BufferReader(Store(made["store"]).job(both).read_evaluation(name))
    ).to_pandas()


def test_exported_masks_come_back_as_the_same_condition(
    made: dict[str, Any], tmp_path: Path, call: Call
) -> None:
    root, store = ("--data-root", made["data_root"]), ("--store", made["store"])
    words = (
        "masks",
        "export",
        *root,
        "--datasets",
        "toy",
        "--corruptions",
        "random-modality",
        "--out",
        tmp_path / "masks",
    )
    code, said = call(*words)
    assert code == 0, said
    table = pd.read_parquet(tmp_path / "masks" / "masks.parquet")
    table = table[table["evaluation"] == "random-modality"].sample(frac=1, random_state=1)
    table.to_parquet(tmp_path / "theirs.parquet", index=False)
    one = table[table["condition"] == "random-modality@0.4"]
    gone = [
        ["audio", "text"][int(audio)] if not (text and audio) else ""
        for text, audio in zip(one["text"], one["audio"], strict=True)
    ]
    pd.DataFrame({"sample_id": one["sample_id"], "missing": gone}).to_csv(tmp_path / "named.csv", index=False)
    flags: dict[str, Any] = {name: [not there for there in one[name]] for name in ("text", "audio")}
    np.savez(tmp_path / "absent.npz", sample_id=one["sample_id"].tolist(), **flags)
    tensors = {name: torch.tensor(np.asarray(one[name])).long() for name in ("text", "audio")}
    torch.save({"sample_id": one["sample_id"].tolist(), **tensors}, tmp_path / "saved.pt")
    files = {"theirs.parquet": (), "named.csv": (), "absent.npz": ("--absent",), "saved.pt": ()}
    for file, more in files.items():
        code, said = call("masks", "import", tmp_path / file, "--datasets", "toy", *root, *store, *more)
        assert code == 0, said
        assert f"--corruptions mask:{file.partition('.')[0]}" in said
    asked = Experiment.read(
        {**made, "corruptions": ["mask:theirs", "mask:named", "mask:absent", "mask:saved"]}
    )
    assert run(asked).ok
    _, expected = outputs(made, "random-modality")
    name, found = outputs(made, "mask-theirs")
    digest = name.partition("~")[2]
    assert set(found["condition"]) == {
        f"mask:theirs~{digest[:8]}/random-modality={k / 10:.1f}" for k in range(1, 8)
    }
    score = dict(
        zip(zip(expected["condition"], expected["sample_id"], strict=True), expected["score"], strict=True)
    )
    names = found["condition"].astype(str).str.partition("/")[2].str.replace("=", "@")
    np.testing.assert_allclose(
        found["score"], [score[key] for key in zip(names, found["sample_id"], strict=True)], atol=1e-6
    )
    for other in ("named", "absent", "saved"):
        name, one = outputs(made, f"mask-{other}")
        assert set(one["condition"]) == {f"mask:{other}~{name.partition('~')[2][:8]}"}
        np.testing.assert_allclose(
            one["score"], [score["random-modality@0.4", sample] for sample in one["sample_id"]], atol=1e-6
        )
    code, said = call("leaderboard", *store, "--out", tmp_path / "tables", "--what", "robustness")
    assert code == 0, said
    table = (tmp_path / "tables" / "robustness.csv").read_text(encoding="utf-8")
    assert "mask:named~" in table
    code, said = call(
        "run",
        *store,
        *root,
        "--methods",
        "erm(layers=1)",
        "--datasets",
        "toy",
        "--seeds",
        "0",
        "--corruptions",
        "mask:theris",
    )
    assert (code, "no masks 'theris'" in said, "theirs" in said) == (2, True, True)


def test_masks_that_changed_are_another_evaluation(made: dict[str, Any], tmp_path: Path, call: Call) -> None:
    ids = [f"2-{row}" for row in range(16)]
    words = ("masks", "import", tmp_path / "some.csv", "--datasets", "toy", "--data-root", made["data_root"])
    names = set()
    for place, store in enumerate(("one", "two")):
        pd.DataFrame({"sample_id": ids, "text": [row != place for row in range(16)]}).to_csv(
            tmp_path / "some.csv"
        )
        assert call(*words, "--store", tmp_path / store)[0] == 0
        asked = Experiment.read({**made, "store": tmp_path / store, "corruptions": ["mask:some"]})
        (evaluation,) = evaluations_of(asked)
        names.add(evaluation.name)
    assert len(names) == 2
    code, said = call(*words, "--store", tmp_path / "one")
    assert (code, "another table of that name is there" in said) == (2, True)
    with pytest.raises(UsageError, match="no masks 'other'"):
        evaluations_of(Experiment.read({**made, "corruptions": ["mask:other"]}))


def test_masks_that_are_no_masks_of_the_samples_are_refused(
    made: dict[str, Any], tmp_path: Path, call: Call
) -> None:
    ids = [f"2-{row}" for row in range(16)]
    whole: dict[str, Any] = {"text": [1] * 16, "audio": [1] * 16}
    faults: dict[str, dict[str, Any]] = {
        "a mask of other samples: 1 of 17 are not in toy, first x-1": {
            "sample_id": [*ids, "x-1"],
            "text": [1] * 17,
        },
        "lacks 1 of the 16 test samples of toy, first 2-15": {"sample_id": ids[:-1], "text": [0] * 15},
        "names the sample 2-0 twice": {"sample_id": [*ids, "2-0"], "text": [1] * 17},
        "sample 2-3 has no modality left": {"sample_id": ids, **{k: [1] * 3 + [0] + [1] * 12 for k in whole}},
        "the value '2'": {"sample_id": ids, "text": [2] * 16},
        "names of modalities": {"sample_id": ids, "missing": ["texts"] * 16},
        "expected a column for each modality (text, audio)": {"sample_id": ids, "words": [1] * 16},
        "Audio: a column of no modality; expected 'audio'": {
            "sample_id": ids,
            "text": [1] * 16,
            "Audio": [0] * 16,
        },
        "sample_id: no such column": whole,
    }
    for words, columns in faults.items():
        pd.DataFrame(columns).to_csv(tmp_path / "some.csv", index=False)
        call_words = (
            "masks",
            "import",
            tmp_path / "some.csv",
            "--datasets",
            "toy",
            "--data-root",
            made["data_root"],
        )
        code, said = call(*call_words, "--store", tmp_path / "new")
        assert code == 2, words
        assert words in " ".join(said.split())
        assert said.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_masks_that_no_job_is_tested_under_are_refused(
    made: dict[str, Any], tmp_path: Path, call: Call
) -> None:
    """They would be passed over, and the table would say that no corruption was tested."""
    pd.DataFrame({"sample_id": [f"2-{row}" for row in range(16)], "text": [1] * 16}).to_csv(
        tmp_path / "some.csv"
    )
    store = tmp_path / "store"
    code, said = call(
        "masks", "import", tmp_path / "some.csv", "--datasets", "toy", "--data-root", made["data_root"], "--store", store
    )  # fmt: skip
    assert code == 0, said
    for change in ({"modalities": ["audio"]}, {"datasets": ["toyc"]}):
        if "datasets" in change:
            write_dataset(made["data_root"] / "toyc", 1, "classification")
        with pytest.raises(UsageError, match="masks of toy with text, and no job here is tested on that"):
            run(Experiment.read({**made, **change, "store": store, "corruptions": ["mask:some"]}))


class Harmful:
    """Would write a file where it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        return Path.touch, (self.place,)


def test_a_file_of_tensors_runs_nothing_and_names_its_samples(
    made: dict[str, Any], tmp_path: Path, call: Call
) -> None:
    ids = [f"2-{row}" for row in range(16)]
    ones = torch.ones(16)
    faults: dict[str, Any] = {
        "holds a Tensor and no names of samples": torch.zeros(16),
        "is broken, or holds objects other than tensors": {
            "sample_id": ids,
            "text": Harmful(tmp_path / "ran"),
        },
        "text: a dict; expected a tensor": {"sample_id": ids, "text": {"a": 1}},
        "'audio': (15,)": {"sample_id": ids, "text": ones, "audio": torch.ones(15)},
    }
    file = tmp_path / "some.pt"
    words = (
        "masks",
        "import",
        file,
        "--datasets",
        "toy",
        "--data-root",
        made["data_root"],
        "--store",
        tmp_path / "new",
    )
    for fault, content in faults.items():
        torch.save(content, file)
        code, said = call(*words)
        assert code == 2, fault
        assert fault in " ".join(said.split())
        assert said.count("\n") == 1
    file.write_bytes(b"no tensors")
    code, said = call(*words)
    assert (code, said.count("\n")) == (2, 1)
    assert "some.pt: is broken, or holds" in said
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "new").exists()


@given(
    rows=st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=9),
    data=st.data(),
)
def test_a_sample_has_what_the_table_gives_it_in_any_order(
    rows: list[tuple[bool, bool, bool]], data: st.DataObject
) -> None:
    count = len(rows)
    order = data.draw(st.permutations(range(count)))
    there = torch.tensor(rows)
    hashes = torch.arange(count) * 7 - 3
    condition = MaskTable("mask:some", ("a", "b"), hashes, there[:, :2])
    names = ("a", "b", "c")
    had = {"a": there[:, 2][order], "b": torch.ones(count, dtype=torch.bool), "c": there[:, 0][order]}
    batch = Batch(
        features={name: torch.zeros(count, 1, 1) for name in names},
        mask={name: torch.ones(count, 1, dtype=torch.bool) for name in names},
        present=had, target=torch.zeros(count), domain=torch.zeros(count).long(), sample_id=hashes[order],
    )  # fmt: skip
    found = condition.apply(batch).present
    assert torch.equal(found["a"], had["a"] & there[order, 0])
    assert torch.equal(found["b"], there[order, 1])
    assert torch.equal(found["c"], had["c"])
    with pytest.raises(ValueError, match=f"a mask of other samples: it lacks {count} of {count}"):
        MaskTable("mask:some", ("a",), hashes + 1, there[:, :1]).apply(batch)
