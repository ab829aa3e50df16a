"""Predictions of a trained network for samples that no training has seen, and that need no labels."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ...datasets.dataset import DataError, Samples, data_error
from ...datasets.imputation import impute
from ...datasets.layout.description import FILE_NAME as FEATURES
from ...datasets.layout.description import Description
from ...datasets.layout.unlabelled import describe_unlabelled, read_unlabelled_samples
from ...datasets.media.own import FILE_NAME as CLIPS
from ...methods.method import Method
from ..core.errors import UsageError
from ..core.job import Job
from ..core.locate import root_from
from ..core.plugins import use_plugins
from ..core.registry import find
from ..data.split import Split
from ..store.job_folder import INPUTS, WEIGHTS, JobFolder
from .context import Context
from .inputs import Inputs, inputs_of, read_inputs
from .job_data import task_data
from .minibatches import minibatches
from .network import check_bases
from .predict import EVALUATION_BATCH, without_targets
from .seeds import seed_everything
from .weights import load_weights

LOG = logging.getLogger("mmbench.predict")
#: Told how many samples are done, and of how many.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Predictor:
    """A trained network and how samples are made into its tensors, on the CPU.

    Attributes:
        job: the job that trained it.
        method: the network, in evaluation mode.
        inputs: what it was made for.
        context: where the data of the job lie, which are read where new clips have to be encoded alike.
    """

    job: Job
    method: Method
    inputs: Inputs
    context: Context

    @property
    def reads_media(self) -> bool:
        """Whether the network reads raw media, of one modality at least."""
        return bool(self.raw)

    @property
    def raw(self) -> list[str]:
        """The modalities whose raw media the network reads."""
        spec = self.inputs.spec
        return [*spec.media, *(name for name, one in spec.tuned.items() if not one.reads_tokens)]

    @property
    def reads_tokens(self) -> bool:
        """Whether the network reads token ids, by its method or by an encoder that was trained along."""
        tuned = self.inputs.spec.tuned.values()
        return self.method.reads_tokens or any(one.reads_tokens for one in tuned)

    def split_of(self, samples: Samples) -> Split:
        """Samples as the tensors that the network reads."""
        split = _split(samples, self.inputs)
        split = split.with_tokens() if self.reads_tokens else split
        return split.as_read_by(type(self.method))


def predict(
    job: Path | str,
    data: Path | str,
    store: Path | str = "runs",
    part: str | None = None,
    data_root: Path | str | None = None,
    datasets: Mapping[str, Path] | None = None,
    plugins: tuple[Path, ...] = (),
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Predicts new samples with the network of a finished job.

    Features are standardised as in its training. A modality that the data or single samples lack counts as missing.

    Args:
        job: the id of a finished job, or its folder.
        data: a folder with a ``dataset.yaml``, whose labels may be missing, or a file of arrays (npz, parquet,
            safetensors); or a folder with a ``media.yaml``, for clips as those that the features of the training were made of.
        store: the folder of the results, where ``job`` is an id.
        part: ``train``, ``valid`` or ``test``, where the data state splits; by default all samples.
        data_root: folder of the datasets; read only for clips, which are encoded as those of the training, and for jobs
            from before the statistics of inputs were stored.
        datasets: dataset -> its folder or file, read as ``data_root`` is.
        plugins: files that bring the method.
        progress: told after each batch.

    Returns:
        A row for each sample: ``sample_id``; ``score`` on the scale of the task's target dataset, or ``class`` and
        ``p_NAME``, the probability of each class; ``confidence``, the largest probability; of several labels ``labels``,
        those that are likelier than not, joined by ``+``, and no confidence, as each has its own probability; ``deviation``, the predicted
        standard deviation of a score, where the method gives one; ``confidence_NAME``, where the method gives
        confidences of its own; and ``modalities``, those that were there, joined by ``+``.

    Raises:
        UsageError: there is no such job, it is not done, or its weights were not kept.
        DataError: the samples do not fit the network, or there are none.
        StoreError: what is stored is not what was written.
    """
    predictor = load_predictor(job, store, data_root, datasets, plugins)
    return pd.concat(list(predicted_parts(predictor, Path(data), part, progress)), ignore_index=True)


def load_predictor(
    job: Path | str,
    store: Path | str = "runs",
    data_root: Path | str | None = None,
    datasets: Mapping[str, Path] | None = None,
    plugins: tuple[Path, ...] = (),
) -> Predictor:
    """Loads the network of a finished job.

    Args:
        job: as of ``predict``.
        store: as of ``predict``.
        data_root: as of ``predict``.
        datasets: as of ``predict``.
        plugins: as of ``predict``.

    Raises:
        UsageError: there is no such job, it is not done, or its weights were not kept.
        StoreError: what is stored is not what was written.
    """
    folder, known = _folder_of(job, Path(store))
    use_plugins(plugins)
    method_class = find("method", known.method, plugins).load()
    root = root_from(None if data_root is None else Path(data_root))
    context = Context(folder.path.parent.parent, root, dict(datasets or {}), plugins)
    inputs = _inputs(known, folder, context)
    seed_everything(known.seed, "initial weights")
    method = method_class(method_class.Params(**known.params), inputs.spec)
    check_bases(method, folder)
    load_weights(method, folder.read(WEIGHTS))
    return Predictor(known, method.eval(), inputs, context)


def predicted_parts(
    predictor: Predictor, data: Path, part: str | None = None, progress: Progress | None = None
) -> Iterator[pd.DataFrame]:
    """Predicts the parts of some data, one after the other.

    Args:
        predictor: the network, and what it was made for.
        data: as of ``predict``.
        part: as of ``predict``.
        progress: told after each batch.

    Returns:
        A frame for each part, with the columns of ``predict``.

    Raises:
        DataError: the samples do not fit the network, or there are none.
    """
    inputs = predictor.inputs
    if clips := _clips_file(data, predictor.reads_media):
        if part is not None:
            raise UsageError(f"--split {part}: clips have no parts here; choose some by 'rows' in {clips}")
        from .new_clips import read_new_clips  # with encoders, which features have no need of

        new = read_new_clips(clips, predictor.job, inputs, predictor.context)
        _check_conversations(clips, new.samples, predictor)
        split = new.with_raw_media(_split(new.samples, inputs)).as_read_by(type(predictor.method))
        yield _table(predictor, split, lambda done: progress(done, len(new.samples)) if progress else None)
        return
    if predictor.reads_media:
        which = ", ".join(predictor.raw)
        raise UsageError(
            f"job {predictor.job.id} reads raw media ({which}), and {data} has features: name a folder with a media.yaml"
        )
    description = describe_unlabelled(data, tuple(inputs.spec.modalities))
    _check_task(description, inputs)
    wanted = {name: ref for name, ref in description.modalities.items() if name in inputs.spec.modalities}
    if not wanted:
        has = ", ".join(description.modalities)
        raise data_error(description.file, "modalities", has, f"any of {', '.join(inputs.spec.modalities)}")
    parts = read_unlabelled_samples(replace(description, modalities=wanted), part)
    total, done = sum(map(len, parts.values())), 0
    for samples in parts.values():
        _check_widths(description, samples, inputs)
        _check_conversations(description.file, samples, predictor)
        if predictor.reads_tokens:
            _check_tokens(description, samples, predictor)
        split = predictor.split_of(samples)

        def report(now: int, before: int = done) -> None:
            if progress:
                progress(before + now, total)

        yield _table(predictor, split, report)
        done += len(samples)


def _clips_file(data: Path, reads_media: bool) -> Path | None:
    """The ``media.yaml`` of new clips; None where the data are arrays.

    Args:
        data: what was named: a folder or a file.
        reads_media: whether the network reads raw media; where a folder holds clips and their features, others take
            the features.
    """
    data = data.expanduser()
    if data.is_file():
        return data if data.name == CLIPS else None
    beside = (data / FEATURES).is_file() and not reads_media
    return data / CLIPS if (data / CLIPS).is_file() and not beside else None


def _folder_of(job: Path | str, store: Path) -> tuple[JobFolder, Job]:
    """The folder of a finished job, and the job."""
    from ..store.reader import store_at  # checks jobs from elsewhere
    from ..store.store import Store

    place = Path(job).expanduser()
    if (place / "job.json").is_file():
        place = place.resolve()
        folder = JobFolder(str(place.parent), place.name)
        known = Store(place.parent.parent).read_record(place / "job.json").job
    else:
        opened = store_at(store)
        folder = opened.job(str(job))
        if not folder.is_known():
            raise UsageError(f"no job {str(job)!r} in {store}: mmbench status --store {store} lists them")
        known = opened.read_record(folder.path / "job.json").job
    if not folder.is_done():
        raise UsageError(f"job {known.id} is not done: there is no network yet")
    if not (folder.path / WEIGHTS).is_file():
        raise UsageError(
            f"job {known.id}: {WEIGHTS} is not in {folder.path}, so there is no network to predict with"
        )
    return folder, known


def _inputs(job: Job, folder: JobFolder, context: Context) -> Inputs:
    """What the network was made for: as stored, or else computed from its training data."""
    if (folder.path / INPUTS).is_file():
        return read_inputs(folder.read(INPUTS))
    LOG.info("%s: no %s, so the statistics are computed from the training data", job.id, INPUTS)
    try:
        data = task_data(job, context, torch.device("cpu"))
    except (DataError, UsageError) as error:
        raise UsageError(
            f"job {job.id} was trained before {INPUTS} was kept, so its training data are needed to standardise "
            f"new samples: name them with --data-root ({error})"
        ) from None
    return inputs_of(job.task, data, data.spec(job.protocol["name"]))


def _check_task(description: Description, inputs: Inputs) -> None:
    """Checks what the data say of their task, where they do: its kind and its classes must be those of the network."""
    stated, known = description.target, inputs.target
    if not stated.label_range and not stated.classes:
        return
    if stated.kind != known.kind:
        raise data_error(description.file, "task/kind", stated.kind, f"{known.kind}, as the network predicts")
    unknown = [name for name in stated.classes if name not in known.classes]
    if unknown:
        expected = f"some of the {len(known.classes)} classes of the network: {', '.join(known.classes[:20])}"
        raise data_error(description.file, "task/classes", f"unknown class {unknown[0]!r}", expected)


def _check_widths(description: Description, samples: Samples, inputs: Inputs) -> None:
    for name, array in samples.features.items():
        width = inputs.recipe.blocks[name][inputs.place][1]
        if array.shape[2] != width:
            raise data_error(
                description.file,
                f"modalities/{name}",
                f"{array.shape[2]} features",
                f"{width}, as in training",
            )


def _check_conversations(file: Path, samples: Samples, predictor: Predictor) -> None:
    """Checks that conversations are stated where the method reads them."""
    if predictor.method.uses_conversation and samples.utterances is None:
        wrong = f"missing, and {predictor.job.method} reads whole conversations"
        raise data_error(file, "conversation", wrong, "{id: ..., order: ..., speaker: ...}")


def _check_tokens(description: Description, samples: Samples, predictor: Predictor) -> None:
    """Checks that the token ids of each text are there that the method reads."""
    for name in predictor.inputs.spec.tokens:
        if name in samples.features and name not in samples.tokens:
            wrong = f"no 'tokens', and {predictor.job.method} reads token ids"
            raise data_error(description.file, f"modalities/{name}", wrong, "an array of them")
    for name, tuned in predictor.inputs.spec.tuned.items():
        if tuned.reads_tokens and name in samples.tokens:
            from ...datasets.encoders.token_model import token_model  # of such networks alone

            if fault := token_model(tuned.encoder).fault(torch.from_numpy(samples.tokens[name]), name):
                raise DataError(f"{description.file}: {fault}")


def _split(samples: Samples, inputs: Inputs) -> Split:
    """Samples as the tensors of the network, with every modality that it knows: what lacks is marked absent."""
    count, place = len(samples), inputs.place
    features, mask, present = dict(samples.features), dict(samples.mask), dict(samples.present)
    observed, time = dict(samples.observed), dict(samples.time)
    for name in inputs.spec.modalities:
        steps = inputs.spec.steps.get(name, 1)
        if name not in features:
            features[name] = np.zeros((count, steps, inputs.recipe.blocks[name][place][1]), np.float32)
            mask[name], present[name] = np.zeros((count, steps), bool), np.zeros(count, bool)
        elif features[name].shape[1] < steps:  # padded as in training, for protocols that read the padding
            more = ((0, 0), (0, steps - features[name].shape[1]))
            features[name] = np.pad(features[name], (*more, (0, 0)))
            mask[name] = np.pad(mask[name], more)
            if name in observed:
                observed[name] = np.pad(observed[name], (*more, (0, 0)))
            if name in time:
                time[name] = np.pad(time[name], more)
    ordered = [
        {name: tensors[name] for name in inputs.spec.modalities} for tensors in (features, mask, present)
    ]
    tokens = {
        name: samples.tokens.get(name, np.zeros((count, 3, 1), np.int32)) for name in inputs.spec.tokens
    }
    whole = replace(
        samples,
        features=ordered[0],
        mask=ordered[1],
        present=ordered[2],
        observed=observed,
        time=time,
        tokens=tokens,
    )
    return inputs.recipe.split([(place, whole)], {place: inputs.scale}, {})


@torch.inference_mode()
def _table(predictor: Predictor, split: Split, progress: Callable[[int], None]) -> pd.DataFrame:
    """The rows of a part."""
    columns: dict[str, list[np.ndarray]] = {}
    done = 0
    for batch in minibatches(without_targets(split.batch), EVALUATION_BATCH):
        output = predictor.method(impute(batch, predictor.inputs.spec))
        own: Mapping[str, Tensor] = getattr(output, "confidence", None) or {}
        found = _answers(output.prediction.float(), output.log_variance, predictor.inputs)
        found |= {f"confidence_{name}": values.float().numpy() for name, values in own.items()}
        found["modalities"] = _modalities(batch.present)
        for name, values in found.items():
            columns.setdefault(name, []).append(values)
        done += len(batch)
        progress(done)
    return pd.DataFrame(
        {"sample_id": split.sample_id.astype(str), **{k: np.concatenate(v) for k, v in columns.items()}}
    )


def _answers(prediction: Tensor, log_variance: Tensor | None, inputs: Inputs) -> dict[str, np.ndarray]:
    """The columns that tell what a network answered."""
    if prediction.ndim == 1:
        found = {"score": (prediction.numpy() / inputs.scale).astype(np.float32)}
        if log_variance is not None:
            found["deviation"] = ((log_variance.float() / 2).exp().numpy() / inputs.scale).astype(np.float32)
        return found
    names = inputs.target.classes
    if inputs.target.kind == "multi-label":
        probability = prediction.sigmoid().numpy()
        said = ["+".join(np.array(names, dtype=object)[row]) for row in probability >= 0.5]
        return {
            "labels": np.array(said, dtype=object),
            **{f"p_{name}": probability[:, place] for place, name in enumerate(names)},
        }  # no answer of several labels has one confidence
    probability = prediction.softmax(dim=1).numpy()
    return {
        "class": np.array(names, dtype=object)[probability.argmax(axis=1)],
        **{f"p_{name}": probability[:, place] for place, name in enumerate(names)},
        "confidence": probability.max(axis=1),
    }


def _modalities(present: Mapping[str, Tensor]) -> np.ndarray:
    """[batch], the names of the modalities of each sample, joined by ``+``."""
    flags = np.stack([there.numpy() for there in present.values()], axis=1)
    names = np.array(list(present), dtype=object)
    return np.array(["+".join(names[row]) for row in flags], dtype=object)
