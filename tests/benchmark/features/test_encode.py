"""Raw media become features once: shared by processes, resumed after a kill, broken the same way for any batch."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.data.tensors import sample_hash
from mmbench.benchmark.features import pipeline as encoding
from mmbench.benchmark.features.encode import encode, encode_clips, gather_features
from mmbench.corruptions.audio import Babble, WhiteNoise
from mmbench.corruptions.features import GaussianNoise
from mmbench.corruptions.text import KeyboardTypos
from mmbench.corruptions.words import decode_words, encode_words
from mmbench.datasets.batch import Batch
from mmbench.datasets.cache.cache import FeatureCache
from mmbench.datasets.dataset import Target
from mmbench.datasets.encoders.encoder import Encoded, EncoderSpec, Media
from mmbench.datasets.encoders.table import make
from mmbench.datasets.media.clip import Clip, MediaSet, Medium, Piece, TextView, View

RATE = 16_000


class Letters:
    """A text becomes a step for each letter: its code point, and how many letters there are."""

    medium: Medium = "text"
    view: View = TextView()
    width = 2

    def __init__(self, spec: EncoderSpec | None = None, device: torch.device | None = None) -> None:
        self.asked: list[str] = []

    def identity(self) -> dict[str, str]:
        return {"encoder": "letters"}

    def encode(self, media: Media) -> Encoded:
        self.asked += media.texts
        length = torch.tensor([len(text) for text in media.texts])
        features = torch.zeros(len(length), int(length.max()), 2)
        for row, text in enumerate(media.texts):
            features[row, : len(text), 0] = torch.tensor([float(ord(letter)) for letter in text])
            features[row, : len(text), 1] = len(text)
        return Encoded(features, length)


def log_mel():
    return make(EncoderSpec("log-mel", options={"bins": "16"}), torch.device("cpu"))


def texts(*words: str, split: str = "train") -> MediaSet:
    clips = tuple(Clip(f"c{row}", split, "", 0, {"text": word}) for row, word in enumerate(words))
    return MediaSet("own", {"text": "text"}, Target("classification", classes=("a", "b")), clips)


def sounds(folder: Path, count: int, seed: int = 0) -> MediaSet:
    draw = np.random.default_rng(seed)
    clips = []
    for row in range(count):
        file = folder / f"{row}.wav"
        sound = draw.normal(0, 0.1, int(draw.integers(RATE // 8, RATE // 2))).astype(np.float32)
        soundfile.write(file, sound, RATE, subtype="FLOAT")
        clips.append(
            Clip(f"c{row}", ("train", "valid", "test")[row % 3], "", row % 2, {"sound": Piece((file,))})
        )
    target = Target("classification", classes=("a", "b"))
    return MediaSet("own", {"sound": "waveform"}, target, tuple(clips))


def sound_of(clip: Clip) -> np.ndarray:
    piece = clip.media["sound"]
    assert isinstance(piece, Piece)
    return soundfile.read(piece.files[0], dtype="float32", always_2d=True)[0]


def test_features_are_those_of_the_encoder_in_the_order_asked_for(tmp_path: Path):
    media, cache = sounds(tmp_path, 40), FeatureCache(tmp_path / "cache")
    clips = [media.clips[row] for row in np.random.default_rng(0).permutation(40)[:25]]
    found = encode_clips(media, "sound", log_mel(), cache, None, clips, dtype="float32")
    assert found.present.all()
    for row, clip in enumerate(clips):
        alone = torch.from_numpy(sound_of(clip))[None]
        direct = log_mel().encode(Media(alone, torch.ones(alone.shape[:2], dtype=torch.bool)))
        steps = int(direct.length)
        assert found.mask[row].sum() == steps
        torch.testing.assert_close(torch.from_numpy(found.features[row, :steps]), direct.features[0, :steps])
        assert not found.features[row, steps:].any()


def test_texts_of_like_length_are_encoded_together_and_come_back_in_their_order(tmp_path: Path):
    draw = np.random.default_rng(0)
    words = ["".join(draw.choice(list("abc"), draw.integers(1, 60))) for _ in range(150)]
    media, steps = texts(*words), []

    class Counting(Letters):
        def encode(self, media: Media) -> Encoded:
            steps.append(len(media.texts) * max(map(len, media.texts)))
            return super().encode(media)

    told: list[tuple[str, int, int]] = []
    found = encode(media, "text", Counting(), FeatureCache(tmp_path), progress=lambda *one: told.append(one))
    lengths = [len(word) for word in dict.fromkeys(words)]
    in_file_order = [
        lengths[first : first + encoding.BATCH] for first in range(0, len(lengths), encoding.BATCH)
    ]
    assert sum(steps) < 1.2 * sum(lengths)
    assert sum(len(part) * max(part) for part in in_file_order) > 1.5 * sum(lengths)
    counts = [done for stage, done, _ in told if stage == "encode"]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, len(lengths))
    kept = gather_features(found, FeatureCache(tmp_path), media.clips, 2, np.float32)
    for row, word in enumerate(words):
        assert kept.features[row][kept.mask[row], 0].tolist() == [ord(letter) for letter in word]


def test_nothing_is_encoded_twice(tmp_path: Path):
    cache, encoder = FeatureCache(tmp_path), Letters()
    first = encode(texts("one", "two", "one"), "text", encoder, cache)
    assert (first.encoded, sorted(encoder.asked)) == (2, ["one", "two"])
    again = encode(texts("three", "two"), "text", encoder, FeatureCache(tmp_path))
    assert again.encoded == 1
    assert sorted(encoder.asked) == ["one", "three", "two"]
    assert encode(texts("three", "two"), "text", encoder, cache).encoded == 0


def test_a_renamed_file_is_known_and_a_changed_one_is_not(tmp_path: Path):
    media, cache = sounds(tmp_path, 4), FeatureCache(tmp_path / "cache")
    encode(media, "sound", log_mel(), cache)
    moved = tmp_path / "moved.wav"
    (tmp_path / "1.wav").rename(moved)
    clips = list(media.clips)
    clips[1] = replace(clips[1], media={"sound": Piece((moved,))})
    assert encode(replace(media, clips=tuple(clips)), "sound", log_mel(), cache).encoded == 0
    soundfile.write(moved, np.full(RATE, 0.1, np.float32), RATE)
    assert encode(replace(media, clips=tuple(clips)), "sound", log_mel(), cache).encoded == 1


def test_what_is_broken_is_told_with_its_reason_and_the_rest_is_encoded(tmp_path: Path):
    media, cache = sounds(tmp_path, 6), FeatureCache(tmp_path / "cache")
    soundfile.write(tmp_path / "1.wav", np.full((RATE, 1), np.nan, np.float32), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "2.wav", np.zeros((0, 1), np.float32), RATE)
    whole = (tmp_path / "3.wav").read_bytes()
    (tmp_path / "3.wav").write_bytes(whole[:20])
    (tmp_path / "4.wav").unlink()
    result = encode(media, "sound", log_mel(), cache)
    assert set(result.keys) == {"c0", "c5"}
    assert [problem.sample_id for problem in result.problems] == ["c1", "c2", "c3", "c4"]
    for row, problem in enumerate(result.problems, 1):
        assert problem.modality == "sound"
        assert problem.file == str(tmp_path / f"{row}.wav")
        assert problem.reason
    features = encode_clips(media, "sound", log_mel(), cache, None, media.clips)
    assert features.present.tolist() == [True, False, False, False, False, True]
    assert not features.features[1:5].any()
    assert not features.mask[1:5].any()


def test_an_empty_text_and_features_too_large_for_float16_are_problems(tmp_path: Path):
    media = texts("word", "  ", "\N{FACE WITH TEARS OF JOY}")  # its code point is 128,514
    result = encode(media, "text", Letters(), FeatureCache(tmp_path))
    assert set(result.keys) == {"c0"}
    empty, large = result.problems
    assert "empty" in empty.reason
    assert "float32" in large.reason
    result = encode(media, "text", Letters(), FeatureCache(tmp_path), dtype="float32")
    assert set(result.keys) == {"c0", "c2"}


def test_sound_is_broken_before_it_is_encoded_the_same_way_for_any_batch(tmp_path: Path):
    media = sounds(tmp_path, 20)
    noise = WhiteNoise("sound", 3, seed=5)
    whole = encode_clips(
        media, "sound", log_mel(), FeatureCache(tmp_path / "a"), noise, media.clips, dtype="float32"
    )
    alone = FeatureCache(tmp_path / "b")
    for row in (0, 7, 19):
        clip = media.clips[row]
        one = encode_clips(media, "sound", log_mel(), alone, noise, [clip], dtype="float32")
        steps = int(one.mask.sum())
        np.testing.assert_allclose(one.features[0], whole.features[row, :steps], atol=1e-4)
        sound = torch.from_numpy(sound_of(clip))[None]
        there = torch.ones(sound.shape[:2], dtype=torch.bool)
        batch = Batch(
            features={"sound": sound},
            mask={"sound": there},
            present={"sound": torch.ones(1, dtype=torch.bool)},
            target=torch.zeros(1),
            domain=torch.zeros(1, dtype=torch.int64),
            sample_id=torch.tensor([sample_hash("own", clip.sample_id)]),
        )
        direct = log_mel().encode(Media(noise.apply(batch).features["sound"], there))
        np.testing.assert_allclose(one.features[0], direct.features[0].numpy(), atol=1e-4)
    clean = encode_clips(media, "sound", log_mel(), alone, None, media.clips)
    assert np.abs(clean.features - whole.features).max() > 0.1
    same = encode_clips(media, "sound", log_mel(), alone, WhiteNoise("sound", 0), media.clips)
    np.testing.assert_array_equal(same.features, clean.features)


def test_each_severity_and_seed_has_features_of_its_own(tmp_path: Path):
    media, cache = sounds(tmp_path, 3), FeatureCache(tmp_path / "cache")
    broken = [WhiteNoise("sound", 1), WhiteNoise("sound", 2), WhiteNoise("sound", 1, seed=1)]
    results = [encode(media, "sound", log_mel(), cache, one) for one in broken]
    assert [result.encoded for result in results] == [3, 3, 3]
    assert len({result.recipe.id for result in results}) == 3
    assert encode(media, "sound", log_mel(), cache, broken[0]).encoded == 0


def test_what_mixes_clips_depends_on_the_split_and_not_on_what_is_asked_for(tmp_path: Path):
    media = sounds(tmp_path, 12)
    babble = Babble("sound", 5)
    test = [clip for clip in media.clips if clip.split == "test"]
    whole = encode_clips(media, "sound", log_mel(), FeatureCache(tmp_path / "a"), babble, media.clips)
    part = encode_clips(media, "sound", log_mel(), FeatureCache(tmp_path / "b"), babble, test[:1])
    row, steps = media.clips.index(test[0]), int(part.mask.sum())
    np.testing.assert_allclose(part.features[0], whole.features[row, :steps], atol=1e-2)
    other = replace(media, clips=tuple(clip for clip in media.clips if clip != test[-1]))
    without = encode(other, "sound", log_mel(), FeatureCache(tmp_path / "b"), babble, clips=test[:1])
    assert without.encoded == 1  # one voice less: another damage
    silent = replace(media, clips=tuple(test[:1]))
    with pytest.raises(UsageError, match="fewer than two"):
        encode(silent, "sound", log_mel(), FeatureCache(tmp_path / "c"), babble)


def test_text_is_broken_in_words(tmp_path: Path):
    media, encoder = texts("the quick brown fox", "jumps over it"), Letters()
    typos = KeyboardTypos("text", 5)
    encode(media, "text", encoder, FeatureCache(tmp_path), typos)
    for row, clip in enumerate(media.clips):
        words = encode_words([str(clip.media["text"])])
        batch = Batch(
            features={"text": words},
            mask={"text": (words != 0).any(-1)},
            present={"text": torch.ones(1, dtype=torch.bool)},
            target=torch.zeros(1),
            domain=torch.zeros(1, dtype=torch.int64),
            sample_id=torch.tensor([sample_hash("own", clip.sample_id)]),
        )
        assert encoder.asked[row] == decode_words(typos.apply(batch).features["text"])[0]
        assert encoder.asked[row] != clip.media["text"]


def test_what_does_not_go_together_is_one_line(tmp_path: Path):
    media, cache = texts("word"), FeatureCache(tmp_path)
    with pytest.raises(UsageError, match="has no sound"):
        encode(media, "sound", Letters(), cache)
    with pytest.raises(UsageError, match="reads waveform"):
        encode(media, "text", log_mel(), cache)
    with pytest.raises(UsageError, match="breaks waveform; the raw media of text are text"):
        encode(media, "text", Letters(), cache, WhiteNoise("text", 1))
    with pytest.raises(UsageError, match="breaks features"):
        encode(media, "text", Letters(), cache, GaussianNoise("text", 1))
    with pytest.raises(UsageError, match="breaks sound, not text"):
        encode(media, "text", Letters(), cache, KeyboardTypos("sound", 1))


SLOW = """
import os, sys, time
from pathlib import Path
from test_encode import Letters, texts
import mmbench.benchmark.features.pipeline as encoding
from mmbench.benchmark.features.encode import encode
from mmbench.datasets.cache.cache import FeatureCache

encoding.SLICE = 8
class Slow(Letters):
    def encode(self, media):
        with open(f"{sys.argv[1]}/asked-{os.getpid()}", "a") as stream:
            stream.write(f"{len(media.texts)}\\n")
        time.sleep(0.25)
        return super().encode(media)

encoder = Slow()
words = [f"word{number}" for number in range(120)]
print(encode(texts(*words), "text", encoder, FeatureCache(Path(sys.argv[1]))).encoded, len(encoder.asked))
"""


def start(cache: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": f"{Path(__file__).parent}:{os.environ.get('PYTHONPATH', '')}"}
    return subprocess.Popen(
        [sys.executable, "-c", SLOW, str(cache)], stdout=subprocess.PIPE, text=True, env=environment
    )


def counted(cache: Path) -> list[str]:
    """The keys of every shard; twice where a clip was encoded twice."""
    from mmbench.datasets.cache.shard import read_index

    return [key for index in sorted(cache.glob("*/0*.json")) for key in read_index(index).keys]


@pytest.mark.slow
def test_processes_share_the_work_and_a_killed_one_loses_one_shard(tmp_path: Path):
    processes = [start(tmp_path) for _ in range(3)]
    log = tmp_path / f"asked-{processes[0].pid}"
    until = time.monotonic() + 60
    while not (log.exists() and log.read_text().count("\n") > 1) and time.monotonic() < until:
        time.sleep(0.01)
    processes[0].send_signal(signal.SIGKILL)
    said = [[int(word) for word in process.communicate()[0].split()] for process in processes]
    assert processes[0].wait() == -signal.SIGKILL
    assert [process.returncode for process in processes[1:]] == [0, 0]
    keys = counted(tmp_path)
    assert len(keys) == len(set(keys)) == 120
    kept = 120 - sum(encoded for encoded, _ in said[1:])
    assert all(encoded == asked for encoded, asked in said[1:])  # nothing was encoded in vain
    begun = sum(map(int, log.read_text().split()))
    assert kept < begun <= kept + 8


@pytest.mark.slow
def test_a_killed_one_goes_on_where_it_was(tmp_path: Path):
    first = start(tmp_path)
    until = time.monotonic() + 60
    while len(counted(tmp_path)) < 40 and time.monotonic() < until:
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.wait()
    kept = len(counted(tmp_path))
    encoded, asked = map(int, start(tmp_path).communicate()[0].split())
    assert 0 < encoded == asked == 120 - kept
    assert len(set(counted(tmp_path))) == 120


def test_the_key_of_broken_features_knows_all_the_code_that_breaks_them(tmp_path: Path):
    package = Path(encoding.__file__).parents[2]
    for part in ("benchmark", "corruptions", "datasets"):
        shutil.copytree(package / part, tmp_path / "mmbench" / part)
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from mmbench.corruptions.audio import Gain\n\n\nclass Louder(Gain):\n    kind = 'louder'\n"
    )
    script = (
        "from mmbench.benchmark.features.corrupt_media import MediaCorruption\n"
        "from mmbench.corruptions.audio import WhiteNoise\n"
        "from mmbench.datasets.media.clip import SoundView\n"
        "from mine import Louder\n"
        "for kind in (WhiteNoise, Louder):\n"
        "    print(MediaCorruption.of(kind('sound', 3), 'sound', 'waveform', SoundView()).identity['code'])\n"
    )
    settings = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}

    def codes() -> list[str]:
        call = [sys.executable, "-c", script]
        ended = subprocess.run(call, capture_output=True, text=True, env=settings, check=True, cwd=tmp_path)
        return ended.stdout.split()

    seen = [codes()]
    for helper in ("sound.py", "frames/picture.py"):
        with (tmp_path / "mmbench" / "corruptions" / helper).open("a") as code:
            code.write("\n# other code\n")
        seen.append(codes())
    assert [len(set(kind)) for kind in zip(*seen, strict=True)] == [3, 3]
    plugin.write_text(plugin.read_text() + "\n# other code\n")
    house, mine = codes()
    assert house == seen[-1][0]
    assert mine not in (seen[-1][1], house)
