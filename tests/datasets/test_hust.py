"""HUST motor: recordings, windows, MMDG-Bench's files, and the stand-in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbench.datasets.dataset import SPLITS, DataError, DataNotFound, Samples
from mmbench.datasets.hust import Hust
from mmbench.datasets.shared import hust_synthetic as planted
from mmbench.datasets.shared.hust_names import DOMAINS, MODALITIES, SPEEDS, STATES, recording_name
from mmbench.datasets.shared.hust_windows import (
    LENGTH,
    WINDOW,
    Recording,
    draw_windows,
    read_recording,
    split_off_validation,
    windows,
)
from mmbench.datasets.verify import verify
from scipy.io import loadmat, savemat
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

PLACES = [(speed, state) for speed in range(4) for state in range(6)]


def noise(length: int, places: list[tuple[int, int]] = PLACES) -> dict[tuple[int, int], Recording]:
    draw = np.random.default_rng(0)
    return {place: Recording(Path("x.txt"), *draw.standard_normal((2, length))) for place in places}


def starts(samples: Samples) -> dict[str, np.ndarray]:
    """Recording -> where its windows begin."""
    found: dict[str, list[int]] = {}
    for name in samples.sample_id:
        recording, _, start = str(name).partition("@")
        found.setdefault(recording, []).append(int(start))
    return {recording: np.array(places) for recording, places in found.items()}


def overlapping(one: Samples, other: Samples) -> float:
    """The share of windows of ``one`` that share a point with a window of ``other``."""
    theirs = starts(other)
    met = [
        (np.abs(places[:, None] - theirs[recording]) < WINDOW).any(axis=1)
        for recording, places in starts(one).items()
    ]
    return float(np.concatenate(met).mean())


# --- the two splits ---------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=25)
@given(st.integers(6 * WINDOW, 40_000))
def test_fair_windows_of_two_splits_share_no_point_of_a_recording(length: int):
    found = windows(noise(length, [(0, 0), (3, 5)]))
    for one in SPLITS:
        for other in SPLITS:
            if one != other:
                assert overlapping(found[one], found[other]) == 0
    for samples in found.values():
        for places in starts(samples).values():
            assert places.min() >= 0
            assert places.max() + WINDOW <= length
            assert len(set(places.tolist())) == len(places)


def test_fair_gives_the_published_numbers_of_windows_in_the_order_of_time():
    found = windows(noise(LENGTH, [(1, 2)]))
    assert [len(part) for part in found.values()] == [600, 200, 200]
    first, second, third = (starts(found[split])["BOW_10hz"] for split in SPLITS)
    assert first.max() < second.min() < second.max() < third.min()
    assert third.max() == LENGTH - WINDOW


def test_the_published_draw_leaks_and_is_the_one_of_the_published_seeds():
    recordings = noise(LENGTH, [(0, 0), (0, 1)])
    found = windows(recordings, "as-published")
    assert [len(part) for part in found.values()] == [2 * 600, 2 * 200, 2 * 200]
    assert overlapping(found["test"], found["train"]) > 0.95
    draw = np.random.default_rng(42)
    shuffled = np.random.RandomState(8)
    for place, state in enumerate(("H", "BF")):
        expected = draw.choice(LENGTH - WINDOW + 1, size=1000, replace=False)
        draw.shuffle(expected)
        rows = np.arange(800)
        shuffled.shuffle(rows)
        name = f"{state}_5hz"
        assert starts(found["test"])[name].tolist() == expected[800:].tolist()
        assert starts(found["valid"])[name].tolist() == expected[rows[:200]].tolist()
        assert starts(found["train"])[name].tolist() == expected[rows[200:]].tolist()
        wave = recordings[0, place].acoustic[expected[800] :][:WINDOW]
        row = int(np.flatnonzero(found["test"].sample_id == f"{name}@{expected[800]}")[0])
        scaled = (wave - wave.min()) / (wave.max() - wave.min())
        np.testing.assert_allclose(found["test"].features["acoustic"][row, :, 0], scaled, atol=1e-6)


def test_a_speed_keeps_its_validation_windows_whatever_else_is_there():
    together = draw_windows(noise(30_000, [(0, 0), (1, 0)]))
    alone = [cut for cut in together if cut.speed == 1]
    chosen = {cut.split: cut.names for cut in split_off_validation(alone)}
    assert chosen == {cut.split: cut.names for cut in split_off_validation(together) if cut.speed == 1}


@pytest.mark.parametrize("rule", ["fair", "as-published"])
def test_every_window_goes_from_0_to_1_and_stands_in_its_domain(rule: str):
    found = windows(noise(12_000), rule)
    for samples in found.values():
        for modality in MODALITIES:
            wave = samples.features[modality]
            assert wave.shape == (len(samples), WINDOW, 1)
            assert wave.dtype == np.float32
            assert (wave.min(axis=1) == 0).all()
            assert (wave.max(axis=1) == 1).all()
        for name, label, domain in zip(samples.sample_id, samples.target, samples.domain, strict=True):
            state, speed = str(name).partition("@")[0].split("_")
            assert (STATES[label], domain) == (state, speed)
    assert len({str(name) for samples in found.values() for name in samples.sample_id}) == sum(
        map(len, found.values())
    )


def test_a_constant_window_is_0():
    still = {(0, 0): Recording(Path("x.txt"), np.ones(12_000), np.ones(12_000))}
    assert all((part.features["vibration"] == 0).all() for part in windows(still).values())


def test_a_recording_that_is_too_short_is_named():
    with pytest.raises(DataError, match=r"x\.txt: 3000 points; expected so many that 20% hold a window"):
        windows(noise(3000, [(0, 0)]))


# --- files ------------------------------------------------------------------------------------------------


def write_text(file: Path, table: np.ndarray, header: bytes = "标题\nTime X Y Z S\n".encode("gbk")) -> Path:
    lines = "\n".join(" ".join(f"{value:.6f}" for value in row) for row in table)
    file.write_bytes(header + lines.encode() + b"\n")
    return file


def test_a_recording_is_read_behind_a_header_in_any_encoding(tmp_path: Path):
    table = np.random.default_rng(0).standard_normal((50, 5)).round(6)
    recording, synthetic = read_recording(write_text(tmp_path / "H_5HZ.txt", table))
    assert not synthetic
    x, y, z = table[:, 1], table[:, 2], table[:, 3]
    np.testing.assert_allclose(recording.vibration, np.sqrt(x * x + y * y + z * z))
    np.testing.assert_array_equal(recording.acoustic, table[:, 4])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"Title\nTime X\n", "no data in its first 200 lines"),
        (b"0 1 2 3 4\n0 1 2 3 4 5\n", "not a table of numbers"),
        (b"0 1 2 3 4\n0 1 2\n", "missing or infinite"),
        (b"0 1 2 3 4\n0 1 2 3 inf\n", "missing or infinite"),
        (b"0 1 2 3 4\n0 1 2 3 oops\n", "not a table of numbers"),
    ],
)
def test_a_faulty_recording_is_one_line(tmp_path: Path, content: bytes, message: str):
    (tmp_path / "H_5HZ.txt").write_bytes(content)
    with pytest.raises(DataError, match=rf"H_5HZ\.txt: .*{message}") as error:
        read_recording(tmp_path / "H_5HZ.txt")
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in in its three formats."""
    root = tmp_path_factory.mktemp("hust")
    for format in ("open", "txt", "mat"):
        Hust().synthesize(root / format, format=format)
    return root


def test_recordings_that_are_prepared_are_the_stand_in_of_windows(made: Path, tmp_path: Path):
    Hust().prepare(made / "txt", tmp_path / "hust")
    prepared, direct = Hust().locate(tmp_path), Hust().locate(made, made / "open")
    assert prepared.synthetic
    assert prepared.encoders == {"vibration": "cnn1d", "acoustic": "cnn1d"}
    assert prepared.fingerprint() == direct.fingerprint()
    with pytest.raises(DataError, match="is there already"):
        Hust().prepare(made / "txt", tmp_path / "hust")


def test_the_files_of_mmdg_bench_hold_the_published_draw(made: Path, tmp_path: Path):
    Hust().prepare(made / "txt", tmp_path / "hust", rule="as-published")
    ours, theirs = Hust().locate(tmp_path).load(), Hust().locate(made, made / "mat").load()
    for split in SPLITS:
        assert ours[split].target.tolist() == theirs[split].target.tolist()
        assert ours[split].domain.tolist() == theirs[split].domain.tolist()
        for modality in MODALITIES:
            np.testing.assert_array_equal(ours[split].features[modality], theirs[split].features[modality])


def test_the_mat_files_have_the_published_variables(made: Path):
    content = loadmat(made / "mat" / "Motor_Vib.mat")
    names = {name for name in content if not name.startswith("__")}
    assert names == {f"load{load}_{split}" for load in (1, 2, 3, 4) for split in ("train", "test")}
    assert all(content[name].shape[0] == WINDOW and content[name].shape[1] % 6 == 0 for name in names)


def test_a_stand_in_is_no_published_data_and_spares_real_files(made: Path, tmp_path: Path):
    for format in ("open", "mat"):
        located = Hust().locate(made, made / format)
        assert located.synthetic
        assert [finding.status for finding in verify(located, Hust())] == ["differs"]
    write_text(tmp_path / recording_name("H", 5), np.ones((3, 5)))
    with pytest.raises(DataError, match="is no stand-in"):
        Hust().synthesize(tmp_path, format="txt")


def test_the_same_seed_gives_the_same_bytes(made: Path, tmp_path: Path):
    Hust().synthesize(tmp_path / "again", format="mat")
    Hust().synthesize(tmp_path / "other", format="mat", seed=1)
    first, again, other = (
        Hust().locate(made, folder).fingerprint()
        for folder in (made / "mat", tmp_path / "again", tmp_path / "other")
    )
    assert first == again != other


def test_what_is_missing_is_said_with_what_to_do(made: Path, tmp_path: Path):
    with pytest.raises(DataNotFound, match="mmbench data prepare hust"):
        Hust().locate(tmp_path)
    with pytest.raises(DataError, match=r"no H_5HZ\.txt, BF_5HZ\.txt, BOW_5HZ\.txt and 21 more"):
        Hust().prepare(tmp_path, tmp_path / "out")
    (tmp_path / "Motor_Vib.mat").write_bytes((made / "mat" / "Motor_Vib.mat").read_bytes())
    with pytest.raises(DataError, match=r"Motor_Aud\.mat beside it"):
        Hust().locate(tmp_path, tmp_path)
    (tmp_path / "Motor_Aud.mat").write_bytes(b"no matlab file, mmbench synthetic stand-in")
    with pytest.raises(DataError, match=r"Motor_Aud\.mat: cannot be read"):
        Hust().locate(tmp_path, tmp_path).load()


def test_windows_of_another_shape_are_refused(tmp_path: Path):
    fine = {
        f"load{load}_{split}": np.ones((WINDOW, 24)) for load in (1, 2, 3, 4) for split in ("train", "test")
    }
    savemat(tmp_path / "Motor_Vib.mat", fine)
    for wrong, message in (
        ({"load2_test": np.ones((512, 24))}, "load2_test: shape 512x24"),
        ({"load3_train": np.ones((WINDOW, 25))}, "load3_train: shape 1024x25"),
        ({"load1_train": np.full((WINDOW, 24), np.nan)}, "load1_train: values that are not finite"),
        ({"load4_test": np.ones((WINDOW, 30))}, "load4_test: 30 windows; expected 24"),
    ):
        savemat(tmp_path / "Motor_Aud.mat", fine | wrong)
        with pytest.raises(DataError, match=message):
            Hust().locate(tmp_path, tmp_path).load()
    savemat(tmp_path / "Motor_Aud.mat", {key: fine[key] for key in list(fine)[1:]})
    with pytest.raises(DataError, match="load1_train: no such variable"):
        Hust().locate(tmp_path, tmp_path).load()


# --- what is planted --------------------------------------------------------------------------------------


def spectra(samples: Samples, modality: str) -> np.ndarray:
    """The logarithm of the power in 64 equal bands up to half the rate, [samples, 64]."""
    wave = samples.features[modality][:, :, 0]
    power = np.abs(np.fft.rfft(wave - wave.mean(axis=1, keepdims=True)))[:, 1:] ** 2
    return np.log(power.reshape(len(samples), 64, -1).mean(axis=2) + 1e-9)


def rows(samples: Samples, domains: tuple[str, ...]) -> np.ndarray:
    return np.flatnonzero(np.isin(samples.domain, domains))


def accuracy(
    splits: dict[str, Samples], modalities: tuple[str, ...], sources: tuple[str, ...], target: str
) -> float:
    """Of a linear model of band powers."""

    def made(split: str, domains: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        chosen = rows(splits[split], domains)
        bands = np.concatenate([spectra(splits[split], name) for name in modalities], axis=1)
        return bands[chosen], splits[split].target[chosen]

    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    return float(model.fit(*made("train", sources)).score(*made("test", (target,))))


def test_each_modality_tells_half_of_the_state_and_both_tell_it(made: Path):
    splits = Hust().locate(made, made / "open").load()
    for modality in MODALITIES:
        alone = np.mean([accuracy(splits, (modality,), (own,), own) for own in DOMAINS])
        assert alone == pytest.approx(0.5, abs=0.15)  # few coins are tossed in so short recordings
    assert np.mean([accuracy(splits, MODALITIES, (own,), own) for own in DOMAINS]) > 0.9


def test_other_speeds_are_harder_than_the_own(made: Path):
    splits = Hust().locate(made, made / "open").load()
    gaps = []
    for target in DOMAINS:
        others = tuple(domain for domain in DOMAINS if domain != target)
        gaps.append(
            accuracy(splits, MODALITIES, (target,), target) - accuracy(splits, MODALITIES, others, target)
        )
    assert np.mean(gaps) > 0.05
    assert min(gaps) > -0.02


def test_the_tones_together_tell_the_parity_and_neither_does_alone():
    heard, parity = [], []
    for speed in (0,):
        for state in range(6):
            table = planted.recording_table(speed, state, 60 * planted.BLOCK, seed=3)
            for modality, wave in zip(("v", "a"), planted.rounded_signals(table), strict=True):
                tone = planted.VIBRATION_TONE if modality == "v" else planted.ACOUSTIC_TONE
                blocks = wave.reshape(60, planted.BLOCK) * np.hanning(planted.BLOCK)
                frequency = np.fft.rfftfreq(planted.BLOCK, 1 / planted.RATE)
                near = np.abs(frequency - tone * planted.STRETCH[speed]) < 200
                power = np.abs(np.fft.rfft(blocks, axis=1))[:, near].max(axis=1)
                heard.append(power > (power.min() + power.max()) / 2)
            parity.append(np.full(60, state % 2 == 1))
    vibration, sound, odd = np.concatenate(heard[::2]), np.concatenate(heard[1::2]), np.concatenate(parity)
    assert (vibration == odd).mean() == pytest.approx(0.5, abs=0.1)
    assert (sound == odd).mean() == pytest.approx(0.5, abs=0.1)
    assert ((vibration == sound) == odd).mean() > 0.97


@pytest.mark.parametrize("state", range(6))
def test_the_carrier_is_modulated_at_the_fault_frequency(state: int):
    speed, length = 2, 1 << 18
    _, sound = planted.rounded_signals(planted.recording_table(speed, state, length))
    carrier = planted.ACOUSTIC_CARRIERS[state % 3] * planted.STRETCH[speed]
    spectrum = np.fft.rfft(sound)
    frequency = np.fft.rfftfreq(length, 1 / planted.RATE)
    spectrum[np.abs(frequency - carrier) > 300] = 0
    envelope = np.abs(np.fft.rfft(np.fft.irfft(spectrum) ** 2))
    slow = (frequency > 8) & (frequency < 250)
    peak = frequency[slow][np.argmax(envelope[slow])]
    assert peak == pytest.approx(planted.FAULT[state] * SPEEDS[speed], abs=1.0)
