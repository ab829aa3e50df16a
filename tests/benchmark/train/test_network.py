"""A trained network is loaded as it was tested."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mmbench.benchmark import Experiment, UsageError, load_network, plan, predictions, run


def test_a_loaded_network_predicts_what_is_stored(tmp_path: Path, data_root: Path) -> None:
    store = tmp_path / "runs"
    asked = {
        "methods": "erm(layers=1)",
        "datasets": "toyc",
        "seeds": [3],
        "launcher": "debug",
        "device": "cpu",
    }
    experiment = Experiment.read({**asked, "data_root": data_root, "store": store, "protocol": {"epochs": 2}})
    (job,) = plan(experiment).todo
    with pytest.raises(UsageError, match="no results"):
        load_network(store, job.id, data_root)
    assert run(experiment).ok
    trained = load_network(store, job.id, data_root)
    with torch.no_grad():
        found = trained.method(trained.data.test.batch).prediction.numpy()
    table = predictions(store, job.id)
    table = table[(table["split"] == "test") & (table["condition"] == "clean")]
    assert table["sample_id"].tolist() == trained.data.test.sample_id.tolist()
    np.testing.assert_allclose(found, np.asarray(table[["logit_0", "logit_1"]]), atol=1e-6)
    assert not trained.method.training
    with pytest.raises(UsageError, match="no job 'other'"):
        load_network(store, "other", data_root)
