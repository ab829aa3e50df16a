"""Daily and Sports Activities, eight people, described without Python. Skipped where the file is not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mmbench.benchmark.planning.experiment import Experiment
from mmbench.benchmark.planning.job_matrix import jobs_of

DESCRIPTION = """
title: Daily and Sports Activities
file: $MMBENCH_TEST_FILE
modalities: {acceleration: acc, gyroscope: gyr, magnetometer: mag}
task: {kind: classification, classes: 19}
label: label
domain: {array: domain, values: {0: p1, 1: p2, 2: p3, 3: p4, 4: p5, 5: p6, 6: p7, 7: p8}}
split: {array: segment, values: {0-39: train, 40-49: valid, 50-59: test}}
"""


def test_one_person_is_left_out_in_turn(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmbench.benchmark.core.task import Task
    from mmbench.benchmark.data.domains import samples_of_place
    from mmbench.datasets.locate import locate

    monkeypatch.setenv("MMBENCH_TEST_FILE", str(real_data / "dsads.npz"))
    (tmp_path / "dsads").mkdir()
    (tmp_path / "dsads" / "dataset.yaml").write_text(DESCRIPTION)
    jobs = jobs_of(
        Experiment.read({"methods": "erm", "datasets": "dsads/*", "data_root": tmp_path, "seeds": "0"})
    )
    tasks = [Task.parse(job.task) for job in jobs]
    assert [task.target for task in tasks] == [f"dsads/p{number}" for number in range(1, 9)]
    splits = locate("dsads", tmp_path).load()
    for place in tasks[0].places:
        parts = samples_of_place(splits, place, tasks[0])
        assert [len(part) for part in parts.values()] == [19 * 40, 19 * 10, 19 * 10]
        own = samples_of_place(
            splits, place, Task((place,), place)
        )  # what the oracle of this person is made of
        assert own["test"].sample_id.tolist() == parts["test"].sample_id.tolist()
        ids = [set(part.sample_id) for part in own.values()]
        assert len(set.union(*ids)) == sum(map(len, ids)) == 19 * 60
        assert all((np.bincount(part.target) == len(part) / 19).all() for part in parts.values())
