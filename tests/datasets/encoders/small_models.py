"""Small models of every family, with random weights, saved as their libraries save them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
import torchaudio
import transformers
from safetensors.torch import save_file

WORDS = [
    "the",
    "a",
    "cat",
    "dog",
    "sat",
    "on",
    "mat",
    "and",
    "very",
    "good",
    "bad",
    "film",
    "was",
    "not",
    "it",
    "!",
    "?",
    "##s",
    "##ing",
]


def wordpiece(folder: Path) -> None:
    """A tokenizer's files: a WordPiece vocabulary."""
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    transformers.AutoTokenizer.from_pretrained(folder, tokenizer_type="bert").save_pretrained(folder)


def save_bert(folder: Path) -> None:
    config = transformers.BertConfig(
        vocab_size=5 + len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=140,
    )
    transformers.BertModel(config).save_pretrained(folder)
    wordpiece(folder)


def save_roberta(folder: Path) -> None:
    config = transformers.XLMRobertaConfig(
        vocab_size=5 + len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=141,
        pad_token_id=0,
    )
    transformers.XLMRobertaModel(config).save_pretrained(folder)
    wordpiece(folder)


def save_ast(folder: Path) -> None:
    config = transformers.ASTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_length=56,
        num_mel_bins=32,
    )
    transformers.ASTModel(config).save_pretrained(folder)


def save_whisper(folder: Path) -> None:
    config = transformers.WhisperConfig(
        vocab_size=50,
        d_model=16,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=24,
        decoder_ffn_dim=24,
        max_source_positions=50,
        num_mel_bins=8,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=3,
    )
    transformers.WhisperModel(config).save_pretrained(folder)


def wav2vec(mode: str, dropout: float = 0.1) -> dict[str, Any]:
    """Arguments of a small wav2vec 2.0; ``layer_norm`` as the large ones, ``group_norm`` as the base ones."""
    return {
        "extractor_mode": mode,
        "extractor_conv_layer_config": [[8, 10, 5], [8, 3, 2], [8, 2, 2]],
        "extractor_conv_bias": False,
        "encoder_embed_dim": 16,
        "encoder_projection_dropout": dropout,
        "encoder_pos_conv_kernel": 8,
        "encoder_pos_conv_groups": 2,
        "encoder_num_layers": 2,
        "encoder_num_heads": 2,
        "encoder_attention_dropout": dropout,
        "encoder_ff_interm_features": 24,
        "encoder_ff_interm_dropout": dropout,
        "encoder_dropout": dropout,
        "encoder_layer_norm_first": mode == "layer_norm",
        "encoder_layer_drop": dropout,
        "aux_num_out": None,
    }


def save_wav2vec(mode: str) -> Callable[[Path], None]:
    def save(folder: Path) -> None:
        arguments = wav2vec(mode)
        text = json.dumps({**arguments, "normalize_waveform": mode == "layer_norm"})
        (folder / "config.json").write_text(text)
        torch.save(torchaudio.models.wav2vec2_model(**arguments).state_dict(), folder / "pytorch_model.bin")

    return save


def save_timm(name: str) -> Callable[[Path], None]:
    def save(folder: Path) -> None:
        model: Any = timm.create_model(name, pretrained=False, num_classes=10)
        save_file(model.state_dict(), folder / "model.safetensors")
        config = {"architecture": name, "pretrained_cfg": {**model.pretrained_cfg, "num_classes": 10}}
        (folder / "config.json").write_text(json.dumps(config))

    return save


SAVE: dict[str, Callable[[Path], None]] = {
    "bert": save_bert,
    "roberta": save_roberta,
    "ast": save_ast,
    "whisper": save_whisper,
    "large": save_wav2vec("layer_norm"),
    "base": save_wav2vec("group_norm"),
    "vit": save_timm("test_vit"),
    "resnet": save_timm("test_resnet"),
}
