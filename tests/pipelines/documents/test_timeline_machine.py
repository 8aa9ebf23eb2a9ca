"""Versions handed over in any order, late, twice, corrected, deleted, with crashes between: as-of answers are exact.

The model is a list of everything that was ever handed over; an answer is found by looking at all of it. The process
that hands over is killed at any point of the way. What a search finds is what ranking every chunk of every version that
holds then finds.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from documents_farm import DocumentsFarm
from onward import clock, open_documents
from onward.engine.by_hand import ByHand
from onward.engine.faults import FaultPoint
from onward.engine.options import Options
from onward.engine.sources.handed_over import Handed
from onward.model.record import to_digest
from onward.pipelines.documents.chunk import chunk_document
from onward.pipelines.documents.embedders import embedder_of
from onward.pipelines.documents.parse import parse_document
from onward.pipelines.documents.pipeline import pipeline

KEYS = ("a.md", "b/c.txt", "d.html")
TIMES = st.integers(0, 6)
CONTENTS = st.sampled_from([
    b"# One\n\nthe first apple\n\n# More\n\nan apple and a pear", b"# Two\n\nthe second pear",
    b"the third plum, the third", b"",
])  # fmt: skip
POINTS = (
    FaultPoint.WORKER_STAGED, FaultPoint.SYNCED, FaultPoint.BEFORE_COMMIT, FaultPoint.IN_COMMIT,
    FaultPoint.COMMITTED, FaultPoint.SHELVED, FaultPoint.STORED, FaultPoint.PUBLISHED, FaultPoint.CONFIRMED,
)
HAND_OVER = """
import sys
from onward.engine.batch import Options
from onward.engine.by_hand import ByHand, Handed
from onward.pipelines.documents.pipeline import pipeline
out, options, version = eval(sys.stdin.read())
with ByHand(pipeline, out, options=Options(**options)) as by_hand:
    by_hand.put(Handed(*version))
"""


class Told(NamedTuple):
    """One version that the model knows of; `order` is its place in the order of recording."""

    document: str
    valid_from: int
    sequence: int
    order: int
    recorded_after: int
    content: bytes | None


def holds(told: list[Told], document: str, at: int) -> bytes | None:
    """Return what a document was at an instant, by looking at everything."""
    candidates = [one for one in told if one.document == document and one.valid_from <= at]
    return max(candidates, key=lambda one: one[1:4]).content if candidates else None


def ranked(texts: dict[str, bytes], query: str) -> dict[str, float]:
    """Return the score of each chunk of these documents: two orders over all of them, joined by reciprocal ranks."""
    chunks = {
        chunk.id: f"{chunk.heading}\n{chunk.text}" if chunk.heading else chunk.text
        for name, data in texts.items()
        for chunk in chunk_document(parse_document(name, data), words_max=200)
    }
    words = {one: Counter(re.findall(r"\w+", text.lower())) for one, text in chunks.items()}
    average = sum(sum(counts.values()) for counts in words.values()) / max(len(words), 1)
    by_words: dict[str, float] = {}
    for one, counts in words.items():
        for term in set(query.split()):
            having = sum(1 for other in words.values() if other[term])
            if counts[term]:
                norm = 1.2 * (1 - 0.75 + 0.75 * sum(counts.values()) / average)
                score = math.log(1 + (len(words) - having + 0.5) / (having + 0.5)) * counts[term] * 2.2
                by_words[one] = by_words.get(one, 0.0) + score / (counts[term] + norm)
    embedder = embedder_of({**(pipeline.settings or {}), "embedder": "lexical"})
    asked, *vectors = (np.frombuffer(one, "<f4").astype(float) for one in embedder.embed([query, *chunks.values()]))
    by_meaning = {one: float(asked @ vector) for one, vector in zip(chunks, vectors, strict=True)}
    scores: dict[str, float] = {}
    for order in (by_words, by_meaning):
        places = sorted(order, key=lambda one: (-round(order[one], 6), one))
        for place, one in enumerate(places, start=1):
            scores[one] = scores.get(one, 0.0) + 1 / (60 + place)
    return scores


class Timelines(RuleBasedStateMachine):
    """One job, and everything that was handed over to it; `url` is a database, where the store is one."""

    def __init__(self, store: str = "sqlite", url: str | None = None) -> None:
        super().__init__()
        self.base = Path(tempfile.mkdtemp())
        self.farm = DocumentsFarm.of(self.base, {}, store=store)
        self.farm.out_url = url
        if url is not None:
            self.farm.settings = {**self.farm.settings, "collection": self.base.name.replace("_", "")}
        self.out = url or str(self.farm.out)
        self.told: list[Told] = []
        self.by_hand: ByHand | None = None

    @property
    def options(self) -> dict[str, object]:
        return {"state": str(self.farm.state), "settings": dict(self.farm.settings)}

    @initialize()
    def begin(self) -> None:
        self.by_hand = ByHand(pipeline, self.out, options=Options(**self.options))  # type: ignore[arg-type]

    def let_go(self) -> None:
        if self.by_hand is not None:
            by_hand, self.by_hand = self.by_hand, None
            by_hand.close()

    def teardown(self) -> None:
        if self.by_hand is not None:
            self.let_go()
            self.farm.assert_in_step()
        shutil.rmtree(self.base)

    def tell(self, document: str, at: int, sequence: int | None, content: bytes | None) -> Handed:
        same = [one for one in self.told if (one.document, one.valid_from) == (document, at)]
        standing = max(same, key=lambda one: one[1:4], default=None)
        if sequence is None:
            is_new = standing is None or standing.content != content
            place = 0 if standing is None else standing.sequence + 1
        else:
            slot = max((one for one in same if one.sequence == sequence), key=lambda one: one.order, default=None)
            is_new = slot is None or slot.content != content
            place = sequence
        if is_new:
            self.told.append(Told(document, at, place, len(self.told), clock.now(), content))
        return Handed(document, content, at, sequence)

    @rule(document=st.sampled_from(KEYS), at=TIMES, content=st.one_of(st.none(), CONTENTS))
    def put_without_a_place(self, document: str, at: int, content: bytes | None) -> None:
        assert self.by_hand is not None
        before = len(self.told)
        assert self.by_hand.put(self.tell(document, at, None, content)) == (len(self.told) > before)

    @rule(document=st.sampled_from(KEYS), at=TIMES, place=st.integers(0, 3), content=st.one_of(st.none(), CONTENTS))
    def put_at_a_place(self, document: str, at: int, place: int, content: bytes | None) -> None:
        assert self.by_hand is not None
        before = len(self.told)
        assert self.by_hand.put(self.tell(document, at, place, content)) == (len(self.told) > before)

    @rule(many=st.lists(st.tuples(st.sampled_from(KEYS), TIMES, st.integers(0, 3), CONTENTS), max_size=8))
    def put_many(self, many: list[tuple[str, int, int, bytes]]) -> None:
        assert self.by_hand is not None
        before = len(self.told)
        versions = [self.tell(*one) for one in many]
        assert self.by_hand.put_all(versions) == len(self.told) - before

    @rule()
    def crash_between_two_versions(self) -> None:
        assert self.by_hand is not None
        self.by_hand._open.close()  # all that a process lets go of when it dies
        self.begin()

    @rule(
        document=st.sampled_from(KEYS), at=TIMES, content=st.one_of(st.none(), CONTENTS), point=st.sampled_from(POINTS)
    )
    def killed_while_it_is_put_and_put_again(
        self, document: str, at: int, content: bytes | None, point: FaultPoint
    ) -> None:
        before = len(self.told)
        version = self.tell(document, at, None, content)
        is_new = len(self.told) > before
        self.let_go()
        killed = subprocess.run(
            [sys.executable, "-c", HAND_OVER], input=repr((self.out, self.options, tuple(version)[:4])), text=True,
            env={**os.environ, "ONWARD_FAULT": f"{point}:1:kill"}, capture_output=True, check=False,
        )
        assert killed.returncode == (-signal.SIGKILL if is_new else 0), killed.stderr
        self.begin()
        assert self.by_hand is not None
        self.by_hand.put(version)

    @rule(query=st.sampled_from(["apple", "pear plum", "the third", "nothing of it"]), at=TIMES)
    def search(self, query: str, at: int) -> None:
        held = {key: found for key in KEYS if (found := holds(self.told, key, at)) is not None}
        expected = ranked(held, query) if held else {}
        if not self.told:
            return
        self.let_go()
        with open_documents(state=str(self.farm.state), out=self.farm.out_url) as documents:
            hits = documents.search(query, at=at, limit=50)
        self.begin()
        assert {hit.id: hit.score for hit in hits} == pytest.approx(expected)
        assert [hit.id for hit in hits] == sorted(expected, key=lambda one: (-expected[one], one))
        for hit in hits:
            assert hit.path in held
            assert hit.version == sha256(held[hit.path]).hexdigest()

    @rule()
    def end(self) -> None:
        self.let_go()
        self.begin()

    @invariant()
    def every_answer_is_that_of_the_model(self) -> None:
        if self.by_hand is None:
            return
        with self.farm.ledger() as ledger:
            (job,) = ledger.jobs()
            for at in range(-1, 8):
                held = {key: holds(self.told, key, at) for key in KEYS}
                wanted = {key: sha256(found).hexdigest() for key, found in held.items() if found is not None}
                tree = {key: to_digest(row.content or b"") for key, row in ledger.tree_at(job.id, at)}
                assert {key: digest.removeprefix("sha256:") for key, digest in tree.items()} == wanted
                for key in KEYS:
                    document = ledger.document(job.id, key)
                    row = None if document is None else next(iter(ledger.validities(document.id, until=at)), None)
                    assert (tree.get(key) is None) == (row is None or row.content is None)

    @invariant()
    def what_was_known_earlier_can_still_be_asked_for(self) -> None:
        if not self.told:
            return
        with self.farm.ledger() as ledger:
            (job,) = ledger.jobs()
            rows = sorted(
                (row.recorded_at, document.key, row)
                for document in ledger.documents(job.id)
                for row in ledger.validities(document.id)
            )
            known_at = rows[len(rows) // 2][0]
            known = [row for row in rows if row[0] <= known_at]
            for key in KEYS:
                of_key = [row for _, document, row in known if document == key and row.valid_from <= 3]
                wanted = max(of_key, key=lambda row: row[1:4], default=None)
                document = ledger.document(job.id, key)
                found = None if document is None else next(
                    iter(ledger.validities(document.id, until=3, known_at=known_at)), None
                )
                assert found == wanted


def many(examples: int) -> settings:
    return settings(
        max_examples=examples, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
    )


@pytest.mark.parametrize(("kind", "examples"), [
    ("sqlite", 12), ("chroma", 2), ("pgvector", 2),
    *(pytest.param(kind, 100, marks=pytest.mark.long) for kind in ("sqlite", "chroma", "pgvector")),
])  # fmt: skip
def test_answers_are_those_of_the_model_on_every_store(
    kind: str, examples: int, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgres").url if kind == "pgvector" else None
    machine: Callable[[], Timelines] = lambda: Timelines("chroma" if kind == "chroma" else "sqlite", url)  # noqa: E731
    run_state_machine_as_test(machine, settings=many(examples))
