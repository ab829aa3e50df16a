"""What the README shows is true. Its commands are run by ``.ci/run``; here is the rest."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
from mmbench.datasets.dataset import DataError
from mmbench.datasets.locate import locate
from mmbench.methods import METHODS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.fixture
def real_file() -> Path:
    """CMU-MOSI as described in the README; not a part of the project."""
    place = os.environ.get("MMBENCH_TEST_DATA")
    if not place:
        pytest.skip("MMBENCH_TEST_DATA names no folder with mosi-real.npz")
    return Path(place) / "mosi-real.npz"


@pytest.fixture
def described(tmp_path: Path) -> Path:
    """The folder of the README's example, without its arrays."""
    block = re.search(r"```yaml\n# own/mosi/dataset.yaml\n(.*?)```", README, re.DOTALL)
    assert block is not None
    folder = tmp_path / "own" / "mosi"
    folder.mkdir(parents=True)
    (folder / "dataset.yaml").write_text(block[1])
    return folder


def test_the_methods_that_it_lists_are_there():
    table = README.partition("\n## Methods\n")[2].partition("\n## ")[0].partition("\n\n[")[0]
    listed = re.findall(r"`(\w+)`", table)
    assert len(listed) > 50
    assert set(listed) <= set(METHODS)


def test_the_example_of_a_dataset_of_one_s_own_loads(described: Path, real_file: Path):
    (described / "mosi-real.npz").symlink_to(real_file)
    located = locate("mosi", described.parent)
    splits = located.load()
    assert {name: len(samples) for name, samples in splits.items()} == {
        "train": 1284,
        "valid": 229,
        "test": 686,
    }
    assert located.modalities == ("text", "audio")
    assert located.target.classes == ("negative", "positive")
    assert splits["train"].features["text"].shape[1:] == (32, 384)
    majority = max(np.bincount(splits["test"].target)) / 686
    assert majority == pytest.approx(0.5525, abs=5e-5)
    assert (splits["test"].previous >= 0).any()


def test_without_its_file_the_example_says_what_is_missing(described: Path):
    with pytest.raises(DataError, match=r"mosi-real\.npz"):
        locate("mosi", described.parent).load()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path):
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert link.startswith("https://") or (page.parent / link).exists(), f"{page.name}: {link}"
