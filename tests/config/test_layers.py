"""Do layers merge as promised, and does the commented YAML hold exactly the settings?"""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from vctrain.config.layers import Merged, commented_yaml, leaves
from vctrain.errors import UsageError

_KEYS = st.sampled_from(["a", "b", "c", "lr"])
_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
_VALUES = st.recursive(
    _SCALARS | st.lists(_SCALARS, max_size=3),
    lambda inner: (
        st.dictionaries(_KEYS, inner, min_size=1, max_size=3)
        | st.lists(st.dictionaries(_KEYS, inner, min_size=1, max_size=2), min_size=1, max_size=2)
    ),
    max_leaves=8,
)
_LAYERS = st.dictionaries(_KEYS, _VALUES, max_size=4)


@given(_LAYERS, _LAYERS)
def test_every_leaf_of_the_upper_layer_holds_and_has_its_source(lower, upper):
    merged = Merged({})
    merged.add(lower, "lower")
    merged.add(upper, "upper")
    found = dict(leaves(merged.values))
    for path, value in leaves(upper):
        if path and value != {}:
            assert found[path] == value
            assert merged.sources[path] == "upper"
    assert set(merged.sources) >= {path for path, value in found.items() if path and value != {}}


@given(_LAYERS)
def test_commented_yaml_reads_back_the_same(values):
    if values:
        assert yaml.safe_load(commented_yaml(values, {})) == values


def test_another_type_replaces_and_the_same_type_merges():
    merged = Merged({"head": {"type": "big", "width": 3, "bias": True}})
    merged.add({"head": {"type": "big", "width": 4}}, "one")
    assert merged.values["head"] == {"type": "big", "width": 4, "bias": True}
    merged.add({"head": {"type": "none"}}, "two")
    assert merged.values["head"] == {"type": "none"}
    assert merged.sources == {"head.type": "two"}


def test_an_item_of_a_list_is_set_by_its_number():
    merged = Merged({"blocks": [{"channels": 4, "kernel": [3]}, {"channels": 8}]})
    merged.add({"blocks": {"1": {"channels": 9}}}, "--set")
    assert merged.values["blocks"] == [{"channels": 4, "kernel": [3]}, {"channels": 9}]
    assert merged.source("blocks.1.channels") == "--set"
    with pytest.raises(UsageError, match=r"blocks\.2 in --set"):
        merged.add({"blocks": {"2": {"channels": 9}}}, "--set")


def test_layers_share_nothing_with_what_they_were_made_of():
    layer = {"blocks": [{"channels": 4}]}
    merged = Merged({})
    merged.add(layer, "file")
    merged.add({"blocks": {"0": {"channels": 5}}}, "--set")
    assert layer == {"blocks": [{"channels": 4}]}
