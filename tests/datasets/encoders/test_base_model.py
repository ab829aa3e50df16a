"""What the files of a language model say before it is loaded, beside what the loaded one is."""

from __future__ import annotations

import struct
from importlib.util import find_spec
from pathlib import Path

import pytest
from mmbench.datasets.dataset import DataError
from mmbench.datasets.encoders.base_model import Weights, lacks, media_read, weights_bytes
from mmbench.datasets.encoders.language_model import load_language_model

from ...methods.language.tiny_models import save_llama, save_qwen_audio, save_qwen_vision, save_thinker
from .test_language_model import write_gguf


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("llama"), hidden=64)


@pytest.mark.parametrize("weights", ["float32", "bfloat16", "nf4"])
def test_weights_take_what_was_estimated(llama: Path, weights: Weights):
    if weights == "nf4" and find_spec("bitsandbytes") is None:
        pytest.skip("not installed: bitsandbytes")
    module = load_language_model(str(llama), weights).module
    held = sum(one.numel() * one.element_size() for one in module.parameters())
    if weights == "nf4":  # the scales of the blocks lie beside the parameters
        states = [one.quant_state for one in module.parameters() if hasattr(one, "quant_state")]
        held += sum(one.absmax.numel() + 4 * one.state2.absmax.numel() for one in states)
    assert weights_bytes(llama, weights) == pytest.approx(held, rel=0.02 if weights == "nf4" else 0)


def test_a_gguf_file_takes_what_its_model_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    file = tmp_path / "small.gguf"
    write_gguf(file)
    module = load_language_model(str(file)).module
    assert weights_bytes(file, "float32") == 4 * sum(one.numel() for one in module.parameters())
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(DataError, match=r"small\.gguf: is no GGUF file, or is cut off"):
        weights_bytes(file, "float32")


def test_each_family_says_what_it_reads(llama: Path, tmp_path: Path):
    made = {
        save_thinker(tmp_path / "thinker"): {"text", "waveform", "frames"},
        save_qwen_audio(tmp_path / "audio"): {"text", "waveform"},
        save_qwen_vision(tmp_path / "vision"): {"text", "frames"},
        llama: {"text"},
    }
    assert {folder: media_read(folder) for folder in made} == made
    assert not [lack for folder in made if (lack := lacks(folder))]
    for name in ("preprocessor_config.json", "processor_config.json"):
        (tmp_path / "audio" / name).unlink(missing_ok=True)
    assert "by which a model of type qwen2_audio prepares sound or frames" in lacks(tmp_path / "audio")


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 4, struct.pack("<Q", 1 << 40), struct.pack("<Q", 2) + b"[]"]
)
def test_a_file_that_is_no_safetensors_is_named(tmp_path: Path, content: bytes):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(DataError, match=r"model\.safetensors: is no file of safetensors, or is cut off"):
        weights_bytes(tmp_path, "float32")
