"""Libraries that are missing or broken: one line that says what needs them, why they fail, and what to type."""

from __future__ import annotations

import ast
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from mmbench.datasets.dataset import DataError
from mmbench.datasets.libraries import LibraryError, cause_of, import_guard, libraries, library_of

ROOT = Path(__file__).parents[2]
GUARDED = {
    "av", "matplotlib", "optuna", "peft", "PIL", "pynvml", "soundfile", "timm", "torchaudio", "torchvision", "transformers",
}  # fmt: skip
#: How a fake library fails when it is imported, and what the user reads of it.
FAULTS = {
    'raise OSError("libx.so: undefined symbol: y")': "OSError: libx.so: undefined symbol: y",
    'raise RuntimeError("compiled for CUDA 12\\nmore")': "RuntimeError: compiled for CUDA 12",
    'raise AttributeError("no attribute z")': "AttributeError: no attribute z",
    'raise ImportError("cannot import name w")': "ImportError: cannot import name w",
    "import sys; sys.exit(3)": "it ends the process with 3",
}
#: Library -> what uses it, in a folder with empty files of media.
USES = {
    "torchaudio": (
        "make(parse('log-mel'), cpu)",
        "make(parse('torchaudio:wav2vec2_base,weights=random'), cpu)",
        "resample_by_matrix(torch.zeros(1, 1, 100), 16000, 8000)",
        "decode(Piece((tone,)), 'waveform', SoundView(rate=8000))",
    ),
    "torchvision": ("Jpeg('frames', 1).damage(torch.zeros(1, 1, 3, 8, 8), {})",),
    "timm": ("make(parse('timm:vit_tiny_patch16_224,weights=random'), cpu)",),
    "transformers": tuple(
        f"make(parse('{name}:{{tone.parent}},weights=random'.format(tone=tone)), cpu)"
        for name in ("text", "ast", "whisper")
    ),
    "peft": ("_adapt(torch.nn.Linear(2, 2), 1)", "_adapter_layers(torch.nn.Linear(2, 2))"),
    "av": (
        "decode(Piece((other,)), 'frames', FrameView())",
        "decode(Piece((other,)), 'waveform', SoundView())",
        "write_action(tone.parent / 'made', 'hac', ['human'], 2, {'train': 1})",
    ),
    "soundfile": ("decode(Piece((tone,)), 'waveform', SoundView())", "_rate(tone)"),
    "PIL": (
        "decode(Piece((picture,)), 'frames', FrameView())",
        "resize_picture(np.zeros((4, 4, 3), np.uint8), FrameView())",
    ),
    "matplotlib": ("stop(write_pictures([], tone.parent)[1])",),
    "optuna": ("optuna()", "_journal(tone, None)"),
}
SETUP = """
import importlib, sys, wave
from pathlib import Path
import numpy as np
import torch
from mmbench.benchmark.report.pictures import write_pictures
from mmbench.benchmark.search.optuna_study import _journal
from mmbench.benchmark.search.optuna_trial import optuna
from mmbench.corruptions.frames.digital import Jpeg
from mmbench.corruptions.sound import resample_by_matrix
from mmbench.datasets.encoders.spec import parse
from mmbench.datasets.encoders.table import make
from mmbench.datasets.encoders.tuning import _adapt, _adapter_layers
from mmbench.datasets.libraries import LibraryError
from mmbench.datasets.media.clip import FrameView, Piece, SoundView
from mmbench.datasets.media.decode import decode
from mmbench.datasets.media.pictures import resize_picture
from mmbench.datasets.media.rates import _rate
from mmbench.datasets.media.synthetic import write_action

cpu = torch.device("cpu")
folder = Path("media")
folder.mkdir()
tone, picture, other = (folder / name for name in ("tone.wav", "picture.png", "other.mp4"))
with wave.open(str(tone), "wb") as file:
    file.setnchannels(1), file.setsampwidth(2), file.setframerate(16000), file.writeframes(bytes(3200))
picture.write_bytes(b"no picture")
other.write_bytes(b"no video")
(folder / "config.json").write_text("{}")

def stop(reasons):
    raise LibraryError(*reasons)

def forget(name):
    for module in [one for one in sys.modules if one.partition(".")[0] == name]:
        del sys.modules[module]
    importlib.invalidate_caches()

def told(use):
    try:
        eval(use)
    except LibraryError as error:
        print(use, str(error), sep="\\t")
    else:
        print(use, "nothing is raised", sep="\\t")
"""


def run(script: str, folder: Path) -> list[list[str]]:
    """The lines that a script prints in a process of its own, cut at tabulators."""
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=200
    )
    assert ended.returncode == 0, ended.stderr
    return [line.split("\t") for line in ended.stdout.splitlines()]


#: Each library is broken in a process of its own, made by a fork: torch is imported once for all.
BREAK = f"""
import os
for name, uses in {USES!r}.items():
    sys.stdout.flush()
    if os.fork():
        assert os.wait()[1] == 0, name
        continue
    fake = Path("fakes", "of-" + name, name)
    fake.mkdir(parents=True)
    sys.path.insert(0, str(fake.parent.resolve()))
    for fault in {list(FAULTS)!r}:
        forget(name)
        (fake / "__init__.py").write_text(fault + " " * len(fault))
        for use in uses:
            print(name, end="\\t")
            told(use)
    forget(name)
    sys.modules[name] = None
    for use in uses:
        print(name, end="\\t")
        told(use)
    sys.stdout.flush()
    os._exit(0)
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """Library, use and what it says: of each library for each of its faults, and then where it is not installed."""
    return run(
        "import sys; sys.dont_write_bytecode = True\n" + SETUP + BREAK, tmp_path_factory.mktemp("broken")
    )


@pytest.mark.parametrize("name", sorted(USES))
def test_every_use_of_a_broken_library_says_what_to_type(name: str, said: list[list[str]]):
    lines = [line for library, *line in said if library == name]
    library = libraries()[name]
    broken = [(use, words) for words in FAULTS.values() for use in USES[name]]
    assert len(lines) == len(broken) + len(USES[name])
    for (use, words), line in zip(broken, lines, strict=False):
        assert line[0] == use
        assert f"needs {name}: {name} {library.version()} cannot be imported ({words})" in line[1]
        assert f'pip install "{library.requirement}"' in line[1]
        assert "mmbench doctor" in line[1]
    for line in lines[len(broken) :]:
        wanted = f'"mmbench[{library.extra}]"' if library.extra else f'"{library.requirement}"'
        assert line[1].endswith(f"needs {name}: it is not installed: pip install {wanted}")


def test_a_broken_counter_of_energy_is_a_warning_and_a_missing_one_is_none(tmp_path: Path):
    script = """
import sys
from pathlib import Path
from mmbench.benchmark.train.energy import gpu
sys.modules["pynvml"] = None
assert gpu("GPU-0") == []
del sys.modules["pynvml"]
Path("pynvml.py").write_text("raise OSError('libnvidia-ml.so.1')")
sys.path.insert(0, str(Path.cwd()))
assert gpu("GPU-0") == []
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith("the energy of a GPU needs pynvml: pynvml")
    assert 'pip install "nvidia-ml-py>=12"' in line


def test_no_optional_library_is_imported_without_a_guard():
    bare = []
    for file in (
        file
        for part in ("benchmark", "corruptions", "datasets", "methods")
        for file in (ROOT / part).rglob("*.py")
    ):
        if file != ROOT / "benchmark" / "check" / "probes.py":  # which reports what it catches
            bare += [
                f"{file.relative_to(ROOT)}:{line}" for line in _bare_imports(ast.parse(file.read_text()))
            ]
    assert bare == []


def _bare_imports(node: ast.AST) -> list[int]:
    if isinstance(node, ast.With) and "import_guard" in ast.unparse(node.items[0]):
        return []
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return []
    names: list[str] = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and not node.level:
        names = [node.module or ""]
    if any(name.partition(".")[0] in GUARDED for name in names):
        return [node.lineno]  # type: ignore[attr-defined]  # an import has one
    return [line for child in ast.iter_child_nodes(node) for line in _bare_imports(child)]


def test_a_library_that_another_one_imports_is_the_one_to_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "peft.py").write_text("import soundfile")
    (tmp_path / "soundfile.py").write_text("raise OSError('libsndfile.so')")
    for name in ("peft", "soundfile"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    with (
        pytest.raises(LibraryError, match=r"tests needs peft: soundfile .* cannot be imported") as caught,
        import_guard("peft", "tests"),
    ):
        import peft
    assert f'pip install "{libraries()["soundfile"].requirement}"' in str(caught.value)
    (tmp_path / "soundfile.py").unlink()
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with (
        pytest.raises(
            LibraryError,
            match=r'tests needs peft: soundfile is not installed: pip install "mmbench\[audio\]"',
        ),
        import_guard("peft", "tests"),
    ):
        import peft  # noqa: F401


def test_a_library_whose_own_dependency_is_missing_is_installed_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "timm.py").write_text("import nowhere_to_be_found")
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(LibraryError) as caught, import_guard("timm", "tests"):
        import timm  # noqa: F401
    assert "No module named 'nowhere_to_be_found'" in str(caught.value)
    assert f'pip install "{libraries()["timm"].requirement}" (' in str(caught.value)  # nothing is forced


def test_the_error_is_an_error_of_data_and_of_imports_and_passes_between_processes():
    error = pickle.loads(pickle.dumps(LibraryError("one line")))
    assert isinstance(error, DataError)
    assert isinstance(error, ImportError)
    assert str(error) == "one line"


def test_the_libraries_are_those_of_the_metadata():
    known = libraries()
    assert {"torch", "torchaudio", "PIL", "yaml", "pynvml"} <= set(known)
    assert known["PIL"].distribution == "pillow"
    assert known["PIL"].extra == "media"
    assert known["torch"].extra == ""
    assert "pytest" not in known
    assert library_of("nowhere.part").requirement == "nowhere"
    assert cause_of(ValueError("raised here"), known["torch"]) == known["torch"]
