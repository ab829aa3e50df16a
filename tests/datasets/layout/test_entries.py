"""YAML files that users write: what PyYAML lets pass and this project does not."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmbench.datasets.dataset import DataError
from mmbench.datasets.layout.entries import read_yaml

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(1 - 2**63, 2**63 - 1) | st.text("abc:#\"' é", max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(PLAIN)
def test_what_yaml_writes_comes_back(tmp_path: Path, content: object):
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    assert read_yaml(tmp_path / "a.yaml", "anything") == content


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3: 'a' again, first in line 1; expected each key once"),
        ("top:\n  sound: waveform\n  'sound': frames\n", "line 3: 'sound' again, first in line 2"),
        ("[{a: 1}, {0: x,\n 0: y}]", "line 2: '0' again, first in line 1"),
    ],
)
def test_a_key_given_twice_is_refused_with_its_line(tmp_path: Path, text: str, message: str):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(DataError) as caught:
        read_yaml(tmp_path / "a.yaml", "anything")
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "a.yaml"))


def test_a_merged_map_may_be_overridden(tmp_path: Path):
    (tmp_path / "a.yaml").write_text("base: &b {x: 1, y: 2}\nmine: {<<: *b, x: 3}\nlast: *b\n")
    assert read_yaml(tmp_path / "a.yaml", "anything") == {
        "base": {"x": 1, "y": 2},
        "mine": {"x": 3, "y": 2},
        "last": {"x": 1, "y": 2},
    }
