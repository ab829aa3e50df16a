"""Raw media are found by the name of a dataset, below a root, or where somebody says."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from mmbench.datasets import DATASETS
from mmbench.datasets.dataset import DataError, DataNotFound, RawDataset
from mmbench.datasets.media.clip import MediaSet
from mmbench.datasets.media.find import find_media
from mmbench.datasets.media.own import read_own
from mmbench.datasets.mosi import Mosi

YAML = """
name: drives
table: clips.csv
modalities: {text: text}
task: {kind: classification, classes: [calm, angry]}
"""
TABLE = "sample_id,split,label,text\na,train,calm,x\nb,valid,angry,y\nc,test,calm,z\n"


def write_own(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "clips.csv").write_text(TABLE)
    (folder / "media.yaml").write_text(YAML)
    return folder


def write_mosi(folder: Path) -> Path:
    (folder / "Raw/v").mkdir(parents=True)
    (folder / "label.csv").write_text("video_id,clip_id,text,label,mode\nv,1,so,0.5,train\n")
    (folder / "Raw/v/1.mp4").touch()
    return folder


def test_own_clips_are_found_below_the_root_by_path_and_where_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = write_own(tmp_path / "Mine")
    named = read_own(folder / "media.yaml")
    assert named.name == "drives"
    for name, root, given, called in [
        ("mine", tmp_path, None, "mine"),
        (str(folder), tmp_path / "other", None, "drives"),
        (str(folder / "media.yaml"), tmp_path / "other", None, "drives"),
        ("trips", tmp_path, folder, "trips"),
        ("trips", tmp_path, folder / "media.yaml", "trips"),
    ]:
        found = find_media(name, root, given)
        assert (found.name, found.clips) == (called, named.clips)
    monkeypatch.chdir(tmp_path)
    assert find_media("Mine", tmp_path / "other").name == "drives"
    assert find_media(f".{os.sep}Mine", tmp_path / "other").name == "drives"


def test_known_datasets_are_found_by_name(tmp_path: Path, real_data: Path):
    write_mosi(tmp_path / "MOSI")
    assert find_media("mosi", tmp_path).clips == Mosi().raw(tmp_path / "MOSI").clips
    assert find_media("mosi", tmp_path / "other", tmp_path / "MOSI").name == "mosi"
    shutil.copytree(real_data / "hac-splits", tmp_path / "hac/splits")
    (tmp_path / "hac/human/videos").mkdir(parents=True)
    assert len(find_media("hac", tmp_path).clips) == 3381


def test_a_description_of_ones_own_goes_before_the_published_layout(tmp_path: Path):
    write_own(tmp_path / "mosi")
    found = find_media("mosi", tmp_path)
    assert (found.name, list(found.modalities)) == ("mosi", ["text"])


def test_a_dataset_from_outside_may_know_its_raw_media(tmp_path: Path):
    class Outside(Mosi):
        name = "outside"

        def raw(self, folder: Path) -> MediaSet:
            return Mosi().raw(folder / "inner")

    write_mosi(tmp_path / "outside/inner")
    assert len(find_media("outside", tmp_path, dataset=Outside()).clips) == 1


def test_what_is_not_there_is_said_with_what_to_do(tmp_path: Path):
    with pytest.raises(
        DataNotFound, match=r"mosj: nothing in .*mosj; expected a folder with media.yaml.*'mosi'"
    ):
        find_media("mosj", tmp_path)
    with pytest.raises(DataNotFound, match=r"epic: nothing in .*raw media of EPIC-Kitchens.*github"):
        find_media("epic", tmp_path)
    (tmp_path / "hust").mkdir()
    with pytest.raises(DataNotFound, match=r"no media.yaml in .*no layout of raw media is known for"):
        find_media("hust", tmp_path)
    with pytest.raises(DataNotFound, match=r"mosi: nothing in .*gone"):
        find_media("mosi", tmp_path, tmp_path / "gone")
    (tmp_path / "clips.zip").touch()
    with pytest.raises(DataError, match=r"clips.zip is a file; expected a folder"):
        find_media("mosi", tmp_path, tmp_path / "clips.zip")


def test_a_folder_of_arrays_in_the_way_is_no_folder_of_media(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A name that is a folder of the present place by chance is not taken for media."""
    (tmp_path / "mosi").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataNotFound, match=r"mosi: nothing in"):
        find_media("mosi", tmp_path / "data")


def test_these_sets_know_their_raw_media():
    from importlib import import_module

    known = []
    for name, place in DATASETS.items():
        module, _, attribute = place.partition(":")
        if isinstance(getattr(import_module(module), attribute)(), RawDataset):
            known.append(name)
    assert known == ["mosi", "mosei", "sims", "simsv2", "epic", "hac", "chipsal", "chipsal_sentiment"]
