"""``mmbench regimes``: conversations cut into regimes of valence and arousal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import UsageError
from ..core.strings import as_list, as_seeds, counted
from .app import App
from .options import Plugins, Root, plugin_files

app = App(
    no_args_is_help=True,
    help="Cut conversations into emotional regimes, and compare segmenters by what they say of conversations left out.",
)

Store = Annotated[Path, typer.Option("--store", help="Folder of the results.")]
Datasets = Annotated[str | None, typer.Option("--datasets", help="Only these datasets.")]
Segmenters = Annotated[str | None, typer.Option("--segmenters", help="Only these segmenters.")]
Seeds = Annotated[str | None, typer.Option("--seeds", help="Only these seeds.")]
Observe = Annotated[
    str | None,
    typer.Option("--observe", help="Only what was observed so, as tables say it: text=vader+audio=energy."),
]


def _seeds(text: str | None) -> list[int]:
    try:
        return [int(one) for one in as_seeds(text)]
    except ValueError as error:
        raise UsageError(f"--seeds: {error}") from None


@app.command("run")
def run_command(
    datasets: Annotated[
        str,
        typer.Option(
            "--datasets", help="Datasets whose dataset.yaml has the entries conversation and regimes."
        ),
    ],
    segmenters: Annotated[
        str, typer.Option("--segmenters", help="Names, with parameters in parentheses; all: every one.")
    ] = "all",
    seeds: Annotated[str, typer.Option("--seeds", help="Such as 0,1,2 or 0-2.")] = "0",
    observe: Annotated[
        str,
        typer.Option(
            "--observe",
            help="Which modalities, and how: text=vader,audio=energy; by default all as the data allow. text=ridge:DATASET is "
            "valence by a regression of the scores of another dataset that was encoded alike.",
        ),
    ] = "",
    folds: Annotated[
        int,
        typer.Option(
            "--folds", help="Parts of the conversations, each left out once; 0: no held-out likelihood."
        ),
    ] = 5,
    store: Store = Path("runs"),
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes at a time.")] = 1,
    data_root: Root = None,
    plugin: Plugins = None,
) -> None:
    """Fit every segmenter that is not done yet. Interrupted, call it again. The exit code is 1 where a job fails.

    Examples:

    mmbench regimes run --datasets iemocap --observe text=vader

    mmbench regimes run --datasets iemocap --segmenters "sticky-hdp-hmm,hdp-hmm,constant" --seeds 0-2 --workers 2

    mmbench regimes run --datasets iemocap --observe english=ridge:texts-mosi

    mmbench regimes run --datasets iemocap --segmenters "sticky-hdp-hmm(factorization=joint,sweeps=100)" --folds 0
    """
    from ..core.locate import root_from
    from ..core.registry import entries
    from ..report.console import console
    from ..segmentation.run import plan_regimes, run_regimes

    out = console()
    files = plugin_files(plugin)
    names = list(entries("segmenter", files)) if segmenters == "all" else as_list(segmenters)
    with out.status("reading conversations ..."):
        planned = plan_regimes(
            names,
            as_list(datasets),
            _seeds(seeds),
            folds,
            observe,
            root_from(data_root),
            store,
            files,
        )
    for said in planned.regressions:
        out.print(said, markup=False, highlight=False, soft_wrap=True)
    total, todo = len(planned.jobs), len(planned.remaining)
    out.print(f"{counted(total, 'job')}: {total - todo} done, {todo} to do", highlight=False)
    failures = 0
    for number, outcome in enumerate(run_regimes(planned, workers), 1):
        job = outcome.job
        title = f"{job.dataset}  {job.label}  seed {job.seed}"
        if outcome.reason:
            failures += 1
            line = f"[{number}/{todo}] failed {title}: {outcome.reason}"
        else:
            seconds = sum(planned.folder(job).read_object("environment.json")["seconds"].values())
            count = planned.folder(job).read_object("fit.json")["regimes"]
            line = f"[{number}/{todo}] done {title}  {counted(count, 'regime')}  {seconds:.0f} s"
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    if failures:
        raise SystemExit(1)


@app.command("list")
def list_command(
    store: Annotated[
        Path | None, typer.Option("--store", help="List the jobs of this store instead of the segmenters.")
    ] = None,
    output: Annotated[str, typer.Option("--format", help="text or json.")] = "text",
    plugin: Plugins = None,
) -> None:
    """List segmenters with their parameters, or the jobs of a store with their states.

    Examples:

    mmbench regimes list

    mmbench regimes list --store runs --format json
    """

    from ..core.registry import entries
    from ..planning.segmenters import load, parameters
    from ..report.console import borderless, console
    from ..segmentation.results import records

    if output not in ("text", "json"):
        raise UsageError(f"--format {output!r}: write text or json")
    if store is None:
        files = plugin_files(plugin)
        found = [
            {
                "name": name,
                "about": (load(name, files).__doc__ or "").strip().partition("\n")[0],
                "parameters": ", ".join(f"{key}={value}" for key, value in parameters(name, files).items()),
            }
            for name in entries("segmenter", files)
        ]
    else:
        found = [
            {
                "id": one.folder.path.name,
                "dataset": one.job.dataset,
                "segmenter": one.job.label,
                "seed": str(one.job.seed),
                "state": one.state,
                "reason": one.reason,
            }
            for one in records(store)
        ]
    if output == "json":
        typer.echo(json.dumps(found, indent=1))
        return
    table = borderless(columns=len(found[0]) if found else 0)
    for row in found:
        table.add_row(*row.values())
    console().print(table)


@app.command("forget")
def forget_command(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[JOB]...", help="Ids of jobs, or how they begin.")
    ] = None,
    store: Store = Path("runs"),
) -> None:
    """Take jobs of segmenters without results out of a store, so that they are no holes in its table: by default those that are
    planned and were never finished. Their folders go to STORE/set-aside; a run that asks for them plans them again.

    Examples:

    mmbench regimes forget --store runs

    mmbench regimes forget iemocap-kmeans --store runs
    """
    from ..segmentation.results import forget

    found = forget(store, names or ())
    if not found:
        typer.echo("nothing to forget: no job here is planned and was never begun; name jobs of other states")
        return
    typer.echo(f"{counted(len(found), 'job')} moved to {store / 'set-aside'}")


@app.command("leaderboard")
def leaderboard_command(
    store: Store = Path("runs"),
    datasets: Datasets = None,
    segmenters: Segmenters = None,
    seeds: Seeds = None,
    observe: Observe = None,
    metrics: Annotated[str | None, typer.Option("--metrics", help="Only these columns.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the files; by default in the store.")
    ] = None,
) -> None:
    """Print the table of segmenters with 95 % intervals over conversations and seeds, and write it as CSV and Markdown. The exit
    code is 1 where a job is missing or cannot be read.

    Examples:

    mmbench regimes leaderboard --store runs

    mmbench regimes leaderboard --datasets iemocap --metrics held_out,v_measure,boundary_f1,switches
    """
    from ...leaderboards.render.files import file_name, write_text
    from ...leaderboards.render.regimes import regimes_markdown, regimes_notes, regimes_wide
    from ...leaderboards.tables.regimes import COLUMNS, KEYS, regimes_table
    from ..core.errors import nearest
    from ..report.console import console, print_faults, print_table
    from ..segmentation.results import records, regressions_of, results_and_holes
    from ..store.names import inside

    shown = as_list(metrics) or None
    for name in shown or ():
        if name not in COLUMNS:
            raise UsageError(f"--metrics: unknown metric {name!r}: {nearest(name, COLUMNS)}")
    found = records(store, as_list(datasets), as_list(segmenters), _seeds(seeds), observe)
    if not found:
        raise UsageError(f"store {store} has no such jobs of segmenters: mmbench regimes run makes them")
    results, holes, faults = results_and_holes(found)
    frame = regimes_table(results, holes)
    folder = out or inside(store / "leaderboards")
    printer = console()
    print_table(printer, "Regimes", regimes_wide(frame, shown), (*KEYS, "segmenter", "n"))
    notes = regressions_of(found)
    for note in [*notes, *regimes_notes(frame)]:
        printer.print(f"- {note}", markup=False, highlight=False, soft_wrap=True)
    for file, text in (
        (folder / file_name(frame, "regimes", ".csv"), frame.to_csv(index=False)),
        (folder / file_name(frame, "regimes", ".md"), regimes_markdown(frame, shown, notes)),
    ):
        printer.print(f"wrote {write_text(file, text)}", markup=False, highlight=False, soft_wrap=True)
    print_faults(printer, faults)
    if faults:
        raise SystemExit(1)


@app.command("plot")
def plot_command(
    store: Store = Path("runs"),
    datasets: Datasets = None,
    segmenters: Segmenters = None,
    seeds: Seeds = None,
    observe: Observe = None,
    conversations: Annotated[
        str | None, typer.Option("--conversations", help="Which; by default those with the most regimes.")
    ] = None,
    count: Annotated[int, typer.Option("--count", min=1, help="How many, where none is named.")] = 1,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the pictures; by default in the store.")
    ] = None,
) -> None:
    """Draw the arc of conversations, as PNG and PDF: valence and arousal over time, regimes as bands, and their switches.

    Examples:

    mmbench regimes plot --store runs --segmenters sticky-hdp-hmm --count 3

    mmbench regimes plot --datasets iemocap --conversations Ses01F_impro01
    """
    from ..segmentation.pictures import write_arcs
    from ..segmentation.results import records
    from ..store.names import inside

    found = records(store, as_list(datasets), as_list(segmenters), _seeds(seeds), observe)
    done = [one for one in found if one.state == "done"]
    if not done:
        raise UsageError(f"nothing to draw: store {store} has no such finished jobs of segmenters")
    for record in done:
        for file in write_arcs(record, as_list(conversations), count, out or inside(store / "leaderboards")):
            typer.echo(f"wrote {file}")


@app.command("judge")
def judge_command(
    first: Annotated[str, typer.Option("--first", help="A segmenter, with the parameters that were set.")],
    second: Annotated[str, typer.Option("--second", help="Another.")],
    datasets: Annotated[str, typer.Option("--datasets", help="The dataset.")],
    seed: Annotated[int, typer.Option("--seed", help="Of both.")] = 0,
    observe: Observe = None,
    model: Annotated[
        Path | None,
        typer.Option("--model", help="Folder of a language model; by default a stub that counts words."),
    ] = None,
    count: Annotated[int, typer.Option("--count", min=1, help="Conversations at most.")] = 20,
    store: Store = Path("runs"),
) -> None:
    """Ask a local language model which of two segmentations of a conversation is better, in both orders. Reported are what both
    orders agree in, how often they do not, and the bias towards what is shown first.

    Examples:

    mmbench regimes judge --datasets iemocap --first changepoint --second kmeans

    mmbench regimes judge --datasets iemocap --first changepoint --second kmeans --model models/smollm2 --count 10
    """
    from ...regimes.judge import count_words, judge
    from ..segmentation.judging import cases_of, local_model
    from ..segmentation.results import fit_of

    pair = [fit_of(store, datasets, label, seed, observe) for label in (first, second)]
    cases = cases_of(pair[0], pair[1], count)
    found = judge(cases, local_model(model) if model else count_words)
    typer.echo(f"judge: {model or 'a stub that counts words, and says nothing of quality'}")
    typer.echo(
        f"{counted(found.cases, 'conversation')}: {found.first} for {first}, {found.second} for {second} in both orders; "
        f"{found.inconsistent} change with the order, {found.unanswered} without an answer"
    )
    typer.echo(f"answers that are the first shown: {100 * found.position:.0f} % (50 % without bias)")
    if model:
        stub = judge(cases, count_words)
        typer.echo(f"the stub that counts words: {stub.first} for {first}, {stub.second} for {second}")
