"""The job that links the events of a batch, `<job>.links`: run after the batch over what it has live.

A pipeline like any other: its source is what the articles job has live, its one step is `event_features`, its sink is
`sink.py`. `link_after` is what the articles pipeline does when a run of it has completed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from onward.disk.hashing import hash_bytes
from onward.engine.pipeline import BySettings, Pipeline
from onward.engine.source import ItemToRead, Source
from onward.engine.sources.outputs_source import outputs_of
from onward.ledger.base import open_ledger
from onward.model.line_fields import filled, nulled
from onward.model.record import Job
from onward.pipelines.articles.linking.features import line_of
from onward.pipelines.articles.linking.file import read_clusters
from onward.pipelines.articles.linking.sink import LinksSink

if TYPE_CHECKING:
    from onward.engine.batch import Batch

__all__ = ["LINKS", "SETTING", "SPEC", "event_features", "link_after", "links", "links_place", "without_clusters"]

SETTING = "link"
"""The setting of the articles pipeline that asks for linking."""
LINKS = "links.jsonl"
SPEC = "onward.pipelines.articles.linking.job:links"
_FIELD = "cluster"


def event_features(item: ItemToRead) -> dict[str, Any]:
    """Return what linking knows of the events of one article line."""
    return line_of({**json.loads(item.read_bytes()), "key": item.key})


def _source(settings: Mapping[str, Any]) -> Source:
    from onward.pipelines.articles.pipeline import pipeline

    return outputs_of(pipeline, settings["of"] or None)


links = Pipeline(
    "articles-links",
    source=BySettings(_source),
    steps=[event_features],
    sink=LinksSink(),
    settings={"of": ""},
)


def links_place(batch: Batch) -> str:
    """Return where the links of a batch go: beside its output, or where what belongs to its database stands."""
    return os.path.join(batch.outlet.home, LINKS)


def link_after(batch: Batch, finish: Callable[[], None]) -> Mapping[str, object]:
    """Link what a batch has live, and have its output tell of clusters; called when a run of it has completed.

    Without `link=true` clusters that an earlier run filled in are taken out again.

    Returns:
        `links`: the job, its file, how many events are in how many clusters; nothing where nothing was asked for.

    Raises:
        UsageError: The place of the links belongs to another job.
        OSError: The disk failed; the same run again goes on.
    """
    job, linker = _jobs(batch)
    if not batch.settings[SETTING].value:
        if linker is not None:
            _fill(batch, {}, "none", finish)
        return {}
    place = links_place(batch)
    answer = _run(batch, job, place)
    with open(place, "rb") as file:
        data = file.read()
    clusters = read_clusters(data.splitlines())
    _fill(batch, clusters, hash_bytes(data), finish)
    told = {"job": answer["job"], "out": place, "status": answer["status"]}
    return {"links": {**told, "events": len(clusters), "clusters": len(set(clusters.values()))}}


def _jobs(batch: Batch) -> tuple[Job, Job | None]:
    """Return the batch's job, and the one that links it where there ever was one."""
    ledger = open_ledger(batch.workspace.ledger, writes=False)
    try:
        job = ledger.job_by_out(batch.outlet.stored)
        assert job is not None, "a run of it has just completed"
        return job, ledger.job(f"{job.name}.links")
    finally:
        ledger.close()


def _run(batch: Batch, job: Job, place: str) -> Mapping[str, object]:
    from onward.engine.batch import Batch
    from onward.engine.options import Options

    state = batch.workspace.named
    source = outputs_of(batch.pipeline, job.name, state=state, out=batch.out)
    pipeline = links.with_parts(source, LinksSink())
    options = Options(
        job=f"{job.name}.links",
        state=state,
        settings={"of": job.name},
        workers=batch.options.workers,
        prune_deleted=True,
        yes=True,
        spec=SPEC,
    )
    whence = batch.outlet.home if batch.outlet.is_url else batch.out
    with Batch.prepare(pipeline, whence, place, options).run() as answer:
        return dict(answer.head)


def without_clusters(line: bytes) -> bytes:
    """Return an article's line as it was staged: its events are in no cluster."""
    return nulled(line, _FIELD)


def _fill(batch: Batch, clusters: Mapping[str, str], name: str, finish: Callable[[], None]) -> None:
    """Have the sink of a batch tell of these clusters: a file of lines, or tables."""
    sink: Any = batch.pipeline.sink

    def decorate(key: str, line: bytes) -> bytes:
        bare = without_clusters(line)
        events = bare.count(b'"cluster":null')
        found = [clusters.get(f"{key}:{number}") for number in range(1, events + 1)]
        return filled(bare, _FIELD, found) if any(found) else bare

    if hasattr(sink, "fill_clusters"):
        sink.fill_clusters(clusters)
    elif hasattr(sink, "decorate"):
        sink.decorate, sink.decoration = decorate, name
    else:
        return
    finish()
