"""A method that asks for whole conversations gets them, in training, in prediction and under damage."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmbench.benchmark.core.protocol import Protocol
from mmbench.benchmark.data.split import Split
from mmbench.benchmark.data.tensors import TaskData, TaskRequest, load_task
from mmbench.benchmark.train.lightning_module import fit
from mmbench.benchmark.train.minibatches import minibatches, training_batches
from mmbench.benchmark.train.predict import outputs_under, prediction_table
from mmbench.benchmark.train.whole_conversations import ConversationMinibatches, packed
from mmbench.corruptions.condition import Clean
from mmbench.corruptions.features import GaussianNoise
from mmbench.corruptions.missing import Missing
from mmbench.datasets.batch import Batch, Conversations, Spec
from mmbench.datasets.locate import locate
from mmbench.methods.conversation.bc_lstm import BcLSTM, BcLSTMParams
from mmbench.methods.erm import ERM, ERMParams
from mmbench.methods.method import Method, NoParams, Output
from torch import Tensor, nn

from ..dialogues import dialogue_arrays, write_dialogues


def batch_of(number: list[int], order: list[int] | None = None) -> Batch:
    """Utterances of conversations; the id and the feature of each is its row."""
    rows = torch.arange(len(number))
    flags = torch.ones(len(rows), 1, dtype=torch.bool)
    said = Conversations(
        torch.tensor(number), rows if order is None else torch.tensor(order), torch.zeros_like(rows)
    )
    return Batch(
        {"text": rows.float().view(-1, 1, 1)}, {"text": flags}, {"text": flags[:, 0]}, rows.float(),
        torch.zeros_like(rows), rows, conversation=said,
    )  # fmt: skip


numbers = st.lists(st.integers(-3, 6), min_size=1, max_size=40)


@given(numbers, st.randoms())
def test_rows_hold_each_conversation_in_its_order_and_values_come_back(number, random):
    order = list(range(len(number)))
    random.shuffle(order)
    said = batch_of(number, order).conversation
    assert said is not None
    expected = [
        [row for _, row in sorted((order[row], row) for row in range(len(number)) if number[row] == one)]
        for one in sorted(set(number))
    ]
    assert [row[there].tolist() for row, there in zip(said.rows, said.mask, strict=True)] == expected
    values = torch.randn(len(number), 2)
    gathered = said.gather(values)
    assert (gathered[~said.mask] == 0).all()
    assert torch.equal(said.scatter(gathered), values)


@given(numbers, st.integers(1, 12), st.integers(0, 5), st.booleans())
def test_minibatches_hold_whole_conversations_and_a_pass_holds_each_once(number, size, steps, drop_last):
    batch = batch_of(number)
    known = {one: number.count(one) for one in number}
    data = ConversationMinibatches(batch, size, 3, steps, drop_last)
    parts = [part for _ in range(4) for part in data]
    assert len(parts) == 4 * len(data)
    found: dict[int, list[int]] = {}
    for place, part in enumerate(parts):
        assert part.conversation is not None
        values, counts = part.conversation.number.unique(return_counts=True)
        assert {int(v): int(c) for v, c in zip(values, counts, strict=True)} == {
            int(v): known[int(v)] for v in values
        }
        assert len(part) <= size or len(values) == 1
        found.setdefault(data.pass_of(*divmod(place, len(data))), []).extend(part.sample_id.tolist())
    whole = list(found.values())[:-1]  # the last pass may not be at its end
    for rows in whole:
        assert len(set(rows)) == len(rows)
        assert drop_last or len(rows) == len(number)


@pytest.mark.parametrize("ended", [0, 1, 3])
def test_a_training_that_was_interrupted_sees_what_it_would_have_seen(ended: int):
    batch = batch_of([row // 3 for row in range(40)])
    whole = ConversationMinibatches(batch, 10, 5, steps=3)
    found = [part.sample_id for _ in range(6) for part in whole]
    before = ConversationMinibatches(batch, 10, 5, steps=3)
    for _ in range(ended):
        list(before)
    rest = ConversationMinibatches(batch, 10, 5, steps=3)
    rest.go_on(before.passes, before.taken)
    after = [part.sample_id for _ in range(6 - ended) for part in rest]
    assert all(torch.equal(a, b) for a, b in zip(islice(found, 3 * ended, None), after, strict=True))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=20), st.integers(1, 12))
def test_as_many_conversations_as_fit_and_at_least_one(sizes, most):
    packs = packed(sizes, most)
    assert [place for pack in packs for place in pack] == list(range(len(sizes)))
    for pack, following in zip(packs, [*packs[1:], []], strict=True):
        total = sum(sizes[place] for place in pack)
        assert total <= most or len(pack) == 1
        assert not following or total + sizes[following[0]] > most


def test_domains_in_equal_parts_are_refused():
    batch = batch_of([0, 0, 1, 1])
    batch = Batch(**{**vars(batch), "domain": torch.tensor([0, 0, 1, 1])})
    with pytest.raises(ValueError, match="--balance-domains off"):
        training_batches(batch, Protocol.model_validate({"balance_domains": "on"}), False, 0)
    assert isinstance(training_batches(batch, Protocol.model_validate({}), False, 0), ConversationMinibatches)


def test_slices_of_a_batch_that_is_not_in_whole_conversations_are_refused():
    with pytest.raises(ValueError, match="do not lie together"):
        list(minibatches(batch_of([0, 1, 0]), 2))


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> TaskData:
    root = tmp_path_factory.mktemp("data")
    write_dialogues(root / "talk")
    request = TaskRequest("talk", ("x",), ("text", "audio"), True, "strict", True, "cpu")
    return load_task(request, {"talk": locate("talk", root)})


class Heard(Method):
    """Predicts the mean feature of the conversation so far, and remembers what it was given."""

    uses_conversation = True

    def __init__(self, params: NoParams, spec: Spec) -> None:
        super().__init__(params, spec)
        self.weight = nn.Parameter(torch.ones(spec.classes))
        self.seen: list[Batch] = []

    def forward(self, batch: Batch) -> Output:
        assert batch.conversation is not None
        own = batch.features["text"][:, 0, 0].where(batch.present["text"], 0)
        sums = batch.conversation.gather(own).cumsum(1) / torch.arange(
            1, batch.conversation.mask.shape[1] + 1
        )
        return Output(batch.conversation.scatter(sums)[:, None] * self.weight)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        self.seen.append(batch)
        return {"task": nn.functional.cross_entropy(self(batch).prediction, batch.target)}


def test_every_sample_keeps_what_it_has_and_its_prediction_is_that_of_its_conversation(raw: TaskData):
    """The table of predictions, by sample id, against a computation from the arrays as they are stored."""
    data = raw.as_read_by(Heard)
    method = Heard(NoParams(), data.spec("fair"))
    table = prediction_table(method, {"test": data.test}, [Clean()]).to_pandas().set_index("sample_id")
    split, said = raw.test, raw.test.conversation
    assert said is not None
    feature = split.batch.features["text"][:, 0, 0].numpy()
    assert set(table.index) == set(split.sample_id)
    for row, name in enumerate(split.sample_id):
        heard = (said.number == said.number[row]) & (said.order <= said.order[row])
        assert table.loc[name, "logit_0"] == pytest.approx(feature[heard.numpy()].mean(), abs=1e-5)
        assert table.loc[name, "target"] == split.target[row]
    # slices of few utterances give the same: a conversation is never cut
    batch = data.valid.batch
    with torch.no_grad():
        small = torch.cat([method(part).prediction for part in minibatches(batch, 3)])
        assert torch.allclose(small, method(batch).prediction, atol=1e-6)


def test_a_domain_without_validation_samples_validates_by_whole_conversations(tmp_path: Path):
    arrays = dialogue_arrays()
    place = np.array(["ab"[int(name[-1]) % 2] for name in arrays["dialogue"]])
    split = np.where((arrays["split"] == 1) & (place == "b"), 0, arrays["split"])
    write_dialogues(tmp_path / "talk", arrays={"place": place, "split": split}, domain="place")
    request = TaskRequest("talk/b->talk/a", ("x",), ("text",), True, "strict", True, "cpu")
    data = load_task(request, {"talk": locate("talk", tmp_path)})
    name_of = dict(zip(np.arange(len(place)).astype(str), arrays["dialogue"], strict=True))
    train, valid = ({name_of[one] for one in split.sample_id} for split in (data.train, data.valid))
    assert train
    assert valid
    assert not train & valid


def test_an_utterance_keeps_the_one_before_it_as_context(raw: TaskData):
    class Both(Heard):
        uses_context = True

    def before(split: Split) -> dict[str, str]:
        pairs = zip(split.sample_id, split.previous.tolist(), strict=True)
        return {str(name): str(split.sample_id[row]) if row >= 0 else "" for name, row in pairs}

    split = raw.as_read_by(Both).test
    assert before(split) == before(raw.test)
    context = split.batch.context
    assert context is not None
    assert context.conversation is None
    hashes = dict(zip(split.sample_id, split.batch.sample_id.tolist(), strict=True))
    expected = [hashes[name] for name in before(split).values() if name]
    assert context.sample_id[context.present["text"]].tolist() == expected


def test_damage_is_drawn_by_the_utterances_own_id(raw: TaskData):
    data = raw.as_read_by(Heard)
    method = Heard(NoParams(), data.spec("fair"))
    conditions = [GaussianNoise("text", 4), Missing(("text",))]
    found = outputs_under(method, data.test.batch, conditions)
    for condition in conditions:
        damaged = condition.apply(raw.test.batch)
        place = {int(one): row for row, one in enumerate(damaged.sample_id)}
        rows = torch.tensor([place[int(one)] for one in data.test.batch.sample_id])
        again = Batch(**{**vars(damaged.take(rows)), "conversation": data.test.batch.conversation})
        with torch.no_grad():
            assert torch.allclose(found[condition.name].prediction, method(again).prediction, atol=1e-6)

    rules = {"epochs": 1, "batch_size": 16, "train_with_noise": "spectrum", "train_with_missing": "patterns"}
    first, second = (Heard(NoParams(), data.spec("fair")) for _ in range(2))
    for one, size in ((first, 16), (second, 64)):  # whatever the batch is
        protocol = Protocol.model_validate({**rules, "batch_size": size})
        fit(one, protocol, data.train.batch, data.valid.batch, 2, lambda *_: None)
    states = [
        {int(i): b.features["text"][row] for b in one.seen for row, i in enumerate(b.sample_id)}
        for one in (first, second)
    ]
    assert states[0].keys() == states[1].keys() == set(data.train.batch.sample_id.tolist())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_the_label_that_another_speaker_said_before_is_learned_by_the_lstm_alone(raw: TaskData):
    protocol = Protocol.model_validate({"epochs": 8, "batch_size": 16, "learning_rate": 1e-2})
    found = {}
    kinds: list[tuple[type[Method], Any]] = [
        (ERM, ERMParams(8, 1)),
        (BcLSTM, BcLSTMParams(8, 1, hidden=16, dropout=0.0)),
    ]
    for kind, params in kinds:
        torch.manual_seed(0)
        data = raw.as_read_by(kind)
        method = kind(params, data.spec("fair"))
        fit(method, protocol, data.train.batch, data.valid.batch, 0, lambda *_: None)
        test = data.test.batch
        with torch.no_grad():
            right = method.eval()(test).prediction.argmax(1) == test.target
        later = data.test.previous >= 0  # of the first of a dialogue nobody can know
        found[kind] = float(right[later].float().mean())
    assert found[BcLSTM] > 0.9
    assert abs(found[ERM] - 0.5) < 0.15


def test_who_speaks_can_be_told_to_it():
    spec = Spec({"text": 1}, "classification", classes=2, steps={"text": 1})
    batch = batch_of([0, 0, 0, 1, 1])
    assert batch.conversation is not None
    other = Conversations(batch.conversation.number, batch.conversation.order, torch.tensor([0, 1, 0, 0, 30]))
    for speaker in (False, True):
        torch.manual_seed(0)
        method = BcLSTM(BcLSTMParams(layers=1, speaker=speaker), spec).eval()
        first, second = (
            method(Batch(**{**vars(batch), "conversation": one})).prediction
            for one in (batch.conversation, other)
        )
        assert torch.equal(first, second) is not speaker


def test_without_both_directions_the_future_is_not_read():
    spec = Spec({"text": 1}, "classification", classes=2, steps={"text": 1})
    batch = batch_of([0] * 5)
    changed = Batch(**{**vars(batch), "features": {"text": torch.tensor([0.0, 1, 2, 3, 9]).view(-1, 1, 1)}})
    for both in (False, True):
        method = BcLSTM(BcLSTMParams(layers=1, bidirectional=both), spec).eval()
        same = (method(batch).prediction == method(changed).prediction).all(1)
        assert same.tolist() == ([False] * 5 if both else [True] * 4 + [False])
    assert np.isfinite(method(batch).prediction.detach().numpy()).all()
