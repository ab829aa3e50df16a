"""How large is an effect, over tasks or over seeds? Relative effects, so that metrics of any unit can be pooled.

Over tasks where there are enough of them (see ``ranks``: 6 for one comparison): each task's mean over seeds is
one value, and the interval speaks of tasks of this kind. Otherwise over seeds: each seed's mean over the tasks is
one value, and the interval speaks of these very tasks. Either is Student's t interval of the mean; over seeds, with a
variance that the other effects of the same question moderate, as ``stats.seed_variance`` says.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..labels import counted
from ..stats.bootstrap import summary
from ..stats.ranks import ALPHA, DECIMALS, tasks_needed
from ..stats.seed_variance import MOST_DEGREES
from ..tables.seed_scores import Score

Effects = Mapping[str, Mapping[int, float]]


@dataclass(frozen=True)
class EffectEstimate:
    """A mean effect with its interval.

    Attributes:
        label: whose it is.
        mean: relative, 0.01 being one percent.
        low: lower end of its interval.
        high: upper end.
        n: number of values.
        over: what the values are: ``"tasks"`` or ``"seeds"``.
        tasks: on how many tasks.
    """

    label: str
    mean: float
    low: float
    high: float
    n: int
    over: str
    tasks: int

    def __str__(self) -> str:
        seeds = f"{counted(self.n, 'seed')} on {counted(self.tasks, 'task')}"
        n = counted(self.n, "task") if self.over == "tasks" else seeds
        return f"{self.label} {percent(self.mean)} [{percent(self.low)}, {percent(self.high)}] over {n}"


def relative_gain(new: Score, old: Score) -> dict[int, float]:
    """How much better a new score is than an old one, seed by seed, as a share of the old one's mean.

    Args:
        new: the score that is judged.
        old: the score that it is compared with, of the same metric.

    Returns:
        Seed -> gain, 0.01 being one percent, positive where the new score is better. Empty without a common
        seed, or where the old mean is 0.
    """
    base = abs(old.mean)
    common = [seed for seed in new.by_seed if seed in old.by_seed]
    if not common or base == 0:
        return {}
    return {seed: new.sign * (new.by_seed[seed] - old.by_seed[seed]) / base for seed in common}


def mean_of(effects: Iterable[Mapping[int, float]]) -> dict[int, float]:
    """Seed -> mean over several effects, of the seeds that all have."""
    every = list(effects)
    common = [seed for seed in every[0] if all(seed in one for one in every)] if every else []
    return {seed: float(np.mean([one[seed] for one in every])) for seed in common}


def estimate_effects(effects: Mapping[str, Effects]) -> list[EffectEstimate]:
    """The mean effects of several labels, whose intervals should hold together; labels without enough data are left out.

    Args:
        effects: label -> task -> seed -> effect.
    """
    count = max(1, sum(any(by_task.values()) for by_task in effects.values()))
    over_seeds = {
        label: values for label, one in effects.items() for values, over in [_values(one)] if over == "seeds"
    }
    estimates = []
    for label, by_task in effects.items():
        others = [values for other, values in over_seeds.items() if other != label]
        estimates.append(estimate_effect(label, by_task, count, others))
    return [one for one in estimates if one is not None]


def estimate_effect(
    label: str, effects: Effects, comparisons: int = 1, others: Sequence[Sequence[float]] = ()
) -> EffectEstimate | None:
    """The mean effect, its interval at 95 %, with Bonferroni's correction for several comparisons.

    Args:
        label: whose it is.
        effects: task -> seed -> effect; a task without any is left out.
        comparisons: how many intervals should hold together.
        others: of other effects the values of each seed: their variances tell something of this one's.

    Returns:
        The estimate; None where there are neither enough tasks nor two seeds that all tasks share.
    """
    from scipy.special import stdtrit

    values, over = _values(effects)
    if len(values) < 2:
        return None
    over_all = summary(values)
    variance, degrees = over_all.sd**2, over_all.n - 1
    known = sum(len(one) - 1 for one in others if len(one) > 1)
    if over == "seeds" and known:
        prior = sum(summary(one).sd ** 2 * (len(one) - 1) for one in others if len(one) > 1) / known
        counts = min(MOST_DEGREES, known)
        variance = (counts * prior + degrees * variance) / (counts + degrees)
        degrees += counts
    half = math.sqrt(variance / over_all.n) * float(stdtrit(degrees, 1 - ALPHA / comparisons / 2))
    low, high = over_all.mean - half, over_all.mean + half
    tasks = sum(map(bool, effects.values()))
    return EffectEstimate(label, over_all.mean, low, high, over_all.n, over, tasks)


def _values(effects: Effects) -> tuple[list[float], str]:
    """The values that an effect is estimated from, and what they are: ``"tasks"`` where there are enough, or ``"seeds"``."""
    known = [by_seed for by_seed in effects.values() if by_seed]
    if len(known) >= tasks_needed(1):
        return [float(np.mean(list(by_seed.values()))) for by_seed in known], "tasks"
    return list(mean_of(known).values()), "seeds"


def paired_p(effect: Mapping[int, float]) -> float:
    """Student's two-sided p over seeds that a paired effect is 0; NaN for fewer than two seeds or no spread."""
    from scipy.special import stdtr

    values = np.round(list(effect.values()), DECIMALS)
    if len(values) < 2 or np.ptp(values) == 0:
        return math.nan
    over_seeds = summary(values)
    return float(2 * stdtr(over_seeds.n - 1, -abs(over_seeds.mean) / over_seeds.sem))


def percent(share: float) -> str:
    """A share with its sign, in percent: ``+1.2 %``."""
    return "—" if math.isnan(share) else f"{100 * share:+.1f} %"
