from __future__ import annotations

from pathlib import Path

import pytest
from mmbench.benchmark.cli.flags import experiment_from
from mmbench.benchmark.core.errors import UsageError
from mmbench.benchmark.core.protocol import Protocol, protocol_label
from mmbench.benchmark.planning.experiment import Experiment

ASKED = {"methods": "erm,ebmc(emc=false,cce=true)", "datasets": "mosi,mosei+mosi->sims", "seeds": "0-2,7"}


def test_texts_are_read_as_lists():
    experiment = Experiment.read(ASKED)
    assert experiment.methods == ["erm", "ebmc(emc=false,cce=true)"]
    assert experiment.seeds == [0, 1, 2, 7]
    assert [task.name for task in experiment.tasks] == ["mosi", "mosei+mosi->sims"]


def test_saved_experiment_is_the_same(tmp_path: Path):
    experiment = Experiment.read(
        {**ASKED, "preset": "quick", "protocol": {"name": "as-published", "epochs": 20}}
    )
    experiment.save(tmp_path / "asked.yaml")
    again = Experiment.load(tmp_path / "asked.yaml")
    assert again == experiment
    assert again.protocol.model_fields_set == experiment.protocol.model_fields_set


def test_another_protocol_than_the_file_s_starts_from_its_own_values(tmp_path: Path):
    saved = Experiment.read({**ASKED, "protocol": {"epochs": 33}, "store": "~/runs"})
    saved.save(tmp_path / "asked.yaml")
    published = experiment_from(tmp_path / "asked.yaml", {"name": "as-published"}).protocol
    assert published == Experiment.read({**ASKED, "protocol": "as-published"}).protocol
    assert experiment_from(tmp_path / "asked.yaml", {"batch_size": "7"}).protocol.epochs == 33
    assert saved.store == Path.home() / "runs"


def test_a_preset_takes_effect_on_a_saved_experiment(tmp_path: Path):
    Experiment.read({"methods": "erm", "datasets": "mosi"}).save(tmp_path / "asked.yaml")
    quick = experiment_from(tmp_path / "asked.yaml", {"preset": "quick"})
    assert quick == Experiment.read({"methods": "erm", "datasets": "mosi", "preset": "quick"})


def test_flags_and_file_give_the_same_experiment(tmp_path: Path):
    (tmp_path / "asked.yaml").write_text("methods: [erm]\ndatasets: [mosi]\nprotocol: {epochs: 3}\n")
    flags = {"methods": "erm", "datasets": "mosi", "epochs": "3"}
    assert experiment_from(tmp_path / "asked.yaml", {}) == experiment_from(None, flags)


def test_flags_take_the_place_of_the_file(tmp_path: Path):
    (tmp_path / "asked.yaml").write_text(
        "methods: [erm]\ndatasets: [mosi]\nprotocol: {epochs: 3, batch_size: 8}\n"
    )
    experiment = experiment_from(tmp_path / "asked.yaml", {"methods": "ebmc", "epochs": "9"})
    assert experiment.methods == ["ebmc"]
    assert (experiment.protocol.epochs, experiment.protocol.batch_size) == (9, 8)


def test_preset_lies_below_what_is_given():
    quick = Experiment.read({"methods": "erm", "datasets": "mosi", "preset": "quick"})
    assert len(quick.seeds) < len(Experiment.read({"methods": "erm", "datasets": "mosi"}).seeds)
    assert quick.protocol.epochs < Protocol().epochs  # pyright: ignore[reportCallIssue]
    given = Experiment.read({**ASKED, "preset": "quick", "protocol": {"epochs": 33}})
    assert (given.protocol.epochs, given.seeds) == (33, [0, 1, 2, 7])


def test_label_of_a_protocol_says_what_was_changed():
    changed = Experiment.read({**ASKED, "protocol": {"epochs": 3}}).protocol.model_dump()
    assert protocol_label(changed) == "fair (epochs=3)"
    assert protocol_label(Experiment.read(ASKED).protocol.model_dump()) == "fair"
    asked = Experiment.read({**ASKED, "protocol": {"name": "as-published", "epochs": 20}}).protocol
    assert asked.label({"epochs": 15, "batch_size": 24}) == "as-published (epochs=20)"
    assert asked.label({"epochs": 20}) == "as-published"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": ""}, "methods is empty"),
        ({"seeds": []}, "seeds is empty"),
        ({"seeds": ""}, "seeds is empty"),
        ({"seeds": "0,0"}, "twice"),
        ({"seeds": "-1"}, "'-1' is no seed"),
        ({"seeds": "five"}, "'five' is no seed: write 0,1,2 or 0-4"),
        ({"seeds": None}, "seeds is empty"),
        ({"seeds": 1.5}, r"seeds \(--seeds\): 1.5 is not allowed, expected a whole number"),
        ({"methods": "erm,erm"}, "'erm' twice"),
        (
            {"protocol": {"epochs": -3}},
            r"protocol.epochs \(--epochs\): -3 is not allowed, expected 1 or more",
        ),
        ({"protocol": {"batch_size": "0"}}, r"\(--batch-size\): '0' is not allowed, expected 1 or more"),
        ({"protocol": {"drop_last": "maybe"}}, r"\(--drop-last\): 'maybe' .*true or false"),
        ({"protocol": {"train_with_noise": "some"}}, r"\(--train-noise\): 'some' .*'off' or 'spectrum'"),
        ({"epochs": 3}, r"unknown option 'epochs': it belongs below protocol, as protocol: \{epochs: ...\}"),
        ({"draws": 3}, "it belongs below search"),
        ({"dataset": "mosi", "datasets": None}, "unknown option 'dataset': did you mean datasets"),
        ({"preset": "paper", "seeds": "0"}, "^a search draws its own seeds"),
        ({"protocol": {"epoch": 3}}, "unknown option 'protocol.epoch': did you mean epochs"),
        ({"protocol": {"learning_rate": 0}}, r"\(--learning-rate\): 0 is not allowed, expected more than 0"),
        ({"protocol": {"learning_rate": "0,001"}}, "'0,001' .*with a point and no comma"),
        ({"protocol": "faire"}, "'fair' or 'as-published'"),
        ({"method": "erm"}, "unknown option 'method': did you mean methods"),
        ({"workers": 0}, "workers"),
        ({"datasets": "mosi->"}, "not a task|dataset"),
        ({"datasets": "mosi+mosei"}, "not a task"),
        ({"preset": "huge"}, "preset"),
    ],
)
def test_wrong_value_is_one_line_that_names_it(change: dict, message: str):
    with pytest.raises(UsageError, match=message) as error:
        Experiment.read({**ASKED, **change})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", ["- a\n- b\n", "methods: [erm\n", "\x00"])
def test_broken_file_is_one_line_that_names_it(tmp_path: Path, content: str):
    (tmp_path / "asked.yaml").write_text(content)
    with pytest.raises(UsageError, match=r"asked\.yaml") as error:
        Experiment.load(tmp_path / "asked.yaml")
    assert "\n" not in str(error.value)


def test_yaml_cannot_build_objects(tmp_path: Path):
    (tmp_path / "asked.yaml").write_text("methods: !!python/object/apply:os.system ['touch owned']\n")
    with pytest.raises(UsageError, match="not YAML"):
        Experiment.load(tmp_path / "asked.yaml")
