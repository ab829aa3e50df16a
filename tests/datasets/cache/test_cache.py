"""Features are kept whole or not at all, by what decides them, and what is broken is found."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbench.datasets.cache.cache import FeatureCache
from mmbench.datasets.cache.keys import content_key, corrupted_key
from mmbench.datasets.cache.recipe import Recipe
from mmbench.datasets.cache.shard import CacheError, read_index
from mmbench.datasets.media.clip import Piece

RECIPE = Recipe({"encoder": "test"}, "waveform", {"rate": 16000})


def some(*names: str, steps: int = 3, width: int = 4) -> dict[str, np.ndarray]:
    draw = np.random.default_rng([len(names), steps])
    return {name: draw.normal(size=(steps + row, width)).astype(np.float16) for row, name in enumerate(names)}


@given(
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=9),
    width=st.integers(1, 5),
    cut=st.integers(0, 9),
    dtype=st.sampled_from(["float16", "float32"]),
    seed=st.integers(0, 99),
)
@settings(max_examples=30, deadline=None)
def test_what_is_written_is_read_from_any_shard_in_any_order(lengths, width, cut, dtype, seed):
    draw = np.random.default_rng(seed)
    recipe = Recipe({"encoder": "test"}, "text", {}, dtype=dtype)
    written = {f"k{i}": draw.normal(size=(n, width)).astype(dtype) for i, n in enumerate(lengths)}
    with tempfile.TemporaryDirectory() as folder:
        cache = FeatureCache(Path(folder))
        names = list(written)
        for part in (names[:cut], names[cut:]):
            if part:
                cache.write(recipe, {name: written[name] for name in part})
        order = draw.permutation(names).tolist()
        for reader in (cache, FeatureCache(Path(folder))):
            assert reader.missing_keys(recipe, [*order, "other"]) == ["other"]
            for name, rows in zip(order, reader.rows(recipe, order), strict=True):
                np.testing.assert_array_equal(rows, written[name])
                assert rows.dtype == dtype


def test_rows_are_mapped_and_not_read(tmp_path: Path):
    cache = FeatureCache(tmp_path)
    shard = cache.write(RECIPE, some("a", "b"))
    (rows,) = cache.rows(RECIPE, ["b"])
    maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    (span,) = [line[0] for line in maps if line[-1] == str(shard)]
    begin, end = (int(address, 16) for address in span.split("-"))
    assert begin <= rows.ctypes.data < end
    assert not rows.flags.writeable


READER = """
import resource, sys
from pathlib import Path
import torch
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from mmbench.datasets.cache.cache import FeatureCache
from mmbench.datasets.cache.recipe import Recipe
recipe, keys = Recipe({"encoder": "test"}, "waveform", {"rate": 16000}), [str(key) for key in range(100)]
cache = FeatureCache(Path(sys.argv[1]))
rows = cache.rows(recipe, keys[::-1])
cache.remove(recipe.id)
assert [float(row.sum()) for row in rows] == [12.0 * int(key) for key in keys[::-1]]
"""


def test_more_shards_are_read_than_files_may_be_open_and_what_was_read_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(os, "fsync", lambda _: None)  # no power is lost here
    cache = FeatureCache(tmp_path)
    for key in range(100):
        cache.write(RECIPE, {str(key): np.full((3, 4), key, np.float32)})
    subprocess.run([sys.executable, "-c", READER, str(tmp_path)], check=True)


def test_another_recipe_has_other_features(tmp_path: Path):
    cache = FeatureCache(tmp_path)
    cache.write(RECIPE, some("a"))
    others = [
        Recipe({"encoder": "other"}, "waveform", {"rate": 16000}),
        Recipe({"encoder": "test"}, "frames", {"rate": 16000}),
        Recipe({"encoder": "test"}, "waveform", {"rate": 8000}),
        Recipe({"encoder": "test"}, "waveform", {"rate": 16000}, {"kind": "gain", "severity": 1}),
        Recipe({"encoder": "test"}, "waveform", {"rate": 16000}, dtype="float32"),
    ]
    assert len({recipe.id for recipe in (RECIPE, *others)}) == 6
    for recipe in others:
        assert cache.missing_keys(recipe, ["a"]) == ["a"]
        with pytest.raises(CacheError, match="1 of 1 clip is not there"):
            cache.rows(recipe, ["a"])


def test_what_another_process_wrote_or_removed_is_seen(tmp_path: Path):
    one, other = FeatureCache(tmp_path), FeatureCache(tmp_path)
    assert one.missing_keys(RECIPE, ["a"]) == ["a"]
    other.write(RECIPE, some("a"))
    assert one.missing_keys(RECIPE, ["a"]) == []
    other.remove(RECIPE.id)
    assert one.missing_keys(RECIPE, ["a"]) == ["a"]


@pytest.mark.parametrize(
    "features",
    [
        {"a": np.zeros((0, 3), np.float32)},
        {"a": np.ones((1, 3)), "b": np.ones((1, 4))},
        {"a": np.full((1, 3), np.nan, np.float32)},
        {"a": np.full((1, 3), 1e5, np.float32)},  # too large for float16
        {"a": np.ones(3, np.float32)},
    ],
    ids=["no steps", "two widths", "nan", "overflow", "one dimension"],
)
def test_features_that_cannot_be_kept_leave_nothing_behind(tmp_path: Path, features):
    cache = FeatureCache(tmp_path)
    with pytest.raises(ValueError, match=r"."):
        cache.write(RECIPE, features)
    assert cache.missing_keys(RECIPE, ["a"]) == ["a"]
    assert [file.name for file in cache.folder(RECIPE).iterdir()] == ["recipe.json"]


def test_a_flipped_bit_is_found_and_its_clips_are_missing_again(tmp_path: Path):
    cache = FeatureCache(tmp_path)
    good, bad = cache.write(RECIPE, some("a")), cache.write(RECIPE, some("b", "c"))
    content = bytearray(bad.read_bytes())
    content[-5] ^= 1
    bad.write_bytes(content)
    for _ in range(2):
        assert cache.missing_keys(RECIPE, "abc") == ["b", "c"]  # and encoded again, whoever asks
    (fault,) = FeatureCache(tmp_path).verify()
    assert (fault.file, fault.clips) == (bad, 2)
    assert "changed" in fault.reason
    assert good.exists()
    assert cache.missing_keys(RECIPE, "abc") == ["b", "c"]
    assert cache.verify() == []


def test_a_shard_that_was_cut_off_is_encoded_again_and_named(tmp_path: Path):
    cache = FeatureCache(tmp_path)
    shard = cache.write(RECIPE, some("a"))
    os.truncate(shard, shard.stat().st_size - 3)
    again = FeatureCache(tmp_path)
    assert again.missing_keys(RECIPE, ["a"]) == ["a"]
    cache.write(RECIPE, some("a"))
    np.testing.assert_array_equal(again.rows(RECIPE, ["a"])[0], some("a")["a"])
    (fault,) = again.verify()
    assert fault.file == shard
    assert "cut off" in fault.reason
    np.testing.assert_array_equal(again.rows(RECIPE, ["a"])[0], some("a")["a"])


def test_a_changed_index_is_not_believed(tmp_path: Path):
    cache = FeatureCache(tmp_path)
    index = cache.write(RECIPE, some("a", "b")).with_suffix(".json")
    said = json.loads(index.read_bytes())
    said["keys"] = ["b", "a"]  # features of one clip for those of another
    index.write_text(json.dumps(said))
    again = FeatureCache(tmp_path)
    assert again.missing_keys(RECIPE, "ab") == ["a", "b"]
    (fault,) = again.verify()
    assert fault.file == index


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[" * 100_000,
        b'{"__reduce__": ["os.system", ["touch MARK"]]}',
        b"cos\nsystem\n(S'touch MARK'\ntR.",  # a pickle that runs a program when it is loaded
        b'{"keys": ["../../x"], "lengths": [-1], "width": 1e99, "dtype": "O", "size": 1, "sha256": "", '
        b'"index_sha256": "0"}',
    ],
    ids=["empty", "deep", "object", "pickle", "wrong kinds"],
)
def test_a_poisoned_index_is_a_fault_and_never_runs(tmp_path: Path, content: bytes):
    cache = FeatureCache(tmp_path)
    shard = cache.write(RECIPE, some("a"))
    mark = tmp_path / "mark"
    shard.with_suffix(".json").write_bytes(content.replace(b"MARK", str(mark).encode()))
    again = FeatureCache(tmp_path)
    assert again.missing_keys(RECIPE, ["a"]) == ["a"]
    assert again.entries()[0].clips == 0
    assert len(again.verify()) == 1
    assert not mark.exists()


def test_a_shard_that_is_a_pickle_is_refused(tmp_path: Path):
    cache = FeatureCache(tmp_path)
    shard = cache.write(RECIPE, {"a": np.zeros((500, 4), np.float32)})
    mark = tmp_path / "mark"
    poison = f"cos\nsystem\n(S'touch {mark}'\ntR.".encode()
    shard.write_bytes(poison.ljust(shard.stat().st_size, b"."))
    with pytest.raises(CacheError, match="1 of 1 clip is not there"):
        FeatureCache(tmp_path).rows(RECIPE, ["a"])
    with pytest.raises(CacheError, match="cannot be read"):
        assert read_index(shard.with_suffix(".json")).rows
    assert not mark.exists()


def test_remove_keeps_to_the_cache(tmp_path: Path):
    cache = FeatureCache(tmp_path / "cache")
    cache.write(RECIPE, some("a"))
    outside = tmp_path / "recipe.json"
    outside.write_text("{}")
    for name in ("..", "nothing", ""):
        with pytest.raises(CacheError, match="no features"):
            cache.remove(name)
    assert outside.exists()
    cache.remove(RECIPE.id)
    assert cache.entries() == []


def test_a_key_is_of_the_content_and_not_of_its_place(tmp_path: Path):
    for name, content in (("a.wav", b"one"), ("b.wav", b"one"), ("c.wav", b"two")):
        (tmp_path / name).write_bytes(content)
    a, b, c = (content_key(Piece((tmp_path / f"{name}.wav",))) for name in "abc")
    assert a == b != c
    keys = [
        a,
        content_key(Piece((tmp_path / "a.wav",), 1.0)),
        content_key(Piece((tmp_path / "a.wav",), None, 1.0)),
        content_key(Piece((tmp_path / "a.wav", tmp_path / "c.wav"))),
        content_key(Piece((tmp_path / "c.wav", tmp_path / "a.wav"))),
        content_key("one"),
        content_key("two"),
        corrupted_key(a, 1),
        corrupted_key(a, 2),
        corrupted_key(a, 1, c),
    ]
    assert len(set(keys)) == len(keys)


WRITER = """
import sys
import numpy as np
from pathlib import Path
from mmbench.datasets.cache.cache import FeatureCache
from mmbench.datasets.cache.recipe import Recipe
cache = FeatureCache(Path(sys.argv[1]))
recipe = Recipe({"encoder": "test"}, "waveform", {"rate": 16000})
for number in range(10_000):
    cache.write(recipe, {f"{number}-{part}": np.full((50, 64), number + part, "float32") for part in range(2)})
"""


def test_a_writer_that_is_killed_leaves_whole_shards(tmp_path: Path):
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)])
        before = len(list(tmp_path.glob("*/*.json")))
        until = time.monotonic() + 30
        while len(list(tmp_path.glob("*/*.json"))) < before + 10 and time.monotonic() < until:
            time.sleep(0.01)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    cache = FeatureCache(tmp_path)
    (entry,) = cache.entries()
    assert entry.clips >= 10
    keys = [f"{number}-{part}" for number in range(10_000) for part in range(2)]
    lost = set(cache.missing_keys(RECIPE, keys))
    there = [key for key in keys if key not in lost]
    assert len(there) == entry.clips
    for key, rows in zip(there, cache.rows(RECIPE, there), strict=True):
        assert (rows == sum(map(int, key.split("-")))).all()
    assert [fault for fault in cache.verify() if fault.clips] == []


def test_features_of_nobody_knows_what_are_listed_and_named(tmp_path: Path):
    cache = FeatureCache(tmp_path)
    cache.write(RECIPE, some("a"))
    said = cache.folder(RECIPE) / "recipe.json"
    for damage in (lambda: said.write_text("{"), lambda: None):  # broken, then gone
        damage()
        (entry,) = cache.entries()
        assert (entry.recipe, entry.clips) == ({}, 1)
        (fault,) = cache.verify()
        assert fault.file == said
        assert cache.missing_keys(RECIPE, "a") == []
    cache.write(RECIPE, some("b"))
    assert cache.verify() == []
    assert cache.entries()[0].recipe
    cache.remove(RECIPE.id)
    assert cache.entries() == []
