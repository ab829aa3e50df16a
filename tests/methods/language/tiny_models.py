"""Language models of random weights, small enough for tests: one that reads text, and others that hear or see, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

WORDS = (
    "good",
    "great",
    "fine",
    "bad",
    "poor",
    "sad",
    "film",
    "positive",
    "negative",
    "neutral",
    "sentiment",
)
_SPECIAL = ("<pad>", "<unk>", "<bos>", "<end>", "<user>", "<model>")
_MEDIA = {
    "image_token": "<image>",
    "audio_token": "<audio>",
    "video_token": "<video>",
    "vision_bos_token": "<vision>",
    "vision_eos_token": "</vision>",
    "audio_bos_token": "<sound>",
    "audio_eos_token": "</sound>",
}
TEMPLATE = (
    "{% for m in messages %}<user>{{ m['content'] }}<end>{% endfor %}"
    "{% if add_generation_prompt %}<model>{% endif %}"
)


def tokenizer(template: bool = True, pad: bool = True) -> Any:
    """Words, single digits and signs as tokens.

    Args:
        template: whether it has one for chats.
        pad: whether it has a token for padding.
    """
    entries = [*_SPECIAL, *_MEDIA.values(), *WORDS, *"0123456789", "-", ".", "?", "\n"]
    inner = Tokenizer(
        models.WordLevel({word: place for place, word in enumerate(entries)}, unk_token="<unk>")
    )
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(r"[a-z]+|\d|\n|[^\sa-z\d]"), "removed", invert=True)  # type: ignore[assignment]
    inner.decoder = decoders.Fuse()  # type: ignore[assignment]
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner,
        unk_token="<unk>",
        bos_token="<bos>",
        eos_token="<end>",
        extra_special_tokens={**_MEDIA, "user_token": "<user>", "model_token": "<model>"},
        **({"pad_token": "<pad>"} if pad else {}),
        **({"chat_template": TEMPLATE} if template else {}),
    )


def save_llama(
    folder: Path, seed: int = 0, template: bool = True, pad: bool = True, hidden: int = 32
) -> Path:
    """A causal language model, and its tokenizer.

    Args:
        folder: where; it is made.
        seed: of the weights.
        template, pad: as of ``tokenizer``.
        hidden: the width of its hidden states.
    """
    words = tokenizer(template, pad)
    config = transformers.LlamaConfig(
        vocab_size=64,
        hidden_size=hidden,
        intermediate_size=hidden * 3 // 2,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.3,  # so that attention and the words that it writes are not all alike
        tie_word_embeddings=True,  # as of most small models
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def thinker_config(**sizes: Any) -> Any:
    """The configuration of a small Thinker of Qwen2.5-Omni.

    Args:
        sizes: what is otherwise than in the smallest, of the text model.
    """
    words = tokenizer()
    names = {name: words.convert_tokens_to_ids(token) for name, token in _MEDIA.items()}
    kind: Any = transformers.models.qwen2_5_omni.configuration_qwen2_5_omni.Qwen2_5OmniThinkerConfig
    return kind(
        audio_config={
            "d_model": 32, "encoder_layers": 1, "encoder_attention_heads": 4, "encoder_ffn_dim": 48,
            "num_mel_bins": 128, "output_dim": 32,
        },
        vision_config={
            "hidden_size": 32, "depth": 1, "intermediate_size": 48, "num_heads": 4, "out_hidden_size": 32,
            "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 112,
            "fullatt_block_indexes": [0],
        },
        text_config={
            "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4,
            "num_key_value_heads": 2, "vocab_size": 64, "max_position_embeddings": 2048,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]},
            **sizes,
        },
        audio_token_index=names["audio_token"],
        image_token_index=names["image_token"],
        video_token_index=names["video_token"],
        audio_token_id=names["audio_token"],
        image_token_id=names["image_token"],
        video_token_id=names["video_token"],
        audio_start_token_id=names["audio_bos_token"],
        audio_end_token_id=names["audio_eos_token"],
        vision_start_token_id=names["vision_bos_token"],
        vision_end_token_id=names["vision_eos_token"],
    )  # fmt: skip


def save_thinker(folder: Path, seed: int = 0) -> Path:
    """A model that reads text, sound and frames, with its processor.

    Args:
        folder: where; it is made.
        seed: of the weights.
    """
    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    transformers.Qwen2_5OmniThinkerForConditionalGeneration(thinker_config()).save_pretrained(folder)
    processor = transformers.Qwen2_5OmniProcessor(
        image_processor=transformers.Qwen2VLImageProcessor(),
        video_processor=transformers.Qwen2VLVideoProcessor(
            size={"shortest_edge": 56 * 56, "longest_edge": 56 * 56}
        ),
        feature_extractor=transformers.WhisperFeatureExtractor(feature_size=128),
        tokenizer=tokenizer(),
        chat_template=TEMPLATE,
    )
    processor.save_pretrained(folder)
    return folder


_TEXT: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 64, "max_position_embeddings": 2048,
}  # fmt: skip


def save_qwen_audio(folder: Path, seed: int = 0) -> Path:
    """A Qwen2-Audio model, which reads text and at most 2 seconds of sound, with its processor.

    Args:
        folder: where; it is made.
        seed: of the weights.
    """
    words = tokenizer()
    config = transformers.Qwen2AudioConfig(
        audio_config={
            "d_model": 32, "encoder_layers": 1, "encoder_attention_heads": 4, "encoder_ffn_dim": 48,
            "num_mel_bins": 80, "max_source_positions": 100, "encoder_layerdrop": 0.0,
        },
        text_config={"model_type": "qwen2", **_TEXT},
        audio_token_index=words.convert_tokens_to_ids("<audio>"),
    )  # fmt: skip
    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    transformers.Qwen2AudioForConditionalGeneration(config).save_pretrained(folder)
    hears = transformers.WhisperFeatureExtractor(feature_size=80, chunk_length=2)
    transformers.Qwen2AudioProcessor(hears, words, chat_template=TEMPLATE).save_pretrained(folder)
    return folder


def save_qwen_vision(folder: Path, seed: int = 0, newer: bool = False) -> Path:
    """A Qwen2-VL model, which reads text and frames, with its processor.

    Args:
        folder: where; it is made.
        seed: of the weights.
        newer: of the kind Qwen2.5-VL.
    """
    words = tokenizer()
    sees: dict[str, Any] = {
        "depth": 1, "num_heads": 4, "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2,
    }  # fmt: skip
    if newer:
        sees |= {"hidden_size": 32, "intermediate_size": 48, "out_hidden_size": 32, "window_size": 112,
                 "fullatt_block_indexes": [0]}  # fmt: skip
    else:
        sees |= {"embed_dim": 32, "hidden_size": 32, "mlp_ratio": 1}
    names = {"image": "<image>", "video": "<video>", "vision_start": "<vision>", "vision_end": "</vision>"}
    ids = {f"{name}_token_id": words.convert_tokens_to_ids(token) for name, token in names.items()}
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
    kind: Any = transformers.Qwen2_5_VLConfig if newer else transformers.Qwen2VLConfig
    owner: Any = (
        transformers.Qwen2_5_VLForConditionalGeneration
        if newer
        else transformers.Qwen2VLForConditionalGeneration
    )
    processor: Any = transformers.Qwen2_5_VLProcessor if newer else transformers.Qwen2VLProcessor
    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    owner(kind(vision_config=sees, text_config={**_TEXT, "rope_parameters": rope}, **ids)).save_pretrained(
        folder
    )
    size = {"shortest_edge": 56 * 56, "longest_edge": 56 * 56}
    processor(
        transformers.Qwen2VLImageProcessor(), words, transformers.Qwen2VLVideoProcessor(size=size),
        chat_template=TEMPLATE,
    ).save_pretrained(folder)  # fmt: skip
    return folder
