"""Pruning: a trial ends early where it is worse on source validation than the trials that it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..core.selection import Epoch, Pruned
from ..store.store import Store
from .optuna_trial import complete_trial, optuna
from .trials import direction_of, selected_score


def fits_of(store: Store, jobs: Iterable[str]) -> list[Mapping[str, Any]]:
    """The fit records of those jobs that are done.

    Args:
        store: where they lie.
        jobs: their ids.

    Raises:
        StoreError: one of them is not what was written.
    """
    return [store.job(job).fit() for job in jobs if store.job(job).is_done()]


class Watch:
    """Optuna's median pruner over fit records: after each epoch, from a quarter of the epochs on, a trial is ended
    whose best value so far is worse than the median of the others' values in that epoch.

    The others are the first trials of the search, all done: the same trial is ended in the same epoch, whatever
    runs beside it.

    Attributes:
        report: takes the progress, as without pruning.
        rivals: the fit records of the trials that it is compared with.
        epochs: how many the trial is to have.
    """

    def __init__(
        self,
        report: Callable[[int, float, Epoch | None], None],
        rivals: Sequence[Mapping[str, Any]],
        epochs: int,
    ) -> None:
        self.report, self.epochs = report, epochs
        self.record: list[Epoch] = []
        library = optuna()
        pruner = library.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=epochs // 4)
        direction = direction_of(str(rivals[0]["metric"])) if rivals else "lower"
        study = library.create_study(
            direction="minimize" if direction == "lower" else "maximize", pruner=pruner
        )
        for fit in rivals:
            study.add_trial(complete_trial(fit, selected_score(fit).metric))
        self.trial = study.ask()

    def __call__(self, epoch: int, share: float, ended: Epoch | None) -> None:
        """Reports progress and prunes: raises ``Pruned`` where the trial is to end."""
        self.report(epoch, share, ended)
        if ended is None:
            return
        self.record.append(ended)
        self.trial.report(ended.metric, ended.epoch)
        if self.trial.should_prune() and ended.epoch + 1 < self.epochs:
            raise Pruned(f"pruned after epoch {ended.epoch + 1} of {self.epochs}", self.record)
