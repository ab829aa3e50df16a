"""SWAD: stochastic weight averaging, densely (Cha et al., NeurIPS 2021, arXiv 2102.08604)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ...datasets.batch import Spec
from ..erm import ERM
from ..method import fixed, searched
from ..shared.networks import SharedNetworkParams
from ..shared.weight_average import State, move, state_of


@dataclass(frozen=True)
class SWADParams(SharedNetworkParams):
    """The rule of the window, and the size of the shared network."""

    converge: int = fixed(3, least=1, source="Cha et al. 2021: N_s, n_converge of the release; epochs here")
    tolerance: int = fixed(6, least=1, source="Cha et al. 2021: N_e, n_tolerance of the release; epochs here")
    ratio: float = searched(
        1.3,
        choices=(1.2, 1.3),
        above=0,
        source="Cha et al. 2021: r, 1 + tolerance_ratio of the release; 1.2 for VLCS",
    )


class SWAD(ERM):
    """ERM that is tested with the mean of its weights after every step of a window of epochs.

    The window is that of the paper's algorithm 1 (``window``), by the source validation loss of the weights
    themselves. The paper measures it every few hundred steps, here it is measured after every epoch. Until a
    window begins, the mean over the last epoch is tested. As the window grows, the tested mean does; which
    epoch's mean is kept is the benchmark's rule of selection, the same for every method.

    Training is ERM's. The means of the epochs that a window may hold are in memory.
    """

    Params = SWADParams
    version = 1
    kinds: ClassVar[tuple[str, ...]] = ("regression", "classification", "multi-label")
    departures: ClassVar[Mapping[str, str] | None] = {
        "all": (
            "validation loss after every epoch, not every few hundred steps; statistics of batch "
            "norms are averaged, not computed anew"
        ),
    }
    params: SWADParams

    def __init__(self, params: SWADParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.begin_stage(0)

    def begin_stage(self, stage: int) -> None:
        """Forgets former averages."""
        self.losses: list[float] = []
        self.segments: dict[int, tuple[State, int]] = {}  # epoch -> mean of its weights, number of steps

    def after_step(self) -> None:
        """Takes the weights into the mean of this epoch."""
        epoch = len(self.losses)
        if epoch not in self.segments:
            self.segments[epoch] = (state_of(self), 1)
            return
        mean, steps = self.segments[epoch]
        move(mean, self.state_dict(), 1 / (steps + 1))
        self.segments[epoch] = (mean, steps + 1)

    def after_epoch(self, validation_loss: Callable[[], float]) -> None:
        """Measures the weights' own loss, and forgets means that no window can hold any more."""
        self.losses.append(validation_loss())
        span = window(self.losses, self.params.converge, self.params.tolerance, self.params.ratio)
        oldest = len(self.losses) - self.params.converge + 1 if span is None else span[0]
        newest = len(self.losses) if span is None else span[1]
        self.segments = {
            epoch: kept
            for epoch, kept in self.segments.items()
            if oldest <= epoch <= newest or epoch == len(self.losses) - 1
        }

    def evaluated(self) -> Mapping[str, Tensor] | None:
        """The mean over the window, or over the last epoch where there is none yet."""
        if not self.segments:
            return None
        span = window(self.losses, self.params.converge, self.params.tolerance, self.params.ratio)
        last = max(self.segments)
        first, final = span or (last, last)
        mean: State = {}
        total = 0
        for epoch in range(first, final + 1):
            segment, steps = self.segments[epoch]
            total += steps
            if mean:
                move(mean, segment, steps / total)
            else:
                mean = {name: value.clone() for name, value in segment.items()}
        return mean


def window(losses: Sequence[float], converge: int, tolerance: int, ratio: float) -> tuple[int, int] | None:
    """The first and the last epoch of the window, after Cha et al. 2021, algorithm 1.

    It begins with the first epoch whose validation loss none of the next ``converge - 1`` undercuts. With l =
    ``ratio`` times the mean loss of these ``converge`` epochs, it ends before the first ``tolerance`` epochs in
    a row that are all above l; until there are such, with the last epoch so far.

    Args:
        losses: of source validation, one for each epoch so far.
        converge: N_s, at least 1.
        tolerance: N_e, at least 1.
        ratio: r, above 1 in the paper.

    Returns:
        The first and the last epoch, from 0, both inside; ``None`` where no window has begun.
    """
    starts = range(len(losses) - converge + 1)
    first = next((i for i in starts if losses[i] == min(losses[i : i + converge])), None)
    if first is None:
        return None
    limit = ratio * sum(losses[first : first + converge]) / converge
    for end in range(first + 1, len(losses) - tolerance + 1):
        if min(losses[end : end + tolerance]) > limit:
            return first, end - 1
    return first, len(losses) - 1
