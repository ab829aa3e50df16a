"""A trained network, built anew from what its job has stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ...corruptions.condition import Clean
from ...datasets.imputation_rules import LEARNED
from ...methods.method import Method
from ..core.errors import UsageError
from ..core.job import Job
from ..core.locate import root_from
from ..core.plugins import use_plugins
from ..core.registry import find
from ..data.tensors import TaskData
from ..store.job_folder import INPUTS, WEIGHTS, JobFolder
from ..store.names import StoreError
from .context import Context
from .inputs import read_inputs
from .job_data import device_of, task_data
from .seeds import seed_everything
from .weights import load_weights

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TrainedNetwork:
    """A network with the weights of its selected epoch, and the data of its task.

    Attributes:
        method: the network; ``method(batch)`` predicts. Of a job with ``--impute`` it is given ``impute(batch, method.spec)``
            (``datasets.imputation``).
        data: the tensors that it was trained and tested with: ``data.test.batch`` and so on.
    """

    method: Method
    data: TaskData

    def predict(self, split: Literal["train", "valid", "test"] = "test") -> pd.DataFrame:
        """What the network answers on complete data of a split.

        Args:
            split: of its data.

        Returns:
            A row for each sample; the columns are those of ``predict.prediction_table``.
        """
        from .predict import prediction_table  # with pandas, which loading has no need of

        return prediction_table(self.method, {split: getattr(self.data, split)}, [Clean()]).to_pandas()


def load(
    job: Path | str,
    store: Path | str = "runs",
    data_root: Path | str | None = None,
    datasets: Mapping[str, Path] | None = None,
    plugins: tuple[Path, ...] = (),
) -> TrainedNetwork:
    """As ``load_network``, with the arguments of ``predict``: the id of a finished job or its folder.

    Args:
        job: the id of a finished job, or its folder.
        store: the folder of the results, where ``job`` is an id.
        data_root: folder of the datasets; by default ``$MMBENCH_DATA``, else ``data``.
        datasets: dataset -> its folder or file, for datasets that lie elsewhere.
        plugins: files that bring its method, or its datasets.

    Returns:
        The network, and its data as tensors.

    Raises:
        UsageError, StoreError, DataError: as ``load_network``.
    """
    folder = Path(job)
    if folder.is_dir():
        folder = folder.resolve()
        return load_network(folder.parent.parent, folder.name, data_root, datasets, plugins)
    return load_network(store, str(job), data_root, datasets, plugins)


def load_network(
    store: Path | str,
    job_id: str,
    data_root: Path | str | None = None,
    data: Mapping[str, Path] | None = None,
    plugins: tuple[Path, ...] = (),
) -> TrainedNetwork:
    """Loads a trained network of a store, on the CPU and in evaluation mode, to look into it.

    Args:
        store: folder of the results.
        job_id: id of a finished job.
        data_root: folder of the datasets; by default ``$MMBENCH_DATA``, else ``data``.
        data: dataset -> its folder or file, for datasets that lie elsewhere.
        plugins: files that bring its method, or its datasets.

    Returns:
        The network, and its data as tensors.

    Raises:
        UsageError: there is no such store or job, or the job is not done.
        StoreError: what is stored is not what was written.
        DataError: the data are not there, or have changed since.
    """
    from ..store.reader import store_at  # checks jobs from elsewhere, which a worker has no need of

    opened = store_at(Path(store))
    folder = opened.job(job_id)
    if not folder.is_known():
        raise UsageError(f"no job {job_id!r} in {store}: mmbench status --store {store} lists them")
    if not folder.is_done():
        raise UsageError(f"job {job_id} is not done: there is no network yet")
    job = opened.read_record(folder.path / "job.json").job
    use_plugins(plugins)
    root = root_from(None if data_root is None else Path(data_root))
    context = Context(Path(store), root, dict(data or {}), plugins)
    trained = load_trained(job, context, folder)
    trained.method.eval()
    return trained


def load_trained(job: Job, context: Context, folder: JobFolder) -> TrainedNetwork:
    """The network of a finished job, built anew and given its stored weights.

    Args:
        job: the job.
        context: where its data lie, and on which device it is wanted.
        folder: of the job.

    Raises:
        UsageError: the job was trained by a version that stored no weights.
        StoreError: the stored weights are not what was written, do not fit the method, or were trained on another model.
    """
    if not (folder.path / WEIGHTS).is_file():
        raise UsageError(
            f"trained before weights were kept, so it cannot be tested under more conditions: "
            f"delete {folder.path} and run again"
        )
    device = device_of(context)
    data = task_data(job, context, device)
    method_class = find("method", job.method, context.plugins).load()
    seed_everything(job.seed, "initial weights")
    rules = job.protocol
    spec = data.spec(rules["name"], rules.get("class_weights", "off"), rules.get("impute", "off"))
    if spec.imputation in LEARNED:
        spec = replace(spec, imputer=read_inputs(folder.read(INPUTS), device).spec.imputer)
    method = method_class(method_class.Params(**job.params), spec).to(device)
    check_bases(method, folder)
    load_weights(method, folder.read(WEIGHTS), job.id)
    return TrainedNetwork(method, data.as_read_by(method_class))


def check_bases(method: Method, folder: JobFolder) -> None:
    """Checks that the models that a method is built on are those that its weights were trained on.

    Args:
        method: the network.
        folder: of its job.

    Raises:
        StoreError: one is another.
    """
    known = folder.fit().get("bases", {})
    for name, digest in method.bases().items():
        if known.get(name) != digest:
            raise StoreError(
                f"{folder.path}: its network was trained on {name} of SHA-256 {known.get(name, 'unknown')}, and what is "
                f"found here is {digest}: put the same model there, or delete the folder and run again"
            )
