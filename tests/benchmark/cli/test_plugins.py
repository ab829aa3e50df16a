"""A dataset and an encoder of a plug-in file, through every command that reads data."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mmbench.benchmark.check.libraries import libraries
from mmbench.datasets.media.find import find_media

from ..conftest import Call

#: A dataset in the open layout, whose raw media are sounds that it lists itself, and an encoder that is a network.
PLUGIN = '''
"""A dataset with raw media, and an encoder with weights."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch

from mmbench.datasets.dataset import SYNTHETIC_FILE, Published, Target, data_error
from mmbench.datasets.encoders.encoder import Encoded
from mmbench.datasets.encoders.network import Network, NetworkOptions
from mmbench.datasets.encoders.sound import mono, valid
from mmbench.datasets.encoders.spec import fill
from mmbench.datasets.locate import locate
from mmbench.datasets.media.clip import Clip, MediaSet, Piece, SoundView

DATASETS = {"beeps": "Beeps"}
ENCODERS = {"conv": "Conv"}
SIZES = {"train": 16, "valid": 8, "test": 8}


class Beeps:
    """Beeps, high and low."""

    name = "beeps"
    title = "Beeps"
    homepage = "https://example.org"
    how_to_get = "record them"
    target = Target("classification", classes=("low", "high"), metrics="classification")
    patterns = ()
    published = {"open": Published(counts={"train": 16}, source="this test")}

    def describe(self, file):
        raise data_error(file, "", "no features are published", "a dataset.yaml")

    def locate(self, root, given=None):
        return locate(self.name, root, given, self)

    def synthesize(self, folder, *, seed=0, size="small", format="raw"):
        folder.mkdir(parents=True, exist_ok=True)
        draw = np.random.default_rng(seed)
        for split, count in SIZES.items():
            for row in range(count):
                time = np.arange(2000) / 16000
                sound = 0.3 * np.sin(2 * np.pi * (400 + 900 * (row % 2)) * time)
                noise = draw.normal(0, 0.02, len(time))
                soundfile.write(folder / f"{split}-{row}.wav", (sound + noise).astype("f4"), 16000, subtype="FLOAT")
        (folder / SYNTHETIC_FILE).touch()
        return [folder / SYNTHETIC_FILE]

    def raw(self, folder):
        clips = tuple(
            Clip(f"{split}-{row}", split, f"d{row // 2 % 2}", row % 2, {"sound": Piece((folder / f"{split}-{row}.wav",))})
            for split, count in SIZES.items()
            for row in range(count)
        )
        return MediaSet("beeps", {"sound": "waveform"}, self.target, clips, title=self.title, synthetic=True)


class Conv:
    """One layer of convolution."""

    @dataclass(frozen=True)
    class Options(NetworkOptions):
        """Options.

        Attributes:
            channels: features of a step.
        """

        channels: int = 6

    medium = "waveform"

    def __init__(self, spec, device):
        self.spec = spec
        self.options = fill(self.Options, spec)
        torch.manual_seed(self.options.seed)
        module = torch.nn.ModuleDict({"layers": torch.nn.ModuleList([torch.nn.Conv1d(1, self.options.channels, 400, 200)])})
        self.network = Network(module, device, self.options.precision, f"random {self.options.seed}")
        self.view = SoundView(rate=16000)
        self.width = self.options.channels

    def identity(self):
        return self.network.identity(self.spec, 1, {"channels": self.options.channels})

    @torch.inference_mode()
    def encode(self, media):
        return self.features(media)

    def features(self, media):
        sound, length = mono(media, self.network.device)
        sound = torch.nn.functional.pad(sound, (0, max(400 - sound.shape[1], 0)))
        steps = 1 + (length.clamp(min=400) - 400) // 200
        if not len(sound):
            return Encoded(sound.new_zeros(0, 1, self.width), length)
        parts = self.network.run(
            lambda a, b: self.network.module["layers"][0](sound[a:b, None]).mT.float(), len(sound), sound.shape[1]
        )
        return valid(torch.cat(parts), steps)
'''
EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
FAST = ("--epochs", "1", "--launcher", "debug", "--device", "cpu", "--seeds", "0")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "beeps.py"
    file.write_text(PLUGIN)
    return file


@pytest.fixture
def encoded(call: Call, file: Path, tmp_path: Path) -> tuple[object, ...]:
    """The options that name the plug-in and the data, of which features were made."""
    plugin = ("--plugin", file, "--data-root", tmp_path / "data")
    code, said = call("data", "synth", "beeps", *plugin)
    assert code == 0, said
    code, said = call("data", "encode", "beeps", "--encoder", "sound=conv,channels=5", *plugin)
    assert (code, "encoded 32 of 32 clips now" in said) == (0, True), said
    return plugin


def test_the_encoder_keeps_its_contract(call: Call, file: Path):
    code, said = call("check", "encoder", "conv,channels=3", "--plugin", file)
    assert code == 0, said


def test_every_command_for_data_takes_a_plugin(call: Call, encoded: tuple[object, ...], tmp_path: Path):
    assert "unknown dataset 'beep': did you mean beeps?" in call("data", "info", "beep", *encoded)[1]
    code, said = call("data", "info", "beeps", *encoded)
    assert (code, "x 5 float16" in said) == (0, True), said
    code, said = call("data", "verify", "beeps", *encoded)
    assert (code, "stand-in" in said) == (1, True), said  # and no published data
    code, said = call("data", "convert", "beeps", tmp_path / "open", *encoded)
    assert code == 0, said
    assert (tmp_path / "open" / "dataset.yaml").is_file()
    code, said = call("data", "prepare", "beeps", *encoded)
    assert (code, "nothing to prepare" in said) == (2, True), said
    code, said = call("data", "cache", "ls", *encoded)
    assert (code, "conv" in said, "outdated" in said) == (0, True, False), said
    code, said = call("list", "domains", *encoded)
    assert ("beeps/d0" in said, "beeps/d1" in said) == (True, True), said
    code, said = call("data", "cache", "rm", "outdated", *encoded)
    assert code == 2, said


def test_doctor_says_what_is_installed_and_what_is_missing_and_how_to_get_it(
    call: Call, encoded: tuple[object, ...]
):
    code, said = call("doctor", *encoded)
    assert code == 0, said
    assert "synthetic stand-in, open" in said  # of the plug-in
    assert "mmbench data synth mosi --data-root" in said
    assert "broken" not in said
    for name, library in libraries().items():
        state = "ok      " if library.is_installed() else "--      "
        assert f"{state}{library.distribution:<14}" in said, name


def test_features_of_changed_code_are_outdated(call: Call, file: Path, encoded: tuple[object, ...]):
    file.write_text(file.read_text() + "# changed\n")
    assert "outdated" in call("data", "cache", "ls", *encoded)[1]
    code, said = call("data", "cache", "rm", "outdated", *encoded)
    assert (code, "removed" in said) == (0, True), said
    assert "0 kinds of features" in call("data", "cache", "ls", *encoded)[1]


def test_without_the_plugin_nothing_is_known_of_it(call: Call, encoded: tuple[object, ...], tmp_path: Path):
    root = encoded[2:]
    assert "beeps" not in call("list", "encoders", *root)[1]
    code, said = call("data", "synth", "beeps", *root)
    assert (code, "unknown dataset 'beeps'" in said) == (2, True), said
    code, said = call("data", "encode", "beeps", "--encoder", "sound=conv", *root)
    assert code == 2, said


@pytest.mark.parametrize("way", [("--corruptions", "white-noise"), ("--encoder-mode", "full")])
def test_raw_media_of_a_plugin_are_broken_and_its_encoder_is_trained_along(
    call: Call, encoded: tuple[object, ...], tmp_path: Path, way: tuple[str, str]
):
    run = (
        "run",
        "--methods",
        "erm(layers=1)",
        "--datasets",
        "beeps",
        *FAST,
        "--store",
        tmp_path / "runs",
        *way,
    )
    code, said = call(*run, *encoded[2:])
    assert code == 2, said
    assert "name its file with --plugin" in said
    code, said = call(*run, *encoded)
    assert code == 0, said
    assert "the job is done" in said


def test_a_plugin_is_several_files_in_one_option_or_in_two(call: Call, file: Path, tmp_path: Path):
    other = tmp_path / "other.py"
    shutil.copy(file, other)
    other.write_text(
        PLUGIN.replace('"beeps": "Beeps"', '"bleeps": "Beeps"').replace('"conv"', '"convolution"')
    )
    for words in (("--plugin", f"{file},{other}"), ("--plugin", file, "--plugin", other)):
        code, said = call("list", "encoders", *words)
        assert code == 0, said
        assert {"conv", "convolution"} <= {line.split()[0] for line in said.splitlines() if line.strip()}


@pytest.mark.parametrize("twice", [False, True])
def test_every_command_takes_several_plugins(call: Call, data_root: Path, tmp_path: Path, twice: bool):
    files = [EXAMPLES / name for name in ("method.py", "launcher.py", "metric.py", "table.py")]
    text = ",".join(map(str, files))
    words = [word for file in files for word in ("--plugin", file)] if twice else ["--plugin", text]
    store = ("--store", tmp_path / "runs")
    code, said = call(
        "run", "--methods", "modality_dropout(layers=1)", "--datasets", "toy", *FAST,
        "--data-root", data_root, *store, *words,
    )  # fmt: skip
    assert code == 0, said
    for command in ("status", "retry", "cancel", "leaderboard", "findings", "export", "plot"):
        code, said = call(command, *store, *words)
        assert "mmbench: plug-in" not in said, said
        assert code == 0 or "nothing to draw" in said, said
    code, said = call("leaderboard", *store, *words, "--what", "worst_class")
    assert "no result is of a classification" in said
    saved = next((tmp_path / "runs" / "asked").glob("*.yaml")).read_text()
    assert all(file.name in saved for file in files)


def test_another_process_s_plugins_are_not_remembered(
    call: Call, encoded: tuple[object, ...], tmp_path: Path
):
    """What one command was given is not there for the next, though both run in this process."""
    call("list", "encoders", "--data-root", tmp_path)
    with pytest.raises(Exception, match="beeps"):
        find_media("beeps", tmp_path / "data")
