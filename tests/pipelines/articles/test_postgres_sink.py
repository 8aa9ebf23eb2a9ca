"""Articles in PostgreSQL through the real command line: what is made, what is noticed, what is refused."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from articles_farm import ArticlesFarm
from farm import finish, holding, let_go, wait_until
from onward.errors import OutputRefused, OutputUnavailable, UsageError
from onward.pipelines.articles.postgres.sink import PostgresArticles, postgres_articles
from services.postgres import Postgres

DOCUMENTS = [{"id": f"doc-{n}", "text": f"some words {n}"} for n in range(5)]
Into = Callable[..., ArticlesFarm]


@pytest.fixture
def into(postgres: Postgres, tmp_path: Path) -> Into:
    def make(documents: Any = DOCUMENTS, url: str | None = None, name: str = "farm") -> ArticlesFarm:
        return ArticlesFarm.into(url or postgres.url, tmp_path / name, documents)

    return make


@pytest.mark.contract("S2-029")
def test_each_document_becomes_rows_that_a_person_can_ask_about(into: Into) -> None:
    farm = into()

    farm.run().ok()

    assert farm.ask("SELECT key, doc_id FROM articles.article ORDER BY key") == [(f"doc-{n}",) * 2 for n in range(5)]
    assert farm.ask("SELECT text, count(*) FROM articles.entity GROUP BY text HAVING count(*) > 1 ORDER BY 1") == [
        ("some", 5), ("words", 5),
    ]
    assert farm.ask("SELECT who, trigger FROM articles.event WHERE key = 'doc-3' ORDER BY number") == [
        ("some", "some"), ("some", "words"),
    ]
    assert farm.ask("SELECT sentence, number, text FROM articles.token WHERE key = 'doc-3'") == [
        (0, 0, "some"), (0, 1, "words"), (0, 2, "3"),
    ]


def test_a_word_of_many_kilobytes_is_a_row_like_any_other(into: Into) -> None:
    word = random.Random(7).randbytes(6000).hex()
    farm = into([*DOCUMENTS, {"id": "long", "text": f"some {word}"}])

    farm.run().ok()

    assert farm.ask("SELECT length(text) FROM articles.entity WHERE key = 'long' ORDER BY 1") == [(4,), (12000,)]
    assert farm.ask("SELECT count(*) FROM articles.article") == [(6,)]


def test_a_changed_document_replaces_its_rows_whole_and_no_others(into: Into) -> None:
    farm = into()
    farm.run().ok()
    before = dict(farm.ask("SELECT key, saved_at FROM articles.article"))

    farm.write_lines([*DOCUMENTS[:4], {"id": "doc-4", "text": "new"}])
    counts = farm.run().ok().counts

    after = dict(farm.ask("SELECT key, saved_at FROM articles.article"))
    assert counts["processed"] == 1
    assert farm.ask("SELECT text FROM articles.entity WHERE key = 'doc-4'") == [("new",)]
    assert [key for key in before if before[key] != after[key]] == ["doc-4"]


@pytest.mark.parametrize(
    ("statement", "reasons"),
    [
        ("UPDATE articles.article SET title = 'mine' WHERE key = 'doc-1'", {"doc-1": "output-altered"}),
        ("UPDATE articles.entity SET text = 'x' WHERE key = 'doc-1' AND number = 0", {"doc-1": "output-altered"}),
        ("DELETE FROM articles.event WHERE key = 'doc-2' AND number = 1", {"doc-2": "output-altered"}),
        ("DELETE FROM articles.article WHERE key = 'doc-3'", {"doc-3": "output-missing"}),
        ("TRUNCATE articles.entity", {f"doc-{n}": "output-altered" for n in range(5)}),
        ("TRUNCATE articles.article CASCADE", {f"doc-{n}": "output-missing" for n in range(5)}),
        ("DROP SCHEMA articles CASCADE", {f"doc-{n}": "output-missing" for n in range(5)}),
    ],
)
def test_what_somebody_else_did_is_found_and_only_that_is_made_anew(
    statement: str, reasons: dict[str, str], into: Into
) -> None:
    farm = into()
    farm.run().ok()
    content = farm.content()

    farm.ask(statement)
    found = farm.onward("verify", "--json").document["findings"]
    again = farm.run().ok()

    assert {one["key"]: one["problem"] for one in found} == reasons
    assert again.reasons == reasons
    assert farm.content() == content
    assert farm.run().ok().counts["skipped"] == 5
    assert farm.onward("verify").ok()


def test_rows_that_were_touched_and_put_back_are_looked_at_once_and_not_made_anew(into: Into) -> None:
    farm = into()
    farm.run().ok()

    farm.ask("UPDATE articles.article SET title = 'mine' WHERE key = 'doc-1'")
    farm.ask("UPDATE articles.article SET title = NULL WHERE key = 'doc-1'")
    counts = farm.run().ok().counts

    assert counts["processed"] == 0
    assert farm.ask("SELECT * FROM articles.onward_touched") == []


def test_what_was_done_with_triggers_switched_off_is_found_by_verify_and_not_by_run(into: Into) -> None:
    farm = into()
    farm.run().ok()
    farm.ask("ALTER TABLE articles.article DISABLE TRIGGER USER")
    farm.ask("UPDATE articles.article SET title = 'mine' WHERE key = 'doc-1'")

    assert farm.run().ok().counts["skipped"] == 5
    assert farm.onward("verify").code == 1
    assert farm.onward("verify", "--repair").code == 1
    assert farm.run().ok().counts["processed"] == 1
    assert farm.onward("verify").ok()


def test_a_row_that_somebody_put_there_is_told_and_left_alone(into: Into) -> None:
    farm = into()
    farm.run().ok()

    farm.ask(
        "INSERT INTO articles.article (job, key, sentences, more, token, serial) "
        "SELECT job, 'mine', '[]', '{}', 'mine', 0 FROM articles.onward_job"
    )
    farm.write_lines([*DOCUMENTS, {"id": "doc-5", "text": "one more"}])
    farm.run().ok()

    assert farm.ask("SELECT key FROM articles.article WHERE key = 'mine'") == [("mine",)]
    assert [one["problem"] for one in farm.onward("verify", "--json").document["findings"]] == ["orphaned"]


def test_evidence_of_what_failed_is_a_row_and_goes_when_the_document_is_mended(into: Into) -> None:
    farm = into([*DOCUMENTS, {"id": "bad", "text": "!raise"}])

    assert farm.run().code == 1
    evidence = farm.evidence()
    farm.write_lines([*DOCUMENTS, {"id": "bad", "text": "good now"}])
    farm.run().ok()

    assert [one["reason"] for one in evidence.values()] == ["value-error"]
    assert farm.evidence() == {}
    assert farm.ask("SELECT count(*) FROM articles.article") == [(6,)]


def test_rows_of_a_document_with_a_tombstone_go_when_a_run_has_written_and_ended(into: Into) -> None:
    farm = into()
    farm.run().ok()

    farm.write_lines([*DOCUMENTS[1:], {"id": "doc-5", "text": "one more"}])
    farm.run("--prune-deleted").ok()

    assert [key for (key,) in farm.ask("SELECT key FROM articles.article ORDER BY 1")] == [
        f"doc-{n}" for n in range(1, 6)
    ]
    assert farm.onward("verify").ok()


def test_a_schema_of_ones_own_choice_keeps_jobs_apart(into: Into, postgres: Postgres) -> None:
    here = into(url=f"{postgres.url}?schema=monday")
    there = into([{"id": "a", "text": "b"}], url=f"{postgres.url}?schema=tuesday", name="other")

    here.run().ok()
    there.run().ok()

    assert len(here.content("monday")["article"]) == 5
    assert len(there.content("tuesday")["article"]) == 1


def test_no_password_is_shown_or_stored(into: Into, postgres: Postgres) -> None:
    secret = postgres.server.password
    farm = into(url="env:NEWS")
    farm.env["NEWS"] = postgres.with_password()

    ran = farm.run().ok()
    told = [farm.onward(*words).stdout for words in (("status", "--json"), ("history", "--json"), ("report", "--json"))]
    again = farm.onward("resume", "news")

    assert secret not in ran.stdout + ran.stderr + again.stdout + again.stderr + "".join(told)
    assert not [path for path in farm.root.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert json.loads(told[0])["status"] == "completed"


def test_a_wrong_password_is_refused_before_anything_starts(into: Into, postgres: Postgres) -> None:
    farm = into(url=postgres.with_password().replace(postgres.server.password, "wrong-word"))

    ran = farm.run()

    assert ran.code == 2
    assert "cannot be opened" in ran.stderr
    assert "wrong-word" not in ran.stderr
    assert farm.executions() == {}


def test_a_table_of_somebody_elses_is_refused_and_left_as_it_is(into: Into) -> None:
    farm = into()
    farm.ask("CREATE SCHEMA articles")
    farm.ask("CREATE TABLE articles.article (mine int)")

    ran = farm.run()

    assert ran.code == 2
    assert "holds something that is not ours" in ran.stderr
    assert "?schema=NAME" in ran.stderr
    assert farm.ask("SELECT * FROM articles.article") == []


def test_tables_of_a_newer_onward_are_refused(into: Into) -> None:
    farm = into()
    farm.run().ok()
    farm.ask("INSERT INTO articles.onward_migration (number, name) VALUES (99, 'later')")

    ran = farm.run()

    assert ran.code == 2
    assert "was made by a newer onward" in ran.stderr


@pytest.mark.parametrize(
    "out", ["mysql://u@h/db", "postgresql://u@h/db?schema=No", "postgresql://u@h/db?schema=pg_x", "postgres.txt"]
)
def test_a_place_that_is_none_is_refused_by_its_form(out: str) -> None:
    with pytest.raises(UsageError):
        postgres_articles().check(out)


def test_a_server_that_is_emptied_in_the_middle_ends_the_run_and_the_next_one_makes_all_anew(into: Into) -> None:
    farm = into([*DOCUMENTS, {"id": "z", "text": "!hold"}])
    process = holding(farm)
    wait_until(lambda: len(farm.confirmed()) == 5, what="all but the one that holds")

    farm.ask("DROP SCHEMA articles CASCADE")
    let_go(farm)
    ended = finish(process)
    again = farm.run().ok()

    assert ended.code not in (0, 2)
    assert "are not what they were" in ended.stderr + ended.stdout
    assert again.counts["processed"] == 6
    assert len(farm.content()["article"]) == 6


# -- the sink by itself


@pytest.fixture
def sink(postgres: Postgres) -> PostgresArticles:
    one = postgres_articles()
    one.belongs_to("me")
    one.prepare(postgres.url)
    return one


def staged(sink: PostgresArticles, token: str, text: str) -> str:
    return sink.stage(token, {"doc_id": "a", "title": text}, key="a").digest


def test_a_process_that_slept_cannot_replace_a_later_result(sink: PostgresArticles) -> None:
    old, new = staged(sink, "1.1.1.staged", "old"), staged(sink, "2.1.2.staged", "new")

    sink.publish("2.1.2.staged", "a")
    sink.sync_published()
    sink.publish("1.1.1.staged", "a")
    sink.sync_published()

    assert sink.has_published("a", new)
    assert not sink.has_published("a", old)
    assert not sink.has_staged("1.1.1.staged", old)
    sink.close()


def test_publishing_twice_is_publishing_once_and_without_the_result_it_is_refused(sink: PostgresArticles) -> None:
    digest = staged(sink, "1.1.1.staged", "one")
    for _ in range(2):
        sink.publish("1.1.1.staged", "a")
        sink.sync_published()
    assert sink.has_published("a", digest)

    sink.publish("1.1.2.staged", "a")
    with pytest.raises(OutputUnavailable, match="is not in"):
        sink.sync_published()
    with pytest.raises(OutputUnavailable, match="are not there any more"):
        sink.sync(["1.1.2.staged"])
    assert sink.has_published("a", digest)
    sink.close()


def test_left_overs_of_one_job_are_removed_and_those_of_another_stay(
    sink: PostgresArticles, postgres: Postgres
) -> None:
    other = postgres_articles()
    other.belongs_to("other")
    other.prepare(postgres.url)
    mine, theirs = staged(sink, "1.1.1.staged", "mine"), staged(other, "1.1.1.staged", "theirs")

    assert sink.discard({"1.9.9.staged"}) == ["1.1.1.staged"]

    assert not sink.has_staged("1.1.1.staged", mine)
    assert other.has_staged("1.1.1.staged", theirs)
    sink.close()
    other.close()


def test_clusters_are_filled_in_at_the_end_and_change_no_digest(sink: PostgresArticles, postgres: Postgres) -> None:
    result = {"doc_id": "a", "events": [{"id": "a:1"}, {"id": "a:2"}]}
    digest = sink.stage("1.1.1.staged", result, key="a").digest
    sink.publish("1.1.1.staged", "a")
    sink.sync_published()
    farm = ArticlesFarm(Path("/nowhere"))
    farm.to = postgres.url

    def clusters() -> list[Any]:
        return farm.ask("SELECT id, cluster FROM articles.event ORDER BY id")

    sink.finish(lambda: ["a"])
    before = clusters()
    sink.fill_clusters({"a:1": "c1", "b:7": "c1"})
    sink.finish(lambda: ["a"])
    after = clusters()
    sink.fill_clusters({"a:2": "c2"})
    sink.finish(lambda: ["a"])

    assert before == [("a:1", None), ("a:2", None)]
    assert after == [("a:1", "c1"), ("a:2", None)]
    assert clusters() == [("a:1", None), ("a:2", "c2")]
    assert sink.has_published("a", digest)
    sink.close()


def test_a_url_that_cannot_be_read_is_refused_without_its_password() -> None:
    with pytest.raises(OutputRefused) as refused:
        postgres_articles().prepare("postgresql://u:hidden-word@h/db?nonsense=1")

    assert "hidden-word" not in str(refused.value)
