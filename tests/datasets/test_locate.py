from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mmbench.datasets.dataset import DataError, DataNotFound
from mmbench.datasets.locate import locate
from mmbench.datasets.mosei import Mosei
from mmbench.datasets.mosi import Mosi
from mmbench.datasets.sims import Sims


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one stand-in of each kind of MOSI."""
    folder = tmp_path_factory.mktemp("mosi")
    for format in ("mmsa-aligned", "mmsa-unaligned", "casp", "open"):
        Mosi().synthesize(folder / format, format=format)
    return folder


PLACES = {
    "mosi/mosi.pkl": "casp",
    "mosi.pkl": "casp",
    "MOSI/aligned_50.pkl": "mmsa-aligned",
    "Mosi/unaligned_50.pkl": "mmsa-unaligned",
    "MOSI/Processed/aligned_50.pkl": "mmsa-aligned",
    "mosi/Aligned_50.PKL": "mmsa-aligned",
}


@pytest.mark.parametrize("place", PLACES)
def test_published_files_are_found(tmp_path: Path, stand_ins: Path, place: str) -> None:
    format = PLACES[place]
    file = tmp_path / place
    file.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(next((stand_ins / format).iterdir()), file)
    located = Mosi().locate(tmp_path)
    assert (located.name, located.format, located.files) == ("mosi", format, (file,))
    assert located.modalities == ("text", "audio", "vision")


def test_the_open_layout_is_found(tmp_path: Path, stand_ins: Path) -> None:
    shutil.copytree(stand_ins / "open", tmp_path / "MOSI")
    for located in (Mosi().locate(tmp_path), locate("mosi", tmp_path), locate("Mosi", tmp_path)):
        assert located.format == "open"
        assert located.synthetic
        assert len(located.load()["test"]) == 200
    assert Mosi().locate(tmp_path / "none", tmp_path / "MOSI").name == "mosi"
    assert Mosi().locate(tmp_path / "none", tmp_path / "MOSI" / "dataset.yaml").name == "mosi"


def test_what_is_given_is_taken(tmp_path: Path, stand_ins: Path) -> None:
    file = tmp_path / "any name.pkl"
    shutil.copy(stand_ins / "casp" / "mosi.pkl", file)
    assert Mosi().locate(tmp_path / "nowhere", file).files == (file,)
    assert Mosi().locate(tmp_path / "nowhere", stand_ins / "casp").format == "casp"


def test_two_files_are_not_guessed_between(tmp_path: Path, stand_ins: Path) -> None:
    shutil.copytree(stand_ins / "mmsa-aligned", tmp_path / "mosi")
    shutil.copytree(stand_ins / "mmsa-unaligned", tmp_path / "MOSI")
    with pytest.raises(DataError) as caught:
        Mosi().locate(tmp_path)
    message = str(caught.value)
    assert not isinstance(caught.value, DataNotFound)
    assert "\n" not in message
    assert "mosi/aligned_50.pkl (synthetic)" in message
    assert "MOSI/unaligned_50.pkl (synthetic)" in message
    assert "--data mosi=PATH" in message


def test_a_link_to_the_same_file_is_one_file(tmp_path: Path, stand_ins: Path) -> None:
    shutil.copytree(stand_ins / "casp", tmp_path / "mosi")
    (tmp_path / "mosi.pkl").symlink_to(tmp_path / "mosi" / "mosi.pkl")
    assert Mosi().locate(tmp_path).format == "casp"


@pytest.mark.parametrize("dataset", [Mosi(), Mosei(), Sims()], ids=lambda dataset: dataset.name)
def test_nothing_there_says_where_and_what_to_do(tmp_path: Path, dataset: Mosi) -> None:
    name = dataset.name
    for root in (tmp_path, tmp_path / "none"):
        with pytest.raises(DataNotFound) as caught:
            dataset.locate(root)
        message = str(caught.value)
        assert "\n" not in message
        assert str(root / name) in message
        assert "https://github.com/thuiar/MMSA" in message
        assert f"mmbench data synth {name} --data-root {root}" in message
    with pytest.raises(DataNotFound, match="is not there"):
        dataset.locate(tmp_path, tmp_path / "none.pkl")
    with pytest.raises(DataNotFound, match=re.escape(str(tmp_path))):
        dataset.locate(tmp_path / "x", tmp_path)


def test_a_dataset_of_ones_own(tmp_path: Path, stand_ins: Path) -> None:
    with pytest.raises(DataNotFound, match=re.escape(str(tmp_path / "mine" / "dataset.yaml"))):
        locate("mine", tmp_path)
    shutil.copytree(stand_ins / "open", tmp_path / "mine")
    located = locate("mine", tmp_path)
    assert located.name == "mine"
    first = located.fingerprint()
    (tmp_path / "mine").rename(tmp_path / "yours")
    assert locate("yours", tmp_path).fingerprint() == first


def test_files_that_say_nothing_of_themselves(tmp_path: Path, stand_ins: Path) -> None:
    with pytest.raises(DataError, match=r"expected a dataset\.yaml"):
        Mosi().locate(tmp_path, stand_ins / "open" / "train.npz")
    with pytest.raises(DataError, match=r"expected a dataset\.yaml"):
        locate("mine", tmp_path, stand_ins / "casp" / "mosi.pkl")


def test_the_fingerprint_of_a_pickle_does_not_follow_its_place(tmp_path: Path, stand_ins: Path) -> None:
    file = tmp_path / "mosi.pkl"
    shutil.copy(stand_ins / "casp" / "mosi.pkl", file)
    first = Mosi().locate(tmp_path).fingerprint()
    assert first == Mosi().locate(tmp_path, stand_ins / "casp").fingerprint()
    assert first != Mosei().locate(tmp_path, stand_ins / "mmsa-aligned").fingerprint()
    assert first != Sims().locate(tmp_path, file).fingerprint()  # other labels are valid there
    raw = bytearray(file.read_bytes())
    raw[-1000] ^= 1
    file.write_bytes(bytes(raw))
    assert Mosi().locate(tmp_path).fingerprint() != first


def test_importing_and_locating_is_light(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from mmbench.datasets.sims import Sims\n"
        "from mmbench.datasets import verify\n"
        "from mmbench.datasets.layout import convert\n"
        "try: Sims().locate(pathlib.Path(sys.argv[1]))\n"
        "except Exception: pass\n"
        "heavy = {'torch', 'pandas', 'pyarrow', 'yaml', 'safetensors', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=60)


@pytest.mark.parametrize("format", ["casp", "mmsa-aligned", "mmsa-unaligned", "open"])
def test_describing_needs_no_arrays(stand_ins: Path, format: str) -> None:
    code = (
        "import sys, pathlib\n"
        "from mmbench.datasets.locate import locate\n"
        "from mmbench.datasets.mosei import Mosei\n"
        "from mmbench.datasets.mosi import Mosi\n"
        "from mmbench.datasets.layout.open_layout import locate_open\n"
        "from mmbench.datasets.sims import Sims\n"
        "folder, format = pathlib.Path(sys.argv[1]), sys.argv[2]\n"
        "found = locate('mosi', folder, folder, Mosi())\n"
        "assert (found.format, found.synthetic, found.target.kind) == (format, True, 'regression')\n"
        "assert found.modalities == ('text', 'audio', 'vision')\n"
        "assert len(found.fingerprint()) == 64 and found.files\n"
        "heavy = {'numpy', 'torch', 'pandas', 'pyarrow', 'safetensors'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert format == 'open' or 'yaml' not in sys.modules\n"
        "found.load()\n"
    )
    command = [sys.executable, "-c", code, str(stand_ins / format), format]
    subprocess.run(command, check=True, timeout=60)
