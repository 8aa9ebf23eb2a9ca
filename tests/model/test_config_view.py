"""A view of the settings records exactly what was read of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.model.config import ConfigView, flatten

NAMES = st.text("ab", min_size=1, max_size=2)
TREES = st.recursive(
    st.dictionaries(NAMES, st.integers(), max_size=3),
    lambda inner: st.dictionaries(NAMES, st.integers() | inner, max_size=3),
    max_leaves=8,
)
SETTINGS = {"segment.words": 5, "segment.overlap": 1, "clean": True, "a.b.c": "deep"}


@given(TREES, st.data())
def test_law_reads_are_exactly_the_names_that_were_asked_for(tree, data):
    flat = flatten(tree)
    view = ConfigView(flat)
    asked = data.draw(st.lists(st.sampled_from([*flat, "missing"]), max_size=5))

    for name in asked:
        view.get(name)

    assert view.reads == set(asked)


@given(TREES)
def test_law_iterating_reads_everything_and_gives_what_is_there(tree):
    flat = flatten(tree)
    view = ConfigView(flat)

    assert dict(view) == flat
    assert view.reads == set(flat)


@given(TREES)
def test_law_a_nested_view_is_its_prefix(tree):
    flat = flatten(tree)
    for name in {name.partition(".")[0] for name in flat if "." in name}:
        view = ConfigView(flat)
        table = view[name]
        if not isinstance(table, ConfigView):
            continue  # a setting of that name wins over the table
        mine = {key: value for key, value in flat.items() if key.startswith(name + ".")}

        assert view.reads == set()
        assert {f"{name}.{key}": value for key, value in table.items()} == mine
        assert view.reads == set(mine)


def test_a_table_reads_like_a_table():
    view = ConfigView(SETTINGS)

    assert view["segment"]["words"] == 5
    assert view["a"]["b"]["c"] == "deep"
    assert view.reads == {"segment.words", "a.b.c"}


def test_a_missing_setting_that_was_asked_for_is_recorded():
    view = ConfigView(SETTINGS)

    assert view.get("depth", 3) == 3
    assert "width" not in view
    with pytest.raises(KeyError):
        view["segment"]["height"]

    assert view.reads == {"depth", "width", "segment.height"}


def test_the_length_reads_everything():
    view = ConfigView(SETTINGS)

    assert len(view) == 4
    assert view.reads == set(SETTINGS)


def test_a_view_that_nobody_read_has_no_reads():
    assert ConfigView(SETTINGS).reads == set()


def test_settings_cannot_be_changed():
    with pytest.raises(TypeError):
        ConfigView(SETTINGS)["clean"] = False
