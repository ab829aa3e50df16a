"""What a command refuses: one line, before anything runs or is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ..conftest import Command
from .test_run import TOY


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "--methods", "ebmcc", "--datasets", "toy"), "unknown method 'ebmcc': did you mean ebmc"),
        (("run", "--methods", "erm", "--datasets", "tiy"), "unknown dataset 'tiy': did you mean toy?"),
        (("run", "--methods", "erm", "--datasets", "mosi"), "mmbench data synth mosi"),
        (("run", "--datasets", "toy"), "methods is not given"),
        (("run", "--methods", "erm", "--datasets", "toy", "--seeds", ""), "seeds is empty"),
        (
            ("run", "--methods", "erm", "--datasets", "toy", "--epochs", "-1"),
            "--epochs): '-1' is not allowed, expected 1 or more",
        ),
        (("run", "--methods", "erm", "--datasets", "toy", "--modalities", "V"), "has no modality 'V'"),
        (("run", "--methods", "erm", "--datasets", "toy", "--device", "tpu"), "device: 'tpu'"),
        (
            ("run", "--methods", "erm", "--datasets", "toy", "--device", "cuda:7"),
            "--device cuda:7: no GPU can be used here (CUDA_VISIBLE_DEVICES hides all): use --device cpu, or --launcher slurm",
        ),
        (("run", "--methods", "erm", "--datasets", "toy", "--plugin", "no.py"), "no.py"),
        (("run", "--config", "no.yaml"), "no.yaml: cannot be read"),
        (("run", "no.yaml"), "a file of options is given by --config no.yaml"),
        (("run", "--methods", "mine", "--datasets", "toy"), "comes from a file: --plugin FILE.py"),
        (("run", "--methods", "erm", "--datasets", "toy-"), "a shift stands in quotes"),
        (("run", "--methods", "erm", "--datasets", "toy→toyc"), "a shift is written with ->, in quotes"),
        (("run", "--method", "erm"), "No such option"),
        (("status", "--store", "nowhere"), "no results in nowhere"),
        (("leaderboard", "--store", "nowhere"), "no results in nowhere"),
        (("show", "ermm"), "did you mean erm"),
        (("leaderboard", "--store", "data", "--seeds", "x"), "write 0,1,2 or 0-4"),
        (("run", "--methods", "erm", "--datasets", "toy", "--launcher", "debug", "--device", "tpu"), "'tpu'"),
        (("run", "--methods", "erm", "--datasets", "toy", "--save-config", "/proc/no/a.yaml"), "/proc/no"),
        (("data", "info", "nothing"), "unknown dataset 'nothing'"),
        (("plan", "--methods", "erm", "--datasets", "toy", "--format", "xml"), "text or json"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    mmbench: Command, tmp_path: Path, arguments: tuple, message: str
):
    before = sorted(tmp_path.rglob("*"))
    ended = mmbench(*arguments, CUDA_VISIBLE_DEVICES="", TERM="dumb", COLUMNS="200")
    assert ended.returncode == 2
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
    assert sorted(tmp_path.rglob("*")) == before
    if "No such option" not in message:
        assert ended.stderr.startswith("mmbench: ")
        assert len(ended.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("fault", ["no samples", "nan", "truncated", "label"])
def test_faulty_data_end_a_run_before_it_begins(
    mmbench: Command, tmp_path: Path, data_root: Path, fault: str
):
    file = data_root / "toy" / "valid.npz"
    with np.load(file) as stored:
        arrays = dict(stored)
    if fault == "no samples":
        arrays = {name: array[:0] for name, array in arrays.items()}
    elif fault == "nan":
        arrays["features.text"][0, 0, 0] = np.nan
    elif fault == "label":
        arrays["label"][0] = 17
    np.savez(file, **arrays)
    if fault == "truncated":
        file.write_bytes(file.read_bytes()[:500])
    for _ in range(2):  # what is faulty is not remembered as being in order
        ended = mmbench("run", *TOY, "--seeds", "0")
        assert ended.returncode == 2
        assert str(file) in ended.stderr
        assert len(ended.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_datasets_that_do_not_go_together_end_a_run_before_it_begins(mmbench: Command, tmp_path: Path):
    ended = mmbench("run", "--methods", "erm", "--datasets", "toy->toyw")
    assert ended.returncode == 2
    assert "--widths project" in ended.stderr
    assert "cannot be joined" in mmbench("run", "--methods", "erm", "--datasets", "toy->toyc").stderr
    assert not (tmp_path / "runs").exists()


def test_a_folder_without_its_description_is_named_with_what_it_has(
    mmbench: Command, data_root: Path
) -> None:
    (data_root / "toy" / "dataset.yaml").rename(data_root / "toy" / "dataset.yml")
    for arguments in (("data", "info", "toy"), ("plan", "--methods", "erm", "--datasets", "toy")):
        ended = mmbench(*arguments)
        assert ended.returncode == 2
        assert "has no dataset.yaml" in ended.stderr
        assert "dataset.yml" in ended.stderr


def test_a_file_of_another_name_is_named(mmbench: Command, data_root: Path) -> None:
    (data_root / "mosi").mkdir()
    (data_root / "mosi" / "feature.pkl").write_bytes(b"")
    said = mmbench("data", "info", "mosi").stderr
    assert "feature.pkl is there: --data mosi=" in said
    (data_root / "mosi" / "aligned_50.pkl").write_bytes(b"")  # of which the data root may be the folder
    assert (
        "mosi/aligned_50.pkl is there: --data mosi="
        in mmbench("data", "info", "mosi", "--data-root", str(data_root / "mosi")).stderr
    )
    (data_root / "mosi" / "aligned_50.pkl").unlink()
    assert mmbench("data", "synth", "mosi").returncode == 0
    file = data_root / "mosi" / "mosi.pkl"
    for given in (file, f"mosi={file}"):  # as `run` takes it, too
        assert mmbench("data", "info", "mosi", "--data", str(given)).returncode == 0


def test_data_of_one_s_own_are_no_class_to_check(mmbench: Command) -> None:
    said = mmbench("check", "dataset", "toy").stderr
    assert "mmbench data info toy" in said
    assert "Traceback" not in said


def test_names_that_cannot_stand_in_a_task_are_named_when_data_are_looked_at(
    mmbench: Command, data_root: Path
) -> None:
    file = data_root / "toy" / "train.npz"
    with np.load(file) as stored:
        arrays = dict(stored)
    arrays["domain"] = np.array(["a+b"] * len(arrays["label"]))
    np.savez(file, **arrays)
    (data_root / "toy").rename(data_root / "to*y")
    said = mmbench("data", "info", "to*y").stdout
    assert (
        "a dataset called 'to*y' cannot stand in a task, where * has a meaning (--datasets): rename its folder"
        in said
    )
    assert "a domain called 'a+b' cannot stand in a task, where + has a meaning" in said


def test_a_device_that_cannot_be_meant_is_refused_by_plan_too(mmbench: Command) -> None:
    for device, refused in (("gpu", True), ("cuda:x", True), ("cpu,cuda:0", True), ("cuda:0,cuda:1", False)):
        ended = mmbench("plan", "--methods", "erm", "--datasets", "toy", "--device", device)
        assert ("write auto, cpu, cuda, or cuda:0,cuda:1" in ended.stderr) == refused


def test_checks_are_listed_by_what_is_promised_alone(mmbench: Command) -> None:
    said = mmbench("check", "dataset", "mosi").stdout
    assert "Its stand-in is written, found again, and says that it is synthetic." in " ".join(said.split())
    assert "Args:" not in said
