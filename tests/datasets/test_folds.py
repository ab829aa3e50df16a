"""The draws of folds: what holds whatever the samples are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbench.datasets.folds import draw_folds, folds_of_groups


@st.composite
def samples(draw):
    """A number of folds, and the class and group of each of some samples; enough of both."""
    count = draw(st.integers(2, 6))
    rows = draw(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20)), min_size=3 * count, max_size=120))
    rows += [(0, 100 + place) for place in range(count)]  # as many groups as folds
    return count, np.array([kind for kind, _ in rows]), [f"g{group}" for _, group in rows]


@given(samples())
@settings(max_examples=60, deadline=None)
def test_single_samples_are_dealt_out_evenly_by_class(given):
    count, classes, _ = given
    names = [f"s{row}" for row in range(len(classes))]
    folds = draw_folds(count, names, classes=classes)
    sizes = np.bincount(folds, minlength=count)
    assert len(sizes) == count
    assert np.ptp(sizes) <= 1
    for kind in np.unique(classes):
        assert np.ptp(np.bincount(folds[classes == kind], minlength=count)) <= 1


@given(samples(), st.randoms())
@settings(max_examples=60, deadline=None)
def test_groups_stay_whole_no_fold_is_empty_and_order_has_no_say(given, random):
    count, classes, groups = given
    names = [f"s{row}" for row in range(len(classes))]
    order = list(range(len(names)))
    random.shuffle(order)
    for wholes in (None, groups):
        folds = draw_folds(count, names, classes=classes, groups=wholes)
        assert sorted(set(folds.tolist())) == list(range(count))
        if wholes is not None:
            assert len({*zip(wholes, folds.tolist(), strict=True)}) == len(set(wholes))
        again = draw_folds(
            count,
            [names[row] for row in order],
            classes=classes[order],
            groups=None if wholes is None else [wholes[row] for row in order],
        )
        assert again.tolist() == folds[order].tolist()


def test_grouped_folds_are_as_even_as_those_of_scikit_learn():
    model_selection = pytest.importorskip("sklearn.model_selection")
    own, theirs = [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(40), rng.integers(1, 30, 40))
        classes = (rng.random(len(groups)) < rng.beta(0.5, 2, 40)[groups]).astype(int)
        folds = draw_folds(
            5, list(map(str, range(len(groups)))), classes=classes, groups=list(map(str, groups))
        )
        own.append(_spread(folds, classes))
        other = np.empty(len(groups), int)
        splitter = model_selection.StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        for fold, (_, test) in enumerate(splitter.split(groups, classes, groups)):
            other[test] = fold
        theirs.append(_spread(other, classes))
    assert np.mean(own) <= np.mean(theirs)


def _spread(folds: np.ndarray, classes: np.ndarray) -> float:
    """The standard deviation over folds of the share of each class, mean over classes."""
    shares = [np.bincount(folds[classes == kind], minlength=5) / (classes == kind).sum() for kind in (0, 1)]
    return float(np.std(shares, axis=1).mean())


def test_each_group_is_a_fold_in_the_order_of_their_names():
    assert folds_of_groups(["b", "a", "c", "a"]).tolist() == [1, 0, 2, 0]


def test_too_few_groups_are_an_error():
    with pytest.raises(ValueError, match="there are 2 groups for 3 folds"):
        draw_folds(3, ["1", "2", "3"], groups=["a", "b", "a"])
    with pytest.raises(ValueError, match="there are 2 samples for 3 folds"):
        draw_folds(3, ["1", "2"])
    with pytest.raises(ValueError, match="nothing can be left out"):
        folds_of_groups(["a", "a"])
