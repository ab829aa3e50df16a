"""``mmbench data``: look at data, verify them, convert them, make a stand-in."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from ..core.errors import UsageError
from ..core.locate import locate, root_from
from ..core.registry import find
from ..core.strings import counted
from ..core.task import why_not_in_a_task
from ..report.console import borderless, console
from .app import App
from .cache import cache_app
from .encode import encode
from .get import get
from .options import Given, Plugins, Root, plugin_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ...datasets.dataset import Located
    from ...datasets.verify import SplitInfo

app = App(no_args_is_help=True, help="Look at data, verify them, convert them, make a stand-in.")

app.command()(encode)
app.command()(get)
app.add_typer(cache_app, name="cache")

Name = Annotated[str, typer.Argument(help="a dataset")]


class Size(StrEnum):
    """How large a stand-in is."""

    SMALL = "small"
    FULL = "full"


class Format(StrEnum):
    """The layouts that are read."""

    ALIGNED = "mmsa-aligned"
    UNALIGNED = "mmsa-unaligned"
    CASP = "casp"
    OPEN = "open"
    TXT = "txt"
    MAT = "mat"
    RAW = "raw"


class Rule(StrEnum):
    """How recordings are split."""

    FAIR = "fair"
    AS_PUBLISHED = "as-published"


@app.command()
def info(name: Name, data_root: Root = None, data: Given = None, plugin: Plugins = None) -> None:
    """Print what a dataset holds: counts, shapes, labels, domains.

    Example: mmbench data info mosi --data-root data
    """
    from ...datasets import verify

    about = verify.info(_locate(name, data_root, data, plugin))
    out = console()
    kind = "[yellow]synthetic stand-in[/]" if about.synthetic else "data"
    out.print(
        f"[bold]{about.name}[/]: {kind}, {about.format}, sha256 {about.fingerprint[:16]}", highlight=False
    )
    few = len(about.files) <= verify.MANY_FILES
    for file in about.files if few else about.files[:2]:
        out.print(f"  {file}", markup=False, highlight=False, soft_wrap=True)
    if not few:
        out.print(f"  and {counted(len(about.files) - 2, 'more file')}", highlight=False)
    target = about.target
    words = (
        f"range {target.label_range}"
        if target.kind == "regression"
        else f"classes {', '.join(target.classes)}"
    )
    out.print(
        f"{target.kind}, {words}, judged by the {target.metrics} metrics", markup=False, highlight=False
    )
    names = {domain for part in about.splits.values() for domain in part.domains if domain}
    for what, one in [("dataset", about.name), *(("domain", name) for name in sorted(names))]:
        if why := why_not_in_a_task(one):
            place = "its folder" if what == "dataset" else "it in the data or below 'domain: {values: ...}'"
            words = f"a {what} called {one!r} {why} (--datasets): rename {place}"
            out.print(words, style="yellow", markup=False, highlight=False, soft_wrap=True)
    shapes = borderless("split", "samples", "modality", "steps x features", "valid steps", "absent")
    for split, part in about.splits.items():
        for place, (modality, shape) in enumerate(part.modalities.items()):
            first = (split, str(part.samples)) if place == 0 else ("", "")
            size = f"{shape.steps} x {shape.features} {shape.dtype}"
            shapes.add_row(*first, modality, size, f"{shape.mean_length:.1f} on average", str(shape.absent))
    out.print(shapes)
    drawn = [f"validation part: {about.drawn_validation}"] if about.drawn_validation else []
    for words in [*_holes_and_times(about.splits), *drawn]:
        out.print(words, markup=False, highlight=False, soft_wrap=True)
    for modality, summary in about.cut.items():
        out.print(f"{modality}: {summary}", markup=False, highlight=False, soft_wrap=True)
    for split, part in about.splits.items():
        labels = ", ".join(f"{label}: {count}" for label, count in part.labels.items())
        ends = (
            ""
            if part.label_min is None
            else f"; {part.label_min:g} to {part.label_max:g}, {part.zeros} are 0"
        )
        out.print(f"{split} labels  {labels}{ends}", markup=False, highlight=False, soft_wrap=True)
        domains = ", ".join(f"{domain or about.name}: {count}" for domain, count in part.domains.items())
        out.print(
            f"{split} domains {domains}; {counted(part.with_previous, 'sample follows', 'samples follow')} another",
            markup=False,
            highlight=False,
        )
        if part.conversations:
            count, longest = part.conversations
            out.print(
                f"{split} has {counted(count, 'conversation')}, the longest of {counted(longest, 'utterance')}",
                highlight=False,
            )
        if part.labelled:
            words = ", ".join(part.labelled)
            out.print(f"{split} has labels of their own for {words}", markup=False, highlight=False)


def _holes_and_times(splits: Mapping[str, SplitInfo]) -> Iterator[str]:
    """A line for each modality that is partly observed, has times or token ids."""
    for name in next(iter(splits.values())).modalities:
        shapes = {split: part.modalities[name] for split, part in splits.items()}
        observed = [
            f"{one.observed:.1%} of {split}" for split, one in shapes.items() if one.observed is not None
        ]
        spans = [one.time for one in shapes.values() if one.time is not None]
        facts = [f"observed entries {', '.join(observed)}"] if observed else []
        facts += [f"times span {max(spans):g} seconds at most"] if spans else []
        tokens = [one.tokens for one in shapes.values() if one.tokens is not None]
        facts += [f"token ids at {max(tokens)} positions"] if tokens else []
        if facts:
            yield f"{name}: {'; '.join(facts)}"


@app.command()
def verify(name: Name, data_root: Root = None, data: Given = None, plugin: Plugins = None) -> None:
    """Compare counts and hashes with the published ones, and the splits with each other: near-duplicate samples, and
    conversations, videos, persons or other groups that lie in two splits. The exit code is 1 where something differs from what is
    published; what splits share is a warning.

    Example: mmbench data verify mosi --data-root data
    """
    from ...datasets import verify as verification
    from ..core.registry import entries

    entry = entries("dataset", plugin_files(plugin)).get(name)
    located = _locate(name, data_root, data, plugin)
    findings = verification.verify(located, entry.load()() if entry else None)
    table = borderless("", "what", "found", "expected")
    colours = {"ok": "green", "differs": "red", "unknown": "yellow", "warning": "bold yellow", "note": "cyan"}
    for finding in findings:
        mark = f"[{colours[finding.status]}]{finding.status}[/]"
        table.add_row(mark, *map(escape, (finding.what, finding.found, finding.expected)))
    console().print(table)
    if any(finding.status == "differs" for finding in findings):
        raise SystemExit(1)


@app.command()
def synth(
    names: Annotated[str, typer.Argument(help="datasets, separated by commas")],
    data_root: Root = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed gives other samples of the same kind.")] = 0,
    size: Annotated[
        Size, typer.Option(help="small, or full: the published numbers of samples.")
    ] = Size.SMALL,
    layout: Annotated[
        Format | None, typer.Option("--format", help="The layout of the files; default: the dataset's own.")
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Make a synthetic stand-in: the same files, read by the same code, with planted structure.

    Example: mmbench data synth mosi,mosei,sims --data-root data
    """
    root = root_from(data_root)
    for name in names.split(","):
        dataset = find("dataset", name.strip(), plugin_files(plugin)).load()()
        chosen = {"format": layout.value} if layout else {}
        files = dataset.synthesize(root / dataset.name, seed=seed, size=size.value, **chosen)
        for file in files:
            console().print(f"wrote {file} [yellow](synthetic)[/]", highlight=False, soft_wrap=True)


@app.command()
def prepare(
    name: Annotated[str, typer.Argument(help="a dataset that is published as raw recordings: hust")],
    data_root: Root = None,
    raw: Annotated[
        Path | None, typer.Option("--from", help="The folder of the recordings; default: the dataset's own.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="The folder to write; default: the dataset's own.")
    ] = None,
    split: Annotated[
        Rule, typer.Option(help="fair: no window of one split shares a point with another's.")
    ] = Rule.FAIR,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    plugin: Plugins = None,
) -> None:
    """Make samples of raw recordings, in the open layout.

    Example: mmbench data prepare hust --from recordings --data-root data
    """
    dataset = find("dataset", name, plugin_files(plugin)).load()()
    if not hasattr(dataset, "prepare"):
        raise UsageError(f"{name} is read as it is published: nothing to prepare")
    folder = root_from(data_root) / dataset.name
    files = dataset.prepare(raw or folder, to or folder, rule=split.value, overwrite=overwrite)
    for file in files:
        console().print(f"wrote {file}", highlight=False, soft_wrap=True)


@app.command()
def convert(
    name: Name,
    to: Annotated[Path, typer.Argument(help="the folder to write")],
    data_root: Root = None,
    data: Given = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    plugin: Plugins = None,
) -> None:
    """Write a dataset in the open layout: npz files and a dataset.yaml.

    Example: mmbench data convert mosi open/mosi --data-root data
    """
    from ...datasets.layout.convert import convert as write

    for file in write(_locate(name, data_root, data, plugin), to, overwrite=overwrite):
        console().print(f"wrote {file}", highlight=False, soft_wrap=True)


class Unpacked(StrEnum):
    """The datasets whose pickles are read: of conversations, or of words."""

    IEMOCAP = "iemocap"
    MELD = "meld"
    MOSI = "mosi"
    MOSEI = "mosei"


@app.command()
def unpack(
    name: Annotated[Unpacked, typer.Argument(help="whose pickle it is: it says what labels mean")],
    file: Annotated[Path, typer.Argument(help="the pickle, such as IEMOCAP_features.pkl or mosi.pkl")],
    to: Annotated[Path, typer.Argument(help="the folder to write")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Write a pickle of conversations, as MMGCN reads them, or of words, as MAG-BERT does, in the open layout.

    Words come without features of text: they are written as raw media (TO/raw), to be encoded beside the rest.

    Examples:

    mmbench data unpack iemocap IEMOCAP_features.pkl data/iemocap

    mmbench data unpack mosi mosi.pkl words

    mmbench data encode words/raw --beside words --encoder text=text:bert-base-uncased --to data/mosi
    """
    from ...datasets.layout.write import write_open_layout

    if name in (Unpacked.MOSI, Unpacked.MOSEI):
        from ...datasets.pickles.read_mag import read_mag
        from ...datasets.pickles.write_texts import write_texts

        words = read_mag(file, name.value)
        splits, target = words.splits, words.target
        files = [*write_open_layout(to, splits, target, name=name.value, overwrite=overwrite)]
        files += write_texts(to / "raw", splits, words.texts, target, name=name.value, places=words.places)
    else:
        from ...datasets.pickles.read_mmgcn import read_mmgcn

        splits, target = read_mmgcn(file, name.value)
        files = write_open_layout(to, splits, target, name=name.value, overwrite=overwrite)
    for written in files:
        console().print(f"wrote {written}", highlight=False, soft_wrap=True)


@app.command()
def gather(
    name: Name,
    labels: Annotated[Path, typer.Argument(help="label.npz of the pack; GCNet's pickle of labels (.pkl)")],
    to: Annotated[Path, typer.Argument(help="the folder to write")],
    features: Annotated[
        list[str],
        typer.Option(help="MODALITY=FOLDER with NAME.npy for each sample; once for each modality"),
    ],
    label_range: Annotated[
        str, typer.Option("--range", help="LOWEST,HIGHEST: predict the scores; else the classes")
    ] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Write a pack of MERBench or GCNet, labels and folders of features, in the open layout.

    Examples:

    mmbench data gather meld label.npz data/meld --features text=deberta-large-4-UTT

    mmbench data gather mosi CMUMOSI_features_raw_2way.pkl data/mosi --range=-3,3 --features text=deberta-large-4-UTT
    """
    from ...datasets.layout.write import write_open_layout
    from ...datasets.pickles.read_gcnet import read_gcnet
    from ...datasets.pickles.read_merbench import read_merbench

    folders = {}
    for one in features:
        modality, sign, folder = one.partition("=")
        if not (modality and sign and folder) or modality in folders:
            raise UsageError(f"--features {one}: expected MODALITY=FOLDER, each modality once")
        folders[modality] = Path(folder)
    read = read_gcnet if labels.suffix == ".pkl" else read_merbench
    splits, target = read(labels, folders, name, _range(label_range))
    for written in write_open_layout(to, splits, target, name=name, overwrite=overwrite):
        console().print(f"wrote {written}", highlight=False, soft_wrap=True)


def _range(text: str) -> tuple[float, float] | None:
    """The range of scores that ``--range`` was given. Raises UsageError."""
    if not text:
        return None
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise UsageError(f"--range {text}: expected two numbers, such as --range=-3,3") from None
    if not low < high:
        raise UsageError(f"--range {text}: the first number must be below the second")
    return low, high


def _locate(
    name: str, data_root: Path | None, data: Path | None, plugin: Sequence[str] | None = None
) -> Located:
    if data is not None:  # NAME=PATH, as the flag of run is written, is understood too
        data = Path(str(data).removeprefix(f"{name}="))
    return locate(name, root_from(data_root), {name: data} if data else {}, plugin_files(plugin))
