"""``predict``: the answers of a trained network for new samples, as a CSV file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import UsageError
from ..core.strings import counted
from .options import Plugins, Root, plugin_files

if TYPE_CHECKING:
    from rich.console import Console


def predict(
    job: Annotated[str, typer.Argument(help="Id of a finished job, how it begins, or its folder.")],
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            help="A folder with a dataset.yaml or, for clips, a media.yaml, labels or not; or an npz, parquet or "
            "safetensors file.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The CSV file to write.")],
    store: Annotated[Path, typer.Option("--store", help="Folder of the results.")] = Path("runs"),
    part: Annotated[
        str | None, typer.Option("--split", help="Only train, valid or test, where the data state splits.")
    ] = None,
    data_root: Root = None,
    plugin: Plugins = None,
) -> None:
    """Predict new samples with a trained network: a row for each, with its score or class, probabilities, confidence
    and the modalities that were there. Features are standardised as in training; clips become features by its encoders,
    which the data of the training name (--data-root). Modalities may be missing, in all samples or in some.

    Examples:

    mmbench predict mosi-erm-ta-s0 --data new/ --out scores.csv

    mmbench predict runs/jobs/mosi-erm-ta-s0-0123456789ab --data new.parquet --out scores.csv
    """
    from ..report.console import console
    from ..store.reader import store_at
    from ..train.new_samples import predict as predicted
    from .jobs import matching_ids

    name: str | Path = job
    if not (Path(job).expanduser() / "job.json").is_file():
        found = matching_ids(store_at(store), [job])
        if len(found) > 1:
            raise UsageError(
                f"{job!r} begins the ids of {len(found)} jobs, {found[0]} and {found[1]} among them: write more"
            )
        name = found[0]
    printer = console()
    with show_count(printer, "samples") as progress:
        table = predicted(name, data, store, part, data_root, plugins=plugin_files(plugin), progress=progress)
    out.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(out, index=False)
    lacking = table["modalities"].value_counts()
    there = ", ".join(f"{count} with {names or 'no modality'}" for names, count in lacking.items())
    printer.print(
        f"wrote {out}: {counted(len(table), 'sample')} ({there})",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


@contextmanager
def show_count(out: Console, what: str) -> Iterator[Callable[[int, int], None]]:
    """Shows how many of some things are done: a bar with the time left, on a terminal alone.

    Args:
        out: where to.
        what: the things, in words.

    Yields:
        What is told how many are done, and of how many.
    """
    if not out.is_terminal:
        yield lambda done, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("left"))
    with Progress(*columns, console=out, transient=True) as bars:
        task = bars.add_task("")
        yield lambda done, total: bars.update(task, completed=done, total=total)
