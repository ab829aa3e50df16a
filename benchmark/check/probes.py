"""One small operation of every library, run in a process of its own: ``python -m mmbench.benchmark.check.probes NAME...``

That a library is installed says little: its shared libraries load, or do not, when it is imported, and some do so
only when it is used. The process writes one line of JSON to its standard output before each library and one after
it, so that whoever reads them knows which library ended the process.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from io import BytesIO
from typing import TextIO

from ...datasets.libraries import cause_of, first_line, libraries, library_of


def _torch() -> str:
    import torch

    torch.matmul(torch.rand(4, 4), torch.rand(4, 4))
    if not torch.cuda.is_available():
        return ""
    (torch.rand(4, 4, device="cuda") @ torch.rand(4, 4, device="cuda")).cpu()
    return "computes on the GPU"


def _torchaudio() -> None:
    import torch
    from torchaudio.functional import resample
    from torchaudio.transforms import MelSpectrogram

    sound = resample(torch.rand(1, 1600), 16_000, 8_000)
    MelSpectrogram(8_000, n_fft=128, n_mels=8)(sound)


def _torchvision() -> None:
    import torch
    from torchvision.io import decode_jpeg, encode_jpeg
    from torchvision.ops import nms

    nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.ones(1), 0.5)
    decode_jpeg(encode_jpeg(torch.zeros(3, 8, 8, dtype=torch.uint8)))


def _timm() -> None:
    import timm
    import torch

    network = timm.create_model("test_vit", pretrained=False, num_classes=0)
    with torch.inference_mode():
        network.eval()(torch.zeros(1, 3, 160, 160))


def _transformers() -> None:
    import torch
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    with torch.inference_mode():
        BertModel(config).eval()(input_ids=torch.tensor([[1, 2]]))


def _peft() -> None:
    import torch
    from peft import LoraConfig, inject_adapter_in_model

    network = torch.nn.Sequential(torch.nn.Linear(4, 4))
    inject_adapter_in_model(LoraConfig(r=1, target_modules=["0"]), network)(torch.zeros(1, 4))


def _av() -> None:
    import av
    import numpy as np

    file = BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream: av.VideoStream = container.add_stream("libx264", rate=10)
        stream.height = stream.width = 32
        stream.pix_fmt = "yuv420p"
        for _ in range(3):
            picture = np.zeros((32, 32, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file, "r") as written:
        count = sum(1 for _ in written.decode(video=0))
    if count != 3:
        raise RuntimeError(f"{count} of 3 frames come back")


def _soundfile() -> None:
    import numpy as np
    import soundfile

    file = BytesIO()
    soundfile.write(file, np.zeros(100), 8_000, format="FLAC")
    file.seek(0)
    soundfile.read(file)


def _sklearn() -> None:
    from sklearn.linear_model import LogisticRegression

    LogisticRegression().fit([[0.0], [1.0]], [0, 1]).predict([[0.5]])


def _pillow() -> None:
    from PIL import Image

    file = BytesIO()
    Image.new("RGB", (8, 8)).resize((4, 4)).save(file, "PNG")
    file.seek(0)
    Image.open(file).load()


def _matplotlib() -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1, 1))
    figure.subplots().plot([0, 1])
    figure.savefig(BytesIO(), format="png")


def _lightning() -> None:
    import lightning

    lightning.Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu")


def _optuna() -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    optuna.create_study().optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)


def _submitit() -> None:
    import submitit

    with tempfile.TemporaryDirectory() as folder:
        submitit.DebugExecutor(folder)


def _pebble() -> None:
    from pebble import ThreadPool

    with ThreadPool(max_workers=1) as pool:
        pool.schedule(int).result()


def _pandas() -> None:
    import pandas as pd

    pd.DataFrame({"group": [0, 0, 1], "value": [1.0, 2.0, 3.0]}).groupby("group").mean()


def _pyarrow() -> None:
    import pyarrow as pa
    from pyarrow import parquet

    file = BytesIO()
    parquet.write_table(pa.table({"value": [1, 2]}), file)
    file.seek(0)
    parquet.read_table(file)


def _safetensors() -> None:
    import torch
    from safetensors.torch import load, save

    load(save({"weight": torch.zeros(2)}))


def _numpy() -> None:
    import numpy as np

    np.linalg.inv(np.eye(2))


def _scipy() -> None:
    from scipy import signal, stats

    stats.ttest_rel([1.0, 2.0, 4.0], [1.0, 1.0, 2.0])
    signal.get_window("hann", 4)


def _pydantic() -> None:
    from pydantic import TypeAdapter

    TypeAdapter(list[int]).validate_python(["1"])


def _typer() -> None:
    import typer

    app = typer.Typer()
    app.command()(lambda: None)
    typer.main.get_command(app)


def _rich() -> None:
    from rich.console import Console
    from rich.table import Table

    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        Console(file=nowhere).print(Table("column"))


def _yaml() -> None:
    import yaml

    yaml.safe_load(yaml.safe_dump({"key": [1, 2]}))


#: Module -> an operation of it; what it returns is shown. Of a library that is not named here only the import is tried.
OPERATIONS: dict[str, Callable[[], str | None]] = {
    "numpy": _numpy,
    "torch": _torch,
    "torchaudio": _torchaudio,
    "torchvision": _torchvision,
    "scipy": _scipy,
    "pandas": _pandas,
    "pyarrow": _pyarrow,
    "safetensors": _safetensors,
    "pydantic": _pydantic,
    "yaml": _yaml,
    "typer": _typer,
    "rich": _rich,
    "pebble": _pebble,
    "submitit": _submitit,
    "optuna": _optuna,
    "matplotlib": _matplotlib,
    "PIL": _pillow,
    "soundfile": _soundfile,
    "av": _av,
    "transformers": _transformers,
    "timm": _timm,
    "peft": _peft,
    "sklearn": _sklearn,
    "lightning": _lightning,
}


def try_library(module: str) -> dict[str, str]:
    """Imports a library and runs its operation.

    Returns:
        ``said``: what the operation tells; or ``reason``, ``cause`` and ``command``: the first line of the error, the
        module whose import failed, and what to type.
    """
    try:
        importlib.import_module(module)
        answer = OPERATIONS[module]() if module in OPERATIONS else None
    except (Exception, SystemExit) as error:
        library = library_of(module)
        cause = cause_of(error, library)
        command = cause.repair_command(error) if cause.is_installed() else cause.install_command()
        return {"reason": first_line(error), "cause": cause.module, "command": command}
    return {"said": answer or ""}


class _Watch(MetaPathFinder):
    """Reports that the import of a library begins. It finds nothing: others do."""

    def __init__(self, report: TextIO) -> None:
        self.report = report
        self.watched = frozenset(libraries())  # read now: reading them imports

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        """Asked by Python for every module that is not loaded yet."""
        if fullname in self.watched:
            print(json.dumps({"import": fullname}), file=self.report, flush=True)


def main() -> None:
    """Tries the libraries that the command line names, in that order."""
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what libraries print is no part of the report
    sys.meta_path.insert(0, _Watch(report))
    for module in sys.argv[1:]:
        print(json.dumps({"end": module, **try_library(module)}), file=report, flush=True)


if __name__ == "__main__":
    main()
