"""The contract of a method: its parameters, its output, and what the harness calls."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..datasets.batch import Batch, Spec


def fixed(
    default: Any,
    *,
    least: float | None = None,
    most: float | str | None = None,
    above: float | None = None,
    below: float | None = None,
    step: int = 1,
    divides: str = "",
    source: str = "",
    since: str = "",
) -> Any:
    """A field of ``Params`` that is not searched.

    The arguments are literals: they are read from the source text, so that planning imports no network. Those from
    ``least`` to ``divides`` say which values can work; others are refused when jobs are planned. They are no part of a
    job's id. A field that has only some words as values is of a type ``Literal[...]`` and needs none of them.

    Args:
        default: the value where nothing else is asked for.
        least: the smallest value.
        most: the largest value, or the name of the parameter that holds it, as the number of experts of those that
            are chosen.
        above: values are larger than this, as a temperature is larger than 0.
        below: values are smaller than this, as a dropout rate is smaller than 1.
        step: of the values from ``least`` on; with ``least=2`` and ``step=2`` they are even.
        divides: the name of the parameter that is a multiple of this one, as the width of its number of heads; several
            with commas between them.
        source: where the default comes from.
        since: the version of mmbench that adds the field to a method that already has results. At its default such
            a field is not part of a job's id, so that those results stay valid; the default must therefore do what
            the method did without the field. It has no effect in a plug-in, whose jobs are known by its version or
            the hash of its file.
    """
    limits = _limits(least, most, above, below, step, divides)
    return dataclasses.field(default=default, metadata={"source": source, "since": since, "limits": limits})


def searched(
    default: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    digits: int | None = None,
    choices: tuple[Any, ...] = (),
    nonzero: bool = False,
    log: bool = False,
    least: float | None = None,
    most: float | str | None = None,
    above: float | None = None,
    below: float | None = None,
    step: int = 1,
    divides: str = "",
    source: str = "",
    since: str = "",
) -> Any:
    """A field of ``Params`` with its default and its search range.

    The arguments are literals: they are read from the source text, so that planning imports no network.

    Args:
        default: the value of draw 0.
        low: the lower end of a uniform range.
        high: its upper end.
        digits: draws are rounded to so many decimals, of a logarithmic range to so many significant digits; ``None``
            does not round.
        choices: the values to choose from, in place of a range.
        nonzero: the method divides by it, as by a temperature: a draw that would be rounded to 0 is drawn again.
        log: the range is logarithmic, as for a learning rate: every factor is as likely as any other. ``low`` is
            above 0.
        least: as in ``fixed``; the range that is searched lies within.
        most: as in ``fixed``.
        above: as in ``fixed``.
        below: as in ``fixed``.
        step: as in ``fixed``.
        divides: as in ``fixed``.
        source: where default and range come from.
        since: as in ``fixed``.
    """
    search = {"low": low, "high": high, "digits": digits, "choices": choices, "nonzero": nonzero, "log": log}
    limits = _limits(least, most, above, below, step, divides)
    metadata = {"source": source, "since": since, "search": search, "limits": limits}
    return dataclasses.field(default=default, metadata=metadata)


def _limits(
    least: float | None,
    most: float | str | None,
    above: float | None,
    below: float | None,
    step: int,
    divides: str,
) -> dict[str, Any]:
    """Those limits that are stated, by name."""
    stated = {"least": least, "most": most, "above": above, "below": below}
    given: dict[str, Any] = {name: value for name, value in stated.items() if value is not None}
    return given | ({"step": step} if step != 1 else {}) | ({"divides": divides} if divides else {})


@dataclass(frozen=True)
class NoParams:
    """The parameters of a method that has none."""


@dataclass(frozen=True)
class Output:
    """What a network says about a batch.

    Attributes:
        prediction: [batch] score (regression) or [batch, classes] logits: of classes, whose softmax are probabilities, or of
            labels (multi-label), the sigmoid of each of which is one.
        log_variance: [batch], the logarithm of the predicted variance, where the method gives one.
        embeddings: modality -> [batch, width], the branch's own embedding.
        fused: [batch, width], the feature that the head reads.
        unimodal: modality -> a prediction from that modality alone, shaped like ``prediction``.
        diagnostics: name -> [batch], quantities of the mechanism, to look at and to test. One that belongs to a modality
            is called ``NAME/MODALITY``, such as ``"trust/audio"``.
        confidence: name -> [batch], how sure the method itself is of each answer, larger is surer. A name is a Python
            identifier. It is judged beside what follows from ``prediction`` and ``log_variance``.
    """

    prediction: Tensor
    log_variance: Tensor | None = None
    embeddings: dict[str, Tensor] = field(default_factory=dict)
    fused: Tensor | None = None
    unimodal: dict[str, Tensor] = field(default_factory=dict)
    diagnostics: dict[str, Tensor] = field(default_factory=dict)
    confidence: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that are trained otherwise than the rest.

    Attributes:
        parameters: those of the group; no parameter is in two groups.
        rate: the share of the protocol's learning rate, above 0.
        decay: the weight decay; None for the protocol's.
    """

    parameters: Sequence[nn.Parameter]
    rate: float = 1.0
    decay: float | None = None


class Method(nn.Module):
    """A network and its loss. It knows nothing of Lightning, files, the names of domains, or test data.

    A subclass sets ``Params`` (a frozen dataclass of ``fixed`` and ``searched`` fields), and defines
    ``__init__(params, spec)``, ``forward`` and ``loss``. Raise ``version`` when a change alters results.

    A method whose modalities are encoded independently of each other defines ``encode(modality, batch)`` and
    ``fuse(embeddings, batch)`` (``forward`` then follows): a condition that leaves a modality untouched does
    not have it encoded again.

    An epoch begins with ``begin_stage``, where a stage does, and ``before_epoch``. A training step is ``backward``, the
    optimiser's step, ``after_step``, and as many of them for a batch as ``optimizer_steps`` says; after the last of an
    epoch comes ``after_epoch``, then what ``evaluated`` gives is validated and, where the epoch is selected, kept.
    """

    Params: ClassVar[type] = NoParams
    version: ClassVar[int] = 1
    #: Parameters that have another value under the protocol ``as-published``; literals.
    as_published: ClassVar[Mapping[str, Any]] = {}
    #: Family of tasks (``sentiment``, ``hust``, ``action``), or dataset -> the same for that alone; a dataset's go first.
    as_published_in: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    #: Family, or dataset -> fields of the protocol in which the method's own script departs from the others' there.
    rules_as_published: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    #: Family, or ``all`` -> in what the method departs from its published code even under ``as-published``; empty where
    #: in nothing, ``None`` where nobody has compared them.
    departures: ClassVar[Mapping[str, str] | None] = None
    #: Name -> parameters of what the method is compared with before its own idea counts: the method without its
    #: mechanism, or with a constant or random one in its place. ``--methods 'NAME+controls'`` runs them all. Literals;
    #: of the class alone, as a subclass may have other parameters.
    controls: ClassVar[Mapping[str, Mapping[str, object]]] = {}
    #: The share of the epochs of each stage, in order; they sum to 1. Of the class, or of one network by its parameters.
    stages: tuple[float, ...] = (1.0,)
    #: How the method itself uses missing modalities in training; shown in every row of a table.
    train_missing: ClassVar[str] = "none"
    #: Source domains that its own idea needs; with fewer it is ERM, and the audit says so.
    needs_domains: ClassVar[int] = 1
    #: Modalities that its own idea needs; with fewer it is off, and the audit says so. A literal.
    needs_modalities: ClassVar[int] = 1
    #: Modules of optional libraries that it imports; a literal, so that planning says what is not installed.
    libraries: ClassVar[tuple[str, ...]] = ()
    #: Parameter -> value -> further such modules, which that value needs; a literal.
    libraries_of_params: ClassVar[Mapping[str, Mapping[Any, tuple[str, ...]]]] = {}
    #: Whether its terms compare the source domains of a batch: each batch of training then holds all of them in equal
    #: parts, unless the protocol says otherwise (``balance_domains``).
    compares_domains: ClassVar[bool] = False
    #: The kinds of task that it has a loss for; a literal. It is said by each class itself and not inherited, as a loss of
    #: a subclass may need the one class or the score of a sample. Others are refused when jobs are planned.
    kinds: ClassVar[tuple[str, ...]] = ("regression", "classification")
    #: Whether the weights of classes (``Spec.class_weights``) reach what it minimises, as they do through
    #: ``losses.task_errors``; a literal. Where they do not, the protocol's ``class_weights`` is refused.
    weighs_classes: ClassVar[bool] = True
    #: Whether batches carry the previous utterances as ``context``.
    uses_context: ClassVar[bool] = False
    #: Whether batches hold whole conversations, and say which samples they are as ``conversation``; a literal.
    uses_conversation: ClassVar[bool] = False
    #: Whether training batches carry the rows of their samples as ``index``.
    uses_index: ClassVar[bool] = False
    #: Whether training batches that the protocol damages carry the undamaged samples as ``clean``.
    uses_clean: ClassVar[bool] = False
    #: Whether batches hold the raw media that features were encoded from, in the place of those features, for a method
    #: that has a model of its own to read them with; ``Spec.media`` says which. A literal.
    reads_media: ClassVar[bool] = False
    #: Whether batches carry the token ids of the texts that have them, as ``tokens``; ``Spec.tokens`` says which. Data
    #: without them, and damage that cannot reach them, are refused before anything is trained. A literal.
    reads_tokens: ClassVar[bool] = False
    #: Parameters that each name a model which the method is built on: a folder or file, or a name that the method looks
    #: up itself. A literal, so that planning says what is not there.
    model_params: ClassVar[tuple[str, ...]] = ()
    #: The one of them that names a language model which reads the raw media itself, held as the parameter ``weights`` says where there
    #: is one: planning says which files it lacks, which media it does not read, and that it does not fit. A literal.
    language_model: ClassVar[str] = ""
    #: Parameter -> value -> parameters whose product is how many passes a prediction takes for each modality with holes, as
    #: of a diffusion the steps of its chain and its samples; a literal, so that planning says what is slow.
    passes_of_params: ClassVar[Mapping[str, Mapping[Any, tuple[str, ...]]]] = {}

    def __init__(self, params: Any, spec: Spec) -> None:
        super().__init__()
        self.params = params
        self.spec = spec

    def encode(self, modality: str, batch: Batch) -> Tensor:
        """The embedding of one modality, whether it is present or not.

        Args:
            modality: its name.
            batch: the samples.

        Returns:
            [batch, width].

        Raises:
            TypeError: the method does not encode modalities independently.
        """
        raise TypeError(f"{type(self).__name__} does not encode modalities independently")

    def encode_all(self, batch: Batch, modalities: Sequence[str] = ()) -> dict[str, Tensor]:
        """The embeddings of several modalities, as ``encode`` gives them; a method may compute them as one.

        Args:
            batch: the samples.
            modalities: those that are encoded; by default all of the batch.
        """
        return {name: self.encode(name, batch) for name in modalities or batch.modalities}

    def fuse(self, embeddings: dict[str, Tensor], batch: Batch) -> Output:
        """The output for embeddings from ``encode``, given which modalities are present.

        Args:
            embeddings: name of a modality -> what ``encode`` gave, of all modalities of the task.
            batch: the same samples; ``present`` and ``mask`` say what is there.

        Returns:
            The same as ``forward`` for this batch.

        Raises:
            TypeError: the method does not encode modalities independently.
        """
        raise TypeError(f"{type(self).__name__} does not encode modalities independently")

    def forward(self, batch: Batch) -> Output:
        """Predicts. Any modality may be absent for any sample; steps may be padded; a batch may hold one."""
        return self.fuse(self.encode_all(batch), batch)

    def imputations(self, batch: Batch, modality: str) -> Tensor | None:
        """What a method that fills series itself puts where nothing was observed.

        Args:
            batch: the samples.
            modality: its name.

        Returns:
            [draw, batch, time, feature], a single draw where there are no others, maybe with more steps than the batch has;
            None where it fills nothing of that modality.
        """
        return None

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Named scalar terms; their sum is minimised."""
        raise TypeError(f"{type(self).__name__} defines no loss")

    def begin_stage(self, stage: int) -> None:
        """Called before the first epoch of stage ``stage`` (0, 1, ...)."""

    def before_epoch(self, batches: Callable[[], Iterator[Batch]], done: float) -> None:
        """Called before the first step of an epoch: for what is computed from all training samples, such as
        prototypes or pseudo labels, and for what changes in the course of the training, such as the weight of a term.

        Where the network is another method's before some epoch, so that none of those before it may be tested, that is
        a stage.

        Args:
            batches: gives the training split from its first sample to its last, undamaged, in batches, each time that
                it is called; to be read without gradients.
            done: the share of the training that is done, in [0, 1).
        """

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Parameters that are trained at a rate or with a decay of their own; all others are as the protocol says."""
        return ()

    def optimizer_steps(self, batch: Batch) -> Sequence[Callable[[], dict[str, Tensor]]]:
        """The steps that the optimiser takes for a batch, in order.

        Each puts its gradients into the parameters' ``grad``, which is empty before, and returns its loss terms; a
        parameter without a gradient stays as it is, so that steps can alternate between parts. By default one step,
        by ``backward``.
        """
        return (lambda: self.backward(batch),)

    def backward(self, batch: Batch) -> dict[str, Tensor]:
        """Puts the gradients of a step into the parameters' ``grad``, which is empty before.

        By default those of the sum of ``loss``. For methods that change gradients or need several passes.
        The trainer clips what is left here.

        Returns:
            The loss terms, for the record.
        """
        terms = self.loss(batch)
        torch.stack(list(terms.values())).sum().backward()
        return terms

    def after_step(self) -> None:
        """Called after each step of the optimiser."""

    def after_epoch(self, validation_loss: Callable[[], float]) -> None:
        """Called after the last step of an epoch.

        Args:
            validation_loss: gives the task's loss of the present weights on source validation, when asked.
        """

    def epoch_diagnostics(self) -> Mapping[str, float | Tensor]:
        """Name -> scalar: what a method tells of its own training at the end of an epoch, such as a gradient's norm; by
        default nothing. ``NAME/MODALITY`` where it belongs to one. Kept with the losses of the epoch."""
        return {}

    def kept(self) -> Collection[str]:
        """The names of the state (as of ``state_dict``) that training changes: they are copied where an epoch is
        selected, stored, and restored.

        By default all. What a method leaves out has to be the same in every network of the same parameters, such as the
        weights of a model that it does not train; ``bases`` tells them by their content.
        """
        return self.state_dict().keys()

    def bases(self) -> Mapping[str, str]:
        """Name -> SHA-256 (hex) of the weights of each model whose state is not kept.

        The audit names them, and a stored network is restored on these weights alone.
        """
        return {}

    def evaluated(self) -> Mapping[str, Tensor] | None:
        """The state (as of ``state_dict``) that is validated, stored and tested; ``None``: the present one."""
        return None

    @classmethod
    def separable(cls) -> bool:
        """Whether modalities are encoded independently (``encode`` and ``fuse`` are defined)."""
        return cls.encode is not Method.encode and cls.forward is Method.forward
