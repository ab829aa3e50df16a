"""Reading the pickles of MIMIC-IV that ``mimic4_layout.py`` describes. Nothing of a pickle is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import samples as make
from ..counting import counted
from ..dataset import SPLITS, Samples, data_error
from ..shared.padded import Series, longest, padded
from .mimic4_layout import LAST_STEPS, LAST_VECTORS, MODALITIES, SERIES_WIDTH, VECTORS, Vectors
from .unpickle import load_pickle

_HOUR = 3600.0


def read_stays(files: Sequence[Path]) -> dict[str, Samples]:
    """Reads and checks every split.

    Args:
        files: of the training, validation and test part.

    Raises:
        DataError: a file is no pickle of stays, or a stay is wrong.
    """
    stays = {split: _stays(file) for split, file in zip(SPLITS, files, strict=True)}
    series = {
        split: {name: [_series(stay, name, where) for where, stay in part] for name in MODALITIES}
        for split, part in stays.items()
    }
    steps = {name: max(longest(part[name]) for part in series.values()) for name in MODALITIES}
    splits = {
        split: _samples(stays[split], series[split], steps, file)
        for split, file in zip(SPLITS, files, strict=True)
    }
    # Vectors that are whole everywhere have nothing to tell of what was observed.
    told = {
        name
        for name in MODALITIES
        if any((part.observed[name] < part.mask[name][..., None]).any() for part in splits.values())
    }
    splits = {
        split: replace(part, observed={name: part.observed[name] for name in MODALITIES if name in told})
        for split, part in splits.items()
    }
    make.check_splits(splits, files[0])
    return splits


#: A file and the number of a stay in it.
_Place = tuple[Path, int]


def _stays(file: Path) -> list[tuple[_Place, Mapping[str, Any]]]:
    content = load_pickle(file)
    if not isinstance(content, list) or not content:
        wrong = "holds an empty list" if isinstance(content, list) else "holds no list"
        raise data_error(file, "", wrong, "a list of stays")
    for number, stay in enumerate(content):
        if not isinstance(stay, dict):
            raise data_error(file, f"stay {number}", f"is a {type(stay).__name__}", "a dict")
    return [((file, number), stay) for number, stay in enumerate(content)]


def _samples(
    stays: Sequence[tuple[_Place, Mapping[str, Any]]],
    series: Mapping[str, Sequence[Series]],
    steps: Mapping[str, int],
    file: Path,
) -> Samples:
    arrays = padded(series, steps)
    ids = [_whole(_entry(stay, "stay_id", where), "stay_id", where) for where, stay in stays]
    labels = [_whole(_entry(stay, "label", where), "label", where) for where, stay in stays]
    for number, label in enumerate(labels):
        if label not in (0, 1):
            raise data_error(file, f"stay {number}/label", f"is {label}", "0 or 1")
    return Samples(
        features=arrays.features,
        mask=arrays.mask,
        present=arrays.present,
        target=np.array(labels, np.int64),
        sample_id=np.array([str(one) for one in ids]),
        domain=np.full(len(ids), ""),
        previous=np.full(len(ids), -1, np.int64),
        group=np.array([str(_whole(_entry(stay, "name", where), "name", where)) for where, stay in stays]),
        observed=arrays.observed,
        time=arrays.time,
    )


def _series(stay: Mapping[str, Any], modality: str, where: _Place) -> Series:
    """A modality of a stay, in the order of time. Raises DataError."""
    if modality in VECTORS:
        return _vectors(stay, VECTORS[modality], where)
    values = _numbers(_entry(stay, "irg_ts", where), (SERIES_WIDTH,), "irg_ts", where)
    stated = _numbers(_entry(stay, "irg_ts_mask", where), (SERIES_WIDTH,), "irg_ts_mask", where)
    if stated.shape != values.shape or not np.isin(stated, (0, 1)).all():
        file, number = where
        wrong = f"shape {stated.shape}, or other values than 0 and 1"
        raise data_error(file, f"stay {number}/irg_ts_mask", wrong, f"0 and 1 of shape {values.shape}")
    observed = stated > 0
    if not np.isfinite(values[observed]).all():
        file, number = where
        raise data_error(file, f"stay {number}/irg_ts", "a measured value is not finite", "finite numbers")
    return _in_time(values, observed, _entry(stay, "ts_tt", where), "ts_tt", LAST_STEPS, where)


def _vectors(stay: Mapping[str, Any], keys: Vectors, where: _Place) -> Series:
    """Vectors of a stay; none where it lacks them. What is not finite in one was not observed."""
    if _whole(_entry(stay, keys.missing, where), keys.missing, where):
        shape = (0, keys.width)
        return Series(np.zeros(shape, np.float32), np.zeros(shape, bool), np.zeros(0))
    values = _numbers(_entry(stay, keys.values, where), (keys.width,), keys.values, where)
    observed = np.isfinite(values)
    return _in_time(values, observed, _entry(stay, keys.times, where), keys.times, LAST_VECTORS, where)


def _in_time(
    values: np.ndarray, observed: np.ndarray, stated: object, key: str, most: int, where: _Place
) -> Series:
    """The last steps in the order of time.

    Args:
        values, observed: [time, feature].
        stated: the hours of the steps.
        key: of these, for an error.
        most: how many steps are kept.
        where: the stay, for an error.
    """
    hours = _numbers(stated, (), key, where)
    if hours.shape != values.shape[:1] or not np.isfinite(hours).all():
        file, number = where
        wrong = f"shape {hours.shape}, or not finite"
        raise data_error(file, f"stay {number}/{key}", wrong, f"{counted(len(values), 'finite hour')}")
    order = np.argsort(hours, kind="stable")[-most:]
    seen = observed[order]
    return Series(np.where(seen, values[order], 0).astype(np.float32), seen, _HOUR * hours[order])


def _entry(stay: Mapping[str, Any], key: str, where: _Place) -> object:
    if key not in stay:
        file, number = where
        known = ", ".join(map(str, stay))
        raise data_error(
            file, f"stay {number}/{key}", "missing", f"an entry of a stay (found: {known[:200]})"
        )
    return stay[key]


def _numbers(value: object, tail: tuple[int, ...], key: str, where: _Place) -> np.ndarray:
    """[time, *tail], float64. Raises DataError."""
    file, number = where
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise data_error(file, f"stay {number}/{key}", f"no numbers ({error})", "numbers") from None
    if array.size == 0:
        return np.zeros((0, *tail))
    if array.ndim != 1 + len(tail) or array.shape[1:] != tail:
        expected = "x".join(["time", *map(str, tail)])
        raise data_error(file, f"stay {number}/{key}", f"shape {array.shape}", f"{expected} numbers")
    return array


def _whole(value: object, key: str, where: _Place) -> int:
    """A whole number. Raises DataError."""
    array = np.asarray(value)
    if array.shape != () or array.dtype.kind not in "biuf" or array != np.floor(array):
        file, number = where
        raise data_error(file, f"stay {number}/{key}", f"is {str(value)[:40]!r}", "a whole number")
    return int(array)
