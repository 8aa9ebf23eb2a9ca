"""Rows to put into ledgers, and every answer of a ledger as one value to compare."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from itertools import islice

from onward.ledger.base import Ledger, Reader
from onward.model.record import (
    Attempt,
    Container,
    Control,
    Document,
    Item,
    Job,
    Publish,
    Receipt,
    RecipeRow,
    Run,
    Validity,
    Version,
)

NOW = 1_766_932_222_123_456


def digest(text: object) -> bytes:
    return sha256(repr(text).encode()).digest()


def a_job(name: str = "filings", **other: object) -> Job:
    row = Job(0, name, "filings", "in/" + name, "out/" + name, "pending", NOW, None, "{}")
    return row._replace(**other)


def a_run(row_id: int, job_id: int, **other: object) -> Run:
    row = Run(row_id, job_id, f"run_{row_id}", "", "running", NOW, None, 7, "host", "{}", "{}", None, None)
    return row._replace(**other)


def a_recipe(row_id: int, job_id: int, **other: object) -> RecipeRow:
    return RecipeRow(row_id, job_id, digest(("code", row_id)), digest("config"), '{"steps":[]}')._replace(**other)


def a_container(row_id: int, job_id: int, key: str | None = None) -> Container:
    return Container(row_id, job_id, f"folder-{row_id}" if key is None else key)


def an_item(row_id: int, job_id: int, container_id: int, **other: object) -> Item:
    row = Item(row_id, job_id, container_id, f"item-{row_id}.html", "pending", None, 0, 0, 0, None, None, None, None)
    return row._replace(**other)


def an_attempt(item_id: int, serial: int, run_id: int, **other: object) -> Attempt:
    return Attempt(item_id, serial, run_id, 1, NOW, None, None, None, None, None, "new")._replace(**other)


def a_version(item_id: int, number: int, recipe_id: int, **other: object) -> Version:
    row = Version(
        item_id, number, NOW + number, NOW + number, digest(("content", item_id, number)), recipe_id, 1234, NOW * 1000,
        f"item-{item_id}.json", digest(("output", item_id, number)), 567, NOW * 1000, "PASS",
    )
    return row._replace(**other)


def a_publish(item_id: int, version: int | None = 1, **other: object) -> Publish:
    row = Publish(item_id, "output", version, f"1.{item_id}.1.staged", f"item-{item_id}.json", digest(item_id))
    return row._replace(**other)


def a_control(row_id: int, job_id: int, request: str = "pause", **other: object) -> Control:
    return Control(row_id, job_id, request, "Ada", "host", 7, "", NOW + row_id, None)._replace(**other)


def a_receipt(row_id: int, job_id: int, item_id: int, run_id: int, **other: object) -> Receipt:
    row = Receipt(
        row_id, job_id, item_id, run_id, digest(("question", row_id)), '{"model":"m"}', '["ä"]', 120 + row_id, 7, 333,
        NOW + row_id,
    )
    return row._replace(**other)


def a_document(row_id: int, job_id: int, key: str | None = None) -> Document:
    return Document(row_id, job_id, f"doc-{row_id}.md" if key is None else key)


def a_validity(document_id: int, valid_from: int, item_id: int, **other: object) -> Validity:
    row = Validity(document_id, valid_from, 0, 1, NOW, item_id, 1, digest(("bytes", document_id, valid_from)))
    return row._replace(**other)


def fill(ledger: Ledger, items: int, *, name: str = "filings", group: int = 20) -> Job:
    """Write a job as a run writes it: claims, then outcome, version and publish, then confirmations."""
    job = ledger.create_job(a_job(name), now=NOW)
    with ledger.transaction(job.id, now=NOW + 1) as tx:
        run_id, recipe_id, container_id = tx.allocate("run"), tx.allocate("recipe"), tx.allocate("container")
        tx.put(a_run(run_id, job.id))
        tx.put(a_recipe(recipe_id, job.id))
        tx.put(a_container(container_id, job.id))
        tx.put(job._replace(run_id=run_id, status="running"))
    for start in range(0, items, group):
        count = min(group, items - start)
        with ledger.transaction(job.id, now=NOW + 2 + start, fence=run_id) as tx:
            claimed = [
                an_item(item_id, job.id, container_id, key=f"{name}-{item_id}.html")
                for item_id in (tx.allocate("item") for _ in range(count))
            ]
            for item in claimed:
                tx.put(item)
                tx.put(an_attempt(item.id, 1, run_id))
        with ledger.transaction(job.id, now=NOW + 3 + start, fence=run_id) as tx:
            for item in claimed:
                tx.put(an_attempt(item.id, 1, run_id, finished_at=NOW + item.id, outcome="succeeded"))
                tx.put(a_version(item.id, 1, recipe_id))
                tx.put(a_publish(item.id))
                tx.put(item._replace(state="succeeded", version=1, serial=1))
        with ledger.transaction(job.id, now=NOW + 4 + start, fence=run_id) as tx:
            for item in claimed:
                tx.drop_publish(item.id)
    return ledger.job_by_id(job.id) or job


def answers(ledger: Reader, *, with_hashes: bool = True) -> dict[str, object]:
    """Return what a ledger answers to every question, over everything it holds."""
    told: dict[str, object] = {"jobs": ledger.jobs(), "no job": (ledger.job("?"), ledger.job_by_out("?"))}
    for job in ledger.jobs():
        runs, known = ledger.runs(job.id), list(ledger.known_all(job.id))
        containers = ledger.containers(job.id)
        outputs = sorted({one.version.output for one in known if one.version})
        head = ledger.head(job.id)
        told[job.name] = {
            "job": (ledger.job(job.name), ledger.job_by_id(job.id), ledger.job_by_out(job.out)),
            "runs": runs,
            "run": [(ledger.run(run.name), ledger.run_by_id(run.id)) for run in runs],
            "recipes": ledger.recipes(job.id),
            "containers": containers,
            "known_in": [list(ledger.known_in(row.id)) for row in containers],
            "known_all": known,
            "known": [ledger.known(job.id, one.item.key) for one in known],
            "known_unsettled": list(ledger.known_unsettled(job.id)),
            "known_by_output": [ledger.known_by_output(job.id, output) for output in outputs],
            "items": [ledger.item(one.item.id) for one in known],
            "count_states": ledger.count_states(job.id),
            "attempts": [ledger.attempts(one.item.id) for one in known],
            "attempts_of_run": [list(ledger.attempts_of_run(run.id)) for run in runs],
            "recent_attempts": [(ledger.recent_attempts(r.id, 2), ledger.recent_attempts(r.id, 99)) for r in runs],
            "count_attempts": [ledger.count_attempts(run.id) for run in runs],
            "in_flight": ledger.in_flight(job.id),
            "versions": [ledger.versions(one.item.id) for one in known],
            "version": [ledger.version(one.item.id, one.item.version or 0) for one in known],
            "publishes": ledger.publishes(job.id),
            "control": ledger.control(job.id),
            "controls": ledger.controls(job.id),
            "receipt": [ledger.receipt(digest(("question", number))) for number in range(4)],
            "receipts_of_item": [ledger.receipts_of_item(one.item.id) for one in known],
            "spent": ledger.spent(job.id),
            "spent_by_run": [ledger.spent_by_run(run.id) for run in runs],
            "spent_by_item": [list(ledger.spent_by_item(run.id)) for run in runs],
            "documents": (documents := list(ledger.documents(job.id))),
            "document": [ledger.document(job.id, row.key) for row in documents],
            "validities": (timelines := [list(ledger.validities(row.id)) for row in documents]),
            "in slot": [[ledger.last_in_slot(*row[:3]) for row in timeline] for timeline in timelines],
            "as of": [
                [
                    list(ledger.tree_at(job.id, *asked)),
                    [list(_timeline(ledger, row.id, *asked)) for row in documents],
                    [ledger.validity_at(row.id, *asked) for row in documents],
                ]
                for asked in ((NOW, None), (NOW + 2, NOW + 1), (NOW + 9, None))
            ],
            "archives": ledger.archives(job.id),
            "head": head if with_hashes else head.seq,
            "journal": [entry if with_hashes else entry[:-1] for entry in ledger.journal(job.id)],
            "written_last": list(ledger.written_last(job.id)),
            "signature": [ledger.signature(row.id) for row in containers],
        }
    told["memo"] = [ledger.memo(name) for name in ("a", "b", "c")]
    return told


def _timeline(ledger: Reader, document_id: int, until: int, known_at: int | None) -> Iterator[Validity]:
    return ledger.validities(document_id, until=until, known_at=known_at)


def first(ledger: Reader, job_id: int, count: int) -> list[str]:
    """Return the keys of the first items of a job."""
    return [known.item.key for known in islice(ledger.known_all(job_id), count)]
