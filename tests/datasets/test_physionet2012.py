"""PhysioNet 2012: its text files, what is wrong with them, and the stand-in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mmbench.benchmark.check.dataset import DATASET_CHECKS
from mmbench.datasets.dataset import SPLITS, SYNTHETIC_FILE, DataError, Samples
from mmbench.datasets.physionet2012 import Physionet2012
from mmbench.datasets.shared.icu_names import (
    DOMAINS,
    HEADER,
    MEASURED,
    MODALITIES,
    OUTCOME_HEADER,
    SHARES,
    STATIC,
)
from mmbench.datasets.shared.icu_stays import draw_splits, read_stay
from mmbench.datasets.verify import info, verify
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

FIRST = ["00:00,RecordID,{0}", "00:00,Age,54", "00:00,Gender,0", "00:00,Height,-1", "00:00,ICUType,4"]
MEASUREMENTS = [
    "00:00,Weight,80",
    "00:00,Weight,81",
    "00:07,HR,70",
    "00:07,HR,74",
    "00:07,GCS,15",
    "01:30,Temp,-17.8",
    "03:12,HR,90",
    "03:12,K,4.1",
    "47:59,pH,7.4",
]


def stay(record: int, lines: list[str] = MEASUREMENTS) -> str:
    return "\n".join([",".join(HEADER), *(line.format(record) for line in (*FIRST, *lines)), ""])


def outcomes(records: list[int], died: Callable[[int], object] = lambda record: record % 2) -> str:
    return "\n".join([",".join(OUTCOME_HEADER), *(f"{one},6,1,5,-1,{died(one)}" for one in records), ""])


def write(folder: Path, count: int = 12) -> Path:
    """A set of stays in the published layout; its outcomes."""
    records = list(range(132539, 132539 + count))
    (folder / "set-a").mkdir(parents=True)
    for record in records:
        (folder / "set-a" / f"{record}.txt").write_text(stay(record))
    (folder / "Outcomes-a.txt").write_text(outcomes(records))
    return folder / "Outcomes-a.txt"


def load(file: Path) -> dict[str, Samples]:
    return Physionet2012().describe(file).load()


# --- the reader -------------------------------------------------------------------------------------------


def test_each_minute_is_a_step_at_its_own_time_and_what_is_unknown_is_not_observed(tmp_path: Path) -> None:
    splits = load(write(tmp_path))
    assert {len(part) for part in splits.values()} == {8, 2}
    one = splits["train"]
    assert tuple(one.features) == MODALITIES
    vitals, labs = MEASURED["vitals"], MEASURED["labs"]
    # Temp below 0 is not observed: its minute is no step
    np.testing.assert_array_equal(one.time["vitals"][0], [0, 7 * 60, 192 * 60])
    np.testing.assert_array_equal(one.time["labs"][0], [192 * 60, 2879 * 60])
    expected = np.zeros((3, 15), np.float32)
    expected[0, vitals.index("Weight")] = 81  # the first is a descriptor
    expected[1, vitals.index("HR")], expected[1, vitals.index("GCS")] = 72, 15
    expected[2, vitals.index("HR")] = 90
    np.testing.assert_array_equal(one.features["vitals"][0], expected)
    np.testing.assert_array_equal(one.observed["vitals"][0], expected > 0)
    assert one.features["labs"][0, 0, labs.index("K")] == np.float32(4.1)
    assert one.features["labs"][0, 1, labs.index("pH")] == np.float32(7.4)
    assert one.observed["labs"][0].sum() == 2
    np.testing.assert_array_equal(one.features["static"][0, 0], [54, 0, 0, 80])
    np.testing.assert_array_equal(one.observed["static"][0, 0], [True, True, False, True])
    assert set(one.domain) == {"SICU"}
    for part in splits.values():
        np.testing.assert_array_equal(part.target, [int(record) % 2 for record in part.sample_id])


def test_a_stay_without_measurements_lacks_the_modality(tmp_path: Path) -> None:
    file = write(tmp_path)
    (tmp_path / "set-a" / "132539.txt").write_text(stay(132539, ["00:00,Weight,-1"]))
    splits = load(file)
    (part,) = (part for part in splits.values() if "132539" in part.sample_id)
    row = part.sample_id.tolist().index("132539")
    assert not part.present["vitals"][row]
    assert not part.mask["labs"][row].any()
    np.testing.assert_array_equal(part.observed["static"][row, 0], [True, True, False, False])
    assert part.present["vitals"].sum() == len(part) - 1


def test_parts_are_shares_of_every_unit_and_outcome_and_do_not_depend_on_the_order() -> None:
    draw = np.random.default_rng(0)
    stays = [(str(i), DOMAINS[int(draw.integers(1, 5))], int(draw.random() < 0.2)) for i in range(2000)]
    split = draw_splits(stays)
    for stratum in {stay[1:] for stay in stays}:
        members = [part for one, part in zip(stays, split, strict=True) if one[1:] == stratum]
        for part in SPLITS:
            assert abs(members.count(part) - SHARES[part] * len(members)) <= 1
    order = draw.permutation(2000)
    assert draw_splits([stays[i] for i in order]) == [split[i] for i in order]


def test_values_of_text_files_rebuilt_from_hourly_arrays_are_those_of_the_arrays(
    tmp_path: Path, real_data: Path
) -> None:
    """200 real stays: in the text files, each hourly mean stands at the beginning of its hour."""
    with np.load(real_data / "physionet2012-a.npz") as stored:
        arrays = {
            name: stored[name][:200] for name in ("vitals", "labs", "static", "label", "record_id", "domain")
        }
        names = {"vitals": stored["vital_names"].tolist(), "labs": stored["lab_names"].tolist()}
        static, domains = stored["static_names"].tolist(), stored["domain_names"].tolist()
    assert {name: tuple(those) for name, those in names.items()} == MEASURED
    (tmp_path / "set-a").mkdir()
    for row, record in enumerate(arrays["record_id"]):
        described = ["-1" if np.isnan(v) else f"{v:.9g}" for v in arrays["static"][row]]
        lines = [f"00:00,{name},{value}" for name, value in zip(static, described, strict=True)]
        lines += [
            f"{hour:02d}:00,{names[modality][column]},{arrays[modality][row, hour, column]:.9g}"
            for modality in MEASURED
            for hour, column in np.argwhere(~np.isnan(arrays[modality][row]))
        ]
        text = "\n".join([",".join(HEADER), f"00:00,RecordID,{record}", *lines])
        (tmp_path / "set-a" / f"{record}.txt").write_text(text)
    died = dict(zip(arrays["record_id"].tolist(), arrays["label"].tolist(), strict=True))
    file = tmp_path / "Outcomes-a.txt"
    file.write_text(outcomes(list(died), died.__getitem__))
    seen = 0
    for part in load(file).values():
        for row, record in enumerate(part.sample_id):
            place = arrays["record_id"].tolist().index(int(record))
            assert part.target[row] == arrays["label"][place]
            assert part.domain[row] == domains[arrays["domain"][place]]
            for modality in MEASURED:
                hourly = np.full(arrays[modality][place].shape, np.nan, np.float32)
                valid = part.mask[modality][row]
                hours = (part.time[modality][row][valid] / 3600).astype(int)
                hourly[hours] = np.where(
                    part.observed[modality][row][valid], part.features[modality][row][valid], np.nan
                )
                np.testing.assert_array_equal(hourly, arrays[modality][place].astype(np.float32))
            columns = [static.index(name) for name in STATIC]
            found = np.where(part.observed["static"][row, 0], part.features["static"][row, 0], np.nan)
            np.testing.assert_array_equal(found, arrays["static"][place, columns])
            seen += 1
    assert seen == 200


# --- what is wrong ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("00:07,HR,abc", "line 7: HR is 'abc'; expected a finite number"),
        ("00:07,HR,inf", "line 7: HR is 'inf'; expected a finite number"),
        ("00:07,HR", "line 7: is '00:07,HR'; expected 3 parts: Time,Parameter,Value"),
        ("7:00,HR,70", "line 7: the time is '7:00'; expected hours and minutes, as 07:30"),
        ("00:75,HR,70", "line 7: the time is '00:75'; expected hours and minutes, as 07:30"),
        ("00:07,Pulse,70", "line 7: unknown variable 'Pulse'; expected a variable of the challenge"),
        ("00:00,Age,55", "line 7: 'Age' again, or not at 00:00"),
    ],
)
def test_a_faulty_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    file = write(tmp_path)
    faulty = tmp_path / "set-a" / "132540.txt"
    faulty.write_text(stay(132540, [line]))
    with pytest.raises(DataError) as caught:
        load(file)
    assert str(caught.value).startswith(f"{faulty}: {said}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: (f / "set-a/132540.txt").unlink(), "set-a: no 132540.txt; expected a file of every stay"),
        (lambda f: (f / "set-a/5.txt").write_text(stay(5)), "Outcomes-a.txt: no line for record 5; expected"),
        (lambda f: (f / "set-a/132540.txt").write_text(""), "132540.txt: line 1: is ''; expected 'Time,"),
        (lambda f: (f / "set-a/132540.txt").write_bytes(b"\xff\xfe"), "132540.txt: is no plain text"),
        (lambda f: (f / "set-a/132540.txt").write_text(stay(7)), "RecordID: is 7; expected that of the file"),
        (
            lambda f: (f / "set-a/132540.txt").write_text(stay(132540).replace("ICUType,4", "ICUType,5")),
            "132540.txt: ICUType: is 5; expected one of 1, 2, 3, 4",
        ),
        (lambda f: (f / "Outcomes-a.txt").write_text("a,b\n"), "Outcomes-a.txt: line 1: is 'a,b'; expected"),
        (
            lambda f: (f / "Outcomes-a.txt").write_text(outcomes([132539], lambda _: 2)),
            "line 2: in-hospital death is '2'; expected 0 or 1",
        ),
        (
            lambda f: (f / "Outcomes-a.txt").write_text(outcomes([132539, 132539])),
            "line 3: record 132539 stands twice",
        ),
        (lambda f: (f / "Outcomes-a.txt").write_text(outcomes([])), "Outcomes-a.txt: no stay; expected"),
    ],
)
def test_files_that_do_not_belong_together_are_named(
    tmp_path: Path, change: Callable[[Path], object], said: str
) -> None:
    file = write(tmp_path)
    change(tmp_path)
    with pytest.raises(DataError) as caught:
        load(file)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_outcomes_alone_and_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "Outcomes-b.txt").write_text(outcomes([1]))
    with pytest.raises(DataError, match=r"Outcomes-b\.txt: stands alone; expected the folder set-b"):
        Physionet2012().describe(tmp_path / "Outcomes-b.txt")
    with pytest.raises(DataError, match="is no file of outcomes"):
        Physionet2012().describe(tmp_path / "other.txt")


# --- the stand-in -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("icu") / "physionet2012"
    Physionet2012().synthesize(folder, seed=3)
    return folder


def test_it_meets_the_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmbench.datasets.shared import icu_synthetic

    monkeypatch.setitem(icu_synthetic.COUNTS, "small", 60)
    for check in DATASET_CHECKS:
        check(Physionet2012, tmp_path)


def test_it_is_never_taken_for_data_and_never_replaces_them(stand_in: Path, tmp_path: Path) -> None:
    located = Physionet2012().locate(tmp_path, stand_in)
    assert [finding.status for finding in verify(located, Physionet2012())] == ["differs"]
    write(tmp_path)
    with pytest.raises(DataError, match="is there and is no stand-in"):
        Physionet2012().synthesize(tmp_path)
    assert not (tmp_path / SYNTHETIC_FILE).exists()
    with pytest.raises(DataError, match="no stand-in of size 'huge'"):
        Physionet2012().synthesize(tmp_path / "other", size="huge")


def statistics(part: Samples, modality: str) -> np.ndarray:
    """The mean of what was observed of each variable of each stay, and the share that was."""
    observed = part.observed[modality]
    count = observed.sum(axis=1)
    mean = part.features[modality].sum(axis=1) / np.maximum(count, 1)
    return np.concatenate([mean, count], axis=1)


def area(splits: dict[str, Samples], modalities: tuple[str, ...]) -> float:
    """Of the ROC curve, on stays that a logistic regression was not fitted on."""
    parts = [
        np.concatenate([statistics(part, modality) for modality in modalities], axis=1)
        for part in splits.values()
    ]
    target = np.concatenate([part.target for part in splits.values()])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    chances = cross_val_predict(model, np.concatenate(parts), target, cv=4, method="predict_proba")
    return float(roc_auc_score(target, np.asarray(chances)[:, 1]))


def test_vital_signs_and_laboratory_values_tell_different_parts(stand_in: Path) -> None:
    splits = Physionet2012().locate(stand_in.parent, stand_in).load()
    vitals, labs, both = (area(splits, names) for names in (("vitals",), ("labs",), MODALITIES))
    assert vitals > 0.6
    assert labs > 0.6
    assert both > max(vitals, labs) + 0.02


def test_many_files_are_compared_as_one(stand_in: Path) -> None:
    located = Physionet2012().locate(stand_in.parent, stand_in)
    about = info(located)
    assert len(about.files) == 401
    (stand_in / SYNTHETIC_FILE).rename(stand_in / "kept")
    try:
        findings = verify(Physionet2012().locate(stand_in.parent, stand_in), Physionet2012())
    finally:
        (stand_in / "kept").rename(stand_in / SYNTHETIC_FILE)
    (hashes,) = (one for one in findings if one.what.startswith("SHA-256"))
    assert (hashes.what, hashes.status) == ("SHA-256 over 401 files", "unknown")
    assert [one.status for one in findings if one.what == "train samples"] == ["differs"]
    assert any(one.what == "validation part" for one in findings)


def test_a_file_is_read_alone(stand_in: Path) -> None:
    found = read_stay(stand_in / "set-a" / "900001.txt")
    assert found.record == "900001"
    assert found.domain in DOMAINS.values()
    assert found.series["vitals"].times is not None
    assert (np.diff(found.series["vitals"].times) > 0).all()
