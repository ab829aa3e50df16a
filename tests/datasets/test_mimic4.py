"""MIMIC-IV in FuseMoE's pickles: the reader, what is wrong with a file, and the stand-in."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmbench.benchmark.check.dataset import DATASET_CHECKS
from mmbench.datasets.dataset import SPLITS, DataError, Samples
from mmbench.datasets.mimic4 import Mimic4
from mmbench.datasets.pickles.mimic4_layout import FILE_NAMES, MISSING, MODALITIES, SYNTHETIC_KEY, VECTORS
from mmbench.datasets.shared import mimic4_synthetic
from mmbench.datasets.verify import verify
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict

Stays = list[dict[str, Any]]


def write(folder: Path, change: Callable[[Stays], object] = lambda _: None, count: int = 8) -> Path:
    """Three pickles of stays that are no stand-in, the training part changed; its file."""
    folder.mkdir(exist_ok=True)
    for split in SPLITS:
        content = mimic4_synthetic.stays(0, split, count)
        del content[0][SYNTHETIC_KEY]
        if split == "train":
            change(content)
        (folder / FILE_NAMES[split]).write_bytes(pickle.dumps(content, protocol=4))
    return folder / FILE_NAMES["train"]


def load(file: Path) -> dict[str, Samples]:
    return Mimic4().describe(file).load()


# --- the reader -------------------------------------------------------------------------------------------


def test_series_and_vectors_are_those_of_the_stays_at_their_times(tmp_path: Path) -> None:
    splits = load(write(tmp_path, count=12))
    for split, part in splits.items():
        assert tuple(part.features) == MODALITIES
        for row, stay in enumerate(mimic4_synthetic.stays(0, split, 12)):
            assert part.sample_id[row] == str(stay["stay_id"])
            assert part.group is not None
            assert part.group[row] == str(stay["name"])
            assert part.target[row] == stay["label"]
            valid = part.mask["series"][row]
            np.testing.assert_array_equal(part.time["series"][row, valid], np.float32(3600 * stay["ts_tt"]))
            np.testing.assert_array_equal(part.features["series"][row, valid], np.float32(stay["irg_ts"]))
            np.testing.assert_array_equal(part.observed["series"][row, valid], stay["irg_ts_mask"] > 0)
            for name, keys in VECTORS.items():
                assert part.present[name][row] == (not stay[keys.missing])
                vectors = np.array(stay[keys.values], np.float32).reshape(-1, keys.width)[-5:]
                found = part.features[name][row, part.mask[name][row]]
                np.testing.assert_array_equal(found, np.where(np.isfinite(vectors), vectors, 0))


def test_vectors_that_are_not_finite_are_not_observed_and_the_last_five_are_read(tmp_path: Path) -> None:
    def change(content: Stays) -> None:
        stay = content[1]
        stay |= {"ecg_missing": 0, "ecg_time": [5.0, 1.0, 2.0, 3.0, 4.0, 6.0]}
        stay["ecg_feats"] = [np.full(256, hour) for hour in stay["ecg_time"]]
        stay["ecg_feats"][0][3] = np.inf

    part = load(write(tmp_path, change))["train"]
    np.testing.assert_array_equal(part.time["ecg"][1], 3600 * np.array([2.0, 3, 4, 5, 6]))
    np.testing.assert_array_equal(part.features["ecg"][1, :, 0], [2, 3, 4, 5, 6])
    assert part.features["ecg"][1, 3, 3] == 0
    assert not part.observed["ecg"][1, 3, 3]
    assert part.observed["ecg"][1].sum() == 5 * 256 - 1
    assert "text" not in part.observed


def test_a_long_series_is_read_at_its_end(tmp_path: Path) -> None:
    def change(content: Stays) -> None:
        hours = np.linspace(0, 48, 1200)
        series = np.tile(hours[:, None], (1, 30))
        content[0] |= {"ts_tt": hours, "irg_ts": series, "irg_ts_mask": np.ones((1200, 30))}

    part = load(write(tmp_path, change))["train"]
    assert part.features["series"].shape[1] == 999
    assert part.time["series"][0, -1] == 48 * 3600


def test_a_pickle_that_asks_for_code_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path)
    file.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(DataError, match=r"asks for os\.system, which is refused"):
        load(file)


def remove(key: str) -> Callable[[Stays], object]:
    return lambda content: content[2].pop(key)


def put(key: str, value: object) -> Callable[[Stays], object]:
    return lambda content: content[2].__setitem__(key, value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content.clear(), "holds an empty list; expected a list of stays"),
        (lambda content: content.__setitem__(2, 5), "stay 2: is a int; expected a dict"),
        (
            remove("irg_ts"),
            "stay 2/irg_ts: missing; expected an entry of a stay (found: name, hadm_id, stay_id",
        ),
        (remove("text_missing"), "stay 2/text_missing: missing"),
        (put("label", 2), "stay 2/label: is 2; expected 0 or 1"),
        (put("label", "died"), "stay 2/label: is 'died'; expected a whole number"),
        (put("irg_ts", np.zeros((3, 29))), "stay 2/irg_ts: shape (3, 29); expected timex30 numbers"),
        (
            put("irg_ts_mask", np.full((1, 30), 2)),
            "stay 2/irg_ts_mask: shape (1, 30), or other values than 0",
        ),
        (put("ts_tt", [np.nan]), "stay 2/ts_tt: shape (1,), or not finite"),
        (put("irg_ts", "x"), "stay 2/irg_ts: no numbers"),
    ],
)
def test_a_faulty_stay_is_named(tmp_path: Path, change: Callable[[Stays], object], said: str) -> None:
    file = write(tmp_path, change)
    with pytest.raises(DataError) as caught:
        load(file)
    assert f"{file}: {said}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_measured_value_that_is_not_finite_is_named(tmp_path: Path) -> None:
    def change(content: Stays) -> None:
        content[2]["irg_ts"] = np.where(content[2]["irg_ts_mask"], np.nan, 0)

    with pytest.raises(DataError, match="stay 2/irg_ts: a measured value is not finite"):
        load(write(tmp_path, change))


def test_a_part_that_is_missing_or_of_another_kind_is_named(tmp_path: Path) -> None:
    file = write(tmp_path)
    (tmp_path / FILE_NAMES["valid"]).write_bytes(
        pickle.dumps(mimic4_synthetic.stays(0, "valid", 3), protocol=4)
    )
    with pytest.raises(DataError, match="some of the three files are a stand-in"):
        Mimic4().describe(file)
    (tmp_path / FILE_NAMES["valid"]).unlink()
    with pytest.raises(DataError, match=r"stands alone; expected val_ihm.* beside it"):
        Mimic4().describe(file)


def test_stays_of_one_patient_in_two_parts_are_a_warning(tmp_path: Path) -> None:
    """The release divides stays, not patients."""
    file = write(tmp_path, lambda content: content[0].__setitem__("name", 90_000_000 + 1_000_000))
    findings = verify(Mimic4().describe(file), Mimic4())
    assert any(one.status == "warning" and one.what.startswith("groups in") for one in findings)
    assert any(one.what == "train samples" and one.status == "differs" for one in findings)


# --- the stand-in -----------------------------------------------------------------------------------------


def test_it_meets_the_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mimic4_synthetic, "SMALL", {"train": 30, "valid": 10, "test": 10})
    for check in DATASET_CHECKS:
        check(Mimic4, tmp_path)
    with pytest.raises(DataError, match="is there and is no stand-in"):
        Mimic4().synthesize(write(tmp_path / "real").parent)


def test_modalities_are_missing_as_often_as_in_the_real_data_and_each_tells_a_part(tmp_path: Path) -> None:
    Mimic4().synthesize(tmp_path, seed=1)
    splits = Mimic4().locate(tmp_path, tmp_path).load()
    parts = list(splits.values())
    for name, share in MISSING.items():
        present = np.concatenate([part.present[name] for part in parts])
        assert 1 - present.mean() == pytest.approx(share, abs=3.5 * (share * (1 - share) / 480) ** 0.5)
    target = np.concatenate([part.target for part in parts])
    series = np.concatenate([part.features["series"].sum(axis=1)[:, :6].sum(axis=1) for part in parts])
    directions = mimic4_synthetic._directions()
    told = [series / series.std()]
    for name in VECTORS:
        mean = np.concatenate(
            [p.features[name].sum(axis=1) / np.maximum(p.mask[name].sum(axis=1), 1)[:, None] for p in parts]
        )
        told.append(mean @ directions[name])

    def area(columns: list[np.ndarray]) -> float:
        chances = cross_val_predict(
            LogisticRegression(), np.stack(columns, axis=1), target, cv=4, method="predict_proba"
        )
        return float(roc_auc_score(target, np.asarray(chances)[:, 1]))

    assert area(told[:1]) > 0.6
    assert area(told[1:2]) > 0.6
    assert area(told[:2]) > max(area(told[:1]), area(told[1:2]))
    assert area(told) > 0.75
