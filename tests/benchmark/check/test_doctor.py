"""What doctor says of libraries that fail in every way, and that one of them costs its own line alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mmbench.benchmark.check.libraries import Verdict, check_libraries
from mmbench.datasets.libraries import Library, libraries


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose modules come before those that are installed, here and in child processes."""
    folder = tmp_path / "fakes"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))
    return folder


def _metadata(folder: Path, distribution: str, version: str, *needs: str) -> None:
    place = folder / f"{distribution}-{version}.dist-info"
    place.mkdir()
    lines = [f"Name: {distribution}", f"Version: {version}", *(f"Requires-Dist: {need}" for need in needs)]
    (place / "METADATA").write_text("Metadata-Version: 2.1\n" + "\n".join(lines) + "\n")


def _verdicts(*names: str, **options: float) -> dict[str, Verdict]:
    known = {name: libraries()[name] for name in names}
    return {verdict.library.module: verdict for verdict in check_libraries(known, **options)}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("raise OSError('libx.so: undefined symbol')", "OSError: libx.so: undefined symbol"),
        ("import os; os._exit(7)", "it ends the process (exit code 7)"),
        ("import sys; sys.exit('no')", "it ends the process with 'no'"),
        ("import os; os.abort()", "it ends the process (signal SIGABRT"),
        (
            "import sys, os; print('no GPU', file=sys.stderr, flush=True); os._exit(1)",
            "(exit code 1: no GPU)",
        ),
        ('print(\'{"end": "soundfile"}\')', "AttributeError: module 'soundfile' has no attribute 'write'"),
    ],
)
def test_a_broken_library_costs_its_own_line(fakes: Path, fault: str, reason: str):
    (fakes / "soundfile.py").write_text(fault)
    found = _verdicts("numpy", "yaml", "soundfile", "av", "rich")
    assert [name for name, verdict in found.items() if not verdict.works] == ["soundfile"]
    broken = found["soundfile"]
    assert reason in broken.reason
    assert broken.version == libraries()["soundfile"].version()
    assert (
        broken.command == f'pip install "{libraries()["soundfile"].requirement}" --force-reinstall --no-deps'
    )


def test_a_library_that_hangs_is_given_up(fakes: Path):
    (fakes / "soundfile.py").write_text("import time; time.sleep(100)")
    found = _verdicts("yaml", "soundfile", "av", limit=5)
    assert found["soundfile"].reason == "it does not answer within 5 s"
    assert found["av"].works
    assert found["yaml"].works
    late = _verdicts("yaml", "av", total=-1)
    assert all("not tried" in verdict.reason for verdict in late.values())


def test_a_version_out_of_bounds_is_broken_though_it_works(fakes: Path):
    _metadata(fakes, "av", "3.0")
    verdict = _verdicts("av")["av"]
    requirement = libraries()["av"].requirement
    assert (verdict.works, verdict.version) == (False, "3.0")
    assert verdict.reason == f"mmbench needs {requirement}"
    assert verdict.command == f'pip install "{requirement}"'


def test_halves_of_a_pair_that_do_not_fit_are_told_together(fakes: Path):
    _metadata(fakes, "torchaudio", "2.12.0")
    _metadata(fakes, "soundfile", "0.13.1", "numpy<1")
    found = _verdicts("torchaudio", "soundfile")
    torch = libraries()["torch"]
    assert found["torchaudio"].reason == f"it needs torch==2.12.*, and torch {torch.version()} is installed"
    assert (
        found["torchaudio"].command
        == f'pip install "{libraries()["torchaudio"].requirement}" "{torch.requirement}"'
    )
    assert found["soundfile"].reason.startswith("it needs numpy<1, and numpy ")


def test_a_library_that_another_one_breaks_names_it(fakes: Path):
    (fakes / "torchvision.py").write_text("raise OSError('libtorchvision.so')")
    verdict = _verdicts("timm")["timm"]
    assert verdict.reason == "it needs torchvision, which does not work: OSError: libtorchvision.so"
    assert verdict.command.startswith(f'pip install "{libraries()["torchvision"].requirement}"')


def test_a_library_that_ends_the_process_of_another_is_the_one_to_mend(fakes: Path):
    (fakes / "torchvision.py").write_text("import os; os._exit(7)")
    found = _verdicts("torchvision", "timm", "yaml")
    assert found["torchvision"].reason == "it ends the process (exit code 7)"
    assert (
        found["timm"].reason == "it needs torchvision, which does not work: it ends the process (exit code 7)"
    )
    assert found["timm"].command == found["torchvision"].command
    assert found["yaml"].works


def test_what_is_not_installed_comes_with_its_extra():
    known = {
        "nowhere": Library("nowhere", "no-where", "no-where>=1", "audio"),
        "gone": Library("gone", "gone", "gone>=2"),
    }
    found = {verdict.library.module: verdict for verdict in check_libraries(known)}
    assert found["nowhere"].reason == found["gone"].reason == "not installed"
    assert found["nowhere"].command == 'pip install "mmbench[audio]"'
    assert found["gone"].command == 'pip install "gone>=2"'


@pytest.mark.slow
def test_the_command_names_what_is_broken_and_fails(fakes: Path, tmp_path: Path):
    (fakes / "soundfile.py").write_text("raise OSError('libsndfile.so: cannot open shared object file')")
    further = os.environ["PYTHONPATH"].partition(os.pathsep)[2]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(fakes), further])}
    command = [Path(sys.executable).with_name("mmbench"), "doctor"]
    broken = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200
    )
    assert broken.returncode == 1
    lines = [line for line in broken.stdout.splitlines() if line.startswith("broken")]
    version, requirement = libraries()["soundfile"].version(), libraries()["soundfile"].requirement
    fault = "OSError: libsndfile.so: cannot open shared object file"
    command = f'pip install "{requirement}" --force-reinstall --no-deps'
    assert " ".join(lines[0].split()) == f"broken soundfile {version}: {fault}: {command}"
    for line in lines[1:]:  # those that import it themselves
        assert line.endswith(f": it needs soundfile, which does not work: {fault}: {command}")
