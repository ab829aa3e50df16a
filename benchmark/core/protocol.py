"""The protocol: the rules that hold for every method of an experiment, and how tables name them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ...corruptions.families import TRAIN_MISSING
from ...datasets.imputation_rules import Rule as Imputation
from ...datasets.rates import has_rates, parse_rates, rates_text
from .as_published import BUDGETS
from .class_weights import ClassWeights, as_class_weights, class_weights_text
from .selection import Rule
from .strings import as_list, unique


@dataclass(frozen=True)
class Since:
    """Marks a field that was added to the protocol after there were results.

    At its default such a field is not part of a job's id, so that those results stay valid; the default must
    therefore be what was done without the field.

    Attributes:
        version: of mmbench, the first with the field.
    """

    version: str


@dataclass(frozen=True)
class Searched:
    """Marks a field of the protocol that a search may draw, with its range.

    Attributes:
        low, high, digits, log: as of ``searched`` of a method's parameter.
    """

    low: float
    high: float
    digits: int | None = None
    log: bool = False


class Protocol(BaseModel):
    """The rules that hold for every method of an experiment.

    All of it is part of a job's identity, but for fields that are marked ``Since`` and have their default.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: Literal["fair", "as-published"] = Field(
        "fair", description="one rule for all, or each method's published deviations"
    )
    epochs: int = Field(20, ge=1, description="passes over the training data")
    epoch_steps: Annotated[int, Since("0.1")] = Field(
        0, ge=0, description="steps of an epoch; 0: one pass over the training data"
    )
    patience: Annotated[int, Since("0.2")] = Field(
        0, ge=0, description="end the training after so many epochs without a better one; 0: never"
    )
    batch_size: Annotated[int, Searched(8, 128, log=True)] = Field(32, ge=1, description="samples a step")
    drop_last: Annotated[bool, Since("0.1")] = Field(
        False, description="leave out the last batch of a pass where it is smaller"
    )
    balance_domains: Annotated[Literal["auto", "on", "off"], Since("0.2")] = Field(
        "auto",
        description="every batch holds all source domains in equal parts; auto: where the method compares domains",
    )
    optimizer: Literal["adamw", "adam"] = Field("adamw", description="the optimiser of every method")
    restart_optimizer: Annotated[bool, Since("0.1")] = Field(
        False, description="a new optimiser for every step: it has no memory"
    )
    learning_rate: Annotated[float, Searched(1e-4, 1e-2, 2, log=True)] = Field(
        1e-3, gt=0, description="learning rate at the start"
    )
    encoder_rate: Annotated[float, Since("0.1")] = Field(
        1.0, gt=0, description="learning rate of the encoders, as a share of the rest's"
    )
    schedule: Literal["cosine", "cosine-to-1%", "inverse-power", "constant", "plateau"] = Field(
        "cosine",
        description="how the learning rate falls, from epoch to epoch; inverse-power: every step; plateau: where "
        "source validation no longer gets better",
    )
    plateau_factor: Annotated[float, Since("0.2")] = Field(
        0.1, gt=0, lt=1, description="what the learning rate is multiplied by under --schedule plateau"
    )
    plateau_patience: Annotated[int, Since("0.2")] = Field(
        10,
        ge=0,
        description="epochs without a better one that --schedule plateau bears before the rate falls",
    )
    warmup: Annotated[float, Since("0.2")] = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of all steps over which the learning rate rises from 0 to what the schedule says",
    )
    weight_decay: Annotated[float, Searched(1e-4, 1e-1, 2, log=True)] = Field(
        1e-2, ge=0, description="weight decay"
    )
    clip_norm: float = Field(1.0, ge=0, description="gradient norm is clipped here; 0 turns it off")
    clip_part: Annotated[Literal["all", "backbone"], Since("0.2")] = Field(
        "all", description="whose gradients are clipped, by their norm: all, or encoders and fused head alone"
    )
    clip_value: Annotated[float, Since("0.2")] = Field(
        0.0,
        ge=0,
        description="every number of the gradient is clipped here, after each batch; 0 turns it off",
    )
    class_weights: Annotated[ClassWeights, Since("0.2")] = Field(
        "off",
        description="weights of the classes, or labels, in the loss; balanced: so that each counts as much, however "
        "rare; or a number for each (happy=2,sad=0.5; 1 where none is given)",
    )
    standardize: bool = Field(
        True, description="z-score features by the source training split, cut off at 5 deviations"
    )
    impute: Annotated[Imputation, Since("0.2")] = Field(
        "off",
        description="fill entries of a series that were not observed, after all damage, by a rule or by what is fitted on "
        "source training samples (knn, csdi, trace); off: they are 0, and methods are told which they are",
    )
    selection: Rule = Field(
        "source-validation",
        description="which epoch is tested; all but oracle choose it without the target",
    )
    ties: Annotated[Literal["lower-loss", "earliest", "latest"], Since("0.1")] = Field(
        "lower-loss", description="which of epochs with the same validation metric is tested"
    )
    roles: Annotated[Literal["splits", "test-validates", "test-validates-whole-target"], Since("0.1")] = (
        Field(
            "splits",
            description="between domains: each split for its own part, or the sources' test samples validate "
            "(train and valid train), and all of the target's samples are tested",
        )
    )
    train_with_missing: Annotated[str, Since("0.1")] = Field(
        "off",
        description="take modalities (patterns), also frames at any rate (spectrum), or each modality at a rate of its "
        "own (text=0.3,audio=0.7) away in training",
    )
    train_with_noise: Annotated[Literal["off", "spectrum"], Since("0.1")] = Field(
        "off", description="add Gaussian noise of a random strength to the training features"
    )
    encoder_mode: Annotated[Literal["frozen", "last", "full", "lora"], Since("0.1")] = Field(
        "frozen",
        description="encoders of raw media, or of token ids (--text-encoder): frozen features, or trained along: the last "
        "block, all, or low-rank adapters",
    )
    text_encoder: Annotated[str, Since("0.2")] = Field(
        "",
        description="the model that --encoder-mode trains from the token ids of a text (MMSA's text_bert): a folder or a name "
        "of the hub, with the options of the encoder text",
    )
    media_rate: Annotated[float, Since("0.1")] = Field(
        0.1, gt=0, description="learning rate of encoders that are trained along, as a share of the rest's"
    )
    media_decay: Annotated[float, Since("0.2")] = Field(
        1.0, ge=0, description="weight decay of encoders that are trained along, as a share of the rest's"
    )
    media_bias_decay: Annotated[Literal["on", "off"], Since("0.2")] = Field(
        "on",
        description="whether biases and weights of normalisations decay, too, in encoders that are trained along; off where "
        "--encoder-mode last or full trains with a decay and nothing is said",
    )
    adapter_rank: Annotated[int, Since("0.1")] = Field(
        8, ge=1, description="rank of the adapters of --encoder-mode lora"
    )
    checkpointing: Annotated[bool, Since("0.1")] = Field(
        False,
        description="compute activations of trained encoders again on the way back: less memory, more time",
    )
    accumulate: Annotated[int, Since("0.1")] = Field(
        1, ge=1, description="batches whose gradients are averaged before a step"
    )
    accumulate_by: Annotated[Literal["mean", "sum"], Since("0.2")] = Field(
        "mean", description="whether the gradients of --accumulate batches are averaged or summed"
    )
    precision: Annotated[Literal["float32", "bfloat16"], Since("0.1")] = Field(
        "float32", description="bfloat16: compute the training in mixed precision"
    )
    widths: Literal["strict", "project"] = Field(
        "strict", description="domains with other feature widths: an error, or a projection per domain"
    )
    held_out_classes: Annotated[list[str], Since("0.1")] = Field(
        [], description="classes that are not trained on, and are told apart as OOD in the test"
    )

    @model_validator(mode="before")
    @classmethod
    def _words(cls, values: Any) -> Any:
        """YAML 1.1 reads ``off`` and ``on`` as false and true: in a field of words they are words."""
        if not isinstance(values, Mapping):
            return values
        words = {name for name, field in cls.model_fields.items() if isinstance(field.default, str)}
        return {
            name: ("on" if value else "off") if isinstance(value, bool) and name in words else value
            for name, value in values.items()
        }

    @model_validator(mode="after")
    def _whole_companions(self) -> Protocol:
        """A job is compared with its companions epoch by epoch, so that none may end early."""
        if self.patience and self.selection == "leave-one-source-out":
            raise ValueError(
                "patience cannot be used with selection leave-one-source-out: every epoch is compared"
            )
        return self

    @model_validator(mode="after")
    def _trained_encoder(self) -> Protocol:
        """What names an encoder that is trained along asks for the training."""
        if self.text_encoder and self.encoder_mode == "frozen":
            raise ValueError(
                f"text_encoder {self.text_encoder} is trained along: set encoder_mode to full, last or lora"
            )
        return self

    def resolve(self, published: Mapping[str, Any]) -> Protocol:
        """These rules for a job: under ``as-published``, fields that nobody set are as published.

        Args:
            published: field -> value, of the job's family, dataset and method.
        """
        known = published if self.name == "as-published" else {}
        rules = Protocol.model_validate({**known, **self.model_dump(exclude_unset=True)})
        return rules if "media_bias_decay" in rules.model_fields_set else rules._with_spared_biases()

    def _with_spared_biases(self) -> Protocol:
        """These rules without decay of the biases of encoders that are trained along, where that changes a number.

        That is no default of the field: stored jobs that were trained with this decay lack the field, and keep their ids.
        """
        decays = self.weight_decay * self.media_decay > 0
        if not decays or self.encoder_mode not in ("last", "full"):  # adapters have no biases
            return self
        return self.model_copy(update={"media_bias_decay": "off"})

    def label(self, published: Mapping[str, Any]) -> str:
        """The name of these rules in tables: ``fair``, or ``fair (epochs=5)`` with what differs from the named ones.

        Args:
            published: field -> value, as in ``resolve``.
        """
        own = Protocol.model_validate({"name": self.name}).resolve(published).model_dump()
        return _label(self.resolve(published).model_dump(), own)

    @field_validator("text_encoder", mode="before")
    @classmethod
    def _text_model(cls, value: Any) -> Any:
        """A model; its encoder may be named before it, as for ``data encode``."""
        return value.removeprefix("text:") if isinstance(value, str) else value

    @field_validator("train_with_missing", mode="before")
    @classmethod
    def _missing(cls, value: Any) -> Any:
        """The name of a rule, or rates in alphabetic order, so that their order makes no other job; from YAML also
        as a mapping."""
        if isinstance(value, Mapping):
            value = ",".join(f"{name}={rate}" for name, rate in value.items())
        if not isinstance(value, str) or value in TRAIN_MISSING:
            return value
        if not has_rates(value):
            raise ValueError(
                f"{value!r} is none of {', '.join(TRAIN_MISSING)}, and no rates as text=0.3,audio=0.7"
            )
        return rates_text(parse_rates(value)) or "off"

    @field_validator("class_weights", mode="before")
    @classmethod
    def _weights(cls, value: Any) -> Any:
        """The name of a rule, or class -> weight; from a flag as a text."""
        return as_class_weights(value)

    @field_validator("held_out_classes", mode="before")
    @classmethod
    def _classes(cls, names: Any) -> list[str]:
        """The classes in alphabetic order, so that their order makes no other job; a number in YAML is a name."""
        return unique(sorted(str(name) for name in as_list(names)), "held-out classes")


#: Field -> range, of those that a search may draw for every method alike.
SEARCHED_RULES: Mapping[str, Searched] = {
    name: mark
    for name, field in Protocol.model_fields.items()
    for mark in field.metadata
    if isinstance(mark, Searched)
}
#: Field -> default, of those that were added after there were results.
LATER_RULES: Mapping[str, Any] = {
    name: field.default
    for name, field in Protocol.model_fields.items()
    if any(isinstance(mark, Since) for mark in field.metadata)
}


def protocol_label(values: Mapping[str, Any]) -> str:
    """The name of a protocol in tables, for a job whose ``rules`` are empty.

    Args:
        values: every field that the job has.
    """
    # Before jobs had `rules`, `as-published` was the rules for sentiment alone.
    earlier = {**BUDGETS["sentiment"], "ties": "lower-loss"}
    own = Protocol.model_validate({"name": values["name"]}).resolve(earlier)
    return _label(values, own.model_dump())


def _label(values: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """The name and the changed fields, in alphabetic order, because rows of tables differ by this text.

    Args:
        values: every field of the protocol.
        own: every field as the name alone sets it.
    """
    changed = ", ".join(
        f"{key}={_value_text(value)}" for key, value in sorted(values.items()) if value != own.get(key)
    )
    return f"{values['name']} ({changed})" if changed else values["name"]


def _value_text(value: Any) -> str:
    """The value of a field as a label has it."""
    if isinstance(value, dict):
        return class_weights_text(value)
    return "+".join(value) if isinstance(value, list) else str(value)
