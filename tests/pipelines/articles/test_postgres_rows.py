"""Results on their way to PostgreSQL and back: nothing is lost, and one digest fits what is staged and what is read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onward.errors import ResultInvalid
from onward.pipelines.articles.postgres import rows
from onward.pipelines.articles.postgres.sink import PostgresArticles, postgres_articles
from services.postgres import PostgresServer

TEXT = st.text(st.characters(), max_size=8)
NUMBERS = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False))
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXT)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6
)
ENTITIES = st.fixed_dictionaries(
    {}, optional={"text": SCALARS, "label": SCALARS, "start": SCALARS, "end": SCALARS, "x": VALUES}
)
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "id": SCALARS, "who": SCALARS, "sentence": NUMBERS, "confidence": SCALARS, "spans": VALUES, "y": VALUES,
        "cluster": SCALARS,
    },
)
ARTICLES = st.fixed_dictionaries(
    {"doc_id": SCALARS, "entities": st.lists(ENTITIES, max_size=3), "events": st.lists(EVENTS, max_size=3)},
    optional={
        "title": SCALARS, "published_at": SCALARS, "timings_s": VALUES, "llm": VALUES, "more": VALUES, "z": VALUES,
        "sentences": st.lists(VALUES, max_size=2),
    },
)


@pytest.fixture(scope="module")
def sink(postgres_server: PostgresServer) -> Iterator[PostgresArticles]:
    one = postgres_articles()
    one.prepare(postgres_server.url(postgres_server.new_database()))
    yield one
    one.close()


@given(result=ARTICLES)
def test_a_result_is_put_together_again_as_it_was(result: dict[str, Any]) -> None:
    normal = rows.normal(result)

    assert rows.unstored(rows.stored(normal)) == normal
    assert rows.normal(normal) == normal


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(result=ARTICLES)
def test_what_the_tables_say_has_the_digest_of_what_was_staged(result: dict[str, Any], sink: PostgresArticles) -> None:
    token = "1.1.1.staged"

    staged = sink.stage(token, result, key="a")
    assert sink.has_staged(token, staged.digest)
    sink.publish(token, "a")
    sink.sync_published()

    assert sink.digests(["a", "b"]) == [staged.digest, None]
    assert sink.has_published("a", staged.digest)
    data = sink.read("a")
    assert data is not None
    assert len(data) == staged.size_bytes
    assert json.loads(data) == json.loads(rows.canonical(rows.normal(result)))


def test_numbers_that_are_equal_have_one_spelling_and_others_do_not() -> None:
    def digest(number: object) -> str:
        return rows.digest_of(rows.canonical(rows.normal({"x": number})))

    assert digest(2.0) == digest(2)
    assert digest(1e22) == digest(10**22)
    assert len({digest(one) for one in (0.1, 0.2, 2, True, "2", 2.5, -2)}) == 7


def test_a_text_with_nul_comes_back_whole_and_a_person_reads_it_escaped(sink: PostgresArticles) -> None:
    result = {"doc_id": "nul\0", "entities": [{"text": "a\0b\x01c\ud800"}]}

    sink.stage("1.2.1.staged", result, key="n")
    sink.publish("1.2.1.staged", "n")
    sink.sync_published()

    data = sink.read("n")
    assert data is not None
    assert json.loads(data)["entities"][0]["text"] == "a\0b\x01c\ud800"
    with psycopg.connect(sink.database.shown) as db:
        found = db.execute("SELECT text FROM articles.entity WHERE key = 'n'").fetchone()
    assert found == ("a\x01\x01b\x01\x02c\x01\x03d800",)


@pytest.mark.parametrize(
    ("result", "why"),
    [
        ([1], "is a list"),
        ({"entities": {}}, "'entities' of the result is a dict"),
        ({"events": [3]}, "'events' of the result is a int"),
        ({"x": float("nan")}, "cannot be written as JSON"),
        ({"x": {1, 2}}, "cannot be written as JSON"),
    ],
)
def test_what_no_table_can_hold_fails_its_item(result: object, why: str) -> None:
    with pytest.raises(ResultInvalid, match=why):
        rows.normal(result)


def test_a_result_that_is_nested_too_deep_for_the_server_fails_its_item(sink: PostgresArticles) -> None:
    deep: Any = []
    for _ in range(900):
        deep = [deep]
    for _ in range(200):
        deep = {"x": deep}

    try:
        sink.stage("1.3.1.staged", {"x": deep}, key="d")
    except ResultInvalid:
        return
    sink.publish("1.3.1.staged", "d")
    sink.sync_published()
    assert sink.digests(["d"]) == [rows.digest_of(rows.canonical(rows.normal({"x": deep})))]
