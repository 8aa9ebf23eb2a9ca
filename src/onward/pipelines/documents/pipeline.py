"""The documents pipeline, put together: .md, .html, .rst and .txt → a versioned store of vectors.

    folder.py, git/history.py   what there is: files as they are now, or every version that a repository remembers
    read, parse, chunk, embed   the steps: steps.py, with parse.py, chunk.py and embedders/; checks.py: nothing is lost
    sink.py                     a result on the shelf (library.py) and in a store (stores/)
    reading.py, search.py       as-of answers, and search in what was true at an instant

When a version was true is in the ledger and nowhere else (engine/timeline.py). service/ holds the names of before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from onward.engine.pipeline import ByOut, BySettings, Pipeline
from onward.engine.sink import Sink
from onward.engine.source import Source
from onward.errors import SettingInvalid
from onward.ledger.base import open_ledger
from onward.pipelines.documents.checks import nothing_lost
from onward.pipelines.documents.embedders import check_embedder, embedder_name
from onward.pipelines.documents.sink import DocumentSink
from onward.pipelines.documents.steps import chunk, embed, parse, read
from onward.runs.outlet import Outlet

if TYPE_CHECKING:
    from onward.engine.batch import Batch

__all__ = ["pipeline"]

for _needed in ("numpy", "lxml", "markdown_it"):
    # Looked for, not imported: the parent of the workers never loads it, and a run without it ends before it begins.
    if find_spec(_needed) is None:
        raise ModuleNotFoundError(f"No module named '{_needed}'", name=_needed)

STORES = ("sqlite", "chroma")
_WORDS_MIN = 20


def _source(settings: Mapping[str, Any]) -> Source:
    if settings["history"]:
        from onward.pipelines.documents.git.history import GitHistory

        return GitHistory(settings)
    from onward.pipelines.documents.folder import DocumentFolder

    return DocumentFolder(settings)


def _sink(to: Outlet, settings: Mapping[str, Any]) -> Sink:
    return DocumentSink(to, settings, embedder_name(settings))


def check_settings(settings: Mapping[str, Any]) -> None:
    """Raise `SettingInvalid` when a setting is out of its bounds."""
    if settings["store"] not in STORES:
        msg = (
            f"The setting 'store' is {settings['store']!r}; it can be {', '.join(STORES)}. "
            "For PostgreSQL name the database: --out postgresql://..."
        )
        raise SettingInvalid(msg)
    if settings["chunk.words"] < _WORDS_MIN:
        msg = f"The setting 'chunk.words' is {settings['chunk.words']}; it must be at least {_WORDS_MIN}."
        raise SettingInvalid(msg)
    if not settings["max_file_mb"] > 0:
        msg = f"The setting 'max_file_mb' is {settings['max_file_mb']}; it must be above 0."
        raise SettingInvalid(msg)
    check_embedder(settings)


def _count_chunks(batch: Batch, finish: Callable[[], None]) -> Mapping[str, object]:
    """Tell how many chunks the versions of the run have, and how many of them were embedded for it."""
    ledger = open_ledger(batch.workspace.ledger, writes=False)
    try:
        job = next(job for job in ledger.jobs() if job.out == batch.outlet.stored)
        assert job.run_id is not None
        chunks = embedded = 0
        for attempt, _ in ledger.attempts_of_run(job.run_id):
            version = ledger.version(attempt.item_id, attempt.serial)
            facts = json.loads(version.facts or "{}") if version is not None else {}
            chunks += facts.get("chunks", 0)
            embedded += facts.get("embedded", 0)
    finally:
        ledger.close()
    return {"chunks": chunks, "embedded": embedded}


pipeline = Pipeline(
    "documents",
    source=BySettings(_source),
    steps=[read, parse, chunk, embed],
    checks=[nothing_lost],
    sink=ByOut(_sink),
    check_settings=check_settings,
    settings={
        "history": False,
        "extensions": "",
        "max_file_mb": 50,
        "store": "sqlite",
        "chroma.url": "",
        "collection": "documents",
        "chunk.words": 200,
        "embedder": "minilm",
        "endpoint.url": "",
        "endpoint.model": "",
        "endpoint.api_key_env": "",
        "endpoint.batch": 64,
        "endpoint.timeout_s": 60.0,
        "endpoint.dimensions": 0,
    },
    depends=["lxml", "markdown-it-py"],
    follows_deletions=True,
    then=_count_chunks,
)
