"""The static tables: which they are, whose they are, and what they say of words that everybody knows."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

from onward.pipelines.articles.linking import tables as link_tables
from onward.pipelines.articles.linking.tables import TABLES, base_form, senses, weight

FOLDER = Path(link_tables.__file__).parent


def test_the_code_names_the_tables_that_are_there() -> None:
    files = (FOLDER / "senses.json").read_bytes() + (FOLDER / "words.json").read_bytes()

    assert sha256(files).hexdigest().startswith(TABLES)


def test_the_senses_come_with_their_licence() -> None:
    licence = json.loads((FOLDER / "senses.json").read_bytes())["licence"]

    assert "Princeton University" in licence
    assert "THIS SOFTWARE AND DATABASE IS PROVIDED \"AS IS\"" in licence


@pytest.mark.parametrize(
    ("one", "other"), [("die", "death"), ("earthquake", "quake"), ("acquire", "acquisition"), ("arrest", "apprehend")]
)
def test_words_that_name_the_same_happening_share_a_sense(one: str, other: str) -> None:
    assert senses(one).own.keys() & senses(other).own.keys()


def test_murder_is_a_kind_of_killing() -> None:
    assert senses("murder").broader.keys() & senses("kill").own.keys()


def test_words_that_have_nothing_to_do_with_each_other_share_none() -> None:
    kill, elect = senses("kill"), senses("elect")

    assert not (kill.own.keys() | kill.broader.keys()) & (elect.own.keys() | elect.broader.keys())
    assert senses("xyzzy") == ({}, {})


def test_rare_words_weigh_more() -> None:
    assert weight("the") < weight("people") < weight("tsunami") <= weight("xyzzy") == 100


@pytest.mark.parametrize(
    ("form", "base"),
    [("checks", "check"), ("escaped", "escape"), ("stopped", "stop"), ("dies", "die"), ("killing", "killing"),
     ("oscars", "oscar"), ("parties", "party"), ("iris", "iris"), ("boss", "boss"), ("s", "s"), ("", "")],
)
def test_an_inflected_word_has_its_base_form(form: str, base: str) -> None:
    assert base_form(form) == base
