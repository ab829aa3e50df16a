"""The contract of a launcher, and mmbench's own.

A launcher takes jobs and a context and yields an outcome for each as it ends, in any order. A job writes what it
produces to the store itself. A launcher whose jobs outlive the command derives from ``detached.Detached``, every
other one from ``Launcher``. One from outside is a file with ``LAUNCHERS = {"name": "Class"}``, given with
``--plugin``, or an entry point of the group ``mmbench.launchers``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Protocol, Self

from ..core.job import Job
from ..core.registry import find
from ..core.strings import counted
from ..planning.experiment import Experiment
from ..train.context import Context, Outcome

#: Name -> ``module:class``. A class is imported when it is used.
LAUNCHERS = {
    "local": "mmbench.benchmark.launch.local_pool:LocalPool",
    "debug": "mmbench.benchmark.launch.local_pool:InProcess",
    "slurm": "mmbench.slurm.launcher:Slurm",
}


class Launcher(Protocol):
    """Runs the jobs of an experiment somewhere.

    Attributes:
        detached: whether jobs go on after the command that started them has ended. Such a launcher derives from
            ``detached.Detached``.
    """

    detached: ClassVar[bool] = False

    @classmethod
    def from_experiment(cls, experiment: Experiment, networks: int) -> Self:
        """Makes a launcher with what an experiment asks of it: its workers, threads, device and options.

        Args:
            experiment: what is to be run.
            networks: how many networks are yet to be trained or tested.

        Returns:
            The launcher; nothing is started or written yet.

        Raises:
            UsageError: what is asked for is wrong, or cannot be had.
        """
        ...

    @property
    def device(self) -> str:
        """The device for ``Context.device`` where the jobs run: ``"cpu"``, ``"cuda"`` or ``"auto"``."""
        ...

    def require(self) -> None:
        """Makes sure that jobs can be started from here.

        Raises:
            UsageError: they cannot; the message says what is missing.
        """

    def run(self, jobs: Sequence[Job], context: Context) -> Iterator[Outcome]:
        """Runs jobs. Closing the iterator ends what still runs, unless the launcher is detached.

        Args:
            jobs: what is to be run; all of them are written down in the store.
            context: what they need.

        Yields:
            The outcome of every job, once, as it ends. A job that fails, or whose process dies, yields a failed
            outcome with a reason, and raises nothing.

        Raises:
            UsageError: the jobs cannot be started.
        """
        ...

    def preview(self, jobs: Sequence[Job], context: Context) -> str:
        """A description of what ``run`` would do with the same arguments; nothing is started or written.

        Args:
            jobs: what would be run.
            context: what the jobs would be given.

        Returns:
            Lines for ``mmbench run --dry-run``.
        """
        return f"{counted(len(jobs), 'job')} on {context.device}"


def launcher_for(experiment: Experiment, networks: int) -> Launcher:
    """The launcher that an experiment names.

    Args:
        experiment: what is to be run.
        networks: how many networks are yet to be trained or tested.

    Returns:
        The launcher, with what the experiment asks of it.

    Raises:
        UsageError: there is no such launcher, or what is asked of it is wrong.
    """
    entry = find("launcher", experiment.launcher, tuple(experiment.plugins))
    return entry.load().from_experiment(experiment, networks)
