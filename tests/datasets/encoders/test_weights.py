"""Weights that are missing, damaged or poisoned, and memory that runs out."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from mmbench.datasets.encoders import memory
from mmbench.datasets.encoders.encoder import EncoderError, Media
from mmbench.datasets.encoders.memory import Planner, free_bytes, in_batches
from mmbench.datasets.encoders.spec import parse
from mmbench.datasets.encoders.table import make
from mmbench.datasets.encoders.weights import connection_fault, files_digest, read_state, weight_files
from safetensors.torch import save_file

CPU = torch.device("cpu")


class Poison:
    """What makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def poisoned(tmp_path: Path) -> Path:
    """A folder that looks like a model of any library, whose weights run code when they are unpickled."""
    config = transformers.BertConfig(
        vocab_size=5, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    config.save_pretrained(tmp_path)
    file = tmp_path / "pytorch_model.bin"
    torch.save({"weight": Poison(tmp_path / "ran")}, file)
    torch.load(file, weights_only=False)  # the poison does work
    (tmp_path / "ran").rmdir()
    return tmp_path


@pytest.mark.parametrize(
    "text",
    [
        "text:FOLDER",
        "timm:test_vit,weights=FOLDER",
        "timm-flow:test_vit,weights=FOLDER/pytorch_model.bin",
        "torchaudio:wav2vec2_base,weights=FOLDER",
    ],
)
def test_poison_never_runs(poisoned: Path, text: str):
    with pytest.raises(EncoderError) as caught:
        make(parse(text.replace("FOLDER", str(poisoned))), CPU)
    assert "\n" not in str(caught.value)
    assert str(poisoned) in str(caught.value)
    assert not (poisoned / "ran").exists()


def test_a_plain_pickle_is_refused(tmp_path: Path):
    file = tmp_path / "weights.pth"
    file.write_bytes(pickle.dumps({"weight": Poison(tmp_path / "ran")}, protocol=2))
    with pytest.raises(EncoderError, match="save the weights alone as safetensors"):
        read_state(file)
    assert not (tmp_path / "ran").exists()


def test_weights_are_read_back_in_both_formats(tmp_path: Path):
    state = {"a.b": torch.rand(2, 3), "c": torch.arange(3)}
    save_file(state, tmp_path / "x.safetensors")
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "x.pt")
    for name in ("x.safetensors", "x.pt"):
        read = read_state(tmp_path / name)
        assert read.keys() == state.keys()
        assert all(read[key].equal(value) for key, value in state.items())
    torch.save([1, 2], tmp_path / "list.pt")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "x.safetensors").read_bytes()[:40])
    (tmp_path / "cut.pt").write_bytes((tmp_path / "x.pt").read_bytes()[:200])
    for name in ("list.pt", "cut.safetensors", "cut.pt", "none.pt", "none.safetensors"):
        with pytest.raises(EncoderError) as caught:
            read_state(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_cut_download_is_said(poisoned: Path):
    (poisoned / "pytorch_model.bin").unlink()
    (poisoned / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    with pytest.raises(EncoderError, match="cannot be made") as caught:
        make(parse(f"text:{poisoned}"), CPU)
    assert "\n" not in str(caught.value)


def test_safetensors_go_before_pickles(tmp_path: Path):
    assert weight_files(tmp_path) == []
    (tmp_path / "pytorch_model.bin").write_bytes(b"1")
    assert [file.name for file in weight_files(tmp_path)] == ["pytorch_model.bin"]
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    for shard in shards:
        (tmp_path / shard).write_bytes(shard.encode())
    found = weight_files(tmp_path)
    assert [file.name for file in found] == shards
    assert files_digest(found) == files_digest(found[::-1]) != files_digest(found[:1])


OFFLINE = """
import sys, time, timm, torch, transformers
from mmbench.datasets.encoders.encoder import EncoderError
from mmbench.datasets.encoders.spec import parse
from mmbench.datasets.encoders.table import make
started = time.monotonic()
for text in sys.argv[1:]:
    try:
        make(parse(text), torch.device("cpu"))
    except EncoderError as error:
        print(error)
assert time.monotonic() - started < 60  # not minutes of trying again
"""


@pytest.mark.parametrize("offline", [True, False], ids=["told", "found"])
def test_missing_weights_are_said_at_once(tmp_path: Path, offline: bool):
    """In a process that is told to be off-line, and in one whose hub does not answer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}"
    environment = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    environment |= {"HF_HOME": str(tmp_path), "TORCH_HOME": str(tmp_path), "HF_ENDPOINT": closed}
    environment |= {"HF_HUB_OFFLINE": "1"} if offline else {}
    specs = ["text:bert-base-uncased,revision=main", "timm:test_vit", "whisper:openai/whisper-tiny"]
    ended = subprocess.run(
        [sys.executable, "-c", OFFLINE, *specs], env=environment, capture_output=True, text=True, check=True
    )
    text, vision, speech = ended.stdout.splitlines()
    why = "HF_HUB_OFFLINE is set" if offline else "127.0.0.1 does not answer: Connection refused"
    assert text == (
        f"encoder text: no weights of bert-base-uncased@main here, and none fetched ({why}): where there is a "
        "network, run `hf download bert-base-uncased --revision main --local-dir FOLDER`, copy FOLDER here, and name "
        "it as the model or as weights=FOLDER"
    )
    assert "encoder timm: no weights of timm/test_vit" in vision
    assert "encoder whisper: no weights of openai/whisper-tiny here" in speech


def test_missing_weights_of_a_bundle_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{free.getsockname()[1]}")
    connection_fault.cache_clear()
    with pytest.raises(EncoderError) as caught:
        make(parse("torchaudio:wav2vec2_base"), CPU)
    connection_fault.cache_clear()
    kept = tmp_path / "hub" / "checkpoints" / "wav2vec2_fairseq_base_ls960.pth"
    assert "fetch https://download.pytorch.org/torchaudio/models/wav2vec2_fairseq_base_ls960.pth" in str(
        caught.value
    )
    assert f"put it at {kept}" in str(caught.value)
    # a file that lies there is read: here one that is no network's
    kept.parent.mkdir(parents=True)
    torch.save({"weight": torch.zeros(2)}, kept)
    with pytest.raises(EncoderError, match=f"{kept} does not fit wav2vec2_base"):
        make(parse("torchaudio:wav2vec2_base"), CPU)


def test_a_listening_address_is_reachable():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert connection_fault(f"http://127.0.0.1:{server.getsockname()[1]}/x") == ""


@given(st.integers(0, 40), st.integers(1, 50), st.integers(1, 50))
def test_batches_are_halved_until_they_fit(count: int, size: int, room: int):
    asked: list[int] = []

    def run(start: int, stop: int) -> list[int]:
        asked.append(stop - start)
        if stop - start > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return list(range(start, stop))

    found = in_batches(run, count, size)
    assert [item for part in found for item in part] == list(range(count))
    assert all(len(part) <= min(size, room) for part in found)
    assert asked == sorted(asked[:-1], reverse=True) + asked[-1:]  # never larger again


def test_an_item_that_does_not_fit_and_other_errors_are_raised():
    def run(start: int, stop: int) -> int:
        raise RuntimeError(words)

    asked = []
    for words in ("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried", "another"):
        with pytest.raises(RuntimeError, match=words[:5].replace("[", r"\[")):
            in_batches(lambda start, stop: asked.append(stop - start) or run(start, stop), 8, 8)
    assert asked == [8, 4, 2, 1, 8]


def test_the_cpus_own_error_is_known():
    """The allocator is asked for a thousand terabytes in real; only a batch of one is small."""

    def run(start: int, stop: int) -> torch.Tensor:
        return torch.empty(2 if stop - start == 1 else 10**15)

    assert len(in_batches(run, 3, 3)) == 3


def test_the_size_of_batches_follows_the_free_memory(monkeypatch: pytest.MonkeyPatch):
    assert 0 < free_bytes(CPU) < 2**50
    layer = torch.nn.Linear(10, 1000)
    values = torch.rand(600, 10)
    for free, most in [(0, 1), (40_000 * memory.WORKING, 5), (2**40, memory.MOST)]:
        monkeypatch.setattr(memory, "free_bytes", lambda device, free=free: free)
        asked: list[int] = []

        def run(start: int, stop: int, asked: list[int] = asked) -> torch.Tensor:
            asked.append(stop - start)
            return layer(values[start:stop])

        found = torch.cat(Planner(layer, CPU)(run, len(values), 10))
        assert asked[0] == 1  # measured: 1000 numbers of 4 bytes
        assert max(asked) == most
        torch.testing.assert_close(found, layer(values))


def test_what_was_measured_before_changes_no_number():
    torch.manual_seed(0)
    layer = torch.nn.Sequential(torch.nn.Linear(37, 64), torch.nn.Dropout(0.5))  # training draws at random
    values = torch.rand(17, 37)
    planner = Planner(layer, CPU)
    found = []
    for _ in ("measures", "has measured"):
        torch.manual_seed(1)
        found.append(torch.cat(planner(lambda start, stop: layer(values[start:stop]), len(values), 37)))
    assert found[0].equal(found[1])


def test_little_memory_changes_no_feature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model = timm.create_model("test_vit", pretrained=False)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    media = Media(torch.rand(3, 4, 3, 160, 160))
    found = []
    for free in (0, 2**40):
        monkeypatch.setattr(memory, "free_bytes", lambda device, free=free: free)
        found.append(make(parse(f"timm:test_vit,weights={tmp_path}"), CPU).encode(media).features)
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-4)
