"""Imputers that are fitted on the sources' training samples, before the network of a job: ``--impute knn``, ``csdi``, ``trace``.

What was fitted is stored with the job, beside the statistics of the standardisation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from ...datasets.batch import Batch, Imputer, Spec
from ...datasets.imputation_rules import LEARNED
from ...methods.shared.completion import Completion
from ...methods.shared.diffusion import DiffusionSizes
from ...methods.shared.placed import Fill, Placed, completable, place, put
from ..core.protocol import Protocol
from .minibatches import minibatches
from .predict import EVALUATION_BATCH
from .seeds import derive

#: The neighbours whose mean is taken; our choice.
NEIGHBOURS = 10
#: The highest learning rate of a diffusion, which rises to it and falls again (one cycle); our choice.
RATE = 3e-3


class NearestSamples:
    """Fills an entry with the mean of it over the nearest training samples that have it (scikit-learn's ``KNNImputer``).

    The distance of two samples is over the entries that both have, of all modalities, step by step from the first valid
    one, scaled up by the share of entries that they lack. Times are not read. What a sample lacks wholly is filled at the
    steps of a usual training sample.

    Args:
        spec: of the task.
        state: as ``tensors`` gives it.
    """

    def __init__(self, spec: Spec, state: Mapping[str, Tensor]) -> None:
        from sklearn.impute import KNNImputer  # of such jobs alone

        self._names, self._widths = completable(spec), spec.modalities
        self._lengths = {name: int(n) for name, n in zip(self._names, state["lengths"], strict=True)}
        self._steps = {name: int(n) for name, n in zip(self._names, state["steps"], strict=True)}
        self._state = dict(state)
        samples = state["samples"].float().cpu().numpy()
        self._fitted = KNNImputer(n_neighbors=min(NEIGHBOURS, len(samples)), keep_empty_features=True)
        self._fitted.fit(samples)

    @classmethod
    def fit(cls, spec: Spec, train: Batch) -> NearestSamples:
        """Keeps the training samples.

        Args:
            spec: of the task.
            train: the samples.
        """
        parts, lengths, steps = [], [], []
        for name in completable(spec):
            placed = place(train, name, 0)
            valid = placed.series.valid.sum(dim=1)[~placed.lacking]
            lengths.append(round(float(valid.double().mean())) if len(valid) else 0)
            steps.append(placed.series.valid.shape[1])
            parts.append(_with_holes(placed, steps[-1]))
        samples = torch.cat(parts, dim=1).cpu()
        return cls(spec, {"samples": samples, "lengths": torch.tensor(lengths), "steps": torch.tensor(steps)})

    def complete(self, batch: Batch) -> Batch:
        """As of ``Imputer``."""
        return put(batch, self._fills(batch, [name for name in self._names if self._lengths[name]]))

    def draws(self, batch: Batch, modality: str) -> Tensor | None:
        """As of ``Imputer``: one."""
        if not self._lengths.get(modality):
            return None
        filled = put(batch, self._fills(batch, [modality]))
        return filled.features[modality].float().unsqueeze(0)

    def tensors(self) -> Mapping[str, Tensor]:
        """``samples`` [sample, entry], NaN where not observed; ``lengths`` and ``steps`` [modality]: usual and most steps."""
        return self._state

    def _fills(self, batch: Batch, names: list[str]) -> dict[str, Fill]:
        """Modality -> what it is filled with, of those that want something."""
        placed = {name: place(batch, name, self._lengths[name]) for name in self._names}
        wanted = [name for name in names if name in batch.observed or bool(placed[name].lacking.any())]
        if not wanted:
            return {}
        rows = torch.cat([_with_holes(placed[name], self._steps[name]) for name in self._names], dim=1)
        filled = torch.from_numpy(self._fitted.transform(rows.cpu().numpy())).to(rows.device)
        widths = [self._steps[name] * self._widths[name] for name in self._names]
        columns = dict(zip(self._names, filled.split(widths, dim=1), strict=True))
        return {name: self._fill(columns[name], placed[name], self._widths[name]) for name in wanted}

    @staticmethod
    def _fill(filled: Tensor, placed: Placed, width: int) -> Fill:
        """What a modality is filled with; at steps later than any of training it is 0, the mean of standardised data."""
        series, back = placed.series, placed.back
        values = filled.view(len(filled), -1, width).float()[:, : back.shape[1]]
        values = pad(values, (0, 0, 0, back.shape[1] - values.shape[1])).where(series.valid.unsqueeze(-1), 0)
        values = values.gather(1, back.unsqueeze(-1).expand_as(values))
        return Fill(values, series.valid.gather(1, back), series.times.gather(1, back), placed.lacking)


class DiffusionImputer:
    """Fills with the median of draws from a conditional diffusion of each modality (``methods.shared.completion``).

    Args:
        completion: its networks.
    """

    def __init__(self, completion: Completion) -> None:
        self._completion = completion.eval().requires_grad_(False)

    @classmethod
    def build(cls, spec: Spec, rule: str, state: Mapping[str, Tensor]) -> DiffusionImputer:
        """From what ``tensors`` gave.

        Args:
            spec: of the task.
            rule: ``csdi`` or ``trace``.
            state: all tensors of the networks.

        Raises:
            RuntimeError: they are of other networks.
        """
        completion = _networks(spec, rule)
        completion.load_state_dict(dict(state))
        return cls(completion.to(next(iter(state.values())).device))

    @classmethod
    def fit(cls, spec: Spec, train: Batch, protocol: Protocol, seed: int) -> DiffusionImputer:
        """Trains for as many epochs as the method will be, in batches as large.

        Args:
            spec: of the task; ``imputation`` says whether other modalities are read.
            train: the samples.
            protocol: its epochs and batch size, and where gradients are clipped.
            seed: of the job.

        Raises:
            ValueError: no context can be learned.
        """
        with torch.random.fork_rng(devices=[train.target.device] if train.target.is_cuda else []):
            torch.manual_seed(derive(seed, "imputer"))
            completion = _networks(spec, spec.imputation).to(train.target.device)
            completion.measure(lambda: minibatches(train, EVALUATION_BATCH))
            parameters = list(completion.parameters())
            steps = protocol.epochs * -(-len(train) // protocol.batch_size)
            optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=1e-6)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=max(steps, 2))
            for batch in _in_random_order(train, protocol.batch_size, protocol.epochs):
                optimizer.zero_grad()
                loss = torch.stack(list(completion.losses(batch).values())).sum()
                if loss.requires_grad:
                    loss.backward()
                    torch.nn.utils.clip_grad_norm_(parameters, protocol.clip_norm or 1.0)
                    optimizer.step()
                schedule.step()
        return cls(completion)

    def complete(self, batch: Batch) -> Batch:
        """As of ``Imputer``."""
        return self._completion.complete(batch)

    def draws(self, batch: Batch, modality: str) -> Tensor | None:
        """As of ``Imputer``."""
        return self._completion.draws(batch, modality) if modality in self._completion.targets else None

    def tensors(self) -> Mapping[str, Tensor]:
        """The state of the networks."""
        return self._completion.state_dict()


def with_imputer(spec: Spec, train: Batch, protocol: Protocol, seed: int) -> Spec:
    """The specification with an imputer that was fitted on training samples, where its rule asks for one.

    Args:
        spec: of the network.
        train: the sources' training samples, undamaged.
        protocol: the rules.
        seed: of the job.

    Raises:
        ValueError: nothing can be learned from these samples.
    """
    if spec.imputation not in LEARNED:
        return spec
    if not completable(spec):
        raise ValueError(f"--impute {spec.imputation}: no modality of the task is a series of features")
    if spec.imputation == "knn":
        return replace(spec, imputer=NearestSamples.fit(spec, train))
    return replace(spec, imputer=DiffusionImputer.fit(spec, train, protocol, seed))


def restored(spec: Spec, state: Mapping[str, Tensor]) -> Imputer:
    """The imputer that a specification was stored with.

    Args:
        spec: of the network.
        state: as its ``tensors`` gave it.

    Raises:
        LookupError, RuntimeError, ValueError: the state is of another one.
    """
    if spec.imputation == "knn":
        return NearestSamples(spec, state)
    return DiffusionImputer.build(spec, spec.imputation, state)


def _networks(spec: Spec, rule: str) -> Completion:
    return Completion(spec, DiffusionSizes(), "gate" if rule == "trace" else "none")


def _in_random_order(train: Batch, size: int, epochs: int) -> Iterator[Batch]:
    """Batches of all samples, in an order of torch's generator in every epoch."""
    for _ in range(epochs):
        for rows in torch.randperm(len(train)).split(size):
            yield train.take(rows.to(train.target.device))


def _with_holes(placed: Placed, steps: int) -> Tensor:
    """[batch, steps * feature], float32, NaN where not observed."""
    values = placed.series.values.float().where(placed.series.observed, torch.nan)[:, :steps]
    return pad(values, (0, 0, 0, steps - values.shape[1]), value=torch.nan).flatten(1)
