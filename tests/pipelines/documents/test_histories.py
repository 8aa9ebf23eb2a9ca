"""As-of answers over two real histories equal the oracles, whatever the order of arrival, on every store."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from histories import NAMES, History, digest_of_tree, history

from documents_farm import DocumentsFarm
from onward import clock
from onward.engine.by_hand import ByHand
from onward.engine.options import Options
from onward.engine.sources.handed_over import Handed
from onward.ledger.base import Ledger
from onward.pipelines.documents.pipeline import pipeline
from services.postgres import Postgres

SEED = 20261123


def hand_over(farm: DocumentsFarm, versions: Iterable[Handed]) -> int:
    options = Options(state=str(farm.state), settings=farm.settings)
    with ByHand(pipeline, farm.out_url or str(farm.out), options=options) as by_hand:
        return by_hand.put_all(versions)


def assert_answers(farm: DocumentsFarm, of: History) -> None:
    """Every query, snapshot and difference of the oracle has the answer that the oracle has."""
    with farm.ledger() as ledger:
        (job,) = ledger.jobs()
        for query in of.oracle["queries"]:
            assert found_at(ledger, job.id, query["path"], query["at"]) == query.get("sha256"), query
        for snapshot in of.oracle["snapshots"]:
            tree = tree_at(ledger, job.id, snapshot["at"])
            assert (len(tree), digest_of_tree(tree)) == (snapshot["paths"], snapshot["digest"]), snapshot
        for difference in of.oracle["diffs"]:
            before, after = tree_at(ledger, job.id, difference["from"]), tree_at(ledger, job.id, difference["to"])
            assert sorted(after.keys() - before.keys()) == difference["added"]
            assert sorted(before.keys() - after.keys()) == difference["removed"]
            changed = sorted(path for path in before.keys() & after.keys() if before[path] != after[path])
            assert changed == difference["changed"]


def found_at(ledger: Ledger, job_id: int, path: str, at: str) -> str | None:
    document = ledger.document(job_id, path)
    row = None if document is None else next(iter(ledger.validities(document.id, until=clock.instant(at))), None)
    return None if row is None or row.content is None else row.content.hex()


def tree_at(ledger: Ledger, job_id: int, at: str) -> dict[str, str]:
    return {path: (row.content or b"").hex() for path, row in ledger.tree_at(job_id, clock.instant(at))}


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("order", ["as it was", "at random, some twice"])
def test_every_answer_over_a_history_is_that_of_the_oracle(name: str, order: str, tmp_path: Path) -> None:
    of = history(name)
    farm = DocumentsFarm.of(tmp_path, {})
    versions = list(of.versions)
    if order != "as it was":
        chance = random.Random(SEED)
        versions += chance.sample(versions, len(versions) // 10)
        chance.shuffle(versions)

    new = hand_over(farm, versions)

    assert new == len(of.versions)
    assert_answers(farm, of)
    farm.assert_in_step()
    with farm.ledger() as ledger:
        counts: dict[str, Any] = {
            document.key: sum(1 for _ in ledger.validities(document.id))
            for document in ledger.documents(ledger.jobs()[0].id)
        }
    assert counts == of.oracle["events_per_path"]


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("store", ["chroma", "pgvector"])
def test_every_answer_is_the_same_on_the_other_stores(
    store: str, name: str, tmp_path: Path, postgres: Postgres
) -> None:
    of = history(name)
    farm = DocumentsFarm.of(tmp_path, {}, **({"store": "chroma"} if store == "chroma" else {}))
    if store == "pgvector":
        farm.out_url = postgres.url
    versions = list(of.versions)
    random.Random(SEED).shuffle(versions)

    hand_over(farm, versions)

    assert_answers(farm, of)
    farm.assert_in_step()
