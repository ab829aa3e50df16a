"""Parts of methods that own a language model: adapters, hidden states, answers, and the head."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ...datasets.dataset import DataError
from ...datasets.libraries import import_guard
from .omni_media import OmniMedia
from .prompt_tokens import Prompt, last_positions, pad_rows, positions

Side = Literal["left", "right"]
#: The layers that are adapted, by the last part of their names (QLoRA adapts all linear layers of a block).
ADAPTED = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
#: Parts of a model that are not its language model, by their names.
_SENSES = {"audio_tower", "visual"}


def adapted_layers(module: nn.Module, scope: Literal["all", "llm"]) -> list[str]:
    """The names of the layers that adapters are put on.

    Args:
        module: a model.
        scope: ``all``: of its encoders of sound and frames, too, as far as these call their layers so; ``llm``: of its
            language model alone.

    Raises:
        DataError: it has none.
    """
    names = [
        name
        for name, part in module.named_modules()
        if isinstance(part, nn.Linear)
        and name.rpartition(".")[2] in ADAPTED
        and (scope == "all" or not _SENSES & set(name.split(".")))
    ]
    if not names:
        raise DataError(
            f"{type(module).__name__} has no layer called {', '.join(ADAPTED)}: take lora=false, a probe of its hidden states"
        )
    return names


def add_adapters(
    module: nn.Module, rank: int, alpha: float, dropout: float, scope: Literal["all", "llm"]
) -> None:
    """Puts low-rank adapters (LoRA, arXiv 2106.09685) on a model, in place; they change nothing until they are trained.

    Args:
        module: whose own weights take no gradients.
        rank: of the adapters.
        alpha: what their output is multiplied by, times 1 / rank.
        dropout: of their input, in training.
        scope: as of ``adapted_layers``.

    Raises:
        DataError: the model has no layers to adapt.
        LibraryError: peft is missing.
    """
    with import_guard("peft", "low-rank adapters of a language model"):
        from peft import LoraConfig, inject_adapter_in_model
    names = adapted_layers(module, scope)
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=names)  # type: ignore[arg-type]
    inject_adapter_in_model(config, module)
    for name, parameter in module.named_parameters():
        if "lora_" in name:  # a step of 2e-4 is lost in the rounding of bfloat16
            parameter.data = parameter.data.float()
        parameter.requires_grad_("lora_" in name)


def adapter_names(module: nn.Module) -> list[str]:
    """The names of the parameters of adapters."""
    return [name for name, _ in module.named_parameters() if "lora_" in name]


def readout_head(
    features: int, width: int, outputs: int, order: Literal["linear_first", "norm_first"], dropout: float
) -> nn.Sequential:
    """The head on a hidden state: [batch, features] -> [batch, outputs].

    Args:
        features: of the hidden state.
        width: of the hidden layer.
        outputs: 1 for a score, or the number of classes.
        order: ``linear_first``: linear, layer norm, ReLU, dropout, linear; ``norm_first``: layer norm, linear, and so on.
        dropout: in training.
    """
    first = [nn.Linear(features, width), nn.LayerNorm(width)]
    if order == "norm_first":
        first = [nn.LayerNorm(features), nn.Linear(features, width)]
    return nn.Sequential(*first, nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, outputs))


class Backbone:
    """Reads prompts by a language model that somebody else holds.

    Attributes:
        width: of its hidden states.
        window: the most positions that it can read.
    """

    def __init__(self, module: Any, layer: int, side: Side, fill: int, film: int | None = None) -> None:
        """Takes a model.

        Args:
            module: with ``base_model`` and a head of its own.
            layer: whose hidden states are read: 0 the embeddings, n after block n, -1 the last after the final norm.
            side: where short prompts are padded.
            fill: the id of padding.
            film: the id that stands for frames; None where the model sees none.

        Raises:
            DataError: it has no such layer, or the library is too old for it.
        """
        self._held = (module,)  # in a tuple, as parameters are registered where they are owned
        if module.base_model is module:  # as of Qwen2-Audio in version 4
            raise DataError(
                f"method lmm: this version of transformers gives no hidden states of {type(module).__name__}: pip install -U "
                "transformers"
            )
        config = module.config.get_text_config()
        self.width = int(config.hidden_size)
        self.window = int(getattr(config, "max_position_embeddings", None) or 2**31)
        depth = int(config.num_hidden_layers)
        if not -1 <= layer <= depth:
            raise DataError(f"method lmm: layer={layer}: should be -1, or 0 to {depth} of this model")
        self._layer, self._fill = layer, fill
        self._side: Side = side
        accepted = inspect.signature(module.base_model.forward).parameters
        # a model that places sound and frames counts positions itself
        self._counts = "position_ids" in accepted and "video_grid_thw" not in accepted
        # some are told which ids stand for frames
        self._film = film if "mm_token_type_ids" in accepted else None
        # what it calls the keys and values that it has read depends on the version of the library
        self._cache = next((name for name in ("cache", "past_key_values") if name in accepted), "")

    def pooled(
        self, rows: Sequence[Sequence[int]], media: Mapping[str, Tensor], pool: Literal["last", "mean"]
    ) -> Tensor:
        """The hidden state of each prompt, [row, width], of its last token or as a mean over its tokens.

        Args:
            rows: ids of the prompts.
            media: further arguments of the model.
            pool: which.
        """
        hidden, mask = self._hidden(rows, media, self._layer)
        if pool == "last":
            return hidden[torch.arange(len(hidden), device=hidden.device), last_positions(mask)]
        share = mask[..., None].to(hidden.dtype)
        return (hidden * share).sum(dim=1) / share.sum(dim=1)

    def answer_scores(
        self,
        rows: Sequence[Sequence[int]],
        answers: Sequence[Sequence[int]],
        media: Mapping[str, Tensor],
    ) -> tuple[Tensor, Tensor]:
        """The log-probability of an answer after each prompt; prompt and padding count for nothing.

        Args:
            rows: ids of the prompts.
            answers: ids of the answers, at least one each.
            media: further arguments of the model.

        Returns:
            Sums over the tokens of the answer [row] float32, and their numbers [row] float32.
        """
        whole = [[*row, *answer] for row, answer in zip(rows, answers, strict=True)]
        hidden, mask = self._hidden(whole, media, -1)
        lengths = torch.tensor([len(answer) for answer in answers], device=hidden.device)
        # the token at position p is told by the hidden state at p - 1
        back = torch.arange(int(lengths.max()), 0, -1, device=hidden.device)
        place = last_positions(mask)[:, None] - back + 1
        asked = back <= lengths[:, None]
        place = place.clamp(min=1)
        states = hidden.gather(1, (place - 1)[..., None].expand(-1, -1, hidden.shape[2]))
        logits = self._head()(states).float().log_softmax(dim=-1)
        ids, _ = pad_rows(whole, self._side, self._fill)
        told = logits.gather(2, ids.to(hidden.device).gather(1, place)[..., None]).squeeze(2)
        return told.where(asked, 0).sum(dim=1), lengths.float()

    def scores_of_all(
        self,
        rows: Sequence[Sequence[int]],
        answers: Sequence[Sequence[int]],
        media: Mapping[str, Tensor],
    ) -> Tensor:
        """The log-probability of every answer after every prompt, [row, answer] float32.

        A model of text alone reads each prompt once, and the answers after what it holds of it.

        Args:
            rows: ids of the prompts.
            answers: ids of the answers, at least one each.
            media: further arguments of the model.
        """
        if media or not self._counts or not self._cache:
            return torch.stack([self.answer_scores(rows, [one] * len(rows), media)[0] for one in answers], 1)
        (module,) = self._held
        with import_guard("transformers", "a language model"):
            from transformers import DynamicCache
        ids, mask = self._padded(rows)
        held = DynamicCache(config=module.config)

        def told(ids: Tensor, mask: Tensor, cache: DynamicCache) -> Tensor:
            """Log-probabilities [row, position, token] after each of the last positions of a mask."""
            placed = positions(mask)[:, -ids.shape[1] :]
            given = {"attention_mask": mask.long(), "position_ids": placed, self._cache: cache}
            states = module.base_model(input_ids=ids, use_cache=True, **given).last_hidden_state
            if cache is held:  # of the prompt its last token alone is asked
                states = states[torch.arange(len(ids), device=ids.device), last_positions(mask)][:, None]
            return self._head()(states).float().log_softmax(dim=-1)

        first = told(ids, mask, held)[:, 0]
        found = []
        for answer in answers:
            tokens = torch.tensor(answer, device=ids.device)
            score = first[:, tokens[0]]
            if len(tokens) > 1:
                read = tokens[:-1].expand(len(ids), -1)
                after = told(
                    read, torch.cat([mask, torch.ones_like(read, dtype=torch.bool)], 1), copy.deepcopy(held)
                )
                score = score + after[:, torch.arange(len(tokens) - 1), tokens[1:]].sum(dim=1)
            found.append(score)
        return torch.stack(found, dim=1)

    def write(
        self, rows: Sequence[Sequence[int]], media: Mapping[str, Tensor], end: int | None, most: int
    ) -> tuple[Tensor, Tensor]:
        """What the model writes after each prompt, each time its most probable token.

        Args:
            rows: ids of the prompts.
            media: further arguments of the model.
            end: the id that ends an answer.
            most: tokens of an answer.

        Returns:
            Ids [row, token] int64, padding after the end; and the probability of each whole answer [row] float32.
        """
        (module,) = self._held
        ids, mask = self._padded(rows)
        with import_guard("transformers", "a language model"):
            from transformers import GenerationConfig

        rules = GenerationConfig(
            max_new_tokens=most,
            do_sample=False,
            eos_token_id=end,
            pad_token_id=self._fill,
            return_dict_in_generate=True,
            output_logits=True,
        )
        # a head on the last positions of longer rows else copies its weights for each row
        packed = self._head().register_forward_pre_hook(lambda _, given: (given[0].contiguous(), *given[1:]))
        try:
            given = {**media, **self._types(ids)}
            found = module.generate(
                input_ids=ids, attention_mask=mask.long(), generation_config=rules, **given
            )
        finally:
            packed.remove()
        written = found.sequences[:, ids.shape[1] :]
        logits = torch.stack(found.logits, dim=1).float().log_softmax(dim=-1)
        told = logits.gather(2, written[..., None]).squeeze(2)
        ended = torch.zeros_like(written, dtype=torch.bool)
        if end is not None:
            ended[:, 1:] = (written == end).cumsum(dim=1)[:, :-1] > 0
        return written, told.where(~ended, 0).sum(dim=1).exp()

    def _hidden(
        self, rows: Sequence[Sequence[int]], media: Mapping[str, Tensor], layer: int
    ) -> tuple[Tensor, Tensor]:
        """Hidden states [row, position, width] of a layer, and the mask [row, position] of what is no padding."""
        (module,) = self._held
        ids, mask = self._padded(rows)
        placed = {"position_ids": positions(mask)} if self._counts else self._types(ids)
        read = module.base_model(
            input_ids=ids,
            attention_mask=mask.long(),
            use_cache=False,
            output_hidden_states=layer != -1,
            **placed,
            **media,
        )
        return read.last_hidden_state if layer == -1 else read.hidden_states[layer], mask

    def _types(self, ids: Tensor) -> dict[str, Tensor]:
        """What kind each of some ids [row, position] is of, 2 of frames and else 0, for a model that is to be told."""
        return {} if self._film is None else {"mm_token_type_ids": (ids == self._film).int() * 2}

    def _padded(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        (module,) = self._held
        ids, mask = pad_rows(rows, self._side, self._fill)
        device = next(module.parameters()).device
        return ids.to(device), mask.to(device)

    def _head(self) -> nn.Module:
        (module,) = self._held
        return module.get_output_embeddings()


@dataclass(frozen=True)
class Reading:
    """How samples are read: what no training changes, so that a checkpoint takes it from the new network.

    Attributes:
        backbone: reads prompts.
        prompt: writes them.
        media: prepares sound and frames; None for a model that reads text alone.
    """

    backbone: Backbone
    prompt: Prompt
    media: OmniMedia | None
