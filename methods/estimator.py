"""The contract of an estimator: a method that is fitted to the training split at once, without gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from ..datasets.batch import Batch, Spec
from .method import Method, Output


class Estimator(Method):
    """Fitted to the same arrays as every network, on the same splits, selected by the same rule, stored alike.

    A subclass defines ``fit`` and ``predict``, and where it has more than one setting to choose from ``candidates``:
    each is fitted and validated, and the rule that selects an epoch of a network selects one of them. What it has
    learned are tensors, so that a stored estimator holds no program.
    """

    weighs_classes: ClassVar[bool] = False

    def __init__(self, params: Any, spec: Spec) -> None:
        super().__init__(params, spec)
        if spec.tuned:
            raise ValueError(
                f"{type(self).__name__} reads features, and {', '.join(spec.tuned)} is raw media"
            )
        self.learned = Learned()

    def candidates(self) -> tuple[Any, ...]:
        """The settings that are tried, in order; by default a single one."""
        return (None,)

    def fit(self, train: Batch, candidate: Any, seed: int) -> Mapping[str, Tensor]:
        """Fits one candidate.

        Args:
            train: all training samples of the sources.
            candidate: one of ``candidates``.
            seed: of everything that is drawn.

        Returns:
            Name -> tensor: all that ``predict`` reads.
        """
        raise TypeError(f"{type(self).__name__} defines no fit")

    def predict(self, batch: Batch, learned: Mapping[str, Tensor]) -> Output:
        """Predicts. Any modality may be absent for any sample; steps may be padded; a batch may hold one.

        Args:
            batch: the samples.
            learned: what ``fit`` returned.
        """
        raise TypeError(f"{type(self).__name__} defines no predict")

    def forward(self, batch: Batch) -> Output:
        """Predicts from what was learned."""
        return self.predict(batch, self.learned.tensors())

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """An estimator has none."""
        raise TypeError(f"{type(self).__name__} is fitted without gradients")


class Learned(nn.Module):
    """Tensors whose names and shapes are known only when an estimator is fitted, or its state is read."""

    def tensors(self) -> dict[str, Tensor]:
        """Name -> tensor, empty before the first fit."""
        return {name: value for name, value in self.named_buffers() if value is not None}

    def replace(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes these tensors in the place of all that were there."""
        self._buffers.clear()
        for name, value in tensors.items():
            self.register_buffer(name, value)

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *args: Any, **more: Any
    ) -> None:
        """Takes the tensors of a stored state, whatever their shapes."""
        own = {
            name.removeprefix(prefix): value for name, value in state_dict.items() if name.startswith(prefix)
        }
        self.replace({name: value.clone() for name, value in own.items()})
        super()._load_from_state_dict(dict(state_dict), prefix, *args, **more)
