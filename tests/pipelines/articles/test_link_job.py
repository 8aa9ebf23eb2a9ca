"""Linking as the job `<job>.links` after a batch: real runs over articles that were analysed before."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from link_articles import Told, article, jsonl

from onward.engine.pipeline import ByOut, Pipeline
from onward.engine.sinks.lines_sink import json_lines
from onward.engine.sources.lines_source import json_lines_source
from onward.ledger.base import open_ledger
from onward.pipelines.articles.linking import index as link_index
from onward.pipelines.articles.linking import sink as link_sink
from onward.pipelines.articles.linking.job import link_after, without_clusters
from onward.pipelines.articles.postgres.sink import postgres_articles

BOMBED = Told("Rebels", "bombed", "Mosul", "Iraq", lemma="bomb")
BOMBING = Told("Rebels", "bombing", "Mosul", "Iraq", lemma="bomb")
ELECTED = Told("Germans", "elected", "Merkel", "Berlin", lemma="elect")
REELECTED = Told("Germans", "elected", "Merkel", lemma="elect")
SANK = Told("Storm", "sank", "Ferry", "Manila", lemma="sink")

NEWS = {
    "a": [BOMBED, ELECTED],
    "b": [BOMBING],
    "c": [REELECTED, SANK],
    "d": [BOMBED, REELECTED],
}

Line = dict[str, Any]


def load(item: Any) -> Any:
    return json.loads(item.read_bytes())


told = Pipeline(
    "told",
    source=json_lines_source(),
    steps=[load],
    sink=ByOut(lambda out, settings: json_lines(mask=without_clusters)),
    settings={"link": False},
    then=link_after,
)


class News:
    """A batch of articles in a folder of its own."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.out = base / "out" / "events.jsonl"
        self.links_file = base / "out" / "links.jsonl"
        base.mkdir()

    def run(self, news: Mapping[str, Sequence[Told]], *, link: bool = True, **options: object) -> Mapping[str, Any]:
        """Run the batch over these articles, in this order."""
        lines = [article(key, sentences) for key, sentences in news.items()]
        (self.base / "in.jsonl").write_text(jsonl(lines))
        return told.run(
            self.base / "in.jsonl", out=self.out, state=str(self.base / ".onward"), job="news", workers=1,
            settings={"link": link}, **options,
        )

    def lines(self) -> list[Line]:
        return [json.loads(line) for line in self.links_file.read_text().splitlines()]

    def clusters(self) -> dict[str, str | None]:
        """Return event → cluster, as the articles tell it."""
        articles = [json.loads(line) for line in self.out.read_text().splitlines()]
        return {event["id"]: event["cluster"] for one in articles for event in one["events"]}

    def together(self) -> list[list[str]]:
        """Return the clusters, as the links tell them."""
        found: dict[str, list[str]] = {}
        for line in self.lines():
            found.setdefault(line["cluster"], []).append(line["event_id"])
        return sorted(found.values())


@pytest.fixture
def batch(tmp_path: Path) -> Callable[[], News]:
    made: list[News] = []

    def make() -> News:
        made.append(News(tmp_path / f"news{len(made)}"))
        return made[-1]

    return make


@pytest.fixture
def news(batch: Callable[[], News]) -> News:
    return batch()


STORIES = [["a:1", "b:1", "d:1"], ["a:2", "c:1", "d:2"]]


def test_events_of_one_happening_share_a_cluster_and_say_why(news: News) -> None:
    answer = news.run(NEWS)

    assert news.together() == STORIES
    assert answer["links"] == {
        "job": "news.links", "out": str(news.links_file), "status": "completed", "events": 6, "clusters": 2,
    }
    first = next(line for line in news.lines() if line["event_id"] == "a:1")
    assert first["doc_id"] == "a"
    assert {reason["with"] for reason in first["why"]} == {"b:1", "d:1"}
    assert "same trigger 'bomb'" in first["why"][0]["because"]


def test_the_articles_tell_of_clusters_when_they_are_finished(news: News) -> None:
    news.run(NEWS)

    told_by_links = {line["event_id"]: line["cluster"] for line in news.lines()}
    assert news.clusters() == {"c:2": None, **told_by_links}


def test_without_the_setting_nothing_is_linked(news: News) -> None:
    answer = news.run(NEWS, link=False)

    assert "links" not in answer
    assert not news.links_file.exists()
    assert set(news.clusters().values()) == {None}


def test_clusters_are_taken_out_again_when_they_are_not_asked_for_any_more(news: News) -> None:
    news.run(NEWS)
    news.run(NEWS, link=False)

    assert set(news.clusters().values()) == {None}


def test_runs_and_orders_in_which_articles_come_are_nothing(batch: Callable[[], News]) -> None:
    at_once = batch()
    at_once.run(NEWS)
    for seed in range(2):
        one_by_one = batch()
        keys = random.Random(seed).sample(sorted(NEWS), len(NEWS))
        for count in range(1, len(keys) + 1):
            one_by_one.run({key: NEWS[key] for key in keys[:count]})

        assert one_by_one.links_file.read_bytes() == at_once.links_file.read_bytes()
        assert one_by_one.clusters() == at_once.clusters()


def test_a_removed_article_s_events_leave_their_clusters(batch: Callable[[], News]) -> None:
    without = {key: told_of for key, told_of in NEWS.items() if key != "d"}
    never = batch()
    never.run(without)
    removed = batch()
    removed.run(NEWS)
    removed.run(without, prune_deleted=True)

    assert removed.links_file.read_bytes() == never.links_file.read_bytes()
    assert removed.clusters() == never.clusters()


def test_a_changed_article_s_events_change_their_clusters(batch: Callable[[], News]) -> None:
    changed = {**NEWS, "d": [SANK]}
    at_once = batch()
    at_once.run(changed)
    later = batch()
    later.run(NEWS)
    later.run(changed)

    assert later.links_file.read_bytes() == at_once.links_file.read_bytes()
    assert later.together() == [["a:1", "b:1"], ["a:2", "c:1"], ["c:2", "d:1"]]


def test_a_second_run_links_nothing_anew(news: News) -> None:
    news.run(NEWS)
    before = {path: path.stat().st_mtime_ns for path in (news.out, news.links_file)}

    answer = news.run(NEWS)

    assert answer["links"]["events"] == 6
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_new_article_is_compared_and_the_others_are_not(news: News, monkeypatch: pytest.MonkeyPatch) -> None:
    news.run(NEWS)
    asked: list[set[str]] = []
    score = link_index.score

    def counting(a: Any, b: Any, alike: Any) -> int:
        asked.append({a.context.doc_id, b.context.doc_id})
        return score(a, b, alike)

    monkeypatch.setattr(link_index, "score", counting)
    news.run({**NEWS, "e": [BOMBED]})

    assert news.together()[0] == ["a:1", "b:1", "d:1", "e:1"]
    assert asked
    assert all("e" in pair for pair in asked)


@pytest.mark.parametrize("name", ["scores.jsonl", "linked.json", "features.jsonl"])
@pytest.mark.parametrize("harm", ["gone", "torn", "garbage"])
def test_what_linking_remembers_may_be_lost(news: News, name: str, harm: str) -> None:
    news.run(NEWS)
    whole = news.links_file.read_bytes()
    path = news.base / "out" / ".onward" / "links.jsonl" / name
    data = path.read_bytes()
    match harm:
        case "gone":
            path.unlink()
        case "torn":
            path.write_bytes(data[: len(data) // 2])
        case _:
            path.write_bytes(b"[\x00]\n" + data)

    news.run(NEWS)

    assert news.links_file.read_bytes() == whole


def test_links_that_somebody_changed_are_written_anew(news: News) -> None:
    news.run(NEWS)
    whole = news.links_file.read_bytes()
    news.links_file.write_bytes(whole[:100])

    news.run(NEWS)

    assert news.links_file.read_bytes() == whole


def test_a_crash_before_the_links_are_renamed_leaves_the_old_ones_whole(
    news: News, monkeypatch: pytest.MonkeyPatch
) -> None:
    news.run({"a": NEWS["a"], "b": NEWS["b"]})
    before = news.links_file.read_bytes()
    write = link_sink.write_atomic

    def dying(path: str, *args: Any, **more: Any) -> None:
        if os.path.basename(path) == "links.jsonl":
            raise KeyboardInterrupt
        write(path, *args, **more)

    monkeypatch.setattr(link_sink, "write_atomic", dying)
    with pytest.raises(KeyboardInterrupt):
        news.run(NEWS)
    assert news.links_file.read_bytes() == before

    monkeypatch.undo()
    news.run(NEWS)
    assert news.together() == STORIES


def test_the_links_job_is_a_job_like_any_other(news: News) -> None:
    news.run(NEWS)

    with closing(open_ledger(str(news.base / ".onward" / "ledger.db"), writes=False)) as ledger:
        job = ledger.job("news.links")
        assert job is not None
        assert ledger.count_states(job.id) == {"succeeded": 4}
        assert job.pipeline == "onward.pipelines.articles.linking.job:links"


def test_links_of_articles_in_a_database_fill_its_rows(tmp_path: Path, postgres_url: str) -> None:
    import psycopg

    (tmp_path / "in.jsonl").write_text(jsonl([article(key, sentences) for key, sentences in NEWS.items()]))
    tables = told.with_parts(json_lines_source(), postgres_articles())
    state = str(tmp_path / ".onward")

    answer = tables.run(
        tmp_path / "in.jsonl", out=postgres_url, state=state, job="news", workers=1, settings={"link": True}
    )

    assert answer["links"]["clusters"] == 2
    with psycopg.connect(postgres_url.partition("?")[0]) as db:
        rows = db.execute("SELECT id, cluster FROM articles.event ORDER BY id").fetchall()
    links = [json.loads(line) for line in Path(answer["links"]["out"]).read_text().splitlines()]
    clusters = {line["event_id"]: line["cluster"] for line in links}
    assert dict(rows) == {"c:2": None, **clusters}
    assert len(clusters) == 6
