"""``mmbench data encode``: features of raw media."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from ..core.environment import no_such_gpu
from ..core.errors import UsageError, nearest
from ..core.locate import root_from
from ..core.plugins import use_plugins
from ..core.registry import entries
from ..core.strings import counted, duration
from ..report.console import borderless, console
from .cache import CacheFolder, cache_folder
from .options import Plugins, Root, plugin_files
from .progress import PLAIN_INTERVAL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ...datasets.encoders.encoder import Encoder
    from ...datasets.media.clip import MediaSet, Problem
    from ..features.dataset import EncodingOutcome
    from ..features.pipeline import Progress


class Kind(StrEnum):
    """What features are stored as."""

    FLOAT16 = "float16"
    FLOAT32 = "float32"


def encode(
    name: Annotated[str, typer.Argument(help="a dataset, or a folder with a media.yaml")],
    encoder: Annotated[
        list[str],
        typer.Option(help="MODALITY=ENCODER, such as audio=log-mel,bins=64; once for each modality."),
    ],
    data_root: Root = None,
    raw: Annotated[
        Path | None, typer.Option("--from", help="The folder of the raw media; default: the dataset's own.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="The folder to write; default: the dataset's own.")
    ] = None,
    beside: Annotated[
        Path | None,
        typer.Option(
            help="A dataset in the open layout: its features are added, by sample id.", show_default=False
        ),
    ] = None,
    cache: CacheFolder = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads that decode; default: one a core, 8 at most.")
    ] = None,
    dtype: Annotated[Kind, typer.Option(help="What features are stored as.")] = Kind.FLOAT16,
    skip_broken: Annotated[
        bool,
        typer.Option(
            "--skip-broken",
            help="Leave out what cannot be read, and clips that a later split has too, instead of giving up.",
        ),
    ] = False,
    as_published: Annotated[
        bool,
        typer.Option("--as-published", help="Keep clips in two splits where the published lists have them."),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a dataset of another source.")
    ] = False,
    plugin: Plugins = None,
) -> None:
    """Make features of raw video, sound and text, once, by frozen encoders; write them in the open layout.

    What is made is kept: the command goes on where it was stopped, and may run several times at once. The exit code is
    1 where something cannot be read.

    Examples:

    mmbench data encode mosi --encoder audio=log-mel --encoder text=text:roberta-base

    mmbench data encode my-clips --plugin mine.py --encoder audio=mine,bands=8
    """
    from ...datasets.layout.description import FILE_NAME
    from ...datasets.layout.open_layout import locate_open
    from ...datasets.media.find import find_media, is_place
    from ..features.provenance import MediaSource, existing_origin, is_unchanged

    out = console()
    root = root_from(data_root)
    plugins = plugin_files(plugin)
    use_plugins(plugins)
    known = entries("dataset", plugins)
    media_set = find_media(name, root, raw, known[name].load()() if name in known else None)
    if as_published:
        media_set = media_set.as_published()
    texts = _texts(encoder, media_set)
    is_folder = raw is None and is_place(name, root)
    source = MediaSource(
        str(Path(name).expanduser().resolve()) if is_folder else name,
        str(root.resolve()),
        str(raw.expanduser().resolve()) if raw else "",
    )
    folder = to or root / media_set.name
    before = existing_origin(folder, source, overwrite)
    kept = cache_folder(cache, root)
    others = None if beside is None else locate_open(beside.expanduser() / FILE_NAME)
    if is_unchanged(before, source, media_set, texts, dtype.value, kept, skip_broken, others):
        out.print(f"nothing to do: {folder} holds just these features", highlight=False, soft_wrap=True)
        return

    from ...datasets.cache.cache import FeatureCache
    from ..features.dataset import encode_dataset

    encoders = _encoders(texts, device)
    try:
        with _show_progress(out) as report:
            outcome = encode_dataset(
                media_set,
                encoders,
                FeatureCache(kept),
                folder,
                source,
                dtype=dtype.value,
                skip_broken=skip_broken,
                overwrite=overwrite,
                workers=workers,
                progress=report,
                others=others,
            )
    except KeyboardInterrupt:
        out.print(f"stopped; what was encoded is kept in {kept}: the same command goes on from there")
        raise SystemExit(130) from None
    if not _print_outcome(out, media_set, encoders, outcome, folder, skip_broken):
        raise SystemExit(1)


def _texts(asked: Sequence[str], media_set: MediaSet) -> dict[str, str]:
    """Modality -> its encoder as it was asked for, in the order of the set's modalities."""
    from ...datasets.encoders.spec import parse

    texts: dict[str, str] = {}
    for one in asked:
        modality, equals, text = one.partition("=")
        if not (equals and text):
            raise UsageError(f"--encoder {one}: expected MODALITY=ENCODER, such as audio=log-mel")
        if modality not in media_set.modalities:
            raise UsageError(
                f"--encoder {one}: {media_set.name} has no {modality!r}: {nearest(modality, media_set.modalities)}"
            )
        if modality in texts:
            raise UsageError(f"--encoder {one}: {modality} has an encoder already, {texts[modality]}")
        parse(text)  # so that it fails before anything is loaded
        texts[modality] = text
    return {modality: texts[modality] for modality in media_set.modalities if modality in texts}


def _encoders(texts: Mapping[str, str], device: str) -> dict[str, tuple[str, Encoder]]:
    """Modality -> the text of its encoder, and the encoder itself."""
    import torch

    from ...datasets.encoders.spec import parse
    from ...datasets.encoders.table import make

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        place = torch.device(device)
    except RuntimeError:
        raise UsageError(f"--device {device}: expected auto, cpu, cuda or cuda:N") from None
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        raise UsageError(no_such_gpu(device, torch.cuda.device_count()))
    return {modality: (text, make(parse(text), place)) for modality, text in texts.items()}


@contextmanager
def _show_progress(out: Console) -> Iterator[Callable[[str], Progress]]:
    """Shows the progress of each modality: a bar with the time left on a terminal, plain lines elsewhere."""
    if not out.is_terminal:
        yield lambda modality: _plain_progress(out, modality)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    words = {"hash": "reads", "encode": "encodes"}
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Bars(*columns, console=out, transient=True) as bars:

        def of(modality: str) -> Progress:
            tasks: dict[str, int] = {}

            def report(stage: str, done: int, total: int) -> None:
                if stage not in tasks:
                    tasks[stage] = bars.add_task(f"{words[stage]} {modality}", total=total, completed=done)
                bars.update(tasks[stage], completed=done, total=total)  # pyright: ignore[reportArgumentType]

            return report

        yield of


def _plain_progress(out: Console, modality: str) -> Progress:
    begun: dict[str, tuple[float, int]] = {}
    last = time.monotonic()

    def report(stage: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        start, first = begun.setdefault(stage, (now, done))
        if now - last < PLAIN_INTERVAL or done <= first:
            return
        last = now
        left = duration((now - start) / (done - first) * (total - done))
        out.print(f"{stage} {modality}: {done}/{total} clips, about {left} left", highlight=False)

    return report


def _print_outcome(
    out: Console,
    media_set: MediaSet,
    encoders: Mapping[str, tuple[str, Encoder]],
    found: EncodingOutcome,
    folder: Path,
    skip_broken: bool,
) -> bool:
    """Prints what was encoded and what could not be read; returns whether everything could."""
    stand_in = " [yellow](synthetic)[/]" if media_set.synthetic else ""
    for modality, (text, _) in encoders.items():
        count, there = found.encoded[modality], _count_clips(media_set, modality)
        lacking = len(media_set.clips) - there
        more = f"; {lacking} have none" if lacking else ""
        out.print(f"{modality}: {text}: encoded {count} of {there} clips now{more}", highlight=False)
    for modality, summary in found.cut.items():
        if summary:
            out.print(f"[yellow]warning[/]: {modality}: {summary}", highlight=False, soft_wrap=True)
    unused = [modality for modality in media_set.modalities if modality not in encoders]
    if unused:
        out.print(f"without an encoder, and left out: {', '.join(unused)}", highlight=False)
    if found.problems or found.remarks:
        out.print(_table([*found.problems, *found.remarks]))
    if found.unread:
        out.print(
            f"nothing is written: no clip has {' or '.join(found.unread)} that can be read: mend them, or leave the "
            "encoder out",
            highlight=False,
        )
        return False
    if found.problems and not skip_broken:
        published = ", or keep clips in two splits with --as-published" if media_set.leaks else ""
        out.print(
            f"{counted(len(found.problems), 'problem')}, and nothing is written: mend them, or leave them out with "
            f"--skip-broken{published}",
            highlight=False,
        )
        return False
    if found.problems:
        words = f"{counted(len(found.problems), 'problem')}: what cannot be read is left out; "
        if found.leaks:
            words += f"{counted(found.leaks, 'clip')} of a later split, too, left out of the earlier one; "
        out.print(f"{words}{counted(found.dropped, 'clip')} with nothing left and dropped", highlight=False)
    if found.unchanged:
        out.print(f"nothing to do: {folder} holds just these features", highlight=False, soft_wrap=True)
    for file in found.files:
        out.print(f"wrote {file}{stand_in}", highlight=False, soft_wrap=True)
    return True


def _count_clips(media_set: MediaSet, modality: str) -> int:
    return sum(modality in clip.media for clip in media_set.clips)


def _table(problems: Sequence[Problem]) -> Table:
    from rich.text import Text

    table = borderless("clip", "modality", "file", "what is wrong", padding=(0, 2, 0, 0))
    for one in problems:
        table.add_row(*map(Text, (one.sample_id, one.modality, one.file, one.reason)))
    return table
