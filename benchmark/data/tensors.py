"""The tensors of a task, made from its datasets.

The sources are joined, features are standardised with the statistics of the sources' training samples, and labels are
brought to one scale. A worker keeps the tensors of the last tasks in a ``TaskCache``, which its jobs share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch

from ...datasets.batch import Spec, Tuned
from ...datasets.class_labels import balanced_weights
from ...datasets.dataset import DataError, Located, Samples, Target
from ...datasets.imputation import constants
from ...datasets.imputation_rules import Rule
from ...methods.method import Method
from ..core.fold import Fold
from ..core.task import Task, dataset_of, domain_of
from .compatibility import (
    Blocks,
    check_split_sizes,
    common_encoders,
    common_target,
    feature_blocks,
    label_scale,
)
from .domains import check_domain, samples_of_place
from .folds import samples_of_fold
from .join import sample_hash as sample_hash  # a public name of this module
from .label_statistics import balanced_label_weights, given_weights, label_statistics
from .split import Split, TensorRecipe
from .standardization import feature_statistics


@dataclass(frozen=True)
class TaskData:
    """The data that the jobs of a task read.

    Attributes:
        train: the sources' training samples.
        valid: the sources' validation samples.
        test: the target's test samples; of a companion, which reads no test split, its target's validation samples.
        target: what is predicted.
        domains: the number of sources.
        unusable: modality -> why the datasets share it but it cannot be joined.
        recipe: how further samples are made into tensors alike.
        class_holdout: the target's test samples of held-out classes; None without such classes.
        encoders: modality -> what reads it in a network, where that is not the encoder of sequences.
        target_valid: the target's validation samples; None where the job may not see them.
        finetuned: modality -> the encoder of raw media, or of token ids, that is fine-tuned.
        media: modality -> what its raw media are, where the tensors hold these and not features.
        sound_rates: modality -> samples a second, of raw sound.
    """

    train: Split
    valid: Split
    test: Split
    target: Target
    domains: int
    unusable: Mapping[str, DataError]
    recipe: TensorRecipe
    class_holdout: Split | None = None
    encoders: Mapping[str, str] = field(default_factory=dict)
    target_valid: Split | None = None
    finetuned: Mapping[str, Tuned] = field(default_factory=dict)
    media: Mapping[str, str] = field(default_factory=dict)
    sound_rates: Mapping[str, int] = field(default_factory=dict)

    def spec(
        self, protocol: str, class_weights: str | Mapping[str, float] = "off", imputation: Rule = "off"
    ) -> Spec:
        """What a method is built for.

        Args:
            protocol: the name of the protocol.
            class_weights: its rule of that name: ``off``, ``balanced``, or class -> weight.
            imputation: its rule ``impute``.
        """
        labels = label_statistics(self.train.batch.target, len(self.target.classes))
        by_tokens = {name: one.width for name, one in self.finetuned.items() if one.reads_tokens}
        sizes = {
            name: by_tokens[name]
            if name in by_tokens
            else sum(next(iter(self.recipe.blocks[name].values())))
            if name in self.media
            else tensor.shape[2]
            for name, tensor in self.train.batch.features.items()
        }
        raw = {*self.media, *by_tokens}
        filled = tuple(name for name in sizes if imputation != "off" and name not in raw)
        return Spec(
            modalities=sizes,
            kind=self.target.kind,
            classes=len(self.target.classes) or 1,
            domains=self.domains,
            label_range=self.target.label_range,
            protocol="as-published" if protocol == "as-published" else "fair",
            encoders={name: self.encoders[name] for name in sizes if name in self.encoders},
            tuned={name: self.finetuned[name] for name in sizes if name in self.finetuned},
            train_size=len(self.train.batch),
            **labels,
            steps={
                name: self.train.batch.features[name].shape[1]
                for name in sizes
                if name not in self.media and name not in by_tokens
            },
            media={
                name: self.media[name] for name in sizes if name in self.media and name not in self.finetuned
            },
            sound_rates={name: rate for name, rate in self.sound_rates.items() if name in sizes},
            class_weights=()
            if class_weights == "off"
            else self._class_weights(class_weights, labels["class_counts"]),
            partly_observed=tuple(
                name for name in sizes if name in self.train.batch.observed and name not in filled
            ),
            tokens={name: int(stored[:, 0].max()) + 1 for name, stored in self.train.tokens.items()},
            imputation=imputation,
            imputed=constants(
                self.train.batch, filled, imputation, {name: self.recipe.zeros(name) for name in filled}
            ),
        )

    def _class_weights(self, rule: str | Mapping[str, float], counts: tuple[int, ...]) -> tuple[float, ...]:
        """The weights of the classes, or of the presence and then of the absence of the labels.

        Args:
            rule: ``balanced``, or class -> weight.
            counts: how many training samples have each class.
        """
        labels = self.target.kind == "multi-label"
        if not isinstance(rule, str):
            return given_weights(rule, self.target.classes, labels=labels)
        return balanced_label_weights(counts, len(self.train.batch)) if labels else balanced_weights(counts)

    def with_context(self) -> TaskData:
        """The same data, with the previous utterance of every sample as context."""
        return self.each(Split.with_context)

    def as_read_by(self, method: type[Method]) -> TaskData:
        """The same data, with the token ids, the context or in the whole conversations that a method asks for."""
        return self.each(lambda split: split.as_read_by(method))

    def only(self, modalities: Sequence[str]) -> TaskData:
        """The same samples with some of their modalities. No tensor is copied.

        Raises:
            DataError: the datasets of the task cannot be joined in one of these modalities.
        """
        for name in modalities:
            if name in self.unusable:
                raise self.unusable[name]

        def narrow(split: Split) -> Split:
            def pick(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
                return {name: tensors[name] for name in modalities if name in tensors}

            batch = split.batch
            picked = replace(
                batch,
                features=pick(batch.features),
                mask=pick(batch.mask),
                present=pick(batch.present),
                observed=pick(batch.observed),
                time=pick(batch.time),
                unimodal_target=pick(batch.unimodal_target),
                tokens=pick(batch.tokens),
            )
            return replace(split, batch=picked, tokens=pick(split.tokens))

        return self.each(narrow)

    def each(self, change: Callable[[Split], Split]) -> TaskData:
        """The same data, with a function applied to every split."""
        train, valid, test = (change(split) for split in (self.train, self.valid, self.test))
        holdout = None if self.class_holdout is None else change(self.class_holdout)
        seen = None if self.target_valid is None else change(self.target_valid)
        return replace(self, train=train, valid=valid, test=test, class_holdout=holdout, target_valid=seen)


@dataclass(frozen=True)
class TaskRequest:
    """What decides the tensors of a task: equal requests have equal tensors.

    Attributes:
        task: the name of the task.
        fingerprints: of its datasets.
        modalities: those that are read.
        standardize: whether features are standardised.
        widths: ``strict`` or ``project``, see ``feature_blocks``.
        mask_padding: whether padded steps are masked.
        device: where the tensors are to lie.
        holdout_classes: the classes that are removed from training.
        roles: which splits play which part, see ``domains.ROLES``.
        target_splits: the splits of the target that are read, the one that is tested last.
        fold: the fold whose samples test, where the dataset is divided for cross-validation.
    """

    task: str
    fingerprints: tuple[str, ...]
    modalities: tuple[str, ...]
    standardize: bool
    widths: str
    mask_padding: bool
    device: str
    holdout_classes: tuple[str, ...] = ()
    roles: str = "splits"
    target_splits: tuple[str, ...] = ("test",)
    fold: Fold | None = None


class TaskCache:
    """Keeps the tensors of the last ``size`` tasks, so that jobs on the same data share them."""

    def __init__(self, size: int = 2) -> None:
        self.size = size
        self._kept: dict[TaskRequest, TaskData] = {}

    def get(self, request: TaskRequest, located: Mapping[str, Located]) -> TaskData:
        """The tensors of a task, made where they are not in the cache.

        Args:
            request: the task, and what decides its tensors.
            located: its datasets, by name.
        """
        if request not in self._kept:
            while len(self._kept) >= self.size:
                del self._kept[next(iter(self._kept))]
            self._kept[request] = load_task(request, located)
        self._kept[request] = self._kept.pop(request)  # most recent last
        return self._kept[request]


def load_task(request: TaskRequest, located: Mapping[str, Located]) -> TaskData:
    """Reads the datasets of a task and joins them.

    Args:
        request: the task, and what decides its tensors.
        located: its datasets, by name.

    Raises:
        DataError: a file is faulty, or the datasets of the task cannot be joined.
    """
    task = Task.parse(request.task)
    read = {name: _load(located[name], request) for name in task.datasets}
    samples = {
        place: samples_of_fold(read[dataset_of(place)], place, request.fold, located[dataset_of(place)])
        if request.fold
        else samples_of_place(read[dataset_of(place)], place, task, request.roles, request.target_splits)
        for place in task.places
    }
    del read
    target = common_target({name: located[name].target for name in task.datasets})
    removed: Samples | None = None
    if request.holdout_classes:
        from .class_holdout import split_by_class, without_classes

        whole, target = target, without_classes(target, request.holdout_classes, task.name)
        for name, splits in samples.items():
            parts = {split: split_by_class(one, whole, target) for split, one in splits.items()}
            removed = parts["test"][1]  # of the last place, which is the target
            samples[name] = {split: kept for split, (kept, _) in parts.items()}
            words = f"{name} without {', '.join(request.holdout_classes)}"
            counts = {split: len(kept) for split, kept in samples[name].items()}
            if domain_of(name):
                check_domain(task, name, counts, request.roles, request.target_splits)
            else:
                check_split_sizes(words, counts)
        if not removed and "test" in request.target_splits:
            raise DataError(f"{task.target}: no test sample is of class {', '.join(request.holdout_classes)}")
    scales = {place: label_scale(located[dataset_of(place)].target, target) for place in task.places}
    blocks: dict[str, Blocks] = {}
    unusable: dict[str, DataError] = {}
    for modality in request.modalities:
        widths = {place: samples[place]["train"].features[modality].shape[2] for place in task.places}
        try:
            blocks[modality] = feature_blocks(task, modality, widths, request.widths)
        except DataError as error:  # an error only for a job that wants this modality
            unusable[modality] = error
    domain_index = {name: index for index, name in enumerate(task.sources)}

    statistics = None
    if request.standardize:
        statistics = feature_statistics([(name, samples[name]["train"]) for name in task.sources], blocks)

    recipe = TensorRecipe(blocks, statistics, request.mask_padding, request.device)

    def join(names: Sequence[str], split: str) -> Split:
        return recipe.split([(name, samples[name][split]) for name in names], scales, domain_index)

    return TaskData(
        train=join(task.sources, "train"),
        valid=join(task.sources, "valid"),
        test=join([task.target], request.target_splits[-1]),
        target=target,
        domains=len(task.sources),
        unusable=unusable,
        recipe=recipe,
        class_holdout=None
        if removed is None
        else recipe.split([(task.target, removed)], scales, domain_index),
        encoders=common_encoders(task, located),
        target_valid=join([task.target], "valid") if "valid" in request.target_splits else None,
    )


def _load(located: Located, request: TaskRequest) -> dict[str, Samples]:
    """The parts of a dataset with the modalities of a request."""
    splits, modalities = located.load(), request.modalities
    if not request.fold:
        counts = {name: len(split) for name, split in splits.items()}
        check_split_sizes(located.name, counts, Task.parse(request.task))
    return {
        name: replace(
            split,
            features={m: split.features[m] for m in modalities},
            mask={m: split.mask[m] for m in modalities},
            present={m: split.present[m] for m in modalities},
            observed={m: split.observed[m] for m in modalities if m in split.observed},
            time={m: split.time[m] for m in modalities if m in split.time},
            unimodal_target={m: split.unimodal_target[m] for m in modalities if m in split.unimodal_target},
            tokens={m: split.tokens[m] for m in modalities if m in split.tokens},
        )
        for name, split in splits.items()
    }
