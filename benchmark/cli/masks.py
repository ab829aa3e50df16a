"""``masks``: what networks are tested under, as tables for methods outside mmbench, and tables of others as conditions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from ...corruptions.families import MASK
from ..core.errors import UsageError
from ..core.strings import as_list, counted
from .app import App
from .options import Plugins, Root, plugin_files
from .predict import show_count

#: What a table of masks may be called: what a list of ``--corruptions`` and a file name can hold.
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,60}", re.ASCII)

app = App(
    no_args_is_help=True,
    help="Test methods outside mmbench under the very same missing modalities and damage, and networks of mmbench under "
    "the masks of others.",
)


@app.command("export")
def export_command(
    dataset: Annotated[str, typer.Option("--datasets", help="A dataset or shift, as for mmbench run.")],
    out: Annotated[Path, typer.Option("--out", help="The folder to write.")],
    corruptions: Annotated[
        str,
        typer.Option(
            help="Kinds and groups beside clean and missing modalities; missing: nothing but these."
        ),
    ] = "missing",
    modalities: Annotated[str, typer.Option(help="A modality set: all, T+A, text+audio.")] = "all",
    values: Annotated[
        bool,
        typer.Option(
            "--values", help="Also write the features: clean, and damaged by what does more than take away."
        ),
    ] = False,
    data_root: Root = None,
    plugin: Plugins = None,
) -> None:
    """Write which modalities and steps every sample has under each condition, exactly as networks are tested: a table of
    presence (masks.parquet), masks of steps (steps.npz) and a manifest that says how to return predictions.

    Examples:

    mmbench masks export --datasets mosi --corruptions missing,frame-dropout --out masks

    mmbench masks export --datasets mosi --corruptions features --values --out damaged
    """
    from ..exchange.mask_export import export_masks
    from ..planning.experiment import Experiment
    from ..planning.job_matrix import jobs_of
    from ..report.console import console
    from ..train.context import Context

    plugins = plugin_files(plugin)
    asked = {"methods": ["erm"], "datasets": [dataset], "modalities": [modalities], "seeds": [0]}
    more = {"data_root": data_root, "plugins": list(plugins), "corruptions": as_list(corruptions)}
    experiment = Experiment.read({**asked, **more})
    jobs = jobs_of(experiment)
    if len(jobs) != 1:
        raise UsageError(f"--datasets {dataset} stands for {len(jobs)} tasks: export one at a time")
    context = Context(experiment.store, experiment.root, {}, plugins)
    with show_count(console(), "conditions") as progress:
        made = export_masks(
            jobs[0], tuple(experiment.corruptions), context, out.expanduser(), values, progress
        )
    counts = ", ".join(f"{about.samples} {name}" for name, about in made.manifest.splits.items())
    console().print(
        f"wrote {out}: {counted(len(made.manifest.conditions), 'condition')} of {jobs[0].task}, {counts} samples; "
        f"masks {made.manifest.id[:12]}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


@app.command("check")
def check_command(
    folder: Annotated[Path, typer.Argument(help="exported masks, with or without predictions")],
    data_root: Root = None,
    plugin: Plugins = None,
) -> None:
    """Compute exported masks anew from the data, and check that they and the predictions beside them are about the same
    samples under the same breakage. Nothing is written; the exit code is 1 where anything differs.

    Example: mmbench masks check masks --data-root data
    """
    from ..core.locate import root_from
    from ..exchange.outside import answer_folders, read_answers, verify_masks
    from ..report.console import console
    from ..store.job_schema import RefusedError
    from ..train.context import Context

    out, folder = console(), folder.expanduser()
    context = Context(Path("runs"), root_from(data_root), {}, plugin_files(plugin))
    whole = True

    def say(what: str) -> None:
        out.print(what, markup=False, highlight=False, soft_wrap=True)

    try:
        verified = verify_masks(folder, context)
        manifest = verified.manifest
        say(
            f"ok      masks {manifest.id[:12]} of {manifest.task}: {counted(len(manifest.conditions), 'condition')}"
        )
        for place in answer_folders(folder):
            try:
                found = read_answers(place, verified)
            except RefusedError as error:
                whole = False
                say(f"refused {place.name}: {error}")
            else:
                say(f"ok      {place.name}: {found.job.label}, seed {found.job.seed}")
    except RefusedError as error:
        whole = False
        say(f"refused {error}")
    if not whole:
        raise SystemExit(1)


@app.command("import")
def import_command(
    file: Annotated[
        Path,
        typer.Argument(
            help="csv, parquet, npz, safetensors or pt: sample_id, and a column of 0 and 1 for each modality, or "
            "one called missing"
        ),
    ],
    dataset: Annotated[str, typer.Option("--datasets", help="The dataset whose samples it is about.")],
    store: Annotated[Path, typer.Option("--store", help="Folder of the results.")] = Path("runs"),
    name: Annotated[str, typer.Option(help="What to call it; by default as the file.")] = "",
    absent: Annotated[
        bool,
        typer.Option("--absent", help="1 and true mean that a modality is missing, not that it is there."),
    ] = False,
    data_root: Root = None,
    plugin: Plugins = None,
) -> None:
    """Take a table of missing modalities, such as that of a published method, as conditions of its own. Finished networks
    are tested under it when it is asked for, and nothing is trained again.

    Examples:

    mmbench masks import missing_table.csv --datasets mosi --name theirs

    mmbench run --methods erm --datasets mosi --corruptions mask:theirs
    """
    from ..core.locate import locate, root_from
    from ..exchange.mask_import import import_masks
    from ..report.console import console
    from ..store.masks import write_masks

    plugins = plugin_files(plugin)
    called = name or file.stem
    if not _NAME.fullmatch(called):
        raise UsageError(
            f"{called!r} cannot name masks: give them a name of letters, digits, - _ . with --name"
        )
    located = locate(dataset, root_from(data_root), {}, plugins)
    masks = import_masks(file.expanduser(), called, located, absent)
    written = write_masks(store.expanduser(), masks)
    rows = next(iter(masks.conditions.values()))
    shares = ", ".join(
        f"{one} {share:.1%}" for one, share in zip(masks.modalities, 1 - rows.there.mean(axis=0), strict=True)
    )
    console().print(
        f"wrote {written}: {counted(len(masks.conditions), 'condition')}, {len(rows.sample_id)} samples of {dataset}; missing "
        f"(of the first): {shares}; ask for it with --corruptions {MASK}{called}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
