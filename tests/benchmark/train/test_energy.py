"""Energy from counters as Linux shows them, in a folder that is laid out like its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmbench.benchmark.planning.experiment import Experiment
from mmbench.benchmark.planning.job_matrix import jobs_of
from mmbench.benchmark.report.chosen_tables import frames
from mmbench.benchmark.report.results import results
from mmbench.benchmark.store.store import Store
from mmbench.benchmark.train.energy import Counter, Energy, processors

from ..search.studies import finish, fit_record, predictions

MOST = 262_143_328_850  # microjoules: the range of many processors


def plant(folder: Path, zone: str, name: str, energy: int) -> Path:
    (folder / zone).mkdir(parents=True, exist_ok=True)
    (folder / zone / "name").write_text(f"{name}\n")
    (folder / zone / "max_energy_range_uj").write_text(f"{MOST}\n")
    (folder / zone / "energy_uj").write_text(f"{energy}\n")
    return folder / zone / "energy_uj"


def test_packages_and_memory_are_added_up_and_their_parts_are_not(tmp_path: Path):
    first = plant(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    second = plant(tmp_path, "intel-rapl:1", "package-1", 7_000_000)
    memory = plant(tmp_path, "intel-rapl:0:1", "dram", 500_000)
    others = [
        plant(tmp_path, "intel-rapl:0:0", "core", 0),
        plant(tmp_path, "intel-rapl:2", "psys", 0),
        plant(tmp_path, "intel-rapl-mmio:0", "package-0", 1_000_000),
    ]
    energy = Energy({"cpu": processors(tmp_path)})
    for file, joules in ((first, 3), (second, 4), (memory, 0.25), *((other, 1000) for other in others)):
        file.write_text(str(int(file.read_text()) + int(joules * 1e6)))
    assert energy.joules() == {"cpu": pytest.approx(7.25)}


def test_a_counter_that_begins_anew_is_counted_on(tmp_path: Path):
    file = plant(tmp_path, "intel-rapl:0", "package-0", MOST - 2_000_000)
    energy = Energy({"cpu": processors(tmp_path)})
    for value in (MOST - 1_000_000, 500_000, 2_500_000):
        file.write_text(str(value))
        energy.sample()
    assert energy.joules() == {"cpu": pytest.approx(4.5)}


@given(st.lists(st.floats(0.01, 99.0), min_size=1), st.floats(0, 100, exclude_max=True))
def test_the_sum_is_what_was_taken_however_often_it_began_anew(steps: list[float], start: float):
    taken = [start]
    energy = Energy({"cpu": [Counter(lambda: taken[0] % 100, 100.0)]})
    for step in steps:
        taken[0] += step
        energy.sample()
    assert energy.joules()["cpu"] == pytest.approx(sum(steps), rel=1e-6)


def test_nothing_is_stated_of_what_cannot_be_read(tmp_path: Path):
    assert processors(tmp_path) == []
    assert Energy({"cpu": processors(tmp_path / "none"), "gpu": []}).joules() == {}
    file = plant(tmp_path, "intel-rapl:0", "package-0", 5_000_000)
    still = Energy({"cpu": processors(tmp_path)})
    assert still.joules() == {}  # a counter that stands still counts nothing
    plant(tmp_path, "intel-rapl:1", "package-1", 5_000_000)
    partly = Energy({"cpu": processors(tmp_path)})
    file.write_text("6000000")
    (tmp_path / "intel-rapl:1" / "energy_uj").unlink()
    assert partly.joules() == {}  # one of two packages would be half of it
    file.write_text("no number")
    assert Energy({"cpu": processors(tmp_path)}).joules() == {}


def test_the_cost_of_a_row_states_energy_where_every_seed_has_it(tmp_path: Path, data_root: Path):
    asked = {"methods": ["erm"], "datasets": ["toy"], "seeds": [0, 1], "data_root": data_root}
    store = Store(tmp_path / "runs")
    for job, joules in zip(jobs_of(Experiment.read({**asked, "store": store.path})), (5.0, 7.0), strict=True):
        environment = {"seconds": {}, "energy_joules": {"cpu": joules}}
        finish(store, job, fit_record(0.5, 0.5), predicted=predictions(job, 0.1), environment=environment)
    ((_, cost),) = frames(["cost"], results(store.path))
    cpu, gpu = (cost[cost.metric == f"energy_{part}_joules"] for part in ("cpu", "gpu"))
    assert cpu["mean"].item() == pytest.approx(6.0)
    assert np.isnan(gpu["mean"].item())
    assert gpu["hole"].item() == "not recorded"
