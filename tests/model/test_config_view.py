"""A view of the settings records exactly what was read of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.model.config import ConfigView, flatten, is_secret, value_read, without_password
from onward.model.fingerprint import Recipe

NAMES = st.text("ab", min_size=1, max_size=2)
TREES = st.recursive(
    st.dictionaries(NAMES, st.integers(), max_size=3),
    lambda inner: st.dictionaries(NAMES, st.integers() | inner, max_size=3),
    max_leaves=8,
)
SETTINGS = {"segment.words": 5, "segment.overlap": 1, "clean": True, "a.b.c": "deep"}


def named(view):
    """Return the settings that were read, without what tells that there are no more of them."""
    return {name for name in view.reads if not name.endswith("*")}


@given(TREES, st.data())
def test_law_reads_are_exactly_the_names_that_were_asked_for(tree, data):
    flat = flatten(tree)
    view = ConfigView(flat)
    asked = data.draw(st.lists(st.sampled_from([*flat, "missing"]), max_size=5))

    for name in asked:
        view.get(name)

    assert named(view) == set(asked)


@given(TREES)
def test_law_iterating_reads_everything_and_gives_what_is_there(tree):
    flat = flatten(tree)
    view = ConfigView(flat)

    assert dict(view) == flat
    assert named(view) == set(flat)


@given(TREES)
def test_law_a_nested_view_is_its_prefix(tree):
    flat = flatten(tree)
    for name in {name.partition(".")[0] for name in flat if "." in name}:
        view = ConfigView(flat)
        table = view[name]
        if not isinstance(table, ConfigView):
            continue  # a setting of that name wins over the table
        mine = {key: value for key, value in flat.items() if key.startswith(name + ".")}

        assert named(view) == set()
        assert {f"{name}.{key}": value for key, value in table.items()} == mine
        assert named(view) == set(mine)


def test_a_table_reads_like_a_table():
    view = ConfigView(SETTINGS)

    assert view["segment"]["words"] == 5
    assert view["a"]["b"]["c"] == "deep"
    assert named(view) == {"segment.words", "a.b.c"}


def test_a_missing_setting_that_was_asked_for_is_recorded():
    view = ConfigView(SETTINGS)

    assert view.get("depth", 3) == 3
    assert "width" not in view
    with pytest.raises(KeyError):
        view["segment"]["height"]

    assert named(view) == {"depth", "width", "segment.height"}


def test_the_length_reads_everything():
    view = ConfigView(SETTINGS)

    assert len(view) == 4
    assert named(view) == set(SETTINGS)


def test_a_view_that_nobody_read_has_no_reads():
    assert ConfigView(SETTINGS).reads == set()


def test_settings_cannot_be_changed():
    with pytest.raises(TypeError):
        ConfigView(SETTINGS)["clean"] = False


def test_a_setting_that_joins_those_that_were_iterated_is_a_change():
    view = ConfigView({"a": 1})
    list(view)
    before = Recipe(config={name: value_read({"a": 1}, name) for name in view.reads})

    assert before.difference(Recipe(config={"a": 1})) is None
    assert before.difference(Recipe(config={"a": 1, "b": 2})) == "config-changed:*"


def test_a_table_that_appears_where_none_was_is_a_change():
    view = ConfigView({})
    assert view.get("segment") is None
    before = Recipe(config={name: value_read({}, name) for name in view.reads})

    assert before.difference(Recipe(config={})) is None
    assert before.difference(Recipe(config={"segment.words": 5})) == "config-changed:segment.*"


@pytest.mark.parametrize("name", ["password", "db.password", "API_KEY", "api-key", "auth.token", "token", "dsn.pw"])
def test_a_name_with_a_secret_word_is_secret(name):
    assert is_secret(name)


@pytest.mark.parametrize("name", ["max_tokens", "tokenizer", "keys", "key", "secretary", "sort_key", "monkey"])
def test_a_name_that_only_looks_like_one_is_not(name):
    assert not is_secret(name)


def test_the_password_of_a_url_is_out_of_sight_and_the_rest_is_not():
    assert without_password("see postgresql://me:hunter2@host:5432/db!") == "see postgresql://me:***@host:5432/db!"
    assert without_password("https://host/path?a=b:c@d") == "https://host/path?a=b:c@d"


def test_a_step_that_falls_back_to_no_settings_has_read_none_of_them():
    view = ConfigView({"limit": 3})

    chosen = view or {}

    assert chosen["limit"] == 3
    assert view.reads == {"limit"}
