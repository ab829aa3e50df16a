"""Masks that are exported are those that networks are tested under, and predictions under them come back as rows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from mmbench.benchmark import Experiment, leaderboard, load_network, predictions, run
from mmbench.benchmark.exchange.manifest import identity
from mmbench.benchmark.exchange.merge import Report, merge
from mmbench.benchmark.report.results import results
from mmbench.benchmark.store.store import Store
from mmbench.datasets.batch import Batch
from mmbench.leaderboards.tables.robustness import robustness

from ..conftest import write_dataset

ASKED = "missing,frame-dropout,random-modality,random-frames,gaussian-noise,block-dropout"
Call = Callable[..., tuple[int, str]]


@dataclass(frozen=True)
class Made:
    """A store with one tested network, its masks, and predictions of the network by a script that knows masks alone."""

    data: Path
    store: Path
    job: str
    masks: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    from mmbench.benchmark.cli.main import main

    folder = tmp_path_factory.mktemp("masks")
    write_dataset(folder / "data" / "toyc", 1, "classification")
    asked: dict[str, Any] = {"methods": ["erm(layers=1)"], "datasets": ["toyc"], "seeds": [0]}
    asked |= {"protocol": {"epochs": 1}, "launcher": "debug", "device": "cpu", "data_root": folder / "data"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        assert run(Experiment.read({**asked, "corruptions": ASKED, "store": folder / "runs"})).ok
        words = ["masks", "export", "--datasets", "toyc", "--corruptions", ASKED, "--values"]
        words += ["--data-root", str(folder / "data"), "--out", str(folder / "masks")]
        patch.setattr("sys.argv", ["mmbench", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        (job,) = [record.job.id for record in Store(folder / "runs")]
        found = Made(folder / "data", folder / "runs", job, folder / "masks")
        answers = found.masks / "copy-of-erm"
        answers.mkdir()
        manifest = json.loads((found.masks / "manifest.json").read_text())
        (answers / "method.json").write_text(
            json.dumps({"masks": manifest["id"], "method": "copy", "seed": 0})
        )
        predict_by_masks(found, manifest).to_parquet(answers / "predictions.parquet", index=False)
    return found


def predict_by_masks(made: Made, manifest: dict[str, Any]) -> pd.DataFrame:
    """The answers of the stored network to features that numpy alone has masked, or that were exported damaged."""
    network = load_network(made.store, made.job, made.data)
    table = pd.read_parquet(made.masks / "masks.parquet")
    steps = np.load(made.masks / "steps.npz")
    clean = {split: np.load(made.masks / "values" / f"{split}.npz") for split in ("valid", "test")}
    rows = []
    for pair, part in table.groupby(["split", "condition"], observed=True, sort=False):
        split, condition = pair  # pyright: ignore[reportGeneralTypeIssues]
        source = clean[str(split)]
        damaged = (
            np.load(made.masks / manifest["values"][condition]) if condition in manifest["values"] else {}
        )
        assert (
            part["sample_id"].tolist() == source["sample_id"].tolist() == steps[f"{split}/sample_id"].tolist()
        )
        features = {}
        for name in ("text", "audio"):
            values = damaged[name] if name in damaged else source[name]
            if f"{split}/{condition}/{name}" in steps and condition != "clean":
                values = values * steps[f"{split}/{condition}/{name}"][..., None]
            features[name] = values
        count = len(part)
        batch = Batch(
            features={name: torch.from_numpy(np.asarray(values)) for name, values in features.items()},
            mask={name: torch.from_numpy(steps[f"{split}/clean/{name}"]) for name in features},
            present={name: torch.from_numpy(part[name].to_numpy(bool).copy()) for name in features},
            target=torch.full((count,), -1),
            domain=torch.full((count,), -1),
            sample_id=torch.zeros(count, dtype=torch.int64),
        )
        with torch.inference_mode():
            logits = network.method(batch).prediction.numpy()
        head = {"split": split, "condition": condition, "sample_id": part["sample_id"].to_numpy()}
        rows.append(pd.DataFrame({**head, "logit_0": logits[:, 0], "logit_1": logits[:, 1]}))
    return pd.concat(rows).sample(frac=1, random_state=0)  # in any order


@pytest.fixture
def theirs(made: Made, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made.masks, tmp_path / "theirs", ignore=shutil.ignore_patterns("values")))


def refused(made: Made, folder: Path, store: Path) -> str:
    """The one reason why a merge takes nothing."""
    report = merge(folder, store, data_root=made.data)
    (line,) = report.lines
    assert line[0] == "refused", line
    assert not store.exists()
    assert "\n" not in line[2]
    return line[2]


def test_a_network_under_exported_masks_answers_as_under_the_runner(
    made: Made, theirs: Path, tmp_path: Path
) -> None:
    ours = tmp_path / "ours"
    report = merge(theirs, ours, data_root=made.data)
    assert [(kind, name) for kind, name, _ in report.lines] == [("taken", "copy-of-erm")]
    (copy,) = [record.job for record in Store(ours)]
    own, other = Store(made.store).job(made.job), Store(ours).job(copy.id)
    assert own.evaluations() == other.evaluations() == sorted(ASKED.split(",")[1:])
    pairs = [(predictions(made.store, made.job), predictions(ours, copy.id))]
    for name in own.evaluations():
        pairs.append(
            tuple(
                pq.read_table(pa.BufferReader(one.read_evaluation(name))).to_pandas() for one in (own, other)
            )
        )
    for expected, found in pairs:
        keys = ["split", "condition", "sample_id", "domain", "target"]
        assert expected[keys].to_numpy().tolist() == found[keys].to_numpy().tolist()
        outputs = ["logit_0", "logit_1"]
        np.testing.assert_allclose(found[outputs], expected[outputs], atol=1e-6)
    again = merge(theirs, ours, data_root=made.data)
    assert [kind for kind, _, _ in again.lines] == ["already there"]


def test_the_rows_stand_beside_those_of_mmbench_and_are_never_compared(
    made: Made, theirs: Path, tmp_path: Path
) -> None:
    ours = Path(shutil.copytree(made.store, tmp_path / "ours"))
    assert merge(theirs, ours, data_root=made.data).ok
    frame = leaderboard(ours)
    assert dict(zip(frame["method"], frame["protocol"], strict=True)).keys() == {"erm(layers=1)", "copy"}
    own, copy = (frame[frame["method"] == name].reset_index(drop=True) for name in ("erm(layers=1)", "copy"))
    np.testing.assert_allclose(copy["mean"], own["mean"], atol=1e-6)
    assert set(copy["protocol"]) == {"outside mmbench"}
    assert set(copy["audit_selected_by"]) == {"not by mmbench"}
    damaged = robustness(results(ours))
    of = {name: rows.set_index("condition")["mean"] for name, rows in damaged.groupby("method")}
    assert len(of["copy"]) > 40
    np.testing.assert_allclose(of["copy"], of["erm(layers=1)"][of["copy"].index], atol=1e-6)
    # The store of whoever merged it is taken like any other.
    third = tmp_path / "third"
    report: Report = merge(ours, third)
    assert [kind for kind, _, _ in report.lines] == ["taken", "taken"]


def test_masks_of_other_samples_or_another_breakage_are_refused(
    made: Made, theirs: Path, tmp_path: Path
) -> None:
    ours, file = tmp_path / "ours", theirs / "masks.parquet"
    table = pq.read_table(file)
    flags = table["text"].to_numpy().copy()
    flags[-1] = ~flags[-1]
    pq.write_table(table.set_column(table.schema.get_field_index("text"), "text", pa.array(flags)), file)
    assert refused(made, theirs, ours).startswith("masks.parquet: was changed after it was exported")

    manifest = theirs / "manifest.json"
    values = json.loads(manifest.read_text())
    values["files"] = {}  # whoever changed the table says nothing of it
    manifest.write_text(json.dumps(values))
    assert "text of 1 sample is otherwise than mmbench applies it" in refused(made, theirs, ours)
    others = [f"x{name}" for name in table["sample_id"].to_pylist()]
    pq.write_table(
        table.set_column(table.schema.get_field_index("sample_id"), "sample_id", pa.array(others)), file
    )
    assert "a mask of other samples than the data have" in refused(made, theirs, ours)
    pq.write_table(table, file)
    with np.load(theirs / "steps.npz") as steps:
        arrays = dict(steps)
    arrays["test/frame-dropout:text@2/text"] = ~arrays["test/frame-dropout:text@2/text"]
    np.savez(theirs / "steps.npz", **arrays)
    assert "frame-dropout:text@2/text: other steps than mmbench leaves" in refused(made, theirs, ours)
    (theirs / "steps.npz").unlink()  # what is not there was not changed

    values["conditions"][-1]["sha256"] = "0" * 64
    manifest.write_text(json.dumps(values))
    assert "its id is not that of its content" in refused(made, theirs, ours)
    values["id"] = identity(values)
    manifest.write_text(json.dumps(values))
    assert "another mask than mmbench applies to these samples" in refused(made, theirs, ours)

    values["splits"]["test"]["sha256"] = "0" * 64
    values["id"] = identity(values)
    manifest.write_text(json.dumps(values))
    assert "test: masks of other samples than those of toyc here" in refused(made, theirs, ours)


def test_masks_of_other_data_are_refused(made: Made, theirs: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path / "data" / "toyc", 5, "classification")
    report = merge(theirs, tmp_path / "ours", data_root=tmp_path / "data")
    assert "the data has changed since the masks were exported" in report.lines[0][2]


def other_masks(values: dict[str, Any]) -> None:
    values["masks"] = "0" * 64


def name_of_ours(values: dict[str, Any]) -> None:
    values["method"] = "erm"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (other_masks, "predictions under the masks '000000000000', and"),
        (name_of_ours, "'erm' is a method of mmbench"),
    ],
)
def test_what_a_method_says_of_itself_is_checked(
    made: Made, theirs: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    file = theirs / "copy-of-erm" / "method.json"
    values = json.loads(file.read_text())
    change(values)
    file.write_text(json.dumps(values))
    assert words in refused(made, theirs, tmp_path / "ours")


def test_tensors_from_elsewhere_are_refused(made: Made, theirs: Path, tmp_path: Path) -> None:
    place = theirs / "copy-of-erm"
    (place / "predictions.parquet").rename(place / "predictions.pt")
    said = refused(made, theirs, tmp_path / "ours")
    assert (
        "predictions.pt is not read when it comes from elsewhere: expected one of predictions.parquet" in said
    )


CHANGES: dict[str, Callable[[pd.DataFrame], Any]] = {
    "predictions of other samples: 1 of 16": lambda t: t.assign(
        sample_id=["x" if row == ("test", "clean", "12-3") else row[2] for row in zip(t.split, t.condition, t.sample_id, strict=True)]
    ),
    "lacks 16 of 16 samples|lacks the condition missing:text of test": lambda t: t[
        (t["condition"] != "missing:text") | (t["split"] != "test")
    ],
    "lacks 1 of": lambda t: t.iloc[1:],
    "more than the": lambda t: pd.concat([t, t]),
    "no condition of the manifest": lambda t: t.assign(condition=t["condition"].replace("clean", "cleaner")),
    "twice": lambda t: pd.concat([t.iloc[2:], t.iloc[2:4]]),
    "has the columns": lambda t: t.rename(columns={"logit_1": "p_1"}),
    "not finite": lambda t: t.assign(logit_0=np.inf),
}  # fmt: skip


@pytest.mark.parametrize("words", CHANGES)
def test_predictions_of_other_samples_or_conditions_are_refused(
    made: Made, theirs: Path, tmp_path: Path, words: str, call: Call
) -> None:
    file = theirs / "copy-of-erm" / "predictions.parquet"
    CHANGES[words](pd.read_parquet(file)).to_csv(file.with_suffix(".csv"), index=False)
    file.unlink()
    reason = refused(made, theirs, tmp_path / "ours")
    assert any(part in reason for part in words.split("|")), reason


def test_a_check_says_ok_or_what_differs(made: Made, theirs: Path, call: Call) -> None:
    code, said = call("masks", "check", theirs, "--data-root", made.data)
    assert code == 0, said
    assert said.split().count("ok") == 2
    (theirs / "steps.npz").write_bytes(b"")
    code, said = call("masks", "check", theirs, "--data-root", made.data)
    assert code == 1
    assert said.startswith("refused steps.npz: was changed after it was exported")


def test_what_cannot_be_exported_is_one_line(made: Made, tmp_path: Path, call: Call) -> None:
    words = ("masks", "export", "--data-root", made.data, "--datasets", "toyc")
    code, said = call(*words, "--out", made.masks)
    assert (code, "holds masks already" in said) == (2, True)
    code, said = call(*words, "--corruptions", "image", "--out", tmp_path / "new")
    assert (code, "before they are encoded" in said) == (2, True)
    code, said = call(*words, "--corruptions", "frame-dropot", "--out", tmp_path / "new")
    assert (code, "frame-dropout" in said) == (2, True)
    assert not (tmp_path / "new").exists()
