"""A farm whose input is one file of lines and whose output is a PostgreSQL database: the toy's steps make articles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg

from lines_farm import LinesFarm

ARTICLES_TOY = '''\
import json

from onward.engine.sources.lines_source import json_lines_source
from onward.engine.pipeline import ByOut, Pipeline
from onward.pipelines.articles.postgres.sink import postgres_articles
from toy import act, note


def read(item):
    note(item)
    document = json.loads(item.read_bytes())
    return {**document, "doc_id": item.metadata["id"], "key": item.key, "path": b""}


def article(value):
    words = value["text"].split()
    return {
        "schema": "onward.article/1", "doc_id": value["doc_id"], "success": True, "title": value.get("title"),
        "entities": [{"text": w, "label": "WORD", "start": i, "end": i + 1} for i, w in enumerate(words)],
        "sentences": [{"start": 0, "end": 9, "tokens": [{"text": w, "lemma": w, "head": 0} for w in words]}],
        "events": [
            {
                "id": f"{value['key']}:{i}", "type": "Say", "trigger": w, "lemma": w, "who": words[0], "what": None,
                "whom": None, "where": None, "when": None, "sentence": 0, "method": "rules", "confidence": 0.5,
                "spans": {"trigger": [i, i + 1]}, "cluster": None,
            }
            for i, w in enumerate(words[:2])
        ],
        "timings_s": {},
    }


articles = Pipeline(
    "toy-articles", source=json_lines_source(), steps=[read, act, article],
    sink=ByOut(lambda out, settings: postgres_articles()),
)
'''

TABLES = {
    "article": "key, doc_id, title, published_at, sentences, timings_s, llm, more",
    "entity": "key, number, text, label, start_char, end_char, more",
    "event": 'key, number, id, type, trigger, lemma, who, what, sentence, method, confidence, spans, cluster, more',
}


class ArticlesFarm(LinesFarm):
    """A farm that writes into a database, always as the job `news`."""

    @classmethod
    def into(cls, url: str, base: Path, documents: Any, *, workers: int = 1) -> ArticlesFarm:
        """Make a workspace with these documents, whose results go to the database at `url`."""
        farm = cls.of(base, documents, workers=workers)
        farm.code("articles_toy.py", ARTICLES_TOY)
        farm.pipeline = "articles_toy.py:articles"
        assert isinstance(farm, ArticlesFarm)
        farm.to = url
        return farm

    def command(self, verb: str, *args: str) -> list[str]:
        return [*super().command(verb, *args), "--job", "news"]

    def ask(self, sql: str, *params: object) -> list[tuple[Any, ...]]:
        """Run a statement of a person's own."""
        with psycopg.connect(self.to.partition("?")[0], autocommit=True) as db:
            cursor = db.execute(sql.encode(), params or None)
            return cursor.fetchall() if cursor.description is not None else []

    def owner(self) -> str:
        """Return the name under which this farm's rows stand."""
        with self.ledger() as ledger:
            return f"news@{ledger.uuid[:8]}"

    def content(self, schema: str = "articles", *, job: str | None = None) -> dict[str, list[tuple[Any, ...]]]:
        """Return what a reader finds: every row, without what tells of the attempt that made it."""
        where = "" if job is None else f"WHERE job = '{job}'"
        return {
            table: self.ask(f"SELECT {columns} FROM {schema}.{table} {where} ORDER BY {columns}")
            for table, columns in TABLES.items()
        }

    def evidence(self) -> dict[str, Any]:
        return dict(self.ask("SELECT output, evidence FROM articles.quarantine"))

    def staged(self) -> list[tuple[Any, ...]]:
        """Return every result that waits between worker and ledger."""
        return self.ask("SELECT job, token FROM articles.onward_staged")
