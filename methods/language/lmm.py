"""``lmm``: a language model, or one that also hears and sees, reads the sample; what differs is how it is read out.

Wen and Tan, "Beyond Generative Decoding: Discriminative Hidden-State Readout from a Native Omni-Modal LLM for Multimodal
Sentiment Analysis" (arXiv 2606.05713). No code of the authors was found; the rules are those of transcriptions of the
paper. The base model stays as it is: low-rank adapters (LoRA) and a head are what is trained, selected and stored.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from ...datasets.batch import Batch, Spec
from ...datasets.dataset import DataError
from ...datasets.encoders.language_model import load_language_model
from ...datasets.word_joins import text_of_words
from ..losses import task_errors, weighed
from ..method import Method, Output, ParameterGroup, fixed, searched
from ..shared.answers import parse_class, parse_score, score_grid, write_score
from ..shared.language_parts import Backbone, Reading, adapter_names, add_adapters, readout_head
from ..shared.omni_media import OmniMedia
from ..shared.prompt_tokens import Prompt, padding_id

#: Samples that are read at once where no gradients are wanted.
SAMPLES = 16
#: The least probability by which a parsed answer's class leads.
_LEAD = 1e-3


class LMM(Method):
    """A language model with adapters, read out from its hidden state, or by what it writes.

    ``readout``: ``discriminative``, a head on the hidden state of the last token of the prompt; ``generative``, trained to write
    the label and read by a parser; ``zero_shot``, the same answers without any training; ``expected``, trained as
    ``generative``, and read as the mean of all answers, weighted by their probabilities.
    """

    @dataclass(frozen=True)
    class Params:
        """The base model, how it is adapted, what it is asked and how its answer is read."""

        model: str = fixed("")
        readout: Literal["discriminative", "generative", "zero_shot", "expected"] = fixed("discriminative")
        weights: Literal["float32", "bfloat16", "nf4"] = fixed(
            "float32", source="published: NF4, double quantisation"
        )
        lora: bool = fixed(True)
        lora_scope: Literal["all", "llm"] = fixed(
            "all", source="published: 103.0 M of 9.03 G, which is all by suffix"
        )
        rank: int = searched(32, choices=(8, 16, 32), least=1, source="published: r = 32; ours: range")
        alpha: float = fixed(32.0, source="published")
        lora_dropout: float = fixed(0.1, least=0, below=1, source="published")
        lora_rate: float = fixed(0.2, above=0, source="published: 2e-4 beside 1e-3 of the head")
        layer: int = fixed(-1, source="published: the last; after the final norm")
        pool: Literal["last", "mean"] = fixed("last", source="published: the last token that is no padding")
        head_order: Literal["linear_first", "norm_first"] = fixed(
            "linear_first", source="transcriptions differ: 918,529 numbers, or 925,185"
        )
        width: int = fixed(256, least=1, source="published")
        dropout: float = fixed(0.2, least=0, below=1, source="published")
        padding: Literal["left", "right"] = fixed("left")
        question: str = fixed("")
        chat: bool = fixed(True, source="published; ours: without the tokenizer's template", since="0.2")
        classes: str = fixed("")
        longest: int = fixed(1024)
        answer_tokens: int = fixed(6, least=1)
        grid: int = fixed(13, least=2, source="ours: every half point of -3 to 3")
        frames: int = fixed(16, least=1, source="published: at most 16")
        frame_rate: float = fixed(2.0, above=0, source="the model's own default")
        checkpointing: bool = fixed(False)

    version = 2
    reads_media = True
    model_params = ("model",)
    language_model = "model"
    libraries = ("transformers",)
    libraries_of_params: ClassVar[Mapping[str, Mapping[Any, tuple[str, ...]]]] = {
        "lora": {True: ("peft",)},
        "weights": {"nf4": ("bitsandbytes", "accelerate")},
    }
    as_published: ClassVar[Mapping[str, Any]] = {"weights": "nf4", "checkpointing": True}
    rules_as_published: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sentiment": {
            "epochs": 3,
            "batch_size": 1,
            "accumulate": 8,
            "learning_rate": 0.001,
            "weight_decay": 0.01,
            "warmup": 0.05,
            "schedule": "cosine",
            "clip_norm": 1.0,
        }
    }
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": "no published code was found: prompt, frame rate, schedule and batch are ours or a third party's; frames are "
        "not enlarged before the model's own video processor; sound is not denoised"
    }
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "probe": {"lora": False},
        "zero-shot": {"readout": "zero_shot"},
        "generative": {"readout": "generative"},
        "expected": {"readout": "expected"},
        "mean pooling": {"pool": "mean"},
    }

    def __init__(self, params: Params, spec: Spec) -> None:
        super().__init__(params, spec)
        self.low, self.high = _range_of(spec)
        self.mean, self.deviation = _moments(spec)
        self._check()
        loaded = load_language_model(params.model, params.weights)
        if unread := {name: one for name, one in spec.media.items() if one not in loaded.media}:
            name, medium = next(iter(unread.items()))
            raise DataError(
                f"the model {loaded.name} reads {', '.join(sorted(loaded.media))}, and {name} is {medium}: leave it out "
                "with --modalities, or take a model that reads it"
            )
        self._known = {f"llm {loaded.name}": loaded.digest}
        self.names = _class_names(params.classes, spec)
        self.base = loaded.module
        tunes = params.lora and params.readout != "zero_shot"
        media = None
        if loaded.family:
            kind, config = loaded.family, loaded.module.config
            media = OmniMedia(kind, loaded.processor, config, params.frames, params.frame_rate)
            _check_rates(spec, media.sound_rate, loaded.name)
        fill, film = padding_id(loaded.tokenizer), media.film if media else None
        backbone = Backbone(loaded.module, params.layer, params.padding, fill, film)
        if tunes:
            add_adapters(loaded.module, params.rank, params.alpha, params.lora_dropout, params.lora_scope)
        if params.checkpointing and tunes:
            loaded.module.gradient_checkpointing_enable({"use_reentrant": False})
        question = params.question or _question(spec, self.low, self.high, self.names)
        window = min(params.longest, backbone.window - params.answer_tokens)
        self.reading = Reading(backbone, Prompt(loaded.tokenizer, question, window, params.chat), media)
        self.head = None
        if params.readout == "discriminative":
            sizes = (backbone.width, params.width, spec.classes)
            self.head = readout_head(*sizes, params.head_order, params.dropout)

    def _check(self) -> None:
        """Checks parameters against each other.

        Raises:
            DataError: two exclude each other.
        """
        params = self.params
        if params.readout in ("generative", "zero_shot") and params.padding == "right":
            raise DataError(
                f"method lmm: readout={params.readout} writes on from the end of the prompt, which padding=right fills "
                "up: take padding=left"
            )
        if params.grid < 2 or params.answer_tokens < 1 or params.frames < 1 or params.rank < 1:
            raise DataError("method lmm: grid is at least 2; answer_tokens, frames and rank are at least 1")

    # --- what is trained, kept and named ------------------------------------------------------------------------

    def kept(self) -> Collection[str]:
        """Adapters and head: the base model is the same everywhere."""
        return [name for name in self.state_dict() if "lora_" in name or name.startswith("head.")]

    def bases(self) -> Mapping[str, str]:
        """The base model, by the hash of its weights as they were found."""
        return self._known

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """The adapters, at their share of the head's learning rate."""
        adapters = [one for name, one in self.named_parameters() if "lora_" in name]
        return [ParameterGroup(adapters, self.params.lora_rate)] if adapters else []

    def train(self, mode: bool = True) -> LMM:
        """A base without adapters never drops out."""
        super().train(mode)
        if not self.has_adapters:
            self.base.eval()
        return self

    @property
    def has_adapters(self) -> bool:
        """Whether the base model is adapted."""
        return bool(adapter_names(self.base))

    # --- reading ------------------------------------------------------------------------------------------------

    def forward(self, batch: Batch) -> Output:
        """Predicts, some samples at a time where no gradients are wanted."""
        size = len(batch) if torch.is_grad_enabled() else SAMPLES
        read = {"discriminative": self._head_of, "expected": self._expected}.get(
            self.params.readout, self._written
        )
        parts = [read(batch.take(slice(first, first + size))) for first in range(0, len(batch), size)]
        fused = [part.fused for part in parts if part.fused is not None]
        return Output(
            torch.cat([part.prediction for part in parts]),
            fused=torch.cat(fused) if fused else None,
            diagnostics={
                name: torch.cat([part.diagnostics[name] for part in parts]) for name in parts[0].diagnostics
            },
        )

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Absolute error on standardised labels, or cross-entropy; of what is written, the mean cross-entropy of the tokens
        of the answer. Nothing where nothing is trained."""
        if self.head is not None:
            output, _ = self._raw(batch)
            target = batch.target
            if self.spec.kind == "regression":
                output, target = output[:, 0], (target - self.mean) / self.deviation
            return {"task": task_errors(output, target, self.spec).mean()}
        if not self.has_adapters:
            return {"answer": batch.target.new_zeros((), dtype=torch.float32)}
        texts = [self._answer(one) for one in batch.target.tolist()]
        scores, lengths = self._answer_scores(self._prompts(batch), texts)
        return {"answer": weighed(-scores / lengths, batch.target, self.spec).mean()}

    def backward(self, batch: Batch) -> dict[str, Tensor]:
        """As of every method; no gradients where nothing is trained."""
        if self.head is None and not self.has_adapters:
            return self.loss(batch)
        return super().backward(batch)

    def _raw(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What the head gives, [batch, outputs], and the feature that it reads, [batch, width]."""
        assert self.head is not None
        rows, media = self._prompts(batch)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.has_adapters):
            feature = self.reading.backbone.pooled(rows, media, self.params.pool)
        return self.head(feature.float()), feature.float()

    def _head_of(self, batch: Batch) -> Output:
        raw, feature = self._raw(batch)
        if self.spec.kind == "classification":
            return Output(raw, fused=feature)
        score = raw[:, 0] * self.deviation + self.mean
        if self.training or self.spec.label_range is None:
            return Output(score, fused=feature, diagnostics={"clipped": torch.zeros_like(score)})
        inside = score.clamp(self.low, self.high)
        return Output(inside, fused=feature, diagnostics={"clipped": (inside != score).float()})

    @torch.no_grad()
    def _written(self, batch: Batch) -> Output:
        """The answers that the model writes, as scores or logits."""
        rows, media = self._prompts(batch)
        prompt = self.reading.prompt
        ids, sure = self.reading.backbone.write(rows, media, prompt.end, self.params.answer_tokens)
        texts = prompt.texts(ids)
        device = batch.target.device
        if self.spec.kind == "regression":
            answers = [parse_score(text, self.low, self.high) for text in texts]
            prediction = torch.tensor([one.value for one in answers], device=device)
        else:
            answers = [parse_class(text, self.names) for text in texts]
            rows_of = [
                _class_logits(int(one.value), p, len(self.names))
                for one, p in zip(answers, sure.tolist(), strict=True)
            ]
            prediction = torch.stack(rows_of).to(device)
        told = {name: [float(getattr(one, name)) for one in answers] for name in ("unparsed", "clipped")}
        return Output(
            prediction, diagnostics={name: torch.tensor(one, device=device) for name, one in told.items()}
        )

    @torch.no_grad()
    def _expected(self, batch: Batch) -> Output:
        """The mean of all answers by their probabilities among each other; of classes, their log-probabilities."""
        scores = score_grid(self.low, self.high, self.params.grid) if self.spec.kind == "regression" else []
        texts = [write_score(one) for one in scores] or self.names
        rows, media = self._prompts(batch)
        answers = [self.reading.prompt.answer(text) for text in texts]
        found = self.reading.backbone.scores_of_all(rows, answers, media)
        if self.spec.kind == "classification":
            return Output(found.log_softmax(dim=1))
        return Output(found.softmax(dim=1) @ torch.tensor(scores, device=found.device))

    def _answer(self, label: float | int) -> str:
        """How a label is answered."""
        return write_score(label) if self.spec.kind == "regression" else self.names[int(label)]

    def _answer_scores(
        self, prompts: tuple[list[list[int]], dict[str, Tensor]], texts: Sequence[str]
    ) -> tuple[Tensor, Tensor]:
        """The log-probability of an answer to each prompt, [batch], and the number of its tokens, [batch] float32.

        Args:
            prompts: as ``_prompts`` gives them.
            texts: the answers.
        """
        rows, media = prompts
        answers = [self.reading.prompt.answer(text) for text in texts]
        return self.reading.backbone.answer_scores(rows, answers, media)

    def _prompts(self, batch: Batch) -> tuple[list[list[int]], dict[str, Tensor]]:
        """The prompt of each sample, and the media that they speak of as arguments of the model."""
        reader = self.reading.media
        inputs = reader.empty() if reader else None
        rows: list[list[int]] = []
        there = {name: (batch.mask[name] & batch.present[name][:, None]).cpu() for name in self.spec.media}
        for place in range(len(batch)):
            transcript, ids = [], []
            for name, medium in self.spec.media.items():
                steps = there[name][place]
                if not bool(steps.any()):
                    continue
                values = batch.features[name][place][steps.to(batch.features[name].device)]
                if medium == "text":
                    transcript.append(text_of_words(values.tolist()))
                    continue
                assert reader is not None  # or the modality was refused
                assert inputs is not None
                if medium == "waveform":
                    ids += reader.add_sound(values, inputs)
                else:
                    ids += reader.add_frames(values, inputs)
            rows.append(self.reading.prompt.write("\n".join(transcript), ids))
        return rows, inputs.arguments(batch.target.device) if inputs else {}


def _check_rates(spec: Spec, heard: int, model: str) -> None:
    """Checks that sound was decoded at the rate that a model hears.

    Args:
        spec: says at which it was.
        heard: samples a second.
        model: its name, for the message.

    Raises:
        DataError: it was decoded at another one.
    """
    for name, rate in spec.sound_rates.items():
        if rate != heard:
            raise DataError(
                f"the model {model} hears {heard} samples a second, and {name} was decoded at {rate}: encode it by an "
                "encoder of that rate"
            )


def _range_of(spec: Spec) -> tuple[float, float]:
    """The scores between which answers lie: those of the dataset, or three deviations on both sides of the mean."""
    mean, deviation = _moments(spec)
    return spec.label_range or (mean - 3 * deviation, mean + 3 * deviation)


def _moments(spec: Spec) -> tuple[float, float]:
    """Mean and standard deviation of the training labels; a deviation of 1 where all are alike but for rounding."""
    mean, deviation = spec.label_moments or (0.0, 1.0)
    return mean, deviation if deviation > 1e-6 * max(abs(mean), 1.0) else 1.0


def _class_names(stated: str, spec: Spec) -> list[str]:
    """What the classes are called in answers: as stated, joined by ``/``, or their numbers from 0."""
    if spec.kind == "regression":
        return []
    names = (
        [name.strip() for name in stated.split("/")] if stated else [str(one) for one in range(spec.classes)]
    )
    if len(set(names)) != spec.classes or not all(names):
        raise DataError(
            f"method lmm: classes={stated}: should name each of the {spec.classes} classes once, joined by /"
        )
    return names


def _question(spec: Spec, low: float, high: float, names: Sequence[str]) -> str:
    """What is asked where no question is stated."""
    if spec.kind == "regression":
        return (
            f"What is the sentiment of the speaker, from {low:g} (most negative) to {high:g} (most positive)? Answer with "
            "one number only."
        )
    if names == [str(one) for one in range(spec.classes)]:
        return f"Which of the classes 0 to {spec.classes - 1} is it? Answer with one number only."
    return f"Which of these is it: {', '.join(names)}? Answer with one of them only."


def _class_logits(index: int, sure: float, count: int) -> Tensor:
    """The logits [class] of an answer that names one class with some probability; all alike where it names none.

    Args:
        index: of the class; -1 for none.
        sure: the probability of the answer's tokens. The class leads the others in any case.
        count: the number of classes.
    """
    logits = torch.zeros(count)
    if index >= 0 and count > 1:
        share = min(max(sure, 1 / count + _LEAD), 1 - _LEAD)
        logits[index] = torch.tensor(share * (count - 1) / (1 - share)).log()
    return logits
