"""A fingerprint is equal if and only if its parts are, and a difference names the first part that differs."""

from __future__ import annotations

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from onward.model.fingerprint import Recipe, canonical, digest_of, fingerprint

SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(SCALARS | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3), max_leaves=5)
NAMES = st.text("abc.", min_size=1, max_size=3)
CONFIGS = st.dictionaries(NAMES, VALUES, max_size=4)
STEPS = st.dictionaries(NAMES, st.sampled_from(["d1", "d2", "d3"]), max_size=4)
RECIPES = st.builds(Recipe, steps=STEPS, depends=STEPS, config=CONFIGS)


def _spelled(recipe: Recipe) -> tuple[object, ...]:
    depends = dict(sorted(recipe.depends.items()))
    return (list(recipe.steps.items()), depends, canonical(dict(recipe.config)))


@given(RECIPES, RECIPES, st.sampled_from(["c1", "c2"]), st.sampled_from(["c1", "c2"]))
def test_law_fingerprints_are_equal_if_and_only_if_all_parts_are(one, other, content_one, content_other):
    same = content_one == content_other and _spelled(one) == _spelled(other)

    assert (fingerprint(content_one, one) == fingerprint(content_other, other)) == same


@given(RECIPES, st.randoms(use_true_random=False))
def test_law_the_order_of_keys_is_nothing(recipe, chance):
    def shuffled(mapping):
        pairs = list(mapping.items())
        chance.shuffle(pairs)
        return dict(pairs)

    other = Recipe(steps=recipe.steps, depends=shuffled(recipe.depends), config=shuffled(recipe.config))

    assert fingerprint("c", other) == fingerprint("c", recipe)
    assert recipe.difference(other) is None


@given(STEPS)
def test_law_the_order_of_steps_counts(steps):
    backwards = dict(reversed(steps.items()))
    one, other = Recipe(steps=steps), Recipe(steps=backwards)

    assert (fingerprint("c", one) == fingerprint("c", other)) == (len(steps) < 2)
    assert (one.difference(other) is None) == (len(steps) < 2)


@given(VALUES, VALUES)
def test_law_canonical_json_is_one_spelling_a_value(one, other):
    assert json.loads(canonical(one)) == one
    assert canonical(json.loads(canonical(one))) == canonical(one)
    if canonical(one) == canonical(other):
        assert one == other


@given(st.lists(VALUES, max_size=3), st.lists(VALUES, max_size=3))
def test_law_two_lists_never_share_a_preimage(one, other):
    assert (digest_of(*one) == digest_of(*other)) == (canonical(one) == canonical(other))


def test_parts_do_not_run_into_each_other():
    assert digest_of("ab", "c") != digest_of("a", "bc")
    assert digest_of("a") != digest_of(["a"])
    assert digest_of(1) != digest_of(1.0) != digest_of(True)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("-inf")]])
def test_what_has_no_one_spelling_is_refused(value):
    with pytest.raises(ValueError, match="JSON"):
        canonical(value)


def test_a_digest_has_a_tag_and_64_digits():
    digest = fingerprint("sha256:00", Recipe())

    assert digest.startswith("sha256:")
    assert len(bytes.fromhex(digest[7:])) == 32


@given(RECIPES, RECIPES)
def test_law_there_is_no_difference_if_and_only_if_what_was_read_is_equal(before, today):
    """A setting that is missing and one that is null are one, as `get` sees them."""
    read = all(canonical(today.config.get(key)) == canonical(value) for key, value in before.config.items())
    same = list(before.steps.items()) == list(today.steps.items()) and before.depends == today.depends and read

    assert (before.difference(today) is None) == same


@given(RECIPES, CONFIGS)
def test_law_settings_that_were_not_read_make_no_difference(recipe, more):
    today = Recipe(steps=recipe.steps, depends=recipe.depends, config={**more, **recipe.config})

    assert recipe.difference(today) is None


@given(RECIPES, STEPS, STEPS, CONFIGS)
def test_law_the_first_part_is_named_code_then_libraries_then_config(before, steps, depends, config):
    assume(list(steps.items()) != list(before.steps.items()))
    assert str(before.difference(Recipe(steps=steps, depends=depends, config=config))).startswith("code-changed:")

    assume(depends != dict(before.depends))
    today = Recipe(steps=before.steps, depends=depends, config=config)
    assert before.difference(today) == "dependency-changed"


@given(RECIPES, st.data())
def test_law_a_changed_setting_is_named(recipe, data):
    assume(recipe.config)
    key = data.draw(st.sampled_from(sorted(recipe.config)))
    value = data.draw(VALUES.filter(lambda value: canonical(value) != canonical(recipe.config[key])))

    today = Recipe(steps=recipe.steps, depends=recipe.depends, config={**recipe.config, key: value})

    assert recipe.difference(today) == f"config-changed:{key}"


@pytest.mark.parametrize(
    ("before", "today", "named"),
    [
        ({"a": "1", "b": "1"}, {"a": "1", "b": "2"}, "b"),
        ({"a": "1"}, {"a": "1", "b": "2"}, "b"),
        ({"a": "1", "b": "1"}, {"a": "1"}, "b"),
        ({"a": "1", "b": "1"}, {"b": "1", "a": "1"}, "b"),
        ({"a": "1"}, {}, "a"),
    ],
    ids=["edited", "added", "removed", "moved", "none left"],
)
def test_the_step_that_changed_is_named(before, today, named):
    assert Recipe(steps=before).difference(Recipe(steps=today)) == f"code-changed:{named}"
