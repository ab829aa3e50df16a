"""The folder of all features that were ever encoded.

::

    features/
      <recipe id>/
        recipe.json                    what made them
        0001-3f2a9c41.safetensors      a shard: features of some clips
        0001-3f2a9c41.json             its index, written last
        claims/<slice>/                who is encoding which clips

Many may write at once: a shard has a name of its own and is never changed. Whoever encodes holds the folder of a
slice of work, so that nobody else does the same; see ``encode`` in the harness.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..atomic_write import write_atomic
from ..counting import counted
from .recipe import Recipe
from .shard import CacheError, Shard, read_index, write_shard

#: A file that no index names may be one that is being written; after so many seconds it is not.
_SETTLED = 3600.0
_ID = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class CachedRecipe:
    """A recipe in a cache: its id, what ``recipe.json`` says, and how much there is."""

    id: str
    recipe: Mapping[str, Any]
    clips: int
    shards: int
    size: int


@dataclass(frozen=True)
class Fault:
    """A fault of a file in a cache, and the number of clips that are lost with it."""

    file: Path
    reason: str
    clips: int


class FeatureCache:
    """Features on disk, by recipe and key. What was read of a recipe's indexes is kept in memory."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self._shards: dict[str, dict[Path, Shard | None]] = {}  # recipe -> index -> shard, None if not whole
        self._clips: dict[str, dict[str, Shard]] = {}

    def folder(self, recipe: Recipe) -> Path:
        """The folder of a recipe; it may not be there yet."""
        return self.root / recipe.id

    def missing_keys(self, recipe: Recipe, keys: Iterable[str]) -> list[str]:
        """The keys that have no features, each once, in order. Damaged shards do not count.

        Args:
            recipe: how the features are made.
            keys: of clips.
        """
        known = self._shards_by_key(recipe)
        return [key for key in dict.fromkeys(keys) if key not in known]

    def rows(self, recipe: Recipe, keys: Sequence[str]) -> list[np.ndarray]:
        """The features [steps, width] of each clip, mapped into memory and read when used.

        Args:
            recipe: how the features are made.
            keys: of clips; one may occur twice.

        Returns:
            One array a key, [steps, width], of the recipe's type, read-only.

        Raises:
            CacheError: there are none for a key, or a shard is broken.
        """
        known = self._shards_by_key(recipe)
        if any(key not in known for key in keys):
            lost = sum(key not in known for key in keys)
            raise CacheError(
                f"{self.folder(recipe)}: {lost} of {counted(len(keys), 'clip')} {'is' if lost == 1 else 'are'} not there; encode what is missing"
            )
        views: dict[Path, dict[str, np.ndarray]] = {}
        arrays = []
        for key in keys:
            shard = known[key]
            if shard.file not in views:
                views[shard.file] = shard.clips()
            arrays.append(views[shard.file][key])
        return arrays

    def write(self, recipe: Recipe, features: Mapping[str, np.ndarray]) -> Path:
        """Writes the features [steps, width] of clips as a shard, there whole or not at all.

        Args:
            recipe: how the features are made.
            features: key of a clip -> [steps, width], of one width.

        Returns:
            The file of the shard.

        Raises:
            ValueError: they are empty, differ in width, or are not finite as the recipe's type.
            CacheError: nothing can be written there.
        """
        folder = self.folder(recipe)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            description = folder / "recipe.json"
            if not description.exists():
                text = json.dumps(recipe.to_dict(), indent=1, sort_keys=True, ensure_ascii=False).encode()
                write_atomic(description, text + b"\n")
            number = 1 + sum(1 for _ in folder.glob("*.safetensors"))
            shard = write_shard(folder, number, features, recipe.dtype)
        except OSError as error:
            raise CacheError(f"{folder}: cannot be written ({error.strerror or error})") from None
        return shard.file

    def entries(self) -> list[CachedRecipe]:
        """Every recipe, in the order of their ids; the content of one whose ``recipe.json`` cannot be read is empty."""
        recipes = []
        for folder in self._folders():
            shards = [shard for shard in map(_shard, _indexes(folder)) if shard]
            clips = {key for shard in shards for key in shard.keys}
            size = sum(shard.size for shard in shards)
            recipes.append(CachedRecipe(folder.name, _read_recipe(folder), len(clips), len(shards), size))
        return recipes

    def _folders(self) -> list[Path]:
        return sorted(path for path in self.root.glob("*") if _ID.fullmatch(path.name) and path.is_dir())

    def remove(self, recipe_id: str) -> None:
        """Removes the features of a recipe. Raises CacheError where there is no such recipe."""
        folder = self.root / recipe_id
        if folder not in self._folders():
            raise CacheError(
                f"{self.root}: no features {recipe_id!r}; mmbench data cache ls names those there"
            )
        for index in _indexes(folder):  # first: a shard without an index does not exist
            index.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    def verify(self) -> list[Fault]:
        """Reads every shard and removes what is not as it was written, so that it is encoded again.

        Returns:
            What was wrong.
        """
        faults = []
        for folder in self._folders():
            named = set()
            description = folder / "recipe.json"
            if not _read_recipe(folder) and _indexes(folder):
                faults.append(Fault(description, "does not say what the features beside it are of", 0))
                description.unlink(missing_ok=True)  # whoever writes there next says it again
            for index in _indexes(folder):
                file = index.with_suffix(".safetensors")
                named.add(file)
                fault = _fault(index)
                if fault is not None:
                    faults.append(fault)
                    index.unlink(missing_ok=True)  # first: a shard without an index does not exist
                    file.unlink(missing_ok=True)
            for file in (
                *folder.glob("*.safetensors"),
                *folder.glob(".*.safetensors-*"),
                *folder.glob(".*.json-*"),
            ):
                if file not in named and time.time() - file.stat().st_mtime > _SETTLED:
                    faults.append(Fault(file, "was never finished", 0))
                    file.unlink()
        self._shards.clear()
        self._clips.clear()
        return faults

    def _shards_by_key(self, recipe: Recipe) -> dict[str, Shard]:
        """Key -> the shard that holds it. Reads the indexes that have been added since the last call."""
        seen = self._shards.setdefault(recipe.id, {})
        known = self._clips.setdefault(recipe.id, {})
        there = set(_indexes(self.folder(recipe)))
        if any(index not in there for index in seen):  # removed by another: begin anew
            seen.clear()
            known.clear()
        for index in sorted(there - seen.keys()):
            shard = _shard(index)
            seen[index] = shard
            if shard is not None and shard.is_whole and shard.dtype == recipe.dtype:
                known.update(dict.fromkeys(shard.keys, shard))
        return known


def _read_recipe(folder: Path) -> dict[str, Any]:
    """The content of ``recipe.json``; empty where it cannot be read."""
    try:
        content = json.loads((folder / "recipe.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _indexes(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*-*.json"))


def _shard(index: Path) -> Shard | None:
    """The shard of an index, None where the index is not what was written: its clips are encoded again."""
    try:
        return read_index(index)
    except CacheError:
        return None


def _fault(index: Path) -> Fault | None:
    try:
        shard = read_index(index)
    except CacheError as error:
        return Fault(index, str(error).removeprefix(f"{index}: "), 0)
    try:
        size = shard.file.stat().st_size
        if size != shard.size:
            return Fault(shard.file, f"is cut off: {size} of {shard.size} bytes", len(shard.keys))
        if not shard.is_unchanged():
            return Fault(shard.file, "its content has changed since it was written", len(shard.keys))
        shard.clips()
    except FileNotFoundError:
        return Fault(shard.file, "is not there", len(shard.keys))
    except (OSError, CacheError) as error:
        return Fault(shard.file, str(error), len(shard.keys))
    return None
