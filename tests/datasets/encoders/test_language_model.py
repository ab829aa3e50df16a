"""Language models from folders and GGUF files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmbench.datasets.dataset import DataError
from mmbench.datasets.encoders import language_model
from mmbench.datasets.encoders.language_model import load_language_model

from ...methods.language.tiny_models import save_llama, save_thinker

#: Sizes of the model of the GGUF file: words, width, width of the layer between, blocks.
VOCABULARY, WIDTH, HIDDEN, BLOCKS = 262, 32, 64, 2


def write_gguf(file: Path) -> np.ndarray:
    """A file as llama.cpp reads it: a Llama of random weights with letters as tokens.

    Args:
        file: where it is written.

    Returns:
        The embeddings, [token, width] float32.
    """
    gguf = pytest.importorskip("gguf")
    draw = np.random.default_rng(0)
    writer = gguf.GGUFWriter(str(file), "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_block_count(BLOCKS)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(VOCABULARY)
    letters = [chr(code) for code in range(0x100, 0x100 + VOCABULARY - 4)]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["<unk>", "<bos>", "<end>", letters[0] + letters[1], *letters])
    writer.add_token_types([3, 3, 3, 1, *[1] * len(letters)])
    writer.add_token_merges([f"{letters[0]} {letters[1]}"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    sizes = {
        "attn_q": (WIDTH, WIDTH), "attn_k": (WIDTH // 2, WIDTH), "attn_v": (WIDTH // 2, WIDTH),
        "attn_output": (WIDTH, WIDTH), "ffn_gate": (HIDDEN, WIDTH), "ffn_up": (HIDDEN, WIDTH),
        "ffn_down": (WIDTH, HIDDEN), "attn_norm": (WIDTH,), "ffn_norm": (WIDTH,),
    }  # fmt: skip
    shapes: dict[str, tuple[int, ...]] = {"token_embd": (VOCABULARY, WIDTH), "output_norm": (WIDTH,)}
    shapes |= {f"blk.{block}.{name}": size for block in range(BLOCKS) for name, size in sizes.items()}
    values = {name: draw.normal(0, 0.1, size).astype(np.float32) for name, size in shapes.items()}
    for name, one in values.items():
        writer.add_tensor(f"{name}.weight", one)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return values["token_embd"]


def test_a_gguf_file_is_converted_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    embeddings = write_gguf(tmp_path / "small.gguf")
    first = load_language_model(str(tmp_path / "small.gguf"))
    np.testing.assert_array_equal(first.module.get_input_embeddings().weight.numpy(), embeddings)
    assert (first.name, first.media) == ("small.gguf", frozenset({"text"}))
    monkeypatch.setitem(sys.modules, "gguf", None)  # what is kept needs the library no more
    again = load_language_model(str(tmp_path / "small.gguf"))
    assert again.digest == first.digest
    ids = torch.tensor([[5, 9, 7]])
    with torch.no_grad():
        assert torch.equal(again.module(input_ids=ids).logits, first.module(input_ids=ids).logits)
    assert len(list((tmp_path / "home" / "hub" / "gguf").iterdir())) == 1
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "elsewhere"))
    with pytest.raises(DataError, match=r"the model small\.gguf needs gguf.*pip install"):
        load_language_model(str(tmp_path / "small.gguf"))


def test_a_file_that_is_no_gguf_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("gguf")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + b"\0" * 64)
    with pytest.raises(DataError, match=r"broken\.gguf: cannot be read") as caught:
        load_language_model(str(tmp_path / "broken.gguf"))
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "home" / "hub" / "gguf").iterdir())


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    return save_llama(tmp_path / "llama")


@pytest.mark.parametrize(
    ("gone", "reason"),
    [
        (("config.json",), "holds no config.json"),
        (("model.safetensors",), "holds no weights: put model.safetensors there"),
        (("tokenizer.json", "tokenizer_config.json"), "holds no tokenizer that can be read"),
    ],
)
def test_what_a_folder_lacks_is_said(llama: Path, gone: tuple[str, ...], reason: str):
    for name in gone:
        (llama / name).unlink()
    with pytest.raises(DataError, match=reason) as caught:
        load_language_model(str(llama))
    assert "\n" not in str(caught.value)


def test_weights_that_do_not_fit_into_memory_are_refused(llama: Path, monkeypatch: pytest.MonkeyPatch):
    numbers = sum(one.numel() for one in load_language_model(str(llama)).module.parameters())
    monkeypatch.setattr(language_model, "free_bytes", lambda device: 3 * numbers)
    with pytest.raises(DataError, match=r"its weights take 0\.0 GiB as float32"):
        load_language_model(str(llama))
    assert load_language_model(str(llama), "bfloat16").module.dtype == torch.bfloat16


def test_weights_take_no_gradients_and_say_what_they_read(llama: Path, tmp_path: Path):
    for folder, media in (
        (llama, {"text"}),
        (save_thinker(tmp_path / "omni"), {"text", "waveform", "frames"}),
    ):
        loaded: Any = load_language_model(str(folder))
        assert loaded.media == media
        assert not any(one.requires_grad for one in loaded.module.parameters())
        assert not loaded.module.training
        assert (loaded.processor is None) == (media == {"text"})
