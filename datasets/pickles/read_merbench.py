"""Reading the packs of MERBench: labels in one ``label.npz``, and for each set of features a folder with an array a sample.

``label.npz`` holds ``train_corpus``, ``val_corpus`` and ``test_corpus``, each an object array around a dict: name of the sample ->
``{"emo": class, "val": score}``. Layout: the loaders of https://github.com/zeroQiaoba/MERTools (``MERBench/toolkit/dataloader``).
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .. import samples as make
from ..counting import counted
from ..dataset import DataError, Samples, Target, data_error
from .unpickle import load_pickle_from

#: Split -> its array in ``label.npz``.
CORPORA = {"train": "train_corpus", "valid": "val_corpus", "test": "test_corpus"}
#: More than any list of names and labels takes; what a forged file announces is not read.
_MOST_BYTES = 2**28


def read_merbench(
    labels: Path, folders: Mapping[str, Path], name: str, label_range: tuple[float, float] | None = None
) -> tuple[dict[str, Samples], Target]:
    """Reads and checks a pack.

    An array has one vector (``*-UTT``) or one a step (``*-FRA``); shorter ones are padded at their ends. A sample whose file is
    absent, or has no step, is without the modality.

    Args:
        labels: ``label.npz``.
        folders: modality -> the folder that has ``NAME.npy`` for each sample.
        name: of the dataset, which becomes the domain.
        label_range: lowest and highest score, where scores (``val``) are predicted; None for the classes (``emo``).

    Returns:
        Split -> samples, in the order of the labels; and the target, classes in alphabetical order.

    Raises:
        DataError: a file is not as described, no sample has a modality, or a label is lacking or out of range.
    """
    if not folders:
        raise data_error(labels, "", "no features", "a folder for each modality")
    what = "emo" if label_range is None else "val"
    told = {split: _corpus(labels, key, what) for split, key in CORPORA.items()}
    if label_range is None:
        classes = sorted({str(one) for part in told.values() for one in part.values()})
        target = Target("classification", classes=tuple(classes), metrics="classification")
        answers = {
            split: np.array([classes.index(str(one)) for one in part.values()])
            for split, part in told.items()
        }
    else:
        target = Target("regression", label_range, metrics="regression")
        answers = {split: np.array(list(part.values()), dtype=np.float32) for split, part in told.items()}
    arrays = {
        m: read_arrays(folder, [one for part in told.values() for one in part])
        for m, folder in folders.items()
    }
    splits = {}
    for split, part in told.items():
        names, key = list(part), f"{CORPORA[split]}/{what}"
        padded = {m: padded_arrays([own[one] for one in names], own) for m, own in arrays.items()}
        mask = {m: valid for m, (_, valid) in padded.items()}
        splits[split] = Samples(
            features={m: make.features(values, folders[m], split) for m, (values, _) in padded.items()},
            mask=mask,
            present=make.present(mask),
            target=make.labels(answers[split], target, labels, key),
            sample_id=np.array(names),
            domain=np.full(len(names), name),
            previous=np.full(len(names), -1, dtype=np.int64),
        )
    make.check_splits(splits, labels)
    return splits, target


def _corpus(file: Path, key: str, what: str) -> dict[str, str | float]:
    """Sample -> label, of one part of ``label.npz``. Raises DataError."""
    content = np.asarray(_object_array(file, key))
    held = content.item() if content.shape == () else None
    if not isinstance(held, Mapping) or not held:
        raise data_error(file, key, "holds no dict", 'a dict: name -> {"emo": class, "val": score}')
    found: dict[str, str | float] = {}
    wanted = str if what == "emo" else (int, float, np.integer, np.floating)
    for name, told in held.items():
        label = told.get(what) if isinstance(told, Mapping) else None
        if not isinstance(name, str) or not isinstance(label, wanted) or "/" in name or "\0" in name:
            expected = "a class by its name" if what == "emo" else "a score"
            raise data_error(file, f"{key}/{name}", f"has {type(label).__name__} for {what}", expected)
        found[name] = str(label) if what == "emo" else float(label)
    return found


def _object_array(file: Path, key: str) -> object:
    """An array of Python objects of an npz file, read by the restricted unpickler. Raises DataError."""
    try:
        with zipfile.ZipFile(file) as archive:
            if archive.getinfo(f"{key}.npy").file_size > _MOST_BYTES:
                raise data_error(
                    file, key, "is larger than any list of labels", f"at most {_MOST_BYTES} bytes"
                )
            content = archive.read(f"{key}.npy")
        stream = io.BytesIO(content)
        version = np.lib.format.read_magic(stream)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        _, _, dtype = read(stream)
        if dtype.kind != "O":
            raise data_error(file, key, f"an array of type {dtype}", "an array around a dict")
        return load_pickle_from(stream, len(content), file, key)
    except KeyError:
        raise data_error(file, key, "missing", f"an npz file with {', '.join(CORPORA.values())}") from None
    except DataError:
        raise
    except (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise data_error(file, key, f"cannot be read ({error})", "a whole npz file") from None


def read_arrays(folder: Path, names: list[str]) -> dict[str, np.ndarray]:
    """The arrays of a set of features, also as GCNet has them.

    Args:
        folder: with ``NAME.npy``, [feature] or [time, feature], for each sample.
        names: of the samples.

    Returns:
        Sample -> [time, feature], float32; without a step where its file is absent.

    Raises:
        DataError: no sample has a file, one cannot be read, or widths differ.
    """
    if not folder.is_dir():
        raise data_error(folder, "", "is not there", "a folder with a file NAME.npy for each sample")
    found: dict[str, np.ndarray] = {}
    width: int | None = None
    for name in names:
        file = folder / f"{name}.npy"
        if not file.exists():
            continue
        try:
            values = np.load(file, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise data_error(file, "", f"cannot be read ({error})", "a whole npy file of numbers") from None
        if values.dtype.kind not in "fiu" or values.ndim not in (1, 2):
            raise data_error(
                file,
                "",
                f"{values.dtype} of {counted(values.ndim, 'axis', 'axes')}",
                "numbers, [feature] or [time, feature]",
            )
        values = np.atleast_2d(values).astype(np.float32)
        width = values.shape[1] if width is None else width
        if values.shape[1] != width:
            raise data_error(
                file, "", counted(values.shape[1], "feature"), f"{width}, as in other files of the folder"
            )
        found[name] = values
    if width is None:
        raise data_error(folder, "", "no file of any sample", f"such as {names[0]}.npy")
    return {name: found.get(name, np.zeros((0, width), np.float32)) for name in names}


def padded_arrays(
    parts: list[np.ndarray], everything: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Arrays padded to the longest of all splits.

    Args:
        parts: of some samples, [time, feature] each.
        everything: those of all samples, by name.

    Returns:
        [samples, time, feature], and the valid steps, [samples, time].
    """
    longest = max(len(one) for one in everything.values())
    values = np.zeros((len(parts), longest, parts[0].shape[1]), np.float32)
    valid = np.zeros((len(parts), longest), bool)
    for row, one in enumerate(parts):
        values[row, : len(one)] = one
        valid[row, : len(one)] = True
    return values, valid
