"""Finds raw media: by the name of a known dataset, or in a folder with a ``media.yaml``."""

from __future__ import annotations

from pathlib import Path

from .. import outside
from ..dataset import DataError, DataNotFound, Dataset, RawDataset
from ..layout.entries import nearest
from .clip import MediaSet
from .own import FILE_NAME, read_own


def find_media(name: str, root: Path, given: Path | None = None, dataset: Dataset | None = None) -> MediaSet:
    """Lists the clips of a set of raw media. Nothing is decoded.

    Args:
        name: a dataset of which the layout of its raw media is known, a folder of ``root`` that holds a
            ``media.yaml``, or such a folder or file itself. Upper and lower case do not matter below ``root``.
        root: the folder of all data.
        given: the set's own folder, or its ``media.yaml``, instead of ``root / name``.
        dataset: the registered dataset of that name; by default one of mmbench's own, or from outside.

    Raises:
        DataNotFound: nothing is there; the message says where it was looked for and what to do.
        DataError: what is there is wrong, or nothing is known of raw media of this dataset.
    """
    dataset = dataset if dataset is not None else _registered_dataset(name)
    place = given.expanduser() if given is not None else _below(root.expanduser(), name)
    called: str | None = name
    if place is None or (given is None and is_place(name, root)):
        place, called = Path(name).expanduser(), None
    described = place if place.is_file() else place / FILE_NAME
    by_chance = called is None and place.name == name and not described.is_file()
    if not place.exists() or by_chance:
        where = given if given is not None else root / name
        raise DataNotFound(f"{name}: nothing in {where}; expected {_expectation(name, dataset)}")
    if place.is_file():
        if place.suffix.lower() not in (".yaml", ".yml"):
            raise DataError(f"{name}: {place} is a file; expected a folder of media or a {FILE_NAME}")
        return read_own(place, called)
    if described.is_file():
        return read_own(described, called)
    if dataset is not None and isinstance(dataset, RawDataset):
        return dataset.raw(place)
    raise DataNotFound(f"{name}: no {FILE_NAME} in {place}; expected {_expectation(name, dataset)}")


def is_place(name: str, root: Path) -> bool:
    """Whether a name is that of a folder or file with raw media, and not that of a set below ``root``, where only features
    may lie under it.

    Args:
        name: as it was typed.
        root: the folder of all data.
    """
    below, place = _below(root.expanduser(), name), Path(name).expanduser()
    if below is None:
        return place.exists()
    return (
        not (below / FILE_NAME).is_file()
        and _registered_dataset(name) is None
        and (place / FILE_NAME).is_file()
    )


def _below(root: Path, name: str) -> Path | None:
    try:
        entries = sorted(root.iterdir())
    except OSError:  # not there, not a folder, or not ours to read: nothing is found in it
        return None
    return next((one for one in entries if one.name.casefold() == name.casefold() and one.is_dir()), None)


def _registered_dataset(name: str) -> Dataset | None:
    from .. import DATASETS

    if name in outside.DATASETS:
        return outside.DATASETS[name].load()()
    if name not in DATASETS:
        return None
    from importlib import import_module

    module, _, attribute = DATASETS[name].partition(":")
    return getattr(import_module(module), attribute)()


def _expectation(name: str, dataset: Dataset | None) -> str:
    own = f"a folder with {FILE_NAME}, which describes one's own clips"
    if dataset is None:
        from .. import DATASETS

        return f"{own}, or a dataset's name{nearest(name, [*DATASETS, *outside.DATASETS])}"
    if isinstance(dataset, RawDataset):
        return f"the raw media of {dataset.title} ({dataset.homepage}), or {own}"
    return f"{own}; no layout of raw media is known for {dataset.title}"
