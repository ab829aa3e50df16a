"""Raw media of jobs whose encoders are trained along: what they take of memory, and what is said where it lacks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmbench.benchmark.features import finetune as tuning
from mmbench.benchmark.features.finetune import _arrays, _words
from mmbench.benchmark.launch.run import run
from mmbench.corruptions.words import encode_words
from mmbench.datasets.dataset import DataError

from .test_finetune import asked, folder

__all__ = ["folder"]
CPU, OTHER = torch.device("cpu"), torch.device("meta")


def clips(lengths: list[int], width: int = 3) -> list[np.ndarray]:
    return [np.full((length, width), row + 1, np.uint8) for row, length in enumerate(lengths)]


@given(st.lists(st.integers(0, 30), max_size=12))
def test_clips_lie_in_their_rows_with_zeros_behind(lengths: list[int]) -> None:
    """A length of 0 stands for a sample that lacks the modality."""
    media = [clip for clip in clips(lengths) if len(clip)]
    values, mask = _arrays(iter(media), [length > 0 for length in lengths], CPU)
    assert mask.sum(dim=1).tolist() == lengths
    assert mask.shape == values.shape[:2]
    if media:
        assert values.dtype == torch.uint8  # bytes stay bytes
        assert values.shape == (len(lengths), max(lengths), 3)
        expected = np.zeros(values.shape, np.uint8)
        for row, clip in enumerate(clips(lengths)):
            expected[row, : len(clip)] = clip
        assert np.array_equal(values.numpy(), expected)


PEAK = """
from pathlib import Path
import numpy as np, torch
from mmbench.benchmark.features.finetune import _arrays
peak = lambda: int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024
count, shape = 100, (8, 3, 250, 250)
_arrays(iter([np.ones((8, 3, 9, 9), np.uint8)]), [True], torch.device("cpu"))
before = peak()
values, _ = _arrays((np.full(shape, row, np.uint8) for row in range(count)), [True] * count, torch.device("cpu"))
print((peak() - before) / values.numel())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="nothing else tells the highest memory of a process")
def test_frames_are_in_memory_once() -> None:
    found = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True)
    assert 0.9 < float(found.stdout) < 1.3


@pytest.mark.parametrize("place", [CPU, OTHER])
def test_clips_are_refused_as_soon_as_the_longest_does_not_fit(
    place: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are asked of the memory that they are to lie in."""
    room = {CPU: 10_000 if place == CPU else 2**40, OTHER: 10_000}
    monkeypatch.setattr(tuning, "free_bytes", room.__getitem__)
    lengths = [10, 20, 2000, 10]
    taken: list[int] = []

    def media() -> Iterator[np.ndarray]:
        for clip in clips(lengths):
            taken.append(len(clip))
            yield clip

    with pytest.raises(DataError, match=f"4 clips take .* do not fit into the memory of {place}") as caught:
        _arrays(media(), [True] * 4, place)
    assert "\n" not in str(caught.value)
    assert taken == lengths[:3]
    values, mask = _arrays(iter(clips([10, 20, 30])), [True, False, True, True], place)
    assert values.shape == (4, 30, 3)
    assert mask.device.type == place.type


@pytest.mark.parametrize(
    ("free", "fits"), [(5 * 8 * 4 / tuning.SHARE, True), (5 * 8 * 4 / tuning.SHARE - 2, False)]
)
def test_what_is_asked_for_is_values_and_mask(
    free: float, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "free_bytes", lambda device: free)
    media = iter(clips([8] * 5))  # three bytes a step, and one of the mask
    if fits:
        _arrays(media, [True] * 5, CPU)
    else:
        with pytest.raises(DataError):
            _arrays(media, [True] * 5, CPU)


@pytest.mark.parametrize("full", [CPU, OTHER])
def test_texts_are_refused_where_the_longest_word_and_text_do_not_fit(
    full: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are filled on the CPU, wherever they are to lie."""
    texts = ["a good film", "x" * 500, "so " * 100]
    need = encode_words(texts).nbytes
    for share, fits in ((1.01, True), (0.99, False)):
        room = {CPU: 2**40, OTHER: 2**40, full: share * need / tuning.SHARE}
        monkeypatch.setattr(tuning, "free_bytes", room.__getitem__)
        if fits:
            words, _ = _words(iter(texts), [True] * 3, OTHER)
            assert words.shape == encode_words(texts).shape
        else:
            with pytest.raises(DataError, match=f"3 clips take .* the memory of {full}"):
                _words(iter(texts), [True] * 3, OTHER)


def test_a_job_whose_media_do_not_fit_says_so(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "SHARE", 0.0)
    summary = run(asked(folder, tmp_path / "runs", modalities=["video"], protocol={"encoder_mode": "full"}))
    (failed,) = summary.failed
    assert "do not fit into the memory of cpu" in failed.reason
    assert "--encoder-mode frozen" in failed.reason
    assert "\n" not in failed.reason
