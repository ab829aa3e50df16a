"""``mmbench data cache``: the features that are kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import UsageError
from ..core.locate import root_from
from ..core.plugins import use_plugins
from ..core.strings import counted
from ..report.console import borderless, console
from .app import App
from .options import Plugins, Root, plugin_files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...datasets.cache.cache import FeatureCache

cache_app = App(no_args_is_help=True, help="Look at the features that are kept, verify or remove them.")

CacheFolder = Annotated[
    Path | None,
    typer.Option(
        "--cache", help="Folder of the features; else $MMBENCH_CACHE, else cache/features of the data."
    ),
]


def cache_folder(given: Path | None, root: Path) -> Path:
    """The folder of the feature cache: the one given, else ``$MMBENCH_CACHE``, else one below the data root.

    Args:
        given: as the command line names it.
        root: the folder of the datasets.
    """
    stated = os.environ.get("MMBENCH_CACHE")
    return (given or (Path(stated) if stated else root / "cache" / "features")).expanduser()


@cache_app.command("ls")
def cache_ls(data_root: Root = None, cache: CacheFolder = None, plugin: Plugins = None) -> None:
    """List what is kept: of which encoder, clean or broken, how much. Features that a plug-in's encoder made are called
    outdated where its file has changed since.

    Examples:

    mmbench data cache ls --data-root data

    mmbench data cache ls --plugin mine.py
    """
    use_plugins(plugin_files(plugin))
    kept = _cache(data_root, cache)
    names = ("id", "encoder", "broken by", "type", "clips", "shards", "MB", "brought by")
    table = borderless(*names, padding=(0, 2, 0, 0))
    recipes = kept.entries()
    for entry in recipes:
        encoder, broken = entry.recipe.get("encoder"), entry.recipe.get("corruption")
        table.add_row(
            entry.id[:12],
            _words(encoder, ("encoder", "model")) or "?",
            _words(broken, ("kind", "modality", "severity")) or ("clean" if entry.recipe else "?"),
            str(entry.recipe.get("dtype", "")),
            str(entry.clips),
            str(entry.shards),
            f"{entry.size / 1e6:.1f}",
            _recorded_origin(encoder) + (", outdated" if _is_outdated(encoder) else ""),
        )
    out = console()
    if recipes:
        out.print(table)
    out.print(f"{counted(len(recipes), 'kind')} of features in {kept.root}", highlight=False, soft_wrap=True)


@cache_app.command("rm")
def cache_rm(
    ids: Annotated[
        list[str], typer.Argument(help="ids as of ls, or their first letters; or all; or outdated")
    ],
    data_root: Root = None,
    cache: CacheFolder = None,
    plugin: Plugins = None,
) -> None:
    """Remove features; they can be encoded again.

    Examples:

    mmbench data cache rm 3f2a9c417d20 --data-root data

    mmbench data cache rm outdated --plugin mine.py
    """
    use_plugins(plugin_files(plugin))
    kept = _cache(data_root, cache)
    entries = kept.entries()
    known = [entry.id for entry in entries]
    sets = {
        "all": known,
        "outdated": [entry.id for entry in entries if _is_outdated(entry.recipe.get("encoder"))],
    }
    chosen: list[str] = []
    for one in ids:
        fitting = sets.get(one, [name for name in known if name.startswith(one)])
        if not fitting or (one not in sets and len(fitting) > 1):
            wrong = "could be several" if fitting else "is none"
            raise UsageError(f"{one!r} {wrong} of the features in {kept.root}: see mmbench data cache ls")
        chosen += fitting
    for one in dict.fromkeys(chosen):
        kept.remove(one)
        console().print(f"removed {one}", highlight=False)


@cache_app.command("verify")
def cache_verify(data_root: Root = None, cache: CacheFolder = None) -> None:
    """Compare every shard with the hash that was written with it. What differs is named and removed, so that the next
    encode makes it again; the exit code is 1 then.

    Example: mmbench data cache verify --data-root data
    """
    kept = _cache(data_root, cache)
    out = console()
    faults = kept.verify()
    for fault in faults:
        lost = f"; {fault.clips} clips are to be encoded again" if fault.clips else ""
        out.print(f"[red]removed[/] {fault.file}: {fault.reason}{lost}", highlight=False, soft_wrap=True)
    recipes = kept.entries()
    shards, clips = sum(one.shards for one in recipes), sum(one.clips for one in recipes)
    out.print(f"{shards} shards of {clips} clips are as they were written", highlight=False)
    if faults:
        raise SystemExit(1)


def _cache(data_root: Path | None, cache: Path | None) -> FeatureCache:
    from ...datasets.cache.cache import FeatureCache

    folder = cache_folder(cache, root_from(data_root))
    if not folder.is_dir():
        raise UsageError(f"{folder}: no folder of features; name one with --cache or --data-root")
    return FeatureCache(folder)


def _recorded_origin(encoder: object) -> str:
    """The file or package that brought the encoder of a recipe; empty where it is mmbench's own."""
    from ...datasets.encoders.table import BROUGHT_BY

    return str(encoder.get(BROUGHT_BY, "")) if isinstance(encoder, dict) else ""


def _is_outdated(encoder: object) -> bool:
    """Whether the encoder of a recipe is known from outside today, and of other code than it was."""
    from ...datasets.encoders.table import encoder_origin

    now = encoder_origin(str(encoder.get("encoder", ""))) if isinstance(encoder, dict) else ""
    return now not in ("", _recorded_origin(encoder))


def _words(said: object, keys: Sequence[str]) -> str:
    return " ".join(str(said[key]) for key in keys if said.get(key)) if isinstance(said, dict) else ""
